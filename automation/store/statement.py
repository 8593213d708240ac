"""What a durable write is, and the usual kinds of it.

A write is an `Op`: a statement and the values of its parameters, in the order of `keys`. What belongs together goes to
the writer in one list and is committed together, or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import ClauseElement, Insert, bindparam, insert, update
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql.dml import Update

Op = tuple["Statement", tuple[Any, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class Statement:
    """One kind of write. `order` says which goes first within a transaction: lower first."""

    name: str
    query: ClauseElement
    keys: tuple[str, ...]
    order: int
    expect: int | None = None
    """How many rows it must change; otherwise the whole list it came in is undone and `Unexpected` raised."""
    makes: bool = False
    """Whether it makes one new row, or is refused by a key."""

    def __call__(self, **values: Any) -> Op:
        """The write with these values; a missing or unknown key raises."""
        if len(values) != len(self.keys):
            raise TypeError(f"{self.name} takes {self.keys}, not {tuple(values)}")
        return self, tuple(map(values.__getitem__, self.keys))


@cache
def key_places(statement: Statement) -> tuple[int, ...] | None:
    """Where in its values the primary key of the row is that it writes: empty where the database makes the key, None
    where it may write any rows."""
    query: Any = statement.query
    inserts = isinstance(query, Insert)
    names = [column.name if inserts else f"where_{column.name}" for column in query.table.primary_key.columns]
    if inserts and not set(names) & set(statement.keys):
        return ()
    if not set(names) <= set(statement.keys):
        return None
    return tuple(statement.keys.index(name) for name in names)


class Unexpected(Exception):
    """A statement changed another number of rows than it must; its transaction was undone."""

    def __init__(self, statement: str) -> None:
        super().__init__(statement)
        self.statement = statement


def insertion(name: str, table: Any, order: int, *, expect: int | None = None, omit: tuple[str, ...] = ()) -> Statement:
    """A new row. Without the columns of `omit`, which the database fills in."""
    keys = tuple(column.name for column in table.columns if column.name not in omit)
    query = insert(table).values({key: bindparam(key) for key in keys})
    return Statement(name, query, keys, order, expect, makes=True)


def upsert(name: str, table: Any, order: int, *key: str, only: tuple[str, ...] = ()) -> Statement:
    """A new row, or the same one changed: all columns, or those of `only`."""
    # Both dialects have ON CONFLICT with the same words, so the SQLite construct serves for either.
    keys = tuple(column.name for column in table.columns)
    query = sqlite.insert(table).values({name: bindparam(name) for name in keys})
    changed = {name: query.excluded[name] for name in only or keys if name not in key}
    return Statement(name, query.on_conflict_do_update(index_elements=list(key), set_=changed), keys, order)


def change(
    name: str, table: Any, order: int, *, sets: tuple[str, ...], where: tuple[str, ...], expect: int | None = None
) -> Statement:
    """A change of the columns `sets` of the rows in which the columns `where` have these values."""
    query: Update = update(table).values({key: bindparam(key) for key in sets})
    for key in where:
        query = query.where(table.c[key] == bindparam(f"where_{key}"))
    return Statement(name, query, (*sets, *(f"where_{key}" for key in where)), order, expect)
