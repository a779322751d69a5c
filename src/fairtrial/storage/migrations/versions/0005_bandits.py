"""Bandits: where they stand, periods, decisions, rewards."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from fairtrial.storage.tables.base import Json, UtcTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this revision."""
    op.create_table(
        "bandits",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("spec_json", Json, nullable=False),
        sa.Column("spec_hash", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("period", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("final_arm", sa.String(), nullable=True),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("updated_at", UtcTime(), nullable=False),
        sa.Column("updated_by", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_bandits")),
    )
    op.create_table(
        "bandit_periods",
        sa.Column("bandit", sa.String(), nullable=False),
        sa.Column("period", sa.Integer(), nullable=False),
        sa.Column("started_at", UtcTime(), nullable=False),
        sa.Column("plan_json", Json, nullable=False),
        sa.PrimaryKeyConstraint("bandit", "period", name=op.f("pk_bandit_periods")),
    )
    op.create_table(
        "bandit_decisions",
        sa.Column("decision_id", sa.String(), nullable=False),
        sa.Column("bandit", sa.String(), nullable=False),
        sa.Column("period", sa.Integer(), nullable=False),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("arm", sa.String(), nullable=False),
        sa.Column("propensity", sa.Double(), nullable=False),
        sa.Column("fixed", sa.Boolean(), nullable=False),
        sa.Column("propensities_json", Json, nullable=True),
        sa.Column("context_json", Json, nullable=True),
        sa.Column("decided_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("decision_id", name=op.f("pk_bandit_decisions")),
        sa.UniqueConstraint("bandit", "period", "unit", name=op.f("uq_bandit_decisions_bandit_period_unit")),
    )
    with op.batch_alter_table("bandit_decisions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_bandit_decisions_unit"), ["unit"], unique=False)
    op.create_table(
        "bandit_rewards",
        sa.Column("decision_id", sa.String(), nullable=False),
        sa.Column("bandit", sa.String(), nullable=False),
        sa.Column("reward", sa.Double(), nullable=False),
        sa.Column("metrics_json", Json, nullable=False),
        sa.Column("rewarded_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("decision_id", name=op.f("pk_bandit_rewards")),
    )
    with op.batch_alter_table("bandit_rewards", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_bandit_rewards_bandit"), ["bandit"], unique=False)


def downgrade() -> None:
    """Back to the one before."""
    op.drop_table("bandit_rewards")
    op.drop_table("bandit_decisions")
    op.drop_table("bandit_periods")
    op.drop_table("bandits")
