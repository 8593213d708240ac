"""Group commit: one writer a process, one transaction for all that arrived while the last one was being committed.

A caller resumes when its rows are on disk. Nothing waits on purpose: alone, a write is committed at once; under load,
hundreds share one `fsync`. The idea is as old as DeWitt et al., "Implementation Techniques for Main Memory Database
Systems" (SIGMOD 1984), §5.2.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

from sqlalchemy import Executable
from sqlalchemy.engine import Connection, Row

from automation.errors import AutomationError, EngineStopped, StoreUnavailable
from automation.store.audit import Fact
from automation.store.statement import Op, Statement

T = TypeVar("T")

log = logging.getLogger("automation.store")

DOUBT_SECONDS = 0.2
"""How long to wait before asking again what became of a batch; real seconds, as for a full disk."""
PATIENCE_SECONDS = (0.1, 5.0)
"""The shortest and the longest pause until what must not be lost is tried again; real seconds: a full disk does not
follow a virtual clock."""
CALM_SECONDS = 10.0
"""How long no write must have failed before the log says that it is over: longer than the longest pause between two
tries, as a small write may find room where the next finds none. Real seconds too."""
MOST_WRITES = 20_000
"""After how many single writes a transaction takes no further unit, however many units it may have: what comes
meanwhile waits for it."""
EAGER = 32
"""How many units are not made to wait for further ones of the same turn of the event loop."""


class Unit:
    """Writes that are committed together or not at all, and who waits for them."""

    __slots__ = ("error", "facts", "future", "guarded", "ops", "writes")

    def __init__(self, ops: Sequence[Op], facts: Sequence[Fact], future: asyncio.Future[None]) -> None:
        self.ops = ops
        self.facts = facts
        self.future = future
        self.writes = len(ops) or 1
        self.guarded = False
        for statement, _ in ops:
            if statement.expect is not None:
                self.guarded = True
        self.error: BaseException | None = None


def grouped(units: Iterable[Unit]) -> dict[Statement, list[tuple[Any, ...]]]:
    """The rows of all units by their statement, each in the order in which they came."""
    groups: dict[Statement, list[tuple[Any, ...]]] = {}
    for unit in units:
        for statement, values in unit.ops:
            group = groups.get(statement)
            if group is None:
                groups[statement] = [values]
            else:
                group.append(values)
    return groups


class InDoubt(Exception):
    """The connection broke while a batch was being committed: whether it is, nobody knows before `settle`."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(cause)
        self.cause = cause


