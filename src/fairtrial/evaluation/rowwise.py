"""Comparisons made of more than moments: of the units' own numbers, of bucket sums, of order statistics.

Each is one pair of arms at one look. It is made once for its p-value, and once more
where a correction moves the level of its interval; what is drawn is drawn from a
seed that the experiment, the metric and the treatment make, so that the same data
gives the same bytes, at any level and on any machine.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from fairtrial.errors import DataError, UsageError
from fairtrial.evaluation.by_design import DESIGN_TESTS
from fairtrial.evaluation.unit_task import NOTHING, Floats, UnitTask, contrast_of, not_read
from fairtrial.metrics import Metric, UnitComparison
from fairtrial.stats.quantiles import quantile_test
from fairtrial.stats.reading import ArmStats, OutcomeStats
from fairtrial.stats.resampling.buckets import BucketSums
from fairtrial.stats.resampling.designs import Paired
from fairtrial.stats.resampling.distribution import BootstrapDistribution
from fairtrial.stats.resampling.permutation import permutation_test
from fairtrial.stats.resampling.smooth import smooth_bootstrap
from fairtrial.stats.resampling.sums import SmoothStatistic
from fairtrial.stats.result import Alternative, Estimate, Interval, Unavailable
from fairtrial.stats.robust import log_t_test, yuen_test
from fairtrial.stats.shift import hodges_lehmann_test

Ask = Callable[[float], "Estimate | Unavailable"]
"""A comparison made ready, asked for its estimate with the interval at a level."""

RESAMPLES = 9_999
"""Resamples of a bootstrap, and most assignments of a permutation test: p-values in steps of 1e-4."""

FEWEST_ASSIGNMENTS = 999
PERMUTED_CELLS = 50_000_000
"""Units times assignments of a permutation test: some seconds."""

MOST_PERMUTED = PERMUTED_CELLS // (FEWEST_ASSIGNMENTS + 1)
"""Units of both arms, 50,000, up to which assignments are drawn."""

GEOMETRIC_MEANS = "geometric_means"
"""Note of an estimate whose effect is a ratio of geometric means less 1."""

TIED_QUANTILE = "tied_quantile"
"""Note of an estimate of a quantile that many units share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitResult:
    """One comparison at the plan's level, to be asked again at another.

    Attributes:
        task: The comparison.
        found: Its estimate at the plan's level, or why there is none.
        ask: Asks it again.
    """

    task: UnitTask
    found: Estimate | Unavailable
    ask: Ask

    @property
    def p_value(self) -> float:
        """Before any correction; NaN where there is none."""
        p_value = self.found.p_value if isinstance(self.found, Estimate) else None
        return math.nan if p_value is None else p_value

    def at(self, level: float, p_adjusted: float | None, correction: str | None) -> Estimate | Unavailable:
        """The estimate with its interval at `level`, as corrected."""
        found = self.found if level == self.task.alpha else _asked(self.task, self.ask, level)
        return replace(found, p_adjusted=p_adjusted, correction=correction) if isinstance(found, Estimate) else found


def is_of_units(metric: Metric) -> bool:
    """Whether a metric is compared here and not in a batch."""
    return isinstance(metric.family, UnitComparison)


def make_task(
    metric: Metric,
    treatment: str,
    arms: Mapping[str, ArmStats],
    *,
    experiment: str,
    control: str,
    alternative: Alternative,
    margin: float,
    alpha: float,
) -> UnitTask:
    """A comparison ready to be made.

    Args:
        metric: The metric, of a test of units.
        treatment: Key of the treatment.
        arms: Statistics of every arm; both arms have this metric.
        experiment: Key of the experiment, part of the seed.
        control: Key of the control.
        alternative: Sides of the test.
        margin: Effect under the null hypothesis.
        alpha: Level of the plan.

    Raises:
        UsageError: The metric is compared in a batch, or an arm lacks it.
    """
    family = metric.family
    own, other = (arms[arm].outcomes.get(metric.spec.key) for arm in (control, treatment))
    if not isinstance(family, UnitComparison) or not isinstance(own, OutcomeStats) or not isinstance(other, OutcomeStats):
        raise UsageError(f"Metric '{metric.spec.key}' has no comparison of units between {control!r} and {treatment!r}.")
    return UnitTask(
        metric=metric.spec.key,
        family=family,
        treatment=treatment,
        control=own,
        treated=other,
        alternative=alternative,
        margin=margin,
        alpha=alpha,
        seed=seed_of(experiment, metric.spec.key, treatment),
    )


