"""Following a file that others append lines to: what the sources that read files have in common."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from automation.errors import InputError
from automation.model.event import Event
from automation.sources.follow import Follower, Line, Place
from automation.sources.source import Delivery, Rejected, SourceContext

_MAX_EVENTS = 500

Read = Callable[[Line], Event | None]
"""The event of a line, or None for one that is of no interest; raises InputError. Called in a thread."""


class Lines(BaseModel):
    """Which file to follow."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    path: Path
    """The file; it may come to be later."""
    from_start: bool = True
    """Whether to read, at the very first start, what the file holds already."""
    poll_seconds: Annotated[float, Field(gt=0, le=3600)] = 1.0
    """How often to look for new lines."""
    max_line_bytes: Annotated[int, Field(ge=1024, le=67_108_864)] = 1_048_576
    """A longer line is no event."""


async def followed(settings: Lines, context: SourceContext, read: Read) -> AsyncIterator[Delivery | Rejected]:
    """What `read` makes of each line, with the place behind it, through rotation and truncation."""
    place = Place.of_position(context.position, settings.path)
    follower = Follower(settings.path, settings.max_line_bytes, place, settings.from_start)
    try:
        if place is None and not settings.from_start:
            # Stored at once: otherwise a restart before the first event would skip what came in between.
            begun = await asyncio.to_thread(follower.begin)
            yield Delivery((), begun.as_position(settings.path))
        while True:
            items = await asyncio.to_thread(_next_items, follower, settings.path, read)
            context.listening()
            for item in items:
                yield item
            if not items:
                await context.clock.sleep(settings.poll_seconds)
    finally:
        follower.close()


def _next_items(follower: Follower, path: Path, read: Read) -> list[Delivery | Rejected]:
    items: list[Delivery | Rejected] = []
    events: list[Event] = []
    last: Line | None = None

    def deliver() -> None:
        if last is not None and events:
            items.append(Delivery(tuple(events), last.place_after.as_position(path)))
            events.clear()

    lines = follower.lines()
    for line in lines:
        if line.problem is None and not line.raw.strip():
            continue
        try:
            if line.problem is not None:
                raise InputError(line.problem)
            event = read(line)
        except InputError as error:
            deliver()
            raw = line.raw.decode(errors="replace")
            items.append(Rejected(raw, f"{path}, byte {line.start}: {error}", line.place_after.as_position(path)))
            continue
        if event is None:
            continue
        events.append(event)
        last = line
        if len(events) >= _MAX_EVENTS:
            deliver()
    deliver()
    if not items:
        reached = lines[-1].place_after if lines else follower.new_place()
        if reached is not None:
            items.append(Delivery((), reached.as_position(path)))
    return items
