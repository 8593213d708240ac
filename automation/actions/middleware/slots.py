"""At most `max_concurrent_actions` at a time; who waits goes by priority, then by arrival."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from typing import Any

from automation.actions.call import Call, Handler, Middleware


class Slots:
    """A semaphore whose next owner is the most urgent waiter."""

    def __init__(self, count: int) -> None:
        self.free = count
        self._order = itertools.count()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []

    async def acquire(self, priority: int) -> None:
        """Wait for a slot; a higher priority goes first."""
        if self.free > 0:
            self.free -= 1
            return
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (-priority, next(self._order), future))
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                # The slot was handed over in the same moment: pass it on.
                self.release()
            raise

    def release(self) -> None:
        """Give the slot to the next waiter, or back."""
        while self._waiting:
            future = heapq.heappop(self._waiting)[2]
            if not future.done():
                future.set_result(None)
                return
        self.free += 1


def limit(slots: Slots) -> Middleware:
    """Middleware that runs a handler while it holds a slot."""

    def around(handler: Handler) -> Handler:
        async def call(call: Call) -> Any:
            await slots.acquire(call.priority)
            try:
                return await handler(call)
            finally:
                slots.release()

        return call

    return around
