"""Events that come in over HTTP: read strictly, checked all together, published all or none, answered when durable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.responses import Response

from automation.api.operations import JSON
from automation.engine import AutomationEngine
from automation.errors import InputError, TooManyRequests
from automation.model.event import Event, EventReceipt
from automation.sources import payload

MOST_EVENTS = 1000
"""How many events one request may hold."""

_HEADERS = {"Cache-Control": "no-store"}
_encode = msgspec.json.Encoder().encode
_KEYS = frozenset(field.name for field in msgspec.structs.fields(Event))


class Receipts(msgspec.Struct, frozen=True, kw_only=True):
    """What became of each event, in the order in which they were sent. All of it is on disk."""

    receipts: tuple[EventReceipt, ...]
    truncated: int = 0
    """How many alerts the sender said that it left out."""


async def publish_all(engine: AutomationEngine, events: Sequence[Event], truncated: int = 0) -> Response:
    """Publish events, none if one of them is refused; raises InputError that says which.

    Raises TooManyRequests while so many wait for the disk that more would only fill the memory.
    """
    refuse_overload(engine)
    if len(events) == 1:
        receipts = [await engine.publish(events[0])]
    else:
        receipts = await engine.publish_many(events)
    return Response(_encode(Receipts(receipts=tuple(receipts), truncated=truncated)), 202, _HEADERS, JSON)


def refuse_overload(engine: AutomationEngine) -> None:
    """Raise TooManyRequests while enough waits for the disk: before a request is read, that costs nearly nothing."""
    most = engine.config.events.max_waiting
    if engine.triggers.dispatcher.waiting >= most or engine.store.pending >= most:
        raise TooManyRequests(retry_after=1.0)


def read_events(body: bytes, max_depth: int) -> list[Event]:
    """The event, or the list of events, of a body; raises InputError that says what is wrong and where."""
    value = payload.parse_json(body, max_depth=max_depth)
    if not isinstance(value, list):
        return [_event(value, "")]
    if len(value) > MOST_EVENTS:
        raise InputError(f"{len(value)} events in one request; send at most {MOST_EVENTS}")
    return [_event(item, f"[{index}]") for index, item in enumerate(value)]


def _event(value: Any, path: str) -> Event:
    if not isinstance(value, dict):
        raise payload.wrong(path, f"an event must be an object, not {payload.kind_of(value)}")
    unknown = value.keys() - _KEYS
    if unknown:
        raise payload.wrong(payload.join(path, min(unknown)), f"unknown key; an event has {', '.join(sorted(_KEYS))}")
    time = value.get("time")
    if isinstance(time, str):
        value["time"] = payload.moment(time, payload.join(path, "time"))
    elif isinstance(time, int | float) and not isinstance(time, bool):
        value["time"] = payload.in_range(time, payload.join(path, "time"))
    try:
        return msgspec.convert(value, Event)
    except msgspec.ValidationError as error:
        if isinstance(value.get("labels"), dict):
            # It does not say which of them is wrong.
            payload.texts(value, "labels", path)
        message, _, place = str(error).partition(" - at `$")
        where = path + place.rstrip("`")
        raise payload.wrong(where.removeprefix("."), message.replace("`", "")) from None
