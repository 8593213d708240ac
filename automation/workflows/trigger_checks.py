"""What is wrong with the triggers of a workflow. Pure: a definition goes in, what was found comes out with its path."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

from automation.conditions import compile_expression, compile_measured, seconds_of
from automation.errors import ConditionError
from automation.model.metric import KEPT_SECONDS, UNITS
from automation.model.trigger import (
    AbsenceTrigger,
    Automatic,
    ManualTrigger,
    MetricTrigger,
    Part,
    PatternTrigger,
    ScheduleTrigger,
    SequenceTrigger,
)
from automation.model.workflow import WorkflowDefinition
from automation.workflows.checks import Finding

LONGEST = 366 * 86_400.0


def triggers(definition: WorkflowDefinition) -> Iterator[Finding]:
    """All that is wrong with them."""
    for index, trigger in enumerate(definition.triggers):
        if not isinstance(trigger, ManualTrigger):
            for path, message in _trigger(trigger):
                yield f"triggers[{index}].{path}", message


def _trigger(trigger: Automatic) -> Iterator[Finding]:
    if isinstance(trigger, ScheduleTrigger):
        yield from _schedule(trigger)
    yield from _own_condition(trigger)
    if isinstance(trigger, MetricTrigger):
        yield from _threshold(trigger)
    if isinstance(trigger, PatternTrigger):
        yield from _pattern(trigger)
    yield from _length(trigger.cooldown, "cooldown")
    if (throttle := trigger.throttle) is not None:
        yield from _length(throttle.once_within, "throttle.once_within")
        yield from _length(throttle.once_after, "throttle.once_after")
        if throttle.accumulate is not None:
            yield from _length(throttle.accumulate.within, "throttle.accumulate.within")
        yield from _expression(throttle.key, "throttle.key")
    if trigger.active_hours is not None:
        yield from _zone(trigger.active_hours.timezone, "active_hours.timezone")
        if trigger.active_hours.start == trigger.active_hours.end:
            yield "active_hours.end", "is the same as start: it would never be active, or always"


def _pattern(trigger: PatternTrigger) -> Iterator[Finding]:
    yield from _length(getattr(trigger, "within", None), "within")
    yield from _expression(trigger.key, "key")
    parts: tuple[Part, ...] = getattr(trigger, "events", ())
    titles = [part.title for part in parts]
    if len(parts) == 1 and trigger.type in ("all", "sequence", "not_all"):  # type: ignore[attr-defined]
        yield "events", "needs at least two events; for one, write a trigger of type event"
    for place, part in enumerate(parts):
        path = f"events[{place}]"
        yield from _part(part, path, earlier=titles[:place] if isinstance(trigger, SequenceTrigger) else [])
        if part.title in titles[:place]:
            yield f"{path}.name", f"there is already a part {part.title!r}; give this one a name of its own"
    if isinstance(trigger, AbsenceTrigger) and trigger.after is not None:
        yield from _part(trigger.after, "after", earlier=[])


def _part(part: Part, path: str, *, earlier: list[str]) -> Iterator[Finding]:
    wrong = list(_condition(part.condition, f"{path}.condition"))
    yield from wrong
    if part.event.startswith("trigger."):
        yield f"{path}.event", "events that triggers make are no part of patterns"
    if part.condition is None or wrong:
        return
    for read in compile_measured(part.condition, units=UNITS, kept=KEPT_SECONDS).paths:
        root, _, rest = read.partition(".")
        if root == "steps" and not any(rest == name or rest.startswith(f"{name}.") for name in earlier):
            known = ", ".join(earlier) or "none: only later parts of a sequence may read steps"
            yield f"{path}.condition", f"{read} is no earlier part; there are {known}"


def _threshold(trigger: MetricTrigger) -> Iterator[Finding]:
    yield from _length(trigger.duration, "duration", nothing=True)
    try:
        value = compile_expression(str(trigger.threshold))({})
    except ConditionError:
        value = None
    if isinstance(value, bool) or not isinstance(value, int | float):
        yield "threshold", f"{trigger.threshold!r} is not a number, such as 10000, 80% or 10GB"


def _length(length: float | str | None, path: str, *, nothing: bool = False) -> Iterator[Finding]:
    """`nothing` lets no time at all pass, however it is written."""
    if length is None:
        return
    try:
        seconds = seconds_of(length)
    except ValueError as error:
        yield path, str(error)
        return
    if not 0 < seconds <= LONGEST and not (nothing and seconds == 0):
        yield path, f"must be more than nothing and at most 366 days, not {length!r}"


def _own_condition(trigger: Automatic) -> Iterator[Finding]:
    yield from _condition(getattr(trigger, "condition", None), "condition")


def _condition(text: str | None, path: str) -> Iterator[Finding]:
    try:
        if text is not None:
            compile_measured(text, units=UNITS, kept=KEPT_SECONDS)
    except ConditionError as error:
        yield path, error.message


def _expression(text: str | None, path: str) -> Iterator[Finding]:
    try:
        if text is not None:
            compile_expression(text)
    except ConditionError as error:
        yield path, error.message


def _schedule(trigger: ScheduleTrigger) -> Iterator[Finding]:
    # Imported here: most programs have no schedules, and all start.
    from cronsim import CronSim, CronSimError

    wrong = list(_zone(trigger.timezone, "timezone"))
    yield from wrong
    if not wrong:
        try:
            CronSim(trigger.cron, datetime(2026, 1, 1, tzinfo=ZoneInfo(trigger.timezone)))
        except CronSimError as error:
            yield "cron", f"{trigger.cron!r} is not a cron expression of five fields: {error}"


def _zone(name: str, path: str) -> Iterator[Finding]:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        yield path, f"{name!r} is not an IANA time zone such as Europe/Berlin"
