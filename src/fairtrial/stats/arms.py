"""Several arms at once, from moments: one-way analysis of variance, and a difference post-stratified.

References: Fisher (1925), Statistical Methods for Research Workers, section 40;
Miratrix, Sekhon & Yu (2013), JRSS B 75, 369-396.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.moments import Moments
from fairtrial.stats.result import Alternative, Estimate
from fairtrial.stats.single import contrast_of_values, single_estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisOfVariance:
    """One-way analysis of variance.

    Attributes:
        statistic: F, mean square between arms over mean square within.
        df_between: Arms - 1.
        df_within: Units - arms.
        p_value: Of the null hypothesis that all means are equal.
    """

    statistic: float
    df_between: int
    df_within: int
    p_value: float


def one_way_anova(arms: Sequence[Moments]) -> AnalysisOfVariance:
    """Fisher's test that several arms have one mean, equal variances assumed.

    Args:
        arms: Moments of each arm, at least two arms.

    Returns:
        The F test.

    Raises:
        UsageError: Fewer than two arms.
        NotEnoughDataError: No arm has two units.
        DataError: No arm varies.

    References:
        Fisher (1925), Statistical Methods for Research Workers, section 40.
    """
    if len(arms) < 2:
        raise UsageError(f"An analysis of variance needs at least two arms, got {len(arms)}.")
    overall = arms[0]
    for arm in arms[1:]:
        overall += arm
    df_between, df_within = len(arms) - 1, overall.n - len(arms)
    if df_within < 1:
        raise NotEnoughDataError("An analysis of variance needs an arm with at least two units.", code="too_few_units")
    within = sum(arm.m2 for arm in arms)
    if within == 0.0:
        raise DataError("The metric does not vary within any arm, so nothing can be inferred.", code="no_variance")
    between = sum(arm.n * (arm.mean - overall.mean) ** 2 for arm in arms)
    statistic = (between / df_between) / (within / df_within)
    return AnalysisOfVariance(
        statistic=statistic, df_between=df_between, df_within=df_within, p_value=float(special.fdtrc(df_between, df_within, statistic))
    )


def post_stratified_difference(
    strata: Sequence[tuple[Moments, Moments]],
    *,
    weights: Sequence[float] | None = None,
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
    margin: float = 0.0,
) -> Estimate:
    """Difference of two means within strata known before assignment, weighted together.

    Args:
        strata: Moments of control and treatment in each stratum, two units at least in each.
        weights: Shares of the strata, summing to 1; by default their shares of all units.
        alpha: Type I error rate in (0, 1); the interval covers 1 - `alpha`.
        alternative: The alternative hypothesis, in SciPy's words.
        margin: Effect under the null hypothesis.

    Returns:
        The weighted effect, normal quantile, the weights taken as fixed.

    Raises:
        UsageError: There are no strata, or the weights are not shares of them.
        NotEnoughDataError: A stratum has fewer than two units in an arm.
        DataError: Nothing varies.

    References:
        Miratrix, Sekhon & Yu (2013), JRSS B 75, 369-396.
    """
    if not strata:
        raise UsageError("Post-stratification needs at least one stratum, got none.")
    if min(min(c.n, t.n) for c, t in strata) < 2:
        raise NotEnoughDataError("Each stratum needs at least two units in each arm.", code="too_few_units", hint="Merge small strata.")
    sizes = np.array([c.n + t.n for c, t in strata], dtype=np.float64)
    share = sizes / sizes.sum() if weights is None else np.asarray(weights, dtype=np.float64)
    if share.shape != sizes.shape or (share < 0.0).any() or abs(float(share.sum()) - 1.0) > 1e-9:
        raise UsageError(f"Weights must be one share a stratum and sum to 1, got {share.tolist()} for {len(strata)} strata.")
    mean = np.array([[c.mean, t.mean] for c, t in strata])
    variance = np.array([[c.variance / c.n, t.variance / t.n] for c, t in strata])
    values, errors = share @ mean, np.square(share) @ variance
    contrast = contrast_of_values(
        control=float(values[0]),
        treatment=float(values[1]),
        control_variance=float(errors[0]),
        treatment_variance=float(errors[1]),
        n_control=sum(c.n for c, _ in strata),
        n_treatment=sum(t.n for _, t in strata),
    )
    return single_estimate(contrast, method="post_stratified", alpha=alpha, alternative=alternative, margin=margin)
