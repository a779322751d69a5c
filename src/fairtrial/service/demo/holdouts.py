"""Simulated holdouts: profiles with a past, groups by the hash, exposures and conversions by a known truth."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from fairtrial.service.access.roles import Actor, Role
from fairtrial.service.experiments.lifecycle import change_status, create_holdout, get_experiment
from fairtrial.service.experiments.schemas import ExperimentCreate
from fairtrial.service.incrementality import assign_profiles_deterministic, record_exposures_batch, record_outcomes_batch
from fairtrial.storage.population import store_conversions, store_touchpoints, upsert_profiles
from fairtrial.storage.tables import ExperimentAssignment

DEMO = Actor(name="demo", role=Role.ADMIN)
DAY = dt.timedelta(days=1)
COUNTRIES = ("de", "de", "de", "de", "fr", "fr", "fr", "it", "se", "se")


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdout:
    """A simulated holdout.

    Attributes:
        key: Its key.
        name: Its name.
        channel: Its channel.
        began: Days before now at which it started.
        length: Days that it was planned for.
        profiles: How many come in, spread over its days.
        base: Rate of the control.
        lift: Effect on the rate of the treated, in points.
        treatment_rate: Share treated.
        mde: Effect that it was planned for, in points.
        stop_rule: Its plan's method.
        value: Mean value of a conversion.
        leak: Share of controls that are reached all the same.
        lost: Share of the treatment group whose assignment is lost on the way: a fault to be found.
        notes: What is tried.
        end: `running`, `completed` or `draft`.
    """

    key: str
    name: str
    channel: str
    began: int
    length: int
    profiles: int
    base: float
    lift: float
    treatment_rate: float = 0.8
    mde: float = 0.01
    stop_rule: str = "fixed_horizon"
    value: float = 42.0
    leak: float = 0.0
    lost: float = 0.0
    notes: str = ""
    end: str = "running"


HOLDOUTS: tuple[Holdout, ...] = (
    Holdout(
        key="demo-winback-email", name="Win-back e-mail", channel="email", began=20, length=35, profiles=12_000, base=0.05, lift=0.012,
        notes="Does the win-back series bring back customers who would not have come by themselves?",
    ),
    Holdout(
        key="demo-back-in-stock", name="Push: back in stock", channel="push", began=16, length=30, profiles=14_000, base=0.08, lift=0.022,
        treatment_rate=0.7, mde=0.015, stop_rule="always_valid", value=31.0, notes="Sold at once, or only sooner?",
    ),
    Holdout(
        key="demo-sms-reminder", name="SMS reminder", channel="sms", began=12, length=21, profiles=9_000, base=0.06, lift=0.004,
        treatment_rate=0.5, lost=0.12, notes="One group loses profiles on the way: the check of shares must say so.",
    ),
    Holdout(
        key="demo-onsite-banner", name="Onsite banner: free returns", channel="onsite", began=33, length=28, profiles=12_000, base=0.07,
        lift=0.0, treatment_rate=0.5, leak=0.04, notes="Over, and not decided yet.", end="completed",
    ),
    Holdout(
        key="demo-loyalty-letter", name="Loyalty letter", channel="email", began=60, length=28, profiles=12_000, base=0.04, lift=0.016,
        treatment_rate=0.8, notes="Decided in the spring.", end="decided",
    ),
    Holdout(
        key="demo-whatsapp-welcome", name="WhatsApp welcome", channel="whatsapp", began=0, length=21, profiles=0, base=0.05, lift=0.0,
        notes="A draft: planned, not started.", end="draft",
    ),
)  # fmt: skip


def country_of(unit: str) -> str:
    """The country of a simulated customer, by the digits of the id."""
    return COUNTRIES[int(unit[-6:]) * 7 % len(COUNTRIES)]


def fill_population(session: Session, rng: np.random.Generator, *, now: dt.datetime, profiles: int) -> list[str]:
    """Profiles with age and value, contacts of the last weeks and the conversions that followed; their ids."""
    ids = [f"customer-{number:06d}" for number in range(profiles)]
    age = rng.normal(44.0, 13.0, profiles).clip(18.0, 90.0).round(1)
    ltv = rng.gamma(1.6, 140.0, profiles).round(2)
    rows = zip(ids, age.tolist(), ltv.tolist(), strict=True)
    upsert_profiles(
        session,
        [{"id": unit, "age": a, "ltv": v, "attributes_json": {"country": country_of(unit)}, "updated_at": now} for unit, a, v in rows],
    )
    channels = np.array(["email", "push", "sms", "onsite", "paid_social"])[rng.choice(5, profiles, p=[0.35, 0.25, 0.1, 0.2, 0.1])]
    back = rng.uniform(1.0, 27.0, profiles)
    touched = [now - dt.timedelta(days=float(days)) for days in back]
    store_touchpoints(
        session,
        [
            {"profile_id": unit, "channel": str(channel), "touched_at": at, "campaign_id": "always-on", "owned": None}
            for unit, channel, at in zip(ids, channels.tolist(), touched, strict=True)
        ],
    )
    bought = np.flatnonzero(rng.random(profiles) < 0.055)
    later = rng.uniform(0.02, 0.9, bought.size)
    store_conversions(
        session,
        [
            {"profile_id": ids[i], "kpi": "purchase", "converted_at": touched[i] + dt.timedelta(days=float(after)), "value": 40.0}
            for i, after in zip(bought.tolist(), later, strict=True)
        ],
    )
    return ids


def add_holdout(session: Session, one: Holdout, ids: Sequence[str], rng: np.random.Generator, *, now: dt.datetime) -> int:
    """Create a holdout as it was on its first day, and let its days pass; its id."""
    start = (now - one.began * DAY).replace(hour=0, minute=0, second=0, microsecond=0)
    asked = ExperimentCreate.model_validate(
        {
            "name": one.name, "key": one.key, "channel": one.channel, "conversion_key": "purchase", "notes": one.notes,
            "start_at": start.isoformat(), "end_at": (start + one.length * DAY).isoformat(), "treatment_rate": one.treatment_rate,
            "baseline_rate_estimate": one.base, "mde_target": one.mde, "stop_rule": one.stop_rule, "source_type": "demo",
            "source_id": one.key,
        }
    )  # fmt: skip
    row = create_holdout(session, asked, actor=DEMO, now=start)
    if one.end == "draft":
        return row.id
    change_status(session, str(row.id), "running", actor=DEMO, now=start)
    days = min(one.began, one.length)
    come = np.sort(rng.uniform(0.0, days - 0.05, one.profiles))
    chosen = rng.permutation(len(ids))[: one.profiles]
    for day in range(days):
        today = chosen[(come >= day) & (come < day + 1)]
        at = start + day * DAY + dt.timedelta(hours=8)
        assign_profiles_deterministic(session, row.id, [ids[int(i)] for i in today], assigned_at=at, now=at)
    happen(session, row.id, one, start, rng, now=now)
    session.flush()
    return row.id


def happen(session: Session, experiment: int, one: Holdout, start: dt.datetime, rng: np.random.Generator, *, now: dt.datetime) -> None:
    """Exposures and conversions of everybody who was assigned, until now."""
    mine = select(ExperimentAssignment).where(ExperimentAssignment.experiment_id == experiment).order_by(ExperimentAssignment.id)
    rows = session.scalars(mine).all()
    treated = np.array([row.group == "treatment" for row in rows])
    gone = treated & (rng.random(len(rows)) < one.lost)
    reached = np.where(treated, rng.random(len(rows)) < 0.9, rng.random(len(rows)) < one.leak)
    converts = rng.random(len(rows)) < np.where(treated, one.base + one.lift, one.base)
    wait: NDArray[np.float64] = rng.exponential(2.0, len(rows)) + 0.05
    values = rng.gamma(2.0, one.value / 2.0, len(rows)).round(2)
    until = min(now, start + one.length * DAY)
    exposures: list[dict[str, Any]] = []
    outcomes: list[dict[str, Any]] = []
    for i, row in enumerate(rows):
        sent = row.assigned_at + dt.timedelta(hours=1)
        bought = sent + dt.timedelta(days=float(wait[i]))
        if reached[i] and sent < until:
            exposures.append({"profile_id": row.profile_id, "exposure_ts": sent, "campaign_id": one.key, "message_id": f"m-{i}"})
        if converts[i] and bought < until:
            outcomes.append({"profile_id": row.profile_id, "conversion_ts": bought, "value": float(values[i]), "outcome_id": f"o-{i}"})
    record_exposures_batch(session, experiment, exposures, now=now)
    record_outcomes_batch(session, experiment, outcomes)
    for row, lost in zip(rows, gone, strict=True):
        if lost:
            session.delete(row)


def close(session: Session, one: Holdout, experiment: int, *, now: dt.datetime) -> None:
    """End a holdout whose days are over."""
    if one.end in {"completed", "decided"}:
        row = get_experiment(session, str(experiment))
        if row.status == "running":
            change_status(session, str(experiment), "completed", actor=DEMO, now=now)
