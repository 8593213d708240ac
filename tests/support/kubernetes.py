"""A small stand-in for the events of a Kubernetes API server: it lists, watches, ends a watch and forgets.

It is none of Kubernetes' code, and knows only what the documentation of the API says of lists and watches.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit


class Cluster:
    """Events, and who watches them."""

    def __init__(self) -> None:
        self.url = ""
        self.version = 100
        self.objects: list[dict[str, Any]] = []
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.headers: list[str] = []
        self.forgotten = 0
        """Versions up to this one are gone from its memory."""
        self.page = 500
        self.refuse = 0
        self._watchers: list[asyncio.Queue[dict[str, Any] | None]] = []

    @property
    def watched(self) -> int:
        """How many watches there are."""
        return len(self._watchers)

    def happen(self, name: str, kind: str = "ADDED", **more: Any) -> None:
        """Let an event come to be or change."""
        self.version += 1
        made = {
            "metadata": {
                "name": f"{name}.1",
                "namespace": "shop",
                "uid": f"uid-{name}",
                "resourceVersion": str(self.version),
                "creationTimestamp": "2026-11-23T09:00:00Z",
            },
            "involvedObject": {"kind": "Pod", "name": name, "namespace": "shop"},
            "reason": "BackOff",
            "message": "Back-off restarting failed container",
            "type": "Warning",
            "count": 1,
            "lastTimestamp": "2026-11-23T09:00:05Z",
            "eventTime": None,
            "source": {"component": "kubelet"},
            **more,
        }
        self.objects.append(made)
        self.tell(kind, made)

    def tell(self, kind: str, told: Any) -> None:
        """Write a line to all who watch."""
        for watcher in self._watchers:
            watcher.put_nowait({"type": kind, "object": told})

    def end_watches(self) -> None:
        """End all watches, as a server does after some minutes."""
        for watcher in self._watchers:
            watcher.put_nowait(None)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.headers.append(head)
            target = urlsplit(head.split(" ")[1])
            asked = {name: values[0] for name, values in parse_qs(target.query).items()}
            self.asked.append((target.path, asked))
            if self.refuse:
                self._whole(writer, self.refuse, {"kind": "Status", "message": "forbidden"})
            elif "watch" in asked:
                await self._watch(writer, int(asked["resourceVersion"]))
            else:
                self._list(writer, int(asked.get("continue", 0)))
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def _list(self, writer: asyncio.StreamWriter, start: int) -> None:
        end = start + self.page
        following = str(end) if end < len(self.objects) else ""
        about = {"resourceVersion": str(self.version), "continue": following}
        self._whole(writer, 200, {"items": self.objects[start:end], "metadata": about})

    def _whole(self, writer: asyncio.StreamWriter, status: int, value: Any) -> None:
        body = json.dumps(value).encode()
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        writer.write(f"{head}Connection: close\r\n\r\n".encode() + body)

    async def _watch(self, writer: asyncio.StreamWriter, version: int) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        come: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        if version < self.forgotten:
            come.put_nowait({"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}})
            come.put_nowait(None)
        for known in self.objects:
            if int(known["metadata"]["resourceVersion"]) > version >= self.forgotten:
                come.put_nowait({"type": "ADDED", "object": known})
        self._watchers.append(come)
        try:
            while (told := await come.get()) is not None:
                line = json.dumps(told).encode() + b"\n"
                # In two pieces, as a network may cut it.
                for piece in (line[:7], line[7:]):
                    writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                await writer.drain()
            writer.write(b"0\r\n\r\n")
        finally:
            self._watchers.remove(come)


@asynccontextmanager
async def cluster() -> AsyncIterator[Cluster]:
    """A stand-in on a free loopback port."""
    made = Cluster()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        made.end_watches()
        server.close()
