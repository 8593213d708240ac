"""What starts a workflow, as rules over events."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from automation.conditions import Condition, Gap, Measure, Window, compile_measured
from automation.model.event import Event
from automation.model.metric import KEPT_SECONDS, UNITS
from automation.model.trigger import (
    AlertTrigger,
    Automatic,
    EventTrigger,
    ManualTrigger,
    ScheduleTrigger,
    WebhookTrigger,
    trigger_name,
)
from automation.model.workflow import WorkflowDefinition
from automation.triggers.compiled import Compiled, compiled_of, condition_of

GATHERED = "trigger.once_after"
"""The type of the event with which a workflow starts whose trigger gathers events first."""
Parts = tuple[str | int, ...]
"""A path, as conditions read it."""


class Startable(Protocol):
    """What the rules need to know of a compiled workflow."""

    @property
    def definition(self) -> WorkflowDefinition: ...

    @property
    def conditions(self) -> tuple[Condition, ...]: ...


class EventScope:
    """The names that conditions over an event may use: `event`, the keys of its data, and its type, which is true.

    With `measure`, windows over metrics as they are now, for the subject of the event.
    """

    __slots__ = ("_event", "_measure")

    def __init__(self, event: Mapping[str, Any], measure: Measure | None = None) -> None:
        self._event = event
        self._measure = measure

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a root name, or `default`."""
        event = self._event
        if name == "event":
            return event
        data = event["data"]
        if name in data:
            return data[name]
        return True if name == event["type"] else default

    def window(self, window: Window) -> float | bool | Gap:
        """What a window shows now; unknown where only the past is looked at."""
        if self._measure is None:
            return Gap("only known when an event comes in")
        return self._measure(window, self._event["subject"])


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """One way in which a workflow is started. What is None does not matter; all else must fit."""

    workflow: str
    about: str
    """The trigger in a few words, for reasons and explanations."""
    types: frozenset[str] | None = None
    subject: str | None = None
    alert: str | None = None
    conditions: tuple[Condition, ...] = ()
    enabled: bool = True
    made_by: str | None = None
    """The trigger that has made the event."""
    trigger: Compiled | None = None
    """The trigger it belongs to; None for conditions, and for schedules with a name of their own."""
    part: int | None = None
    """Of a pattern, which of its events this is: it starts nothing by itself."""
    gathered: bool = False
    """Whether the event stands for some that a throttle has gathered."""
    equals: Mapping[Parts, frozenset[str | int | float]] = field(init=False)
    """Paths that must equal one of some constants, with those: for the index."""
    names: frozenset[str] | None = field(init=False)
    """Names of which an event must carry one, its type counting as one; None where it need not: for the index."""

    plain: bool = field(init=False)
    """Whether it wants nothing but types and conditions."""
    test: Callable[[EventScope], bool] = field(init=False)
    """What asks the conditions."""

    def __post_init__(self) -> None:
        equals = {parts: values for known in self.conditions for parts, values in known.needed_values.items()}
        if self.types is not None:
            equals.pop(("event", "type"), None)
        if self.subject is not None:
            equals[("event", "subject")] = frozenset((self.subject,))
        if self.alert is not None:
            equals[("event", "data", "alert")] = frozenset((self.alert,))
        if self.made_by is not None:
            equals[("event", "data", "trigger")] = frozenset((self.made_by,))
        needed = [known.needed_names for known in self.conditions if known.needed_names is not None]
        object.__setattr__(self, "plain", self.subject is None and self.alert is None and self.made_by is None)
        object.__setattr__(self, "test", _test_of(self.conditions))
        object.__setattr__(self, "equals", equals)
        object.__setattr__(self, "names", min(needed, key=len, default=None))

    def fits(self, event: Event, scope: EventScope) -> bool:
        """Whether the event starts the workflow: as `refuses`, which most are asked for nothing but that."""
        # The conditions first: of those that an index has found, they alone are likely not to hold.
        if not self.test(scope) or (self.types is not None and event.type not in self.types):
            return False
        if self.plain:
            return True
        if self.subject is not None and event.subject != self.subject:
            return False
        if self.alert is not None and event.data.get("alert") != self.alert:
            return False
        return self.made_by is None or bool(event.data.get("trigger") == self.made_by)

    def refuses(self, event: Event, scope: EventScope) -> str | None:
        """Why the event does not start the workflow, or None if it does."""
        if self.types is not None and event.type not in self.types:
            return f"{self.about}: the event's type is {event.type}"
        if self.subject is not None and event.subject != self.subject:
            return f"{self.about}: the event's subject is {event.subject!r}"
        if self.alert is not None and event.data.get("alert") != self.alert:
            return f"{self.about}: the alert is {event.data.get('alert')!r}"
        if self.made_by is not None and event.data.get("trigger") != self.made_by:
            return f"{self.about}: it was made by {event.data.get('trigger')!r}"
        return next(filter(None, (condition.refusal(scope) for condition in self.conditions)), None)


