"""Sample sizes beyond one treatment, one row a unit and one plain mean.

Several treatments (a smaller alpha for each comparison), clusters (the design
effect), covariates (CUPED), ratios of two sums (the delta method), Poisson counts,
and the interaction of two experiments. Each turns its design into the standard
error of one normal test and asks `power.units_for_normal_power`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from fairtrial.errors import UnknownNameError, UsageError
from fairtrial.stats.power import (
    MdeKind,
    SampleSize,
    Sides,
    check_positive,
    check_rate,
    round_up,
    units_for_normal_power,
)
from fairtrial.stats.power_means import sample_size_two_means
from fairtrial.stats.power_proportions import ProportionVariance, sample_size_two_proportions
from fairtrial.stats.result import check_alpha

Comparisons = Literal["vs_control", "all_pairs"]
SizingCorrection = Literal["none", "bonferroni", "sidak"]
COMPARISONS: tuple[Comparisons, ...] = ("vs_control", "all_pairs")
SIZING_CORRECTIONS: tuple[SizingCorrection, ...] = ("none", "bonferroni", "sidak")


@dataclass(frozen=True, slots=True)
class MultiArmDesign:
    """Several arms of equal size, compared pair by pair.

    Attributes:
        arms: Number of arms with the control, >= 2.
        comparisons: Each treatment against the control, or all pairs.
        correction: How alpha is divided: `bonferroni` alpha/k, `sidak` 1 - (1 - alpha)^(1/k).
    """

    arms: int
    comparisons: Comparisons = "vs_control"
    correction: SizingCorrection = "bonferroni"

    def __post_init__(self) -> None:
        if self.arms < 2:
            raise UsageError(f"A design must have at least 2 arms, got {self.arms}.")
        if self.comparisons not in COMPARISONS:
            raise UnknownNameError.among("set of comparisons", self.comparisons, COMPARISONS)
        if self.correction not in SIZING_CORRECTIONS:
            raise UnknownNameError.among("correction", self.correction, SIZING_CORRECTIONS)

    @property
    def number_of_comparisons(self) -> int:
        """Pairs that are compared."""
        return self.arms - 1 if self.comparisons == "vs_control" else math.comb(self.arms, 2)

    def alpha_per_comparison(self, alpha: float) -> float:
        """Error rate of one comparison such that the family keeps `alpha`.

        Raises:
            UsageError: `alpha` lies outside (0, 1).
        """
        check_alpha(alpha)
        k = self.number_of_comparisons
        if self.correction == "sidak":
            return -math.expm1(math.log1p(-alpha) / k)
        return alpha / k if self.correction == "bonferroni" else alpha


@dataclass(frozen=True, slots=True)
class CupedSize:
    """What a covariate saves.

    Attributes:
        n: Units needed with the covariate, not rounded.
        variance_reduction: Share of the variance that the covariate explains, rho^2.
        sd_multiplier: Factor on the standard deviation, sqrt(1 - rho^2).
    """

    n: float
    variance_reduction: float
    sd_multiplier: float


@dataclass(frozen=True, slots=True)
class ClusterSize:
    """Units and clusters of a cluster-randomised arm.

    Attributes:
        design_effect: Factor by which clustering inflates the units needed, >= 1.
        n_per_arm: Units per arm, not rounded.
        clusters_per_arm: Clusters per arm, not rounded.
    """

    design_effect: float
    n_per_arm: float
    clusters_per_arm: float

    @property
    def clusters_per_arm_ceil(self) -> int:
        """Whole clusters per arm, rounded up."""
        return round_up(self.clusters_per_arm)


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioMoments:
    """Moments per randomised unit of a ratio's two sums, as known at planning.

    Attributes:
        mean_numerator: Mean of the numerator.
        mean_denominator: Mean of the denominator, not 0.
        var_numerator: Variance of the numerator, >= 0.
        var_denominator: Variance of the denominator, >= 0.
        cov: Covariance of the two.
    """

    mean_numerator: float
    mean_denominator: float
    var_numerator: float
    var_denominator: float
    cov: float

    def __post_init__(self) -> None:
        if self.mean_denominator == 0:
            raise UsageError("mean_denominator must not be 0: the ratio is not defined.")
        if min(self.var_numerator, self.var_denominator) < 0:
            raise UsageError(f"Variances must not be negative, got {self.var_numerator:g} and {self.var_denominator:g}.")

    @property
    def ratio(self) -> float:
        """Sum of the numerator over sum of the denominator."""
        return self.mean_numerator / self.mean_denominator

    @property
    def unit_variance(self) -> float:
        """Variance of the linearised ratio, per unit; the estimate's is this over n.

        References:
            Deng, Knoblich & Lu (2018), KDD, eq. 3.
        """
        spread = self.var_numerator - 2.0 * self.ratio * self.cov + self.ratio**2 * self.var_denominator
        return spread / self.mean_denominator**2


def sample_size_multi_arm_proportions(
    design: MultiArmDesign,
    baseline: float,
    mde: float,
    *,
    mde_kind: MdeKind = "absolute",
    alpha: float = 0.05,
    power: float = 0.8,
    alternative: Sides = "two-sided",
    variance: ProportionVariance = "pooled",
) -> float:
    """Units per arm so that each comparison of equal arms has the power.

    Args:
        design: Arms, comparisons and correction.
        baseline: Control's rate, in (0, 1).
        mde: Smallest effect to detect, not 0.
        mde_kind: Whether `mde` is a difference of rates or a fraction of the baseline.
        alpha: Type I error rate of the family, in (0, 1).
        power: Probability to detect the effect in one comparison, in (alpha, 1).
        alternative: The alternative hypothesis.
        variance: Which test is sized.

    Returns:
        Units in every arm, not rounded.

    Raises:
        UsageError: An argument lies outside its range.
    """
    each = design.alpha_per_comparison(alpha)
    size = sample_size_two_proportions(
        baseline, mde, mde_kind=mde_kind, alpha=each, power=power, alternative=alternative, variance=variance
    )
    return size.n_control


def sample_size_with_cuped(n_without_covariate: float, correlation: float) -> CupedSize:
    """Units needed once a pre-experiment covariate explains part of the variance.

    Args:
        n_without_covariate: Units needed without it, > 0.
        correlation: Correlation of outcome and covariate within arms, in (-1, 1).

    Raises:
        UsageError: An argument lies outside its range.

    References:
        Deng, Xu, Kohavi & Walker (2013), WSDM, eq. 5: Var(Y_cv) = Var(Y) (1 - rho^2).
    """
    check_positive("n_without_covariate", n_without_covariate)
    multiplier = _residual_sd(correlation)
    reduction = correlation**2
    return CupedSize(n=n_without_covariate * (1.0 - reduction), variance_reduction=reduction, sd_multiplier=multiplier)


def sample_size_two_means_cuped(
    difference: float,
    sd: float | tuple[float, float],
    correlation: float,
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    treatment_share: float = 0.5,
    alternative: Sides = "two-sided",
) -> SampleSize:
    """Units that detect a difference of means adjusted for a covariate.

    Args:
        difference: Treatment minus control to detect, in the metric's unit, not 0.
        sd: Standard deviation of the outcome before adjustment, > 0: one, or (control, treatment).
        correlation: Correlation of outcome and covariate within arms, in (-1, 1).
        alpha: Type I error rate in (0, 1), over both sides when two-sided.
        power: Probability to detect the difference, in (alpha, 1).
        treatment_share: Share of units that the treatment gets, in (0, 1).
        alternative: The alternative hypothesis.

    Returns:
        Unrounded units per arm.

    Raises:
        UsageError: An argument lies outside its range.

    References:
        Deng, Xu, Kohavi & Walker (2013), eq. 5.
    """
    factor = _residual_sd(correlation)
    control, treatment = sd if isinstance(sd, tuple) else (sd, sd)
    return sample_size_two_means(
        difference,
        (control * factor, treatment * factor),
        alpha=alpha,
        power=power,
        treatment_share=treatment_share,
        alternative=alternative,
    )


def sample_size_cluster(n_individual_per_arm: float, mean_cluster_size: float, icc: float, *, cluster_size_cv: float = 0.0) -> ClusterSize:
    """Units and clusters per arm when whole clusters are randomised.

    Args:
        n_individual_per_arm: Units per arm that independent units would need, > 0.
        mean_cluster_size: Mean units per cluster, >= 1.
        icc: Intra-cluster correlation, in [0, 1].
        cluster_size_cv: Coefficient of variation of cluster sizes, >= 0.

    Raises:
        UsageError: An argument lies outside its range.

    References:
        Kish (1965), Survey Sampling, sec. 5.4; unequal sizes: Eldridge, Ashby & Kerry (2006),
        International Journal of Epidemiology 35, 1292-1300: 1 + ((1 + cv^2) m - 1) icc.
    """
    check_positive("n_individual_per_arm", n_individual_per_arm)
    if not (math.isfinite(mean_cluster_size) and mean_cluster_size >= 1):
        raise UsageError(f"mean_cluster_size must be at least 1, got {mean_cluster_size:g}.")
    if not 0.0 <= icc <= 1.0:
        raise UsageError(f"icc must lie in [0, 1], got {icc:g}.")
    if not (math.isfinite(cluster_size_cv) and cluster_size_cv >= 0):
        raise UsageError(f"cluster_size_cv must be at least 0, got {cluster_size_cv:g}.")
    effect = 1.0 + ((1.0 + cluster_size_cv**2) * mean_cluster_size - 1.0) * icc
    n = n_individual_per_arm * effect
    return ClusterSize(design_effect=effect, n_per_arm=n, clusters_per_arm=n / mean_cluster_size)


def sample_size_ratio_metric(
    moments: RatioMoments,
    mde_relative: float,
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    treatment_share: float = 0.5,
    alternative: Sides = "two-sided",
) -> SampleSize:
    """Units that detect a relative change of a ratio of two sums.

    Args:
        moments: Moments per randomised unit.
        mde_relative: Lift to detect, a fraction, not 0.
        alpha: Type I error rate in (0, 1), over both sides when two-sided.
        power: Probability to detect the lift, in (alpha, 1).
        treatment_share: Share of units that the treatment gets, in (0, 1).
        alternative: The alternative hypothesis.

    Returns:
        Unrounded randomised units per arm.

    Raises:
        UsageError: An argument lies outside its range, or the ratio is 0 or does not vary.

    References:
        Deng, Knoblich & Lu (2018), KDD, eq. 3 and 4.
    """
    check_positive("unit variance of the ratio", moments.unit_variance)
    return sample_size_two_means(
        mde_relative * moments.ratio,
        math.sqrt(moments.unit_variance),
        alpha=alpha,
        power=power,
        treatment_share=treatment_share,
        alternative=alternative,
    )


def sample_size_two_poisson_rates(
    rate_control: float,
    rate_treatment: float,
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    treatment_share: float = 0.5,
    alternative: Sides = "two-sided",
    exposure_per_unit: float = 1.0,
) -> SampleSize:
    """Units that detect a difference of two Poisson rates by Wald's test.

    Args:
        rate_control: Events per unit of exposure in the control, > 0.
        rate_treatment: The same in the treatment, > 0, not equal to the control's.
        alpha: Type I error rate in (0, 1), over both sides when two-sided.
        power: Probability to detect the difference, in (alpha, 1).
        treatment_share: Share of units that the treatment gets, in (0, 1).
        alternative: The alternative hypothesis.
        exposure_per_unit: Exposure (days, sessions) of one unit, > 0.

    Returns:
        Unrounded units per arm. Counts that vary more than Poisson's need more:
        size those by their own standard deviation.

    Raises:
        UsageError: An argument lies outside its range.

    References:
        Chow, Shao & Wang (2008), normal approximation with variance = mean.
    """
    check_positive("rate_control", rate_control)
    check_positive("rate_treatment", rate_treatment)
    check_positive("exposure_per_unit", exposure_per_unit)
    return sample_size_two_means(
        rate_treatment - rate_control,
        (math.sqrt(rate_control / exposure_per_unit), math.sqrt(rate_treatment / exposure_per_unit)),
        alpha=alpha,
        power=power,
        treatment_share=treatment_share,
        alternative=alternative,
    )


def interaction_of_rates(cell_rates: tuple[float, float, float, float]) -> float:
    """Interaction contrast of four rates in the order a0b0, a1b0, a0b1, a1b1: a1b1 - a1b0 - a0b1 + a0b0."""
    none, only_a, only_b, both = cell_rates
    return both - only_a - only_b + none


def sample_size_two_way_interaction_proportions(
    cell_rates: tuple[float, float, float, float],
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    alternative: Sides = "two-sided",
) -> float:
    """Units per cell that detect the interaction of two experiments on a proportion.

    Args:
        cell_rates: True rates in (0, 1), in the order a0b0, a1b0, a0b1, a1b1.
        alpha: Type I error rate in (0, 1), over both sides when two-sided.
        power: Probability to detect the interaction, in (alpha, 1).
        alternative: The alternative hypothesis.

    Returns:
        Units in each of the four equal cells, not rounded.

    Raises:
        UsageError: A rate lies outside (0, 1), or there is no interaction to detect.

    References:
        Normal approximation of the contrast with unpooled variances: Fleiss, Levin &
        Paik (2003), ch. 4, for a sum of four rates.
    """
    for name, rate in zip(("a0b0", "a1b0", "a0b1", "a1b1"), cell_rates, strict=True):
        check_rate(f"rate of cell {name}", rate)
    se = math.sqrt(sum(rate * (1.0 - rate) for rate in cell_rates))
    return units_for_normal_power(interaction_of_rates(cell_rates), se, se, alpha=alpha, power=power, alternative=alternative)


def _residual_sd(correlation: float) -> float:
    if not -1.0 < correlation < 1.0:
        raise UsageError(f"correlation must lie in (-1, 1), got {correlation:g}.")
    return math.sqrt(1.0 - correlation**2)
