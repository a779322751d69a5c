"""What a covariate from before the experiment saves: an effect with and without CUPED (IN-33)."""

from __future__ import annotations

from sqlalchemy.orm import Session

from fairtrial.errors import DataError, NotEnoughDataError
from fairtrial.service.experiments.holdout import CONVERTED
from fairtrial.service.experiments.lifecycle import get_experiment
from fairtrial.service.monitoring.checks import primary_of, treatment_of
from fairtrial.service.monitoring.schemas import CovariateName, CupedOut, EffectOut, MetricName
from fairtrial.service.results.reading import Counted, count, window_of, with_covariate
from fairtrial.spec.metric import covariates_of
from fairtrial.stats.cuped import cuped_test
from fairtrial.stats.means import welch_test
from fairtrial.stats.moments import CoMoments, Moments
from fairtrial.stats.result import Estimate
from fairtrial.storage.covariates import sum_covariate

COLUMNS: tuple[CovariateName, ...] = ("age", "ltv", "pre_period_value")
DEFAULT_COVARIATE: CovariateName = "pre_period_value"


def read_cuped(
    session: Session,
    reference: str,
    *,
    covariate: CovariateName | None = None,
    metric: MetricName | None = None,
    treatment: str | None = None,
) -> CupedOut:
    """An effect raw and adjusted, from the same units.

    Args:
        session: An open session.
        reference: Id or key.
        covariate: What is known of profiles from before; None for the one of the spec, else `pre_period_value`.
        metric: Which metric; None for the primary.
        treatment: Which treatment; None for the first.

    Raises:
        NotFoundError: There is no such experiment.
        UnknownNameError: It has no such treatment.
        UsageError: Its metrics are not those of the service.
    """
    counted = count(session, get_experiment(session, reference))
    arm, asked = treatment_of(counted.spec, treatment), metric or primary_of(counted.spec)
    column = covariate or _planned(counted, asked)
    answer = CupedOut(
        experiment_id=counted.row.key,
        metric=asked,
        treatment=arm,
        covariate=column,
        theta=None,
        coverage=None,
        raw=None,
        adjusted=None,
        variance_reduction=None,
        unavailable_reason=None,
    )
    pair = [_moments(counted, key, asked) for key in (counted.spec.control, arm)]
    if pair[0] is None or pair[1] is None:
        return answer.model_copy(update={"unavailable_reason": "empty_arm"})
    control, treated = pair[0], pair[1]
    found = sum_covariate(session, window_of(counted.row), column)
    if found is not None:
        about, sums = found
        units = control.n + treated.n
        missing = sums[counted.spec.control].missing + sums[arm].missing
        answer = answer.model_copy(update={"coverage": 1.0 - missing / units})
    try:
        raw = welch_test(control, treated, alpha=counted.spec.plan.alpha)
    except (DataError, NotEnoughDataError):
        return answer.model_copy(update={"unavailable_reason": "no_variance"})
    answer = answer.model_copy(update={"raw": _effect(raw)})
    if found is None or answer.coverage == 0.0:
        return answer.model_copy(update={"coverage": 0.0, "unavailable_reason": "no_covariate"})
    about, sums = found
    columns = [
        with_covariate(CoMoments.of(outcome), asked, about, sums[key]) for key, outcome in ((counted.spec.control, control), (arm, treated))
    ]
    try:
        adjusted = cuped_test(columns[0], columns[1], alpha=counted.spec.plan.alpha)
    except DataError:  # the covariate explains everything: nothing is left to vary
        return answer.model_copy(update={"unavailable_reason": "no_variance"})
    return answer.model_copy(
        update={"theta": adjusted.theta, "adjusted": _effect(adjusted), "variance_reduction": adjusted.variance_reduction}
    )


def _planned(counted: Counted, metric: str) -> CovariateName:
    """The covariate of the spec, else the usual one."""
    asked = [str(source) for found in counted.spec.metrics if found.key == metric for source in covariates_of(found)]
    for name in COLUMNS:
        if name in asked:
            return name
    return DEFAULT_COVARIATE


def _moments(counted: Counted, key: str, metric: str) -> Moments | None:
    arm = counted.counts.arms[key]
    if arm.n == 0:
        return None
    return Moments.from_successes(arm.converters, arm.n) if metric == CONVERTED else arm.value


def _effect(estimate: Estimate) -> EffectOut:
    return EffectOut(
        effect=estimate.effect,
        std_error=estimate.std_error,
        p_value=estimate.p_value,
        ci_low=estimate.interval.low,
        ci_high=estimate.interval.high,
    )
