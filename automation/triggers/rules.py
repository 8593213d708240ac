"""What starts a workflow, as rules over events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from automation.conditions import Condition, compile_condition
from automation.model.event import Event
from automation.model.workflow import (
    AlertTrigger,
    EventTrigger,
    ManualTrigger,
    ScheduleTrigger,
    Trigger,
    WebhookTrigger,
    WorkflowDefinition,
)

Parts = tuple[str | int, ...]
"""A path, as conditions read it."""


class Startable(Protocol):
    """What the rules need to know of a compiled workflow."""

    @property
    def definition(self) -> WorkflowDefinition: ...

    @property
    def conditions(self) -> tuple[Condition, ...]: ...


class EventScope:
    """The names that conditions over an event may use: `event`, the keys of its data, and its type, which is true."""

    __slots__ = ("_data", "_event", "_type")

    def __init__(self, event: Mapping[str, Any]) -> None:
        self._event = event
        self._data = event["data"]
        self._type = event["type"]

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a root name, or `default`."""
        if name == "event":
            return self._event
        if name in self._data:
            return self._data[name]
        return True if name == self._type else default


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
    equals: Mapping[Parts, frozenset[str | int | float]] = field(init=False)
    """Paths that must equal one of some constants, with those: for the index."""
    names: frozenset[str] | None = field(init=False)
    """Names of which an event must carry one, its type counting as one; None where it need not: for the index."""

    def __post_init__(self) -> None:
        equals = {parts: values for known in self.conditions for parts, values in known.needed_values.items()}
        if self.types is not None:
            equals.pop(("event", "type"), None)
        if self.subject is not None:
            equals[("event", "subject")] = frozenset((self.subject,))
        if self.alert is not None:
            equals[("event", "data", "alert")] = frozenset((self.alert,))
        needed = [known.needed_names for known in self.conditions if known.needed_names is not None]
        object.__setattr__(self, "equals", equals)
        object.__setattr__(self, "names", min(needed, key=len, default=None))

    def refuses(self, event: Event, scope: EventScope) -> str | None:
        """Why the event does not start the workflow, or None if it does."""
        if self.types is not None and event.type not in self.types:
            return f"{self.about}: the event's type is {event.type}"
        if self.subject is not None and event.subject != self.subject:
            return f"{self.about}: the event's subject is {event.subject!r}"
        if self.alert is not None and event.data.get("alert") != self.alert:
            return f"{self.about}: the alert is {event.data.get('alert')!r}"
        for condition in self.conditions:
            value = condition.evaluate(scope)
            if value is not True:
                return f"condition {condition.text!r} is {'unknown' if value is None else 'false'}"
        return None


def rules_of(plan: Startable) -> list[Rule]:
    """The rules that a workflow's triggers and conditions make."""
    definition = plan.definition
    triggers = [trigger for trigger in definition.triggers if not isinstance(trigger, ManualTrigger)]
    if not definition.triggers and plan.conditions:
        types = _types(plan.conditions)
        return [Rule(definition.name, "conditions", types, conditions=plan.conditions, enabled=definition.enabled)]
    return [_rule(plan, index, trigger) for index, trigger in enumerate(triggers)]


def schedule_name(workflow: str, index: int) -> str:
    """What the schedule of a workflow's schedule trigger is called."""
    return f"{workflow}.trigger-{index}"


def _rule(plan: Startable, index: int, trigger: Trigger) -> Rule:
    name, enabled, gates = plan.definition.name, plan.definition.enabled, plan.conditions
    if isinstance(trigger, ScheduleTrigger):
        position = plan.definition.triggers.index(trigger)
        subject = schedule_name(name, position)
        return Rule(name, f"schedule {trigger.cron}", frozenset({"schedule"}), subject, None, gates, enabled)
    assert not isinstance(trigger, ManualTrigger)
    if trigger.condition is not None:
        gates = (compile_condition(trigger.condition), *gates)
    if isinstance(trigger, EventTrigger):
        return Rule(name, f"event {trigger.event}", frozenset({trigger.event}), conditions=gates, enabled=enabled)
    if isinstance(trigger, WebhookTrigger):
        types = frozenset({f"webhook.{trigger.webhook}"})
        return Rule(name, f"webhook {trigger.webhook}", types, conditions=gates, enabled=enabled)
    assert isinstance(trigger, AlertTrigger)
    types = frozenset({f"alert.{trigger.state}"})
    return Rule(name, f"alert {trigger.alert} {trigger.state}", types, None, trigger.alert, gates, enabled)


def _types(conditions: Iterable[Condition]) -> frozenset[str] | None:
    for condition in conditions:
        if condition.event_types is not None:
            return condition.event_types
    return None
