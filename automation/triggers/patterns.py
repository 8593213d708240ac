"""Patterns of several events, decided purely: a partial match and an event, or a time, go in; the next partial match
comes out, and what has come of it.

Time is when events are taken in. Each partial match says until when it lives; at that time it is over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from automation.conditions import Condition, Expression

PART = "pattern"
"""What of a trigger is remembered."""

Body = dict[str, Any]
Seen = Mapping[str, Any]
"""An event, as a mapping."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One of the events of a pattern."""

    event: str
    name: str
    later: Condition | None = None
    """A condition that reads `steps`, the events of earlier parts."""


@dataclass(frozen=True, slots=True, eq=False)
class Pattern:
    """A trigger over several events, compiled."""

    kind: str
    pieces: tuple[Piece, ...]
    within: float = 0.0
    count: int = 0
    key: Expression | None = None
    most_keys: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """The next partial match, until when it lives, and the data of the matches that are complete."""

    body: Body | None
    until: float | None = None
    matches: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event, when it was taken in, and which pieces it is."""

    event: Seen
    at: float
    fitting: Sequence[int]
    """The pieces whose type and own condition it fits."""
    fits: Callable[[int, Mapping[str, Any]], bool] = lambda place, steps: True
    """Whether it is this piece also in view of the events of earlier pieces, by name."""


def advance(pattern: Pattern, known: Body | None, arrival: Arrival) -> Outcome:
    """What an event that fits some of the pieces makes of a partial match."""
    before: list[dict[str, Any]] = []
    if known is not None and arrival.at >= known["until"]:
        # Its time is over, and nobody has looked yet.
        before, known = expire(pattern, known).matches, None
    outcome = _STEPS[pattern.kind](pattern, known, arrival)
    return Outcome(outcome.body, outcome.until, before + outcome.matches)


def expire(pattern: Pattern, known: Body) -> Outcome:
    """What comes of a partial match whose time is over."""
    if pattern.kind == "not_all":
        come = _steps(pattern, [step and step[1] for step in known["steps"]])
        missing = [piece.name for piece, step in zip(pattern.pieces, known["steps"], strict=True) if step is None]
        return Outcome(None, None, [{"steps": come, "missing": missing, "first_at": known["since"]}])
    if pattern.kind == "absence":
        last = known["last"]
        return Outcome(None, None, [{"last": last, "missing": [pattern.pieces[0].name], "first_at": known["since"]}])
    return Outcome(None)


def _steps(pattern: Pattern, events: Sequence[Seen | None]) -> dict[str, Seen]:
    named = zip(pattern.pieces, events, strict=False)
    return {piece.name: event for piece, event in named if event is not None}


def _any(pattern: Pattern, known: Body | None, arrival: Arrival) -> Outcome:
    come = {pattern.pieces[place].name: arrival.event for place in arrival.fitting}
    return Outcome(None, None, [{"steps": come, "first_at": arrival.at}])


def _all(pattern: Pattern, known: Body | None, arrival: Arrival) -> Outcome:
    """Of each piece the latest event counts: if those are not close enough, no older ones are."""
    steps: list[Any] = list(known["steps"]) if known is not None else [None] * len(pattern.pieces)
    steps = [step if step is not None and arrival.at < step[0] else None for step in steps]
    for place in arrival.fitting:
        steps[place] = [arrival.at + pattern.within, arrival.event]
    if None not in steps:
        first = min(step[0] for step in steps) - pattern.within
        return Outcome(None, None, [{"steps": _steps(pattern, [step[1] for step in steps]), "first_at": first}])
    until = max(step[0] for step in steps if step is not None)
    return Outcome({"until": until, "steps": steps}, until)


def _sequence(pattern: Pattern, known: Body | None, arrival: Arrival) -> Outcome:
    """Of all ways to have come so far, the one that began last counts: no other has more time left.

    `runs[n]` is the way to have the first n+1 pieces: until when it lives, and the events.
    """
    runs: list[Any] = list(known["runs"]) if known is not None else [None] * len(pattern.pieces)
    runs = [run if run is not None and arrival.at < run[0] else None for run in runs]
    for place in sorted(arrival.fitting, reverse=True):
        before: Any = [arrival.at + pattern.within, []] if place == 0 else runs[place - 1]
        if before is None or not arrival.fits(place, _steps(pattern, before[1])):
            continue
        if runs[place] is None or before[0] >= runs[place][0]:
            runs[place] = [before[0], [*before[1], arrival.event]]
    if runs[-1] is not None:
        until, events = runs[-1]
        return Outcome(None, None, [{"steps": _steps(pattern, events), "first_at": until - pattern.within}])
    living = [run[0] for run in runs if run is not None]
    return Outcome({"until": max(living), "runs": runs}, max(living)) if living else Outcome(None)


def _not_all(pattern: Pattern, known: Body | None, arrival: Arrival) -> Outcome:
    steps: list[Any] = list(known["steps"]) if known is not None else [None] * len(pattern.pieces)
    until: float = known["until"] if known is not None else arrival.at + pattern.within
    for place in arrival.fitting:
        steps[place] = steps[place] or [arrival.at, arrival.event]
    if None not in steps:
        return Outcome(None)
    since = known["since"] if known is not None else arrival.at
    return Outcome({"until": until, "since": since, "steps": steps}, until)


def _count(pattern: Pattern, known: Body | None, arrival: Arrival) -> Outcome:
    untils = [until for until in (known["untils"] if known is not None else ()) if arrival.at < until]
    untils.append(arrival.at + pattern.within)
    if len(untils) >= pattern.count:
        found = {"count": len(untils), "last": arrival.event, "first_at": untils[0] - pattern.within}
        return Outcome(None, None, [found])
    # Not always the newest: the clock may have been set back.
    return Outcome({"until": max(untils), "untils": untils}, max(untils))


def _absence(pattern: Pattern, known: Body | None, arrival: Arrival) -> Outcome:
    """The first piece is what is missed; the second, if there is one, arms it."""
    armed = len(pattern.pieces) == 1 or 1 in arrival.fitting
    if 0 in arrival.fitting:
        known = None
    if not armed:
        return Outcome(known, known["until"] if known is not None else None)
    # One that waits already goes on waiting from its own beginning.
    body = known or {"until": arrival.at + pattern.within, "since": arrival.at, "last": arrival.event}
    return Outcome(body, body["until"])


_STEPS = {
    "any": _any,
    "all": _all,
    "sequence": _sequence,
    "not_all": _not_all,
    "count": _count,
    "absence": _absence,
}
