"""What is past its time, found page by page beside the writer, and the writes that delete or pack it.

Each finding reads a bounded number of rows and says where the next begins. Each write is bounded by what one finding
gives it, and asks again whether what it deletes may go: between the finding and the write, anything may have happened.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    BindParameter,
    Boolean,
    ColumnElement,
    Double,
    Table,
    Text,
    and_,
    bindparam,
    delete,
    exists,
    func,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Connection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from automation.store import large, packing, tables
from automation.store.metric_tables import metric_series
from automation.store.statement import Op, Statement
from automation.store.store import to_json
from automation.store.tables import (
    alerts,
    audit,
    decisions,
    events,
    executions,
    journal,
    large_value_uses,
    large_values,
    notifications,
    packed_journals,
    tokens,
)
from automation.store.trigger_tables import dead_letters

GRACE_SECONDS = 86_400.0
"""How long a large value stays that nothing names: far longer than it takes to name one again (see `LARGE_VALUE`)."""

OF_EXECUTIONS: tuple[Table, ...] = tuple(
    table for table in tables.metadata.tables.values() if "execution_id" in table.columns
)
"""The tables whose rows belong to an execution and go with it."""


@dataclass(frozen=True, slots=True)
class Found:
    """What one finding gives: the keys of what may go, and after which key the next begins (None: nowhere)."""

    keys: tuple[str | int, ...]
    after: str | int | None


# ------------------------------------------------------------------------------------------------- what is found


def _walk(
    connection: Connection, key: ColumnElement[Any], at: ColumnElement[Any], keep: ColumnElement[Any] | None, page: Page
) -> Found:
    """The old rows of one page of a table whose keys grow with its times, until a page has none of that age."""
    columns = [key.label("key"), at.label("at")] + ([] if keep is None else [keep.label("kept")])
    rows = list(connection.execute(select(*columns).where(key > page.after).order_by(key).limit(page.limit)))
    old = [row for row in rows if row.at < page.before]
    further = rows[-1].key if old and len(rows) == page.limit else None
    return Found(tuple(row.key for row in old if keep is None or not row.kept), further)


@dataclass(frozen=True, slots=True)
class Page:
    """Which part is looked at: rows after a key, of before a time, so many at most."""

    before: float
    after: Any
    limit: int


def old_events(connection: Connection, page: Page) -> Found:
    """Events of a page; not those of unfinished executions, nor those that somebody has repeated since."""
    same = and_(executions.c.event_source == events.c.source, executions.c.event_id == events.c.id)
    busy = exists().where(same, executions.c.finished_at.is_(None))
    return _walk(connection, events.c.seq, events.c.received_at, or_(busy, _repeated(page.before)), page)


def old_decisions(connection: Connection, page: Page) -> Found:
    """Decisions of a page."""
    return _walk(connection, decisions.c.seq, decisions.c.at, None, page)


def old_executions(connection: Connection, page: Page) -> Found:
    """Finished executions of a page; not what another one has started that is still there."""
    kept = or_(func.coalesce(executions.c.finished_at >= page.before, True), _has_parent())
    return _walk(connection, executions.c.id, executions.c.created_at, kept, page)


def loose_journals(connection: Connection, page: Page) -> Found:
    """Executions of a page that have finished and whose journals are not packed."""
    of_journal = select(journal.c.execution_id).where(journal.c.execution_id > page.after).distinct()
    part = of_journal.order_by(journal.c.execution_id).limit(page.limit).subquery()
    query = select(part.c.execution_id, executions.c.created_at, executions.c.finished_at)
    query = query.join(executions, executions.c.id == part.c.execution_id).order_by(part.c.execution_id)
    rows = list(connection.execute(query))
    old = [row for row in rows if row.created_at < page.before]
    ended = [row for row in old if row.finished_at is not None and row.finished_at < page.before]
    further = rows[-1].execution_id if old and len(rows) == page.limit else None
    return Found(tuple(row.execution_id for row in ended), further)


def _first(connection: Connection, key: ColumnElement[Any], old: ColumnElement[bool], limit: int) -> Found:
    keys = tuple(connection.execute(select(key).where(old).limit(limit)).scalars())
    return Found(keys, keys[-1] if len(keys) == limit else None)


def old_notifications(connection: Connection, page: Page) -> Found:
    """Messages to people."""
    return _first(connection, notifications.c.id, notifications.c.created_at < page.before, page.limit)


def old_alerts(connection: Connection, page: Page) -> Found:
    """Resolved alerts."""
    return _first(connection, alerts.c.fingerprint, _over(page.before), page.limit)


def old_tokens(connection: Connection, page: Page) -> Found:
    """Tokens and sessions that are of no use any more."""
    old = or_(tokens.c.revoked_at < page.before, tokens.c.expires_at < page.before)
    return _first(connection, tokens.c.id, old, page.limit)


def old_dead_letters(connection: Connection, page: Page) -> Found:
    """What could not be taken in."""
    return _first(connection, dead_letters.c.id, dead_letters.c.at < page.before, page.limit)


def entries(connection: Connection, ids: Iterable[str]) -> dict[str, int]:
    """How many rows of the journal each of these executions has."""
    query = select(journal.c.execution_id, func.count()).where(journal.c.execution_id.in_(list(ids)))
    return {row[0]: row[1] for row in connection.execute(query.group_by(journal.c.execution_id))}


@dataclass(frozen=True, slots=True)
class Values:
    """Large values of a page: those that nothing names, those that were never compressed, with their sizes."""

    unnamed: Mapping[str, int] = field(default_factory=dict)
    uncompressed: Mapping[str, int] = field(default_factory=dict)
    after: str | None = None


def idle_values(connection: Connection, page: Page) -> Values:
    """The large values of a page that may go, or take less room. Their bodies are not read."""
    columns = large_values.c
    named = exists().where(large_value_uses.c.sha256 == columns.sha256)
    query = select(columns.sha256, columns.size, columns.coding, columns.used_at, named.label("named"))
    rows = list(connection.execute(query.where(columns.sha256 > page.after).order_by(columns.sha256).limit(page.limit)))
    unnamed = {row.sha256: row.size for row in rows if not row.named and row.used_at < page.before}
    return Values(
        unnamed,
        {row.sha256: row.size for row in rows if row.coding == large.JSON and row.sha256 not in unnamed},
        rows[-1].sha256 if len(rows) == page.limit else None,
    )


@dataclass(frozen=True, slots=True)
class Chain:
    """The rows of an audit chain that are past their time: from which number, up to which, and that one's hash."""

    name: str
    first: int
    last: int
    hash: str


