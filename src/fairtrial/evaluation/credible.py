"""Comparisons of a Bayesian plan: a posterior for each, in the place of a test."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fairtrial.evaluation.batch import Batch, Pair
from fairtrial.evaluation.scorecard import PosteriorSummary
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.plan import BayesianSpec
from fairtrial.stats.bayes.best_arm import best_mean, best_rate
from fairtrial.stats.bayes.beta_binomial import beta_binomial_batch
from fairtrial.stats.bayes.normal import normal_ab_of_contrast
from fairtrial.stats.bayes.posterior import PosteriorBatch, Rope
from fairtrial.stats.bayes.priors import BetaPrior, NormalPrior
from fairtrial.stats.proportions import ProportionContrast
from fairtrial.stats.result import Estimate, Unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class Believed:
    """Comparisons of a batch with what is believed of each."""

    results: Mapping[Pair, Estimate | Unavailable]
    posteriors: Mapping[Pair, PosteriorSummary]


def believe(spec: ExperimentSpec, batch: Batch) -> Believed:
    """Posteriors of a batch: beta-binomial for plain proportions, normal for all else.

    Args:
        spec: An experiment with a Bayesian plan.
        batch: Comparisons by one formula.

    Returns:
        Estimates whose effect is the posterior mean and whose interval is the equal-tailed
        credible one, without a p-value; and the posteriors, turned to each metric's direction.
    """
    contrast, mass = batch.contrast, 1.0 - spec.plan.alpha
    posterior = _posterior(spec, batch, mass)
    results: dict[Pair, Estimate | Unavailable] = {}
    posteriors: dict[Pair, PosteriorSummary] = {}
    for i, pair in enumerate(batch.pairs):
        missing = posterior.unavailable(i)
        if missing is not None:
            results[pair] = missing
            continue
        found = posterior.at(i)
        increase = spec.metric(pair[0]).direction == "increase"
        direction = "increase" if increase else "decrease"
        spread = float(contrast.std_error[i])
        results[pair] = Estimate(
            effect=found.effect,
            interval=found.interval,
            p_value=None,
            std_error=spread if math.isfinite(spread) else None,
            statistic=None,
            df=None,
            control=float(contrast.control[i]),
            treatment=float(contrast.treatment[i]),
            n_control=int(contrast.n_control[i]),
            n_treatment=int(contrast.n_treatment[i]),
            alpha=spec.plan.alpha,
            alternative="two-sided",
            margin=float(batch.margins[i]),
            method=posterior.model,
            interval_method="credible_equal_tailed",
            lift=found.lift,
            lift_interval=found.lift_interval,
            lift_method=None if found.lift_interval is None else "credible_equal_tailed",
            error_control="bayesian",
        )
        rope = found.rope
        posteriors[pair] = PosteriorSummary(
            model=posterior.model,
            prior=str(posterior.prior),
            chance_to_win=found.chance_to_win(direction),
            expected_loss=found.loss_of_treatment(direction),
            expected_loss_control=found.loss_of_control(direction),
            hdi=found.hdi,
            lift_hdi=found.lift_hdi,
            rope_worse=None if rope is None else (rope.below if increase else rope.above),
            rope_inside=None if rope is None else rope.inside,
            rope_better=None if rope is None else (rope.above if increase else rope.below),
            log_bayes_factor=found.log_bayes_factor,
        )
    return Believed(results=results, posteriors=posteriors)


def loss_is_small(spec: ExperimentSpec, believed: Mapping[Pair, PosteriorSummary], results: Mapping[Pair, Estimate | Unavailable]) -> bool:
    """Whether the plan's stopping rule is met: for every treatment the better choice is expected to lose little.

    Args:
        spec: An experiment whose plan may declare `stop_loss`.
        believed: Posteriors by comparison.
        results: Estimates by comparison.
    """
    limit = spec.plan.bayesian.stop_loss
    if limit is None or spec.plan.method != "bayesian":
        return False
    for treatment in spec.treatments:
        pair = (spec.primary.key, treatment)
        found, estimate = believed.get(pair), results[pair]
        if found is None or isinstance(estimate, Unavailable):
            return False
        if min(found.expected_loss, found.expected_loss_control) >= limit * abs(estimate.control):
            return False
    return True


def best_arm(spec: ExperimentSpec, batch: Batch) -> dict[str, float]:
    """Probability of every arm to be the best on the primary metric, under flat priors but for rates.

    Args:
        spec: An experiment with a Bayesian plan.
        batch: The batch that holds the primary metric's comparisons, one for each treatment.

    Returns:
        By arm in declared order; empty where an arm has no posterior.
    """
    contrast, primary = batch.contrast, spec.primary
    at = {pair[1]: i for i, pair in enumerate(batch.pairs) if pair[0] == primary.key}
    places = [at[treatment] for treatment in spec.treatments if treatment in at and not contrast.undefined[at[treatment]]]
    if len(places) != len(spec.treatments):
        return {}
    if isinstance(contrast, ProportionContrast):
        alpha, beta = spec.plan.bayesian.rate_prior
        successes = np.append(contrast.successes_control[places[0]], contrast.successes_treatment[places])
        n = np.append(contrast.n_control[places[0]], contrast.n_treatment[places])
        best = best_rate(alpha + successes, beta + n - successes, direction=primary.direction)
    else:
        # values as distances from the control's, which all comparisons share
        means = np.append(0.0, contrast.effect[places])
        variances = np.append(contrast.control_variance[places[0]], contrast.treatment_variance[places])
        if not (variances > 0.0).all():
            return {}
        best = best_mean(means, np.sqrt(variances), direction=primary.direction)
    chances = dict(zip((spec.control, *spec.treatments), best.prob_best.tolist(), strict=True))
    return {arm.key: chances[arm.key] for arm in spec.arms}


def _posterior(spec: ExperimentSpec, batch: Batch, mass: float) -> PosteriorBatch:
    declared, contrast = spec.plan.bayesian, batch.contrast
    rope = _rope(spec)
    if isinstance(contrast, ProportionContrast):
        alpha, beta = declared.rate_prior
        return beta_binomial_batch(
            contrast.successes_control,
            contrast.n_control,
            contrast.successes_treatment,
            contrast.n_treatment,
            prior=BetaPrior(alpha=alpha, beta=beta),
            mass=mass,
            rope=rope,
        )
    return normal_ab_of_contrast(contrast, prior=normal_prior(declared), mass=mass, rope=rope)


def normal_prior(declared: BayesianSpec) -> NormalPrior:
    """The prior of everything but plain proportions: on the lift, or flat on the effect."""
    if declared.lift_prior_sd is None:
        return NormalPrior(sd=None, scale="effect")
    return NormalPrior(mean=declared.lift_prior_mean, sd=declared.lift_prior_sd, scale="lift")


def _rope(spec: ExperimentSpec) -> Rope | None:
    width = spec.plan.bayesian.rope or spec.plan.practical_threshold
    return None if width is None else Rope(low=-width, high=width, scale="lift")
