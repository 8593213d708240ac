"""Durable writes, as named statements over the tables: said once, compiled for each dialect."""

from __future__ import annotations

from sqlalchemy import (
    bindparam,
    delete,
    func,
    literal_column,
    null,
    select,
    text,
    update,
)
from sqlalchemy.dialects import sqlite

from automation.store import tables
from automation.store.statement import Statement, change, insertion, upsert

_WAIT_KEYS = ("id", "execution_id", "action", "event_type", "condition", "names", "child_id", "created_at")

EVENT = insertion("event", tables.events, 0, expect=1, omit=("seq",))
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
_RARE = ("wish", "concurrency_key", *_ORIGIN)
EXECUTION = insertion("execution", tables.executions, 2, omit=_RARE)
EXECUTION_KEYED = insertion("execution_keyed", tables.executions, 2, expect=1, omit=_RARE)
EXECUTION_ORIGIN = change("execution_origin", tables.executions, 3, sets=_ORIGIN, where=("id",), expect=1)
EXECUTION_KEY = change("execution_key", tables.executions, 3, sets=("concurrency_key",), where=("id",), expect=1)
EXECUTION_ADOPT = change("execution_adopt", tables.executions, 3, sets=("idempotency_key",), where=("id",))
JOURNAL = insertion("journal", tables.journal, 3)
EXECUTION_STATUS = change("execution_status", tables.executions, 4, sets=("status", "wake_at", "node"), where=("id",))
EXECUTION_PARK = Statement(
    "execution_park",
    update(tables.executions)
    .values(status=bindparam("status"), wake_at=bindparam("wake_at"), node=null())
    .where(tables.executions.c.id == bindparam("where_id"))
    .where(tables.executions.c.node == bindparam("where_node")),
    ("status", "wake_at", "where_id", "where_node"),
    4,
)
"""That nobody holds it any more; unless somebody else has it by now, because its holder was taken for dead."""
EXECUTION_BEGUN = change("execution_begun", tables.executions, 4, sets=("started_at",), where=("id",))
EXECUTION_END = change(
    "execution_end", tables.executions, 5, sets=("status", "finished_at", "error", "node", "wake_at"), where=("id",)
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
# Whether it was ours to claim is told by the row afterwards: hundreds are claimed at once.
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


APPROVAL = insertion("approval", tables.approvals, 6, omit=("settled_at",))
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
APPROVAL_SETTLE = change("approval_settle", tables.approvals, 6, sets=("settled_at",), where=("id",))
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
DECISION = insertion("decision", tables.decisions, 7, omit=("seq",))
ALERT = upsert("alert", tables.alerts, 8, "fingerprint")
NOTIFICATION = upsert("notification", tables.notifications, 9, "id")
POSITION = upsert("position", tables.positions, 10, "name")
POSITION_DELETE = Statement(
    "position_delete",
    delete(tables.positions).where(tables.positions.c.name == bindparam("where_name")),
    ("where_name",),
    10,
)
TOKEN = insertion("token", tables.tokens, 11)
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
NODE = upsert("node", tables.nodes, 12, "id")
NODE_DELETE = Statement(
    "node_delete", delete(tables.nodes).where(tables.nodes.c.id == bindparam("where_id")), ("where_id",), 13
)
ACT = upsert("act", tables.acts, 14, "execution_id", "action")
ACT_END = change("act_end", tables.acts, 15, sets=("until", "node", "changed_at"), where=("execution_id", "action"))
ACT_HOLD = upsert("act_hold", tables.acts, 13, "execution_id", "action", only=("held_by", "changed_at"))
ACT_UNHOLD = change("act_unhold", tables.acts, 14, sets=("held_by",), where=("execution_id", "action"))
ACTS_FORGET = Statement(
    "acts_forget",
    delete(tables.acts).where(tables.acts.c.changed_at < bindparam("before")),
    ("before",),
    16,
)
HOLD = upsert("hold", tables.holds, 17, "kind", "name")
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
BREAKER = upsert("breaker", tables.breakers, 19, "operation", "target")
BREAKER_PROBE = change(
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
AUDIT = insertion("audit", tables.audit, 90)
AUDIT_HEAD = upsert("audit_head", tables.audit_heads, 91, "chain")

ALL: tuple[Statement, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Statement))
