"""The schema, once, for every dialect. Migrations bring a database here; a test holds the two together.

Times are seconds since the epoch (double precision); JSON is kept as text, as it was written. The conditions of partial
indexes hold on PostgreSQL as well, where the migrations say them: `postgresql_where` here would load that dialect for
everybody, which takes longer than all tables.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from automation.store import metric_tables as metric_tables
from automation.store import trigger_tables as trigger_tables
from automation.store.metadata import Serial, partial_index
from automation.store.metadata import metadata as metadata

nodes = Table(
    "nodes",
    metadata,
    Column("id", String, primary_key=True),
    Column("host", String, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("process_started", Double, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("lease_until", Double, nullable=False),
)

# One row for each open writer on PostgreSQL: which of its sessions may write, and the number of the last batch that is
# committed, by which it finds out what became of one whose connection broke meanwhile. SQLite has no need of it.
writers = Table(
    "writers",
    metadata,
    Column("id", String, primary_key=True),
    Column("session", String, nullable=False),
    Column("batch", BigInteger, nullable=False),
    Column("seen_at", Double, nullable=False),
)

definitions = Table(
    "definitions",
    metadata,
    Column("id", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("name", String, nullable=False),
    Column("body", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Index(None, "kind", "name", "created_at"),
)

executions = Table(
    "executions",
    metadata,
    Column("id", String, primary_key=True),
    Column("workflow", String, nullable=False),
    Column("definition_id", String, ForeignKey("definitions.id"), nullable=False),
    Column("status", String, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("wake_at", Double),
    Column("node", String),
    Column("event_source", String),
    Column("event_id", String),
    Column("reason", Text, nullable=False),
    Column("actor", String, nullable=False),
    Column("idempotency_key", String),
    Column("request_hash", String),
    Column("cancel_reason", Text),
    Column("error", Text),
    Column("wish", Text),
    Column("rerun_of", String),
    Column("forked_from", String),
    Column("concurrency_key", String),
    Column("parent", String),
    Column("parent_action", String),
    partial_index("ix_executions_key", "idempotency_key", where="idempotency_key IS NOT NULL", unique=True),
    partial_index("ix_executions_parent", "parent", "parent_action", where="parent IS NOT NULL"),
    Index(None, "workflow", "status", "id"),
    Index(None, "status", "id"),
    partial_index("ix_executions_event", "event_source", "event_id", where="event_id IS NOT NULL"),
    partial_index(
        "ix_executions_keyed",
        "workflow",
        "concurrency_key",
        "priority",
        "id",
        where="concurrency_key IS NOT NULL AND finished_at IS NULL",
    ),
    Index(
        "ix_executions_unfinished",
        "node",
        "wake_at",
        sqlite_where=text("finished_at IS NULL"),
    ),
)

journal = Table(
    "journal",
    metadata,
    Column("execution_id", String, primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("at", Double, nullable=False),
    Column("kind", String, nullable=False),
    Column("action", String),
    Column("body", Text, nullable=False),
    sqlite_with_rowid=False,
)

waits = Table(
    "waits",
    metadata,
    Column("id", String, primary_key=True),
    Column("execution_id", String, nullable=False),
    Column("action", String, nullable=False),
    # What it waits for: an event of this type, or
    Column("event_type", String),
    Column("condition", Text),
    Column("names", Text, nullable=False),
    # the end of this execution.
    Column("child_id", String),
    Column("created_at", Double, nullable=False),
    # The newest event when the wait began: only later ones count.
    Column("after_seq", BigInteger, nullable=False),
    # That it has come, and the event.
    Column("met_at", Double),
    Column("event", Text),
    Index(None, "execution_id"),
    Index(
        "ix_waits_child",
        "child_id",
        sqlite_where=text("child_id IS NOT NULL"),
    ),
    Index(
        "ix_waits_met",
        "met_at",
        sqlite_where=text("met_at IS NOT NULL"),
    ),
)

packed_journals = Table(
    "packed_journals",
    metadata,
    Column("execution_id", String, primary_key=True),
    Column("entries", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

seats = Table(
    "seats",
    metadata,
    Column("workflow", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("seat", Integer, primary_key=True, autoincrement=False),
    Column("execution_id", String, nullable=False),
    UniqueConstraint("execution_id"),
)

approvals = Table(
    "approvals",
    metadata,
    Column("id", String, primary_key=True),
    Column("execution_id", String, nullable=False),
    Column("workflow", String, nullable=False),
    Column("action", String),
    Column("operation", String),
    Column("effect", String, nullable=False),
    Column("reason", Text, nullable=False),
    Column("asked_at", Double, nullable=False),
    Column("started_by", String, nullable=False),
    Column("by_hand", Boolean, nullable=False),
    Column("terms", Text, nullable=False),
    Column("status", String, nullable=False),
    Column("answers", Text, nullable=False),
    Column("escalated_at", Double),
    Column("decided_at", Double),
    Column("settled_at", Double),
    Column("revision", Integer, nullable=False),
    Index(None, "execution_id", "id"),
    Index(None, "status", "id"),
    Index(None, "workflow", "id"),
    Index(
        "ix_approvals_unsettled",
        "status",
        sqlite_where=text("settled_at IS NULL"),
    ),
)

# The body comes last: whoever reads the columns before it does not read its pages.
large_values = Table(
    "large_values",
    metadata,
    Column("sha256", String, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("used_at", Double, nullable=False),
    Column("coding", String, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

large_value_uses = Table(
    "large_value_uses",
    metadata,
    Column("execution_id", String, primary_key=True),
    Column("sha256", String, primary_key=True),
    Index(None, "sha256"),
    sqlite_with_rowid=False,
)

events = Table(
    "events",
    metadata,
    Column("seq", Serial, primary_key=True, autoincrement=True),
    Column("source", String, nullable=False),
    Column("id", String, nullable=False),
    Column("type", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("severity", String),
    Column("time", Double, nullable=False),
    Column("received_at", Double, nullable=False),
    Column("data", Text, nullable=False),
    Column("labels", Text, nullable=False),
    Column("matched", Boolean, nullable=False),
    UniqueConstraint("source", "id"),
    Index(None, "type", "seq"),
)

decisions = Table(
    "decisions",
    metadata,
    Column("seq", Serial, primary_key=True, autoincrement=True),
    Column("at", Double, nullable=False),
    Column("kind", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("outcome", String, nullable=False),
    Column("reason", Text, nullable=False),
    Column("event_source", String),
    Column("event_id", String),
    Index(None, "event_source", "event_id"),
    Index(None, "kind", "seq"),
)

alerts = Table(
    "alerts",
    metadata,
    Column("fingerprint", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("state", String, nullable=False),
    Column("severity", String, nullable=False),
    Column("source", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("labels", Text, nullable=False),
    Column("annotations", Text, nullable=False),
    Column("starts_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Column("fired_at", Double),
    Column("resolved_at", Double),
    Column("value", Double),
    Column("since", Text, nullable=False),
    Column("cooldown_until", Double),
    Column("reason", Text, nullable=False),
    Index(None, "state", "updated_at"),
    Index(None, "updated_at", "fingerprint"),
)

notifications = Table(
    "notifications",
    metadata,
    Column("id", String, primary_key=True),
    Column("channel", String, nullable=False),
    Column("recipient", String, nullable=False),
    Column("text", Text, nullable=False),
    Column("status", String, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("error", Text),
    Column("created_at", Double, nullable=False),
    Column("sent_at", Double),
    Index(None, "created_at"),
)

positions = Table(
    "positions",
    metadata,
    Column("name", String, primary_key=True),
    Column("body", Text, nullable=False),
    Column("updated_at", Double, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("name", String, nullable=False),
    Column("hash", String, nullable=False),
    Column("roles", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("revoked_at", Double),
    UniqueConstraint("hash"),
)

# What was done to targets, for guardrails that look back; one row an action, whatever its attempts.
acts = Table(
    "acts",
    metadata,
    Column("execution_id", String, primary_key=True),
    Column("action", String, primary_key=True),
    Column("workflow", String, nullable=False),
    Column("operation", String, nullable=False),
    Column("target", String, nullable=False),
    Column("service", String),
    Column("replicas", Integer, nullable=False),
    Column("replicas_of", Integer, nullable=False),
    Column("node", String, nullable=False),
    Column("began_at", Double),
    Column("until", Double, nullable=False),
    Column("held_by", String),
    Column("changed_at", Double, nullable=False),
    Index(None, "changed_at"),
    Index(
        "ix_acts_held",
        "held_by",
        sqlite_where=text("held_by IS NOT NULL"),
    ),
)

# What people have put in force by hand: the global stop, freeze windows.
holds = Table(
    "holds",
    metadata,
    Column("kind", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("body", Text, nullable=False),
    Column("actor", String, nullable=False),
    Column("at", Double, nullable=False),
)

# Circuits that are not closed.
breakers = Table(
    "breakers",
    metadata,
    Column("operation", String, primary_key=True),
    Column("target", String, primary_key=True),
    Column("state", String, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("until", Double, nullable=False),
    Column("opened_at", Double, nullable=False),
    Column("error", Text, nullable=False),
)

FREQUENT = ("workflow_execution", "action_execution")
"""The kinds of audit rows that running executions write."""
RARE = " AND ".join(f"kind <> '{kind}'" for kind in FREQUENT)
"""That a row is of another kind, in SQL."""

audit = Table(
    "audit",
    metadata,
    Column("chain", String, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Double, nullable=False),
    Column("kind", String, nullable=False),
    Column("actor", String, nullable=False),
    Column("act", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("outcome", String, nullable=False),
    Column("detail", Text, nullable=False),
    Column("previous", String, nullable=False),
    Column("hash", String, nullable=False),
    # Of the others there are so many that the newest are at the end of each chain, and indexing each would cost writes.
    partial_index("ix_audit_rare", "kind", "chain", "seq", where=RARE),
    sqlite_with_rowid=False,
)

audit_heads = Table(
    "audit_heads",
    metadata,
    Column("chain", String, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("hash", String, nullable=False),
)
