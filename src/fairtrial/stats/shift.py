"""The shift between two arms by ranks: Mann-Whitney's test, the Hodges-Lehmann estimate and the interval that inverts it.

If the treatment moves every unit by the same amount, that amount is estimated by
the median of all differences between a treated and a control unit, and the effects
that a Mann-Whitney test does not reject lie between two of these differences. With
K = floor(m + 1/2 + z s), where m is half the number N of pairs and s the tie-corrected
standard deviation of U under no shift, the interval runs from the (N - K)-th to the
(K + 1)-th of them.

The differences, up to 10^12 of them, are never written out: how many lie below a
number is counted by two sorted searches, the number is moved by bisection, and
only the last few differences are sorted. So an interval costs O(n log n).

Where many units of both arms share a value (zeros above all), moving one arm by any
amount breaks these ties, and no shift describes the difference: the p-value, which
knows of the ties, and the interval may then disagree. The estimate says so by the note
`tied_ranks`.

References: Hodges & Lehmann (1963), Annals of Mathematical Statistics 34, 598-611;
Lehmann (1975), Nonparametrics, sections 1.4 and 2.4 to 2.6; Johnson & Mizoguchi (1978),
SIAM Journal on Computing 7, 147-153 (selection in sorted differences).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.ranks import mann_whitney_test
from fairtrial.stats.result import Alternative, Estimate, Interval, check_alpha, check_alternative
from fairtrial.stats.samples import sample_of

Floats = NDArray[np.float64]

MOST_SORTED = 2_000_000
"""Differences that are written out and sorted at the end of a search."""

_EPS = float(np.finfo(np.float64).eps)

TIED_RANKS = "tied_ranks"
"""Note of an estimate whose p-value and interval disagree because of ties between the arms."""


def hodges_lehmann_test(
    control: ArrayLike,
    treatment: ArrayLike,
    *,
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
    margin: float = 0.0,
) -> Estimate:
    """Mann-Whitney's test with the shift that it speaks of.

    Args:
        control: Values of the control, shape (n,), n >= 2.
        treatment: Values of the treatment, n >= 2.
        alpha: Type I error rate in (0, 1); the interval covers 1 - `alpha`.
        alternative: The alternative hypothesis, in SciPy's words.
        margin: Shift under the null hypothesis.

    Returns:
        The shift; `control` and `treatment` are the arms' medians, which need not differ by it. The
        p-value is the normal approximation with the tie correction and continuity.

    Raises:
        UsageError: An option breaks its rule.
        NotEnoughDataError: An arm has fewer than two units, or no interval of this level exists.
        DataError: A value is not finite, or all values are equal.

    References:
        Lehmann (1975), Nonparametrics, section 2.6.
    """
    check_alpha(alpha)
    check_alternative(alternative)
    if not math.isfinite(margin):
        raise UsageError(f"margin must be a finite number in the metric's unit, got {margin}.")
    c, t = np.sort(sample_of(control)), np.sort(sample_of(treatment))
    if min(c.size, t.size) < 2:
        raise NotEnoughDataError(f"Each arm needs at least two units, got {c.size} and {t.size}.", code="too_few_units")
    test = mann_whitney_test(c, t - margin, alternative=alternative)
    pairs = c.size * t.size
    low, high = _ranks(c, t, alpha, alternative)
    lower, upper = (pairs + 1) // 2, pairs // 2 + 1
    found = difference_quantiles(c, t, sorted({rank for rank in (low, high, lower, upper) if rank is not None}))
    interval = Interval(low=-math.inf if low is None else found[low], high=math.inf if high is None else found[high])
    std_dev = _std_dev(c.size, t.size, np.concatenate([c, t - margin]))
    effect = 0.5 * (found[lower] + found[upper])
    return Estimate(
        effect=effect,
        interval=interval,
        p_value=test.p_value,
        std_error=None,
        statistic=(test.u - pairs / 2.0) / std_dev,
        df=None,
        control=float(np.median(c)),
        treatment=float(np.median(t)),
        n_control=c.size,
        n_treatment=t.size,
        alpha=alpha,
        alternative=alternative,
        margin=margin,
        method="mann_whitney",
        interval_method="hodges_lehmann",
        notes=(TIED_RANKS,) if (test.p_value < alpha) != interval.excludes(margin) else (),
    )


def difference_quantiles(control: Floats, treatment: Floats, ranks: list[int]) -> dict[int, float]:
    """The differences treatment - control at given places of their order, without writing them all out.

    Args:
        control: Values in ascending order, shape (n,).
        treatment: Values in ascending order, shape (m,).
        ranks: Places in ascending order, from 1 to n m.

    Returns:
        The difference at each place.

    Raises:
        UsageError: A place lies outside 1..n m.

    References:
        Johnson & Mizoguchi (1978), section 3.
    """
    pairs = control.size * treatment.size
    outside = [rank for rank in ranks if not 1 <= rank <= pairs]
    if outside:
        raise UsageError(f"Places of the differences lie in 1..{pairs}, got {outside[0]}.")
    slack = 4.0 * _EPS * float(max(abs(control[0]), abs(control[-1]), abs(treatment[0]), abs(treatment[-1])))
    seen = [(float(treatment[0] - control[-1]) - slack, 0), (float(treatment[-1] - control[0]) + slack, pairs)]
    return {rank: _selected(control, treatment, rank, seen, slack) for rank in ranks}


def _ranks(c: Floats, t: Floats, alpha: float, alternative: Alternative) -> tuple[int | None, int | None]:
    """Places of the interval's ends among the differences; None for an infinite end."""
    pairs = c.size * t.size
    z = -float(special.ndtri(alpha / 2.0 if alternative == "two-sided" else alpha))
    most = math.floor(pairs / 2.0 + 0.5 + z * _std_dev(c.size, t.size, c, t))
    if most >= pairs:
        raise NotEnoughDataError(
            f"Arms of {c.size} and {t.size} units are too small to bound the shift at alpha {alpha:g}.",
            hint="Take more units, or a larger alpha.",
            code="too_few_units",
        )
    return (None if alternative == "less" else pairs - most), (None if alternative == "greater" else most + 1)


