"""Outgoing HTTP, and which network addresses it may reach: the limits against server-side request forgery."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from automation.errors import Refused, TryLater

if TYPE_CHECKING:
    import httpx2

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[list[str]]]

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_METADATA = frozenset(
    ipaddress.ip_address(text)
    # Azure, Alibaba, Oracle, AWS and Google; the common 169.254.169.254 is link-local anyway.
    for text in ("168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254")
)


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """What outgoing HTTP of definitions may reach."""

    allow_private_addresses: bool = True
    """Whether loopback and private addresses may be called; link-local and cloud metadata ones never may."""


def refusal(address: Address, limits: HttpLimits) -> str | None:
    """Why an address may not be called, or None if it may."""
    plain = _unwrapped(address)
    if plain.is_link_local or plain in _METADATA:
        return f"{address} is a link-local or cloud metadata address"
    if plain.is_unspecified or plain.is_multicast or (plain.version == 4 and plain.is_reserved):
        return f"{address} is not the address of a host"
    if not limits.allow_private_addresses and not plain.is_global:
        return f"{address} is a private address, and http.allow_private_addresses is off"
    return None


async def permitted(host: str, port: int, limits: HttpLimits, resolve: Resolve | None = None) -> list[str]:
    """The addresses of `host` that may be called, best first.

    Connect to one of these and not to the name: resolved again, a name may give another address. Raises Refused if
    none may be called, TryLater if the name does not resolve now.
    """
    try:
        found = [str(ipaddress.ip_address(host))]
    except ValueError:
        found = await (resolve or _resolve)(host, port)
    reasons = {text: refusal(ipaddress.ip_address(text), limits) for text in found}
    allowed = [text for text in found if reasons[text] is None]
    if not allowed:
        raise Refused(f"{host!r} may not be called: {next(iter(reasons.values()), 'it has no address')}")
    return allowed


async def _resolve(host: str, port: int) -> list[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise TryLater(f"the host name {host!r} does not resolve: {reason or error}") from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _unwrapped(address: Address) -> Address:
    # An IPv6 address may carry the IPv4 address that it ends up at.
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _NAT64 or (int(address) >> 32 == 0 and int(address) > 1):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


async def tls_context() -> ssl.SSLContext:
    """How certificates are verified. Made once, in a thread: it takes about 0.1 s."""
    # Loaded here and not in that thread: while it is loaded, source text is parsed, as it is where models are defined,
    # and CPython 3.11 raises SystemError where two threads do that at the same time (malthe/chameleon#361).
    import httpcore2  # noqa: F401 - httpx2 loads it when it makes the first context
    import httpx2  # noqa: F401

    return await asyncio.to_thread(_tls_context)


@cache
def _tls_context() -> ssl.SSLContext:
    import httpx2

    return httpx2.create_ssl_context()


async def guarded_transport(limits: HttpLimits) -> httpx2.AsyncBaseTransport:
    """For addresses out of definitions: reaches only permitted ones."""
    tls = await tls_context()
    from automation.infrastructure.guarded_http import GuardedTransport

    return GuardedTransport(limits, tls)


async def open_transport() -> httpx2.AsyncBaseTransport:
    """For addresses of replicas, which platforms give out: reaches any. Each request has a connection of its own."""
    tls = await tls_context()
    import httpx2

    # A kept connection would say that an old worker lives, not that a new caller gets in.
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
    return httpx2.AsyncHTTPTransport(verify=tls, limits=limits)


@asynccontextmanager
async def exchange(
    transport: httpx2.AsyncBaseTransport, request: httpx2.Request, timeout: float
) -> AsyncIterator[httpx2.Response]:
    """Send a request and give its response, the body not yet read; `timeout` seconds for each step of it.

    Without a client of httpx2: that writes each URL, and what is secret in it, to the log.
    """
    import httpx2

    request.extensions["timeout"] = httpx2.Timeout(timeout).as_dict()
    response = await transport.handle_async_request(request)
    try:
        yield response
    finally:
        await response.aclose()


def basic_authorization(url: httpx2.URL) -> dict[str, str]:
    """The header for the user and password that a URL may hold."""
    if not url.userinfo:
        return {}
    pair = f"{url.username}:{url.password}".encode()
    return {"Authorization": "Basic " + base64.b64encode(pair).decode("ascii")}


def innermost(error: BaseException) -> str:
    """Why a connection failed: httpx2 says "All connection attempts failed", what it wraps says more."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    if isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, ssl.SSLError):
        return tls_failure(error)
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__


def tls_failure(error: ssl.SSLError) -> str:
    """Why TLS failed. Its number is one of OpenSSL: as one of the system it would read "Operation not permitted"."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is refused: {error.verify_message}"
    return f"TLS fails: {(error.reason or str(error)).lower().replace('_', ' ')}"
