"""From a scorecard's comparisons to money, by the terms of the spec's `business` section."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import NormalDist

from fairtrial.decisions.impact import BusinessCase, Impact, Improvement, expected_impact
from fairtrial.evaluation.guard import oriented
from fairtrial.evaluation.scorecard import Comparison, PlanStatus
from fairtrial.spec.business import BusinessSpec
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.metric import adds_up
from fairtrial.stats.result import Estimate, Unavailable
from fairtrial.stats.shrinkage import Shrunk, shrink_to_prior


def business_impact(spec: ExperimentSpec, comparisons: Sequence[Comparison], status: PlanStatus, *, invalid: bool) -> tuple[Impact, ...]:
    """What each treatment's effect on the primary metric is worth.

    Args:
        spec: The experiment.
        comparisons: Rows of the scorecard.
        status: Where the plan stands.
        invalid: Whether the data cannot be trusted; then there are no figures.

    Returns:
        One impact a treatment, in the spec's order; empty where the spec has no `business` section.
    """
    if spec.business is None:
        return ()
    case = _case(spec, spec.business)
    return tuple(
        expected_impact(
            _improvement(spec, spec.business, row, invalid=invalid),
            case,
            treatment=row.treatment,
            metric=row.metric,
            notes=tuple(_notes(spec, spec.business, row, status)),
        )
        for row in comparisons
        if row.metric == spec.primary.key
    )


def _case(spec: ExperimentSpec, business: BusinessSpec) -> BusinessCase:
    """The terms as declared; the units a day are those of the traffic where the section does not say."""
    daily = None if spec.feasibility is None else spec.feasibility.daily_units
    return BusinessCase(
        units_per_day=daily if business.eligible_units_per_day is None else business.eligible_units_per_day,
        value_per_unit=business.value_per_unit,
        period_days=business.period_days,
        currency=business.currency,
        one_off_cost=business.one_off_cost,
        running_cost=business.running_cost,
        horizon_years=business.horizon_years,
        discount_rate=business.discount_rate,
        persistence=business.persistence,
        holdout_share=business.holdout_share,
    )


def _improvement(spec: ExperimentSpec, business: BusinessSpec, row: Comparison, *, invalid: bool) -> Improvement | Unavailable:
    """The effect turned so that better is positive; of a plan with looks, the one without their bias."""
    if invalid:
        return Unavailable(code="invalid", reason="The data failed a check, so no effect is told in money.")
    if not adds_up(spec.primary):
        return Unavailable(
            code="does_not_add_up",
            reason=f"The effect on '{spec.primary.key}' is no difference of means per unit, so times the units it is no total. "
            "Make a mean, a rate or a count the primary metric.",
        )
    estimate = row.estimate
    if estimate is None:
        return row.unavailable or Unavailable(code="undefined", reason="There is no estimate.")
    increase = spec.primary.direction == "increase"
    sign = 1.0 if increase else -1.0
    final = row.after_stop
    prior_sd = _prior_sd(spec, business, estimate)
    return Improvement(
        effect=sign * (estimate.effect if final is None else final.effect),
        interval=oriented(estimate.interval if final is None else final.interval, increase_is_better=increase),
        alpha=estimate.alpha if final is None else final.alpha,
        basis="estimate" if final is None else "after_stop",
        shrunk=None if prior_sd is None else _shrunk(estimate, sign, prior_sd),
        prior_sd=prior_sd,
    )


def _prior_sd(spec: ExperimentSpec, business: BusinessSpec, estimate: Estimate) -> float | None:
    """Standard deviation of true effects, in the metric's unit; None where nothing tells it, or the plan has a prior of its own."""
    if estimate.error_control == "bayesian" or _std_error(estimate) is None:
        return None
    if business.prior_lift_sd is None and spec.plan.mde is not None and spec.plan.mde_kind == "absolute":
        return spec.plan.mde
    lift = spec.plan.mde if business.prior_lift_sd is None else business.prior_lift_sd
    return None if lift is None or estimate.control <= 0 else lift * estimate.control


def _std_error(estimate: Estimate) -> float | None:
    """Of the estimate; where its method has none, half of a two-sided interval in normal quantiles."""
    width = estimate.interval.high - estimate.interval.low
    if estimate.std_error is not None:
        return estimate.std_error
    return None if width == float("inf") else width / (2.0 * NormalDist().inv_cdf(1.0 - estimate.alpha / 2.0))


def _shrunk(estimate: Estimate, sign: float, prior_sd: float) -> Shrunk | None:
    error = _std_error(estimate)
    return None if error is None else shrink_to_prior(sign * estimate.effect, error, prior_sd=prior_sd, alpha=estimate.alpha)


def _notes(spec: ExperimentSpec, business: BusinessSpec, row: Comparison, status: PlanStatus) -> Iterator[str]:
    """What these figures rest on beyond the terms."""
    if not status.complete:
        yield "Not final: the plan is not complete, and the effect may still move."
    if row.estimate is not None and row.estimate.error_control == "bayesian":
        yield "The plan's own prior was used; no second one is laid over it for the winner's curse."
    elif row.estimate is not None and (told := _prior_words(spec, business, row.estimate)):
        yield told
    if business.eligible_units_per_day is None and spec.feasibility is not None and spec.feasibility.daily_units is not None:
        yield "Units a day are those of the spec's traffic (feasibility.daily_units)."
    if business.long_term_metrics:
        yield f"To go on measuring on the holdout: {', '.join(business.long_term_metrics)}."


def _prior_words(spec: ExperimentSpec, business: BusinessSpec, estimate: Estimate) -> str:
    if _prior_sd(spec, business, estimate) is None:
        return (
            "The figures are not shrunk for the winner's curse: give plan.mde or business.prior_lift_sd. "
            "An effect that is launched because it came out well is too large on average."
        )
    which = "as large as the planned MDE" if business.prior_lift_sd is None else f"of {business.prior_lift_sd:.3g} in lift, as declared"
    return (
        "Winner's curse: an effect that is launched because it came out well is too large on average. The shrunken figures take the true "
        f"effects of such changes as normal around 0 with a standard deviation {which}."
    )
