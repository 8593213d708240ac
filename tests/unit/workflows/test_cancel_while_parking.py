"""An execution that is cancelled in the very moment in which it leaves memory to wait."""

from __future__ import annotations

import asyncio

from automation import ActionDefinition, AutomationEngine, WorkflowDefinition, WorkflowStatus

WAITS = WorkflowDefinition(
    name="waits", actions=(ActionDefinition(name="wait", action_type="flow.wait", parameters={"seconds": 600}),)
)


async def test_no_moment_is_too_early_or_too_late(engine: AutomationEngine) -> None:
    await engine.register_workflow(WAITS)
    cancelled = []
    for steps in range(80):
        execution_id = await engine.start_workflow("waits")
        for _ in range(steps):
            await asyncio.sleep(0.0002)
        await engine.cancel(execution_id, "enough")
        cancelled.append(execution_id)
    async with asyncio.timeout(30):
        results = [await engine.wait_for(execution_id) for execution_id in cancelled]
    assert {result.status for result in results} == {WorkflowStatus.CANCELLED}
