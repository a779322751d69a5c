"""Optimistic indices: UCB1 and KL-UCB. The arm with the largest index is played; an index is not a share.

Both take rewards in [0, 1] and add to an arm's mean what it could still be. An arm never
pulled has an infinite index: it comes first. They are deterministic, so the log of an
index policy alone does not allow inverse-propensity estimates; play them with a floor.

References: Auer, Cesa-Bianchi & Fischer (2002), Machine Learning 47, 235-256 (UCB1);
Garivier & Cappe (2011), COLT, JMLR W&CP 19, 359-376 (KL-UCB).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from fairtrial.errors import UsageError

Floats = NDArray[np.float64]

BISECTIONS = 90
"""Halvings of [mean, 1]: to the last digit of rates of 1e-9 too."""


def ucb1_index(pulls: ArrayLike, reward_sums: ArrayLike) -> Floats:
    """UCB1: mean + sqrt(2 ln(total pulls) / pulls).

    Args:
        pulls: Pulls by arm, >= 0, shape (K,), K >= 2.
        reward_sums: Sums of rewards in [0, 1] by arm, shape (K,).

    Returns:
        Indices, shape (K,); infinite for an arm never pulled.

    Raises:
        UsageError: The lists differ in length, hold fewer than two arms, or a sum lies outside 0..pulls.

    References:
        Auer, Cesa-Bianchi & Fischer (2002), figure 1.
    """
    n, total = pulls_and_sums(pulls, reward_sums)
    played = n > 0.0
    safe = np.where(played, n, 1.0)
    spread = np.sqrt(2.0 * math.log(max(1.0, float(n.sum()))) / safe)
    return np.where(played, total / safe + spread, np.inf)


def kl_ucb_index(pulls: ArrayLike, reward_sums: ArrayLike, *, c: float = 0.0) -> Floats:
    """KL-UCB: the largest q with pulls KL(mean, q) <= ln t + c ln ln t, KL that of two Bernoulli rates.

    Args:
        pulls: Pulls by arm, >= 0, shape (K,), K >= 2.
        reward_sums: Sums of rewards in [0, 1] by arm, shape (K,).
        c: Weight of ln ln t, >= 0; the proof takes 3, the authors advise 0.

    Returns:
        Indices in [0, 1], shape (K,); infinite for an arm never pulled.

    Raises:
        UsageError: `c` is negative, or as `ucb1_index`.

    References:
        Garivier & Cappe (2011), algorithm 1.
    """
    if not (math.isfinite(c) and c >= 0.0):
        raise UsageError(f"c must be >= 0, got {c}.")
    n, total = pulls_and_sums(pulls, reward_sums)
    played = n > 0.0
    t = float(n.sum())
    level = math.log(t) + c * max(0.0, math.log(math.log(t))) if t > 1.0 else 0.0
    safe = np.where(played, n, 1.0)
    mean = np.minimum(total / safe, 1.0)
    low, high = mean.copy(), np.ones_like(mean)
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        inside = safe * _divergence(mean, middle) <= level
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return np.where(played, low, np.inf)


def pulls_and_sums(pulls: ArrayLike, reward_sums: ArrayLike) -> tuple[Floats, Floats]:
    """Pulls and sums of rewards in [0, 1] as arrays.

    Raises:
        UsageError: The lists differ in length, hold fewer than two arms, or a sum lies outside 0..pulls.
    """
    n, total = np.asarray(pulls, dtype=np.float64), np.asarray(reward_sums, dtype=np.float64)
    if n.ndim != 1 or n.shape != total.shape or n.size < 2:
        raise UsageError(f"Two or more arms need pulls and a sum of rewards each, got shapes {n.shape} and {total.shape}.")
    if not (np.isfinite(n) & (n >= 0.0)).all():
        raise UsageError(f"Pulls must be finite and >= 0, got {n.tolist()}.")
    if not ((total >= 0.0) & (total <= n * (1.0 + 1e-12))).all():
        raise UsageError(
            f"Sums of rewards must lie in 0..pulls, got {total.tolist()} of {n.tolist()}.", hint="Bring rewards to [0, 1] first."
        )
    return n, total


def _divergence(p: Floats, q: Floats) -> Floats:
    """Kullback-Leibler divergence of Bernoulli rates, q >= p."""
    with np.errstate(divide="ignore"):
        return np.asarray(special.rel_entr(p, q) + special.xlog1py(1.0 - p, -p) - special.xlog1py(1.0 - p, -q))