def old_audit(connection: Connection, before: float) -> list[Chain]:
    """What may be deleted of each audit chain. Its last row always stays."""
    found = []
    for name, head in connection.execute(select(tables.audit_heads.c.chain, tables.audit_heads.c.seq)).all():
        of_chain = select(audit.c.seq).where(audit.c.chain == name).order_by(audit.c.seq).limit(1)
        first = connection.execute(of_chain).scalar()
        kept = connection.execute(of_chain.where(audit.c.at >= before)).scalar()
        last = (head if kept is None else kept) - 1
        digest = select(audit.c.hash).where(audit.c.chain == name, audit.c.seq == last)
        if first is not None and last >= first and (end := connection.execute(digest).scalar()):
            found.append(Chain(name, first, last, end))
    return found


# ----------------------------------------------------------------------------------------------- what is written


class _Among(ColumnElement[bool]):
    """Whether a column is one of the keys of a list, which travels as JSON in one parameter.

    One statement for many rows: with a statement a row, a busy event loop would make each row wait for its turn.
    """

    inherit_cache = False
    type = Boolean()

    def __init__(self, column: ColumnElement[Any]) -> None:
        self.column = column

    def self_group(self, against: object = None) -> _Among:
        """As it is: compared with 1, as a database without booleans gets them, no index would be used."""
        return self


@compiles(_Among, "sqlite")
def _among_sqlite(element: _Among, compiler: SQLCompiler, **how: Any) -> str:
    keys = compiler.process(bindparam("keys", type_=Text), **how)
    return f"{compiler.process(element.column, **how)} IN (SELECT value FROM json_each({keys}))"  # noqa: S608 - names only


@compiles(_Among, "postgresql")
def _among_postgresql(element: _Among, compiler: SQLCompiler, **how: Any) -> str:
    keys = compiler.process(bindparam("keys", type_=Text), **how)
    column = compiler.process(element.column, **how)
    kind = element.column.type.compile(dialect=compiler.dialect)
    return f"{column} = ANY(ARRAY(SELECT jsonb_array_elements_text(({keys})::jsonb)::{kind}))"


def _repeated(before: Any) -> ColumnElement[bool]:
    """Whether an event was published again since: while somebody repeats it, it has to be known."""
    same = and_(decisions.c.event_source == events.c.source, decisions.c.event_id == events.c.id)
    return exists().where(same, decisions.c.outcome == literal_column("'duplicate'"), decisions.c.at >= before)


def _has_parent() -> ColumnElement[bool]:
    """Whether the execution is there that has started it: that may yet look at how it ended, or roll it back."""
    parents = executions.alias("parents")
    return exists().where(parents.c.id == executions.c.parent)


def _over(before: Any) -> ColumnElement[bool]:
    """Whether an alert was over, and its cooldown too, before a time."""
    cooled = or_(alerts.c.cooldown_until.is_(None), alerts.c.cooldown_until < before)
    return and_(alerts.c.state == literal_column("'resolved'"), alerts.c.updated_at < before, cooled)


_before: BindParameter[float] = bindparam("before", type_=Double)


def _gone(column: ColumnElement[Any], condition: ColumnElement[bool], order: int = 20) -> Statement:
    """The deletion of rows by their keys, of those that a condition still holds for."""
    query = delete(column.table).where(_Among(column), condition)
    return Statement(f"{column.table.name}_delete", query, ("keys", "before"), order)


