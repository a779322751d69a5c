"""Importance weights of a log: how much of it speaks about another policy, and where it cannot.

A row's weight is the target policy's probability of the action over the logged propensity.
Its mean is 1 if the propensities are right, so a mean far from 1 says that they are not (or
that actions the target plays were never possible). The effective sample size
(sum w)^2 / sum w^2 says how many rows of the target policy's own log the weighted one is worth.

References: Kish (1965), Survey Sampling, section 8.2; Owen (2013), Monte Carlo theory,
methods and examples, chapter 9.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairtrial.bandits.state import Integers, actions_of, propensities_of, rewards_of
from fairtrial.errors import NotEnoughDataError, UsageError
from fairtrial.stats.tails import p_value_of

Floats = NDArray[np.float64]

FEW = 100.0
"""An effective sample size below this does not carry a normal interval."""
HEAVY = 0.25
"""More than this share of all weight on the largest hundredth of rows, and the estimate hangs on few of them."""
SUM_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ActionLog:
    """Logged pulls with the propensity of the arm that was pulled.

    Attributes:
        actions: Indices of arms, shape (n,).
        rewards: Their rewards, shape (n,).
        propensities: Probability with which each was chosen, in (0, 1], shape (n,).
        arms: Number of arms K.
    """

    actions: Integers
    rewards: Floats
    propensities: Floats
    arms: int

    @classmethod
    def of(cls, actions: ArrayLike, rewards: ArrayLike, propensities: ArrayLike, *, arms: int) -> ActionLog:
        """A log, checked.

        Raises:
            UsageError: Lengths differ, an action is out of range, or a propensity lies outside (0, 1].
            DataError: A reward is not finite.
            NotEnoughDataError: There are fewer than two rows.
        """
        index, y = actions_of(actions, arms), rewards_of(rewards)
        if index.size != y.size:
            raise UsageError(f"Every action needs a reward, got {index.size} and {y.size}.")
        if y.size < 2:
            raise NotEnoughDataError("A log needs at least two rows, got one.", code="too_few_rows")
        return cls(actions=index, rewards=y, propensities=propensities_of(propensities, y.size), arms=arms)

    @property
    def n(self) -> int:
        """Rows."""
        return self.rewards.size

    def target(self, policy: ArrayLike) -> Floats:
        """A target policy as an array of shape (n, K).

        Args:
            policy: Probabilities of the arms, one row for all, shape (K,), or one a row, shape (n, K).

        Raises:
            UsageError: Its shape is another, or a row does not sum to 1.
        """
        pi = np.asarray(policy, dtype=np.float64)
        if pi.shape not in {(self.arms,), (self.n, self.arms)}:
            raise UsageError(f"A target policy has shape {(self.arms,)} or {(self.n, self.arms)}, got {pi.shape}.")
        if not ((pi >= 0.0) & (pi <= 1.0)).all() or (np.abs(pi.sum(axis=-1) - 1.0) > SUM_TOLERANCE).any():
            raise UsageError("A target policy's probabilities must lie in [0, 1] and sum to 1 in every row.")
        return np.broadcast_to(pi, (self.n, self.arms))

    def weights(self, policy: ArrayLike) -> Floats:
        """Target probability over logged propensity of each row's action, shape (n,).

        Raises:
            UsageError: As `target`.
        """
        return self.target(policy)[np.arange(self.n), self.actions] / self.propensities


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightDiagnostics:
    """Whether a log can answer for a target policy.

    Attributes:
        n: Rows.
        effective_sample_size: (sum w)^2 / sum w^2, at most `n`; 0 where all weights are.
        mean_weight: Near 1 if the logged propensities are right.
        mean_weight_p_value: Two-sided, of a mean of 1; None where the weights do not vary.
        max_weight: The largest.
        top_share: Share of all weight that the largest hundredth of rows carries, in [0, 1].
        smallest_propensity: Of the log.
        unseen_arms: Arms that the target plays and the log never has: nothing is known of them.
        concerns: Stable codes of what a reader must know: `few_effective_rows`, `heavy_weights`, `mean_weight_off`,
            `unseen_arms`.
    """

    n: int
    effective_sample_size: float
    mean_weight: float
    mean_weight_p_value: float | None
    max_weight: float
    top_share: float
    smallest_propensity: float
    unseen_arms: tuple[int, ...]
    concerns: tuple[str, ...]


def effective_sample_size(weights: ArrayLike) -> float:
    """(sum w)^2 / sum w^2 of weights >= 0; 0 where all are 0.

    Raises:
        UsageError: The weights are none, negative or not finite.

    References:
        Kish (1965), section 8.2.
    """
    w = np.asarray(weights, dtype=np.float64)
    if w.size == 0 or not (np.isfinite(w) & (w >= 0.0)).all():
        raise UsageError("Weights must be at least one, finite and >= 0.")
    largest = float(w.max())
    if largest == 0.0:
        return 0.0
    scaled = w / largest
    return float(scaled.sum() ** 2 / np.square(scaled).sum())


def diagnose_weights(log: ActionLog, policy: ArrayLike) -> WeightDiagnostics:
    """Overlap of a log with a target policy.

    Args:
        log: The logged pulls.
        policy: Target probabilities, shape (K,) or (n, K).

    Raises:
        UsageError: As `ActionLog.target`.
    """
    target = log.target(policy)
    w = log.weights(policy)
    ess, mean, sd = effective_sample_size(w), float(w.mean()), float(w.std(ddof=1))
    p_value = p_value_of((mean - 1.0) / (sd / math.sqrt(log.n)), math.inf).item() if sd > 0.0 else None
    top = np.sort(w)[-max(1, math.ceil(log.n / 100)) :]
    total = float(w.sum())
    played = np.flatnonzero(target.max(axis=0) > 0.0)
    unseen = tuple(int(arm) for arm in played if not (log.actions == arm).any())
    top_share = float(top.sum()) / total if total > 0.0 else 0.0
    concerns = {
        "few_effective_rows": ess < FEW,
        "heavy_weights": top_share > HEAVY,
        "mean_weight_off": p_value is not None and p_value < 0.001,
        "unseen_arms": bool(unseen),
    }
    return WeightDiagnostics(
        n=log.n,
        effective_sample_size=ess,
        mean_weight=mean,
        mean_weight_p_value=p_value,
        max_weight=float(w.max()),
        top_share=top_share,
        smallest_propensity=float(log.propensities.min()),
        unseen_arms=unseen,
        concerns=tuple(code for code, present in concerns.items() if present),
    )
