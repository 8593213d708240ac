"""The physical limit: group commit of the same rows and bytes into the same tables, and nothing else.

No engine: coroutines that hand rows to one writer thread and wait until they are on disk, as simply as that can be
written with the standard library.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path

Rows = list[tuple[str, tuple[object, ...]]]


@dataclass(frozen=True, slots=True)
class Shape:
    """What an engine wrote, per execution."""

    schema: tuple[str, ...]
    commits: int
    journal_rows: float
    journal_bytes: float
    audit_rows: float
    audit_bytes: float


def shape_of(database: Path, commits: int) -> Shape:
    """Measure what an engine has written into a database; `commits` is how often an execution waits for the disk."""
    with closing(sqlite3.connect(database)) as connection:

        def one(query: str) -> float:
            return float(connection.execute(query).fetchone()[0] or 0)

        executions = one("SELECT count(*) FROM executions")
        wanted = "('executions', 'journal', 'audit')"
        schema = connection.execute(
            f"SELECT sql FROM sqlite_master WHERE tbl_name IN {wanted} AND sql IS NOT NULL ORDER BY type DESC"
        )
        return Shape(
            tuple(row[0] for row in schema),
            commits,
            one("SELECT count(*) FROM journal") / executions,
            one("SELECT avg(length(body)) FROM journal"),
            one("SELECT count(*) FROM audit") / executions,
            one("SELECT avg(length(detail)) FROM audit"),
        )


class Writer:
    """One thread, one connection; all that came while the last transaction was committed goes into the next."""

    def __init__(self, database: Path, shape: Shape) -> None:
        self._pending: list[tuple[Rows, asyncio.Future[None]]] = []
        self._thread = ThreadPoolExecutor(1)
        self._connection = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        for statement in shape.schema:
            self._connection.execute(statement)
        self._task: asyncio.Task[None] | None = None
        self.transactions = 0

    def commit(self, rows: Rows) -> asyncio.Future[None]:
        """Done when the rows are on disk."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._pending.append((rows, future))
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._run())
        return future

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._pending:
            batch, self._pending = self._pending, []
            await loop.run_in_executor(self._thread, self._write, batch)
            self.transactions += 1
            for _, future in batch:
                future.set_result(None)

    def _write(self, batch: list[tuple[Rows, asyncio.Future[None]]]) -> None:
        groups: dict[str, list[tuple[object, ...]]] = {}
        for rows, _ in batch:
            for statement, values in rows:
                groups.setdefault(statement, []).append(values)
        self._connection.execute("BEGIN IMMEDIATE")
        for statement, many in groups.items():
            self._connection.executemany(statement, many)
        self._connection.execute("COMMIT")

    def close(self) -> None:
        """Close the database."""
        self._thread.shutdown()
        self._connection.close()


_EXECUTION = (
    "INSERT INTO executions "
    "(id, workflow, definition_id, status, priority, created_at, started_at, node, reason, actor) "
    "VALUES (?, 'three', 'd', 'running', 2, 1.0, 1.0, 'node', 'asked for', 'local')"
)
_JOURNAL = "INSERT INTO journal VALUES (?, ?, ?, 'action_completed', 'a', ?)"
_AUDIT = "INSERT INTO audit VALUES ('main', ?, ?, 'action_execution', 'local', 'bench.work', ?, 'succeeded', ?, ?, ?)"
_DIGEST = "0" * 64
_END = "UPDATE executions SET status = 'succeeded', finished_at = 2.0, node = NULL WHERE id = ?"


class Load:
    """Writes what executions of this shape would."""

    def __init__(self, folder: Path, shape: Shape) -> None:
        folder.mkdir(parents=True)
        self.writer = Writer(folder / "bare.db", shape)
        self._shape = shape
        self._body, self._detail = "x" * round(shape.journal_bytes), "x" * round(shape.audit_bytes)
        self._audited = count(1)

    async def execution(self, number: int) -> float:
        """One execution, commit after commit: the seconds it took."""
        name, commits = f"{number:032x}", self._shape.commits
        journal_rows, audit_rows = round(self._shape.journal_rows), round(self._shape.audit_rows)
        begin = time.perf_counter()
        for turn in range(commits):
            rows: Rows = [(_EXECUTION, (name,))] if turn == 0 else []
            for seq in range(turn * journal_rows // commits, (turn + 1) * journal_rows // commits):
                rows.append((_JOURNAL, (name, seq, time.time(), self._body)))
            for _ in range(turn * audit_rows // commits, (turn + 1) * audit_rows // commits):
                rows.append((_AUDIT, (next(self._audited), time.time(), name, self._detail, _DIGEST, _DIGEST)))
            if turn == commits - 1:
                rows.append((_END, (name,)))
            await self.writer.commit(rows)
        return time.perf_counter() - begin


async def alone(folder: Path, shape: Shape, executions: int) -> list[float]:
    """So many executions, one after the other: the seconds that each took."""
    load = Load(folder, shape)
    taken = [await load.execution(number) for number in range(executions)]
    load.writer.close()
    return taken


async def together(folder: Path, shape: Shape, executions: int, turns: int) -> float:
    """So many executions at once, so often: the seconds that all took."""
    load = Load(folder, shape)
    await asyncio.gather(*(load.execution(number) for number in range(20)))
    begin = time.perf_counter()
    for turn in range(turns):
        first = 1000 * (turn + 1)
        await asyncio.gather(*(load.execution(first + number) for number in range(executions)))
    seconds = time.perf_counter() - begin
    load.writer.close()
    return seconds
