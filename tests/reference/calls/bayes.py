"""Calls of ours behind the reference functions of Bayesian comparisons."""

from __future__ import annotations

import math
from typing import Any, Literal

from fairtrial.stats.bayes.best_arm import best_event_rate, best_mean, best_rate
from fairtrial.stats.bayes.beta_binomial import beta_binomial_ab, beta_hdi, beta_interval
from fairtrial.stats.bayes.gamma_poisson import gamma_poisson_ab
from fairtrial.stats.bayes.normal import normal_ab_of_contrast
from fairtrial.stats.bayes.normal_inverse_gamma import normal_inverse_gamma_posterior
from fairtrial.stats.bayes.normal_posterior import NormalPosterior, log_bayes_factor, normal_posterior
from fairtrial.stats.bayes.posterior import Posterior, Rope
from fairtrial.stats.bayes.priors import BetaPrior, GammaPrior, NormalInverseGammaPrior, NormalPrior
from fairtrial.stats.contrast import expand, linear_contrast
from fairtrial.stats.moments import CoMoments, Moments
from fairtrial.stats.proportions import ProportionContrast

Inputs = dict[str, Any]
Outputs = dict[str, Any]


def _mass(inputs: Inputs) -> float:
    return inputs.get("mass", inputs.get("confidence_level", 0.95))


def _rope(inputs: Inputs, scale: Literal["lift", "effect"] = "effect") -> Rope | None:
    return Rope(low=inputs["rope"][0], high=inputs["rope"][1], scale=scale) if inputs.get("rope") else None


def _decision(posterior: Posterior) -> Outputs:
    return {
        "posterior_mean_control": posterior.control,
        "posterior_mean_treatment": posterior.treatment,
        "expected_difference": posterior.effect,
        "prob_treatment_better": posterior.chance_to_win(),
        "expected_loss_choose_treatment": posterior.loss_of_treatment(),
        "expected_loss_choose_control": posterior.loss_of_control(),
        "log_bf10": posterior.log_bayes_factor,
    }


def _regions(posterior: Posterior) -> Outputs:
    if posterior.rope is None:
        return {}
    return {"prob_in_rope": posterior.rope.inside, "prob_below_rope": posterior.rope.below, "prob_above_rope": posterior.rope.above}


def _of_proportions(inputs: Inputs, scale: Literal["lift", "effect"] = "effect") -> Posterior:
    return beta_binomial_ab(
        *(inputs[f"{what}_{arm}"] for arm in ("control", "treatment") for what in ("successes", "n")),
        prior=BetaPrior(alpha=inputs["prior_alpha"], beta=inputs["prior_beta"]),
        mass=_mass(inputs),
        rope=_rope(inputs, scale),
    )


def _beta_binomial(inputs: Inputs) -> Outputs:
    outputs = _decision(_of_proportions(inputs))
    for arm in ("control", "treatment"):
        successes, n = inputs[f"successes_{arm}"], inputs[f"n_{arm}"]
        alpha, beta = inputs["prior_alpha"] + successes, inputs["prior_beta"] + n - successes
        interval = beta_interval(alpha, beta)
        outputs |= {f"posterior_{arm}": [alpha, beta], f"credible95_{arm}": [interval.low, interval.high]}
    return outputs


def _difference(inputs: Inputs) -> Outputs:
    posterior = _of_proportions(inputs)
    return {"lower": posterior.interval.low, "upper": posterior.interval.high} | _regions(posterior)


def _lift(inputs: Inputs) -> Outputs:
    posterior = _of_proportions(inputs, "lift")
    return {"lower": posterior.lift_interval.low, "upper": posterior.lift_interval.high, "median": posterior.lift} | _regions(posterior)


def _hdi(inputs: Inputs) -> Outputs:
    interval = beta_hdi(inputs["alpha"], inputs["beta"], mass=_mass(inputs))
    return {"lower": interval.low, "upper": interval.high}


def _best(inputs: Inputs) -> Outputs:
    door = {"beta": best_rate, "gamma": best_event_rate, "normal": best_mean}[inputs.get("family", "beta")]
    best = door(*zip(*inputs["posteriors"], strict=True))
    return {"prob_best": best.prob_best.tolist(), "expected_max": best.expected_best, "expected_loss": best.expected_loss.tolist()}


def _prior(inputs: Inputs) -> NormalPrior:
    sd = inputs.get("prior_sd")
    if inputs.get("prior_variance") is not None:
        sd = math.sqrt(inputs["prior_variance"])
    return NormalPrior(mean=inputs.get("prior_mean") or 0.0, sd=sd)


def _normal(posterior: NormalPosterior, inputs: Inputs) -> Outputs:
    low, high = posterior.interval(_mass(inputs))
    outputs = {
        "posterior_mean": posterior.mean.item(),
        "posterior_sd": posterior.sd.item(),
        "prob_positive": posterior.prob_positive.item(),
        "prob_treatment_better": posterior.prob_positive.item(),
        "lower": low.item(),
        "upper": high.item(),
        "expected_loss_choose_treatment": posterior.shortfall.item(),
        "expected_loss_choose_control": posterior.surplus.item(),
    }
    if inputs.get("rope"):
        below, inside, above = posterior.regions(*inputs["rope"])
        outputs |= {"prob_below_rope": below.item(), "prob_in_rope": inside.item(), "prob_above_rope": above.item()}
    return outputs


