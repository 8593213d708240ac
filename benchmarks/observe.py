"""Metric samples through `observe`: how many a second, among threshold rules, and how much memory they keep."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path

from automation import AutomationConfig, AutomationEngine, WorkflowDefinition
from automation.model.metric import Sample
from automation.monitoring.metrics import MetricStore
from benchmarks.figures import Figure, Outcome, median
from benchmarks.setting import Setting

METRICS, SUBJECTS = 100, 100
SERIES = METRICS * SUBJECTS
BEYOND = 10
"""Series that stay beyond the threshold: they have fired before the measurement and go on."""
BULK = 500

Feed = Callable[[AutomationEngine, list[Sample]], Awaitable[None]]


def run(setting: Setting) -> Outcome:
    """The median of several rounds over all series, in time on the clock and in time of the processor."""
    rounds = 2 if setting.quick else 10
    figures = []
    for name, kind, feed in (
        ("one a call, 100 alert rules", "alerts", _one_by_one),
        ("one a call, 100 triggers", "triggers", _one_by_one),
        (f"{BULK} a call, 100 alert rules", "alerts", _in_bulk),
        (f"{BULK} a call, 100 triggers", "triggers", _in_bulk),
    ):
        on_clock, of_processor = asyncio.run(_speed(setting, kind, feed, rounds))
        note = f"{of_processor:,.0f} a second of the processor; wanted 100,000"
        figures.append(Figure(name, on_clock, "samples/s", note))
    figures += _memory(120 if setting.quick else 600)
    figures += asyncio.run(_history(setting, 2 if setting.quick else 5))
    facts = {"series": SERIES, "metrics": METRICS, "rounds": rounds, "beyond": f"{BEYOND} series all the time"}
    return Outcome("observe", "samples of 10,000 series among 100 threshold rules", figures, facts)


def _samples(turn: int, at: float) -> list[Sample]:
    """One of each series, no two of one metric in a row."""
    made = []
    for subject in range(SUBJECTS):
        for metric in range(METRICS):
            beyond = subject == 0 and metric < BEYOND
            value = 95.0 if beyond else (turn * 7 + subject + metric) % 80
            labels = {"host": f"host-{subject}"}
            made.append(
                Sample(name=f"usage_{metric}", value=value, subject=f"service-{subject}", labels=labels, time=at)
            )
    return made


async def _speed(setting: Setting, kind: str, feed: Feed, rounds: int) -> tuple[float, float]:
    folder = setting.folder
    async with (
        setting.databases.new(folder) as database,
        AutomationEngine(AutomationConfig(database_url=database.url, data_dir=folder)) as engine,
    ):
        for metric in range(METRICS):
            if kind == "alerts":
                engine.register_alert_workflow({"name": f"rule-{metric}", "condition": f"usage_{metric} > 90"})
            else:
                await engine.register_workflow(_triggered(metric))
        start = time.time()
        await feed(engine, _samples(0, start))
        await engine.drain()
        clocks, processors = [], []
        for turn in range(1, rounds + 1):
            samples = _samples(turn, start + turn * 0.001)
            on_clock, of_processor = time.perf_counter(), time.process_time()
            await feed(engine, samples)
            clocks.append(SERIES / (time.perf_counter() - on_clock))
            processors.append(SERIES / (time.process_time() - of_processor))
        assert len(engine.metric_store) == SERIES
    return median(clocks), median(processors)


def _triggered(metric: int) -> WorkflowDefinition:
    trigger = {"type": "metric_threshold", "metric": f"usage_{metric}", "operator": ">", "threshold": 90}
    action = {"name": "set", "action_type": "flow.set", "parameters": {"values": {"beyond": True}}}
    return WorkflowDefinition.model_validate({"name": f"rule-{metric}", "triggers": [trigger], "actions": [action]})


async def _one_by_one(engine: AutomationEngine, samples: list[Sample]) -> None:
    for sample in samples:
        await engine.observe(sample.name, sample.value, subject=sample.subject, labels=sample.labels, time=sample.time)


async def _in_bulk(engine: AutomationEngine, samples: list[Sample]) -> None:
    for begin in range(0, len(samples), BULK):
        await engine.observe_many(samples[begin : begin + BULK])


def _memory(kept: int) -> list[Figure]:
    """What the store holds in memory, all told, for each sample that it retains; and whether that stays so."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    store = MetricStore()
    store.resolution = 60.0
    turn = 0

    def fill(until: int) -> float:
        nonlocal turn
        while turn < until:
            for sample in _samples(turn, float(turn)):
                store.record(sample)
            turn += 1
            if not turn % 60:
                # As the history does it once a minute.
                for series in store.all():
                    series.hand_over()
                    series.handed_over(True)
        retained = sum(len(series) for name in store.names() for series in store.series(name))
        return (tracemalloc.get_traced_memory()[0] - before) / retained

    first = fill(60)
    full = fill(kept)
    again = fill(kept + 60)
    tracemalloc.stop()
    return [
        Figure("memory a retained sample, 60 of each series", first, "bytes", "wanted 150"),
        Figure(f"the same, after {kept} of each series", full, "bytes"),
        Figure(f"the same, after {kept + 60}", again, "bytes", "the store keeps 512 of each: it stays flat"),
    ]


async def _history(setting: Setting, rounds: int) -> list[Figure]:
    """What it costs to write a minute of all series, at the three default resolutions, and what that takes on disk."""
    folder = setting.folder
    async with (
        setting.databases.new(folder) as database,
        AutomationEngine(AutomationConfig(database_url=database.url, data_dir=folder)) as engine,
    ):
        start = time.time() - 3600.0
        clocks, processors = [], []
        for turn in range(rounds + 1):
            for sample in _samples(turn, start + turn * 60):
                engine.metric_store.record(sample)
            on_clock, of_processor = time.perf_counter(), time.process_time()
            await engine.samples.history.flush()
            clocks.append(time.perf_counter() - on_clock)
            processors.append(time.process_time() - of_processor)
        begin = time.perf_counter()
        found = await engine.samples.history.read("usage_7", 60, start, time.time(), "service-7")
        read = time.perf_counter() - begin
        assert sum(len(line.buckets) for line in found) == rounds + 1
    figures = [
        Figure(
            "to write a minute of all series",
            median(clocks[1:]),
            "s",
            f"{median(processors[1:]):.2g} s of the processor, all threads, of 60",
        ),
        Figure("to read an hour of one series", read * 1e3, "ms"),
    ]
    if database.url.startswith("sqlite"):
        size = sum(file.stat().st_size for file in folder.glob(Path(database.url).name + "*"))
        buckets = SERIES * (rounds + 1 + 2)
        figures.append(
            Figure("disk a bucket", size / buckets, "bytes", "the whole file; 7,056 buckets a series at most")
        )
    return figures
