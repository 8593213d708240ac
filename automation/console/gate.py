"""What stands between a request and a page: who asks, and what a person sees when the answer is no."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from automation.api.access import identify
from automation.api.problems import kind_of
from automation.console.desk import HEADERS, STATIC, address, desk_of, here
from automation.errors import AutomationError, TooManyRequests, Unauthenticated
from automation.model.identity import Identity

log = logging.getLogger("automation.console")

LOGIN = "/login"


class PageRoute(APIRoute):
    """A route whose refusals are pages: the way to sign in, or what is wrong in words."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route's handler, with errors answered."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handle(request)
            except Unauthenticated:
                return _sign_in(request)
            except Exception as error:
                if kind_of(error).status == 500:
                    log.exception("%s %s failed (request %s)", request.method, request.url.path, _request_id(request))
                return await refusal(request, error)

        return answer


def wants_page(request: Request) -> bool:
    """Whether a person in a browser asks for a page that does not exist, and not a program for a resource."""
    if request.method not in ("GET", "HEAD") or request.url.path.startswith(("/api/", "/webhooks/", STATIC)):
        return False
    return "text/html" in request.headers.get("accept", "")


async def refusal(request: Request, error: Exception) -> Response:
    """A page that says why not."""
    kind = kind_of(error)
    desk_of(request).engine.metrics.requests_refused.labels(kind.reason).inc()
    answer = desk_of(request).page(
        request,
        "error.html",
        identity=await known(request),
        code=kind.status,
        title=kind.title,
        message=_message(request, error),
    )
    if isinstance(error, TooManyRequests):
        answer.headers["Retry-After"] = str(math.ceil(error.retry_after))
    return answer


async def known(request: Request) -> Identity | None:
    """Who asks, if that is known and can be found out now."""
    try:
        return await identify(request)
    except AutomationError:
        return None


def see_other(path: str) -> Response:
    """Go on to another page after a form was taken in."""
    return RedirectResponse(path, 303, headers={"Cache-Control": "no-store"})


def _sign_in(request: Request) -> Response:
    if request.method != "GET":
        return see_other(LOGIN)
    if "text/event-stream" in request.headers.get("accept", ""):
        # A stream cannot say why it is refused. As a change, it makes its page ask again, and that is led on.
        return Response(b"retry: 60000\nevent: change\ndata:\n\n", media_type="text/event-stream", headers=HEADERS)
    login = address(LOGIN, {"next": here(request)})
    if "hx-request" in request.headers:
        return Response(status_code=401, headers=HEADERS | {"HX-Redirect": login})
    if request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
        # A browser does not send a SameSite=Strict cookie when a link elsewhere leads here, so whoever comes from a
        # chat would have to sign in again. From this page of ours it asks again, and then sends it.
        return desk_of(request).page(request, "again.html", identity=None)
    return see_other(login)


def _message(request: Request, error: Exception) -> str:
    if isinstance(error, RequestValidationError):
        return "; ".join(f"{item['loc'][-1]}: {item['msg']}" for item in error.errors())
    if isinstance(error, HTTPException):
        return f"there is nothing at {request.url.path}" if error.status_code == 404 else error.detail
    if isinstance(error, AutomationError) and kind_of(error).status != 500:
        return error.message
    return f"It is in the log of the engine, under the request {_request_id(request)}."


def _request_id(request: Request) -> str:
    return str(request.scope.get("request_id", ""))
