"""An engine for tests: virtual time, a database of its own, and a death that can be survived."""

from __future__ import annotations

from typing import Any

import pytest

from automation import (
    AutomationConfig,
    AutomationLevel,
    Event,
    ExecutionContext,
    VirtualClock,
    WorkflowDefinition,
    WorkflowStatus,
)
from automation.clock import parse_iso
from automation.model.schedule import ScheduleDefinition
from automation.testing import CRASH, After, crash_and_recover, engine

FAKED = {"test.*": {}}


def workflow(*actions: dict[str, Any], name: str = "w", **further: Any) -> WorkflowDefinition:
    return WorkflowDefinition.model_validate({"name": name, "actions": list(actions), **further})


def record(name: str, **further: Any) -> dict[str, Any]:
    return {"name": name, "action_type": "test.record", **further}


PAUSE = {"name": "pause", "action_type": "flow.wait", "parameters": {"seconds": "1d"}}


async def test_an_alert_starts_its_actions_when_it_has_held_long_enough() -> None:
    async with engine(outcomes=FAKED) as running:
        running.register_alert_workflow(
            {
                "name": "busy",
                "condition": "cpu > 80 AND duration > 5m",
                "actions": [{"type": "test.record", "parameters": {"value": "${event.subject}"}}],
            }
        )
        began = running.clock.now()
        await running.observe("cpu", 91, subject="a1")
        await running.clock.advance(299)
        assert running.recorder.calls == []
        await running.clock.advance(2)

    [call] = running.recorder.calls
    assert call.parameters == {"value": "a1"}
    assert call.at - began == pytest.approx(300)


async def test_schedules_fire_by_the_virtual_clock() -> None:
    clock = VirtualClock(parse_iso("2026-03-02T06:00:00Z"))
    async with engine(outcomes=FAKED, clock=clock) as running:
        await running.register_workflow(
            workflow(record("a"), triggers=[{"type": "schedule", "cron": "30 7 * * *", "timezone": "Europe/Berlin"}])
        )
        await clock.advance(3 * 86_400)

    assert [call.at for call in running.recorder.calls] == [parse_iso(f"2026-03-0{day}T06:30:00Z") for day in (2, 3, 4)]


async def test_waiting_for_an_execution_lets_time_pass() -> None:
    async with engine(outcomes=FAKED) as running:
        await running.register_workflow(workflow(PAUSE, record("a")))
        began = running.clock.now()
        result = await running.execute_workflow("w", ExecutionContext(actor="ann"))

        assert result.status is WorkflowStatus.SUCCEEDED
        assert running.clock.now() - began == 86_400
        first = await running.start_workflow("w")
        second = await running.start_workflow("w")
        await running.drain()
        assert running.clock.now() - began == 2 * 86_400
        for execution_id in (first, second):
            assert await running.get_workflow_status(execution_id) is WorkflowStatus.SUCCEEDED


async def test_waiting_in_vain_says_for_what() -> None:
    async with engine(outcomes=FAKED, level=AutomationLevel.ASSISTED) as running:
        await running.register_workflow(workflow(record("a")))
        with pytest.raises(TimeoutError, match=r"it is waiting; a: test\.record needs approval at level assisted"):
            await running.execute_workflow("w")


async def test_the_settings_of_a_configuration_hold_and_its_database_is_left_alone(config: AutomationConfig) -> None:
    config = config.model_copy(update={"retry_attempts": 1, "timeout_seconds": 20.0})
    async with engine(outcomes={"a": After(21, {})}, config=config) as running:
        await running.register_workflow(workflow(record("a")))
        result = await running.execute_workflow("w")

    assert result.error == "a: ActionTimeout: took longer than its limit of 20 s"
    assert result.actions[0].attempt == 1
    assert running.config.database_url != config.database_url


async def test_after_a_crash_another_engine_goes_on_with_all_that_was_defined() -> None:
    async with engine(outcomes={"test.*": {"n": 1}}) as first:
        await first.register_workflow(workflow(record("a"), PAUSE, record("b")))
        await first.register_workflow(
            workflow(
                record("c"),
                name="v",
                triggers=[{"type": "event", "event": "thing"}, {"type": "schedule", "cron": "0 0 3 3 *"}],
            )
        )
        first.register_alert_workflow(
            {"name": "busy", "condition": "cpu > 80", "actions": [{"type": "test.record"}], "cooldown_period": 60}
        )
        first.catalogue.add_schedule(ScheduleDefinition(name="nightly", cron="0 0 2 3 *", workflow="v"))
        execution_id = await first.start_workflow("w")
        await first.observe("cpu", 90, subject="a1")
        await first.clock.advance(3600)

        second = await crash_and_recover(first)

        assert second is not first
        assert second.clock.now() == first.clock.now()
        assert (await second.wait_for(execution_id)).outputs["b"] == {"n": 1}
        assert (await second.publish(Event(type="thing"))).executions
        await second.observe("cpu", 10, subject="a1")
        await second.observe("cpu", 90, subject="a1")
        await second.drain()
        third = await crash_and_recover(second)
        assert third.workflow_manager.list_workflows() == ["busy", "v", "w"]
        assert sorted(third.catalogue.schedules) == ["nightly", "v.trigger-1"]
        assert (await third.queries.verify_audit())[1] == []

    assert [call.action for call in first.recorder.calls] == ["a", "record", "b", "c", "record"]


async def test_it_dies_where_the_test_wants_it() -> None:
    async with engine(outcomes={"a": [CRASH, {}]}) as first:
        await first.register_workflow(workflow(record("a", on_interrupt="retry")))
        execution_id = await first.start_workflow("w")
        with pytest.raises(TimeoutError, match=r"the engine is to die in the action 'a': call crash_and_recover"):
            await first.wait_for(execution_id)

        second = await crash_and_recover(first)

        assert (await second.wait_for(execution_id)).status is WorkflowStatus.SUCCEEDED


async def test_what_was_not_on_disk_when_it_died_is_lost() -> None:
    async with engine(outcomes=FAKED) as first:
        await first.register_workflow(workflow(record("a")))
        await first.publish(Event(type="kept"))
        lost = first.store.writer.post([])
        second = await crash_and_recover(first)

        assert [stored.event.type for stored in (await second.queries.events()).items] == ["kept"]
        assert lost.done()


async def test_time_is_not_stopped_for_an_engine_that_only_looks_around() -> None:
    """A loop that looks whether there is something to do waits by `Clock.idle`, not by `Clock.sleep`: see there."""
    async with engine(outcomes=FAKED, level=AutomationLevel.ASSISTED) as running:
        await running.register_workflow(workflow(record("a")))
        await running.start_workflow("w")
        running.register_alert_workflow({"name": "busy", "condition": "cpu > 80 AND duration > 5m"})
        await running.observe("cpu", 10, subject="a1")
        await running.clock.settle()

        assert running.clock.next_due is None
