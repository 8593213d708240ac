"""The history of metrics is the same on every database, after a stop, after a death, and for two nodes at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from automation import AutomationConfig, AutomationEngine, VirtualClock
from automation.conditions import Gap, Window
from automation.errors import EngineStopped, StoreUnavailable
from automation.maintenance import Database as Maintenance
from automation.model.history import History, MetricSettings, Resolution
from automation.model.metric import Sample
from automation.monitoring.room import Samples
from automation.store.store import Store
from automation.telemetry.metrics import Metrics
from tests.support.databases import Database

DAY = 86_400.0


def config(database: Database, folder: Path, **history: Any) -> AutomationConfig:
    settings = MetricSettings(history=History(**history))
    return AutomationConfig(database_url=database.url, data_dir=folder, metrics=settings)


def engine_on(database: Database, folder: Path, clock: VirtualClock, **history: Any) -> AutomationEngine:
    return AutomationEngine(config(database, folder, **history), clock=clock)


@asynccontextmanager
async def room_on(database: Database, clock: VirtualClock) -> AsyncIterator[tuple[Samples, Store]]:
    """The room alone: a day of it goes by more quickly than one of an engine."""
    store = Store(database.url)
    await store.open()
    clock.watch(lambda: store.under_way)
    samples = Samples(store, clock, Metrics(), MetricSettings())
    await samples.history.start()
    yield samples, store
    await samples.history.stop()
    await store.close()


def keep(samples: Samples, clock: VirtualClock, value: float) -> None:
    assert samples.recent.record(Sample(name="heat", value=value, subject="oven", time=clock.now()))


async def measure(engine: AutomationEngine, clock: VirtualClock, *values: float, every: float = 20.0) -> None:
    for value in values:
        await engine.observe("heat", value, subject="oven", labels={"rack": "1"})
        await clock.advance(every)


def stored(database: Database, resolution: int) -> list[tuple[Any, ...]]:
    query = (
        f"SELECT count, total, least, most, first, last, rise FROM metric_buckets WHERE resolution = {resolution} "
        "ORDER BY start"
    )
    return [tuple(row.values()) for row in database.rows(query)]


async def test_samples_become_buckets_of_each_length_within_a_minute(database: Database, tmp_path: Path) -> None:
    clock = VirtualClock()
    async with engine_on(database, tmp_path, clock) as engine:
        await measure(engine, clock, 1, 5, 3, 10, 4, 8)
        await clock.advance(60)

        assert stored(database, 60) == [(3, 9, 1, 5, 1, 3, 4 + 3), (3, 22, 4, 10, 10, 8, 7 + 4 + 4)]
        assert stored(database, 600) == stored(database, 3600) == [(6, 31, 1, 10, 1, 8, 7 + 15)]
        (line,) = await engine.samples.history.read("heat", 60, 0, clock.now())
        assert (line.subject, line.labels) == ("oven", {"rack": "1"})
        assert [bucket.count for bucket in line.buckets] == [3, 3]
        assert await engine.samples.history.names() == {"heat": 1}


async def test_what_is_not_written_yet_is_read_all_the_same(database: Database, tmp_path: Path) -> None:
    clock = VirtualClock()
    async with engine_on(database, tmp_path, clock) as engine:
        await measure(engine, clock, 1, 5, 3, 10)
        assert [row[0] for row in stored(database, 60)] in ([], [3], [4])

        (line,) = await engine.samples.history.read("heat", 600, clock.now() - 600, clock.now(), subject="oven")

        assert [(bucket.count, bucket.last) for bucket in line.buckets] == [(4, 10)]
        assert await engine.samples.history.read("heat", 600, 0, clock.now(), subject="sink") == []


async def test_a_stop_in_the_middle_of_a_bucket_loses_nothing(database: Database, tmp_path: Path) -> None:
    clock = VirtualClock()
    for values in ((1, 2), (3,)):
        async with engine_on(database, tmp_path, clock) as engine:
            await measure(engine, clock, *values, every=5.0)

    # What the counter has gone up by meanwhile, the second engine cannot know.
    assert stored(database, 60) == stored(database, 3600) == [(3, 6, 1, 3, 1, 3, 1)]


async def test_a_process_that_dies_loses_the_open_bucket_at_most(database: Database, tmp_path: Path) -> None:
    clock = VirtualClock()
    engine = engine_on(database, tmp_path, clock)
    await engine.start()
    await measure(engine, clock, 1, 2, 3, 4, 5)
    engine.store.writer.abandon()
    with pytest.raises(EngineStopped):
        await engine.stop()

    assert [row[0] for row in stored(database, 60)] == [3]


async def test_two_nodes_that_measure_one_series_add_up(database: Database, tmp_path: Path) -> None:
    clock = VirtualClock()
    async with (
        engine_on(database, tmp_path, clock) as one,
        engine_on(database, tmp_path, clock) as other,
    ):
        for engine, value in ((one, 5.0), (other, 9.0), (one, 1.0)):
            await engine.observe("heat", value, subject="oven")
            await clock.advance(1)
        await one.samples.history.flush()
        await other.samples.history.flush()

        (row,) = stored(database, 60)
        assert row[:4] == (3, 15, 1, 9)
        assert len(await one.samples.history.read("heat", 60, 0, clock.now())) == 1


async def test_a_database_that_cannot_be_written_gets_it_all_later(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = VirtualClock()
    async with room_on(database, clock) as (samples, store):
        commit = store.commit

        async def refused(*_: Any) -> None:
            raise StoreUnavailable("the disk is full")

        keep(samples, clock, 1.0)
        monkeypatch.setattr(store, "commit", refused)
        with pytest.raises(StoreUnavailable):
            await samples.history.flush()
        await clock.advance(10)
        keep(samples, clock, 2.0)
        # Its own attempts fail too, again and again.
        await clock.advance(120)
        await clock.advance(120)
        monkeypatch.setattr(store, "commit", commit)
        await samples.history.flush()
        await samples.history.flush()

        assert stored(database, 3600) == [(2, 3, 1, 2, 1, 2, 1)]


async def test_what_is_being_written_is_neither_written_nor_read_twice(database: Database) -> None:
    clock = VirtualClock()
    async with room_on(database, clock) as (samples, _):
        keep(samples, clock, 1.0)
        reads = [samples.history.read("heat", 60, clock.now() - 60, clock.now()) for _ in range(3)]
        writes = [samples.history.flush() for _ in range(3)]

        found = await asyncio.gather(reads[0], writes[0], reads[1], writes[1], writes[2], reads[2])

        assert [line.buckets[0].count for lines in found if lines is not None for line in lines] == [1, 1, 1]
        assert [row[0] for row in stored(database, 60)] == [1]


async def test_a_window_of_a_day_is_answered_from_the_history(database: Database) -> None:
    clock = VirtualClock()
    window, sample = Window("w", "avg", "heat", DAY), Sample(name="heat", value=0, subject="oven", time=0)
    async with room_on(database, clock) as (samples, _):
        for hour in range(25):
            keep(samples, clock, float(hour))
            await clock.advance(3600)
            if hour == 3:
                early = samples.windows.view(window, sample, clock.now())
                assert early.value == Gap("only the last 14400 of 86400 seconds are known")
    # Another process, which has no sample in memory but the newest.
    async with room_on(database, clock) as (samples, _):
        keep(samples, clock, 100.0)

        first = samples.windows.view(window, sample, clock.now())
        assert first.value == Gap("its history is being read")
        assert first.until == clock.now() + 1
        await clock.settle()

        def now(function: str) -> Any:
            return samples.windows.view(Window("w", function, "heat", DAY), sample, clock.now()).value

        assert now("avg") == pytest.approx((sum(range(1, 25)) + 100) / 25)
        assert now("max") == 100.0
        assert now("count") == 25
        assert now("p99") == Gap("p99 needs single samples, which are kept for 3600 seconds")
        # The bucket of ten minutes in which the day began counts whole, and no longer than until it has left.
        await clock.advance(3599 + 600)
        assert now("count") == 24
        await clock.advance(1)
        keep(samples, clock, 200.0)
        await samples.history.flush()
        assert now("count") == 24
        assert now("max") == 200.0


async def test_a_rule_with_a_window_of_a_day_fires(database: Database, tmp_path: Path) -> None:
    clock = VirtualClock()
    async with room_on(database, clock) as (samples, _):
        for _ in range(26):
            keep(samples, clock, 10.0)
            await clock.advance(3600)
    async with engine_on(database, tmp_path, clock) as engine:
        engine.register_alert_workflow({"name": "hot", "condition": "heat > 2 * avg(heat, 1d)"})

        await engine.observe("heat", 30.0, subject="oven")
        assert (await engine.queries.alerts()).items == ()
        await clock.advance(3)

        (alert,) = (await engine.queries.alerts()).items
        assert alert.state.value == "firing"


async def test_series_beyond_the_limit_have_no_history_and_are_counted(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = VirtualClock()
    async with engine_on(database, tmp_path, clock, max_series=2) as engine:
        for turn in range(4):
            await engine.observe("heat", 1.0, subject=f"oven-{turn}")
        await engine.samples.history.flush()

        found = await engine.samples.history.read("heat", 60, 0, clock.now())
        assert len(found) == 2
        assert len(database.rows("SELECT * FROM metric_series")) == 2
        assert "automation_series_without_history_total 2.0" in engine.metrics.render().decode()
        assert [record.message for record in caplog.records if "max_series" in record.message] == [
            "heat of oven-2 has no history, nor have more series: metrics.history.max_series is 2"
        ]


async def test_a_metric_whose_labels_explode_does_not_take_the_places_of_others(
    database: Database, tmp_path: Path
) -> None:
    clock = VirtualClock()
    async with engine_on(database, tmp_path, clock, max_series=20) as engine:
        for turn in range(40):
            await engine.observe("requests", 1.0, subject=f"customer-{turn}")
        await engine.samples.history.flush()
        await engine.observe("heat", 1.0, subject="oven")
    async with engine_on(database, tmp_path, clock, max_series=20) as engine:
        await engine.observe("requests", 1.0, subject="customer-new")
        await engine.observe("cold", 1.0, subject="fridge")
        await engine.samples.history.flush()

    stored = [row["name"] for row in database.rows("SELECT name FROM metric_series ORDER BY name")]
    assert stored == ["cold", "heat"] + 18 * ["requests"]


async def test_without_a_history_nothing_is_written(database: Database, tmp_path: Path) -> None:
    clock = VirtualClock()
    async with engine_on(database, tmp_path, clock, enabled=False) as engine:
        await measure(engine, clock, 1, 2, 3, 4, 5)
        sample = Sample(name="heat", value=5, subject="oven", labels={"rack": "1"}, time=clock.now())

        view = engine.samples.windows.view(Window("w", "avg", "heat", DAY), sample, clock.now())

        assert view.value == Gap("there is no history, and samples are kept for 3600 seconds")
    assert database.rows("SELECT * FROM metric_buckets") == []


async def test_buckets_go_when_their_time_is_over_and_series_after_them(database: Database, tmp_path: Path) -> None:
    clock = VirtualClock()
    lengths = (Resolution(seconds=60, days=1), Resolution(seconds=3600, days=3))
    async with engine_on(database, tmp_path, clock, resolutions=lengths) as engine:
        await measure(engine, clock, 1, 2, every=3600)
    wanted = {0.5: (2, 2, 1), 1.1: (0, 2, 1), 2.5: (0, 2, 1), 3.2: (0, 0, 1), 5.2: (0, 0, 0)}
    began = clock.now()
    for days, counts in wanted.items():
        later = VirtualClock(began + days * DAY)
        settings = config(database, tmp_path, resolutions=lengths)
        await Maintenance(settings, later).compact()

        series = len(database.rows("SELECT * FROM metric_series"))
        assert (len(stored(database, 60)), len(stored(database, 3600)), series) == counts, days


@pytest.mark.parametrize(
    ("lengths", "problem"),
    [
        ([(60, 2), (90, 4)], "90 seconds are not a multiple of the 60 before"),
        ([(60, 2), (600, 2)], "buckets of 600 seconds are kept no longer than shorter ones"),
    ],
)
def test_lengths_that_make_no_sense_are_refused(lengths: list[tuple[int, float]], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        History(resolutions=tuple(Resolution(seconds=seconds, days=days) for seconds, days in lengths))


async def test_what_nobody_watched_is_not_taken_for_what_was_not_there(database: Database) -> None:
    """Given an engine that was down for part of a window, what the window counts is unknown until that has left it."""
    clock = VirtualClock()
    window, sample = Window("w", "count", "heat", 2 * 3600.0), Sample(name="heat", value=0, subject="oven", time=0)
    async with room_on(database, clock) as (samples, _):
        for _minute in range(180):
            keep(samples, clock, 1.0)
            await clock.advance(60)
    await clock.advance(1800)
    for wanted in (Gap("nobody watched for 1800 of 7200 seconds"), Gap("its history is being read")):
        async with room_on(database, clock) as (samples, _):
            keep(samples, clock, 1.0)
            assert samples.windows.view(window, sample, clock.now()).value == wanted
            await clock.advance(7200 - 600)
            keep(samples, clock, 1.0)
