"""Versions as response bodies."""

from __future__ import annotations

from fairtrial.service.versions.schemas import VersionOut
from fairtrial.storage.tables import ExperimentVersion


def as_version(row: ExperimentVersion) -> VersionOut:
    """A version with its spec."""
    names = ("experiment_id", "version", "spec_hash", "reason", "created_at", "created_by", "frozen_at")
    return VersionOut.model_validate({name: getattr(row, name) for name in names} | {"spec": row.spec_json})
