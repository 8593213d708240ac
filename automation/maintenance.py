"""Looking after the database from outside of an engine: what `automation db` does, for programs as well.

database = Database(AutomationConfig.load())
await database.backup(Path("/var/backups/automation.db"))
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from automation.clock import Clock, RealClock
from automation.config import AutomationConfig
from automation.errors import Conflict, NotFound, Problem, StoreError
from automation.infrastructure.processes import began, machine
from automation.retention.sweep import Sweep
from automation.store import checks, inventory, schema, sqlite_files
from automation.store.inventory import Holder, Loss, Status
from automation.store.maintenance import file_of, is_file
from automation.store.records import verify_chain
from automation.store.store import Store, backend_of
from automation.store.writer import Backend
from automation.workflows.soundness import faults

T = TypeVar("T")

Told = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is (0: nobody knows)."""


Look = Callable[..., checks.Looked]


def _silently(_what: str, _done: int, _total: int) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Migration:
    """From which schema to which, and by which steps."""

    found: str | None
    wanted: str
    steps: tuple[str, ...]
    done: bool
    """False for a look that changes nothing."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was looked at, and all that is wrong."""

    problems: tuple[Problem, ...]
    executions: int = 0
    audit_rows: int = 0


@dataclass(frozen=True, slots=True)
class Copy:
    """A backup that was made and checked."""

    file: str
    size: int
    unfinished: int
    """Executions that were under way at its moment."""


@dataclass(frozen=True, slots=True)
class Restored:
    """A backup that was put in the place of the database."""

    file: str
    aside: str | None
    """Where the replaced database is now."""
    schema: str
    unfinished: int
    """Executions that the next start takes up from where they were."""
    lost: Loss | None
    """What the replaced database had and this one has not; None where there was none, or where it cannot be read."""


@dataclass(frozen=True, slots=True)
class Compacted:
    """What was deleted for its age, and how large the database is."""

    deleted: dict[str, int]
    """Rows by table; of the journal, those that were packed."""
    bytes_before: int
    bytes: int
    free_bytes: int
    """Of these, what new rows will use before it grows."""
    alone: bool
    """Whether no engine works on it, so that all that is free could be given back to the disk."""


