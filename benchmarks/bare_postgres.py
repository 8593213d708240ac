"""The physical limit on PostgreSQL: the same group commit, with the driver alone and its quickest way to send rows."""

from __future__ import annotations

from typing import Any

import asyncpg  # type: ignore[import-untyped,unused-ignore]
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from automation.store.tables import metadata
from benchmarks.bare import END, QUERIES, TABLES, Shape, Writer, tables

_INDEXES = """
SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename = ANY($1::text[])
AND indexname NOT IN (SELECT conname FROM pg_constraint WHERE contype IN ('p', 'u'))
"""
_END = "UPDATE executions SET status = 'succeeded', finished_at = 2.0, node = NULL WHERE id = ANY($1::text[])"


async def shape_of(url: str, commits: int) -> Shape:
    """Measure what an engine has written into a database; `commits` is how often an execution waits for the disk."""
    connection = await asyncpg.connect(url)
    try:
        found = [dict(await connection.fetchrow(query)) for query in QUERIES]
        indexes = await connection.fetch(_INDEXES, list(TABLES))
    finally:
        await connection.close()
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call,unused-ignore]
    statements = []
    for name in TABLES:
        # Without the definitions that the rows refer to.
        create = CreateTable(metadata.tables[name], include_foreign_key_constraints=[])
        statements.append(str(create.compile(dialect=dialect)))
    statements += [row["indexdef"] for row in indexes]
    return Shape(tuple(statements), commits, *tables(found))


class PostgresWriter(Writer):
    """One connection; rows go by COPY."""

    def __init__(self, connection: Any, shape: Shape) -> None:
        super().__init__()
        self._connection = connection
        self._columns = {table.name: table.columns for table in (shape.executions, shape.journal, shape.audit)}

    async def _write(self, groups: dict[str, list[tuple[Any, ...]]]) -> None:
        connection = self._connection
        async with connection.transaction():
            for table, rows in groups.items():
                if table == END:
                    await connection.execute(_END, [name for (name,) in rows])
                else:
                    await connection.copy_records_to_table(table, records=rows, columns=self._columns[table])

    async def close(self) -> None:
        await self._connection.close()


async def writer_on(url: str, shape: Shape) -> Writer:
    """For an empty database."""
    connection = await asyncpg.connect(url)
    for statement in shape.schema:
        await connection.execute(statement)
    return PostgresWriter(connection, shape)
