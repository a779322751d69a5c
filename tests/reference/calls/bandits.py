"""Calls of ours behind the reference functions of bandits and off-policy evaluation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fairtrial.bandits.adaptive import AdaptiveLog, arm_contrast, arm_means
from fairtrial.bandits.allocation import with_floor
from fairtrial.bandits.best_arm import thompson_probabilities, top_two_probabilities
from fairtrial.bandits.exploration import epsilon_greedy_probabilities, exp3_log_weights
from fairtrial.bandits.indices import kl_ucb_index, ucb1_index
from fairtrial.bandits.linear import LinearArm, LinearState, linear_posterior, linucb_index
from fairtrial.bandits.offpolicy import evaluate_policy
from fairtrial.bandits.policies import Exp3
from fairtrial.bandits.posteriors import BetaPosteriors, NormalPosteriors, beta_posteriors, normal_posteriors
from fairtrial.bandits.regret import pseudo_regret
from fairtrial.bandits.state import BanditState
from fairtrial.bandits.weights import ActionLog

Inputs = dict[str, Any]
Outputs = dict[str, Any]


def _beta_pulls(inputs: Inputs) -> Outputs:
    arms = inputs["arms"]
    state = BanditState.empty(arms)
    for arm, reward in inputs["pulls"]:
        state = state.observe(arm, reward)
    posteriors = beta_posteriors(state, prior=tuple(inputs["prior"]))
    pairs = zip(arms, np.stack([posteriors.a, posteriors.b], axis=1).tolist(), strict=True)
    return {"posteriors": dict(pairs), "means": dict(zip(arms, posteriors.mean.tolist(), strict=True))}


def _normal_pulls(inputs: Inputs) -> Outputs:
    state = BanditState.from_log(["pulled", "not pulled"], [0] * len(inputs["rewards"]), inputs["rewards"])
    options = {key: inputs[key] for key in ("prior_mean", "prior_variance", "reward_variance")}
    posteriors = normal_posteriors(state, **options)
    return {"mean": posteriors.mean[0], "variance": posteriors.sd[0] ** 2}


def _betas(inputs: Inputs) -> BetaPosteriors:
    a, b = np.array(inputs["posteriors"], dtype=np.float64).T
    return BetaPosteriors(a=a, b=b)


def _thompson_beta(inputs: Inputs) -> Outputs:
    p = thompson_probabilities(_betas(inputs))
    return {"probabilities": p, "largest": p.max()}


def _thompson_normal(inputs: Inputs) -> Outputs:
    posteriors = NormalPosteriors(mean=np.array(inputs["means"], dtype=np.float64), sd=np.array(inputs["sds"], dtype=np.float64))
    return {"probabilities": thompson_probabilities(posteriors)}


def _ucb1(inputs: Inputs) -> Outputs:
    index = ucb1_index(inputs["pulls"], inputs["reward_sums"])
    return {"index": index, "chosen": int(np.argmax(index))}


def _kl_ucb(inputs: Inputs) -> Outputs:
    index = kl_ucb_index(inputs["pulls"], inputs["reward_sums"], c=inputs["c"])
    return {"index": index, "chosen": int(np.argmax(index))}


def _exp3(inputs: Inputs) -> Outputs:
    arms = [str(arm) for arm in range(inputs["arms"])]
    policy, state, before = Exp3(gamma=inputs["gamma"]), BanditState.empty(arms), []
    for arm, reward in inputs["pulls"]:
        before.append(policy.propensities(state))
        state = state.observe(arms[arm], reward, propensity=float(before[-1][arm]))
    totals = [arm.inverse_weighted for arm in state.rewards]
    return {
        "probabilities_before_each_pull": np.array(before),
        "final_weights": np.exp(exp3_log_weights(totals, gamma=inputs["gamma"])),
    }


def _linucb(inputs: Inputs) -> Outputs:
    arms = range(max(inputs["arms"]) + 1)
    state = LinearState.from_log([str(arm) for arm in arms], inputs["contexts"], inputs["arms"], inputs["rewards"])
    index = linucb_index(state.at(inputs["query_context"]), alpha=inputs["alpha"], ridge=inputs["ridge_lambda"])
    theta = {str(arm): linear_posterior(state.models[arm], ridge=inputs["ridge_lambda"]).mean for arm in arms}
    return {"theta": theta, "index": {str(arm): index[arm] for arm in arms}, "chosen": int(np.argmax(index))}


def _linear_thompson(inputs: Inputs) -> Outputs:
    arm = LinearArm.from_pulls(inputs["contexts"], inputs["rewards"])
    posterior = linear_posterior(arm, noise_variance=inputs["noise_variance"], ridge=inputs["prior_precision_over_noise"])
    mean, sd = posterior.at(inputs["query_context"])
    return {"mean": posterior.mean, "covariance": posterior.covariance, "query_mean": mean, "query_sd": sd}


def _off_policy(inputs: Inputs) -> Outputs:
    rows, policy = inputs["rows"], np.array(inputs["target_policy"])
    contexts = [row["context"] for row in rows]
    columns = ([row[key] for row in rows] for key in ("action", "reward", "propensity"))
    log = ActionLog.of(*columns, arms=policy.shape[1])
    model = np.array(inputs["outcome_model"])[contexts]
    found = evaluate_policy(log, policy[contexts], outcome_model=model, clip=inputs.get("clip"))
    clipped = {} if found.clipped_ips is None else {"clipped_ips": found.clipped_ips.value}
    return clipped | {
        "ips": found.ips.value,
        "ips_se": found.ips.std_error,
        "snips": found.snips.value,
        "snips_se": found.snips.std_error,
        "direct_method": found.direct.value,
        "doubly_robust": found.dr.value,
        "doubly_robust_se": found.dr.std_error,
        "effective_sample_size": found.diagnostics.effective_sample_size,
        "mean_weight": found.diagnostics.mean_weight,
    }


def _aipw(inputs: Inputs) -> Outputs:
    rows = inputs["rows"]
    log = AdaptiveLog.of(*([row[key] for row in rows] for key in ("action", "reward", "propensities")))
    model = np.array(inputs["outcome_model"])[[row["context"] for row in rows]]
    means = arm_means(log, outcome_model=model, weighting="uniform")
    contrast = arm_contrast(log, treatment=1, control=0, outcome_model=model, weighting="uniform")
    return {
        "ipw": {str(arm): mean.ipw for arm, mean in enumerate(means)},
        "aipw": {str(arm): mean.value for arm, mean in enumerate(means)},
        "aipw_se": {str(arm): mean.std_error for arm, mean in enumerate(means)},
        "aipw_difference_1_minus_0": contrast.difference,
        "aipw_difference_se": contrast.std_error,
    }


def _regret(inputs: Inputs) -> Outputs:
    regret = pseudo_regret(inputs["true_means"], inputs["actions"])
    return {"cumulative": regret.cumulative, "total": regret.total}


CALLS: dict[str, Callable[[Inputs], Outputs]] = {
    "beta_posterior_after_pulls": _beta_pulls,
    "normal_posterior_after_pulls": _normal_pulls,
    "thompson_allocation_beta": _thompson_beta,
    "thompson_allocation_normal": _thompson_normal,
    "thompson_allocation_with_floor": lambda inputs: {
        "probabilities": with_floor(thompson_probabilities(_betas(inputs)), floor=inputs["minimum_share"])
    },
    "top_two_thompson_allocation": lambda inputs: {"probabilities": top_two_probabilities(_betas(inputs), beta=inputs["beta"])},
    "ucb1_index": _ucb1,
    "kl_ucb_index": _kl_ucb,
    "epsilon_greedy_probabilities": lambda inputs: {
        "probabilities": epsilon_greedy_probabilities(inputs["pulls"], inputs["reward_sums"], epsilon=inputs["epsilon"])
    },
    "exp3_probabilities": _exp3,
    "linucb_disjoint_index": _linucb,
    "linear_thompson_posterior": _linear_thompson,
    "off_policy_evaluation": _off_policy,
    "aipw_arm_means": _aipw,
    "cumulative_pseudo_regret": _regret,
}
