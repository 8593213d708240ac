"""Compiled conditions and expressions: what the rest of the program holds and calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any

from automation.conditions import analysis, durations, mistakes, needs
from automation.conditions.compiler import compile_true, compile_truth, compile_value
from automation.conditions.durations import Held
from automation.conditions.interpreter import Explanation, Names, explain, is_null, look_up
from automation.conditions.parser import parse
from automation.conditions.syntax import DURATION, Literal, Mistake, Name, Node, path_text, to_text, walk
from automation.conditions.windows import Window

_KEPT = 4096
"""How many compiled texts are kept for the next one who asks."""


def compile_condition(text: str, *, units: Mapping[str, str] | None = None, kept: float | None = None) -> Condition:
    """The condition that a text states. Raises `ConditionError`, which points at the column.

    `units` names metrics with their declared unit: against one in `"percent"`, `80%` is 80 and not 0.8.
    `kept` is for how many seconds who evaluates it keeps samples, so that windows have a meaning; None refuses them.
    """
    return _condition(text, frozenset(units.items()) if units else frozenset(), kept)


@lru_cache(_KEPT)
def _condition(text: str, units: frozenset[tuple[str, str]], kept: float | None) -> Condition:
    # Many definitions say the same, and a file that is read again says almost all of it again.
    tree = parse(text)
    try:
        analysis.check(tree, kept)
        return Condition(text, tree, analysis.with_units(tree, dict(units)))
    except Mistake as mistake:
        raise mistakes.located(text, mistake) from None


def compile_expression(text: str, *, units: Mapping[str, str] | None = None) -> Expression:
    """The expression that a text states, such as `replicas * 2`. Raises `ConditionError`."""
    return _expression(text, frozenset(units.items()) if units else frozenset())


@lru_cache(_KEPT)
def _expression(text: str, units: frozenset[tuple[str, str]]) -> Expression:
    tree = parse(text)
    try:
        analysis.check(tree)
        return Expression(text, analysis.with_units(tree, dict(units)))
    except Mistake as mistake:
        raise mistakes.located(text, mistake) from None


class Condition:
    """A condition on names. Calling it with a mapping says whether it is true; unknown is False.

    Names are read with `mapping.get(root)`, and only those that it needs. No value it is given makes it raise.
    """

    def __init__(self, text: str, tree: Node, meant: Node) -> None:
        self.text = text
        self._tree = tree
        self._meant = meant
        self._plan = durations.plan(meant)
        self.test: Callable[[Names], bool] = compile_true(meant)
        """What calling it calls, for whoever asks many thousand times a second."""

    def __call__(self, names: Names) -> bool:
        return self.test(names)

    def __str__(self) -> str:
        return to_text(self._tree)

    def __repr__(self) -> str:
        return f"<Condition {self}>"

    def evaluate(self, names: Names) -> bool | None:
        """True, False, or None for unknown."""
        return self._truth(names)

    def refusal(self, names: Names) -> str | None:
        """Why it is not true, as a sentence; None if it is true."""
        value = self.evaluate(names)
        return None if value is True else f"condition {self.text!r} is {'unknown' if value is None else 'false'}"

    def explain(self, names: Names) -> Explanation:
        """The value of each sub-expression."""
        return explain(self._meant, names)

    @cached_property
    def paths(self) -> frozenset[str]:
        """Every path that is read, such as `event.data.host`; without `duration`, which is the language's own."""
        return frozenset(map(path_text, analysis.paths_read(self._tree) - {DURATION.parts}))

    @cached_property
    def names(self) -> frozenset[str]:
        """The roots of the paths: the names that a mapping is asked for."""
        return frozenset(str(parts[0]) for parts in analysis.paths_read(self._tree) - {DURATION.parts})

    @cached_property
    def reads(self) -> tuple[Name, ...]:
        """Every path where it stands, in the order in which they are written."""
        return tuple(node for node in walk(self._tree) if isinstance(node, Name))

    @cached_property
    def compared(self) -> frozenset[frozenset[str]]:
        """Pairs of paths that are compared with one another."""
        return analysis.compared(self._tree)

    @cached_property
    def windows(self) -> frozenset[Window]:
        """The windows over metrics that are read, each by its text; the metrics are among the names too."""
        return analysis.windows_read(self._tree)

    @cached_property
    def event_types(self) -> frozenset[str] | None:
        """The values of `event.type` without which this cannot be true; None if it could be true with any."""
        return needs.event_types(self._tree)

    @cached_property
    def needed_values(self) -> Mapping[tuple[str | int, ...], frozenset[str | int | float]]:
        """Paths that must equal one of some constants, else this cannot be true, with those constants."""
        return needs.values(self._meant)

    @cached_property
    def needed_names(self) -> frozenset[str] | None:
        """Names of which one must be known, else this cannot be true; None where it can. `event.data.x` is `x`."""
        return needs.names(self._tree)

    @cached_property
    def has_duration(self) -> bool:
        """Whether it says how long something must hold, so that `hold` is needed."""
        return durations.mentions_duration(self._tree)

    @property
    def initial_since(self) -> tuple[None, ...]:
        """What `hold` starts with: a place for each AND group that mentions `duration`."""
        return (None,) * len(self._plan.rests)

    def hold(self, names: Names, since: Sequence[float | None], now: float) -> Held:
        """The condition at a time, for one series, given since when its AND groups have held.

        Keep the `since` of the result, which is plain JSON, and give it to the next call; the first call gets
        `initial_since`. A group's time starts with the first call at which the rest of the group is true.
        """
        if len(since) != len(self._plan.rests):
            raise ValueError(f"{self.text!r} needs {len(self._plan.rests)} times in since, got {len(since)}")
        held: list[float | None] = []
        started: list[float | None] = []
        for start, rest in zip(since, self._rests, strict=True):
            if rest(names, held):
                start = now if start is None else start
                held.append(max(0.0, now - start))
            else:
                start = None
                held.append(None)
            started.append(start)
        return Held(self._held(names, held), tuple(started))

    def next_check(self, since: Sequence[float | None], now: float) -> float | None:
        """The earliest time at which a `duration >` or `>=` a constant becomes true if nothing changes until then."""
        return durations.next_check(self._plan.thresholds, since, now)

    @cached_property
    def _truth(self) -> Callable[[Names], bool | None]:
        return compile_truth(self._meant)

    @cached_property
    def _rests(self) -> tuple[Callable[[Names, Sequence[float | None]], bool], ...]:
        return tuple(compile_true(rest, "names, held") for rest in self._plan.rests)

    @cached_property
    def _held(self) -> Callable[[Names, Sequence[float | None]], bool | None]:
        return compile_truth(self._plan.tree, "names, held")


