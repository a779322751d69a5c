"""Rows of a holdout written straight into the tables, to set a scene of known counts."""

from __future__ import annotations

import datetime as dt
import hashlib

from fairtrial.storage.tables import ExperimentAssignment, ExperimentExposure, ExperimentOutcome

START = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


def mark(*parts: object) -> bytes:
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).digest()


def add_units(session, experiment: int, group: str, n: int, *, assigned_at=START, source="assign", prefix="") -> list[str]:
    names = [f"{prefix}{group[0]}{i:05d}" for i in range(n)]
    session.add_all(
        ExperimentAssignment(experiment_id=experiment, profile_id=name, group=group, assigned_at=assigned_at, source=source)
        for name in names
    )
    return names


def add_outcomes(session, experiment: int, names: list[str], *, at: dt.datetime, value: float = 0.0) -> None:
    session.add_all(
        ExperimentOutcome(
            experiment_id=experiment, profile_id=name, conversion_ts=at, value=value, outcome_id=None, dedupe_key=mark(at, value)
        )
        for name in names
    )


def add_exposures(session, experiment: int, names: list[str], *, at: dt.datetime) -> None:
    session.add_all(ExperimentExposure(experiment_id=experiment, profile_id=name, exposure_ts=at, dedupe_key=mark(at)) for name in names)
