"""Who calls, and whether they may: the same for each route.

A program sends its token as `Authorization: Bearer`, a browser the cookie of its session. Nothing else counts: no token
in the query, which ends up in logs and histories, and no `X-Forwarded-For`, which anybody can write.
"""

from __future__ import annotations

from collections.abc import Awaitable
from ipaddress import IPv6Address, ip_address
from typing import TypeVar
from urllib.parse import urlsplit

from fastapi.routing import APIRoute
from starlette.requests import HTTPConnection, Request

from automation.engine import AutomationEngine
from automation.errors import Forbidden, InputError, Unauthenticated
from automation.model.identity import Identity
from automation.security.access import refuse, require

T = TypeVar("T")

COOKIE = "automation_session"
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


def engine_of(connection: HTTPConnection) -> AutomationEngine:
    """The engine that this application is a face of."""
    engine: AutomationEngine = connection.app.state.engine
    return engine


def client_address(request: Request) -> str:
    """The address at the other end of the connection: behind a proxy, the proxy's."""
    return request.client.host if request.client else ""


def from_this_machine(request: Request) -> bool:
    """Whether the request comes from this machine, and not from another site's page in a browser on it."""
    try:
        address = ip_address(client_address(request).partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_loopback and request.headers.get("sec-fetch-site", "none") in ("none", "same-origin")


async def admit(request: Request, permission: str | None) -> Identity:
    """Who calls, if they have the permission; raises Unauthenticated, Forbidden, TooManyRequests."""
    identity = await identify(request)
    if permission is not None:
        await demand(request, identity, permission)
    return identity


async def demand(request: Request, identity: Identity, permission: str) -> None:
    """Return if the caller has the permission; else audit that, and raise Forbidden."""
    try:
        require(identity, permission)
    except Forbidden:
        await _note(request, identity, permission)
        raise


async def identify(request: Request) -> Identity:
    """Who calls; raises Unauthenticated, Forbidden for another site's page, TooManyRequests."""
    tokens, address, path = engine_of(request).tokens, client_address(request), request.scope["path"]
    header = request.headers.get("authorization")
    if header is not None:
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated()
        return await tokens.authenticate(token.strip(), address=address, path=path)
    session = request.cookies.get(COOKIE)
    if not session:
        raise Unauthenticated()
    identity = await tokens.authenticate_session(session, address=address, path=path)
    if request.method not in _READING and not same_origin(request):
        await _note(request, identity, "same-origin")
        raise Forbidden("a session changes things only from this console's own pages", permission="same-origin")
    return identity


async def audited(request: Request, identity: Identity, work: Awaitable[T]) -> T:
    """What `work` gives. If it raises Forbidden, that is audited like a permission that a route demands."""
    try:
        return await work
    except Forbidden as error:
        await _note(request, identity, error.permission)
        raise


class Needs:
    """A dependency that gives the caller's identity, if it has one of the permissions."""

    def __init__(self, permissions: tuple[str, ...]) -> None:
        self.permissions = permissions

    async def __call__(self, request: Request) -> Identity:
        identity = await identify(request)
        if self.permissions and not any(map(identity.may, self.permissions)):
            await demand(request, identity, self.permissions[0])
        # After the caller is known: whoever is not learns nothing of what a route understands.
        _check_parameters(request)
        return identity


def needs(*permissions: str | None) -> Needs:
    """For `Depends(...)`: who calls, if they have one of the permissions (None: anybody who is known)."""
    return Needs(tuple(permission for permission in permissions if permission is not None))


async def _note(request: Request, identity: Identity, permission: str) -> None:
    refusals = engine_of(request).tokens.refusals
    await refuse(refusals, identity, permission, address=client_address(request), path=request.scope["path"])


def same_origin(request: Request) -> bool:
    """Whether a form comes from a page of this application."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("origin")
    # Not the scheme: behind a proxy that ends TLS it differs, and the host is what another site cannot have.
    return origin is not None and urlsplit(origin).netloc == request.headers.get("host")


def _check_parameters(request: Request) -> None:
    """A mistyped filter must not look like no filter."""
    route = request.scope.get("route")
    if not request.query_params or not isinstance(route, APIRoute):
        return
    known = {field.alias for field in route.dependant.query_params}
    for name in request.query_params:
        if name not in known:
            wanted = ", ".join(sorted(known)) or "none"
            raise InputError(f"query.{name[:50]}: unknown parameter; known: {wanted}", path=f"query.{name[:50]}")
