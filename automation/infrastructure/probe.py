"""Asking a replica whether it is well."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from automation.clock import Clock
from automation.infrastructure.outgoing import exchange
from automation.infrastructure.outgoing import innermost as innermost
from automation.infrastructure.outgoing import tls_context as tls_context

if TYPE_CHECKING:
    import httpx2


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one probe."""

    ok: bool
    detail: str
    """What was answered, or what went wrong."""
    latency_seconds: float | None
    """None where nobody was asked: the process is known to be gone, or its life is all there is to know."""
    late: bool = False
    """Whether its time was over before anything was answered."""


async def http_probe(transport: httpx2.AsyncBaseTransport, url: str, timeout: float, clock: Clock) -> Answer:
    """GET `url`, following no redirect: well if the status is 2xx and came within `timeout` seconds."""
    import httpx2

    began = clock.monotonic()

    def answer(ok: bool, detail: str, late: bool = False) -> Answer:
        return Answer(ok, detail, clock.monotonic() - began, late)

    try:
        request = httpx2.Request("GET", url, headers={"User-Agent": "automation", "Accept": "*/*"})
        async with asyncio.timeout(timeout), exchange(transport, request, timeout) as response:
            return answer(response.is_success, f"answered {response.status_code}")
    except (TimeoutError, httpx2.TimeoutException):
        return answer(False, f"no answer within {timeout:g} s", late=True)
    except httpx2.ConnectError as error:
        return answer(False, f"cannot connect: {innermost(error)}")
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        return answer(False, f"{type(error).__name__}: {error}".rstrip(": "))


async def tcp_probe(host: str, port: int, timeout: float, clock: Clock) -> Answer:
    """Connect: well if that is accepted within `timeout` seconds."""
    began = clock.monotonic()
    try:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(host, port)
            writer.close()
            await writer.wait_closed()
    except TimeoutError:
        return Answer(False, f"no connection within {timeout:g} s", clock.monotonic() - began, late=True)
    except OSError as error:
        return Answer(False, f"cannot connect: {innermost(error)}", clock.monotonic() - began)
    return Answer(True, "accepts connections", clock.monotonic() - began)
