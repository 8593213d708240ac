"""One action for each item of a list."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from automation import (
    ActionDefinition,
    AutomationConfig,
    AutomationEngine,
    DefinitionError,
    ExecutionContext,
    ExecutionResult,
    InputError,
    WorkflowDefinition,
    WorkflowStatus,
)
from automation.workflows.compiler import compile_workflow
from tests.support import handlers


@pytest.fixture(autouse=True)
def _fresh() -> None:
    handlers.calls.clear()


def act(name: str, operation: str = "test.record", **further: Any) -> ActionDefinition:
    return ActionDefinition(name=name, action_type=operation, **further)


async def run(engine: AutomationEngine, *actions: ActionDefinition, **variables: Any) -> ExecutionResult:
    await engine.register_workflow(WorkflowDefinition(name="w", actions=actions))
    return await engine.execute_workflow("w", ExecutionContext(variables=variables))


async def test_each_item_runs_once_and_the_results_keep_their_order(engine: AutomationEngine) -> None:
    each = act("a", parameters={"value": "${item}", "values": {"n": "${index}"}}, for_each="${hosts}")
    result = await run(engine, each, act("b", parameters={"value": "${actions.a.succeeded}"}), hosts=["x", "y", "z"])

    assert result.status is WorkflowStatus.SUCCEEDED
    assert sorted(handlers.calls[:3]) == [("a[0]", "x"), ("a[1]", "y"), ("a[2]", "z")]
    assert handlers.calls[3:] == [("b", 3)]
    assert result.outputs["a"] == {"results": [{"n": 0}, {"n": 1}, {"n": 2}], "succeeded": 3, "failed": 0}
    assert [action.name for action in result.actions] == ["a", "b"]


async def test_no_more_than_the_cap_run_at_a_time(engine: AutomationEngine) -> None:
    cap = {"items": list(range(6)), "concurrency": 2}
    result = await run(engine, act("a", "test.pause", parameters={"seconds": 0.05}, for_each=cap))

    assert result.status is WorkflowStatus.SUCCEEDED
    journal = (await engine.queries.execution_detail(result.execution_id)).journal
    running = most = 0
    for entry in journal:
        if "[" in (entry.action or ""):
            running += {"action_started": 1, "action_completed": -1}[entry.kind]
            most = max(most, running)
    assert most == 2


async def test_a_failing_item_stops_the_rest(engine: AutomationEngine) -> None:
    cap = {"items": list(range(5)), "concurrency": 1}
    result = await run(engine, act("a", "test.fail", for_each=cap), act("b"))

    assert result.status is WorkflowStatus.FAILED
    assert result.error == "a: Refused: 1 of 5 items failed; a[0]: it will not work"
    assert [name for name, _ in handlers.calls] == ["a[0]"]


async def test_on_failure_continue_runs_all(engine: AutomationEngine) -> None:
    retry = {"attempts": 2, "initial_seconds": 0.01}
    cap = {"items": [0, 1, 2]}
    flaky = act(
        "a",
        "test.fail",
        parameters={"times": "${item}", "how": "later"},
        for_each=cap,
        retry=retry,
        on_failure="continue",
    )
    result = await run(engine, flaky)

    assert result.status is WorkflowStatus.SUCCEEDED
    assert result.outputs["a"] == {"results": [{"attempt": 1}, {"attempt": 2}, None], "succeeded": 2, "failed": 1}


async def test_an_empty_list_is_done_at_once(engine: AutomationEngine) -> None:
    result = await run(engine, act("a", for_each="${hosts}"), hosts=[])

    assert result.outputs["a"] == {"results": [], "succeeded": 0, "failed": 0}


async def test_what_is_not_a_list_fails_the_action(engine: AutomationEngine) -> None:
    result = await run(engine, act("a", for_each="${hosts}"), hosts="x")

    assert result.status is WorkflowStatus.FAILED
    assert "for_each: must be a list, not str" in (result.error or "")
    with pytest.raises(InputError, match="hosts: is missing"):
        await engine.execute_workflow("w")


def test_item_is_a_name_only_there() -> None:
    inputs: dict[str, Any] = {"inputs": {}}
    compile_workflow(
        WorkflowDefinition(name="w", actions=(act("a", parameters={"value": "${item}"}, for_each=[1]),), **inputs)
    )
    with pytest.raises(DefinitionError, match="'item' is neither"):
        compile_workflow(WorkflowDefinition(name="w", actions=(act("a", parameters={"value": "${item}"}),), **inputs))


async def test_cancelling_reaches_all_items(engine: AutomationEngine) -> None:
    await engine.register_workflow(WorkflowDefinition(name="w", actions=(act("a", "test.pause", for_each=[1, 2, 3]),)))
    execution_id = await engine.start_workflow("w")
    while len(handlers.calls) < 3:
        await asyncio.sleep(0.01)

    await engine.cancel(execution_id)
    result = await engine.wait_for(execution_id)

    assert result.status is WorkflowStatus.CANCELLED
    assert sum(what == "cancelled" for _, what in handlers.calls) == 3


async def test_after_a_restart_only_what_had_not_ended_runs(config: AutomationConfig) -> None:
    cap = {"items": list(range(6)), "concurrency": 2}
    slow = act("a", "test.pause", parameters={"seconds": 0.15}, for_each=cap)
    async with AutomationEngine(config) as first:
        await first.register_workflow(WorkflowDefinition(name="w", actions=(slow, act("b"))))
        execution_id = await first.start_workflow("w")
        while len(handlers.calls) < 3:
            await asyncio.sleep(0.01)
    async with AutomationEngine(config) as second:
        result = await second.wait_for(execution_id)

    assert result.status is WorkflowStatus.SUCCEEDED
    assert sorted(name for name, _ in handlers.calls) == ["a[0]", "a[1]", "a[2]", "a[3]", "a[4]", "a[5]", "b"]


async def test_items_are_undone_too(engine: AutomationEngine) -> None:
    each = act("a", parameters={"values": {"n": "${item}"}}, for_each={"items": [1, 2], "concurrency": 1})
    definition = WorkflowDefinition(
        name="w", actions=(each, act("b", "test.fail")), rollback_strategy={"enabled": True}
    )
    await engine.register_workflow(definition)

    result = await engine.execute_workflow("w")

    assert result.status is WorkflowStatus.ROLLED_BACK
    assert handlers.calls[-2:] == [("a[1].undo", {"n": 2}), ("a[0].undo", {"n": 1})]
