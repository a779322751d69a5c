"""How an experiment is doing, apart from its effect: sizes, tracking, overlap, plan, and whether a result may be read (HO-33, HO-34).

What is not there is never taken for good: no exposures is a gap in the tracking, no
plan keeps a result from being called ready, and a skipped sample-ratio check says why.
"""

from __future__ import annotations

import datetime as dt

from sqlalchemy.orm import Session

from fairtrial.diagnostics.allocation import SrmCheck, check_allocation
from fairtrial.service.experiments.holdout import execution_capability
from fairtrial.service.experiments.lifecycle import get_experiment, start_blockers
from fairtrial.service.experiments.routing import stored_spec
from fairtrial.service.experiments.schemas import PlanOut
from fairtrial.service.planning.schemas import (
    BalanceHealth,
    Completeness,
    ExposureHealth,
    HealthOut,
    LaunchReadiness,
    OutcomeHealth,
    Overlap,
    PlanProgress,
    ReadyState,
    Runtime,
    SampleHealth,
)
from fairtrial.service.planning.setup_context import SHORT_RUNTIME_DAYS
from fairtrial.service.results.reading import window_of
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.storage.population import first_assigned_at, is_channel_known, is_kpi_known, running_on_channel
from fairtrial.storage.readings import HoldoutCounts, count_holdout
from fairtrial.storage.tables import Experiment

MIN_ASSIGNMENTS, MIN_CONVERSIONS = 50, 20
"""Profiles and converters that each group needs (HO-33)."""


def read_health(session: Session, reference: str, *, now: dt.datetime) -> HealthOut:
    """The health of an experiment at this moment; nothing is stored.

    Raises:
        NotFoundError: There is no such experiment.
    """
    row = get_experiment(session, reference)
    spec = stored_spec(row)
    counts = count_holdout(session, window_of(row), tuple(arm.key for arm in spec.arms))
    srm, _ = check_allocation(
        {key: arm.n for key, arm in counts.arms.items()}, spec.shares, "adaptive" if spec.shares is None else "fixed", what="profiles"
    )
    overlap = running_on_channel(session, row.channel, but=row.id)
    runtime = _runtime(session, row, now)
    plan = _plan(row, sum(arm.n for arm in counts.arms.values()))
    completeness = _completeness(counts)
    return HealthOut(
        experiment_id=row.id,
        sample=_sample(spec, counts),
        exposures=ExposureHealth(treatment_profiles=_sum(spec, counts, "exposed"), control_profiles=counts.arms[spec.control].exposed),
        outcomes=_outcomes(spec, counts),
        balance=_balance(spec, counts, srm),
        data_completeness=completeness,
        overlap_risk=Overlap(running_on_channel=overlap, status="warn" if overlap else "ok"),
        plan=plan,
        runtime=runtime,
        launch_readiness=_launch(session, row, completeness, contaminated=counts.arms[spec.control].exposed, overlap=overlap, planned=plan),
        ready_state=_ready(counts, srm, runtime, plan),
    )


def _sum(spec: ExperimentSpec, counts: HoldoutCounts, name: str) -> int:
    """Over the treatment arms; a holdout has one."""
    return sum(getattr(counts.arms[arm], name) for arm in spec.treatments)


def _sample(spec: ExperimentSpec, counts: HoldoutCounts) -> SampleHealth:
    return SampleHealth(
        treatment=_sum(spec, counts, "n"),
        control=counts.arms[spec.control].n,
        min_assignments=MIN_ASSIGNMENTS,
        min_conversions=MIN_CONVERSIONS,
    )


def _outcomes(spec: ExperimentSpec, counts: HoldoutCounts) -> OutcomeHealth:
    treated, held = _sum(spec, counts, "converters"), counts.arms[spec.control].converters
    return OutcomeHealth(
        profiles=treated + held,
        unassigned=counts.left_out.unassigned,
        before_assignment=counts.left_out.before_start,
        after_window=counts.left_out.after_window,
        treatment_profiles=treated,
        control_profiles=held,
    )


def _balance(spec: ExperimentSpec, counts: HoldoutCounts, srm: SrmCheck) -> BalanceHealth:
    total = sum(arm.n for arm in counts.arms.values())
    shares = spec.shares
    return BalanceHealth(
        expected_share=None if shares is None else float(sum(shares[arm] for arm in spec.treatments)),
        observed_share=_sum(spec, counts, "n") / total if total else None,
        chi_square=srm.chi_square,
        p_value=srm.p_value,
        status=srm.status,
        reason=srm.reason,
    )


