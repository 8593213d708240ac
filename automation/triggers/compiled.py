"""A trigger, compiled: what it watches for, and the terms on which it starts its workflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from automation.conditions import (
    Condition,
    Expression,
    compile_condition,
    compile_expression,
    compile_measured,
    seconds_of,
)
from automation.model.metric import KEPT_SECONDS, UNITS
from automation.model.trigger import (
    AbsenceTrigger,
    Automatic,
    CountTrigger,
    MetricTrigger,
    Part,
    Pattern,
    Throttle,
)
from automation.triggers import patterns
from automation.triggers.hours import Hours, hours_of
from automation.triggers.patterns import Piece
from automation.triggers.throttles import Limit

LONGEST_KEY = 200
VALUE = "value"
"""The name of a metric's value in the condition of a threshold."""
STEPS = "steps"
"""The name under which a condition of a sequence reads the events of earlier parts."""


@dataclass(frozen=True, slots=True, eq=False)
class Threshold:
    """A metric and how it is beyond a threshold."""

    metric: str
    text: str
    """What people read."""
    beyond: Condition
    """Of `VALUE`."""
    seconds: float
    subject: str | None
    labels: frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True, eq=False)
class Compiled:
    """One trigger of one workflow."""

    name: str
    workflow: str
    kind: str
    digest: str
    """Of its definition: what another one has remembered means nothing to it."""
    off: str = ""
    """Why it starts nothing by its definition, if it does not."""
    priority: int = 0
    stop: bool = False
    cooldown: float = 0.0
    limit: Limit | None = None
    hours: Hours | None = None
    pattern: patterns.Pattern | None = None
    threshold: Threshold | None = None
    pieces: tuple[Part, ...] = field(default=())

    @property
    def event_type(self) -> str:
        """The type of the event that it makes when a pattern is complete or a threshold is passed."""
        return f"trigger.{self.kind}"


def compiled_of(name: str, workflow: str, trigger: Automatic, *, enabled: bool) -> Compiled:
    """Compile a trigger; raises ConditionError, ValueError or KeyError for what is wrong with it."""
    text = f"{trigger.type} {trigger.model_dump_json(exclude_defaults=True)}"
    pieces = pieces_of(trigger)
    return Compiled(
        name,
        workflow,
        trigger.type,
        sha256(text.encode()).hexdigest()[:16],
        "" if enabled and trigger.enabled else f"the {'trigger' if enabled else 'workflow'} is disabled",
        trigger.priority,
        trigger.stop,
        _seconds(trigger.cooldown),
        _limit(trigger.throttle),
        hours_of(trigger.active_hours) if trigger.active_hours is not None else None,
        _pattern(trigger, pieces) if isinstance(trigger, Pattern) else None,
        _threshold(trigger) if isinstance(trigger, MetricTrigger) else None,
        pieces,
    )


def pieces_of(trigger: Automatic) -> tuple[Part, ...]:
    """The events of a pattern; of an absence, what is missed and then what arms it."""
    if isinstance(trigger, CountTrigger | AbsenceTrigger):
        first = Part(event=trigger.event, condition=trigger.condition)
        after = trigger.after if isinstance(trigger, AbsenceTrigger) else None
        return (first,) if after is None else (first, after)
    return getattr(trigger, "events", ())


def condition_of(part: Part) -> tuple[Condition | None, Condition | None]:
    """The condition of a part: on the event alone, or on the events of earlier parts as well."""
    condition = compile_measured(part.condition, units=UNITS, kept=KEPT_SECONDS) if part.condition is not None else None
    return (None, condition) if condition is not None and STEPS in condition.names else (condition, None)


def key_text(value: Any) -> str | None:
    """The text of a key; None where the event has none."""
    if value is None:
        return None
    text = value if isinstance(value, str) else repr(_one_way(value))
    # NUL is no text to PostgreSQL.
    if len(text) <= LONGEST_KEY and "\0" not in text:
        return text
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _one_way(value: Any) -> Any:
    """What is equal, written in one way: `2.0` as `2`, and the keys of a mapping in one order."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list | tuple):
        return [_one_way(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _one_way(value[key]) for key in sorted(value, key=str)}
    return value


def _seconds(length: float | str | None) -> float:
    return 0.0 if length is None else seconds_of(length)


def _expression(text: str | None) -> Expression | None:
    return None if text is None else compile_expression(text)


def _limit(throttle: Throttle | None) -> Limit | None:
    if throttle is None:
        return None
    key = _expression(throttle.key)
    if throttle.accumulate is not None:
        return Limit(
            "accumulate", seconds_of(throttle.accumulate.within), throttle.accumulate.count, key, throttle.most_keys
        )
    if throttle.once_after is not None:
        return Limit("once_after", seconds_of(throttle.once_after), 0, key, throttle.most_keys)
    return Limit("once_within", _seconds(throttle.once_within), 0, key, throttle.most_keys)


def _pattern(trigger: Pattern, parts: tuple[Part, ...]) -> patterns.Pattern:
    return patterns.Pattern(
        trigger.type,
        tuple(Piece(part.event, part.title, condition_of(part)[1]) for part in parts),
        _seconds(getattr(trigger, "within", None)),
        trigger.count if isinstance(trigger, CountTrigger) else 0,
        _expression(trigger.key),
        trigger.most_keys,
    )


def _threshold(trigger: MetricTrigger) -> Threshold:
    compared = f"{trigger.operator} {trigger.threshold}"
    # Not by its own name: in a condition, `node.cpu` and `cpu-usage` are no names, and `duration` is another thing.
    unit = UNITS.get(trigger.metric)
    beyond = compile_condition(f"{VALUE} {compared}", units={VALUE: unit} if unit is not None else None)
    labels = frozenset(trigger.labels.items())
    text = f"{trigger.metric} {compared}"
    return Threshold(trigger.metric, text, beyond, _seconds(trigger.duration), trigger.subject, labels)
