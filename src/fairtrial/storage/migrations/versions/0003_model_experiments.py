"""Experiments of models: deployments, evidence, predictions, labels, comparisons."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from fairtrial.storage.tables.base import Json, UtcTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this revision."""
    op.create_table(
        "model_deployments",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("spec_json", Json, nullable=False),
        sa.Column("spec_hash", sa.String(), nullable=False),
        sa.Column("state_json", Json, nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("updated_at", UtcTime(), nullable=False),
        sa.Column("updated_by", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_model_deployments")),
    )
    op.create_table(
        "model_evidence",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("counts_json", Json, nullable=False),
        sa.Column("updated_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", "holder", name=op.f("pk_model_evidence")),
    )
    op.create_table(
        "experiment_logs",
        sa.Column("prediction_id", sa.String(), nullable=False),
        sa.Column("experiment", sa.String(), nullable=False),
        sa.Column("assignment_id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=True),
        sa.Column("variant", sa.String(), nullable=False),
        sa.Column("model_name", sa.String(), nullable=False),
        sa.Column("served_by", sa.String(), nullable=False),
        sa.Column("prediction", sa.String(), nullable=True),
        sa.Column("timestamp", UtcTime(), nullable=False),
        sa.Column("latency_ms", sa.Double(), nullable=False),
        sa.Column("error", sa.Boolean(), nullable=False),
        sa.Column("timeout", sa.Boolean(), nullable=False),
        sa.Column("fallback", sa.Boolean(), nullable=False),
        sa.Column("propensity", sa.Double(), nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("features", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("prediction_id", name=op.f("pk_experiment_logs")),
    )
    with op.batch_alter_table("experiment_logs", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_experiment_logs_experiment_timestamp"), ["experiment", "timestamp"], unique=False)
        batch_op.create_index(batch_op.f("ix_experiment_logs_user_id"), ["user_id"], unique=False)
    op.create_table(
        "model_labels",
        sa.Column("prediction_id", sa.String(), nullable=False),
        sa.Column("experiment", sa.String(), nullable=False),
        sa.Column("outcome", sa.Double(), nullable=False),
        sa.Column("labelled_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("prediction_id", name=op.f("pk_model_labels")),
    )
    with op.batch_alter_table("model_labels", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_model_labels_experiment"), ["experiment"], unique=False)
    op.create_table(
        "shadow_logs",
        sa.Column("prediction_id", sa.String(), nullable=False),
        sa.Column("experiment", sa.String(), nullable=False),
        sa.Column("challenger", sa.String(), nullable=False),
        sa.Column("timestamp", UtcTime(), nullable=False),
        sa.Column("champion_prediction", sa.String(), nullable=True),
        sa.Column("challenger_prediction", sa.String(), nullable=True),
        sa.Column("prediction_difference", sa.Double(), nullable=True),
        sa.Column("diverged", sa.Boolean(), nullable=True),
        sa.Column("label_flip", sa.Boolean(), nullable=True),
        sa.Column("champion_latency_ms", sa.Double(), nullable=False),
        sa.Column("challenger_latency_ms", sa.Double(), nullable=True),
        sa.Column("challenger_error", sa.Boolean(), nullable=False),
        sa.Column("challenger_timeout", sa.Boolean(), nullable=False),
        sa.Column("dropped", sa.Boolean(), nullable=False),
        sa.Column("features", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("prediction_id", name=op.f("pk_shadow_logs")),
    )
    with op.batch_alter_table("shadow_logs", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_shadow_logs_experiment_timestamp"), ["experiment", "timestamp"], unique=False)


def downgrade() -> None:
    """Back to the one before."""
    op.drop_table("shadow_logs")
    op.drop_table("model_labels")
    op.drop_table("experiment_logs")
    op.drop_table("model_evidence")
    op.drop_table("model_deployments")
