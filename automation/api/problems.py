"""Errors as `application/problem+json` (RFC 9457): which status each has, and what it tells.

An error of `automation.errors` says what is wrong in its own words. Anything else is a fault of ours: the caller learns
that it happened and the id under which it is in the log, and nothing of the inside.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import quote

from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Scope

from automation import errors
from automation.api.render import to_json
from automation.errors import AutomationError, DefinitionError

MEDIA_TYPE = "application/problem+json"
LOGIN = "/login"
_RETRY_SECONDS = 2


class Kind(NamedTuple):
    """One kind of problem. `reason` ends its `type`, and is the label under which it is counted."""

    status: int
    reason: str
    title: str


_INTERNAL = Kind(500, "internal", "Internal error")
_KINDS: Mapping[type[Exception], Kind] = {
    errors.InputError: Kind(400, "invalid", "Invalid request"),
    errors.DefinitionError: Kind(400, "invalid", "Invalid request"),
    RequestValidationError: Kind(400, "invalid", "Invalid request"),
    errors.Unauthenticated: Kind(401, "unauthenticated", "Unauthenticated"),
    errors.Forbidden: Kind(403, "forbidden", "Forbidden"),
    errors.NotFound: Kind(404, "not-found", "Not found"),
    errors.Conflict: Kind(409, "conflict", "Conflict"),
    errors.DuplicateKey: Kind(409, "duplicate-key", "Idempotency key used for another start"),
    errors.TooManyRequests: Kind(429, "too-many-requests", "Too many requests"),
    errors.StoreUnavailable: Kind(503, "unavailable", "Unavailable"),
    errors.EngineStopped: Kind(503, "unavailable", "Unavailable"),
}
_HTTP: Mapping[int, Kind] = {
    400: Kind(400, "invalid", "Invalid request"),
    404: Kind(404, "not-found", "Not found"),
    405: Kind(405, "method-not-allowed", "Method not allowed"),
    413: Kind(413, "too-large", "Request body too large"),
    415: Kind(415, "unsupported", "Unsupported content"),
}
KINDS: Sequence[Kind] = tuple(dict.fromkeys((*_KINDS.values(), *_HTTP.values(), _INTERNAL)))
"""All kinds, for the documentation."""


def kind_of(error: Exception) -> Kind:
    """Which kind of problem an error is."""
    if isinstance(error, HTTPException):
        known = _HTTP.get(error.status_code)
        return known or Kind(error.status_code, "refused", HTTPStatus(error.status_code).phrase)
    return next((_KINDS[base] for base in type(error).__mro__ if base in _KINDS), _INTERNAL)


def problem_response(scope: Scope, error: Exception) -> Response:
    """The answer to a request that ended with this error; it is counted."""
    kind = kind_of(error)
    if kind.status == 401 and _wants_page(scope):
        query = f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else ""
        return RedirectResponse(f"{LOGIN}?next={quote(scope['path'] + query, safe='')}", status_code=303)
    scope["app"].state.engine.metrics.requests_refused.labels(kind.reason).inc()
    body: dict[str, Any] = {
        "type": f"urn:automation:problem:{kind.reason}",
        "title": kind.title,
        "status": kind.status,
        "detail": _detail(scope, error, kind),
        "instance": scope["path"],
        "problems": _problems(error),
        "request_id": scope.get("request_id", ""),
    }
    return Response(to_json(body), kind.status, headers=_headers(scope, error, kind), media_type=MEDIA_TYPE)


async def on_error(request: Request, error: Exception) -> Response:
    """The same, as FastAPI calls it."""
    return problem_response(request.scope, error)


def _wants_page(scope: Scope) -> bool:
    """Whether a browser asks for a page that a person could see after signing in."""
    if scope["method"] not in ("GET", "HEAD") or scope["path"].startswith(("/api/", "/webhooks/")):
        return False
    return "text/html" in Headers(scope=scope).get("accept", "")


def _detail(scope: Scope, error: Exception, kind: Kind) -> str:
    if isinstance(error, RequestValidationError):
        return "; ".join(f"{item['path']}: {item['message']}" for item in _problems(error))
    if isinstance(error, HTTPException):
        if error.status_code == 404:
            return f"there is nothing at {scope['path']}"
        if error.status_code == 405:
            return f"{scope['method']} is not possible here; possible: {_allowed(scope)}"
        return error.detail
    if kind is _INTERNAL or not isinstance(error, AutomationError):
        return "an internal error, which is in the log under the request_id"
    if isinstance(error, DefinitionError) and len(error.problems) > 1:
        return error.message.partition("\n")[0].rstrip(":")
    return error.message


def _problems(error: Exception) -> list[dict[str, Any]]:
    if isinstance(error, DefinitionError):
        return [{"path": problem.path, "message": problem.message} for problem in error.problems]
    if isinstance(error, RequestValidationError):
        return [{"path": _place(item["loc"]), "message": item["msg"]} for item in error.errors()]
    if isinstance(error, AutomationError) and isinstance(error.details.get("path"), str):
        path = error.details["path"]
        return [{"path": path, "message": error.message.removeprefix(f"{path}: ")}]
    return []


def _place(location: Sequence[str | int]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).removeprefix(".")


def _allowed(scope: Scope) -> str:
    """Every method of a path. The router tells only of the first route that has the path."""
    routes = [route for route in scope["app"].router.routes if isinstance(route, Route)]
    found = {method for route in routes if route.path_regex.match(scope["path"]) for method in route.methods or ()}
    return ", ".join(sorted(found))


def _headers(scope: Scope, error: Exception, kind: Kind) -> dict[str, str]:
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    if kind.status == 405:
        headers["Allow"] = _allowed(scope)
    elif kind.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="automation"'
    elif kind.status == 429 and isinstance(error, errors.TooManyRequests):
        headers["Retry-After"] = str(math.ceil(error.retry_after))
    elif kind.status == 503:
        headers["Retry-After"] = str(_RETRY_SECONDS)
    headers["Cache-Control"] = "no-store"
    return headers
