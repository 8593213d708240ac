"""A handler is given as many of its arguments as it takes, wherever it runs."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from automation import ActionDefinition, AutomationEngine, WorkflowDefinition, action
from automation.plugins import Plugin, undo

undone: list[tuple[Any, ...]] = []


class Params(BaseModel):
    a: int = 1


@action("arguments.none")
async def of_none() -> str:
    """Take nothing."""
    return "none"


@action("arguments.loop")
async def on_the_loop(params: Params) -> int:
    """Take settings alone."""
    return params.a


@action("arguments.thread")
def in_a_thread(params: Params) -> int:
    """Take settings alone."""
    return params.a


@action("arguments.process", cpu_bound=True)
def in_a_process(params: Params) -> int:
    """Take settings alone."""
    return params.a


@action("arguments.undone")
async def to_be_undone(params: Params) -> int:
    """Take settings alone."""
    return params.a


@undo("arguments.undone")
async def take_back(params: Params, result: int) -> None:
    """Take settings and the result, but no context."""
    undone.append((params.a, result))


@pytest.mark.parametrize(("name", "value"), [("none", "none"), ("loop", 7), ("thread", 7), ("process", 7)])
async def test_an_action_need_not_take_a_context(engine: AutomationEngine, name: str, value: Any) -> None:
    parameters = {} if name == "none" else {"a": 7}
    step = ActionDefinition(name="act", action_type=f"arguments.{name}", parameters=parameters)
    await engine.register_workflow(WorkflowDefinition(name="short", actions=[step]))

    assert (await engine.execute_workflow("short")).outputs["act"] == value


async def test_an_undo_need_not_take_a_context(engine: AutomationEngine) -> None:
    undone.clear()
    steps = [
        {"name": "act", "action_type": "arguments.undone", "parameters": {"a": 7}},
        {"name": "fail", "action_type": "flow.fail", "parameters": {"message": "no"}},
    ]
    workflow = {"name": "back", "actions": steps, "rollback_strategy": {"triggers": ["action_failure"]}}
    await engine.register_workflow(WorkflowDefinition.model_validate(workflow))

    assert (await engine.execute_workflow("back")).status.value == "rolled_back"
    assert undone == [(7, 7)]


def test_all_is_given_to_what_takes_all() -> None:
    def everything(*given: Any) -> tuple[Any, ...]:
        return given

    assert Plugin("action", "all", everything, Params).call(1, 2, 3) == (1, 2, 3)
