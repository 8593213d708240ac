"""What the durable engine of 0.2.0 needs."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what came after 0.1.0."""
    _control()


def _control() -> None:
    """What people may ask of executions: to pause, to run again."""
    op.add_column("executions", sa.Column("wish", sa.Text(), nullable=True))
    op.add_column("executions", sa.Column("rerun_of", sa.String(), nullable=True))
    op.add_column("executions", sa.Column("forked_from", sa.String(), nullable=True))
