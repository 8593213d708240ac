"""Tasks of the driver in which people steer executions, and the engine is killed as they do."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from typing import Any

from automation import AutomationEngine, WorkflowDefinition, WorkflowStatus
from automation.errors import Conflict
from automation.model.identity import Identity
from automation.store.records import save_position
from tests.support.durability_engines import Task, die_at_write, new_engine, say

KEY = "the one"
ADMIN = frozenset({"system:admin"})


async def _begun(engine: AutomationEngine, workflow: dict[str, Any]) -> str:
    """Start the workflow, or go on with what has been started; its id."""
    await engine.register_workflow(WorkflowDefinition.model_validate(workflow))
    execution_id = await engine.start_workflow(workflow["name"], idempotency_key=KEY)
    say(accepted=execution_id)
    return execution_id


async def _is(engine: AutomationEngine, execution_id: str, *wanted: WorkflowStatus) -> WorkflowStatus:
    """Wait until it has one of these statuses, or has ended."""
    while True:
        status = await engine.get_workflow_status(execution_id)
        if status.finished or status in wanted:
            return status
        await asyncio.sleep(0.01)


async def people(
    folder: str, workflow: dict[str, Any], names: Sequence[str], die: tuple[int, str] | None = None
) -> None:
    """Have each of these people approve what action `b` asks, one after the other; wait for the end."""
    async with new_engine(folder) as engine:
        execution_id = await _begun(engine, workflow)
        await _is(engine, execution_id, WorkflowStatus.WAITING)
        if die is not None:
            die_at_write(engine, *die)
        for name in names:
            try:
                answering = engine.approvals.decide(
                    execution_id, "b", True, reason=f"{name} agrees", by=Identity(name, (), ADMIN)
                )
                say(answered=name, status=(await answering).status.value)
            except Conflict as error:
                say(late=name, error=error.message)
        result = await engine.wait_for(execution_id)
        say(result=result.status.value)


async def nobody(folder: str, workflow: dict[str, Any], until: str, die: tuple[int | str, str] | None = None) -> None:
    """Leave unanswered what action `b` asks until that is `asked` or has `escalated`; tell it, and stay."""
    async with new_engine(folder) as engine:
        execution_id = await _begun(engine, workflow)
        if die is not None:
            die_at_write(engine, *die)
        while True:
            found = await engine.approvals.of(execution_id)
            if found and (until == "asked" or found[0].escalated_at is not None):
                break
            await asyncio.sleep(0.01)
        # One transaction after the other: where it was to be killed after that one, it is now.
        await engine.store.commit([save_position("reached", until, engine.clock.now())])
        say(reached=until)
        await asyncio.Event().wait()


async def pause(folder: str, workflow: dict[str, Any], die: tuple[int, str] | None = None) -> None:
    """Pause it while its first action runs, and wait until it is paused."""
    async with new_engine(folder) as engine:
        execution_id = await _begun(engine, workflow)
        while not os.path.exists(f"{folder}/effects"):
            await asyncio.sleep(0.005)
        if die is not None:
            die_at_write(engine, *die)
        await engine.executions.pause(execution_id, "not now", actor="ann")
        say(asked=True)
        say(status=(await _is(engine, execution_id, WorkflowStatus.PAUSED)).value)


async def resume(folder: str, workflow: dict[str, Any], die: tuple[int, str] | None = None) -> None:
    """Resume it where it is paused, which it may only be soon, and wait for its end."""
    async with new_engine(folder) as engine:
        execution_id = await _begun(engine, workflow)
        await engine.drain(20)
        status = await _is(engine, execution_id, WorkflowStatus.PAUSED)
        say(found=status.value)
        if die is not None:
            die_at_write(engine, *die)
        if status is WorkflowStatus.PAUSED:
            say(resuming_at=time.time())
            await engine.executions.resume(execution_id, "go on", actor="bob")
            say(resumed=True)
        result = await engine.wait_for(execution_id)
        say(result=result.status.value)


async def queue(folder: str, workflow: dict[str, Any], count: int, die: tuple[int, str] | None = None) -> None:
    """Start so many that come one after the other, each once, and wait for the end of all."""
    async with new_engine(folder) as engine:
        await engine.register_workflow(WorkflowDefinition.model_validate(workflow))
        if die is not None:
            die_at_write(engine, *die)
        started = []
        for number in range(count):
            started.append(await engine.start_workflow(workflow["name"], idempotency_key=f"q-{number}"))
            say(accepted=started[-1])
        say(all=True)
        for execution_id in started:
            await engine.wait_for(execution_id)


TASKS: tuple[Task, ...] = (people, nobody, pause, resume, queue)
