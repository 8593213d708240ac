"""The load generator of the demonstration: `python -m automation.demo.load --endpoints FILE --rate N`.

Open-loop: requests are sent at the given rate whether or not earlier ones were answered, and latency counts from when a
request was due. Addresses come from the platform's `endpoints.json`, in turn. A request that meets a connection error
is tried once more, at the next address, and counted as `retried` beside `ok` or `failed`. Each second one JSON line
goes to stdout; a number on stdin sets a new rate, and its end stops the program.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO
from urllib.parse import urlsplit

_REQUEST = b"GET /play HTTP/1.1\r\nHost: playback-api\r\nConnection: close\r\n\r\n"


class Endpoints:
    """The addresses of the service, as its platform last wrote them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._addresses: list[tuple[str, int]] = []

    def at(self, turn: int) -> tuple[str, int] | None:
        """The address whose turn it is, or None if there is none."""
        self._refresh()
        return self._addresses[turn % len(self._addresses)] if self._addresses else None

    def _refresh(self) -> None:
        try:
            status = self._path.stat()
            # The file is replaced, never rewritten, so another content is another inode.
            if (status.st_ino, status.st_mtime_ns) == self._seen:
                return
            found = [urlsplit(address) for address in json.loads(self._path.read_bytes())["addresses"]]
        except OSError:
            self._addresses = []
            return
        self._addresses = [(url.hostname, url.port) for url in found if url.hostname and url.port]
        self._seen = (status.st_ino, status.st_mtime_ns)


@dataclass(slots=True)
class Tally:
    """What came of the requests of one second."""

    sent: int = 0
    ok: int = 0
    failed: int = 0
    retried: int = 0
    latencies: list[float] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)

    def line(self, now: float, rate: float) -> str:
        """One JSON line."""
        latencies = sorted(self.latencies)

        def percentile(share: float) -> float | None:
            return (
                round(1000 * latencies[min(len(latencies) - 1, int(share * len(latencies)))], 1) if latencies else None
            )

        return json.dumps(
            {
                "time": round(now, 3),
                "rate": rate,
                "sent": self.sent,
                "ok": self.ok,
                "failed": self.failed,
                "retried": self.retried,
                "p50_ms": percentile(0.50),
                "p99_ms": percentile(0.99),
                "errors": self.errors,
            }
        )


class Load:
    """Sends requests at a rate and tallies what comes of them."""

    def __init__(self, endpoints: Endpoints, rate: float, timeout: float) -> None:
        self.rate = rate
        self._endpoints = endpoints
        self._timeout = timeout
        self._tally = Tally()
        self._turn = 0
        self._requests: set[asyncio.Task[None]] = set()

    async def send(self) -> None:
        """Send for ever, each request when it is due."""
        clock = asyncio.get_running_loop().time
        due = clock()
        while True:
            due += 1 / self.rate if self.rate > 0 else 0.05
            await asyncio.sleep(max(0.0, due - clock()))
            if self.rate > 0:
                request = asyncio.create_task(self._one(due))
                self._requests.add(request)
                request.add_done_callback(self._requests.discard)

    async def report(self, output: TextIO) -> None:
        """Write a line each second, for ever."""
        due = time.time()
        while True:
            due += 1.0
            await asyncio.sleep(max(0.0, due - time.time()))
            self.flush(output)

    def flush(self, output: TextIO) -> None:
        """Write what has come since the last line."""
        tally, self._tally = self._tally, Tally()
        print(tally.line(time.time(), self.rate), file=output, flush=True)

    async def finish(self) -> None:
        """Wait for the answers that are still due."""
        if self._requests:
            await asyncio.wait(self._requests, timeout=self._timeout)

    async def _one(self, due: float) -> None:
        self._tally.sent += 1
        self._turn += 1
        turn = self._turn
        error = await self._try(turn)
        if isinstance(error, OSError) and not isinstance(error, TimeoutError):
            self._tally.retried += 1
            error = await self._try(turn + 1)
        if error is None:
            self._tally.ok += 1
            self._tally.latencies.append(asyncio.get_running_loop().time() - due)
        else:
            self._tally.failed += 1
            text = str(error) or type(error).__name__
            self._tally.errors[text] = self._tally.errors.get(text, 0) + 1

    async def _try(self, turn: int) -> Exception | None:
        address = self._endpoints.at(turn)
        if address is None:
            return ValueError("there is no address")
        try:
            async with asyncio.timeout(self._timeout):
                reader, writer = await asyncio.open_connection(*address)
                try:
                    writer.write(_REQUEST)
                    status = await reader.readline()
                    await reader.read()
                finally:
                    writer.close()
        except TimeoutError:
            return TimeoutError(f"no answer within {self._timeout:g} s")
        except OSError as error:
            return ConnectionError(os.strerror(error.errno) if error.errno else type(error).__name__)
        if not status:
            return ConnectionError("the connection was closed without an answer")
        return None if b" 200 " in status else ValueError(f"answered {status.decode('latin-1').strip()}")


async def follow_rate(load: Load, source: TextIO) -> None:
    """Take new rates from the lines of `source` until its end."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), source)
    while line := await reader.readline():
        load.rate = float(line)


async def run(endpoints: Path, rate: float, timeout: float) -> None:
    """Send until stdin ends."""
    load = Load(Endpoints(endpoints), rate, timeout)
    tasks = [asyncio.create_task(work) for work in (load.send(), load.report(sys.stdout))]
    try:
        await follow_rate(load, sys.stdin)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    await load.finish()
    load.flush(sys.stdout)


def main(arguments: list[str] | None = None) -> int:
    """Run until stdin ends."""
    parser = argparse.ArgumentParser(prog="automation.demo.load", description=__doc__)
    parser.add_argument("--endpoints", type=Path, required=True, help="the platform's endpoints.json")
    parser.add_argument("--rate", type=float, default=5.0, help="requests a second to begin with")
    parser.add_argument("--timeout", type=float, default=1.0, help="seconds for one try")
    chosen = parser.parse_args(arguments)
    asyncio.run(run(chosen.endpoints, chosen.rate, chosen.timeout))
    return 0


if __name__ == "__main__":
    sys.exit(main())
