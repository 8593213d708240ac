"""Executions: one alone, many at once, and how soon an event starts one."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from automation import Event, ExecutionContext, WorkflowDefinition, WorkflowStatus
from benchmarks import databases, engines
from benchmarks.figures import Figure, Outcome, median, percentile
from benchmarks.machine import flush_seconds

COMMITS_ALONE = 4
"""How often an execution of three actions waits for the disk: before each action, and at its end."""
AT_ONCE = 200
TURNS = 5
"""How often two hundred are run in one round."""
ACTIONS = AT_ONCE * TURNS * len(engines.THREE.actions)


def one(folder: Path, quick: bool) -> Outcome:
    """One execution of three actions, alone: `await engine.execute_workflow(...)`."""
    return asyncio.run(_one(folder, 50 if quick else 300))


async def _one(folder: Path, count: int) -> Outcome:
    taken = []
    async with engines.engine(folder, "one") as engine:
        await engine.register_workflow(engines.THREE)
        for number in range(count + 20):
            context = ExecutionContext(variables={"number": number})
            begin = time.perf_counter()
            result = await engine.execute_workflow("three", context)
            seconds = time.perf_counter() - begin
            assert result.status is WorkflowStatus.SUCCEEDED, result.error
            if number >= 20:
                taken.append(seconds)
    shape = await databases.shape_of(folder / "one", COMMITS_ALONE)
    limit = (await databases.alone(folder / "one", shape, count + 20))[20:]
    disk = flush_seconds(folder, 100)
    figures = [
        Figure("median", median(taken) * 1000, "ms"),
        Figure("p99", percentile(taken, 0.99) * 1000, "ms"),
        Figure("the same commits without an engine, median", median(limit) * 1000, "ms", "physical limit, same run"),
        Figure("ratio of the medians", median(taken) / median(limit), ""),
        Figure("fdatasync of 4 KiB, median", median(disk) * 1000, "ms", f"{COMMITS_ALONE} of them an execution"),
    ]
    return Outcome("one", f"a workflow of 3 actions, alone, {count} times, synchronous=FULL", figures)


def many(folder: Path, quick: bool) -> Outcome:
    """Two hundred executions of three actions at once."""
    return asyncio.run(_many(folder, 1 if quick else 7))


async def _many(folder: Path, rounds: int) -> Outcome:
    rates, limits, used, sizes = [], [], [], []
    for turn in range(rounds):
        # In turns, so that what else the machine does disturbs both alike.
        place = folder / f"many-{turn}"
        rate, processor, size = await _round(place)
        shape = await databases.shape_of(place / "engine", COMMITS_ALONE)
        seconds = await databases.together(place / "engine", shape, AT_ONCE, TURNS)
        rates.append(rate)
        used.append(processor)
        sizes.append(size)
        limits.append(ACTIONS / seconds)
    ratios = [rate / limit for rate, limit in zip(rates, limits, strict=True)]
    figures = [
        Figure("durable actions a second", median(rates), "/s", f"best {max(rates):,.0f}, worst {min(rates):,.0f}"),
        Figure("processor time an action", median(used) * 1e6, "µs", "all threads; steadier than the rate"),
        Figure("actions a transaction", median(sizes), ""),
        Figure("without an engine", median(limits), "/s", "physical limit: same rows and bytes, same run"),
        Figure("ratio", median(ratios), "", f"of the two, in turns; {min(ratios):.2f} to {max(ratios):.2f}"),
    ]
    facts = {
        "rows an execution": f"{shape.journal_rows:.1f} journal ({shape.journal_bytes:.0f} bytes each), "
        f"{shape.audit_rows:.1f} audit"
    }
    return Outcome("many", f"{AT_ONCE} workflows of 3 actions at once, {rounds} rounds", figures, facts)


async def _round(place: Path) -> tuple[float, float, float]:
    """Actions a second, seconds of processor time an action, actions a transaction."""
    async with engines.engine(place, "engine") as engine:
        await engine.register_workflow(engines.THREE)
        # What is only done once: imports, prepared statements, the first pages of the file.
        await asyncio.gather(*(engine.execute_workflow("three", _numbered(0)) for _ in range(20)))
        before = engine.store.commits
        begin, processor = time.perf_counter(), time.process_time()
        for _ in range(TURNS):
            results = await asyncio.gather(
                *(engine.execute_workflow("three", _numbered(number)) for number in range(AT_ONCE))
            )
            assert all(result.status is WorkflowStatus.SUCCEEDED for result in results)
        seconds, used = time.perf_counter() - begin, time.process_time() - processor
        return ACTIONS / seconds, used / ACTIONS, ACTIONS / (engine.store.commits - before)


def _numbered(number: int) -> ExecutionContext:
    return ExecutionContext(variables={"number": number})


def events(folder: Path, quick: bool) -> Outcome:
    """How soon an event starts a workflow, when nothing else happens."""
    return asyncio.run(_events(folder, 50 if quick else 300))


async def _events(folder: Path, count: int) -> Outcome:
    definition = {
        "name": "stamp",
        "triggers": [{"type": "event", "event": "thing", "condition": "load > 80"}],
        "actions": [{"name": "stamp", "action_type": "bench.stamp"}],
    }
    published, started = [], []
    async with engines.engine(folder, "events") as engine:
        await engine.register_workflow(WorkflowDefinition.model_validate(definition))
        for number in range(count + 20):
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
    return Outcome("events", f"an event starts a workflow, idle engine, {count} times", figures)
