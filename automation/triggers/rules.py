"""What starts a workflow, as rules over events, and the index that leads from an event to the rules it could fulfil.

The cost of an event follows the rules that name what it carries, not the rules that exist.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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


class Index:
    """Finds the rules that an event could fulfil."""

    def __init__(self) -> None:
        self._by_workflow: dict[str, list[Rule]] = {}
        self._by_type: dict[str, list[Rule]] = {}
        self._by_name: dict[str, list[Rule]] = {}
        self._always: list[Rule] = []

    def put(self, workflow: str, rules: list[Rule]) -> None:
        """Replace the rules of a workflow; an empty list removes it."""
        self.take_out(workflow)
        if rules:
            self._by_workflow[workflow] = rules
        for rule in rules:
            for bucket in self._buckets(rule):
                bucket.append(rule)

    def take_out(self, workflow: str) -> None:
        """Remove the rules of a workflow."""
        for rule in self._by_workflow.pop(workflow, []):
            for bucket in self._buckets(rule):
                bucket.remove(rule)

    def candidates(self, event: Event) -> list[Rule]:
        """The rules that name something which the event carries."""
        found = list(self._by_type.get(event.type, ()))
        if self._by_name:
            found += self._by_name.get(event.type, ())
            for name in event.data:
                found += self._by_name.get(name, ())
        found += self._always
        return found if len(found) < 2 else list(dict.fromkeys(found))

    def rules(self, workflow: str) -> list[Rule]:
        """The rules of one workflow."""
        return self._by_workflow.get(workflow, [])

    def _buckets(self, rule: Rule) -> list[list[Rule]]:
        if rule.types is not None:
            return [self._by_type.setdefault(name, []) for name in sorted(rule.types)]
        names = {name for condition in rule.conditions for name in condition.names}
        # A condition that is true of nothing at all, such as absent(x), or that looks at the event as a whole.
        if "event" in names or all(condition.evaluate({}) is True for condition in rule.conditions):
            return [self._always]
        return [self._by_name.setdefault(name, []) for name in sorted(names)]
