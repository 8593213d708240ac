"""At most `max_concurrent_actions` at a time. Who waits goes by priority, and by how long it has waited.

Critical actions have as many places of their own, so that they wait for one another only, never for long ones of less
weight: while they need them, up to twice the number runs.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from automation.actions.call import Call, Handler, Middleware
from automation.model.workflow import Priority
from automation.plugins import Runs

STEP_SECONDS = 60.0
"""Waiting this long weighs as much as one step of priority: nobody waits for ever for those who come later."""

CRITICAL = int(Priority.CRITICAL)


class Lane:
    """A number of places, handed from one to the next: to the most urgent, among equals to who came first."""

    __slots__ = ("_now", "_order", "_waiting", "free")

    def __init__(self, places: int, now: Callable[[], float]) -> None:
        self.free = places
        """Places that nobody has; there are none while somebody waits."""
        self._now = now
        self._order = itertools.count()
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return sum(not future.done() for _, _, future in self._waiting)

    async def acquire(self, priority: int) -> None:
        """Wait for a place."""
        if self.free > 0:
            self.free -= 1
            return
        future = asyncio.get_running_loop().create_future()
        # A priority that grows evenly while one waits never changes who of two is first: a key made once will do.
        heapq.heappush(self._waiting, (self._now() - priority * STEP_SECONDS, next(self._order), future))
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                # The place was handed over in the same moment: pass it on.
                self.release()
            raise

    def release(self) -> None:
        """Give the place to the next who waits, or back."""
        while self._waiting:
            future = heapq.heappop(self._waiting)[2]
            if not future.done():
                future.set_result(None)
                return
        self.free += 1


class Slots:
    """The places for actions: one lane for critical ones, one for all others."""

    __slots__ = ("critical", "others")

    def __init__(self, places: int, now: Callable[[], float], *, one_lane: bool = False) -> None:
        self.others = Lane(places, now)
        self.critical = self.others if one_lane else Lane(places, now)

    def lane(self, priority: int) -> Lane:
        """Where an action of this priority takes its place."""
        return self.critical if priority >= CRITICAL else self.others


def limit(slots: Slots, outside: Mapping[Runs, Slots]) -> Middleware:
    """Middleware that runs a handler while it holds a place; `outside` has those for threads and for processes.

    A handler that needs a thread waits for that first: it keeps none of the others from running meanwhile.
    """

    def around(handler: Handler) -> Handler:
        async def within(call: Call) -> Any:
            lane = slots.lane(call.priority)
            if lane.free > 0:
                # The usual case, without a coroutine of its own.
                lane.free -= 1
            else:
                await lane.acquire(call.priority)
            try:
                return await handler(call)
            finally:
                lane.release()

        async def aside(lane: Lane, call: Call) -> Any:
            await lane.acquire(call.priority)
            try:
                return await within(call)
            finally:
                lane.release()

        def call(call: Call) -> Awaitable[Any]:
            if "takes_no_place" in call.plugin.options:
                # It only waits for what takes places itself: with one of its own it could wait for ever.
                return handler(call)
            elsewhere = outside.get(call.plugin.runs)
            return within(call) if elsewhere is None else aside(elsewhere.lane(call.priority), call)

        return call

    return around
