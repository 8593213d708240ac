"""What the durable engine of 0.2.0 needs."""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what came after 0.1.0."""
    _guards()
    _waits()
    _children()
    _writers()
    _control()
    _packed_journals()
    _large_values()
    _approvals()
    _seats()
    _lists()
    _audit_kinds()
    _triggers()
    _metrics()


def _guards() -> None:
    """What guardrails remember: acts on targets, what is held by hand, open circuits."""
    op.create_table(
        "acts",
        sa.Column("execution_id", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("workflow", sa.String(), nullable=False),
        sa.Column("operation", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("service", sa.String(), nullable=True),
        sa.Column("replicas", sa.Integer(), nullable=False),
        sa.Column("replicas_of", sa.Integer(), nullable=False),
        sa.Column("node", sa.String(), nullable=False),
        sa.Column("began_at", sa.Double(), nullable=True),
        sa.Column("until", sa.Double(), nullable=False),
        sa.Column("held_by", sa.String(), nullable=True),
        sa.Column("changed_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("execution_id", "action", name=op.f("pk_acts")),
    )
    op.create_index(op.f("ix_acts_changed_at"), "acts", ["changed_at"], unique=False)
    op.create_index(
        "ix_acts_held",
        "acts",
        ["held_by"],
        unique=False,
        sqlite_where=sa.text("held_by IS NOT NULL"),
        postgresql_where=sa.text("held_by IS NOT NULL"),
    )
    op.create_table(
        "holds",
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "name", name=op.f("pk_holds")),
    )
    op.create_table(
        "breakers",
        sa.Column("operation", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.Column("opened_at", sa.Double(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("operation", "target", name=op.f("pk_breakers")),
    )


def _waits() -> None:
    """What executions wait for beside times and people: events, and the ends of their children."""
    op.create_table(
        "waits",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("execution_id", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("event_type", sa.String(), nullable=True),
        sa.Column("condition", sa.Text(), nullable=True),
        sa.Column("names", sa.Text(), nullable=False),
        sa.Column("child_id", sa.String(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("after_seq", sa.BigInteger(), nullable=False),
        sa.Column("met_at", sa.Double(), nullable=True),
        sa.Column("event", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_waits")),
    )
    op.create_index(op.f("ix_waits_execution_id"), "waits", ["execution_id"], unique=False)
    for name, column in (("ix_waits_child", "child_id"), ("ix_waits_met", "met_at")):
        where = sa.text(f"{column} IS NOT NULL")
        op.create_index(name, "waits", [column], unique=False, sqlite_where=where, postgresql_where=where)


def _children() -> None:
    """Which execution, by which of its actions, has started an execution."""
    op.add_column("executions", sa.Column("parent", sa.String(), nullable=True))
    op.add_column("executions", sa.Column("parent_action", sa.String(), nullable=True))
    where = sa.text("parent IS NOT NULL")
    op.create_index(
        "ix_executions_parent",
        "executions",
        ["parent", "parent_action"],
        unique=False,
        sqlite_where=where,
        postgresql_where=where,
    )


def _writers() -> None:
    """What writers on PostgreSQL have committed last."""
    op.create_table(
        "writers",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("session", sa.String(), nullable=False),
        sa.Column("batch", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_writers")),
    )


def _control() -> None:
    """What people may ask of executions: to pause, to run again."""
    op.add_column("executions", sa.Column("wish", sa.Text(), nullable=True))
    op.add_column("executions", sa.Column("rerun_of", sa.String(), nullable=True))
    op.add_column("executions", sa.Column("forked_from", sa.String(), nullable=True))


def _packed_journals() -> None:
    """Journals of finished executions, in one row each."""
    op.create_table(
        "packed_journals",
        sa.Column("execution_id", sa.String(), nullable=False),
        sa.Column("entries", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("execution_id", name=op.f("pk_packed_journals")),
    )


def _large_values() -> None:
    """Values too large for the journal, and which executions name them."""
    op.create_table(
        "large_values",
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("used_at", sa.Double(), nullable=False),
        sa.Column("coding", sa.String(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_large_values")),
    )
    op.create_table(
        "large_value_uses",
        sa.Column("execution_id", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("execution_id", "sha256", name=op.f("pk_large_value_uses")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_large_value_uses_sha256"), "large_value_uses", ["sha256"], unique=False)


def _approvals() -> None:
    """What people were asked, and what they answered."""
    op.create_table(
        "approvals",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("execution_id", sa.String(), nullable=False),
        sa.Column("workflow", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=True),
        sa.Column("operation", sa.String(), nullable=True),
        sa.Column("effect", sa.String(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("asked_at", sa.Double(), nullable=False),
        sa.Column("started_by", sa.String(), nullable=False),
        sa.Column("by_hand", sa.Boolean(), nullable=False),
        sa.Column("terms", sa.Text(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("answers", sa.Text(), nullable=False),
        sa.Column("escalated_at", sa.Double(), nullable=True),
        sa.Column("decided_at", sa.Double(), nullable=True),
        sa.Column("settled_at", sa.Double(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_approvals")),
    )
    op.create_index(op.f("ix_approvals_execution_id_id"), "approvals", ["execution_id", "id"], unique=False)
    op.create_index(op.f("ix_approvals_status_id"), "approvals", ["status", "id"], unique=False)
    op.create_index(op.f("ix_approvals_workflow_id"), "approvals", ["workflow", "id"], unique=False)
    op.create_index(
        "ix_approvals_unsettled",
        "approvals",
        ["status"],
        unique=False,
        sqlite_where=sa.text("settled_at IS NULL"),
        postgresql_where=sa.text("settled_at IS NULL"),
    )
    _ask_again()


def _seats() -> None:
    """Which executions hold the seats of which concurrency keys."""
    op.add_column("executions", sa.Column("concurrency_key", sa.String(), nullable=True))
    op.create_index(
        "ix_executions_keyed",
        "executions",
        ["workflow", "concurrency_key", "priority", "id"],
        unique=False,
        sqlite_where=sa.text("concurrency_key IS NOT NULL AND finished_at IS NULL"),
        postgresql_where=sa.text("concurrency_key IS NOT NULL AND finished_at IS NULL"),
    )
    op.create_table(
        "seats",
        sa.Column("workflow", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("seat", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("execution_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("workflow", "key", "seat", name=op.f("pk_seats")),
        sa.UniqueConstraint("execution_id", name=op.f("uq_seats_execution_id")),
    )


def _lists() -> None:
    """A page of executions is found by its filters, whichever are given, however many there are."""
    op.drop_index(op.f("ix_executions_workflow_id"), table_name="executions")
    op.create_index(op.f("ix_executions_workflow_status_id"), "executions", ["workflow", "status", "id"], unique=False)


def _audit_kinds() -> None:
    """What running executions do not write is found among what they do."""
    where = sa.text("kind <> 'workflow_execution' AND kind <> 'action_execution'")
    columns = ["kind", "chain", "seq"]
    op.create_index("ix_audit_rare", "audit", columns, unique=False, sqlite_where=where, postgresql_where=where)


def _triggers() -> None:
    """What triggers remember between events; what could not be taken in."""
    op.create_table(
        "trigger_states",
        sa.Column("trigger", sa.String(), nullable=False),
        sa.Column("part", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("revision", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("due_at", sa.Double(), nullable=True),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("trigger", "part", "key", name=op.f("pk_trigger_states")),
    )
    op.create_index(op.f("ix_trigger_states_updated_at"), "trigger_states", ["updated_at"], unique=False)
    op.create_table(
        "dead_letters",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("truncated", sa.Boolean(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("replayed_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dead_letters")),
    )
    op.create_index(op.f("ix_dead_letters_source_id"), "dead_letters", ["source", "id"], unique=False)


def _ask_again() -> None:
    """What waited for a person under 0.1.0, when that was no row of its own, is an approval from now on."""
    connection = op.get_bind()
    unfinished = "SELECT e.id, e.workflow, e.status, e.actor, e.event_id FROM executions e WHERE e.finished_at IS NULL"
    for execution in connection.execute(sa.text(unfinished)).all():
        entries = connection.execute(
            sa.text("SELECT seq, at, kind, action, body FROM journal WHERE execution_id = :id ORDER BY seq"),
            {"id": execution.id},
        ).all()
        last = {entry.action: entry for entry in entries}
        if execution.status == "proposed":
            waiting = [entry for entry in entries if entry.kind == "started"]
        else:
            waiting = [
                entry
                for action, entry in last.items()
                if action is not None and entry.kind == "action_waiting" and json.loads(entry.body).get("until") is None
            ]
        for entry in waiting:
            _ask(connection, execution, entry)


def _ask(connection: sa.Connection, execution: sa.Row[Any], entry: sa.Row[Any]) -> None:
    body = json.loads(entry.body)
    # Sorted by the age of its execution, as ids are by theirs.
    body["approval"] = f"{execution.id[:-4]}{entry.seq & 0xFFFF:04x}"
    terms: dict[str, Any] = {"quorum": 1, "expires_at": None, "on_expiry": "deny", "escalate_at": None}
    terms |= {"notify": [], "roles": [], "not_self": False}
    row = {
        "id": body["approval"],
        "execution_id": execution.id,
        "workflow": execution.workflow,
        "action": entry.action,
        "operation": None,
        # It was not said which it is, so that it is the one for which more is needed.
        "effect": "critical",
        "reason": body.get("reason") or "",
        "asked_at": entry.at,
        "started_by": execution.actor,
        "by_hand": execution.event_id is None,
        "terms": json.dumps(terms, separators=(",", ":")),
        "status": "pending",
        "answers": "[]",
        "revision": 0,
    }
    columns = ", ".join(row)
    values = ", ".join(f":{column}" for column in row)
    connection.execute(sa.text(f"INSERT INTO approvals ({columns}) VALUES ({values})"), row)  # noqa: S608 - our names
    connection.execute(
        sa.text("UPDATE journal SET body = :body WHERE execution_id = :id AND seq = :seq"),
        {"body": json.dumps(body, separators=(",", ":")), "id": execution.id, "seq": entry.seq},
    )


def _metrics() -> None:
    """The history of metrics."""
    op.create_table(
        "metric_series",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("last_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_metric_series")),
    )
    op.create_index(op.f("ix_metric_series_name_subject"), "metric_series", ["name", "subject"], unique=False)
    op.create_table(
        "metric_buckets",
        sa.Column("resolution", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("start", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("series", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.Double(), nullable=False),
        sa.Column("least", sa.Double(), nullable=False),
        sa.Column("most", sa.Double(), nullable=False),
        sa.Column("first", sa.Double(), nullable=False),
        sa.Column("last", sa.Double(), nullable=False),
        sa.Column("rise", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("resolution", "start", "series", name=op.f("pk_metric_buckets")),
        sqlite_with_rowid=False,
    )
