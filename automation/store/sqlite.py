"""SQLite: one writer thread on one connection, the standard library's driver, readers beside it (WAL)."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar, cast

from sqlalchemy import Executable, Insert, create_engine, event
from sqlalchemy.dialects.sqlite import pysqlite
from sqlalchemy.engine import Connection, Engine, Row
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.sql.compiler import SQLCompiler

from automation.errors import StoreError, StoreUnavailable
from automation.store import statements
from automation.store.audit import Chain
from automation.store.sqlite_rows import Rows, portions
from automation.store.statement import Op, Statement, Unexpected, key_places
from automation.store.writer import Unit, grouped

T = TypeVar("T")

CHAIN = "main"


_REFUSALS = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    OverflowError,
    UnicodeError,
)
"""What the database or its driver says to a row that it cannot take."""


class Sqlite:
    """A database in one file. Opening it refuses, in one line, what would fail later."""

    told_at_once = sys.maxsize
    """All: a thread of this process writes, and each turn of the event loop hands it the interpreter."""

    def __init__(self, location: str, busy_timeout: float = 5.0) -> None:
        self.private = location in ("", ":memory:")
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self.path = Path(location)
        self._busy_timeout = busy_timeout
        self._chain = Chain(CHAIN)
        self._compiled: dict[Statement, tuple[str, tuple[int, ...] | None]] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="automation-writer")
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="automation-reader")
        self._connection: sqlite3.Connection | None = None
        self.engine: Engine | None = None

    @property
    def place(self) -> str:
        """The file."""
        return str(self.path)

    def absent(self) -> str | None:
        """Why there can be nothing to read yet: there is no file."""
        missing = not self.private and not self.path.exists() and self.path.parent.is_dir()
        return f"there is no file {self.path}; the engine makes it when it first starts" if missing else None

    async def settle(self) -> bool:
        """Nothing is ever in doubt: the file is written by this process."""
        raise AssertionError("SQLite leaves no batch in doubt")

    async def open(self) -> None:
        """Connect; raises StoreUnavailable with what to do about it."""
        if self.private:
            # A file of its own: readers and the writer have separate connections, which memory does not allow.
            self._temporary = tempfile.TemporaryDirectory(prefix="automation-")
            self.path = Path(self._temporary.name) / "automation.db"
        folder = self.path.parent
        if not folder.is_dir():
            raise StoreUnavailable(
                f"cannot open the database {self.path}: the folder {folder} does not exist; create it"
            )
        try:
            self._connection = await self._in_writer(self._connect)
        except sqlite3.Error as error:
            await self.close()
            raise StoreUnavailable(f"cannot open the database {self.path}: {_reason(error)}") from None
        self.engine = create_engine(
            f"sqlite:///{self.path}",
            connect_args={"timeout": self._busy_timeout, "check_same_thread": False},
            pool_size=2,
            max_overflow=0,
        )

        @event.listens_for(self.engine, "connect")
        def _read_only(connection: Any, _record: object) -> None:
            connection.execute("PRAGMA query_only=1")

    async def close(self) -> None:
        """Disconnect and, for a private database, remove it."""
        if self.engine is not None:
            self.engine.dispose()
            self.engine = None
        if self._connection is not None:
            await self._in_writer(self._connection.close)
            self._connection = None
        self._thread.shutdown()
        self._readers.shutdown()
        if self._temporary is not None:
            self._temporary.cleanup()

    async def fetch(self, query: Executable) -> list[Row[Any]]:
        """The rows of a query, read beside the writer."""
        return await self.read(lambda connection: list(connection.execute(query)))

    async def read(self, work: Callable[[Connection], T]) -> T:
        """What `work` returns, called in a reader thread with a read-only connection that sees one state."""

        def run() -> T:
            assert self.engine is not None
            try:
                with self.engine.connect() as connection:
                    # One picture for all queries of the work; the driver begins none by itself.
                    connection.exec_driver_sql("BEGIN")
                    return work(connection)
            except OperationalError as error:
                raise StoreUnavailable(f"cannot read the database {self.path}: {_reason(error.orig)}") from None
            except DBAPIError as error:
                raise StoreError(f"the database {self.path} refused: {error.orig}") from None

        return await asyncio.get_running_loop().run_in_executor(self._readers, run)

    async def change(self, work: Callable[[Connection], T]) -> T:
        """What `work` returns, called with a writing connection while nothing else writes: for migrations."""

        def run() -> T:
            engine = create_engine(
                f"sqlite:///{self.path}", connect_args={"timeout": self._busy_timeout, "isolation_level": None}
            )

            @event.listens_for(engine, "begin")
            def _alone(connection: Connection) -> None:
                # By itself the driver begins no transaction for CREATE TABLE: two processes would migrate at once.
                connection.exec_driver_sql("BEGIN IMMEDIATE")

            try:
                with engine.begin() as connection:
                    return work(connection)
            except OperationalError as error:
                raise StoreUnavailable(f"cannot write the database {self.path}: {_reason(error.orig)}") from None
            finally:
                engine.dispose()

        return await self._in_writer(run)

    def write(self, units: list[Unit]) -> asyncio.Future[None]:
        """Commit all units in one transaction; see `writer.Backend`."""
        return asyncio.get_running_loop().run_in_executor(self._thread, self._write, units)

    async def _in_writer(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, isolation_level=None, timeout=self._busy_timeout, check_same_thread=False, cached_statements=256
        )
        try:
            # Only a file without tables takes it: what is freed in it can be given back while it is in use.
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=ON")
            connection.execute("PRAGMA journal_size_limit=67108864")
            connection.execute("PRAGMA temp_store=MEMORY")
            connection.execute("PRAGMA cache_size=-16384")
            # A write now, so that a read-only file is refused here and not at the first event.
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        except BaseException:
            connection.close()
            raise
        return connection

    def _sql(self, statement: Statement) -> tuple[str, tuple[int, ...] | None]:
        """The statement's text, and the order of its parameters where it differs from that of its keys."""
        known = self._compiled.get(statement)
        if known is None:
            dialect = pysqlite.dialect(paramstyle="qmark")
            compiled = cast(SQLCompiler, statement.query.compile(dialect=dialect))
            wanted = tuple(compiled.positiontup or ())
            order = None if wanted == statement.keys else tuple(statement.keys.index(key) for key in wanted)
            known = self._compiled[statement] = (str(compiled), order)
        return known

    def _write(self, units: list[Unit]) -> None:
        connection = self._connection
        assert connection is not None
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                self._write_units(connection, units)
                self._write_audit(connection, [unit for unit in units if unit.error is None])
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise StoreUnavailable(f"cannot write the database {self.path}: {_reason(error)}") from None

    def _write_units(self, connection: sqlite3.Connection, units: list[Unit]) -> None:
        plain, guarded = [unit for unit in units if not unit.guarded], [unit for unit in units if unit.guarded]
        together = self._write_plain(connection, plain)
        if together and self._write_trusting(connection, guarded):
            return
        # For what is rare, a second transaction is cheaper than a savepoint for every unit.
        connection.execute("ROLLBACK")
        connection.execute("BEGIN IMMEDIATE")
        if together:
            self._write_plain(connection, plain)
        for unit in guarded if together else units:
            unit.error = None
            self._write_alone(connection, unit)

    def _write_plain(self, connection: sqlite3.Connection, units: list[Unit]) -> bool:
        """All rows of all units, statement by statement. False if one of them was refused: then roll back."""
        if not units:
            return True
        groups = grouped(units)
        try:
            for statement in sorted(groups, key=_order):
                self._write_rows(connection, statement, groups[statement])
        except _REFUSALS:
            return False
        return True

    def _write_rows(self, connection: sqlite3.Connection, statement: Statement, rows: Rows) -> None:
        """Rows of one statement, by as few executions of it as possible."""
        sql, order = self._sql(statement)
        distinct = _distinct(statement, rows)
        if order is not None:
            rows = [_reorder(row, order) for row in rows]
        for many, some in portions(sql, rows, distinct=distinct):
            if many is sql:
                connection.executemany(sql, some)
            else:
                connection.execute(many, [value for row in some for value in row])

    def _write_trusting(self, connection: sqlite3.Connection, units: list[Unit]) -> bool:
        """Units that may be refused, most of which are not. False if one was in its middle: then roll back.

        A statement that is refused undoes itself; if it was the first of its unit, nothing else has to be undone.
        """
        for is_row, some in groupby(units, _is_row):
            # What many callers bring at once is most often an event each, and nothing refuses it.
            alike = list(some)
            if is_row and len(alike) > 1 and self._write_together(connection, alike):
                continue
            for unit in alike:
                before = connection.total_changes
                unit.error = self._write_unit(connection, unit)
                if unit.error is not None and connection.total_changes != before:
                    return False
        return True

    def _write_together(self, connection: sqlite3.Connection, units: list[Unit]) -> bool:
        """A new row for each unit, all in as few statements as possible; False, and none written, if one is refused."""
        connection.execute("SAVEPOINT together")
        try:
            for statement, some in groupby([unit.ops[0] for unit in units], _statement):
                self._write_rows(connection, statement, [values for _, values in some])
        except _REFUSALS:
            connection.execute("ROLLBACK TO together")
            return False
        finally:
            connection.execute("RELEASE together")
        return True

    def _write_unit(self, connection: sqlite3.Connection, unit: Unit) -> BaseException | None:
        """Write it; returns why it is refused, or None. What comes before the refusal is written then."""
        statement = None
        try:
            for statement, ops in groupby(unit.ops, _statement):
                rows = [values for _, values in ops]
                if len(rows) > 1 and (statement.expect is None or statement.makes):
                    self._write_rows(connection, statement, rows)
                    continue
                sql, order = self._sql(statement)
                for values in rows:
                    changed = connection.execute(sql, values if order is None else _reorder(values, order)).rowcount
                    if statement.expect not in (None, changed):
                        return Unexpected(statement.name)
        except sqlite3.IntegrityError as error:
            guarded = [known.name for known, _ in unit.ops if known.expect is not None]
            if statement is not None and statement.name in guarded:
                return Unexpected(statement.name)
            return Unexpected(guarded[0]) if guarded else StoreError(f"the database refused: {error}")
        except _REFUSALS as error:
            return StoreError(f"the database refused: {error}")
        return None

    def _write_alone(self, connection: sqlite3.Connection, unit: Unit) -> None:
        connection.execute("SAVEPOINT alone")
        unit.error = self._write_unit(connection, unit)
        if unit.error is not None:
            connection.execute("ROLLBACK TO alone")
        connection.execute("RELEASE alone")

    def _write_audit(self, connection: sqlite3.Connection, units: list[Unit]) -> None:
        facts = [fact for unit in units for fact in unit.facts]
        if not facts:
            return
        # Another process may have written to the same file since: the chain goes on from its end.
        row = connection.execute("SELECT seq, hash FROM audit_heads WHERE chain = ?", (CHAIN,)).fetchone()
        self._chain = Chain(CHAIN, *row) if row else Chain(CHAIN)
        self._write_rows(connection, statements.AUDIT, self._chain.seal(facts))
        statement, values = self._chain.head()
        connection.execute(self._sql(statement)[0], values)


