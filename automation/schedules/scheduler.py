"""Publishes an event at each time of each schedule: once, however many nodes there are and however often they restart.

What makes it once is the event's id, the schedule's name and the time: the second one is a duplicate. How far each
schedule has been dealt with is stored with the event, so that a restart knows what was missed meanwhile.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from automation.clock import Clock, iso, rest
from automation.errors import InputError, NotFound
from automation.model.event import Event, EventReceipt
from automation.model.schedule import ScheduleDefinition
from automation.schedules.cron import NEVER, Cron, parse_cron
from automation.store import statements
from automation.store.events import Decision
from automation.store.records import save_position
from automation.store.statement import Op

log = logging.getLogger("automation.schedules")

MAKE_UP_SECONDS = 3600.0
"""A missed time is made up for within this; an older one is only recorded."""
RECHECK_SECONDS = 30.0
"""The longest sleep: the clock may be set meanwhile. What is later than this was missed."""
CLOCK_SLACK_SECONDS = 60.0
"""A clock that goes back by less is not worth a word."""
LONGEST_PAUSE = 30.0

POSITION_PREFIX = "schedule."
_MAX_COUNTED = 1000


class Publish(Protocol):
    """Publishes events."""

    def __call__(self, event: Event, *, also: Sequence[Op] = ()) -> Awaitable[EventReceipt]:
        """Return when the event's effects and the writes in `also` are on disk, together; of a duplicate, neither.
        Raises InputError for an event that cannot be accepted."""
        ...


Positions = Callable[[str], Awaitable[Mapping[str, Any]]]
"""All stored positions whose name begins so, without that beginning."""

Commit = Callable[[Sequence[Op]], Awaitable[object]]
"""Returns when the writes are on disk, together."""


@dataclass(frozen=True, slots=True)
class Upcoming:
    """A time at which a schedule will publish."""

    name: str
    at: float
    timezone: str
    workflow: str | None


@dataclass(slots=True, eq=False)
class _Entry:
    definition: ScheduleDefinition
    cron: Cron
    until: float = 0.0
    """Times up to here are dealt with."""
    since: float = 0.0
    """Times before this were due when nobody was here."""
    next: float = NEVER
    told: float = 0.0
    """Times up to here are dealt with or recorded as missed."""
    retry_at: float = 0.0
    pause: float = 0.0

    @property
    def name(self) -> str:
        return self.definition.name

    @property
    def wake_at(self) -> float:
        return max(self.next, self.retry_at)

    def dealt_with(self, moment: float) -> None:
        self.until = self.told = moment
        self.next = self.cron.next_after(moment) if self.definition.enabled else NEVER

    def position(self, until: float, now: float) -> Op:
        return save_position(POSITION_PREFIX + self.name, {"until": until, **self.identity}, now)

    @property
    def identity(self) -> dict[str, Any]:
        # A schedule that was changed or switched off meanwhile has not missed what it would have had now.
        return {"cron": self.cron.text, "timezone": self.cron.timezone, "enabled": self.definition.enabled}


class Scheduler:
    """Waits for the next time of any schedule and publishes its event."""

    def __init__(self, clock: Clock, publish: Publish, positions: Positions, commit: Commit) -> None:
        self._clock = clock
        self._publish = publish
        self._positions = positions
        self._commit = commit
        self._entries: dict[str, _Entry] = {}
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def definitions(self) -> dict[str, ScheduleDefinition]:
        """All schedules, by name: what an event of type `schedule` belongs to is found here by its subject."""
        return {name: entry.definition for name, entry in self._entries.items()}

    async def add(self, definition: ScheduleDefinition) -> None:
        """Follow this schedule, in the place of one of the same name; raises DefinitionError."""
        entry = _Entry(definition, parse_cron(definition.cron, definition.timezone))
        known = self._entries.get(definition.name)
        if known is not None and known.definition == definition:
            return
        if self._task is not None:
            await self._take_up([entry])
        self._entries[definition.name] = entry
        self._changed.set()

    async def remove(self, name: str) -> None:
        """Forget this schedule; raises NotFound."""
        if self._entries.pop(name, None) is None:
            raise NotFound(kind="schedule", name=name)
        self._changed.set()
        if self._task is not None:
            await self._commit([statements.POSITION_DELETE(where_name=POSITION_PREFIX + name)])

    async def start(self) -> None:
        """Begin: find out what was missed, and publish from now on."""
        if self._task is None:
            await self._take_up(list(self._entries.values()))
            self._task = asyncio.get_running_loop().create_task(self._run(), name="scheduler")

    async def stop(self) -> None:
        """End. What becomes due meanwhile is made up for after the next start, within limits."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    def upcoming(self, count: int) -> list[Upcoming]:
        """The next `count` times of all schedules together, soonest first."""
        now = self._clock.now()
        heap = [(entry.cron.next_after(now), name) for name, entry in self._entries.items() if entry.definition.enabled]
        heap = [(at, name) for at, name in heap if at < NEVER]
        heapq.heapify(heap)
        found: list[Upcoming] = []
        while heap and len(found) < count:
            at, name = heap[0]
            entry = self._entries[name]
            found.append(Upcoming(name, at, entry.cron.timezone, entry.definition.workflow))
            following = entry.cron.next_after(at)
            if following < NEVER:
                heapq.heapreplace(heap, (following, name))
            else:
                heapq.heappop(heap)
        return found

    async def _take_up(self, entries: Sequence[_Entry]) -> None:
        stored = await self._positions(POSITION_PREFIX)
        now = self._clock.now()
        new: list[Op] = []
        for entry in entries:
            entry.since = now
            position = stored.get(entry.name)
            if isinstance(position, Mapping) and {**position, **entry.identity} == position:
                entry.dealt_with(float(position["until"]))
            else:
                entry.dealt_with(now)
                # Stored at once: otherwise what a restart before the first time misses would go unnoticed.
                new.append(entry.position(now, now))
        if new:
            await self._commit(new)

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            now = self._clock.now()
            tended = [entry for entry in self._entries.values() if entry.wake_at <= now or self._is_ahead(entry, now)]
            await asyncio.gather(*(self._tend(entry, now) for entry in tended))
            soonest = min((entry.wake_at for entry in self._entries.values()), default=NEVER)
            await rest(self._clock, soonest, RECHECK_SECONDS, self._changed)

    def _is_ahead(self, entry: _Entry, now: float) -> bool:
        return entry.definition.enabled and entry.until > now + CLOCK_SLACK_SECONDS

    async def _tend(self, entry: _Entry, now: float) -> None:
        try:
            if self._is_ahead(entry, now):
                await self._go_back(entry, now)
            else:
                await self._fire(entry, now)
        except Exception as error:
            # The other schedules must not wait for this one; it is tried again, and nothing of it is lost.
            entry.pause = min(max(entry.pause * 2, 1.0), LONGEST_PAUSE)
            entry.retry_at = self._clock.now() + entry.pause
            log.warning("schedule %s: not published, trying again: %s", entry.name, error, exc_info=error)
        else:
            entry.pause = entry.retry_at = 0.0

    async def _go_back(self, entry: _Entry, now: float) -> None:
        reason = f"the clock went back from {iso(entry.until)} to {iso(now)}; times already published stay so"
        await self._commit([self._decision(entry, now, "clock_went_back", reason), entry.position(now, now)])
        entry.dealt_with(now)

    async def _fire(self, entry: _Entry, now: float) -> None:
        at = entry.cron.latest_before(now)
        made_up = now - at <= MAKE_UP_SECONDS
        if (missed := _missed(entry, at, made_up)) is not None:
            reason, last = missed
            await self._commit([self._decision(entry, now, "missed", reason)])
            # Not `at`: if it cannot be published now, it may be missed itself by the time it is tried again.
            entry.told = last
        if made_up:
            await self._publish_at(entry, at, now)
        else:
            await self._commit([entry.position(at, now)])
        entry.dealt_with(at)

    async def _publish_at(self, entry: _Entry, at: float, now: float) -> None:
        late = max(0.0, now - at)
        event = Event(
            type="schedule",
            source="schedule",
            subject=entry.name,
            id=f"{entry.name}:{iso(at)}",
            time=at,
            data={
                **entry.definition.variables,
                "schedule": entry.name,
                "scheduled_at": at,
                "late_seconds": late,
                "missed": at < entry.since or late > RECHECK_SECONDS,
            },
        )
        position = entry.position(at, now)
        try:
            receipt = await self._publish(event, also=[position])
            if receipt.duplicate:
                await self._commit([position])
        except InputError as error:
            refused = self._decision(entry, now, "refused", str(error), event)
            await self._commit([refused, position])

    def _decision(self, entry: _Entry, now: float, outcome: str, reason: str, event: Event | None = None) -> Op:
        log.warning("schedule %s: %s", entry.name, reason)
        return Decision(
            at=now,
            kind="schedule",
            subject=entry.name,
            outcome=outcome,
            reason=reason,
            event_source=event.source if event else None,
            event_id=event.id if event else None,
        ).op()


def _missed(entry: _Entry, latest: float, made_up: bool) -> tuple[str, float] | None:
    """What is to be recorded of the times before `latest`, and of itself if it is not made up for; and up to when."""
    first, last, count = 0.0, 0.0, 0
    at = entry.cron.next_after(entry.told)
    while at < latest or (at == latest and not made_up):
        first, last, count = first or at, at, count + 1
        if count > _MAX_COUNTED:
            last = latest
            break
        at = entry.cron.next_after(at)
    if not count:
        return None
    span = iso(first) if count == 1 else f"{iso(first)} to {iso(last)}"
    number = f"more than {_MAX_COUNTED}" if count > _MAX_COUNTED else str(count)
    end = (
        f"; made up for by the one of {iso(latest)}"
        if made_up
        else f"; none is made up for after {MAKE_UP_SECONDS / 60:.0f} minutes"
    )
    return f"{number} missed while nothing ran to publish it: {span}{end}", last
