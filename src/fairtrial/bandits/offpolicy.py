"""What another policy would have earned, from a log of one that ran: off-policy evaluation.

    IPS     mean of w r                                   unbiased if propensities are right
    SNIPS   sum of w r / sum of w                         little bias, much less variance
    direct  mean over rows of sum_a pi(a) m(a)            only as right as the model m of rewards
    DR      mean of sum_a pi(a) m(a) + w (r - m(action))  right if propensities or model are

w is the target's probability of the action over the logged propensity. Rows are assumed
independent given their contexts and the propensities to be those that were used; for a log
whose propensities followed its own rewards (a running bandit) see `adaptive`. A model of
rewards is to come from other rows (earlier ones, or the other folds) than those it is used on.

References: Horvitz & Thompson (1952), JASA 47, 663-685; Swaminathan & Joachims (2015),
NeurIPS 28 (self-normalised); Owen (2013), chapter 9 (its linearised variance); Dudik,
Langford & Li (2014), Statistical Science 29, 485-511 (doubly robust); Ionides (2008),
Journal of Computational and Graphical Statistics 17, 295-311 (clipping).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairtrial.bandits.weights import ActionLog, WeightDiagnostics, diagnose_weights
from fairtrial.errors import DataError, UsageError
from fairtrial.stats.result import Interval, check_alpha
from fairtrial.stats.tails import interval_of, p_value_of

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueEstimate:
    """Estimated mean reward of a policy.

    Attributes:
        value: The estimate, in the reward's unit.
        std_error: Its standard error; None where there is none (the direct method, or scores that do not vary).
        interval: Normal confidence interval; None without a standard error.
        method: `ips`, `snips`, `clipped_ips`, `direct` or `dr`.
    """

    value: float
    std_error: float | None
    interval: Interval | None
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OffPolicyEvaluation:
    """What a log says of a target policy, by every estimator it allows.

    Attributes:
        ips: Inverse-propensity estimate.
        snips: Self-normalised; None where the target plays no logged action.
        clipped_ips: With weights cut at `clip`; biased downwards for rewards >= 0. None without `clip`.
        direct: From the model of rewards alone; None without one.
        dr: Doubly robust; None without a model.
        diagnostics: Whether the log can answer at all; read it first.
        alpha: Error rate of the intervals.
    """

    ips: ValueEstimate
    snips: ValueEstimate | None
    clipped_ips: ValueEstimate | None
    direct: ValueEstimate | None
    dr: ValueEstimate | None
    diagnostics: WeightDiagnostics
    alpha: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyContrast:
    """Difference of two policies' mean rewards on one log, target - baseline.

    Attributes:
        difference: The estimate.
        std_error: From the rows' paired differences.
        interval: Normal confidence interval.
        p_value: Two-sided, of no difference.
        method: `ips` or `dr`.
    """

    difference: float
    std_error: float
    interval: Interval
    p_value: float
    method: str


def evaluate_policy(
    log: ActionLog, policy: ArrayLike, *, outcome_model: ArrayLike | None = None, clip: float | None = None, alpha: float = 0.05
) -> OffPolicyEvaluation:
    """Estimate the mean reward that a target policy would have had on a log's rows.

    Args:
        log: Logged pulls with their propensities.
        policy: Target probabilities, shape (K,) or (n, K).
        outcome_model: Predicted reward of each arm, shape (K,) or (n, K), from other rows.
        clip: Largest weight of `clipped_ips`, > 0.
        alpha: Error rate in (0, 1) of the intervals.

    Returns:
        The estimates and the diagnostics of the weights. Standard errors are the scores' standard
        deviation over sqrt(n); SNIPS has the linearised one, sqrt(sum w^2 (r - value)^2) / sum w.

    Raises:
        UsageError: A shape does not fit, probabilities break their rule, or `clip` is not positive.
        DataError: The model is not finite.

    References:
        Dudik, Langford & Li (2014), equations 2 to 5; Owen (2013), equation 9.9.
    """
    check_alpha(alpha)
    w = log.weights(policy)
    model = None if outcome_model is None else _model(log, outcome_model)
    clipped = None
    if clip is not None:
        if not (math.isfinite(clip) and clip > 0.0):
            raise UsageError(f"clip must be positive, got {clip}.")
        clipped = _mean_of(np.minimum(w, clip) * log.rewards, alpha, "clipped_ips")
    direct = None
    if model is not None:
        direct = ValueEstimate(value=float((log.target(policy) * model).sum(axis=1).mean()), std_error=None, interval=None, method="direct")
    return OffPolicyEvaluation(
        ips=_mean_of(w * log.rewards, alpha, "ips"),
        snips=_self_normalised(w, log.rewards, alpha),
        clipped_ips=clipped,
        direct=direct,
        dr=None if model is None else _mean_of(policy_scores(log, policy, outcome_model=model), alpha, "dr"),
        diagnostics=diagnose_weights(log, policy),
        alpha=alpha,
    )


def policy_scores(log: ActionLog, policy: ArrayLike, *, outcome_model: ArrayLike | None = None) -> Floats:
    """Scores whose mean estimates a policy's value: IPS, or doubly robust with a model, shape (n,).

    Args:
        log: Logged pulls.
        policy: Target probabilities, shape (K,) or (n, K).
        outcome_model: Predicted reward of each arm, shape (K,) or (n, K).

    Raises:
        UsageError: A shape does not fit, or probabilities break their rule.
        DataError: The model is not finite.

    References:
        Dudik, Langford & Li (2014), equation 5.
    """
    w = log.weights(policy)
    if outcome_model is None:
        return w * log.rewards
    model = _model(log, outcome_model)
    return (log.target(policy) * model).sum(axis=1) + w * (log.rewards - model[np.arange(log.n), log.actions])


def compare_policies(
    log: ActionLog, target: ArrayLike, baseline: ArrayLike, *, outcome_model: ArrayLike | None = None, alpha: float = 0.05
) -> PolicyContrast:
    """Difference of two policies' mean rewards, row by row on one log.

    Args:
        log: Logged pulls.
        target: Probabilities of the one policy, shape (K,) or (n, K).
        baseline: Probabilities of the other, the same.
        outcome_model: Predicted reward of each arm; with it the estimate is doubly robust.
        alpha: Error rate in (0, 1).

    Raises:
        UsageError: As `policy_scores`.
        DataError: The model is not finite, or the policies' scores do not differ in any row.

    References:
        Dudik, Langford & Li (2014), section 3; the variance is that of paired differences.
    """
    check_alpha(alpha)
    scores = policy_scores(log, target, outcome_model=outcome_model) - policy_scores(log, baseline, outcome_model=outcome_model)
    if not np.ptp(scores) > 0.0:
        raise DataError("The two policies earn the same in every row, so their difference has no standard error.", code="no_variance")
    difference, std_error = float(scores.mean()), float(scores.std(ddof=1)) / math.sqrt(log.n)
    low, high = interval_of(difference, std_error, math.inf, alpha=alpha)
    return PolicyContrast(
        difference=difference,
        std_error=std_error,
        interval=Interval(low=low.item(), high=high.item()),
        p_value=p_value_of(difference / std_error, math.inf).item(),
        method="ips" if outcome_model is None else "dr",
    )


def _model(log: ActionLog, outcome_model: ArrayLike) -> Floats:
    model = np.asarray(outcome_model, dtype=np.float64)
    if model.shape not in {(log.arms,), (log.n, log.arms)}:
        raise UsageError(f"A model of rewards has shape {(log.arms,)} or {(log.n, log.arms)}, got {model.shape}.")
    if not np.isfinite(model).all():
        raise DataError("A model of rewards must be finite.")
    return np.broadcast_to(model, (log.n, log.arms))


def _estimate(value: float, std_error: float, alpha: float, method: str) -> ValueEstimate:
    if std_error == 0.0:  # no row differs: nothing says how far the value may be off
        return ValueEstimate(value=value, std_error=None, interval=None, method=method)
    low, high = interval_of(value, std_error, math.inf, alpha=alpha)
    return ValueEstimate(value=value, std_error=std_error, interval=Interval(low=low.item(), high=high.item()), method=method)


def _mean_of(scores: Floats, alpha: float, method: str) -> ValueEstimate:
    return _estimate(float(scores.mean()), float(scores.std(ddof=1)) / math.sqrt(scores.size), alpha, method)


def _self_normalised(w: Floats, rewards: Floats, alpha: float) -> ValueEstimate | None:
    total = float(w.sum())
    if total == 0.0:
        return None
    value = float((w * rewards).sum()) / total
    return _estimate(value, math.sqrt(float(np.square(w * (rewards - value)).sum())) / total, alpha, "snips")
