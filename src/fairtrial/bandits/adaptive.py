"""Arm means and contrasts after adaptation: augmented inverse-propensity weights with adaptive weights.

A bandit stops pulling an arm after a run of bad luck, so plain means of its arms are biased
downwards and their intervals do not cover. The remedy is to score every round for every arm,

    G_t(w) = m_t(w) + 1{W_t = w} / e_t(w) (Y_t - m_t(w)),

with the propensity e_t(w) that was used and a prediction m_t(w) from earlier rounds alone:
each score is unbiased whatever the policy did. Their plain mean may still have heavy tails
when an arm's propensity falls, so scores are weighted by h_t = sqrt(e_t(w)), which makes
each round add the same variance ("constant allocation rate"): the weighted mean divided by
its standard error is then asymptotically normal. A contrast of two arms weighs their rounds alike,
by the harmonic mean of both propensities.

Assumes that e_t depends on earlier rounds only (no contexts; with contexts take uniform
weights), that the means of single arms are stationary (a contrast asks it of the difference alone),
and propensities that do not fall faster than about 1/t: play with a floor. Rounds in which an arm could not be pulled weigh 0 for it.
Sources: Hadad, Hirshberg, Zhan, Wager & Athey (2021), PNAS 118 (15)
e2014602118, equations 5, 9, 11 and 15; Robins, Rotnitzky & Zhao (1994), JASA 89, 846-866.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairtrial.bandits.state import Integers, actions_of, rewards_of
from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.result import Interval, check_alpha
from fairtrial.stats.tails import interval_of, p_value_of

Floats = NDArray[np.float64]

Weighting = Literal["variance_stabilizing", "uniform"]
"""`variance_stabilizing`: h = sqrt(propensity), for context-free bandits. `uniform`: plain AIPW, for contexts or fixed propensities."""
SUM_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AdaptiveLog:
    """Rounds of an adaptive experiment in their order, with every arm's propensity.

    Attributes:
        actions: Indices of arms pulled, shape (T,).
        rewards: Their rewards, shape (T,).
        propensities: Probability of each arm in each round, > 0 unless arms may be out, rows summing to 1, shape (T, K).
    """

    actions: Integers
    rewards: Floats
    propensities: Floats

    @classmethod
    def of(cls, actions: ArrayLike, rewards: ArrayLike, propensities: ArrayLike, *, may_be_out: bool = False) -> AdaptiveLog:
        """A log, checked.

        Args:
            actions: As the attributes.
            rewards: As the attributes.
            propensities: As the attributes.
            may_be_out: Whether an arm may have the probability 0 in some rounds, as after a guardrail took it out; its
                estimate is then over the rounds in which it could be pulled.

        Raises:
            UsageError: Shapes do not fit, an action is out of range, or propensities are not
                positive or do not sum to 1 in every round.
            DataError: A reward is not finite.
            NotEnoughDataError: There are fewer than two rounds.
        """
        e = np.asarray(propensities, dtype=np.float64)
        if e.ndim != 2 or e.shape[1] < 2:
            raise UsageError(f"Propensities need one row a round and one column an arm, two or more, got shape {e.shape}.")
        index, y = actions_of(actions, e.shape[1]), rewards_of(rewards)
        if not index.size == y.size == e.shape[0]:
            raise UsageError(f"Every round needs action, reward and propensities, got {index.size}, {y.size} and {e.shape[0]}.")
        if y.size < 2:
            raise NotEnoughDataError("Estimates need at least two rounds, got one.", code="too_few_rows")
        possible = (e >= 0.0 if may_be_out else e > 0.0) & (e <= 1.0)
        if not possible.all() or not (e[np.arange(y.size), index] > 0.0).all() or (np.abs(e.sum(axis=1) - 1.0) > SUM_TOLERANCE).any():
            raise UsageError(
                "Every arm's propensity must be positive in every round, and a round's must sum to 1.",
                hint="Play with a floor; an arm that could not be pulled has no estimate.",
            )
        return cls(actions=index, rewards=y, propensities=e)

    @property
    def rounds(self) -> int:
        """Number of rounds T."""
        return self.rewards.size

    @property
    def arms(self) -> int:
        """Number of arms K."""
        return self.propensities.shape[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmMean:
    """Estimated mean reward of one arm.

    Attributes:
        value: The estimate.
        std_error: Its standard error.
        interval: Normal confidence interval.
        ipw: The plain inverse-propensity estimate, mean of 1{W = w} Y / e.
        naive: Mean of the rewards seen, biased after adaptation; None for an arm never pulled.
        pulls: Times it was pulled.
    """

    value: float
    std_error: float
    interval: Interval
    ipw: float
    naive: float | None
    pulls: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmContrast:
    """Difference of two arms' mean rewards.

    Attributes:
        difference: treatment - control.
        std_error: Its standard error.
        interval: Normal confidence interval.
        p_value: Two-sided, of no difference.
    """

    difference: float
    std_error: float
    interval: Interval
    p_value: float


def running_means(log: AdaptiveLog) -> Floats:
    """Predictions m_t(w) that know earlier rounds only: the mean of the arm's rewards before round t, shape (T, K).

    Before an arm's first reward it is the mean of all earlier rewards. In the first round nothing is
    known and it is 0; estimates that predict by these means leave that round out.
    """
    pulled = np.zeros((log.rounds, log.arms))
    pulled[np.arange(log.rounds), log.actions] = 1.0
    # About a constant, so that sums keep their digits at a large offset; added back where a mean is defined.
    center = float(log.rewards[0])
    y = log.rewards - center
    before = np.cumsum(pulled, axis=0) - pulled
    sums = np.cumsum(pulled * y[:, None], axis=0) - pulled * y[:, None]
    overall = np.concatenate([[0.0], np.cumsum(y)[:-1] / np.arange(1, log.rounds)])
    means = np.where(before > 0.0, sums / np.maximum(before, 1.0), overall[:, None]) + center
    means[0] = 0.0
    return means


def aipw_scores(log: AdaptiveLog, *, outcome_model: ArrayLike | None = None) -> Floats:
    """Unbiased scores of every arm in every round, shape (T, K).

    Args:
        log: The rounds.
        outcome_model: Predictions m_t(w) from earlier rounds (or other data) alone, shape (K,) or (T, K);
            None for `running_means`.

    Raises:
        UsageError: The model has another shape.
        DataError: The model is not finite.

    References:
        Hadad et al. (2021), equation 5.
    """
    if outcome_model is None:
        model = running_means(log)
    else:
        model = np.asarray(outcome_model, dtype=np.float64)
        if model.shape not in {(log.arms,), (log.rounds, log.arms)}:
            raise UsageError(f"Predictions have shape {(log.arms,)} or {(log.rounds, log.arms)}, got {model.shape}.")
        if not np.isfinite(model).all():
            raise DataError("Predictions of rewards must be finite.")
    scores = np.array(np.broadcast_to(model, (log.rounds, log.arms)))
    rounds = np.arange(log.rounds)
    scores[rounds, log.actions] += (log.rewards - scores[rounds, log.actions]) / log.propensities[rounds, log.actions]
    return scores


def arm_means(
    log: AdaptiveLog,
    *,
    outcome_model: ArrayLike | None = None,
    weighting: Weighting = "variance_stabilizing",
    alpha: float = 0.05,
) -> tuple[ArmMean, ...]:
    """Mean reward of every arm with an interval that holds after adaptation.

    Args:
        log: The rounds in their order.
        outcome_model: As in `aipw_scores`.
        weighting: Weights h_t of the scores.
        alpha: Error rate in (0, 1) of each interval.

    Returns:
        One estimate an arm: sum h G / sum h, with variance sum h^2 (G - estimate)^2 / (sum h)^2.
        With uniform weights the divisor is T (T - 1), as for any mean. Without an `outcome_model` the
        first round serves for prediction alone.

    Raises:
        UsageError: An option breaks its rule.
        NotEnoughDataError: There are too few rounds.
        DataError: The model is not finite, or an arm's scores do not vary.

    References:
        Hadad et al. (2021), equations 9 and 11 (estimate, standard error) and 15 (weights).
    """
    check_alpha(alpha)
    scores, propensities = _scores(log, outcome_model)
    h = _weights(propensities, weighting)
    return tuple(_arm_mean(log, arm, *_weighted_mean(scores[:, arm], h[:, arm], weighting), alpha) for arm in range(log.arms))


def arm_mean(
    log: AdaptiveLog,
    arm: int,
    *,
    outcome_model: ArrayLike | None = None,
    weighting: Weighting = "variance_stabilizing",
    alpha: float = 0.05,
) -> ArmMean:
    """Mean reward of one arm, as `arm_means` gives it for all: one whose scores do not vary does not sink the others.

    Args:
        log: The rounds in their order.
        arm: Index of the arm.
        outcome_model: As in `aipw_scores`.
        weighting: Weights h_t of the scores.
        alpha: Error rate in (0, 1).

    Raises:
        UsageError: There is no such arm, or an option breaks its rule.
        NotEnoughDataError: There are too few rounds.
        DataError: The model is not finite, or the arm's scores do not vary.
    """
    check_alpha(alpha)
    if not 0 <= arm < log.arms:
        raise UsageError(f"An arm is one of 0..{log.arms - 1}, got {arm}.")
    scores, propensities = _scores(log, outcome_model)
    return _arm_mean(log, arm, *_weighted_mean(scores[:, arm], _weights(propensities[:, arm], weighting), weighting), alpha)


def arm_contrast(
    log: AdaptiveLog,
    *,
    treatment: int,
    control: int = 0,
    outcome_model: ArrayLike | None = None,
    weighting: Weighting = "variance_stabilizing",
    alpha: float = 0.05,
) -> ArmContrast:
    """Difference of two arms' mean rewards with an interval that holds after adaptation.

    Args:
        log: The rounds in their order.
        treatment: Index of the one arm.
        control: Index of the other.
        outcome_model: As in `aipw_scores`.
        weighting: As in `arm_means`.
        alpha: Error rate in (0, 1).

    Returns:
        The weighted mean of the rounds' differences of scores. A round weighs the same for both arms, h_t = (1 / e_t(treatment)
        + 1 / e_t(control))^(-1/2): what makes a round better for all, as a weekend, cancels. It is not the difference of
        `arm_means`, whose rounds weigh by each arm's own propensity. Rounds in which an arm could not be pulled weigh 0.

    Raises:
        UsageError: The arms are the same or out of range, or an option breaks its rule.
        DataError: As `arm_means`.

    References:
        Hadad et al. (2021), section 2.4 (treatment effects, weights common to both arms).
    """
    check_alpha(alpha)
    if treatment == control or not (0 <= treatment < log.arms and 0 <= control < log.arms):
        raise UsageError(f"A contrast needs two different arms in 0..{log.arms - 1}, got {treatment} and {control}.")
    scores, propensities = _scores(log, outcome_model)
    one, other = propensities[:, treatment], propensities[:, control]
    both = np.divide(one * other, one + other, out=np.zeros_like(one), where=one + other > 0.0)
    difference, variance = _weighted_mean(scores[:, treatment] - scores[:, control], _weights(both, weighting), weighting)
    std_error = _std_error(variance, f"arms {treatment} and {control}")
    low, high = interval_of(difference, std_error, math.inf, alpha=alpha)
    return ArmContrast(
        difference=difference,
        std_error=std_error,
        interval=Interval(low=low.item(), high=high.item()),
        p_value=p_value_of(difference / std_error, math.inf).item(),
    )


def _arm_mean(log: AdaptiveLog, arm: int, value: float, variance: float, alpha: float) -> ArmMean:
    pulled = log.actions == arm
    std_error = _std_error(variance, f"arm {arm}")
    low, high = interval_of(value, std_error, math.inf, alpha=alpha)
    possible = int((log.propensities[:, arm] > 0.0).sum())
    return ArmMean(
        value=value,
        std_error=std_error,
        interval=Interval(low=low.item(), high=high.item()),
        ipw=float((log.rewards[pulled] / log.propensities[pulled, arm]).sum()) / possible,
        naive=float(log.rewards[pulled].mean()) if pulled.any() else None,
        pulls=int(pulled.sum()),
    )


def _weights(propensities: Floats, weighting: str) -> Floats:
    if weighting == "uniform":
        return (propensities > 0.0).astype(np.float64)
    if weighting != "variance_stabilizing":
        raise UsageError(f"weighting must be 'variance_stabilizing' or 'uniform', got {weighting!r}.")
    return np.sqrt(propensities)


def _scores(log: AdaptiveLog, outcome_model: ArrayLike | None) -> tuple[Floats, Floats]:
    """Scores and propensities of the rounds that count: without an outcome model the first serves for prediction alone."""
    first = 1 if outcome_model is None else 0
    if log.rounds - first < 2:
        raise NotEnoughDataError("Estimates need at least three rounds, the first being for prediction, got two.", code="too_few_rows")
    return aipw_scores(log, outcome_model=outcome_model)[first:], log.propensities[first:]


def _weighted_mean(scores: Floats, h: Floats, weighting: str) -> tuple[float, float]:
    """Weighted mean of scores and its variance, both of shape (T,)."""
    total = float(h.sum())
    if total == 0.0:  # what never could be pulled: no variance, which is refused
        return 0.0, 0.0
    value = float((h * scores).sum()) / total
    variance = float(np.square(h * (scores - value) / total).sum())
    counted = int((h > 0.0).sum())
    return value, variance * counted / (counted - 1) if weighting == "uniform" and counted > 1 else variance


def _std_error(variance: float, what: str) -> float:
    if not variance > 0.0:
        raise DataError(f"The scores of {what} do not vary, so there is no standard error.", hint="Gather more rounds.", code="no_variance")
    return math.sqrt(variance)
