"""What the durable engine of 0.2.0 needs."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what came after 0.1.0."""
    _packed_journals()
    _large_values()


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
