"""No attempt takes longer than its limit, not even one that ignores being cancelled."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from automation.actions.call import Call, Handler, Middleware
from automation.errors import ActionCrashed, ActionTimeout
from automation.telemetry.metrics import Metrics

log = logging.getLogger("automation.actions")

GRACE_SECONDS = 5.0
"""How long a cancelled handler may take to clean up before it is left behind."""

LAST_SECONDS = 20.0
"""How long after the second cancellation it is ended by force."""

_TICK = 0.05


class Attempt:
    """A handler in a task of its own, so that one that swallows its cancellation can be left behind."""

    __slots__ = ("call", "expired", "handler", "metrics", "outcome", "task", "work")

    def __init__(self, handler: Handler, call: Call, loop: asyncio.AbstractEventLoop, metrics: Metrics) -> None:
        self.handler = handler
        self.call = call
        self.metrics = metrics
        self.expired = False
        self.outcome: asyncio.Future[Any] = loop.create_future()
        self.work: Any = None
        self.task = loop.create_task(self._run())

    async def _run(self) -> None:
        # It settles the outcome itself: one turn of the event loop less than a callback of the task.
        outcome = self.outcome
        try:
            # Only now: a task that is cancelled before its first turn would leave it unawaited.
            self.work = self.handler(self.call)
            result = await self.work
        except asyncio.CancelledError:
            if not outcome.done():
                if self.expired:
                    outcome.set_exception(ActionTimeout(seconds=self.call.context.timeout_seconds))
                else:
                    outcome.cancel()
        except SystemExit as error:
            # Let through, it would end the event loop, and the engine with it.
            self._fail(ActionCrashed(f"the handler called sys.exit({error.code!r})"))
        except BaseException as error:  # noqa: BLE001 - carried over to whoever awaits the outcome
            self._fail(error)
        else:
            if not outcome.done():
                outcome.set_result(result)

    def _fail(self, error: BaseException) -> None:
        if not self.outcome.done():
            self.outcome.set_exception(error)

    def expire(self) -> None:
        """Its time is over: cancel it, and leave it behind if that does not help."""
        if self.outcome.done():
            return
        self.expired = True
        self.task.cancel()
        asyncio.get_running_loop().call_later(GRACE_SECONDS, self.abandon)

    def abandon(self) -> None:
        """Wait no longer for a handler that ignores its cancellation."""
        if not self.outcome.done():
            self.outcome.set_exception(ActionTimeout(seconds=self.call.context.timeout_seconds))
            self.leave()

    def leave(self) -> None:
        """Leave it behind, and say so. It is cancelled once more: the second time it may listen."""
        name = self.call.plugin.name
        log.error("%s ignores its cancellation and is left behind", name)
        self.metrics.handlers_left_behind.labels(name).inc()
        self.task.cancel()
        asyncio.get_running_loop().call_later(LAST_SECONDS, self.close)

    def close(self) -> None:
        """End by force what did not listen the second time: it must not go on acting for an action that is over."""
        if self.task.done():
            return
        log.error("%s ignores its second cancellation too and is ended by force", self.call.plugin.name)
        try:
            self.work.close()
        except RuntimeError:
            # It swallows even that. With the coroutine around it gone, nothing is left that could run it on.
            self.task.add_done_callback(_seen)
            self.task.get_coro().close()
        self.task.cancel()


def _seen(task: asyncio.Task[None]) -> None:
    # A closed coroutine cannot take the cancellation that wakes its task; what it says then is of no interest.
    if not task.cancelled():
        task.exception()


class Deadlines:
    """Expires attempts, to within a twentieth of a second, with one timer for all that are due in the same one."""

    def __init__(self) -> None:
        self._buckets: dict[int, set[Attempt]] = {}

    def add(self, attempt: Attempt, loop: asyncio.AbstractEventLoop) -> set[Attempt]:
        """Expire the attempt when its time is over; returns the set to take it out of when it ends before."""
        tick = int((loop.time() + attempt.call.context.timeout_seconds) / _TICK) + 1
        bucket = self._buckets.get(tick)
        if bucket is None:
            bucket = self._buckets[tick] = set()
            loop.call_at(tick * _TICK, self._expire, tick)
        bucket.add(attempt)
        return bucket

    def _expire(self, tick: int) -> None:
        for attempt in self._buckets.pop(tick):
            attempt.expire()


def timeout(metrics: Metrics) -> Middleware:
    """Middleware that ends an attempt after `context.timeout_seconds`: ActionTimeout."""
    deadlines = Deadlines()

    def around(handler: Handler) -> Handler:
        async def call(call: Call) -> Any:
            loop = asyncio.get_running_loop()
            attempt = Attempt(handler, call, loop, metrics)
            bucket = deadlines.add(attempt, loop)
            try:
                return await attempt.outcome
            except asyncio.CancelledError:
                if not attempt.task.done():
                    attempt.task.cancel()
                    _, left = await asyncio.wait({attempt.task}, timeout=GRACE_SECONDS)
                    if left:
                        attempt.leave()
                raise
            finally:
                bucket.discard(attempt)

        return call

    return around
