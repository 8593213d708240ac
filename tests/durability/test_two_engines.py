"""Two living engines on one database: what one holds, the other leaves alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from automation import AutomationConfig, AutomationEngine, ExecutionContext, WorkflowDefinition, WorkflowStatus
from automation.errors import Conflict
from automation.infrastructure import processes
from tests.support import handlers
from tests.support.databases import Database

PAUSE = WorkflowDefinition.model_validate(
    {
        "name": "long",
        "actions": [{"name": "pause", "action_type": "test.pause", "parameters": {"seconds": 60}}],
    }
)


@pytest.fixture
def config(database: Database, tmp_path: Path) -> AutomationConfig:
    """Both engines' configuration, on a database of each kind in turn."""
    return AutomationConfig(database_url=database.url, data_dir=tmp_path / "data")


@pytest.fixture
async def pair(config: AutomationConfig) -> AsyncIterator[tuple[AutomationEngine, AutomationEngine]]:
    """Two engines, with short leases."""
    handlers.calls.clear()
    config = config.model_copy(update={"store": config.store.model_copy(update={"lease_seconds": 2.0})})
    async with AutomationEngine(config) as one, AutomationEngine(config) as other:
        for each in (one, other):
            await each.register_workflow(PAUSE)
        yield one, other


async def _begun() -> None:
    while not handlers.calls:
        await asyncio.sleep(0.01)


async def test_what_a_living_engine_runs_is_not_taken_from_it(pair: tuple[AutomationEngine, AutomationEngine]) -> None:
    one, other = pair
    execution_id = await one.start_workflow("long")
    await _begun()

    assert await other._recovery.take(execution_id) is None
    with pytest.raises(Conflict, match="held by another node"):
        await other.decide(execution_id, "pause", True)

    await one.cancel(execution_id)
    assert (await one.wait_for(execution_id)).status is WorkflowStatus.CANCELLED
    assert handlers.calls == [("pause", "begin"), ("pause", "cancelled")]


async def test_a_machine_whose_clock_is_set_still_knows_its_living_engines(
    pair: tuple[AutomationEngine, AutomationEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """psutil's start times move with the clock: a living engine would look dead, and be robbed of its work."""
    import psutil._pslinux

    boot_time = psutil._pslinux.boot_time
    monkeypatch.setattr(psutil._pslinux, "boot_time", lambda: boot_time() + 3600)
    one, other = pair

    await other._recovery._bury_the_dead()

    assert {node.id for node in await one.queries.nodes()} == {one._recovery.node, other._recovery.node}
    assert processes.began(1_000_000_000) is None


async def test_an_execution_is_cancelled_by_way_of_another_engine(
    pair: tuple[AutomationEngine, AutomationEngine],
) -> None:
    one, other = pair
    execution_id = await one.start_workflow("long")
    await _begun()
    await other.cancel(execution_id, "enough")

    result = await asyncio.wait_for(one.wait_for(execution_id), 30)

    assert result.status is WorkflowStatus.CANCELLED


async def test_each_execution_is_taken_up_by_one(config: AutomationConfig) -> None:
    """Many that nobody holds, and two engines that look for work at the same time."""
    handlers.calls.clear()
    note = {"name": "note", "action_type": "test.record", "parameters": {"value": "${number}"}}
    workflow = WorkflowDefinition.model_validate({"name": "noted", "actions": [note]})
    numbers = range(60)
    ids = await _left_behind(config, workflow, numbers)

    async with AutomationEngine(config) as one, AutomationEngine(config) as other:
        await asyncio.gather(one.drain(), other.drain())
        for id in ids:
            assert await one.get_workflow_status(id) is WorkflowStatus.SUCCEEDED
        _, problems = await one.queries.verify_audit()

    assert sorted(value for _, value in handlers.calls) == list(numbers)
    assert problems == []


async def _left_behind(config: AutomationConfig, workflow: WorkflowDefinition, numbers: range) -> list[str]:
    """Executions that were accepted by an engine that has run none of them."""
    async with AutomationEngine(config) as engine:
        await engine.register_workflow(workflow)
        engine._runner.launch = lambda run: None  # type: ignore[method-assign]
        starts = [engine.start_workflow("noted", ExecutionContext(variables={"number": number})) for number in numbers]
        return await asyncio.gather(*starts)
