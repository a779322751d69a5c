"""Two arms by many statistics at once: the tests, effect sizes and intervals of a quick analysis.

These describe. What decides is the one test that the spec declares, whose result is in the
scorecard; several tests of one question are no more evidence than one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairtrial.analysis.effects_by_segment import SegmentEffects, segment_effects
from fairtrial.analysis.frame import mean, proportion
from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.means import student_test, welch_test
from fairtrial.stats.moments import Moments
from fairtrial.stats.ranks import mann_whitney_test
from fairtrial.stats.resampling.samples import bootstrap_interval
from fairtrial.stats.result import Estimate, Unavailable, check_alpha
from fairtrial.stats.robust import yuen_test
from fairtrial.stats.samples import sample_of

T = TypeVar("T")

LEAST_PER_GROUP = 10
"""Units that each arm needs in a level for its effect to be estimated."""


@dataclass(frozen=True, slots=True)
class StatisticalResult:
    """One test of two arms.

    Attributes:
        test_name: `welch_ttest`, `student_ttest` or `mann_whitney`.
        statistic: The test's statistic: t, or U (pairs in which the treatment exceeds the control).
        p_value: Two-sided, in [0, 1], not corrected.
        significant: Whether `p_value` is below `significance_level`.
        method_notes: What was computed, in a sentence.
        significance_level: Error rate in (0, 1).
        df: Degrees of freedom; None where there are none.
    """

    test_name: str
    statistic: float
    p_value: float
    significant: bool
    method_notes: str = ""
    significance_level: float = 0.05
    df: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentData:
    """The values of one metric in two arms, one number a unit.

    Attributes:
        control: Shape (n_c,), finite.
        treatment: Shape (n_t,), finite.
        metric: What was measured.
    """

    control: NDArray[np.float64]
    treatment: NDArray[np.float64]
    metric: str = "metric"

    @property
    def moments(self) -> tuple[Moments, Moments]:
        """Moments of the control and of the treatment."""
        return Moments.from_values(self.control), Moments.from_values(self.treatment)


def create_experiment_data(control: ArrayLike, treatment: ArrayLike, *, metric: str = "metric") -> ExperimentData:
    """Check the values of two arms.

    Args:
        control: Values of the control, one a unit, shape (n_c,), at least two.
        treatment: Values of the treatment, shape (n_t,), at least two.
        metric: What was measured.

    Raises:
        DataError: A value is missing or not finite.
        NotEnoughDataError: An arm has fewer than two units.
    """
    arms = sample_of(control), sample_of(treatment)
    if min(arm.size for arm in arms) < 2:
        raise NotEnoughDataError(f"Each arm needs two units at least, got {arms[0].size} and {arms[1].size}.", code="too_few_units")
    return ExperimentData(control=arms[0], treatment=arms[1], metric=metric)


def quick_ttest(control: ArrayLike, treatment: ArrayLike, *, alpha: float = 0.05, equal_variances: bool = False) -> StatisticalResult:
    """Welch's t-test of the values of two arms, or Student's.

    Args:
        control: Values of the control, shape (n_c,).
        treatment: Values of the treatment, shape (n_t,).
        alpha: Error rate in (0, 1).
        equal_variances: Whether one variance is pooled over both arms (Student's test).

    Raises:
        UsageError: `alpha` lies outside (0, 1).
        DataError: A value is missing or not finite, or nothing varies.
        NotEnoughDataError: An arm has fewer than two units.
    """
    return t_result(create_experiment_data(control, treatment).moments, alpha=alpha, equal_variances=equal_variances)


def t_result(moments: tuple[Moments, Moments], *, alpha: float, equal_variances: bool) -> StatisticalResult:
    """A t-test from the moments of control and treatment.

    Raises:
        UsageError: `alpha` lies outside (0, 1).
        DataError: Both arms are constant.
        NotEnoughDataError: An arm has fewer than two units.
    """
    found = (student_test if equal_variances else welch_test)(*moments, alpha=alpha)
    name, what = ("student_ttest", "one pooled variance") if equal_variances else ("welch_ttest", "unequal variances")
    return _result(name, found.statistic, found.p_value, alpha, f"t-test of treatment - control, {what}, not adjusted", found.df)


def rank_result(data: ExperimentData, *, alpha: float) -> StatisticalResult:
    """The Mann-Whitney U test: whether values of one arm tend to be larger, which is not whether the mean is.

    Raises:
        UsageError: `alpha` lies outside (0, 1).
        DataError: All values are equal.
    """
    found = mann_whitney_test(data.control, data.treatment)
    notes = f"normal approximation with ties; P(treatment > control) + P(equal)/2 = {found.superiority:.4f}"
    return _result("mann_whitney", found.u, found.p_value, check_alpha(alpha), notes, None)


def trimmed_means(data: ExperimentData, *, alpha: float) -> Estimate:
    """The difference of means without the largest and the smallest fifth of each arm (Yuen's test).

    Raises:
        DataError: What is left does not vary.
    """
    return yuen_test(data.control, data.treatment, alpha=alpha)


def bootstrap_of(data: ExperimentData, *, alpha: float, seed: int, resamples: int) -> Estimate:
    """Studentised bootstrap of the difference of means.

    Raises:
        UsageError: An option breaks its rule.
        DataError: Nothing varies.
    """
    return bootstrap_interval(data.control, data.treatment, alpha=alpha, resamples=resamples, rng=np.random.default_rng(seed))


def analyze_subgroups(
    data: Any,
    *,
    metric: str,
    by: str,
    arm: str = "arm",
    control: str = "control",
    unit: str | None = None,
    kind: str = "mean",
    alpha: float = 0.05,
) -> SegmentEffects:
    """Effects within the levels of a column that was known before assignment.

    Args:
        data: A pandas or polars frame, an Arrow table, or the address of a file; one row a unit.
        metric: Column of the outcome.
        by: Column of levels.
        arm: Column that names the arm.
        control: Value of the control arm.
        unit: Column that identifies the unit; without it repeats cannot be seen.
        kind: `mean` or `proportion`.
        alpha: Error rate over all levels.

    Returns:
        The test of whether levels differ, and each level's effect, corrected over the levels (Holm); a level with
        fewer than 10 units in an arm is unavailable, with its reason.

    Raises:
        UsageError: An argument breaks a rule.
        DataError: The data cannot answer.
    """
    makers: dict[str, Callable[..., Any]] = {"mean": mean, "proportion": proportion}
    if kind not in makers:
        raise UsageError(f"kind must be 'mean' or 'proportion', got {kind!r}.", hint="For other kinds call segment_effects.")
    levels = {"columns": [by], "min_units": LEAST_PER_GROUP}
    return segment_effects(data, arm=arm, metrics=[makers[kind](metric)], by=levels, unit=unit, control=control, alpha=alpha)


def available(made: Callable[[], T]) -> T | Unavailable:
    """What a statistic gives, or why the data cannot give it."""
    try:
        return made()
    except (DataError, NotEnoughDataError) as error:
        return Unavailable(code=error.code, reason=error.message)


def _result(name: str, statistic: float | None, p_value: float | None, alpha: float, notes: str, df: float | None) -> StatisticalResult:
    if statistic is None or p_value is None:
        raise DataError(f"The {name} has no statistic on this data.", code="no_variance")
    return StatisticalResult(name, statistic, p_value, p_value < alpha, notes, alpha, df)
