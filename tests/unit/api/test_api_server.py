"""The server: its port, its bounds on connections, its end."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import closing as closing_socket
from typing import Any

import pytest

from automation import AutomationConfig, AutomationEngine, ConfigurationError
from automation.api import server as server_module
from automation.api.app import create_app
from automation.api.server import Server
from automation.errors import EngineStopped


def engine_at(config: AutomationConfig, **api: Any) -> AutomationEngine:
    return AutomationEngine(config.model_copy(update={"api": config.api.model_copy(update={"port": 0, **api})}))


def server_of(engine: AutomationEngine) -> Server:
    return Server(engine, create_app(engine))


@pytest.fixture
async def server(config: AutomationConfig) -> AsyncIterator[Server]:
    """A server whose engine is not started: it answers health, and 503 for the rest."""
    server = server_of(engine_at(config))
    await server.start()
    yield server
    await server.stop()


def refused(server: Server, reason: str) -> float:
    registry = server._app.state.engine.metrics.registry
    return registry.get_sample_value("automation_requests_refused_total", {"reason": reason}) or 0.0


async def ask(server: Server, data: bytes) -> bytes:
    """What comes back for these bytes, until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(data)
        async with asyncio.timeout(20):
            return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


def test_a_port_in_use_is_one_clear_error(config: AutomationConfig) -> None:
    with closing_socket(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError) as raised:
            server_of(engine_at(config, port=port)).bind()
    wanted = f"cannot listen on 127.0.0.1:{port}: the port is in use; stop what listens there or set api.port"
    assert raised.value.message == wanted


@pytest.mark.parametrize("host", ["192.0.2.1", "a..b", ""])
def test_an_address_that_is_not_ours(config: AutomationConfig, host: str) -> None:
    with pytest.raises(ConfigurationError, match=r"api\.host is not an address of this machine"):
        server_of(engine_at(config, host=host)).bind()


async def test_the_port_is_taken_before_anything_starts(config: AutomationConfig) -> None:
    first = server_of(engine_at(config))
    with pytest.raises(EngineStopped, match="not bound"):
        _ = first.port
    first.bind()
    second = server_of(engine_at(config, port=first.port))
    with pytest.raises(ConfigurationError, match="in use"):
        second.bind()
    await first.stop()
    second.bind()
    assert second.url == f"http://127.0.0.1:{second.port}"
    await second.stop()


async def test_localhost_is_ipv4_and_ipv6_is_possible(config: AutomationConfig) -> None:
    local = server_of(engine_at(config, host="localhost"))
    local.bind()
    with closing_socket(socket.create_connection(("127.0.0.1", local.port))):
        pass
    await local.stop()
    if socket.has_dualstack_ipv6():
        six = server_of(engine_at(config, host="::1"))
        six.bind()
        assert six.url == f"http://[::1]:{six.port}"
        await six.stop()


async def test_serve_until_it_is_told_to_stop(config: AutomationConfig) -> None:
    """Given a stop event, then the server answers until it is set, leaves signals alone, and gives its port back."""
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    stop = asyncio.Event()
    server = server_of(engine_at(config))
    serving = asyncio.ensure_future(server.serve_until(stop))
    async with asyncio.timeout(20):
        while server._socket is None:
            await asyncio.sleep(0.01)
    port = server.port
    answer = await ask(server, b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b"\r\nserver:" not in answer.lower()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers

    stop.set()
    async with asyncio.timeout(20):
        await serving

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port)).close()


async def test_a_head_without_end_is_cut_off(server: Server) -> None:
    """Given a request whose headers do not end, then it is refused long before the memory is full."""
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    sent = 0
    writer.write(b"GET / HTTP/1.1\r\nX: ")
    try:
        async with asyncio.timeout(20):
            while sent < 64 * server_module.MAX_HEAD_BYTES:
                writer.write(b"x" * 8192)
                await writer.drain()
                sent += 8192
    except ConnectionError:
        pass
    writer.close()
    assert sent < 64 * server_module.MAX_HEAD_BYTES


async def test_many_headers_are_refused(server: Server) -> None:
    head = b"".join(b"X-%d: %s\r\n" % (number, b"x" * 1000) for number in range(60))
    whole = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + head + b"\r\n"
    assert (await ask(server, whole)).startswith(b"HTTP/1.1 200 OK")


async def test_slow_requests_are_disconnected(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a head, or a body, of which nothing more comes, then the connection ends after a while."""
    monkeypatch.setattr(server_module, "PATIENCE_SECONDS", 0.1)
    assert await ask(server, b"") == b""
    assert await ask(server, b"GET /healthz HTTP/1.1\r\nHost:") == b""
    head = b"POST /webhooks/test HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
    assert await ask(server, head + b"{") == b""
    assert refused(server, "too-slow") == 2


async def test_a_slow_body_that_goes_on_is_read(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "PATIENCE_SECONDS", 2.0)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"POST /webhooks/test HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\nConnection: close\r\n\r\n")
    for _ in range(10):
        writer.write(b" ")
        await asyncio.sleep(0.25)
    async with asyncio.timeout(20):
        assert (await reader.read()).startswith(b"HTTP/1.1 400")
    writer.close()


async def test_idle_connections_between_requests_are_kept(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "PATIENCE_SECONDS", 0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    for _ in range(3):
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(20):
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
        assert head.startswith(b"HTTP/1.1 200 OK")
        await asyncio.sleep(0.2)
    writer.close()


async def test_pipelined_requests_are_all_answered(server: Server) -> None:
    one = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert (await ask(server, one * 20 + last)).count(b"HTTP/1.1 200 OK") == 21


async def test_what_is_not_http_is_refused_and_counted(server: Server) -> None:
    assert (await ask(server, b"hello\r\n\r\n")).startswith(b"HTTP/1.1 400")
    assert refused(server, "not-http") == 1


async def test_beyond_the_number_of_connections(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given as many connections as there may be, then a further request is answered 503, and counted."""
    monkeypatch.setattr(server_module, "MAX_CONNECTIONS", 1)
    assert server._uvicorn is not None
    server._uvicorn.config.limit_concurrency = 1
    whole = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert (await ask(server, whole)).startswith(b"HTTP/1.1 503")
    assert refused(server, "overload") == 1
