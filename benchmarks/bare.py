"""The physical limit: group commit of the same rows and bytes into the same tables, and nothing else.

No engine: coroutines that hand rows to one writer and wait until they are on disk, as simply as that can be written
with the standard library. For PostgreSQL, see `bare_postgres`.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

TABLES = ("executions", "journal", "audit")
END = "end"
"""Beside the tables: that an execution has ended."""
Rows = list[tuple[str, tuple[Any, ...]]]
"""Each with its table, or END."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table as an engine has filled it: its columns, and one row to make others like."""

    name: str
    columns: tuple[str, ...]
    row: tuple[Any, ...]
    per_execution: float
    text: str | None = None
    """The column whose average length counts."""
    length: float = 0.0

    def maker(self, *changed: str) -> Callable[..., tuple[Any, ...]]:
        """Makes rows: as the sample, with these columns changed and the text of average length."""
        places = [self.columns.index(name) for name in changed]
        sample = list(self.row)
        if self.text is not None:
            sample[self.columns.index(self.text)] = "x" * round(self.length)

        def make(*values: Any) -> tuple[Any, ...]:
            row = sample.copy()
            for place, value in zip(places, values, strict=True):
                row[place] = value
            return tuple(row)

        return make


@dataclass(frozen=True, slots=True)
class Shape:
    """What an engine wrote."""

    schema: tuple[str, ...]
    commits: int
    """How often an execution waits for the disk."""
    executions: Table
    journal: Table
    audit: Table

    @property
    def text(self) -> str:
        """Rows and bytes, for people."""
        return (
            f"{self.journal.per_execution:.1f} journal ({self.journal.length:.0f} bytes each), "
            f"{self.audit.per_execution:.1f} audit"
        )


def shape_of(database: Path, commits: int) -> Shape:
    """Measure what an engine has written into a database; `commits` is how often an execution waits for the disk."""
    with closing(sqlite3.connect(database)) as connection:
        connection.row_factory = sqlite3.Row

        def rows(query: str) -> list[dict[str, Any]]:
            return [dict(row) for row in connection.execute(query)]

        wanted = "tbl_name IN ('executions', 'journal', 'audit') AND sql IS NOT NULL"
        schema = connection.execute(f"SELECT sql FROM sqlite_master WHERE {wanted} ORDER BY type DESC")
        statements = tuple(row[0] for row in schema)
        return Shape(statements, commits, *tables([rows(query)[0] for query in QUERIES]))


_JOURNAL = "SELECT * FROM journal WHERE kind = 'action_completed' LIMIT 1"
QUERIES = (
    "SELECT * FROM executions WHERE finished_at IS NOT NULL LIMIT 1",
    _JOURNAL,
    "SELECT * FROM audit WHERE kind = 'action_execution' LIMIT 1",
    "SELECT (SELECT count(*) FROM executions) AS executions, (SELECT count(*) FROM journal) AS journal, "
    "(SELECT count(*) FROM audit) AS audit, (SELECT avg(length(body)) FROM journal) AS journal_length, "
    "(SELECT avg(length(detail)) FROM audit) AS audit_length",
)
"""A row of each table, and how many and how long they are."""


def tables(found: Sequence[dict[str, Any]]) -> tuple[Table, Table, Table]:
    """From what the queries have found."""
    execution, journal, audit, numbers = found
    begun = {**execution, "status": "running", "finished_at": None, "node": execution["id"]}
    each = float(numbers["executions"])
    return (
        Table("executions", tuple(begun), tuple(begun.values()), 1.0),
        Table(
            "journal",
            tuple(journal),
            tuple(journal.values()),
            numbers["journal"] / each,
            "body",
            float(numbers["journal_length"]),
        ),
        Table(
            "audit",
            tuple(audit),
            tuple(audit.values()),
            numbers["audit"] / each,
            "detail",
            float(numbers["audit_length"]),
        ),
    )


class Writer(ABC):
    """All that came while the last transaction was committed goes into the next."""

    def __init__(self) -> None:
        self._pending: list[tuple[Rows, asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None

    def commit(self, rows: Rows) -> asyncio.Future[None]:
        """Done when the rows are on disk."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._pending.append((rows, future))
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._run())
        return future

    async def _run(self) -> None:
        while self._pending:
            batch, self._pending = self._pending, []
            groups: dict[str, list[tuple[Any, ...]]] = {}
            for rows, _ in batch:
                for table, values in rows:
                    groups.setdefault(table, []).append(values)
            await self._write(groups)
            for _, future in batch:
                future.set_result(None)

    @abstractmethod
    async def _write(self, groups: dict[str, list[tuple[Any, ...]]]) -> None:
        """Commit these rows in one transaction."""

    @abstractmethod
    async def close(self) -> None:
        """Close the database."""


class SqliteWriter(Writer):
    """One thread, one connection."""

    def __init__(self, database: Path, shape: Shape) -> None:
        super().__init__()
        self._thread = ThreadPoolExecutor(1)
        self._connection = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        for statement in shape.schema:
            self._connection.execute(statement)
        self._statements = {
            table.name: f"INSERT INTO {table.name} ({', '.join(table.columns)}) "
            f"VALUES ({', '.join('?' * len(table.columns))})"
            for table in (shape.executions, shape.journal, shape.audit)
        }
        self._statements[END] = (
            "UPDATE executions SET status = 'succeeded', finished_at = 2.0, node = NULL WHERE id = ?"
        )

    async def _write(self, groups: dict[str, list[tuple[Any, ...]]]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._transact, groups)

    def _transact(self, groups: dict[str, list[tuple[Any, ...]]]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        for table, rows in groups.items():
            self._connection.executemany(self._statements[table], rows)
        self._connection.execute("COMMIT")

    async def close(self) -> None:
        self._thread.shutdown()
        self._connection.close()


class Load:
    """Writes what executions of this shape would."""

    def __init__(self, writer: Writer, shape: Shape) -> None:
        self.writer = writer
        self._shape = shape
        self._execution = shape.executions.maker("id")
        self._journal = shape.journal.maker("execution_id", "seq", "at")
        self._audit = shape.audit.maker("seq", "at", "subject")
        self._audited = count(1)
        self._numbers = count(1)

    async def alone(self, executions: int) -> list[float]:
        """So many executions, one after the other: the seconds that each took."""
        return [await self.execution() for _ in range(executions)]

    async def execution(self) -> float:
        """One execution, commit after commit: the seconds it took."""
        shape = self._shape
        name, commits = f"{next(self._numbers):036x}", shape.commits
        journal_rows, audit_rows = round(shape.journal.per_execution), round(shape.audit.per_execution)
        begin = time.perf_counter()
        for turn in range(commits):
            rows: Rows = [("executions", self._execution(name))] if turn == 0 else []
            for seq in range(turn * journal_rows // commits, (turn + 1) * journal_rows // commits):
                rows.append(("journal", self._journal(name, seq, time.time())))
            for _ in range(turn * audit_rows // commits, (turn + 1) * audit_rows // commits):
                rows.append(("audit", self._audit(next(self._audited), time.time(), name)))
            if turn == commits - 1:
                rows.append((END, (name,)))
            await self.writer.commit(rows)
        return time.perf_counter() - begin


async def together(writer: Writer, shape: Shape, executions: int, turns: int) -> float:
    """So many executions at once, so often: the seconds that all took."""
    load = Load(writer, shape)
    await asyncio.gather(*(load.execution() for _ in range(20)))
    begin = time.perf_counter()
    for _ in range(turns):
        await asyncio.gather(*(load.execution() for _ in range(executions)))
    return time.perf_counter() - begin