def seed_of(*names: str) -> int:
    """A seed of 128 bits from names: the first half of the SHA-256 of them, joined by a unit separator."""
    return int.from_bytes(hashlib.sha256("\x1f".join(names).encode("utf-8", "surrogatepass")).digest()[:16], "big")


def compare_units(tasks: Iterable[UnitTask]) -> list[UnitResult]:
    """Make comparisons at the plan's level.

    Raises:
        UsageError: The reading lacks what a test reads.
    """
    made: list[UnitResult] = []
    for task in tasks:
        ask = _ready(task)
        made.append(UnitResult(task=task, found=_asked(task, ask, task.alpha), ask=ask))
    return made


def _ready(task: UnitTask) -> Ask:
    """The comparison with all that does not depend on the level done."""
    if task.family.test != "bootstrap":
        return partial(_TESTS[task.family.test], task)
    try:
        return _bootstrap(task)
    except DataError as error:
        return _always(Unavailable(code=error.code, reason=error.message))


def _always(found: Unavailable) -> Ask:
    def same(_: float) -> Estimate | Unavailable:
        return found

    return same


def _asked(task: UnitTask, ask: Ask, alpha: float) -> Estimate | Unavailable:
    """One comparison with its interval at `alpha`; what the data cannot give is `Unavailable`."""
    try:
        found = ask(alpha)
    except DataError as error:
        return Unavailable(code=error.code, reason=error.message)
    if isinstance(found, Unavailable):
        return found
    return replace(found, method=task.family.test_name(task.margin), interval_method=task.family.interval_method)


def _log(task: UnitTask, alpha: float) -> Estimate | Unavailable:
    control, treated = task.values
    plus_one = task.family.test == "log1p"
    lowest = min(float(control.min()), float(treated.min()))
    if lowest <= (-1.0 if plus_one else 0.0):
        rule = "above -1" if plus_one else "above 0"
        return Unavailable(code="no_logarithm", reason=f"A value of {task.metric} is {lowest:g}; logarithms need values {rule}.")
    try:
        found = log_t_test(control, treated, transform="log1p" if plus_one else "log", alpha=alpha, alternative=task.alternative)
        ends = [end if math.isinf(end) else math.expm1(end) for end in (found.interval.low, found.interval.high)]
        effect = math.expm1(found.effect)
    except OverflowError:
        return _NOT_FINITE
    back = np.expm1 if plus_one else np.exp
    return replace(
        found,
        effect=effect,
        interval=Interval(low=ends[0], high=ends[1]),
        std_error=None,
        control=float(back(found.control)),
        treatment=float(back(found.treatment)),
        notes=(GEOMETRIC_MEANS,),
    )


def _trimmed(task: UnitTask, alpha: float) -> Estimate:
    control, treated = task.values
    found = yuen_test(control, treated, trim=task.family.trim, alpha=alpha, alternative=task.alternative)
    if task.margin == 0.0:
        return found
    shifted = yuen_test(control, treated - task.margin, trim=task.family.trim, alpha=alpha, alternative=task.alternative)
    return replace(found, p_value=shifted.p_value, statistic=shifted.statistic, margin=task.margin)


def _mann_whitney(task: UnitTask, alpha: float) -> Estimate:
    return hodges_lehmann_test(*task.values, alpha=alpha, alternative=task.alternative, margin=task.margin)


