"""What a route tells the documentation beside its code: what it takes and gives, and, for raw routes, all of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from automation.api.schemas import Schema, promised

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Operation:
    """What there is to know of a raw route; its summary and description are its docstring."""

    method: str
    tag: str
    access: str
    """Who may, in words, or the name of a permission."""
    responses: Mapping[int | str, Schema]
    extra: Mapping[str, Any] = field(default_factory=dict)


class RawRoute(Route):
    """A route that FastAPI has no part in: what is called most, or answers without a token."""

    def __init__(self, path: str, endpoint: Callable[[Request], Awaitable[Response]], operation: Operation) -> None:
        super().__init__(path, endpoint, methods=[operation.method])
        self.operation = operation


def gives(kind: Any, description: str = "", status: int = 200) -> dict[int | str, dict[str, Any]]:
    """For `responses=`: that the route answers with this noun."""
    return {status: {"description": description or "Done", "content": {JSON: {"schema": promised(kind)}}}}


def takes(kind: Any, *examples: Any, required: bool = True, media: str = JSON) -> dict[str, Any]:
    """For `openapi_extra=`: that the route reads this noun, with examples."""
    content: dict[str, Any] = {"schema": kind if isinstance(kind, dict) else promised(kind)}
    if len(examples) == 1:
        content["example"] = examples[0]
    elif examples:
        content["examples"] = {f"example {n}": {"value": value} for n, value in enumerate(examples, 1)}
    return {"requestBody": {"required": required, "content": {media: content}}}
