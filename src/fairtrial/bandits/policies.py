"""The policies themselves: from what is known of the arms to the probability that each is played.

A policy is a small frozen object; its state comes from outside (a table, a log) and is never
changed by it. All answer `propensities(state)`, an array of shape (K,) that sums to 1, which
is what to log: an estimate after adaptation divides by it. Index policies (UCB1, KL-UCB,
LinUCB) put everything on one arm; wrap them in `Floored` for a log that can be evaluated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from fairtrial.bandits.allocation import FloorRule, shares_of, with_floor
from fairtrial.bandits.best_arm import (
    thompson_probabilities,
    thompson_probabilities_by_draws,
    top_two_from_probabilities,
    top_two_probabilities,
)
from fairtrial.bandits.exploration import epsilon_greedy_probabilities, exp3_probabilities
from fairtrial.bandits.indices import kl_ucb_index, ucb1_index
from fairtrial.bandits.linear import LinearState, linucb_index, query_posteriors
from fairtrial.bandits.posteriors import Posteriors, beta_posteriors, normal_posteriors
from fairtrial.bandits.state import BanditState
from fairtrial.errors import DataError, UsageError

Floats = NDArray[np.float64]
State_contra = TypeVar("State_contra", contravariant=True)
State = TypeVar("State", bound=BanditState | LinearState)


class Policy(Protocol[State_contra]):
    """What chooses arms: `BanditState` for most, `LinearState` for contextual ones."""

    def propensities(self, state: State_contra) -> Floats:
        """Probability to play each arm next, shape (K,), summing to 1."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """An arm that was drawn, and the probability it had, to be logged with it.

    Attributes:
        arm: Name of the arm.
        propensity: Probability with which it was drawn, in (0, 1].
    """

    arm: str
    propensity: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BetaFamily:
    """Rewards in [0, 1] with a beta prior.

    Attributes:
        prior: Its two parameters, > 0.
    """

    prior: tuple[float, float] = (1.0, 1.0)

    def posteriors(self, state: BanditState) -> Posteriors:
        """Posteriors of the arms' mean rewards."""
        return beta_posteriors(state, prior=self.prior)


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalFamily:
    """Rewards of any kind with a normal prior.

    Attributes:
        prior_variance: Variance of the prior, > 0, in the reward's unit squared.
        prior_mean: Mean of the prior.
        reward_variance: Variance of a reward given its arm, > 0; None for the one pooled within arms.
    """

    prior_variance: float
    prior_mean: float = 0.0
    reward_variance: float | None = None

    def posteriors(self, state: BanditState) -> Posteriors:
        """Posteriors of the arms' mean rewards."""
        return normal_posteriors(
            state, prior_mean=self.prior_mean, prior_variance=self.prior_variance, reward_variance=self.reward_variance
        )


Family = BetaFamily | NormalFamily


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixed:
    """The same shares for ever.

    Attributes:
        shares: Share by arm, summing to 1; None for equal ones.
    """

    shares: tuple[float, ...] | None = None

    def propensities(self, state: BanditState) -> Floats:
        """The shares."""
        if self.shares is None:
            return np.full(len(state.arms), 1.0 / len(state.arms))
        if len(self.shares) != len(state.arms):
            raise UsageError(f"Every arm needs a share, got {len(self.shares)} shares for {list(state.arms)}.")
        return shares_of(self.shares)


