"""Power, sample size and minimum detectable effect for two means.

Three distributions. `normal` (the default): standard deviations taken as known, any
pair of them; the z test of textbooks and of G-14's sisters. `noncentral_t_pooled_variance`:
exact for Student's t test of normal outcomes with one common standard deviation
(R's `power.t.test`). `noncentral_t_welch`: the same for unequal ones, with the
degrees of freedom of Satterthwaite (1946) at the true variances; approximate.
From some hundred units an arm the three agree.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from scipy import special

from fairtrial.errors import NotEnoughDataError, UnknownNameError, UsageError
from fairtrial.stats.power import (
    DetectableEffect,
    SampleSize,
    Sides,
    allocation_ratio,
    brent_root,
    check_positive,
    check_power,
    check_units,
    effect_along,
    normal_power,
    tail_alpha,
    tail_quantile,
    units_for_normal_power,
)

MeanDistribution = Literal["normal", "noncentral_t_pooled_variance", "noncentral_t_welch"]
MEAN_DISTRIBUTIONS: tuple[MeanDistribution, ...] = ("normal", "noncentral_t_pooled_variance", "noncentral_t_welch")
FARTHEST_SHIFT = 1e4
"""Noncentrality beyond which the normal part of the noncentral t is nothing beside it: the
chi-square limit differs by less than 1e-8 there (measured), where Boost's series ends in NaN."""


def sample_size_two_means(
    difference: float,
    sd: float | tuple[float, float],
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    treatment_share: float = 0.5,
    alternative: Sides = "two-sided",
    distribution: MeanDistribution = "normal",
) -> SampleSize:
    """Units that detect a difference of two means.

    Args:
        difference: Treatment minus control to detect, in the metric's unit, not 0.
        sd: Standard deviation over units, > 0: one for both arms, or (control, treatment).
        alpha: Type I error rate in (0, 1), over both sides when two-sided.
        power: Probability to detect the difference, in (alpha, 1).
        treatment_share: Share of units that the treatment gets, in (0, 1).
        alternative: The alternative hypothesis.
        distribution: Distribution of the statistic.

    Returns:
        Unrounded units per arm.

    Raises:
        UsageError: An argument lies outside its range.

    References:
        Cohen (1988), ch. 2; Chow, Shao & Wang (2008), eq. 3.2.2.
    """
    sds = _check_sd(sd, distribution)
    _check_difference(difference)
    ratio = allocation_ratio(treatment_share)
    se = _std_error(sds, 1.0, ratio)
    n_control = units_for_normal_power(difference, se, se, alpha=alpha, power=power, alternative=alternative)
    if distribution != "normal":

        def power_at(n: float) -> float:
            return _power_t(difference, sds, (n, n * ratio), distribution, alpha=alpha, alternative=alternative)

        n_control = _units_for(power_at, power, smallest=_smallest_units(ratio, distribution), start=n_control)
    return SampleSize(n_control=n_control, n_treatment=ratio * n_control)


def power_two_means(
    difference: float,
    sd: float | tuple[float, float],
    n_control: float,
    n_treatment: float,
    *,
    alpha: float = 0.05,
    alternative: Sides = "two-sided",
    distribution: MeanDistribution = "normal",
    count_opposite_tail: bool = False,
) -> float:
    """Power to detect a given difference of means with given units.

    Args:
        difference: True difference, treatment minus control; may be 0.
        sd: Standard deviation over units, > 0: one for both arms, or (control, treatment).
        n_control: Units in the control arm, >= 1.
        n_treatment: Units in the treatment arm, >= 1.
        alpha: Type I error rate in (0, 1), over both sides when two-sided.
        alternative: The alternative hypothesis.
        distribution: Distribution of the statistic.
        count_opposite_tail: Whether rejections in the wrong direction count.

    Returns:
        P(reject), in [0, 1]. The difference is that of the plan, never the one observed.

    Raises:
        UsageError: An argument lies outside its range.
        DataError: An arm holds less than one unit.
        NotEnoughDataError: A t distribution is asked of too few units for a variance.

    References:
        Cohen (1988), ch. 2; noncentral t: Johnson & Welch (1940), Biometrika 31, 362-389.
    """
    sds = _check_sd(sd, distribution)
    check_units(n_control, n_treatment)
    if distribution == "normal":
        se = _std_error(sds, n_control, n_treatment)
        return normal_power(difference, se, se, alpha=alpha, alternative=alternative, count_opposite_tail=count_opposite_tail)
    return _power_t(
        difference,
        sds,
        (n_control, n_treatment),
        distribution,
        alpha=alpha,
        alternative=alternative,
        count_opposite_tail=count_opposite_tail,
    )


