"""The stratum within which a profile was assigned."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this revision."""
    with op.batch_alter_table("experiment_assignments", schema=None) as batch_op:
        batch_op.add_column(sa.Column("stratum", sa.String(), nullable=True))


def downgrade() -> None:
    """Back to the one before."""
    with op.batch_alter_table("experiment_assignments", schema=None) as batch_op:
        batch_op.drop_column("stratum")
