"""From what a policy wants to the shares that are played: a floor for every arm, and small steps.

A floor keeps each arm's propensity away from 0, which every later estimate divides by; a
largest step keeps one batch of strange data from moving everyone.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairtrial.errors import UsageError

Floats = NDArray[np.float64]
FloorRule = Literal["mix", "raise"]
"""`mix`: floor + (1 - K floor) p, every arm gives something. `raise`: lift arms below the floor to it, the others pay in proportion."""

SUM_TOLERANCE = 1e-9


def shares_of(probabilities: ArrayLike) -> Floats:
    """Probabilities as an array, checked, brought to sum to 1 exactly.

    Args:
        probabilities: One an arm, >= 0, summing to 1, shape (K,), K >= 2.

    Raises:
        UsageError: They are fewer than two, negative, not finite, or do not sum to 1.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim != 1 or p.size < 2 or not (np.isfinite(p) & (p >= 0.0)).all() or abs(float(p.sum()) - 1.0) > SUM_TOLERANCE:
        raise UsageError(f"Two or more shares must be >= 0 and sum to 1, got {p.tolist()}.")
    return p / p.sum()


def with_floor(probabilities: ArrayLike, *, floor: float, rule: FloorRule = "mix") -> Floats:
    """Shares with at least `floor` for each arm.

    Args:
        probabilities: What the policy wants, >= 0, summing to 1, shape (K,).
        floor: Smallest share of an arm, in [0, 1 / K].
        rule: How the floor is met.

    Raises:
        UsageError: The shares break a rule, the floor is negative or above 1 / K, or the rule is another word.
    """
    p = shares_of(probabilities)
    if not 0.0 <= floor <= (1.0 + 1e-12) / p.size:
        raise UsageError(f"A floor for {p.size} arms must lie in [0, {1.0 / p.size:g}], got {floor}.")
    if rule == "mix":
        return floor + max(0.0, 1.0 - p.size * floor) * p
    if rule != "raise":
        raise UsageError(f"rule must be 'mix' or 'raise', got {rule!r}.")
    lifted = np.zeros(p.size, dtype=np.bool_)
    while True:  # an arm that pays may fall below the floor itself; each round lifts one at least
        rest, free = 1.0 - floor * int(lifted.sum()), float(p[~lifted].sum())
        shares = np.where(lifted | (free <= 0.0), floor, p * (rest / free if free > 0.0 else 0.0))
        below = ~lifted & (shares < floor)
        if not below.any():
            return shares / shares.sum()
        lifted |= below


def limit_step(target: ArrayLike, previous: ArrayLike, *, max_step: float) -> Floats:
    """As far from the previous shares towards the target as the largest step allows.

    Args:
        target: Shares wanted, shape (K,).
        previous: Shares played so far, shape (K,).
        max_step: Most that any arm's share may change, in (0, 1].

    Returns:
        previous + t (target - previous) with the largest t <= 1; a floor that both keep is kept.

    Raises:
        UsageError: Shares break their rule, differ in number, or the step lies outside (0, 1].
    """
    if not 0.0 < max_step <= 1.0:
        raise UsageError(f"max_step must lie in (0, 1], got {max_step}.")
    wanted, before = shares_of(target), shares_of(previous)
    if wanted.size != before.size:
        raise UsageError(f"Target and previous shares need the same arms, got {wanted.size} and {before.size}.")
    change = wanted - before
    largest = float(np.abs(change).max())
    return wanted if largest <= max_step else before + change * (max_step / largest)


def allocate(
    probabilities: ArrayLike,
    *,
    floor: float = 0.0,
    rule: FloorRule = "mix",
    previous: ArrayLike | None = None,
    max_step: float | None = None,
) -> Floats:
    """The shares to play next: the policy's wish, floored, then limited in its step.

    Args:
        probabilities: What the policy wants, shape (K,).
        floor: Smallest share of an arm, in [0, 1 / K].
        rule: How the floor is met.
        previous: Shares played so far; with `max_step`.
        max_step: Most that any arm's share may change, in (0, 1]; None for no limit.

    Raises:
        UsageError: An option breaks its rule, or only one of `previous` and `max_step` came.
    """
    wanted = with_floor(probabilities, floor=floor, rule=rule)
    if (previous is None) != (max_step is None):
        raise UsageError("previous and max_step go together, got one of them.")
    return wanted if previous is None or max_step is None else limit_step(wanted, previous, max_step=max_step)
