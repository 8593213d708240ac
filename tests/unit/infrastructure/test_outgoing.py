"""Which addresses outgoing HTTP reaches, whatever names resolve to."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import pytest

from automation.errors import Refused, TryLater
from automation.infrastructure.guarded_http import GuardedTransport
from automation.infrastructure.outgoing import HttpLimits, innermost, permitted, refusal
from tests.support.certificates import listening, made

OPEN, CLOSED = HttpLimits(True), HttpLimits(False)


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.1.1",
        "fe80::1",
        "::ffff:169.254.169.254",
        "::169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "fd00:ec2::254",
        "168.63.129.16",
        "100.100.100.200",
        "0.0.0.0",
        "::",
        "224.0.0.1",
        "ff02::1",
        "255.255.255.255",
    ],
)
def test_some_addresses_are_never_called(address: str) -> None:
    assert refusal(ipaddress.ip_address(address), OPEN)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "100.64.0.1", "::1", "fd12::1", "::ffff:10.0.0.1"],
)
def test_private_addresses_are_called_only_where_that_is_on(address: str) -> None:
    assert refusal(ipaddress.ip_address(address), OPEN) is None
    assert "private" in str(refusal(ipaddress.ip_address(address), CLOSED))


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:4700::1111", "::ffff:93.184.216.34"])
def test_public_addresses_are_always_called(address: str) -> None:
    assert refusal(ipaddress.ip_address(address), CLOSED) is None


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "0x7f.1", "2130706433", "127.1"])
async def test_every_way_to_write_loopback_is_seen_through(name: str) -> None:
    with pytest.raises(Refused, match="private"):
        await permitted(name, 80, CLOSED)


async def test_only_permitted_ones_of_several_addresses_are_used() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["10.0.0.1", "93.184.216.34"]

    assert await permitted("example.com", 80, CLOSED, resolve) == ["93.184.216.34"]


async def test_a_name_that_does_not_resolve_may_do_so_later(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    with pytest.raises(TryLater, match="does not resolve"):
        await permitted("no-such-host.invalid", 80, OPEN)


class Echo(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        content = self.headers["Host"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server.server_port
        server.shutdown()


async def test_it_connects_to_the_address_that_was_checked_and_keeps_the_name(port: int) -> None:
    asked: list[str] = []

    async def rebinding(host: str, port: int) -> list[str]:
        # The first answer is harmless, the next would not be.
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    transport = GuardedTransport(OPEN, ssl.create_default_context(), rebinding)
    async with httpx2.AsyncClient(transport=transport, trust_env=False) as client:
        response = await client.get(f"http://shop.example:{port}/")
        assert response.text == f"shop.example:{port}"
        assert asked == ["shop.example"]

        with pytest.raises(Refused, match="link-local"):
            await client.get(f"http://shop.example:{port}/")


async def test_the_next_address_is_tried_where_one_does_not_answer(port: int) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.2", "127.0.0.1"]

    transport = GuardedTransport(OPEN, ssl.create_default_context(), resolve)
    async with httpx2.AsyncClient(transport=transport, trust_env=False) as client:
        assert (await client.get(f"http://shop.example:{port}/")).status_code == 200


async def test_other_schemes_are_refused() -> None:
    transport = GuardedTransport(OPEN, ssl.create_default_context())
    with pytest.raises(Refused, match="only http"):
        await transport.handle_async_request(httpx2.Request("GET", "gopher://127.0.0.1/"))
    await transport.aclose()


async def test_a_failure_of_tls_is_not_told_as_one_of_the_system(tmp_path: Path, port: int) -> None:
    async with listening(made(tmp_path, 90)) as secured, httpx2.AsyncClient(trust_env=False) as client:
        with pytest.raises(httpx2.ConnectError) as refused:
            await client.get(f"https://127.0.0.1:{secured}/")
        with pytest.raises(httpx2.ConnectError) as plain:
            await client.get(f"https://127.0.0.1:{port}/")
    assert innermost(refused.value).startswith("the certificate is refused: self-signed certificate")
    assert innermost(plain.value) == "TLS fails: wrong version number"


def test_the_http_library_is_loaded_by_the_thread_that_loads_everything_else(tmp_path: Path) -> None:
    """Two threads that parse source at the same time: CPython 3.11 raises SystemError."""
    code = """
import asyncio, builtins, threading
from automation.infrastructure.outgoing import tls_context
parsed, compiled = [], builtins.compile
def compile(source, filename, mode, flags=0, *further, **named):
    if flags & 0x400:
        parsed.append(threading.current_thread() is threading.main_thread())
    return compiled(source, filename, mode, flags, *further, **named)
builtins.compile = compile
asyncio.run(tls_context())
assert parsed and all(parsed), parsed
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr
