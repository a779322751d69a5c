"""Whether one odds ratio serves all strata: the test of Breslow and Day with Tarone's correction.

Under the common odds ratio of Mantel and Haenszel each stratum with its margins has an
expected number of the treatment's successes, the root of a quadratic, and a variance. The sum of squared
standardised distances is chi-square with one degree of freedom less than there are strata;
because the common odds ratio is not the likelihood's best one, Tarone takes away what that adds.

Assumes independent units and strata with several of each outcome: many thin strata (pairs) are no case for it.

References: Breslow & Day (1980), Statistical Methods in Cancer Research I, IARC Scientific Publications 32,
section 4.4, eq. 4.30; Tarone (1985), Biometrika 72, 91-95; Breslow (1996), JASA 91, 14-28.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.tables import cochran_mantel_haenszel

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class OddsHomogeneity:
    """Test that the strata have one odds ratio.

    Attributes:
        common_odds_ratio: Mantel and Haenszel's, treatment over control, > 0.
        chi_square: Breslow and Day's statistic, >= 0.
        chi_square_tarone: With Tarone's correction, >= 0, never the larger of the two.
        df: Strata that say something, less one.
        p_value: Upper tail of `chi_square_tarone`.
        p_value_uncorrected: Upper tail of `chi_square`.
    """

    common_odds_ratio: float
    chi_square: float
    chi_square_tarone: float
    df: int
    p_value: float
    p_value_uncorrected: float


def breslow_day_test(strata: Sequence[tuple[int, int, int, int]]) -> OddsHomogeneity:
    """Test that treatment and success have the same odds ratio in all strata.

    Args:
        strata: By stratum: successes and units of the control, successes and units of the treatment.
            Those without both arms and both outcomes say nothing and are passed over.

    Returns:
        Breslow and Day's statistic and Tarone's, with p-values in [0, 1].

    Raises:
        UsageError: Counts are not whole, or successes lie outside 0..n.
        NotEnoughDataError: Fewer than two strata hold both arms and both outcomes.
        DataError: The common odds ratio is 0 or has no bound.

    References:
        Breslow & Day (1980), eq. 4.30; Tarone (1985), eq. 3.
    """
    counts = np.asarray(strata, dtype=np.float64).reshape(-1, 4)
    x_c, n_c, x_t, n_t = counts.T
    whole = np.isfinite(counts).all() and (np.floor(counts) == counts).all()
    if not (whole and ((x_c >= 0) & (x_c <= n_c) & (x_t >= 0) & (x_t <= n_t)).all()):
        raise UsageError("Counts must be whole numbers with successes in 0..n in every stratum.", hint="Pass counts, not rates.")
    successes, total = x_c + x_t, n_c + n_t
    kept = (n_c > 0) & (n_t > 0) & (successes > 0) & (successes < total)
    if kept.sum() < 2:
        raise NotEnoughDataError(
            f"Odds ratios can differ between two strata with both arms and both outcomes, got {int(kept.sum())}.",
            code="too_few_strata",
        )
    common = cochran_mantel_haenszel([(int(a), int(b), int(c), int(d)) for a, b, c, d in counts[kept]]).common_odds_ratio
    if common is None or common <= 0.0:
        raise DataError(
            "The strata's common odds ratio is 0 or without bound, so nothing tells whether theirs differ.",
            hint="Merge strata, or compare the rates themselves.",
            code="no_variance",
        )
    seen, n_c, n_t, successes = x_t[kept], n_c[kept], n_t[kept], successes[kept]
    fitted, variance = _fitted(n_c, n_t, successes, common)
    away = seen - fitted
    plain = float((np.square(away) / variance).sum())
    tarone = max(plain - float(away.sum()) ** 2 / float(variance.sum()), 0.0)
    df = int(kept.sum()) - 1
    return OddsHomogeneity(
        common_odds_ratio=common,
        chi_square=plain,
        chi_square_tarone=tarone,
        df=df,
        p_value=float(special.chdtrc(df, tarone)),
        p_value_uncorrected=float(special.chdtrc(df, plain)),
    )


def _fitted(n_c: Floats, n_t: Floats, successes: Floats, ratio: float) -> tuple[Floats, Floats]:
    """The treatment's successes that have the odds ratio within each stratum's margins, and their variance.

    With a ratio above 1 the control's successes under its inverse are solved for, so that no digits cancel:
    the root is twice the constant over a sum of positive numbers.
    """
    if ratio > 1.0:
        other, variance = _fitted(n_t, n_c, successes, 1.0 / ratio)
        return successes - other, variance
    # (1 - ratio) a^2 + b a - ratio n_t successes = 0, whose positive root is meant
    linear = n_c - successes + ratio * (n_t + successes)
    constant = ratio * n_t * successes
    fitted = 2.0 * constant / (linear + np.sqrt(np.square(linear) + 4.0 * (1.0 - ratio) * constant))
    cells = (fitted, n_t - fitted, successes - fitted, n_c - successes + fitted)
    return fitted, 1.0 / sum((1.0 / cell for cell in cells), start=np.zeros_like(fitted))