class Database:
    """The database of a configuration."""

    def __init__(self, config: AutomationConfig, clock: Clock | None = None) -> None:
        self._config = config
        self._clock = clock or RealClock()
        self.url = config.database

    async def status(self) -> Status:
        """How large it is, what is in it, and who works on it. Raises NotFound if it is not there."""
        backend = await self._opened()
        try:
            return await backend.read(partial(inventory.status, place=backend.place))
        finally:
            await backend.close()

    async def migrate(self, *, dry_run: bool = False) -> Migration:
        """Bring the schema up to date, or say what that would do.

        Raises SchemaError for a newer one, Conflict while an engine works with the older one.
        """
        if not dry_run and self._config.database_url is None:
            self._config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        backend = backend_of(self.url, self._config.store)
        if dry_run:
            await self._refuse_absent(backend)
        await backend.open()
        try:
            found = await backend.read(schema.version)
            steps = tuple(f"{number}: {text}" for number, text in await backend.read(schema.pending))
            if steps and not dry_run:
                if found is not None:
                    self._refuse_holders(await backend.read(inventory.nodes), "migrate")
                await backend.change(schema.upgrade)
        finally:
            await backend.close()
        return Migration(found, schema.HEAD, steps, done=not dry_run)

    async def check(self, told: Told = _silently) -> Report:
        """Look for all that can be wrong; beside a running engine as well. Raises NotFound if there is no database."""
        backend = await self._opened()
        try:
            told("the file", 0, 0)
            problems = await backend.read(checks.physical_problems)
            problems += await backend.read(checks.schema_problems)
            if any(problem.path in ("file", "schema") for problem in problems):
                # What is read from a broken file, or from tables of another version, tells nothing.
                return Report(tuple(problems))
            told("the audit chain", 0, 0)
            rows, wrong = await backend.read(verify_chain)
            problems += [Problem(f"audit/{problem.path}", problem.message) for problem in wrong]
            count = await self._check_pages(backend, partial(checks.journals, sound=faults), problems, told)
            await self._check_pages(backend, checks.values, problems, told)
        finally:
            await backend.close()
        return Report(tuple(problems), count, rows)

    async def compact(self, *, told: Told = _silently) -> Compacted:
        """Delete what is past its time, as the engine does, and give back what is free; engine running or not.

        Raises Conflict if the schema is another than this version's.
        """
        before = await self.status()
        if before.schema != schema.HEAD:
            raise Conflict(f"the schema is {before.schema}, not {schema.HEAD}", hint="automation db migrate", code=2)
        alone = not any(_holds(node, self._clock.now()) for node in before.nodes)
        store = Store(self.url, self._config.store, self._config.audit)
        await store.open()
        try:
            sweep = Sweep(store, self._clock, self._config, told=told)
            if alone:
                sweep.pause = 0.0
            swept = await sweep.run("local")
        finally:
            await store.close()
        await self._give_back(alone, told)
        after = await self.status()
        return Compacted(dict(swept.deleted), before.bytes, after.bytes, after.free_bytes, alone)

    async def _give_back(self, alone: bool, told: Told) -> None:
        if not is_file(self.url):
            # PostgreSQL does it by itself (autovacuum).
            return
        path = await file_of(self.url, "backup", Path())
        if alone:
            told("giving room back", 0, 0)
            await asyncio.to_thread(sqlite_files.vacuum, path)
            return
        total, before = 0, math.inf
        # As long as it gets less: an engine that frees more than this gives back is not waited for.
        while (left := await asyncio.to_thread(sqlite_files.give_back, path)) and left < before:
            total, before = max(total, left), left
            told("giving room back", total - left, total)
            await self._clock.sleep(self._config.retention.pause_seconds)

    async def backup(self, file: Path, *, force: bool = False, told: Told = _silently) -> Copy:
        """Write a copy of this moment to a file, engine running or not, and check it.

        Raises Conflict for a file that is there, unless `force`; StoreError, and leaves nothing, if it goes wrong.
        """
        path = await file_of(self.url, "backup", file)
        if not path.exists():
            raise NotFound(f"there is no database {path}", kind="database", name=str(path))
        size = await asyncio.to_thread(sqlite_files.backup, path, file, checks.copy_problems, told, force=force)
        unfinished = await asyncio.to_thread(_of_file, file, inventory.unfinished)
        return Copy(str(file), size, unfinished)

    async def restore(self, file: Path, *, told: Told = _silently) -> Restored:
        """Put a backup in the place of the database, which is kept under another name.

        Raises Conflict while an engine works on the database, StoreError if the backup is not sound.
        """
        path = await file_of(self.url, "restore", file)
        aside = None
        if path.exists():
            self._refuse_holders(await self._nodes_of(path), "restore")
            stamp = f"{self._clock.now():.0f}"
            aside = path.resolve().with_name(f"{path.resolve().name}.replaced-{stamp}")
        await asyncio.to_thread(sqlite_files.restore, file, path, aside, checks.copy_problems, told)
        lost = await asyncio.to_thread(_loss, path, aside) if aside else None
        version = await asyncio.to_thread(_of_file, path, schema.version)
        unfinished = await asyncio.to_thread(_of_file, path, inventory.unfinished)
        return Restored(str(file), str(aside) if aside else None, version or "", unfinished, lost)

    async def _check_pages(self, backend: Backend, look: Look, problems: list[Problem], told: Told) -> int:
        what, table = ("large values", "large_values") if look is checks.values else ("journals", "executions")
        total = await backend.read(partial(inventory.rows, table=table))
        count, after = 0, ""
        while True:
            page = await backend.read(partial(look, after=after))
            count += page.count
            problems += page.problems
            told(what, count, max(count, total))
            if page.after is None:
                return count
            after = page.after

    async def _opened(self) -> Backend:
        backend = backend_of(self.url, self._config.store)
        await self._refuse_absent(backend)
        await backend.open()
        return backend

    async def _refuse_absent(self, backend: Backend) -> None:
        missing = backend.absent()
        if self._config.database_url is None and not self._config.data_dir.is_dir():
            missing = f"there is no folder {self._config.data_dir}; the engine makes it when it first starts"
        if missing:
            await backend.close()
            raise NotFound(
                missing,
                kind="database",
                name=backend.place,
                hint="name a configuration with --config, or set AUTOMATION_DATABASE_URL",
            )

    async def _nodes_of(self, path: Path) -> list[Holder]:
        try:
            return await asyncio.to_thread(_of_file, path, inventory.nodes)
        except StoreError:
            # A database that cannot be read any more is just what is to be replaced.
            return []

    def _refuse_holders(self, nodes: list[Holder], what: str) -> None:
        for node in nodes:
            if _holds(node, self._clock.now()):
                raise Conflict(
                    f"cannot {what}: an engine works on this database (process {node.pid} on {node.host})",
                    hint="stop it first",
                    code=2,
                )


def _of_file(path: Path, work: Callable[[Any], T]) -> T:
    with sqlite_files.reading(path) as connection:
        return work(connection)


def _loss(path: Path, other: Path) -> Loss | None:
    try:
        return _of_file(path, lambda connection: inventory.loss(connection, other))
    except StoreError:
        return None


def _holds(node: Holder, now: float) -> bool:
    """Whether a process may still write: of this machine we know whether it lives, of others what its lease says."""
    if node.host != machine():
        return node.lease_until > now
    found = began(node.pid)
    return found is not None and abs(found - node.process_started) < 0.05
