"""Intervals of one proportion, and of the difference of two, one at a time.

Intervals of one proportion: Wilson (1927), JASA 22, 209-212, which inverts the
score test; Clopper & Pearson (1934), Biometrika 26, 404-413, which inverts the
exact test and never covers less than it says; Agresti & Coull (1998), The
American Statistician 52, 119-126. Intervals of a difference: see `inversion`;
they need units in both arms and nothing else, so they exist where a test of no
difference does not (nobody converted in either arm).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from fairtrial.errors import DataError, UsageError
from fairtrial.stats.inversion import CiMethod, Tables, check_ci_method, limits
from fairtrial.stats.result import Alternative, Interval
from fairtrial.stats.tails import critical_value
from fairtrial.stats.wilson import wilson_low


def wilson_interval(successes: int, n: int, *, alpha: float = 0.05, alternative: Alternative = "two-sided") -> Interval:
    """Wilson's score interval of one proportion.

    Args:
        successes: Units with outcome 1, in 0..n.
        n: Units, >= 1.
        alpha: Error rate in (0, 1); the interval covers 1 - `alpha`.
        alternative: `greater` leaves the upper end infinite, `less` the lower.

    Returns:
        The interval of the rate, a fraction.

    Raises:
        UsageError: A count or an option breaks its rule.
        DataError: There are no units.
    """
    _check_counts(successes, n)
    z = critical_value(alpha, np.inf, alternative).item()
    # A one-sided interval of level below 1/2 ends on the other side of the rate.
    down, up = _wilson_low(successes, n, abs(z)), 1.0 - _wilson_low(n - successes, n, abs(z))
    return _one_sided((down, up) if z >= 0.0 else (up, down), alternative)


def clopper_pearson_interval(successes: int, n: int, *, alpha: float = 0.05, alternative: Alternative = "two-sided") -> Interval:
    """Clopper and Pearson's exact interval of one proportion; arguments, result and errors as `wilson_interval`."""
    _check_counts(successes, n)
    critical_value(alpha, np.inf, alternative)
    tail = alpha / 2.0 if alternative == "two-sided" else alpha
    low = 0.0 if successes == 0 else float(special.betaincinv(successes, n - successes + 1, tail))
    high = 1.0 if successes == n else float(special.betainccinv(successes + 1, n - successes, tail))
    return _one_sided((low, high), alternative)


def agresti_coull_interval(successes: int, n: int, *, alpha: float = 0.05, alternative: Alternative = "two-sided") -> Interval:
    """Agresti and Coull's interval of one proportion, cut to [0, 1]; arguments, result and errors as `wilson_interval`."""
    _check_counts(successes, n)
    z = critical_value(alpha, np.inf, alternative).item()
    size = n + z * z
    rate = (successes + 0.5 * z * z) / size
    reach = z * (rate * (1.0 - rate) / size) ** 0.5
    return _one_sided((max(0.0, rate - reach), min(1.0, rate + reach)), alternative)


def difference_interval(
    successes_control: int,
    n_control: int,
    successes_treatment: int,
    n_treatment: int,
    *,
    method: CiMethod = "score",
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
) -> Interval:
    """Interval of the difference of two proportions, treatment - control, by one of five methods.

    Args:
        successes_control: Units with outcome 1 in the control arm.
        n_control: Units of the control arm, >= 1.
        successes_treatment: Units with outcome 1 in the treatment arm.
        n_treatment: Units of the treatment arm, >= 1.
        method: `score`, `miettinen-nurminen`, `newcombe`, `agresti-caffo` or `wald`.
        alpha: Error rate in (0, 1); the interval covers 1 - `alpha`.
        alternative: `greater` leaves the upper end infinite, `less` the lower.

    Returns:
        The interval, a fraction. Those of `agresti-caffo` and `wald` may leave [-1, 1], as published.

    Raises:
        UsageError: A count or an option breaks its rule.
        DataError: An arm has no units, or neither arm varies and the method is `wald`.
    """
    check_ci_method(method)
    _check_counts(successes_control, n_control)
    _check_counts(successes_treatment, n_treatment)
    if method == "wald" and successes_control in {0, n_control} and successes_treatment in {0, n_treatment}:
        raise DataError("Wald's interval needs an arm that varies; its width would be 0.", hint="Use method='score'.", code="no_variance")
    tables = Tables(*(_array(v) for v in (successes_control, n_control, successes_treatment, n_treatment)))
    z = critical_value(alpha, np.inf, alternative)
    low, high = (end.item() for end in limits(method, tables, np.abs(z)))
    return _one_sided((low, high) if z >= 0.0 else (high, low), alternative)


def score_interval(
    successes_control: int,
    n_control: int,
    successes_treatment: int,
    n_treatment: int,
    *,
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
) -> Interval:
    """The score interval that inverts the pooled z test (Mee 1984); arguments, result and errors as `difference_interval`."""
    counts = successes_control, n_control, successes_treatment, n_treatment
    return difference_interval(*counts, method="score", alpha=alpha, alternative=alternative)


def miettinen_nurminen_interval(
    successes_control: int,
    n_control: int,
    successes_treatment: int,
    n_treatment: int,
    *,
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
) -> Interval:
    """The score interval with the factor N / (N - 1) (Miettinen & Nurminen 1985); arguments, result and errors as `difference_interval`."""
    counts = successes_control, n_control, successes_treatment, n_treatment
    return difference_interval(*counts, method="miettinen-nurminen", alpha=alpha, alternative=alternative)


def newcombe_interval(
    successes_control: int,
    n_control: int,
    successes_treatment: int,
    n_treatment: int,
    *,
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
) -> Interval:
    """Newcombe's hybrid of Wilson's limits (1998, method 10); arguments, result and errors as `difference_interval`."""
    counts = successes_control, n_control, successes_treatment, n_treatment
    return difference_interval(*counts, method="newcombe", alpha=alpha, alternative=alternative)


def agresti_caffo_interval(
    successes_control: int,
    n_control: int,
    successes_treatment: int,
    n_treatment: int,
    *,
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
) -> Interval:
    """Wald's with a success and a failure added to both arms (Agresti & Caffo); arguments, result and errors as `difference_interval`."""
    counts = successes_control, n_control, successes_treatment, n_treatment
    return difference_interval(*counts, method="agresti-caffo", alpha=alpha, alternative=alternative)


def wald_interval(
    successes_control: int,
    n_control: int,
    successes_treatment: int,
    n_treatment: int,
    *,
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
) -> Interval:
    """The unpooled interval at the observed rates; arguments, result and errors as `difference_interval`."""
    counts = successes_control, n_control, successes_treatment, n_treatment
    return difference_interval(*counts, method="wald", alpha=alpha, alternative=alternative)


def _wilson_low(successes: int, n: int, z: float) -> float:
    return wilson_low(_array(successes), _array(n), _array(z)).item()


def _one_sided(ends: tuple[float, float], alternative: Alternative) -> Interval:
    low, high = ends
    return Interval(low=-np.inf if alternative == "less" else low, high=np.inf if alternative == "greater" else high)


def _array(value: ArrayLike) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.asarray(value, dtype=np.float64)


def _check_counts(successes: int, n: int) -> None:
    if not (np.isfinite(n) and successes == int(successes) and n == int(n) and 0 <= successes <= n):
        raise UsageError(f"Counts must be whole numbers with successes in 0..n, got {successes} of {n}.", hint="Pass counts, not rates.")
    if n == 0:
        raise DataError("A rate needs at least one unit, got none.", code="empty_arm")
