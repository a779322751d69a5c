"""What a bandit remembers: sufficient statistics of each arm's rewards, which add.

Nothing else is needed to decide or to update, so the state can live in a table (one row
an arm) and be merged from shards or days. Counts, means and centred sums are merged as
in `Moments` (Chan, Golub & LeVeque 1983), but an arm may be empty.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairtrial.errors import DataError, UnknownNameError, UsageError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmRewards:
    """Rewards of one arm.

    Attributes:
        n: Pulls with a known reward, >= 0.
        mean: Mean reward; 0 where there is none.
        m2: Sum of squared deviations from `mean`.
        inverse_weighted: Sum of reward / propensity over the pulls; None where propensities were not kept (EXP3 needs them).
    """

    n: int = 0
    mean: float = 0.0
    m2: float = 0.0
    inverse_weighted: float | None = 0.0

    def __post_init__(self) -> None:
        if self.n < 0:
            raise DataError(f"An arm has no fewer than 0 pulls, got n={self.n}.")
        weighted = 0.0 if self.inverse_weighted is None else self.inverse_weighted
        if not (math.isfinite(self.mean) and math.isfinite(self.m2) and math.isfinite(weighted)):
            raise DataError(f"Rewards must be finite, got mean={self.mean}, m2={self.m2}, inverse_weighted={self.inverse_weighted}.")
        if self.m2 < 0.0:
            raise DataError(f"A centred sum of squares cannot be negative, got m2={self.m2}.")
        if self.n == 0 and (self.mean != 0.0 or self.m2 != 0.0 or weighted != 0.0):
            raise DataError(f"An arm without pulls has no rewards, got mean={self.mean}, m2={self.m2}.")

    def __add__(self, other: ArmRewards) -> ArmRewards:
        n = self.n + other.n
        if n == 0:
            return self if self.inverse_weighted is None else other
        delta = other.mean - self.mean
        share = other.n / n
        known = self.inverse_weighted is not None and other.inverse_weighted is not None
        return ArmRewards(
            n=n,
            mean=self.mean + delta * share,
            m2=self.m2 + other.m2 + delta * delta * self.n * share,
            inverse_weighted=(self.inverse_weighted or 0.0) + (other.inverse_weighted or 0.0) if known else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BanditState:
    """Rewards by arm; states of the same arms add.

    Attributes:
        arms: Names of the arms, unique, two or more.
        rewards: What is known of each, in the same order.
    """

    arms: tuple[str, ...]
    rewards: tuple[ArmRewards, ...]

    def __post_init__(self) -> None:
        if len(self.arms) < 2 or len(set(self.arms)) != len(self.arms):
            raise UsageError(f"A bandit needs two or more arms with names of their own, got {list(self.arms)}.")
        if len(self.rewards) != len(self.arms):
            raise UsageError(f"Every arm needs its rewards, got {len(self.arms)} arms and {len(self.rewards)} rewards.")

    @classmethod
    def empty(cls, arms: Sequence[str]) -> BanditState:
        """The state before the first pull."""
        return cls(arms=tuple(arms), rewards=tuple(ArmRewards() for _ in arms))

    @classmethod
    def from_sums(cls, arms: Sequence[str], pulls: Sequence[int], reward_sums: Sequence[float]) -> BanditState:
        """The state of rewards that are 0 or 1, from pulls and sums of rewards; propensities are unknown.

        Raises:
            UsageError: The lists differ in length, or a sum lies outside 0..pulls.
        """
        if not len(arms) == len(pulls) == len(reward_sums):
            raise UsageError(f"Every arm needs pulls and a sum, got {len(arms)}, {len(pulls)} and {len(reward_sums)}.")
        if any(not 0.0 <= total <= n for n, total in zip(pulls, reward_sums, strict=True)):
            raise UsageError(f"Sums of rewards of 0 or 1 must lie in 0..pulls, got {list(reward_sums)} of {list(pulls)}.")
        means = [total / n if n else 0.0 for n, total in zip(pulls, reward_sums, strict=True)]
        rewards = (
            ArmRewards(n=n, mean=mean, m2=n * mean * (1.0 - mean), inverse_weighted=None if n else 0.0)
            for n, mean in zip(pulls, means, strict=True)
        )
        return cls(arms=tuple(arms), rewards=tuple(rewards))

    @classmethod
    def from_log(cls, arms: Sequence[str], actions: ArrayLike, rewards: ArrayLike, propensities: ArrayLike | None = None) -> BanditState:
        """The state after a log of pulls.

        Args:
            arms: Names of the arms.
            actions: Index of the arm pulled, shape (n,).
            rewards: Its reward, shape (n,).
            propensities: Probability with which it was chosen, in (0, 1], shape (n,); None if not kept.

        Raises:
            UsageError: The lists differ in length, or an index or a propensity is out of range.
            DataError: A reward is not finite.
        """
        index, y = actions_of(actions, len(arms)), rewards_of(rewards)
        if index.shape != y.shape:
            raise UsageError(f"Every pull needs a reward, got {index.size} pulls and {y.size} rewards.")
        weights = None if propensities is None else y / propensities_of(propensities, y.size)
        found: list[ArmRewards] = []
        for arm in range(len(arms)):
            mine = y[index == arm]
            mean = float(mine.mean()) if mine.size else 0.0
            weighted = None if weights is None and mine.size else 0.0 if weights is None else float(weights[index == arm].sum())
            found.append(ArmRewards(n=mine.size, mean=mean, m2=float(((mine - mean) ** 2).sum()), inverse_weighted=weighted))
        return cls(arms=tuple(arms), rewards=tuple(found))

    def __add__(self, other: BanditState) -> BanditState:
        if self.arms != other.arms:
            raise UsageError(f"Only states of the same arms add, got {list(self.arms)} and {list(other.arms)}.")
        return replace(self, rewards=tuple(mine + theirs for mine, theirs in zip(self.rewards, other.rewards, strict=True)))

    def observe(self, arm: str, reward: float, *, propensity: float | None = None) -> BanditState:
        """The state after one more pull.

        Args:
            arm: Name of the arm pulled.
            reward: Its reward.
            propensity: Probability with which it was chosen, in (0, 1]; None if not kept.

        Raises:
            UnknownNameError: No arm has this name.
            UsageError: The propensity lies outside (0, 1].
            DataError: The reward is not finite.
        """
        if arm not in self.arms:
            raise UnknownNameError.among("arm", arm, self.arms)
        place = self.arms.index(arm)
        weighted = None if propensity is None else reward / propensities_of([propensity], 1).item()
        pulled = self.rewards[place] + ArmRewards(n=1, mean=reward, inverse_weighted=weighted)
        return replace(self, rewards=(*self.rewards[:place], pulled, *self.rewards[place + 1 :]))

    @property
    def pulls(self) -> Floats:
        """Pulls by arm, shape (K,)."""
        return np.array([arm.n for arm in self.rewards], dtype=np.float64)

    @property
    def means(self) -> Floats:
        """Mean reward by arm, 0 where there is none, shape (K,)."""
        return np.array([arm.mean for arm in self.rewards])

    @property
    def reward_sums(self) -> Floats:
        """Sum of rewards by arm, shape (K,)."""
        return self.pulls * self.means


def actions_of(actions: ArrayLike, arms: int) -> Integers:
    """Indices of arms as a flat array of integers.

    Raises:
        UsageError: They are not flat, none, or not whole numbers in 0..arms-1.
    """
    index = np.asarray(actions)
    if index.ndim != 1 or index.size == 0:
        raise UsageError(f"Actions must be a flat array of at least one, got shape {index.shape}.")
    as_float = index.astype(np.float64)
    if not ((as_float >= 0) & (as_float < arms) & (np.floor(as_float) == as_float)).all():
        raise UsageError(f"Actions must be whole numbers in 0..{arms - 1}, got {as_float.min():g} to {as_float.max():g}.")
    return index.astype(np.int64)


def rewards_of(rewards: ArrayLike) -> Floats:
    """Rewards as a flat array of doubles.

    Raises:
        DataError: They are not flat, or not all finite.
    """
    y = np.asarray(rewards, dtype=np.float64)
    if y.ndim != 1 or not np.isfinite(y).all():
        raise DataError(f"Rewards must be a flat array of finite numbers, got shape {y.shape}.")
    return y


def propensities_of(propensities: ArrayLike, n: int) -> Floats:
    """Probabilities of the arms pulled as a flat array.

    Raises:
        UsageError: Their number is wrong, or one lies outside (0, 1].
    """
    p = np.asarray(propensities, dtype=np.float64)
    if p.shape != (n,):
        raise UsageError(f"Every pull needs a propensity, got shape {p.shape} for {n} pulls.")
    if not ((p > 0.0) & (p <= 1.0)).all():
        raise UsageError(f"A propensity must lie in (0, 1], got {p.min():g} to {p.max():g}.", hint="An arm that was pulled had a chance.")
    return p
