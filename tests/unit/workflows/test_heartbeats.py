"""Heartbeats: silence fails an attempt, and what was said last is there for the next one, whatever has died."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from automation import (
    ActionContext,
    AutomationEngine,
    DefinitionError,
    TryLater,
    WorkflowDefinition,
    WorkflowStatus,
)
from automation.errors import Refused
from automation.model.execution import ExecutionDetail, JournalEntry
from automation.testing import EngineUnderTest, crash_and_recover, engine
from automation.workflows.compiler import compile_workflow
from automation.workflows.heartbeats import interval
from automation.workflows.state import fold
from tests.support import busy, side_effects  # noqa: F401 - registers the operations

Handler = Callable[[Any, ActionContext], Any]


def workflow(operation: str = "side.again", **further: Any) -> WorkflowDefinition:
    action = {"name": "a", "action_type": operation, "retry": {"attempts": 3, "jitter": False}, **further}
    return WorkflowDefinition.model_validate({"name": "w", "actions": [action]})


async def run(running: EngineUnderTest, definition: WorkflowDefinition) -> ExecutionDetail:
    await running.register_workflow(definition)
    result = await running.execute_workflow("w")
    return await running.queries.execution_detail(result.execution_id)


def beats(detail: ExecutionDetail) -> list[JournalEntry]:
    return [entry for entry in detail.journal if entry.kind == "action_heartbeat"]


async def test_the_next_attempt_finds_what_the_last_one_said() -> None:
    found: list[Any] = []

    async def handler(params: Any, context: ActionContext) -> dict[str, Any]:
        found.append(context.last_heartbeat)
        for number in range(3):
            context.heartbeat({"done": [context.attempt, number]})
            await context.clock.sleep(1)
        if context.attempt < 3:
            raise TryLater("not yet")
        return {}

    async with engine(outcomes={"a": handler}) as running:
        detail = await run(running, workflow())

    assert found == [None, {"done": [1, 2]}, {"done": [2, 2]}]
    assert detail.actions[0].heartbeat == {"done": [3, 0]}, "the first of an attempt is written at once"
    state = fold(["a"], detail.journal)
    assert state.runs() == detail.actions


async def test_who_is_silent_for_too_long_is_cancelled_and_tried_again() -> None:
    cancelled: list[float] = []

    async def handler(params: Any, context: ActionContext) -> dict[str, Any]:
        begun = context.now()
        if context.attempt == 1:
            for _ in range(3):
                context.heartbeat("on it")
                await context.clock.sleep(8)
            try:
                await context.clock.sleep(1000)
            except asyncio.CancelledError:
                cancelled.append(context.now() - begun)
                raise
        return {"attempt": context.attempt, "found": context.last_heartbeat}

    async with engine(outcomes={"a": handler}) as running:
        detail = await run(running, workflow(heartbeat_timeout_seconds=10))

    assert detail.execution.status is WorkflowStatus.SUCCEEDED
    assert detail.actions[0].outputs == {"attempt": 2, "found": "on it"}
    assert cancelled == [pytest.approx(16 + 10)], "10 s after the last heartbeat"
    [failure] = [entry.body["error"] for entry in detail.journal if entry.kind == "action_failed"]
    assert (failure["type"], failure["message"]) == ("HeartbeatTimeout", "gave no heartbeat for 10 s")


async def test_who_never_gives_one_fails_and_the_time_limit_still_holds() -> None:
    async def silent(params: Any, context: ActionContext) -> None:
        await context.clock.sleep(1000)

    async def lively(params: Any, context: ActionContext) -> None:
        while True:
            context.heartbeat()
            await context.clock.sleep(1)

    for handler, expected in ((silent, "HeartbeatTimeout"), (lively, "ActionTimeout")):
        async with engine(outcomes={"a": handler}) as running:
            limits = {"heartbeat_timeout_seconds": 5, "timeout_seconds": 30, "retry_attempts": 1, "retry": None}
            detail = await run(running, workflow(**limits))
        assert (detail.actions[0].error or {})["type"] == expected


async def test_which_errors_are_tried_again_says_the_policy() -> None:
    async def silent(params: Any, context: ActionContext) -> None:
        await context.clock.sleep(1000)

    async with engine(outcomes={"a": silent}) as running:
        other = {"retry": {"attempts": 3, "on": ["TryLater"]}, "heartbeat_timeout_seconds": 5}
        detail = await run(running, workflow(**other))
    assert detail.actions[0].attempt == 1


async def test_it_is_there_after_a_crash_also_for_an_item() -> None:
    found: list[Any] = []

    async def handler(params: Any, context: ActionContext) -> dict[str, Any]:
        found.append((context.attempt, context.last_heartbeat))
        if len(found) == 1:
            context.heartbeat({"row": 7})
            await context.clock.sleep(1)
            running.recorder.crashed = "a"
            await context.clock.sleep(10_000)
        return {}

    for further in ({}, {"for_each": [1]}):
        found.clear()
        async with engine(outcomes={"a": handler}) as running:
            await running.register_workflow(workflow(**further))
            execution_id = await running.start_workflow("w")
            with pytest.raises(TimeoutError, match="crash_and_recover"):
                await running.wait_for(execution_id)
            before = await running.queries.execution_detail(execution_id)
            running = await crash_and_recover(running)
            result = await running.wait_for(execution_id)
        assert result.status is WorkflowStatus.SUCCEEDED
        assert found == [(1, None), (1, {"row": 7})]
        if not further:
            assert before.actions[0].heartbeat == {"row": 7}
            assert before.actions[0].heartbeat_at is not None


@pytest.mark.parametrize("limit", [None, 4, 1000])
async def test_however_many_come_few_are_written(limit: float | None) -> None:
    async def handler(params: Any, context: ActionContext) -> dict[str, Any]:
        for number in range(1, 601):
            context.heartbeat(number)
            await context.clock.sleep(0.1)
        return {}

    async with engine(outcomes={"a": handler}) as running:
        detail = await run(running, workflow(heartbeat_timeout_seconds=limit))

    times = [entry.at for entry in beats(detail)]
    assert len(times) == pytest.approx(60 / interval(limit), abs=1.1)
    assert all(later - earlier >= interval(limit) - 0.001 for earlier, later in pairwise(times))


async def test_what_was_said_last_is_written_when_its_time_comes_though_nothing_follows() -> None:
    async def handler(params: Any, context: ActionContext) -> dict[str, Any]:
        context.heartbeat(1)
        await context.clock.sleep(1)
        context.heartbeat(2)
        await context.clock.sleep(100)
        return {}

    async with engine(outcomes={"a": handler}) as running:
        detail = await run(running, workflow())

    assert [(entry.body["details"], entry.at - detail.journal[0].at) for entry in beats(detail)] == [
        (1, pytest.approx(0)),
        (2, pytest.approx(10)),
    ]


async def test_without_heartbeats_nothing_is_written_for_them() -> None:
    async def quiet(params: Any, context: ActionContext) -> dict[str, Any]:
        return {}

    async with engine(outcomes={"a": quiet}) as running:
        before = running.store.commits
        detail = await run(running, workflow())
        quietly = running.store.commits - before

    assert [entry.kind for entry in detail.journal] == ["started", "action_started", "action_completed", "finished"]
    assert quietly <= 6


async def test_an_iteration_begins_without_those_of_the_one_before() -> None:
    found: list[Any] = []

    async def handler(params: Any, context: ActionContext) -> dict[str, Any]:
        found.append(context.last_heartbeat)
        context.heartbeat(context.iteration)
        return {"n": context.iteration}

    async with engine(outcomes={"a": handler}) as running:
        await run(running, workflow(repeat={"until": "n == 3", "max": 5}))

    assert found == [None, None, None]


@pytest.mark.parametrize("details", [float("nan"), b"x", {1: 2}, "x" * 20_000])
async def test_what_cannot_be_kept_is_refused_where_it_is_said(details: Any) -> None:
    async def handler(params: Any, context: ActionContext) -> dict[str, Any]:
        with pytest.raises(Refused, match="a heartbeat cannot be kept"):
            context.heartbeat(details)
        return {}

    async with engine(outcomes={"a": handler}) as running:
        detail = await run(running, workflow())
    assert detail.execution.status is WorkflowStatus.SUCCEEDED
    assert beats(detail) == []


async def test_secrets_are_not_written() -> None:
    async def handler(params: Any, context: ActionContext) -> dict[str, Any]:
        assert context.secret is not None
        context.heartbeat({"with": context.secret("TOKEN")})
        await context.clock.sleep(20)
        return {}

    async with engine(outcomes={"a": handler}) as running:
        (running.config.data_dir / "secrets").mkdir(mode=0o700, exist_ok=True)
        token = running.config.data_dir / "secrets" / "TOKEN"
        token.touch(mode=0o600)
        token.write_text("hunter2-hunter2")
        detail = await run(running, workflow())
    assert "hunter2" not in str(detail)
    assert len(beats(detail)) == 1


def test_what_gives_none_must_not_be_held_to_them() -> None:
    wait = {"action_type": "flow.wait", "parameters": {"seconds": 5}, "heartbeat_timeout_seconds": 1}
    with pytest.raises(DefinitionError, match=r"heartbeat_timeout_seconds: flow\.wait gives no heartbeats"):
        compile_workflow(WorkflowDefinition.model_validate({"name": "w", "actions": [{"name": "a", **wait}]}))


@pytest.mark.parametrize("operation", ["busy.pulse", "busy.pulse_process"])
async def test_threads_and_processes_give_them_too(engine: AutomationEngine, operation: str) -> None:
    """Given a handler that gives heartbeats and falls silent, then it is stopped, and the next attempt goes on."""
    pulse = workflow(operation, heartbeat_timeout_seconds=2.5, retry={"attempts": 2, "initial_seconds": 0.01})
    await engine.register_workflow(pulse)

    result = await engine.execute_workflow("w")

    assert result.status is WorkflowStatus.SUCCEEDED, result.error
    assert result.outputs["a"]["found"] == {"beats": 3}
    journal = (await engine.queries.execution_detail(result.execution_id)).journal
    [failure] = [entry.body["error"] for entry in journal if entry.kind == "action_failed"]
    assert failure["type"] == "HeartbeatTimeout"


async def test_what_a_program_writes_is_a_sign_of_life(engine: AutomationEngine) -> None:
    def shell(script: str) -> WorkflowDefinition:
        parameters = {"command": ["sh", "-c", script]}
        return workflow("shell.run", parameters=parameters, heartbeat_timeout_seconds=1.5, retry={"attempts": 1})

    await engine.register_workflow(shell("for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.3; done"))
    assert (await engine.execute_workflow("w")).status is WorkflowStatus.SUCCEEDED
    await engine.register_workflow(shell("sleep 60"))
    assert "HeartbeatTimeout" in ((await engine.execute_workflow("w")).error or "")
