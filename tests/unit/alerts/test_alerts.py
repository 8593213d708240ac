"""Alert rules over metrics: their lives, their actions, their cooldown."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from automation import AutomationConfig, AutomationEngine, DefinitionError, Event, VirtualClock
from automation.alerts.life import Reading, follow
from automation.errors import Conflict
from automation.model.alert import Alert, AlertState
from tests.support import handlers

RULE: dict[str, Any] = {
    "name": "high_cpu_usage",
    "condition": "cpu_usage > 80 AND duration > 5m",
    "severity": "high",
    "actions": [{"type": "test.record", "parameters": {"value": "${event.subject}"}}],
    "cooldown_period": 600,
}


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def engine(config: AutomationConfig, clock: VirtualClock) -> AsyncIterator[AutomationEngine]:
    handlers.calls.clear()
    running = AutomationEngine(config, clock=clock)
    await running.start(watch=False)
    yield running
    await running.stop()


async def feed(engine: AutomationEngine, clock: VirtualClock, *values: float, step: float = 60, **how: Any) -> None:
    for value in values:
        await engine.observe("cpu_usage", value, subject="playback-api", **how)
        await clock.advance(step)


async def states(engine: AutomationEngine) -> list[tuple[str, str]]:
    return [(alert.name, alert.state.value) for alert in (await engine.queries.alerts()).items]


async def test_it_fires_once_the_condition_has_held_long_enough(engine: AutomationEngine, clock: VirtualClock) -> None:
    engine.register_alert_workflow(RULE)

    await feed(engine, clock, 70, 90, 91, 92, 93, 94)
    assert await states(engine) == [("high_cpu_usage", "pending")]
    assert handlers.calls == []

    await feed(engine, clock, 95, 96)
    assert await states(engine) == [("high_cpu_usage", "firing")]
    assert handlers.calls == [("record", "playback-api")]
    (execution,) = (await engine.queries.executions()).items
    assert execution.workflow == "high_cpu_usage"
    assert "alert.firing" in execution.reason


async def test_a_break_starts_the_duration_anew(engine: AutomationEngine, clock: VirtualClock) -> None:
    engine.register_alert_workflow(RULE)

    await feed(engine, clock, 90, 90, 90, 50, 90, 90, 90)

    assert await states(engine) == [("high_cpu_usage", "pending")]
    assert handlers.calls == []


async def test_it_fires_between_two_samples(engine: AutomationEngine, clock: VirtualClock) -> None:
    engine.register_alert_workflow(RULE)
    await engine.observe("cpu_usage", 90, subject="playback-api")
    await clock.advance(299.9)
    assert handlers.calls == []
    await clock.advance(0.2)

    assert await states(engine) == [("high_cpu_usage", "firing")]
    assert handlers.calls == [("record", "playback-api")]


async def test_it_resolves_and_tells(engine: AutomationEngine, clock: VirtualClock) -> None:
    engine.register_alert_workflow(RULE)

    await feed(engine, clock, 90, 90, 90, 90, 90, 90, 90, 60)

    assert await states(engine) == [("high_cpu_usage", "resolved")]
    types = [stored.event.type for stored in (await engine.queries.events()).items]
    assert types == ["alert.resolved", "alert.firing"]


async def test_cooldown_holds_the_actions_back_and_says_so(engine: AutomationEngine, clock: VirtualClock) -> None:
    engine.register_alert_workflow({**RULE, "condition": "cpu_usage > 80"})

    await feed(engine, clock, 90, 50, 90, 50)
    assert len(handlers.calls) == 1
    decisions = (await engine.queries.decisions()).items
    assert [(d.subject, d.outcome) for d in decisions] == [("high_cpu_usage", "cooldown")]
    assert "in cooldown until" in decisions[0].reason

    await clock.advance(600)
    await feed(engine, clock, 90)
    assert len(handlers.calls) == 2


async def test_each_series_has_its_own_life(engine: AutomationEngine, clock: VirtualClock) -> None:
    engine.register_alert_workflow({**RULE, "condition": "cpu_usage > 80"})

    await feed(engine, clock, 90, labels={"host": "a"}, step=0)
    await feed(engine, clock, 50, labels={"host": "b"}, step=0)
    await feed(engine, clock, 95, labels={"host": "c"}, step=0)

    found = (await engine.queries.alerts()).items
    assert sorted((alert.labels["host"], alert.state.value) for alert in found) == [("a", "firing"), ("c", "firing")]


async def test_pending_survives_a_restart(config: AutomationConfig, clock: VirtualClock) -> None:
    handlers.calls.clear()
    for values in ((90, 90, 90), (90, 90, 90, 90)):
        engine = AutomationEngine(config, clock=clock)
        engine.register_alert_workflow(RULE)
        await engine.start(watch=False)
        await feed(engine, clock, *values)
        await engine.stop()

    assert handlers.calls == [("record", "playback-api")]


async def test_resolve_when_gives_hysteresis(engine: AutomationEngine, clock: VirtualClock) -> None:
    engine.register_alert_workflow({**RULE, "condition": "cpu_usage > 80", "resolve_when": "cpu_usage < 60"})

    await feed(engine, clock, 90, 70)
    assert await states(engine) == [("high_cpu_usage", "firing")]
    await feed(engine, clock, 59)
    assert await states(engine) == [("high_cpu_usage", "resolved")]


async def test_two_metrics_of_one_subject(engine: AutomationEngine, clock: VirtualClock) -> None:
    engine.register_alert_workflow({**RULE, "condition": "cpu_usage > 80 AND queue > 10"})

    await engine.observe("queue", 20, subject="other")
    await feed(engine, clock, 90)
    assert await states(engine) == []
    await engine.observe("queue", 20, subject="playback-api")
    assert await states(engine) == [("high_cpu_usage", "firing")]


async def test_acknowledge(engine: AutomationEngine, clock: VirtualClock) -> None:
    engine.register_alert_workflow({**RULE, "condition": "cpu_usage > 80"})
    await feed(engine, clock, 90)
    (alert,) = (await engine.queries.alerts()).items

    changed = await engine.alerts.acknowledge(alert.fingerprint, "ann")

    assert changed.state is AlertState.ACKNOWLEDGED
    with pytest.raises(Conflict, match="not firing"):
        await engine.alerts.acknowledge(alert.fingerprint, "ann")
    await feed(engine, clock, 50)
    assert await states(engine) == [("high_cpu_usage", "resolved")]


async def test_alerts_of_other_systems_get_a_row(engine: AutomationEngine) -> None:
    data = {"alert": "HighLatency", "fingerprint": "abc", "annotations": {"summary": "slow"}, "starts_at": 5.0}
    firing = Event(type="alert.firing", source="alertmanager", subject="web", severity="critical", data=data)

    await engine.publish(firing)
    alert = await engine.queries.alert("abc")
    assert (alert.name, alert.state, alert.severity) == ("HighLatency", AlertState.FIRING, "critical")

    await engine.publish(Event(type="alert.resolved", source="alertmanager", subject="web", data=data))
    assert (await engine.queries.alert("abc")).state is AlertState.RESOLVED


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"condition": "cpu_usage >"}, "column 12"),
        ({"severity": "terrible"}, "severity"),
        ({"cooldown": 5}, "cooldown: unknown key"),
        ({"actions": [{"type": "scale_infrastructur"}]}, "infrastructure.scale_infrastructure"),
        ({"actions": [{"type": "test.record", "parameters": {"valeu": 1}}]}, "valeu: unknown key"),
    ],
)
async def test_a_wrong_rule_is_refused(engine: AutomationEngine, change: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        engine.register_alert_workflow({**RULE, **change})
    assert message in str(caught.value)
    assert engine.alerts.rules() == []
    assert engine.workflow_manager.list_workflows() == []


def test_unknown_keeps_a_firing_alert() -> None:
    alert = Alert("f", "n", AlertState.FIRING, "high", "alerts", "s", 0.0, 0.0)

    step = follow(alert, Reading(at=1.0, value=None), has_resolve=False)

    assert step.alert.state is AlertState.FIRING
    assert step.transition is None
