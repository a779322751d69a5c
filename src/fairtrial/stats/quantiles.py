"""Quantiles of two arms: their difference, order-statistic intervals, and a test made of two such intervals.

The interval of a quantile between two order statistics assumes nothing about
the distribution; its coverage is exact and printed with it. Half its width over
the normal quantile is a standard error that needs no density estimate.

References: Hyndman & Fan (1996), American Statistician 50, 361-365; Conover
(1999), Practical Nonparametric Statistics, section 3.2; Deng, Knoblich & Lu
(2018), KDD, section 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from fairtrial.errors import UsageError
from fairtrial.stats.result import Alternative, Estimate, Interval, check_alpha
from fairtrial.stats.samples import sample_of
from fairtrial.stats.single import contrast_of_values, single_estimate


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class QuantileDifference:
    """Quantiles of both arms at the same probabilities.

    Attributes:
        probabilities: In [0, 1], shape (k,).
        control: The control's quantiles, shape (k,).
        treatment: The treatment's quantiles, shape (k,).
        effect: Treatment - control, shape (k,).
    """

    probabilities: NDArray[np.float64]
    control: NDArray[np.float64]
    treatment: NDArray[np.float64]
    effect: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderStatisticInterval:
    """A quantile between two order statistics.

    Attributes:
        interval: An end is infinite where the sample is too small to bound the quantile on that side.
        rank_low: Rank of the lower end in ascending order, from 1; 0 when there is none.
        rank_high: Rank of the upper end; n + 1 when there is none.
        coverage: Exact probability that the interval holds the quantile of a continuous distribution.
    """

    interval: Interval
    rank_low: int
    rank_high: int
    coverage: float


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantileSummary:
    """A quantile of one arm with its interval, as an engine returns them.

    Attributes:
        n: Units of the arm.
        value: The quantile.
        interval: Its two-sided interval.
        alpha: Error rate of that interval.
    """

    n: int
    value: float
    interval: Interval
    alpha: float = 0.05


def quantile_difference(control: ArrayLike, treatment: ArrayLike, probabilities: ArrayLike) -> QuantileDifference:
    """Differences of quantiles, by linear interpolation (Hyndman-Fan type 7).

    Args:
        control: Values of the control, shape (n,).
        treatment: Values of the treatment.
        probabilities: Which quantiles, in [0, 1], shape (k,).

    Returns:
        Quantiles of both arms and their differences.

    Raises:
        UsageError: A probability lies outside [0, 1].
        DataError: An arm is empty or a value is not finite.

    References:
        Hyndman & Fan (1996), American Statistician 50, 361-365.
    """
    wanted = np.atleast_1d(np.asarray(probabilities, dtype=np.float64))
    if not ((wanted >= 0.0) & (wanted <= 1.0)).all():
        raise UsageError(f"Probabilities must lie in [0, 1], got {wanted.tolist()}.")
    c, t = (np.asarray(np.quantile(sample_of(values), wanted)) for values in (control, treatment))
    return QuantileDifference(probabilities=wanted, control=c, treatment=t, effect=t - c)


def order_statistic_interval(sample: ArrayLike, probability: float, *, alpha: float = 0.05) -> OrderStatisticInterval:
    """Interval of a quantile between two order statistics, free of any distribution.

    Args:
        sample: Independent values, shape (n,).
        probability: Which quantile, in (0, 1).
        alpha: Error rate in (0, 1), at most half of it on either side.

    Returns:
        The interval; with B ~ Binomial(n, probability) its lower rank is the alpha/2 quantile of B,
        its upper rank the 1 - alpha/2 quantile plus one.

    Raises:
        UsageError: `probability` or `alpha` lies outside (0, 1).
        DataError: The sample is empty or holds a value that is not finite.

    References:
        Conover (1999), Practical Nonparametric Statistics, section 3.2.
    """
    check_alpha(alpha)
    if not 0.0 < probability < 1.0:
        raise UsageError(f"The probability of a quantile must lie in (0, 1), got {probability}.")
    ordered = np.sort(sample_of(sample))
    n = ordered.size
    low, high = order_statistic_ranks(n, probability, alpha=alpha)
    below = float(special.bdtr(low - 1, n, probability)) if low > 0 else 0.0
    above = float(special.bdtrc(high - 1, n, probability)) if high <= n else 0.0
    return OrderStatisticInterval(
        interval=Interval(low=float(ordered[low - 1]) if low > 0 else -math.inf, high=float(ordered[high - 1]) if high <= n else math.inf),
        rank_low=low,
        rank_high=high,
        coverage=1.0 - below - above,
    )


def order_statistic_ranks(n: int, probability: float, *, alpha: float = 0.05) -> tuple[int, int]:
    """Ranks of the order statistics that bound a quantile, for a sample that an engine holds in order.

    Args:
        n: Values, >= 1.
        probability: Which quantile, in (0, 1).
        alpha: Error rate in (0, 1), at most half of it on either side.

    Returns:
        Rank of the lower end in ascending order, from 1 (0 where there is none), and of the upper end
        (n + 1 where there is none).

    Raises:
        UsageError: `n` is below 1, or `probability` or `alpha` lies outside (0, 1).

    References:
        Conover (1999), Practical Nonparametric Statistics, section 3.2.
    """
    from scipy import stats  # noqa: PLC0415 - slow to load, and only this needs it

    check_alpha(alpha)
    if n < 1:
        raise UsageError(f"A quantile needs at least one value, got {n}.")
    if not 0.0 < probability < 1.0:
        raise UsageError(f"The probability of a quantile must lie in (0, 1), got {probability}.")
    return int(stats.binom.ppf(alpha / 2.0, n, probability)), int(stats.binom.isf(alpha / 2.0, n, probability)) + 1


def quantile_test(
    control: QuantileSummary,
    treatment: QuantileSummary,
    *,
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
    margin: float = 0.0,
) -> Estimate:
    """Difference of one quantile between two arms, from each arm's own interval.

    Args:
        control: Quantile, interval and units of the control.
        treatment: The same of the treatment, at the same probability.
        alpha: Type I error rate in (0, 1) of the result.
        alternative: The alternative hypothesis, in SciPy's words.
        margin: Difference under the null hypothesis.

    Returns:
        The difference; an arm's standard error is its interval's width over twice the normal quantile.

    Raises:
        UsageError: An arm's interval is not bounded, or an option breaks its rule.
        DataError: Both intervals have no width.

    References:
        Deng, Knoblich & Lu (2018), KDD, section 4.
    """
    c, t = (_squared_error(arm) for arm in (control, treatment))
    contrast = contrast_of_values(
        control=control.value,
        treatment=treatment.value,
        control_variance=c,
        treatment_variance=t,
        n_control=control.n,
        n_treatment=treatment.n,
    )
    return single_estimate(contrast, method="quantile_difference", alpha=alpha, alternative=alternative, margin=margin)


def _squared_error(arm: QuantileSummary) -> float:
    width = arm.interval.high - arm.interval.low
    if not math.isfinite(width):
        raise UsageError(f"A quantile's interval must be bounded on both sides, got {arm.interval}.", hint="The arm has too few units.")
    return (width / (-2.0 * float(special.ndtri(check_alpha(arm.alpha) / 2.0)))) ** 2