def _normal_normal(inputs: Inputs) -> Outputs:
    return _normal(normal_posterior(inputs["estimate"], inputs["se"], prior=_prior(inputs)), inputs)


def _normal_loss(inputs: Inputs) -> Outputs:
    return _normal(normal_posterior(inputs["posterior_mean"], inputs["posterior_sd"], prior=NormalPrior(sd=None)), inputs)


def _of_contrast(contrast: Any, inputs: Inputs) -> Outputs:
    """Losses and intervals as parts of the control's value, the prior being on the lift."""
    posterior = normal_ab_of_contrast(contrast, prior=_prior(inputs), mass=_mass(inputs), rope=_rope(inputs, "lift")).at(
        (0,) * contrast.effect.ndim
    )
    reach = -NormalPosterior(mean=contrast.effect * 0.0, sd=contrast.effect * 0.0 + 1.0).interval(_mass(inputs))[0].item()
    return _regions(posterior) | {
        "posterior_mean": posterior.lift,
        "posterior_sd": (posterior.lift_interval.high - posterior.lift) / reach,
        "lower": posterior.lift_interval.low,
        "upper": posterior.lift_interval.high,
        "prob_treatment_better": posterior.chance_to_win(),
        "expected_loss_choose_treatment": posterior.loss_of_treatment() / posterior.control,
        "expected_loss_choose_control": posterior.loss_of_control() / posterior.control,
    }


def _lift_of_sums(inputs: Inputs) -> Outputs:
    arms = []
    for arm in ("control", "treatment"):
        n, mean = inputs[f"n_{arm}"], inputs[f"sum_{arm}"] / inputs[f"n_{arm}"]
        moments = Moments(n=n, mean=mean, m2=inputs[f"sum_squares_{arm}"] - n * mean * mean)
        arms.append(expand([CoMoments.of(moments)]))
    return _of_contrast(linear_contrast(*arms), inputs)


def _lift_of_proportions(inputs: Inputs) -> Outputs:
    names = [f"{what}_{arm}" for arm in ("control", "treatment") for what in ("successes", "n")]
    return _of_contrast(ProportionContrast(**{name: inputs[name] for name in names}), inputs)


def _gamma_poisson(inputs: Inputs) -> Outputs:
    posterior = gamma_poisson_ab(
        *(inputs[f"{what}_{arm}"] for arm in ("control", "treatment") for what in ("events", "exposure")),
        prior=GammaPrior(shape=inputs["prior_shape"], rate=inputs["prior_rate"]),
        mass=_mass(inputs),
        rope=_rope(inputs),
    )
    lift, interval = posterior.lift_interval, posterior.interval
    outputs = _decision(posterior) | _regions(posterior) | {"lower": interval.low, "upper": interval.high}
    outputs |= {"relative_lower": lift.low, "relative_upper": lift.high, "relative_median": posterior.lift}
    for arm in ("control", "treatment"):
        outputs[f"posterior_{arm}"] = [inputs["prior_shape"] + inputs[f"events_{arm}"], inputs["prior_rate"] + inputs[f"exposure_{arm}"]]
    return outputs


def _normal_inverse_gamma(inputs: Inputs) -> Outputs:
    prior = NormalInverseGammaPrior(
        mean=inputs["prior_mean"], kappa=inputs["prior_kappa"], alpha=inputs["prior_alpha"], beta=inputs["prior_beta"]
    )
    posterior = normal_inverse_gamma_posterior(Moments.from_values(inputs["data"]), prior=prior)
    interval = posterior.interval()
    return {
        "mean": posterior.mean,
        "kappa": posterior.kappa,
        "alpha": posterior.alpha,
        "beta": posterior.beta,
        "mean_credible95": [interval.low, interval.high],
    }


def _bayes_factor(inputs: Inputs) -> Outputs:
    log = log_bayes_factor(inputs["estimate"], inputs["se"], prior=_prior(inputs)).item()
    return {"log_bf10": log} | ({"bf10": math.exp(log)} if log < 700.0 else {})


CALLS = {
    "beta_binomial_ab": _beta_binomial,
    "beta_binomial_difference_credible_interval": _difference,
    "beta_binomial_relative_lift_credible_interval": _lift,
    "beta_highest_density_interval": _hdi,
    "probability_best_arm": _best,
    "normal_normal_posterior": _normal_normal,
    "normal_posterior_expected_loss": _normal_loss,
    "normal_posterior_of_relative_lift": _lift_of_sums,
    "normal_posterior_of_relative_lift_proportions": _lift_of_proportions,
    "gamma_poisson_ab": _gamma_poisson,
    "normal_inverse_gamma_posterior": _normal_inverse_gamma,
    "bayes_factor_normal_effect": _bayes_factor,
}
