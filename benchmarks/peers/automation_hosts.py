"""This engine: `python -m benchmarks.peers.automation_hosts FOLDER RULES EVENTS RETAIN`.

It takes the same rulebook as the others, imported.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from automation import AutomationEngine, Event, WorkflowDefinition, __version__
from automation.config import Events
from automation.definitions.rulebook.importing import import_rulebook
from benchmarks import engines
from benchmarks.peers import hosts

AT_ONCE = 10_000
WARM_UP = 2_000


async def publish(engine: AutomationEngine, given: Iterable[dict[str, Any]]) -> int:
    """Publish all of these in process; returns how many executions they have started."""
    events = (Event(type=hosts.KIND, subject=data["host"], data=data, source="bench") for data in given)
    started = 0
    while batch := list(islice(events, AT_ONCE)):
        for receipt in await engine.publish_many(batch):
            started += len(receipt.executions)
    return started


async def main(folder: Path, rules: int, number: int, retain: str) -> None:
    """One run on SQLite: from the first event until all that they started is on disk, and until it has ended."""
    file = folder / "rulebook.yml"
    file.write_text(hosts.rulebook(rules, "range: {limit: 1}"), encoding="utf-8")
    workflows = import_rulebook(file).workflows
    settings = Events.model_validate({"retain": retain})
    async with engines.engine(folder, f"sqlite:///{folder}/hosts.db", events=settings) as engine:
        for workflow in workflows:
            await engine.register_workflow(WorkflowDefinition.model_validate(workflow))
        await publish(engine, hosts.events(rules, WARM_UP))
        await engine.drain()
        given = list(hosts.events(rules, number, WARM_UP))
        begin, processor = time.perf_counter(), time.process_time()
        started = await publish(engine, given)
        seconds, used = time.perf_counter() - begin, time.process_time() - processor
        await engine.drain()
        ended = time.perf_counter() - begin
    found = {
        "version": __version__,
        "events": number,
        "matched": started,
        "seconds": seconds,
        "processor": used,
        "ended": ended,
    }
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
