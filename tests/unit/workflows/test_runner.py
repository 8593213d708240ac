"""What the runner does with one execution."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from automation import (
    ActionDefinition,
    AutomationConfig,
    AutomationEngine,
    ExecutionContext,
    ExecutionResult,
    InputError,
    NotFound,
    Priority,
    TryLater,
    VirtualClock,
    WorkflowDefinition,
    WorkflowStatus,
    testing,
)
from automation.errors import Conflict, DuplicateKey
from automation.model.execution import ActionStatus
from automation.plugins import registry
from tests.support import handlers


@pytest.fixture(autouse=True)
def _fresh() -> None:
    handlers.calls.clear()


def act(name: str, operation: str = "test.record", **further: Any) -> ActionDefinition:
    return ActionDefinition(name=name, action_type=operation, **further)


def workflow(*actions: ActionDefinition, name: str = "w", **further: Any) -> WorkflowDefinition:
    return WorkflowDefinition(name=name, actions=actions, **further)


async def run(engine: AutomationEngine, definition: WorkflowDefinition, **variables: Any) -> ExecutionResult:
    await engine.register_workflow(definition)
    return await engine.execute_workflow(definition.name, ExecutionContext(variables=variables))


def statuses(result: ExecutionResult) -> dict[str, str]:
    return {action.name: action.status.value for action in result.actions}


async def test_actions_run_in_order_and_their_outputs_are_seen(engine: AutomationEngine) -> None:
    definition = workflow(
        act("first", parameters={"values": {"count": 3, "name": "x"}}),
        act("second", parameters={"value": "${count}", "values": {"text": "n=${count} ${actions.first.name} ${who}"}}),
    )

    result = await run(engine, definition, who="you")

    assert result.status is WorkflowStatus.SUCCEEDED
    assert handlers.calls == [("first", None), ("second", 3)]
    assert result.outputs == {"first": {"count": 3, "name": "x"}, "second": {"text": "n=3 x you"}}
    assert result.error is None


async def test_an_unmet_condition_skips_and_what_depends_on_it_still_runs(engine: AutomationEngine) -> None:
    definition = workflow(
        act("a", conditions=["env == 'prod'"]),
        act("b", conditions=["nowhere > 1"]),
        act("c", conditions=["env == 'test'"]),
    )

    result = await run(engine, definition, env="test")

    assert result.status is WorkflowStatus.SUCCEEDED
    assert statuses(result) == {"a": "skipped", "b": "skipped", "c": "succeeded"}
    assert result.actions[0].reason == "condition \"env == 'prod'\" is false"
    assert result.actions[1].reason == "condition 'nowhere > 1' is unknown"


async def test_independent_actions_run_at_the_same_time(engine: AutomationEngine) -> None:
    handlers.gates.clear()
    definition = workflow(
        act("slow", "test.gate", depends_on=[]),
        act("quick", depends_on=[]),
        act("join", depends_on=["slow", "quick"]),
    )
    await engine.register_workflow(definition)

    execution_id = await engine.start_workflow("w")
    async with asyncio.timeout(30):
        while len(handlers.calls) < 2:
            await asyncio.sleep(0.01)
    handlers.open_gate(None)
    result = await engine.wait_for(execution_id)

    assert result.status is WorkflowStatus.SUCCEEDED
    assert [name for name, _ in handlers.calls] == ["slow", "quick", "join"]


async def test_a_failed_action_fails_the_workflow_but_cleanup_runs(engine: AutomationEngine) -> None:
    definition = workflow(act("a", "test.fail"), act("b"), act("cleanup", always=True))

    result = await run(engine, definition)

    assert result.status is WorkflowStatus.FAILED
    assert statuses(result) == {"a": "failed", "b": "skipped", "cleanup": "succeeded"}
    assert result.error == "a: Refused: it will not work"
    assert result.actions[1].reason == "a failed"


async def test_on_failure_continue_goes_on(engine: AutomationEngine) -> None:
    result = await run(engine, workflow(act("a", "test.fail", on_failure="continue"), act("b")))

    assert result.status is WorkflowStatus.SUCCEEDED
    assert statuses(result) == {"a": "failed", "b": "succeeded"}


@pytest.mark.parametrize("how", ["later", "crash"])
async def test_retryable_errors_are_tried_again(engine: AutomationEngine, how: str) -> None:
    retry = {"attempts": 3, "initial_seconds": 0.01}
    definition = workflow(act("a", "test.fail", parameters={"times": 2, "how": how}, retry=retry))

    result = await run(engine, definition)

    assert result.status is WorkflowStatus.SUCCEEDED
    assert [attempt for _, attempt in handlers.calls] == [1, 2, 3]
    journal = (await engine.queries.execution_detail(result.execution_id)).journal
    assert [entry.kind for entry in journal].count("action_failed") == 2


async def test_attempts_run_out(engine: AutomationEngine) -> None:
    retry = {"attempts": 2, "initial_seconds": 0.01}

    result = await run(engine, workflow(act("a", "test.fail", parameters={"how": "crash"}, retry=retry)))

    assert result.status is WorkflowStatus.FAILED
    assert len(handlers.calls) == 2
    assert result.error == "a: ValueError: ValueError: something broke"
    assert "handlers.py" in (result.actions[0].error or {})["where"]


async def test_only_the_named_errors_are_retried(engine: AutomationEngine) -> None:
    retry = {"attempts": 5, "initial_seconds": 0.01, "on": ["TryLater"]}

    result = await run(engine, workflow(act("a", "test.fail", parameters={"how": "crash"}, retry=retry)))

    assert result.status is WorkflowStatus.FAILED
    assert len(handlers.calls) == 1


async def test_an_error_that_is_named_is_retried_whatever_it_says(engine: AutomationEngine) -> None:
    retry = {"attempts": 3, "initial_seconds": 0.01, "on": ["Refused"]}

    result = await run(engine, workflow(act("a", "test.fail", parameters={"times": 1, "how": "refused"}, retry=retry)))

    assert result.status is WorkflowStatus.SUCCEEDED
    assert [attempt for _, attempt in handlers.calls] == [1, 2]


async def test_a_long_wait_between_attempts_leaves_memory() -> None:
    retry = {"attempts": 2, "initial_seconds": 3600, "max_seconds": 3600, "jitter": False}
    async with testing.engine(outcomes={"a": [TryLater("not now"), {}]}) as engine:
        await engine.register_workflow(workflow(act("a", retry=retry)))
        execution_id = await engine.start_workflow("w")
        await engine.clock.advance(3599)

        assert await engine.get_workflow_status(execution_id) is WorkflowStatus.WAITING
        assert engine._runner.runs == {}
        assert (await engine.wait_for(execution_id)).status is WorkflowStatus.SUCCEEDED


async def test_a_retry_beside_a_long_action_does_not_wait_for_it() -> None:
    retry = {"attempts": 2, "initial_seconds": 5, "jitter": False}
    flaky = act("flaky", retry=retry, depends_on=[])
    outcomes = {"flaky": [TryLater("not now"), {}], "slow": testing.After(100, {})}

    result = await testing.run_workflow(workflow(flaky, act("slow", depends_on=[])), outcomes=outcomes)

    assert result.status is WorkflowStatus.SUCCEEDED
    ends = {action.name: (action.finished_at or 0.0) - result.began_at for action in result.actions}
    assert ends == {"flaky": 5, "slow": 100}


async def test_stopping_in_the_middle_leaves_the_rest_for_the_next_engine(config: AutomationConfig) -> None:
    slow = [act(f"slow{n}", "test.pause", parameters={"seconds": 0.3}, depends_on=[]) for n in range(3)]
    definition = workflow(*slow, act("end", depends_on=[action.name for action in slow]))
    async with AutomationEngine(config) as first:
        await first.register_workflow(definition)
        execution_id = await first.start_workflow("w")
    async with AutomationEngine(config) as second:
        result = await second.wait_for(execution_id)

    assert result.status is WorkflowStatus.SUCCEEDED
    assert [name for name, _ in handlers.calls] == ["slow0", "slow1", "slow2", "end"]


async def test_a_hanging_action_times_out(engine: AutomationEngine) -> None:
    definition = workflow(act("a", "test.pause", timeout_seconds=0.05, retry_attempts=1), act("b", always=True))

    result = await run(engine, definition)

    assert result.status is WorkflowStatus.FAILED
    assert result.error == "a: ActionTimeout: took longer than its limit of 0.05 s"
    assert handlers.calls == [("a", "begin"), ("a", "cancelled"), ("b", None)]


async def test_a_handler_that_ignores_its_cancellation_is_left_behind(
    engine: AutomationEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("automation.actions.middleware.timeout.GRACE_SECONDS", 0.05)
    stubborn = {"seconds": 600, "stubborn": True}
    definition = workflow(act("a", "test.pause", parameters=stubborn, timeout_seconds=0.05, retry_attempts=1))

    result = await run(engine, definition)

    assert result.status is WorkflowStatus.FAILED
    assert handlers.calls == [("a", "begin")]


async def test_a_handler_that_exits_does_not_end_the_engine(engine: AutomationEngine) -> None:
    result = await run(engine, workflow(act("a", "test.fail", parameters={"how": "exit"}, retry_attempts=1)))

    assert result.status is WorkflowStatus.FAILED
    assert "sys.exit(3)" in (result.error or "")
    assert (await run(engine, workflow(act("b"), name="other"))).status is WorkflowStatus.SUCCEEDED


@pytest.mark.parametrize(("value", "message"), [(None, "cannot be stored as JSON"), (1, "result.x is not a finite")])
async def test_a_result_that_cannot_be_stored_fails_the_action(
    engine: AutomationEngine, value: Any, message: str
) -> None:
    result = await run(engine, workflow(act("a", "test.strange", parameters={"value": value})))

    assert result.status is WorkflowStatus.FAILED
    assert message in (result.error or "")
    stored = await engine.queries.execution_detail(result.execution_id)
    assert message in (stored.actions[0].error or {})["message"]


async def test_plain_functions_run_in_threads_and_heavy_ones_in_processes(engine: AutomationEngine) -> None:
    import os

    definition = workflow(
        act("thread", "test.plain", parameters={"value": 1}), act("process", "test.heavy", parameters={"value": 2})
    )

    result = await run(engine, definition)

    assert result.status is WorkflowStatus.SUCCEEDED, result.error
    assert result.outputs["thread"]["thread"].startswith("automation-")
    assert result.outputs["process"]["pid"] != os.getpid()


async def test_parameters_that_do_not_fit_at_run_time_fail_the_action(engine: AutomationEngine) -> None:
    definition = workflow(act("a", "test.pause", parameters={"seconds": "${long}"}))

    result = await run(engine, definition, long="very")

    assert result.status is WorkflowStatus.FAILED
    assert "parameters.seconds" in (result.error or "")


async def test_a_missing_input_refuses_the_start(engine: AutomationEngine) -> None:
    await engine.register_workflow(workflow(act("a", parameters={"value": "${nobody} ${knows}"})))

    with pytest.raises(InputError, match=r"knows: is missing.*nobody: is missing"):
        await engine.execute_workflow("w")
    assert (await engine.queries.executions()).items == ()


async def test_a_name_that_an_earlier_action_did_not_produce_fails_the_action(engine: AutomationEngine) -> None:
    result = await run(engine, workflow(act("a"), act("b", parameters={"value": "${nobody}"})))

    assert result.status is WorkflowStatus.FAILED
    assert "nobody" in (result.error or "")


async def test_declared_inputs_are_checked_and_have_defaults(engine: AutomationEngine) -> None:
    inputs = {"count": {"type": "integer", "default": 2}, "who": {"type": "string", "required": True}}
    await engine.register_workflow(workflow(act("a", parameters={"value": "${count}"}), inputs=inputs))

    with pytest.raises(InputError, match=r"who: is required; other: is not an input"):
        await engine.execute_workflow("w", ExecutionContext(variables={"other": 1}))
    with pytest.raises(InputError, match="count: must be an integer, not str"):
        await engine.execute_workflow("w", ExecutionContext(variables={"who": "x", "count": "1"}))
    result = await engine.execute_workflow("w", ExecutionContext(variables={"who": "x"}))
    assert result.status is WorkflowStatus.SUCCEEDED
    assert handlers.calls == [("a", 2)]


async def test_an_error_that_names_what_is_not_text_is_kept(
    engine: AutomationEngine, caplog: pytest.LogCaptureFixture
) -> None:
    """Such as the name of a file that is not UTF-8."""
    # What is logged of it could not be handed over by the processes that run tests.
    caplog.set_level("ERROR", logger="automation.actions")
    bad = act("bad", "test.fail", parameters={"how": "halves"}, on_failure="continue", retry={"attempts": 1})
    result = await run(engine, workflow(bad, act("b")))

    assert result.status is WorkflowStatus.SUCCEEDED, result.error
    assert result.actions[0].error is not None
    assert result.actions[0].error["message"] == "ValueError: /srv/\\udcff is no file"


async def test_an_idempotency_key_knows_inputs_whose_keys_come_in_another_order(engine: AutomationEngine) -> None:
    await engine.register_workflow(workflow(act("a")))
    one, same = {"x": {"a": 1, "b": [{"c": 2, "d": 3}]}}, {"x": {"b": [{"d": 3, "c": 2}], "a": 1}}

    first = await engine.start_workflow("w", ExecutionContext(variables=one), idempotency_key="k")
    again = await engine.start_workflow("w", ExecutionContext(variables=same), idempotency_key="k")

    assert again == first


async def test_an_idempotency_key_starts_once(engine: AutomationEngine) -> None:
    await engine.register_workflow(workflow(act("a")))
    context = ExecutionContext(variables={"x": 1})

    first, second = await asyncio.gather(
        *(engine.start_workflow("w", context, idempotency_key="deploy-42") for _ in range(2))
    )
    await engine.drain()

    assert first == second
    assert len(handlers.calls) == 1
    with pytest.raises(DuplicateKey, match=first):
        await engine.start_workflow("w", ExecutionContext(variables={"x": 2}), idempotency_key="deploy-42")


async def test_an_idempotency_key_gives_the_same_whatever_the_defaults_are_now(engine: AutomationEngine) -> None:
    async def define(default: int) -> None:
        inputs = {"x": {"default": default}, "y": {"default": 0}}
        await engine.register_workflow(workflow(act("a"), inputs=inputs))

    await define(1)
    first = await engine.start_workflow("w", idempotency_key="k")
    # To leave a default out and to write it down is the same.
    assert await engine.start_workflow("w", ExecutionContext(variables={"x": 1}), idempotency_key="k") == first

    await define(2)
    assert await engine.start_workflow("w", idempotency_key="k") == first
    assert await engine.start_workflow("w", ExecutionContext(variables={"x": 1}), idempotency_key="k") == first
    for other in ({"x": 2}, {"y": 5}):
        with pytest.raises(DuplicateKey, match=first):
            await engine.start_workflow("w", ExecutionContext(variables=other), idempotency_key="k")


async def test_an_idempotency_key_gives_the_same_also_where_that_version_cannot_run_any_more(
    config: AutomationConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    passing = registry.get("action", "test.record")
    inputs = {"x": {"default": 1}, "y": {"required": True}}
    y = ExecutionContext(variables={"y": 0})
    with monkeypatch.context() as patch:
        patch.setitem(registry._plugins["action"], "test.passing", replace(passing, name="test.passing"))
        patch.setattr(registry, "version", registry.version + 1)
        async with AutomationEngine(config) as engine:
            await engine.register_workflow(workflow(act("a", "test.passing"), inputs=inputs))
            first = await engine.start_workflow("w", y, idempotency_key="k")
            await engine.drain()

    async with AutomationEngine(config) as engine:
        await engine.register_workflow(workflow(act("a"), inputs={**inputs, "x": {"default": 2}}))
        assert await engine.start_workflow("w", y, idempotency_key="k") == first
        with pytest.raises(DuplicateKey, match=first):
            await engine.start_workflow("w", ExecutionContext(variables={"y": 1}), idempotency_key="k")


async def test_cancelling_reaches_the_running_handler_and_cleanup_runs(engine: AutomationEngine) -> None:
    definition = workflow(act("a", "test.pause"), act("b"), act("cleanup", always=True))
    await engine.register_workflow(definition)
    execution_id = await engine.start_workflow("w")
    while not handlers.calls:
        await asyncio.sleep(0.01)

    await engine.cancel(execution_id, "enough")
    result = await engine.wait_for(execution_id)

    assert result.status is WorkflowStatus.CANCELLED
    assert result.error == "enough"
    assert statuses(result) == {"a": "cancelled", "b": "skipped", "cleanup": "succeeded"}
    assert handlers.calls == [("a", "begin"), ("a", "cancelled"), ("cleanup", None)]
    with pytest.raises(Conflict, match="already ended"):
        await engine.cancel(execution_id)


async def test_a_waiting_execution_can_be_cancelled(engine: AutomationEngine) -> None:
    await engine.register_workflow(workflow(act("a", "test.wait", parameters={"seconds": 3600})))
    execution_id = await engine.start_workflow("w")
    while await engine.get_workflow_status(execution_id) is not WorkflowStatus.WAITING:
        await asyncio.sleep(0.01)

    await engine.cancel(execution_id)

    assert (await engine.wait_for(execution_id)).status is WorkflowStatus.CANCELLED


async def test_a_workflow_has_a_time_limit(engine: AutomationEngine) -> None:
    result = await run(engine, workflow(act("a", "test.pause"), act("b"), timeout_seconds=0.1))

    assert result.status is WorkflowStatus.TIMED_OUT
    assert result.error == "took longer than its limit of 0.1 s"


async def test_a_durable_wait_resumes(config: AutomationConfig) -> None:
    clock = VirtualClock()
    async with AutomationEngine(config, clock=clock) as engine:
        await engine.register_workflow(workflow(act("a", "test.wait", parameters={"seconds": 3600}), act("b")))
        execution_id = await engine.start_workflow("w")
        while await engine.get_workflow_status(execution_id) is not WorkflowStatus.WAITING:
            await asyncio.sleep(0.01)
        await clock.advance(3599)
        assert await engine.get_workflow_status(execution_id) is WorkflowStatus.WAITING
        await clock.advance(1)
        result = await engine.wait_for(execution_id)

    assert result.status is WorkflowStatus.SUCCEEDED
    assert handlers.calls == [("a", "waited"), ("b", None)]
    assert result.duration_seconds == pytest.approx(3600)
    assert result.actions[0].attempt == 1


async def test_a_critical_action_waits_for_approval(engine: AutomationEngine) -> None:
    await engine.register_workflow(workflow(act("a"), act("b", "test.critical")))
    execution_id = await engine.start_workflow("w")
    while await engine.get_workflow_status(execution_id) is not WorkflowStatus.WAITING:
        await asyncio.sleep(0.01)
    assert handlers.calls == [("a", None)]

    await engine.decide(execution_id, "b", True, reason="looks fine", actor="ann")
    result = await engine.wait_for(execution_id)

    assert result.status is WorkflowStatus.SUCCEEDED
    assert handlers.calls == [("a", None), ("b", None)]


async def test_a_denied_action_fails(engine: AutomationEngine) -> None:
    await engine.register_workflow(workflow(act("b", "test.critical")))
    execution_id = await engine.start_workflow("w")
    while await engine.get_workflow_status(execution_id) is not WorkflowStatus.WAITING:
        await asyncio.sleep(0.01)

    await engine.decide(execution_id, "b", False, reason="not now", actor="ann")
    result = await engine.wait_for(execution_id)

    assert result.status is WorkflowStatus.FAILED
    assert result.error == "b: Denied: denied: not now"
    assert handlers.calls == []
    with pytest.raises(NotFound):
        await engine.decide("nothing", "b", True)


async def test_priorities_decide_who_gets_a_slot(config: AutomationConfig) -> None:
    handlers.gates.clear()
    config = config.model_copy(update={"max_concurrent_actions": 1})
    async with AutomationEngine(config) as engine:
        for priority in (Priority.LOW, Priority.HIGH, Priority.CRITICAL):
            await engine.register_workflow(workflow(act(priority.name), name=priority.name, priority=priority))
        await engine.register_workflow(workflow(act("first", "test.gate")))
        await engine.start_workflow("w")
        while not handlers.calls:
            await asyncio.sleep(0.01)
        for _ in range(3):
            await engine.start_workflow("LOW")
        await engine.start_workflow("HIGH")
        await engine.start_workflow("CRITICAL")
        async with asyncio.timeout(30):
            while engine._executor.slots.others.waiting < 4 or len(handlers.calls) < 2:
                await asyncio.sleep(0.01)
        handlers.open_gate(None)
        await engine.drain()

    assert [name for name, _ in handlers.calls] == ["first", "CRITICAL", "HIGH", "LOW", "LOW", "LOW"]


async def test_the_journal_folds_to_the_summary_row(engine: AutomationEngine) -> None:
    from automation.workflows.state import fold

    result = await run(engine, workflow(act("a"), act("b", "test.fail"), act("c", always=True)))

    detail = await engine.queries.execution_detail(result.execution_id)
    state = fold([action.name for action in detail.definition.actions], detail.journal)
    assert state.status is detail.execution.status is WorkflowStatus.FAILED
    assert state.finished_at == detail.execution.finished_at
    assert [entry.seq for entry in detail.journal] == list(range(1, len(detail.journal) + 1))
    assert state.actions["c"].status is ActionStatus.SUCCEEDED


async def test_secrets_are_given_to_handlers_and_written_nowhere(
    config: AutomationConfig, engine: AutomationEngine
) -> None:
    folder = config.data_dir / "secrets"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "KEY").write_text("s3cr3t-value")
    (folder / "KEY").chmod(0o600)

    leaky = {"value": "Bearer ${secret:KEY}", "values": {"echo": "got ${secret:KEY}"}}
    definition = workflow(act("a", parameters=leaky), act("b", parameters={"value": 1}))
    result = await run(engine, definition)

    assert result.status is WorkflowStatus.SUCCEEDED, result.error
    assert handlers.calls[0] == ("a", "Bearer s3cr3t-value")
    journal = (await engine.queries.execution_detail(result.execution_id)).journal
    assert "s3cr3t-value" not in repr(journal)
    assert "${secret:KEY}" in repr(journal)
    assert result.outputs["a"] == {"echo": "got ***"}


async def test_an_engine_that_is_not_started_says_so(config: AutomationConfig) -> None:
    from automation.errors import EngineStopped

    with pytest.raises(EngineStopped, match="call start"):
        await AutomationEngine(config).execute_workflow("w")


async def test_an_unknown_workflow_says_which_there_are(engine: AutomationEngine) -> None:
    await engine.register_workflow(workflow(act("a"), name="deploy"))

    with pytest.raises(NotFound, match="registered: deploy"):
        await engine.execute_workflow("deplyo")


@pytest.fixture
async def two_engines(config: AutomationConfig) -> AsyncIterator[tuple[AutomationEngine, AutomationEngine]]:
    async with AutomationEngine(config) as one, AutomationEngine(config) as other:
        yield one, other


async def test_two_engines_on_one_database_share_the_work(
    two_engines: tuple[AutomationEngine, AutomationEngine],
) -> None:
    one, other = two_engines
    definition = workflow(act("a"), act("b"))
    await one.register_workflow(definition)
    await other.register_workflow(definition)

    ids = [await engine.start_workflow("w") for engine in (one, other) for _ in range(10)]
    results = [await one.wait_for(execution_id) for execution_id in ids]

    assert {result.status for result in results} == {WorkflowStatus.SUCCEEDED}
    assert len(handlers.calls) == 40
    count, problems = await one.queries.verify_audit()
    assert count > 60
    assert problems == []
