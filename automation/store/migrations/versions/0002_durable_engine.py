"""What the durable engine of 0.2.0 needs."""

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
    _large_values()


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
        sa.Column("batch", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_writers")),
    )


def _control() -> None:
    """What people may ask of executions: to pause, to run again."""
    op.add_column("executions", sa.Column("wish", sa.Text(), nullable=True))
    op.add_column("executions", sa.Column("rerun_of", sa.String(), nullable=True))
    op.add_column("executions", sa.Column("forked_from", sa.String(), nullable=True))


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
