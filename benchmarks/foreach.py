"""One `for_each` over a long list."""

from __future__ import annotations

import asyncio
import time

from automation import ExecutionContext, WorkflowDefinition, WorkflowStatus
from benchmarks import engines
from benchmarks.figures import Figure, Outcome, median
from benchmarks.machine import flush_seconds
from benchmarks.setting import Setting

LENGTHS = (500, 10_000)
CONCURRENCY = 10
"""How many items at the same time: what holds when a definition does not say."""


def run(setting: Setting) -> Outcome:
    """An action that changes something, for each item."""
    lengths, rounds = ((100, 1000), 1) if setting.quick else (LENGTHS, 3)
    return asyncio.run(_run(setting, lengths, rounds))


async def _run(setting: Setting, lengths: tuple[int, ...], rounds: int) -> Outcome:
    definition = {
        "name": "each",
        "actions": [
            {
                "name": "work",
                "action_type": "bench.work",
                "parameters": {"value": "${item}"},
                "for_each": {"items": "${hosts}", "concurrency": CONCURRENCY},
            }
        ],
    }
    figures = []
    disk = median(flush_seconds(setting.folder, 100))
    async with (
        setting.databases.new(setting.folder) as database,
        engines.engine(setting.folder, database.url) as engine,
    ):
        await engine.register_workflow(WorkflowDefinition.model_validate(definition))
        for length in (50, *lengths):
            taken, used, commits = [], [], []
            hosts = [f"host-{number}.example.org" for number in range(length)]
            for _ in range(rounds):
                before = engine.store.commits
                begin, processor = time.perf_counter(), time.process_time()
                result = await engine.execute_workflow("each", ExecutionContext(variables={"hosts": hosts}))
                taken.append(time.perf_counter() - begin)
                used.append(time.process_time() - processor)
                commits.append(engine.store.commits - before)
                assert result.status is WorkflowStatus.SUCCEEDED, result.error
                assert result.outputs["work"]["succeeded"] == length
            if length in lengths:
                name, flushes = f"{length:,} items", median(commits) * disk
                figures += [
                    Figure(name, median(taken), "s", f"best {min(taken):.2f}, worst {max(taken):.2f}"),
                    Figure(f"{name}: processor time an item", median(used) / length * 1e6, "µs", "all threads"),
                    Figure(f"{name}: items a transaction", length / median(commits), ""),
                    Figure(f"{name}: as many fdatasyncs", flushes, "s", "physical limit: transactions times one alone"),
                ]
    return Outcome("foreach", f"one for_each, {CONCURRENCY} items at a time, {rounds} times, {database.kind}", figures)
