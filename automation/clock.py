"""Time. Nothing else of the project reads a clock, so that tests and simulations can bring their own."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Protocol

FIRST_MOMENT = -62_135_596_800.0
LAST_MOMENT = 253_402_300_799.0
"""The years 1 to 9999: what can be written as a date."""


class Clock(Protocol):
    """What the engine needs to know of time."""

    def now(self) -> float:
        """Seconds since the epoch, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back; only differences mean anything."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after that many seconds."""
        ...

    async def idle(self, seconds: float) -> None:
        """The same, of a loop that only looks whether there is something to do: time may be skipped over its head."""
        ...


async def rest(clock: Clock, due: float | None, look: float, woken: asyncio.Event) -> None:
    """Return when `due` has come (None: never), when woken, or after `look` seconds, whichever is first."""
    waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(woken.wait())]
    seconds = math.inf if due is None else due - clock.now()
    # What is due further on is waited for as well: a clock that skips has to know where it must stop.
    if seconds < math.inf:
        waits.append(asyncio.ensure_future(clock.sleep(seconds)))
    if look < seconds:
        waits.append(asyncio.ensure_future(clock.idle(look)))
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


LOOK_SECONDS = 30.0
"""How often a long wait looks whether the clock was set meanwhile."""


async def until(clock: Clock, moment: float) -> None:
    """Return once the clock shows this time, also where it is set meanwhile."""
    never = asyncio.Event()
    while (left := moment - clock.now()) > 0:
        if left <= LOOK_SECONDS:
            await clock.sleep(left)
        else:
            await rest(clock, moment, LOOK_SECONDS, never)


class RealClock:
    """The machine's clock."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)

    async def sleep(self, seconds: float) -> None:
        """Return after that many seconds."""
        await asyncio.sleep(seconds)

    async def idle(self, seconds: float) -> None:
        """The same."""
        await asyncio.sleep(seconds)


class Activity:
    """Something during which a virtual clock stands still, except while it sleeps by that clock."""

    __slots__ = ("asleep", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.asleep = 0


_activity: ContextVar[Activity | None] = ContextVar("activity", default=None)

Sleeper = tuple[float, int, asyncio.Future[None]]
"""When it is due, its number, and what wakes it."""

Busy = Callable[[], str]
"""What is under way, in a few words; empty when nothing is."""


class VirtualClock:
    """A clock that moves only when told to: `await clock.advance(3600)` wakes all that were due, in order.

    It moves on only when nothing is left to do at the time it shows: no task that could run, no write or read of the
    database under way, no action that runs. So what happens in virtual time does not depend on how fast the machine is.
    """

    patience: float = 10.0
    """Real seconds to wait for what is under way, before `settle` gives up."""

    def __init__(self, start: float = 1_767_225_600.0) -> None:  # 2026-01-01T00:00:00Z
        self._now = start
        self._offset = 0.0
        self._was_set = False
        self._order = itertools.count()
        self._sleepers: list[Sleeper] = []
        self._idlers: list[Sleeper] = []
        self._parts: list[Busy] = []
        self._activities: dict[Activity, None] = {}

    def now(self) -> float:
        """Seconds since the epoch, UTC."""
        return self._now + self._offset

    def monotonic(self) -> float:
        """Seconds that `set_by` does not change."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Return once the clock was advanced by that much."""
        await self._wait(self._sleepers, seconds)

    async def idle(self, seconds: float) -> None:
        """The same, perhaps later: `advance` makes no stop for it, and wakes it at the next one."""
        await self._wait(self._idlers, seconds)

    def set_by(self, seconds: float) -> None:
        """Set the clock forward, or back, as an operator or NTP does: whoever sleeps notices nothing."""
        self._offset += seconds
        # From here on only looking tells when something is due, so each look is a stop.
        self._was_set = True

    def watch(self, busy: Busy) -> None:
        """Stand still while this part has something under way."""
        self._parts.append(busy)

    @contextmanager
    def held(self, name: str) -> Iterator[Activity]:
        """Stand still while the body runs, except while it sleeps by this clock itself."""
        activity = Activity(name)
        self._activities[activity] = None
        token = _activity.set(activity)
        try:
            yield activity
        finally:
            _activity.reset(token)
            del self._activities[activity]

    @property
    def next_due(self) -> float | None:
        """When the first sleeper is due; None when nobody sleeps."""
        stop = self._stop()
        return stop[0] + self._offset if stop is not None and stop[0] < math.inf else None

    async def settle(self) -> None:
        """Return when nothing is left to do at the time it is now.

        Raises TimeoutError, which names what is under way, when that takes longer than `patience` (real seconds).
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.patience
        turns = 0
        while True:
            # What waits is woken by what runs: only when nobody is left in the loop's queue does everybody wait.
            await asyncio.sleep(0)
            turns += 1
            if _is_idle(loop, turns) and not (busy := self._under_way()):
                return
            if turns % 20 == 0:
                if loop.time() > deadline:
                    raise TimeoutError(
                        f"virtual time cannot go on: after {self.patience:g} s there is still under way: "
                        + (", ".join(busy) if _is_idle(loop, turns) else "a task that never waits")
                    )
                # Threads and other processes need the machine too.
                await asyncio.sleep(0.001)

    async def advance(self, seconds: float) -> None:
        """Move on, waking each sleeper at its own time and letting all that follows happen before the next."""
        end = self._now + seconds
        await self.settle()
        while (stop := self._stop()) is not None and stop[0] <= end:
            self._now = max(self._now, stop[0])
            stop[2].set_result(None)
            self._wake_idlers()
            await self.settle()
        self._now = end
        self._wake_idlers()
        await self.settle()

    def _stop(self) -> Sleeper | None:
        """The sleeper to wake next."""
        for heap in (self._sleepers, self._idlers):
            while heap and heap[0][2].done():
                heapq.heappop(heap)
        heaps = (self._sleepers, self._idlers) if self._was_set else (self._sleepers,)
        return min((heap[0] for heap in heaps if heap), default=None)

    def _wake_idlers(self) -> None:
        while self._idlers and self._idlers[0][0] <= self._now:
            _, _, future = heapq.heappop(self._idlers)
            if not future.done():
                future.set_result(None)

    async def _wait(self, heap: list[Sleeper], seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(heap, (self._now + seconds, next(self._order), future))
        activity = _activity.get()
        if activity is None:
            await future
            return
        activity.asleep += 1
        try:
            await future
        finally:
            activity.asleep -= 1

    def _under_way(self) -> list[str]:
        found = [activity.name for activity in self._activities if not activity.asleep]
        return [*found, *filter(None, (busy() for busy in self._parts))]


_TURNS = 100
"""How many turns a loop is given that does not say whether anything is left to run."""


def _is_idle(loop: asyncio.AbstractEventLoop, turns: int) -> bool:
    """Whether no callback but the caller's is ready to run."""
    # Not public, but there in every version of the standard loop; nothing public says it.
    ready = getattr(loop, "_ready", None)
    return not ready if ready is not None else turns >= _TURNS


def iso(moment: float) -> str:
    """RFC 3339 in UTC with milliseconds: `2026-11-23T09:00:00.000Z`."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_iso(text: str) -> float:
    """Seconds since the epoch of an RFC 3339 time; a time without a zone is UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
