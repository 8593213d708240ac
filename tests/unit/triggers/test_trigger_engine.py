"""Triggers over several events and over metrics, in an engine, in virtual time, and over its deaths."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from automation import ActionDefinition, AutomationEngine, DefinitionError, Event, WorkflowDefinition
from automation.testing import EngineUnderTest, crash_and_recover
from automation.testing import engine as under_test
from tests.support import handlers


@pytest.fixture
async def engine() -> AsyncIterator[EngineUnderTest]:
    handlers.calls.clear()
    async with under_test(outcomes={"test.record": {}}) as running:
        yield running


def workflow(trigger: dict[str, Any], name: str = "w", **further: Any) -> WorkflowDefinition:
    action = ActionDefinition(name="a", action_type="test.record", parameters={"value": "${event}"})
    return WorkflowDefinition(name=name, actions=(action,), triggers=[trigger], **further)


async def started(engine: AutomationEngine, name: str = "w") -> list[dict[str, Any]]:
    """The events with which a workflow was started, oldest first."""
    found = await engine.queries.executions(workflow=name)
    details = [await engine.queries.execution_detail(item.id) for item in reversed(found.items)]
    return [detail.event or {} for detail in details]


async def outcomes(engine: AutomationEngine) -> list[str]:
    found = (await engine.queries.decisions(kind="start")).items
    return [decision.outcome for decision in reversed(found)]


async def send(engine: AutomationEngine, *types: str, subject: str = "api", **data: Any) -> int:
    """How many executions these events start."""
    receipts = [await engine.publish(Event(type=type, subject=subject, data=data)) for type in types]
    return sum(len(receipt.executions) for receipt in receipts)


FULL = {"type": "all", "events": [{"event": "disk_full"}, {"event": "backup_failed"}], "within": "10m"}


async def test_all_starts_with_the_last_of_them_and_tells_of_each(engine: EngineUnderTest) -> None:
    await engine.register_workflow(workflow({**FULL, "key": "event.subject"}))

    assert await send(engine, "disk_full", subject="db") == 0
    assert await send(engine, "backup_failed", subject="other") == 0
    await engine.clock.advance(300)
    assert await send(engine, "backup_failed", subject="db", size=5) == 1

    (event,) = await started(engine)
    assert event["type"] == "trigger.all"
    assert event["subject"] == "db"
    assert event["data"]["key"] == "db"
    assert event["data"]["steps"]["backup_failed"]["data"] == {"size": 5}


async def test_what_is_half_complete_outlives_the_engine(engine: EngineUnderTest) -> None:
    await engine.register_workflow(workflow(FULL))
    await send(engine, "disk_full")

    again = await crash_and_recover(engine)

    assert await send(again, "backup_failed") == 1
    assert await send(again, "backup_failed") == 0


async def test_what_is_half_complete_ends_with_its_time(engine: EngineUnderTest) -> None:
    await engine.register_workflow(workflow(FULL))
    await send(engine, "disk_full")
    await engine.clock.advance(600)
    assert await send(engine, "backup_failed") == 0
    await engine.clock.advance(600)
    assert engine.triggers._states._known == {}


SEQUENCE = {
    "type": "sequence",
    "events": [
        {"event": "deploy"},
        {"event": "errors", "condition": "event.subject == steps.deploy.subject AND event.data.rate > 5"},
    ],
    "within": "5m",
}


async def test_a_sequence_reads_the_events_before(engine: EngineUnderTest) -> None:
    await engine.register_workflow(workflow(SEQUENCE))

    assert await send(engine, "errors", "deploy", subject="api", rate=9) == 0
    assert await send(engine, "errors", subject="db", rate=9) == 0
    assert await send(engine, "errors", subject="api", rate=1) == 0
    assert await send(engine, "errors", subject="api", rate=9) == 1


async def test_not_all_starts_when_the_time_is_over_also_for_another_engine(engine: EngineUnderTest) -> None:
    trigger = {"type": "not_all", "events": [{"event": "ordered"}, {"event": "paid"}], "within": "30m", "key": "order"}
    await engine.register_workflow(workflow(trigger))
    await send(engine, "ordered", order=1)
    await send(engine, "ordered", order=2)
    await send(engine, "paid", order=1)

    again = await crash_and_recover(engine)
    await again.clock.advance(1799)
    assert await started(again) == []
    await again.clock.advance(1)

    (event,) = await started(again)
    assert event["data"]["missing"] == ["paid"]
    assert event["data"]["key"] == "2"


async def test_a_dead_mans_switch_fires_once_and_is_armed_again(engine: EngineUnderTest) -> None:
    trigger = {"type": "absence", "event": "heartbeat", "within": "5m", "key": "event.subject"}
    await engine.register_workflow(workflow(trigger))
    for _ in range(3):
        await send(engine, "heartbeat", subject="a1")
        await engine.clock.advance(200)
    assert await started(engine) == []

    await engine.clock.advance(3600)
    assert [event["subject"] for event in await started(engine)] == ["a1"]

    await send(engine, "heartbeat", subject="a1")
    await engine.clock.advance(3600)
    assert len(await started(engine)) == 2


async def test_what_is_due_while_nothing_ran_is_made_up_for(engine: EngineUnderTest) -> None:
    await engine.register_workflow(workflow({"type": "absence", "event": "heartbeat", "within": 60}))
    await send(engine, "heartbeat")
    engine.clock.set_by(1000)
    again = await crash_and_recover(engine)
    await again.clock.advance(1)
    assert len(await started(again)) == 1


LOGINS = {"type": "count", "event": "login_failed", "count": 3, "within": "1m", "key": "user"}


async def test_count_is_by_key_within_a_sliding_window(engine: EngineUnderTest) -> None:
    await engine.register_workflow(workflow(LOGINS))
    assert await send(engine, "login_failed", "login_failed", user="eve") == 0
    assert await send(engine, "login_failed", user="bob") == 0
    await engine.clock.advance(59)
    assert await send(engine, "login_failed", user="eve") == 1
    assert await send(engine, "login_failed", "login_failed", user="eve") == 0
    (event,) = await started(engine)
    assert event["data"]["count"] == 3
    assert await send(engine, "login_failed") == 0
    assert (await outcomes(engine)) == ["no_key"]


COUNTED = "count(event.type == 'login_failed' AND event.data.user != 'root', 1m) >= 3"


def conditional(*conditions: str) -> WorkflowDefinition:
    note = ActionDefinition(name="note", action_type="test.record", parameters={"value": "${event}"})
    return WorkflowDefinition(name="w", actions=(note,), conditions=conditions)


async def test_a_condition_counts_events_and_what_it_has_counted_outlives_the_engine(engine: EngineUnderTest) -> None:
    await engine.register_workflow(conditional(COUNTED, "event.subject == 'gateway'"))
    assert await send(engine, "login_failed", "login_failed", "other", user="eve", subject="gateway") == 0
    assert await send(engine, "login_failed", user="root", subject="gateway") == 0
    second = await crash_and_recover(engine)
    assert await send(second, "login_failed", user="bob", subject="gateway") == 1
    (event,) = await started(second)
    assert event["data"]["count"] == 3

    assert await send(second, "login_failed", "login_failed", user="eve", subject="gateway") == 0
    await second.clock.advance(61)
    assert await send(second, "login_failed", user="eve", subject="gateway") == 0


@pytest.mark.parametrize(
    ("conditions", "path", "says"),
    [
        (("x > 1", COUNTED.replace(">= 3", "< 3")), "conditions[1]", "compared with a whole number by >= or >"),
        ((COUNTED, COUNTED), "conditions[1]", "another condition counts events already"),
        (
            (f"{COUNTED} AND x > 1",),
            "conditions[0]",
            "events are counted by a trigger of type count, and by a condition",
        ),
    ],
)
async def test_a_condition_that_cannot_count_events_is_refused_once(
    engine: EngineUnderTest, conditions: tuple[str, ...], path: str, says: str
) -> None:
    with pytest.raises(DefinitionError) as caught:
        await engine.register_workflow(conditional(*conditions))
    assert [problem.path for problem in caught.value.problems] == [path]
    assert says in caught.value.problems[0].message


async def test_events_that_come_together_are_each_counted_once(engine: EngineUnderTest) -> None:
    await engine.register_workflow(workflow(LOGINS))
    events = [Event(type="login_failed", id=f"{number}", data={"user": "eve"}) for number in range(30)]
    receipts = await asyncio.gather(*(engine.publish(event) for event in [*events, *events]))

    assert sum(receipt.duplicate for receipt in receipts) == 30
    assert len(await started(engine)) == 10


async def test_keys_are_bounded_and_the_rest_is_told(engine: EngineUnderTest) -> None:
    await engine.register_workflow(workflow({**LOGINS, "most_keys": 2}))
    for user in ("a", "b", "c"):
        await send(engine, "login_failed", user=user)
    assert await outcomes(engine) == ["too_many_keys"]
    assert await send(engine, "login_failed", "login_failed", user="a") == 1
    assert await send(engine, "login_failed", "login_failed", "login_failed", user="c") == 1


async def test_a_changed_trigger_begins_anew(engine: EngineUnderTest) -> None:
    await engine.register_workflow(workflow(LOGINS))
    await send(engine, "login_failed", "login_failed", user="eve")
    await engine.register_workflow(workflow({**LOGINS, "within": "2m"}))
    assert await send(engine, "login_failed", "login_failed", user="eve") == 0
    assert await send(engine, "login_failed", user="eve") == 1


async def test_any_of_several_events(engine: EngineUnderTest) -> None:
    events = [{"event": "a", "condition": "event.data.x > 1"}, {"event": "b", "name": "second"}]
    await engine.register_workflow(workflow({"type": "any", "events": events}))
    assert await send(engine, "a", x=1) == 0
    assert await send(engine, "a", "b", x=2) == 2
    assert [list(event["data"]["steps"]) for event in await started(engine)] == [["a"], ["second"]]


async def test_the_conditions_of_the_workflow_gate_a_pattern(engine: EngineUnderTest) -> None:
    conditions = ["event.data.steps.disk_full.subject == 'db'"]
    await engine.register_workflow(workflow(FULL, conditions=conditions))
    assert await send(engine, "disk_full", "backup_failed", subject="api") == 0
    assert await send(engine, "disk_full", "backup_failed", subject="db") == 1


async def test_patterns_do_not_see_what_triggers_make(engine: EngineUnderTest) -> None:
    with pytest.raises(DefinitionError, match="no part of patterns"):
        await engine.register_workflow(workflow({"type": "any", "events": [{"event": "trigger.any"}]}))


SPIKE = {"type": "metric_threshold", "metric": "requests_per_second", "threshold": 10000, "duration": "2m"}


async def test_a_metric_beyond_its_threshold_for_long_enough(engine: EngineUnderTest) -> None:
    await engine.register_workflow(workflow(SPIKE))
    await engine.observe("requests_per_second", 12000, subject="api", labels={"zone": "eu"})
    await engine.observe("requests_per_second", 12000, subject="db")
    await engine.clock.advance(60)
    await engine.observe("requests_per_second", 15000, subject="api", labels={"zone": "eu"})
    await engine.observe("requests_per_second", 10000, subject="db")
    await engine.clock.advance(59)
    assert await started(engine) == []
    await engine.clock.advance(1)

    (event,) = await started(engine)
    assert event["type"] == "trigger.metric_threshold"
    assert (event["subject"], event["labels"]) == ("api", {"zone": "eu"})
    assert event["data"]["value"] == event["data"]["requests_per_second"] == 15000
    await engine.clock.advance(3600)
    await engine.observe("requests_per_second", 15000, subject="api", labels={"zone": "eu"})
    assert len(await started(engine)) == 1, "once, until it has been back"


async def test_a_pending_duration_and_what_has_fired_outlive_the_engine(engine: EngineUnderTest) -> None:
    await engine.register_workflow(workflow(SPIKE))
    await engine.observe("requests_per_second", 12000, subject="api")
    await engine.clock.advance(100)

    second = await crash_and_recover(engine)
    await second.clock.advance(19)
    assert await started(second) == []
    await second.clock.advance(1)
    assert len(await started(second)) == 1

    third = await crash_and_recover(second)
    await third.observe("requests_per_second", 12000, subject="api")
    await third.clock.advance(500)
    assert len(await started(third)) == 1, "it was beyond all the time"
    await third.observe("requests_per_second", 1, subject="api")
    await third.observe("requests_per_second", 12000, subject="api")
    await third.clock.advance(120)
    assert len(await started(third)) == 2


async def test_a_series_that_has_fired_is_known_while_it_is_heard_of_and_forgotten_a_day_later(
    engine: EngineUnderTest,
) -> None:
    await engine.register_workflow(workflow(SPIKE))
    for _ in range(9):
        await engine.observe("requests_per_second", 12000, subject="api")
        await engine.clock.advance(6 * 3600)
    assert len(await started(engine)) == 1
    second = await crash_and_recover(engine)
    await second.clock.advance(6 * 3600)
    await second.observe("requests_per_second", 12000, subject="api")
    await second.clock.advance(24 * 3600)
    assert len(second.triggers._states._known) == 1
    await second.clock.advance(12 * 3600)
    assert second.triggers._states._known == {}
    assert len(await started(second)) == 1

    await second.observe("requests_per_second", 12000, subject="api")
    await second.clock.advance(120)
    assert len(await started(second)) == 2


async def test_thresholds_without_a_duration_with_units_and_labels(engine: EngineUnderTest) -> None:
    trigger = {"type": "metric_threshold", "metric": "cpu_usage", "threshold": "80%", "operator": "<="}
    await engine.register_workflow(workflow({**trigger, "subject": "api", "labels": {"host": "a1"}}))
    await engine.observe("cpu_usage", 80, subject="api", labels={"host": "a2"})
    await engine.observe("cpu_usage", 80, subject="db", labels={"host": "a1"})
    await engine.observe("cpu_usage", 81, subject="api", labels={"host": "a1"})
    assert await started(engine) == []
    await engine.observe("cpu_usage", 80, subject="api", labels={"host": "a1", "zone": "eu"})
    assert len(await started(engine)) == 1


async def test_an_event_shows_what_kept_it_from_starting_something(engine: EngineUnderTest) -> None:
    await engine.register_workflow(workflow({"type": "event", "event": "a", "cooldown": "10m"}))
    for kind in ("a", "a", "b"):
        await send(engine, kind)
    last, held, first = (await engine.queries.events()).items[:3]
    assert (first.matched, first.held_back) == (True, ())
    assert (held.matched, held.held_back) == (False, ("cooldown",))
    assert (last.matched, last.held_back) == (False, ())


@pytest.mark.parametrize("duration", [0, 0.0, "0", "0s", "0m"])
async def test_no_duration_at_all_may_be_written_in_any_way(engine: EngineUnderTest, duration: float | str) -> None:
    await engine.register_workflow(workflow({**SPIKE, "duration": duration}))
    await engine.observe("requests_per_second", 10001)
    assert len(await started(engine)) == 1


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (2, 2.0, True),
        ([1, {"a": 1.0}], [1.0, {"a": 1}], True),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        (1, True, False),
        (2, 2.5, False),
        ([1, 2], [2, 1], False),
    ],
)
async def test_what_is_equal_is_one_key(engine: EngineUnderTest, one: Any, other: Any, same: bool) -> None:
    await engine.register_workflow(workflow({**LOGINS, "count": 2, "key": "event.data.user"}))
    await send(engine, "login_failed", user=one)
    assert await send(engine, "login_failed", user=other) == same


@pytest.mark.parametrize("name", ["node.cpu", "cpu-usage", "job:rate:5m", "_up", "duration", "in"])
async def test_a_threshold_is_of_the_metric_that_is_called_so(engine: EngineUnderTest, name: str) -> None:
    await engine.register_workflow(workflow({"type": "metric_threshold", "metric": name, "threshold": 80}))
    await engine.observe(name, 80)
    assert await started(engine) == []
    await engine.observe(name, 81)
    (event,) = await started(engine)
    assert (event["data"]["value"], event["data"]["condition"]) == (81, f"{name} > 80.0")


async def test_what_is_due_of_a_trigger_that_has_gone_is_forgotten_in_the_end(engine: EngineUnderTest) -> None:
    await engine.register_workflow(workflow({"type": "absence", "event": "heartbeat", "within": 60}))
    await send(engine, "heartbeat")
    engine.workflow_manager.remove_workflow("w")
    await engine.clock.advance(3600)
    second = await crash_and_recover(engine)
    await second.clock.advance(2)
    assert len(second.triggers._states._known) == 1, "a program may define it again"
    await second.clock.advance(8 * 86_400)
    third = await crash_and_recover(second)
    await third.clock.advance(2)
    assert third.triggers._states._known == {}
    assert await started(third) == []


async def test_what_is_decided_twice_is_counted_once(engine: EngineUnderTest) -> None:
    await engine.register_workflow(workflow(LOGINS))
    events = [Event(type="login_failed", id=f"{number}") for number in range(20)]
    await asyncio.gather(*(engine.publish(event) for event in [*events, *events]))
    value = engine.metrics.registry.get_sample_value("automation_events_suppressed_total", {"reason": "no_key"})
    assert value == 20


async def test_events_that_are_not_kept_are_still_counted_once(engine: EngineUnderTest) -> None:
    engine._dispatcher.retain = "none"
    await engine.register_workflow(workflow(LOGINS))
    event = Event(type="login_failed", id="1", data={"user": "eve"})
    for _ in range(5):
        await engine.publish(event)
    assert await started(engine) == []


@pytest.mark.parametrize(
    ("trigger", "message"),
    [
        ({**FULL, "within": "soon"}, "triggers[0].within"),
        ({**FULL, "within": 0}, "within"),
        ({**FULL, "within": "400d"}, "at most 366 days"),
        ({**FULL, "events": [{"event": "a"}]}, "at least two"),
        ({**FULL, "events": [{"event": "a"}, {"event": "a"}]}, "name of its own"),
        ({**FULL, "events": [{"event": "a"}, {"event": "b", "condition": "steps.a.x"}]}, "only later parts"),
        ({**SEQUENCE, "events": [{"event": "a", "condition": "steps.b.x == 1"}, {"event": "b"}]}, "no earlier part"),
        ({**FULL, "key": "event."}, "triggers[0].key"),
        ({**SPIKE, "threshold": "many"}, "is not a number"),
        ({**SPIKE, "threshold": "1 OR true"}, "triggers[0].threshold"),
        ({**SPIKE, "duration": "2 apples"}, "triggers[0].duration"),
        ({**LOGINS, "condition": "x >"}, "triggers[0].condition"),
        ({"type": "event", "event": "a", "throttle": {"once_within": "x"}}, "throttle.once_within"),
        ({"type": "event", "event": "a", "active_hours": {"timezone": "Mars/Base"}}, "IANA"),
        ({"type": "event", "event": "a", "cooldown": "never"}, "triggers[0].cooldown"),
    ],
)
async def test_what_is_wrong_is_refused_with_its_path(
    engine: EngineUnderTest, trigger: dict[str, Any], message: str
) -> None:
    with pytest.raises((DefinitionError, ValueError)) as refused:
        await engine.register_workflow(workflow(trigger))
    assert message in str(refused.value)
