"""Calls of quasi-experiments: difference in differences, discontinuities, synthetic control, instruments, series.

Data files of a vector are facts under licences of their own and stay outside the
repository: they are read from FAIRTRIAL_REFERENCE_DATA, from FAIRTRIAL_REFERENCE_DIR,
or from `shared/reference` beside the checkout, and a vector without its data is skipped.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fairtrial.quasi import (
    Bandwidths,
    CellMean,
    CleanComparison,
    aggregate_did,
    att_gt,
    did_2x2,
    did_from_cells,
    did_two_way,
    impute_did,
    late_2sls,
    segmented_regression,
    sharp_rdd,
    synthetic_control,
)
from fairtrial.quasi.staggered import GroupTimes

Inputs = Mapping[str, Any]
Outputs = dict[str, Any]


def _alpha(inputs: Inputs) -> float:
    return 1.0 - inputs.get("confidence_level", 0.95)


def _folders() -> list[Path]:
    named = [Path(os.environ[name]) for name in ("FAIRTRIAL_REFERENCE_DATA", "FAIRTRIAL_REFERENCE_DIR") if os.environ.get(name)]
    shared = Path(__file__).parents[4] / "shared" / "reference"
    return [place for folder in [*named, shared] for place in (folder, folder / "data")]


def _frame(inputs: Inputs) -> pd.DataFrame:
    name = Path(inputs["data"])
    for folder in _folders():
        for file in (folder / name, folder / name.name):
            if file.is_file():
                return pd.read_csv(file, sep=inputs.get("separator", ","))
    pytest.skip(f"{name} is not on this machine (set FAIRTRIAL_REFERENCE_DATA)")


def _two_by_two(inputs: Inputs) -> Outputs:
    rows = inputs["rows"]
    result = did_2x2(rows["y"], rows["treated"], rows["post"], cluster=rows["unit"], alpha=_alpha(inputs))
    estimate = result.estimate
    return {
        "att": estimate.effect,
        "cell_means": result.cells,
        "t": estimate.statistic,
        "df": estimate.df,
        "p_value": estimate.p_value,
        "lower": estimate.interval.low,
        "upper": estimate.interval.high,
    } | {f"se_{kind}": value for kind, value in result.std_errors.items()}


def _two_way(inputs: Inputs) -> Outputs:
    rows = inputs["rows"]
    on = np.asarray(rows["treated"]) * np.asarray(rows["post"])
    result = did_two_way(rows["y"], rows["unit"], rows["period"], on)
    return {
        "att": result.estimate.effect,
        "se_cluster_raw_cr0": result.std_errors["none"],
        "se_cluster_cr1_all_parameters": result.std_errors["all"],
        "se_cluster_cr1_nested_fe_not_counted": result.std_errors["nested"],
    }


def _cells(inputs: Inputs) -> Outputs:
    cells = {
        name: CellMean(mean=inputs[name]["mean"], std_error=inputs[name]["se"])
        for name in ("control_pre", "control_post", "treated_pre", "treated_post")
    }
    estimate = did_from_cells(cells, alpha=_alpha(inputs)).estimate
    return {
        "att": estimate.effect,
        "se": estimate.std_error,
        "z": estimate.statistic,
        "p_value": estimate.p_value,
        "lower": estimate.interval.low,
        "upper": estimate.interval.high,
    }


def _panel_means(inputs: Inputs) -> Outputs:
    frame = _frame(inputs)
    unit, time, outcome = _columns(frame)
    on = (frame[unit] == inputs["treated_unit"]) & (frame[time] >= inputs["post_from"])
    return {"att": did_two_way(frame[outcome], frame[unit], frame[time], on).estimate.effect}


def _columns(frame: pd.DataFrame) -> tuple[str, str, str]:
    """Unit, period and outcome of a panel file, whatever the case of its header."""
    by_name = {name.lower(): name for name in frame.columns}
    unit = next(by_name[name] for name in ("state", "countyreal", "unit") if name in by_name)
    outcome = next(by_name[name] for name in ("packspercapita", "cigsale", "lemp", "y") if name in by_name)
    return unit, by_name["year"], outcome


def _group_times(inputs: Inputs) -> GroupTimes:
    frame = _frame(inputs)
    covariates = frame[inputs["covariates"]].to_numpy() if inputs.get("covariates") else None
    return att_gt(
        frame["lemp"],
        frame["countyreal"],
        frame["year"],
        frame["first.treat"],
        covariates=covariates,
        against=CleanComparison(
            control=inputs.get("control_group", "never_treated"),
            base=inputs.get("base_period", "varying"),
            anticipation=inputs.get("anticipation", 0),
        ),
    )


def _att_gt(inputs: Inputs) -> Outputs:
    cells = {f"{cell.cohort:g},{cell.time:g}": cell for cell in _group_times(inputs).effects}
    return {
        "att": {name: cell.effect for name, cell in cells.items()},
        "se_analytic": {name: cell.std_error for name, cell in cells.items()},
    }


BY = {"group": "group", "dynamic": "event_time", "calendar": "period", "simple": "none"}


def _aggregate(inputs: Inputs) -> Outputs:
    kind = inputs["type"]
    result = aggregate_did(_group_times(inputs), kind)
    effects = {f"{point.at:g}": point.effect for point in result.points}
    errors = {f"{point.at:g}": point.std_error for point in result.points}
    named = {f"{prefix}by_{name}": values for name in (BY[kind], kind) for prefix, values in (("", effects), ("se_", errors))}
    return {"att": result.estimate.effect, "se": result.estimate.std_error, **named}


def _imputation(inputs: Inputs) -> Outputs:
    frame = _frame(inputs)
    result = impute_did(frame["lemp"], frame["countyreal"], frame["year"], frame["first.treat"])
    return {
        "att": result.estimate.effect,
        "se": result.estimate.std_error,
        "se_cluster": result.estimate.std_error,
        "by_event_time": {str(point.event_time): point.effect for point in result.points},
        "se_by_event_time": {str(point.event_time): point.std_error for point in result.points},
    }


def _small_panel(inputs: Inputs) -> Outputs:
    rows = inputs["rows"]
    columns = rows["y"], rows["unit"], rows["time"], rows["first_treated"]
    first, time = np.asarray(rows["first_treated"]), np.asarray(rows["time"])
    named = {
        f"att_gt_{control}": {
            f"{cell.cohort:g},{cell.time:g}": cell.effect for cell in att_gt(*columns, against=CleanComparison(control=control)).effects
        }
        for control in ("never_treated", "not_yet_treated")
    }
    on = (first > 0) & (time >= first)
    return {
        "att_imputation": impute_did(*columns).estimate.effect,
        "twfe": did_two_way(rows["y"], rows["unit"], time, on).estimate.effect,
        **named,
    }


def _rdd(inputs: Inputs) -> Outputs:
    frame = _frame(inputs)
    outcome, running = inputs.get("outcome", "vote"), inputs.get("running_variable", "margin")
    frame = frame.dropna(subset=[outcome, running])
    windows = Bandwidths(effect=inputs["h"], bias=inputs.get("b", inputs["h"])) if "h" in inputs else "mse"
    result = sharp_rdd(
        frame[outcome],
        frame[running],
        cutoff=inputs.get("cutoff", 0.0),
        order=inputs["polynomial"],
        kernel=inputs["kernel"],
        bandwidths=windows,
        alpha=_alpha(inputs),
    )
    return {
        "conventional": result.conventional,
        "bias_corrected": result.bias_corrected,
        "se_conventional": result.se_conventional,
        "se_robust": result.se_robust,
        "ci_robust": [result.estimate.interval.low, result.estimate.interval.high],
        "ci_conventional": [result.interval_conventional.low, result.interval_conventional.high],
        "p_robust": result.estimate.p_value,
        "h": result.bandwidths.effect,
        "b": result.bandwidths.bias,
        "n_left": result.n_left,
        "n_right": result.n_right,
    }


def _synthetic(inputs: Inputs) -> Outputs:
    frame = _frame(inputs)
    unit, time, outcome = _columns(frame)
    frame = frame[frame[time].between(inputs["pre_period"][0], inputs["post_period"][1])]
    result = synthetic_control(frame[outcome], frame[unit], frame[time], treated=inputs["treated_unit"], start=inputs["post_period"][0])
    return {
        "weights": dict.fromkeys(frame[unit].unique(), 0.0) | dict(result.weights),
        "average_effect": result.estimate.effect,
        "pre_rmspe": result.own.pre_rmspe,
        "gap_by_year": {f"{gap.time:g}": gap.gap for gap in result.gaps},
        "rmspe_ratio": result.own.ratio,
        "placebo_rank": result.rank,
        "placebo_p": result.estimate.p_value,
    }


def _late(inputs: Inputs) -> Outputs:
    result = late_2sls(inputs["outcome"], inputs["received"], inputs["assigned"])
    return {
        "itt": result.itt,
        "compliance": result.compliance,
        "late": result.estimate.effect,
        "se_robust_hc0": result.std_error,
        "first_stage_f": result.first_stage_f,
    }


def _segmented(inputs: Inputs) -> Outputs:
    start = inputs["intervention_index"] - inputs.get("index_base", 0)
    result = segmented_regression(inputs["series"], start=start, lags=inputs["hac_lags"])
    both = result.level, result.slope
    return {
        "level_change": result.level.effect,
        "slope_change": result.slope.effect,
        "se_ols": [change.se_ols for change in both],
        "se_newey_west": [change.se_newey_west for change in both],
        "se_newey_west_adjusted": [change.se_adjusted for change in both],
    }


CALLS: dict[str, Callable[[Inputs], Outputs]] = {
    "difference_in_differences_2x2": _two_by_two,
    "did_two_way_fixed_effects": _two_way,
    "did_repeated_cross_section_from_cells": _cells,
    "difference_in_differences_panel_means": _panel_means,
    "callaway_santanna_att_gt": _att_gt,
    "callaway_santanna_aggregation": _aggregate,
    "did2s_imputation_att": _imputation,
    "staggered_adoption_small_panel": _small_panel,
    "sharp_rdd_mse_optimal": _rdd,
    "sharp_rdd_fixed_bandwidth": _rdd,
    "synthetic_control_outcomes_only": _synthetic,
    "late_wald_2sls": _late,
    "interrupted_time_series_segmented_regression": _segmented,
}
