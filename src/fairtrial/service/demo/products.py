"""Two simulated product experiments on the same customers, of which one spoils the other."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from fairtrial.service.demo.holdouts import DAY, DEMO, country_of
from fairtrial.service.experiments.creation import create
from fairtrial.service.experiments.lifecycle import change_status
from fairtrial.service.incrementality import assign_profiles_deterministic, record_outcomes_batch
from fairtrial.service.versions.schemas import SpecCreate
from fairtrial.storage.tables import ExperimentAssignment

BEGAN, LENGTH = 14, 28
EXPERIMENTS: dict[str, tuple[str, str, dict[str, str]]] = {
    "demo-one-page-checkout": ("One-page checkout", "checkout", {"method": "always_valid"}),
    "demo-search-ranking": ("Search ranking by margin", "search", {}),
}
"""Name, surface and what its plan says besides, by key."""


def add_products(session: Session, ids: Sequence[str], rng: np.random.Generator, *, now: dt.datetime) -> None:
    """Create both, assign the same customers to them, and let these convert: the two gains do not add up."""
    start = (now - BEGAN * DAY).replace(hour=0, minute=0, second=0, microsecond=0)
    arms: dict[str, dict[str, str]] = {}
    begun: dict[str, dt.datetime] = {}
    for key, (name, surface, plan) in EXPERIMENTS.items():
        spec = {
            "key": key,
            "name": name,
            "surface": surface,
            "arms": [{"key": "control", "allocation": 0.5}, {"key": "treatment", "allocation": 0.5}],
            "metrics": [
                {"key": "converted", "kind": "proportion", "role": "primary"},
                {"key": "value", "kind": "mean", "role": "secondary"},
            ],
            "segments": ["country"],
            "plan": {"baseline": 0.1, "mde": 0.012, "mde_kind": "absolute", "sample_size": 24_000, **plan},
        }
        row = create(session, SpecCreate.model_validate({"spec": spec}), actor=DEMO, now=start)
        change_status(session, str(row.id), "running", actor=DEMO, now=start)
        units = [ids[int(i)] for i in np.sort(rng.permutation(len(ids))[: int(0.85 * len(ids))])]
        for day in range(BEGAN):
            at = start + day * DAY + dt.timedelta(hours=9)
            assign_profiles_deterministic(session, row.id, units[day::BEGAN], assigned_at=at, now=at)
        session.flush()
        rows = session.scalars(select(ExperimentAssignment).where(ExperimentAssignment.experiment_id == row.id)).all()
        arms[key] = {unit.profile_id: unit.group for unit in rows}
        begun |= {unit.profile_id: max(unit.assigned_at, begun.get(unit.profile_id, unit.assigned_at)) for unit in rows}
    _convert(session, arms, begun, rng, now=now)


def _convert(
    session: Session, arms: dict[str, dict[str, str]], begun: dict[str, dt.datetime], rng: np.random.Generator, *, now: dt.datetime
) -> None:
    checkout, search = (arms[key] for key in EXPERIMENTS)
    outcomes: dict[str, list[dict[str, Any]]] = {key: [] for key in EXPERIMENTS}
    for number, unit in enumerate(sorted({*checkout, *search})):
        one, two = checkout.get(unit) == "treatment", search.get(unit) == "treatment"
        gain = -0.045 if country_of(unit) == "it" else 0.038  # the average of the checkout hides who is hurt
        rate = 0.10 + gain * one + 0.020 * two - 0.064 * (one and two)
        at = begun[unit] + dt.timedelta(days=float(rng.exponential(1.2)))
        if rng.random() >= rate or at >= now:
            continue
        bought = {"profile_id": unit, "conversion_ts": at, "value": float(rng.gamma(2.0, 24.0)), "outcome_id": f"p-{number}"}
        for key in EXPERIMENTS:
            if unit in arms[key]:
                outcomes[key].append(bought)
    for key, rows in outcomes.items():
        record_outcomes_batch(session, key, rows)
