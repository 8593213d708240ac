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
    VirtualClock,
    WorkflowDefinition,
    WorkflowStatus,
)
from automation.model.execution import ActionStatus, Wish
from automation.store.executions import Asked
from automation.workflows.compiler import compile_workflow
from tests.support import handlers
from tests.support.virtual import ended, until


@pytest.fixture(autouse=True)
def _fresh() -> None:
    handlers.calls.clear()
    handlers.gates.clear()


async def begun(number: int) -> None:
    async with asyncio.timeout(20):
        while len(handlers.calls) < number:
            await asyncio.sleep(0.01)


async def until_resting(engine: AutomationEngine, execution_id: str, number: int) -> None:
    async with asyncio.timeout(20):
        while len(engine._runner.runs[execution_id].resting) < number:
            await asyncio.sleep(0.01)


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
    assert [action.status for action in result.actions] == [ActionStatus.CANCELLED]


async def test_a_retry_does_what_was_cancelled(engine: AutomationEngine) -> None:
    each = act("a", "test.gate", parameters={"value": "${item}"}, for_each=[1, 2, 3])
    await engine.register_workflow(WorkflowDefinition(name="w", actions=(each, act("b"))))
    handlers.open_gate(2)
    execution_id = await engine.start_workflow("w")
    await begun(3)
    await engine.cancel(execution_id)
    await engine.wait_for(execution_id)
    handlers.open_gate(1)
    handlers.open_gate(3)

    await engine.executions.retry(execution_id)
    result = await engine.wait_for(execution_id)

    assert result.status is WorkflowStatus.SUCCEEDED
    assert sorted(handlers.calls[3:]) == [("a[0]", 1), ("a[2]", 3), ("b", None)]


async def test_after_a_failure_none_begins_when_those_that_waited_are_back(config: AutomationConfig) -> None:
    clock = VirtualClock()
    retry = {"attempts": 2, "initial_seconds": 3600, "max_seconds": 3600, "jitter": False, "on": ["TryLater"]}
    parameters = {"times": "${item.times}", "how": "${item.how}"}
    items = [{"times": 1, "how": "later"}, *[{"times": 9, "how": "refused"}] * 3]
    each = act("a", "test.fail", parameters=parameters, for_each={"items": items, "concurrency": 2}, retry=retry)
    async with AutomationEngine(config, clock=clock) as engine:
        await engine.register_workflow(WorkflowDefinition(name="w", actions=(each,)))
        execution_id = await engine.start_workflow("w")
        await clock.advance(60)
        assert await engine.get_workflow_status(execution_id) is WorkflowStatus.WAITING
        await clock.advance(3600)
        result = await ended(engine, clock, execution_id)

    assert result.error == "a: Refused: 1 of 4 items failed; a[1]: it will not work"
    assert handlers.calls == [("a[0]", 1), ("a[1]", 1), ("a[0]", 2)]


async def test_cleanup_of_items_goes_on_after_a_restart(config: AutomationConfig) -> None:
    items = {"items": [1, 2], "concurrency": 1}
    clean = act("clean", "test.gate", parameters={"value": "${item}"}, for_each=items, always=True)
    async with AutomationEngine(config) as first:
        long = act("long", "test.gate", parameters={"value": "long"})
        await first.register_workflow(WorkflowDefinition(name="w", actions=(long, clean)))
        execution_id = await first.start_workflow("w")
        await begun(1)
        await first.cancel(execution_id)
        await begun(2)
        # While the engine stops: what runs may end.
        asyncio.get_running_loop().call_later(0.1, handlers.open_gate, 1)
    handlers.open_gate(2)
    async with AutomationEngine(config) as second, asyncio.timeout(20):
        result = await second.wait_for(execution_id)

    assert result.status is WorkflowStatus.CANCELLED
    assert handlers.calls == [("long", "long"), ("clean[0]", 1), ("clean[1]", 2)]
    assert result.actions[1].status is ActionStatus.SUCCEEDED


async def test_a_pause_that_is_taken_back_at_once_breaks_nothing_off(config: AutomationConfig) -> None:
    clock = VirtualClock()
    # So short that they wait in memory.
    retry = {"attempts": 2, "initial_seconds": 0.5, "jitter": False}
    flaky = act("a", "test.fail", parameters={"times": 1, "how": "later"}, for_each=[1, 2], retry=retry)
    async with AutomationEngine(config, clock=clock) as engine:
        await engine.register_workflow(WorkflowDefinition(name="w", actions=(flaky,)))
        execution_id = await engine.start_workflow("w")
        await until_resting(engine, execution_id, 2)
        # As when both were written in one commit: nothing runs in between.
        engine._runner.heed(Asked(execution_id, None, Wish("pause", "ann", "")))
        engine._runner.heed(Asked(execution_id, None, Wish("resume", "ann", "")))
        result = await ended(engine, clock, execution_id)

    assert result.status is WorkflowStatus.SUCCEEDED
    assert sorted(handlers.calls) == [("a[0]", 1), ("a[0]", 2), ("a[1]", 1), ("a[1]", 2)]


async def test_once_it_has_succeeded_it_says_no_more_why_it_waited(config: AutomationConfig) -> None:
    clock = VirtualClock()
    retry = {"attempts": 2, "initial_seconds": 0.5, "jitter": False}
    flaky = act("a", "test.fail", parameters={"times": 1, "how": "later"}, for_each=[1, 2], retry=retry)
    async with AutomationEngine(config, clock=clock) as engine:
        await engine.register_workflow(WorkflowDefinition(name="w", actions=(flaky,)))
        execution_id = await engine.start_workflow("w")
        await until_resting(engine, execution_id, 2)
        await engine.executions.pause(execution_id, "not now", actor="ann")

        async def paused() -> bool:
            return (await engine.get_workflow_status(execution_id)) is WorkflowStatus.PAUSED

        await until(paused)
        (action,) = (await engine.queries.execution_detail(execution_id)).actions
        assert action.reason == "paused before all items had run"
        await engine.executions.resume(execution_id, "now", actor="ann")
        result = await ended(engine, clock, execution_id)

    assert result.status is WorkflowStatus.SUCCEEDED
    assert result.actions[0].reason is None


async def test_what_a_guardrail_leaves_out_has_not_succeeded(config: AutomationConfig) -> None:
    limits = {"workflow_rate": {"limit": 2, "window_seconds": 60}}
    narrow = AutomationConfig(database_url=config.database_url, data_dir=config.data_dir, guardrails=limits)
    async with AutomationEngine(narrow) as engine:
        result = await run(engine, act("a", for_each=[1, 2, 3], on_guardrail="skip"))

    assert result.status is WorkflowStatus.SUCCEEDED
    assert result.outputs["a"] == {"results": [{}, {}, None], "succeeded": 2, "failed": 0}


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
