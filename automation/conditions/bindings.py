"""A condition with `${...}` in it: their values are taken when it is put down, and compared with when it is looked at.

They are bound to names and never become part of the text: what an event or an output carries cannot change what the
condition means.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from automation.conditions.condition import Condition, Expression
from automation.conditions.interpreter import Names
from automation.conditions.measured import compile_measured
from automation.conditions.templates import pieces
from automation.errors import ConditionError, InputError

PREFIX = "given_"


def compile_bound(text: str, *, units: Mapping[str, str] | None = None, kept: float | None = None) -> BoundCondition:
    """The condition that a text with `${...}` states, with windows as `compile_measured`. Raises ConditionError."""
    given: dict[str, Expression] = {}
    plain = ""
    for piece in pieces(text):
        if isinstance(piece, str):
            plain += piece
            continue
        if piece is None:
            raise ConditionError(text, 1, "a secret cannot be compared with")
        name = f"{PREFIX}{len(given) + 1}"
        given[name] = piece
        plain += name
    condition = compile_measured(plain, units=units or {}, kept=kept)
    if lost := set(given) - condition.names:
        hole = given[min(lost)].text.strip()
        raise ConditionError(
            text, 1, f"write ${{{hole}}} without quotes around it: it is a value, not a part of a text"
        )
    return BoundCondition(text, condition, given)


class BoundCondition:
    """A condition, and the expressions whose values it is given once."""

    def __init__(self, text: str, condition: Condition, given: dict[str, Expression]) -> None:
        self.text = text
        self.condition = condition
        self._given = given

    @property
    def paths(self) -> frozenset[str]:
        """Every path that its expressions read, and those that it reads itself; not the names they are bound to."""
        own = {path for path in self.condition.paths if path not in self._given}
        return frozenset(own).union(*(expression.paths for expression in self._given.values()))

    @property
    def given_paths(self) -> frozenset[str]:
        """Every path that its expressions read."""
        return frozenset[str]().union(*(expression.paths for expression in self._given.values()))

    @property
    def given_names(self) -> frozenset[str]:
        """Every name that its expressions read."""
        return frozenset[str]().union(*(expression.names for expression in self._given.values()))

    @property
    def same(self) -> frozenset[str]:
        """Paths that are compared with `${...}` of the same path."""
        own = {name: expression.text.strip() for name, expression in self._given.items()}
        return frozenset(own[name] for name in own if frozenset({name, own[name]}) in self.condition.compared)

    def given(self, names: Names) -> dict[str, Any]:
        """The values of its expressions now. Raises InputError that lists all names without a value."""
        values = {name: expression(names) for name, expression in self._given.items()}
        missing = [
            ("condition", path)
            for name, value in values.items()
            if value is None
            for path in self._given[name].missing(names) or (f"{self._given[name].text.strip()} is unknown",)
        ]
        if missing:
            lines = "\n  ".join(f"{place}: {path}" for place, path in missing)
            raise InputError(f"no value for\n  {lines}", missing=tuple(missing))
        return values
