"""`duration`: how long the rest of an AND group has held without a break.

Each AND group that speaks of `duration` has one slot. In the tree its `duration` is replaced by `Slot`, so that two
groups of one condition can hold for different times.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from automation.conditions.interpreter import interpret
from automation.conditions.syntax import (
    DURATION,
    And,
    Call,
    Comparison,
    Mistake,
    Name,
    Node,
    Slot,
    children,
    rebuilt,
    walk,
)


@dataclass(frozen=True, slots=True)
class Held:
    """What a held condition is now, and since when the rest of each of its AND groups has been true."""

    value: bool | None
    since: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Threshold:
    """`duration > seconds`, or `>=` where not strict."""

    slot: int
    seconds: float
    strict: bool

    def passed(self, since: float, now: float) -> bool:
        return now - since > self.seconds if self.strict else now - since >= self.seconds

    def due(self, since: float) -> float:
        """The earliest time at which it is passed."""
        time = since + self.seconds
        # The sum is rounded: the timer must not fire one rounding step early and find nothing to do.
        while not self.passed(since, time) and math.isfinite(time):
            time = math.nextafter(time, math.inf)
        return time


@dataclass(frozen=True, slots=True)
class Plan:
    """A condition with its slots: the whole, the rest of each AND group (inner groups first), and what to wait for."""

    tree: Node
    rests: tuple[Node, ...]
    thresholds: tuple[Threshold, ...]


def plan(tree: Node) -> Plan:
    """Gives each AND group that mentions `duration` its slot. Raises `Mistake` where nothing else is in the group."""
    rests: list[Node] = []
    slotted = _slotted(tree, rests)
    loose = next(_durations(slotted), None)
    if loose is not None:
        raise Mistake(loose.column, "duration needs something that holds: write x > 1 AND duration > 5m")
    return Plan(slotted, tuple(rests), tuple(_thresholds(slotted)))


def mentions_duration(tree: Node) -> bool:
    return any(node == DURATION for node in walk(tree))


def _durations(node: Node) -> Iterator[Name]:
    return (found for found in walk(node) if isinstance(found, Name) and found == DURATION)


def _slotted(node: Node, rests: list[Node]) -> Node:
    """The tree with a slot for each `duration` that stands in an AND group; one without a group stays as it is."""
    if not isinstance(node, And):
        return rebuilt(node, [_slotted(child, rests) for child in children(node)])
    parts = [_slotted(conjunct, rests) for conjunct in _flat(node)]
    rest = [part for part in parts if next(_durations(part), None) is None]
    if len(rest) == len(parts) or not rest:
        return And(tuple(parts), node.column)
    slot = len(rests)
    rests.append(rest[0] if len(rest) == 1 else And(tuple(rest), node.column))
    return And(tuple(_filled(part, slot) for part in parts), node.column)


def _flat(node: Node) -> Iterator[Node]:
    if not isinstance(node, And):
        yield node
        return
    for operand in node.operands:
        yield from _flat(operand)


def _filled(node: Node, slot: int) -> Node:
    if node == DURATION:
        return Slot(slot, node.column)
    return rebuilt(node, [_filled(child, slot) for child in children(node)])


_GREATER = {">": True, ">=": False}
_MIRRORED = {"<": True, "<=": False}


def _thresholds(tree: Node) -> Iterator[Threshold]:
    for node in walk(tree):
        if not isinstance(node, Comparison):
            continue
        for operator, left, right in node.pairs:
            if isinstance(right, Slot) and operator in _MIRRORED:
                slot, bound, strict = right, left, _MIRRORED[operator]
            elif isinstance(left, Slot) and operator in _GREATER:
                slot, bound, strict = left, right, _GREATER[operator]
            else:
                continue
            seconds = _constant(bound)
            if seconds is not None:
                yield Threshold(slot.index, seconds, strict)


def _constant(node: Node) -> float | None:
    """The number that an expression without names is worth."""
    if any(isinstance(part, Name | Slot | Call) for part in walk(node)):
        return None
    value = interpret(node, {})
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def next_check(thresholds: Sequence[Threshold], since: Sequence[float | None], now: float) -> float | None:
    """The earliest time at which a threshold that is not passed yet will be, if its group holds until then."""
    due: list[float] = []
    for threshold in thresholds:
        start = since[threshold.slot]
        if start is not None and not threshold.passed(start, now):
            due.append(threshold.due(start))
    return min(due, default=None)
