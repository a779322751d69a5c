"""Regret: what was lost by not playing the best arm, when the arms' true means are known (in simulation).

Reference: Lai & Robbins (1985), Advances in Applied Mathematics 6, 4-22; Auer,
Cesa-Bianchi & Fischer (2002), Machine Learning 47, 235-256, equation 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairtrial.bandits.state import actions_of
from fairtrial.errors import UsageError

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Regret:
    """Pseudo-regret along the pulls.

    Attributes:
        cumulative: After each pull, shape (n,).
        total: After the last.
    """

    cumulative: Floats
    total: float


def pseudo_regret(true_means: ArrayLike, actions: ArrayLike) -> Regret:
    """Sum of gaps between the best arm's true mean and the pulled arms'.

    Args:
        true_means: Mean reward by arm, shape (K,), K >= 2.
        actions: Index of the arm pulled, shape (n,), n >= 1.

    Raises:
        UsageError: The means are fewer than two or not finite, or an action is out of range.

    References:
        Auer, Cesa-Bianchi & Fischer (2002), equation 1.
    """
    means = np.asarray(true_means, dtype=np.float64)
    if means.ndim != 1 or means.size < 2 or not np.isfinite(means).all():
        raise UsageError(f"Two or more arms need a finite true mean each, got {means.tolist()}.")
    gaps = means.max() - means[actions_of(actions, means.size)]
    cumulative = np.cumsum(gaps)
    return Regret(cumulative=cumulative, total=float(cumulative[-1]))
