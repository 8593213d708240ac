"""A scheduler in a world of its own, in virtual time."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from automation.clock import VirtualClock, iso, parse_iso
from automation.model.event import Event, EventReceipt
from automation.schedules.scheduler import Scheduler
from automation.store.statement import Op
from automation.store.statements import DECISION, POSITION, POSITION_DELETE

NINE = parse_iso("2026-11-23T09:00:00Z")


class World:
    """Where everything goes, and what may go wrong there."""

    def __init__(self, start: float = NINE) -> None:
        self.clock = VirtualClock(start)
        self.published: list[Event] = []
        self.positions: dict[str, Any] = {}
        self.decisions: list[tuple[str, str, str]] = []
        self.trouble: Callable[[Event], None] = lambda event: None
        self.scheduler = self.fresh()

    def fresh(self) -> Scheduler:
        """A scheduler as after a restart."""
        self.scheduler = Scheduler(self.clock, self.publish, self.stored, self.commit)
        return self.scheduler

    async def publish(self, event: Event, *, also: Sequence[Op] = ()) -> EventReceipt:
        self.trouble(event)
        # As the engine does it: the second of the same id is a duplicate, and nothing else is written with it.
        if event.id in {known.id for known in self.published}:
            return EventReceipt(event_id=event.id, duplicate=True)
        assert event.time <= self.clock.now(), "it comes before its time"
        self.published.append(event)
        self.keep(also)
        return EventReceipt(event_id=event.id)

    async def stored(self, prefix: str) -> Mapping[str, Any]:
        return {name.removeprefix(prefix): body for name, body in self.positions.items() if name.startswith(prefix)}

    async def commit(self, ops: Sequence[Op]) -> None:
        self.keep(ops)

    def keep(self, ops: Sequence[Op]) -> None:
        for statement, values in ops:
            row = dict(zip(statement.keys, values, strict=True))
            if statement is POSITION:
                self.positions[row["name"]] = json.loads(row["body"])
            elif statement is POSITION_DELETE:
                self.positions.pop(row["where_name"], None)
            elif statement is DECISION:
                assert row["kind"] == "schedule"
                self.decisions.append((row["subject"], row["outcome"], row["reason"]))

    async def run(self, seconds: float) -> None:
        """Let that much time pass."""
        await self.clock.advance(seconds)

    async def away(self, seconds: float) -> Scheduler:
        """Be down that long, and start again with the same schedules."""
        definitions = self.scheduler.definitions.values()
        await self.scheduler.stop()
        await self.clock.advance(seconds)
        scheduler = self.fresh()
        for definition in definitions:
            await scheduler.add(definition)
        await scheduler.start()
        await self.clock.settle()
        return scheduler

    @property
    def at(self) -> list[str]:
        return [f"{event.subject} {iso(event.time)[11:16]}" for event in self.published]
