"""Calls of ours behind the reference functions of overlap, interactions and trends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fairtrial.diagnostics.overlap import AudienceOverlap, overlap_from_counts, overlap_of_units
from fairtrial.stats.interactions import MeanCells, RateCells, Successes, two_way_interaction, two_way_interaction_rates
from fairtrial.stats.moments import Moments
from fairtrial.stats.trends import daily_heterogeneity, mann_kendall, novelty_slope

Inputs = dict[str, Any]
Outputs = dict[str, Any]


def _overlap(overlap: AudienceOverlap) -> Outputs:
    return {
        "intersection": overlap.intersection,
        "union": overlap.union,
        "jaccard": overlap.jaccard,
        "overlap_coefficient": overlap.overlap_coefficient,
        "dice": overlap.dice,
        "share_of_a": overlap.share_of_a,
        "share_of_b": overlap.share_of_b,
        "expected_intersection_if_independent": overlap.expected_intersection,
        "expected_both": overlap.expected_intersection,
        "lift": overlap.lift,
        "chi_square": overlap.chi_square,
        "p_value": overlap.p_value,
    }


def _interaction(inputs: Inputs) -> Outputs:
    cells = MeanCells(**{name: Moments.from_summary(**cell) for name, cell in inputs["cells"].items()})
    by_method = {f"se_{name.lower()}": two_way_interaction(cells, covariance=name).std_error for name in ("HC0", "HC1", "HC2", "HC3")}
    hc3, classical = two_way_interaction(cells), two_way_interaction(cells, covariance="classical", reference="t")
    in_t = two_way_interaction(cells, reference="t")
    return {
        **by_method,
        "se_classical": classical.std_error,
        "interaction": hc3.interaction,
        "simple_effect_a_at_b0": hc3.effect_a_at_b0,
        "simple_effect_a_at_b1": hc3.effect_a_at_b1,
        "simple_effect_b_at_a0": hc3.effect_b_at_a0,
        "simple_effect_b_at_a1": hc3.effect_b_at_a1,
        "marginal_effect_a_equal_weights": hc3.marginal_effect_a,
        "marginal_effect_b_equal_weights": hc3.marginal_effect_b,
        "t_hc3": hc3.statistic,
        "p_hc3_normal": hc3.p_value,
        "p_hc1_t": two_way_interaction(cells, covariance="HC1", reference="t").p_value,
        "p_classical_t": classical.p_value,
        "residual_df": in_t.df,
        "ci95_hc3_t": [in_t.interval.low, in_t.interval.high],
    }


def _interaction_rates(inputs: Inputs) -> Outputs:
    cells = RateCells(**{name: Successes(**cell) for name, cell in inputs["cells"].items()})
    plain = two_way_interaction_rates(cells)
    odds, risk = two_way_interaction_rates(cells, scale="log_odds"), two_way_interaction_rates(cells, scale="log_risk")
    return {
        "interaction_absolute": plain.interaction,
        "se_unpooled": plain.std_error,
        "se_hc1": two_way_interaction_rates(cells, covariance="HC1").std_error,
        "se_hc3": two_way_interaction_rates(cells, covariance="HC3").std_error,
        "z": plain.statistic,
        "p_value": plain.p_value,
        "log_odds_interaction": odds.interaction,
        "se_log_odds": odds.std_error,
        "p_log_odds": odds.p_value,
        "log_risk_ratio_interaction": risk.interaction,
        "se_log_risk_ratio": risk.std_error,
    }


def _novelty(inputs: Inputs) -> Outputs:
    fit = novelty_slope(inputs["daily_effect"], inputs["daily_se"], first_day=inputs["first_day"], regressor=inputs["regressor"])
    return {
        "slope": fit.slope,
        "intercept": fit.intercept,
        "se_known_variance": fit.std_error,
        "z": fit.z,
        "p_z": fit.p_value,
        "se_scaled": fit.std_error_scaled,
        "t": fit.t,
        "df": fit.df,
        "p_t": fit.p_value_t,
        "birge_ratio": fit.birge_ratio,
    }


def _heterogeneity(inputs: Inputs) -> Outputs:
    days = daily_heterogeneity(inputs["daily_effect"], inputs["daily_se"])
    return {
        "fixed_effect": days.effect,
        "se": days.std_error,
        "cochran_q": days.cochran_q,
        "df": days.df,
        "p_value": days.p_value,
        "i_squared": days.i_squared,
    }


def _mann_kendall(inputs: Inputs) -> Outputs:
    trend = mann_kendall(inputs["series"])
    return {"S": trend.s, "variance": trend.variance, "z": trend.z, "p_two_sided": trend.p_value, "sen_slope": trend.sen_slope}


CALLS: dict[str, Callable[[Inputs], Outputs]] = {
    "audience_overlap": lambda inputs: _overlap(overlap_of_units(inputs["a"], inputs["b"], universe=inputs["universe_size"])),
    "audience_overlap_counts": lambda inputs: _overlap(
        overlap_from_counts(inputs["n_a"], inputs["n_b"], inputs["n_both"], universe=inputs["universe_size"])
    ),
    "two_way_interaction_from_cells": _interaction,
    "two_way_interaction_binary_from_cells": _interaction_rates,
    "novelty_slope_wls": _novelty,
    "daily_effect_heterogeneity": _heterogeneity,
    "mann_kendall_trend": _mann_kendall,
}
