"""Calls of ours behind the reference functions of proportions and tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from fairtrial.stats.lift import LiftEstimate, lift_estimate
from fairtrial.stats.proportion_intervals import (
    agresti_caffo_interval,
    agresti_coull_interval,
    clopper_pearson_interval,
    miettinen_nurminen_interval,
    newcombe_interval,
    score_interval,
    wald_interval,
    wilson_interval,
)
from fairtrial.stats.proportions import ProportionContrast
from fairtrial.stats.result import Interval
from fairtrial.stats.tables import chi_square_independence, cochran_mantel_haenszel, fisher_exact_test, yates_test

Inputs = dict[str, Any]
Outputs = dict[str, Any]
COUNTS = ("successes_control", "n_control", "successes_treatment", "n_treatment")


def options(inputs: Inputs) -> dict[str, Any]:
    """Level and sidedness in our words."""
    return {"alpha": 1.0 - inputs.get("confidence_level", 0.95), "alternative": inputs.get("alternative", "two-sided")}


def counts(inputs: Inputs) -> list[int]:
    return [inputs[name] for name in COUNTS]


def contrast(inputs: Inputs, ci_method: Any = "score") -> ProportionContrast:
    return ProportionContrast(**{name: np.array([float(inputs[name])]) for name in COUNTS}, ci_method=ci_method)


def difference(inputs: Inputs) -> float:
    return contrast(inputs).effect.item()


def ends(interval: Interval, prefix: str = "") -> Outputs:
    return {f"{prefix}lower": interval.low, f"{prefix}upper": interval.high}


def z_test(inputs: Inputs) -> Outputs:
    test = contrast(inputs)
    margin = inputs.get("margin", 0.0)
    return {
        "difference": test.effect.item(),
        "pooled_rate": (inputs["successes_control"] + inputs["successes_treatment"]) / (inputs["n_control"] + inputs["n_treatment"]),
        "z": test.statistic_at(margin).item(),
        "p_two_sided": test.p_value(margin=margin).item(),
        "p_greater": test.p_value(alternative="greater", margin=margin).item(),
        "p_less": test.p_value(alternative="less", margin=margin).item(),
    }


def interval_of_difference(interval: Callable[..., Interval]) -> Callable[[Inputs], Outputs]:
    def call(inputs: Inputs) -> Outputs:
        return {"difference": difference(inputs), **ends(interval(*counts(inputs), **options(inputs)))}

    return call


def wald(inputs: Inputs) -> Outputs:
    test = contrast(inputs, "wald")
    return {
        **interval_of_difference(wald_interval)(inputs),
        "se": test.std_error.item(),
        "p_two_sided_unpooled": test.p_value().item(),
    }


def interval_of_rate(interval: Callable[..., Interval]) -> Callable[[Inputs], Outputs]:
    return lambda inputs: ends(interval(inputs["successes"], inputs["n"], **options(inputs)))


def fisher(inputs: Inputs) -> Outputs:
    sides: dict[str, Any] = {"p_two_sided": "two-sided", "p_greater": "greater", "p_less": "less"}
    return {key: fisher_exact_test(*counts(inputs), alternative=side) for key, side in sides.items()}


def yates(inputs: Inputs) -> Outputs:
    return dict(zip(("chi_square", "p_two_sided"), yates_test(*counts(inputs)), strict=True))


def lift(inputs: Inputs, method: Literal["delta", "log"], quantile: Literal["normal", "t"] = "normal") -> LiftEstimate:
    return lift_estimate(contrast(inputs), method=method, quantile=quantile, **options(inputs))


def lift_delta(inputs: Inputs) -> Outputs:
    found = lift(inputs, "delta")
    return {"relative_lift": found.lift, "se": found.std_error, **ends(_bounded(found))}


def lift_log(inputs: Inputs) -> Outputs:
    found = lift(inputs, "log")
    return {"relative_lift": found.lift, "se_log_ratio": found.std_error, **ends(_bounded(found))}


def lift_t(inputs: Inputs) -> Outputs:
    found = lift(inputs, "delta", "t")
    return {"estimate": found.lift, "se": found.std_error, "df": found.df, "p_two_sided": found.p_value, **ends(_bounded(found))}


def _bounded(found: LiftEstimate) -> Interval:
    assert found.interval is not None, "the lift has no interval"
    return found.interval


def independence(inputs: Inputs) -> Outputs:
    test = chi_square_independence(inputs["table"])
    return {key: getattr(test, key) for key in ("chi_square", "df", "p_value", "g_statistic", "cramers_v")}


def strata(inputs: Inputs) -> Outputs:
    test = cochran_mantel_haenszel([tuple(counts(stratum)) for stratum in inputs["strata"]])
    return {key: getattr(test, key) for key in ("common_odds_ratio", "chi_square", "p_value", "chi_square_corrected")}


def worked_example(inputs: Inputs) -> Outputs:
    given, how = counts(inputs), options(inputs)
    pooled, unpooled = contrast(inputs), contrast(inputs, "wald")
    log, delta = lift(inputs, "log"), lift(inputs, "delta")
    return {
        "difference": pooled.effect.item(),
        "relative_lift": log.lift,
        "se_unpooled": unpooled.std_error.item(),
        "z_unpooled": unpooled.statistic.item(),
        "p_unpooled": unpooled.p_value().item(),
        "z_pooled": pooled.statistic.item(),
        "p_pooled": pooled.p_value().item(),
        "fisher_p": fisher_exact_test(*given),
        **ends(wald_interval(*given, **how), "wald_"),
        **ends(newcombe_interval(*given, **how), "newcombe_"),
        **ends(agresti_caffo_interval(*given, **how), "agresti_caffo_"),
        **ends(miettinen_nurminen_interval(*given, **how), "miettinen_nurminen_"),
        **ends(score_interval(*given, **how), "score_"),
        **ends(_bounded(log), "relative_log_"),
        **ends(_bounded(delta), "relative_delta_"),
    }


CALLS: dict[str, Callable[[Inputs], Outputs]] = {
    "chi_square_independence": independence,
    "cochran_mantel_haenszel": strata,
    "fisher_exact_test": fisher,
    "proportion_agresti_coull_ci": interval_of_rate(agresti_coull_interval),
    "proportion_clopper_pearson_ci": interval_of_rate(clopper_pearson_interval),
    "proportion_wilson_ci": interval_of_rate(wilson_interval),
    "relative_lift_proportions_delta_ci": lift_delta,
    "relative_lift_proportions_log_ci": lift_log,
    "relative_lift_proportions_t_ci": lift_t,
    "two_proportion_agresti_caffo_ci": interval_of_difference(agresti_caffo_interval),
    "two_proportion_miettinen_nurminen_ci": interval_of_difference(miettinen_nurminen_interval),
    "two_proportion_newcombe_ci": interval_of_difference(newcombe_interval),
    "two_proportion_score_ci": interval_of_difference(score_interval),
    "two_proportion_wald_ci": wald,
    "two_proportion_worked_example": worked_example,
    "two_proportion_z_test": z_test,
    "two_proportion_z_test_yates": yates,
}