def _with_execution(table: Table) -> Statement:
    """The deletion of what belongs to executions, where these are gone."""
    gone = ~exists().where(executions.c.id == table.c.execution_id)
    query = delete(table).where(_Among(table.c.execution_id), gone)
    return Statement(f"{table.name}_delete", query, ("keys",), 21)


EVENT_DELETE = _gone(events.c.seq, and_(events.c.received_at < _before, ~_repeated(_before)))
DECISION_DELETE = _gone(decisions.c.seq, decisions.c.at < _before)
DEAD_LETTER_DELETE = _gone(dead_letters.c.id, dead_letters.c.at < _before)
NOTIFICATION_DELETE = _gone(notifications.c.id, notifications.c.created_at < _before)
ALERT_DELETE = _gone(alerts.c.fingerprint, _over(_before))
TOKEN_DELETE = _gone(tokens.c.id, or_(tokens.c.revoked_at < _before, tokens.c.expires_at < _before))
METRIC_SERIES_DELETE = _gone(metric_series.c.id, metric_series.c.last_at < _before)
# The execution first: one that was taken up again meanwhile is kept, and then so is what belongs to it.
EXECUTION_DELETE = _gone(executions.c.id, and_(executions.c.finished_at < _before, ~_has_parent()))
PART_DELETES = tuple(_with_execution(table) for table in OF_EXECUTIONS)
LARGE_VALUE_DELETE = _gone(
    large_values.c.sha256,
    and_(large_values.c.used_at < _before, ~exists().where(large_value_uses.c.sha256 == large_values.c.sha256)),
    order=22,
)
LARGE_VALUE_PACK = Statement(
    "large_value_pack",
    update(large_values)
    .values(coding=bindparam("new_coding"), body=bindparam("new_body"))
    .where(large_values.c.sha256 == bindparam("where_sha256"), large_values.c.coding == bindparam("where_coding")),
    ("new_coding", "new_body", "where_sha256", "where_coding"),
    22,
)
_pack = sqlite.insert(packed_journals).values(
    {column.name: bindparam(column.name) for column in packed_journals.columns}
)
JOURNAL_PACK = Statement(
    "journal_pack",
    _pack.on_conflict_do_update(
        index_elements=["execution_id"],
        set_={"entries": _pack.excluded.entries, "body": _pack.excluded.body},
        # Of two that pack one journal, the one that has seen less of it must not win.
        where=packed_journals.c.entries < _pack.excluded.entries,
    ),
    ("execution_id", "entries", "body"),
    23,
)
JOURNAL_TRIM = Statement(
    "journal_trim",
    delete(journal).where(
        _Among(journal.c.execution_id),
        journal.c.seq <= bindparam("last"),
        # Only what is packed by now.
        exists().where(
            packed_journals.c.execution_id == journal.c.execution_id, packed_journals.c.entries >= journal.c.seq
        ),
    ),
    ("keys", "last"),
    24,
)
AUDIT_DELETE = Statement(
    "audit_delete",
    delete(audit).where(audit.c.chain == bindparam("where_chain"), audit.c.seq <= bindparam("last")),
    ("where_chain", "last"),
    25,
)


def by_age(statement: Statement, keys: Sequence[str | int], before: float) -> Op:
    """The deletion of these rows, of those that are still from before that time."""
    return statement(keys=to_json(keys), before=before)


def execution_deletes(ids: Sequence[str], before: float) -> list[Op]:
    """The writes that delete executions that have finished before that time, and all that belongs to them."""
    keys = to_json(ids)
    return [EXECUTION_DELETE(keys=keys, before=before), *(part(keys=keys) for part in PART_DELETES)]


def trim(ids: Sequence[str], last: int) -> Op:
    """The deletion of the rows of journals up to a number, of those that are packed."""
    return JOURNAL_TRIM(keys=to_json(ids), last=last)


@dataclass(frozen=True, slots=True)
class Pack:
    """The write that packs a journal, and how many entries that are."""

    execution_id: str
    entries: int
    op: Op


def packed_journals_of(connection: Connection, ids: Iterable[str]) -> list[Pack]:
    """The writes that pack the journals of executions as they are now. One that is broken is left as it is."""
    found = []
    for execution_id in ids:
        rows = packing.rows_of(connection, execution_id)
        if not rows or [row.seq for row in rows] != list(range(1, len(rows) + 1)):
            # One with gaps is for `automation db check` to tell of; packed, it would look whole.
            continue
        try:
            body = packing.packed(rows)
            if packing.unpacked(body) != rows:
                continue
        except ValueError:
            continue
        op = JOURNAL_PACK(execution_id=execution_id, entries=len(rows), body=body)
        found.append(Pack(execution_id, len(rows), op))
    return found


def packed_value(connection: Connection, digest: str) -> Op:
    """The write that keeps a large value in less room, or notes that it cannot be."""
    coding, body = large.compressed(large.text_of(connection, digest))
    return LARGE_VALUE_PACK(new_coding=coding, new_body=body, where_sha256=digest, where_coding=large.JSON)
