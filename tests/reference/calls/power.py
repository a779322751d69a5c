"""Calls of ours behind the reference functions of power, sample size and minimum detectable effect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fairtrial.stats.duration import experiment_duration_days
from fairtrial.stats.power import DetectableEffect, SampleSize, round_up
from fairtrial.stats.power_designs import (
    MultiArmDesign,
    RatioMoments,
    interaction_of_rates,
    sample_size_cluster,
    sample_size_multi_arm_proportions,
    sample_size_ratio_metric,
    sample_size_two_means_cuped,
    sample_size_two_poisson_rates,
    sample_size_two_way_interaction_proportions,
    sample_size_with_cuped,
)
from fairtrial.stats.power_means import (
    mde_relative_two_means,
    mde_two_means,
    power_two_means,
    sample_size_two_means,
    std_error_of_lift,
)
from fairtrial.stats.power_noninferiority import (
    power_noninferiority_two_means,
    power_noninferiority_two_proportions,
    sample_size_noninferiority_two_means,
    sample_size_noninferiority_two_proportions,
)
from fairtrial.stats.power_proportions import mde_two_proportions, power_two_proportions, sample_size_two_proportions

Inputs = dict[str, Any]
Outputs = dict[str, Any]


def _take(inputs: Inputs, *names: str) -> Inputs:
    """The named inputs that came; what a vector leaves out is our default."""
    return {name: inputs[name] for name in names if name in inputs}


def _share(inputs: Inputs) -> dict[str, float]:
    """Our `treatment_share`, from a share or from a ratio of treatment to control."""
    if "treatment_share" in inputs:
        return {"treatment_share": inputs["treatment_share"]}
    ratio = inputs.get("allocation_ratio_treatment_to_control", 1)
    return {"treatment_share": ratio / (1 + ratio)}


def _sds(inputs: Inputs) -> float | tuple[float, float]:
    return inputs["sd"] if "sd" in inputs else (inputs["sd_control"], inputs["sd_treatment"])


def _size(size: SampleSize) -> Outputs:
    return {
        "n_control": size.n_control,
        "n_treatment": size.n_treatment,
        "n_total": size.n_total,
        "n_control_ceil": size.n_control_ceil,
        "n_treatment_ceil": size.n_treatment_ceil,
        "n_total_ceil": size.total,
        "n_per_arm": size.n_control,
        "n_per_arm_ceil": size.n_control_ceil,
    }


def _mde(found: DetectableEffect) -> Outputs:
    return {"p_treatment": found.target, "mde_absolute": found.effect, "mde_relative": found.lift}


def _sample_size_two_proportions(inputs: Inputs) -> Outputs:
    options = _take(inputs, "mde_kind", "alpha", "power", "alternative", "variance")
    return _size(sample_size_two_proportions(inputs["baseline"], inputs["mde"], **options, **_share(inputs)))


def _power_two_proportions(inputs: Inputs) -> Outputs:
    return {"power": power_two_proportions(**inputs)}


def _mde_two_proportions(inputs: Inputs) -> Outputs:
    return _mde(mde_two_proportions(**inputs))


def _noninferiority_two_proportions(inputs: Inputs) -> Outputs:
    options = _take(inputs, "alpha", "variance", "p_treatment")
    rate, margin = inputs["p_control"], inputs["margin"]
    size = sample_size_noninferiority_two_proportions(rate, margin, power=inputs["power"], **options, **_share(inputs))
    reached = power_noninferiority_two_proportions(rate, margin, size.n_control, size.n_treatment, **options)
    return {**_size(size), "power_at_n": reached}


def _noninferiority_two_means(inputs: Inputs) -> Outputs:
    options = _take(inputs, "alpha", "true_difference")
    size = sample_size_noninferiority_two_means(inputs["margin"], _sds(inputs), power=inputs["power"], **options, **_share(inputs))
    reached = power_noninferiority_two_means(inputs["margin"], _sds(inputs), size.n_control, size.n_treatment, **options)
    return {**_size(size), "power_at_n": reached}


def _sample_size_two_means(inputs: Inputs) -> Outputs:
    options = _take(inputs, "alpha", "alternative", "distribution")
    size = sample_size_two_means(inputs["difference"], _sds(inputs), power=inputs["power"], **options, **_share(inputs))
    reached = power_two_means(inputs["difference"], _sds(inputs), size.n_control, size.n_treatment, **options)
    return {**_size(size), "power_at_n": reached}


def _power_two_means(inputs: Inputs) -> Outputs:
    options = _take(inputs, "alpha", "alternative", "distribution", "count_opposite_tail")
    return {"power": power_two_means(inputs["difference"], _sds(inputs), inputs["n_control"], inputs["n_treatment"], **options)}


def _mde_two_means(inputs: Inputs) -> Outputs:
    options = _take(inputs, "alpha", "power", "alternative", "distribution")
    arms = (inputs["n_control"], inputs["n_treatment"])
    return _mde(mde_two_means(_sds(inputs), *arms, baseline=inputs.get("mean_control"), **options))


def _mde_relative_two_means(inputs: Inputs) -> Outputs:
    if inputs["variance_at"] != "null":
        raise ValueError(f"Built for the variance at the null, got {inputs['variance_at']!r}.")
    arms = _take(inputs, "mean", "sd", "n_control", "n_treatment")
    found = mde_relative_two_means(**arms, **_take(inputs, "alpha", "power", "alternative"))
    return {"se_relative": std_error_of_lift(**arms), **_mde(found)}


def _multi_arm(inputs: Inputs) -> Outputs:
    design = MultiArmDesign(inputs["arms_including_control"], inputs["comparisons"], inputs["correction"])
    options = _take(inputs, "mde_kind", "alpha", "power", "alternative", "variance")
    n = sample_size_multi_arm_proportions(design, inputs["baseline"], inputs["mde"], **options)
    return {
        "number_of_comparisons": design.number_of_comparisons,
        "alpha_per_comparison": design.alpha_per_comparison(inputs["alpha"]),
        "n_per_arm": n,
        "n_per_arm_ceil": round_up(n),
        "n_total_ceil": round_up(n) * design.arms,
    }


def _with_cuped(inputs: Inputs) -> Outputs:
    size = sample_size_with_cuped(inputs["n_without_covariate"], inputs["correlation"])
    return {"variance_reduction": size.variance_reduction, "n_with_covariate": size.n, "sd_multiplier": size.sd_multiplier}


def _two_means_cuped(inputs: Inputs) -> Outputs:
    if inputs.get("distribution", "normal") != "normal":
        raise ValueError(f"Built for the normal distribution, got {inputs['distribution']!r}.")
    options = _take(inputs, "alpha", "power", "alternative")
    return _size(sample_size_two_means_cuped(inputs["difference"], _sds(inputs), inputs["correlation"], **options, **_share(inputs)))


def _cluster(inputs: Inputs) -> Outputs:
    size = sample_size_cluster(
        inputs["n_individual_per_arm"], inputs["mean_cluster_size"], inputs["icc"], **_take(inputs, "cluster_size_cv")
    )
    return {
        "design_effect": size.design_effect,
        "n_per_arm": size.n_per_arm,
        "clusters_per_arm": size.clusters_per_arm,
        "clusters_per_arm_ceil": size.clusters_per_arm_ceil,
    }


def _ratio(inputs: Inputs) -> Outputs:
    names = ("mean_numerator", "mean_denominator", "var_numerator", "var_denominator", "cov")
    moments = RatioMoments(**{name: inputs[name] for name in names})
    size = sample_size_ratio_metric(moments, inputs["mde_relative"], **_take(inputs, "alpha", "power", "alternative"), **_share(inputs))
    return {**_size(size), "ratio": moments.ratio, "unit_variance_of_ratio": moments.unit_variance}


def _duration(inputs: Inputs) -> Outputs:
    days = experiment_duration_days(
        inputs["n_total"], inputs["daily_eligible_units"], traffic_share=inputs.get("share_of_traffic_in_experiment", 1.0)
    )
    return {"days": days, "days_ceil": round_up(days)}


def _poisson(inputs: Inputs) -> Outputs:
    options = _take(inputs, "alpha", "power", "alternative", "exposure_per_unit")
    return _size(sample_size_two_poisson_rates(inputs["rate_control"], inputs["rate_treatment"], **options, **_share(inputs)))


def _interaction(inputs: Inputs) -> Outputs:
    if inputs.get("variance", "unpooled") != "unpooled":
        raise ValueError(f"Built for unpooled variances, got {inputs['variance']!r}.")
    none, only_a, only_b, both = inputs["cell_rates_a0b0_a1b0_a0b1_a1b1"]
    rates = (none, only_a, only_b, both)
    n = sample_size_two_way_interaction_proportions(rates, **_take(inputs, "alpha", "power", "alternative"))
    return {"interaction": interaction_of_rates(rates), "n_per_cell": n, "n_per_cell_ceil": round_up(n)}


CALLS: dict[str, Callable[[Inputs], Outputs]] = {
    "sample_size_two_proportions": _sample_size_two_proportions,
    "power_two_proportions": _power_two_proportions,
    "mde_two_proportions": _mde_two_proportions,
    "sample_size_noninferiority_two_proportions": _noninferiority_two_proportions,
    "sample_size_noninferiority_two_means": _noninferiority_two_means,
    "sample_size_two_means": _sample_size_two_means,
    "power_two_means": _power_two_means,
    "mde_two_means": _mde_two_means,
    "mde_relative_two_means": _mde_relative_two_means,
    "sample_size_multi_arm_proportions": _multi_arm,
    "sample_size_with_cuped": _with_cuped,
    "sample_size_two_means_cuped": _two_means_cuped,
    "sample_size_cluster_design_effect": _cluster,
    "sample_size_ratio_metric": _ratio,
    "experiment_duration_days": _duration,
    "sample_size_two_poisson_rates": _poisson,
    "sample_size_two_way_interaction_proportions": _interaction,
}
