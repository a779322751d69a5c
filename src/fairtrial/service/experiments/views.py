"""Rows as response bodies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fairtrial.service.experiments.holdout import DEFAULT_TREATMENT_RATE, conversion_window_days, execution_capability
from fairtrial.service.experiments.schemas import ExperimentDetail, ExperimentList, ExperimentOut
from fairtrial.storage.tables import Experiment


def as_out(row: Experiment) -> ExperimentOut:
    """An experiment as created or listed."""
    return ExperimentOut.model_validate(_common(row))


def as_list(rows: Sequence[Experiment], total: int) -> ExperimentList:
    """A page of experiments."""
    return ExperimentList(items=[as_out(row) for row in rows], total=total)


def as_detail(row: Experiment) -> ExperimentDetail:
    """One experiment with its set-up."""
    same = ("kind", "notes", "environment", "version", "spec_hash", "source_type", "source_id", "config_id", "config_version")
    times = ("created_at", "started_at", "ended_at", "decided_at", "duplicated_from")
    return ExperimentDetail.model_validate(
        _common(row)
        | {name: getattr(row, name) for name in (*same, *times)}
        | {
            "conversion_window_days": conversion_window_days(row.channel, row.policy_json),
            "execution_capability": execution_capability(row.channel),
            "setup": {**row.setup_json, "treatment_rate": row.treatment_rate or DEFAULT_TREATMENT_RATE},
            "segment": row.segment_json,
            "policy": row.policy_json,
            "guardrails": row.guardrails_json,
        }
    )


def _common(row: Experiment) -> dict[str, Any]:
    names = ("id", "key", "name", "channel", "status", "start_at", "end_at", "conversion_key")
    return {name: getattr(row, name) for name in names} | {"plan": (row.guardrails_json or {}).get("power_plan")}
