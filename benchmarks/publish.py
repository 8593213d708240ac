"""Many events at once, in this process: how many a second, of which one of a hundred starts a workflow."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from automation import AutomationEngine, Event, WorkflowDefinition
from benchmarks import engines
from benchmarks.figures import Figure, Outcome, median
from benchmarks.served import busy, rules
from benchmarks.setting import Setting

RULES = 1000
AT_ONCE = 10_000
"""Events a call of `publish_many`."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One call."""

    rate: float
    """Events a second, until all are acknowledged."""
    processor: float
    """Seconds of processor time an event, of all threads, until the call returns."""
    ended: float
    """Events a second, until what they started has ended as well."""


def run(setting: Setting) -> Outcome:
    """The same events and rules, with those kept that start something, and with all kept."""
    return asyncio.run(_run(setting, 2 if setting.quick else 15))


async def _run(setting: Setting, rounds: int) -> Outcome:
    found = {retain: await measured(setting, retain, retain, rounds) for retain in ("matched", "all")}
    title = f"{AT_ONCE:,} events in one call, {RULES:,} rules, 1 % start a workflow, {setting.databases.kind}"
    facts = {"counted": "until the call returns: events and starts are on disk; what was started is running meanwhile"}
    return Outcome(
        "publish", title, [each for retain, some in found.items() for each in figures(f"retain {retain}", some)], facts
    )


async def measured(setting: Setting, name: str, retain: str, rounds: int) -> list[Measured]:
    """Some calls, on an engine of their own that has these rules."""
    async with (
        setting.databases.new(setting.folder) as database,
        engines.engine(setting.folder / name, database.url, events={"retain": retain}) as engine,
    ):
        for rule in rules(RULES):
            engine.workflow_manager.register_workflow(WorkflowDefinition.model_validate(rule))
        await engine.save()
        await _once(engine, "warm-up")
        return [await _once(engine, f"round-{number}") for number in range(rounds)]


async def _once(engine: AutomationEngine, source: str) -> Measured:
    events = [
        Event(
            type=f"type-{number % RULES}",
            subject=f"host-{number % 50}",
            source=source,
            id=str(number),
            data={"load": busy(number), "host": f"host-{number % 50}"},
        )
        for number in range(AT_ONCE)
    ]
    begin, processor = time.perf_counter(), time.process_time()
    receipts = await engine.publish_many(events)
    seconds, used = time.perf_counter() - begin, time.process_time() - processor
    assert sum(len(receipt.executions) for receipt in receipts) == AT_ONCE // 100
    await engine.drain()
    return Measured(AT_ONCE / seconds, used / AT_ONCE, AT_ONCE / (time.perf_counter() - begin))


def figures(name: str, found: Sequence[Measured]) -> list[Figure]:
    """Medians, and how far they are apart."""
    rates, processor = [one.rate for one in found], median([one.processor for one in found])
    spread = f"best {max(rates):,.0f}, worst {min(rates):,.0f}"
    in_a_second = f"{1 / processor:,.0f} in a second of it; all threads"
    ended = median([one.ended for one in found])
    return [
        Figure(f"{name}: events a second", median(rates), "/s", spread),
        Figure(f"{name}: processor time an event", processor * 1e6, "µs", in_a_second),
        Figure(f"{name}: until all that it started has ended", ended, "/s", "events"),
    ]
