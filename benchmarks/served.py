"""`automation serve` in a process of its own, on one core, and senders that post to it from another."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml

READY_SECONDS = 60.0
"""How long the server may take to be ready."""


@dataclass(frozen=True, slots=True)
class Served:
    """A server that is ready."""

    port: int
    token: str
    process: psutil.Process
    apart: bool
    """Whether it has a core of its own."""

    @property
    def processor(self) -> float:
        """Seconds of processor time so far, of all its threads."""
        used = self.process.cpu_times()
        return float(used.user + used.system)

    @property
    def memory(self) -> float:
        """Bytes that are resident."""
        return float(self.process.memory_info().rss)


@contextmanager
def served(folder: Path, definitions: Mapping[str, Any], settings: Mapping[str, Any]) -> Iterator[Served]:
    """Serve these definitions; at the end, SIGKILL: what it has acknowledged is then on disk, or lost."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "automation.d").mkdir()
    (folder / "automation.d" / "all.yaml").write_text(yaml.safe_dump(dict(definitions)))
    config = folder / "automation.yaml"
    places = {"data_dir": str(folder / "data"), "definitions": str(folder / "automation.d")}
    config.write_text(yaml.safe_dump({**places, **settings}))
    command = [sys.executable, "-m", "automation", "serve", "--config", str(config), "--port", str(port)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    log = folder / "serve.log"
    with log.open("ab") as told:
        process = subprocess.Popen(command, stdout=told, stderr=told, env=environment, cwd=folder)
    try:
        apart = _apart(process.pid)
        end = time.perf_counter() + READY_SECONDS
        while not _ready(port):
            if process.poll() is not None or time.perf_counter() > end:
                raise RuntimeError(log.read_text()[-4000:])
            time.sleep(0.01)
        token = (folder / "data" / "admin.token").read_text().strip()
        yield Served(port, token, psutil.Process(process.pid), apart)
    finally:
        process.kill()
        process.wait()


def _apart(pid: int) -> bool:
    """Give the server one core, and this process the others; False where there is only one, or it cannot be chosen."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(cores) < 2:
        return False
    os.sched_setaffinity(pid, cores[:1])
    return True


@contextmanager
def elsewhere() -> Iterator[None]:
    """This process on another core than the server's, until it is left."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(cores) < 2:
        yield
        return
    os.sched_setaffinity(0, cores[1:])
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError):
        return False


@dataclass(slots=True)
class Sent:
    """What came of what was posted."""

    accepted: list[range] = field(default_factory=list)
    """The numbers of the events that were acknowledged, request by request."""
    pushed_back: int = 0
    """Requests that were answered with 429 and Retry-After."""
    other: dict[int, int] = field(default_factory=dict)
    """How often which other status came."""
    not_offered: int = 0
    """Requests for which no connection was free: the server was slower than it said."""
    latencies: list[float] = field(default_factory=list)
    """Seconds from the sending of a request to its 202."""

    @property
    def events(self) -> int:
        """How many events were acknowledged."""
        return sum(map(len, self.accepted))


class Sender:
    """One connection that posts lists of numbered events. Plain sockets: a client that costs more than the server
    would be measured in its place."""

    def __init__(self, server: Served, load: Load) -> None:
        self._server = server
        self._load = load

    async def __aenter__(self) -> Sender:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._server.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def post(self, numbers: range, sent: Sent) -> int:
        """Post these events in one request; returns the status of the answer."""
        begin = time.perf_counter()
        self._writer.write(self._request(numbers))
        head = await self._reader.readuntil(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        fields = dict(line.split(b": ", 1) for line in lines[1:] if line)
        await self._reader.readexactly(int(fields[b"content-length"]))
        status = int(lines[0].split()[1])
        if status == 202:
            sent.accepted.append(numbers)
            sent.latencies.append(time.perf_counter() - begin)
        elif status == 429 and b"retry-after" in fields:
            sent.pushed_back += 1
        else:
            sent.other[status] = sent.other.get(status, 0) + 1
        return status

    def _request(self, numbers: range) -> bytes:
        events = [event_text(number, self._load) for number in numbers]
        body = (events[0] if len(events) == 1 else f"[{','.join(events)}]").encode()
        return (
            f"POST /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {self._server.token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body


def event_text(number: int, load: Load) -> str:
    """An event as JSON; one of a hundred fulfils the rule that its type leads to."""
    host = f"host-{number % 50}"
    return (
        f'{{"type":"type-{number % load.types}","source":"{load.source}","id":"{number}","subject":"{host}",'
        f'"data":{{"load":{busy(number)},"host":"{host}"}}}}'
    )


def busy(number: int) -> int:
    """What an event says of its host: one of a hundred more than the rules allow."""
    return 91 if number % 100 == 7 else 50


def rules(number: int) -> list[dict[str, Any]]:
    """Workflows that look at one type of event each, and at what it carries."""
    return [
        {
            "name": f"workflow-{each}",
            "triggers": [{"type": "event", "event": f"type-{each}", "condition": "load > 80"}],
            "actions": [{"name": "set", "action_type": "flow.set", "parameters": {"values": {"seen": True}}}],
        }
        for each in range(number)
    ]


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent, and by how many connections."""

    source: str
    batch: int
    """Events a request."""
    connections: int
    seconds: float
    types: int


async def flood(server: Served, load: Load) -> Sent:
    """Each connection posts as soon as its last request was answered."""
    sent = Sent()
    following = iter(range(0, 10**12, load.batch))
    end = time.perf_counter() + load.seconds

    async def connection() -> None:
        async with Sender(server, load) as sender:
            while time.perf_counter() < end:
                first = next(following)
                await sender.post(range(first, first + load.batch), sent)

    await asyncio.gather(*(connection() for _ in range(load.connections)))
    return sent


async def press(server: Served, load: Load, rate: float) -> Sent:
    """Post so many requests a second, whether the server keeps up or not, as far as there are connections for them."""
    sent = Sent()
    due: asyncio.Queue[int | None] = asyncio.Queue(load.connections)

    async def connection() -> None:
        async with Sender(server, load) as sender:
            while (first := await due.get()) is not None:
                await sender.post(range(first, first + load.batch), sent)

    connections = [asyncio.create_task(connection()) for _ in range(load.connections)]
    begin = time.perf_counter()
    for number in range(int(rate * load.seconds)):
        if (early := begin + number / rate - time.perf_counter()) > 0:
            await asyncio.sleep(early)
        try:
            due.put_nowait(number * load.batch)
        except asyncio.QueueFull:
            sent.not_offered += 1
            await asyncio.sleep(0)
    for _ in connections:
        await due.put(None)
    await asyncio.gather(*connections)
    return sent
