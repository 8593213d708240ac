"""`count(event.type == 'login_failed', 1m) >= 5`: a condition that is about how many events have come, and when.

It is no property of one event, so that nothing is computed here: it is read, and whoever keeps events follows it.
"""

from __future__ import annotations

from dataclasses import dataclass

from automation.conditions import mistakes
from automation.conditions.condition import compile_condition
from automation.conditions.parser import parse
from automation.conditions.syntax import Call, Comparison, Mistake, Name, Node, Number, to_text
from automation.conditions.units import is_duration
from automation.errors import ConditionError

_TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
LIKE = "count(event.type == 'login_failed', 1m) >= 5"
FEWEST, MOST = 2, 1000
LONGEST = 366 * 86_400.0


@dataclass(frozen=True, slots=True)
class Counting:
    """So many events, of one type, in so many seconds."""

    event_type: str
    condition: str
    """What is true of each of them."""
    count: int
    within: float


def counting(text: str) -> Counting | None:
    """What a condition counts, None if it counts no events; raises ConditionError for one that cannot be followed."""
    try:
        tree = parse(text)
    except ConditionError:
        # Who compiles it says so.
        return None
    found = _parts(tree)
    try:
        return None if found is None else _read(*found)
    except Mistake as mistake:
        raise mistakes.located(text, mistake) from None


def _parts(tree: Node) -> tuple[Call, str, Node] | None:
    """The call, how it is compared, and with what; the call is on the left, whichever side it was written on."""
    if not isinstance(tree, Comparison) or len(tree.operators) != 1:
        return None
    (operator,), (left, right) = tree.operators, tree.operands
    if _counts_events(right):
        left, right, operator = right, left, _TURNED.get(operator, operator)  # type: ignore[assignment]
    return (left, operator, right) if isinstance(left, Call) and _counts_events(left) else None


def _counts_events(node: Node) -> bool:
    """Whether it counts something else than the samples of a metric."""
    return (
        isinstance(node, Call) and node.function == "count" and not isinstance(next(iter(node.arguments), None), Name)
    )


def _read(call: Call, operator: str, most: Node) -> Counting:
    if len(call.arguments) != 2:
        raise Mistake(call.column, f"count() of events takes a condition and a length of time, as in {LIKE}")
    condition, length = call.arguments
    if not isinstance(length, Number) or not is_duration(length.text) or length.value <= 0:
        raise Mistake(length.column, f"the length of time is a duration of more than 0 seconds, as in {LIKE}")
    if length.value > LONGEST:
        raise Mistake(length.column, "events are counted in at most 366 days")
    if operator not in (">", ">=") or not isinstance(most, Number) or most.value != int(most.value):
        raise Mistake(call.column, f"a count of events is compared with a whole number by >= or >, as in {LIKE}")
    count = int(most.value) + (operator == ">")
    if not FEWEST <= count <= MOST:
        raise Mistake(most.column, f"events are counted up to a number from {FEWEST} to {MOST}")
    told = to_text(condition)
    types = compile_condition(told).event_types
    kind = next(iter(types)) if types is not None and len(types) == 1 else ""
    if not kind:
        raise Mistake(condition.column, f"it must say which one event.type is counted, as in {LIKE}")
    return Counting(kind, told, count, float(length.value))
