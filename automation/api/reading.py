"""Reading the bodies of requests: JSON of bounded depth, read as a noun with every problem at once."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from automation.api.access import engine_of
from automation.errors import DefinitionError, InputError
from automation.plugins import validation_problems
from automation.sources.payload import kind_of, parse_json

M = TypeVar("M", bound=BaseModel)


async def read_json(request: Request) -> Any:
    """The JSON value of a body; raises InputError."""
    return parse_json(await request.body(), max_depth=engine_of(request).config.api.max_body_depth)


async def read_object(request: Request) -> dict[str, Any]:
    """The JSON object of a body; an empty body is an empty object. Raises InputError."""
    if not await request.body():
        return {}
    value = await read_json(request)
    if not isinstance(value, dict):
        raise InputError(f"the body must be an object, not {kind_of(value)}")
    return value


async def read_model(request: Request, model: type[M], what: str = "the request") -> M:
    """The body as a model; raises InputError for what is not JSON, DefinitionError with every problem."""
    value = await read_object(request)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise DefinitionError(validation_problems(error), what=what) from None
