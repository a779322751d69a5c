"""First tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from fairtrial.storage.tables.base import Json, RowId, UtcTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this revision."""
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("public_id", sa.String(), nullable=False),
        sa.Column("secret_hash", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("origins_json", Json, nullable=True),
        sa.Column("environment", sa.String(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("expires_at", UtcTime(), nullable=True),
        sa.Column("revoked_at", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("public_id", name=op.f("uq_api_keys_public_id")),
    )
    op.create_table(
        "audit_log",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("object_type", sa.String(), nullable=False),
        sa.Column("object_id", sa.String(), nullable=False),
        sa.Column("before_json", Json, nullable=True),
        sa.Column("after_json", Json, nullable=True),
        sa.Column("request_id", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
    )
    with op.batch_alter_table("audit_log", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_audit_log_at"), ["at"], unique=False)
        batch_op.create_index(batch_op.f("ix_audit_log_object_type_object_id"), ["object_type", "object_id"], unique=False)

    op.create_table(
        "change_counters",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_change_counters")),
    )
    op.create_table(
        "connector_configs",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("config_json", Json, nullable=False),
        sa.Column("secret", sa.String(), nullable=False),
        sa.Column("connected_at", UtcTime(), nullable=False),
        sa.Column("connected_by", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_connector_configs")),
    )
    op.create_table(
        "conversions",
        sa.Column("id", RowId, nullable=False),
        sa.Column("profile_id", sa.String(), nullable=False),
        sa.Column("kpi", sa.String(), nullable=False),
        sa.Column("converted_at", UtcTime(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_conversions")),
        sa.UniqueConstraint("profile_id", "kpi", "converted_at", name=op.f("uq_conversions_profile_id_kpi_converted_at")),
    )
    with op.batch_alter_table("conversions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_conversions_kpi_converted_at"), ["kpi", "converted_at"], unique=False)

    op.create_table(
        "events",
        sa.Column("event_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("occurred_at", UtcTime(), nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("properties_json", Json, nullable=True),
        sa.Column("received_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_events")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "experiments",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("environment", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=True),
        sa.Column("conversion_key", sa.String(), nullable=True),
        sa.Column("start_at", UtcTime(), nullable=True),
        sa.Column("end_at", UtcTime(), nullable=True),
        sa.Column("notes", sa.String(), nullable=False),
        sa.Column("source_type", sa.String(), nullable=True),
        sa.Column("source_id", sa.String(), nullable=True),
        sa.Column("treatment_rate", sa.Double(), nullable=True),
        sa.Column("setup_json", Json, nullable=False),
        sa.Column("segment_json", Json, nullable=True),
        sa.Column("policy_json", Json, nullable=True),
        sa.Column("guardrails_json", Json, nullable=True),
        sa.Column("config_id", sa.String(), nullable=True),
        sa.Column("config_version", sa.String(), nullable=True),
        sa.Column("spec_json", Json, nullable=False),
        sa.Column("spec_hash", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("hash_key", sa.String(), nullable=False),
        sa.Column("salt", sa.String(), nullable=False),
        sa.Column("allocation_json", Json, nullable=True),
        sa.Column("duplicated_from", sa.Integer(), nullable=True),
        sa.Column("decision_json", Json, nullable=True),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("updated_at", UtcTime(), nullable=False),
        sa.Column("started_at", UtcTime(), nullable=True),
        sa.Column("ended_at", UtcTime(), nullable=True),
        sa.Column("decided_at", UtcTime(), nullable=True),
        sa.CheckConstraint(
            "status IN ('draft', 'running', 'stopped', 'completed', 'decided', 'archived')", name=op.f("ck_experiments_status_known")
        ),
        sa.ForeignKeyConstraint(["duplicated_from"], ["experiments.id"], name=op.f("fk_experiments_duplicated_from_experiments")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_experiments")),
        sa.UniqueConstraint("key", name=op.f("uq_experiments_key")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("experiments", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_experiments_channel"), ["channel"], unique=False)
        batch_op.create_index(batch_op.f("ix_experiments_status"), ["status"], unique=False)

    op.create_table(
        "holdouts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("share", sa.Double(), nullable=False),
        sa.Column("salt", sa.String(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("ended_at", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_holdouts")),
    )
    with op.batch_alter_table("holdouts", schema=None) as batch_op:
        batch_op.create_index(
            "uq_holdouts_active", ["active"], unique=True, sqlite_where=sa.text("active"), postgresql_where=sa.text("active")
        )

    op.create_table(
        "job_runs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("task", sa.String(), nullable=False),
        sa.Column("due_at", UtcTime(), nullable=False),
        sa.Column("started_at", UtcTime(), nullable=False),
        sa.Column("finished_at", UtcTime(), nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("detail_json", Json, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job_runs")),
    )
    with op.batch_alter_table("job_runs", schema=None) as batch_op:
        batch_op.create_index("uq_job_runs_task_due_at", ["task", "due_at"], unique=True)

    op.create_table(
        "journey_days",
        sa.Column("id", RowId, nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("touchpoints", sa.Integer(), nullable=False),
        sa.Column("profiles", sa.Integer(), nullable=False),
        sa.Column("converters", sa.Integer(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("computed_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_journey_days")),
        sa.UniqueConstraint("day", "channel", name=op.f("uq_journey_days_day_channel")),
    )
    op.create_table(
        "layers",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("salt", sa.String(), nullable=False),
        sa.Column("traffic_allocation", sa.Double(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("updated_at", UtcTime(), nullable=False),
        sa.CheckConstraint("status IN ('active', 'archived')", name=op.f("ck_layers_status_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_layers")),
        sa.UniqueConstraint("name", name=op.f("uq_layers_name")),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("expires_at", UtcTime(), nullable=False),
        sa.Column("renewed_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("dedupe_key", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", UtcTime(), nullable=False),
        sa.Column("claimed_by", sa.String(), nullable=True),
        sa.Column("claimed_at", UtcTime(), nullable=True),
        sa.Column("delivered_at", UtcTime(), nullable=True),
        sa.Column("failed_at", UtcTime(), nullable=True),
        sa.Column("last_error", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sa.UniqueConstraint("dedupe_key", name=op.f("uq_outbox_dedupe_key")),
    )
    with op.batch_alter_table("outbox", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_outbox_delivered_at_next_attempt_at"), ["delivered_at", "next_attempt_at"], unique=False)

    op.create_table(
        "profiles",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("age", sa.Double(), nullable=True),
        sa.Column("ltv", sa.Double(), nullable=True),
        sa.Column("attributes_json", Json, nullable=True),
        sa.Column("updated_at", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_profiles")),
    )
    op.create_table(
        "retention_rules",
        sa.Column("table_name", sa.String(), nullable=False),
        sa.Column("days", sa.Integer(), nullable=False),
        sa.Column("updated_at", UtcTime(), nullable=False),
        sa.Column("updated_by", sa.String(), nullable=False),
        sa.CheckConstraint("days >= 1", name=op.f("ck_retention_rules_days_positive")),
        sa.PrimaryKeyConstraint("table_name", name=op.f("pk_retention_rules")),
    )
    op.create_table(
        "touchpoints",
        sa.Column("id", RowId, nullable=False),
        sa.Column("profile_id", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("touched_at", UtcTime(), nullable=False),
        sa.Column("campaign_id", sa.String(), nullable=False),
        sa.Column("owned", sa.Boolean(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_touchpoints")),
        sa.UniqueConstraint(
            "profile_id", "channel", "touched_at", "campaign_id", name=op.f("uq_touchpoints_profile_id_channel_touched_at_campaign_id")
        ),
    )
    with op.batch_alter_table("touchpoints", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_touchpoints_channel_touched_at"), ["channel", "touched_at"], unique=False)

    op.create_table(
        "alerts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("dedupe_key", sa.String(), nullable=False),
        sa.Column("experiment_id", sa.Integer(), nullable=True),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("detail_json", Json, nullable=True),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiments.id"], name=op.f("fk_alerts_experiment_id_experiments")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alerts")),
        sa.UniqueConstraint("dedupe_key", name=op.f("uq_alerts_dedupe_key")),
    )
    with op.batch_alter_table("alerts", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_alerts_experiment_id"), ["experiment_id"], unique=False)

    op.create_table(
        "experiment_assignments",
        sa.Column("id", RowId, nullable=False),
        sa.Column("experiment_id", sa.Integer(), nullable=False),
        sa.Column("profile_id", sa.String(), nullable=False),
        sa.Column("group", sa.String(), nullable=False),
        sa.Column("assigned_at", UtcTime(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiments.id"], name=op.f("fk_experiment_assignments_experiment_id_experiments")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_experiment_assignments")),
        sa.UniqueConstraint("experiment_id", "profile_id", name=op.f("uq_experiment_assignments_experiment_id_profile_id")),
    )
    with op.batch_alter_table("experiment_assignments", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_experiment_assignments_experiment_id_group_source_assigned_at"),
            ["experiment_id", "group", "source", "assigned_at"],
            unique=False,
        )

    op.create_table(
        "experiment_exposures",
        sa.Column("id", RowId, nullable=False),
        sa.Column("experiment_id", sa.Integer(), nullable=False),
        sa.Column("profile_id", sa.String(), nullable=False),
        sa.Column("exposure_ts", UtcTime(), nullable=False),
        sa.Column("campaign_id", sa.String(), nullable=True),
        sa.Column("message_id", sa.String(), nullable=True),
        sa.Column("dedupe_key", sa.LargeBinary(length=16), nullable=False),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiments.id"], name=op.f("fk_experiment_exposures_experiment_id_experiments")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_experiment_exposures")),
        sa.UniqueConstraint(
            "experiment_id", "profile_id", "dedupe_key", name=op.f("uq_experiment_exposures_experiment_id_profile_id_dedupe_key")
        ),
    )
    op.create_table(
        "experiment_looks",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("experiment_id", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("as_of", UtcTime(), nullable=False),
        sa.Column("scorecard_json", Json, nullable=False),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiments.id"], name=op.f("fk_experiment_looks_experiment_id_experiments")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_experiment_looks")),
        sa.UniqueConstraint("experiment_id", "version", "as_of", name=op.f("uq_experiment_looks_experiment_id_version_as_of")),
    )
    op.create_table(
        "experiment_outcomes",
        sa.Column("id", RowId, nullable=False),
        sa.Column("experiment_id", sa.Integer(), nullable=False),
        sa.Column("profile_id", sa.String(), nullable=False),
        sa.Column("conversion_ts", UtcTime(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("outcome_id", sa.String(), nullable=True),
        sa.Column("dedupe_key", sa.LargeBinary(length=16), nullable=False),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiments.id"], name=op.f("fk_experiment_outcomes_experiment_id_experiments")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_experiment_outcomes")),
        sa.UniqueConstraint(
            "experiment_id", "profile_id", "dedupe_key", name=op.f("uq_experiment_outcomes_experiment_id_profile_id_dedupe_key")
        ),
    )
    op.create_table(
        "experiment_results",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("experiment_id", sa.Integer(), nullable=False),
        sa.Column("computed_at", UtcTime(), nullable=False),
        sa.Column("uplift_abs", sa.Double(), nullable=True),
        sa.Column("uplift_rel", sa.Double(), nullable=True),
        sa.Column("ci_low", sa.Double(), nullable=True),
        sa.Column("ci_high", sa.Double(), nullable=True),
        sa.Column("p_value", sa.Double(), nullable=True),
        sa.Column("treatment_size", sa.Integer(), nullable=False),
        sa.Column("control_size", sa.Integer(), nullable=False),
        sa.Column("meta_json", Json, nullable=False),
        sa.Column("first_complete_json", Json, nullable=True),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiments.id"], name=op.f("fk_experiment_results_experiment_id_experiments")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_experiment_results")),
        sa.UniqueConstraint("experiment_id", name=op.f("uq_experiment_results_experiment_id")),
    )
    op.create_table(
        "experiment_versions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("experiment_id", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("spec_json", Json, nullable=False),
        sa.Column("spec_hash", sa.String(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("frozen_at", UtcTime(), nullable=True),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiments.id"], name=op.f("fk_experiment_versions_experiment_id_experiments")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_experiment_versions")),
        sa.UniqueConstraint("experiment_id", "version", name=op.f("uq_experiment_versions_experiment_id_version")),
    )
    op.create_table(
        "forced_variants",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("experiment_id", sa.Integer(), nullable=False),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("arm", sa.String(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("lifted_at", UtcTime(), nullable=True),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiments.id"], name=op.f("fk_forced_variants_experiment_id_experiments")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_forced_variants")),
        sa.UniqueConstraint("experiment_id", "unit", name=op.f("uq_forced_variants_experiment_id_unit")),
    )
    op.create_table(
        "layer_slots",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("layer_id", sa.Integer(), nullable=False),
        sa.Column("experiment_id", sa.Integer(), nullable=False),
        sa.Column("low", sa.Integer(), nullable=False),
        sa.Column("high", sa.Integer(), nullable=False),
        sa.Column("taken_at", UtcTime(), nullable=False),
        sa.Column("released_at", UtcTime(), nullable=True),
        sa.CheckConstraint("low >= 0 AND high <= 10000 AND low < high", name=op.f("ck_layer_slots_in_range")),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiments.id"], name=op.f("fk_layer_slots_experiment_id_experiments")),
        sa.ForeignKeyConstraint(["layer_id"], ["layers.id"], name=op.f("fk_layer_slots_layer_id_layers")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_layer_slots")),
    )
    with op.batch_alter_table("layer_slots", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_layer_slots_experiment_id"), ["experiment_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_layer_slots_layer_id"), ["layer_id"], unique=False)


def downgrade() -> None:
    """Back to the one before."""
    with op.batch_alter_table("layer_slots", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_layer_slots_layer_id"))
        batch_op.drop_index(batch_op.f("ix_layer_slots_experiment_id"))

    op.drop_table("layer_slots")
    op.drop_table("forced_variants")
    op.drop_table("experiment_versions")
    op.drop_table("experiment_results")
    op.drop_table("experiment_outcomes")
    op.drop_table("experiment_looks")
    op.drop_table("experiment_exposures")
    with op.batch_alter_table("experiment_assignments", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_experiment_assignments_experiment_id_group_source_assigned_at"))

    op.drop_table("experiment_assignments")
    with op.batch_alter_table("alerts", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_alerts_experiment_id"))

    op.drop_table("alerts")
    with op.batch_alter_table("touchpoints", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_touchpoints_channel_touched_at"))

    op.drop_table("touchpoints")
    op.drop_table("retention_rules")
    op.drop_table("profiles")
    with op.batch_alter_table("outbox", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_outbox_delivered_at_next_attempt_at"))

    op.drop_table("outbox")
    op.drop_table("leases")
    op.drop_table("layers")
    op.drop_table("journey_days")
    with op.batch_alter_table("job_runs", schema=None) as batch_op:
        batch_op.drop_index("uq_job_runs_task_due_at")

    op.drop_table("job_runs")
    with op.batch_alter_table("holdouts", schema=None) as batch_op:
        batch_op.drop_index("uq_holdouts_active", sqlite_where=sa.text("active"), postgresql_where=sa.text("active"))

    op.drop_table("holdouts")
    with op.batch_alter_table("experiments", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_experiments_status"))
        batch_op.drop_index(batch_op.f("ix_experiments_channel"))

    op.drop_table("experiments")
    op.drop_table("events")
    with op.batch_alter_table("conversions", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_conversions_kpi_converted_at"))

    op.drop_table("conversions")
    op.drop_table("connector_configs")
    op.drop_table("change_counters")
    with op.batch_alter_table("audit_log", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_audit_log_object_type_object_id"))
        batch_op.drop_index(batch_op.f("ix_audit_log_at"))

    op.drop_table("audit_log")
    op.drop_table("api_keys")
