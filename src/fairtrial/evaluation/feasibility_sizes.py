"""Units for feasibility: those of the primary metric, and those that show each guardrail to be within its margin.

An experiment is large enough when its decision is: the primary metric must detect its
effect and every guardrail's test of non-inferiority must have the plan's power where
the arms do not differ. The largest of these sizes is planned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fairtrial.errors import UsageError
from fairtrial.evaluation.planned_test import PlannedTest
from fairtrial.evaluation.planning import ExperimentPlan, plan_experiment
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.metric import MetricSpec, covariates_of
from fairtrial.stats.power import round_up
from fairtrial.stats.result import Unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricFigures:
    """What the control shows on a metric.

    Attributes:
        value: Rate, mean, events per unit or ratio.
        sd: Standard deviation over units (of the linearised ratio); None where only the plan may know it.
        correlation: With the metric's covariates; None without one.
        units: Units it was measured over; None for an assumption.
    """

    value: float
    sd: float | None = None
    correlation: float | None = None
    units: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardrailSize:
    """Units that show one guardrail to be within its margin, or why they cannot be told.

    Attributes:
        metric: The guardrail.
        total: Units in all arms; None with a `code` and a `reason`.
        margin: Harm tolerated, in the metric's unit, with the sign of harm.
        code: Why there is no size.
        reason: The same in a sentence.
    """

    metric: str
    total: int | None
    margin: float | None = None
    code: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Units of every arm, and which metric decided.

    Attributes:
        plan: The primary metric's plan.
        arms: Units by arm: the largest of the primary's and the guardrails'.
        decided_by: The metric that needs most.
        guardrails: Every guardrail, sized or not.
        spec: The experiment with the figures that were taken.
    """

    plan: ExperimentPlan
    arms: Mapping[str, int]
    decided_by: str
    guardrails: tuple[GuardrailSize, ...]
    spec: ExperimentSpec


def size_experiment(spec: ExperimentSpec, figures: Mapping[str, MetricFigures]) -> Sizes | Unavailable:
    """Units by arm, from the spec's assumptions or from what was measured.

    Args:
        spec: The experiment.
        figures: By metric: what was measured; it comes before what the spec assumes.
    """
    taken = with_figures(spec, figures.get(spec.primary.key))
    plan = plan_experiment(taken)
    if isinstance(plan, Unavailable):
        return plan
    guardrails = tuple(_guardrail(taken, metric, figures) for metric in taken.metrics if metric.role == "guardrail")
    arms, decided_by = plan.arms, spec.primary.key
    for found in guardrails:
        if found.total is not None and found.total > sum(arms.values()):
            arms, decided_by = _spread(taken, found.total), found.metric
    return Sizes(plan=plan, arms=arms, decided_by=decided_by, guardrails=guardrails, spec=taken)


def with_figures(spec: ExperimentSpec, measured: MetricFigures | None) -> ExperimentSpec:
    """The experiment planned at the figures measured of its primary metric, or at the declared fallback."""
    plan, known = spec.plan, spec.feasibility
    if measured is not None:
        update = {"baseline": measured.value}
        if spec.primary.kind != "proportion" and measured.sd is not None:
            update["baseline_sd"] = measured.sd
        if measured.correlation is not None and covariates_of(spec.primary):
            update["covariate_correlation"] = measured.correlation
    elif known is not None and known.variance_fallback == "cv_1" and plan.baseline_sd is None and plan.baseline:
        update = {"baseline_sd": abs(plan.baseline)}
    else:
        return spec
    return spec.model_copy(update={"plan": plan.model_copy(update=update)})


def _guardrail(spec: ExperimentSpec, metric: MetricSpec, figures: Mapping[str, MetricFigures]) -> GuardrailSize:
    """Units for one guardrail's test of its margin, with no correction: guardrails have none."""
    found = figures.get(metric.key) or _assumed(spec, metric.key)
    if not metric.margin:
        limit = (
            "its limit is on the treatment's value alone" if metric.max_value is not None else "its margin is 0, which no sample can show"
        )
        return _unsized(metric, "no_margin", f"{limit}.")
    if found is None:
        return _unsized(metric, "no_baseline", "nothing is known of the control's value: declare it, or measure it from history.")
    if metric.kind in {"mean", "ratio", "quantile"} and found.sd is None:
        return _unsized(metric, "no_sd", "its standard deviation is not known: declare it, or measure it from history.")
    margin = metric.margin * (abs(found.value) if metric.margin_kind == "relative" else 1.0)
    harm = margin if metric.direction == "decrease" else -margin
    rates = metric.kind == "proportion"
    test = PlannedTest(
        rates=rates,
        noninferiority=True,
        value=found.value,
        sd=None if rates else found.sd,
        alpha=spec.plan.alpha,
        power=spec.plan.power,
        alternative=spec.plan.alternative,
    )
    shares = spec.shares or {}
    own = shares[spec.control]
    rest = 1.0 if found.correlation is None or not covariates_of(metric) else 1.0 - found.correlation**2
    try:
        controls = [test.units(harm, shares[key] / (own + shares[key])).n_control for key in spec.treatments if shares[key] > 0]
        total = sum(_spread(spec, max(controls) * rest / own).values())
    except UsageError as error:
        return _unsized(metric, "impossible_target", error.message)
    return GuardrailSize(metric=metric.key, total=total, margin=harm)


def _assumed(spec: ExperimentSpec, key: str) -> MetricFigures | None:
    expected = None if spec.feasibility is None else spec.feasibility.expected.get(key)
    if expected is None:
        return None
    return MetricFigures(value=expected.value, sd=expected.sd, correlation=expected.covariate_correlation)


def _spread(spec: ExperimentSpec, total: float) -> dict[str, int]:
    """A total over the arms by their shares, each rounded up."""
    return {key: round_up(total * share) for key, share in (spec.shares or {}).items()}


def _unsized(metric: MetricSpec, code: str, reason: str) -> GuardrailSize:
    return GuardrailSize(metric=metric.key, total=None, code=code, reason=f"Guardrail '{metric.key}' is not sized: {reason}")
