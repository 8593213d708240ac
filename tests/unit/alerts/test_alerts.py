"""Alert rules over metrics: their lives, their actions, their cooldown."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from automation import AutomationConfig, AutomationEngine, DefinitionError, Event, VirtualClock
from automation.alerts.life import Reading, follow
from automation.errors import Conflict, InputError, StoreUnavailable
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


async def test_a_metric_may_be_called_what_it_is_called(engine: AutomationEngine, clock: VirtualClock) -> None:
    condition = "`node.cpu` > 80 AND avg(`cpu-usage`, 5m) > 10 AND last(`job:rate`, 5m) > 1 AND `in` > 0"
    engine.register_alert_workflow(RULE | {"condition": condition})
    await clock.advance(301)
    for name, value in (("node.cpu", 81), ("cpu-usage", 11), ("job:rate", 2)):
        await engine.observe(name, value, subject="web")
    assert await states(engine) == []

    await engine.observe("in", 1, subject="web")

    assert await states(engine) == [("high_cpu_usage", "firing")]


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


@pytest.mark.parametrize("period", [600, "10m"])
async def test_cooldown_holds_the_actions_back_and_says_so(
    engine: AutomationEngine, clock: VirtualClock, period: float | str
) -> None:
    engine.register_alert_workflow({**RULE, "condition": "cpu_usage > 80", "cooldown_period": period})

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


@pytest.mark.parametrize(
    "wrong",
    [
        {"fingerprint": ["x"]},
        {"fingerprint": "x\0"},
        {"fingerprint": "x" * 501},
        {"alert": "x\0"},
        {"starts_at": "2026-01-01T00:00:00Z"},
        {"starts_at": 9e15},
        {"annotations": "x"},
    ],
)
async def test_an_event_that_tells_of_no_alert_that_can_be_is_refused(
    engine: AutomationEngine, wrong: dict[str, Any]
) -> None:
    told = {"alert": "DiskFull", "fingerprint": "f1", **wrong}
    with pytest.raises(InputError, match=f"event.data.{next(iter(wrong))}: must be"):
        await engine.publish(Event(type="alert.firing", source="pager", data=told))
    assert not (await engine.queries.events()).items


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
        ({"cooldown_period": "10 minutes"}, "cooldown_period: '10 minutes' is not a duration"),
        ({"cooldown_period": "10 minutes"}, "there is no unit 'minutes': write 10m"),
        ({"cooldown_period": "10GB"}, "cooldown_period: '10GB' is not a duration such as"),
        ({"cooldown_period": -5}, "cooldown_period: -5.0 is not between 0 and"),
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


# --- windows --------------------------------------------------------------------------------------------------------


def windowed(condition: str, **more: Any) -> dict[str, Any]:
    return {**RULE, "name": "windowed", "condition": condition, "cooldown_period": 0, **more}


async def test_a_rule_compares_a_short_window_with_a_long_one(engine: AutomationEngine, clock: VirtualClock) -> None:
    engine.register_alert_workflow(windowed("avg(cpu_usage, 2m) > 2 * avg(cpu_usage, 20m)"))

    await feed(engine, clock, *[10] * 15)
    assert await states(engine) == [], "nothing is known of the first five minutes yet"
    await feed(engine, clock, *[10] * 7, 40)
    assert await states(engine) == []
    await feed(engine, clock, 90)
    assert await states(engine) == [("windowed", "firing")]
    await feed(engine, clock, *[10] * 3)
    assert await states(engine) == [("windowed", "resolved")]


async def test_an_alert_fires_before_it_is_too_late_and_when_a_sample_is_unusual(
    engine: AutomationEngine, clock: VirtualClock
) -> None:
    engine.register_alert_workflow(windowed("forecast(cpu_usage, 10m, 20m) > 95%"))
    engine.register_alert_workflow(windowed("anomaly(cpu_usage, 10m) > 4", name="unusual"))
    # A minute apart, the first ten minutes unknown.
    await feed(engine, clock, *[50, 51, 50, 49] * 5)
    assert await states(engine) == []
    await feed(engine, clock, 80)
    assert await states(engine) == [("unusual", "firing")]
    await feed(engine, clock, *[50, 51, 50, 49] * 5)
    assert await states(engine) == [("unusual", "resolved")]
    await feed(engine, clock, *range(50, 78))
    assert ("windowed", "firing") in await states(engine), "77, and another 20 at this pace"


async def test_a_window_is_of_one_series(engine: AutomationEngine, clock: VirtualClock) -> None:
    engine.register_alert_workflow(windowed("increase(cpu_usage, 2m) > 5"))
    await clock.advance(120)

    for turn in range(3):
        await engine.observe("cpu_usage", 1 + turn, subject="calm")
        await engine.observe("cpu_usage", 100 + 10 * turn, subject="busy")
        await clock.advance(30)

    alerts = (await engine.queries.alerts()).items
    assert [(alert.subject, alert.state.value) for alert in alerts] == [("busy", "firing")]


async def test_silence_fires_by_time_and_ends_with_the_next_sample(
    engine: AutomationEngine, clock: VirtualClock
) -> None:
    engine.register_alert_workflow(windowed("absent(heartbeat, 5m)"))
    await clock.advance(120)
    await engine.observe("heartbeat", 1, subject="playback-api")

    await clock.advance(300)
    assert await states(engine) == [], "a sample exactly as old as the window is in it"
    await clock.advance(2)
    assert await states(engine) == [("windowed", "firing")]
    assert handlers.calls == [("record", "playback-api")]

    await engine.observe("heartbeat", 1, subject="playback-api")
    assert await states(engine) == [("windowed", "resolved")]
    await clock.advance(302)
    assert (await engine.queries.alerts()).items[0].state is AlertState.FIRING


async def test_a_heartbeat_that_has_never_come_is_missed(engine: AutomationEngine, clock: VirtualClock) -> None:
    engine.register_alert_workflow(windowed("absent(heartbeat, 5m)", subject="playback-api"))

    await clock.advance(298)
    assert await states(engine) == []
    await clock.advance(4)
    (alert,) = (await engine.queries.alerts()).items
    assert (alert.state, alert.subject, alert.value) == (AlertState.FIRING, "playback-api", None)

    await engine.observe("heartbeat", 1, subject="playback-api", labels={"zone": "eu"})
    assert await states(engine) == [("windowed", "resolved")]
    await clock.advance(302)
    firing = [alert for alert in (await engine.queries.alerts()).items if alert.state is AlertState.FIRING]
    assert [alert.labels.get("zone") for alert in firing] == ["eu"], "one alert, of the series that is silent"


async def test_silence_may_have_to_last(engine: AutomationEngine, clock: VirtualClock) -> None:
    engine.register_alert_workflow(windowed("absent(heartbeat, 5m) AND duration > 1m"))
    await clock.advance(300)
    await engine.observe("heartbeat", 1)

    await clock.advance(302)
    assert await states(engine) == [("windowed", "pending")]
    await clock.advance(62)
    assert await states(engine) == [("windowed", "firing")]


async def test_a_count_falls_by_time(engine: AutomationEngine, clock: VirtualClock) -> None:
    engine.register_alert_workflow(windowed("count(cpu_usage, 2m) >= 3"))
    await clock.advance(120)

    await feed(engine, clock, 1, 1, 1, step=10)
    assert await states(engine) == [("windowed", "firing")]
    await clock.advance(122)
    assert await states(engine) == [("windowed", "resolved")]


async def test_silence_is_still_noticed_after_the_rule_is_saved_again(
    engine: AutomationEngine, clock: VirtualClock
) -> None:
    engine.register_alert_workflow(windowed("absent(heartbeat, 5m)"))
    await clock.advance(200)
    await engine.observe("heartbeat", 1, subject="playback-api")
    engine.register_alert_workflow(windowed("absent(heartbeat, 10m)"))

    await clock.advance(302)
    assert await states(engine) == []
    await clock.advance(300)
    assert await states(engine) == [("windowed", "firing")]


async def test_silence_that_could_not_be_stored_is_told_later(
    engine: AutomationEngine, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.register_alert_workflow(windowed("absent(heartbeat, 5m)", subject="playback-api"))
    publish, failures = engine.alerts._publish, iter([StoreUnavailable("the disk is full")] * 2)

    async def failing(*args: Any, **how: Any) -> Any:
        for failure in failures:
            raise failure
        return await publish(*args, **how)

    monkeypatch.setattr(engine.alerts, "_publish", failing)
    await clock.advance(302)
    assert await states(engine) == []
    for _ in range(3):
        await engine.observe("other", 1)
        await clock.advance(2)
    assert next(failures, None) is None
    assert await states(engine) == [("windowed", "firing")]


async def test_a_rule_that_is_switched_off_waits_for_nothing(engine: AutomationEngine, clock: VirtualClock) -> None:
    engine.register_alert_workflow(windowed("absent(heartbeat, 5m)"))
    await engine.observe("heartbeat", 1, subject="playback-api")
    engine.register_alert_workflow(windowed("absent(heartbeat, 5m)", enabled=False))

    await clock.advance(400)

    assert await states(engine) == []


async def test_a_restart_is_not_silence(config: AutomationConfig, clock: VirtualClock) -> None:
    for turn in range(2):
        engine = AutomationEngine(config, clock=clock)
        await engine.start(watch=False)
        engine.register_alert_workflow(windowed("absent(heartbeat, 5m)", subject="playback-api"))
        if turn == 0:
            await engine.observe("heartbeat", 1, subject="playback-api")
        await clock.advance(200)
        assert await states(engine) == []
        if turn == 1:
            await clock.advance(102)
            assert await states(engine) == [("windowed", "firing")]
        await engine.stop()


async def test_a_window_that_is_longer_than_what_is_kept_is_refused(engine: AutomationEngine) -> None:
    with pytest.raises(DefinitionError) as caught:
        engine.register_alert_workflow(windowed("avg(cpu_usage, 10m) > 2 * avg(cpu_usage, 91d)"))

    assert "column 42: a window of 91d reaches further back than the 7776000 seconds" in str(caught.value)
    assert engine.alerts.rules() == []
