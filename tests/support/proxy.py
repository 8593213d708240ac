"""A network between the engine and its database that can be cut, at a chosen moment and on a chosen side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Proxy:
    """Passes bytes on between whoever connects to `port` and a server."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._links: set[_Link] = set()
        self.port = 0
        self.refusing = False
        """Whether new connections are closed at once."""
        self.plan: list[tuple[str, bytes]] = []
        """When links are cut, one after the other: how, and what the client says then.

        `before`: the server never hears it. `after`: the server does it, and the client hears no answer. `late`: the
        client's side is cut, and the server hears it when `deliver` is called."""
        self._late: list[tuple[asyncio.StreamWriter, bytes]] = []

    async def deliver(self) -> None:
        """Let the server hear what was held back, as a network does that was only slow."""
        for writer, data in self._late:
            writer.write(data)
            await writer.drain()

    def cut(self) -> None:
        """Cut all links."""
        for link in list(self._links):
            link.close()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Proxy]:
        """Listen, and be gone on the way out."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.cut()
            for writer, _ in self._late:
                writer.close()
                await writer.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            writer.close()
            return
        link = _Link(self, reader, writer)
        self._links.add(link)
        try:
            await link.run(self._server_port)
        finally:
            self._links.discard(link)

    def hold(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        """Keep what the server is to hear later."""
        self._late.append((writer, data))


class _Link:
    def __init__(self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._client = reader, writer
        self._deaf = False
        self._tasks: list[asyncio.Task[None]] = []
        self._writers = [writer]

    async def run(self, port: int) -> None:
        server = await asyncio.open_connection("127.0.0.1", port)
        self._writers.append(server[1])
        self._tasks = [
            asyncio.create_task(self._to_server(self._client[0], server[1])),
            asyncio.create_task(self._to_client(server[0], self._client[1])),
        ]
        await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        self.close()

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        for writer in self._writers:
            writer.close()

    async def _to_server(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        proxy = self._proxy
        with suppress(ConnectionError):
            while data := await reader.read(1 << 20):
                if proxy.plan and proxy.plan[0][1] in data:
                    how, _ = proxy.plan.pop(0)
                    if how == "before":
                        return
                    if how == "late":
                        self._writers.remove(writer)
                        proxy.hold(writer, data)
                        return
                    self._deaf = True
                writer.write(data)
                await writer.drain()

    async def _to_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(1 << 20):
                if self._deaf:
                    # The answer has come, so it is done; nobody will hear of it.
                    return
                writer.write(data)
                await writer.drain()
