"""Calls of ours behind the reference functions of group-sequential designs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fairtrial.stats.sequential.boundaries import GroupSequentialDesign, boundaries
from fairtrial.stats.sequential.conditional_power import conditional_power, predictive_power
from fairtrial.stats.sequential.futility import futility_boundaries
from fairtrial.stats.sequential.group_power import design_for_power
from fairtrial.stats.sequential.repeated import repeated_interval
from fairtrial.stats.sequential.spending import alpha_spent
from fairtrial.stats.sequential.stagewise import stagewise_inference

Inputs = dict[str, Any]
Outputs = dict[str, Any]

PARAMETERS = {"hwang-shih-decani": "gamma", "kim-demets": "rho", "wang-tsiatis": "delta"}


def _name(name: str) -> str:
    return name.replace("_", "-").removesuffix("-power")


def _parameters(name: str, inputs: Inputs, *prefixes: str) -> dict[str, float]:
    """The family's parameter, under its own name, as `parameter`, or with a prefix such as `futility_`."""
    own = PARAMETERS.get(_name(name))
    if own is None:
        return {}
    found = [inputs[f"{prefix}{key}"] for prefix in (*prefixes, "") for key in (own, "parameter") if f"{prefix}{key}" in inputs]
    return {own: found[0]}


def _design(inputs: Inputs, name: str = "design", prefix: str = "") -> GroupSequentialDesign:
    return GroupSequentialDesign(
        alpha=inputs["alpha"],
        sides=inputs["sided"],
        spending=_name(inputs[name]),
        information_fractions=tuple(inputs["information_fractions"]),
        **_parameters(inputs[name], inputs, prefix),
    )


def group_sequential_boundary(inputs: Inputs) -> Outputs:
    found = boundaries(_design(inputs))
    outputs = {"critical_values": found.critical, "nominal_p": found.nominal_p, "alpha_spent_cumulative": found.cumulative_alpha}
    return outputs if found.constant is None else outputs | {"constant": found.constant}


def group_sequential_inflation_factor(inputs: Inputs) -> Outputs:
    found = design_for_power(_design(inputs), power=inputs["power"])
    return {
        "inflation_factor": found.inflation_factor,
        "drift": found.drift,
        "stagewise_power": found.stagewise_power,
        "expected_information_fraction": found.expected_fraction,
    }


def alpha_spending_function(inputs: Inputs) -> Outputs:
    name = inputs["function"]
    return {
        "alpha_spent": alpha_spent(
            inputs["information_fractions"], alpha=inputs["alpha"], spending=_name(name), **_parameters(name, inputs)
        )
    }


def stagewise_ordering(inputs: Inputs) -> Outputs:
    looks = inputs["stopped_at_stage"]
    critical = inputs.get("critical_values")
    if critical is None:
        critical = boundaries(_design(inputs)).critical
    found = stagewise_inference(
        inputs["z_at_stop"], fractions=inputs["information_fractions"][:looks], critical=critical, sides=inputs["sided"], alpha=0.05
    )
    return {
        "p_value_one_sided": found.p_above,
        **({"p_value_two_sided": found.p_value} if inputs["sided"] == 2 else {}),
        "naive_drift": found.naive,
        "median_unbiased_drift": found.median_unbiased,
        "ci95_drift": [found.low.item(), found.high.item()],
    }


def conditional(inputs: Inputs) -> Outputs:
    z, t = inputs["z_interim"], inputs["information_fraction"]
    drift = z / t**0.5 if inputs["drift"] == "current trend" else inputs["drift"]
    given = None if inputs["drift"] == "current trend" else drift
    return {"conditional_power": conditional_power(z, t, inputs["final_critical_value"], drift=given), "drift": drift}


def predictive(inputs: Inputs) -> Outputs:
    found = predictive_power(inputs["z_interim"], inputs["information_fraction"], inputs["final_critical_value"])
    return {"predictive_power": found}


def repeated_confidence_interval(inputs: Inputs) -> Outputs:
    found = repeated_interval(inputs["estimate"], inputs["se"], inputs["critical_value"])
    return {"lower": found.low, "upper": found.high}


def group_sequential_futility_boundary(inputs: Inputs) -> Outputs:
    futility = inputs["futility_spending"]
    found = futility_boundaries(
        _design(inputs, "efficacy_spending", "efficacy_"),
        beta=inputs["beta"],
        spending=_name(futility),
        binding=inputs["binding"],
        **_parameters(futility, inputs, "futility_"),
    )
    return {
        "efficacy_bounds": found.efficacy,
        "futility_bounds": found.futility,
        "drift": found.drift,
        "inflation_factor": found.inflation_factor,
        "power": found.power,
    }


CALLS: dict[str, Callable[[Inputs], Outputs]] = {
    "alpha_spending_function": alpha_spending_function,
    "conditional_power": conditional,
    "group_sequential_boundary": group_sequential_boundary,
    "group_sequential_futility_boundary": group_sequential_futility_boundary,
    "group_sequential_inflation_factor": group_sequential_inflation_factor,
    "predictive_power_flat_prior": predictive,
    "repeated_confidence_interval": repeated_confidence_interval,
    "stagewise_ordering_final_inference": stagewise_ordering,
}
