"""`http_poll`: asks an HTTP server at an interval, and makes events of what is new in its answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from hashlib import sha256
from typing import Annotated, Any

import msgspec
from pydantic import Field

from automation.errors import InputError
from automation.infrastructure.web import Web, get
from automation.plugins import source
from automation.sources import payload
from automation.sources.record import Origin, Records, batch, event_or_rejected
from automation.sources.source import Item, SourceContext

_MAX_DEPTH = 64


class HttpPoll(Records, Web):
    """What is asked, and which parts of the answer are events."""

    interval_seconds: Annotated[float, Field(ge=1, le=86_400)] = 60.0
    """How often to ask."""
    items: str | None = None
    """Where the answer has a list whose items are events: `data.items`, or empty where the answer is the list. Without
    it the whole answer is one event, each time that it has changed."""
    id_key: str | None = None
    """The key of an item that names it; by default its content does."""
    max_items: Annotated[int, Field(ge=1, le=10_000)] = 1000
    """With more items than that in one answer the source fails."""
    parameters: Mapping[str, str] = Field(default_factory=dict)
    """Parameters of the query."""


@source("http_poll")
async def http_poll(settings: HttpPoll, context: SourceContext) -> AsyncIterator[Item]:
    """Ask an HTTP server for JSON at an interval; what was not in its last answer is an event."""
    position = context.position if isinstance(context.position, Mapping) else {}
    known = set(position.get("known", ())) if position.get("url") == settings.place else set()
    while True:
        asked_at = context.clock.now()
        parts = _parts(settings, await get(settings, settings.parameters))
        context.listening()
        whole = settings.items is None
        items = []
        for key, value in parts:
            if key not in known:
                # The whole answer can become again what it was before: then it is new all the same.
                name = f"{key}:{asked_at:.3f}" if whole else key
                origin = Origin(f"http_poll:{context.name}", name, asked_at)
                items.append(event_or_rejected(msgspec.json.encode(value), settings, origin, settings.place))
        known = {key for key, _ in parts}
        if items:
            for told in batch(items, position={"url": settings.place, "known": sorted(known)}):
                yield told
        await context.clock.sleep(settings.interval_seconds)


def _parts(settings: HttpPoll, content: bytes) -> list[tuple[str, Any]]:
    """The parts of an answer that may be events, each with what names it; raises InputError."""
    try:
        value = payload.parse_json(content, max_depth=_MAX_DEPTH)
        if settings.items is None:
            return [(_content_name(value), value)]
        path = ""
        for key in settings.items.split(".") if settings.items else ():
            value = payload.require(payload.check(value, dict, path), key, object, path)
            path = payload.join(path, key)
        found = payload.check(value, list, path)
        if len(found) > settings.max_items:
            raise payload.wrong(path, f"has {len(found)} items, more than max_items ({settings.max_items})")
        return [(_name(settings, item, f"{path}[{number}]"), item) for number, item in enumerate(found)]
    except InputError as error:
        raise InputError(f"{settings.place}: {error.message}") from None


def _name(settings: HttpPoll, item: Any, path: str) -> str:
    if settings.id_key is None:
        return _content_name(item)
    found = payload.check(item, dict, path).get(settings.id_key)
    if isinstance(found, int) and not isinstance(found, bool):
        return str(found)
    return payload.name(found, payload.join(path, settings.id_key))


def _content_name(value: Any) -> str:
    return sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()[:32]
