"""`repeat`: an action that is run again until a condition is true."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from automation import (
    ActionContext,
    ActionDefinition,
    AutomationConfig,
    AutomationEngine,
    ExecutionContext,
    ExecutionResult,
    TryLater,
    VirtualClock,
    WorkflowDefinition,
    WorkflowStatus,
    action,
)
from automation.conditions import compile_condition
from automation.errors import DefinitionError
from automation.workflows.compiler import compile_workflow
from automation.workflows.repeat import Loop, after
from tests.support import handlers
from tests.support.virtual import ended, until

seen: list[tuple[str, int, int]] = []
"""Each call: its idempotency key, iteration and attempt."""


class Count(BaseModel):
    fail_first: bool = False
    number: Any = None


@action("test.count")
async def count(params: Count, context: ActionContext) -> dict[str, Any]:
    """Say which iteration this is."""
    seen.append((context.idempotency_key.partition(":")[2], context.iteration, context.attempt))
    if params.fail_first and context.attempt == 1:
        raise TryLater("not yet")
    return {"counted": context.iteration, "given": params.number}


@pytest.fixture(autouse=True)
def _fresh() -> None:
    handlers.calls.clear()
    seen.clear()


def again(
    until: str, most: int = 5, name: str = "a", operation: str = "test.count", **further: Any
) -> ActionDefinition:
    repeat = {"until": until, "max": most} | {
        key: further.pop(key) for key in ("delay", "on_exhausted") if key in further
    }
    return ActionDefinition.model_validate({"name": name, "action_type": operation, "repeat": repeat, **further})


def act(name: str, **further: Any) -> ActionDefinition:
    return ActionDefinition(name=name, action_type="test.record", **further)


async def run(engine: AutomationEngine, *actions: ActionDefinition, **further: Any) -> ExecutionResult:
    await engine.register_workflow(WorkflowDefinition(name="w", actions=actions, **further))
    return await engine.execute_workflow("w", ExecutionContext(variables={"enough": 3}))


@pytest.mark.parametrize(
    "condition", ["counted >= 3", "iteration == 3", "actions.a.counted == enough", "counted == context.enough"]
)
async def test_it_is_run_until_the_condition_is_true(engine: AutomationEngine, condition: str) -> None:
    result = await run(engine, again(condition), act("b", parameters={"value": "${counted}"}))

    assert result.status is WorkflowStatus.SUCCEEDED, result.error
    assert result.outputs["a"]["counted"] == 3
    assert handlers.calls == [("b", 3)]
    assert result.actions[0].iteration == 3


async def test_each_iteration_has_a_key_of_its_own_and_its_attempts_share_it(engine: AutomationEngine) -> None:
    retry = {"attempts": 2, "initial_seconds": 0.01}

    await run(engine, again("iteration == 3", parameters={"fail_first": True}, retry=retry))

    assert seen == [("a", 1, 1), ("a", 1, 2), ("a#2", 2, 1), ("a#2", 2, 2), ("a#3", 3, 1), ("a#3", 3, 2)]


async def test_an_iteration_sees_what_the_one_before_returned(engine: AutomationEngine) -> None:
    first = act("first", parameters={"values": {"counted": 0}})

    result = await run(engine, first, again("given == 2", parameters={"number": "${counted}"}))

    assert result.status is WorkflowStatus.SUCCEEDED
    assert len(seen) == 3


async def test_a_limit_that_is_reached_fails_the_action(engine: AutomationEngine) -> None:
    result = await run(engine, again("counted > 99", most=4))

    assert result.status is WorkflowStatus.FAILED
    assert len(seen) == 4
    assert result.error == "a: RepeatExhausted: was run 4 times, and 'counted > 99' is still not true"


async def test_a_limit_that_is_reached_can_be_enough(engine: AutomationEngine) -> None:
    result = await run(engine, again("counted > 99", most=2, on_exhausted="continue"))

    assert result.status is WorkflowStatus.SUCCEEDED
    assert result.outputs["a"]["counted"] == 2


async def test_the_journal_has_each_iteration(engine: AutomationEngine) -> None:
    result = await run(engine, again("iteration == 2"))

    journal = (await engine.queries.execution_detail(result.execution_id)).journal
    assert [entry.kind for entry in journal if entry.action == "a"] == [
        "action_started",
        "action_repeated",
        "action_started",
        "action_completed",
    ]
    assert journal[2].body["outputs"] == {"counted": 1, "given": None}


async def test_iterations_are_apart_also_over_a_restart(config: AutomationConfig) -> None:
    clock = VirtualClock()
    definition = WorkflowDefinition(name="w", actions=(again("iteration == 3", delay="10m"),))
    async with AutomationEngine(config, clock=clock) as first:
        await first.register_workflow(definition)
        execution_id = await first.start_workflow("w")

        async def waits() -> bool:
            return await first.get_workflow_status(execution_id) is WorkflowStatus.WAITING

        await until(waits)
        begun = clock.now()
        await clock.advance(600)
    async with AutomationEngine(config, clock=clock) as second:
        await clock.advance(590)
        assert await second.get_workflow_status(execution_id) is WorkflowStatus.WAITING
        await clock.advance(10)
        result = await ended(second, clock, execution_id)

    assert result.status is WorkflowStatus.SUCCEEDED
    assert [key for key, _, _ in seen] == ["a", "a#2", "a#3"]
    assert clock.now() - begun >= 1200


async def test_a_durable_wait_in_a_loop_waits_each_time(config: AutomationConfig) -> None:
    clock = VirtualClock()
    async with AutomationEngine(config, clock=clock) as engine:
        waits = again("iteration == 2", operation="flow.wait", parameters={"seconds": 60})
        await engine.register_workflow(WorkflowDefinition(name="w", actions=(waits,)))
        execution_id = await engine.start_workflow("w")
        await clock.advance(90)
        assert not (await engine.get_workflow_status(execution_id)).finished
        await clock.advance(60)
        assert (await ended(engine, clock, execution_id)).status is WorkflowStatus.SUCCEEDED


async def test_a_failed_iteration_ends_the_loop_and_what_was_done_is_undone(engine: AutomationEngine) -> None:
    values = {"values": {"n": "${iteration}"}}
    loop = again("never", operation="test.record", parameters=values, verify="iteration < 3", retry_attempts=1)

    result = await run(engine, loop, rollback_strategy={})

    assert result.status is WorkflowStatus.ROLLED_BACK
    assert [name for name, _ in handlers.calls] == ["a", "a", "a", "a.undo"]


async def test_each_iteration_is_a_workflow_of_its_own(engine: AutomationEngine) -> None:
    await engine.register_workflow(
        WorkflowDefinition(name="child", actions=(act("x", parameters={"values": {"n": "${number}"}}),))
    )
    parameters = {"workflow": "child", "variables": {"number": "${iteration}"}}
    loop = again("n == 2", operation="flow.workflow", parameters=parameters)

    result = await run(engine, loop)

    assert result.status is WorkflowStatus.SUCCEEDED, result.error
    assert len((await engine.queries.execution_detail(result.execution_id)).children) == 2


@pytest.mark.parametrize(
    ("repeat", "further", "path", "message"),
    [
        ({"until": "x >", "max": 2}, {}, "repeat.until", "column"),
        ({"until": "x", "max": 2, "delay": "soon"}, {}, "repeat.delay", "neither seconds"),
        ({"until": "x", "max": 2}, {"for_each": [1]}, "repeat", "repeat or for_each"),
        ({"until": "actions.nobody.x", "max": 2}, {}, "repeat.until", "no action 'nobody'"),
    ],
)
def test_what_is_wrong_is_refused_with_its_path(
    repeat: dict[str, Any], further: dict[str, Any], path: str, message: str
) -> None:
    action = {"name": "a", "action_type": "test.count", "repeat": repeat, **further}
    with pytest.raises(DefinitionError) as caught:
        compile_workflow(WorkflowDefinition.model_validate({"name": "w", "actions": [action]}))
    assert message in {problem.path: problem.message for problem in caught.value.problems}[f"actions[0].{path}"]


def test_a_limit_is_needed() -> None:
    with pytest.raises(ValueError, match=r"repeat.max\n +Field required"):
        ActionDefinition.model_validate({"name": "a", "action_type": "b", "repeat": {"until": "x"}})


@given(st.lists(st.sampled_from([True, False, None]), min_size=1, max_size=20), st.integers(1, 10), st.booleans())
def test_it_ends_with_the_first_truth_or_at_the_limit(values: list[bool | None], most: int, fails: bool) -> None:
    loop = Loop(compile_condition("x"), most, None, fails)
    runs = 0
    for value in (*values, *[False] * most):
        runs += 1
        follows = after(loop, runs, {"x": value})
        if follows != "again":
            break
    first = next((n for n, value in enumerate(values, 1) if value is True), None)
    if first is not None and first <= most:
        assert (follows, runs) == ("done", first)
    else:
        assert (follows, runs) == ("exhausted" if fails else "done", most)
