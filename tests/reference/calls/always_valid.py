"""Calls of ours behind the reference functions of always-valid inference and of the sequential sample-ratio check."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fairtrial.stats.batch import expand
from fairtrial.stats.contrast import linear_contrast
from fairtrial.stats.moments import CoMoments, Moments
from fairtrial.stats.proportions import ProportionContrast
from fairtrial.stats.sequential.allocation import sequential_srm
from fairtrial.stats.sequential.bernoulli import bernoulli_confidence_sequence
from fairtrial.stats.sequential.confidence_sequences import (
    ConfidenceSequence,
    Mixture,
    always_valid_difference,
    always_valid_lift,
    asymptotic_confidence_sequence,
)
from fairtrial.stats.sequential.normal_mixture import normal_mixture_boundary, normal_mixture_log_e_value, tune_rho, tuning_constant
from fairtrial.stats.sequential.sprt import SprtPlan, wald_sprt
from fairtrial.stats.sequential.uniform_boundaries import (
    beta_binomial_mixture_boundary,
    gamma_mixture_boundary,
    polynomial_stitching_boundary,
)

Inputs = dict[str, Any]
Outputs = dict[str, Any]


def _side(inputs: Inputs) -> str:
    """A vector's `sided`, or its `alternative`; one-sided boundaries and lower bounds are those of `greater`."""
    if "alternative" in inputs:
        return inputs["alternative"]
    return "two-sided" if inputs.get("sided", 2) == 2 else "greater"


def _rho(inputs: Inputs, side: str) -> float:
    if "rho" in inputs:
        return inputs["rho"]
    return tune_rho(inputs["v_opt"], alpha_opt=inputs.get("alpha_opt", 0.05), alternative=side).item()


def _sprt(inputs: Inputs) -> Outputs:
    plan = SprtPlan(p0=inputs["p0"], p1=inputs["p1"], alpha=inputs["alpha"], beta=inputs["beta"])
    look = wald_sprt(plan, inputs["successes"], inputs["n"])
    return {"log_likelihood_ratio": look.log_likelihood_ratio, "upper": look.upper, "lower": look.lower, "decision": look.decision}


def _normal_boundary(inputs: Inputs) -> Outputs:
    side = _side(inputs)
    rho = _rho(inputs, side)
    return {"rho": rho, "bound": normal_mixture_boundary(inputs["intrinsic_time"], rho=rho, alpha=inputs["alpha"], alternative=side)}


def _normal_log_mixture(inputs: Inputs) -> Outputs:
    side = _side(inputs)
    return {"log_mixture": normal_mixture_log_e_value(inputs["s"], inputs["v"], rho=_rho(inputs, side), alternative=side)}


def _uniform(inputs: Inputs) -> Outputs:
    kind, v, alpha = inputs["boundary"], inputs["intrinsic_time"], inputs["alpha"]
    if kind in {"gamma_exponential_mixture", "gamma_poisson_mixture"}:
        family = kind.removeprefix("gamma_").removesuffix("_mixture")
        return {"bound": gamma_mixture_boundary(v, rho=_rho(inputs, "greater"), c=inputs["c"], alpha=alpha, family=family)}
    if kind == "polynomial_stitching":
        shape = {key: inputs[key] for key in ("c", "s", "eta") if key in inputs}
        return {"bound": polynomial_stitching_boundary(v, v_min=inputs["v_min"], alpha=alpha, **shape)}
    if kind == "beta_binomial_mixture":
        side = "greater" if inputs.get("is_one_sided", False) else _side(inputs)
        return {
            "bound": beta_binomial_mixture_boundary(v, rho=_rho(inputs, side), g=inputs["g"], h=inputs["h"], alpha=alpha, alternative=side)
        }
    return _normal_boundary(inputs)