def _completeness(counts: HoldoutCounts) -> Completeness:
    smallest = min(arm.n for arm in counts.arms.values())
    anybody = any(arm.n for arm in counts.arms.values())
    return Completeness(
        assignments="missing" if not anybody else "low" if smallest < MIN_ASSIGNMENTS else "ok",
        exposures="ok" if any(arm.exposed for arm in counts.arms.values()) else "missing",
        outcomes="ok" if counts.left_out.outcomes else "missing",
    )


def _plan(row: Experiment, observed: int) -> PlanProgress:
    stored = (row.guardrails_json or {}).get("power_plan")
    if stored is None:
        return PlanProgress(planned_total=None, progress=None, reason="no_plan")
    planned = PlanOut.model_validate(stored).total_sample_size
    return PlanProgress(planned_total=planned, progress=observed / planned)


def _runtime(session: Session, row: Experiment, now: dt.datetime) -> Runtime:
    """Whole days since the later of the start and the first assignment, up to the end.

    Assignments recorded after the end are back-filled data, which counts from the start.
    """
    min_days = row.setup_json.get("min_runtime_days") or SHORT_RUNTIME_DAYS
    first = first_assigned_at(session, row.id, until=row.end_at)
    begun = max((moment for moment in (row.start_at or row.started_at, first) if moment is not None), default=None)
    if row.status == "draft" or begun is None or begun > now:
        return Runtime(days=None, min_days=min_days, status="not_started")
    until = min(moment for moment in (now, row.end_at, row.ended_at) if moment is not None)
    days = max(0, (until - begun).days)
    return Runtime(days=days, min_days=min_days, status="ok" if days >= min_days else "warn")


def _launch(
    session: Session, row: Experiment, completeness: Completeness, *, contaminated: int, overlap: int, planned: PlanProgress
) -> LaunchReadiness:
    blockers = start_blockers(row)
    warnings: list[str] = []
    if execution_capability(row.channel) == "manual_only" and row.kind == "holdout":
        warnings.append(f"channel {row.channel!r} is held back by hand: nobody but you keeps messages from the control group")
    if overlap:
        warnings.append(f"{overlap} other experiments run on channel {row.channel!r}")
    if planned.planned_total is None:
        warnings.append("it has no plan: give baseline_rate_estimate and mde_target")
    if contaminated:
        warnings.append(f"{contaminated} control profiles were exposed")
    gaps = _gaps(session, row, completeness)
    status = "blocked" if blockers else "manual_review" if warnings or gaps else "ready"
    return LaunchReadiness(status=status, blockers=blockers, warnings=warnings, tracking_gaps=gaps)


def _gaps(session: Session, row: Experiment, completeness: Completeness) -> list[str]:
    """What is not tracked: before the start nothing known of the channel or the KPI, later no rows of the experiment."""
    gaps: list[str] = []
    begun = completeness.assignments != "missing"
    if completeness.exposures == "missing":
        if begun:
            gaps.append("no exposures recorded")
        elif row.channel and not is_channel_known(session, row.channel):
            gaps.append(f"no touchpoint of channel {row.channel!r} was ever seen")
    if completeness.outcomes == "missing":
        if begun:
            gaps.append("no outcomes recorded")
        elif row.conversion_key and not is_kpi_known(session, row.conversion_key):
            gaps.append(f"no conversion {row.conversion_key!r} was ever seen")
    return gaps


def _ready(counts: HoldoutCounts, srm: SrmCheck, runtime: Runtime, plan: PlanProgress) -> ReadyState:
    """Whether a result may be read: not with too few or with a broken split, early before the plan is fulfilled."""
    not_yet: list[str] = []
    if any(arm.n < MIN_ASSIGNMENTS for arm in counts.arms.values()):
        not_yet.append("assignments_below_minimum")
    if any(arm.converters < MIN_CONVERSIONS for arm in counts.arms.values()):
        not_yet.append("conversions_below_minimum")
    if srm.status == "mismatch":
        not_yet.append("sample_ratio_mismatch")
    early: list[str] = []
    if runtime.status != "ok":
        early.append("runtime_below_minimum")
    if plan.progress is None:
        early.append("no_plan")
    elif plan.progress < 1:
        early.append("plan_incomplete")
    status = "not_ready" if not_yet else "early" if early else "ready"
    return ReadyState(status=status, reasons=[*not_yet, *early])
