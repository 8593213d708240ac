"""`flow.workflow`: workflows that actions start."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from automation import (
    ActionDefinition,
    AutomationConfig,
    AutomationEngine,
    Event,
    ExecutionContext,
    ExecutionResult,
    Priority,
    VirtualClock,
    WorkflowDefinition,
    WorkflowStatus,
)
from automation.errors import Conflict, StoreUnavailable
from automation.model.execution import ActionRun, Execution
from automation.store import children, waits
from automation.store.store import Store
from automation.workflows.control import Again
from tests.support import handlers
from tests.support.virtual import ended, until


@pytest.fixture(autouse=True)
def _fresh() -> None:
    handlers.calls.clear()
    handlers.broken.clear()
    handlers.gates.clear()


def act(name: str, operation: str = "test.record", **further: Any) -> ActionDefinition:
    return ActionDefinition(name=name, action_type=operation, **further)


def sub(name: str = "sub", workflow: str = "child", **further: Any) -> ActionDefinition:
    parameters = {key: further.pop(key) for key in ("variables", "wait") if key in further}
    return act(name, "flow.workflow", parameters={"workflow": workflow, **parameters}, **further)


async def define(engine: AutomationEngine, name: str, *actions: ActionDefinition, **further: Any) -> None:
    await engine.register_workflow(WorkflowDefinition(name=name, actions=actions, **further))


async def run(engine: AutomationEngine, *actions: ActionDefinition, **variables: Any) -> ExecutionResult:
    await define(engine, "parent", *actions)
    async with asyncio.timeout(30):
        return await engine.execute_workflow("parent", ExecutionContext(variables=variables))


async def the_child(engine: AutomationEngine, parent: str) -> Execution:
    async def there() -> bool:
        return bool(await children.of(engine.store, parent))

    await until(there)
    [child] = await children.of(engine.store, parent)
    return child


async def action(engine: AutomationEngine, execution_id: str, name: str = "sub") -> ActionRun:
    detail = await engine.queries.execution_detail(execution_id)
    return next(found for found in detail.actions if found.name == name)


LONG = act("long", "test.wait", parameters={"seconds": 3600})


async def test_what_the_child_returns_is_what_the_action_returns(engine: AutomationEngine) -> None:
    await define(
        engine, "child", act("a", parameters={"values": {"got": "${who}"}}), act("b", parameters={"values": {"n": 2}})
    )

    result = await run(
        engine, sub(variables={"who": "${name}"}), act("next", parameters={"value": "${got} ${n}"}), name="x"
    )

    assert result.status is WorkflowStatus.SUCCEEDED, result.error
    assert result.outputs["sub"] == {"got": "x", "n": 2}
    assert handlers.calls[-1] == ("next", "x 2")
    child = await the_child(engine, result.execution_id)
    assert (child.workflow, child.parent, child.parent_action) == ("child", result.execution_id, "sub")
    assert child.reason == "action sub of parent"
    detail = await engine.queries.execution_detail(result.execution_id)
    assert detail.children == (child,)
    assert await waits.met_of(engine.store, result.execution_id) == []


async def test_a_short_child_does_not_drive_its_parent_out_of_memory(engine: AutomationEngine) -> None:
    await define(engine, "child", act("a"))
    await define(engine, "parent", sub())
    seen = set()
    execution_id = await engine.start_workflow("parent")
    while not (status := await engine.get_workflow_status(execution_id)).finished:
        seen.add(status)
        await asyncio.sleep(0.005)
    assert seen <= {WorkflowStatus.RUNNING}


async def test_a_long_child_is_waited_for_without_memory(config: AutomationConfig) -> None:
    clock = VirtualClock()
    async with AutomationEngine(config, clock=clock) as engine:
        await define(engine, "child", LONG)
        await define(engine, "parent", sub(), act("after"))
        execution_id = await engine.start_workflow("parent")
        await the_child(engine, execution_id)
        await clock.advance(30)
        assert await engine.get_workflow_status(execution_id) is WorkflowStatus.WAITING
        assert not engine._runner.runs
        held = await action(engine, execution_id)
        assert held.waits_for == "workflow"
        await clock.advance(3600)
        result = await ended(engine, clock, execution_id)

    assert result.status is WorkflowStatus.SUCCEEDED
    assert handlers.calls == [("long", "waited"), ("after", None)]


async def test_a_child_is_as_urgent_as_what_waits_for_it(engine: AutomationEngine) -> None:
    await define(engine, "last", act("a"), priority="low")
    await define(engine, "child", sub(workflow="last"), priority="high")
    await define(engine, "parent", sub(), sub("alone", wait=False), sub("urgent", "pager"), priority="critical")
    await define(engine, "pager", act("a"), priority="critical")
    await define(engine, "slack", sub(workflow="pager"), priority="low")

    [one, two] = [await engine.execute_workflow(name) for name in ("parent", "slack")]
    await engine.drain()

    [waited, alone, _] = await children.of(engine.store, one.execution_id)
    assert (waited.priority, alone.priority) == (Priority.CRITICAL, Priority.HIGH)
    [[below], [other]] = [await children.of(engine.store, each.id) for each in (waited, alone)]
    assert (below.priority, other.priority) == (Priority.CRITICAL, Priority.HIGH)
    assert (await the_child(engine, two.execution_id)).priority == Priority.CRITICAL


async def test_a_child_that_fails_fails_the_action_with_its_error(engine: AutomationEngine) -> None:
    await define(engine, "child", act("a", "test.fail"))

    result = await run(engine, sub())

    child = await the_child(engine, result.execution_id)
    assert result.status is WorkflowStatus.FAILED
    assert result.error == f"sub: ChildFailed: {child.id} of workflow child failed: a: Refused: it will not work"
    assert (result.actions[0].error or {})["execution_id"] == child.id
    assert len(await children.of(engine.store, result.execution_id)) == 1


async def test_an_unknown_workflow_is_refused(engine: AutomationEngine) -> None:
    result = await run(engine, sub(workflow="nobody"))

    assert result.error == "sub: Refused: there is no workflow 'nobody'; registered: parent"


async def test_what_the_child_cannot_be_started_with_is_refused(engine: AutomationEngine) -> None:
    await define(engine, "child", act("a", parameters={"value": "${who}"}), conditions=["env == 'prod'"])

    assert "who: is missing" in str((await run(engine, sub())).error)
    assert "is false" in str((await run(engine, sub(variables={"who": 1, "env": "test"}))).error)


async def test_without_waiting_the_child_is_on_its_own(engine: AutomationEngine) -> None:
    await define(engine, "child", act("pause", "test.pause", parameters={"seconds": 0.2}), act("end"))

    result = await run(engine, sub(wait=False))

    child = await the_child(engine, result.execution_id)
    assert result.outputs["sub"] == {"execution_id": child.id}
    assert (await engine.wait_for(child.id)).status is WorkflowStatus.SUCCEEDED


async def test_workflows_that_start_one_another_end_somewhere(engine: AutomationEngine) -> None:
    await define(engine, "parent", act("a"), sub(workflow="parent"))
    async with asyncio.timeout(30):
        result = await engine.execute_workflow("parent")

    assert result.status is WorkflowStatus.FAILED
    assert len(handlers.calls) == 10
    assert "workflows may start one another 10 deep at most: parent > parent" in (result.error or "")


async def test_cancelling_the_parent_cancels_the_child_and_waits_for_its_end(engine: AutomationEngine) -> None:
    tidy = act("tidy", "test.pause", parameters={"seconds": 0.2}, always=True)
    await define(engine, "child", act("long", "test.pause"), tidy)
    await define(engine, "parent", sub(), act("cleanup", always=True))
    execution_id = await engine.start_workflow("parent")
    child = await the_child(engine, execution_id)
    while not handlers.calls:
        await asyncio.sleep(0.01)

    await engine.cancel(execution_id, "enough")
    async with asyncio.timeout(30):
        result = await engine.wait_for(execution_id)

    assert result.status is WorkflowStatus.CANCELLED
    assert await engine.get_workflow_status(child.id) is WorkflowStatus.CANCELLED
    assert [name for name, _ in handlers.calls] == ["long", "long", "tidy", "cleanup"]
    assert result.actions[0].status.value == "cancelled"
    assert (await engine.queries.execution(child.id)).error == {
        "type": "cancelled",
        "message": f"its parent {execution_id}: enough",
    }


async def test_a_parent_and_a_child_that_have_left_memory_are_cancelled_together(config: AutomationConfig) -> None:
    clock = VirtualClock()
    async with AutomationEngine(config, clock=clock) as engine:
        await define(engine, "child", LONG)
        await define(engine, "parent", sub(for_each=[1, 2]))
        execution_id = await engine.start_workflow("parent")
        await clock.advance(30)
        assert not engine._runner.runs
        await engine.cancel(execution_id)
        result = await ended(engine, clock, execution_id)
        found = await children.of(engine.store, execution_id)

    assert result.status is WorkflowStatus.CANCELLED
    assert [child.status for child in found] == [WorkflowStatus.CANCELLED] * 2


async def test_the_time_of_the_parent_is_the_time_of_the_child(config: AutomationConfig) -> None:
    clock = VirtualClock()
    async with AutomationEngine(config, clock=clock) as engine:
        await define(engine, "child", LONG)
        await define(engine, "parent", sub(), timeout_seconds=60)
        execution_id = await engine.start_workflow("parent")
        await clock.advance(61)
        result = await ended(engine, clock, execution_id)
        [child] = await children.of(engine.store, execution_id)

    assert result.status is WorkflowStatus.TIMED_OUT
    assert child.status is WorkflowStatus.CANCELLED


async def test_the_time_of_the_action_is_the_time_of_the_child(config: AutomationConfig) -> None:
    clock = VirtualClock()
    async with AutomationEngine(config, clock=clock) as engine:
        await define(engine, "child", LONG)
        await define(engine, "parent", sub(timeout_seconds=60))
        execution_id = await engine.start_workflow("parent")
        await clock.advance(59)
        assert await engine.get_workflow_status(execution_id) is WorkflowStatus.WAITING
        await clock.advance(2)
        result = await ended(engine, clock, execution_id)
        [child] = await children.of(engine.store, execution_id)

    assert result.status is WorkflowStatus.FAILED
    assert "sub: ActionTimeout: took longer than its limit of 60 s" in (result.error or "")
    assert child.status is WorkflowStatus.CANCELLED
    assert result.actions[0].attempt == 1


async def test_a_child_that_is_long_in_ending_costs_nothing_meanwhile(config: AutomationConfig) -> None:
    clock = VirtualClock()
    # Its cleanup takes longer than the time of the action that waits for it.
    clean = act("clean", "flow.wait", parameters={"seconds": 100}, always=True)
    async with AutomationEngine(config, clock=clock) as engine:
        await define(engine, "child", LONG, clean)
        await define(engine, "parent", sub(timeout_seconds=60))
        execution_id = await engine.start_workflow("parent")
        await the_child(engine, execution_id)
        await engine.cancel(execution_id)
        await clock.advance(90)
        assert not (await engine.get_workflow_status(execution_id)).finished
        result = await ended(engine, clock, execution_id)

    assert result.status is WorkflowStatus.CANCELLED


async def test_each_attempt_has_the_whole_time_of_the_action(config: AutomationConfig) -> None:
    clock = VirtualClock()
    retry = {"attempts": 2, "initial_seconds": 5, "jitter": False, "on": ["ChildFailed"]}
    flaky = act("a", "test.fail", parameters={"times": "${times}"})
    async with AutomationEngine(config, clock=clock) as engine:
        await define(engine, "child", act("wait", "test.wait", parameters={"seconds": 40}), flaky)
        variables = {"times": "${2 - attempt}"}
        await define(engine, "parent", sub(variables=variables, timeout_seconds=60, retry=retry))
        execution_id = await engine.start_workflow("parent")
        await clock.advance(43)
        await clock.advance(50)
        result = await ended(engine, clock, execution_id)

    assert result.status is WorkflowStatus.SUCCEEDED, result.error


async def test_a_clock_that_is_set_back_starts_no_child_twice(config: AutomationConfig) -> None:
    clock = VirtualClock()
    retry = {"attempts": 2, "initial_seconds": 5, "jitter": False, "on": ["ChildFailed"]}
    gate = act("gate", "test.gate", parameters={"value": "${attempt_of_parent}"})
    flaky = act("a", "test.fail", parameters={"times": "${2 - attempt_of_parent}"})
    async with AutomationEngine(config, clock=clock) as engine:
        await define(engine, "child", gate, flaky)
        await define(engine, "parent", sub(variables={"attempt_of_parent": "${attempt}"}, retry=retry))
        execution_id = await engine.start_workflow("parent")
        await the_child(engine, execution_id)
        clock.set_by(-7200)
        handlers.open_gate(1)
        handlers.open_gate(2)
        result = await ended(engine, clock, execution_id)
        found = await children.of(engine.store, execution_id)

    assert result.status is WorkflowStatus.SUCCEEDED, result.error
    assert len(found) == 2


async def test_a_database_that_is_away_for_a_moment_starts_no_child_twice(
    engine: AutomationEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    look, failures = children.of, iter(range(2))

    async def unwell(store: Store, parent: str, action: str | None = None) -> tuple[Execution, ...]:
        found = await look(store, parent, action)
        if any(child.status.finished for child in found) and next(failures, None) is not None:
            raise StoreUnavailable("the server has gone away")
        return found

    monkeypatch.setattr(children, "of", unwell)
    await define(engine, "child", act("a", parameters={"values": {"n": 1}}))
    await define(engine, "parent", sub(), act("broken", "test.fail"), rollback_strategy={})
    async with asyncio.timeout(30):
        result = await engine.execute_workflow("parent")

    assert result.status is WorkflowStatus.ROLLED_BACK, result.error
    assert [name for name, _ in handlers.calls] == ["a", "broken", "a.undo"]
    assert result.actions[0].attempt == 1


async def test_a_child_that_waited_for_its_seat_tells_its_parent(engine: AutomationEngine) -> None:
    gate = act("gate", "test.gate", parameters={"value": "${who}"})
    await define(engine, "child", gate, concurrency={"key": "k"})
    await define(engine, "parent", sub(variables={"who": "second"}))
    await engine.start_workflow("child", ExecutionContext(variables={"who": "first"}))
    execution_id = await engine.start_workflow("parent")
    child = await the_child(engine, execution_id)
    assert child.status is WorkflowStatus.PENDING
    handlers.open_gate("first")
    handlers.open_gate("second")

    async with asyncio.timeout(20):
        assert (await engine.wait_for(execution_id)).status is WorkflowStatus.SUCCEEDED


async def test_a_child_that_is_retried_by_hand_tells_its_parent(engine: AutomationEngine) -> None:
    await define(engine, "child", act("a", "test.mend"), act("gate", "test.gate", parameters={"value": "go"}))
    handlers.broken.add("a")
    failed = await run(engine, sub())
    child = await the_child(engine, failed.execution_id)
    handlers.broken.clear()
    await engine.executions.retry(child.id)
    await engine.executions.retry(failed.execution_id)

    async def waits() -> bool:
        return (await action(engine, failed.execution_id)).waits_for == "workflow"

    await until(waits)
    handlers.open_gate("go")

    async with asyncio.timeout(20):
        assert (await engine.wait_for(failed.execution_id)).status is WorkflowStatus.SUCCEEDED
    assert [found.id for found in await children.of(engine.store, failed.execution_id)] == [child.id]


async def test_items_start_a_child_each(engine: AutomationEngine) -> None:
    await define(engine, "child", act("a", "test.fail", parameters={"times": "${bad}"}, retry={"attempts": 1}))
    each = sub(variables={"bad": "${item}"}, for_each=[0, 5, 0], on_failure="continue")

    result = await run(engine, each)

    assert result.outputs["sub"]["results"] == [{"attempt": 1}, None, {"attempt": 1}]
    assert len(await children.of(engine.store, result.execution_id)) == 3


async def test_a_completed_child_is_rolled_back_with_its_parent(engine: AutomationEngine) -> None:
    grandchild = act("deep", parameters={"values": {"n": 3}})
    await define(engine, "grandchild", grandchild)
    await define(engine, "child", act("a", parameters={"values": {"n": 1}}), sub("deeper", "grandchild"), act("b"))
    await define(engine, "parent", act("first"), sub(), act("broken", "test.fail"), rollback_strategy={})
    async with asyncio.timeout(30):
        result = await engine.execute_workflow("parent")

    assert result.status is WorkflowStatus.ROLLED_BACK, result.error
    undone = [name for name, _ in handlers.calls if name.endswith(".undo")]
    assert undone == ["b.undo", "deep.undo", "a.undo", "first.undo"]
    child = await the_child(engine, result.execution_id)
    assert child.status is WorkflowStatus.ROLLED_BACK
    assert child.finished_at is not None
    assert (await engine.queries.verify_audit())[1] == []


async def test_what_a_failed_child_has_done_is_rolled_back_with_its_parent(engine: AutomationEngine) -> None:
    await define(engine, "grandchild", act("deep", parameters={"values": {"n": 3}}), act("broken", "test.fail"))
    await define(engine, "child", act("a", parameters={"values": {"n": 1}}), sub("deeper", "grandchild"))
    await define(engine, "parent", act("first"), sub(), rollback_strategy={})
    async with asyncio.timeout(30):
        result = await engine.execute_workflow("parent")

    assert result.status is WorkflowStatus.ROLLED_BACK, result.error
    undone = [name for name, _ in handlers.calls if name.endswith(".undo")]
    assert undone == ["deep.undo", "a.undo", "first.undo"]
    child = await the_child(engine, result.execution_id)
    grandchild = await the_child(engine, child.id)
    for each in (child, grandchild):
        assert each.status is WorkflowStatus.ROLLED_BACK
        # Why it had failed is told all the same.
        assert "it will not work" in (each.error or {})["message"]
    assert (await engine.queries.verify_audit())[1] == []


async def test_what_a_cancelled_child_has_done_is_rolled_back_with_its_parent(engine: AutomationEngine) -> None:
    await define(engine, "child", act("a"), LONG)
    await define(engine, "parent", act("first"), sub(), rollback_strategy={})
    execution_id = await engine.start_workflow("parent")
    child = await the_child(engine, execution_id)

    async def far_enough() -> bool:
        return (await action(engine, child.id, "long")).status.value == "waiting"

    await until(far_enough)
    await engine.cancel(execution_id, "enough")
    async with asyncio.timeout(30):
        result = await engine.wait_for(execution_id)

    assert result.status is WorkflowStatus.ROLLED_BACK, result.error
    assert [name for name, _ in handlers.calls if name.endswith(".undo")] == ["a.undo", "first.undo"]
    assert (await the_child(engine, execution_id)).status is WorkflowStatus.ROLLED_BACK


async def test_a_child_that_has_undone_itself_or_has_nothing_to_undo_is_left_alone(engine: AutomationEngine) -> None:
    await define(engine, "own", act("a"), act("broken", "test.fail"), rollback_strategy={})
    await define(engine, "idle", act("broken", "test.fail"))
    await define(
        engine,
        "parent",
        sub("one", "own", on_failure="continue"),
        sub("two", "idle", on_failure="continue"),
        sub("three", "nosuch"),
        rollback_strategy={},
    )
    async with asyncio.timeout(30):
        result = await engine.execute_workflow("parent")

    assert result.status is WorkflowStatus.ROLLED_BACK, result.error
    assert [name for name, _ in handlers.calls if name.endswith(".undo")] == ["a.undo"]
    found = {child.workflow: child for child in await children.of(engine.store, result.execution_id)}
    assert (found["own"].status, found["idle"].status) == (WorkflowStatus.ROLLED_BACK, WorkflowStatus.FAILED)
    parent = await engine.queries.execution_detail(result.execution_id)
    assert (parent.execution.error or {})["rollback"]["undone"] == ["two", "one"]


async def test_the_child_of_what_a_fork_has_taken_over_is_not_its_to_roll_back(engine: AutomationEngine) -> None:
    await define(engine, "child", act("a"), act("broken", "test.fail"))
    await define(
        engine,
        "parent",
        sub(on_failure="continue"),
        act("b"),
        act("broken", "test.fail"),
        rollback_strategy={"triggers": []},
    )
    async with asyncio.timeout(30):
        first = await engine.execute_workflow("parent")
    handlers.calls.clear()
    await define(
        engine, "parent", sub(on_failure="continue"), act("b"), act("broken", "test.fail"), rollback_strategy={}
    )

    fork = await engine.executions.fork(first.execution_id, "b", Again(newest=True))
    async with asyncio.timeout(30):
        assert (await engine.wait_for(fork)).status is WorkflowStatus.ROLLED_BACK

    assert [name for name, _ in handlers.calls if name.endswith(".undo")] == ["b.undo"]
    detail = await engine.queries.execution_detail(fork)
    assert (detail.execution.error or {})["rollback"]["undone"] == ["b"]
    assert (await the_child(engine, first.execution_id)).status is WorkflowStatus.FAILED


async def test_what_broke_off_in_the_same_moment_is_rolled_back_in_the_reverse_order(config: AutomationConfig) -> None:
    async with AutomationEngine(config, clock=VirtualClock()) as engine:
        await define(engine, "child", act("a"), act("broken", "test.fail"))
        twice = (sub("z", on_failure="continue"), sub("a", on_failure="continue"))
        await define(engine, "parent", *twice, act("broken", "test.fail"), rollback_strategy={})
        async with asyncio.timeout(30):
            result = await engine.execute_workflow("parent")

        assert len({found.finished_at for found in result.actions}) == 1
        detail = await engine.queries.execution_detail(result.execution_id)
        assert (detail.execution.error or {})["rollback"]["undone"] == ["a", "z"]


async def test_items_that_failed_are_rolled_back_among_those_that_succeeded(engine: AutomationEngine) -> None:
    await define(engine, "child", act("a", parameters={"value": "${n}"}), act("b", "test.fail", conditions=["n == 2"]))
    items = sub(variables={"n": "${item}"}, for_each={"items": [1, 2], "concurrency": 1})
    await define(engine, "parent", items, rollback_strategy={})
    async with asyncio.timeout(30):
        result = await engine.execute_workflow("parent")

    assert result.status is WorkflowStatus.ROLLED_BACK, result.error
    assert [name for name, _ in handlers.calls if name.endswith(".undo")] == ["a.undo", "a.undo"]
    statuses = [child.status for child in await children.of(engine.store, result.execution_id)]
    assert statuses == [WorkflowStatus.ROLLED_BACK] * 2


async def test_what_of_a_failed_child_cannot_be_undone_is_said_of_the_parent(engine: AutomationEngine) -> None:
    await define(engine, "child", act("a", parameters={"value": "stuck"}), act("broken", "test.fail"))
    await define(engine, "parent", sub(), rollback_strategy={})
    async with asyncio.timeout(30):
        result = await engine.execute_workflow("parent")

    assert result.status is WorkflowStatus.FAILED
    assert "not undone after action_failure: sub" in (result.error or "")
    child = await the_child(engine, result.execution_id)
    assert child.status is WorkflowStatus.FAILED
    assert list((child.error or {})["rollback"]["not_undone"]) == ["a"]


async def test_what_of_a_child_cannot_be_undone_is_said_of_the_parent(engine: AutomationEngine) -> None:
    await define(engine, "child", act("a", parameters={"value": "stuck"}))
    await define(engine, "parent", sub(), act("broken", "test.fail"), rollback_strategy={})
    async with asyncio.timeout(30):
        result = await engine.execute_workflow("parent")

    assert result.status is WorkflowStatus.FAILED
    assert "not undone after action_failure: sub" in (result.error or "")
    assert (await the_child(engine, result.execution_id)).status is WorkflowStatus.FAILED


async def test_a_rollback_of_a_child_needs_no_second_place(config: AutomationConfig) -> None:
    narrow = config.model_copy(update={"max_concurrent_actions": 1})
    async with AutomationEngine(narrow) as engine:
        await define(engine, "child", act("a"))
        await define(engine, "parent", sub(), act("broken", "test.fail"), rollback_strategy={})
        async with asyncio.timeout(30):
            result = await engine.execute_workflow("parent")
    assert result.status is WorkflowStatus.ROLLED_BACK


async def test_a_rollback_of_a_child_is_finished_after_a_restart(
    config: AutomationConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(value: Any) -> None:
        # The engine stops in it.
        monkeypatch.setattr(handlers, "undo_hook", None)
        raise asyncio.CancelledError

    monkeypatch.setattr(handlers, "undo_hook", die)
    async with AutomationEngine(config) as first:
        await define(first, "child", act("a", parameters={"values": {"n": 1}}))
        await define(first, "parent", sub(), act("broken", "test.fail"), rollback_strategy={})
        execution_id = await first.start_workflow("parent")

        async def died() -> bool:
            return handlers.undo_hook is None

        await until(died)
    async with AutomationEngine(config) as second, asyncio.timeout(20):
        result = await second.wait_for(execution_id)

    assert result.status is WorkflowStatus.ROLLED_BACK, result.error
    assert handlers.calls[-2:] == [("a.undo", {"n": 1})] * 2


async def test_a_retry_of_the_parent_starts_a_new_child_where_the_former_has_failed(engine: AutomationEngine) -> None:
    await define(engine, "child", act("a", "test.fail", parameters={"how": "${how}"}))
    failed = await run(engine, sub(variables={"how": "refused"}))
    await define(engine, "child", act("a"))

    await engine.executions.retry(failed.execution_id)
    async with asyncio.timeout(30):
        result = await engine.wait_for(failed.execution_id)

    assert result.status is WorkflowStatus.SUCCEEDED
    statuses = [child.status for child in await children.of(engine.store, failed.execution_id)]
    assert statuses == [WorkflowStatus.FAILED, WorkflowStatus.SUCCEEDED]


async def test_a_cancelled_child_fails_its_parent(engine: AutomationEngine) -> None:
    await define(engine, "child", LONG)
    await define(engine, "parent", sub())
    execution_id = await engine.start_workflow("parent")
    child = await the_child(engine, execution_id)

    await engine.cancel(child.id, "not this one")
    async with asyncio.timeout(30):
        result = await engine.wait_for(execution_id)

    assert result.status is WorkflowStatus.FAILED
    assert f"{child.id} of workflow child cancelled: not this one" in (result.error or "")
    with pytest.raises(Conflict):
        await engine.cancel(execution_id)


async def test_another_engine_can_run_the_child(config: AutomationConfig) -> None:
    clock = VirtualClock()
    async with AutomationEngine(config, clock=clock) as first:
        await define(first, "child", act("long", "test.wait", parameters={"seconds": 60}))
        await define(first, "parent", sub(), act("end"))
        execution_id = await first.start_workflow("parent")
        child = await the_child(first, execution_id)

        async def both_wait() -> bool:
            await clock.advance(0.1)
            found = [await first.get_workflow_status(each) for each in (execution_id, child.id)]
            return found == [WorkflowStatus.WAITING] * 2

        await until(both_wait)
        async with AutomationEngine(config, clock=clock) as second:
            # Both are alive, so time is not skipped over the head of their leases.
            for _ in range(60):
                await clock.advance(1)
            result = await ended(second, clock, execution_id)

    assert result.status is WorkflowStatus.SUCCEEDED
    assert handlers.calls == [("long", "waited"), ("end", None)]


async def test_a_name_that_nobody_has_registered_is_a_warning(engine: AutomationEngine) -> None:
    from automation.definitions import Definitions

    parent = WorkflowDefinition(name="parent", actions=(sub(workflow="nobody"), sub("own", "parent"), sub("x", "${y}")))
    problems = engine.catalogue.check(Definitions(workflows=(parent,)))

    assert [(problem.path, problem.severity) for problem in problems] == [
        ("workflows[0].actions[0].parameters.workflow", "warning")
    ]


class TestLevels:
    """A child that is stricter than what has started it is only proposed."""

    async def begin(self, engine: AutomationEngine, *, by_hand: bool = False, parent: str = "autonomous") -> str:
        await define(engine, "child", act("a"), level="manual")
        triggers = [{"type": "event", "event": "go"}]
        await define(engine, "parent", sub(), triggers=triggers, level=parent)
        if by_hand:
            return await engine.start_workflow("parent")
        receipt = await engine.publish(Event(type="go"))
        return receipt.executions[0]

    @pytest.mark.parametrize(("agreed", "status"), [(True, "succeeded"), (False, "failed")])
    async def test_it_waits_for_a_person_and_its_parent_for_it(
        self, engine: AutomationEngine, agreed: bool, status: str
    ) -> None:
        parent = await self.begin(engine)
        child = await the_child(engine, parent)
        assert child.status is WorkflowStatus.PROPOSED
        assert handlers.calls == []
        asked = await engine.queries.events(type="approval_requested")
        assert [item.event.data["execution"] for item in asked.items] == [child.id]

        await engine.decide(child.id, None, agreed, actor="ann")
        assert (await engine.wait_for(parent)).status.value == status
        assert handlers.calls == ([("a", None)] if agreed else [])

    @pytest.mark.parametrize("how", [{"by_hand": True}, {"parent": "manual"}])
    async def test_what_somebody_has_decided_is_not_asked_again(
        self, engine: AutomationEngine, how: dict[str, Any]
    ) -> None:
        parent = await self.begin(engine, **how)
        if "parent" in how:
            await engine.decide(parent, None, True, actor="ann")
        assert (await engine.wait_for(parent)).status is WorkflowStatus.SUCCEEDED
        assert handlers.calls == [("a", None)]
