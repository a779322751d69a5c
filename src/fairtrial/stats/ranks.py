"""Tests that read only the order of values: Mann-Whitney, Hodges-Lehmann, Kruskal-Wallis, Kolmogorov-Smirnov.

They do not compare means: Mann-Whitney asks whether a treated unit tends to
exceed a control unit, P(T > C) + P(T = C) / 2 = 1/2, and two arms of unequal
spread can differ in means and not in this, or the other way round.

References: Mann & Whitney (1947), Annals of Mathematical Statistics 18, 50-60;
Hodges & Lehmann (1963), Annals of Mathematical Statistics 34, 598-611; Kruskal &
Wallis (1952), JASA 47, 583-621; Smirnov (1948), Annals of Mathematical Statistics
19, 279-281.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from fairtrial.errors import DataError, UsageError
from fairtrial.stats.result import Alternative, check_alternative
from fairtrial.stats.samples import sample_of

MAX_EXACT_UNITS = 200
"""Units of both arms together up to which the exact distribution is worked out (some two seconds)."""

MAX_PAIRS = 20_000_000
"""Pairs of units up to which all their differences are held at once (160 MB)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MannWhitney:
    """A Mann-Whitney U test.

    Attributes:
        u: Pairs in which the treatment exceeds the control, ties counting one half.
        p_value: In [0, 1].
        superiority: u over all pairs: the estimate of P(T > C) + P(T = C) / 2.
        rank_biserial: 2 superiority - 1, in [-1, 1].
        method: `asymptotic` or `exact`.
    """

    u: float
    p_value: float
    superiority: float
    rank_biserial: float
    method: Literal["asymptotic", "exact"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KolmogorovSmirnov:
    """Largest distance of two empirical distribution functions, in [0, 1], and its asymptotic p-value."""

    distance: float
    p_value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class KruskalWallis:
    """Tie-corrected rank test of several arms: statistic, degrees of freedom, p-value by chi-square."""

    statistic: float
    df: int
    p_value: float


def mann_whitney_test(
    control: ArrayLike,
    treatment: ArrayLike,
    *,
    alternative: Alternative = "two-sided",
    method: Literal["asymptotic", "exact"] = "asymptotic",
    continuity: bool = True,
) -> MannWhitney:
    """Mann-Whitney U test of two independent arms.

    Args:
        control: Values of the control, shape (n,).
        treatment: Values of the treatment.
        alternative: `greater` is the treatment tending to larger values.
        method: `asymptotic` is the normal approximation with the tie-corrected variance; `exact`
            the distribution of the midranks over all reallocations of these values, two-sided by
            distance from the mean (without ties the classical exact test).
        continuity: Whether the approximation moves U by one half towards its mean.

    Returns:
        The test.

    Raises:
        UsageError: An option is another word, or `exact` is asked for more than 200 units.
        DataError: An arm is empty, a value is not finite, or all values are equal.

    References:
        Mann & Whitney (1947), Annals of Mathematical Statistics 18, 50-60; Lehmann (1975),
        Nonparametrics, section 1.4 (ties).
    """
    check_alternative(alternative)
    if method not in {"asymptotic", "exact"}:
        raise UsageError(f"method must be 'asymptotic' or 'exact', got {method!r}.")
    c, t = sample_of(control), sample_of(treatment)
    ranks = _ranked([c, t])
    if np.ptp(ranks) == 0.0:
        raise DataError("A rank test needs values that differ, all are equal.", code="no_variance")
    u = float(ranks[c.size :].sum()) - t.size * (t.size + 1) / 2.0
    p_value = _exact_p(ranks, c.size, alternative) if method == "exact" else _normal_p(u, ranks, c.size, alternative, continuity=continuity)
    superiority = u / (c.size * t.size)
    return MannWhitney(u=u, p_value=p_value, superiority=superiority, rank_biserial=2.0 * superiority - 1.0, method=method)


def hodges_lehmann_shift(control: ArrayLike, treatment: ArrayLike) -> float:
    """Median of all differences treatment - control between a treated and a control unit.

    Args:
        control: Values of the control, shape (n,).
        treatment: Values of the treatment.

    Returns:
        The shift, in the values' unit.

    Raises:
        DataError: An arm is empty or a value is not finite.
        UsageError: There are more than 20 million pairs.

    References:
        Hodges & Lehmann (1963), Annals of Mathematical Statistics 34, 598-611.
    """
    c, t = sample_of(control), sample_of(treatment)
    if c.size * t.size > MAX_PAIRS:
        raise UsageError(f"The shift is taken over at most {MAX_PAIRS} pairs, got {c.size * t.size}.", hint="Draw a sample of units.")
    return float(np.median(np.subtract.outer(t, c)))


def kolmogorov_smirnov_test(control: ArrayLike, treatment: ArrayLike) -> KolmogorovSmirnov:
    """Two-sample Kolmogorov-Smirnov test, p-value by the limiting distribution.

    Args:
        control: Values of the control, shape (n,).
        treatment: Values of the treatment.

    Returns:
        The largest distance D, and P(K > D sqrt(n m / (n + m))); with ties or few units the
        p-value is too large (the test is cautious).

    Raises:
        DataError: An arm is empty or a value is not finite.

    References:
        Smirnov (1948), Annals of Mathematical Statistics 19, 279-281.
    """
    c, t = np.sort(sample_of(control)), np.sort(sample_of(treatment))
    points = np.concatenate([c, t])
    below = np.searchsorted(t, points, side="right") / t.size - np.searchsorted(c, points, side="right") / c.size
    distance = float(np.abs(below).max())
    scaled = distance * math.sqrt(c.size * t.size / (c.size + t.size))
    return KolmogorovSmirnov(distance=distance, p_value=float(special.kolmogorov(scaled)))


def kruskal_wallis_test(groups: Sequence[ArrayLike]) -> KruskalWallis:
    """Kruskal-Wallis test that several arms follow one distribution, with the correction for ties.

    Args:
        groups: Values of each arm, at least two arms.

    Returns:
        Statistic, degrees of freedom k - 1, and p-value by chi-square.

    Raises:
        UsageError: Fewer than two arms.
        DataError: An arm is empty, a value is not finite, or all values are equal.

    References:
        Kruskal & Wallis (1952), JASA 47, 583-621.
    """
    arms = [sample_of(values) for values in groups]
    if len(arms) < 2:
        raise UsageError(f"A comparison of arms needs at least two, got {len(arms)}.")
    ranks = _ranked(arms)
    n = ranks.size
    if np.ptp(ranks) == 0.0:
        raise DataError("A rank test needs values that differ, all are equal.", code="no_variance")
    parts = np.split(ranks, np.cumsum([arm.size for arm in arms])[:-1])
    between = sum(part.size * (float(part.mean()) - (n + 1) / 2.0) ** 2 for part in parts)
    statistic = 12.0 * between / (n * (n + 1)) / (1.0 - _ties(ranks) / (n**3 - n))
    return KruskalWallis(statistic=statistic, df=len(arms) - 1, p_value=float(special.chdtrc(len(arms) - 1, statistic)))


def _ties(ranks: NDArray[np.float64]) -> float:
    """Sum of t^3 - t over groups of t tied values."""
    _, counts = np.unique(ranks, return_counts=True)
    size = counts.astype(np.float64)
    return float((size**3 - size).sum())


def _normal_p(u: float, ranks: NDArray[np.float64], n_control: int, alternative: Alternative, *, continuity: bool) -> float:
    n = ranks.size
    pairs = float(n_control) * (n - n_control)
    std_dev = math.sqrt(pairs / 12.0 * ((n + 1) - _ties(ranks) / (n * (n - 1.0))))
    distance: float = u - pairs / 2.0
    half = 0.5 if continuity else 0.0
    if alternative == "two-sided":
        return 2.0 * float(special.ndtr(-max(abs(distance) - half, 0.0) / std_dev))
    return float(special.ndtr(-((distance if alternative == "greater" else -distance) - half) / std_dev))


def _exact_p(ranks: NDArray[np.float64], n_control: int, alternative: Alternative) -> float:
    """Over all ways to draw the smaller arm from these midranks: the share at least as extreme."""
    n = ranks.size
    if n > MAX_EXACT_UNITS:
        raise UsageError(f"The exact distribution is worked out for at most {MAX_EXACT_UNITS} units, got {n}.", hint="Use 'asymptotic'.")
    scale = 1 if _ties(ranks) == 0.0 else 2
    whole = np.rint(scale * ranks).astype(np.int64)
    treated_is_smaller = n - n_control <= n_control
    drawn = whole[n_control:] if treated_is_smaller else whole[:n_control]
    size = drawn.size
    ways = np.zeros((size + 1, int(np.sort(whole)[-size:].sum()) + 1))
    ways[0, 0] = 1.0
    for rank in whole.tolist():
        ways[1:, rank:] += ways[:-1, :-rank]
    share = ways[size] / ways[size].sum()
    center = scale * size * (n + 1) / 2.0
    distance = np.arange(share.size, dtype=np.float64) - center
    reached = float(drawn.sum()) - center
    if alternative == "two-sided":
        return min(1.0, float(share[np.abs(distance) >= abs(reached)].sum()))
    upper = (alternative == "greater") == treated_is_smaller
    return min(1.0, float(share[(distance >= reached) if upper else (distance <= reached)].sum()))


def _ranked(samples: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Ranks of all values together, ties at their middle."""
    from scipy import stats  # noqa: PLC0415 - slow to load, and only this needs it

    return np.asarray(stats.rankdata(np.concatenate(samples)), dtype=np.float64)
