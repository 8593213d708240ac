"""How soon an engine is ready, and done, after the process before it was killed with thousands of actions under way.

`python -m benchmarks.recovery hold|resume FOLDER URL COUNT` are the process that is killed and the one that follows.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from automation import ActionContext, WorkflowDefinition, WorkflowStatus, action
from automation.store.tables import journal
from benchmarks import engines
from benchmarks.children import child, say
from benchmarks.figures import Figure, Outcome, median
from benchmarks.setting import Setting

AT_ONCE = 200
INTERRUPTED = WorkflowDefinition.model_validate(
    {
        "name": "interrupted",
        "actions": [
            {"name": "before", "action_type": "bench.work", "parameters": {"value": "${number}"}},
            {"name": "during", "action_type": "bench.hang", "parameters": {"value": "${done}"}},
            {"name": "after", "action_type": "bench.work", "parameters": {"value": "${number}"}},
        ],
    }
)
_hanging = True


@action("bench.hang", idempotent=True)
async def hang(params: engines.Work, context: ActionContext) -> dict[str, Any]:
    """In the process that is killed, never end; in the next, end at once."""
    if _hanging:
        await asyncio.Event().wait()
    return {"attempt": context.attempt}


def run(setting: Setting) -> Outcome:
    """A real process, killed by SIGKILL, and a new one on its database."""
    number, rounds = (200, 1) if setting.quick else (10_000, 3)
    found = [asyncio.run(_round(setting, number)) for _ in range(rounds)]

    def of(key: str) -> float:
        return median([one[key] for one in found])

    figures = [
        Figure(
            "ready, from the start of the process", of("ready"), "s", "all were looked at, `engine.hindrances` is empty"
        ),
        Figure("ready, from `engine.start()`", of("ready") - of("imported"), "s"),
        Figure("`engine.start()` returns after", of("started") - of("imported"), "s"),
        Figure("all have ended, from the start of the process", of("ended"), "s", "two actions each were left to run"),
        Figure(
            "processor time an execution", of("processor") / number * 1e6, "µs", "recovery and two actions, all threads"
        ),
    ]
    title = f"{number:,} executions, each in the middle of an action, SIGKILL, {setting.databases.kind}"
    return Outcome("recovery", title, figures)


async def _round(setting: Setting, number: int) -> dict[str, float]:
    async with setting.databases.new(setting.folder) as database:
        return await asyncio.to_thread(_killed, setting.folder, database.url, number)


def _killed(folder: Path, url: str, number: int) -> dict[str, float]:
    """When what has happened, in seconds from the start of the process that follows the killed one."""
    with child(folder, "benchmarks.recovery", "hold", folder, url, number) as process:
        process.hear()
        process.kill()
    with child(folder, "benchmarks.recovery", "resume", folder, url, number) as process:
        moments = process.hear()
    succeeded = moments.pop("succeeded")
    assert succeeded == number, succeeded
    processor = moments.pop("processor")
    return {name: moment - process.begun for name, moment in moments.items()} | {"processor": processor}


async def _hold(folder: Path, url: str, number: int) -> None:
    # Each needs a place of its own: none is ever given back.
    async with engines.engine(folder, url, max_concurrent_actions=number) as engine:
        await engine.register_workflow(INTERRUPTED)
        for first in range(0, number, AT_ONCE):
            numbers = range(first, min(first + AT_ONCE, number))
            await asyncio.gather(*(engine.start_workflow("interrupted", engines.numbered(each)) for each in numbers))
        begun = select(func.count()).select_from(journal).where(journal.c.kind == "action_started")
        # Two actions of each have begun: all that can be on disk is.
        while (await engine.store.fetch(begun))[0][0] < 2 * number:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        say(begun=number)
        await asyncio.Event().wait()


async def _resume(folder: Path, url: str) -> None:
    global _hanging
    _hanging = False
    imported, processor = time.perf_counter(), time.process_time()
    engine = engines.engine(folder, url)
    await engine.start()
    started = time.perf_counter()
    await engines.until_ready(engine)
    ready = time.perf_counter()
    await engine.drain(timeout=300)
    ended, used = time.perf_counter(), time.process_time() - processor
    succeeded = await engines.count(engine, WorkflowStatus.SUCCEEDED)
    await engine.stop()
    say(imported=imported, started=started, ready=ready, ended=ended, processor=used, succeeded=succeeded)


if __name__ == "__main__":
    task, place, url, number = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    asyncio.run(_hold(place, url, number) if task == "hold" else _resume(place, url))
