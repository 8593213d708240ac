"""What a definition says of an action's effect, and of what becomes of it when the engine dies while it runs."""

from __future__ import annotations

from typing import Any

import pytest

from automation import ActionDefinition, DefinitionError, WorkflowDefinition
from automation.workflows.compiler import compile_workflow
from automation.workflows.plan import Step
from tests.support import handlers  # noqa: F401 - registers the operations


def step(operation: str, **further: Any) -> Step:
    action = ActionDefinition(name="a", action_type=operation, **further)
    return compile_workflow(WorkflowDefinition(name="w", actions=(action,))).steps[0]


@pytest.mark.parametrize(
    ("operation", "effect", "holds"),
    [
        ("test.record", None, "standard"),
        ("test.record", "critical", "critical"),
        ("test.read", "standard", "standard"),
        ("test.critical", "critical", "critical"),
    ],
)
def test_a_definition_raises_the_effect(operation: str, effect: Any, holds: str) -> None:
    assert step(operation, effect=effect).effect == holds


@pytest.mark.parametrize(
    ("operation", "effect"), [("test.critical", "standard"), ("test.critical", "read"), ("test.record", "read")]
)
def test_a_definition_never_lowers_the_effect(operation: str, effect: Any) -> None:
    with pytest.raises(DefinitionError) as caught:
        step(operation, effect=effect)
    [problem] = caught.value.problems
    assert problem.path == "actions[0].effect"
    assert "can be raised and not lowered" in problem.message


@pytest.mark.parametrize(
    ("operation", "further", "holds"),
    [
        ("test.record", {}, "fail"),
        ("test.read", {}, "retry"),
        ("test.critical", {}, "ask"),
        ("test.record", {"effect": "critical"}, "ask"),
        ("test.read", {"effect": "critical"}, "ask"),
        ("test.critical", {"on_interrupt": "fail"}, "fail"),
        ("test.record", {"on_interrupt": "ask"}, "ask"),
        ("test.wait", {"effect": "critical"}, "retry"),
    ],
)
def test_what_is_critical_and_must_not_be_repeated_is_asked_about(
    operation: str, further: dict[str, Any], holds: str
) -> None:
    assert step(operation, **further).on_interrupt == holds
