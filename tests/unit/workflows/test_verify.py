"""`verify`: an action has succeeded when what it was done for has come true."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automation import (
    ActionDefinition,
    AutomationConfig,
    AutomationEngine,
    ExecutionContext,
    ExecutionResult,
    VirtualClock,
    WorkflowDefinition,
    WorkflowStatus,
)
from automation.errors import ConditionError, DefinitionError
from automation.workflows.compiler import compile_workflow
from automation.workflows.progress import Verifying
from automation.workflows.verify import follow, parse_check
from tests.support import handlers
from tests.support.virtual import ended, until


@pytest.fixture(autouse=True)
def _fresh() -> None:
    handlers.calls.clear()


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def engine(config: AutomationConfig, clock: VirtualClock) -> AsyncIterator[AutomationEngine]:
    async with AutomationEngine(config, clock=clock) as running:
        yield running


ONCE = {"attempts": 1}


def act(verify: str, name: str = "a", **further: Any) -> ActionDefinition:
    values = {"values": {"replicas": 3}, "value": None}
    full = {"parameters": values, "retry": ONCE, **further}
    return ActionDefinition(name=name, action_type="test.record", verify=verify, **full)


async def start(engine: AutomationEngine, *actions: ActionDefinition, subject: str = "api", **further: Any) -> str:
    await engine.register_workflow(WorkflowDefinition(name="w", actions=actions, **further))
    event = {"type": "x", "subject": subject, "source": "test", "data": {"limit": 70}}
    return await engine.start_workflow("w", ExecutionContext(event=event))


async def verifying(engine: AutomationEngine, execution_id: str) -> None:
    async def begun() -> bool:
        journal = (await engine.queries.execution_detail(execution_id)).journal
        return any(entry.kind == "action_verifying" for entry in journal)

    await until(begun)


async def run(engine: AutomationEngine, *actions: ActionDefinition, **further: Any) -> ExecutionResult:
    return await engine.wait_for(await start(engine, *actions, **further))


async def test_without_a_time_it_must_be_true_at_once(engine: AutomationEngine) -> None:
    await engine.observe("cpu_usage", 50, subject="api")

    assert (await run(engine, act("cpu_usage < 70 AND replicas >= 3"))).status is WorkflowStatus.SUCCEEDED
    failed = await run(engine, act("cpu_usage < limit AND replicas > 3"))

    assert failed.status is WorkflowStatus.FAILED
    assert failed.error == (
        "a: VerificationFailed: 'cpu_usage < limit AND replicas > 3' was not true: "
        "cpu_usage is 50.0, limit is 70, replicas is 3"
    )


async def test_there_is_time_to_become_true(engine: AutomationEngine, clock: VirtualClock) -> None:
    await engine.observe("cpu_usage", 91, subject="api")
    execution_id = await start(engine, act("cpu_usage < 70 within 5m"))
    await verifying(engine, execution_id)
    await clock.advance(240)
    await engine.observe("cpu_usage", 91, subject="api")
    await engine.observe("cpu_usage", 10, subject="other")
    await clock.advance(30)
    assert await engine.get_workflow_status(execution_id) is WorkflowStatus.RUNNING

    await engine.observe("cpu_usage", 60, subject="api")
    result = await ended(engine, clock, execution_id)

    assert result.status is WorkflowStatus.SUCCEEDED
    assert result.outputs == {"a": {"replicas": 3}}
    assert len(handlers.calls) == 1


async def test_what_was_measured_before_does_not_count_where_there_is_time(
    engine: AutomationEngine, clock: VirtualClock
) -> None:
    await engine.observe("cpu_usage", 10, subject="api")
    await clock.advance(1)
    execution_id = await start(engine, act("cpu_usage < 70 within 1m"))
    await verifying(engine, execution_id)
    await clock.advance(61)

    result = await ended(engine, clock, execution_id)

    assert result.error == "a: VerificationFailed: 'cpu_usage < 70' was not true within 60 s: cpu_usage is not known"


async def test_it_must_hold_for_a_time(engine: AutomationEngine, clock: VirtualClock) -> None:
    execution_id = await start(engine, act("cpu_usage < 70 within 5m for 1m"))
    await verifying(engine, execution_id)
    for value in (60, 90, 60, 61):
        await engine.observe("cpu_usage", value, subject="api")
        await clock.advance(40)
        if value != 61:
            assert await engine.get_workflow_status(execution_id) is WorkflowStatus.RUNNING

    assert (await ended(engine, clock, execution_id)).status is WorkflowStatus.SUCCEEDED


async def test_the_subject_is_that_of_the_action(engine: AutomationEngine, clock: VirtualClock) -> None:
    await engine.observe("cpu_usage", 91, subject="api")
    await clock.advance(1)
    await engine.observe("cpu_usage", 10, subject="db")
    each = ActionDefinition(
        name="a",
        action_type="flow.set",
        parameters={"values": {}},
        verify="cpu_usage < 70",
        retry=ONCE,  # type: ignore[arg-type]
    )
    service = act("cpu_usage < 70", parameters={"values": {}, "value": "x"})
    assert (await run(engine, each, subject="db")).status is WorkflowStatus.SUCCEEDED
    assert (await run(engine, service, subject="api")).status is WorkflowStatus.FAILED
    assert (await run(engine, service, subject="")).status is WorkflowStatus.SUCCEEDED


async def test_a_failed_verification_is_tried_again_as_the_policy_says(
    engine: AutomationEngine, clock: VirtualClock
) -> None:
    retry = {"attempts": 3, "initial_seconds": 1, "jitter": False}
    execution_id = await start(engine, act("attempt > 2", retry=retry))

    result = await ended(engine, clock, execution_id)

    assert result.status is WorkflowStatus.SUCCEEDED, result.error
    assert len(handlers.calls) == 3


async def test_what_was_done_and_not_verified_is_undone_once(engine: AutomationEngine, clock: VirtualClock) -> None:
    retry = {"attempts": 2, "initial_seconds": 0.5, "jitter": False}
    actions = [
        ActionDefinition(name="before", action_type="test.record"),
        act("replicas > 3", retry=retry),
    ]
    execution_id = await start(engine, *actions, rollback_strategy={})

    result = await ended(engine, clock, execution_id)

    assert result.status is WorkflowStatus.ROLLED_BACK
    assert [name for name, _ in handlers.calls] == ["before", "a", "a", "a.undo", "before.undo"]
    assert handlers.calls[3] == ("a.undo", {"replicas": 3})


async def test_each_item_is_verified(engine: AutomationEngine) -> None:
    actions = act("item != 'b'", for_each=["a", "b", "c"], on_failure="continue")

    result = await run(engine, actions)

    assert result.outputs["a"]["succeeded"] == 2
    assert result.outputs["a"]["failed"] == 1


async def test_the_time_of_the_configuration_holds_where_none_is_said(
    config: AutomationConfig, clock: VirtualClock
) -> None:
    patient = config.model_copy(update={"verify_within_seconds": 60.0})
    async with AutomationEngine(patient, clock=clock) as engine:
        execution_id = await start(engine, act("cpu_usage < 70"))
        await verifying(engine, execution_id)
        await clock.advance(50)
        await engine.observe("cpu_usage", 60, subject="api")
        assert (await ended(engine, clock, execution_id)).status is WorkflowStatus.SUCCEEDED


async def test_a_restart_goes_on_with_the_verification_till_the_same_moment(
    config: AutomationConfig, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("automation.engine.GRACE_SECONDS", 0.01, raising=False)
    for value, status in ((60, WorkflowStatus.SUCCEEDED), (95, WorkflowStatus.FAILED)):
        handlers.calls.clear()
        async with AutomationEngine(config, clock=clock) as first:
            execution_id = await start(first, act("cpu_usage < 70 within 2m"))
            await verifying(first, execution_id)
            await clock.advance(60)
        async with AutomationEngine(config, clock=clock) as second:
            await second.observe("cpu_usage", value, subject="api")
            await clock.advance(50)
            if status is WorkflowStatus.FAILED:
                assert await second.get_workflow_status(execution_id) is WorkflowStatus.RUNNING
                await clock.advance(11)
            assert (await ended(second, clock, execution_id)).status is status
        assert len(handlers.calls) == 1


async def test_a_cancelled_verification_ends(engine: AutomationEngine) -> None:
    execution_id = await start(engine, act("cpu_usage < 70 within 10m"), rollback_strategy={})
    await verifying(engine, execution_id)

    await engine.cancel(execution_id)
    result = await engine.wait_for(execution_id)

    assert result.status is WorkflowStatus.ROLLED_BACK
    assert [name for name, _ in handlers.calls] == ["a", "a.undo"]


@pytest.mark.parametrize(
    ("text", "within", "hold"),
    [
        ("a < 1", None, 0),
        ("a < 1 within 5m", 300, 0),
        ("a < 1 WITHIN 5m For 90s", 300, 90),
        ("a < 1 for 1m within 5m", 300, 60),
        ("text == 'ready within 5m'", None, 0),
    ],
)
def test_the_grammar(text: str, within: float | None, hold: float) -> None:
    check = parse_check(text)
    assert (check.within, check.hold) == (within, hold)


@pytest.mark.parametrize(
    "text", ["a <", "within 5m", "a < 1 within 5", "a within 5x", "a within 5m within 6m", "x for ever"]
)
def test_what_is_wrong_is_refused_with_its_path(text: str) -> None:
    if text == "a < 1 within 5":
        assert parse_check(text).within == 5
        return
    with pytest.raises(ConditionError):
        parse_check(text)
    with pytest.raises(DefinitionError) as caught:
        compile_workflow(WorkflowDefinition(name="w", actions=(act(text),)))
    assert [problem.path for problem in caught.value.problems] == ["actions[0].verify"]


def test_what_is_no_duration_is_told_as_that_and_not_as_a_word_of_the_condition() -> None:
    with pytest.raises(ConditionError, match="column 14: 'soon' is neither seconds nor a duration"):
        parse_check("a < 1 within soon")
    assert parse_check("text == 'ready for launch'").hold == 0


def test_the_first_look_is_in_time() -> None:
    check = parse_check("x for 5s")
    assert follow(parse_check("x"), Verifying(0.0, 0.0), True, 0.01, first=True).outcome == "passed"
    late = follow(check, Verifying(0.0, 10.0), True, 20.0, first=True)
    assert (late.outcome, late.since) == ("open", 20.0)


@given(
    st.lists(st.sampled_from([True, False, None]), min_size=1, max_size=40),
    st.integers(0, 20),
    st.integers(0, 10),
)
def test_it_passes_just_when_the_condition_has_held_from_a_moment_in_time(
    values: list[bool | None], within: int, hold: int
) -> None:
    """One value a second: the model looks for a run that begins in time and in which nothing was false."""
    check = parse_check(f"x for {hold}s")
    state = Verifying(0.0, float(within))
    outcome = "open"
    for now, value in enumerate(values):
        verdict = follow(check, state, value, float(now), first=now == 0)
        state.since, outcome = verdict.since, verdict.outcome
        if outcome != "open":
            break
    starts = [n for n, value in enumerate(values) if value is True and n <= within]
    passes = [
        end
        for begin in starts
        for end in range(begin + hold, len(values))
        if values[end] is True and False not in values[begin : end + 1]
    ]
    if outcome == "passed":
        assert now in passes
        assert min(passes) == now
    elif outcome == "failed":
        assert not [end for end in passes if end <= now]
    else:
        assert not passes


async def test_a_window_begins_when_the_work_is_done(engine: AutomationEngine, clock: VirtualClock) -> None:
    await clock.advance(600)
    await engine.observe("cpu_usage", 500, subject="api")
    await clock.advance(1)
    execution_id = await start(engine, act("avg(cpu_usage, 2m) < 70 within 5m"))
    await verifying(engine, execution_id)
    for _ in range(3):
        await engine.observe("cpu_usage", 20, subject="api")
        await clock.advance(30)
    assert await engine.get_workflow_status(execution_id) is WorkflowStatus.RUNNING, "two minutes are not over"

    await clock.advance(31)

    assert (await ended(engine, clock, execution_id)).status is WorkflowStatus.SUCCEEDED


async def test_it_is_told_what_windows_showed(engine: AutomationEngine, clock: VirtualClock) -> None:
    await clock.advance(600)
    await engine.observe("cpu_usage", 80, subject="api")
    await engine.observe("cpu_usage", 10, subject="other")

    assert (await run(engine, act("max(cpu_usage, 5m) < 70"))).error == (
        "a: VerificationFailed: 'max(cpu_usage, 5m) < 70' was not true: cpu_usage is 80.0, max(cpu_usage, 5m) is 80.0"
    )
    execution_id = await start(engine, act("max(cpu_usage, 5m) < 70 within 1m"))
    await verifying(engine, execution_id)
    await clock.advance(61)
    assert (await ended(engine, clock, execution_id)).error == (
        "a: VerificationFailed: 'max(cpu_usage, 5m) < 70' was not true within 60 s: cpu_usage is 80.0, "
        "max(cpu_usage, 5m) is not known: the work was done only 60 seconds ago"
    )


def test_a_window_of_a_verify_is_checked_too() -> None:
    with pytest.raises(ConditionError, match="a window of 2h reaches further back"):
        parse_check("avg(cpu_usage, 2h) < 70 within 5h")
