"""An engine in virtual time, on a database of its own, in which nothing is done for real."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from automation.clock import VirtualClock, iso
from automation.config import AutomationConfig
from automation.config import Store as StoreSettings
from automation.engine import AutomationEngine
from automation.errors import AutomationError
from automation.model.execution import ActionStatus, ExecutionContext, ExecutionResult
from automation.model.workflow import AutomationLevel
from automation.store import executions
from automation.store.store import Store
from automation.testing.recorder import Recorder

YEAR = 366 * 86_400.0
"""Seconds. As far as time is skipped for something to happen."""

_FOREVER = 10 * YEAR


class EngineUnderTest(AutomationEngine):
    """An engine whose time is virtual and whose operations and channels have stand-ins; made by `engine()`.

    To wait for the end of an execution lets time pass: it is skipped to the next moment at which anything is due.
    Schedules fire. Monitors and sources are off, unless it is started with `watch=True`.
    """

    clock: VirtualClock

    def __init__(self, config: AutomationConfig, clock: VirtualClock, recorder: Recorder) -> None:
        super().__init__(config, clock=clock, middleware=[recorder])
        self.recorder = recorder
        """What stands in for operations and channels, and what was asked of them."""
        self.successor: EngineUnderTest | None = None
        """The engine that took over after a crash of this one."""
        self._unburied: list[str] = []
        """The nodes of engines before it that it has not yet told to be dead."""
        recorder.attach(self)

    async def start(self, *, watch: bool = False) -> None:
        """Start; without `watch`, no monitor and no source looks at the world."""
        await super().start(watch=watch)
        await self.watching.follow_schedules(self.catalogue.schedules)
        await self.watching.scheduler.start()

    async def stop(self) -> None:
        """Stop."""
        await self.watching.scheduler.stop()
        await super().stop()

    async def execute_workflow(self, workflow_name: str, context: ExecutionContext | None = None) -> ExecutionResult:
        """Start a workflow and let time pass until it has ended; raises as `wait_for`."""
        return await self.wait_for(await self.start_workflow(workflow_name, context))

    async def wait_for(self, execution_id: str) -> ExecutionResult:
        """Let time pass until the execution has ended.

        Raises TimeoutError, which says what it waits for, if nothing that is to come will end it.
        """

        async def ended() -> bool:
            return (await self.queries.execution(execution_id)).status.finished

        if not await self.pass_time(ended):
            raise TimeoutError(f"execution {execution_id} does not end: {await self._waits(execution_id)}")
        return await super().wait_for(execution_id)

    async def drain(self, timeout: float = YEAR) -> None:
        """Let time pass until every execution has ended, or waits for a person or an event. Raises TimeoutError."""

        async def ended() -> bool:
            return all(status.finished for status in await self.queries.execution_counts())

        if not await self.pass_time(ended, timeout) and await self.next_due() is not None:
            raise TimeoutError(f"executions are not at their end after {timeout:g} s")

    async def pass_time(self, until: Callable[[], Awaitable[bool]], limit: float = YEAR) -> bool:
        """Skip from one moment at which anything is due to the next until this is true.

        False if nothing is due any more, or within `limit` seconds, or if the engine is to crash.
        """
        end = self.clock.now() + limit
        while True:
            await self.clock.settle()
            if await until():
                return True
            due = await self.next_due()
            if due is None or due > end or self.recorder.crashed is not None:
                return False
            await self.clock.advance(due - self.clock.now())

    async def next_due(self) -> float | None:
        """When anything is due next; None when all executions have ended, or wait for a person or an event."""
        await self.clock.settle()
        if not self._runner.runs and await executions.next_wake(self.store) is None:
            return None
        return self.clock.next_due

    async def crash(self) -> None:
        """Die, as of `kill -9`: what is not on disk by now never gets there, and nothing is tidied up."""
        self.store.writer.abandon()
        tasks = [run.task for run in self._runner.runs.values() if run.task is not None]
        for task in tasks:
            task.cancel()
        # What stopping would write finds no writer any more.
        with contextlib.suppress(AutomationError):
            await self.stop()

    async def _waits(self, execution_id: str) -> str:
        if self.recorder.crashed is not None:
            return f"the engine is to die in the action {self.recorder.crashed!r}: call crash_and_recover(engine)"
        detail = await self.queries.execution_detail(execution_id)
        waiting = [
            f"{action.name}: {action.reason or 'waits'}"
            for action in detail.actions
            if action.status is ActionStatus.WAITING
        ]
        return f"at {iso(self.clock.now())} it is {detail.execution.status.value}; {'; '.join(waiting)}"


@asynccontextmanager
async def engine(
    *,
    outcomes: Mapping[str, Any] | None = None,
    allow_real: Iterable[str] = (),
    level: AutomationLevel = AutomationLevel.AUTONOMOUS,
    clock: VirtualClock | None = None,
    config: AutomationConfig | None = None,
) -> AsyncIterator[EngineUnderTest]:
    """A running engine for a test: virtual time, stand-ins for operations and channels, a database of its own.

    `outcomes` and `allow_real` are those of `Recorder`. `config` may have settings of yours; its level, database and
    folder are replaced. On the way out NotFaked is raised if an operation was refused for want of an outcome.
    """
    with TemporaryDirectory(prefix="automation-test-") as folder:
        recorder = Recorder(outcomes, allow_real)
        first = EngineUnderTest(_config(config, level, Path(folder)), clock or VirtualClock(), recorder)
        await _lay_database(Path(folder))
        try:
            await first.start()
            yield first
        finally:
            await _last(first).stop()
        recorder.check()


async def crash_and_recover(engine: EngineUnderTest) -> EngineUnderTest:
    """Have the engine die in the middle of what it does, and another one take over on its database and its clock.

    The new engine has the definitions of the old one and the same recorder. Time stands still meanwhile.
    """
    await engine.crash()
    engine.recorder.crashed = None
    successor = engine.successor = EngineUnderTest(engine.config, engine.clock, engine.recorder)
    successor._unburied = [*engine._unburied, engine._recovery.node]
    await successor.start()
    # All are in one process, which is not dead: nobody would take up the work of the old ones before their leases end.
    while successor._unburied:
        await successor._recovery.bury(successor._unburied[0])
        del successor._unburied[0]
    _define_again(engine, successor)
    await successor.save()
    await successor.clock.settle()
    return successor


def _define_again(engine: EngineUnderTest, successor: EngineUnderTest) -> None:
    before, after = engine.catalogue, successor.catalogue
    for service in engine.services.all():
        after.add_service(service)
    for rule in engine.alerts.rules():
        after.add_alert(rule)
    for name in before.workflows.list_workflows():
        workflow = before.workflows.get_workflow(name)
        if workflow is not None and after.workflows.get_workflow(name) is None:
            after.workflows.register_workflow(workflow)
    for schedule in before.schedules.values():
        if schedule.name not in after.schedules:
            after.add_schedule(schedule)


def _last(engine: EngineUnderTest) -> EngineUnderTest:
    while engine.successor is not None:
        engine = engine.successor
    return engine


def _config(config: AutomationConfig | None, level: AutomationLevel, folder: Path) -> AutomationConfig:
    config = config or AutomationConfig()
    # Time is skipped in steps longer than any lease; the only node does not lose its work by that.
    store = StoreSettings(**{**config.store.model_dump(), "lease_seconds": _FOREVER})
    place = {"database_url": f"sqlite:///{folder}/automation.db", "data_dir": folder}
    return config.model_copy(update={"level": AutomationLevel(level), "store": store, **place})


_empty: list[bytes] = []
"""A database without rows, once it has been made: to copy it is quicker than to migrate each."""


async def _lay_database(folder: Path) -> None:
    path = folder / "automation.db"
    if not _empty:
        store = Store(f"sqlite:///{path}")
        await store.open()
        await store.close()
        _empty.append(path.read_bytes())
    path.write_bytes(_empty[0])
