"""Windows over metrics in the condition of a trigger: what they show when the event comes in."""

from __future__ import annotations

from typing import Any

import pytest

from automation import AutomationEngine, Event, WorkflowDefinition
from automation.conditions import compile_measured
from automation.errors import ConditionError
from automation.testing import engine
from automation.triggers.rules import EventScope
from automation.workflows.compiler import compile_workflow


def roll_back(condition: str, **trigger: Any) -> WorkflowDefinition:
    return WorkflowDefinition.model_validate(
        {
            "name": "roll_back",
            "triggers": [{"type": "event", "event": "deployed", "condition": condition, **trigger}],
            "actions": [{"name": "note", "action_type": "flow.set", "parameters": {"values": {}}}],
        }
    )


async def starts(running: AutomationEngine, subject: str = "api", **data: Any) -> int:
    receipt = await running.publish(Event(type="deployed", subject=subject, data=data))
    return len(receipt.executions)


async def test_a_window_is_that_of_the_subject_when_the_event_comes_in() -> None:
    async with engine() as running:
        await running.register_workflow(roll_back("event.data.risky AND avg(latency, 10m) > 250ms"))
        await running.clock.advance(3600)
        assert await starts(running, risky=True) == 0
        for latency in (0.1, 0.6):
            await running.observe("latency", latency, subject="api")
            await running.observe("latency", 0.01, subject="web", labels={"host": "w1"})
        assert await starts(running, risky=True) == 1
        assert await starts(running, risky=False) == 0
        assert await starts(running, "web", risky=True) == 0
        await running.clock.advance(601)
        assert await starts(running, risky=True) == 0


async def test_without_a_subject_the_newest_series_counts() -> None:
    async with engine() as running:
        await running.register_workflow(roll_back("last(queue, 10m) == 7"))
        await running.observe("queue", 7.0, subject="a")
        assert await starts(running, subject="") == 1


async def test_percent_is_that_of_the_metric_and_of_nothing_else() -> None:
    async with engine() as running:
        await running.register_workflow(roll_back("max(cpu_usage, 10m) > 80% AND event.data.share > 50%"))
        await running.clock.advance(3600)
        await running.observe("cpu_usage", 79.0, subject="api")
        assert await starts(running, share=0.6) == 0
        await running.observe("cpu_usage", 81.0, subject="api")
        assert await starts(running, share=0.6) == 1
        assert await starts(running, share=0.5) == 0


async def test_a_sender_cannot_say_what_a_window_shows() -> None:
    async with engine() as running:
        await running.register_workflow(roll_back("count(errors, 5m) > 3"))
        await running.clock.advance(3600)
        receipt = await running.publish(Event(type="deployed", data={"count(errors, 5m)": 9, "errors": 9}))
        assert receipt.executions == ()


async def test_explain_shows_the_window_and_why_it_is_unknown() -> None:
    async with engine() as running:
        await running.register_workflow(roll_back("avg(latency, 10m) > 1"))
        event = Event(type="deployed", subject="api")
        [(_, reason, [told])] = running.triggers.explain(event)
        gap = "avg(latency, 10m): only the last 0 of 600 seconds are known"
        assert reason == f"condition 'avg(latency, 10m) > 1' is unknown ({gap})"
        assert "no sample of latency in the window" in str(told) or "seconds are known" in str(told)
        await running.clock.advance(3600)
        await running.observe("latency", 2.0, subject="api")
        [(_, reason, [told])] = running.triggers.explain(event)
        assert reason is None
        assert "avg(latency, 10m)  →  2" in str(told)


def test_of_the_past_a_window_is_unknown() -> None:
    condition = compile_measured("avg(latency, 10m) > 1 OR event.data.sure", units={}, kept=3600)
    event = {"type": "t", "subject": "", "data": {"sure": False}}
    assert condition.evaluate(EventScope(event)) is None
    assert condition.evaluate(EventScope({**event, "data": {"sure": True}})) is True
    assert "only known when an event comes in" in str(condition.explain(EventScope(event)))


def test_a_window_that_reaches_too_far_is_refused() -> None:
    with pytest.raises(ConditionError, match="reaches further back than the 3600 seconds"):
        compile_measured("avg(latency, 2h) > 1", units={}, kept=3600)


async def test_parts_of_a_pattern_have_windows_also_beside_those_before_them() -> None:
    events = [
        {"event": "deployed", "name": "deploy"},
        {"event": "checked", "condition": "event.subject == steps.deploy.subject AND avg(latency, 10m) > 250ms"},
    ]
    patterns: list[dict[str, Any]] = [
        {"type": "sequence", "events": events, "within": "1h"},
        {"type": "count", "event": "checked", "condition": "max(latency, 10m) > 250ms", "count": 2, "within": "1h"},
    ]
    whole = roll_back("true").model_dump(mode="json", exclude_none=True)

    async def check(running: AutomationEngine) -> list[str]:
        receipt = await running.publish(Event(type="checked", subject="api"))
        return sorted([(await running.queries.execution(known)).workflow for known in receipt.executions])

    async with engine() as running:
        for pattern in patterns:
            wanted = {**whole, "name": pattern["type"], "triggers": [pattern]}
            await running.register_workflow(WorkflowDefinition.model_validate(wanted))
        await running.clock.advance(3600)
        await running.publish(Event(type="deployed", subject="api"))
        assert await check(running) == []
        await running.observe("latency", 0.6, subject="api")
        assert await check(running) == ["sequence"]
        assert await check(running) == ["count"]


async def test_the_conditions_of_a_workflow_have_windows_and_hinder_nobody_who_starts_it_by_hand() -> None:
    definition = roll_back("event.data.risky").model_copy(update={"conditions": ("avg(latency, 10m) > 250ms",)})
    alone = definition.model_copy(
        update={"name": "alone", "triggers": (), "conditions": ("event.type == 'deployed' AND last(queue, 5m) > 3",)}
    )
    async with engine() as running:
        for workflow in (definition, alone):
            await running.register_workflow(WorkflowDefinition.model_validate(workflow.model_dump(exclude_none=True)))
        await running.clock.advance(3600)
        assert await starts(running, risky=True) == 0
        await running.observe("latency", 0.6, subject="api")
        assert await starts(running, risky=True) == 1
        await running.observe("queue", 4, subject="api")
        assert await starts(running, risky=False) == 1
        await running.start_workflow("roll_back")


def test_conditions_about_metrics_alone_are_doubtful_without_a_trigger() -> None:
    trigger = {"type": "event", "event": "deployed"}
    doubtful = roll_back("true").model_copy(update={"triggers": (), "conditions": ("avg(latency, 10m) > 1",)})
    (problem,) = compile_workflow(doubtful).warnings
    assert (problem.path, problem.severity) == ("conditions[0]", "warning")
    assert "any event starts the workflow while it is true" in problem.message
    for sound in (
        {"triggers": [trigger]},
        {"conditions": ["avg(latency, 10m) > 1 AND event.type == 'deployed'"]},
        {"conditions": ["avg(latency, 10m) > 1", "event.data.risky == true"]},
    ):
        known = {**doubtful.model_dump(mode="json", exclude_none=True), **sound}
        assert compile_workflow(WorkflowDefinition.model_validate(known)).warnings == ()
