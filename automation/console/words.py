"""How times, durations and values are put in words. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from automation.model.large import LargeValue

LONGEST_JSON = 20_000
"""Characters of a value that a page shows; the rest is for the REST API."""


def duration(seconds: float | None) -> str:
    """A length of time as a person would say it: `12 ms`, `3.2 s`, `1 min 15 s`, `2 d 3 h`."""
    if seconds is None:
        return ""
    seconds = max(0.0, seconds)
    if seconds < 0.9995:
        return f"{round(seconds * 1000)} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for large, small, size, part in (("d", "h", 86400, 3600), ("h", "min", 3600, 60), ("min", "s", 60, 1)):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {large} {rest} {small}" if rest else f"{whole // size} {large}"
    return f"{whole} s"


def ago(at: float, now: float) -> str:
    """How far a moment is from now, coarsely: `12 s ago`, `3 min ago`, `in 2 h`. `console.js` says the same."""
    distance = abs(now - at)
    if not math.isfinite(distance):
        return "at no time"
    if distance < 1:
        return "now"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if distance >= size:
            text = f"{int(distance // size)} {unit}"
            break
    else:
        text = f"{int(distance)} s"
    return f"{text} ago" if at <= now else f"in {text}"


def moment(at: float) -> str:
    """A moment in UTC, to the millisecond: `2026-11-23 03:18:00.250 UTC`."""
    return _utc(at, " ", " UTC")


def stamp(at: float) -> str:
    """A moment as machines read it: `2026-11-23T03:18:00.250Z`."""
    return _utc(at, "T", "Z")


def _utc(at: float, middle: str, end: str) -> str:
    try:
        when = datetime.fromtimestamp(at, UTC)
    except (ValueError, OverflowError, OSError):
        # An event may carry any number as its time.
        return f"{at:g} s"
    return when.strftime(f"%Y-%m-%d{middle}%H:%M:%S.") + f"{when.microsecond // 1000:03d}{end}"


def as_json(value: Any) -> str:
    """A value as indented JSON, cut off where it is too long to look at."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=_plain)
    if len(text) > LONGEST_JSON:
        return f"{text[:LONGEST_JSON]}\n… and {len(text) - LONGEST_JSON} characters more"
    return text


def brief(value: Any, limit: int = 100) -> str:
    """A value in one line."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=_plain)
    text = " ".join(text.split())
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _plain(value: Any) -> Any:
    return value.as_reference() if isinstance(value, LargeValue) else str(value)


def large_in(value: Any) -> list[LargeValue]:
    """The large values for which references stand within a value, each once."""
    if isinstance(value, LargeValue):
        return [value]
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return list(dict.fromkeys(found for item in items for found in large_in(item)))


def size(count: int) -> str:
    """A number of bytes as a person would say it: `300 bytes`, `65.5 kB`, `12 MB`."""
    amount, unit = float(count), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{count} bytes" if unit == "bytes" else f"{amount:.3g} {unit}"


def failure(error: Mapping[str, Any]) -> str:
    """An error as stored, in one line: its kind, and what it says."""
    kind, message = str(error.get("type", "error")), str(error.get("message", ""))
    return message if message.lower().startswith(kind.lower()) else f"{kind}: {message}"


def fit(text: str, width: float, size: float, *, bold: bool = False) -> str:
    """The text, cut off with an ellipsis where it would be wider than `width` in a sans-serif font of that size."""
    room = width - size * _ELLIPSIS
    used = 0.0
    for place, letter in enumerate(text):
        used += _advance(letter) * size * (1.06 if bold else 1.0)
        if used > width:
            return text[: _fitting(text, room, size, bold)] + "…" if place else text[:1]
    return text


_ELLIPSIS = 0.9
_NARROW = frozenset("ijlI.,:;'|!()[]ft ")
_WIDE = frozenset("mwMW@%")


def _advance(letter: str) -> float:
    # Generous for the fonts that browsers take as `system-ui`; DejaVu Sans is the widest of them.
    if letter in _NARROW:
        return 0.40
    if letter in _WIDE:
        return 1.0
    if ord(letter) > 0x2E80:
        return 1.05
    return 0.72 if letter.isupper() or letter == "_" else 0.63


def _fitting(text: str, room: float, size: float, bold: bool) -> int:
    used = 0.0
    for place, letter in enumerate(text):
        used += _advance(letter) * size * (1.06 if bold else 1.0)
        if used > room:
            return max(place, 1)
    return len(text)
