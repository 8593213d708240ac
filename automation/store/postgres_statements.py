"""The statements as PostgreSQL gets them: once for all rows of a batch, which travel as one JSON array.

`INSERT INTO t (a, b) VALUES ($1, $2)` becomes `INSERT INTO t (a, b) SELECT (e->>0), (e->>1) FROM
jsonb_array_elements($1) AS v(e)`, and so on: of all ways to hand many rows to the server that were measured, the one
that costs the client least (docs/decisions/0011-postgresql.md). Several go in one command, as parts of a `WITH`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, cast

from sqlalchemy import Delete, Insert, Table, Update
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.sql import visitors
from sqlalchemy.sql.compiler import SQLCompiler

from automation.store.statement import Statement, key_places

Values = tuple[Any, ...]
Key = tuple[Any, ...]

_VALUES = re.compile(r"^(INSERT INTO .+?\)) VALUES \((.+?)\)( ON CONFLICT .+)?$")
_PARAMETER = re.compile(r"\$(\d+)(::BYTEA)?")


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """How one statement is written."""

    statement: Statement
    table: Table
    reads: frozenset[Table]
    """The tables that it looks at beside its own."""
    many: str | None
    """For all rows at once, with `{rows}` for where they come from; None where it has to be written row by row."""
    one: str
    order: tuple[int, ...]
    """Where in the values the parameters of `one` are."""
    key: tuple[int, ...]
    """Where in the values the primary key of its row is; empty where the database makes the key."""
    inserts: bool
    plain: bool
    """Whether it is an insert that makes a row or is refused, and never changes one."""
    counted: bool
    """Whether how many rows it has changed has to be looked at."""


class Piece(NamedTuple):
    """Rows of one statement that can be written at once."""

    form: Form
    rows: Sequence[Values]
    keys: frozenset[Key] | None
    """The primary keys of what is changed, or None where they are not known, or nobody needs them."""


class _Compiler(asyncpg.PGCompiler_asyncpg):
    """As the dialect's own, for a construct of SQLite's that has the same words."""

    def _on_conflict_target(self, clause: Any, **words: Any) -> Any:
        clause.constraint_target = None
        return super()._on_conflict_target(clause, **words)  # type: ignore[no-untyped-call]


def _dialect() -> Any:
    dialect: Any = asyncpg.dialect()  # type: ignore[no-untyped-call]
    dialect.statement_compiler = _Compiler
    return dialect


@cache
def form_of(statement: Statement) -> Form:
    """The form of a statement, compiled once."""
    query: Any = statement.query
    inserts = isinstance(query, Insert)
    if isinstance(query, Insert):
        query = query.inline()  # Nobody reads the numbers that the database gives.
    compiled = cast(SQLCompiler, query.compile(dialect=_dialect()))
    order = tuple(statement.keys.index(name) for name in compiled.positiontup or ())
    text = " ".join(str(compiled).split())
    table: Table = query.table
    others = frozenset(part for part in visitors.iterate(query) if isinstance(part, Table) and part is not table)
    key = key_places(statement)
    many = (
        _many(text, order) if key is not None and not others and isinstance(query, Insert | Update | Delete) else None
    )
    plain = inserts and many is not None and " ON CONFLICT " not in text
    counted = statement.expect is not None and not plain
    return Form(statement, table, others, many, text, order, key or (), inserts, plain, counted)


def _many(text: str, order: tuple[int, ...]) -> str | None:
    def element(match: re.Match[str]) -> str:
        value = f"(e->>{order[int(match[1]) - 1]})"
        return f"decode({value}, 'base64')" if match[2] else value

    if "SELECT" in text or "{" in text:
        return None
    values = _VALUES.match(text)
    if values is not None:
        return f"{values[1]} SELECT {_PARAMETER.sub(element, values[2])} FROM {{rows}}{values[3] or ''}"
    begin, where, condition = text.partition(" WHERE ")
    if not where:
        return None
    joined = "USING" if text.startswith("DELETE") else "FROM"
    return f"{_PARAMETER.sub(element, begin)} {joined} {{rows}} WHERE {_PARAMETER.sub(element, condition)}"


def pieces(groups: dict[Statement, list[Values]]) -> Iterator[Piece]:
    """The rows of each statement, in the order of the statements, in portions that never name a row twice."""
    forms = [form_of(statement) for statement in sorted(groups, key=_order)]
    on = [form.table for form in forms]
    for form in forms:
        rows = groups[form.statement]
        if form.many is None:
            yield from (Piece(form, [row], None) for row in rows)
        elif not form.key or (form.plain and on.count(form.table) == 1):
            # A key that is there already is refused by the database.
            yield Piece(form, rows, None)
        else:
            yield from _waves(form, rows)


def _order(statement: Statement) -> int:
    return statement.order


def _waves(form: Form, rows: list[Values]) -> Iterator[Piece]:
    key = form.key
    if len(key) == 1:
        at = key[0]
        keys: list[Key] = [row[at] for row in rows]
    else:
        keys = [tuple(row[at] for at in key) for row in rows]
    distinct = frozenset(keys)
    if len(distinct) == len(rows):
        yield Piece(form, rows, distinct)
        return
    # One command changes a row once, so what comes later to the same row has to wait for a later one.
    seen: set[Key] = set()
    now: list[Values] = []
    later: list[Values] = []
    for row_key, row in zip(keys, rows, strict=True):
        (later if row_key in seen else now).append(row)
        seen.add(row_key)
    yield Piece(form, now, distinct)
    yield from _waves(form, later)


def stages(found: Iterable[Piece]) -> list[list[Piece]]:
    """The pieces, such that those of a stage can go in one command: none changes what another looks at or changes."""
    plan: list[list[Piece]] = []
    for piece in found:
        after = [index + 1 for index, stage in enumerate(plan) if any(_collide(piece, other) for other in stage)]
        at = max(after, default=0)
        if at == len(plan):
            plan.append([])
        plan[at].append(piece)
    return plan


def _collide(one: Piece, other: Piece) -> bool:
    if one.form.table is not other.form.table:
        return one.form.table in other.form.reads or other.form.table in one.form.reads
    return one.keys is None or other.keys is None or not one.keys.isdisjoint(other.keys)


MARK = (
    "UPDATE writers SET batch = ${batch}, seen_at = extract(epoch FROM clock_timestamp()) "
    "WHERE id = ${id} AND session = ${session} RETURNING batch"
)


@cache
def committing(forms: tuple[Form, ...]) -> str:
    """The command that writes a row array for each of the forms and commits, if the session is still the writer's.

    Its parameters are the arrays, the ids of writer and session, and the number of the batch.
    """
    parts = [f"s{at} AS ({_with_rows(form, at, 'AS v(e)')})" for at, form in enumerate(forms)]
    mark = MARK.format(id=len(forms) + 1, session=len(forms) + 2, batch=len(forms) + 3)
    # A session that another has followed marks nothing, divides by zero and so writes nothing.
    return f"WITH {', '.join([*parts, f'mark AS ({mark})'])} SELECT 1 / count(*) FROM mark"


@cache
def counting(forms: tuple[Form, ...]) -> str:
    """The command that writes a row array for each of the forms, and tells of each how many rows it has changed, and
    how many elements of the array have changed one."""
    parts, counts = [], []
    for at, form in enumerate(forms):
        returning = "1" if form.inserts else "v.n"
        parts.append(f"s{at} AS ({_with_rows(form, at, 'WITH ORDINALITY AS v(e, n)')} RETURNING {returning} AS n)")
        counts.append(f"(SELECT ARRAY[count(*), count({'' if form.inserts else 'DISTINCT '}n)] FROM s{at})")
    return f"WITH {', '.join(parts)} SELECT {', '.join(counts)}"


def _with_rows(form: Form, at: int, name: str) -> str:
    assert form.many is not None
    return form.many.replace("{rows}", f"jsonb_array_elements(${at + 1}::jsonb) {name}")
