"""Bootstrap of quantiles without resampling: order statistics of a resample, drawn from their exact distribution.

The values of a resample of n units are X[I], with I uniform on the ranks 1..n.
So its j-th smallest is X[ceil(n U)], with U the j-th smallest of n uniform
numbers, Beta(j, n - j + 1), and the next one follows from U' = U + (1 - U)
Beta(1, n - j). Two draws a resample, whatever n: the distribution is that of
the ordinary bootstrap, not an approximation to it.

Quantiles are of type 7 (linear interpolation). They are not smooth in the data:
the jackknife says nothing of them, so BCa and studentised intervals are not
offered; the percentile interval is close to the one between order statistics.
Assumes independent units; for several rows a user see `cluster_bootstrap`.

References: Efron (1979), Annals of Statistics 7, 1-26, section 3; Efron (1982), The
Jackknife, the Bootstrap and Other Resampling Plans, section 10.3; Schultzberg &
Ankargren (2022), arXiv 2202.10992 (one draw of an index); David & Nagaraja (2003),
Order Statistics, section 2.5 (the joint distribution).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairtrial.errors import NotEnoughDataError, UsageError
from fairtrial.stats.resampling.distribution import BootstrapDistribution, check_resamples
from fairtrial.stats.resampling.smooth import RESAMPLES
from fairtrial.stats.samples import sample_of

Floats = NDArray[np.float64]


def quantile_bootstrap(
    control: ArrayLike, treatment: ArrayLike, probability: float, *, resamples: int = RESAMPLES, rng: np.random.Generator
) -> BootstrapDistribution:
    """Bootstrap the difference of one quantile between two arms.

    Args:
        control: Values of the control, shape (n,), in any order.
        treatment: Values of the treatment.
        probability: Which quantile, in [0, 1].
        resamples: How many, at least 100; they cost next to nothing beside sorting the values.
        rng: Source of the draws.

    Returns:
        A distribution for `percentile` and `basic`.

    Raises:
        UsageError: `probability` lies outside [0, 1], or there are too few resamples.
        NotEnoughDataError: An arm has fewer than two units.
        DataError: A value is not finite, or the quantile is the same in every resample.
    """
    arms = [_ordered(values) for values in (control, treatment)]
    values = [sorted_quantile(arm, probability) for arm in arms]
    draws = [quantile_draws(arm, probability, resamples=resamples, rng=rng) for arm in arms]
    return BootstrapDistribution(
        estimate=values[1] - values[0],
        draws=draws[1] - draws[0],
        n_control=arms[0].size,
        n_treatment=arms[1].size,
        statistic="quantile_difference",
        control=values[0],
        treatment=values[1],
    )


def quantile_bootstrap_one_sample(
    sample: ArrayLike, probability: float, *, resamples: int = RESAMPLES, rng: np.random.Generator
) -> BootstrapDistribution:
    """Bootstrap a quantile of one sample.

    Args:
        sample: Values, shape (n,), in any order.
        probability: Which quantile, in [0, 1]; 0.5 is the median.
        resamples: How many, at least 100.
        rng: Source of the draws.

    Returns:
        A distribution for `percentile` and `basic`.

    Raises:
        UsageError: `probability` lies outside [0, 1], or there are too few resamples.
        NotEnoughDataError: Fewer than two units.
        DataError: A value is not finite, or the quantile is the same in every resample.
    """
    ordered = _ordered(sample)
    return BootstrapDistribution(
        estimate=sorted_quantile(ordered, probability),
        draws=quantile_draws(ordered, probability, resamples=resamples, rng=rng),
        n_control=0,
        n_treatment=ordered.size,
        statistic="quantile",
    )


def quantile_draws(ordered: Floats, probability: float, *, resamples: int, rng: np.random.Generator) -> Floats:
    """A quantile of resamples of values already in ascending order.

    Args:
        ordered: Values in ascending order, shape (n,).
        probability: Which quantile, in [0, 1].
        resamples: How many, at least 100.
        rng: Source of the draws.

    Returns:
        The quantile of each resample, shape (resamples,).

    Raises:
        UsageError: `probability` lies outside [0, 1], or there are too few resamples.
    """
    check_resamples(resamples)
    rank, part = _position(ordered.size, probability)
    n = ordered.size
    lower = rng.beta(rank, n - rank + 1.0, size=resamples)
    value = ordered[_index(lower, n)]
    if part == 0.0:
        return value
    upper = lower + (1.0 - lower) * rng.beta(1.0, n - rank, size=resamples)
    return value + part * (ordered[_index(upper, n)] - value)


def sorted_quantile(ordered: Floats, probability: float) -> float:
    """Type 7 quantile of values already in ascending order.

    Args:
        ordered: Values in ascending order, shape (n,).
        probability: In [0, 1].

    Returns:
        The quantile, by linear interpolation between its two neighbours.

    Raises:
        UsageError: `probability` lies outside [0, 1].

    References:
        Hyndman & Fan (1996), American Statistician 50, 361-365.
    """
    rank, part = _position(ordered.size, probability)
    low = float(ordered[rank - 1])
    return low if part == 0.0 else low + part * (float(ordered[rank]) - low)


def _ordered(values: ArrayLike) -> Floats:
    ordered = np.sort(sample_of(values))
    if ordered.size < 2:
        raise NotEnoughDataError(f"A bootstrap needs at least two units, got {ordered.size}.", code="too_few_units")
    return ordered


def _position(n: int, probability: float) -> tuple[int, float]:
    """Rank of the lower neighbour, from 1, and the part of the way to the upper one."""
    if not 0.0 <= probability <= 1.0:
        raise UsageError(f"The probability of a quantile must lie in [0, 1], got {probability}.")
    place = (n - 1) * probability
    rank = math.floor(place)
    return rank + 1, place - rank


def _index(uniform: Floats, n: int) -> NDArray[np.int64]:
    return np.minimum((uniform * n).astype(np.int64), n - 1)
