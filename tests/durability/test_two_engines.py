"""Two living engines on one database: what one holds, the other leaves alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from automation import AutomationConfig, AutomationEngine, WorkflowDefinition, WorkflowStatus
from automation.errors import Conflict
from automation.infrastructure import processes
from tests.support import handlers

PAUSE = WorkflowDefinition.model_validate(
    {
        "name": "long",
        "actions": [{"name": "pause", "action_type": "test.pause", "parameters": {"seconds": 60}}],
    }
)


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

    result = await asyncio.wait_for(one.wait_for(execution_id), 5)

    assert result.status is WorkflowStatus.CANCELLED
