"""Many events at once, in this process: how many a second, of which one of a hundred starts a workflow."""

from __future__ import annotations

import asyncio
import time
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
    """The same events and rules, with those kept that start something, and with all kept; in turns."""
    return asyncio.run(_run(setting, 2 if setting.quick else 15))


async def _run(setting: Setting, rounds: int) -> Outcome:
    found: dict[str, list[Measured]] = {"matched": [], "all": []}
    for retain, measured in found.items():
        async with (
            setting.databases.new(setting.folder) as database,
            engines.engine(setting.folder / retain, database.url, events={"retain": retain}) as engine,
        ):
            for rule in rules(RULES):
                engine.workflow_manager.register_workflow(WorkflowDefinition.model_validate(rule))
            await engine.save()
            await _once(engine, "warm-up")
            measured += [await _once(engine, f"round-{number}") for number in range(rounds)]
    figures = [figure for retain, measured in found.items() for figure in _figures(retain, measured)]
    title = f"{AT_ONCE:,} events in one call, {RULES:,} rules, 1 % start a workflow, {setting.databases.kind}"
    facts = {"counted": "until the call returns: events and starts are on disk; what was started is running meanwhile"}
    return Outcome("publish", title, figures, facts)


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


def _figures(retain: str, measured: list[Measured]) -> list[Figure]:
    rates, processor = [one.rate for one in measured], median([one.processor for one in measured])
    spread = f"best {max(rates):,.0f}, worst {min(rates):,.0f}"
    in_a_second = f"{1 / processor:,.0f} in a second of it; all threads"
    return [
        Figure(f"retain {retain}: events a second", median(rates), "/s", spread),
        Figure(f"retain {retain}: processor time an event", processor * 1e6, "µs", in_a_second),
        Figure(
            f"retain {retain}: until all workflows have ended",
            median([one.ended for one in measured]),
            "/s",
            "events; with one action each",
        ),
    ]
