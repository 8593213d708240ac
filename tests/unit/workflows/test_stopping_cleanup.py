"""The engine stops while the cleanup of a cancelled execution runs: that is left to the next engine, not cancelled."""

from __future__ import annotations

import asyncio

import pytest

from automation import ActionDefinition, AutomationConfig, AutomationEngine, Event, WorkflowDefinition, WorkflowStatus
from automation.store import waits
from tests.support import handlers
from tests.support.virtual import until


@pytest.fixture(autouse=True)
def _fresh() -> None:
    handlers.calls.clear()
    handlers.gates.clear()


def gate(name: str, **further: object) -> ActionDefinition:
    given = {"name": name, "action_type": "test.gate", "parameters": {"value": name}, **further}
    return ActionDefinition.model_validate(given)


async def begun(*names: str) -> None:
    async def all_have() -> bool:
        return set(names) <= {name for name, _ in handlers.calls}

    await until(all_have)


async def cancelled(engine: AutomationEngine, cleanup: ActionDefinition) -> str:
    await engine.register_workflow(WorkflowDefinition(name="w", actions=(gate("a"), cleanup)))
    execution_id = await engine.start_workflow("w")
    await begun("a")
    await engine.cancel(execution_id, "enough")
    return execution_id


async def test_cleanup_that_runs_when_the_engine_stops_is_run_again(config: AutomationConfig) -> None:
    async with AutomationEngine(config) as first:
        execution_id = await cancelled(first, gate("c", always=True, on_interrupt="retry"))
        await begun("a", "c")
        await first._runner.stop(0)
    handlers.open_gate("c")
    async with AutomationEngine(config) as second, asyncio.timeout(20):
        assert (await second.wait_for(execution_id)).status is WorkflowStatus.CANCELLED
        detail = await second.queries.execution_detail(execution_id)
    assert [action.status.value for action in detail.actions] == ["cancelled", "succeeded"]
    assert [name for name, _ in handlers.calls] == ["a", "c", "c"]


async def test_items_of_cleanup_that_wait_do_not_keep_the_engine_from_stopping(config: AutomationConfig) -> None:
    cleanup = {"name": "c", "wait_for": {"event": "e"}, "for_each": {"items": [1, 2]}, "always": True}
    async with AutomationEngine(config) as first:
        execution_id = await cancelled(first, ActionDefinition.model_validate(cleanup))

        async def both_wait() -> bool:
            # On disk: only then does an event that comes before the next engine has taken the execution up count.
            return len(await waits.for_events(first.store)) == 2

        await until(both_wait)
        async with asyncio.timeout(20):
            await first._runner.stop(0)
    async with AutomationEngine(config) as second, asyncio.timeout(20):
        await second.publish(Event(type="e", source="test"))
        assert (await second.wait_for(execution_id)).status is WorkflowStatus.CANCELLED
