"""Calls of ours behind the reference functions of corrections and sample-ratio checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fairtrial.stats.multiplicity import adjust, adjust_fixed_sequence, adjust_weighted_bonferroni
from fairtrial.stats.srm import srm_exact_binomial, srm_test

Inputs = dict[str, Any]
Outputs = dict[str, Any]


def adjusted_p_values(inputs: Inputs) -> Outputs:
    adjusted = adjust(inputs["p_values"], inputs["method"].replace("_", "-"), alpha=inputs["alpha"])
    return {"adjusted": adjusted.p_adjusted, "reject": adjusted.p_adjusted <= inputs["alpha"]}


def weighted_bonferroni(inputs: Inputs) -> Outputs:
    adjusted = adjust_weighted_bonferroni(inputs["p_values"], inputs["weights"], alpha=inputs["alpha"])
    return {"adjusted": adjusted.p_adjusted, "local_alpha": adjusted.local_alpha, "reject": adjusted.p_adjusted <= inputs["alpha"]}


def fixed_sequence_test(inputs: Inputs) -> Outputs:
    adjusted = adjust_fixed_sequence(inputs["p_values_in_order"])
    return {"adjusted": adjusted, "reject": adjusted <= inputs["alpha"]}


def srm_chi_square(inputs: Inputs) -> Outputs:
    test = srm_test(inputs["observed"], inputs["expected_weights"])
    return {
        "expected_counts": list(test.expected),
        "chi_square": test.chi_square,
        "df": test.df,
        "p_value": test.p_value,
        "observed_shares": list(test.observed_shares),
        "g_statistic": test.g_statistic,
        "srm_at_0_001": test.p_value < 0.001,
        "srm_at_0_01": test.p_value < 0.01,
    }


def srm_binomial(inputs: Inputs) -> Outputs:
    return {"p_value": srm_exact_binomial(inputs["observed"], inputs["expected_weights"])}


CALLS: dict[str, Callable[[Inputs], Outputs]] = {
    "adjusted_p_values": adjusted_p_values,
    "fixed_sequence_test": fixed_sequence_test,
    "srm_chi_square": srm_chi_square,
    "srm_exact_binomial": srm_binomial,
    "weighted_bonferroni": weighted_bonferroni,
}
