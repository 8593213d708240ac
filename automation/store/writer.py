"""Group commit: one writer a process, one transaction for all that arrived while the last one was being committed.

A caller resumes when its rows are on disk. Nothing waits on purpose: alone, a write is committed at once; under load,
hundreds share one `fsync`. The idea is as old as DeWitt et al., "Implementation Techniques for Main Memory Database
Systems" (SIGMOD 1984), §5.2.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

from sqlalchemy import Executable
from sqlalchemy.engine import Connection, Row

from automation.errors import AutomationError, EngineStopped, StoreUnavailable
from automation.store.audit import Fact
from automation.store.statements import Op

T = TypeVar("T")

log = logging.getLogger("automation.store")

DOUBT_SECONDS = 0.2
"""How long to wait before asking again what became of a batch; real seconds, as for a full disk."""


class Unit:
    """Writes that are committed together or not at all, and who waits for them."""

    __slots__ = ("error", "facts", "future", "guarded", "ops")

    def __init__(self, ops: Sequence[Op], facts: Sequence[Fact], future: asyncio.Future[None]) -> None:
        self.ops = ops
        self.facts = facts
        self.future = future
        self.guarded = any(statement.expect is not None for statement, _ in ops)
        self.error: BaseException | None = None


class InDoubt(Exception):
    """The connection broke while a batch was being committed: whether it is, nobody knows before `settle`."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(cause)
        self.cause = cause


class Target(Protocol):
    """Where the writer writes."""

    async def write(self, units: list[Unit]) -> None:
        """Commit all units in one transaction. A unit that the database refuses gets its `error`, without harm to the
        others; raises StoreError if nothing could be committed, InDoubt if nobody knows."""
        ...

    async def settle(self) -> bool:
        """Whether the batch that was in doubt is committed; raises StoreUnavailable while that cannot be known."""
        ...


class Backend(Target, Protocol):
    """One open database: a class for each dialect."""

    @property
    def place(self) -> str:
        """Where it is, for people: without a password."""
        ...

    def absent(self) -> str | None:
        """Why there can be nothing to read yet, or None: what is known without opening it."""
        ...

    async def open(self) -> None:
        """Connect; raises StoreUnavailable with what to do about it."""
        ...

    async def close(self) -> None:
        """Disconnect."""
        ...

    async def fetch(self, query: Executable) -> list[Row[Any]]:
        """The rows of a query, read beside the writer."""
        ...

    async def read(self, work: Callable[[Connection], T]) -> T:
        """What `work` returns, called with a read-only connection that sees the database as it is now, to the end."""
        ...

    async def change(self, work: Callable[[Connection], T]) -> T:
        """What `work` returns, called within a transaction while no other process changes the schema."""
        ...


class Writer:
    """Gathers units and hands them to the backend, batch after batch."""

    def __init__(self, backend: Target, max_pending: int = 20_000, max_batch: int = 2_000) -> None:
        self._backend = backend
        self._max_pending = max_pending
        self._max_batch = max_batch
        self._pending: deque[Unit] = deque()
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._closing = False
        self._task: asyncio.Task[None] | None = None
        self._doubtful: list[Unit] = []
        """Units of which nobody knows whether they are committed. Nothing else is written before that is known."""
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
        while pending or self._doubtful or not self._closing:
            if self._doubtful:
                await self._settle()
                continue
            if not pending:
                self._arrived.clear()
                await self._arrived.wait()
                continue
            units = [pending.popleft() for _ in range(min(len(pending), self._max_batch))]
            if len(pending) < self._max_pending:
                self._room.set()
            try:
                await self._backend.write(units)
                self.batches += 1
                self.units += len(units)
                self._note(None)
            except InDoubt:
                self._doubtful = units
                continue
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
            _answer(units)

    async def _settle(self) -> None:
        """Find out what became of the units in doubt; what has come meanwhile is refused while that is not possible."""
        try:
            committed = await self._backend.settle()
        except StoreUnavailable as error:
            self._note(error.message)
            units = [*self._pending, *(self._doubtful if self._closing else ())]
            self._pending.clear()
            self._room.set()
            for unit in units:
                unit.error = error
            _answer(units)
            if self._closing:
                self._doubtful = []
            else:
                await asyncio.sleep(DOUBT_SECONDS)
            return
        units, self._doubtful = self._doubtful, []
        self._note(None)
        if committed:
            self.batches += 1
            self.units += len(units)
            _answer(units)
        else:
            for unit in units:
                unit.error = None
            self._pending.extendleft(reversed(units))

    def _note(self, failure: str | None) -> None:
        # One line when it begins and one when it ends, however often writes are tried in between.
        if failure is None and self.failure is not None:
            log.info("the database can be written again")
        elif failure is not None and failure != self.failure:
            log.error("%s; what waits is tried again", failure)
        self.failure = failure


def _answer(units: Iterable[Unit]) -> None:
    for unit in units:
        if unit.future.done():
            continue
        if unit.error is not None:
            unit.future.set_exception(unit.error)
        else:
            unit.future.set_result(None)
