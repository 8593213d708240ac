"""Threads for plain functions: daemons, so that a function that never ends cannot keep the process from ending.

How many run at a time is the business of the places (`middleware/slots.py`); here threads are started, and kept for the
next function when they are done.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

WAIT_SECONDS = 6.0
"""How long a function is waited for after its cancellation. Whoever has less patience cancels a second time: the
middleware `timeout` does, a second before."""


class _Job:
    """One call of a function."""

    __slots__ = ("arguments", "ended", "function", "future", "loop", "over", "stray")

    def __init__(
        self, function: Callable[..., Any], arguments: tuple[Any, ...], loop: asyncio.AbstractEventLoop
    ) -> None:
        self.function = function
        self.arguments = arguments
        self.loop = loop
        self.future: asyncio.Future[Any] = loop.create_future()
        self.over: asyncio.Future[None] | None = None
        """Done at its end, for who waits for it after the future was cancelled."""
        self.ended = False
        self.stray = False


class Threads:
    """Calls plain functions in threads of this process."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._idle: list[SimpleQueue[_Job | None]] = []
        self._closed = False
        self.stray = 0
        """How many functions run that nobody waits for any more."""

    async def run(
        self, function: Callable[..., Any], *arguments: Any, cancel: Callable[[], object] | None = None
    ) -> Any:
        """What the function returns. A cancellation is told to it by `cancel`, and raised when it has ended, after
        WAIT_SECONDS, or when the task is cancelled once more; then the function is left to itself."""
        self._closed = False  # an engine that was stopped may be started again
        job = _Job(function, arguments, asyncio.get_running_loop())
        if self._idle:
            self._idle.pop().put(job)
        else:
            inbox: SimpleQueue[_Job | None] = SimpleQueue()
            inbox.put(job)
            threading.Thread(target=self._work, args=(inbox,), daemon=True).start()
        try:
            return await job.future
        except asyncio.CancelledError:
            if not job.ended:
                if cancel is not None:
                    cancel()
                await self._wait(job)
            raise

    def close(self) -> None:
        """End the threads that have nothing to do; the others end with their functions."""
        self._closed = True
        while self._idle:
            self._idle.pop().put(None)

    async def _wait(self, job: _Job) -> None:
        job.over = job.loop.create_future()
        try:
            await asyncio.wait({job.over}, timeout=WAIT_SECONDS)
        finally:
            if not job.ended:
                job.stray = True
                self.stray += 1

    def _work(self, inbox: SimpleQueue[_Job | None]) -> None:
        while (job := inbox.get()) is not None:
            threading.current_thread().name = f"automation-{getattr(job.function, '__name__', 'action')}"
            result, error = None, None
            try:
                result = job.function(*job.arguments)
            except BaseException as caught:  # noqa: BLE001 - carried over to whoever awaits
                error = caught
            going = not self._closed and len(self._idle) < self._keep
            if going:
                # Before the end is told: whoever hears of it may have the next function for this thread.
                self._idle.append(inbox)
            try:
                job.loop.call_soon_threadsafe(self._end, job, result, error)
            except RuntimeError:
                # The loop was closed while the function ran: nobody waits any more.
                return
            del job, result, error
            if not going:
                return

    def _end(self, job: _Job, result: Any, error: BaseException | None) -> None:
        job.ended = True
        if job.stray:
            self.stray -= 1
        if job.over is not None and not job.over.done():
            job.over.set_result(None)
        if job.future.done():
            return
        if error is not None:
            job.future.set_exception(error)
        else:
            job.future.set_result(result)
