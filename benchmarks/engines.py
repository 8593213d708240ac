"""An engine to measure, and the operations that its workflows run."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from sqlalchemy import func, select

from automation import (
    ActionContext,
    AutomationConfig,
    AutomationEngine,
    AutomationLevel,
    ExecutionContext,
    WorkflowDefinition,
    WorkflowStatus,
    action,
)
from automation.store.tables import executions


class Work(BaseModel):
    value: Any = None


begun: list[float] = []
"""When `bench.stamp` was called."""


@action("bench.work", idempotent=True)
async def work(params: Work, context: ActionContext) -> dict[str, Any]:
    """Do nothing, as something that changes the world would: its start is on disk before it runs."""
    return {"done": context.action}


@action("bench.stamp", idempotent=True)
async def stamp(params: Work, context: ActionContext) -> dict[str, Any]:
    """Note when it was called."""
    begun.append(time.perf_counter())
    return {}


THREE = WorkflowDefinition.model_validate(
    {
        "name": "three",
        "actions": [
            {"name": "a", "action_type": "bench.work", "parameters": {"value": "${number}"}},
            {"name": "b", "action_type": "bench.work", "parameters": {"value": "${done}"}},
            {"name": "c", "action_type": "bench.work", "parameters": {"value": "text"}},
        ],
    }
)


def engine(folder: Path, url: str, **settings: Any) -> AutomationEngine:
    """An engine on this database, with a folder for all else that it keeps."""
    config = AutomationConfig(
        **{
            "database_url": url,
            "data_dir": folder / "data",
            "level": AutomationLevel.AUTONOMOUS,
            "max_concurrent_actions": 64,
            **settings,
        }
    )
    return AutomationEngine(config)


async def until_ready(engine: AutomationEngine) -> None:
    """Return when all that an earlier engine left was looked at."""
    while engine.hindrances:  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0.002)


async def count(engine: AutomationEngine, status: WorkflowStatus) -> int:
    """How many executions have this status, all of them: what `queries` counts ends at some thousands."""
    query = select(func.count()).select_from(executions).where(executions.c.status == status.value)
    return int((await engine.store.fetch(query))[0][0])


def numbered(number: int) -> ExecutionContext:
    """The inputs of `three`."""
    return ExecutionContext(variables={"number": number})
