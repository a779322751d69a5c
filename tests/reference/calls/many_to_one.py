"""Calls of ours behind the reference functions of several arms against one control, of all pairs, and of combined p-values."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Literal, get_args

from fairtrial.errors import UsageError
from fairtrial.stats.combine import CombineMethod, combined_p_value
from fairtrial.stats.many_to_one import dunnett_critical_value, dunnett_test
from fairtrial.stats.moments import Moments
from fairtrial.stats.simultaneous import tukey_hsd

Inputs = dict[str, Any]
Outputs = dict[str, Any]


def _alternative(inputs: Inputs) -> Literal["two-sided", "greater", "less"]:
    """A critical value `one-sided` is that of `greater`."""
    named = inputs.get("alternative", "two-sided")
    return "greater" if named == "one-sided" else named


def combined(inputs: Inputs) -> Outputs:
    p_values, weights = inputs["p_values"], inputs.get("weights")
    outputs: Outputs = {}
    for method in get_args(CombineMethod):
        with contextlib.suppress(UsageError):  # Stouffer's z has no place for a p-value of 1
            found = combined_p_value(p_values, method=method, weights=weights if method == "stouffer" else None)
            outputs |= {f"{method}_statistic": found.statistic, f"{method}_p": found.p_value}
    for name, ours in (("fisher_chi_square", "fisher_statistic"), ("stouffer_z", "stouffer_statistic")):
        outputs |= {name: outputs[ours]} if ours in outputs else {}
    return outputs


def critical_value(inputs: Inputs) -> Outputs:
    value = dunnett_critical_value(
        inputs["treatments"],
        df=float(inputs.get("df", "Infinity")),
        alpha=inputs.get("alpha", 0.05),
        alternative=_alternative(inputs),
        correlation=inputs.get("correlation", 0.5),
    )
    return {"critical_value": value}


def dunnett(inputs: Inputs) -> Outputs:
    control, treatments = Moments.from_values(inputs["control"]), [Moments.from_values(values) for values in inputs["treatments"]]
    found = dunnett_test(control, treatments, alpha=inputs.get("alpha", 0.05), alternative=_alternative(inputs))
    return {
        "difference": found.effect,
        "se": found.std_error,
        "t": found.statistic,
        "df": float(found.df[0]),
        "p_raw": found.p_value,
        "p_adjusted": found.p_adjusted,
        "critical_value": abs(float(found.critical_value[0])),
        "simultaneous_ci": [list(ends) for ends in zip(found.low.tolist(), found.high.tolist(), strict=True)],
        "reject": found.p_adjusted < found.alpha,
    }


def tukey(inputs: Inputs) -> Outputs:
    found = tukey_hsd([Moments.from_values(values) for values in inputs["groups"]], alpha=_level(inputs))
    return {
        "pairs": found.pairs,
        "difference": found.effect,
        "se": found.std_error,
        "p_adjusted": found.p_adjusted,
        "lower": found.low,
        "upper": found.high,
    }


def _level(inputs: Inputs) -> float:
    return inputs.get("alpha", 1.0 - inputs.get("confidence_level", 0.95))


CALLS: dict[str, Callable[[Inputs], Outputs]] = {
    "combined_p_value": combined,
    "dunnett_critical_value": critical_value,
    "dunnett_test": dunnett,
    "tukey_hsd": tukey,
}
