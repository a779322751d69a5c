"""How many units a spec calls for, and what the units that came could show.

Both questions are asked of the primary metric at the plan's own error rates, never
of the effect observed. Every treatment is compared with the control at the alpha it
has left after the declared correction, alpha / k for k treatments: Bonferroni's,
which is safe for Holm, Hochberg and Dunnett too, or its share by weight. A plan that may stop early pays for
its looks with more units: a single look's times the inflation of its design.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from fairtrial.errors import DataError, UsageError
from fairtrial.evaluation.design import design_of, futility_rule_of, local_alphas
from fairtrial.evaluation.exact_rates import OF_CONVERTERS
from fairtrial.evaluation.factor_sizes import FactorSizes, factor_sizes
from fairtrial.evaluation.planned_test import PlanMethod, PlannedTest
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.metric import FROM_COUNTS, chosen_test
from fairtrial.spec.plan import PLANNED_LOOKS
from fairtrial.spec.weights import WEIGHTED
from fairtrial.stats.power import EffectDirection, round_up
from fairtrial.stats.result import Unavailable
from fairtrial.stats.sequential.futility import planned_futility
from fairtrial.stats.sequential.group_power import inflation_factor
from fairtrial.stats.sequential.mixture_size import mixture_inflation, tuned_inflation

METHOD_NAMES: dict[PlanMethod, str] = {
    "pooled_z": "the pooled z test of two proportions",
    "normal": "a test of two means at the planned standard deviation",
    "poisson_wald": "a test of two Poisson rates, variance taken as the mean",
    "restricted_mle_noninferiority": "the score test of a margin",
    "normal_noninferiority": "a test of a margin at the planned standard deviation",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentPlan:
    """Units that an experiment needs, and what for.

    Attributes:
        arms: Planned units by arm, in declared order; 0 for an arm without a share.
        total: Their sum.
        alpha: Error rate of each comparison with the control, after correction.
        comparisons: Treatments compared with the control.
        power: Probability that any one comparison detects `effect`.
        baseline: Control's value expected; None where only a standard deviation was needed.
        target: Treatment's value at the effect; None without a baseline.
        effect: Smallest effect planned for, treatment minus control, in the metric's unit;
            for non-inferiority the margin, with the sign of harm.
        method: Which test was sized.
        alternative: Sides of the test.
        objective: What the comparison is to show.
        inflation: Units over those of a single look with the same power; 1 for a single look.
        variance_factor: Variance expected after the covariate and with the clusters, over that of plain units.
        notes: Stable codes of assumptions a reader must know (`poisson_variance`).
        explanation: One sentence for a person.
        alphas: By treatment: error rate of its comparison, where weights make them differ; else empty.
        factor_sizes: Units for effects of factors, in a factorial experiment; `arms` are for the verdict on a cell.
    """

    arms: dict[str, int]
    total: int
    alpha: float
    comparisons: int
    power: float
    baseline: float | None
    target: float | None
    effect: float
    method: PlanMethod
    alternative: Literal["two-sided", "one-sided"]
    objective: Literal["superiority", "non_inferiority"]
    inflation: float
    variance_factor: float
    notes: tuple[str, ...]
    explanation: str
    alphas: dict[str, float] = field(default_factory=dict[str, float])
    factor_sizes: FactorSizes | None = None


def plan_experiment(spec: ExperimentSpec) -> ExperimentPlan | Unavailable:
    """Units per arm that the plan's baseline, MDE, alpha and power call for.

    Every comparison of a treatment with the control gets the power, so the treatment
    with the smallest share decides. The MDE is an improvement: where a decrease is
    better, the target lies below the baseline. A declared `sample_size` is not looked at.

    Returns:
        The plan; for two arms exactly `sample_size_two_proportions` (G-14). `Unavailable`
        with the code `unknown_allocation`, `no_mde`, `no_margin`, `no_baseline`, `no_sd`
        or `impossible_target` when the spec does not say enough.
    """
    shares = spec.shares
    if shares is None or spec.paired:
        return _not_by_formula(spec)
    treated = [key for key in spec.treatments if shares[key] > 0]
    own = shares[spec.control]
    if not treated or own <= 0:
        return Unavailable(code="unknown_allocation", reason="The control and at least one treatment must have a share above 0.")
    test = _planned_test(spec, value=spec.plan.baseline, sd=spec.plan.baseline_sd, comparisons=len(treated))
    effect = _planned_effect(spec, spec.plan.baseline)
    if isinstance(effect, Unavailable):
        return effect
    if isinstance(test, Unavailable):
        return test
    try:
        design = variance_factor(spec)
        n_control, factor, test = _deciding(spec, test, effect, treated, shares)
        factors = factor_sizes(spec, test, effect, shares, design)
    except UsageError as error:
        return Unavailable(code="impossible_target", reason=error.message)
    arms = {key: round_up(n_control * (share / own)) for key, share in shares.items()}
    return ExperimentPlan(
        arms=arms,
        total=sum(arms.values()),
        alpha=test.alpha,
        comparisons=len(treated),
        power=test.power,
        baseline=test.value,
        target=None if test.value is None else test.value + effect,
        effect=effect,
        method=test.method,
        alternative=test.alternative,
        objective=spec.plan.objective,
        inflation=factor,
        variance_factor=design,
        notes=_assumptions(spec, test),
        explanation=_explanation(spec, test, effect, arms, factor=factor, design=design),
        alphas=local_alphas(spec, treated) if spec.plan.correction == WEIGHTED else {},
        factor_sizes=factors,
    )


def _deciding(
    spec: ExperimentSpec, test: PlannedTest, effect: float, treated: Sequence[str], shares: Mapping[str, float]
) -> tuple[float, float, PlannedTest]:
    """Units of the control, the plan's inflation and the test of the treatment that needs most."""
    own, design, alphas = shares[spec.control], variance_factor(spec), local_alphas(spec, treated)
    most: dict[float, float] = {}
    for key in treated:
        n = replace(test, alpha=alphas[key]).units(effect, shares[key] / (own + shares[key])).n_control
        most[alphas[key]] = max(n * design, most.get(alphas[key], 0.0))
    tests = [(n, replace(test, alpha=alpha)) for alpha, n in most.items()]
    sized = [(n * (factor := inflation(spec, one, single=n / own)), factor, one) for n, one in tests]
    return max(sized, key=lambda found: found[0])


