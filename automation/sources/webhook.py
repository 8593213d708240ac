"""Events from any JSON that somebody posts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from automation.model.event import Event
from automation.model.ids import new_id
from automation.sources import payload

ID_HEADERS = ("x-event-id", "idempotency-key", "x-github-delivery")
"""Where senders put what is the same for each attempt of one delivery; the first one found counts."""

SUBJECT_KEYS = ("subject", "service", "service_name", "host")
_MAX_SUBJECT = 200


def events_from_json(
    name: str, body: bytes, headers: Mapping[str, str], max_depth: int, signed_id: str | None = None
) -> list[Event]:
    """An object is one event of type `webhook.<name>`, a list of objects one each; anything else is its `value`.

    `signed_id` names the delivery where the sender does not. Raises InputError for what is not JSON.
    """
    value = payload.parse_json(body, max_depth=max_depth)
    given = given_id(headers) or signed_id
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        # One id for all of them would make all but the first duplicates.
        return [_event(name, item, given and f"{given}:{index}") for index, item in enumerate(value)]
    return [_event(name, value if isinstance(value, dict) else {"value": value}, given)]


def given_id(headers: Mapping[str, str]) -> str | None:
    """The id that the sender gave a delivery, or None; raises InputError for an overlong one."""
    lower = {key.lower(): value for key, value in headers.items()}
    for key in ID_HEADERS:
        if lower.get(key):
            return payload.name(lower[key], key)
    return None


def _event(name: str, data: dict[str, Any], event_id: str | None) -> Event:
    return Event(
        type=f"webhook.{name}",
        source=f"webhook:{name}",
        subject=subject_of(data, SUBJECT_KEYS),
        data=data,
        id=event_id or new_id(),
    )


def subject_of(data: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    """The first of the keys that holds something like a name; a subject line or a paragraph is none."""
    for key in keys:
        value = data.get(key)
        if isinstance(value, str) and 0 < len(value) <= _MAX_SUBJECT and value.isprintable():
            return value
    return ""
