"""Policies that explore by a fixed share: epsilon-greedy, and EXP3 for rewards that may change.

References: Sutton & Barto (2018), Reinforcement Learning, section 2.2 (epsilon-greedy);
Auer, Cesa-Bianchi, Freund & Schapire (2002), SIAM Journal on Computing 32, 48-77 (EXP3).
EXP3 assumes rewards in [0, 1] and nothing else; what it keeps of an arm is the sum of
reward / propensity over its pulls, which adds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from fairtrial.errors import UsageError

Floats = NDArray[np.float64]


def epsilon_greedy_probabilities(pulls: ArrayLike, reward_sums: ArrayLike, *, epsilon: float = 0.1) -> Floats:
    """The best arm so far with probability 1 - epsilon, else any arm evenly.

    Args:
        pulls: Pulls by arm, >= 0, shape (K,), K >= 2.
        reward_sums: Sums of rewards by arm, any unit, shape (K,).
        epsilon: Share of exploration, in [0, 1].

    Returns:
        Probabilities, shape (K,). Ties go to the lowest arm; an arm never pulled counts as best.

    Raises:
        UsageError: `epsilon` lies outside [0, 1], or the lists break their rule.

    References:
        Sutton & Barto (2018), section 2.2.
    """
    if not 0.0 <= epsilon <= 1.0:
        raise UsageError(f"epsilon must lie in [0, 1], got {epsilon}.")
    n, total = np.asarray(pulls, dtype=np.float64), np.asarray(reward_sums, dtype=np.float64)
    if n.ndim != 1 or n.shape != total.shape or n.size < 2:
        raise UsageError(f"Two or more arms need pulls and a sum of rewards each, got shapes {n.shape} and {total.shape}.")
    if not (np.isfinite(n) & (n >= 0.0) & np.isfinite(total)).all():
        raise UsageError(f"Pulls must be finite and >= 0 and sums finite, got {n.tolist()} and {total.tolist()}.")
    means = np.where(n > 0.0, total / np.where(n > 0.0, n, 1.0), np.inf)
    probabilities = np.full(n.size, epsilon / n.size)
    probabilities[int(np.argmax(means))] += 1.0 - epsilon
    return probabilities


def exp3_log_weights(inverse_weighted: ArrayLike, *, gamma: float) -> Floats:
    """Logarithms of EXP3's weights: gamma / K times the sum of reward / propensity, arm by arm.

    Args:
        inverse_weighted: Sums of reward / propensity by arm, shape (K,), K >= 2.
        gamma: Share of even exploration, in (0, 1].

    Raises:
        UsageError: `gamma` lies outside (0, 1], or the sums break their rule.

    References:
        Auer et al. (2002), figure 1.
    """
    if not 0.0 < gamma <= 1.0:
        raise UsageError(f"gamma must lie in (0, 1], got {gamma}.")
    totals = np.asarray(inverse_weighted, dtype=np.float64)
    if totals.ndim != 1 or totals.size < 2 or not np.isfinite(totals).all():
        raise UsageError(f"Two or more arms need a finite sum each, got {totals.tolist()}.")
    return gamma / totals.size * totals


def exp3_probabilities(inverse_weighted: ArrayLike, *, gamma: float) -> Floats:
    """EXP3's propensities: (1 - gamma) w_i / sum of w + gamma / K.

    Args:
        inverse_weighted: Sums of reward / propensity by arm, shape (K,), K >= 2.
        gamma: Share of even exploration, in (0, 1].

    Raises:
        UsageError: As `exp3_log_weights`.

    References:
        Auer et al. (2002), figure 1.
    """
    logs = exp3_log_weights(inverse_weighted, gamma=gamma)
    return (1.0 - gamma) * np.asarray(special.softmax(logs)) + gamma / logs.size
