"""Conjugate posteriors of the arms' mean rewards: beta for rewards in [0, 1], normal for any.

    beta    Beta(a0 + sum of rewards, b0 + pulls - sum of rewards)
    normal  precision 1/v0 + n/s2, mean (m0/v0 + n ybar/s2) / precision, with reward variance s2 known

Sources: Gelman et al. (2013), Bayesian Data Analysis, sections 2.4 and 2.5. Rewards
between 0 and 1 that are not binary make the beta posterior wider than it need be. The
normal posterior takes s2 as known; the pooled variance within arms is put in its place,
which fits once arms have some tens of pulls.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairtrial.bandits.state import BanditState
from fairtrial.errors import DataError, NotEnoughDataError, UsageError

Floats = NDArray[np.float64]

WITHIN_ZERO = 1e-12
"""Slack for means that rounding carried over 0 or 1."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BetaPosteriors:
    """Independent beta posteriors, one an arm along the last axis.

    Attributes:
        a: First parameters, > 0, shape (..., K).
        b: Second parameters, > 0, the same shape.
    """

    a: Floats
    b: Floats

    def __post_init__(self) -> None:
        if self.a.shape != self.b.shape or self.a.ndim < 1:
            raise UsageError(f"Parameters need one shape (..., arms), got {self.a.shape} and {self.b.shape}.")
        if not (np.isfinite(self.a) & (self.a > 0.0) & np.isfinite(self.b) & (self.b > 0.0)).all():
            raise UsageError(f"Parameters of a beta distribution must be positive, got {self.a.tolist()} and {self.b.tolist()}.")

    @property
    def mean(self) -> Floats:
        """Posterior means a / (a + b)."""
        return self.a / (self.a + self.b)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NormalPosteriors:
    """Independent normal posteriors, one an arm along the last axis.

    Attributes:
        mean: Means, shape (..., K).
        sd: Standard deviations, > 0, the same shape.
    """

    mean: Floats
    sd: Floats

    def __post_init__(self) -> None:
        if self.mean.shape != self.sd.shape or self.mean.ndim < 1:
            raise UsageError(f"Means and standard deviations need one shape (..., arms), got {self.mean.shape} and {self.sd.shape}.")
        if not (np.isfinite(self.mean) & np.isfinite(self.sd) & (self.sd > 0.0)).all():
            raise UsageError(f"Means must be finite and standard deviations positive, got {self.mean.tolist()} and {self.sd.tolist()}.")


Posteriors = BetaPosteriors | NormalPosteriors


def beta_posteriors(state: BanditState, *, prior: tuple[float, float] = (1.0, 1.0)) -> BetaPosteriors:
    """Beta posteriors of mean rewards in [0, 1].

    Args:
        state: Rewards by arm.
        prior: Parameters of the prior of every arm; (1, 1) is uniform, (0.5, 0.5) is Jeffreys'.

    Returns:
        Parameters of shape (K,).

    Raises:
        UsageError: A prior parameter is not positive.
        DataError: A mean reward lies outside [0, 1].

    References:
        Gelman et al. (2013), section 2.4.
    """
    means = state.means
    if ((means < -WITHIN_ZERO) | (means > 1.0 + WITHIN_ZERO)).any():
        raise DataError(
            f"Beta posteriors need rewards in [0, 1], got means {means.tolist()}.", hint="Use family='normal'.", code="rewards_out_of_range"
        )
    successes = np.clip(state.reward_sums, 0.0, state.pulls)
    return BetaPosteriors(a=prior[0] + successes, b=prior[1] + (state.pulls - successes))


def normal_posteriors(
    state: BanditState, *, prior_mean: float = 0.0, prior_variance: float, reward_variance: float | None = None
) -> NormalPosteriors:
    """Normal posteriors of mean rewards with a known reward variance.

    Args:
        state: Rewards by arm.
        prior_mean: Mean of the prior of every arm, in the reward's unit.
        prior_variance: Its variance, > 0.
        reward_variance: Variance of a reward given its arm, > 0; if None, the variance pooled within arms.

    Returns:
        Means and standard deviations of shape (K,).

    Raises:
        UsageError: A variance is not positive, or the prior mean is not finite.
        NotEnoughDataError: The reward variance is to be estimated and no arm has two pulls.
        DataError: It is to be estimated and no reward varies.

    References:
        Gelman et al. (2013), section 2.5, equations 2.11 and 2.12.
    """
    if not (np.isfinite(prior_mean) and np.isfinite(prior_variance) and prior_variance > 0.0):
        raise UsageError(f"The prior needs a finite mean and a positive variance, got {prior_mean} and {prior_variance}.")
    s2 = _pooled_variance(state) if reward_variance is None else reward_variance
    if not (np.isfinite(s2) and s2 > 0.0):
        raise UsageError(f"reward_variance must be positive, got {s2}.")
    # Shrinkage from the prior mean: no digits are lost where rewards sit at a large offset.
    variance = prior_variance * (s2 / (s2 + state.pulls * prior_variance))
    mean = prior_mean + (state.means - prior_mean) * (state.pulls * prior_variance / (s2 + state.pulls * prior_variance))
    return NormalPosteriors(mean=np.where(state.pulls > 0.0, mean, prior_mean), sd=np.sqrt(variance))


def _pooled_variance(state: BanditState) -> float:
    df = sum(arm.n - 1 for arm in state.rewards if arm.n > 1)
    if df == 0:
        raise NotEnoughDataError(
            "The variance of rewards needs an arm with two pulls, got none.", hint="Give reward_variance.", code="too_few_pulls"
        )
    variance = sum(arm.m2 for arm in state.rewards) / df
    if variance <= 0.0:
        raise DataError(
            "Rewards do not vary within arms, so their variance cannot be estimated.", hint="Give reward_variance.", code="no_variance"
        )
    return variance