class Expression:
    """A value computed from names: what `${...}` holds. Calling it with a mapping gives the value; unknown is None."""

    def __init__(self, text: str, tree: Node) -> None:
        self.text = text
        self._tree = tree
        self._value: Callable[[Names], Any] = compile_value(tree)

    def __call__(self, names: Names) -> Any:
        return self._value(names)

    def __str__(self) -> str:
        return to_text(self._tree)

    def __repr__(self) -> str:
        return f"<Expression {self}>"

    def explain(self, names: Names) -> Explanation:
        """The value of each sub-expression."""
        return explain(self._tree, names)

    def missing(self, names: Names) -> tuple[str, ...]:
        """The paths it reads that have no value."""
        return tuple(sorted(path for path, parts in self._reads.items() if look_up(names, parts) is None))

    def gives_null(self, names: Names) -> bool:
        """Whether it is a path and nothing else, and that leads to a null which is there, not to what is missing."""
        return isinstance(self._tree, Name) and is_null(names, self._tree.parts)

    @cached_property
    def paths(self) -> frozenset[str]:
        """Every path that is read, such as `event.data.host`."""
        return frozenset(self._reads)

    @cached_property
    def names(self) -> frozenset[str]:
        """The roots of the paths: the names that a mapping is asked for."""
        return frozenset(str(parts[0]) for parts in self._reads.values())

    @cached_property
    def is_null(self) -> bool:
        """Whether it is the literal `null`, the one expression that is meant to have no value."""
        return self._tree == Literal(None)

    @cached_property
    def _reads(self) -> dict[str, tuple[str | int, ...]]:
        return {path_text(parts): parts for parts in analysis.paths_read(self._tree)}
