"""Bootstrap of any smooth function of sums, from sums by bucket or from moments alone.

A resample draws as many buckets as there are, with replacement; how often each
is drawn is multinomial, and the sums of all resamples are one product of the
matrix of counts with the matrix of bucket sums. Each arm is resampled on its
own. The estimate's standard error, and that of each resample, is the delta
method's over buckets: g' C g, with g the numerical gradient in the sums and C
their covariance over (drawn) buckets; so every statistic has a studentised
interval, and a jackknife over buckets gives BCa its acceleration.

Assumes independent buckets, and for few buckets (below about 30) says too
little: take `studentised`, or a test by randomisation.

References: Efron & Tibshirani (1993), An Introduction to the Bootstrap, chapters
8, 12 and 14; Davison & Hinkley (1997), Bootstrap Methods and their Application,
section 2.7 (delta method within resamples).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairtrial.errors import DataError, NotEnoughDataError, UnknownNameError, UsageError
from fairtrial.stats.moments import CoMoments
from fairtrial.stats.resampling.buckets import BucketSums, unit_sums
from fairtrial.stats.resampling.distribution import BootstrapDistribution, acceleration_of, check_resamples
from fairtrial.stats.resampling.sums import VALUES, ArmMoments, SmoothStatistic, Statistic, Value, check_columns, named_statistic

Floats = NDArray[np.float64]
Combine = Callable[[Sequence[ArmMoments]], Floats]

RESAMPLES = 2_000
"""Enough for an interval at 95%; a final analysis takes 10,000."""

CELLS = 1_000_000
"""Counts held at once; it fixes how the generator is read, and so the bytes that a seed gives."""

_STEP = 0.03
"""Of a sampling error: small beside any bend of the statistic, large beside the rounding of values at 1e9."""


def smooth_bootstrap(
    control: BucketSums,
    treatment: BucketSums,
    statistic: SmoothStatistic | Statistic = "mean_difference",
    *,
    resamples: int = RESAMPLES,
    rng: np.random.Generator,
) -> BootstrapDistribution:
    """Bootstrap a comparison of two arms that is smooth in their sums.

    Args:
        control: The control's sums by bucket.
        treatment: The treatment's, of the same columns.
        statistic: A name, or a function of both arms' moments in many resamples at once.
        resamples: How many, at least 100.
        rng: Source of the draws; the same state gives the same bytes.

    Returns:
        The distribution; `interval` and `p_value` read it, all four methods serve.

    Raises:
        UsageError: The columns do not fit, or there are too few resamples.
        UnknownNameError: No such statistic.
        NotEnoughDataError: An arm has fewer than two buckets.
        DataError: The statistic is not finite in some resample, or the same in all.

    References:
        Efron & Tibshirani (1993), sections 8.3 and 14.3.
    """
    if control.columns != treatment.columns or (control.products is None) != (treatment.products is None):
        raise UsageError(f"Both arms must have the same columns, got {control.columns} and {treatment.columns}, or products in one alone.")
    compare = (
        named_statistic(statistic, columns=control.columns, products=control.products is not None)
        if isinstance(statistic, str)
        else statistic
    )
    value = VALUES.get(statistic) if isinstance(statistic, str) else None
    return _bootstrap([control, treatment], lambda arms: compare(arms[0], arms[1]), _name(statistic), value, resamples=resamples, rng=rng)


def smooth_bootstrap_one_sample(
    sums: BucketSums,
    statistic: Literal["mean", "ratio"] | Value = "mean",
    *,
    resamples: int = RESAMPLES,
    rng: np.random.Generator,
) -> BootstrapDistribution:
    """Bootstrap one arm's mean, ratio of sums, or another smooth function of its sums.

    Args:
        sums: The arm's sums by bucket.
        statistic: A name, or a function of the arm's moments in many resamples at once.
        resamples: How many, at least 100.
        rng: Source of the draws.

    Returns:
        The distribution.

    Raises:
        UsageError: The columns do not fit, or there are too few resamples.
        UnknownNameError: No such statistic.
        DataError: The statistic is not finite in some resample, or the same in all.
    """
    if isinstance(statistic, str):
        if statistic not in {"mean", "ratio"}:
            raise UnknownNameError.among("statistic", statistic, ["mean", "ratio"])
        check_columns(statistic, columns=sums.columns)
    value = VALUES[statistic] if isinstance(statistic, str) else statistic
    return _bootstrap([sums], lambda arms: value(arms[0]), _name(statistic), None, resamples=resamples, rng=rng)


def moment_bootstrap(
    control: CoMoments,
    treatment: CoMoments,
    statistic: SmoothStatistic | Statistic = "mean_difference",
    *,
    resamples: int = RESAMPLES,
    rng: np.random.Generator,
) -> BootstrapDistribution:
    """Approximate bootstrap where only moments are at hand: means drawn from their normal distribution.

    Args:
        control: Moments of the control over the statistic's columns, as in `OutcomeStats.moments`, n >= 2.
        treatment: The same of the treatment.
        statistic: A name, or a function of both arms' moments; the cross-products stay as they are.
        resamples: How many, at least 100.
        rng: Source of the draws.

    Returns:
        A distribution for `percentile` and `basic`. It sees how the statistic bends (a lift, a
        ratio), but not that the means themselves are skewed: for that it takes buckets or units.

    Raises:
        UsageError: The columns do not fit, or there are too few resamples.
        UnknownNameError: No such statistic.
        NotEnoughDataError: An arm has fewer than two units.
        DataError: The statistic is not finite in some resample, or the same in all.

    References:
        Davison & Hinkley (1997), section 2.2 (parametric simulation).
    """
    check_resamples(resamples)
    if control.columns != treatment.columns:
        raise UsageError(f"Both arms must have the same columns, got {control.columns} and {treatment.columns}.")
    if min(control.n, treatment.n) < 2:
        raise NotEnoughDataError(f"Each arm needs at least two units, got {control.n} and {treatment.n}.", code="too_few_units")
    compare = named_statistic(statistic, columns=control.columns, products=True) if isinstance(statistic, str) else statistic
    value = VALUES.get(statistic) if isinstance(statistic, str) else None
    seen = [ArmMoments(n=np.array(float(arm.n)), mean=arm.mean, cross=arm.cross) for arm in (control, treatment)]
    drawn = [_normal_draws(arm, resamples, rng) for arm in (control, treatment)]
    return BootstrapDistribution(
        estimate=float(compare(*seen)),
        draws=np.asarray(compare(*drawn)),
        n_control=control.n,
        n_treatment=treatment.n,
        statistic=_name(statistic),
        control=None if value is None else float(value(seen[0])),
        treatment=None if value is None else float(value(seen[1])),
    )


def bootstrap_std_error_of_mean(sample: ArrayLike) -> float:
    """The standard error that infinitely many resamples give a mean: sqrt(sum (x - mean)^2) / n.

    Args:
        sample: One value a unit, shape (n,), n >= 2.

    Returns:
        The ideal bootstrap's standard error; sqrt((n - 1) / n) of the usual one.

    Raises:
        DataError: A value is not finite.
        NotEnoughDataError: Fewer than two units.

    References:
        Efron & Tibshirani (1993), equation 5.12.
    """
    deviations = unit_sums(sample).sums[:, 0]
    return math.sqrt(float(np.sum(deviations**2))) / deviations.size


def bucket_counts(buckets: int, resamples: int, rng: np.random.Generator) -> Iterator[Floats]:
    """How often each bucket is drawn in each resample, a stretch of resamples at a time.

    Args:
        buckets: Buckets, as many as are drawn.
        resamples: Resamples in all.
        rng: Source of the draws.

    Yields:
        Counts, shape (stretch, buckets), each row summing to `buckets`.
    """
    stretch = max(1, CELLS // buckets)
    for start in range(0, resamples, stretch):
        size = min(stretch, resamples - start)
        drawn = rng.integers(0, buckets, size=(size, buckets), dtype=np.int64)
        drawn += (np.arange(size) * buckets)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * buckets).reshape(size, buckets).astype(np.float64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Columns:
    """One arm's bucket sums as a matrix (b, K): count, sums, products; and products of its centred columns."""

    flat: Floats
    squares: Floats
    center: Floats
    pairs: bool

    @classmethod
    def of(cls, sums: BucketSums) -> _Columns:
        k = sums.columns
        parts = [sums.n[:, None], sums.sums]
        if sums.products is not None:
            rows, columns = np.triu_indices(k)
            parts.append(sums.products[:, rows, columns])
        flat = np.concatenate(parts, axis=1)
        centred = flat - flat.mean(axis=0)
        squares = (centred[:, :, None] * centred[:, None, :]).reshape(flat.shape[0], -1)
        return cls(flat=flat, squares=np.concatenate([centred, squares], axis=1), center=sums.center, pairs=sums.products is not None)

    @property
    def buckets(self) -> int:
        return self.flat.shape[0]

    def moments(self, totals: Floats) -> ArmMoments:
        """Moments of the arm from totals (..., K)."""
        k = self.center.size
        n = totals[..., 0]
        shift = totals[..., 1 : k + 1] / n[..., None]
        cross: Floats | None = None
        if self.pairs:
            rows, columns = np.triu_indices(k)
            cross = np.empty((*n.shape, k, k))
            cross[..., rows, columns] = cross[..., columns, rows] = totals[..., k + 1 :]
            cross -= n[..., None, None] * shift[..., :, None] * shift[..., None, :]
        return ArmMoments(n=n, mean=self.center + shift, cross=cross)

    def covariance(self, of_squares: Floats) -> Floats:
        """Covariance of the totals (..., K, K), from weighted sums of `squares` (..., K + K^2)."""
        width = self.flat.shape[1]
        first, second = of_squares[..., :width], of_squares[..., width:]
        cross = second.reshape(*second.shape[:-1], width, width) - first[..., :, None] * first[..., None, :] / self.buckets
        return cross * (self.buckets / (self.buckets - 1.0))


