"""Waiting, in tests whose clock moves only when it is told to while the engine's threads live in real time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from automation import AutomationEngine, ExecutionResult, VirtualClock


async def until(holds: Callable[[], Awaitable[bool]], seconds: float = 30.0) -> None:
    """Return when something has become true, on a clock that stands still."""
    async with asyncio.timeout(seconds):
        while not await holds():
            await asyncio.sleep(0.005)


async def ended(engine: AutomationEngine, clock: VirtualClock, execution_id: str) -> ExecutionResult:
    """The result of an execution of which all that it waits for has come: the clock is moved on little by little."""

    async def finished() -> bool:
        await clock.advance(0.05)
        return (await engine.get_workflow_status(execution_id)).finished

    await until(finished)
    return await engine.wait_for(execution_id)
