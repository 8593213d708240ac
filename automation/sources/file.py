"""`file`: follows a file of JSON lines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated

from pydantic import Field

from automation.errors import InputError
from automation.model.event import Event
from automation.plugins import source
from automation.sources.follow import Follower, Line, Place
from automation.sources.record import Origin, Records, event_of
from automation.sources.source import Delivery, Rejected, SourceContext

_MAX_EVENTS = 500


class FileSettings(Records):
    """Which file to follow, and what its lines are."""

    path: Path
    """The file; it may come to be later."""
    from_start: bool = True
    """Whether to read, at the very first start, what the file holds already."""
    poll_seconds: Annotated[float, Field(gt=0, le=3600)] = 1.0
    """How often to look for new lines."""
    max_line_bytes: Annotated[int, Field(ge=1024, le=67_108_864)] = 1_048_576
    """A longer line is no event."""


@source("file")
async def file(settings: FileSettings, context: SourceContext) -> AsyncIterator[Delivery | Rejected]:
    """Follow a file of JSON lines, each an event or any object, through rotation and truncation."""
    place = Place.of_position(context.position, settings.path)
    follower = Follower(settings.path, settings.max_line_bytes, place, settings.from_start)
    try:
        if place is None and not settings.from_start:
            # Stored at once: otherwise a restart before the first event would skip what came in between.
            begun = await asyncio.to_thread(follower.begin)
            yield Delivery((), begun.as_position(settings.path))
        while True:
            items = await asyncio.to_thread(_next_items, follower, settings, context.name, context.clock.now)
            for item in items:
                yield item
            if not items:
                await context.clock.sleep(settings.poll_seconds)
    finally:
        follower.close()


def _next_items(
    follower: Follower, settings: FileSettings, name: str, now: Callable[[], float]
) -> list[Delivery | Rejected]:
    items: list[Delivery | Rejected] = []
    events: list[Event] = []
    last: Line | None = None

    def deliver() -> None:
        if last is not None and events:
            items.append(Delivery(tuple(events), last.place_after.as_position(settings.path)))
            events.clear()

    lines = follower.lines()
    for line in lines:
        if line.problem is None and not line.raw.strip():
            continue
        try:
            if line.problem is not None:
                raise InputError(line.problem)
            event = _event(line, settings, name, now)
        except InputError as error:
            deliver()
            place = line.place_after.as_position(settings.path)
            raw = line.raw.decode(errors="replace")
            items.append(Rejected(raw, f"{settings.path}, byte {line.start}: {error}", place))
            continue
        events.append(event)
        last = line
        if len(events) >= _MAX_EVENTS:
            deliver()
    deliver()
    if not items:
        reached = lines[-1].place_after if lines else follower.new_place()
        if reached is not None:
            items.append(Delivery((), reached.as_position(settings.path)))
    return items


def _event(line: Line, settings: FileSettings, name: str, now: Callable[[], float]) -> Event:
    return event_of(line.raw, settings, Origin(f"file:{name}", line.id, now()), "a line")
