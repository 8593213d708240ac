"""Normalisers: what is made of an event before any rule sees it. The pair that names it, `(source, id)`, stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from automation.conditions import Condition, Template, compile_condition, compile_template
from automation.errors import ConditionError, DefinitionError, InputError, Problem
from automation.model.event import Event, as_mapping
from automation.model.normaliser import Normaliser
from automation.sources import payload

_TEXTS = ("type", "subject", "severity")


class Normalise:
    """Applies normalisers, each to what the one before has made."""

    def __init__(self, definitions: Sequence[Normaliser], path: str = "normalise") -> None:
        """Raises DefinitionError with every problem and its path."""
        problems: list[Problem] = []
        self._steps = [_compiled(one, f"{path}[{number}]", problems) for number, one in enumerate(definitions)]
        if problems:
            raise DefinitionError(problems, what=path)

    def __call__(self, event: Event) -> Event:
        """The event as rules are to see it; raises InputError where a name that is asked for has no value."""
        for step in self._steps:
            event = step.applied(event)
        return event

    def all(self, events: Sequence[Event]) -> list[Event]:
        """The same for events that came together; the error says which of them it was."""
        if len(events) == 1:
            return [self(events[0])]
        found: list[Event] = []
        for place, event in enumerate(events):
            try:
                found.append(self(event))
            except InputError as error:
                raise payload.wrong(f"[{place}]", error.message) from None
        return found


@dataclass(frozen=True, slots=True)
class _Step:
    path: str
    when: Condition | None
    changes: Template
    remove: tuple[str, ...]

    def applied(self, event: Event) -> Event:
        names = {**event.data, "event": as_mapping(event)}
        if self.when is not None and not self.when(names):
            return event
        try:
            found = self.changes.render(names)
            data = {**event.data, **found["data"]}
            for key in self.remove:
                data.pop(key, None)
            texts = {name: _text(found[name], name) for name in _TEXTS if name in found}
            labels = {name: _text(value, f"labels.{name}") for name, value in found["labels"].items()}
        except InputError as error:
            raise InputError(f"{self.path}: {error.message}") from None
        return msgspec.structs.replace(event, data=data, labels={**event.labels, **labels}, **texts)


def _compiled(definition: Normaliser, path: str, problems: list[Problem]) -> _Step:
    when = None
    if definition.when is not None:
        try:
            when = compile_condition(definition.when)
        except ConditionError as error:
            problems.append(Problem(f"{path}.when", error.message))
    written: dict[str, Any] = {"labels": definition.labels, "data": definition.data}
    written |= {name: value for name in _TEXTS if (value := getattr(definition, name)) is not None}
    try:
        changes = compile_template(written, path=path)
        if changes.secrets:
            problems.append(Problem(path, "a secret must not become part of an event"))
    except DefinitionError as error:
        problems += error.problems
        changes = compile_template({})
    return _Step(path, when, changes, definition.remove)


def _text(value: Any, path: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise payload.wrong(path, f"must be text or a number, not {payload.kind_of(value)}")
