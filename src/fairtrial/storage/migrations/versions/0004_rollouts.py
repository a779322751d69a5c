"""Adaptive rollouts of features: rollouts, their users and sessions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from fairtrial.storage.tables.base import Json, RowId, UtcTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this revision."""
    op.create_table(
        "rollouts",
        sa.Column("id", RowId, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("hash_key", sa.String(), nullable=False),
        sa.Column("settings_json", Json, nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("share", sa.Double(), nullable=False),
        sa.Column("changes_json", Json, nullable=False),
        sa.Column("history_json", Json, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("updated_at", UtcTime(), nullable=False),
        sa.Column("updated_by", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rollouts")),
        sa.UniqueConstraint("name", name=op.f("uq_rollouts_name")),
    )
    op.create_table(
        "rollout_users",
        sa.Column("id", RowId, nullable=False),
        sa.Column("rollout_id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("variant", sa.String(), nullable=False),
        sa.Column("engagement", sa.String(), nullable=True),
        sa.Column("assigned_at", UtcTime(), nullable=False),
        sa.Column("treated_at", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rollout_users")),
        sa.UniqueConstraint("rollout_id", "user_id", name=op.f("uq_rollout_users_rollout_id_user_id")),
    )
    with op.batch_alter_table("rollout_users", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_rollout_users_user_id"), ["user_id"], unique=False)
    op.create_table(
        "rollout_sessions",
        sa.Column("id", RowId, nullable=False),
        sa.Column("rollout_id", sa.Integer(), nullable=False),
        sa.Column("session_id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("occurred_at", UtcTime(), nullable=False),
        sa.Column("variant", sa.String(), nullable=False),
        sa.Column("task_completion_time", sa.Double(), nullable=True),
        sa.Column("accepted", sa.Boolean(), nullable=False),
        sa.Column("latency_ms", sa.Double(), nullable=False),
        sa.Column("error", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rollout_sessions")),
        sa.UniqueConstraint("rollout_id", "session_id", name=op.f("uq_rollout_sessions_rollout_id_session_id")),
    )
    with op.batch_alter_table("rollout_sessions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_rollout_sessions_rollout_id_occurred_at"), ["rollout_id", "occurred_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_rollout_sessions_user_id"), ["user_id"], unique=False)


def downgrade() -> None:
    """Back to the one before."""
    op.drop_table("rollout_sessions")
    op.drop_table("rollout_users")
    op.drop_table("rollouts")
