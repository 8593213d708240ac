"""Conditions over something that is no sample, with windows all the same: asked of whoever gives the names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Protocol, cast

from automation.conditions import analysis
from automation.conditions.condition import Condition, compile_condition
from automation.conditions.interpreter import Explanation, Names
from automation.conditions.syntax import path_text
from automation.conditions.windows import Gap, Window

Measure = Callable[[Window, str], float | bool | Gap]
"""What a window shows now for a subject; for any, where that is empty."""


class Measured(Protocol):
    """Names that know of metrics as well."""

    def get(self, name: str, /) -> Any:
        """The value of a root name."""
        ...

    def window(self, window: Window, /) -> float | bool | Gap:
        """What a window shows now."""
        ...


_UNASKED = Gap("only known when an event comes in")


class MeasuredCondition(Condition):
    """A condition with windows. They are unknown unless the names that it is given are `Measured`."""

    def __init__(self, condition: Condition) -> None:
        super().__init__(condition.text, condition._tree, condition._meant)
        self._named = {window.text: window for window in condition.windows}
        plain = self.test
        self.test = lambda names: plain(self._with(names))

    def evaluate(self, names: Names) -> bool | None:
        """True, False, or None for unknown."""
        return super().evaluate(self._with(names))

    def explain(self, names: Names) -> Explanation:
        """The value of each sub-expression."""
        return super().explain(self._with(names))

    @cached_property
    def paths(self) -> frozenset[str]:
        """Every path that is read, but for the metrics of its windows: these are no names of whoever evaluates it."""
        return frozenset(map(path_text, self._values))

    @cached_property
    def names(self) -> frozenset[str]:
        """The roots of the paths."""
        return frozenset(str(parts[0]) for parts in self._values)

    def refusal(self, names: Names) -> str | None:
        """Why it is not true, with what is not known of its windows; None if it is true."""
        said = super().refusal(names)
        if said is None:
            return None
        seen = self._with(names)
        gaps = [f"{text}: {value.reason}" for text in sorted(self._named) if isinstance(value := seen.get(text), Gap)]
        return f"{said} ({', '.join(gaps)})" if gaps else said

    @property
    def _values(self) -> frozenset[tuple[str | int, ...]]:
        return analysis.values_read(self._tree)

    def _with(self, names: Names) -> Names:
        window = getattr(names, "window", None) or _unasked
        return cast(Names, _With(names, window, self._named))


def _unasked(_: Window) -> Gap:
    return _UNASKED


class _With:
    """The names, and before them the windows by their texts: no key of the data can stand for one."""

    __slots__ = ("_names", "_window", "_windows")

    def __init__(
        self, names: Names, window: Callable[[Window], float | bool | Gap], windows: Mapping[str, Window]
    ) -> None:
        self._names = names
        self._window = window
        self._windows = windows

    def get(self, name: str, default: Any = None) -> Any:
        window = self._windows.get(name)
        if window is not None:
            return self._window(window)
        value = self._names.get(name)
        return default if value is None else value


def compile_measured(text: str, *, units: Mapping[str, str], kept: float | None) -> Condition:
    """The condition that a text states, which may have windows. Raises `ConditionError`, which points at the column.

    `units` are those of metrics, as for `compile_condition`, and hold for the metrics of its windows only: other names
    are no metrics here. Without `kept`, windows are refused.
    """
    condition = compile_condition(text, kept=kept)
    if not condition.windows:
        return condition
    named = {window.metric: units[window.metric] for window in condition.windows if window.metric in units}
    return MeasuredCondition(compile_condition(text, units=named, kept=kept))
