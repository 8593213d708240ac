"""A record that is an event, or any JSON that becomes the data of one: what files and brokers carry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from automation.errors import InputError
from automation.model.event import Event
from automation.sources import payload
from automation.sources.source import Delivery, Item, Rejected
from automation.sources.webhook import SUBJECT_KEYS, subject_of

EVENT_KEYS = frozenset({"type", "subject", "data", "source", "severity", "labels", "id", "time"})
_MAX_DEPTH = 64

TypeName = Annotated[str, Field(min_length=1, max_length=200)]


class Records(BaseModel):
    """How records become events."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    type: TypeName | None = None
    """The type of events for records that are not events themselves but any JSON object: that becomes their data."""
    type_key: str | None = None
    """The key of such an object that holds a type of its own, to be used instead of `type`."""
    subject_key: str | None = None
    """The key of such an object that holds the subject; by default the first of `subject`, `service`, `service_name`,
    `host` that it has."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What a record does not say itself: where it comes from, what names it there, when it came."""

    source: str
    id: str
    time: float
    subject: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


def event_of(raw: bytes, settings: Records, origin: Origin, what: str, *, values: bool = False) -> Event:
    """The event of a record; raises InputError that says what is wrong with it.

    With `values`, any other JSON is taken where a `type` is set, as `{"value": ...}`.
    """
    value = payload.parse_json(raw, max_depth=_MAX_DEPTH)
    if values and settings.type is not None and not isinstance(value, dict):
        value = {"value": value}
    if not isinstance(value, dict):
        raise InputError(f"{what} must be an object, not {payload.kind_of(value)}")
    if settings.type is not None or settings.type_key is not None:
        if not ("type" in value and value.keys() <= EVENT_KEYS):
            kind, subject = _kind_and_subject(value, settings)
            return Event(
                type=kind,
                subject=subject or origin.subject,
                data=value,
                source=origin.source,
                labels=dict(origin.labels),
                id=origin.id,
                time=origin.time,
            )
    elif unknown := sorted(value.keys() - EVENT_KEYS):
        raise InputError(
            f"{payload.join('', unknown[0])} is not a key of an event ({', '.join(sorted(EVENT_KEYS))}); "
            "to take any object as the data of an event, set `type` in the settings of the source"
        )
    severity = value.get("severity")
    return Event(
        type=payload.name(payload.require(value, "type", str), "type", payload.MAX_TYPE),
        subject=payload.name_or_empty(payload.optional(value, "subject", origin.subject), "subject"),
        data=payload.optional(value, "data", {}),
        source=payload.name(payload.optional(value, "source", origin.source), "source", payload.MAX_TYPE),
        severity=None if severity is None else payload.name(severity, "severity"),
        labels={**origin.labels, **payload.texts(value, "labels")},
        id=payload.name(payload.optional(value, "id", origin.id), "id"),
        time=_time(value.get("time"), origin.time),
    )


def event_or_rejected(raw: bytes, settings: Records, origin: Origin, place: str) -> Event | Rejected:
    """The event of a message; or, if it is none, that with its text and the place where it was."""
    try:
        return event_of(raw, settings, origin, "a message", values=True)
    except InputError as error:
        return Rejected(raw.decode(errors="replace"), f"{place}: {error.message}")


def told_time(seconds: float, now: float) -> float:
    """`seconds` since the epoch where they are a date at all, else `now`: brokers pass on what a sender wrote."""
    return seconds if payload.FIRST_MOMENT <= seconds <= payload.LAST_MOMENT else now


def batch(items: Sequence[Event | Rejected], *, position: Any = None, lag: int | None = None) -> Iterator[Item]:
    """What is yielded for what was taken at a time: each that is no event, then all events in one delivery."""
    yield from (item for item in items if isinstance(item, Rejected))
    events = tuple(item for item in items if isinstance(item, Event))
    if events or position is not None:
        yield Delivery(events, position, lag)


def _kind_and_subject(value: dict[str, Any], settings: Records) -> tuple[str, str]:
    kind = value.get(settings.type_key) if settings.type_key is not None else None
    if kind is None:
        kind = settings.type
    place = payload.join("", settings.type_key or "type")
    if kind is None:
        raise payload.wrong(place, "is required")
    keys = SUBJECT_KEYS if settings.subject_key is None else (settings.subject_key,)
    return payload.name(kind, place, payload.MAX_TYPE), subject_of(value, keys)


def _time(value: Any, now: float) -> float:
    if value is None:
        return now
    if isinstance(value, int | float) and not isinstance(value, bool):
        return payload.in_range(value, "time")
    return payload.moment(value, "time")
