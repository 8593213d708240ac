"""What has been done is undone, the last first."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from automation import (
    ActionDefinition,
    AutomationConfig,
    AutomationEngine,
    DefinitionError,
    ExecutionContext,
    ExecutionResult,
    Refused,
    WorkflowDefinition,
    WorkflowStatus,
)
from automation.testing import engine as engine_under_test
from automation.workflows import rollback
from tests.support import handlers


@pytest.fixture(autouse=True)
def _fresh() -> None:
    handlers.calls.clear()


def act(name: str, operation: str = "test.record", **further: Any) -> ActionDefinition:
    return ActionDefinition(name=name, action_type=operation, **further)


def workflow(*actions: ActionDefinition, **strategy: Any) -> WorkflowDefinition:
    return WorkflowDefinition(name="w", actions=actions, rollback_strategy={"enabled": True, **strategy})


async def run(engine: AutomationEngine, definition: WorkflowDefinition, **variables: Any) -> ExecutionResult:
    await engine.register_workflow(definition)
    return await engine.execute_workflow("w", ExecutionContext(variables=variables))


def undone() -> list[tuple[str, Any]]:
    return [(name, value) for name, value in handlers.calls if name.endswith(".undo")]


async def test_completed_actions_are_undone_in_reverse_with_their_results(engine: AutomationEngine) -> None:
    definition = workflow(
        act("a", parameters={"values": {"n": 1}}), act("b", parameters={"values": {"n": 2}}), act("c", "test.fail")
    )

    result = await run(engine, definition)

    assert result.status is WorkflowStatus.ROLLED_BACK
    assert undone() == [("b.undo", {"n": 2}), ("a.undo", {"n": 1})]
    assert "it will not work" in (result.error or "")
    detail = await engine.queries.execution_detail(result.execution_id)
    assert detail.execution.status is WorkflowStatus.ROLLED_BACK
    assert (detail.execution.error or {})["rollback"]["undone"] == ["b", "a"]
    assert (await engine.queries.verify_audit())[1] == []


async def test_without_a_strategy_nothing_is_undone(engine: AutomationEngine) -> None:
    definition = WorkflowDefinition(name="w", actions=(act("a"), act("b", "test.fail")))

    assert (await run(engine, definition)).status is WorkflowStatus.FAILED
    assert undone() == []


@pytest.mark.parametrize(
    ("triggers", "status"),
    [
        (["test_failure"], WorkflowStatus.ROLLED_BACK),
        (["deployment_failure"], WorkflowStatus.FAILED),
        (["deployment_failure", "degraded"], WorkflowStatus.ROLLED_BACK),
        (["timeout"], WorkflowStatus.FAILED),
    ],
)
async def test_the_triggers_decide(engine: AutomationEngine, triggers: list[str], status: WorkflowStatus) -> None:
    definition = workflow(act("a", parameters={"values": {"degraded": True}}), act("b", "test.fail"), triggers=triggers)

    assert (await run(engine, definition)).status is status


async def test_each_failure_counts_not_the_first_alone(engine: AutomationEngine) -> None:
    definition = workflow(
        act("a"),
        act("b", "flow.fail", depends_on=["a"], parameters={"message": "no"}),
        act("c", "test.fail", depends_on=["a"]),
        triggers=["test_failure"],
    )

    assert (await run(engine, definition)).status is WorkflowStatus.ROLLED_BACK


async def test_a_failure_counts_also_where_it_was_cancelled_in_its_cleanup(engine: AutomationEngine) -> None:
    cleanup = act("c", "flow.wait", parameters={"seconds": 1.5}, always=True)
    await engine.register_workflow(workflow(act("a"), act("b", "test.fail"), cleanup, triggers=["action_failure"]))
    execution_id = await engine.start_workflow("w")
    while ("b", 1) not in handlers.calls:
        await asyncio.sleep(0.01)

    await engine.cancel(execution_id)

    assert (await engine.wait_for(execution_id)).status is WorkflowStatus.ROLLED_BACK
    assert undone() == [("a.undo", {})]


async def test_a_condition_rolls_back_what_succeeded(engine: AutomationEngine) -> None:
    values = {"error_rate": 0.2}
    definition = workflow(act("a", parameters={"values": values}), triggers=["error_rate > 0.1"])

    result = await run(engine, definition)

    assert result.status is WorkflowStatus.ROLLED_BACK
    assert undone() == [("a.undo", values)]


async def test_an_undo_of_the_definition_wins(engine: AutomationEngine) -> None:
    back = {"action_type": "test.read", "parameters": {"value": "${actions.a.n} of ${who}"}}
    definition = workflow(act("a", parameters={"values": {"n": 7}}, rollback=back), act("b", "test.fail"))

    result = await run(engine, definition, who="me")

    assert result.status is WorkflowStatus.ROLLED_BACK
    assert undone() == [("a.undo", "7 of me")]


async def test_an_undo_of_the_definition_takes_back_what_its_own_action_has_returned(engine: AutomationEngine) -> None:
    back = {"action_type": "test.read", "parameters": {"value": "${id} of attempt ${attempt}, after ${actions.b.id}"}}
    steps = [act(name, parameters={"values": {"id": f"id-{name}"}}, rollback=back) for name in ("a", "b")]

    result = await run(engine, workflow(*steps, act("c", "test.fail")))

    assert result.status is WorkflowStatus.ROLLED_BACK
    assert undone() == [
        ("b.undo", "id-b of attempt 1, after id-b"),
        ("a.undo", "id-a of attempt 1, after id-b"),
    ]


async def test_an_undo_of_an_item_takes_back_what_that_item_has_returned(engine: AutomationEngine) -> None:
    back = {"action_type": "test.read", "parameters": {"value": "${index}: ${id} of ${item}"}}
    each = act(
        "a",
        for_each={"items": ["x", "y"], "concurrency": 1},
        parameters={"values": {"id": "id-${item}", "item": "another"}},
        rollback=back,
    )

    result = await run(engine, workflow(each, act("c", "test.fail")))

    assert result.status is WorkflowStatus.ROLLED_BACK
    assert undone() == [("a[1].undo", "1: id-y of y"), ("a[0].undo", "0: id-x of x")]


async def test_an_undo_gets_the_secrets_of_its_action(config: AutomationConfig, engine: AutomationEngine) -> None:
    folder = config.data_dir / "secrets"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("KEY", "OTHER"):
        (folder / name).write_text(f"value of {name}")
        (folder / name).chmod(0o600)
    seen: list[Any] = []
    handlers.undo_hook = seen.append
    parameters = {"value": "${secret:KEY} and ${who}"}

    result = await run(engine, workflow(act("a", parameters=parameters), act("c", "test.fail")), who="${secret:OTHER}")

    handlers.undo_hook = None
    assert result.status is WorkflowStatus.ROLLED_BACK
    assert seen == ["value of KEY and ${secret:OTHER}"], "text of an input is never read as an expression"


async def test_what_cannot_be_undone_is_a_loud_fact(engine: AutomationEngine) -> None:
    definition = workflow(
        act("a"), act("b", parameters={"value": "stuck"}), act("p", "test.plain"), act("c", "test.fail")
    )

    result = await run(engine, definition)

    assert result.status is WorkflowStatus.FAILED
    assert "not undone after action_failure: b" in (result.error or "")
    assert [name for name, _ in undone()] == ["b.undo", "a.undo"], "the others are undone all the same"
    (decision,) = (await engine.queries.decisions(kind="rollback")).items
    assert result.execution_id in decision.reason
    assert b'automation_rollbacks_incomplete_total{workflow="w"} 1.0' in engine.metrics.render()
    error = (await engine.queries.execution(result.execution_id)).error or {}
    assert error["rollback"]["without_undo"] == ["p"]


async def test_what_cannot_be_undone_starts_workflows(engine: AutomationEngine) -> None:
    tell = act("tell", parameters={"value": "${event.data.execution}: ${event.data.not_undone.b}"})
    stuck = act("b", parameters={"value": "stuck"})
    told = [{"type": "event", "event": "rollback_incomplete"}]
    await engine.register_workflow(
        WorkflowDefinition(
            name="tell", actions=(tell, stuck, act("c", "test.fail")), rollback_strategy={}, triggers=told
        )
    )

    result = await run(engine, workflow(act("a"), stuck, act("c", "test.fail")))
    await engine.drain(20)

    assert ("tell", f"{result.execution_id}: it is stuck") in handlers.calls
    # What could not be undone of that itself is no event: it would not end.
    (stored,) = (await engine.queries.events(type="rollback_incomplete")).items
    assert stored.event.data["undone"] == ["a"]
    assert len((await engine.queries.decisions(kind="rollback")).items) == 2


async def test_it_also_happens_on_cancel(engine: AutomationEngine) -> None:
    await engine.register_workflow(workflow(act("a"), act("b", "test.pause")))
    execution_id = await engine.start_workflow("w")
    while ("b", "begin") not in handlers.calls:
        await asyncio.sleep(0.01)

    await engine.cancel(execution_id)

    assert (await engine.wait_for(execution_id)).status is WorkflowStatus.ROLLED_BACK
    assert undone() == [("a.undo", {})]


async def test_its_time_is_bounded(engine: AutomationEngine) -> None:
    slow = {"action_type": "test.pause", "parameters": {"seconds": 30}}
    definition = workflow(act("a"), act("b", rollback=slow), act("c", "test.fail"), max_rollback_time=0.2)

    result = await run(engine, definition)

    assert result.status is WorkflowStatus.FAILED
    assert result.duration_seconds < 10
    error = (await engine.queries.execution(result.execution_id)).error or {}
    assert set(error["rollback"]["not_undone"]) == {"a", "b"}


async def test_its_time_is_bounded_also_where_there_is_no_place_for_it(
    config: AutomationConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollback, "PATIENCE_SECONDS", 0.1)
    narrow = config.model_copy(update={"max_concurrent_actions": 1})
    hold = act("hold", "test.gate", parameters={"value": "hold"})
    handlers.gates.clear()
    async with AutomationEngine(narrow) as engine:
        long = act("long", "flow.wait", parameters={"seconds": 3600})
        await engine.register_workflow(workflow(act("a"), long, max_rollback_time=0.2))
        await engine.register_workflow(WorkflowDefinition(name="holds", actions=(hold,)))
        execution_id = await engine.start_workflow("w")
        while await engine.get_workflow_status(execution_id) is not WorkflowStatus.WAITING:
            await asyncio.sleep(0.01)
        holding = await engine.start_workflow("holds")
        while ("hold", "hold") not in handlers.calls:
            await asyncio.sleep(0.01)

        await engine.cancel(execution_id)
        async with asyncio.timeout(20):
            result = await engine.wait_for(execution_id)

        assert result.status is WorkflowStatus.CANCELLED
        assert "not undone after cancelled: a" in (result.error or "")
        handlers.open_gate("hold")
        assert (await engine.wait_for(holding)).status is WorkflowStatus.SUCCEEDED


async def test_an_undo_may_wait_and_start_a_workflow() -> None:
    child = WorkflowDefinition(
        name="child",
        actions=(act("w", "flow.wait", parameters={"seconds": 5}), act("c", parameters={"value": "${of}"})),
    )
    wait = {"action_type": "flow.wait", "parameters": {"seconds": 10}}
    start = {"action_type": "flow.workflow", "parameters": {"workflow": "child", "variables": {"of": "${n}"}}}
    steps = (act("a"), act("b", rollback=wait), act("c", parameters={"values": {"n": 7}}, rollback=start))
    outcomes = {"a": {}, "b": {}, "c": [{"n": 7}, {}], "d": Refused("no")}
    async with engine_under_test(outcomes=outcomes) as engine:
        await engine.register_workflow(child)
        began = engine.clock.now()

        result = await run(engine, workflow(*steps, act("d", "test.fail"), max_rollback_time=60))

        assert result.status is WorkflowStatus.ROLLED_BACK
        assert 15 <= engine.clock.now() - began <= 17
        (found,) = (await engine.queries.executions(workflow="child")).items
        assert (await engine.queries.execution_detail(found.id)).variables == {"of": 7}
        assert (await engine.queries.execution(result.execution_id)).error["rollback"]["undone"] == ["c", "b", "a"]  # type: ignore[index]


async def test_an_undo_that_waits_for_longer_than_there_is_time_is_told_and_its_workflow_ended() -> None:
    child = WorkflowDefinition(name="child", actions=(act("w", "flow.wait", parameters={"seconds": 3600}),))
    wait = {"action_type": "flow.wait", "parameters": {"seconds": 3600}}
    start = {"action_type": "flow.workflow", "parameters": {"workflow": "child"}}
    async with engine_under_test(outcomes={"a": {}, "b": {}, "c": {}, "d": Refused("no")}) as engine:
        await engine.register_workflow(child)

        steps = (act("a"), act("b", rollback=start), act("c", rollback=wait))
        result = await run(engine, workflow(*steps, act("d", "test.fail"), max_rollback_time=30))

        assert result.status is WorkflowStatus.FAILED
        told = ((await engine.queries.execution(result.execution_id)).error or {})["rollback"]
        assert set(told["not_undone"]) == {"a", "b", "c"}
        assert told["not_undone"]["c"] == "waits for 3600 s, and max_rollback_time is over before"
        (found,) = (await engine.queries.executions(workflow="child")).items
        assert (await engine.wait_for(found.id)).status is WorkflowStatus.CANCELLED


async def test_an_undo_that_waits_waits_on_where_it_is_taken_up(config: AutomationConfig) -> None:
    wait = {"action_type": "flow.wait", "parameters": {"seconds": 2}}
    async with AutomationEngine(config) as first:
        await first.register_workflow(workflow(act("a"), act("b", rollback=wait), act("c", "test.fail")))
        execution_id = await first.start_workflow("w")
        while await first.get_workflow_status(execution_id) is not WorkflowStatus.ROLLING_BACK:
            await asyncio.sleep(0.01)
        first._runner.runs[execution_id].task.cancel()  # type: ignore[union-attr]
        await asyncio.sleep(0.05)

    async with AutomationEngine(config) as second:
        assert (await second.wait_for(execution_id)).status is WorkflowStatus.ROLLED_BACK
    assert undone() == [("a.undo", {})]


async def test_an_undo_of_the_definition_is_tried_also_where_a_circuit_is_open(config: AutomationConfig) -> None:
    performance = {"circuit_breaker": {"failure_threshold": 1, "recovery_timeout": 600}}
    back = {"action_type": "test.fail", "parameters": {"how": "later"}}
    broken = act("b", "test.fail", parameters={"how": "later"}, retry_attempts=1)
    async with AutomationEngine(AutomationConfig(**{**config.model_dump(), "performance": performance})) as engine:
        result = await run(engine, workflow(act("a", rollback=back), broken))
        again = await run(engine, workflow(act("a", rollback=back), broken))

    assert "not undone after action_failure: a" in (result.error or "")
    assert "has failed 1 times in a row" in (again.error or "")
    assert [name for name, _ in handlers.calls if name == "a.undo"] == ["a.undo"] * 2


async def test_one_that_was_begun_is_finished_by_the_next_engine(config: AutomationConfig) -> None:
    slow = {"action_type": "test.pause", "parameters": {"seconds": 2}}
    async with AutomationEngine(config) as first:
        await first.register_workflow(workflow(act("a"), act("b", rollback=slow), act("c", "test.fail")))
        execution_id = await first.start_workflow("w")
        while ("b.undo", "begin") not in handlers.calls:
            await asyncio.sleep(0.01)
        first._runner.runs[execution_id].task.cancel()  # type: ignore[union-attr]
        await asyncio.sleep(0.05)
        assert await first.get_workflow_status(execution_id) is WorkflowStatus.ROLLING_BACK

    async with AutomationEngine(config) as second:
        result = await second.wait_for(execution_id)

    assert result.status is WorkflowStatus.ROLLED_BACK
    assert [name for name, _ in undone()].count("b.undo") == 3, "begin, cancelled, begin again"
    assert undone()[-1] == ("a.undo", {})


def test_a_wrong_undo_is_refused_at_registration() -> None:
    from automation.workflows.compiler import compile_workflow

    actions = (
        act("a", rollback={"action_type": "test.nothing"}),
        act("b", rollback={"action_type": "test.pause", "parameters": {"secnods": 1}}),
        act("c", rollback={"action_type": "flow.wait_for"}),
    )
    with pytest.raises(DefinitionError) as caught:
        compile_workflow(workflow(*actions, triggers=["action_failure", "x >", "x > AND canary_failure"]))

    assert {problem.path for problem in caught.value.problems} == {
        "actions[0].rollback.action_type",
        "actions[1].rollback.parameters.secnods",
        "actions[2].rollback.action_type",
        "rollback_strategy.triggers[1]",
        "rollback_strategy.triggers[2]",
    }


async def test_a_family_need_not_be_a_name_of_a_condition(engine: AutomationEngine) -> None:
    definition = workflow(act("a"), act("b", "test.fail"), triggers=["in-house_failure", "and_failure", "not-_failure"])

    assert (await run(engine, definition)).status is WorkflowStatus.FAILED


async def test_a_trigger_that_an_earlier_version_has_let_through_keeps_no_execution_from_its_end(
    engine: AutomationEngine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("automation.workflows.compiler.FAMILY_FAILURE", re.compile(".*_failure"))
    definition = workflow(act("a"), act("b", "test.fail"), triggers=["x > AND canary_failure", "action_failure"])

    assert (await run(engine, definition)).status is WorkflowStatus.ROLLED_BACK
    assert "the trigger of a rollback cannot be read and is left out" in caplog.text
