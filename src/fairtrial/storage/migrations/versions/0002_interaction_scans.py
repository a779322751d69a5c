"""Kept scans of experiments that run at once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from fairtrial.storage.tables.base import Json, UtcTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this revision."""
    op.create_table(
        "interaction_scans",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("as_of", UtcTime(), nullable=False),
        sa.Column("trigger", sa.String(), nullable=False),
        sa.Column("total_active_experiments", sa.Integer(), nullable=False),
        sa.Column("pairs_analyzed", sa.Integer(), nullable=False),
        sa.Column("high_risk_pairs", sa.Integer(), nullable=False),
        sa.Column("correction_method", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_interaction_scans")),
    )
    with op.batch_alter_table("interaction_scans", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_interaction_scans_as_of"), ["as_of"], unique=False)

    op.create_table(
        "interaction_pairs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("scan_id", sa.Integer(), nullable=False),
        sa.Column("experiment_a_id", sa.Integer(), nullable=False),
        sa.Column("experiment_b_id", sa.Integer(), nullable=False),
        sa.Column("overall_risk", sa.String(), nullable=False),
        sa.Column("effect", sa.Double(), nullable=True),
        sa.Column("entry_json", Json, nullable=False),
        sa.ForeignKeyConstraint(["experiment_a_id"], ["experiments.id"], name=op.f("fk_interaction_pairs_experiment_a_id_experiments")),
        sa.ForeignKeyConstraint(["experiment_b_id"], ["experiments.id"], name=op.f("fk_interaction_pairs_experiment_b_id_experiments")),
        sa.ForeignKeyConstraint(["scan_id"], ["interaction_scans.id"], name=op.f("fk_interaction_pairs_scan_id_interaction_scans")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_interaction_pairs")),
    )
    with op.batch_alter_table("interaction_pairs", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_interaction_pairs_experiment_a_id_experiment_b_id"), ["experiment_a_id", "experiment_b_id"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_interaction_pairs_experiment_b_id"), ["experiment_b_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_interaction_pairs_scan_id"), ["scan_id"], unique=False)


def downgrade() -> None:
    """Back to the one before."""
    op.drop_table("interaction_pairs")
    op.drop_table("interaction_scans")