def _is_row(unit: Unit) -> bool:
    """Whether it is one new row and nothing else."""
    return len(unit.ops) == 1 and unit.ops[0][0].makes


def _statement(op: Op) -> Statement:
    return op[0]


def _order(statement: Statement) -> int:
    return statement.order


def _distinct(statement: Statement, rows: Rows) -> bool:
    """Whether no two of the changes are of one row; of new rows, the later one finds the earlier one anyway."""
    if isinstance(statement.query, Insert):
        return True
    key = key_places(statement)
    return key is not None and len({tuple([row[at] for at in key]) for row in rows}) == len(rows)


def _reorder(values: tuple[Any, ...], order: tuple[int, ...]) -> tuple[Any, ...]:
    return tuple(values[index] for index in order)


def _reason(error: BaseException | None) -> str:
    """The driver's error in words that say what to do."""
    text = str(error)
    if "locked" in text:
        return "it is locked by another process; stop that one, or wait"
    if "disk is full" in text or "No space left" in text:
        return "the disk is full; make room"
    if "readonly" in text or "read-only" in text:
        return "it is read-only; check the permissions of the file and its folder"
    if "not a database" in text:
        return "the file is not a SQLite database"
    if "unable to open" in text:
        return "it cannot be opened; check the permissions of the file and its folder"
    return text
