"""The physical limit on PostgreSQL: group commit of the same rows and bytes into the same tables, and nothing else.

As `bare`, with asyncpg: one connection, COPY for what is new, one UPDATE for what ends.
"""

from __future__ import annotations

import asyncio
import time
from itertools import count
from typing import Any

import asyncpg

from benchmarks.bare import Shape

Rows = list[tuple[str, tuple[object, ...]]]

_TABLES = {
    "executions": (
        "id",
        "workflow",
        "definition_id",
        "status",
        "priority",
        "created_at",
        "started_at",
        "node",
        "reason",
        "actor",
    ),
    "journal": ("execution_id", "seq", "at", "kind", "action", "body"),
    "audit": (
        "chain",
        "seq",
        "at",
        "kind",
        "actor",
        "act",
        "subject",
        "outcome",
        "detail",
        "previous",
        "hash",
    ),
}
_END = "UPDATE executions SET status = 'succeeded', finished_at = 2.0, node = NULL WHERE id = ANY($1)"
_DIGEST = "0" * 64


async def shape_of(url: str, commits: int) -> Shape:
    """Measure what an engine has written into a database, and empty it; its schema stays."""
    connection = await asyncpg.connect(url)
    try:
        row = await connection.fetchrow(
            "SELECT (SELECT count(*) FROM executions) AS executions, (SELECT count(*) FROM journal) AS journal, "
            "(SELECT avg(length(body)) FROM journal) AS bytes, (SELECT count(*) FROM audit) AS audit, "
            "(SELECT avg(length(detail)) FROM audit) AS detail"
        )
        await connection.execute("TRUNCATE executions, journal, audit")
    finally:
        await connection.close()
    executions = row["executions"]
    return Shape(
        (),
        commits,
        row["journal"] / executions,
        float(row["bytes"] or 0),
        row["audit"] / executions,
        float(row["detail"] or 0),
    )


class Writer:
    """One connection; all that came while the last transaction was committed goes into the next."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
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
            groups: dict[str, list[tuple[object, ...]]] = {}
            for rows, _ in batch:
                for table, values in rows:
                    groups.setdefault(table, []).append(values)
            await self._connection.execute("BEGIN")
            for table, columns in _TABLES.items():
                if table in groups:
                    await self._connection.copy_records_to_table(table, records=groups[table], columns=columns)
            if "" in groups:
                await self._connection.execute(_END, [row[0] for row in groups[""]])
            await self._connection.execute("COMMIT")
            for _, future in batch:
                future.set_result(None)


class Load:
    """Writes what executions of this shape would."""

    def __init__(self, writer: Writer, shape: Shape) -> None:
        self._writer = writer
        self._shape = shape
        self._body, self._detail = "x" * round(shape.journal_bytes), "x" * round(shape.audit_bytes)
        self._audited = count(1)

    async def execution(self, number: int) -> float:
        """One execution, commit after commit: the seconds it took."""
        name, commits = f"{number:032x}", self._shape.commits
        journal_rows, audit_rows = round(self._shape.journal_rows), round(self._shape.audit_rows)
        begin = time.perf_counter()
        for turn in range(commits):
            rows: Rows = []
            if turn == 0:
                rows.append(("executions", (name, "three", "d", "running", 2, 1.0, 1.0, "node", "asked for", "local")))
            for seq in range(turn * journal_rows // commits, (turn + 1) * journal_rows // commits):
                rows.append(("journal", (name, seq, time.time(), "action_completed", "a", self._body)))
            for _ in range(turn * audit_rows // commits, (turn + 1) * audit_rows // commits):
                rows.append(("audit", self._audit(name)))
            if turn == commits - 1:
                rows.append(("", (name,)))
            await self._writer.commit(rows)
        return time.perf_counter() - begin

    def _audit(self, name: str) -> tuple[object, ...]:
        fact = ("action_execution", "local", "bench.work", name, "succeeded", self._detail, _DIGEST, _DIGEST)
        return ("bare", next(self._audited), time.time(), *fact)


async def alone(url: str, shape: Shape, executions: int) -> list[float]:
    """So many executions, one after the other: the seconds that each took."""
    connection = await _prepared(url)
    load = Load(Writer(connection), shape)
    taken = [await load.execution(number) for number in range(executions)]
    await connection.close()
    return taken


async def together(url: str, shape: Shape, executions: int, turns: int) -> float:
    """So many executions at once, so often: the seconds that all took."""
    connection = await _prepared(url)
    load = Load(Writer(connection), shape)
    await asyncio.gather(*(load.execution(number) for number in range(20)))
    begin = time.perf_counter()
    for turn in range(turns):
        first = 1000 * (turn + 1)
        await asyncio.gather(*(load.execution(first + number) for number in range(executions)))
    seconds = time.perf_counter() - begin
    await connection.close()
    return seconds


async def _prepared(url: str) -> Any:
    connection = await asyncpg.connect(url)
    await connection.execute("INSERT INTO definitions VALUES ('d', 'workflow', 'd', '', 1.0) ON CONFLICT DO NOTHING")
    return connection
