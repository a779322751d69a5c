"""The sample-ratio check and the any-time look of an experiment (IN-30, IN-31)."""

from __future__ import annotations

import datetime as dt
import math

from sqlalchemy.orm import Session

from fairtrial.diagnostics.allocation import MISMATCH, check_allocation
from fairtrial.errors import UnknownNameError
from fairtrial.service.experiments.holdout import CONVERTED
from fairtrial.service.experiments.lifecycle import get_experiment
from fairtrial.service.experiments.routing import stored_spec
from fairtrial.service.monitoring.schemas import EvidenceStrength, LongRunning, MetricName, RiskLevel, SequentialOut, SrmCheckOut
from fairtrial.service.results.always_valid import mean_look, rate_look
from fairtrial.service.results.reading import Counted, count, window_of
from fairtrial.service.results.results import running_p
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.storage.readings import count_holdout
from fairtrial.storage.tables import Experiment

DEFAULT_MAX_DAYS = 28.0
"""How long an experiment is meant to run where neither plan nor schedule says."""

WEAK, MODERATE = 1.0, 3.0
"""Likelihood ratios from which evidence is weak, and moderate; from 1 / alpha it is strong."""

LARGEST_LOG = math.log(1.7e308)


def read_srm(session: Session, reference: str) -> SrmCheckOut:
    """Do the arms have their planned sizes?

    Raises:
        NotFoundError: There is no such experiment.
    """
    row = get_experiment(session, reference)
    spec = stored_spec(row)
    counted = count_holdout(session, window_of(row), tuple(arm.key for arm in spec.arms))
    counts = {key: arm.n for key, arm in counted.arms.items()}
    check, _ = check_allocation(counts, spec.shares, spec.allocation, paired=spec.paired)
    return SrmCheckOut(
        experiment_id=row.key,
        counts=counts,
        expected_shares=None if spec.shares is None else dict(spec.shares),
        chi_square=check.chi_square,
        df=check.df,
        p_value=check.p_value,
        always_valid_p=check.always_valid_p,
        threshold=MISMATCH,
        status=check.status,
        reason=check.reason,
    )


def read_sequential(
    session: Session, reference: str, *, now: dt.datetime, metric: MetricName | None = None, treatment: str | None = None
) -> SequentialOut:
    """The mSPRT of this moment; nothing is stored, so no look of the plan is taken.

    Args:
        session: An open session.
        reference: Id or key.
        now: The moment.
        metric: Which metric; None for the primary.
        treatment: Which treatment; None for the first.

    Raises:
        NotFoundError: There is no such experiment.
        UnknownNameError: It has no such treatment.
        UsageError: Its metrics are not those of the service.
    """
    row = get_experiment(session, reference)
    counted = count(session, row)
    arm = treatment_of(counted.spec, treatment)
    asked = metric or primary_of(counted.spec)
    planned = asked == primary_of(counted.spec)
    control, treated, plan = counted.control, counted.counts.arms[arm], counted.spec.plan
    if asked == CONVERTED:
        found = rate_look(control, treated, plan, planned=planned)
    else:
        found = mean_look(control.value, treated.value, plan, planned=planned)
    fields = SequentialOut(
        experiment_id=row.key,
        metric=asked,
        treatment=arm,
        alpha=plan.alpha,
        estimate=None,
        variance=None,
        tau2=None,
        likelihood_ratio=None,
        log_likelihood_ratio=None,
        boundary=1.0 / plan.alpha,
        always_valid_p=None,
        ci_low=None,
        ci_high=None,
        evidence_strength=None,
        crossed=None,
        long_running_risk=long_running(row, counted.spec, now),
        unavailable_reason="empty_arm" if min(control.n, treated.n) == 0 else "no_variance",
    )
    if found is None:
        return fields
    log_ratio = found.look.log_likelihood_ratio
    seen = _seen_before(session, counted, asked, arm)
    return fields.model_copy(
        update={
            "estimate": found.estimate,
            "variance": found.variance,
            "tau2": found.tau2,
            "likelihood_ratio": math.exp(log_ratio) if log_ratio < LARGEST_LOG else None,
            "log_likelihood_ratio": log_ratio,
            "always_valid_p": min(p for p in (seen, found.look.p_value) if p is not None),
            "ci_low": found.look.interval.low,
            "ci_high": found.look.interval.high,
            "evidence_strength": evidence_strength(log_ratio, plan.alpha),
            "crossed": log_ratio >= -math.log(plan.alpha),
            "unavailable_reason": None,
        }
    )


def treatment_of(spec: ExperimentSpec, asked: str | None) -> str:
    """The treatment that was asked for, else the first.

    Raises:
        UnknownNameError: There is none of that name.
    """
    if asked is None:
        return spec.treatments[0]
    if asked not in spec.treatments:
        raise UnknownNameError.among("treatment", asked, spec.treatments)
    return asked


def primary_of(spec: ExperimentSpec) -> MetricName:
    """The metric that decides."""
    return "converted" if any(metric.key == CONVERTED and metric.role == "primary" for metric in spec.metrics) else "value"


def evidence_strength(log_ratio: float, alpha: float) -> EvidenceStrength:
    """How strong the evidence is, by the likelihood ratio."""
    if log_ratio < math.log(WEAK):
        return "none"
    if log_ratio < math.log(MODERATE):
        return "weak"
    return "moderate" if log_ratio < -math.log(alpha) else "strong"


def long_running(row: Experiment, spec: ExperimentSpec, now: dt.datetime) -> LongRunning:
    """How long it runs, against how long it was meant to."""
    planned = None if row.start_at is None or row.end_at is None else (row.end_at - row.start_at) / dt.timedelta(days=1)
    most = spec.plan.max_days or planned or DEFAULT_MAX_DAYS
    begun = None if row.started_at is None else row.start_at or row.started_at
    if begun is None or begun > now:
        return LongRunning(level="none", days_running=None, max_days=most)
    days = (min(now, row.ended_at or now) - begun) / dt.timedelta(days=1)
    level: RiskLevel = "none" if days <= most else "medium" if days <= 2 * most else "high"
    return LongRunning(level=level, days_running=max(0, math.floor(days)), max_days=most)


def _seen_before(session: Session, counted: Counted, metric: str, treatment: str) -> float | None:
    """Smallest p of the looks that were stored, which are at the first treatment's rate."""
    if metric != CONVERTED or treatment != counted.spec.treatments[0]:
        return None
    return running_p(session, counted.row)
