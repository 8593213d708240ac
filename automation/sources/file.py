"""`file`: follows a file of JSON lines."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from automation.model.event import Event
from automation.plugins import source
from automation.sources.follow import Line
from automation.sources.lines import Lines, followed
from automation.sources.record import Origin, Records, event_of
from automation.sources.source import Delivery, Rejected, SourceContext


class FileSettings(Records, Lines):
    """Which file to follow, and what its lines are."""


@source("file")
async def file(settings: FileSettings, context: SourceContext) -> AsyncIterator[Delivery | Rejected]:
    """Follow a file of JSON lines, each an event or any object, through rotation and truncation."""

    def read(line: Line) -> Event:
        origin = Origin(f"file:{context.name}", line.id, context.clock.now())
        return event_of(line.raw, settings, origin, "a line")

    async with aclosing(followed(settings, context, read)) as items:  # type: ignore[type-var]
        async for item in items:
            yield item
