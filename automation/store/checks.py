"""What can be wrong with a database, looked at from the outside: beside a running engine, page by page."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import groupby
from operator import attrgetter
from typing import Any

from msgspec import MsgspecError
from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.engine import Connection, Row

from automation.errors import Problem
from automation.model.execution import Execution, JournalEntry
from automation.store import large, schema
from automation.store.executions import entry_of, from_row
from automation.store.packing import Told, joined, unpacked
from automation.store.records import verify_chain
from automation.store.sqlite_files import physical
from automation.store.store import decode
from automation.store.tables import (
    definitions,
    executions,
    journal,
    large_value_uses,
    large_values,
    packed_journals,
)

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
    part = _Part(connection, after, last)
    kept = part.values()
    whole = part.packed()
    waiting = {row.id: row for row in rows}
    problems: list[Problem] = []
    for execution_id, loose in part.loose():
        row = waiting.pop(execution_id, None)
        if row is None:
            problems.append(Problem(f"journal/{execution_id}", "is of an execution that is not there"))
        else:
            problems += _of_one(row, loose, whole.pop(execution_id, None), sound, kept.get(row.id, {}))
    for row in waiting.values():
        problems += _of_one(row, (), whole.pop(row.id, None), sound, kept.get(row.id, {}))
    for left in whole:
        problems.append(Problem(f"packed_journals/{left}", "is of an execution that is not there"))
    return Looked(len(rows), problems, last)


class _Part:
    """What belongs to the executions of one page."""

    def __init__(self, connection: Connection, after: str, last: str | None) -> None:
        self._connection = connection
        self._after = after
        self._last = last

    def loose(self) -> Iterator[tuple[str, Iterator[Told]]]:
        """The rows of the journal, by execution."""
        columns = journal.c
        query = select(columns.execution_id, columns.seq, columns.at, columns.kind, columns.action, columns.body)
        query = query.order_by(columns.execution_id, columns.seq).execution_options(yield_per=5_000)
        for execution_id, rows in groupby(self._rows(query, columns.execution_id), attrgetter("execution_id")):
            yield execution_id, (Told(row.seq, row.at, row.kind, row.action, row.body) for row in rows)

    def packed(self) -> dict[str, tuple[int, bytes]]:
        """Packed journals: how many entries they are said to have, and the body."""
        columns = packed_journals.c
        query = select(columns.execution_id, columns.entries, columns.body)
        return {row.execution_id: (row.entries, row.body) for row in self._rows(query, columns.execution_id)}

    def values(self) -> dict[str, dict[str, bool]]:
        """The large values that are kept, and whether each is there."""
        uses = large_value_uses.c
        query = select(uses.execution_id, uses.sha256, large_values.c.size)
        query = query.outerjoin(large_values, large_values.c.sha256 == uses.sha256)
        kept: dict[str, dict[str, bool]] = {}
        for row in self._rows(query, uses.execution_id):
            kept.setdefault(row.execution_id, {})[row.sha256] = row.size is not None
        return kept

    def _rows(self, query: Select[Any], key: ColumnElement[str]) -> Iterator[Row[Any]]:
        query = query.where(key > self._after)
        yield from self._connection.execute(query if self._last is None else query.where(key <= self._last))


def _of_one(
    row: Row[Any], loose: Iterable[Told], packed: tuple[int, bytes] | None, sound: Sound, kept: Mapping[str, bool]
) -> list[Problem]:
    place = f"executions/{row.id}"
    rows = list(loose)
    if row.body is None:
        return [Problem(place, f"its definition {row.definition_id} is not there")]
    try:
        if packed is not None:
            first = unpacked(packed[1])
            if len(first) != packed[0]:
                return [Problem(place, f"its packed journal has {len(first)} entries, and not {packed[0]}")]
            rows = joined(first, rows)
        entries = tuple(entry_of(row.id, told, large.named(told.body)) for told in rows)
        named = large.distinct(decode(told.body) for told in rows if large.MARK in told.body)
        found = list(sound(from_row(row), row.body, entries))
    except (ValueError, LookupError, TypeError, MsgspecError) as error:
        return [Problem(place, f"cannot be read: {error}")]
    for digest in named:
        if digest not in kept:
            found.append(f"its journal names the large value sha256:{digest}, which is not kept for it")
        elif not kept[digest]:
            found.append(f"its journal names the large value sha256:{digest}, which is not there")
    return [Problem(place, text) for text in found]


def values(connection: Connection, after: str) -> Looked:
    """What is wrong with the large values of one page."""
    columns = large_values.c
    query = select(columns.sha256, columns.size, columns.coding, columns.body).where(columns.sha256 > after)
    count, problems, last = 0, [], None
    for row in connection.execute(query.order_by(columns.sha256).limit(PAGE).execution_options(yield_per=1)):
        count, last = count + 1, row.sha256
        try:
            text = large.expanded(row.coding, row.body)
        except zlib.error as error:
            problems.append(Problem(f"large_values/{row.sha256}", f"cannot be read: {error}"))
            continue
        if len(text) != row.size or sha256(text).hexdigest() != row.sha256:
            problems.append(Problem(f"large_values/{row.sha256}", "was changed: its hash does not fit its content"))
    return Looked(count, problems, last if count == PAGE else None)