def _std_dev(n_control: int, n_treatment: int, *groups: Floats) -> float:
    """Standard deviation of U, where values of one group may be tied and those of two may not."""
    n = float(n_control + n_treatment)
    ties = 0.0
    for values in groups:
        counts = np.unique(values, return_counts=True)[1].astype(np.float64)
        ties += float((counts**3 - counts).sum())
    variance = float(n_control) * n_treatment / 12.0 * ((n + 1.0) - ties / (n * (n - 1.0)))
    if variance <= 0.0:
        raise DataError("A rank test needs values that differ, all are equal.", code="no_variance")
    return math.sqrt(variance)


def _selected(c: Floats, t: Floats, rank: int, seen: list[tuple[float, int]], slack: float) -> float:
    """The difference at one place: bisection until few are left, then those few in order.

    `seen` holds numbers with the count of differences up to them; what is counted here is added.
    """
    low, below = max((point, count) for point, count in seen if count < rank)
    high, upto = min((point, count) for point, count in seen if count >= rank)
    while upto - below > MOST_SORTED and high - low > slack:
        middle = low + 0.5 * (high - low)
        count = _count(c, t, middle)
        seen.append((middle, count))
        if count >= rank:
            high, upto = middle, count
        else:
            low, below = middle, count
    first, last = (np.searchsorted(t, c + end, side="right") for end in (low, high))
    sizes = last - first
    if upto - below > MOST_SORTED:  # all of them are one number but for rounding
        held = sizes > 0
        return float((t[last[held] - 1] - c[held]).max())
    where = np.repeat(np.arange(c.size), sizes)
    inside = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    differences = t[first[where] + inside] - c[where]
    place = min(max(rank - below, 1), differences.size) - 1
    return float(np.partition(differences, place)[place])


def _count(c: Floats, t: Floats, shift: float) -> int:
    """Pairs whose difference treatment - control is at most `shift`."""
    return int(np.searchsorted(t, c + shift, side="right").sum())
