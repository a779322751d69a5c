"""Corrections for testing several hypotheses, and the level at which each interval then stands.

| method                | controls, under                                        |
| --------------------- | ------------------------------------------------------ |
| `bonferroni`, `holm`  | family-wise error, any dependence                      |
| `sidak`, `holm-sidak` | family-wise error, independence                        |
| `hochberg`, `hommel`  | family-wise error, positive dependence                 |
| `benjamini-hochberg`  | false discovery rate, positive dependence              |
| `benjamini-yekutieli` | false discovery rate, any dependence                   |

Bonferroni's and Sidak's intervals are simultaneous: they stand at one level. A
stepwise method has no such intervals; ours stand at the local level
`alpha * p / p_adjusted`, at which an interval leaves the null out exactly when
`p_adjusted < alpha`. They agree with the decision; their coverage is each one's own.

References: Holm (1979), Scandinavian Journal of Statistics 6, 65-70; Hochberg
(1988), Biometrika 75, 800-802; Hommel (1988), Biometrika 75, 383-386; Sidak
(1967), JASA 62, 626-633; Benjamini & Hochberg (1995), JRSS B 57, 289-300;
Benjamini & Yekutieli (2001), Annals of Statistics 29, 1165-1188.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairtrial.errors import UnknownNameError, UsageError
from fairtrial.stats.result import check_alpha

Floats = NDArray[np.float64]

Method = Literal["none", "bonferroni", "sidak", "holm", "holm-sidak", "hochberg", "hommel", "benjamini-hochberg", "benjamini-yekutieli"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Adjusted:
    """Corrected p-values of families of hypotheses, and the levels of their intervals.

    Attributes:
        p_adjusted: Corrected p-values in [0, 1], shaped as the p-values given; a hypothesis
            is rejected at `alpha` when its corrected p-value lies below it.
        local_alpha: Error rates in (0, 1) of the hypotheses' own intervals, of the same shape:
            `p < local_alpha` exactly when `p_adjusted < alpha`.
        simultaneous: Whether the intervals at these levels hold all at once.
    """

    p_adjusted: Floats
    local_alpha: Floats
    simultaneous: bool


def adjust(p_values: ArrayLike, method: Method, *, alpha: float = 0.05) -> Adjusted:
    """Correct p-values for the number of hypotheses in their family.

    Args:
        p_values: p-values in [0, 1], shape (..., k): each run along the last axis is a family.
        method: The correction.
        alpha: Error rate of the family, in (0, 1).

    Returns:
        The corrected p-values and local levels, of the same shape.

    Raises:
        UsageError: A p-value is NaN or outside [0, 1] (leave out what could not be tested), there is
            no axis, or `alpha` lies outside (0, 1).
        UnknownNameError: No such method.
    """
    check_alpha(alpha)
    if method not in get_args(Method):
        raise UnknownNameError.among("correction", method, get_args(Method))
    p = _checked(p_values)
    k = p.shape[-1]
    if k == 0 or method == "none":
        return Adjusted(p_adjusted=p.copy(), local_alpha=np.full_like(p, alpha), simultaneous=k == 1)
    adjusted = np.minimum(_ADJUST[method](p), 1.0)
    match method:
        case "bonferroni":
            local = np.full_like(p, alpha / k)
        case "sidak":
            local = np.full_like(p, -np.expm1(np.log1p(-alpha) / k))
        case _:
            local = _local(p, adjusted, alpha, k)
    return Adjusted(p_adjusted=adjusted, local_alpha=local, simultaneous=method in {"bonferroni", "sidak"} or k == 1)


def adjust_weighted_bonferroni(p_values: ArrayLike, weights: ArrayLike, *, alpha: float = 0.05) -> Adjusted:
    """Bonferroni's correction with the error rate shared out by weight (Holm 1979, section 3).

    Args:
        p_values: p-values in [0, 1], shape (..., k).
        weights: Shares of the error rate, shape (k,), > 0; they are divided by their sum.
        alpha: Error rate of the family, in (0, 1).

    Returns:
        p / weight, and the levels alpha * weight, whose intervals are simultaneous.

    Raises:
        UsageError: A p-value, a weight or `alpha` breaks its rule.
    """
    check_alpha(alpha)
    p, share = _checked(p_values), np.asarray(weights, dtype=np.float64)
    if share.shape != p.shape[-1:] or not (np.isfinite(share) & (share > 0.0)).all():
        raise UsageError(f"Each of {p.shape[-1]} hypotheses needs a weight > 0, got {weights}.")
    share = share / share.sum()
    return Adjusted(p_adjusted=np.minimum(p / share, 1.0), local_alpha=np.broadcast_to(alpha * share, p.shape), simultaneous=True)


def adjust_fixed_sequence(p_values: ArrayLike) -> Floats:
    """Corrected p-values of hypotheses tested in a declared order until the first is not rejected.

    Args:
        p_values: p-values in [0, 1] in the declared order, shape (..., k).

    Returns:
        The largest p-value up to each hypothesis, of the same shape.

    Raises:
        UsageError: A p-value is NaN or outside [0, 1].

    References:
        Maurer, Hothorn & Lehmacher (1995), in Biometrie in der chemisch-pharmazeutischen Industrie 6, 3-18.
    """
    return np.maximum.accumulate(_checked(p_values), axis=-1)


def _checked(p_values: ArrayLike) -> Floats:
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim == 0 or not ((p >= 0.0) & (p <= 1.0)).all():
        raise UsageError(
            f"p-values must be arrays of numbers in [0, 1], got {p_values}.", hint="Leave out hypotheses that could not be tested."
        )
    return p


def _local(p: Floats, adjusted: Floats, alpha: float, k: int) -> Floats:
    """Local level alpha p / p_adjusted; alpha / k where the ratio says nothing (p = 0) or the cap of 1 hides it.

    At the cap the level must not exceed p itself, which the division by k alone would not ensure
    for Benjamini & Yekutieli, whose factor is larger than k.
    """
    ratio = np.divide(p, adjusted, out=np.full_like(p, 1.0 / k), where=p > 0.0)
    return alpha * np.where(adjusted < 1.0, ratio, np.minimum(1.0 / k, p))


def _bonferroni(p: Floats) -> Floats:
    return p.shape[-1] * p


def _sidak(p: Floats) -> Floats:
    return _any_of(p, p.shape[-1])


def _holm(p: Floats) -> Floats:
    return _stepwise(p, lambda p, left: np.maximum.accumulate(left * p, axis=-1))


def _holm_sidak(p: Floats) -> Floats:
    return _stepwise(p, lambda p, left: np.maximum.accumulate(_any_of(p, left), axis=-1))


def _hochberg(p: Floats) -> Floats:
    return _stepwise(p, lambda p, left: _least_from_the_end(left * p))


def _benjamini_hochberg(p: Floats) -> Floats:
    k = p.shape[-1]
    return _stepwise(p, lambda p, left: _least_from_the_end(k / (k + 1.0 - left) * p))


def _benjamini_yekutieli(p: Floats) -> Floats:
    return float(np.sum(1.0 / np.arange(1.0, p.shape[-1] + 1.0))) * _benjamini_hochberg(p)


def _hommel(p: Floats) -> Floats:
    return _stepwise(p, lambda p, _: _hommel_sorted(p))


def _hommel_sorted(p: Floats) -> Floats:
    """Hommel's corrected p-values of sorted ones: the largest Simes p-value among the subsets that hold each.

    For subsets of m hypotheses the least favourable one that holds the i-th takes it and the m - 1 largest
    (Wright 1992, Biometrics 48, 1005-1013, algorithm of section 3).
    """
    k = p.shape[-1]
    worst = np.broadcast_to(np.min(k * p / np.arange(1.0, k + 1.0), axis=-1, keepdims=True), p.shape).copy()
    for m in range(k - 1, 1, -1):
        low, high = p[..., : k - m + 1], p[..., k - m + 1 :]
        simes = np.min(m * high / np.arange(2.0, m + 1.0), axis=-1, keepdims=True)
        of_low = np.minimum(m * low, simes)
        of_high = np.broadcast_to(of_low[..., -1:], high.shape)
        worst = np.maximum(worst, np.concatenate((of_low, of_high), axis=-1))
    return np.maximum(worst, p)


def _stepwise(p: Floats, steps: Callable[[Floats, Floats], Floats]) -> Floats:
    """Apply `steps` to the p-values in increasing order, with the number of hypotheses left at each."""
    order = np.argsort(p, axis=-1, kind="stable")
    left = np.arange(p.shape[-1], 0.0, -1.0)
    in_order = steps(np.take_along_axis(p, order, axis=-1), left)
    adjusted = np.empty_like(p)
    np.put_along_axis(adjusted, order, in_order, axis=-1)
    return adjusted


def _least_from_the_end(values: Floats) -> Floats:
    return np.flip(np.minimum.accumulate(np.flip(values, axis=-1), axis=-1), axis=-1)


def _any_of(p: Floats, count: Floats | int) -> Floats:
    """Probability that the least of `count` independent uniform numbers lies below p: 1 - (1 - p)^count."""
    with np.errstate(divide="ignore"):
        return -np.expm1(count * np.log1p(-p))


_ADJUST: dict[str, Callable[[Floats], Floats]] = {
    "bonferroni": _bonferroni,
    "sidak": _sidak,
    "holm": _holm,
    "holm-sidak": _holm_sidak,
    "hochberg": _hochberg,
    "hommel": _hommel,
    "benjamini-hochberg": _benjamini_hochberg,
    "benjamini-yekutieli": _benjamini_yekutieli,
}
