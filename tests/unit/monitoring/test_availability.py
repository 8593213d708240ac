"""How available services were, across restarts and changes of the monitors."""

from __future__ import annotations

import pytest

from automation import AutomationConfig, AutomationEngine
from automation.clock import VirtualClock
from automation.model.schedule import MonitorDefinition
from automation.monitoring.availability import METRIC, over, shares
from automation.monitoring.collector import CheckResult

DAY = 86_400.0


async def rounds(engine: AutomationEngine, clock: VirtualClock, *values: float, every: float, subject: str) -> None:
    """So many rounds, one in so many seconds."""
    for value in values:
        await engine.observe(METRIC, value, subject=subject, labels={"monitor": "health"})
        await clock.advance(every)


def check(subject: str, ok: bool, of_availability: bool = True) -> CheckResult:
    return CheckResult("x", subject, f"{subject}-{ok}", ok, 0.0, of_availability=of_availability)


def test_a_round_counts_once_however_many_were_asked() -> None:
    found = shares([check("api", True), check("api", True), check("api", False), check("shop", False)])

    assert found == {"api": pytest.approx(2 / 3), "shop": 0.0}
    assert shares([check("api", False, of_availability=False)]) == {}


async def test_it_outlives_the_process(config: AutomationConfig) -> None:
    clock = VirtualClock()
    async with AutomationEngine(config, clock=clock) as first:
        await rounds(first, clock, 1.0, 1.0, 0.5, every=600, subject="api")
        await rounds(first, clock, 0.0, every=600, subject="shop")
    await clock.advance(300)
    async with AutomationEngine(config, clock=clock) as second:
        assert second.watching.monitor.availability() == {"api": pytest.approx(250 / 3), "shop": 0.0}
    await clock.advance(2 * DAY)
    async with AutomationEngine(config, clock=clock) as third:
        assert third.watching.monitor.availability() == {}


async def test_longer_windows_are_told_from_the_history(config: AutomationConfig) -> None:
    clock = VirtualClock()
    async with AutomationEngine(config, clock=clock) as engine:
        for days, value in ((20, 0.0), (3, 0.5), (0, 1.0), (0, 1.0)):
            at = clock.now() - days * DAY
            await engine.observe(METRIC, value, subject="api", labels={"monitor": "health"}, time=at)
            await clock.advance(1)
        found = await over(engine.samples.history, "api", clock.now())
        nothing = await over(engine.samples.history, "shop", clock.now())

    assert found == {"1h": 100.0, "1d": 100.0, "7d": pytest.approx(250 / 3), "30d": pytest.approx(62.5)}
    assert nothing == {}


async def test_other_monitors_go_on_from_what_was_counted(config: AutomationConfig) -> None:
    clock = VirtualClock()
    async with AutomationEngine(config, clock=clock) as first:
        await rounds(first, clock, 0.0, every=60, subject="api")
    async with AutomationEngine(config, clock=clock) as second:
        before = second.watching.monitor
        await second.watching.follow((), [MonitorDefinition(name="host", type="host")])
        assert second.watching.monitor is not before
        assert second.watching.monitor.availability() == {"api": 0.0}


async def test_without_a_history_nothing_is_known_of_earlier(config: AutomationConfig) -> None:
    clock = VirtualClock()
    settings = config.model_dump(include={"database_url", "data_dir"}) | {"metrics": {"history": {"enabled": False}}}
    async with AutomationEngine(AutomationConfig(**settings), clock=clock) as first:
        await rounds(first, clock, 0.0, every=60, subject="api")
    async with AutomationEngine(AutomationConfig(**settings), clock=clock) as second:
        assert second.watching.monitor.availability() == {}
        assert await over(second.samples.history, "api", clock.now()) == {}
