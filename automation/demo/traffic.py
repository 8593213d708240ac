"""The load generator as a process of its own: started, steered and read by the demonstration."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

STOP_SECONDS = 3.0


@dataclass(slots=True)
class Seen:
    """What the load generator saw, in all."""

    sent: int = 0
    ok: int = 0
    failed: int = 0
    retried: int = 0
    slowest_p99_ms: float = 0.0
    errors: dict[str, int] = field(default_factory=dict)

    def add(self, second: Mapping[str, Any]) -> None:
        """Take in one line."""
        self.sent += second["sent"]
        self.ok += second["ok"]
        self.failed += second["failed"]
        self.retried += second["retried"]
        self.slowest_p99_ms = max(self.slowest_p99_ms, second["p99_ms"] or 0.0)
        for text, count in second["errors"].items():
            self.errors[text] = self.errors.get(text, 0) + count

    @property
    def availability(self) -> float | None:
        """Percent of the finished requests that were answered, after one retry where that was needed."""
        finished = self.ok + self.failed
        return 100.0 * self.ok / finished if finished else None


class Traffic:
    """One load generator."""

    def __init__(self, endpoints: Path, environment: Mapping[str, str], log: Path) -> None:
        self._endpoints = endpoints
        self._environment = environment
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self.rate = 0.0
        self.seen = Seen()
        self.seconds: list[dict[str, Any]] = []
        """Its lines, one a second."""

    async def start(self, rate: float) -> Self:
        """Start it; raises OSError."""
        self.rate = rate
        arguments = ("-m", "automation.demo.load", "--endpoints", str(self._endpoints), "--rate", f"{rate:.3f}")
        with self._log.open("ab") as errors:
            # A session of its own: Ctrl-C is for the demonstration, which then ends it.
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env=dict(self._environment),
                start_new_session=True,
            )
        self._reading = asyncio.create_task(self._read(), name="demo-traffic")
        return self

    @property
    def trouble(self) -> str | None:
        """Why it no longer sends, or None."""
        if self._process is None or self._process.returncode is None:
            return None
        return f"the load generator ended with code {self._process.returncode}; see {self._log}"

    async def set_rate(self, rate: float) -> None:
        """Send that many requests a second from now on."""
        assert self._process is not None
        assert self._process.stdin is not None
        self.rate = rate
        self._process.stdin.write(f"{rate:.3f}\n".encode())
        await self._process.stdin.drain()

    async def stop(self) -> None:
        """Have it end, and read what it says last."""
        if self._process is None:
            return
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        if self._reading is not None:
            await self._reading
        self._process = None

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            second = json.loads(line)
            self.seconds.append(second)
            self.seen.add(second)
