"""One tree of errors, drawn where it is written."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest

from automation import errors
from automation.errors import AutomationError

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, AutomationError)]


def drawn() -> dict[str, tuple[str | None, bool]]:
    """Each error of the drawing: what it is a kind of, and whether it is said to be retryable."""
    found: dict[str, tuple[str | None, bool]] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"    (?P<lines>[│├└─ ]*)(?P<name>[A-Z]\w+)", line)
        if match:
            depth = len(match["lines"]) // 4
            path[depth:] = [match["name"]]
            found[match["name"]] = (path[depth - 1] if depth else None, "(retryable)" in line)
    return found


def test_the_drawing_is_the_tree() -> None:
    real = {kind.__name__: kind.__bases__[0].__name__ if kind is not AutomationError else None for kind in KINDS}
    assert {name: base for name, (base, _) in drawn().items()} == real


def test_the_drawing_says_what_is_retryable() -> None:
    assert {name for name, (_, again) in drawn().items() if again} == {
        kind.__name__ for kind in KINDS if kind.retryable
    }


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_each_error_has_a_message_and_survives_pickling(kind: type[AutomationError]) -> None:
    assert kind.__doc__
    error = kind.__new__(kind)
    AutomationError.__init__(error, "it went wrong", key="a", seconds=1.0)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.message, again.details) == (kind, "it went wrong", error.details)