def _bootstrap(
    sums: Sequence[BucketSums], combine: Combine, name: str, value: Value | None, *, resamples: int, rng: np.random.Generator
) -> BootstrapDistribution:
    check_resamples(resamples)
    arms = [_Columns.of(arm) for arm in sums]
    seen = [arm.flat.sum(axis=0) for arm in arms]
    drawn = [_resampled(arm, resamples, rng) for arm in arms]
    totals, squares = [pair[0] for pair in drawn], [pair[1] for pair in drawn]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        moments = [arm.moments(total) for arm, total in zip(arms, seen, strict=True)]
        estimate = _scalar(combine(moments), name)
        draws = np.asarray(combine([arm.moments(total) for arm, total in zip(arms, totals, strict=True)]), dtype=np.float64)
        if draws.shape != (resamples,):
            raise UsageError(f"A statistic must give one value a resample, shape {(resamples,)}, got {draws.shape}.")
        own = _std_errors(arms, combine, seen, [arm.squares.sum(axis=0) for arm in arms])
        errors = _std_errors(arms, combine, totals, squares)
        left_out = [_leave_one_out(arms, combine, seen, index) for index in range(len(arms))]
    return BootstrapDistribution(
        estimate=estimate,
        draws=draws,
        n_control=sums[0].units if len(sums) > 1 else 0,
        n_treatment=sums[-1].units,
        statistic=name,
        formula_std_error=float(own),
        draw_std_errors=errors,
        acceleration=acceleration_of(*left_out),
        control=None if value is None else float(value(moments[0])),
        treatment=None if value is None else float(value(moments[1])),
    )


