"""Heartbeats in the journal: how far an attempt has come, for the next one and for people.

A write for each heartbeat would let a busy loop fill the database: there is one at most within an interval, with what
was said last, and one when an attempt fails. So after `kill -9` the details are as old as the interval, at most.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from dataclasses import dataclass
from typing import Any

from automation.clock import Clock
from automation.workflows.run import Run

INTERVAL_SECONDS = 10.0
"""Between two writes of one attempt that has no `heartbeat_timeout_seconds`; else it is half of that, within bounds."""

SHORTEST_SECONDS, LONGEST_SECONDS = 1.0, 30.0


@dataclass(frozen=True, slots=True)
class Keeper:
    """What keeps heartbeats."""

    clock: Clock
    flush: Callable[[Run], Awaitable[None]]
    redact: Callable[[Any], Any]
    """Hides secrets."""


class Heartbeat:
    """The heartbeats of one attempt. Nothing is written, and no task begins, before the first one comes.

    One is made for every attempt, so what only those need that give heartbeats is not set when it is made.
    """

    last: float = 0.0
    used: bool = False
    _over: bool = False
    _task: asyncio.Task[None] | None = None
    _said: Any = None
    _heard: bool = False
    _sleeps: bool = False

    def __init__(self, keeper: Keeper, run: Run, key: str, limit: float | None) -> None:
        self._keeper = keeper
        self._run = run
        self._key = key
        self._limit = limit

    @property
    def clock(self) -> Clock:
        """By which it is told how long it was silent."""
        return self._keeper.clock

    def beat(self, details: Any) -> None:
        """Take a heartbeat in, from any thread."""
        self.last = self.clock.monotonic()
        self.used = True
        assert self._run.task is not None
        loop = self._run.task.get_loop()
        # A plain function may have a loop of its own, in its thread.
        if _running_loop() is loop:
            self._take(details)
            return
        try:
            loop.call_soon_threadsafe(self._take, details)
        except RuntimeError:
            # The loop was closed while the function ran: nobody listens any more.
            return

    def _take(self, details: Any) -> None:
        """Have it written, now or when the interval is over."""
        if self._over:
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
            body = {"details": self._keeper.redact(self._said)}
            self._run.note(self.clock.now(), "action_heartbeat", self._key, body)

    async def close(self) -> None:
        """The attempt is over: whatever it says from now on does not count."""
        self._over = True
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
        while self._heard and not self._over:
            self.note()
            await self._keeper.flush(self._run)
            if self._over:
                return
            self._sleeps = True
            await self.clock.sleep(interval(self._limit))
            self._sleeps = False


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def interval(limit: float | None) -> float:
    """Seconds between two writes of an attempt that must give a heartbeat within `limit` seconds."""
    return INTERVAL_SECONDS if limit is None else min(max(limit / 2, SHORTEST_SECONDS), LONGEST_SECONDS)
