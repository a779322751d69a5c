"""The population stability index: how far a distribution has moved from a reference, in bins.

PSI is the symmetrised Kullback-Leibler divergence of the two samples' shares. Where nothing
moved it is not 0 but about chi-square: PSI n m / (n + m) with bins - 1 degrees of freedom, so
that small samples exceed any fixed limit by chance. The level that chance reaches is given
beside it.

References: Jeffreys (1946), Proceedings of the Royal Society A 186, 453-461; Lewis (1994), An
Introduction to Credit Scoring; Yurdakul & Naranjo (2020), Journal of Risk Model Validation 14(4)
(distribution under no change).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from fairtrial.errors import DataError, UsageError

BINS = 10
"""Bins of a column of numbers: tenths of the reference."""

PSEUDO_COUNT = 0.5
"""Added to each bin of both samples, so that an empty bin is a small share and not an infinite ratio."""

CHANCE = 0.99
"""Quantile of the index under no change that is told as the level of chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stability:
    """A population stability index.

    Attributes:
        psi: The index, >= 0.
        chance: What it stays below with probability 0.99 when nothing moved, with these sizes and bins.
        p_value: Of no change, by the chi-square approximation.
        bins: Bins that hold a row of either sample.
    """

    psi: float
    chance: float
    p_value: float
    bins: int


def population_stability(reference: ArrayLike, current: ArrayLike) -> Stability:
    """Population stability index of two samples in the same bins.

    Args:
        reference: Rows by bin, >= 0, shape (k,).
        current: The same of the other sample.

    Returns:
        The index; bins that are empty in both are left out.

    Raises:
        UsageError: The bins do not match, or a count is negative.
        DataError: A sample has no rows.

    References:
        Yurdakul & Naranjo (2020), section 3.
    """
    r, c = np.asarray(reference, dtype=np.float64), np.asarray(current, dtype=np.float64)
    if r.ndim != 1 or r.shape != c.shape or (r < 0.0).any() or (c < 0.0).any():
        raise UsageError(f"Counts of both samples must be in the same bins and >= 0, got shapes {r.shape} and {c.shape}.")
    n, m = float(r.sum()), float(c.sum())
    if n == 0.0 or m == 0.0:
        raise DataError("A sample has no rows.", code="no_units")
    held = (r + c) > 0.0
    bins = int(held.sum())
    shares = [(counts[held] + PSEUDO_COUNT) / (total + PSEUDO_COUNT * bins) for counts, total in ((r, n), (c, m))]
    psi = float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())
    scale = 1.0 / n + 1.0 / m
    if bins == 1:
        return Stability(psi=0.0, chance=0.0, p_value=1.0, bins=1)
    return Stability(
        psi=psi,
        chance=float(special.chdtri(bins - 1, 1.0 - CHANCE)) * scale,
        p_value=float(special.chdtrc(bins - 1, psi / scale)),
        bins=bins,
    )


def bins_of_numbers(reference: NDArray[np.float64], current: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of both samples in tenths of the reference, missing ones in a bin of their own.

    Args:
        reference: Numbers, NaN where missing, shape (n,), at least one of them known.
        current: The same of the other sample, shape (m,).

    Returns:
        Counts by bin; a reference of at most ten distinct values has a bin for each, and one for all others.

    Raises:
        DataError: The reference holds no value.
    """
    known = reference[~np.isnan(reference)]
    if known.size == 0:
        raise DataError("The reference holds no value.", code="all_missing")
    distinct = np.unique(known)
    if distinct.size <= BINS:
        places = [np.minimum(np.searchsorted(distinct, sample), distinct.size - 1) for sample in (reference, current)]
        codes = [
            np.where(distinct[place] == sample, place, distinct.size) for place, sample in zip(places, (reference, current), strict=True)
        ]
        size = distinct.size + 2
    else:
        edges = np.unique(np.quantile(known, np.arange(1, BINS) / BINS))
        codes = [np.searchsorted(edges, sample) for sample in (reference, current)]
        size = edges.size + 2
    counts = [
        np.bincount(np.where(np.isnan(sample), size - 1, code), minlength=size)
        for sample, code in zip((reference, current), codes, strict=True)
    ]
    return counts[0].astype(np.int64), counts[1].astype(np.int64)
