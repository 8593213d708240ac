"""The HTTP server: uvicorn in this process and this event loop, with bounds on what a connection may do."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from asyncio import TimerHandle
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from automation.engine import AutomationEngine
from automation.errors import ConfigurationError, EngineStopped

log = logging.getLogger("automation.api")

MAX_CONNECTIONS = 1000
"""More than so many connections at once are answered with 503."""
KEEP_ALIVE_SECONDS = 30
"""How long a connection may idle between two requests; longer than most scrape intervals."""
PATIENCE_SECONDS = 30.0
"""How long a request's line and headers may take to arrive, and then each further part of its body."""
MAX_HEAD_BYTES = 65_536
"""How much a request's line and headers may be, give or take one read from the network."""
GRACE_SECONDS = 5
"""How long requests may go on when the server stops."""


class Server:
    """Listens for an application. `async with` is not needed: `start()`, then `stop()`, or `serve_until(event)`."""

    def __init__(self, engine: AutomationEngine, app: FastAPI) -> None:
        self._host = engine.config.api.host
        self._wanted = engine.config.api.port
        self._app = app
        self._socket: socket.socket | None = None
        self._uvicorn: _Uvicorn | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port it listens on: the real one, where 0 was set."""
        if self._socket is None:
            raise EngineStopped("the server is not bound to a port yet")
        return int(self._socket.getsockname()[1])

    @property
    def url(self) -> str:
        """The address of the server as people type it."""
        return f"http://{_place(self._host, self.port)}"

    def bind(self) -> None:
        """Take the port, before anything else is begun that would be in vain without it; raises ConfigurationError."""
        if self._socket is None:
            self._socket = _bound(self._host, self._wanted)

    async def start(self) -> None:
        """Begin to answer; raises ConfigurationError if the port cannot be had."""
        self.bind()
        assert self._socket is not None
        self._app.state.closing.clear()
        self._uvicorn = _Uvicorn(_settings(self._app))
        serving = self._uvicorn.serve(sockets=[self._socket])
        self._task = asyncio.get_running_loop().create_task(serving, name="automation-http")
        listening = asyncio.ensure_future(self._uvicorn.listening.wait())
        await asyncio.wait({self._task, listening}, return_when=asyncio.FIRST_COMPLETED)
        listening.cancel()
        if self._task.done():
            await self._task
        log.info("listening on %s", self.url)

    async def serve_until(self, stop: asyncio.Event) -> None:
        """Answer until the event is set, then stop."""
        if self._task is None:
            await self.start()
        assert self._task is not None
        waiting = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({self._task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            await self.stop()

    async def stop(self) -> None:
        """Take no new connections, end live streams, let requests end within a few seconds."""
        self._app.state.closing.set()
        if self._uvicorn is not None and self._task is not None:
            self._uvicorn.should_exit = True
            await self._task
        if self._socket is not None:
            self._socket.close()
        self._uvicorn = self._task = self._socket = None


class _Uvicorn(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.listening.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # Signals are the business of the program that runs us.
        yield


class _Part(Enum):
    """Which part of a request is awaited."""

    NONE = 0
    HEAD = 1
    BODY = 2


class _Protocol(HttpToolsProtocol):
    """With bounds on the head of a request, and on how slowly one may be sent, which uvicorn does not have.

    What is refused here is counted, as it is never seen by the application.
    """

    _part = _Part.HEAD
    _begun = 0
    _head_bytes = 0
    _deadline: TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_no_more()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        begun, part = self._begun, self._part
        super().data_received(data)
        if self._part is _Part.NONE:
            self._wait_no_more()
        elif self._part is _Part.BODY:
            self._wait_no_more()
            self._wait()
        else:
            if part is _Part.HEAD and begun == self._begun:
                self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self.send_400_response(f"The request's line and headers are larger than {MAX_HEAD_BYTES} bytes.")
            elif self._deadline is None:
                self._wait()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._begun += 1
        self._head_bytes = 0
        self._part = _Part.HEAD

    def on_headers_complete(self) -> None:
        if max(len(self.connections), len(self.tasks)) >= MAX_CONNECTIONS:
            self._count("overload")
        super().on_headers_complete()
        self._part = _Part.BODY

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._part = _Part.NONE

    def send_400_response(self, msg: str) -> None:
        self._count("not-http")
        super().send_400_response(msg)

    def _count(self, reason: str) -> None:
        app: Any = self.config.app
        app.state.engine.metrics.requests_refused.labels(reason).inc()

    def _wait(self) -> None:
        self._deadline = self.loop.call_later(PATIENCE_SECONDS, self._give_up)

    def _wait_no_more(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            if self._begun:
                self._count("too-slow")
            self.transport.close()


def _settings(app: FastAPI) -> uvicorn.Config:
    options: dict[str, Any] = {
        "loop": "asyncio",
        "http": _Protocol,
        "ws": "none",
        "lifespan": "off",
        "log_config": None,
        # What callers do wrong is counted, not logged: else anybody could fill the log.
        "log_level": "error",
        "access_log": False,
        "server_header": False,
        # Anybody can write X-Forwarded-For; the caller is who holds the other end of the connection.
        "proxy_headers": False,
        "limit_concurrency": MAX_CONNECTIONS,
        "timeout_keep_alive": KEEP_ALIVE_SECONDS,
        "timeout_graceful_shutdown": GRACE_SECONDS,
    }
    return uvicorn.Config(app, **options)


def _bound(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):
        raise ConfigurationError(f"cannot listen on {host!r}: api.host is not an address of this machine") from None
    # Where a name such as localhost has both, IPv4: it is what other programs' settings have for it.
    family, kind, protocol, _, address = min(found, key=lambda one: one[0] is not socket.AF_INET)
    bound = socket.socket(family, kind, protocol)
    try:
        # Else a port whose last connections are just closing would look taken.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        # Two sockets may be bound to one port as long as neither listens: only this tells.
        bound.listen(socket.SOMAXCONN)
    except OSError as error:
        bound.close()
        raise ConfigurationError(f"cannot listen on {_place(host, port)}: {_why(error)}") from None
    bound.setblocking(False)
    return bound


def _why(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "the port is in use; stop what listens there or set api.port"
    if error.errno == errno.EACCES:
        return "ports below 1024 are for the administrator; set api.port"
    if error.errno == errno.EADDRNOTAVAIL:
        return "api.host is not an address of this machine"
    return str(error.strerror)


def _place(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
