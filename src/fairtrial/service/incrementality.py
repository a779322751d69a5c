"""Holdout experiments from Python: the functions behind the routes (HO-20, HO-21).

`db` is a writing session of `fairtrial.storage.Database`; nothing is committed here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import pandas as pd
from sqlalchemy.orm import Session

from fairtrial.assignment import Allocation
from fairtrial.errors import UsageError
from fairtrial.service.access.roles import Actor, Role
from fairtrial.service.assignments import assign
from fairtrial.service.bodies import as_utc
from fairtrial.service.clock import utc_now
from fairtrial.service.experiments.lifecycle import get_experiment
from fairtrial.service.ingest.messages import ExposureIn, OutcomeIn, as_message, exposure_rows, outcome_rows
from fairtrial.service.ingest.recording import ExposureBatch, OutcomeBatch, record_one
from fairtrial.service.jobs.nightly import Reporting, make_report, moment_of, nested
from fairtrial.service.planning.auto_assign import auto_assign
from fairtrial.service.planning.health import read_health
from fairtrial.service.planning.recommend import DesignRequest, recommend_design
from fairtrial.service.planning.schemas import AutoAssignRequest, as_request
from fairtrial.service.planning.setup_context import build_setup_context
from fairtrial.service.results.flat import FEWEST_PROFILES
from fairtrial.service.results.results import read_results
from fairtrial.service.results.time_series import TIME_SERIES_COLUMNS, Freq, read_time_series
from fairtrial.stats.power_proportions import estimate_sample_size

__all__ = [
    "assign_profiles_deterministic",
    "auto_assign_from_conversion_paths",
    "build_experiment_design_recommendation",
    "build_experiment_setup_context",
    "compute_experiment_health",
    "compute_experiment_results",
    "deterministic_assignment",
    "estimate_sample_size",
    "get_experiment_time_series",
    "record_exposure",
    "record_exposures_batch",
    "record_outcome",
    "record_outcomes_batch",
    "run_nightly_report",
]

LIBRARY = Actor(name="library", role=Role.DEVELOPER)
"""Who the audit log says it was."""


def deterministic_assignment(
    profile_id: str, experiment_id: int | str, treatment_rate: float, salt: str = ""
) -> Literal["treatment", "control"]:
    """The group that the hash gives a profile: treatment when u < `treatment_rate` (II.b).

    Raises:
        UsageError: The rate lies outside [0, 1].
    """
    key = str(experiment_id)
    return "treatment" if Allocation.holdout(key, treatment_rate, hash_key=key, salt=salt).arm(profile_id) == "treatment" else "control"


def assign_profiles_deterministic(
    db: Session,
    experiment_id: int | str,
    profile_ids: Iterable[str],
    treatment_rate: float | None = None,
    *,
    assigned_at: dt.datetime | None = None,
    force_reassign: bool = False,
    source: str = "assign",
    now: dt.datetime | None = None,
) -> dict[str, int]:
    """Assign profiles and store their groups, the stored group always winning (HO-05).

    Returns:
        `assigned`, `treatment`, `control`, `new`, `existing`: distinct profiles by stored group.

    Raises:
        NotFoundError: There is no such experiment.
        ConflictError: It takes no assignments now, or another rate is in use.
    """
    asked = assign.Request(treatment_rate=treatment_rate, assigned_at=assigned_at, force_reassign=force_reassign, source=source)
    row = get_experiment(db, str(experiment_id), for_update=True)
    found = assign.counted(assign.assign_units(db, row, profile_ids, asked, actor=LIBRARY, now=now or utc_now()))
    return {name: found[name] for name in ("assigned", "treatment", "control", "new", "existing")}


def compute_experiment_results(
    db: Session, experiment_id: int | str, min_sample_size: int = FEWEST_PROFILES, *, now: dt.datetime | None = None
) -> dict[str, Any]:
    """The results of this moment, with the fields of HO-09; nothing is stored.

    Args:
        db: An open session.
        experiment_id: Id or key.
        min_sample_size: Profiles that each group needs before anything is tested.
        now: The moment; default: now.

    Raises:
        NotFoundError: There is no such experiment.
        UsageError: `min_sample_size` is below 2.
    """
    if min_sample_size < 2:
        raise UsageError(f"min_sample_size must be 2 or more, got {min_sample_size}.")
    return read_results(db, str(experiment_id), now=now or utc_now(), fewest=min_sample_size)


def get_experiment_time_series(db: Session, experiment_id: int | str, freq: Freq = "D") -> pd.DataFrame:
    """Cumulative counts, rates and uplift as a frame, one row a day (`D`) or week from Monday (`W`) (HO-10).

    Raises:
        NotFoundError: There is no such experiment.
        UsageError: The frequency is another.
    """
    if freq not in {"D", "W"}:
        raise UsageError(f"freq must be 'D' or 'W', got {freq!r}.")
    return pd.DataFrame(read_time_series(db, str(experiment_id), freq), columns=list(TIME_SERIES_COLUMNS))


def run_nightly_report(db: Session, as_of_date: dt.datetime | dt.date, *, now: dt.datetime | None = None) -> dict[str, Any]:
    """The nightly report of a moment (HO-16): looks are stored, alerts raised, experiments that are over completed.

    Args:
        db: A writing session; each experiment is a savepoint in it.
        as_of_date: The moment it speaks of; a date is its midnight UTC. Nothing later is read.
        now: When it is made; default: now.

    Raises:
        UsageError: The moment lies outside the years 1900 to 2200.
    """
    how = Reporting(as_of=moment_of(as_of_date), now=now or utc_now(), open_session=lambda: nested(db), actor=LIBRARY)
    return make_report(how)


def compute_experiment_health(db: Session, experiment_id: int | str, *, now: dt.datetime | None = None) -> dict[str, Any]:
    """How an experiment is doing, apart from its effect (HO-33).

    Raises:
        NotFoundError: There is no such experiment.
    """
    return read_health(db, str(experiment_id), now=now or utc_now()).model_dump()


def auto_assign_from_conversion_paths(
    db: Session,
    experiment_id: int | str,
    channel: str,
    start_date: dt.datetime,
    end_date: dt.datetime,
    treatment_rate: float | None = None,
    *,
    now: dt.datetime | None = None,
) -> dict[str, Any]:
    """Assign every profile that a channel touched in a period, converted or not; `causal` is false (HO-12).

    Raises:
        NotFoundError: There is no such experiment.
        ConflictError: It takes no assignments now, or another rate is in use.
        UsageError: The period or the rate breaks a rule.
    """
    given = {"channel": channel, "start_date": start_date, "end_date": end_date, "treatment_rate": treatment_rate}
    asked = as_request(AutoAssignRequest, given)
    return auto_assign(db, str(experiment_id), asked, actor=LIBRARY, now=now or utc_now()).model_dump()


def build_experiment_setup_context(
    db: Session,
    date_from: dt.datetime | None = None,
    date_to: dt.datetime | None = None,
    *,
    kpi: str | None = None,
    now: dt.datetime | None = None,
) -> dict[str, Any]:
    """Channels with volume and baselines, KPIs and defaults, from the stored population (HO-30).

    Raises:
        UsageError: The period ends before it begins.
    """
    since, until = (None if moment is None else as_utc(moment) for moment in (date_from, date_to))
    return build_setup_context(db, now=now or utc_now(), date_from=since, date_to=until, kpi=kpi).model_dump()


def build_experiment_design_recommendation(
    db: Session,
    channel: str,
    baseline_rate: float | None = None,
    mde: float = 0.01,
    daily_profiles: float | None = None,
    *,
    now: dt.datetime | None = None,
) -> dict[str, Any]:
    """Which share to treat and for how long; what is not given is read from the population (HO-31).

    Raises:
        UsageError: The channel cannot be held out, or the plan breaks a rule.
    """
    asked = DesignRequest(channel=channel, baseline_rate=baseline_rate, mde=mde, daily_profiles=daily_profiles)
    return recommend_design(db, asked, now=now or utc_now()).model_dump()


def record_exposure(
    db: Session,
    experiment_id: int | str,
    profile_id: str,
    exposure_ts: dt.datetime | None = None,
    campaign_id: str | None = None,
    message_id: str | None = None,
) -> dict[str, int]:
    """Record one exposure, at this moment where no time is given (HO-20).

    Returns:
        `recorded`, `duplicates`, `lazy_assigned`, `control_exposures`.

    Raises:
        NotFoundError: There is no such experiment.
        ConflictError: It takes no exposures now.
        UsageError: A field breaks a rule.
    """
    given = {"profile_id": profile_id, "exposure_ts": exposure_ts, "campaign_id": campaign_id, "message_id": message_id}
    return record_exposures_batch(db, experiment_id, [given])


def record_exposures_batch(
    db: Session, experiment_id: int | str, exposures: Iterable[Mapping[str, Any]], *, now: dt.datetime | None = None
) -> dict[str, int]:
    """Record exposures, each with the fields of `record_exposure` (HO-21); repeats are counted, not stored.

    Raises:
        NotFoundError: There is no such experiment.
        ConflictError: It takes no exposures now.
        UsageError: A field breaks a rule; nothing is stored.
    """
    moment = now or utc_now()
    rows = exposure_rows([as_message(ExposureIn, given) for given in exposures], moment, clean=False)
    return dict(record_one(db, ExposureBatch(reference=str(experiment_id), rows=rows, actor=LIBRARY, now=moment)))


def record_outcome(
    db: Session, experiment_id: int | str, profile_id: str, conversion_ts: dt.datetime, value: float, outcome_id: str | None = None
) -> dict[str, int]:
    """Record one outcome (HO-20).

    Returns:
        `inserted`, `duplicates`, `unassigned`.

    Raises:
        NotFoundError: There is no such experiment.
        ConflictError: It takes no outcomes of that time now.
        UsageError: A field breaks a rule.
    """
    given = {"profile_id": profile_id, "conversion_ts": conversion_ts, "value": value, "outcome_id": outcome_id}
    return record_outcomes_batch(db, experiment_id, [given])


def record_outcomes_batch(db: Session, experiment_id: int | str, outcomes: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Record outcomes, each with the fields of `record_outcome` (HO-21); repeats are counted, not stored.

    Raises:
        NotFoundError: There is no such experiment.
        ConflictError: It takes no outcomes of one of these times now.
        UsageError: A field breaks a rule; nothing is stored.
    """
    rows = outcome_rows([as_message(OutcomeIn, given) for given in outcomes], clean=False)
    return dict(record_one(db, OutcomeBatch(reference=str(experiment_id), rows=rows)))
