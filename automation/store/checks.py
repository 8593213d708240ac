"""What can be wrong with a database, looked at from the outside: beside a running engine, page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any

from msgspec import MsgspecError
from sqlalchemy import select
from sqlalchemy.engine import Connection, Row

from automation.errors import Problem
from automation.model.execution import Execution, JournalEntry
from automation.store import schema
from automation.store.executions import entry_of, from_row
from automation.store.records import verify_chain
from automation.store.sqlite_files import physical
from automation.store.tables import definitions, executions, journal

PAGE = 500
"""How many executions are looked at in one reading: what it sees is of one moment, and no log grows for long."""

Sound = Callable[[Execution, str, tuple[JournalEntry, ...]], Iterable[str]]
"""Says what is wrong with an execution, given its definition and its journal."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found on one page, and after which execution the next begins (None: there is none)."""

    count: int
    problems: list[Problem]
    after: str | None


def schema_problems(connection: Connection) -> list[Problem]:
    """Whether this version can use the database as it is."""
    found = schema.version(connection)
    if found is None:
        return [Problem("schema", "there are no tables of automation")]
    if found > schema.HEAD:
        return [Problem("schema", f"is {found}; this version of automation knows {schema.HEAD} at most")]
    if found < schema.HEAD:
        return [
            Problem("schema", f"is {found}, which `automation db migrate` or the next start brings to {schema.HEAD}")
        ]
    return []


def physical_problems(connection: Connection) -> list[Problem]:
    """What is wrong below the tables. PostgreSQL looks after that by itself, with checksums and constraints."""
    return physical(connection) if connection.dialect.name == "sqlite" else []


def copy_problems(connection: Connection) -> list[Problem]:
    """What must not be wrong with a copy that is to be kept, or to be used instead of a database."""
    found = physical_problems(connection)
    if found:
        return found
    version = schema.version(connection)
    if version is None or version > schema.HEAD:
        return schema_problems(connection)
    return verify_chain(connection)[1]


def journals(connection: Connection, after: str, sound: Sound) -> Looked:
    """What is wrong with the executions of one page and their journals."""
    query = (
        select(executions, definitions.c.body)
        .outerjoin(definitions, definitions.c.id == executions.c.definition_id)
        .where(executions.c.id > after)
        .order_by(executions.c.id)
        .limit(PAGE)
    )
    rows = list(connection.execute(query))
    last = rows[-1].id if len(rows) == PAGE else None
    told = select(journal).where(journal.c.execution_id > after).order_by(journal.c.execution_id, journal.c.seq)
    if last is not None:
        told = told.where(journal.c.execution_id <= last)
    problems: list[Problem] = []
    groups = groupby(_streamed(connection, told), attrgetter("execution_id"))
    waiting = {row.id: row for row in rows}
    for execution_id, entries in groups:
        row = waiting.pop(execution_id, None)
        if row is None:
            problems.append(Problem(f"journal/{execution_id}", "is of an execution that is not there"))
        else:
            problems += _of_one(row, entries, sound)
    for row in waiting.values():
        problems += _of_one(row, (), sound)
    return Looked(len(rows), problems, last)


def _streamed(connection: Connection, query: Any) -> Iterator[Row[Any]]:
    yield from connection.execute(query.execution_options(yield_per=5_000))


def _of_one(row: Row[Any], told: Iterable[Row[Any]], sound: Sound) -> list[Problem]:
    place = f"executions/{row.id}"
    if row.body is None:
        return [Problem(place, f"its definition {row.definition_id} is not there")]
    try:
        execution, entries = from_row(row), tuple(entry_of(entry) for entry in told)
    except (ValueError, MsgspecError) as error:
        return [Problem(place, f"cannot be read: {error}")]
    return [Problem(place, text) for text in sound(execution, row.body, entries)]