def _permutation(task: UnitTask, alpha: float) -> Estimate | Unavailable:
    control, treated = task.rows
    units = control.shape[0] + treated.shape[0]
    if units > MOST_PERMUTED:
        return Unavailable(
            code="too_many_units",
            reason=f"A permutation test goes through every unit many times: at most {MOST_PERMUTED:,} units, there are {units:,}. "
            "Use test bootstrap, or welch, which agrees with it at such a size.",
        )
    contrast = contrast_of(task)
    if contrast.undefined[0]:
        return contrast.unavailable(0) or NOTHING
    both = np.concatenate([control, treated])
    order = np.arange(control.shape[0], dtype=np.intp)
    pairs = Paired(pairs=np.concatenate([order, order])) if task.family.paired else None
    values = both[:, 0] if both.shape[1] == 1 else _linearised(both)
    found = permutation_test(
        values,
        np.repeat((False, True), (control.shape[0], treated.shape[0])),
        design=pairs,
        null=task.margin,
        alpha=alpha,
        alternative=task.alternative,
        resamples=min(RESAMPLES, PERMUTED_CELLS // units),
        rng=task.rng,
    )
    if isinstance(found.interval, Unavailable):
        return found.interval
    own, other = float(contrast.control[0]), float(contrast.treatment[0])
    if task.family.paired:  # of complete pairs alone
        own, other = float(control[:, 0].mean()), float(treated[:, 0].mean())
    return Estimate(
        effect=other - own,
        interval=found.interval,
        p_value=found.p_value,
        std_error=None,
        statistic=None,
        df=None,
        control=own,
        treatment=other,
        n_control=found.n_control,
        n_treatment=found.n_treatment,
        alpha=alpha,
        alternative=task.alternative,
        margin=task.margin,
        method="permutation",
        interval_method="permutation",
        lift=other / own - 1.0 if own > 0.0 else None,
    )


def _linearised(both: Floats) -> Floats:
    """A ratio's units about the ratio of all: (numerator - R denominator) / mean denominator."""
    numerator, denominator = both.mean(axis=0)
    return (both[:, 0] - numerator / denominator * both[:, 1]) / denominator


def _bootstrap(task: UnitTask) -> Ask:
    control, treated = task.control.buckets, task.treated.buckets
    if control is None or treated is None:
        raise not_read(task, "sums by bucket")
    if isinstance(control, Unavailable):
        return _always(control)
    if isinstance(treated, Unavailable):
        return _always(treated)
    contrast = contrast_of(task)
    if contrast.undefined[0]:
        return _always(contrast.unavailable(0) or NOTHING)
    statistic, of_lift = _STATISTICS["ratio" if task.family.ratio else "cuped" if task.family.adjusted else "mean"]
    own, other = float(contrast.control[0]), float(contrast.treatment[0])
    drawn = replace(smooth_bootstrap(control, treated, statistic, resamples=RESAMPLES, rng=task.rng), control=own, treatment=other)
    lifts = _lift_draws(task, control, treated, of_lift) if own > 0.0 else None

    def ask(alpha: float) -> Estimate | Unavailable:
        if (alpha if task.alternative != "two-sided" else alpha / 2.0) * (RESAMPLES + 1) < 2.0:
            return Unavailable(code="too_few_draws", reason=f"{RESAMPLES:,} resamples cannot bound an effect at the level {alpha:.2g}.")
        found = drawn.to_estimate(method="studentised", alpha=alpha, alternative=task.alternative, margin=task.margin)
        return replace(
            found,
            lift=other / own - 1.0 if own > 0.0 else None,
            lift_interval=None if lifts is None else lifts.interval(method="studentised", alpha=alpha, alternative=task.alternative),
            lift_method=None if lifts is None else "bootstrap_studentised",
            theta=float(contrast.theta[0]) if task.family.adjusted else None,
            variance_reduction=float(contrast.variance_reduction[0]) if task.family.adjusted else None,
        )

    return ask


def _lift_draws(task: UnitTask, control: BucketSums, treated: BucketSums, statistic: SmoothStatistic) -> BootstrapDistribution | None:
    """The lift's own bootstrap, from the same draws; None where a resample's control may be 0."""
    try:
        return smooth_bootstrap(control, treated, statistic, resamples=RESAMPLES, rng=task.rng)
    except DataError:
        return None


def _quantile(task: UnitTask, alpha: float) -> Estimate | Unavailable:
    control, treated = task.control.quantile, task.treated.quantile
    if control is None or treated is None:
        raise not_read(task, "a quantile")
    if isinstance(control, Unavailable):
        return control
    if isinstance(treated, Unavailable):
        return treated
    found = quantile_test(control, treated, alpha=alpha, alternative=task.alternative, margin=task.margin)
    tied = any(arm.value in {arm.interval.low, arm.interval.high} for arm in (control, treated))
    return replace(found, notes=(TIED_QUANTILE,) if tied else ())


_NOT_FINITE = Unavailable(code="not_finite", reason="The metric's values are too large to compute with.")

_STATISTICS: Mapping[str, tuple[SmoothStatistic, SmoothStatistic]] = {
    "mean": ("mean_difference", "mean_lift"),
    "ratio": ("ratio_difference", "ratio_lift"),
    "cuped": ("cuped_difference", "cuped_lift"),
}
"""Statistics of the effect and of the lift."""

_TESTS: Mapping[str, Callable[[UnitTask, float], Estimate | Unavailable]] = {
    "log": _log,
    "log1p": _log,
    "trimmed": _trimmed,
    "mann_whitney": _mann_whitney,
    "permutation": _permutation,
    "quantile": _quantile,
    **DESIGN_TESTS,
}
"""All but the bootstrap, whose draws serve every level."""
