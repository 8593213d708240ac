"""What is in a database: how many rows of what age, how many bytes, and who works on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.engine import Connection

from automation.store import schema, tables

_AGES = {
    "executions": tables.executions.c.created_at,
    "events": tables.events.c.received_at,
    "decisions": tables.decisions.c.at,
    "alerts": tables.alerts.c.updated_at,
    "notifications": tables.notifications.c.created_at,
    "audit": tables.audit.c.at,
}
"""The tables that grow, and what says how old a row is."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that has signed on to the database and not off."""

    id: str
    host: str
    pid: int
    process_started: float
    lease_until: float


@dataclass(frozen=True, slots=True)
class Stock:
    """The rows of one table, and the times of the oldest and the newest."""

    table: str
    rows: int
    oldest_at: float | None = None
    newest_at: float | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """What is in a database."""

    place: str
    schema: str | None
    schema_wanted: str
    bytes: int
    """The size on disk, without the log beside it."""
    free_bytes: int
    """Of these, what new rows will use before it grows."""
    unfinished: int
    """Executions that have not ended."""
    tables: tuple[Stock, ...]
    nodes: tuple[Holder, ...]


@dataclass(frozen=True, slots=True)
class Loss:
    """What one database has and another has not."""

    executions: int = 0
    events: int = 0


def status(connection: Connection, place: str) -> Status:
    """All of it; what the schema of an older version does not have is left out."""
    found = schema.version(connection)
    size, free = _bytes(connection)
    if found != schema.HEAD:
        return Status(place, found, schema.HEAD, size, free, 0, (), ())
    stocks = [_stock(connection, name) for name in tables.metadata.tables]
    return Status(
        place, found, schema.HEAD, size, free, unfinished(connection), tuple(stocks), tuple(nodes(connection))
    )


def rows(connection: Connection, table: str) -> int:
    """How many rows a table has."""
    return _count(connection, select(func.count()).select_from(tables.metadata.tables[table]))


def unfinished(connection: Connection) -> int:
    """How many executions have not ended."""
    query = select(func.count()).select_from(tables.executions).where(tables.executions.c.finished_at.is_(None))
    return _count(connection, query)


def nodes(connection: Connection) -> list[Holder]:
    """The processes that have signed on and not off: some may have died."""
    columns = tables.nodes.c
    query = select(columns.id, columns.host, columns.pid, columns.process_started, columns.lease_until)
    return [Holder(*row) for row in connection.execute(query)]


def loss(connection: Connection, other: Path) -> Loss:
    """How many executions and events another SQLite file has that this one has not."""
    connection.exec_driver_sql("ATTACH DATABASE ? AS other", (str(other),))
    gone = {
        "executions": "SELECT count(*) FROM other.executions WHERE id NOT IN (SELECT id FROM main.executions)",
        "events": "SELECT count(*) FROM other.events AS e WHERE NOT EXISTS "
        "(SELECT 1 FROM main.events AS k WHERE k.source = e.source AND k.id = e.id)",
    }
    return Loss(**{name: int(connection.exec_driver_sql(query).scalar() or 0) for name, query in gone.items()})


def _stock(connection: Connection, name: str) -> Stock:
    table = tables.metadata.tables[name]
    age = _AGES.get(name)
    if age is None:
        return Stock(name, rows(connection, name))
    row = connection.execute(select(func.count(), func.min(age), func.max(age)).select_from(table)).one()
    return Stock(name, int(row[0]), row[1], row[2])


def _count(connection: Connection, query: Select[Any]) -> int:
    return int(connection.execute(query).scalar() or 0)


def _bytes(connection: Connection) -> tuple[int, int]:
    if connection.dialect.name != "sqlite":
        return int(connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar() or 0), 0
    values: Mapping[str, int] = {
        name: int(connection.exec_driver_sql(f"PRAGMA {name}").scalar() or 0)
        for name in ("page_size", "page_count", "freelist_count")
    }
    return values["page_size"] * values["page_count"], values["page_size"] * values["freelist_count"]