class Target(Protocol):
    """Where the writer writes."""

    told_at_once: int
    """How many units are told in one turn of the event loop that they are on disk."""

    def write(self, units: list[Unit]) -> Awaitable[None]:
        """Begin at once to commit all units in one transaction; done when they are on disk.

        A unit that the database refuses gets its `error`, without harm to the others; raises StoreError if nothing
        could be committed, InDoubt if nobody knows.
        """
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
        self._ready: deque[Unit] = deque()
        """Units of which it is known what became of them, and that are still to be told."""
        self._writes = 0
        """How many single writes these are: a unit may be a list of a thousand events."""
        self._batch: asyncio.Future[None] | None = None
        """The transaction that is under way."""
        self._scheduled = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._room = asyncio.Event()
        self._room.set()
        self._open = False
        self.batches = 0
        self.units = 0
        self.failure: str | None = None
        """Why the last batch was not committed, or None when it was."""
        self._told: str | None = None
        """What the log says is wrong, or None when it says that nothing is."""
        self._calm: asyncio.TimerHandle | None = None
        """Set since a write has gone through again; when it is due, the log says that it is over."""

    def start(self) -> None:
        """Begin to take writes."""
        self._loop = asyncio.get_running_loop()
        self._open = True

    async def stop(self) -> None:
        """Take no more, and commit what is pending."""
        self._open = False
        await self._idle.wait()
        if self._calm is not None:
            self._calm.cancel()
            self._over()

    @property
    def pending(self) -> int:
        """How many units wait."""
        return len(self._pending)

    @property
    def busy(self) -> bool:
        """Whether anything waits or is being written."""
        return not self._idle.is_set()

    def abandon(self) -> None:
        """Write nothing more, not even what is pending: as if the process had died."""
        self._open = False
        if self._calm is not None:
            self._calm.cancel()
        self._refuse(EngineStopped())
        self._rest()

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
        if not self._open:
            raise EngineStopped()
        future: asyncio.Future[None] = self._loop.create_future()
        pending = self._pending
        self._idle.clear()
        unit = Unit(ops, facts, future)
        pending.append(unit)
        self._writes += unit.writes
        if self._writes >= self._max_pending:
            self._room.clear()
        if self._batch is None:
            if len(pending) >= EAGER:
                # The database works on these while the event loop gets further ones ready.
                self._begin()
            elif not self._scheduled:
                self._scheduled = True
                self._loop.call_soon(self._begin)
        return future

    async def commit_patiently(self, ops: Sequence[Op], facts: Sequence[Fact] = ()) -> None:
        """As `commit`, but wait out a database that cannot be written now: for facts that must not be lost."""
        pause, longest = PATIENCE_SECONDS
        while True:
            try:
                return await self.commit(ops, facts)
            except StoreUnavailable:
                await asyncio.sleep(pause)
                pause = min(pause * 2, longest)

    def _begin(self) -> None:
        """Hand over what has arrived, unless a transaction is under way: then it goes with the next."""
        self._scheduled = False
        if self._batch is not None or not self._pending:
            return
        pending = self._pending
        units: list[Unit] = []
        writes = 0
        while pending and len(units) < self._max_batch and writes < MOST_WRITES:
            unit = pending.popleft()
            units.append(unit)
            writes += unit.writes
        self._writes -= writes
        if self._writes < self._max_pending:
            self._room.set()
        self._batch = asyncio.ensure_future(self._backend.write(units))
        self._batch.add_done_callback(partial(self._ended, units))

    def _ended(self, units: list[Unit], batch: asyncio.Future[None]) -> None:
        self._batch = None
        try:
            batch.result()
            self.batches += 1
            self.units += len(units)
            self._note(None)
        except InDoubt:
            # Nothing else is written before it is known what became of these.
            self._batch = asyncio.ensure_future(self._settle(units))
            self._batch.add_done_callback(partial(self._ended, units))
            return
        except AutomationError as error:
            self._note(error.message)
            for unit in units:
                # Also where a guard refused it: what the guard saw was perhaps undone with the rest.
                unit.error = error
        except BaseException as error:  # noqa: BLE001 - carried over to all who wait
            self._note(f"the writer failed: {error!r}")
            for unit in units:
                unit.error = StoreUnavailable(f"the writer failed: {error!r}")
        telling = bool(self._ready)
        self._ready.extend(units)
        self._begin()
        if not telling:
            self._tell()

    def _tell(self) -> None:
        """Tell some of those whose transaction has ended, and the others in the next turns of the event loop."""
        ready = self._ready
        for _ in range(min(self._backend.told_at_once, len(ready))):
            unit = ready.popleft()
            if unit.future.done():
                continue
            if unit.error is not None:
                unit.future.set_exception(unit.error)
            else:
                unit.future.set_result(None)
        if ready:
            self._loop.call_soon(self._tell)
        else:
            self._rest()

    def _rest(self) -> None:
        if self._batch is None and not self._pending and not self._ready:
            self._idle.set()

    async def _settle(self, units: list[Unit]) -> None:
        """Find out whether these are committed, and write them if they are not. What has come meanwhile is refused
        for as long as that is not possible."""
        while True:
            try:
                committed = await self._backend.settle()
            except StoreUnavailable as error:
                self._note(error.message)
                self._refuse(error)
                if not self._open:
                    raise
                await asyncio.sleep(DOUBT_SECONDS)
            else:
                break
        if not committed:
            for unit in units:
                unit.error = None
            await self._backend.write(units)

    def _refuse(self, error: AutomationError) -> None:
        """Tell all who wait that theirs is not written."""
        self._writes = 0
        self._room.set()
        while self._pending:
            unit = self._pending.popleft()
            if not unit.future.done():
                unit.future.set_exception(error)

    def _note(self, failure: str | None) -> None:
        # One line when it begins and one when it is over, however often writes are tried meanwhile, and some succeed.
        self.failure = failure
        if failure is not None:
            if self._calm is not None:
                self._calm.cancel()
                self._calm = None
            if failure != self._told:
                self._told = failure
                log.error("%s; what waits is tried again", failure)
        elif self._told is not None and self._calm is None:
            self._calm = self._loop.call_later(CALM_SECONDS, self._over)

    def _over(self) -> None:
        self._calm = self._told = None
        log.info("the database can be written again")
