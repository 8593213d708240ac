"""Windows in the conditions of an execution, as in `avg(latency, 10m) < 1`: what they show, and for whose metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from automation.conditions import Condition, Gap, Measure, Names, Window, compile_template
from automation.errors import InputError
from automation.workflows.plan import Step

_SUBJECTS = ("service_name", "subject")
"""The parameters that say which service an action is about."""


class MeasuredNames:
    """The names of a scope, with windows over the metrics of one subject as they are now."""

    __slots__ = ("_measure", "_names", "_subject")

    def __init__(self, names: Names, measure: Measure | None, subject: str | Gap) -> None:
        self._names = names
        self._measure = measure
        self._subject = subject

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a root name, or `default`."""
        value = self._names.get(name)
        return default if value is None else value

    def window(self, window: Window) -> float | bool | Gap:
        """What a window shows now; unknown while nobody can say whose metrics are meant."""
        if isinstance(self._subject, Gap):
            return self._subject
        return Gap("no samples are kept here") if self._measure is None else self._measure(window, self._subject)


def subject_of(parameters: Any, event: Mapping[str, Any] | None) -> str:
    """The subject of an action that has these parameters: the service that they name, else that of the event."""
    given = parameters if isinstance(parameters, Mapping) else {}
    found = next((given[key] for key in _SUBJECTS if given.get(key)), None) or (event or {}).get("subject")
    return str(found) if found else ""


def subject_ahead(step: Step, names: Names, event: Mapping[str, Any] | None) -> str | Gap:
    """The same before the action has begun; a gap where its parameters cannot be known yet."""
    given = step.definition.parameters
    named = {key: given[key] for key in _SUBJECTS if given.get(key)}
    try:
        return subject_of(compile_template(named).render(names), event)
    except InputError as error:
        missing = ", ".join(sorted({name for _, name in error.missing}))
        return Gap(f"which subject the action is about is not known yet: no value for {missing}")


def ahead(condition: Condition, step: Step, names: Names, measure: Measure | None, event: Any) -> Names:
    """The names for a condition of an action that has not begun."""
    return MeasuredNames(names, measure, subject_ahead(step, names, event)) if condition.windows else names
