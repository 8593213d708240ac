"""Refuses an event that could not be stored, before anything comes of it."""

from __future__ import annotations

from collections.abc import Mapping

from automation.clock import FIRST_MOMENT, LAST_MOMENT
from automation.errors import InputError
from automation.model.event import Event
from automation.store.store import encode

LIMITS = (("type", 200), ("source", 200), ("id", 500), ("subject", 500))
"""The longest of each text of an event, in characters."""
_SHORTEST = min(limit for _, limit in LIMITS)


def check(event: Event) -> None:
    """Refuse an event that could not be stored; raises InputError."""
    if not _plain(event):
        _check_texts(event)
    # Not a number, it would be no time on disk: SQLite says then that it has such an event already.
    if not isinstance(event.time, int | float) or not FIRST_MOMENT <= event.time <= LAST_MOMENT:
        raise InputError("event.time: must be seconds since 1970, within the years 1 to 9999")
    if not isinstance(event.data, dict):
        raise InputError(f"event.data: must be a mapping, not {type(event.data).__name__}")
    try:
        encode(event.data)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"event.data: cannot be stored as JSON: {error}") from None
    # Nearly all have none, and to ask what is a mapping costs more than all that is asked above.
    if event.labels or type(event.labels) is not dict:
        if not isinstance(event.labels, Mapping):
            raise InputError(f"event.labels: must be a mapping, not {type(event.labels).__name__}")
        try:
            encode(event.labels)
        except (TypeError, ValueError) as error:
            raise InputError(f"event.labels: cannot be stored as JSON: {error}") from None


def _plain(event: Event) -> bool:
    """Whether its texts are beyond doubt, as nearly all are: seen with one look at all of them."""
    try:
        text = "".join((event.type, event.source, event.id, event.subject, event.severity or ""))
    except TypeError:
        return False
    named = event.type and event.source and event.id
    return bool(named) and len(text) <= _SHORTEST and text.isascii() and "\0" not in text


def _check_texts(event: Event) -> None:
    for name, limit in LIMITS:
        value = getattr(event, name)
        if not isinstance(value, str) or len(value) > limit:
            raise InputError(f"event.{name}: must be text of at most {limit} characters")
        _check_text(name, value)
    if not event.type or not event.source or not event.id:
        raise InputError("event: type, source and id must not be empty")
    if event.severity is not None:
        if not isinstance(event.severity, str):
            raise InputError(f"event.severity: must be text, not {type(event.severity).__name__}")
        _check_text("severity", event.severity)


def _check_text(name: str, value: str) -> None:
    # No database takes these. Refused only there, one would fail whoever sends it again and again.
    if "\0" in value:
        raise InputError(f"event.{name}: must not contain NUL")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InputError(f"event.{name}: must not contain half of a surrogate pair") from None
