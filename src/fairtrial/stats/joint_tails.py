"""Tails of the largest of several correlated t statistics, and of the studentised range, by exact integration.

Statistics T_i = (l_i X + sqrt(1 - l_i^2) Z_i) / S, with X and Z_i independent
standard normal and S the root of chi-square / df, have correlations l_i l_j.
Comparisons of several arms with one control are of this form whatever the arms'
sizes. Given X and S they are independent, so the chance that one exceeds c is an
integral over X and S alone (Dunnett 1955, equation 6). Both integrals are taken
by the trapezoidal rule with steps fitted to the integrand's width, where its
error falls off faster than any power of the step.

What is integrated is the tail itself, 1 - prod(1 - tail_i) by `log1p` and
`expm1`, never one minus an integral: p-values keep their digits down to 1e-300.

References: Dunnett (1955), JASA 50, 1096-1121; Dunnett & Sobel (1955), Biometrika
42, 258-260 (product correlations); Hochberg & Tamhane (1987), Multiple Comparison
Procedures, appendix 3; Trefethen & Weideman (2014), SIAM Review 56, 385-458.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from fairtrial.errors import DataError, UsageError
from fairtrial.stats.roots import solve_increasing

Floats = NDArray[np.float64]
Tail = Callable[[Floats], Floats]

_REACH = 8.5
_FAR = 60.0
"""No normal value lies beyond this with a probability that a double can hold."""
_LOG_NOTHING = 40.0


def max_t_tail(statistic: float, loadings: ArrayLike, *, df: float = math.inf, two_sided: bool = True) -> float:
    """P(max T_i > statistic), or of |T_i|, for t statistics with correlations l_i l_j.

    Args:
        statistic: The threshold; above 0 when two-sided.
        loadings: The l_i in (-1, 1), shape (k,); sqrt(1/2) each for arms as large as their control.
        df: Degrees of freedom >= 1 of the common standard error; `inf` for normal statistics.
        two_sided: Whether absolute values are compared.

    Returns:
        A probability in [0, 1], to a relative error of about 1e-10.

    Raises:
        UsageError: A loading lies outside (-1, 1), `df` is below 1, or `statistic` is not finite.

    References:
        Dunnett (1955), equation 6.
    """
    load = check_loadings(loadings)
    _check_statistic(statistic, df)
    if two_sided and statistic <= 0.0:
        return 1.0
    return _mixed(lambda points: _max_tail(points, load, two_sided=two_sided), statistic, df, most=load.size * (1.0 + two_sided))


def max_t_quantile(alpha: float, loadings: ArrayLike, *, df: float = math.inf, two_sided: bool = True) -> float:
    """The threshold that the largest of several correlated t statistics exceeds with probability `alpha`.

    Args:
        alpha: Probability in (0, 1).
        loadings: See `max_t_tail`.
        df: Degrees of freedom >= 1; `inf` for normal statistics.
        two_sided: Whether absolute values are compared.

    Returns:
        The quantile, to a relative error of about 1e-10.

    Raises:
        UsageError: An argument lies outside its range.
    """
    load = check_loadings(loadings)
    return _quantile(lambda c: max_t_tail(c, load, df=df, two_sided=two_sided), alpha, df, load.size * (1.0 + two_sided))


def studentised_range_tail(statistic: float, groups: int, *, df: float = math.inf) -> float:
    """P(Q > statistic) of the studentised range of several independent means.

    Args:
        statistic: Range over the standard error of one mean, >= 0.
        groups: How many means, >= 2.
        df: Degrees of freedom >= 1 of the standard error; `inf` where it is known.

    Returns:
        A probability in [0, 1].

    Raises:
        UsageError: An argument lies outside its range.

    References:
        Tukey (1953); Hochberg & Tamhane (1987), equation 1.8 of chapter 3.
    """
    _check_groups(groups)
    _check_statistic(statistic, df)
    if statistic <= 0.0:
        return 1.0
    return _mixed(lambda points: _range_tail(points, groups), statistic, df, most=groups * (groups - 1.0))


def studentised_range_quantile(alpha: float, groups: int, *, df: float = math.inf) -> float:
    """The value that the studentised range exceeds with probability `alpha`.

    Args:
        alpha: Probability in (0, 1).
        groups: How many means, >= 2.
        df: Degrees of freedom >= 1; `inf` where the standard error is known.

    Returns:
        The quantile.

    Raises:
        UsageError: An argument lies outside its range.
    """
    _check_groups(groups)
    root = math.sqrt(2.0)
    return root * _quantile(lambda c: studentised_range_tail(root * c, groups, df=df), alpha, df, groups * (groups - 1.0))


def check_loadings(loadings: ArrayLike) -> Floats:
    """The loadings as an array, or an error when they are none.

    Raises:
        UsageError: They are not a flat array of numbers in (-1, 1).
    """
    load = np.asarray(loadings, dtype=np.float64)
    if load.ndim != 1 or load.size == 0 or not (np.abs(load) < 1.0).all():
        raise UsageError(f"Loadings must be one number in (-1, 1) a comparison, got {loadings}.")
    return load


def _check_groups(groups: int) -> None:
    if groups < 2:
        raise UsageError(f"A range needs at least two groups, got {groups}.")


def _check_df(df: float) -> None:
    if not df >= 1.0 - 1e-9:
        raise UsageError(f"Degrees of freedom must be at least 1, got {df}.")


def _check_statistic(statistic: float, df: float) -> None:
    _check_df(df)
    if not math.isfinite(statistic):
        raise UsageError(f"A statistic must be a finite number, got {statistic}.")


def _mixed(tail: Tail, statistic: float, df: float, *, most: float) -> float:
    """Mean of `tail(statistic * S)` over S, the root of chi-square / df."""
    if math.isinf(df):
        return min(1.0, float(tail(np.clip([statistic], -_FAR, _FAR))[0]))
    logs, weights = _log_chi(df, statistic, most)
    return min(1.0, float(weights @ tail(np.clip(statistic * np.exp(logs), -_FAR, _FAR))))


def _log_chi(df: float, statistic: float, most: float) -> tuple[Floats, Floats]:
    """Points and weights of the trapezoidal rule for u = log S, whose density is e^(df (u - expm1(2u) / 2)) over a constant.

    The tail shifts the integrand's bulk down, to about u = -log(1 + c^2 / df) / 2, as it does in Student's t.
    """
    bulk = -math.log(math.hypot(1.0, statistic / math.sqrt(df))) if statistic > 0.0 else 0.0
    width = 1.0 / math.sqrt(2.0 * df)
    low = bulk - max(12.0 * width, (_LOG_NOTHING + math.log(most)) / df)
    beyond = 2.0 * _LOG_NOTHING / df
    high = 0.5 * math.log1p(beyond + math.sqrt(2.0 * beyond))
    step = min(0.1, 0.4 * width)
    u = np.linspace(low, high, math.ceil((high - low) / step) + 1)
    # exp(z) (z e^-1)^-z Gamma(z) / 2 with z = df / 2, in Stirling's form where Gamma itself would lose digits.
    z = 0.5 * df
    if z > 100.0:
        log_constant = 0.5 * math.log(2.0 * math.pi / z) + 1.0 / (12.0 * z) - 1.0 / (360.0 * z**3) - math.log(2.0)
    else:
        log_constant = math.lgamma(z) + z - z * math.log(z) - math.log(2.0)
    weights = np.exp(df * (u - 0.5 * np.expm1(2.0 * u)) - log_constant) * (u[1] - u[0])
    return u, weights


def _max_tail(points: Floats, load: Floats, *, two_sided: bool) -> Floats:
    """P(max of normal statistics > point), shape of `points`."""
    alike, counts = np.unique(load, return_counts=True)
    spread = np.sqrt((1.0 - alike) * (1.0 + alike))
    reach = _REACH + float(np.abs(load).max()) * float(np.abs(points).max())
    step = min(0.35, float(spread.min()) / (1.6 * math.sqrt(load.size)))
    x = np.linspace(-reach, reach, 2 * math.ceil(reach / step) + 1)
    density = np.exp(-0.5 * x * x) * ((x[1] - x[0]) / math.sqrt(2.0 * math.pi))
    none = np.zeros((points.size, x.size))
    for own, rest, count in zip(alike.tolist(), spread.tolist(), counts.tolist(), strict=True):
        tail = _normal((own * x - points[:, None]) / rest)
        if two_sided:
            tail += _normal((-own * x - points[:, None]) / rest)
        with np.errstate(divide="ignore"):
            none += count * np.log1p(-np.minimum(tail, 1.0))
    return np.minimum(-np.expm1(none) @ density, 1.0)


def _range_tail(points: Floats, groups: int) -> Floats:
    """P(range of `groups` normal values > point): k times the mean over the least value of a^(k-1) - (a - b)^(k-1)."""
    reach = _REACH + float(points.max())
    step = 0.35 / math.sqrt(groups)
    x = np.linspace(-reach, _REACH, math.ceil((reach + _REACH) / step) + 1)
    density = np.exp(-0.5 * x * x) * ((x[1] - x[0]) / math.sqrt(2.0 * math.pi))
    above, beyond = _normal(-x), _normal(-(x + points[:, None]))
    with np.errstate(divide="ignore"):
        lost = -np.expm1((groups - 1.0) * np.log1p(-np.minimum(beyond / above, 1.0)))
    return np.minimum(groups * ((above ** (groups - 1.0)) * lost) @ density, 1.0)


def _normal(x: Floats) -> Floats:
    return np.asarray(special.ndtr(x), dtype=np.float64)


def _quantile(tail: Callable[[float], float], alpha: float, df: float, most: float) -> float:
    """Root of log tail = log alpha, between the quantile of one statistic and Bonferroni's."""
    if not 0.0 < alpha < 1.0:
        raise UsageError(f"alpha must lie in (0, 1), got {alpha}.")
    _check_df(df)
    bounds = [float(-special.ndtri(p) if math.isinf(df) else -special.stdtrit(df, p)) for p in (alpha, alpha / most)]
    if not all(math.isfinite(bound) for bound in bounds):
        raise DataError(f"The critical value at alpha={alpha} and df={df} is too large to compute.", code="not_finite")
    low, high = np.array([bounds[0]]), np.array([bounds[1]])

    def missing(c: Floats) -> Floats:
        found = tail(float(c[0]))
        return np.array([math.log(alpha) - math.log(found) if found > 0.0 else math.inf])

    return float(solve_increasing(missing, low, high, 0.5 * (low + high), slope=max(bounds[1], 1.0))[0])
