"""A machine's clock that is set by hours, forward or back, while timers, leases and cooldowns are pending.

What waits for a time goes by the clock on the wall, so it comes early or late by as much; but it comes, and once.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from automation import AutomationConfig, AutomationEngine, TryLater, VirtualClock, WorkflowDefinition
from automation.clock import iso
from automation.errors import EngineStopped
from automation.model.schedule import ScheduleDefinition
from automation.testing import After, Recorder
from tests.support import handlers  # noqa: F401 - registers the operations
from tests.support.databases import Database
from tests.support.stage import engine_on

HOUR = 3600.0
LEASE = 15.0
RETRY = {"attempts": 2, "initial_seconds": 40, "jitter": False}
ALERT = {
    "name": "busy",
    "condition": "cpu > 80 AND duration > 40s",
    "actions": [{"type": "test.record"}],
    "cooldown_period": 60,
}


def act(name: str, **further: Any) -> dict[str, Any]:
    return {"name": name, "action_type": "test.record", **further}


def workflow(name: str, *actions: dict[str, Any], **further: Any) -> WorkflowDefinition:
    return WorkflowDefinition.model_validate({"name": name, "actions": list(actions), **further})


WORKFLOWS = (
    workflow("waits", {"name": "wait", "action_type": "flow.wait", "parameters": {"seconds": 40}}, act("waited")),
    workflow("retries", act("retried", retry=RETRY)),
    workflow("items", act("item", for_each=[1, 2], retry=RETRY)),
    workflow("beside", act("long", depends_on=[]), act("short", depends_on=[], retry=RETRY)),
    workflow("limited", act("hangs"), act("tidy", always=True), timeout_seconds=40),
)
OUTCOMES = {
    "*": {},
    "retried": [TryLater("not yet"), {}],
    "item": [TryLater("not yet"), {}],
    "short": [TryLater("not yet"), {}],
    "long": After(60, {}),
    "hangs": After(100, {}),
}


@pytest.mark.parametrize("back_after", [5, 60])
@pytest.mark.parametrize("by", [3 * HOUR, -3 * HOUR], ids=["forward", "back"])
async def test_what_waits_comes_once_however_the_clock_is_set(
    database: Database, tmp_path: Path, by: float, back_after: float
) -> None:
    async with engine_on(database.url, tmp_path, outcomes=OUTCOMES) as running:
        running.register_alert_workflow(ALERT)
        for definition in WORKFLOWS:
            await running.register_workflow(definition)
        ids = {definition.name: await running.start_workflow(definition.name) for definition in WORKFLOWS}
        await running.observe("cpu", 95, subject="a")
        await running.clock.advance(10)

        # When the clock is set, and somebody sets it right again
        running.clock.set_by(by)
        await running.clock.advance(back_after)
        running.clock.set_by(-by)
        await running.clock.advance(80)

        # Then all have ended, and each call was made once.
        counts = {
            name: [call.action for call in running.recorder.calls if call.execution_id == execution_id]
            for name, execution_id in ids.items()
        }
        statuses = {name: (await running.get_workflow_status(each)).value for name, each in ids.items()}
    assert statuses == {
        "waits": "succeeded",
        "retries": "succeeded",
        "items": "succeeded",
        "beside": "succeeded",
        "limited": "timed_out",
    }
    assert {name: sorted(actions) for name, actions in counts.items()} == {
        "waits": ["waited"],
        "retries": ["retried"] * 2,
        "items": ["item[0]", "item[0]", "item[1]", "item[1]"],
        "beside": ["long", "short", "short"],
        "limited": ["hangs", "tidy"],
    }
    assert len([call for call in running.recorder.calls if call.workflow == "busy"]) == 1


@pytest.mark.parametrize("by", [3 * HOUR, -3 * HOUR], ids=["forward", "back"])
async def test_a_cooldown_ends_and_holds_back_meanwhile(database: Database, tmp_path: Path, by: float) -> None:
    async with engine_on(database.url, tmp_path, outcomes={"*": {}}) as running:
        running.register_alert_workflow({**ALERT, "condition": "cpu > 80"})

        async def flap() -> int:
            await running.observe("cpu", 95, subject="a")
            await running.observe("cpu", 5, subject="a")
            await running.clock.settle()
            return len(running.recorder.calls)

        assert await flap() == 1
        assert await flap() == 1
        running.clock.set_by(by)
        await running.clock.advance(5)
        assert await flap() == (2 if by > 0 else 1)
        running.clock.set_by(-by)
        await running.clock.advance(60)
        assert await flap() == 2


async def test_schedules_fire_once_for_each_time_whichever_way_the_clock_is_set(
    database: Database, tmp_path: Path
) -> None:
    async with engine_on(database.url, tmp_path, outcomes={"*": {}}) as running:
        await running.register_workflow(workflow("w", act("a")))
        running.catalogue.add_schedule(ScheduleDefinition(name="s", cron="* * * * *", workflow="w"))
        await running.save()
        for by in (0, 2 * HOUR, -HOUR, -90, 90, 30):
            running.clock.set_by(by)
            await running.clock.advance(70)

        times = [stored.event.time for stored in (await running.queries.events(type="schedule", limit=1000)).items]
        calls = len(running.recorder.calls)
    assert len(times) == len(set(times)) == calls, [iso(moment) for moment in sorted(times)]
    assert all(moment % 60 == 0 for moment in times)


@pytest.fixture
async def pair(database: Database, tmp_path: Path) -> AsyncIterator[tuple[AutomationEngine, AutomationEngine]]:
    """Two engines on one database and one clock, of which the first runs an action that takes minutes."""
    config = AutomationConfig(database_url=database.url, data_dir=tmp_path / "data")
    clock, recorder = VirtualClock(), Recorder({"a": After(75, {}), "b": {}})
    one, other = (AutomationEngine(config, clock=clock, middleware=[recorder]) for _ in range(2))
    for each in (one, other):
        await each.start(watch=False)
        await each.register_workflow(workflow("w", act("a", on_interrupt="retry"), act("b")))
        each.recorder = recorder  # type: ignore[attr-defined]
    await one.start_workflow("w")
    await clock.advance(7)
    yield one, other
    await other.stop()
    with contextlib.suppress(EngineStopped):
        await one.stop()


@pytest.mark.parametrize("jumps", [[HOUR], [-HOUR], [HOUR, -2 * HOUR, HOUR], [14, 14, 14, 14]])
async def test_what_a_living_engine_runs_is_left_to_it_though_its_lease_seems_over(
    pair: tuple[AutomationEngine, AutomationEngine], jumps: list[float]
) -> None:
    one, other = pair
    clock, recorder = one.clock, one.recorder  # type: ignore[attr-defined]
    for by in jumps:
        clock.set_by(by)
        await clock.advance(16)
        assert [len(each._runner.runs) for each in (one, other)] == [1, 0]
    await clock.advance(80)

    assert [call.action for call in recorder.calls] == ["a", "b"]
    (execution,) = (await one.queries.executions()).items
    assert execution.status.value == "succeeded"


@pytest.mark.parametrize("by", [0.0, HOUR, -HOUR])
async def test_what_a_silent_engine_held_is_taken_over_when_its_lease_is_over(
    pair: tuple[AutomationEngine, AutomationEngine], by: float
) -> None:
    one, other = pair
    clock, recorder = one.clock, one.recorder  # type: ignore[attr-defined]
    # Given an engine that is silent: its process lives, so nobody can know but by its silence.
    one._recovery._task.cancel()  # type: ignore[union-attr]
    one.store.writer.abandon()
    run = next(iter(one._runner.runs.values()))
    assert run.task is not None
    run.task.cancel()
    clock.set_by(by)

    await clock.advance(LEASE - 7)
    assert other._runner.runs == {}
    await clock.advance(10)

    assert [call.action for call in recorder.calls] == ["a", "a"]
    assert len(other._runner.runs) == 1
    await clock.advance(80)
    (execution,) = (await other.queries.executions()).items
    assert execution.status.value == "succeeded"
