"""Engines to be killed: `python -m tests.support.durability_driver`.

It imports everything once, then reads a JSON line `{"task": NAME, "folder": ..., ...}` at a time from its input, forks,
and does the task in the child, which so starts in no time and is a process of its own to kill. Both write JSON lines:
`pid` when the child is there, what the task tells, `ended` when the child is gone.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import random
import sys
import time
import traceback
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from automation import (
    AutomationConfig,
    AutomationEngine,
    Event,
    VirtualClock,
    WorkflowDefinition,
    WorkflowStatus,
)
from automation.actions.middleware import timeout
from automation.errors import AutomationError, Conflict, StoreUnavailable
from automation.maintenance import Database
from automation.store.store import backend_of
from tests.support import durability_control, full_disk, trigger_driver
from tests.support.durability_engines import Task, config_of, deadly, die_at_write, new_engine, say
from tests.support.side_effects import GUARDED, WORKFLOWS


async def answer(engine: AutomationEngine) -> None:
    """Agree to whatever waits for a person; tell each answer once it was taken."""
    for execution in (await engine.queries.executions(workflow="asks", status=WorkflowStatus.WAITING)).items:
        try:
            await engine.decide(execution.id, "b", True, actor="ann", reason="why not")
        except Conflict:
            # Somebody else was quicker, or another engine holds it for the moment.
            continue
        say(agreed=execution.id)


async def answer_all(engine: AutomationEngine, patient: bool = False) -> None:
    """Agree to all that comes, from time to time. A patient one goes on when the database cannot be used for now."""
    while True:
        try:
            await answer(engine)
        except StoreUnavailable:
            if not patient:
                raise
        await asyncio.sleep(0.03)


async def load(folder: str, seed: int, first: int, die: tuple[int, str] | None = None, patient: bool = False) -> None:
    """Start one workflow after the other, every other one with a key, until killed. A patient one goes on after a start
    that the database refuses for now."""
    chance = random.Random(seed)
    async with new_engine(folder) as engine:
        for workflow in WORKFLOWS:
            await engine.register_workflow(workflow)
        if die is not None:
            die_at_write(engine, *die)
        names = [workflow.name for workflow in WORKFLOWS if not workflow.triggers]
        say(ready=True, cpu=round(time.process_time(), 3))
        answering = asyncio.create_task(answer_all(engine, patient))
        number = first
        while not answering.done():
            key = f"key-{number}" if number % 2 else None
            # The same workflow for the same number, whoever asks again.
            name = random.Random(number).choice(names)
            try:
                execution_id = await engine.start_workflow(name, idempotency_key=key)
                say(accepted=execution_id, number=number, key=key)
            except StoreUnavailable as error:
                if not patient:
                    raise
                say(refused=error.message, number=number)
            number += 1
            await asyncio.sleep(chance.uniform(0, 0.02))
        await answering


async def keyed(folder: str, key: str, die: tuple[int, str] | None = None) -> None:
    """Start one workflow with a key, and tell its id."""
    async with new_engine(folder) as engine:
        for workflow in WORKFLOWS:
            await engine.register_workflow(workflow)
        await engine.drain()
        if die is not None:
            die_at_write(engine, *die)
        say(accepted=await engine.start_workflow("chain", idempotency_key=key), key=key)


async def publish(
    folder: str, first: int, count: int | None = None, at_once: int = 5, die: tuple[int, str] | None = None
) -> None:
    """Publish numbered events, a few at a time, until `count` are done or until killed; tell each receipt."""

    async def one(number: int) -> None:
        kind = "thing" if number % 5 else "nothing"
        receipt = await engine.publish(Event(type=kind, id=f"e-{number}", source="test", data={"number": number}))
        say(event=receipt.event_id, duplicate=receipt.duplicate, executions=receipt.executions)

    async with new_engine(folder) as engine:
        for workflow in WORKFLOWS:
            await engine.register_workflow(workflow)
        await engine.drain()
        if die is not None:
            die_at_write(engine, *die)
        say(ready=True, cpu=round(time.process_time(), 3))
        number = first
        while count is None or number < first + count:
            end = number + at_once if count is None else min(number + at_once, first + count)
            await asyncio.gather(*(one(each) for each in range(number, end)))
            number = end


async def run_one(folder: str, workflow: dict[str, Any], die: tuple[int, str] | None = None) -> None:
    """Run one workflow of its own to its end."""
    async with new_engine(folder) as engine:
        await engine.register_workflow(WorkflowDefinition.model_validate(workflow))
        if die is not None:
            die_at_write(engine, *die)
        execution_id = await engine.start_workflow(workflow["name"], idempotency_key="the one")
        say(accepted=execution_id)
        result = await engine.wait_for(execution_id)
        say(status=result.status.value, error=result.error)


async def ask(folder: str, agree: bool = True, die: tuple[int, str] | None = None) -> None:
    """Start, with a key, what asks for approval; once it does, agree, and wait for its end."""
    async with new_engine(folder) as engine:
        for workflow in WORKFLOWS:
            await engine.register_workflow(workflow)
        execution_id = await engine.start_workflow("asks", idempotency_key="the one")
        await engine.drain()
        say(status=(await engine.get_workflow_status(execution_id)).value)
        if not agree:
            await asyncio.Event().wait()
        if die is not None:
            die_at_write(engine, *die)
        await answer(engine)
        await engine.wait_for(execution_id)
        say(done=True)


async def decide_one(folder: str, workflow: dict[str, Any], action: str, agree: bool) -> None:
    """Go on with a workflow, one action of which waits for a person: agree or not, and wait for its end."""
    async with new_engine(folder) as engine:
        await engine.register_workflow(WorkflowDefinition.model_validate(workflow))
        execution_id = await engine.start_workflow(workflow["name"], idempotency_key="the one")
        while (await engine.get_workflow_status(execution_id)).value != "waiting":
            await asyncio.sleep(0.01)
        await engine.decide(execution_id, action, agree, reason="looked at it", actor="ann")
        result = await engine.wait_for(execution_id)
        say(status=result.status.value, error=result.error)


async def run_family(folder: str, workflows: list[dict[str, Any]], die: tuple[int, str] | None = None) -> None:
    """Run the last of these workflows, which starts the others, to its end; the others may be interrupted."""
    async with new_engine(folder) as engine:
        for workflow in workflows:
            for action in workflow["actions"]:
                action["on_interrupt"] = "retry"
            await engine.register_workflow(WorkflowDefinition.model_validate(workflow))
        if die is not None:
            die_at_write(engine, *die)
        execution_id = await engine.start_workflow(workflows[-1]["name"], idempotency_key="the one")
        say(accepted=execution_id)
        result = await engine.wait_for(execution_id)
        say(status=result.status.value, error=result.error)


async def endless(folder: str, operation: str, how: str) -> None:
    """Run an action that never ends; have it time out, cancelled, or just stop the engine."""
    timeout.GRACE_SECONDS, timeout.LAST_SECONDS = 0.3, 0.2
    limit = 0.5 if how == "time out" else 300.0
    act = {"name": "a", "action_type": operation, "timeout_seconds": limit, "retry_attempts": 1}
    workflow = {"name": "w", "actions": [act, {"name": "tidy", "action_type": "side.once", "always": True}]}
    async with new_engine(folder) as engine:
        await engine.register_workflow(WorkflowDefinition.model_validate(workflow))
        execution_id = await engine.start_workflow("w")
        while not os.path.exists(f"{folder}/effects"):
            await asyncio.sleep(0.01)
        if how == "cancel":
            await engine.cancel(execution_id)
        if how != "stop":
            result = await engine.wait_for(execution_id)
            say(status=result.status.value, error=result.error, over_at=time.time())
        stopping = time.monotonic()
    say(stopped_in=time.monotonic() - stopping)


async def finish(folder: str) -> None:
    """Run everything to its end, timers too, and stop as one should."""
    async with new_engine(folder) as engine:
        for workflow in WORKFLOWS:
            await engine.register_workflow(workflow)
        await engine.drain(timeout=120)
        say(drained=True)
        while any(not status.finished for status in await engine.queries.execution_counts()):
            await answer(engine)
            await asyncio.sleep(0.05)
        count, problems = await engine.queries.verify_audit()
        say(audit=count, problems=[str(problem) for problem in problems])


ALERT = {"name": "busy", "condition": "cpu > 80 AND duration > 5m", "cooldown_period": 3600}


async def alert(folder: str, now: float, values: list[float], step: float, die: tuple[int, str] | None = None) -> None:
    """Observe values, `step` virtual seconds apart, from the virtual time `now` on; tell the alert after each."""
    clock = VirtualClock(now)
    async with new_engine(folder, clock) as engine:
        engine.register_alert_workflow(
            {**ALERT, "actions": [{"type": "flow.set", "parameters": {"values": {"acted": True}}}]}
        )
        await engine.save()
        if die is not None:
            die_at_write(engine, *die)
        for value in values:
            await engine.observe("cpu", value, subject="a1")
            (found,) = (await engine.queries.alerts()).items
            say(state=found.state.value, since=found.since, starts_at=found.starts_at, fired_at=found.fired_at)
            await clock.advance(step)
        say(observed=True)
        await asyncio.Event().wait()


async def full(folder: str, how: str, filler: str = "") -> None:
    """Start workflows until the disk is full, then make room; tell what the engine says meanwhile."""
    async with full_disk.small(folder, how, filler) as (place, disk), new_engine(place) as engine:
        for workflow in WORKFLOWS:
            await engine.register_workflow(workflow)
        await engine.execute_workflow("chain")
        # It is ready when it has looked once at what others have left, which is after its start.
        async with asyncio.timeout(30):
            while engine.hindrances:
                await asyncio.sleep(0.01)
        say(before=engine.hindrances)
        for name in ("chain", "branches", "wanted", "skips"):
            say(accepted=await engine.start_workflow(name))
        # Nothing is awaited in between: these are under way, and what they do next cannot be written.
        disk.fill()
        try:
            while True:
                say(accepted=await engine.start_workflow("chain"))
        except AutomationError as error:
            say(refused=error.message, retryable=error.retryable)
        try:
            await engine.publish(Event(type="thing", id="e-1", source="test", data={"number": 1}))
        except AutomationError as error:
            say(event_refused=error.message)
        say(during=engine.hindrances)
        disk.free()
        while engine.hindrances:
            await asyncio.sleep(0.05)
        await engine.drain(timeout=60)
        receipt = await engine.publish(Event(type="thing", id="e-1", source="test", data={"number": 1}))
        say(duplicate=receipt.duplicate)
        say(accepted=await engine.start_workflow("chain"))
        await engine.drain(timeout=60)


async def full_backup(folder: str, how: str) -> None:
    """Back a database up to a disk that is full; tell what is said, and what is left behind."""
    async with full_disk.small(folder, how) as (place, disk):
        database, target = Database(config_of(folder)), Path(place, "copy.db")
        disk.fill()
        if how == "limit":
            full_disk.limit(20_000)
        try:
            await database.backup(target)
        except AutomationError as error:
            say(refused=error.message, hint=error.details.get("hint"))
        say(left=[file.name for file in Path(place).glob("copy*")])
        disk.free()
        await database.backup(target)
        say(left=[file.name for file in Path(place).glob("copy*")])


async def backup(folder: str, file: str) -> None:
    """Make backups, one after the other, until killed."""
    while True:
        await Database(config_of(folder)).backup(Path(folder, file), force=True, told=lambda *line: say(told=line))
        say(made=file)


async def guarded(
    folder: str, die: tuple[int, str] | None = None, stop: str | None = None, release: bool = False
) -> None:
    """Take up what is left, act under guardrails, and tell what became of it."""
    breaking = {"circuit_breaker": {"failure_threshold": 2, "recovery_timeout": 3600}}
    async with new_engine(folder, guardrails={"cooldown_seconds": 3600}, performance=breaking) as engine:
        for workflow in GUARDED:
            await engine.register_workflow(workflow)
        if release:
            await engine.guardrails.release()
        await engine.drain()
        if die is not None:
            die_at_write(engine, *die)
        for workflow in GUARDED:
            result = await engine.execute_workflow(workflow.name)
            say(ran=workflow.name, status=result.status.value, error=result.error)
        if stop is not None:
            await engine.guardrails.stop(stop, actor="ann")
            say(stopped=True)
            await asyncio.Event().wait()


async def compact(folder: str, days: float, die: tuple[int, str] | None = None) -> None:
    """Delete and pack what will be past its time in so many days, in small portions."""
    config = config_of(folder, retention={"batch_rows": 5, "pause_seconds": 0.005}, audit={"retention_days": 5})
    if die is not None:
        kind: Any = type(backend_of(config.database, config.store))
        kind.write = deadly(kind.write, *die)
    made = await Database(config, VirtualClock(time.time() + days * 86_400)).compact(told=lambda *line: say(told=line))
    say(deleted=made.deleted)


async def triggers(folder: str, now: float, die: tuple[int, str] | None = None, together: int | None = None) -> None:
    """Publish events for triggers that remember, let a quarter of a virtual hour pass, tell what has started."""
    clock = VirtualClock(now)
    async with new_engine(folder, clock) as engine:
        for name in trigger_driver.TRIGGERS:
            await engine.register_workflow(trigger_driver.workflow(name))
        if die is not None:
            die_at_write(engine, *die)
        await trigger_driver.publish_all(engine, together)
        for _ in range(15):
            await clock.advance(60)
        say(starts=await trigger_driver.starts(engine))


_TASKS: tuple[Task, ...] = (
    *(load, keyed, publish, run_one, decide_one, run_family, ask, endless, finish, alert),
    *(full, full_backup, backup, guarded, compact, triggers),
)
TASKS: dict[str, Task] = {task.__name__: task for task in (*_TASKS, *durability_control.TASKS)}


async def warm_up() -> None:
    """Import all that is imported late; every child then has it from the start."""
    config = AutomationConfig(database_url="sqlite://")
    async with AutomationEngine(config) as engine:
        for workflow in WORKFLOWS:
            await engine.register_workflow(workflow)
        values = {"name": "a", "action_type": "flow.set", "parameters": {"values": {"x": "${1 + 1}"}}}
        await engine.register_workflow(WorkflowDefinition.model_validate({"name": "w", "actions": [values]}))
        await engine.execute_workflow("w")
        await engine.queries.execution_counts()
    if find_spec("asyncpg") is not None:
        backend_of("postgresql:///warm", config.store)
    gc.freeze()


def main() -> None:
    """Do tasks, each in a process of its own, until the input ends."""
    asyncio.run(warm_up())
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os._exit(_child(order))
        say(pid=pid)
        say(ended=os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def _child(order: dict[str, Any]) -> int:
    folder = order["folder"]
    os.environ["SIDE_EFFECTS"] = f"{folder}/effects"
    logging.basicConfig(
        filename=f"{folder}/log",
        level=logging.INFO,
        format="%(process)d %(levelname)s %(name)s: %(message)s",
    )
    try:
        asyncio.run(TASKS[order.pop("task")](**order))
    except BaseException:
        say(crashed=traceback.format_exc())
        return 1
    return 0


if __name__ == "__main__":
    main()
