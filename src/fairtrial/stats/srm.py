"""Sample-ratio check: do the arms have the sizes that their planned shares call for?

Pearson's chi-square goodness of fit without continuity correction (Pearson 1900,
Philosophical Magazine 50, 157-175), and for two arms the exact binomial test.
Arms with a planned share of 0 take no part in the test and its degrees of
freedom (counting them hides mismatches); units found in them are counted apart,
for they contradict the plan whatever the p-value says. Units are assumed to be
assigned independently of one another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.exact import binomial_exact_p


@dataclass(frozen=True, slots=True, kw_only=True)
class SrmResult:
    """Observed against planned arm sizes.

    Attributes:
        chi_square: Pearson's statistic over arms with a planned share.
        df: Number of those arms, less one.
        p_value: P(chi-square with `df` degrees of freedom > `chi_square`), in [0, 1].
        g_statistic: The likelihood-ratio statistic, for comparison.
        expected: Expected units by arm, in the order given; 0 where the share is 0.
        observed_shares: Observed shares among arms with a planned share; 0 for the others.
        units_without_share: Units found in arms whose planned share is 0; more than none is an
            error of assignment or logging.
    """

    chi_square: float
    df: int
    p_value: float
    g_statistic: float
    expected: tuple[float, ...]
    observed_shares: tuple[float, ...]
    units_without_share: int


def srm_test(observed: Sequence[int], shares: Sequence[float]) -> SrmResult:
    """Pearson's test that arm sizes follow the planned shares.

    Args:
        observed: Units by arm, whole numbers >= 0.
        shares: Planned shares by arm, >= 0, in any unit (they are divided by their sum).

    Returns:
        The test. At 50/50, [5100, 4900] gives chi-square 4.0 and p 0.0455.

    Raises:
        UsageError: The lists differ in length, a count is negative or not whole, or a share is negative or not finite.
        DataError: Fewer than two arms have a planned share.
        NotEnoughDataError: The arms with a planned share hold no unit.
    """
    counts, weights = _checked(observed, shares)
    planned = weights > 0.0
    total = float(counts[planned].sum())
    if total == 0.0:
        raise NotEnoughDataError("A sample-ratio check needs at least one unit, got none.")
    expected = total * (weights / weights.sum())
    o, e = counts[planned], expected[planned]
    chi_square = float(((o - e) ** 2 / e).sum())
    df = int(planned.sum()) - 1
    return SrmResult(
        chi_square=chi_square,
        df=df,
        p_value=float(special.chdtrc(df, chi_square)),
        g_statistic=2.0 * float(np.asarray(special.xlogy(o, o / e), dtype=np.float64).sum()),
        expected=tuple(expected.tolist()),
        observed_shares=tuple(np.where(planned, counts / total, 0.0).tolist()),
        units_without_share=round(float(counts[~planned].sum())),
    )


def srm_exact_binomial(observed: Sequence[int], shares: Sequence[float]) -> float:
    """Exact two-sided test that two arms share the units as planned.

    Args:
        observed: Units of the two arms with a planned share (others have share 0), whole numbers >= 0.
        shares: Planned shares by arm, in any unit.

    Returns:
        The p-value in [0, 1]: the probability of all outcomes no more likely than the one observed.

    Raises:
        UsageError: As `srm_test`.
        DataError: Other than two arms have a planned share.
        NotEnoughDataError: The two arms hold no unit.
    """
    counts, weights = _checked(observed, shares)
    planned = weights > 0.0
    if planned.sum() != 2:
        raise DataError(f"The exact check is for two arms with a planned share, got {int(planned.sum())}.", hint="Use srm_test.")
    first, second = (round(float(n)) for n in counts[planned])
    if first + second == 0:
        raise NotEnoughDataError("A sample-ratio check needs at least one unit, got none.")
    left, right = weights[planned].tolist()
    return binomial_exact_p(first, first + second, left / math.fsum((left, right)))


def _checked(observed: Sequence[int], shares: Sequence[float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    counts, weights = np.asarray(observed, dtype=np.float64), np.asarray(shares, dtype=np.float64)
    if counts.ndim != 1 or counts.shape != weights.shape:
        raise UsageError(f"Every arm needs a count and a share, got {counts.shape} counts and {weights.shape} shares.")
    if not (np.isfinite(counts) & (counts >= 0.0) & (np.floor(counts) == counts)).all():
        raise UsageError(f"Arm sizes must be whole numbers >= 0, got {list(observed)}.")
    if not (np.isfinite(weights) & (weights >= 0.0)).all():
        raise UsageError(f"Planned shares must be finite and >= 0, got {list(shares)}.")
    if (weights > 0.0).sum() < 2:
        raise DataError("A sample-ratio check needs two arms with a planned share.", hint="Give the share of every arm.")
    return counts, weights
