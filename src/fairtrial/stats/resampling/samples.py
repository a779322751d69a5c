"""Bootstrap from the values themselves: any statistic of small arms, users with several rows, and one door for all.

`bootstrap_interval` is the door: it takes the values of two arms and picks the
fast way that a statistic allows (sums for means, order statistics for quantiles,
buckets for large arms). `sample_bootstrap` resamples units one by one for a statistic
that has no such way; its cost is resamples times units. `cluster_bootstrap`
draws whole users and weighs their rows by how often each was drawn.

References: Efron & Tibshirani (1993), An Introduction to the Bootstrap, chapters
8 and 14; Davison & Hinkley (1997), section 3.8.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairtrial.errors import NotEnoughDataError, UsageError
from fairtrial.stats.resampling.buckets import BUCKETS, BucketSums, bucket_sums, unit_sums
from fairtrial.stats.resampling.distribution import BootstrapDistribution, IntervalMethod, acceleration_of, check_resamples
from fairtrial.stats.resampling.order import quantile_bootstrap
from fairtrial.stats.resampling.smooth import CELLS, RESAMPLES, bucket_counts, smooth_bootstrap
from fairtrial.stats.result import Alternative, Estimate
from fairtrial.stats.samples import sample_of

Floats = NDArray[np.float64]
SampleStatistic = Callable[[Floats], Floats]
"""From samples along the last axis, shape (..., n), to values, shape (...,)."""

WeightedStatistic = Callable[[Floats, Floats], Floats]
"""From values (n,) and the weights of their rows in many resamples (..., n) to values (...,)."""

UNITS_ONE_BY_ONE = 20_000
"""Units of the larger arm up to which means are resampled unit by unit; above, in buckets."""


def bootstrap_interval(
    control: ArrayLike,
    treatment: ArrayLike,
    *,
    quantile: float | None = None,
    method: IntervalMethod | None = None,
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
    resamples: int = RESAMPLES,
    rng: np.random.Generator,
) -> Estimate:
    """Difference of means or of a quantile with an interval free of any distribution.

    Args:
        control: Values of the control, one a unit, shape (n,).
        treatment: Values of the treatment.
        quantile: Which quantile is compared, in [0, 1]; None compares means.
        method: Of the interval; by default `studentised` for means, `percentile` for quantiles.
        alpha: Error rate in (0, 1).
        alternative: Sidedness, in SciPy's words.
        resamples: How many, at least 100; 10,000 for a final analysis.
        rng: Source of the draws; the same state gives the same bytes.

    Returns:
        The comparison. Arms above 20,000 units are resampled in 1,000 random buckets.

    Raises:
        UsageError: An option breaks its rule.
        NotEnoughDataError: An arm has fewer than two units.
        DataError: A value is not finite, nothing varies, or the method does not serve the statistic.
    """
    if quantile is None:
        found = smooth_bootstrap(_sums(control, rng), _sums(treatment, rng), "mean_difference", resamples=resamples, rng=rng)
    else:
        found = quantile_bootstrap(control, treatment, quantile, resamples=resamples, rng=rng)
    chosen = method or ("studentised" if quantile is None else "percentile")
    return found.to_estimate(method=chosen, alpha=alpha, alternative=alternative)


def sample_bootstrap(
    control: ArrayLike, treatment: ArrayLike, statistic: SampleStatistic, *, resamples: int = RESAMPLES, rng: np.random.Generator
) -> BootstrapDistribution:
    """Bootstrap the difference of any statistic of two arms, unit by unit.

    Args:
        control: Values of the control, shape (n,).
        treatment: Values of the treatment.
        statistic: Maps samples along the last axis to values, as `lambda x: x.std(axis=-1)`.
        resamples: How many, at least 100.
        rng: Source of the draws.

    Returns:
        A distribution for `percentile`, `basic` and, if the statistic is smooth, `bca`.

    Raises:
        UsageError: The statistic returns another shape, or there are too few resamples.
        NotEnoughDataError: An arm has fewer than three units.
        DataError: A value is not finite, or the statistic is not finite or the same in all resamples.
    """
    check_resamples(resamples)
    arms = [_small(values) for values in (control, treatment)]
    values = [float(_applied(statistic, arm[None, :])[0]) for arm in arms]
    draws = [_resampled(arm, statistic, resamples, rng) for arm in arms]
    return BootstrapDistribution(
        estimate=values[1] - values[0],
        draws=draws[1] - draws[0],
        n_control=arms[0].size,
        n_treatment=arms[1].size,
        statistic=_name(statistic),
        acceleration=acceleration_of(-_leave_one_out(arms[0], statistic), _leave_one_out(arms[1], statistic)),
        control=values[0],
        treatment=values[1],
    )


def sample_bootstrap_one_sample(
    sample: ArrayLike, statistic: SampleStatistic, *, resamples: int = RESAMPLES, rng: np.random.Generator
) -> BootstrapDistribution:
    """Bootstrap any statistic of one sample, unit by unit; see `sample_bootstrap`.

    Args:
        sample: Values, shape (n,).
        statistic: Maps samples along the last axis to values.
        resamples: How many, at least 100.
        rng: Source of the draws.

    Returns:
        A distribution for `percentile`, `basic` and, if the statistic is smooth, `bca`.

    Raises:
        UsageError: The statistic returns another shape, or there are too few resamples.
        NotEnoughDataError: Fewer than three units.
        DataError: A value is not finite, or the statistic is not finite or the same in all resamples.
    """
    check_resamples(resamples)
    values = _small(sample)
    return BootstrapDistribution(
        estimate=float(_applied(statistic, values[None, :])[0]),
        draws=_resampled(values, statistic, resamples, rng),
        n_control=0,
        n_treatment=values.size,
        statistic=_name(statistic),
        acceleration=acceleration_of(_leave_one_out(values, statistic)),
    )


def cluster_bootstrap(
    control: tuple[ArrayLike, ArrayLike],
    treatment: tuple[ArrayLike, ArrayLike],
    statistic: WeightedStatistic,
    *,
    resamples: int = RESAMPLES,
    rng: np.random.Generator,
) -> BootstrapDistribution:
    """Bootstrap users whose rows (sessions, requests) stay together, for a statistic that is no function of sums.

    Args:
        control: Values of the control's rows, shape (n,), and the user of each row.
        treatment: The same of the treatment.
        statistic: Maps values (n,) and row weights (..., n) to values (...,); see `weighted_quantile`.
        resamples: How many, at least 100.
        rng: Source of the draws.

    Returns:
        A distribution for `percentile` and `basic`; `n_control` and `n_treatment` count users.
        For means and ratios `smooth_bootstrap` of `cluster_sums` says more, faster.

    Raises:
        UsageError: Shapes do not match, or there are too few resamples.
        NotEnoughDataError: An arm has fewer than two users.
        DataError: A value is not finite, or the statistic is the same in all resamples.

    References:
        Davison & Hinkley (1997), section 3.8.
    """
    check_resamples(resamples)
    arms = [_users(*arm) for arm in (control, treatment)]
    values = [float(np.asarray(statistic(x, np.ones((1, x.size)))).item()) for x, _, _ in arms]
    draws = [
        np.concatenate([statistic(x, counts[:, codes]) for counts in _counts(users, x.size, resamples, rng)]) for x, codes, users in arms
    ]
    return BootstrapDistribution(
        estimate=values[1] - values[0],
        draws=draws[1] - draws[0],
        n_control=arms[0][2],
        n_treatment=arms[1][2],
        statistic=_name(statistic),
        control=values[0],
        treatment=values[1],
    )


def weighted_quantile(probability: float) -> WeightedStatistic:
    """The quantile of weighted rows, for `cluster_bootstrap`: the least value that holds its share of the weight.

    Args:
        probability: Which quantile, in (0, 1).

    Returns:
        A statistic of values and weights (Hyndman & Fan's type 1 where all weights are one).

    Raises:
        UsageError: `probability` lies outside (0, 1).
    """
    if not 0.0 < probability < 1.0:
        raise UsageError(f"The probability of a quantile must lie in (0, 1), got {probability}.")

    def quantile(values: Floats, weights: Floats) -> Floats:
        order = np.argsort(values, kind="stable")
        held = np.cumsum(weights[..., order], axis=-1)
        return values[order][np.argmax(held >= probability * held[..., -1:] * (1.0 - 1e-12), axis=-1)]

    return quantile


def _sums(values: ArrayLike, rng: np.random.Generator) -> BucketSums:
    sample = sample_of(values)
    if sample.size <= UNITS_ONE_BY_ONE:
        return unit_sums(sample)
    return bucket_sums(sample, rng.integers(0, BUCKETS, size=sample.size), buckets=BUCKETS)


def _small(values: ArrayLike) -> Floats:
    sample = sample_of(values)
    if sample.size < 3:
        raise NotEnoughDataError(f"A bootstrap of any statistic needs at least three units, got {sample.size}.", code="too_few_units")
    return sample


def _applied(statistic: SampleStatistic, samples: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.asarray(statistic(samples), dtype=np.float64)
    if found.shape != samples.shape[:-1]:
        raise UsageError(
            f"A statistic must map samples (..., n) to values (...,), got {found.shape} from {samples.shape}.",
            hint="Reduce the last axis, as in lambda x: x.std(axis=-1).",
        )
    return found


def _resampled(sample: Floats, statistic: SampleStatistic, resamples: int, rng: np.random.Generator) -> Floats:
    stretch = max(1, CELLS // sample.size)
    parts: list[Floats] = []
    for start in range(0, resamples, stretch):
        rows = rng.integers(0, sample.size, size=(min(stretch, resamples - start), sample.size))
        parts.append(_applied(statistic, sample[rows]))
    return np.concatenate(parts)


def _leave_one_out(sample: Floats, statistic: SampleStatistic) -> Floats:
    """The statistic without each unit in turn, some units at a time."""
    n = sample.size
    stretch = max(1, CELLS // n)
    parts: list[Floats] = []
    for start in range(0, n, stretch):
        out = np.arange(start, min(start + stretch, n))[:, None]
        kept = np.arange(n - 1)[None, :]
        parts.append(_applied(statistic, sample[kept + (kept >= out)]))
    return np.concatenate(parts)


def _users(values: ArrayLike, users: ArrayLike) -> tuple[Floats, NDArray[np.intp], int]:
    x, labels = sample_of(values), np.asarray(users)
    if labels.shape != x.shape:
        raise UsageError(f"Each of {x.size} rows needs one user, got shape {labels.shape}.")
    names, codes = np.unique(labels, return_inverse=True)
    if names.size < 2:
        raise NotEnoughDataError(f"A bootstrap of users needs at least two in each arm, got {names.size}.", code="too_few_units")
    return x, codes, names.size


def _counts(users: int, rows: int, resamples: int, rng: np.random.Generator) -> Iterator[Floats]:
    """Draws of users in stretches small enough for a weight of every row."""
    stretch = max(1, CELLS // rows)
    for start in range(0, resamples, stretch):
        yield from bucket_counts(users, min(stretch, resamples - start), rng)


def _name(statistic: object) -> str:
    name = str(getattr(statistic, "__name__", "custom"))
    return "custom" if name == "<lambda>" else name