def _resampled(arm: _Columns, resamples: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Totals (resamples, K) of one arm's resamples, and of its squares."""
    both = np.concatenate([arm.flat, arm.squares], axis=1)
    found = np.concatenate([counts @ both for counts in bucket_counts(arm.buckets, resamples, rng)])
    return found[:, : arm.flat.shape[1]], found[:, arm.flat.shape[1] :]


def _std_errors(arms: Sequence[_Columns], combine: Combine, totals: Sequence[Floats], squares: Sequence[Floats]) -> Floats:
    """Delta method over buckets: sqrt of the sum over arms of g' C g."""
    variance = np.zeros(totals[0].shape[:-1])
    for index, arm in enumerate(arms):
        gradient = _gradient(arms, combine, totals, index)
        variance += np.einsum("...i,...ij,...j->...", gradient, arm.covariance(squares[index]), gradient)
    return np.sqrt(np.maximum(variance, 0.0))


def _gradient(arms: Sequence[_Columns], combine: Combine, totals: Sequence[Floats], index: int) -> Floats:
    """Central differences of the statistic in one arm's totals, by steps small beside their own sampling error."""
    arm = arms[index]
    steps = _STEP * arm.flat.std(axis=0) * math.sqrt(arm.buckets)
    gradient = np.zeros_like(totals[index])
    for column in np.flatnonzero(steps > 0.0).tolist():
        values: list[Floats] = []
        for sign in (1.0, -1.0):
            moved = list(totals)
            moved[index] = totals[index].copy()
            moved[index][..., column] += sign * steps[column]
            values.append(combine([own.moments(total) for own, total in zip(arms, moved, strict=True)]))
        gradient[..., column] = (values[0] - values[1]) / (2.0 * steps[column])
    return gradient


def _leave_one_out(arms: Sequence[_Columns], combine: Combine, totals: Sequence[Floats], index: int) -> Floats:
    arm = arms[index]
    shape = (arm.buckets, 1)
    left = [np.tile(total, shape) for total in totals]
    left[index] = totals[index] - arm.flat
    return np.asarray(combine([own.moments(total) for own, total in zip(arms, left, strict=True)]), dtype=np.float64)


def _normal_draws(arm: CoMoments, resamples: int, rng: np.random.Generator) -> ArmMoments:
    """Means drawn from N(mean, cross / (n - 1) / n); a root of the correlations keeps columns of any scale."""
    spread = np.sqrt(np.diagonal(arm.cross) / (arm.n - 1.0) / arm.n)
    unit = np.where(spread > 0.0, np.sqrt(np.diagonal(arm.cross)), 1.0)
    values, vectors = np.linalg.eigh(arm.cross / np.outer(unit, unit))
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    means = arm.mean + spread * (rng.standard_normal((resamples, arm.columns)) @ root.T)
    return ArmMoments(n=np.full(resamples, float(arm.n)), mean=means, cross=np.broadcast_to(arm.cross, (resamples, *arm.cross.shape)))


def _scalar(values: Floats, name: str) -> float:
    found = np.asarray(values, dtype=np.float64)
    if found.size != 1 or not np.isfinite(found).all():
        raise DataError(f"{name!r} must be one finite number of the data, got {found}.", code="not_finite")
    return float(found.item())


def _name(statistic: object) -> str:
    return statistic if isinstance(statistic, str) else str(getattr(statistic, "__name__", "custom"))
