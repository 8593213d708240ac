"""What it costs to wait: ten thousand executions that wait for hours, or for people.

`python -m benchmarks.waiting FOLDER URL KIND COUNT IDLE` is the process that is measured.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from automation import AutomationEngine, AutomationLevel, WorkflowDefinition, WorkflowStatus
from benchmarks import engines
from benchmarks.children import child, say
from benchmarks.figures import Figure, Outcome
from benchmarks.setting import Setting

KINDS = {
    "timers": {"name": "wait", "action_type": "flow.wait", "parameters": {"seconds": "6h"}},
    "approvals": {"name": "work", "action_type": "bench.work", "parameters": {"value": "${number}"}},
}
AT_ONCE = 200


def run(setting: Setting) -> Outcome:
    """Memory and processor time of a process, before and after they wait, and of the next one on the same database."""
    number, idle = (400, 1.0) if setting.quick else (10_000, 10.0)
    return asyncio.run(_run(setting, number, idle))


async def _run(setting: Setting, number: int, idle: float) -> Outcome:
    figures = []
    for kind in KINDS:
        found = []
        async with setting.databases.new(setting.folder) as database:
            # The second process finds them waiting.
            for begun in (number, 0):
                arguments = (setting.folder, database.url, kind, begun, idle)
                found.append(await asyncio.to_thread(_hear, setting.folder, arguments))
        first, again = found
        figures += [
            Figure(
                f"{kind}: additional memory",
                first["added"],
                "MB",
                f"resident, for {number:,}; {first['empty']:.0f} MB without",
            ),
            Figure(
                f"{kind}: processor time, idle",
                first["idle"] * 100,
                "%",
                f"of one core, over {idle:g} s; {first['empty_idle'] * 100:.2f} % without",
            ),
            Figure(f"{kind}: to begin them", first["seconds"], "s", "until the last waits"),
            Figure(
                f"{kind}: after a restart, memory",
                again["resident"],
                "MB",
                "resident, of a new process that finds them waiting",
            ),
            Figure(f"{kind}: after a restart, idle", again["idle"] * 100, "%", "of one core"),
        ]
    return Outcome("waiting", f"{number:,} executions that wait, {database.kind}", figures)


def _hear(folder: Path, arguments: tuple[object, ...]) -> dict[str, Any]:
    with child(folder, "benchmarks.waiting", *arguments) as process:
        return process.hear()


async def _measure(folder: Path, url: str, kind: str, number: int, idle: float) -> None:
    definition = WorkflowDefinition.model_validate({"name": kind, "actions": [KINDS[kind]]})
    async with engines.engine(folder, url, level=AutomationLevel.ASSISTED) as engine:
        await engine.register_workflow(definition)
        if number:
            # All that is imported or compiled with the first ones is no cost of waiting.
            await _begin(engine, kind, AT_ONCE)
        await _until_waiting(engine, AT_ONCE)
        await engines.until_ready(engine)
        empty, empty_idle = _resident(), await _idle(idle) if number else 0.0
        begin = time.perf_counter()
        await _begin(engine, kind, number)
        await _until_waiting(engine, AT_ONCE + number)
        seconds = time.perf_counter() - begin
        resident = _resident()
        say(
            empty=empty,
            empty_idle=empty_idle,
            seconds=seconds,
            resident=resident,
            added=resident - empty,
            idle=await _idle(idle),
        )


async def _begin(engine: AutomationEngine, kind: str, number: int) -> None:
    for first in range(0, number, AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, number))
        await asyncio.gather(*(engine.start_workflow(kind, engines.numbered(each)) for each in numbers))


async def _until_waiting(engine: AutomationEngine, number: int) -> None:
    while await engines.count(engine, WorkflowStatus.WAITING) < number:  # noqa: ASYNC110
        await asyncio.sleep(0.05)


async def _idle(seconds: float) -> float:
    """The share of one core that this process uses while nothing is asked of it."""
    await asyncio.sleep(1.0)
    processor, begin = time.process_time(), time.perf_counter()
    await asyncio.sleep(seconds)
    return (time.process_time() - processor) / (time.perf_counter() - begin)


def _resident() -> float:
    """In MB, without what is garbage."""
    gc.collect()
    return psutil.Process().memory_info().rss / 1e6


if __name__ == "__main__":
    asyncio.run(_measure(Path(sys.argv[1]), *sys.argv[2:4], int(sys.argv[4]), float(sys.argv[5])))