@dataclass(frozen=True, slots=True, kw_only=True)
class Thompson:
    """Each arm with its posterior probability to be the best.

    Attributes:
        family: How rewards are modelled.
        draws: None for quadrature (up to 64 arms), else a number of draws.
        seed: Of the draws: the same state gives the same propensities.
    """

    family: Family = BetaFamily()
    draws: int | None = None
    seed: int = 0

    def propensities(self, state: BanditState) -> Floats:
        """Probabilities to be best."""
        return _best(self.family.posteriors(state), self.draws, self.seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class TopTwoThompson:
    """The leader with probability `beta`, else the arm that leads when it does not.

    Attributes:
        family: How rewards are modelled.
        beta: Probability to play the leader, in (0, 1].
        draws: None for quadrature (up to 64 arms), else a number of draws.
        seed: Of the draws.
    """

    family: Family = BetaFamily()
    beta: float = 0.5
    draws: int | None = None
    seed: int = 0

    def propensities(self, state: BanditState) -> Floats:
        """Top-two propensities."""
        posteriors = self.family.posteriors(state)
        if self.draws is None:
            return top_two_probabilities(posteriors, beta=self.beta)
        return top_two_from_probabilities(_best(posteriors, self.draws, self.seed), beta=self.beta)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ucb1:
    """The arm with the largest UCB1 index, for rewards in [0, 1]."""

    def propensities(self, state: BanditState) -> Floats:
        """1 for one arm."""
        return _one(ucb1_index(state.pulls, state.reward_sums))


@dataclass(frozen=True, slots=True, kw_only=True)
class KlUcb:
    """The arm with the largest KL-UCB index, for rewards in [0, 1].

    Attributes:
        c: Weight of ln ln t, >= 0.
    """

    c: float = 0.0

    def propensities(self, state: BanditState) -> Floats:
        """1 for one arm."""
        return _one(kl_ucb_index(state.pulls, state.reward_sums, c=self.c))


@dataclass(frozen=True, slots=True, kw_only=True)
class EpsilonGreedy:
    """The best arm so far, but for a share of even exploration.

    Attributes:
        epsilon: The share, in [0, 1].
    """

    epsilon: float = 0.1

    def propensities(self, state: BanditState) -> Floats:
        """An even share of epsilon, and 1 - epsilon more for the best."""
        return epsilon_greedy_probabilities(state.pulls, state.reward_sums, epsilon=self.epsilon)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exp3:
    """Exponential weights of reward / propensity, for rewards in [0, 1] that may change.

    Attributes:
        gamma: Share of even exploration, in (0, 1].
    """

    gamma: float = 0.1

    def propensities(self, state: BanditState) -> Floats:
        """Softmax of the arms' sums, mixed with even shares."""
        totals = [arm.inverse_weighted for arm in state.rewards]
        known = [total for total in totals if total is not None]
        if len(known) < len(totals):
            raise DataError(
                "EXP3 needs the propensity of every pull, some were not kept.",
                hint="Log the propensity with each choice, and build the state from it.",
                code="propensities_unknown",
            )
        return exp3_probabilities(known, gamma=self.gamma)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinUcb:
    """The arm with the largest LinUCB index at the unit's context.

    Attributes:
        alpha: Width of the optimism, >= 0.
        ridge: lambda in A = lambda I + X'X, > 0.
    """

    alpha: float = 1.0
    ridge: float = 1.0

    def propensities(self, state: LinearState) -> Floats:
        """1 for one arm."""
        return _one(linucb_index(state, alpha=self.alpha, ridge=self.ridge))


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearThompson:
    """Each arm with the posterior probability to be the best at the unit's context.

    Attributes:
        noise_variance: Variance of a reward given its context, > 0.
        ridge: Precision of the prior over that of the noise, > 0.
        draws: None for quadrature (up to 64 arms), else a number of draws.
        seed: Of the draws.
    """

    noise_variance: float = 1.0
    ridge: float = 1.0
    draws: int | None = None
    seed: int = 0

    def propensities(self, state: LinearState) -> Floats:
        """Probabilities to be best at the context."""
        return _best(query_posteriors(state, noise_variance=self.noise_variance, ridge=self.ridge), self.draws, self.seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Floored(Generic[State]):
    """Another policy, with a smallest share for every arm.

    Attributes:
        policy: The policy.
        floor: Smallest share, in [0, 1 / K].
        rule: How the floor is met: `mix` or `raise`.
    """

    policy: Policy[State]
    floor: float
    rule: FloorRule = "mix"

    def propensities(self, state: State) -> Floats:
        """The policy's propensities, floored."""
        return with_floor(self.policy.propensities(state), floor=self.floor, rule=self.rule)


def choose(policy: Policy[State], state: State, *, rng: np.random.Generator) -> Choice:
    """Draw the arm to play, with the propensity to log.

    Args:
        policy: Any policy.
        state: A state of the kind the policy takes.
        rng: Source of the draw.

    Raises:
        UsageError: As the policy.
        DataError: As the policy.
    """
    p = policy.propensities(state)
    arm = int(rng.choice(p.size, p=p))
    return Choice(arm=state.arms[arm], propensity=float(p[arm]))


def _best(posteriors: Posteriors, draws: int | None, seed: int) -> Floats:
    if draws is None:
        return thompson_probabilities(posteriors)
    return thompson_probabilities_by_draws(posteriors, rng=np.random.default_rng(seed), draws=draws)


def _one(index: Floats) -> Floats:
    """All on the arm with the largest index; the lowest of equals."""
    p = np.zeros(index.size)
    p[int(np.argmax(index))] = 1.0
    return p
