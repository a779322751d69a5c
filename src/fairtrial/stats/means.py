"""Tests of a difference of two means, from moments: Welch, Student, z, paired, non-inferiority, equivalence.

All go through `contrast.linear_contrast`, the batch of one. They assume
independent units and means close to normal, which for skewed metrics needs
more units than for symmetric ones (the interval's coverage is checked by
simulation in the tests). Welch's test is the default everywhere: it gives up
next to nothing where the variances are equal and holds its size where they are
not.

References: Welch (1947), Biometrika 34, 28-35; Student (1908), Biometrika 6,
1-25; Schuirmann (1987), J. Pharmacokinet. Biopharm. 15, 657-680 (two one-sided
tests).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.batch import ROUNDING, BatchMoments
from fairtrial.stats.contrast import expand, linear_contrast
from fairtrial.stats.moments import CoMoments, Moments
from fairtrial.stats.result import Alternative, Estimate, check_alpha
from fairtrial.stats.single import contrast_of_values, single_estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Equivalence:
    """Two one-sided tests of `low < effect < high`.

    Attributes:
        estimate: Welch's two-sided estimate at error rate 2 `alpha`, whose interval decides.
        low: Largest loss that still counts as equal, in the metric's unit.
        high: Largest gain that still counts as equal.
        p_low: Of the null hypothesis `effect <= low`.
        p_high: Of the null hypothesis `effect >= high`.
        p_value: The larger of the two.
        equivalent: Whether `p_value < alpha`; the interval then lies within (low, high).
    """

    estimate: Estimate
    low: float
    high: float
    p_low: float
    p_high: float
    p_value: float
    equivalent: bool


def welch_test(
    control: Moments,
    treatment: Moments,
    *,
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
    margin: float = 0.0,
) -> Estimate:
    """Welch's t-test of `treatment - control`, unequal variances.

    Args:
        control: Moments of the control, n >= 2.
        treatment: Moments of the treatment, n >= 2, in the same unit.
        alpha: Type I error rate in (0, 1); the interval covers 1 - `alpha`.
        alternative: The alternative hypothesis, in SciPy's words.
        margin: Effect under the null hypothesis, in the metric's unit.

    Returns:
        The effect in the metric's unit; a one-sided interval has one infinite end. The lift's
        interval is the delta method's, with the normal quantile.

    Raises:
        UsageError: An option breaks its rule.
        NotEnoughDataError: An arm has fewer than two units.
        DataError: Both arms are constant.

    References:
        Welch (1947), Biometrika 34, 28-35; df: Satterthwaite (1946).
    """
    contrast = linear_contrast(_batch(control), _batch(treatment))
    return single_estimate(contrast, method="welch_t", alpha=alpha, alternative=alternative, margin=margin)


def student_test(
    control: Moments,
    treatment: Moments,
    *,
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
    margin: float = 0.0,
) -> Estimate:
    """Student's t-test of `treatment - control`, one variance pooled over both arms.

    Args:
        control: Moments of the control, n >= 2.
        treatment: Moments of the treatment, n >= 2, in the same unit.
        alpha: Type I error rate in (0, 1); the interval covers 1 - `alpha`.
        alternative: The alternative hypothesis, in SciPy's words.
        margin: Effect under the null hypothesis, in the metric's unit.

    Returns:
        The effect in the metric's unit, with n_c + n_t - 2 degrees of freedom.

    Raises:
        UsageError: An option breaks its rule.
        NotEnoughDataError: An arm has fewer than two units.
        DataError: Both arms are constant.

    References:
        Student (1908), Biometrika 6, 1-25.
    """
    contrast = linear_contrast(_batch(control), _batch(treatment), variances="equal")
    return single_estimate(contrast, method="student_t", alpha=alpha, alternative=alternative, margin=margin)


def z_test_means(
    control: Moments,
    treatment: Moments,
    *,
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
    margin: float = 0.0,
) -> Estimate:
    """Large-sample z-test of `treatment - control`, unequal variances, normal quantile.

    Args:
        control: Moments of the control, n >= 2 (in practice hundreds).
        treatment: Moments of the treatment, in the same unit.
        alpha: Type I error rate in (0, 1); the interval covers 1 - `alpha`.
        alternative: The alternative hypothesis, in SciPy's words.
        margin: Effect under the null hypothesis, in the metric's unit.

    Returns:
        The effect in the metric's unit; `df` is None.

    Raises:
        UsageError: An option breaks its rule.
        NotEnoughDataError: An arm has fewer than two units.
        DataError: Both arms are constant.

    References:
        Casella & Berger (2002), Statistical Inference, section 10.3.2 (Wald's test).
    """
    contrast = linear_contrast(_batch(control), _batch(treatment), quantile="normal")
    return single_estimate(contrast, method="two_mean_z", alpha=alpha, alternative=alternative, margin=margin)


def noninferiority(
    control: Moments,
    treatment: Moments,
    *,
    margin: float,
    alpha: float = 0.025,
    direction: Literal["increase", "decrease"] = "increase",
) -> Estimate:
    """One-sided Welch test that the treatment is worse by less than `margin`.

    Args:
        control: Moments of the control, n >= 2.
        treatment: Moments of the treatment, n >= 2, in the same unit.
        margin: Harm tolerated, > 0, in the metric's unit.
        alpha: One-sided type I error rate in (0, 1).
        direction: Which way is better; harm is a loss for `increase`, a gain for `decrease`.

    Returns:
        The effect with a one-sided interval; `p_value < alpha` if and only if the interval lies
        within the margin, which then proves non-inferiority.

    Raises:
        UsageError: `margin` is not positive, or an option breaks its rule.
        NotEnoughDataError: An arm has fewer than two units.
        DataError: Both arms are constant.

    References:
        Blackwelder (1982), Controlled Clinical Trials 3, 345-353.
    """
    if not margin > 0.0:
        raise UsageError(f"margin is the harm tolerated and must be positive, got {margin}.", hint="For no tolerance use welch_test.")
    if direction not in {"increase", "decrease"}:
        raise UsageError(f"direction must be 'increase' or 'decrease', got {direction!r}.")
    if direction == "increase":
        return welch_test(control, treatment, alpha=alpha, alternative="greater", margin=-margin)
    return welch_test(control, treatment, alpha=alpha, alternative="less", margin=margin)


def tost_equivalence(control: Moments, treatment: Moments, *, low: float, high: float, alpha: float = 0.05) -> Equivalence:
    """Two one-sided Welch tests that the effect lies strictly between `low` and `high`.

    Args:
        control: Moments of the control, n >= 2.
        treatment: Moments of the treatment, n >= 2, in the same unit.
        low: Lower limit of equivalence, in the metric's unit.
        high: Upper limit of equivalence, above `low`.
        alpha: Error rate of each one-sided test, in (0, 0.5).

    Returns:
        Both p-values and the interval of level 1 - 2 `alpha` that decides as they do.

    Raises:
        UsageError: The limits are out of order, or `alpha` lies outside (0, 0.5).
        NotEnoughDataError: An arm has fewer than two units.
        DataError: Both arms are constant.

    References:
        Schuirmann (1987), J. Pharmacokinet. Biopharm. 15, 657-680.
    """
    if not low < high:
        raise UsageError(f"The limits of equivalence must satisfy low < high, got {low} and {high}.")
    if not 0.0 < check_alpha(alpha) < 0.5:
        raise UsageError(f"alpha of an equivalence test must lie in (0, 0.5), got {alpha}.")
    estimate = welch_test(control, treatment, alpha=2.0 * alpha)
    contrast = linear_contrast(expand([CoMoments.of(control)]), expand([CoMoments.of(treatment)]))
    p_low = contrast.p_value(alternative="greater", margin=low).item()
    p_high = contrast.p_value(alternative="less", margin=high).item()
    return Equivalence(
        estimate=estimate,
        low=low,
        high=high,
        p_low=p_low,
        p_high=p_high,
        p_value=max(p_low, p_high),
        equivalent=max(p_low, p_high) < alpha,
    )


def paired_t_test(
    control: ArrayLike,
    treatment: ArrayLike,
    *,
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
    margin: float = 0.0,
) -> Estimate:
    """Student's t-test on the differences of units measured under both conditions.

    Args:
        control: Values under control, shape (n,), n >= 2.
        treatment: Values of the same units under treatment, in the same order, shape (n,).
        alpha: Type I error rate in (0, 1); the interval covers 1 - `alpha`.
        alternative: The alternative hypothesis, in SciPy's words.
        margin: Mean difference under the null hypothesis.

    Returns:
        The mean difference with n - 1 degrees of freedom; `n_control` and `n_treatment` are pairs.

    Raises:
        UsageError: The two are of different lengths, or an option breaks its rule.
        NotEnoughDataError: Fewer than two pairs.
        DataError: The differences are constant.

    References:
        Student (1908), Biometrika 6, 1-25, section IX (the sleep data).
    """
    before, after = np.asarray(control, dtype=np.float64), np.asarray(treatment, dtype=np.float64)
    if before.ndim != 1 or before.shape != after.shape:
        raise UsageError(f"Paired values must be two flat arrays of one length, got shapes {before.shape} and {after.shape}.")
    if before.size < 2:
        raise NotEnoughDataError(f"A paired test needs at least two pairs, got {before.size}.", code="too_few_units")
    n = before.size
    pairs = CoMoments.from_values(np.stack([before, after], axis=1))
    difference = Moments.from_values(after - before)
    if difference.m2 <= n * (ROUNDING * float(np.abs(pairs.mean).max())) ** 2:
        raise DataError("The differences of the pairs are constant, so nothing can be inferred from them.", code="no_variance")
    of_means = pairs.cross / (n - 1) / n
    contrast = contrast_of_values(
        control=float(pairs.mean[0]),
        treatment=float(pairs.mean[1]),
        control_variance=float(of_means[0, 0]),
        treatment_variance=float(of_means[1, 1]),
        covariance=float(of_means[0, 1]),
        df=n - 1.0,
        n_control=n,
        n_treatment=n,
    )
    # From the differences themselves: the variances above cancel where the pairs are nearly equal.
    exact = replace(contrast, effect=np.array([difference.mean]), std_error=np.array([math.sqrt(difference.variance / n)]))
    return single_estimate(exact, method="paired_t", alpha=alpha, alternative=alternative, margin=margin)


def _batch(moments: Moments) -> BatchMoments:
    return expand([CoMoments.of(moments)])
