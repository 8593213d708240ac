"""Reading the bodies of requests: JSON of bounded depth, read as a noun with every problem at once."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from automation.api.access import engine_of
from automation.definitions import Definitions, problems_of, remains_of
from automation.engine import AutomationEngine
from automation.errors import DefinitionError, InputError, Problem
from automation.model.base import Definition
from automation.sources.payload import kind_of, parse_json

M = TypeVar("M", bound=BaseModel)
D = TypeVar("D", bound=Definition)


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


async def read_definition(request: Request, model: type[D], kind: str, what: str) -> D:
    """The body as a definition of a kind, such as `workflows`; raises InputError for what is not JSON, DefinitionError
    with every problem: also with what is wrong elsewhere, where a part of it cannot be read."""
    value = await read_object(request)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        found = problems_of(error, model, value)
        left = remains_of(model, value, error)
        if left is not None:
            found += filter(left.owns, check(engine_of(request), kind, left.definition))
        raise DefinitionError(found, what=what) from None


def check(engine: AutomationEngine, kind: str, definition: Definition) -> tuple[Problem, ...]:
    """What is wrong with a definition of a kind, and what is doubtful, with paths within it."""
    place = f"{kind}[0]."
    wanted: dict[str, Any] = {kind: (definition,)}
    found = engine.catalogue.check(Definitions(**wanted))
    return tuple(Problem(each.path.removeprefix(place), each.message, severity=each.severity) for each in found)


async def read_model(request: Request, model: type[M], what: str = "the request") -> M:
    """The body as a model; raises InputError for what is not JSON, DefinitionError with every problem."""
    value = await read_object(request)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise DefinitionError(problems_of(error, model, value), what=what) from None
