"""`repeat`: an action that is run again until a condition over what it returned is true. Decided purely."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from automation.conditions import Condition, Template
from automation.conditions.interpreter import Names


@dataclass(frozen=True, slots=True, eq=False)
class Loop:
    """What a `repeat` says."""

    until: Condition
    most: int
    delay: Template | None
    fails: bool
    """Whether the action fails when it has been run so often in vain."""


def after(loop: Loop, iteration: int, names: Names) -> Literal["done", "again", "exhausted"]:
    """What follows an iteration that has succeeded."""
    if loop.until.evaluate(names) is True:
        return "done"
    if iteration < loop.most:
        return "again"
    return "exhausted" if loop.fails else "done"


class Newest:
    """The usual names, with what an action has just returned: by its keys, and by the action's name."""

    __slots__ = ("_name", "_own", "_usual")

    def __init__(self, usual: Names, name: str, own: Mapping[str, Any], outputs: Any) -> None:
        self._usual = usual
        self._name = (name, outputs)
        self._own = {**own, **outputs} if isinstance(outputs, Mapping) else own

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a root name, or `default`."""
        if name in self._own:
            return self._own[name]
        found = self._usual.get(name)
        if name == "actions":
            key, outputs = self._name
            return {**(found or {}), key: outputs}
        return default if found is None else found
