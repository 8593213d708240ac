"""What is said to be needed is needed: whatever makes a tree true has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from automation.conditions import compile_condition, look_up
from automation.conditions.compiler import compile_true
from automation.conditions.needs import names, values
from automation.conditions.syntax import Node

from . import trees


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(trees.runnable_trees, trees.names)
def test_whatever_makes_a_tree_true_has_what_it_needs(tree: Node, given: Mapping[str, Any]) -> None:
    if not compile_true(tree)(given):
        return
    for parts, constants in values(tree).items():
        assert any(look_up(given, parts) == constant for constant in constants)
    needed = names(tree)
    assert needed is None or any(given.get(name) is not None for name in needed)


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        ("a", {"a"}),
        ("NOT a", {"a"}),
        ("a > 1 AND b", {"a"}),
        ("a OR b", {"a", "b"}),
        ("a OR b IS NULL", None),
        ("a IS NOT NULL", {"a"}),
        ("NOT (a IS NULL)", {"a"}),
        ("absent(a)", None),
        ("event.data.load > 5", {"load"}),
        ("event.severity == 'high' AND load > 5", {"load"}),
        ("event.severity == 'high'", None),
        ("1 < -a < 5", {"a"}),
        ("5 IN hosts", {"hosts"}),
        ("NOT (a < b < c)", {"a", "b"}),
    ],
)
def test_needed_names(text: str, needed: set[str] | None) -> None:
    assert compile_condition(text).needed_names == needed


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        ("event.subject == 's'", {"event.subject": {"s"}}),
        ("'s' == event.subject AND code IN [404, 500]", {"event.subject": {"s"}, "code": {404, 500}}),
        ("code == 404 OR code == 500", {"code": {404, 500}}),
        ("code == 404 OR other == 1", {}),
        ("NOT (code != 404)", {"code": {404}}),
        ("code IN [404, other]", {}),
        ("ok == true", {"ok": {True}}),
        ("size == 5KB", {"size": {5000}}),
        ("code == 404 AND code == 500", {"code": set()}),
    ],
)
def test_needed_values(text: str, needed: dict[str, set[Any]]) -> None:
    found = compile_condition(text).needed_values
    assert {".".join(map(str, parts)): set(constants) for parts, constants in found.items()} == needed
