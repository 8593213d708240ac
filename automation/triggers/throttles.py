"""Fewer starts than events, decided purely: what is remembered and an event go in, what becomes of it comes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from automation.clock import iso
from automation.conditions import Expression

PART = "throttle"
"""What of a trigger is remembered."""

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Limit:
    """A throttle, compiled."""

    way: str
    seconds: float
    count: int = 0
    key: Expression | None = None
    most_keys: int = 0


@dataclass(frozen=True, slots=True)
class Passage:
    """Whether a workflow may start now, and what is remembered if so, or if not."""

    body: Body | None
    until: float | None = None
    outcome: str | None = None
    """Why not, in a word; None if it may."""
    reason: str = ""
    ended: Body | None = None
    """What was gathered before and is due now."""


def step(limit: Limit, known: Body | None, event: Mapping[str, Any], now: float) -> Passage:
    """What becomes of an event that would start the workflow."""
    over = known is not None and now >= known["until"]
    ended, known = (known, None) if over else (None, known)
    until: float = known["until"] if known is not None else now + limit.seconds
    if limit.way == "once_within":
        if known is None:
            return Passage({"until": until}, until)
        return Passage(
            known, until, "throttled", f"once within {limit.seconds:g} s: it has started, not again until {iso(until)}"
        )
    count = 1 + (known["count"] if known is not None else 0)
    if limit.way == "accumulate":
        if count >= limit.count:
            return Passage(None)
        body = {"until": until, "count": count}
        reason = f"{count} of {limit.count} events within {limit.seconds:g} s, until {iso(until)}"
        return Passage(body, until, "accumulating", reason)
    first = known["first"] if known is not None else event
    gathered: Body = {"until": until, "count": count, "first": first, "last": event}
    return Passage(gathered, until, "gathered", f"starts once at {iso(until)}, with what has come until then", ended)


def missed(limit: Limit, known: Body) -> str | None:
    """What is to be said when the time is over and nothing starts."""
    if limit.way != "accumulate":
        return None
    return f"only {known['count']} of {limit.count} events came within {limit.seconds:g} s"
