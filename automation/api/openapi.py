"""The OpenAPI document: FastAPI's, with the raw routes, our schemas, the permissions and one form of error."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from automation.api.access import Needs
from automation.api.operations import RawRoute
from automation.api.schemas import Schema, hoist

TAGS = (
    {"name": "workflows", "description": "What there is to do, and starting it."},
    {"name": "executions", "description": "What was and is done: runs of workflows."},
    {"name": "approvals", "description": "What people are asked, and what they answered."},
    {"name": "events", "description": "What happened, and what it led to."},
    {
        "name": "triggers",
        "description": "What starts workflows: switched off and on; what could not be taken in; replays.",
    },
    {"name": "alerts", "description": "Conditions with a life, ours and those of other systems."},
    {"name": "metrics", "description": "What was measured, now and before."},
    {"name": "webhooks", "description": "Events from other systems, in their own forms."},
    {"name": "records", "description": "Decisions, notifications, the audit chain, live changes."},
    {"name": "guardrails", "description": "What holds actions back: the global stop, freeze windows, open circuits."},
    {"name": "sources", "description": "What the engine reads events from by itself, and how that is doing."},
    {"name": "services", "description": "What actions act on."},
    {"name": "tokens", "description": "Who may call."},
    {"name": "health", "description": "Whether the engine runs, is ready, and how it does."},
    {"name": "documentation", "description": "This interface, described."},
)
_PROBLEM: Schema = {
    "title": "ProblemDetails",
    "description": "What went wrong (RFC 9457).",
    "type": "object",
    "properties": {
        "type": {"type": "string", "example": "urn:automation:problem:invalid"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "problems": {
            "type": "array",
            "items": {"type": "object", "properties": {"path": {"type": "string"}, "message": {"type": "string"}}},
        },
        "request_id": {"type": "string"},
    },
    "required": ["type", "title", "status", "detail", "instance", "problems"],
}
_FAILURE = {
    "description": "Refused, or failed: says what is wrong.",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}},
}
OPEN = frozenset({"anybody", "anybody on this machine"})
"""How the access to a route is described that answers without a token."""


def document(app: FastAPI) -> dict[str, Any]:
    """The document of all routes of an application."""
    found = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes, tags=list(TAGS)
    )
    paths = found.setdefault("paths", {})
    for route in app.routes:
        if isinstance(route, RawRoute):
            paths.setdefault(route.path_format, {})[route.operation.method.lower()] = _raw(route)
        elif isinstance(route, APIRoute) and route.include_in_schema:
            for method in route.methods or ():
                _complete(paths[route.path_format][method.lower()], route)
    schemas: dict[str, Schema] = {"ProblemDetails": _PROBLEM}
    found["paths"] = hoist(paths, schemas)
    known = found.setdefault("components", {}).setdefault("schemas", {})
    known.pop("HTTPValidationError", None)
    known.pop("ValidationError", None)
    known.update(sorted(schemas.items()))
    found["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "A token of `automation tokens issue`."}
    }
    found["security"] = [{"bearer": []}]
    return found


def access_of(route: APIRoute | RawRoute) -> str:
    """Who may call a route: names of permissions, or words."""
    if isinstance(route, RawRoute):
        return route.operation.access
    for dependency in _dependencies(route.dependant):
        if isinstance(dependency.call, Needs):
            return " or ".join(dependency.call.permissions) or "any token"
    return "anybody"


def summary_of(route: APIRoute | RawRoute) -> tuple[str, str]:
    """The first sentence of a route's docstring, and the rest."""
    first, _, rest = (inspect.getdoc(route.endpoint) or "").partition("\n\n")
    return " ".join(first.split()).rstrip("."), rest.strip()


def marked(access: str) -> str:
    """The same, with the names of permissions as code."""
    return re.sub(r"\w+:\w+", r"`\g<0>`", access)


def _dependencies(dependant: Any) -> Iterator[Any]:
    for dependency in dependant.dependencies:
        yield dependency
        yield from _dependencies(dependency)


def _raw(route: RawRoute) -> dict[str, Any]:
    operation = route.operation
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in route.param_convertors
    ]
    described: dict[str, Any] = {
        "tags": [operation.tag],
        "responses": {str(status): dict(response) for status, response in operation.responses.items()},
        **operation.extra,
    }
    if parameters:
        described["parameters"] = parameters
    return _complete(described, route)


def _complete(operation: dict[str, Any], route: APIRoute | RawRoute) -> dict[str, Any]:
    access = access_of(route)
    operation["summary"], description = summary_of(route)
    note = f"{'For' if access.startswith('any') else 'Needs'} {marked(access)}."
    operation["description"] = f"{description}\n\n{note}".strip()
    operation["operationId"] = getattr(route.endpoint, "__name__", route.name) + _suffix(route)
    if access.partition(";")[0] in OPEN:
        operation["security"] = []
    operation["responses"].pop("422", None)
    operation["responses"]["default"] = _FAILURE
    return operation


def _suffix(route: APIRoute | RawRoute) -> str:
    # One function may answer at several paths.
    return "" if not isinstance(route, RawRoute) else route.path.replace("/", "_").replace("-", "_").rstrip("_")
