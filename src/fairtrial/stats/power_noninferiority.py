"""Power and sample size of non-inferiority tests: is the treatment at most a margin worse?

The margin carries its sign: negative where higher is better (H0: treatment -
control <= margin), positive where lower is better (H0: >= margin). One-sided at
`alpha`; reading a two-sided 95% interval against the margin is alpha = 0.025.

For proportions the null is not "equal rates", so the pooled rate is not its
variance: `restricted_mle` takes the rates that are most likely under
treatment - control = margin (Farrington & Manning 1990, Statistics in Medicine 9,
1447-1454), as the score interval does; `unpooled` takes both rates as they are
(Chow, Shao & Wang 2008, ch. 4).
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from fairtrial.errors import UnknownNameError, UsageError
from fairtrial.stats.power import (
    DetectableEffect,
    EffectDirection,
    SampleSize,
    allocation_ratio,
    check_positive,
    check_power,
    check_rate,
    check_units,
    first_crossing,
    normal_power,
    units_for_normal_power,
)
from fairtrial.stats.restricted import restricted_variance

NoninferiorityVariance = Literal["unpooled", "restricted_mle"]
NONINFERIORITY_VARIANCES: tuple[NoninferiorityVariance, ...] = ("unpooled", "restricted_mle")


def sample_size_noninferiority_two_proportions(
    p_control: float,
    margin: float,
    *,
    p_treatment: float | None = None,
    alpha: float = 0.025,
    power: float = 0.8,
    treatment_share: float = 0.5,
    variance: NoninferiorityVariance = "restricted_mle",
) -> SampleSize:
    """Units that show a treatment's rate to be at most `margin` worse.

    Args:
        p_control: True rate of the control, in (0, 1).
        margin: Harm tolerated, as a difference of rates; negative where higher is better.
        p_treatment: True rate of the treatment, in (0, 1); by default the control's.
        alpha: One-sided type I error rate, in (0, 1).
        power: Probability to show non-inferiority, in (alpha, 1).
        treatment_share: Share of units that the treatment gets, in (0, 1).
        variance: How the test judges: `unpooled` or `restricted_mle`.

    Returns:
        Unrounded units per arm.

    Raises:
        UsageError: An argument lies outside its range, or the truth is not inside the margin.

    References:
        Farrington & Manning (1990), eq. 4 and appendix; Chow, Shao & Wang (2008), eq. 4.2.4.
    """
    target = p_control if p_treatment is None else p_treatment
    ratio = allocation_ratio(treatment_share)
    distance, se_null, se_effect = _proportion_scale(p_control, target, margin, (1.0, ratio), variance)
    n_control = units_for_normal_power(distance, se_null, se_effect, alpha=alpha, power=power, alternative="greater")
    return SampleSize(n_control=n_control, n_treatment=ratio * n_control)


def power_noninferiority_two_proportions(
    p_control: float,
    margin: float,
    n_control: float,
    n_treatment: float,
    *,
    p_treatment: float | None = None,
    alpha: float = 0.025,
    variance: NoninferiorityVariance = "restricted_mle",
) -> float:
    """Power to show a treatment's rate to be at most `margin` worse.

    Args:
        p_control: True rate of the control, in (0, 1).
        margin: Harm tolerated, as a difference of rates; negative where higher is better.
        n_control: Units in the control arm, >= 1.
        n_treatment: Units in the treatment arm, >= 1.
        p_treatment: True rate of the treatment, in (0, 1); by default the control's.
        alpha: One-sided type I error rate, in (0, 1).
        variance: How the test judges: `unpooled` or `restricted_mle`.

    Returns:
        P(non-inferiority is shown), in [0, 1].

    Raises:
        UsageError: An argument lies outside its range, or the truth is not inside the margin.
        DataError: An arm holds less than one unit.

    References:
        Farrington & Manning (1990), eq. 4 solved for power.
    """
    target = p_control if p_treatment is None else p_treatment
    check_units(n_control, n_treatment)
    distance, se_null, se_effect = _proportion_scale(p_control, target, margin, (n_control, n_treatment), variance)
    return normal_power(distance, se_null, se_effect, alpha=alpha, alternative="greater")


def detectable_margin_two_proportions(
    p_control: float,
    n_control: float,
    n_treatment: float,
    *,
    alpha: float = 0.025,
    power: float = 0.8,
    variance: NoninferiorityVariance = "restricted_mle",
    direction: EffectDirection = "decrease",
) -> DetectableEffect:
    """Smallest margin that given units clear with given power, when the arms do not differ.

    Args:
        p_control: True rate of both arms, in (0, 1).
        n_control: Units in the control arm, >= 1.
        n_treatment: Units in the treatment arm, >= 1.
        alpha: One-sided type I error rate, in (0, 1).
        power: Probability to show non-inferiority, in (alpha, 1).
        variance: How the test judges: `unpooled` or `restricted_mle`.
        direction: Which way harm lies: `decrease` where higher is better.

    Returns:
        The margin with its sign, as an effect.

    Raises:
        UsageError: An argument lies outside its range.
        DataError: An arm holds less than one unit.
        NotEnoughDataError: No margin that leaves a rate in (0, 1) has the power.
    """
    check_rate("p_control", p_control)
    check_units(n_control, n_treatment)
    check_power(power, alpha)
    far = -p_control if direction == "decrease" else 1.0 - p_control

    def power_at(margin: float) -> float:
        distance, se_null, se_effect = _proportion_scale(p_control, p_control, margin, (n_control, n_treatment), variance)
        return normal_power(distance, se_null, se_effect, alpha=alpha, alternative="greater")

    # the margin itself must not be 0, where nothing can be shown
    margin = first_crossing(power_at, power, near=far * 1e-9, far=far, what="margin")
    return DetectableEffect(effect=margin, baseline=p_control)


def sample_size_noninferiority_two_means(
    margin: float,
    sd: float | tuple[float, float],
    *,
    true_difference: float = 0.0,
    alpha: float = 0.025,
    power: float = 0.8,
    treatment_share: float = 0.5,
) -> SampleSize:
    """Units that show a treatment's mean to be at most `margin` worse, standard deviations known.

    Args:
        margin: Harm tolerated, in the metric's unit; negative where higher is better.
        sd: Standard deviation over units, > 0: one for both arms, or (control, treatment).
        true_difference: True treatment minus control.
        alpha: One-sided type I error rate, in (0, 1).
        power: Probability to show non-inferiority, in (alpha, 1).
        treatment_share: Share of units that the treatment gets, in (0, 1).

    Returns:
        Unrounded units per arm.

    Raises:
        UsageError: An argument lies outside its range, or the truth is not inside the margin.

    References:
        Chow, Shao & Wang (2008), eq. 3.2.4.
    """
    ratio = allocation_ratio(treatment_share)
    distance, se = _mean_scale(margin, true_difference, sd, (1.0, ratio))
    n_control = units_for_normal_power(distance, se, se, alpha=alpha, power=power, alternative="greater")
    return SampleSize(n_control=n_control, n_treatment=ratio * n_control)


def power_noninferiority_two_means(
    margin: float,
    sd: float | tuple[float, float],
    n_control: float,
    n_treatment: float,
    *,
    true_difference: float = 0.0,
    alpha: float = 0.025,
) -> float:
    """Power to show a treatment's mean to be at most `margin` worse, standard deviations known.

    Args:
        margin: Harm tolerated, in the metric's unit; negative where higher is better.
        sd: Standard deviation over units, > 0: one for both arms, or (control, treatment).
        n_control: Units in the control arm, >= 1.
        n_treatment: Units in the treatment arm, >= 1.
        true_difference: True treatment minus control.
        alpha: One-sided type I error rate, in (0, 1).

    Returns:
        P(non-inferiority is shown), in [0, 1].

    Raises:
        UsageError: An argument lies outside its range, or the truth is not inside the margin.
        DataError: An arm holds less than one unit.
    """
    check_units(n_control, n_treatment)
    distance, se = _mean_scale(margin, true_difference, sd, (n_control, n_treatment))
    return normal_power(distance, se, se, alpha=alpha, alternative="greater")


def _inside_margin(true_difference: float, margin: float) -> float:
    """Distance of the truth from the margin, positive inside."""
    if not math.isfinite(margin) or margin == 0:
        raise UsageError(
            f"margin must be a finite number other than 0, got {margin:g}.",
            hint="Where higher is better the margin is negative: -0.01 tolerates the loss of one point.",
        )
    distance = math.copysign(1.0, -margin) * (true_difference - margin)
    if distance <= 0:
        raise UsageError(f"The true difference must lie inside the margin {margin:g}, got {true_difference:g}.")
    return distance


def _proportion_scale(
    p_control: float, p_treatment: float, margin: float, units: tuple[float, float], variance: NoninferiorityVariance
) -> tuple[float, float, float]:
    """Distance from the margin, and the standard errors under null and truth."""
    check_rate("p_control", p_control)
    check_rate("p_treatment", p_treatment)
    distance = _inside_margin(p_treatment - p_control, margin)
    if not -1.0 < margin < 1.0:
        raise UsageError(f"margin must lie in (-1, 1) for a difference of rates, got {margin:g}.")
    se_effect = _std_error((p_control, p_treatment), units)
    if variance == "unpooled":
        return distance, se_effect, se_effect
    if variance not in NONINFERIORITY_VARIANCES:
        raise UnknownNameError.among("variance", variance, NONINFERIORITY_VARIANCES)
    return distance, _null_std_error(p_control, p_treatment, margin, units), se_effect


def _std_error(rates: tuple[float, float], units: tuple[float, float]) -> float:
    return math.sqrt(sum(rate * (1.0 - rate) / n for rate, n in zip(rates, units, strict=True)))


def _null_std_error(p_control: float, p_treatment: float, margin: float, units: tuple[float, float]) -> float:
    """Standard error at the rates that are most likely under treatment - control = margin, for data as expected."""
    n_control, n_treatment = units
    counts = (p_control * n_control, n_control, p_treatment * n_treatment, n_treatment, margin)
    variance = restricted_variance(*(np.array([value], dtype=np.float64) for value in counts))
    return math.sqrt(float(variance[0]))


def _mean_scale(margin: float, true_difference: float, sd: float | tuple[float, float], units: tuple[float, float]) -> tuple[float, float]:
    control, treatment = sd if isinstance(sd, tuple) else (sd, sd)
    check_positive("sd of the control", control)
    check_positive("sd of the treatment", treatment)
    return _inside_margin(true_difference, margin), math.sqrt(control**2 / units[0] + treatment**2 / units[1])
