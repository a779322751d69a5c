"""Exact p-values on a discrete support: Fisher's test of a two-by-two table, the binomial test of a share.

Two-sided p-values sum the outcomes no more likely than the one observed, as R's
`fisher.test` and `binom.test` do. Probabilities are built from ratios of
neighbours, summed as logarithms outward from the mode, so a table of a million
units is as exact as one of ten (log-gamma differences lose eight digits there);
only the part of the support is built whose probability a double can tell from 0.

Fisher (1935), Journal of the Royal Statistical Society 98, 39-82.
"""

from __future__ import annotations

from typing import assert_never

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairtrial.errors import UsageError
from fairtrial.stats.result import Alternative, check_alternative

Floats = NDArray[np.float64]

TIE = 1.0 + 1e-7
"""Outcomes this close in probability to the observed one count as equally likely (the rule of R)."""


def fisher_p_values(
    successes_control: ArrayLike,
    n_control: ArrayLike,
    successes_treatment: ArrayLike,
    n_treatment: ArrayLike,
    *,
    where: ArrayLike = True,
    alternative: Alternative = "two-sided",
) -> Floats:
    """Fisher's exact p-value of `treatment rate = control rate`, elementwise over tables.

    Args:
        successes_control: Successes in the control arm, whole numbers.
        n_control: Units in the control arm, whole numbers.
        successes_treatment: Successes in the treatment arm, broadcastable with the others.
        n_treatment: Units in the treatment arm.
        where: Tables to compute, broadcastable with the counts.
        alternative: `greater` is a larger rate under treatment.

    Returns:
        p-values in [0, 1] (0 only where a double cannot hold it), of the broadcast shape; NaN where not computed.

    Raises:
        UsageError: A count is not whole, or successes lie outside 0..n.
    """
    check_alternative(alternative)
    tables = np.broadcast_arrays(
        *(np.asarray(v, dtype=np.float64) for v in (successes_control, n_control, successes_treatment, n_treatment))
    )
    _check_counts(tables[0], tables[1])
    _check_counts(tables[2], tables[3])
    p = np.full(tables[0].shape, np.nan)
    for index in zip(*np.nonzero(np.broadcast_to(where, p.shape)), strict=True) if p.ndim else [()] * bool(where):
        x_c, n_c, x_t, n_t = (int(table[index]) for table in tables)
        p[index] = _hypergeometric_p(x_t, n_t, n_c, x_c + x_t, alternative)
    return p


def binomial_exact_p(successes: int, n: int, share: float, *, alternative: Alternative = "two-sided") -> float:
    """Exact binomial p-value of the hypothesis that successes come with probability `share`.

    Args:
        successes: Successes observed, in 0..n.
        n: Trials, >= 1.
        share: Probability under the hypothesis, in (0, 1).
        alternative: `greater` is a probability above `share`.

    Returns:
        The p-value in [0, 1] (0 only where a double cannot hold it).

    Raises:
        UsageError: A count is not whole or lies outside its range, or `share` lies outside (0, 1).
    """
    check_alternative(alternative)
    _check_counts(np.asarray(successes, dtype=np.float64), np.asarray(n, dtype=np.float64))
    if n < 1 or not 0.0 < share < 1.0:
        raise UsageError(f"A binomial test needs n >= 1 and a share in (0, 1), got n={n} and share={share}.")
    mode = min(n, int((n + 1) * share))
    low, high = _window(successes, mode, (n * share * (1.0 - share)) ** 0.5, 0, n)
    k = np.arange(low, high, dtype=np.float64)
    odds = share / (1.0 - share)
    return _tail(np.log((n - k) / (k + 1.0) * odds), successes - low, alternative)


def _hypergeometric_p(x: int, n_drawn: int, n_rest: int, successes: int, alternative: Alternative) -> float:
    """p-value of `x` successes among `n_drawn` units when `successes` are spread over all units at random."""
    total = n_drawn + n_rest
    least, most = max(0, successes - n_rest), min(successes, n_drawn)
    if least == most:
        return 1.0
    mode = min(most, (n_drawn + 1) * (successes + 1) // (total + 2))
    sd = (n_drawn / total * n_rest * (successes / total) * ((total - successes) / max(total - 1, 1))) ** 0.5
    low, high = _window(x, mode, sd, least, most)
    k = np.arange(low, high, dtype=np.float64)
    ratios = (successes - k) / (k + 1.0) * ((n_drawn - k) / (n_rest - successes + k + 1.0))
    return _tail(np.log(ratios), x - low, alternative)


def _window(observed: int, mode: int, sd: float, least: int, most: int) -> tuple[int, int]:
    """The part of the support that matters: as unlikely as the outcome observed on both sides of the mode, and ten sd more.

    No tail of these laws is heavier than the Poisson's, whose equally likely point
    lies within 1.72 of the distance on the other side.
    """
    reach = 3 * abs(observed - mode) + int(12.0 * sd) + 60
    return max(least, mode - reach), min(most, mode + reach)


def _tail(log_ratios: Floats, observed: int, alternative: Alternative) -> float:
    """Sum of probabilities on a support whose neighbours' log ratios are given, from its first outcome on."""
    log_p = np.concatenate(([0.0], np.cumsum(log_ratios)))
    p = np.exp(log_p - log_p.max())
    total = float(p.sum())
    match alternative:
        case "two-sided":
            chosen = p[p <= p[observed] * TIE]
        case "greater":
            chosen = p[observed:]
        case "less":
            chosen = p[: observed + 1]
        case _:
            assert_never(alternative)
    return min(1.0, float(chosen.sum()) / total)


def _check_counts(successes: Floats, n: Floats) -> None:
    whole = np.isfinite(n) & (np.floor(successes) == successes) & (np.floor(n) == n)
    if not (whole & (successes >= 0.0) & (successes <= n)).all():
        raise UsageError("Counts must be whole numbers with successes in 0..n.", hint="Pass counts, not rates.")
