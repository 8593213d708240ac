"""Durable writes, as named statements over the tables: said once, compiled for each dialect.

A write is an `Op`: a statement and the values of its parameters, in the order of `keys`. What belongs together goes to
the writer in one list and is committed together, or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ClauseElement, bindparam, delete, func, insert, literal_column, null, select, text, update
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql.dml import Update

from automation.store import tables

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

    def __call__(self, **values: Any) -> Op:
        """The write with these values; a missing or unknown key raises."""
        if len(values) != len(self.keys):
            raise TypeError(f"{self.name} takes {self.keys}, not {tuple(values)}")
        return self, tuple(map(values.__getitem__, self.keys))


class Unexpected(Exception):
    """A statement changed another number of rows than it must; its transaction was undone."""

    def __init__(self, statement: str) -> None:
        super().__init__(statement)
        self.statement = statement


def _insert(name: str, table: Any, order: int, *, expect: int | None = None, omit: tuple[str, ...] = ()) -> Statement:
    keys = tuple(column.name for column in table.columns if column.name not in omit)
    return Statement(name, insert(table).values({key: bindparam(key) for key in keys}), keys, order, expect)


def _upsert(name: str, table: Any, order: int, *key: str, only: tuple[str, ...] = ()) -> Statement:
    # Both dialects have ON CONFLICT with the same words, so the SQLite construct serves for either.
    keys = tuple(column.name for column in table.columns)
    query = sqlite.insert(table).values({name: bindparam(name) for name in keys})
    changed = {name: query.excluded[name] for name in only or keys if name not in key}
    return Statement(name, query.on_conflict_do_update(index_elements=list(key), set_=changed), keys, order)


def _change(
    name: str, table: Any, order: int, *, sets: tuple[str, ...], where: tuple[str, ...], expect: int | None = None
) -> Statement:
    query: Update = update(table).values({key: bindparam(key) for key in sets})
    for key in where:
        query = query.where(table.c[key] == bindparam(f"where_{key}"))
    return Statement(name, query, (*sets, *(f"where_{key}" for key in where)), order, expect)


_WAIT_KEYS = (
    "id",
    "execution_id",
    "action",
    "event_type",
    "condition",
    "names",
    "child_id",
    "created_at",
)

EVENT = _insert("event", tables.events, 0, expect=1, omit=("seq",))
DEFINITION = Statement(
    "definition",
    sqlite.insert(tables.definitions)
    .values({column.name: bindparam(column.name) for column in tables.definitions.columns})
    .on_conflict_do_nothing(index_elements=["id"]),
    tuple(column.name for column in tables.definitions.columns),
    1,
)
# What few executions have is written by a statement of its own.
_ORIGIN = ("rerun_of", "forked_from", "parent", "parent_action")
_RARE = ("wish", *_ORIGIN)
EXECUTION = _insert("execution", tables.executions, 2, omit=_RARE)
EXECUTION_KEYED = _insert("execution_keyed", tables.executions, 2, expect=1, omit=_RARE)
EXECUTION_ORIGIN = _change("execution_origin", tables.executions, 3, sets=_ORIGIN, where=("id",), expect=1)
JOURNAL = _insert("journal", tables.journal, 3)
EXECUTION_STATUS = _change("execution_status", tables.executions, 4, sets=("status", "wake_at", "node"), where=("id",))
EXECUTION_BEGUN = _change("execution_begun", tables.executions, 4, sets=("started_at",), where=("id",))
EXECUTION_END = _change(
    "execution_end",
    tables.executions,
    5,
    sets=("status", "finished_at", "error", "node", "wake_at"),
    where=("id",),
)
EXECUTION_CANCEL = Statement(
    "execution_cancel",
    update(tables.executions)
    .values(cancel_reason=bindparam("cancel_reason"))
    .where(tables.executions.c.id == bindparam("where_id"))
    .where(tables.executions.c.finished_at.is_(None)),
    ("cancel_reason", "where_id"),
    4,
    expect=1,
)
_UNFINISHED = (
    update(tables.executions)
    .where(tables.executions.c.id == bindparam("where_id"))
    .where(tables.executions.c.finished_at.is_(None))
)
EXECUTION_PAUSE = Statement(
    "execution_pause",
    _UNFINISHED.values(wish=bindparam("wish")).where(text("status NOT IN ('proposed', 'paused', 'rolling_back')")),
    ("wish", "where_id"),
    4,
    expect=1,
)
EXECUTION_RESUME = Statement(
    "execution_resume",
    _UNFINISHED.values(wish=bindparam("wish")).where(text("(status = 'paused' OR wish IS NOT NULL)")),
    ("wish", "where_id"),
    4,
    expect=1,
)
# Only the wish that was heeded: another one may have been made since.
EXECUTION_HEED = Statement(
    "execution_heed",
    update(tables.executions)
    .values(wish=null())
    .where(tables.executions.c.id == bindparam("where_id"))
    .where(tables.executions.c.wish == bindparam("where_wish")),
    ("where_id", "where_wish"),
    4,
)
EXECUTION_RETRY = Statement(
    "execution_retry",
    update(tables.executions)
    .values(
        status=bindparam("status"),
        node=bindparam("node"),
        finished_at=null(),
        error=null(),
        cancel_reason=null(),
        wish=null(),
    )
    .where(tables.executions.c.id == bindparam("where_id"))
    .where(tables.executions.c.finished_at == bindparam("where_finished_at")),
    ("status", "node", "where_id", "where_finished_at"),
    2,
    expect=1,
)
EXECUTION_CLAIM = Statement(
    "execution_claim",
    update(tables.executions)
    .values(node=bindparam("node"), status=bindparam("status"), wake_at=null())
    .where(tables.executions.c.id == bindparam("where_id"))
    .where(tables.executions.c.finished_at.is_(None))
    .where(tables.executions.c.node.is_not_distinct_from(bindparam("where_node"))),
    ("node", "status", "where_id", "where_node"),
    4,
    expect=1,
)
EXECUTIONS_RELEASE = Statement(
    "executions_release",
    update(tables.executions)
    .values(node=null())
    .where(tables.executions.c.node == bindparam("where_node"))
    .where(tables.executions.c.finished_at.is_(None)),
    ("where_node",),
    6,
)
WAIT = Statement(
    "wait",
    sqlite.insert(tables.waits)
    .values(
        {key: bindparam(key) for key in _WAIT_KEYS}
        | {"after_seq": select(func.coalesce(func.max(tables.events.c.seq), literal_column("0"))).scalar_subquery()}
    )
    .on_conflict_do_nothing(index_elements=["id"]),
    _WAIT_KEYS,
    4,
)
WAIT_MET = Statement(
    "wait_met",
    update(tables.waits)
    .values(met_at=bindparam("met_at"), event=bindparam("event"))
    .where(tables.waits.c.id == bindparam("where_id"))
    .where(tables.waits.c.met_at.is_(None)),
    ("met_at", "event", "where_id"),
    5,
)
CHILD_ENDED = Statement(
    "child_ended",
    update(tables.waits)
    .values(met_at=bindparam("met_at"))
    .where(tables.waits.c.child_id == bindparam("where_child_id"))
    .where(tables.waits.c.met_at.is_(None)),
    ("met_at", "where_child_id"),
    5,
)
_CHILD_CANCEL = (
    update(tables.executions)
    .values(cancel_reason=bindparam("cancel_reason"))
    .where(tables.executions.c.finished_at.is_(None))
    .where(tables.executions.c.cancel_reason.is_(None))
)
CHILD_CANCEL = Statement(
    "child_cancel",
    _CHILD_CANCEL.where(tables.executions.c.id == bindparam("where_id")),
    ("cancel_reason", "where_id"),
    4,
)
CHILDREN_CANCEL = Statement(
    "children_cancel",
    _CHILD_CANCEL.where(
        tables.executions.c.id.in_(
            select(tables.waits.c.child_id)
            .where(tables.waits.c.execution_id == bindparam("where_execution_id"))
            .where(tables.waits.c.child_id.is_not(None))
        )
    ),
    ("cancel_reason", "where_execution_id"),
    4,
)
WAIT_DELETE = Statement(
    "wait_delete", delete(tables.waits).where(tables.waits.c.id == bindparam("where_id")), ("where_id",), 6
)
WAITS_DELETE = Statement(
    "waits_delete",
    delete(tables.waits).where(tables.waits.c.execution_id == bindparam("where_execution_id")),
    ("where_execution_id",),
    6,
)
APPROVAL = _insert("approval", tables.approvals, 6, omit=("settled_at",))
APPROVAL_CHANGE = Statement(
    "approval_change",
    update(tables.approvals)
    .values(
        {key: bindparam(key) for key in ("status", "answers", "escalated_at", "decided_at", "revision")},
    )
    .where(tables.approvals.c.id == bindparam("where_id"))
    .where(tables.approvals.c.revision == bindparam("where_revision"))
    .where(text("status = 'pending'")),
    ("status", "answers", "escalated_at", "decided_at", "revision", "where_id", "where_revision"),
    6,
    expect=1,
)
APPROVAL_SETTLE = _change("approval_settle", tables.approvals, 6, sets=("settled_at",), where=("id",))
APPROVALS_WITHDRAW = Statement(
    "approvals_withdraw",
    update(tables.approvals)
    .values(
        status=text("CASE WHEN status = 'pending' THEN 'withdrawn' ELSE status END"),
        settled_at=bindparam("settled_at"),
    )
    .where(tables.approvals.c.execution_id == bindparam("where_execution_id"))
    .where(tables.approvals.c.settled_at.is_(None)),
    ("settled_at", "where_execution_id"),
    6,
)
_new_value = sqlite.insert(tables.large_values).values(
    {column.name: bindparam(column.name) for column in tables.large_values.columns}
)
# That it is used anew is noted once an hour, because a row is written with its body. The hour is far less than the time
# for which a value that nobody names is kept, so that one that is about to be named again is never deleted.
LARGE_VALUE = Statement(
    "large_value",
    _new_value.on_conflict_do_update(
        index_elements=["sha256"],
        set_={"used_at": _new_value.excluded.used_at},
        where=tables.large_values.c.used_at < _new_value.excluded.used_at - literal_column("3600"),
    ),
    tuple(column.name for column in tables.large_values.columns),
    2,
)
LARGE_VALUE_USE = Statement(
    "large_value_use",
    sqlite.insert(tables.large_value_uses)
    .values(execution_id=bindparam("execution_id"), sha256=bindparam("sha256"))
    .on_conflict_do_nothing(index_elements=["execution_id", "sha256"]),
    ("execution_id", "sha256"),
    2,
)
DECISION = _insert("decision", tables.decisions, 7, omit=("seq",))
ALERT = _upsert("alert", tables.alerts, 8, "fingerprint")
NOTIFICATION = _upsert("notification", tables.notifications, 9, "id")
POSITION = _upsert("position", tables.positions, 10, "name")
POSITION_DELETE = Statement(
    "position_delete",
    delete(tables.positions).where(tables.positions.c.name == bindparam("where_name")),
    ("where_name",),
    10,
)
TOKEN = _insert("token", tables.tokens, 11)
TOKEN_REVOKE = Statement(
    "token_revoke",
    update(tables.tokens)
    .values(revoked_at=bindparam("revoked_at"))
    .where(tables.tokens.c.id == bindparam("where_id"))
    .where(tables.tokens.c.revoked_at.is_(None)),
    ("revoked_at", "where_id"),
    11,
    expect=1,
)
NODE = _upsert("node", tables.nodes, 12, "id")
NODE_DELETE = Statement(
    "node_delete", delete(tables.nodes).where(tables.nodes.c.id == bindparam("where_id")), ("where_id",), 13
)
ACT = _upsert("act", tables.acts, 14, "execution_id", "action")
ACT_END = _change("act_end", tables.acts, 15, sets=("until", "node", "changed_at"), where=("execution_id", "action"))
ACT_HOLD = _upsert("act_hold", tables.acts, 13, "execution_id", "action", only=("held_by", "changed_at"))
ACT_UNHOLD = _change("act_unhold", tables.acts, 14, sets=("held_by",), where=("execution_id", "action"))
ACTS_FORGET = Statement(
    "acts_forget",
    delete(tables.acts).where(tables.acts.c.changed_at < bindparam("before")),
    ("before",),
    16,
)
HOLD = _upsert("hold", tables.holds, 17, "kind", "name")
HOLD_DELETE = Statement(
    "hold_delete",
    delete(tables.holds).where(
        tables.holds.c.kind == bindparam("where_kind"), tables.holds.c.name == bindparam("where_name")
    ),
    ("where_kind", "where_name"),
    17,
    expect=1,
)
EXECUTIONS_WAKE_HELD = Statement(
    "executions_wake_held",
    update(tables.executions)
    .values(wake_at=bindparam("wake_at"))
    .where(tables.executions.c.finished_at.is_(None), tables.executions.c.node.is_(None))
    .where(
        tables.executions.c.id.in_(
            select(tables.acts.c.execution_id).where(tables.acts.c.held_by == bindparam("where_held_by"))
        )
    ),
    ("wake_at", "where_held_by"),
    18,
)
BREAKER = _upsert("breaker", tables.breakers, 19, "operation", "target")
BREAKER_PROBE = _change(
    "breaker_probe",
    tables.breakers,
    19,
    sets=("state", "version", "until"),
    where=("operation", "target", "version"),
    expect=1,
)
BREAKER_DELETE = Statement(
    "breaker_delete",
    delete(tables.breakers).where(
        tables.breakers.c.operation == bindparam("where_operation"),
        tables.breakers.c.target == bindparam("where_target"),
    ),
    ("where_operation", "where_target"),
    19,
)
AUDIT = _insert("audit", tables.audit, 90)
AUDIT_HEAD = _upsert("audit_head", tables.audit_heads, 91, "chain")

ALL: tuple[Statement, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Statement))
