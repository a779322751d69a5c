"""Sums of units by bucket: what a bootstrap of sums resamples, whoever added them up.

A bucket is a group of units that are drawn together. With 1,000 buckets made by a
hash of the unit, the bucket means are as good as independent draws, and a
million units are resampled at the price of a thousand. With one unit a bucket it
is the ordinary bootstrap, with one user (store, account) a bucket the bootstrap
that respects dependence within them. A warehouse gives the same in one
`GROUP BY arm, bucket`: count, sums and, for a covariate, sums of products.

References: Efron & Tibshirani (1993), An Introduction to the Bootstrap, section
8.2; Davison & Hinkley (1997), section 3.8 (clusters); Bakshy & Eckles (2013), KDD,
"Uncertainty in online experiments with dependent data".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairtrial.errors import DataError, NotEnoughDataError, UsageError

Floats = NDArray[np.float64]

BUCKETS = 1_000
"""So many make a standard error good to 1 / sqrt(2 x 1,000), 2.2%, whatever the metric."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BucketSums:
    """Counts and sums of k columns over the units of each bucket, about a constant.

    Attributes:
        n: Units in each bucket, shape (b,), >= 1; buckets without units are left out.
        sums: Sums of value - center, shape (b, k).
        center: The constant of each column, shape (k,); near the mean it keeps every digit.
        products: Sums of products of value - center, shape (b, k, k); None where no covariance is needed.
    """

    n: Floats
    sums: Floats
    center: Floats
    products: Floats | None = None

    def __post_init__(self) -> None:
        buckets = self.n.size
        k = self.center.size
        if self.n.ndim != 1 or self.center.ndim != 1 or self.sums.shape != (buckets, k):
            raise UsageError(
                f"Bucket sums need n (b,), sums (b, k) and center (k,), got {self.n.shape}, {self.sums.shape}, {self.center.shape}."
            )
        if self.products is not None and self.products.shape != (buckets, k, k):
            raise UsageError(f"Products of {buckets} buckets and {k} columns must be {(buckets, k, k)}, got {self.products.shape}.")
        if buckets < 2:
            raise NotEnoughDataError(f"A bootstrap needs at least two buckets with units, got {buckets}.", code="too_few_units")
        if not (self.n >= 1.0).all():
            raise DataError("Each bucket must hold at least one unit.", hint="Leave out empty buckets.")
        parts = [self.n, self.sums, self.center, *([] if self.products is None else [self.products])]
        if not all(np.isfinite(part).all() for part in parts):
            raise DataError("Bucket sums must be finite.")

    @property
    def columns(self) -> int:
        """Number of columns k."""
        return self.center.size

    @property
    def units(self) -> int:
        """Units in all buckets."""
        return int(self.n.sum())


def bucket_sums(values: ArrayLike, bucket_ids: ArrayLike, *, buckets: int | None = None, products: bool = False) -> BucketSums:
    """Sums by bucket of rows in memory.

    Args:
        values: One row a unit, shape (n,) or (n, k): the outcome, or numerator and denominator, or
            outcome and covariate.
        bucket_ids: Bucket of each unit, integers from 0, shape (n,).
        buckets: Number of buckets; by default one more than the largest id.
        products: Whether sums of products are kept (a covariate needs them).

    Returns:
        The sums about the columns' means; buckets without units are left out.

    Raises:
        UsageError: Shapes do not match, or an id is no integer or out of range.
        DataError: There are no values, or one is not finite.
        NotEnoughDataError: Fewer than two buckets hold units.
    """
    x = _rows(values)
    ids = np.asarray(bucket_ids)
    if ids.shape != (x.shape[0],) or ids.dtype.kind not in "iu":
        raise UsageError(f"Each of {x.shape[0]} units needs the integer of a bucket, got {ids.dtype} of shape {ids.shape}.")
    size = int(ids.max()) + 1 if buckets is None else buckets
    if int(ids.min()) < 0 or int(ids.max()) >= size:
        raise UsageError(f"Buckets must lie in 0..{size - 1}, got {int(ids.min())}..{int(ids.max())}.")
    k = x.shape[1]
    center = x.mean(axis=0)
    counts = np.bincount(ids, minlength=size)
    held = counts > 0
    deviations = [np.ascontiguousarray(x[:, i] - center[i]) for i in range(k)]
    sums = np.stack([_sum_by(ids, column, size) for column in deviations], axis=1)
    crossed: Floats | None = None
    if products:
        crossed = np.empty((size, k, k))
        for i in range(k):
            for j in range(i + 1):
                crossed[:, i, j] = _sum_by(ids, deviations[i] * deviations[j], size)
                crossed[:, j, i] = crossed[:, i, j]
    return BucketSums(
        n=counts[held].astype(np.float64), sums=sums[held], center=center, products=None if crossed is None else crossed[held]
    )


def unit_sums(values: ArrayLike, *, products: bool = False) -> BucketSums:
    """Each unit its own bucket: the ordinary bootstrap, for arms of up to some ten thousand units.

    Args:
        values: One row a unit, shape (n,) or (n, k).
        products: Whether products are kept (a covariate needs them).

    Returns:
        One bucket a unit.

    Raises:
        DataError: There are no values, or one is not finite.
        NotEnoughDataError: Fewer than two units.
    """
    x = _rows(values)
    center = np.asarray(x.mean(axis=0), dtype=np.float64)
    deviations = x - center
    crossed = deviations[:, :, None] * deviations[:, None, :] if products else None
    ones: Floats = np.ones_like(center, shape=x.shape[0])
    return BucketSums(n=ones, sums=deviations, center=center, products=crossed)


def cluster_sums(values: ArrayLike, clusters: ArrayLike, *, products: bool = False) -> BucketSums:
    """Each cluster (user, store, account) its own bucket: rows of one cluster are drawn together.

    Args:
        values: One row a session, order or unit, shape (n,) or (n, k).
        clusters: The cluster of each row, numbers or text, shape (n,).
        products: Whether sums of products are kept.

    Returns:
        One bucket a cluster; a mean over these sums is the mean over rows.

    Raises:
        UsageError: Shapes do not match.
        DataError: There are no values, or one is not finite.
        NotEnoughDataError: Fewer than two clusters.
    """
    x = _rows(values)
    labels = np.asarray(clusters)
    if labels.shape != (x.shape[0],):
        raise UsageError(f"Each of {x.shape[0]} rows needs one cluster, got shape {labels.shape}.")
    return bucket_sums(x, np.unique(labels, return_inverse=True)[1], products=products)


def _rows(values: ArrayLike) -> Floats:
    x = np.asarray(values, dtype=np.float64)
    x = x[:, None] if x.ndim == 1 else x
    if x.ndim != 2 or x.size == 0:
        raise DataError(f"Values must be an (n,) or (n, k) array of at least one row, got shape {x.shape}.")
    broken = int(x.size - np.isfinite(x).sum())
    if broken:
        raise DataError(f"Values must be finite, got {broken} NaN or infinite ones of {x.size}.")
    return x


def _sum_by(ids: NDArray[np.integer], values: Floats, size: int) -> Floats:
    return np.asarray(np.bincount(ids, weights=values, minlength=size), dtype=np.float64)
