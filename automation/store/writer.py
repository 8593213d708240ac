"""Group commit: one writer a process, one transaction for all that arrived while the last one was being committed.

A caller resumes when its rows are on disk. Nothing waits on purpose: alone, a write is committed at once; under load,
hundreds share one `fsync`. The idea is as old as DeWitt et al., "Implementation Techniques for Main Memory Database
Systems" (SIGMOD 1984), §5.2.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from automation.errors import AutomationError, EngineStopped, StoreUnavailable
from automation.store.audit import Fact
from automation.store.statements import Op

log = logging.getLogger("automation.store")


class Unit:
    """Writes that are committed together or not at all, and who waits for them."""

    __slots__ = ("error", "facts", "future", "guarded", "ops")

    def __init__(self, ops: Sequence[Op], facts: Sequence[Fact], future: asyncio.Future[None]) -> None:
        self.ops = ops
        self.facts = facts
        self.future = future
        self.guarded = any(statement.expect is not None for statement, _ in ops)
        self.error: BaseException | None = None


class Backend(Protocol):
    """Where the writer writes: one file per dialect."""

    async def write(self, units: list[Unit]) -> None:
        """Commit all units in one transaction. A unit that the database refuses gets its `error`, without harm to the
        others; raises StoreError if nothing could be committed."""
        ...


class Writer:
    """Gathers units and hands them to the backend, batch after batch."""

    def __init__(self, backend: Backend, max_pending: int = 20_000, max_batch: int = 2_000) -> None:
        self._backend = backend
        self._max_pending = max_pending
        self._max_batch = max_batch
        self._pending: deque[Unit] = deque()
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._closing = False
        self._task: asyncio.Task[None] | None = None
        self._writing = False
        self.batches = 0
        self.units = 0
        self.failure: str | None = None
        """Why the last batch was not committed, or None when it was."""

    def start(self) -> None:
        """Begin to write."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="automation-writer")

    async def stop(self) -> None:
        """Commit what is pending, then end."""
        self._closing = True
        self._arrived.set()
        if self._task is not None:
            await self._task

    @property
    def pending(self) -> int:
        """How many units wait."""
        return len(self._pending)

    @property
    def busy(self) -> bool:
        """Whether anything waits or is being written."""
        return self._writing or bool(self._pending)

    def abandon(self) -> None:
        """Write nothing more, not even what is pending: as if the process had died."""
        self._closing = True
        self._arrived.set()
        self._room.set()
        while self._pending:
            unit = self._pending.popleft()
            if not unit.future.done():
                unit.future.set_exception(EngineStopped())

    async def commit(self, ops: Sequence[Op], facts: Sequence[Fact] = ()) -> None:
        """Return when the writes and their audit rows are on disk, all of them.

        Raises Unexpected if a guarded statement did not change what it must, StoreUnavailable if the database cannot
        be written now; then none of them is.
        """
        while not self._room.is_set():
            await self._room.wait()
        await self.post(ops, facts)

    def post(self, ops: Sequence[Op], facts: Sequence[Fact] = ()) -> asyncio.Future[None]:
        """As `commit`, without waiting for room: the future is done when all is on disk."""
        if self._closing or self._task is None:
            raise EngineStopped()
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending.append(Unit(ops, facts, future))
        if len(self._pending) >= self._max_pending:
            self._room.clear()
        if not self._arrived.is_set():
            self._arrived.set()
        return future

    async def commit_patiently(self, ops: Sequence[Op], facts: Sequence[Fact] = ()) -> None:
        """As `commit`, but wait out a database that cannot be written now: for facts that must not be lost."""
        pause = 0.1
        while True:
            try:
                return await self.commit(ops, facts)
            except StoreUnavailable:
                # Real seconds: a full disk does not follow a virtual clock.
                await asyncio.sleep(pause)
                pause = min(pause * 2, 5.0)

    async def _run(self) -> None:
        pending = self._pending
        while pending or not self._closing:
            if not pending:
                self._arrived.clear()
                await self._arrived.wait()
                continue
            units = [pending.popleft() for _ in range(min(len(pending), self._max_batch))]
            if len(pending) < self._max_pending:
                self._room.set()
            self._writing = True
            try:
                await self._backend.write(units)
                self.batches += 1
                self.units += len(units)
                self._note(None)
            except AutomationError as error:
                self._note(error.message)
                for unit in units:
                    # Also where a guard refused it: what the guard saw was perhaps undone with the rest.
                    unit.error = error
            except BaseException as error:
                for unit in units:
                    if not unit.future.done():
                        unit.future.set_exception(StoreUnavailable(f"the writer failed: {error!r}"))
                if not isinstance(error, Exception):
                    raise
                self._note(f"the writer failed: {error!r}")
                continue
            finally:
                self._writing = False
            for unit in units:
                if unit.future.done():
                    continue
                if unit.error is not None:
                    unit.future.set_exception(unit.error)
                else:
                    unit.future.set_result(None)

    def _note(self, failure: str | None) -> None:
        # One line when it begins and one when it ends, however often writes are tried in between.
        if failure is None and self.failure is not None:
            log.info("the database can be written again")
        elif failure is not None and failure != self.failure:
            log.error("%s; what waits is tried again", failure)
        self.failure = failure
