"""Connections to `host:port`, plain or with TLS: what the probes that need no protocol have in common."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from automation.clock import Clock
from automation.infrastructure.outgoing import HttpLimits, innermost, permitted, tls_context, tls_failure


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to connect to."""

    host: str
    port: int

    @classmethod
    def of(cls, text: str) -> Endpoint:
        """From `host:port`, or `[address]:port` for IPv6; raises ValueError."""
        try:
            parts = urlsplit(f"//{text}")
            host, port = parts.hostname, parts.port
        except ValueError:
            host = port = None
        if not host or not port or parts.netloc != text or "@" in text:
            raise ValueError(f"{text!r} is not host:port, such as db.example:5432 or [::1]:5432")
        return cls(host, port)


@dataclass(frozen=True, slots=True)
class Connected:
    """What it took to connect, in seconds, and the certificate of the other side."""

    connect_seconds: float
    handshake_seconds: float | None = None
    """None without TLS."""
    certificate: bytes | None = None
    """In DER; None without TLS."""


async def trust(verify: bool, ca_file: str | None = None) -> ssl.SSLContext:
    """How the other side is verified: by the authorities that are known here, by those of a PEM file, or not at all.

    Raises OSError (of which ssl.SSLError is one) for a file that cannot be read.
    """
    if verify and ca_file is None:
        return await tls_context()
    return await asyncio.to_thread(_trust, verify, ca_file)


def _trust(verify: bool, ca_file: str | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if verify:
        context.load_verify_locations(cafile=ca_file)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


async def connect(
    endpoint: Endpoint, timeout: float, clock: Clock, tls: ssl.SSLContext | None = None, server_name: str | None = None
) -> Connected:
    """Connect, and with `tls` shake hands, within `timeout` seconds in all; then close.

    Raises TimeoutError, OSError (a certificate that is refused is an ssl.SSLCertVerificationError), Refused for an
    address that may not be called, TryLater for a name that does not resolve.
    """
    async with asyncio.timeout(timeout):
        addresses = await permitted(endpoint.host, endpoint.port, HttpLimits())
        began = clock.monotonic()
        async with _opened(addresses, endpoint.port) as writer:
            connected = clock.monotonic()
            if tls is None:
                return Connected(connected - began)
            await writer.start_tls(tls, server_hostname=server_name or endpoint.host)
            shaken = clock.monotonic()
            found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            return Connected(connected - began, shaken - connected, found)


def failure(error: OSError) -> str:
    """What went wrong with a connection, in a few words."""
    if isinstance(error, ssl.SSLError):
        return tls_failure(error)
    return f"cannot connect: {innermost(error)}"


def unreadable(file: str | None, error: OSError) -> str:
    """Why the authorities of a file cannot be taken."""
    said = "holds no certificate in PEM format" if isinstance(error, ssl.SSLError) else error.strerror
    return f"{file}: cannot be read: {said}"


@asynccontextmanager
async def _opened(addresses: list[str], port: int) -> AsyncIterator[asyncio.StreamWriter]:
    for place, address in enumerate(addresses, 1):
        try:
            _, writer = await asyncio.open_connection(address, port)
            break
        except OSError:
            if place == len(addresses):
                raise
    try:
        yield writer
    finally:
        # Not a polite farewell: the other side may never answer it.
        writer.transport.abort()
