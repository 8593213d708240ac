"""Joins: an action that begins when some of those it depends on have succeeded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from automation import ActionDefinition, AutomationConfig, AutomationEngine, WorkflowDefinition, WorkflowStatus
from automation.clock import VirtualClock
from automation.errors import DefinitionError
from automation.model.execution import ExecutionResult
from automation.workflows.compiler import compile_workflow
from tests.support import handlers
from tests.support.virtual import ended


@pytest.fixture(autouse=True)
def _fresh() -> None:
    handlers.calls.clear()


def act(name: str, operation: str = "test.record", **further: Any) -> ActionDefinition:
    return ActionDefinition(name=name, action_type=operation, **further)


def branch(name: str, seconds: float = 0.0, **further: Any) -> ActionDefinition:
    return act(name, "test.pause", parameters={"seconds": seconds}, depends_on=[], **further)


def broken(name: str) -> ActionDefinition:
    return act(name, "test.fail", depends_on=[], on_failure="continue")


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def engine(config: AutomationConfig, clock: VirtualClock) -> AsyncIterator[AutomationEngine]:
    """A running engine in virtual time: which branch is slower does not depend on the machine."""
    async with AutomationEngine(config, clock=clock) as running:
        yield running


async def run(engine: AutomationEngine, *actions: ActionDefinition) -> ExecutionResult:
    await engine.register_workflow(WorkflowDefinition(name="w", actions=actions))
    assert isinstance(engine.clock, VirtualClock)
    return await ended(engine, engine.clock, await engine.start_workflow("w"))


def statuses(result: ExecutionResult) -> dict[str, str]:
    return {action.name: action.status.value for action in result.actions}


async def test_any_begins_with_the_first_success_and_the_others_go_on(engine: AutomationEngine) -> None:
    join = act("join", depends_on=["slow", "quick", "broken"], join="any")

    result = await run(engine, branch("slow", 0.3), branch("quick"), broken("broken"), join)

    assert result.status is WorkflowStatus.SUCCEEDED
    assert statuses(result) == {"slow": "succeeded", "quick": "succeeded", "broken": "failed", "join": "succeeded"}
    ends = {action.name: action.finished_at or 0.0 for action in result.actions}
    assert ends["join"] < ends["slow"]
    assert [name for name, _ in handlers.calls].count("join") == 1


async def test_a_number_waits_for_so_many(engine: AutomationEngine) -> None:
    names = ["a", "b", "c"]
    waits = {"a": 0.0, "b": 0.1, "c": 0.4}

    result = await run(engine, *(branch(name, waits[name]) for name in names), act("join", depends_on=names, join=2))

    ends = {action.name: action.finished_at or 0.0 for action in result.actions}
    assert ends["b"] <= ends["join"] < ends["c"]


async def test_a_join_that_cannot_be_reached_any_more_is_skipped_at_once(engine: AutomationEngine) -> None:
    actions = [branch("slow", 0.3), broken("x"), act("y", depends_on=[], conditions=["env == 'prod'"])]
    join = act("join", depends_on=["slow", "x", "y"], join=2)

    result = await run(engine, *actions, join, act("after"))

    assert result.status is WorkflowStatus.SUCCEEDED
    assert statuses(result)["join"] == "skipped"
    assert result.actions[3].reason == "2 of 3 had to succeed, and at most 1 can: x, y did not"
    assert statuses(result)["after"] == "succeeded"
    ends = {action.name: action.finished_at or 0.0 for action in result.actions}
    assert ends["join"] < ends["slow"]


async def test_cleanup_runs_also_when_its_join_cannot_be_reached(engine: AutomationEngine) -> None:
    result = await run(engine, broken("x"), act("tidy", depends_on=["x"], join="any", always=True))

    assert statuses(result) == {"x": "failed", "tidy": "succeeded"}


async def test_a_join_of_some_survives_a_restart(config: AutomationConfig, clock: VirtualClock) -> None:
    actions = [
        act("quick", depends_on=[]),
        act("wait", "flow.wait", parameters={"seconds": 3600}, depends_on=[]),
        act("early", depends_on=["quick", "wait"], join="any"),
        act("late", depends_on=["quick", "wait"], join=2),
    ]
    async with AutomationEngine(config, clock=clock) as first:
        await first.register_workflow(WorkflowDefinition(name="w", actions=actions))
        execution_id = await first.start_workflow("w")
        async with asyncio.timeout(30):
            while await first.get_workflow_status(execution_id) is not WorkflowStatus.WAITING:
                await asyncio.sleep(0.005)
    assert [name for name, _ in handlers.calls] == ["quick", "early"]
    async with AutomationEngine(config, clock=clock) as second:
        await clock.advance(3600)
        result = await second.wait_for(execution_id)

    assert result.status is WorkflowStatus.SUCCEEDED
    assert [name for name, _ in handlers.calls] == ["quick", "early", "late"]


async def test_a_branch_that_waits_is_not_held_up_by_the_only_one_that_runs(
    engine: AutomationEngine, clock: VirtualClock
) -> None:
    actions = [
        act("wait", "flow.wait", parameters={"seconds": 0.2}, depends_on=[]),
        act("quick", "test.read", depends_on=[]),
        act("long", "test.gate", parameters={"value": "long"}, depends_on=["quick"]),
        act("late", depends_on=["wait"]),
    ]
    handlers.gates.clear()
    await engine.register_workflow(WorkflowDefinition(name="w", actions=actions))
    execution_id = await engine.start_workflow("w")
    async with asyncio.timeout(30):
        while ("late", None) not in handlers.calls:
            await clock.advance(0.05)
            await asyncio.sleep(0.005)
    assert ("long", "long") in handlers.calls

    handlers.open_gate("long")
    assert (await engine.wait_for(execution_id)).status is WorkflowStatus.SUCCEEDED


@pytest.mark.parametrize(
    ("actions", "path", "message"),
    [
        ([act("a", join="any")], "actions[0].join", "nothing to join"),
        ([act("a"), act("b", join=2)], "actions[1].join", "2 of 1 cannot succeed"),
        ([act("a"), act("b", depends_on=["a", "a"], join=2)], "actions[1].join", "2 of 1 cannot succeed"),
        (
            [act("a", "flow.fail", parameters={"message": "x"}), act("b", join="any")],
            "actions[1].join",
            "can never be met: a can never succeed",
        ),
        (
            [act("a", conditions=["1 > 2"]), act("b", join="any", depends_on=["a"]), act("c", join=1)],
            "actions[2].join",
            "can never be met: b",
        ),
    ],
)
def test_a_join_that_can_never_be_met_is_refused(actions: list[ActionDefinition], path: str, message: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        compile_workflow(WorkflowDefinition(name="w", actions=tuple(actions)))
    assert message in {problem.path: problem.message for problem in caught.value.problems}[path]