def mde_two_means(
    sd: float | tuple[float, float],
    n_control: float,
    n_treatment: float,
    *,
    baseline: float | None = None,
    alpha: float = 0.05,
    power: float = 0.8,
    alternative: Sides = "two-sided",
    distribution: MeanDistribution = "normal",
) -> DetectableEffect:
    """Smallest difference of means that given units detect.

    Args:
        sd: Standard deviation over units, > 0: one for both arms, or (control, treatment).
        n_control: Units in the control arm, >= 1.
        n_treatment: Units in the treatment arm, >= 1.
        baseline: Control's mean, for the lift.
        alpha: Type I error rate in (0, 1), over both sides when two-sided.
        power: Power at the effect sought, in (alpha, 1).
        alternative: The alternative hypothesis; under `less` the effect is negative.
        distribution: Distribution of the statistic.

    Returns:
        The effect, (z_alpha + z_power) standard errors when normal.

    Raises:
        UsageError: An argument lies outside its range.
        DataError: An arm holds less than one unit.
        NotEnoughDataError: A t distribution is asked of too few units for a variance.
    """
    sds = _check_sd(sd, distribution)
    check_units(n_control, n_treatment)
    check_power(power, alpha)
    se = _std_error(sds, n_control, n_treatment)
    sign = -1.0 if alternative == "less" else 1.0
    effect = se * (tail_quantile(alpha, alternative) + float(special.ndtri(power)))
    if distribution != "normal":

        def power_at(difference: float) -> float:
            return _power_t(sign * difference, sds, (n_control, n_treatment), distribution, alpha=alpha, alternative=alternative)

        effect = _first_above(power_at, power, start=se)
    return DetectableEffect(effect=sign * effect, baseline=baseline)


def mde_relative_two_means(
    mean: float,
    sd: float,
    n_control: float,
    n_treatment: float,
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    alternative: Sides = "two-sided",
) -> DetectableEffect:
    """Smallest lift that given units detect, by the coefficient of variation.

    Args:
        mean: Mean of the control, not 0.
        sd: Standard deviation over units, > 0, the same in both arms (variance at the null).
        n_control: Units in the control arm, >= 1.
        n_treatment: Units in the treatment arm, >= 1.
        alpha: Type I error rate in (0, 1), over both sides when two-sided.
        power: Power at the effect sought, in (alpha, 1).
        alternative: The alternative hypothesis.

    Returns:
        The effect and, as `.lift`, (z_alpha + z_power) (sd/mean) sqrt(1/n_c + 1/n_t).

    Raises:
        UsageError: The mean is 0, or an argument lies outside its range.
        DataError: An arm holds less than one unit.
    """
    _check_mean(mean)
    return mde_two_means(sd, n_control, n_treatment, baseline=mean, alpha=alpha, power=power, alternative=alternative)


def std_error_of_lift(mean: float, sd: float, n_control: float, n_treatment: float) -> float:
    """Standard error of the lift where there is none: (sd/|mean|) sqrt(1/n_c + 1/n_t).

    Raises:
        UsageError: The mean is 0 or the standard deviation not above 0.
        DataError: An arm holds less than one unit.
    """
    _check_mean(mean)
    check_units(n_control, n_treatment)
    check_positive("sd", sd)
    return _std_error((sd, sd), n_control, n_treatment) / abs(mean)


