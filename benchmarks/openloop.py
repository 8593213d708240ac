"""Latency under a load that does not wait: executions begin when they are due, whether earlier ones have ended or not.

Latency is counted from when an execution *should* have begun, so that an engine that falls behind cannot hide it by
slowing its load down ("coordinated omission": G. Tene, "How NOT to Measure Latency", 2015).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass

from automation import AutomationEngine, WorkflowStatus
from benchmarks import engines
from benchmarks.figures import Figure, Outcome, percentile
from benchmarks.setting import Setting

RATES = (1000, 2000)
"""Actions a second that are measured in any case."""
STEP = 1.25
"""From one rate of the search to the next."""
TOO_SLOW = 0.2
"""Seconds of p99 at which a rate is too much."""
MOST = 40_000
"""Actions a second at which the search ends in any case."""


@dataclass(frozen=True, slots=True)
class Found:
    """What came of one rate."""

    offered: float
    """Actions a second that were asked for."""
    achieved: float
    """Actions a second that ended, until the last one had."""
    latencies: list[float]
    """Seconds of each execution, from when it was due."""
    late: float
    """Seconds that a start came after its time, p99: what the load generator and a busy event loop add."""
    processor: float
    """Seconds of processor time an action."""
    left: int
    """Executions that had not ended when the last was begun."""
    seconds: float
    """For how long executions were begun: less than was asked for where it was hopeless."""

    @property
    def p99(self) -> float:
        """Seconds."""
        return percentile(self.latencies, 0.99)


def run(setting: Setting) -> Outcome:
    """Poisson arrivals of workflows of three actions."""
    seconds, probe = (2.0, 1.0) if setting.quick else (30.0, 5.0)
    return asyncio.run(_run(setting, seconds, probe))


async def _run(setting: Setting, seconds: float, probe: float) -> Outcome:
    figures = []
    facts = {}
    borne, too_much = 0.0, float(MOST)
    async with (
        setting.databases.new(setting.folder) as database,
        engines.engine(setting.folder, database.url) as engine,
    ):
        await engine.register_workflow(engines.THREE)
        for rate in RATES:
            await load(engine, rate, min(2.0, seconds / 2), seed=0)
            found = await load(engine, rate, seconds, seed=rate)
            figures += _figures(found)
            if _bears(found):
                borne = rate
            else:
                too_much = min(too_much, rate)
            facts[f"at {rate:,}/s"] = (
                f"{len(found.latencies):,} executions in {found.seconds:.0f} s of {seconds:g}; "
                f"{found.left:,} under way when the last was begun; "
                f"starts {found.late * 1000:.1f} ms late (p99)"
            )
        figures += await _search(engine, probe, borne, too_much)
    title = f"workflows of 3 actions, Poisson arrivals that wait for nothing, {database.kind}"
    return Outcome("openloop", title, figures, facts)


def _figures(found: Found) -> list[Figure]:
    name, values = f"at {found.offered:,.0f} actions/s", found.latencies
    return [
        Figure(f"{name}: achieved", found.achieved, "/s", "actions that ended, until the last had"),
        Figure(f"{name}: mean", sum(values) / len(values) * 1000, "ms", "of an execution, from when it was due"),
        Figure(f"{name}: median", percentile(values, 0.5) * 1000, "ms"),
        Figure(f"{name}: p99", found.p99 * 1000, "ms"),
        Figure(f"{name}: longest", max(values) * 1000, "ms"),
        Figure(
            f"{name}: processor time an action", found.processor * 1e6, "µs", "all threads; with the load generator"
        ),
    ]


async def _search(engine: AutomationEngine, seconds: float, borne: float, too_much: float) -> list[Figure]:
    """The highest rate that is borne: steps upwards from one that is known to be, then one halving of the last."""
    rate = borne * STEP
    while borne and rate < too_much:
        if _bears(await load(engine, rate, seconds, seed=int(rate))):
            borne, rate = rate, rate * STEP
        else:
            too_much = rate
    between = (borne + too_much) / 2
    if _bears(await load(engine, between, seconds, seed=int(between))):
        borne = between
    else:
        too_much = between
    limit = f"p99 of {TOO_SLOW * 1000:.0f} ms"
    return [
        Figure(f"the most with a {limit}", borne, "/s", f"a search, {seconds:g} s at each rate"),
        Figure(f"more than a {limit} at", too_much, "/s"),
    ]


def _bears(found: Found) -> bool:
    return found.p99 <= TOO_SLOW


async def load(engine: AutomationEngine, rate: float, seconds: float, *, seed: int) -> Found:
    """Actions at this rate for so long; ends when all executions have."""
    due = list(arrivals(rate / len(engines.THREE.actions), seconds, random.Random(seed)))
    latencies: list[float] = []
    late: list[float] = []
    under_way: set[asyncio.Task[None]] = set()

    async def execution(number: int, moment: float) -> None:
        late.append(time.perf_counter() - moment)
        result = await engine.execute_workflow("three", engines.numbered(number))
        latencies.append(time.perf_counter() - moment)
        assert result.status is WorkflowStatus.SUCCEEDED, result.error

    processor = time.process_time()
    begin = time.perf_counter() + 0.01
    for number, offset in enumerate(due):
        wait = begin + offset - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        # What is due already is begun at once, however many that are.
        task = asyncio.create_task(execution(number, begin + offset))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
        if len(under_way) > rate * TOO_SLOW * 10:
            # Hopelessly behind: what is under way says it already.
            break
    left, begun = len(under_way), time.perf_counter() - begin
    await asyncio.gather(*under_way)
    taken = time.perf_counter() - begin
    actions = len(latencies) * len(engines.THREE.actions)
    used = (time.process_time() - processor) / actions
    return Found(rate, actions / taken, latencies, percentile(late, 0.99), used, left, begun)


def arrivals(rate: float, seconds: float, chance: random.Random) -> Iterator[float]:
    """When each is due, in seconds from the beginning: independent of one another, so many a second on average."""
    moment = chance.expovariate(rate)
    while moment < seconds:
        yield moment
        moment += chance.expovariate(rate)
