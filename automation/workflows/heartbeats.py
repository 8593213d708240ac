"""Heartbeats in the journal: how far an attempt has come, for the next one and for people.

A write for each heartbeat would let a busy loop fill the database: there is one at most within an interval, with what
was said last, and one when an attempt fails. So after `kill -9` the details are as old as the interval, at most.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Any

from automation.actions.heartbeat import Pulse
from automation.clock import Clock
from automation.workflows.run import Run

INTERVAL_SECONDS = 10.0
"""Between two writes of one attempt that has no `heartbeat_timeout_seconds`; else it is half of that, within bounds."""

SHORTEST_SECONDS, LONGEST_SECONDS = 1.0, 30.0

Flush = Callable[[Run], Awaitable[None]]
Redact = Callable[[Any], Any]


class Heartbeat(Pulse):
    """The heartbeats of one attempt. Nothing is written, and no task begins, before the first one comes."""

    __slots__ = ("_flush", "_heard", "_interval", "_key", "_redact", "_said", "_sleeps", "_task", "over", "run")

    def __init__(self, clock: Clock, run: Run, key: str, limit: float | None, flush: Flush, redact: Redact) -> None:
        super().__init__(clock)
        self._redact = redact
        self.run = run
        self.over = False
        self._key = key
        self._flush = flush
        self._interval = interval(limit)
        self._task: asyncio.Task[None] | None = None
        self._said: Any = None
        self._heard = False
        self._sleeps = False

    def take(self, details: Any) -> None:
        """Have it written, now or when the interval is over."""
        if self.over:
            return
        self._said, self._heard = details, True
        if self._task is None or self._task.done():
            loop = asyncio.get_running_loop()
            # In a context of its own: to a virtual clock, its sleep is not that of the action that calls this.
            self._task = loop.create_task(self._keep(), context=Context())

    def note(self) -> None:
        """Take what was said last into the journal, unless it is there."""
        if self._heard:
            self._heard = False
            self.run.note(self.clock.now(), "action_heartbeat", self._key, {"details": self._redact(self._said)})

    async def close(self) -> None:
        """The attempt is over: whatever it says from now on does not count."""
        self.over = True
        task = self._task
        if task is None or task.done():
            return
        if self._sleeps:
            task.cancel()
        # A commit that is under way is not broken off.
        await asyncio.wait({task})
        if not task.cancelled() and task.exception() is not None:
            # Whoever runs the execution meets the same when it writes what comes next.
            return

    async def _keep(self) -> None:
        while self._heard and not self.over:
            self.note()
            await self._flush(self.run)
            if self.over:
                return
            self._sleeps = True
            await self.clock.sleep(self._interval)
            self._sleeps = False


def interval(limit: float | None) -> float:
    """Seconds between two writes of an attempt that must give a heartbeat within `limit` seconds."""
    return INTERVAL_SECONDS if limit is None else min(max(limit / 2, SHORTEST_SECONDS), LONGEST_SECONDS)
