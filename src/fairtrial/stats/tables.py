"""Tests of contingency tables: association of two categories, Yates's correction, Fisher's test, strata.

Pearson (1900), Philosophical Magazine 50, 157-175; Yates (1934), JRSS Supplement
1, 217-235; Cramer (1946), Mathematical Methods of Statistics, section 21.9;
Fisher (1935), JRSS 98, 39-82; Mantel & Haenszel (1959), Journal of the National
Cancer Institute 22, 719-748. Counts of independent units are assumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from fairtrial.errors import DataError, UsageError
from fairtrial.stats.exact import fisher_p_values
from fairtrial.stats.result import Alternative

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Association:
    """Association of rows and columns of a table of counts.

    Attributes:
        chi_square: Pearson's statistic, without continuity correction unless the test's name says so.
        df: (rows - 1) (columns - 1).
        p_value: Upper tail of the chi-square distribution, in [0, 1].
        g_statistic: The likelihood-ratio statistic.
        cramers_v: Strength of the association, sqrt(chi_square / (n (min(rows, columns) - 1))), in [0, 1].
        expected: Expected counts under independence, by row.
    """

    chi_square: float
    df: int
    p_value: float
    g_statistic: float
    cramers_v: float
    expected: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StratifiedAssociation:
    """Association of treatment and success within strata.

    Attributes:
        common_odds_ratio: Mantel and Haenszel's odds ratio, treatment over control; None when no stratum bounds it.
        chi_square: Statistic of no association, without continuity correction, on 1 degree of freedom.
        p_value: Its upper tail.
        chi_square_corrected: The same with the correction of 1/2, never past zero.
        p_value_corrected: Its upper tail.
    """

    common_odds_ratio: float | None
    chi_square: float
    p_value: float
    chi_square_corrected: float
    p_value_corrected: float


def chi_square_independence(table: ArrayLike) -> Association:
    """Pearson's test that rows and columns of a table are independent.

    Args:
        table: Counts >= 0, shape (rows, columns), both at least 2.

    Returns:
        The test with the likelihood-ratio statistic and Cramer's V.

    Raises:
        UsageError: The table is not of that shape, or a count is negative or not finite.
        DataError: A row or a column is empty.
    """
    counts, expected = _expected(table)
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    g_terms: Floats = np.asarray(special.xlogy(counts, counts / expected), dtype=np.float64)
    rows, columns = len(expected), expected[0].size
    df: int = (rows - 1) * (columns - 1)
    return Association(
        chi_square=chi_square,
        df=df,
        p_value=float(special.chdtrc(df, chi_square)),
        g_statistic=2.0 * float(g_terms.sum()),
        cramers_v=(chi_square / (float(counts.sum()) * (min(rows, columns) - 1))) ** 0.5,
        expected=tuple(tuple(row) for row in expected.tolist()),
    )


def yates_test(successes_control: int, n_control: int, successes_treatment: int, n_treatment: int) -> tuple[float, float]:
    """The pooled test of two proportions with Yates's continuity correction, which never corrects past zero.

    Args:
        successes_control: Units with outcome 1 in the control arm.
        n_control: Units of the control arm.
        successes_treatment: Units with outcome 1 in the treatment arm.
        n_treatment: Units of the treatment arm.

    Returns:
        The chi-square on 1 degree of freedom and the two-sided p-value.

    Raises:
        UsageError: A count is negative or not finite.
        DataError: An arm is empty, or nobody or everybody converted in both.
    """
    rows = [[successes_control, n_control - successes_control], [successes_treatment, n_treatment - successes_treatment]]
    counts, expected = _expected(rows)
    away = abs(counts[0, 0] - expected[0, 0])
    chi_square = float(((away - min(0.5, away)) ** 2 / expected).sum())
    return chi_square, float(special.chdtrc(1, chi_square))


def fisher_exact_test(
    successes_control: int, n_control: int, successes_treatment: int, n_treatment: int, *, alternative: Alternative = "two-sided"
) -> float:
    """Fisher's exact p-value of equal proportions; two-sided it sums the tables no more likely than the one observed.

    Args:
        successes_control: Units with outcome 1 in the control arm.
        n_control: Units of the control arm.
        successes_treatment: Units with outcome 1 in the treatment arm.
        n_treatment: Units of the treatment arm.
        alternative: `greater` is a larger rate under treatment.

    Returns:
        The p-value in [0, 1]; 1 where the margins leave one table only.

    Raises:
        UsageError: A count is not whole, successes lie outside 0..n, or `alternative` is another word.
    """
    return fisher_p_values(successes_control, n_control, successes_treatment, n_treatment, alternative=alternative).item()


def cochran_mantel_haenszel(strata: Sequence[tuple[int, int, int, int]]) -> StratifiedAssociation:
    """Test of no association of treatment and success in any stratum, and their common odds ratio.

    Args:
        strata: By stratum: successes and units of the control, successes and units of the treatment.
            Strata with fewer than two units say nothing and are passed over.

    Returns:
        The test and the odds ratio, treatment over control.

    Raises:
        UsageError: Successes lie outside 0..n.
        DataError: No stratum has both arms and both outcomes.
    """
    x_c, n_c, x_t, n_t = np.asarray(strata, dtype=np.float64).reshape(-1, 4).T
    if not ((x_c >= 0) & (x_c <= n_c) & (x_t >= 0) & (x_t <= n_t)).all():
        raise UsageError("Successes must lie in 0..n in every stratum.")
    total = n_c + n_t
    kept = total >= 2.0
    x_c, n_c, x_t, n_t, total = (values[kept] for values in (x_c, n_c, x_t, n_t, total))
    converted = x_c + x_t
    variance = float((n_c * n_t * converted * (total - converted) / (total * total * (total - 1.0))).sum())
    if variance == 0.0:
        raise DataError("A stratified test needs a stratum with both arms and both outcomes.", code="no_variance")
    away = abs(float((x_t - n_t * converted / total).sum()))
    concordant, discordant = float((x_t * (n_c - x_c) / total).sum()), float((x_c * (n_t - x_t) / total).sum())
    chi_square, corrected = away**2 / variance, (away - min(0.5, away)) ** 2 / variance
    return StratifiedAssociation(
        common_odds_ratio=concordant / discordant if discordant > 0.0 else None,
        chi_square=chi_square,
        p_value=float(special.chdtrc(1, chi_square)),
        chi_square_corrected=corrected,
        p_value_corrected=float(special.chdtrc(1, corrected)),
    )


def _expected(table: ArrayLike) -> tuple[Floats, Floats]:
    counts = np.asarray(table, dtype=np.float64)
    if counts.ndim != 2 or min(counts.shape) < 2 or not (np.isfinite(counts) & (counts >= 0.0)).all():
        raise UsageError(f"A table needs two rows and columns of counts >= 0, got {counts.tolist()}.")
    rows, columns = counts.sum(axis=1), counts.sum(axis=0)
    if (rows == 0.0).any() or (columns == 0.0).any():
        raise DataError(
            "A table of counts needs units in every row and column.", hint="Leave empty rows and columns out.", code="no_variance"
        )
    return counts, np.outer(rows, columns) / counts.sum()
