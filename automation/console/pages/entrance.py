"""Signing in and out, and the choice of a theme."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Query
from starlette.requests import Request
from starlette.responses import Response

from automation.api.access import COOKIE, client_address, engine_of, needs, same_origin
from automation.console.desk import THEME_COOKIE, THEMES, desk_of, local, theme_of
from automation.console.gate import LOGIN, PageRoute, known, see_other
from automation.errors import Forbidden, TooManyRequests, Unauthenticated
from automation.model.identity import Identity

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_YEAR = 365 * 86400


@router.get(LOGIN)
async def login_form(request: Request, next: Annotated[str, Query(max_length=4000)] = "/") -> Response:
    """Where a person signs in with a token."""
    if await known(request) is not None:
        return see_other(local(next))
    return _form(request, next)


@router.post(LOGIN)
async def login(request: Request, token: Annotated[str, Form()] = "", next: Annotated[str, Form()] = "/") -> Response:
    """Open a session; a wrong token is told apart from too many of them, and from nothing else."""
    _own_form(request)
    try:
        session, max_age = await engine_of(request).tokens.open_session(token.strip() or None, client_address(request))
    except Unauthenticated:
        told = "This token is not valid. It may be mistyped, revoked or expired." if token.strip() else "Enter a token."
        return _form(request, next, told, 401)
    except TooManyRequests as error:
        answer = _form(request, next, f"Too many wrong tokens: try again in {error.retry_after:.0f} s.", 429)
        answer.headers["Retry-After"] = f"{error.retry_after + 1:.0f}"
        return answer
    answer = see_other(local(next))
    answer.set_cookie(
        COOKIE, session, max_age=max_age, path="/", httponly=True, samesite="strict", secure=_encrypted(request)
    )
    return answer


@router.post("/logout")
async def logout(request: Request, caller: Annotated[Identity, Depends(needs(None))]) -> Response:
    """End the session."""
    await engine_of(request).tokens.close_session(request.cookies.get(COOKIE))
    answer = see_other(LOGIN)
    answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict", secure=_encrypted(request))
    return answer


@router.post("/console/theme")
async def next_theme(request: Request, next: Annotated[str, Form()] = "/") -> Response:
    """Go on from automatic to dark to light."""
    _own_form(request)
    answer = see_other(local(next))
    chosen = THEMES[(THEMES.index(theme_of(request)) + 1) % len(THEMES)]
    answer.set_cookie(THEME_COOKIE, chosen, max_age=_YEAR, path="/", httponly=True, samesite="lax")
    return answer


def _form(request: Request, next: str, error: str = "", status: int = 200) -> Response:
    return desk_of(request).page(
        request, "login.html", identity=None, code=status, next=local(next), error=error, here=local(LOGIN)
    )


def _own_form(request: Request) -> None:
    # Without a session there is no token to misuse, but another site shall not sign a browser in either.
    if not same_origin(request):
        raise Forbidden("forms are taken only from this console's own pages", permission="same-origin")


def _encrypted(request: Request) -> bool:
    # Behind a proxy that ends TLS only the browser knows, and says so as the form's origin.
    return request.url.scheme == "https" or request.headers.get("origin", "").startswith("https://")