def inflation(spec: ExperimentSpec, test: PlannedTest, *, single: float | None = None, reached: float | None = None) -> float:
    """Units of the plan's method over those of a single look with the same power at the end; 1 for a single look.

    Args:
        spec: The experiment.
        test: What a single look would test.
        single: Units in total that a single look needs, or
        reached: units in total that there are; a sequence tuned for a number of units needs one of the two.

    Raises:
        UsageError: The plan's futility bounds and boundary cannot meet.
    """
    if spec.plan.method in PLANNED_LOOKS:
        design, rule = design_of(spec, alpha=test.alpha), futility_rule_of(spec)
        return inflation_factor(design, power=test.power) if rule is None else planned_futility(design, rule).inflation_factor
    if spec.plan.method != "always_valid":
        return 1.0
    sides, declared = 1 if test.alternative == "one-sided" else 2, spec.plan.always_valid
    if declared.sequence == "msprt":
        return mixture_inflation(test.alpha, test.power, sides=sides)
    wanted = 1.0 if declared.tuned_for is None else declared.tuned_for
    return tuned_inflation(
        test.alpha * (OF_CONVERTERS if declared.sequence == "bernoulli" else 1.0),
        test.power,
        tuned=wanted if wanted <= 1.0 or reached is None else wanted / max(reached, 1.0),
        single=single if wanted > 1.0 else None,
        over=test.alpha,
        alpha_opt=spec.plan.alpha,
        sides=sides,
    )


