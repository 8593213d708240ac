"""Which workflows an event starts, and why not others."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from automation import (
    ActionDefinition,
    AutomationConfig,
    AutomationEngine,
    AutomationLevel,
    Event,
    InputError,
    WorkflowDefinition,
    WorkflowStatus,
)
from tests.support import handlers


@pytest.fixture(autouse=True)
def _fresh() -> None:
    handlers.calls.clear()


def workflow(name: str = "w", value: Any = None, **further: Any) -> WorkflowDefinition:
    action = ActionDefinition(name="a", action_type="test.record", parameters={"value": value})
    return WorkflowDefinition(name=name, actions=(action,), **further)


async def publish(engine: AutomationEngine, **event: Any) -> list[str]:
    """The names of the workflows that the event starts."""
    receipt = await engine.publish(Event(**event))
    await engine.drain()
    return sorted([(await engine.queries.execution(known)).workflow for known in receipt.executions])


async def test_a_bare_condition_is_the_type_of_an_event(engine: AutomationEngine) -> None:
    await engine.register_workflow(workflow(conditions=["service_health_check_failed"], value="${event.subject}"))

    assert await publish(engine, type="service_health_check_failed", subject="playback-api") == ["w"]
    assert handlers.calls == [("a", "playback-api")]
    assert await publish(engine, type="service_health_check_recovered") == []


async def test_conditions_read_the_data_of_an_event(engine: AutomationEngine) -> None:
    await engine.register_workflow(workflow(conditions=["load > 5", "event.severity IN ['high', 'critical']"]))

    assert await publish(engine, type="x", data={"load": 6}, severity="high") == ["w"]
    assert await publish(engine, type="x", data={"load": 4}, severity="high") == []
    assert await publish(engine, type="x", data={"load": 6}) == []


async def test_triggers_by_event_alert_and_webhook(engine: AutomationEngine) -> None:
    for name, trigger in {
        "by-event": {"type": "event", "event": "deploy", "condition": "event.data.env == 'prod'"},
        "by-alert": {"type": "alert", "alert": "HighLatency"},
        "by-end": {"type": "alert", "alert": "HighLatency", "state": "resolved"},
        "by-webhook": {"type": "webhook", "webhook": "github"},
        "by-hand": {"type": "manual"},
    }.items():
        await engine.register_workflow(workflow(name, triggers=[trigger]))

    assert await publish(engine, type="deploy", data={"env": "prod"}) == ["by-event"]
    assert await publish(engine, type="deploy", data={"env": "test"}) == []
    assert await publish(engine, type="alert.firing", data={"alert": "HighLatency"}) == ["by-alert"]
    assert await publish(engine, type="alert.firing", data={"alert": "Other"}) == []
    assert await publish(engine, type="alert.resolved", data={"alert": "HighLatency"}) == ["by-end"]
    assert await publish(engine, type="webhook.github", data={"a": 1}) == ["by-webhook"]


async def test_the_conditions_of_a_workflow_gate_its_triggers(engine: AutomationEngine) -> None:
    trigger = {"type": "event", "event": "deploy"}
    await engine.register_workflow(workflow(triggers=[trigger], conditions=["env == 'prod'"]))

    assert await publish(engine, type="deploy", data={"env": "prod"}) == ["w"]
    assert await publish(engine, type="deploy", data={}) == []


async def test_the_same_event_twice_starts_once_and_says_so(engine: AutomationEngine) -> None:
    await engine.register_workflow(workflow(conditions=["x"]))
    event = Event(type="x", id="1", source="test")

    receipts = await asyncio.gather(*(engine.publish(event) for _ in range(5)))
    await engine.drain()

    assert sorted(receipt.duplicate for receipt in receipts) == [False, True, True, True, True]
    assert len(handlers.calls) == 1
    detail = await engine.queries.event("1")
    assert [decision.outcome for decision in detail.decisions] == ["duplicate"] * 4
    assert (await engine.publish(Event(type="x", id="1", source="other"))).duplicate is False


async def test_what_does_not_start_is_stored_with_its_reason(engine: AutomationEngine) -> None:
    await engine.register_workflow(workflow("off", conditions=["x"], enabled=False))
    await engine.register_workflow(workflow("lacks", conditions=["x"], value="${unknown_input}"))

    receipt = await engine.publish(Event(type="x", id="1"))

    assert receipt.executions == ()
    detail = await engine.queries.event("1")
    assert {(decision.subject, decision.outcome) for decision in detail.decisions} == {
        ("off", "disabled"),
        ("lacks", "refused"),
    }
    assert "unknown_input" in next(d.reason for d in detail.decisions if d.subject == "lacks")


async def test_at_level_manual_triggers_only_propose(config: AutomationConfig) -> None:
    config = config.model_copy(update={"level": AutomationLevel.MANUAL})
    async with AutomationEngine(config) as engine:
        await engine.register_workflow(workflow(conditions=["x"], value="${event.subject}"))
        (execution_id,) = (await engine.publish(Event(type="x", subject="s"))).executions
        await engine.drain()
        assert await engine.get_workflow_status(execution_id) is WorkflowStatus.PROPOSED
        assert handlers.calls == []

        await engine.decide(execution_id, None, True, actor="ann")
        result = await engine.wait_for(execution_id)

    assert result.status is WorkflowStatus.SUCCEEDED
    assert handlers.calls == [("a", "s")]


async def test_a_proposal_can_be_denied(config: AutomationConfig) -> None:
    config = config.model_copy(update={"level": AutomationLevel.MANUAL})
    async with AutomationEngine(config) as engine:
        await engine.register_workflow(workflow(conditions=["x"]))
        (execution_id,) = (await engine.publish(Event(type="x"))).executions
        await engine.decide(execution_id, None, False, actor="ann", reason="no")
        result = await engine.wait_for(execution_id)

    assert result.status is WorkflowStatus.CANCELLED
    assert handlers.calls == []


@pytest.mark.parametrize(("retain", "kept"), [("all", ["x", "y"]), ("matched", ["x"]), ("none", ["x"])])
async def test_which_events_are_kept(config: AutomationConfig, retain: str, kept: list[str]) -> None:
    config = AutomationConfig(database_url=config.database_url, data_dir=config.data_dir, events={"retain": retain})
    async with AutomationEngine(config) as engine:
        await engine.register_workflow(workflow(conditions=["x"]))
        await publish(engine, type="x")
        await publish(engine, type="y")
        found = (await engine.queries.events()).items
    assert sorted(stored.event.type for stored in found) == kept


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({"type": ""}, "must not be empty"),
        ({"type": "x", "time": math.nan}, "event.time: must be seconds since 1970"),
        ({"type": "x", "time": math.inf}, "event.time: must be seconds since 1970"),
        ({"type": "x", "time": 9e15}, "event.time: must be seconds since 1970"),
        ({"type": "x", "time": "09:00"}, "event.time: must be seconds since 1970"),
        ({"type": "x", "severity": 3}, "event.severity: must be text"),
        ({"type": "x", "labels": ["a"]}, "event.labels: must be a mapping, not list"),
        ({"type": "x" * 201}, "at most 200"),
        ({"type": "x", "data": {"a": object()}}, "cannot be stored"),
        ({"type": "x", "data": ["a"]}, "must be a mapping"),
        ({"type": "x", "data": {"a": "\ud800"}}, "cannot be stored"),
        ({"type": "x", "labels": {"a": "\ud800"}}, "event.labels: cannot be stored"),
        ({"type": "x", "subject": "a\0b"}, "event.subject: must not contain NUL"),
        ({"type": "x", "severity": "a\0b"}, "event.severity: must not contain NUL"),
        ({"type": "x", "id": "\udfff"}, "event.id: must not contain half of a surrogate pair"),
    ],
)
async def test_an_event_that_cannot_be_stored_is_refused(
    engine: AutomationEngine, event: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        await engine.publish(Event(**event))
