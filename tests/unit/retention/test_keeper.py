"""When the retention runs, and in what portions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from automation import AutomationConfig, VirtualClock
from automation.errors import ConfigurationError, StoreUnavailable
from automation.model.retention import Retention
from automation.retention import keeper as keeper_module
from automation.retention.keeper import Keeper
from automation.retention.sweep import batches
from automation.store import records
from automation.store.events import Decision
from automation.store.store import Store
from automation.telemetry.metrics import Metrics


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def config(config: AutomationConfig) -> AutomationConfig:
    return config.model_copy(update={"retention": Retention(batch_rows=3, pause_seconds=0)})


@pytest.fixture
async def store(config: AutomationConfig) -> AsyncIterator[Store]:
    opened = Store(config.database, config.store)
    await opened.open()
    yield opened
    await opened.close()


class TestKeeper:
    @pytest.fixture
    def metrics(self) -> Metrics:
        return Metrics()

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.005)

    def count(self, metrics: Metrics, table: str) -> float:
        labels = {"table": table}
        return metrics.registry.get_sample_value("automation_retention_deleted_total", labels) or 0.0

    async def test_runs_once_an_interval_and_counts(
        self, store: Store, clock: VirtualClock, config: AutomationConfig, metrics: Metrics
    ) -> None:
        keeper = Keeper(store, clock, config, metrics)
        keeper.start()
        await store.commit([Decision(0.0, "start", "w", "cooldown", "later").op() for _ in range(5)])
        await asyncio.sleep(0)
        await clock.advance(keeper_module.START_SECONDS)
        await self.until(lambda: self.count(metrics, "decisions") == 5)
        await self.until(lambda: metrics.render().count(b"automation_retention_last_run_timestamp_seconds 1.7"))

        await store.commit([Decision(0.0, "start", "w", "cooldown", "later").op()])
        await clock.advance(config.retention.interval_seconds - 1)
        await asyncio.sleep(0.05)
        assert self.count(metrics, "decisions") == 5
        await clock.advance(2)
        await self.until(lambda: self.count(metrics, "decisions") == 6)
        await keeper.stop()

    async def test_a_run_of_another_node_counts_as_one(
        self, store: Store, clock: VirtualClock, config: AutomationConfig, metrics: Metrics
    ) -> None:
        await store.commit([records.save_position("retention", {"at": clock.now()}, 0.0)])
        await store.commit([Decision(0.0, "start", "w", "cooldown", "later").op()])
        keeper = Keeper(store, clock, config, metrics)
        keeper.start()
        await asyncio.sleep(0)
        await clock.advance(keeper_module.START_SECONDS)
        await asyncio.sleep(0.1)
        assert self.count(metrics, "decisions") == 0
        await clock.advance(config.retention.interval_seconds)
        await self.until(lambda: self.count(metrics, "decisions") == 1)
        await keeper.stop()

    async def test_a_run_that_fails_is_tried_again(
        self,
        store: Store,
        clock: VirtualClock,
        config: AutomationConfig,
        metrics: Metrics,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        keeper = Keeper(store, clock, config, metrics)
        failures: list[Exception] = [StoreUnavailable("the disk is full"), RuntimeError("a fault of ours")]
        run = keeper._sweep.run

        async def broken() -> Any:
            if failures:
                raise failures.pop(0)
            return await run()

        monkeypatch.setattr(keeper._sweep, "run", broken)
        await store.commit([Decision(0.0, "start", "w", "cooldown", "later").op()])
        keeper.start()
        for left in (1, 0):
            await asyncio.sleep(0.05)
            await clock.advance(60)
            await self.until(lambda left=left: len(failures) == left)
        await asyncio.sleep(0.05)
        await clock.advance(60)
        await self.until(lambda: self.count(metrics, "decisions") == 1)
        assert "retention: the disk is full" in caplog.text
        assert "a fault of ours" in caplog.text
        await keeper.stop()

    async def test_does_nothing_where_it_is_not_wanted(
        self, store: Store, clock: VirtualClock, config: AutomationConfig, metrics: Metrics
    ) -> None:
        settings = config.retention.model_copy(update={"enabled": False})
        keeper = Keeper(store, clock, config.model_copy(update={"retention": settings}), metrics)
        keeper.start()
        assert keeper._task is None
        await keeper.stop()


def test_batches_hold_no_more_than_they_may() -> None:
    assert list(batches({"a": 1, "b": 2, "c": 3, "d": 9, "e": 1}, 4)) == [["a", "b"], ["c"], ["d"], ["e"]]
    assert list(batches({}, 4)) == []


@pytest.mark.parametrize("days", [0, 0.5, "never", -1])
def test_nothing_goes_within_a_day(days: Any) -> None:
    with pytest.raises(ConfigurationError, match="retention"):
        AutomationConfig(retention={"events_days": days})
