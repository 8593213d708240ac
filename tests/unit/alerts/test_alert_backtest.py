"""A back-test of an alert rule tells what happened, what would have, and how exactly it looked; it changes nothing."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from automation import AutomationConfig, AutomationEngine, InputError, VirtualClock, WorkflowDefinition
from automation.alerts.backtest import AlertBacktest
from automation.errors import ConditionError, NotFound
from automation.hindsight import Question
from automation.model.alert import AlertRule

HOUR = 3600.0


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def engine(clock: VirtualClock, tmp_path: Path) -> AsyncIterator[AutomationEngine]:
    config = AutomationConfig(database_url=f"sqlite:///{tmp_path}/a.db", data_dir=tmp_path, monitoring_interval=10_000)
    running = AutomationEngine(config, clock=clock)
    await running.start(watch=False)
    yield running
    await running.stop()


def rule(condition: str = "heat > 90", **more: Any) -> AlertRule:
    return AlertRule.model_validate({"name": "hot", "condition": condition, **more})


async def feed(engine: AutomationEngine, clock: VirtualClock, *values: float, subject: str = "oven") -> None:
    """One sample a minute, in the middle of it."""
    for value in values:
        await clock.advance(30)
        await engine.observe("heat", value, subject=subject, labels={"rack": "1"})
        await clock.advance(30)


async def tried(engine: AutomationEngine, definition: AlertRule | None = None, **question: Any) -> AlertBacktest:
    since = engine.clock.now() - 12 * HOUR
    return await engine.hindsight.alert("hot", Question(**{"since": since, **question}), definition)


async def test_it_tells_when_a_rule_would_have_fired_and_for_how_long(
    engine: AutomationEngine, clock: VirtualClock
) -> None:
    began = clock.now()
    await feed(engine, clock, 10, 95, 96, 10, 10, 99)

    found = await tried(engine, rule())

    assert (found.step, found.figure, found.source, found.series, found.samples) == (60, "last", "history", 1, 6)
    assert [(each.at - began, each.until and each.until - began) for each in found.tried.firings] == [
        (120, 240),
        (360, None),
    ]
    first = found.tried.firings[0]
    assert (first.subject, first.labels, first.value) == ("oven", {"rack": "1"}, 95)
    assert (found.tried.count, found.tried.firing_seconds, found.tried.longest_seconds) == (2, 120, 120)
    assert found.current is None
    assert found.complete
    assert (await engine.queries.alerts()).items == ()


@pytest.mark.parametrize(
    "condition",
    [
        "heat > 60",
        "heat > 60 AND duration > 3m",
        "heat > 70 OR (heat > 40 AND duration >= 5m)",
        # Half a step more than whole ones: so many samples are in it, whether they are seen when they come or after.
        "avg(heat, 20m30s) > 55",
        "max(heat, 15m30s) - min(heat, 15m30s) > 95",
        "absent(heat, 2m)",
    ],
)
async def test_what_it_tells_is_what_happened(engine: AutomationEngine, clock: VirtualClock, condition: str) -> None:
    """With a sample a minute, a step of a minute sees all: as often as in life, at most a minute later."""
    chance = random.Random(5)
    began = clock.now()
    await feed(engine, clock, *[chance.uniform(0, 100) for _ in range(25)])
    engine.register_alert_workflow(rule(condition))
    seen = clock.now()
    value = 50.0
    for _ in range(110):
        value = min(100.0, max(0.0, value + chance.uniform(-25, 25)))
        if chance.random() < 0.8:
            await feed(engine, clock, value)
        else:
            await clock.advance(60)

    events = [stored.event for stored in (await engine.queries.events(limit=1000)).items]
    live = {state: sorted(e.time for e in events if e.type == f"alert.{state}") for state in ("firing", "resolved")}
    found = await tried(engine, since=seen)

    told = found.tried.firings
    assert len(live["firing"]) > 0
    assert [each.at for each in told] == [pytest.approx(at, abs=61) for at in live["firing"]]
    ended = [each.until for each in told if each.until is not None]
    assert ended == [pytest.approx(at, abs=61) for at in live["resolved"]]
    assert began < seen


async def test_a_count_goes_down_although_no_sample_comes(engine: AutomationEngine, clock: VirtualClock) -> None:
    await feed(engine, clock, *[1.0] * 30)
    silent = clock.now()
    await clock.advance(1800)

    found = await tried(engine, rule("count(heat, 10m) < 5"), since=silent - 600)

    assert [each.at for each in found.tried.firings] == [silent + 360]


async def test_another_version_is_compared_with_the_one_in_force(engine: AutomationEngine, clock: VirtualClock) -> None:
    engine.register_alert_workflow(rule("heat > 90"))
    await feed(engine, clock, 95, 10, 85, 10, 95, 10, 97, 97)
    stored = len((await engine.queries.events()).items)

    lower = await tried(engine, rule("heat > 80"))
    longer = await tried(engine, rule("heat > 90 AND duration >= 1m"))

    assert (lower.tried.count, lower.current and lower.current.count) == (4, 3)
    assert [each.value for each in lower.gained] == [85]
    assert lower.lost == ()
    assert (longer.tried.count, longer.tried.pending_only) == (1, 2)
    assert [each.value for each in longer.lost] == [95, 95]
    assert len((await engine.queries.events()).items) == stored


async def test_it_tells_what_would_have_been_started(engine: AutomationEngine, clock: VirtualClock) -> None:
    action = {"name": "a", "action_type": "flow.set", "parameters": {"values": {}}}
    for name, trigger in (
        ("tells", {"type": "alert", "alert": "hot"}),
        ("late", {"type": "alert", "alert": "hot", "state": "resolved"}),
        ("picky", {"type": "alert", "alert": "hot", "condition": "event.data.value > 96"}),
    ):
        await engine.register_workflow(
            WorkflowDefinition.model_validate({"name": name, "triggers": [trigger], "actions": [action]})
        )
    await feed(engine, clock, 95, 10, 97, 10, 99)
    acting = rule(cooldown_period=150, actions=[{"type": "set", "parameters": {"values": {}}}])

    found = await tried(engine, acting)

    assert [(each.starts, each.reason) for each in found.tried.firings] == [
        (("hot", "tells"), ""),
        (("tells", "picky"), "in cooldown"),
        (("hot", "tells", "picky"), ""),
    ]
    assert found.tried.starts == {"hot": 2, "tells": 3, "picky": 2}


async def test_further_back_it_looks_less_closely_and_says_so(engine: AutomationEngine, clock: VirtualClock) -> None:
    await feed(engine, clock, *[50.0] * 5, 95, *[50.0] * 60)

    closely = await tried(engine, rule())
    roughly = await tried(engine, rule(), since=clock.now() - 30 * 86_400)
    highest = await tried(engine, rule(), step=3600, figure="max")

    assert (closely.step, closely.tried.count) == (60, 1)
    assert (roughly.step, roughly.tried.count) == (3600, 0)
    assert (highest.step, highest.tried.count, highest.tried.firings[0].value) == (3600, 1, 95)
    assert "the history does not reach so far back" in roughly.notes


async def test_what_cannot_be_seen_at_a_step_is_said(engine: AutomationEngine, clock: VirtualClock) -> None:
    await feed(engine, clock, 95, 95)

    found = await tried(engine, rule("avg(heat, 30s) > 5 OR p99(heat, 1h) > 5 OR other > 1"))

    assert found.notes == (
        "avg(heat, 30s) is shorter than a step of 60 seconds: it is unknown",
        "p99(heat, 1h) needs single samples: it is unknown",
        "the history does not reach so far back",
        "there are no samples of other",
    )
    assert (found.tried.count, found.tried.unknown) == (0, 2)


async def test_rules_read_other_metrics_of_the_subject(engine: AutomationEngine, clock: VirtualClock) -> None:
    for queue in (0.0, 20.0):
        await engine.observe("queue", queue, subject="oven")
        await feed(engine, clock, 95)

    found = await tried(engine, rule("heat > 90 AND queue > 10"))

    assert found.tried.count >= 1
    assert min(each.at for each in found.tried.firings) == clock.now()


@pytest.mark.parametrize(
    ("question", "error", "words"),
    [
        ({"since": 9e12}, InputError, "in the future"),
        ({"step": 61}, InputError, "there are no buckets of 61 seconds"),
        ({"figure": "median"}, InputError, "must be one of last, avg, min, max"),
        ({"prometheus": "file:///etc/passwd"}, InputError, "is not an address of a Prometheus"),
    ],
)
async def test_what_cannot_be_tried_is_refused(
    engine: AutomationEngine, question: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        await tried(engine, rule(), **question)


async def test_unknown_and_wrong_rules_are_refused(engine: AutomationEngine) -> None:
    with pytest.raises(NotFound, match="hot"):
        await tried(engine)
    with pytest.raises(ConditionError):
        await tried(engine, rule("heat >"))
    with pytest.raises(InputError, match=r"definition\.name"):
        await tried(engine, AlertRule(name="cold", condition="heat < 1"))
