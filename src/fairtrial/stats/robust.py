"""t-tests that outliers move less: on logarithms, on winsorised and on trimmed values.

Each answers a question of its own: the log test compares geometric means, the
winsorised test means after capping, the trimmed test the middle of both arms.
None of them is the difference of plain means, so the one to read is declared
beforehand.

References: Yuen (1974), Biometrika 61, 165-170; Dixon & Tukey (1968),
Technometrics 10, 83-98 (winsorised t); Wilcox (2012), Introduction to Robust
Estimation and Hypothesis Testing, section 5.3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.contrast import satterthwaite_df
from fairtrial.stats.means import welch_test
from fairtrial.stats.moments import Moments
from fairtrial.stats.result import Alternative, Estimate, Interval
from fairtrial.stats.samples import sample_of
from fairtrial.stats.single import contrast_of_values, single_estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Winsorized:
    """Welch's test after capping both arms at quantiles of all values together.

    Attributes:
        estimate: The test of the capped values.
        cut_low: Values below were raised to this.
        cut_high: Values above were lowered to this.
    """

    estimate: Estimate
    cut_low: float
    cut_high: float


def log_t_test(
    control: ArrayLike,
    treatment: ArrayLike,
    *,
    transform: Literal["log", "log1p"] = "log",
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
) -> Estimate:
    """Welch's t-test on logarithms.

    Args:
        control: Values of the control, shape (n,), positive for `log`, above -1 for `log1p`.
        treatment: Values of the treatment, the same.
        transform: `log`, or `log1p` for ln(1 + y) where zeros occur.
        alpha: Type I error rate in (0, 1); the interval covers 1 - `alpha`.
        alternative: The alternative hypothesis, in SciPy's words.

    Returns:
        Effect and interval on the log scale. For `log` the lift is that of the geometric means,
        exp(effect) - 1, with its interval; for `log1p` there is none.

    Raises:
        UsageError: An option breaks its rule.
        DataError: A value has no logarithm, an arm has fewer than two values, or nothing varies.

    References:
        Casella & Berger (2002), Statistical Inference, section 11.2.1.
    """
    if transform not in {"log", "log1p"}:
        raise UsageError(f"transform must be 'log' or 'log1p', got {transform!r}.")
    floor = 0.0 if transform == "log" else -1.0
    take = np.log if transform == "log" else np.log1p
    arms = [sample_of(values) for values in (control, treatment)]
    lowest = min(float(values.min()) for values in arms)
    if lowest <= floor:
        raise DataError(f"A {transform} test needs values above {floor:g}, got {lowest:g}.", hint="Use log1p, or a test of means.")
    logs = [Moments.from_values(take(values)) for values in arms]
    estimate = replace(
        welch_test(*logs, alpha=alpha, alternative=alternative),
        method=f"{transform}_t_test",
        lift=None,
        lift_interval=None,
        lift_method=None,
    )
    if transform == "log1p":
        return estimate
    low, high = estimate.interval.low, estimate.interval.high
    back = Interval(low=math.expm1(low) if low > -math.inf else low, high=math.expm1(high) if high < math.inf else high)
    return replace(estimate, lift=math.expm1(estimate.effect), lift_interval=back, lift_method="log")


def winsorized_t_test(
    control: ArrayLike,
    treatment: ArrayLike,
    *,
    lower: float = 0.05,
    upper: float = 0.95,
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
) -> Winsorized:
    """Welch's t-test after capping both arms at pooled quantiles (Hyndman-Fan type 7).

    Args:
        control: Values of the control, shape (n,).
        treatment: Values of the treatment.
        lower: Quantile of all values together below which values are raised to it, in [0, upper).
        upper: Quantile above which values are lowered to it, in (lower, 1].
        alpha: Type I error rate in (0, 1).
        alternative: The alternative hypothesis, in SciPy's words.

    Returns:
        The test of the capped values and the two caps; both arms share them, or the test would be biased.

    Raises:
        UsageError: The quantiles are out of order, or an option breaks its rule.
        DataError: An arm has fewer than two values, or nothing varies after capping.

    References:
        Dixon & Tukey (1968), Technometrics 10, 83-98; Welch's test in place of Student's.
    """
    if not 0.0 <= lower < upper <= 1.0:
        raise UsageError(f"The quantiles must satisfy 0 <= lower < upper <= 1, got {lower} and {upper}.")
    arms = [sample_of(values) for values in (control, treatment)]
    low, high = (float(cut) for cut in np.quantile(np.concatenate(arms), [lower, upper]))
    capped = [Moments.from_values(np.clip(values, low, high)) for values in arms]
    estimate = replace(welch_test(*capped, alpha=alpha, alternative=alternative), method="winsorized_t_test")
    return Winsorized(estimate=estimate, cut_low=low, cut_high=high)


def yuen_test(
    control: ArrayLike,
    treatment: ArrayLike,
    *,
    trim: float = 0.2,
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
) -> Estimate:
    """Yuen's t-test of trimmed means, unequal variances.

    Args:
        control: Values of the control, shape (n,).
        treatment: Values of the treatment.
        trim: Share cut from each tail of each arm, in [0, 0.5); floor(trim n) values go.
        alpha: Type I error rate in (0, 1); the interval covers 1 - `alpha`.
        alternative: The alternative hypothesis, in SciPy's words.

    Returns:
        The difference of trimmed means; its variance is that of the winsorised values.

    Raises:
        UsageError: `trim` lies outside [0, 0.5), or an option breaks its rule.
        DataError: Fewer than two values are left in an arm, or they do not vary.

    References:
        Yuen (1974), Biometrika 61, 165-170.
    """
    if not 0.0 <= trim < 0.5:
        raise UsageError(f"trim must lie in [0, 0.5), got {trim}.")
    c, t = (_trimmed(sample_of(values), trim) for values in (control, treatment))
    df = satterthwaite_df(c.variance, c.kept, t.variance, t.kept)
    contrast = contrast_of_values(
        control=c.mean,
        treatment=t.mean,
        control_variance=c.variance,
        treatment_variance=t.variance,
        df=df.item(),
        n_control=c.n,
        n_treatment=t.n,
    )
    return single_estimate(contrast, method="yuen_test", alpha=alpha, alternative=alternative)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trimmed:
    mean: float
    variance: float
    kept: int
    n: int


def _trimmed(values: NDArray[np.float64], trim: float) -> _Trimmed:
    n = values.size
    cut = math.floor(trim * n + 1e-9)
    kept = n - 2 * cut
    if kept < 2:
        raise NotEnoughDataError(f"A trimmed mean needs at least two values left in each arm, got {kept} of {n}.", code="too_few_units")
    ordered = np.sort(values)
    winsorized = Moments.from_values(np.clip(ordered, ordered[cut], ordered[n - 1 - cut]))
    return _Trimmed(mean=float(ordered[cut : n - cut].mean()), variance=winsorized.m2 / kept / (kept - 1), kept=kept, n=n)
