"""Why a rule fires or does not, for each series: its state, since when, and what its condition is made of."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from automation import AutomationConfig, AutomationEngine, VirtualClock
from automation.alerts.explain import RuleReading, SeriesReading
from automation.clock import iso
from automation.errors import NotFound


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def engine(clock: VirtualClock, tmp_path: Path) -> AsyncIterator[AutomationEngine]:
    running = AutomationEngine(AutomationConfig(database_url=f"sqlite:///{tmp_path}/a.db"), clock=clock)
    await running.start(watch=False)
    yield running
    await running.stop()


def define(engine: AutomationEngine, condition: str = "heat > 90", **more: Any) -> None:
    engine.register_alert_workflow({"name": "hot", "condition": condition, **more})


def one(engine: AutomationEngine) -> SeriesReading:
    (series,) = engine.alerts.explain("hot").series
    return series


async def test_a_rule_that_fires_for_one_series_and_not_for_another(
    engine: AutomationEngine, clock: VirtualClock
) -> None:
    define(engine)
    began = clock.now()
    await engine.observe("heat", 95, subject="stove", labels={"rack": "1"})
    await clock.advance(5)
    await engine.observe("heat", 20, subject="oven")

    found = engine.alerts.explain("hot")

    assert [(each.subject, each.state, each.holds, each.since) for each in found.series] == [
        ("stove", "firing", True, began),
        ("oven", "inactive", False, None),
    ]
    assert [each.reason for each in found.series] == ["the condition holds", "the condition is false"]
    assert str(found.series[1].condition) == "heat > 90  →  false\n  heat  →  20.0"
    assert found.series[0].labels == {"rack": "1"}
    assert (found.more, found.reason) == (0, "")
    assert engine.alerts.states_of("hot") == {"firing": 1}


async def test_a_pending_one_says_when_it_will_fire(engine: AutomationEngine, clock: VirtualClock) -> None:
    define(engine, "heat > 90 AND duration >= 5m")
    began = clock.now()
    await engine.observe("heat", 95, subject="oven")
    await clock.advance(60)

    series = one(engine)

    assert (series.state, series.holds, series.since) == ("pending", False, began)
    assert series.reason == f"has held since {iso(began)}; fires at {iso(began + 300)} unless it ends before"
    assert "duration  →  60.0" in str(series.condition)


async def test_what_is_unknown_is_said_with_its_reason(engine: AutomationEngine, clock: VirtualClock) -> None:
    define(engine, "avg(heat, 5m) > 90 OR draught > 1")
    await clock.advance(60)
    await engine.observe("heat", 95, subject="oven")

    series = one(engine)

    assert (series.state, series.holds) == ("inactive", None)
    assert series.reason == ("unknown: avg(heat, 5m): only the last 60 of 300 seconds are known; there is no draught")


async def test_a_rule_without_samples_says_so(engine: AutomationEngine) -> None:
    define(engine, subject="oven")
    await engine.observe("heat", 95, subject="stove")
    reading = engine.alerts.explain("hot")
    assert (reading.series, reading.reason) == ((), "there are no samples of oven of heat")
    define(engine, enabled=False)
    reading = engine.alerts.explain("hot")
    assert (reading.reason, reading.series[0].reason) == ("the rule is disabled", "the rule is disabled")
    with pytest.raises(NotFound, match="cold"):
        engine.alerts.explain("cold")


async def test_hysteresis_and_cooldown_are_told(engine: AutomationEngine, clock: VirtualClock) -> None:
    define(engine, resolve_when="heat < 50", cooldown_period=600)
    began = clock.now()
    await engine.observe("heat", 95, subject="oven")
    await engine.observe("heat", 70, subject="oven", time=began + 1)

    firing = one(engine)
    assert (firing.state, firing.holds) == ("firing", False)
    assert firing.resolve is not None
    assert firing.resolve.value is False
    await engine.observe("heat", 20, subject="oven", time=began + 2)
    over = one(engine)
    assert over.state == "inactive"
    assert over.reason == f"the condition is false; its actions are in cooldown until {iso(began + 600)}"


async def test_a_rule_that_came_after_the_sample_says_what_it_waits_for(engine: AutomationEngine) -> None:
    await engine.observe("heat", 95, subject="oven")
    define(engine)

    assert (one(engine).state, one(engine).reason) == (
        "inactive",
        "the condition holds; it fires with the next sample",
    )


async def test_an_alert_is_told_also_where_no_sample_has_come_since_a_restart(
    clock: VirtualClock, tmp_path: Path
) -> None:
    config = AutomationConfig(database_url=f"sqlite:///{tmp_path}/b.db")
    reading: RuleReading | None = None
    for turn in range(2):
        engine = AutomationEngine(config, clock=clock)
        await engine.start(watch=False)
        define(engine, labels={"team": "kitchen"})
        if turn == 0:
            await engine.observe("heat", 95, subject="oven", labels={"rack": "1"})
        reading = engine.alerts.explain("hot")
        await engine.stop()
    assert reading is not None
    assert [(each.subject, each.labels, each.state, each.holds) for each in reading.series] == [
        ("oven", {"rack": "1"}, "firing", None)
    ]


async def test_only_so_many_series_are_told(engine: AutomationEngine) -> None:
    define(engine)
    for number in range(7):
        await engine.observe("heat", 95 if number == 6 else 1, subject=f"oven-{number}")

    found = engine.alerts.explain("hot", limit=3)

    assert [each.subject for each in found.series] == ["oven-6", "oven-0", "oven-1"]
    assert found.more == 4
