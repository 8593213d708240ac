"""A receiver of Slack webhooks on this machine: it keeps what was posted, and hands it on to be shown."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

MAX_BYTES = 1_048_576


@dataclass(frozen=True, slots=True)
class Posted:
    """One message that was posted."""

    at: float
    channel: str
    text: str


class Receiver:
    """Listens on a free port; answers every POST of JSON with `ok`, as Slack does."""

    def __init__(self) -> None:
        self.messages: list[Posted] = []
        self.show: Callable[[Posted], None] = lambda message: None
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    @property
    def url(self) -> str:
        """Where to post."""
        assert self._server is not None, "entered first"
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/services/demo"

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(5):
                status = await self._take(reader)
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok".encode())
            await writer.drain()
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _take(self, reader: asyncio.StreamReader) -> str:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        fields = dict(line.split(":", 1) for line in head.split("\r\n")[1:] if ":" in line)
        length = fields.get("content-length", "").strip()
        if not head.startswith("post ") or not length.isdecimal() or int(length) > MAX_BYTES:
            return "400 Bad Request"
        try:
            content = json.loads(await reader.readexactly(int(length)))
            message = Posted(time.time(), str(content.get("channel", "")), str(content["text"]))
        except (ValueError, KeyError, AttributeError):
            return "400 Bad Request"
        self.messages.append(message)
        self.show(message)
        return "200 OK"
