"""`file`: follows a file of JSON lines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from automation.errors import InputError
from automation.model.event import Event
from automation.plugins import source
from automation.sources import payload
from automation.sources.follow import Follower, Line, Place
from automation.sources.source import Delivery, Rejected, SourceContext
from automation.sources.webhook import SUBJECT_KEYS, subject_of

_EVENT_KEYS = frozenset({"type", "subject", "data", "source", "severity", "labels", "id", "time"})
_MAX_DEPTH = 64
_MAX_EVENTS = 500


class FileSettings(BaseModel):
    """Which file to follow, and what its lines are."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    path: Path
    """The file; it may come to be later."""
    from_start: bool = True
    """Whether to read, at the very first start, what the file holds already."""
    poll_seconds: Annotated[float, Field(gt=0, le=3600)] = 1.0
    """How often to look for new lines."""
    type: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """The type of events for lines that are not events themselves but any JSON object: that becomes their data."""
    type_key: str | None = None
    """The key of such an object that holds a type of its own, to be used instead of `type`."""
    subject_key: str | None = None
    """The key of such an object that holds the subject; by default the first of `subject`, `service`, `service_name`,
    `host` that it has."""
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
    value = payload.parse_json(line.raw, max_depth=_MAX_DEPTH)
    if not isinstance(value, dict):
        raise InputError(f"a line must be an object, not {payload.kind_of(value)}")
    own_source = f"file:{name}"
    if settings.type is not None or settings.type_key is not None:
        if not ("type" in value and value.keys() <= _EVENT_KEYS):
            kind, subject = _kind_and_subject(value, settings)
            return Event(type=kind, subject=subject, data=value, source=own_source, id=line.id, time=now())
    elif unknown := sorted(value.keys() - _EVENT_KEYS):
        raise InputError(
            f"{payload.join('', unknown[0])} is not a key of an event ({', '.join(sorted(_EVENT_KEYS))}); "
            "to take any object as the data of an event, set `type` in the settings of the source"
        )
    severity = value.get("severity")
    return Event(
        type=payload.name(payload.require(value, "type", str), "type", payload.MAX_TYPE),
        subject=payload.name_or_empty(payload.optional(value, "subject", ""), "subject"),
        data=payload.optional(value, "data", {}),
        source=payload.name(payload.optional(value, "source", own_source), "source", payload.MAX_TYPE),
        severity=None if severity is None else payload.name(severity, "severity"),
        labels=payload.texts(value, "labels"),
        id=payload.name(payload.optional(value, "id", line.id), "id"),
        time=_time(value.get("time"), now),
    )


def _kind_and_subject(value: dict[str, Any], settings: FileSettings) -> tuple[str, str]:
    kind = value.get(settings.type_key) if settings.type_key is not None else None
    if kind is None:
        kind = settings.type
    place = payload.join("", settings.type_key or "type")
    if kind is None:
        raise payload.wrong(place, "is required")
    keys = SUBJECT_KEYS if settings.subject_key is None else (settings.subject_key,)
    return payload.name(kind, place, payload.MAX_TYPE), subject_of(value, keys)


def _time(value: Any, now: Callable[[], float]) -> float:
    if value is None:
        return now()
    if isinstance(value, int | float) and not isinstance(value, bool):
        return payload.in_range(value, "time")
    return payload.moment(value, "time")
