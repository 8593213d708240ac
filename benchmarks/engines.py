"""An engine to measure, and the operations that its workflows run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from automation import ActionContext, AutomationConfig, AutomationEngine, AutomationLevel, WorkflowDefinition, action
from benchmarks import databases


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


def engine(folder: Path, name: str, **settings: Any) -> AutomationEngine:
    """An engine with a database of its own in the folder."""
    place = folder / name
    place.mkdir(parents=True)
    config = AutomationConfig(
        database_url=databases.url_of(place),
        data_dir=place / "data",
        level=AutomationLevel.AUTONOMOUS,
        **{"max_concurrent_actions": 64, **settings},
    )
    return AutomationEngine(config)