def _bernoulli(inputs: Inputs) -> Outputs:
    looks = bernoulli_confidence_sequence(
        inputs["successes"], inputs["trials"], n_opt=inputs["t_opt"], alpha=inputs["alpha"], alpha_opt=inputs.get("alpha_opt", 0.05)
    )
    return {"lower": looks.low, "upper": looks.high}


def _mixture(inputs: Inputs) -> Mixture:
    return Mixture(n_opt=inputs["n_opt"], alpha_opt=inputs["alpha"], one_sided="closed_form")


def _asymptotic(inputs: Inputs) -> Outputs:
    side = _side(inputs)
    moments = inputs["mean"], inputs["sample_variance"], inputs["n"]
    looks = asymptotic_confidence_sequence(*moments, mixture=_mixture(inputs), alpha=inputs["alpha"], alternative=side)
    rho = np.sqrt(tuning_constant(inputs["alpha"], alternative=side) / inputs["n_opt"])
    half = looks.high - looks.estimate if side == "less" else looks.estimate - looks.low
    return {"rho": rho, "half_width": half, "lower": looks.low, "upper": looks.high}


def _moments(inputs: Inputs, arm: str) -> CoMoments:
    """Sums about zero are exact enough for these vectors, whose means and spreads are of one size."""
    n, total = inputs[f"n_{arm}"], inputs[f"sum_{arm}"]
    return CoMoments.of(Moments(n=n, mean=total / n, m2=inputs[f"sum_squares_{arm}"] - total * total / n))


def _contrast(inputs: Inputs) -> Any:
    if "sum_control" in inputs:
        return linear_contrast(expand([_moments(inputs, "control")]), expand([_moments(inputs, "treatment")]))
    names = "successes_control", "n_control", "successes_treatment", "n_treatment"
    return ProportionContrast(**{name: np.array([float(inputs[name])]) for name in names})


def _sequence(inputs: Inputs, side: str, kind: str) -> ConfidenceSequence:
    method = always_valid_lift if kind == "relative" else always_valid_difference
    return method(_contrast(inputs), mixture=_mixture(inputs), alpha=inputs["alpha"], alternative=side)


def _lift(inputs: Inputs) -> Outputs:
    looks = _sequence(inputs, "two-sided", "relative")
    return {
        "relative_lift": looks.estimate[0],
        "se": looks.std_error[0],
        "half_width": looks.high[0] - looks.estimate[0],
        "lower": looks.low[0],
        "upper": looks.high[0],
    }


def _two_bounds(inputs: Inputs) -> Outputs:
    greater, less = (_sequence(inputs, side, inputs["difference_kind"]) for side in ("greater", "less"))
    return {
        "estimate": greater.estimate[0],
        "se": greater.std_error[0],
        "lower_bound": greater.low[0],
        "upper_bound": less.high[0],
    }


def _srm(inputs: Inputs) -> Outputs:
    result = sequential_srm(
        np.cumsum(inputs["counts_by_step"], axis=0), inputs["null_probabilities"], dirichlet_alpha=inputs["dirichlet_alpha"]
    )
    found = int(result.first_detection(0.05))
    return {
        "log_bayes_factor": result.log_e_value,
        "sequential_p": result.p_value,
        "final_posterior_prob_srm_equal_prior_odds": result.posterior[-1],
        "first_detection_at_0_05": found or None,
    }


CALLS: dict[str, Callable[[Inputs], Outputs]] = {
    "wald_sprt_bernoulli": _sprt,
    "normal_mixture_boundary": _normal_boundary,
    "normal_mixture_log_supermartingale": _normal_log_mixture,
    "uniform_boundary": _uniform,
    "bernoulli_confidence_sequence": _bernoulli,
    "asymptotic_confidence_sequence": _asymptotic,
    "asymptotic_confidence_sequence_relative_lift": _lift,
    "asymptotic_confidence_sequence_relative_lift_proportions": _lift,
    "asymptotic_confidence_sequence_two_arm_one_sided": _two_bounds,
    "sequential_srm_dirichlet_multinomial": _srm,
}