def sensitivity(
    spec: ExperimentSpec, n_by_arm: Mapping[str, int], control_value: float, control_sd: float | None
) -> tuple[float | None, float | None, float | None]:
    """What the units that came could show, for the weakest comparison.

    A relative MDE is taken of `control_value`. Nothing here looks at a treatment's
    outcomes: power at the observed effect would only repeat the p-value. In a plan that may
    stop early it is the power with these units as the last look's.

    Args:
        spec: The experiment.
        n_by_arm: Units analysed by arm.
        control_value: Control's mean, rate or ratio.
        control_sd: Standard deviation over the control's units (of the linearised ratio);
            not needed for a proportion.

    Returns:
        Power at the planned MDE (for non-inferiority: to clear the margin when arms do not
        differ); then the smallest effect, and the smallest lift, that the planned power
        detects, as sizes > 0. None where the plan or the data cannot say.
    """
    shares = spec.shares
    treated = [key for key in spec.treatments if shares is None or shares[key] > 0]
    units = [(n_by_arm.get(spec.control, 0), n_by_arm.get(key, 0)) for key in treated]
    if control_sd is None and spec.primary.kind != "proportion":
        return None, None, None
    test = _planned_test(spec, value=control_value, sd=control_sd, comparisons=len(treated))
    if isinstance(test, Unavailable) or not units:
        return None, None, None
    # an observed spread is already the adjusted one, and that of clusters; a rate's variance is the binomial
    tests = [replace(test, alpha=alpha) for alpha in local_alphas(spec, treated).values()]
    factors = {one.alpha: inflation(spec, one, reached=sum(n_by_arm.values())) for one in tests}
    design = variance_factor(spec) if test.rates else 1.0
    factored = [factors[one.alpha] * design for one in tests]
    asked = [(one, (int(own / f), int(other / f))) for one, f, (own, other) in zip(tests, factored, units, strict=True)]
    effect = _planned_effect(spec, control_value)
    power = None if isinstance(effect, Unavailable) else _weakest_power(effect, asked)
    detectable = _largest_detectable(_sought(spec), asked)
    lift = None if detectable is None or control_value == 0 else detectable / abs(control_value)
    return power, detectable, lift


def variance_factor(spec: ExperimentSpec) -> float:
    """Variance of the primary metric's effect over that of plain units: (1 - rho^2) (1 + (m - 1) ICC).

    References:
        Deng, Xu, Kohavi & Walker (2013), WSDM, eq. 3 (covariate); Kish (1965), Survey Sampling, 5.4 (clusters).
    """
    plan = spec.plan
    factor = 1.0 if plan.covariate_correlation is None else 1.0 - plan.covariate_correlation**2
    if plan.cluster_size is not None and plan.intraclass_correlation is not None:
        factor *= 1.0 + (plan.cluster_size - 1.0) * plan.intraclass_correlation
    return factor


def _planned_test(spec: ExperimentSpec, *, value: float | None, sd: float | None, comparisons: int) -> PlannedTest | Unavailable:
    plan, primary = spec.plan, spec.primary
    rates = primary.kind == "proportion"
    if value is None and (rates or (primary.kind == "count" and sd is None)):
        return _no_baseline(spec)
    if sd is None and primary.kind in {"mean", "ratio"}:
        return Unavailable(code="no_sd", reason=f"The plan names no baseline_sd: the standard deviation of '{primary.key}' over units.")
    if primary.kind == "quantile":
        return Unavailable(code="no_formula", reason=f"There is no formula for the size of a test of a quantile ('{primary.key}').")
    corrected = plan.correction != "none" and comparisons > 1
    return PlannedTest(
        rates=rates,
        noninferiority=plan.objective == "non_inferiority",
        value=value,
        sd=None if rates else sd,
        alpha=plan.alpha / comparisons if corrected else plan.alpha,
        power=plan.power,
        alternative=plan.alternative,
    )