def _test_of(conditions: tuple[Condition, ...]) -> Callable[[EventScope], bool]:
    """What asks all of them."""
    tests = [condition.test for condition in conditions]
    if len(tests) == 1:
        return tests[0]

    def every(scope: EventScope) -> bool:
        for test in tests:  # noqa: SIM110 - half the time of all()
            if not test(scope):
                return False
        return True

    return every


def rules_of(plan: Startable) -> list[Rule]:
    """The rules that a workflow's triggers and conditions make."""
    definition = plan.definition
    if not definition.triggers and plan.conditions:
        types = next((known.event_types for known in plan.conditions if known.event_types is not None), None)
        return [Rule(definition.name, "conditions", types, conditions=plan.conditions, enabled=definition.enabled)]
    rules: list[Rule] = []
    for index, trigger in enumerate(definition.triggers):
        if not isinstance(trigger, ManualTrigger):
            name = trigger_name(definition.name, index)
            made = compiled_of(name, definition.name, trigger, enabled=definition.enabled)
            rules += _rules(plan, trigger, made)
    return rules


def _rules(plan: Startable, trigger: Automatic, made: Compiled) -> Iterator[Rule]:
    gates, base = plan.conditions, Rule(made.workflow, made.kind, trigger=made, enabled=not made.off)
    own = getattr(trigger, "condition", None)
    if made.pattern is not None:
        for place, part in enumerate(made.pieces):
            now, _ = condition_of(part)
            about, types = f"{made.kind} {part.title}", frozenset({part.event})
            yield replace(base, about=about, types=types, conditions=() if now is None else (now,), part=place)
    elif own is not None:
        gates = (compile_measured(own, units=UNITS, kept=KEPT_SECONDS), *gates)
    if made.limit is not None and made.limit.way == "once_after":
        # What was gathered has been asked already.
        yield replace(base, about="once_after", types=frozenset({GATHERED}), made_by=made.name, gathered=True)
    match trigger:
        case ScheduleTrigger(cron=cron):
            yield replace(
                base, about=f"schedule {cron}", types=frozenset({"schedule"}), subject=made.name, conditions=gates
            )
        case EventTrigger(event=event):
            yield replace(base, about=f"event {event}", types=frozenset({event}), conditions=gates)
        case WebhookTrigger(webhook=webhook):
            types = frozenset({f"webhook.{webhook}"})
            yield replace(base, about=f"webhook {webhook}", types=types, conditions=gates)
        case AlertTrigger(alert=alert, state=state):
            types = frozenset({f"alert.{state}"})
            yield replace(base, about=f"alert {alert} {state}", types=types, alert=alert, conditions=gates)
        case _:
            about = made.kind if made.threshold is None else f"{made.kind} {made.threshold.text}"
            yield replace(base, about=about, types=frozenset({made.event_type}), made_by=made.name, conditions=gates)
