"""A scorecard as a data frame: one row per metric and treatment, numbers as computed.

Kept apart from the other reports because it loads pandas.
"""

from __future__ import annotations

import pandas as pd

from fairtrial.evaluation.scorecard import Comparison, Scorecard

COLUMNS = (
    "metric",
    "role",
    "kind",
    "direction",
    "treatment",
    "control_value",
    "treatment_value",
    "effect",
    "effect_low",
    "effect_high",
    "lift",
    "lift_low",
    "lift_high",
    "p_value",
    "p_adjusted",
    "std_error",
    "n_control",
    "n_treatment",
    "alpha",
    "reading",
    "guardrail",
    "method",
    "interval_method",
    "correction",
    "error_control",
    "unavailable",
)


def to_frame(scorecard: Scorecard) -> pd.DataFrame:
    """Every comparison as a row, in the scorecard's order.

    Rates and lifts are fractions; what could not be computed is missing, and
    `unavailable` then says why. The scorecard's verdict is in `attrs`.
    """
    frame = pd.DataFrame([_record(c) for c in scorecard.comparisons], columns=list(COLUMNS))
    numbers = [*COLUMNS[5:16], "alpha"]
    frame[numbers] = frame[numbers].astype("Float64")
    frame[["n_control", "n_treatment"]] = frame[["n_control", "n_treatment"]].astype("Int64")
    frame.attrs = {"experiment": scorecard.experiment, "verdict": scorecard.decision.verdict, "state": scorecard.decision.state}
    return frame


def _record(comparison: Comparison) -> dict[str, object]:
    record: dict[str, object] = {
        "metric": comparison.metric,
        "role": comparison.role,
        "kind": comparison.kind,
        "direction": comparison.direction,
        "treatment": comparison.treatment,
        "reading": comparison.reading,
        "guardrail": None if comparison.guardrail is None else comparison.guardrail.status,
        "unavailable": None if comparison.unavailable is None else comparison.unavailable.reason,
    }
    e = comparison.estimate
    if e is not None:
        record |= {
            "control_value": e.control,
            "treatment_value": e.treatment,
            "effect": e.effect,
            "effect_low": e.interval.low,
            "effect_high": e.interval.high,
            "lift": e.lift,
            "lift_low": None if e.lift_interval is None else e.lift_interval.low,
            "lift_high": None if e.lift_interval is None else e.lift_interval.high,
            "p_value": e.p_value,
            "p_adjusted": e.p_adjusted,
            "std_error": e.std_error,
            "n_control": e.n_control,
            "n_treatment": e.n_treatment,
            "alpha": e.alpha,
            "method": e.method,
            "interval_method": e.interval_method,
            "correction": e.correction,
            "error_control": e.error_control,
        }
    return record