def _planned_effect(spec: ExperimentSpec, value: float | None) -> float | Unavailable:
    """The MDE, or the margin, in the metric's unit with its sign."""
    plan, primary = spec.plan, spec.primary
    if plan.objective == "non_inferiority":
        size, kind = primary.margin, "absolute"  # the spec allows no other for this objective
        if not size:
            return Unavailable(code="no_margin", reason="The margin is 0: no sample shows a treatment to be no worse at all.")
    else:
        size, kind = plan.mde, plan.mde_kind
        if size is None:
            return Unavailable(code="no_mde", reason="The plan names no mde: the smallest effect worth detecting.")
    if kind == "relative":
        if value is None:
            return _no_baseline(spec)
        if value == 0:
            return Unavailable(code="impossible_target", reason="A relative effect needs a baseline other than 0.")
        size *= abs(value)
    return size if _sought(spec) == "increase" else -size


def _not_by_formula(spec: ExperimentSpec) -> Unavailable:
    """Why a design without fixed shares, or of pairs, has no size to plan."""
    if spec.paired:
        why = "The size of a design of pairs depends on how alike the two units of a pair are; declare plan.sample_size (two units a pair)."
        return Unavailable(code="no_formula", reason=why)
    why = f"The allocation is {spec.allocation}: units cannot be planned by arm."
    undrawn = "Nobody is assigned in a design without randomisation: it has no size to plan."
    return Unavailable(code="unknown_allocation", reason=why if spec.design is None else undrawn)


def _assumptions(spec: ExperimentSpec, test: PlannedTest) -> tuple[str, ...]:
    """Codes of what the size takes for granted."""
    poisson = ("poisson_variance",) if test.poisson else ()
    believed = ("planned_as_test",) if spec.plan.method == "bayesian" else ()
    return (*poisson, *(("planned_as_score",) if chosen_test(spec.primary) in FROM_COUNTS else ()), *believed)


def _sought(spec: ExperimentSpec) -> EffectDirection:
    """Where the effect lies: along the metric's direction, a margin of harm against it."""
    harm = spec.plan.objective == "non_inferiority"
    return "decrease" if (spec.primary.direction == "decrease") != harm else "increase"


def _no_baseline(spec: ExperimentSpec) -> Unavailable:
    return Unavailable(code="no_baseline", reason=f"The plan names no baseline: the control's '{spec.primary.key}' expected.")


def _weakest_power(effect: float, asked: Sequence[tuple[PlannedTest, tuple[int, int]]]) -> float | None:
    try:
        return min(test.power_of(effect, *pair) for test, pair in asked)
    except (UsageError, DataError):
        return None


def _largest_detectable(direction: EffectDirection, asked: Sequence[tuple[PlannedTest, tuple[int, int]]]) -> float | None:
    try:
        return max(abs(test.detectable(direction, *pair).effect) for test, pair in asked)
    except (UsageError, DataError):
        return None


def _explanation(spec: ExperimentSpec, test: PlannedTest, effect: float, arms: Mapping[str, int], *, factor: float, design: float) -> str:
    if test.noninferiority:
        aim = f"show '{spec.primary.key}' to be within a margin of {effect:+.6g}"
    elif test.value is None:
        aim = f"detect a change of '{spec.primary.key}' by {effect:+.6g}"
    else:
        aim = f"detect a change of '{spec.primary.key}' from {test.value:.6g} to {test.value + effect:.6g}"
    sizes = ", ".join(f"{key} {n:,}" for key, n in arms.items())
    weighted = f" ({test.alpha:.4g} by weight where most are needed)" if spec.plan.correction == WEIGHTED else ""
    others = sum(n > 0 for n in arms.values()) - 1
    each = weighted or (f" ({test.alpha:.4g} for each of {others} treatments)" if test.alpha != spec.plan.alpha else "")
    looks = "" if factor == 1.0 else f", {factor:.3f} times those of a single look"
    looks += "" if design == 1.0 else f", {design:.3f} times those of plain units"
    return (
        f"{sum(arms.values()):,} units ({sizes}) {aim} with power {test.power:g} at alpha {spec.plan.alpha:g}{each}, "
        f"{test.alternative}, by {METHOD_NAMES[test.method]}{looks}."
    )
