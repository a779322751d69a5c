"""The smallest interaction that a table could have shown.

A treatment has one effect in each of J arms of another experiment, with variance v_j.
Two arms whose effects lie delta apart, all others at the weighted mean, give the test of
J - 1 degrees of freedom the noncentrality delta^2 / (v_i + v_j) or more. The smallest
delta that is found with the wanted power, whichever two arms differ, therefore belongs
to the two arms measured worst.

References: Cochran (1954), Biometrics 10, 101-129; noncentral chi-square: Johnson,
Kotz & Balakrishnan (1995), chapter 29.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from fairtrial.errors import UsageError
from fairtrial.stats.result import check_alpha


def visible_interaction(variances: ArrayLike, *, alpha: float = 0.05, power: float = 0.8) -> NDArray[np.float64]:
    """Smallest difference between the effects in two arms that the test would have found.

    Args:
        variances: Variance of the effect in each arm, shape (..., J) with J >= 2, in the metric's unit squared.
        alpha: Error rate of the test, in (0, 1).
        power: Chance to find it, in (alpha, 1).

    Returns:
        Shape (...), in the metric's unit.

    Raises:
        UsageError: Fewer than two arms, or a rate outside its range.
    """
    check_alpha(alpha)
    values = np.asarray(variances, dtype=np.float64)
    if values.ndim == 0 or values.shape[-1] < 2:
        raise UsageError(f"An interaction needs the effects of two arms or more, got shape {values.shape}.")
    if not alpha < power < 1.0:
        raise UsageError(f"power must lie in (alpha, 1), got {power:g} with alpha {alpha:g}.")
    worst = np.partition(values, -2, axis=-1)[..., -2:].sum(axis=-1)
    return np.sqrt(_noncentrality(values.shape[-1] - 1, alpha, power) * worst)


@lru_cache(maxsize=256)
def _noncentrality(df: int, alpha: float, power: float) -> float:
    """Noncentrality at which a chi-square test has this power."""
    return float(special.chndtrinc(special.chdtri(df, alpha), df, 1.0 - power))
