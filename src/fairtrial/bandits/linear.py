"""Contextual bandits with one linear model an arm: disjoint LinUCB and linear Thompson sampling.

An arm keeps X'X and X'y of its pulls, which add, so its state is a table row too. With
A = lambda I + X'X the ridge estimate is A^-1 X'y; LinUCB adds alpha sqrt(x' A^-1 x), and
linear Thompson sampling takes theta ~ N(A^-1 X'y, s2 A^-1). No intercept is added: put a
1 into the context for one.

References: Li, Chu, Langford & Schapire (2010), WWW '10, algorithm 1; Agrawal & Goyal
(2013), ICML, JMLR W&CP 28, 127-135.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairtrial.bandits.posteriors import NormalPosteriors
from fairtrial.bandits.state import actions_of, rewards_of
from fairtrial.errors import DataError, UsageError

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LinearArm:
    """What a linear model keeps of one arm's pulls.

    Attributes:
        n: Pulls.
        gram: X'X of their contexts, shape (d, d).
        response: X'y, shape (d,).
    """

    n: int
    gram: Floats
    response: Floats

    def __post_init__(self) -> None:
        d = self.response.size
        if self.response.ndim != 1 or d == 0 or self.gram.shape != (d, d):
            raise UsageError(f"A linear arm needs X'X (d, d) and X'y (d,), got {self.gram.shape} and {self.response.shape}.")
        if self.n < 0 or not (np.isfinite(self.gram).all() and np.isfinite(self.response).all()):
            raise DataError(f"A linear arm needs n >= 0 and finite sums, got n={self.n}.")

    @classmethod
    def empty(cls, dimension: int) -> LinearArm:
        """An arm without pulls, for contexts of some dimension."""
        return cls(n=0, gram=np.zeros((dimension, dimension)), response=np.zeros(dimension))

    @classmethod
    def from_pulls(cls, contexts: ArrayLike, rewards: ArrayLike) -> LinearArm:
        """The state of an arm after pulls.

        Args:
            contexts: One row a pull, shape (n, d).
            rewards: Shape (n,).

        Raises:
            UsageError: The shapes do not fit.
            DataError: A value is not finite.
        """
        x, y = np.asarray(contexts, dtype=np.float64), rewards_of(rewards)
        if x.ndim != 2 or x.shape[0] != y.size:
            raise UsageError(f"Every pull needs a context, got shapes {x.shape} and {y.shape}.")
        return cls(n=y.size, gram=x.T @ x, response=x.T @ y)

    def __add__(self, other: LinearArm) -> LinearArm:
        if self.response.shape != other.response.shape:
            raise UsageError(f"Contexts must have one dimension, got {self.response.size} and {other.response.size}.")
        return LinearArm(n=self.n + other.n, gram=self.gram + other.gram, response=self.response + other.response)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LinearState:
    """Linear models by arm, and the context that is asked about; states of the same arms add.

    Attributes:
        arms: Names of the arms, unique, two or more.
        models: What is known of each, in the same order.
        context: The unit's context, shape (d,); None until `at` sets it.
    """

    arms: tuple[str, ...]
    models: tuple[LinearArm, ...]
    context: Floats | None = None

    def __post_init__(self) -> None:
        if len(self.arms) < 2 or len(set(self.arms)) != len(self.arms) or len(self.models) != len(self.arms):
            raise UsageError(f"A bandit needs two or more arms with names and models of their own, got {list(self.arms)}.")
        if len({model.response.size for model in self.models}) != 1:
            raise UsageError("All arms need contexts of one dimension.")

    @classmethod
    def empty(cls, arms: Sequence[str], dimension: int) -> LinearState:
        """The state before the first pull, for contexts of some dimension."""
        return cls(arms=tuple(arms), models=tuple(LinearArm.empty(dimension) for _ in arms))

    @classmethod
    def from_log(cls, arms: Sequence[str], contexts: ArrayLike, actions: ArrayLike, rewards: ArrayLike) -> LinearState:
        """The state after a log of pulls: contexts (n, d), indices of arms (n,), rewards (n,).

        Raises:
            UsageError: The shapes do not fit, or an index is out of range.
            DataError: A value is not finite.
        """
        x, index, y = np.asarray(contexts, dtype=np.float64), actions_of(actions, len(arms)), rewards_of(rewards)
        if x.ndim != 2 or not x.shape[0] == index.size == y.size:
            raise UsageError(f"Every pull needs a context, an action and a reward, got shapes {x.shape}, {index.shape} and {y.shape}.")
        models = (LinearArm.from_pulls(x[index == arm], y[index == arm]) for arm in range(len(arms)))
        return cls(arms=tuple(arms), models=tuple(models))

    def __add__(self, other: LinearState) -> LinearState:
        if self.arms != other.arms:
            raise UsageError(f"Only states of the same arms add, got {list(self.arms)} and {list(other.arms)}.")
        return LinearState(arms=self.arms, models=tuple(a + b for a, b in zip(self.models, other.models, strict=True)))

    def at(self, context: ArrayLike) -> LinearState:
        """The same state, asked about one unit's context, shape (d,).

        Raises:
            UsageError: The context has another dimension or is not finite.
        """
        x = np.asarray(context, dtype=np.float64)
        if x.shape != self.models[0].response.shape or not np.isfinite(x).all():
            raise UsageError(f"A context must be {self.models[0].response.size} finite numbers, got {x.tolist()}.")
        return replace(self, context=x)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LinearPosterior:
    """Posterior of one arm's coefficients.

    Attributes:
        mean: A^-1 X'y, shape (d,): the ridge estimate.
        covariance: s2 A^-1, shape (d, d).
    """

    mean: Floats
    covariance: Floats

    def at(self, context: ArrayLike) -> tuple[float, float]:
        """Posterior mean and standard deviation of the mean reward at a context, shape (d,)."""
        x = np.asarray(context, dtype=np.float64)
        return float((x * self.mean).sum()), float(np.sqrt((x * (self.covariance @ x)).sum()))


def linear_posterior(arm: LinearArm, *, noise_variance: float = 1.0, ridge: float = 1.0) -> LinearPosterior:
    """Posterior of an arm's coefficients under the prior N(0, s2 / ridge I).

    Args:
        arm: Sums over its pulls.
        noise_variance: Variance s2 of a reward given its context, > 0.
        ridge: Precision of the prior over that of the noise, > 0.

    Raises:
        UsageError: A variance or the ridge is not positive.

    References:
        Agrawal & Goyal (2013), section 2.1, with v^2 = noise_variance.
    """
    for name, value in (("noise_variance", noise_variance), ("ridge", ridge)):
        if not (np.isfinite(value) and value > 0.0):
            raise UsageError(f"{name} must be positive, got {value}.")
    inverse = np.linalg.inv(arm.gram + ridge * np.eye(arm.response.size))
    inverse = 0.5 * (inverse + inverse.T)
    return LinearPosterior(mean=inverse @ arm.response, covariance=noise_variance * inverse)


def linucb_index(state: LinearState, *, alpha: float = 1.0, ridge: float = 1.0) -> Floats:
    """Disjoint LinUCB: theta'x + alpha sqrt(x' A^-1 x) by arm.

    Args:
        state: Linear models, asked about a context by `at`.
        alpha: Width of the optimism, >= 0.
        ridge: lambda in A = lambda I + X'X, > 0.

    Returns:
        Indices, shape (K,); the largest is played.

    Raises:
        UsageError: No context was set, or an option breaks its rule.

    References:
        Li, Chu, Langford & Schapire (2010), algorithm 1 (lambda = 1 there).
    """
    if not (np.isfinite(alpha) and alpha >= 0.0):
        raise UsageError(f"alpha must be >= 0, got {alpha}.")
    seen = query_posteriors(state, noise_variance=1.0, ridge=ridge)
    return seen.mean + alpha * seen.sd


def query_posteriors(state: LinearState, *, noise_variance: float = 1.0, ridge: float = 1.0) -> NormalPosteriors:
    """Posteriors of the arms' mean rewards at the state's context, for linear Thompson sampling.

    Args:
        state: Linear models, asked about a context by `at`.
        noise_variance: Variance of a reward given its context, > 0.
        ridge: Precision of the prior over that of the noise, > 0.

    Raises:
        UsageError: No context was set, it is all 0, or an option breaks its rule.

    References:
        Agrawal & Goyal (2013), section 2.1.
    """
    if state.context is None or not state.context.any():
        raise UsageError("A contextual policy needs the unit's context, not all 0.", hint="Ask with state.at(context).")
    pairs = [linear_posterior(model, noise_variance=noise_variance, ridge=ridge).at(state.context) for model in state.models]
    return NormalPosteriors(mean=np.array([mean for mean, _ in pairs]), sd=np.array([sd for _, sd in pairs]))
