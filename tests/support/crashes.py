"""Engines that die at chosen transactions, in this process and in virtual time: hundreds of deaths in a minute.

What operations do is written down by `World`, as `side_effects` does it for real processes: the same checks fit both.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

from automation import ActionContext, AutomationLevel, Event, TryLater, WorkflowDefinition
from automation.errors import Conflict, EngineStopped
from automation.store.writer import Unit
from automation.testing import EngineUnderTest, crash_and_recover, engine
from automation.workflows.run import Run
from automation.workflows.runner import Runner
from tests.support.durability import Record, audited, check, check_audit, records
from tests.support.side_effects import Work

When = Literal["before", "after"]
Death = tuple[int, When]
"""At which transaction of an engine, counted from 1, and whether that gets to disk before it dies."""

KEY = "the one"


@dataclass(slots=True)
class World:
    """What really happens, whatever engines know of it."""

    lines: list[dict[str, Any]] = field(default_factory=list)
    engines: int = 1

    @property
    def outcomes(self) -> dict[str, Any]:
        """What comes of operations."""
        return {"side.*": self.act, "side.undoable.undo": self.undo}

    async def act(self, params: Work, context: ActionContext) -> dict[str, Any]:
        """As `side_effects` does it, in virtual time."""
        self._note("begin", context)
        if params.seconds:
            context.heartbeat({"attempt": context.attempt})
        await context.clock.sleep(params.seconds)
        if context.attempt <= params.fail_times:
            self._note("fail", context)
            raise TryLater("not yet")
        self._note("end", context)
        return {"attempt": context.attempt}

    async def undo(self, params: Work, result: Any, context: ActionContext) -> None:
        """Take it back."""
        self._note("begin", context)
        await context.clock.sleep(params.seconds)
        self._note("end", context)

    def _note(self, what: str, context: ActionContext) -> None:
        line = {"what": what, "execution": context.execution_id, "action": context.action, "attempt": context.attempt}
        self.lines.append({**line, "key": context.idempotency_key, "at": context.now(), "pid": self.engines})


@dataclass(slots=True)
class Lived:
    """What became of one execution that several engines had in hand."""

    record: Record
    writes: list[int]
    """How many transactions each engine has committed."""
    runs: list[Run]
    """The execution as each engine had it in memory, the last one last."""


class Fate:
    """Counts the transactions of an engine, and has it die at one of them."""

    def __init__(self, running: EngineUnderTest, death: Death | None) -> None:
        self._running = running
        self._death = death
        self.writes = 0
        backend: Any = running.store.backend
        self._write = backend.write
        backend.write = self._counted

    async def _counted(self, units: list[Unit]) -> None:
        if self._running.recorder.crashed is not None:
            raise EngineStopped()
        self.writes += 1
        if self._death == (self.writes, "before"):
            raise self._die()
        await self._write(units)
        if self._death == (self.writes, "after"):
            raise self._die()

    def spare(self) -> None:
        """It has lived to the end, and is stopped as one should."""
        self._death = None

    def _die(self) -> EngineStopped:
        self._running.store.writer.abandon()
        self._running.recorder.crashed = f"transaction {self.writes}"
        return EngineStopped()


async def live(workflow: WorkflowDefinition, deaths: Iterable[Death] = ()) -> Lived:
    """Run a workflow; each engine dies as it is told, and the next one takes over. Fails if a promise is broken."""
    world, fates, runs = World(), list[Fate](), list[Run]()
    with _watched(iter(deaths), fates, runs):
        async with engine(outcomes=world.outcomes, level=AutomationLevel.INTELLIGENT) as running:
            while True:
                with suppress(EngineStopped):
                    await running.register_workflow(workflow)
                    await _go_on(running, workflow)
                await running.clock.settle()
                if running.recorder.crashed is None:
                    fates[-1].spare()
                    break
                running = await _next(running, world)
            writes = [fate.writes for fate in fates]
            folder = Path(running.config.data_dir)
            (folder / "effects").write_text("".join(json.dumps(line) + "\n" for line in world.lines))
            (record,) = records(folder).values()
            check(record)
            check_audit(record, audited(folder)[record.row["id"]])
    return Lived(record, writes, runs)


async def _next(running: EngineUnderTest, world: World) -> EngineUnderTest:
    """The engine that takes over; if that dies while it does, the one after it."""
    while True:
        world.engines += 1
        try:
            return await crash_and_recover(running)
        except EngineStopped:
            assert running.successor is not None
            running = running.successor


@contextmanager
def _watched(deaths: Iterator[Death], fates: list[Fate], runs: list[Run]) -> Iterator[None]:
    """Meanwhile, every engine that has started has its fate, and what it runs is kept."""
    start, launch = EngineUnderTest.start, Runner.launch

    async def started(running: EngineUnderTest, *, watch: bool = False) -> None:
        await start(running, watch=watch)
        fates.append(Fate(running, next(deaths, None)))

    def launched(runner: Runner, run: Run) -> None:
        runs.append(run)
        launch(runner, run)

    with patch.object(EngineUnderTest, "start", started), patch.object(Runner, "launch", launched):
        yield


async def _go_on(running: EngineUnderTest, workflow: WorkflowDefinition) -> None:
    """What a client and a person would do: ask for the start until it is acknowledged, agree, wait for the end."""
    if workflow.triggers:
        await running.publish(Event(type="thing", id=KEY, source="test", data={"number": 1}))
    else:
        await running.start_workflow(workflow.name, idempotency_key=KEY)

    async def ended() -> bool:
        return all(status.finished for status in await running.queries.execution_counts())

    while not await running.pass_time(ended) and running.recorder.crashed is None:
        # Not only what has left memory: where its time is over, cleanup waits for a person in memory.
        for execution in (await running.queries.executions()).items:
            detail = await running.queries.execution_detail(execution.id)
            for action in detail.actions:
                if action.status.value == "waiting":
                    try:
                        await running.decide(execution.id, action.name, True, actor="ann")
                    except Conflict:
                        # It waits for something else.
                        continue
