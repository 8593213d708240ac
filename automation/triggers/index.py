"""Leads from an event to the rules that it could fulfil.

The cost of an event follows the rules that name what it carries, not the rules that exist. A rule is found by the type
of event that it is about, else by a name that must be among the event's data; and there, where it compares something
with a constant, by that constant. What is found is asked again in full: the index only ever leaves out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from automation.conditions import compile_path
from automation.model.event import Event, as_mapping
from automation.triggers.compiled import Compiled
from automation.triggers.rules import EventScope, Rule

_Parts = tuple[str | int, ...]
_Reader = Callable[[Event, EventScope], Any]
_EXACT = frozenset((str, int, float, bool))


def _reader(parts: _Parts) -> _Reader:
    """What reads a path of an event: those that nearly all conditions name without a detour."""
    match parts:
        case ("event", "data", str() as key):
            return lambda event, _: event.data.get(key)
        case ("event", "type" | "subject" | "source" | "severity" | "id" as name):
            return lambda event, _: getattr(event, name)
    read = compile_path(parts)
    return lambda _, scope: read(scope)


class _Bucket:
    """Rules of one type or name: those that want a constant somewhere by that, the others in a heap."""

    __slots__ = ("_by_value", "_others", "_read")

    def __init__(self) -> None:
        self._by_value: dict[_Parts, dict[Any, dict[Rule, None]]] = {}
        self._others: dict[Rule, None] = {}
        self._read: list[tuple[_Reader, dict[Any, dict[Rule, None]]]] = []
        """What reads each path, beside what is found by its value."""

    def put(self, rule: Rule) -> None:
        """Add a rule, where the fewest are."""
        parts = min(rule.equals, key=lambda parts: self._crowd(rule, parts), default=None)
        if parts is None:
            self._others[rule] = None
            return
        slots = self._by_value.get(parts)
        if slots is None:
            slots = self._by_value[parts] = {}
            self._read.append((_reader(parts), slots))
        for value in rule.equals[parts]:
            slots.setdefault(value, {})[rule] = None

    def remove(self, rule: Rule) -> None:
        """Take a rule out."""
        self._others.pop(rule, None)
        for parts in rule.equals:
            slots = self._by_value.get(parts, {})
            for value in rule.equals[parts]:
                if rule in slots.get(value, ()):
                    del slots[value][rule]
                    if not slots[value]:
                        del slots[value]
            if parts in self._by_value and not slots:
                del self._by_value[parts]
                self._read = [(read, known) for read, known in self._read if known is not slots]

    def __bool__(self) -> bool:
        return bool(self._others or self._by_value)

    def all(self) -> Iterator[Rule]:
        """All rules."""
        yield from self._others
        for slots in self._by_value.values():
            for slot in slots.values():
                yield from slot

    def find(self, event: Event, scope: EventScope) -> list[Rule]:
        """The rules that no constant excludes, each once."""
        found = [*self._others]
        for read, slots in self._read:
            value = read(event, scope)
            if type(value) in _EXACT:
                found += slots.get(value, ())
            elif isinstance(value, str | int | float):
                # An enumeration, for one: it may be equal to a constant and have another hash.
                found += dict.fromkeys(rule for slot in slots.values() for rule in slot)
        return found

    def _crowd(self, rule: Rule, parts: _Parts) -> int:
        slots = self._by_value.get(parts)
        # A path that nobody asks for yet costs every event a look.
        return 1 if slots is None else sum(len(slots.get(value, ())) for value in rule.equals[parts])


class Index:
    """Finds the rules that an event could fulfil."""

    def __init__(self) -> None:
        self._by_workflow: dict[str, list[Rule]] = {}
        self._by_type: dict[str, _Bucket] = {}
        self._by_name: dict[str, _Bucket] = {}
        self._always = _Bucket()
        self._unnamed: list[_Bucket] = []
        """That bucket, while there is anything in it."""
        self._triggers: dict[str, Compiled] = {}
        self.on_change: Callable[[], None] = lambda: None
        """Called when rules were added."""
        self._by_metric: dict[str, dict[str | None, dict[Compiled, None]]] = {}

    def put(self, workflow: str, rules: list[Rule]) -> None:
        """Replace the rules of a workflow; an empty list removes it."""
        self.take_out(workflow)
        if rules:
            self._by_workflow[workflow] = rules
        for rule in rules:
            for buckets, key in self._places(rule):
                buckets.setdefault(key, _Bucket()).put(rule)
            if rule.types is None and rule.names is None:
                self._always.put(rule)
            if rule.trigger is not None:
                self._triggers[rule.trigger.name] = rule.trigger
                if (threshold := rule.trigger.threshold) is not None:
                    subjects = self._by_metric.setdefault(threshold.metric, {})
                    subjects.setdefault(threshold.subject, {})[rule.trigger] = None
        self._unnamed = [self._always] if self._always else []
        self.on_change()

    def take_out(self, workflow: str) -> None:
        """Remove the rules of a workflow."""
        for rule in self._by_workflow.pop(workflow, []):
            self._always.remove(rule)
            if rule.trigger is not None and self._triggers.pop(rule.trigger.name, None) is not None:
                self._forget(rule.trigger)
            for buckets, key in self._places(rule):
                bucket = buckets[key]
                bucket.remove(rule)
                if not bucket:
                    del buckets[key]
        self._unnamed = [self._always] if self._always else []

    def candidates(self, event: Event, scope: EventScope | None = None) -> list[Rule]:
        """The rules that name something which the event carries, each once, those of higher priority first."""
        buckets = self._buckets(event)
        if not buckets:
            return []
        scope = scope or EventScope(as_mapping(event))
        if len(buckets) == 1:
            found = buckets[0].find(event, scope)
            return found if len(found) <= 1 else _in_order(found)
        return _in_order(dict.fromkeys(rule for bucket in buckets for rule in bucket.find(event, scope)))

    def related(self, event: Event) -> list[Rule]:
        """The same, and those that want another constant than the event has: for whoever asks why they do not fit."""
        return _in_order(dict.fromkeys(rule for bucket in self._buckets(event) for rule in bucket.all()))

    def _buckets(self, event: Event) -> list[_Bucket]:
        of_type = self._by_type.get(event.type)
        found = [*self._unnamed] if of_type is None else [of_type, *self._unnamed]
        if self._by_name:
            found += [self._by_name[name] for name in (event.type, *event.data) if name in self._by_name]
        return found

    def thresholds(self, metric: str, subject: str) -> Iterator[Compiled]:
        """The triggers that a sample of this metric and subject could fulfil."""
        subjects = self._by_metric.get(metric)
        if subjects:
            yield from subjects.get(None, ())
            yield from subjects.get(subject, ())

    def trigger(self, name: str) -> Compiled | None:
        """The trigger of this name."""
        return self._triggers.get(name)

    def rules(self, workflow: str) -> list[Rule]:
        """The rules of one workflow."""
        return self._by_workflow.get(workflow, [])

    def _forget(self, trigger: Compiled) -> None:
        if (threshold := trigger.threshold) is None:
            return
        subjects = self._by_metric[threshold.metric]
        del subjects[threshold.subject][trigger]
        if not subjects[threshold.subject]:
            del subjects[threshold.subject]
        if not subjects:
            del self._by_metric[threshold.metric]

    def _places(self, rule: Rule) -> Iterator[tuple[dict[str, _Bucket], str]]:
        if rule.types is not None:
            for event_type in rule.types:
                yield self._by_type, event_type
        elif rule.names is not None:
            for name in rule.names:
                yield self._by_name, name


def _in_order(found: Iterable[Rule]) -> list[Rule]:
    rules = found if isinstance(found, list) else list(found)
    if len(rules) > 1 and any(rule.trigger is not None and rule.trigger.priority for rule in rules):
        rules.sort(key=_priority, reverse=True)
    return rules


def _priority(rule: Rule) -> int:
    return rule.trigger.priority if rule.trigger is not None else 0
