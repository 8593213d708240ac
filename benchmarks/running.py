"""Executions: one alone, many at once, and how soon an event starts one."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from automation import AutomationEngine, Event, WorkflowDefinition, WorkflowStatus
from benchmarks import bare, engines
from benchmarks.databases import POSTGRES, SQLITE
from benchmarks.figures import Figure, Outcome, median, percentile
from benchmarks.machine import flush_seconds
from benchmarks.setting import Setting

COMMITS_ALONE = 4
"""How often an execution of three actions waits for the disk: before each action, and at its end."""
WARM_UP = 100
"""Executions until the write-ahead log has the length that it keeps: while it grows, each flush takes longer."""
BLOCK = 25
"""How many executions are run alone before it is the turn of the bare writer."""
AT_ONCE = 200
TURNS = 5
"""How often two hundred are run in one round."""
ACTIONS = AT_ONCE * TURNS * len(engines.THREE.actions)


def one(setting: Setting) -> Outcome:
    """One execution of three actions, alone: `await engine.execute_workflow(...)`."""
    return asyncio.run(_one(setting, 50 if setting.quick else 500))


async def _one(setting: Setting, times: int) -> Outcome:
    taken: list[float] = []
    limit: list[float] = []
    used = 0.0
    async with (
        setting.databases.new(setting.folder) as database,
        engines.engine(setting.folder, database.url) as engine,
    ):
        await engine.register_workflow(engines.THREE)
        await _alone(engine, WARM_UP)
        shape = await database.shape(COMMITS_ALONE)
        async with setting.databases.bare(setting.folder, shape) as writer:
            load = bare.Load(writer, shape)
            await load.alone(WARM_UP)
            while len(taken) < times:
                # In turns, so that what else the machine does disturbs both alike.
                processor = time.process_time()
                taken += await _alone(engine, BLOCK)
                used += time.process_time() - processor
                limit += await load.alone(BLOCK)
    disk = flush_seconds(setting.folder, 100)
    figures = [
        Figure("median", median(taken) * 1000, "ms"),
        Figure("p99", percentile(taken, 0.99) * 1000, "ms"),
        Figure("processor time an action", used / len(taken) / 3 * 1e6, "µs", "all threads; steadier than the times"),
        Figure("the same commits without an engine, median", median(limit) * 1000, "ms", "physical limit, same run"),
        Figure("the same commits without an engine, p99", percentile(limit, 0.99) * 1000, "ms"),
        Figure("ratio of the medians", median(taken) / median(limit), ""),
        Figure("fdatasync of 4 KiB, median", median(disk) * 1000, "ms", f"{COMMITS_ALONE} of them an execution"),
    ]
    return Outcome("one", f"a workflow of 3 actions, alone, {times} times, {database.kind}", figures)


async def _alone(engine: AutomationEngine, times: int) -> list[float]:
    taken = []
    for number in range(times):
        begin = time.perf_counter()
        result = await engine.execute_workflow("three", engines.numbered(number))
        taken.append(time.perf_counter() - begin)
        assert result.status is WorkflowStatus.SUCCEEDED, result.error
    return taken


@dataclass(frozen=True, slots=True)
class Measured:
    """Two hundred at once, some times over."""

    rate: float
    """Actions a second."""
    processor: float
    """Seconds of processor time an action, in this process."""
    batch: float
    """Actions a transaction."""


async def measured(engine: AutomationEngine) -> Measured:
    """Run `three`, two hundred at once, on an engine that has started."""
    await engine.register_workflow(engines.THREE)
    # What is only done once: imports, prepared statements, the first pages of the file.
    await asyncio.gather(*(engine.execute_workflow("three", engines.numbered(0)) for _ in range(20)))
    before = engine.store.commits
    begin, processor = time.perf_counter(), time.process_time()
    for _ in range(TURNS):
        results = await asyncio.gather(
            *(engine.execute_workflow("three", engines.numbered(number)) for number in range(AT_ONCE))
        )
        assert all(result.status is WorkflowStatus.SUCCEEDED for result in results)
    seconds, used = time.perf_counter() - begin, time.process_time() - processor
    return Measured(ACTIONS / seconds, used / ACTIONS, ACTIONS / (engine.store.commits - before))


@dataclass(slots=True)
class Rounds:
    """What was measured on one kind of database."""

    kind: str
    found: list[Measured] = field(default_factory=list)
    limits: list[float] = field(default_factory=list)
    shape: bare.Shape | None = None

    def add(self, found: Measured, shape: bare.Shape, seconds: float) -> None:
        """A round of the engine, and the seconds that the same writes took without one."""
        self.found.append(found)
        self.limits.append(ACTIONS / seconds)
        self.shape = shape

    def figures(self) -> list[Figure]:
        """Medians, and ratios of what was measured in turns."""
        rates = [one.rate for one in self.found]
        ratios = [rate / limit for rate, limit in zip(rates, self.limits, strict=True)]
        spread = f"best {max(rates):,.0f}, worst {min(rates):,.0f}"
        note = "all threads of this process; steadier than the rate"
        return [
            Figure(f"{self.kind}: durable actions a second", median(rates), "/s", spread),
            Figure(
                f"{self.kind}: processor time an action", median([m.processor for m in self.found]) * 1e6, "µs", note
            ),
            Figure(f"{self.kind}: actions a transaction", median([one.batch for one in self.found]), ""),
            Figure(f"{self.kind}: without an engine", median(self.limits), "/s", "physical limit: same rows and bytes"),
            Figure(
                f"{self.kind}: ratio",
                median(ratios),
                "",
                f"of the two, in turns; {min(ratios):.2f} to {max(ratios):.2f}",
            ),
        ]


def many(setting: Setting) -> Outcome:
    """Two hundred executions of three actions at once."""
    return asyncio.run(_many(setting, 1 if setting.quick else 7))


async def _many(setting: Setting, rounds: int) -> Outcome:
    kinds = [Rounds(kind) for kind in setting.databases.kinds]
    for _ in range(rounds):
        # In turns, so that what else the machine does disturbs all alike.
        for kind in kinds:
            await _round(setting, kind)
    facts = {kind: await setting.databases.about(kind) for kind in (SQLITE, POSTGRES)}
    facts |= {f"rows an execution, {kind.kind}": kind.shape.text for kind in kinds if kind.shape is not None}
    figures = [figure for kind in kinds for figure in kind.figures()]
    return Outcome("many", f"{AT_ONCE} workflows of 3 actions at once, {rounds} rounds", figures, facts)


async def _round(setting: Setting, rounds: Rounds) -> None:
    async with setting.databases.new(setting.folder, rounds.kind) as database:
        async with engines.engine(setting.folder, database.url) as engine:
            found = await measured(engine)
        shape = await database.shape(COMMITS_ALONE)
    async with setting.databases.bare(setting.folder, shape, rounds.kind) as writer:
        seconds = await bare.together(writer, shape, AT_ONCE, TURNS)
    rounds.add(found, shape, seconds)


def events(setting: Setting) -> Outcome:
    """How soon an event starts a workflow, when nothing else happens."""
    return asyncio.run(_events(setting, 50 if setting.quick else 300))


async def _events(setting: Setting, times: int) -> Outcome:
    definition = {
        "name": "stamp",
        "triggers": [{"type": "event", "event": "thing", "condition": "load > 80"}],
        "actions": [{"name": "stamp", "action_type": "bench.stamp"}],
    }
    published, started = [], []
    async with (
        setting.databases.new(setting.folder) as database,
        engines.engine(setting.folder, database.url) as engine,
    ):
        await engine.register_workflow(WorkflowDefinition.model_validate(definition))
        for number in range(times + 20):
            engines.begun.clear()
            begin = time.perf_counter()
            receipt = await engine.publish(Event(type="thing", data={"load": 91}))
            committed = time.perf_counter()
            await engine.wait_for(receipt.executions[0])
            if number >= 20:
                published.append(committed - begin)
                started.append(engines.begun[0] - committed)
    figures = [
        Figure("publish, median", median(published) * 1000, "ms", "until event and start are on disk"),
        Figure("publish, p99", percentile(published, 0.99) * 1000, "ms"),
        Figure("from there to the first action, median", median(started) * 1000, "ms", "its start is on disk as well"),
        Figure("from there to the first action, p99", percentile(started, 0.99) * 1000, "ms"),
    ]
    return Outcome("events", f"an event starts a workflow, idle engine, {times} times, {database.kind}", figures)