def _check_sd(sd: float | tuple[float, float], distribution: MeanDistribution) -> tuple[float, float]:
    control, treatment = sd if isinstance(sd, tuple) else (sd, sd)
    check_positive("sd of the control", control)
    check_positive("sd of the treatment", treatment)
    if distribution not in MEAN_DISTRIBUTIONS:
        raise UnknownNameError.among("distribution", distribution, MEAN_DISTRIBUTIONS)
    if distribution == "noncentral_t_pooled_variance" and control != treatment:
        raise UsageError(
            f"A pooled variance assumes one standard deviation, got {control:g} and {treatment:g}.",
            hint="Pass distribution='noncentral_t_welch' or 'normal'.",
        )
    return control, treatment


def _check_mean(mean: float) -> None:
    if not math.isfinite(mean) or mean == 0:
        raise UsageError(f"mean must be a finite number other than 0 for a relative effect, got {mean:g}.")


def _check_difference(difference: float) -> None:
    if not math.isfinite(difference) or difference == 0:
        raise UsageError(
            f"difference must be a finite number other than 0, got {difference:g}.", hint="No sample shows an effect of exactly zero."
        )


def _std_error(sds: tuple[float, float], n_control: float, n_treatment: float) -> float:
    return math.sqrt(sds[0] ** 2 / n_control + sds[1] ** 2 / n_treatment)


def _degrees_of_freedom(sds: tuple[float, float], units: tuple[float, float], distribution: MeanDistribution) -> float:
    """Of the pooled variance, or Satterthwaite's (1946) at the true variances."""
    n_control, n_treatment = units
    if distribution == "noncentral_t_pooled_variance":
        return n_control + n_treatment - 2.0
    if min(units) <= 1.0:
        return 0.0
    v_control, v_treatment = sds[0] ** 2 / n_control, sds[1] ** 2 / n_treatment
    return (v_control + v_treatment) ** 2 / (v_control**2 / (n_control - 1.0) + v_treatment**2 / (n_treatment - 1.0))


def _power_t(
    difference: float,
    sds: tuple[float, float],
    units: tuple[float, float],
    distribution: MeanDistribution,
    *,
    alpha: float,
    alternative: Sides,
    count_opposite_tail: bool = False,
) -> float:
    df = _degrees_of_freedom(sds, units, distribution)
    if df <= 0:
        raise NotEnoughDataError(
            f"A variance needs more units: a t test has no degrees of freedom with {units[0]:g} and {units[1]:g}.",
            hint="Plan at least two units an arm.",
        )
    critical = -float(special.stdtrit(df, tail_alpha(alpha, alternative)))
    shift = effect_along(difference, alternative) / _std_error(sds, *units)
    power = _noncentral_tail(critical, df, shift)
    if count_opposite_tail and alternative == "two-sided":
        power += _noncentral_tail(critical, df, -shift)
    return power


def _noncentral_tail(critical: float, df: float, shift: float) -> float:
    """P(T > critical) for a noncentral t, by the mirror image, which keeps its digits where it is small."""
    if abs(shift) <= FARTHEST_SHIFT:
        return float(special.nctdtr(df, -shift, -critical))
    return float(special.chdtr(df, df * (shift / critical) ** 2)) if shift > 0 else 0.0


def _smallest_units(ratio: float, distribution: MeanDistribution) -> float:
    """Control units just above those at which the degrees of freedom vanish."""
    bound = 2.0 / (1.0 + ratio) if distribution == "noncentral_t_pooled_variance" else max(1.0, 1.0 / ratio)
    return bound * 1.05


def _units_for(power_at: Callable[[float], float], power: float, *, smallest: float, start: float) -> float:
    if power_at(smallest) >= power:
        return smallest
    high = max(start, smallest)
    while power_at(high) < power:
        high *= 2.0
    return brent_root(lambda n: power_at(n) - power, smallest, high)


def _first_above(power_at: Callable[[float], float], power: float, *, start: float) -> float:
    high = start
    while power_at(high) < power:
        high *= 2.0
    return brent_root(lambda difference: power_at(difference) - power, 0.0, high)
