"""Actions that are held back before they begin."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from automation import (
    ActionDefinition,
    AutomationConfig,
    AutomationEngine,
    AutomationLevel,
    ExecutionContext,
    VirtualClock,
    WorkflowDefinition,
    WorkflowStatus,
)
from automation.conditions import seconds_of
from automation.errors import DefinitionError
from automation.model.execution import ActionStatus
from automation.workflows.compiler import compile_workflow
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


def act(name: str, operation: str = "test.record", **further: Any) -> ActionDefinition:
    return ActionDefinition(name=name, action_type=operation, **further)


async def start(engine: AutomationEngine, *actions: ActionDefinition, **variables: Any) -> str:
    await engine.register_workflow(WorkflowDefinition(name="w", actions=actions))
    return await engine.start_workflow("w", ExecutionContext(variables=variables))


async def action(engine: AutomationEngine, execution_id: str, name: str) -> Any:
    detail = await engine.queries.execution_detail(execution_id)
    return next(run for run in detail.actions if run.name == name)


async def waits(engine: AutomationEngine, execution_id: str) -> bool:
    return await engine.get_workflow_status(execution_id) is WorkflowStatus.WAITING


async def test_an_action_begins_when_its_delay_is_over_and_not_before(
    engine: AutomationEngine, clock: VirtualClock
) -> None:
    execution_id = await start(engine, act("a"), act("b", delay="1h30m"))
    await until(lambda: waits(engine, execution_id))
    held = await action(engine, execution_id, "b")
    assert (held.status, held.wake_at, held.attempt) == (ActionStatus.WAITING, clock.now() + 5400, 0)
    assert held.reason == "is held back for 5400 s"

    await clock.advance(5399)
    assert handlers.calls == [("a", None)]
    await clock.advance(1)
    result = await ended(engine, clock, execution_id)

    assert result.status is WorkflowStatus.SUCCEEDED
    assert handlers.calls == [("a", None), ("b", None)]
    assert result.actions[1].attempt == 1


async def test_a_delay_is_counted_from_its_beginning_also_over_a_restart(
    config: AutomationConfig, clock: VirtualClock
) -> None:
    async with AutomationEngine(config, clock=clock) as first:
        execution_id = await start(first, act("a", delay=600))
        await until(lambda: waits(first, execution_id))
    await clock.advance(590)
    async with AutomationEngine(config, clock=clock) as second:
        await clock.advance(5)
        assert handlers.calls == []
        await clock.advance(5)
        result = await ended(second, clock, execution_id)

    assert result.status is WorkflowStatus.SUCCEEDED
    assert handlers.calls == [("a", None)]


async def test_a_delay_can_be_an_expression(engine: AutomationEngine, clock: VirtualClock) -> None:
    execution_id = await start(engine, act("a", delay="${pause}"), pause="2m")
    await until(lambda: waits(engine, execution_id))
    assert (await action(engine, execution_id, "a")).wake_at == clock.now() + 120

    await clock.advance(120)

    assert (await ended(engine, clock, execution_id)).status is WorkflowStatus.SUCCEEDED


async def test_a_delay_that_makes_no_sense_fails_the_action(engine: AutomationEngine) -> None:
    execution_id = await start(engine, act("a", delay="${pause}"), pause="soon")

    result = await engine.wait_for(execution_id)

    assert result.status is WorkflowStatus.FAILED
    assert result.error == "a: Refused: delay: 'soon' is neither seconds nor a duration such as '90s', '5m' or '1h30m'"


async def test_no_delay_is_no_wait(engine: AutomationEngine) -> None:
    execution_id = await start(engine, act("a", delay=0))

    await engine.wait_for(execution_id)

    kinds = [entry.kind for entry in (await engine.queries.execution_detail(execution_id)).journal]
    assert kinds == ["started", "action_started", "action_completed", "finished"]


async def test_what_is_held_back_does_not_begin_when_the_workflow_has_failed(engine: AutomationEngine) -> None:
    execution_id = await start(
        engine,
        act("late", delay="1d", depends_on=[]),
        act("broken", "test.fail", depends_on=[]),
        act("tidy", always=True),
    )

    result = await engine.wait_for(execution_id)

    assert result.status is WorkflowStatus.FAILED
    assert {run.name: run.status.value for run in result.actions} == {
        "late": "skipped",
        "broken": "failed",
        "tidy": "succeeded",
    }
    assert result.actions[0].reason == "broken failed"


async def test_what_is_held_back_is_cancelled_with_its_execution(engine: AutomationEngine) -> None:
    execution_id = await start(engine, act("late", delay="1d"))
    await until(lambda: waits(engine, execution_id))

    await engine.cancel(execution_id)
    result = await engine.wait_for(execution_id)

    assert result.status is WorkflowStatus.CANCELLED
    assert result.actions[0].status is ActionStatus.CANCELLED


async def test_the_delay_comes_before_the_question(config: AutomationConfig, clock: VirtualClock) -> None:
    asking = config.model_copy(update={"level": AutomationLevel.INTELLIGENT})
    async with AutomationEngine(asking, clock=clock) as engine:
        execution_id = await start(engine, act("a", "test.critical", delay="10m"))
        await until(lambda: waits(engine, execution_id))
        await clock.advance(600)

        async def asks() -> bool:
            await clock.advance(0.05)
            return (await action(engine, execution_id, "a")).wake_at is None

        await until(asks)
        await engine.decide(execution_id, "a", True)
        result = await ended(engine, clock, execution_id)

    assert result.status is WorkflowStatus.SUCCEEDED
    assert len(handlers.calls) == 1


@pytest.mark.parametrize(
    ("delay", "message"),
    [
        ("soon", "neither seconds nor a duration"),
        ("5 parsecs", "is not a duration: there is no unit"),
        ("5GB", "is not a duration such as"),
        ("50%", "is not a duration such as"),
        ("-5s", "neither seconds"),
        ("99999w", "not between 0 and"),
        ("${1 +}", "column"),
    ],
)
def test_a_delay_that_is_none_is_refused_with_its_path(delay: str, message: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        compile_workflow(WorkflowDefinition(name="w", actions=(act("a", delay=delay),)))
    [problem] = caught.value.problems
    assert problem.path == "actions[0].delay"
    assert message in problem.message


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(0, 0), (1.5, 1.5), ("90", 90), ("30s", 30), ("1h30m", 5400), ("1h 30m", 5400), ("250ms", 0.25)],
)
def test_durations_are_seconds_or_the_language_s(value: Any, seconds: float) -> None:
    assert seconds_of(value) == seconds


@pytest.mark.parametrize("value", [None, True, [], -1, float("nan"), float("inf"), "", "1e999"])
def test_what_is_no_duration_raises(value: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        seconds_of(value)
