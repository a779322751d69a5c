"""Power, sample size and minimum detectable effect for two proportions.

Four variances, by the test that will be run. `pooled` (the default, G-14): the
pooled z test judges by the null variance at the mean rate and the estimate varies
by both rates (Fleiss, Levin & Paik 2003, eq. 4.14). `unpooled`: Wald's test, both
rates throughout. `arcsine`: Cohen's h, whose variance does not depend on the rates
(Cohen 1988, ch. 6). `pooled_continuity_corrected`: the pooled test with Yates'
correction, close to Fisher's exact test (Casagrande, Pike & Smith 1978,
Biometrics 34, 483-486; Fleiss, Tytun & Ury 1980, Biometrics 36, 343-346).

Assumes independent units and counts large enough for a normal approximation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from fairtrial.errors import UnknownNameError, UsageError
from fairtrial.stats.power import (
    DetectableEffect,
    EffectDirection,
    MdeKind,
    SampleSize,
    Sides,
    allocation_ratio,
    apply_mde,
    check_power,
    check_rate,
    check_units,
    first_crossing,
    normal_power,
    round_up,
    units_for_normal_power,
)

ProportionVariance = Literal["pooled", "unpooled", "arcsine", "pooled_continuity_corrected"]
PROPORTION_VARIANCES: tuple[ProportionVariance, ...] = ("pooled", "unpooled", "arcsine", "pooled_continuity_corrected")


@dataclass(frozen=True, slots=True)
class _Scale:
    """The effect and its standard errors on the scale on which the test works."""

    effect: float
    se_null: float
    se_effect: float
    shift: float = 0.0


def sample_size_two_proportions(
    baseline: float,
    mde: float,
    *,
    mde_kind: MdeKind = "absolute",
    alpha: float = 0.05,
    power: float = 0.8,
    treatment_share: float = 0.5,
    alternative: Sides = "two-sided",
    variance: ProportionVariance = "pooled",
) -> SampleSize:
    """Units that detect a difference of two proportions.

    Args:
        baseline: Control's rate, in (0, 1).
        mde: Smallest effect to detect, not 0; negative for a decrease.
        mde_kind: Whether `mde` is a difference of rates or a fraction of the baseline.
        alpha: Type I error rate in (0, 1), over both sides when two-sided.
        power: Probability to detect the effect, in (alpha, 1).
        treatment_share: Share of units that the treatment gets, in (0, 1).
        alternative: The alternative hypothesis.
        variance: Which test is sized.

    Returns:
        Unrounded units per arm; `.total` rounds each arm up (5% + 1 point at 80/20: 25,999).

    Raises:
        UsageError: An argument lies outside its range, or the target rate outside (0, 1).

    References:
        Fleiss, Levin & Paik (2003), eq. 4.14 with unequal groups 4.19.
    """
    check_rate("baseline", baseline)
    target = apply_mde(baseline, mde, mde_kind)
    if not 0.0 < target < 1.0:
        raise UsageError(
            f"baseline and mde must give a rate in (0, 1), got {target:g}.",
            hint="Is the mde meant in points (0.01) or as a fraction of the baseline (mde_kind='relative')?",
        )
    ratio = allocation_ratio(treatment_share)
    scale = _scale(baseline, target, 1.0, ratio, variance)
    n_control = units_for_normal_power(
        scale.effect, scale.se_null, scale.se_effect, alpha=alpha, power=power, alternative=alternative, shift=scale.shift
    )
    return SampleSize(n_control=n_control, n_treatment=ratio * n_control)


def power_two_proportions(
    p_control: float,
    p_treatment: float,
    n_control: float,
    n_treatment: float,
    *,
    alpha: float = 0.05,
    alternative: Sides = "two-sided",
    variance: ProportionVariance = "pooled",
    count_opposite_tail: bool = False,
) -> float:
    """Power to detect the difference of two given rates with given units.

    Args:
        p_control: True rate of the control, in (0, 1).
        p_treatment: True rate of the treatment, in (0, 1); may equal the control's.
        n_control: Units in the control arm, >= 1.
        n_treatment: Units in the treatment arm, >= 1.
        alpha: Type I error rate in (0, 1), over both sides when two-sided.
        alternative: The alternative hypothesis.
        variance: Which test is run.
        count_opposite_tail: Whether rejections in the wrong direction count.

    Returns:
        P(reject), in [0, 1]. Rates are those of the plan, never those observed.

    Raises:
        UsageError: A rate or alpha lies outside (0, 1).
        DataError: An arm holds less than one unit.

    References:
        Fleiss, Levin & Paik (2003), eq. 4.11; Cohen (1988), ch. 6 for arcsine.
    """
    check_rate("p_control", p_control)
    check_rate("p_treatment", p_treatment)
    check_units(n_control, n_treatment)
    scale = _scale(p_control, p_treatment, n_control, n_treatment, variance)
    return _power_on(scale, alpha=alpha, alternative=alternative, count_opposite_tail=count_opposite_tail)


def mde_two_proportions(
    baseline: float,
    n_control: float,
    n_treatment: float,
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    alternative: Sides = "two-sided",
    variance: ProportionVariance = "pooled",
    direction: EffectDirection = "increase",
) -> DetectableEffect:
    """Smallest difference of rates that given units detect: the root of the power function.

    Args:
        baseline: Control's rate, in (0, 1).
        n_control: Units in the control arm, >= 1.
        n_treatment: Units in the treatment arm, >= 1.
        alpha: Type I error rate in (0, 1), over both sides when two-sided.
        power: Power at the effect sought, in (alpha, 1).
        alternative: The alternative hypothesis.
        variance: Which test is run.
        direction: Whether an increase or a decrease is sought; they differ, as rates' variances do.

    Returns:
        The effect nearest to zero whose power reaches the target, with its sign.

    Raises:
        UsageError: An argument lies outside its range, or the alternative looks the other way.
        DataError: An arm holds less than one unit.
        NotEnoughDataError: No rate in (0, 1) has the power with these units.
    """
    check_rate("baseline", baseline)
    check_units(n_control, n_treatment)
    check_power(power, alpha)
    far = _far_rate(direction, alternative)

    def power_at(rate: float) -> float:
        scale = _scale(baseline, rate, n_control, n_treatment, variance)
        return _power_on(scale, alpha=alpha, alternative=alternative)

    rate = first_crossing(power_at, power, near=baseline, far=far, what="treatment rate")
    return DetectableEffect(effect=rate - baseline, baseline=baseline)


def estimate_sample_size(baseline_rate: float, mde: float, alpha: float = 0.05, power: float = 0.8, treatment_rate: float = 0.5) -> int:
    """Total units of a holdout experiment (HO-20).

    Args:
        baseline_rate: Conversion rate of the control, in (0, 1).
        mde: Difference of rates to detect (0.01 is one percentage point), not 0.
        alpha: Two-sided type I error rate, in (0, 1).
        power: Probability to detect `mde`, in (alpha, 1).
        treatment_rate: Share of units that are treated, in (0, 1).

    Returns:
        Whole units in both groups, each rounded up: 16,316 for (0.05, 0.01).

    Raises:
        UsageError: An argument lies outside its range.
    """
    return sample_size_two_proportions(baseline_rate, mde, alpha=alpha, power=power, treatment_share=treatment_rate).total


def calculate_sample_size(baseline_conversion: float, min_detectable_effect: float, alpha: float = 0.05, power: float = 0.8) -> int:
    """Units per variant of an equal split (ML-02).

    Args:
        baseline_conversion: Conversion rate of the control, in (0, 1).
        min_detectable_effect: Relative effect to detect (0.1 is +10%), not 0.
        alpha: Two-sided type I error rate, in (0, 1).
        power: Probability to detect the effect, in (alpha, 1).

    Returns:
        Whole units in each variant: 9,257 for (0.15, 0.1).

    Raises:
        UsageError: An argument lies outside its range.
    """
    size = sample_size_two_proportions(baseline_conversion, min_detectable_effect, mde_kind="relative", alpha=alpha, power=power)
    return size.n_control_ceil


def calculate_sample_size_by_arm(
    baseline_conversion: float,
    min_detectable_effect: float,
    alpha: float = 0.05,
    power: float = 0.8,
    *,
    allocation: Mapping[str, float],
    control: str | None = None,
) -> dict[str, int]:
    """Units per arm at any split, one control against one or more treatments (ML-02).

    Args:
        baseline_conversion: Conversion rate of the control, in (0, 1).
        min_detectable_effect: Relative effect to detect (0.1 is +10%), not 0.
        alpha: Two-sided type I error rate of the whole family, in (0, 1); each of k
            treatments is compared at alpha / k (Bonferroni, safe for Holm and Dunnett).
        power: Probability to detect the effect, of every comparison, in (alpha, 1).
        allocation: Shares by arm, each in (0, 1), summing to 1.
        control: Name of the control; by default the first arm.

    Returns:
        Whole units by arm, in the order of `allocation`: 91,233 and 4,802 for
        (0.15, 0.1) at 95/5.

    Raises:
        UsageError: An argument lies outside its range, or the shares do not sum to 1.
        UnknownNameError: No arm has the control's name.
    """
    arms = _check_allocation(allocation, control)
    treatments = [share for arm, share in allocation.items() if arm != arms]
    share = allocation[arms]
    sizes = [
        sample_size_two_proportions(
            baseline_conversion,
            min_detectable_effect,
            mde_kind="relative",
            alpha=alpha / len(treatments),
            power=power,
            treatment_share=other / (share + other),
        )
        for other in treatments
    ]
    n_control = max(size.n_control for size in sizes)
    return {arm: round_up(n_control * (own / share)) for arm, own in allocation.items()}


def _check_allocation(allocation: Mapping[str, float], control: str | None) -> str:
    if len(allocation) < 2:
        raise UsageError(f"allocation must name a control and at least one treatment, got {list(allocation)}.")
    for arm, share in allocation.items():
        check_rate(f"the share of arm {arm!r}", share)
    total = math.fsum(allocation.values())
    if abs(total - 1.0) > 1e-6:
        raise UsageError(f"allocation must sum to 1, got {total:g}.", hint="Shares are fractions of the units.")
    named = control if control is not None else next(iter(allocation))
    if named not in allocation:
        raise UnknownNameError.among("arm", named, allocation)
    return named


def _far_rate(direction: EffectDirection, alternative: Sides) -> float:
    if direction not in {"increase", "decrease"}:
        raise UsageError(f"direction must be 'increase' or 'decrease', got {direction!r}.")
    if (direction, alternative) in {("increase", "less"), ("decrease", "greater")}:
        raise UsageError(f"alternative {alternative!r} cannot detect an effect of direction {direction!r}.")
    return 1.0 if direction == "increase" else 0.0


def _power_on(scale: _Scale, *, alpha: float, alternative: Sides, count_opposite_tail: bool = False) -> float:
    return normal_power(
        scale.effect,
        scale.se_null,
        scale.se_effect,
        alpha=alpha,
        alternative=alternative,
        count_opposite_tail=count_opposite_tail,
        shift=scale.shift,
    )


def _scale(p_control: float, p_treatment: float, n_control: float, n_treatment: float, variance: ProportionVariance) -> _Scale:
    """The test's scale at these rates and units; at (1, k) units it serves the size formulas."""
    harmonic = 1.0 / n_control + 1.0 / n_treatment
    if variance == "arcsine":
        h = 2.0 * (math.asin(math.sqrt(p_treatment)) - math.asin(math.sqrt(p_control)))
        se = math.sqrt(harmonic)
        return _Scale(effect=h, se_null=se, se_effect=se)
    if variance not in PROPORTION_VARIANCES:
        raise UnknownNameError.among("variance", variance, PROPORTION_VARIANCES)
    se_effect = math.sqrt(p_control * (1.0 - p_control) / n_control + p_treatment * (1.0 - p_treatment) / n_treatment)
    if variance == "unpooled":
        return _Scale(effect=p_treatment - p_control, se_null=se_effect, se_effect=se_effect)
    mean_rate = (n_control * p_control + n_treatment * p_treatment) / (n_control + n_treatment)
    return _Scale(
        effect=p_treatment - p_control,
        se_null=math.sqrt(mean_rate * (1.0 - mean_rate) * harmonic),
        se_effect=se_effect,
        shift=harmonic / 2.0 if variance == "pooled_continuity_corrected" else 0.0,
    )
