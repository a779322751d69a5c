"""A scorecard as rows of the warehouse's tables of results: which columns there are, and what stands in them.

Percent columns are percent (17.4 is 17.4%), all other rates and shares are fractions. What
is not known is NULL, never 0. A row stands for one treatment; with one treatment there is one row an analysis.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from fairtrial.evaluation.scorecard import Comparison, Scorecard

Kind = Literal["text", "number", "integer", "boolean", "time"]
Value = str | float | int | bool | dt.datetime | None
Row = tuple[Value, ...]

LAUNCHES = frozenset({"STRONG_LAUNCH", "LAUNCH"})


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name, what it holds and what that means."""

    name: str
    kind: Kind
    meaning: str


PRIMARY_TABLE = "int_experiment_results_primary"
SECONDARY_TABLE = "int_experiment_results_secondary"
LEGACY_TABLE = "int_experiment_results"

PRIMARY = (
    Column("analysis_id", "text", "`<experiment>_<YYYYMMDDTHHMMSSZ>`, the moment of the look"),
    Column("experiment_name", "text", "key of the experiment"),
    Column("analysis_date", "time", "moment of the look, UTC"),
    Column("control_mean", "number", "control's mean or rate of the primary metric (adjusted, where it is)"),
    Column("treatment_mean", "number", "the treatment's"),
    Column("relative_lift_percent", "number", "relative effect in percent"),
    Column("p_value", "number", "after the declared correction; NULL in a Bayesian plan"),
    Column("statistical_power", "number", "power at the planned MDE with the units that came"),
    Column("imbalance_factor", "number", "max over min of units per planned share; 1 is balance"),
    Column("final_decision", "text", "the verdict; NULL where the state is not `valid`"),
    Column("confidence_level", "text", "LOW, MEDIUM, MEDIUM-HIGH, HIGH"),
    Column("risk_level", "text", "low, medium, high, critical"),
    Column("control_n", "integer", "units of the control"),
    Column("treatment_n", "integer", "units of the treatment"),
    Column("cohens_d", "number", "effect in pooled standard deviations, where it was computed"),
    Column("ci_low", "number", "lower end of the effect's interval, in the metric's unit; NULL where it is open"),
    Column("ci_high", "number", "upper end"),
    Column("test_used", "text", "the declared test"),
    Column("launch_ready", "boolean", "whether the verdict is LAUNCH or STRONG_LAUNCH"),
    Column("needs_more_data", "boolean", "whether the verdict is EXTEND_TEST or there is too little data"),
    Column("decision_state", "text", "valid, invalid, not_enough_data"),
    Column("srm_p_value", "number", "of the sample-ratio check"),
    Column("looks", "integer", "looks taken before this one"),
    Column("data_source", "text", "engine that read the data"),
    Column("config_version", "text", "version of the spec"),
    Column("package_version", "text", "version of fairtrial"),
    Column("treatment", "text", "the arm that the row is of"),
    Column("is_verdict", "boolean", "whether the experiment's verdict speaks of this treatment"),
    Column("primary_metric", "text", "key of the primary metric"),
    Column("spec_hash", "text", "SHA-256 of the design"),
    Column("data_fingerprint", "text", "SHA-256 that tells the data apart"),
)
"""Columns of `int_experiment_results_primary`: a row per analysis and treatment."""

SECONDARY = (
    Column("analysis_id", "text", "as in the primary table"),
    Column("secondary_metric_name", "text", "key of a metric that is not the primary one"),
    Column("secondary_metric_effect_percent", "number", "relative effect in percent"),
    Column(
        "secondary_metric_status", "text", "PASS, WARNING, ALERT, UNAVAILABLE of a guardrail; else BETTER, WORSE, INCONCLUSIVE, UNAVAILABLE"
    ),
    Column("secondary_metric_interpretation", "text", "the same in a sentence"),
    Column("guardrail_threshold_used", "number", "harm tolerated, as the metric's change: -0.02 is a loss of 2%"),
    Column("ci_low_percent", "number", "lower end of the relative effect's interval, percent"),
    Column("ci_high_percent", "number", "upper end"),
    Column("non_inferior", "boolean", "whether the whole interval lies within the threshold"),
    Column("treatment", "text", "the arm that the row is of"),
    Column("metric_role", "text", "secondary or guardrail"),
)
"""Columns of `int_experiment_results_secondary`: a row per analysis, treatment and further metric."""

LEGACY = (*PRIMARY, *(column for column in SECONDARY if column.name not in {"analysis_id", "treatment"}))
"""Columns of the one table of old: the primary row, repeated for each further metric."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultRows:
    """The rows of one analysis, by table."""

    analysis_id: str
    tables: Mapping[str, tuple[tuple[Column, ...], tuple[Row, ...]]]


def analysis_id_of(experiment: str, moment: dt.datetime) -> str:
    """`<experiment>_<YYYYMMDDTHHMMSSZ>` of an aware moment."""
    return f"{experiment}_{moment.astimezone(dt.UTC):%Y%m%dT%H%M%SZ}"


def rows_of(
    card: Scorecard, *, analysis_id: str, moment: dt.datetime, cohens_d: Mapping[str, float | None] | None = None, legacy: bool = False
) -> ResultRows:
    """The rows that store a scorecard.

    Args:
        card: The result.
        analysis_id: Under which the rows stand.
        moment: Of the look, aware.
        cohens_d: Effect in standard deviations by treatment, where it was computed.
        legacy: Whether the rows are of the one table of old.
    """
    when = moment.astimezone(dt.UTC).replace(microsecond=0, tzinfo=None)
    first = [_primary(card, treatment, analysis_id, when, (cohens_d or {}).get(treatment)) for treatment in card.decisions]
    further = {
        treatment: [_secondary(row, analysis_id) for row in card.comparisons if row.treatment == treatment and row.role != "primary"]
        for treatment in card.decisions
    }
    if not legacy:
        return ResultRows(
            analysis_id=analysis_id,
            tables={
                PRIMARY_TABLE: (PRIMARY, tuple(first)),
                SECONDARY_TABLE: (SECONDARY, tuple(row for rows in further.values() for row in rows)),
            },
        )
    kept = [place for place, column in enumerate(SECONDARY) if column.name not in {"analysis_id", "treatment"}]
    nothing: Row = (None,) * len(SECONDARY)
    wide = [
        (*row, *(other[place] for place in kept))
        for row, others in zip(first, further.values(), strict=True)
        for other in (others or [nothing])
    ]
    return ResultRows(analysis_id=analysis_id, tables={LEGACY_TABLE: (LEGACY, tuple(wide))})


def _primary(card: Scorecard, treatment: str, analysis_id: str, when: dt.datetime, cohens_d: float | None) -> Row:
    decision = card.decisions[treatment]
    estimate = card.comparison(card.primary, treatment).estimate
    units = {arm.key: arm.n for arm in card.arms}
    p_value = None if estimate is None else estimate.p_value if estimate.p_adjusted is None else estimate.p_adjusted
    values: dict[str, Value] = {
        "analysis_id": analysis_id,
        "experiment_name": card.experiment,
        "analysis_date": when,
        "control_mean": None if estimate is None else estimate.control,
        "treatment_mean": None if estimate is None else estimate.treatment,
        "relative_lift_percent": None if estimate is None else _percent(estimate.lift),
        "p_value": p_value,
        "statistical_power": card.plan.power_at_mde,
        "imbalance_factor": _imbalance(card),
        "final_decision": decision.verdict,
        "confidence_level": decision.confidence,
        "risk_level": decision.risk_level,
        "control_n": units[card.control],
        "treatment_n": units[treatment],
        "cohens_d": cohens_d,
        "ci_low": None if estimate is None else _end(estimate.interval.low),
        "ci_high": None if estimate is None else _end(estimate.interval.high),
        "test_used": None if estimate is None else estimate.method,
        "launch_ready": decision.verdict in LAUNCHES,
        "needs_more_data": decision.verdict == "EXTEND_TEST" or decision.state == "not_enough_data",
        "decision_state": decision.state,
        "srm_p_value": card.srm.p_value,
        "looks": card.looks,
        "data_source": card.intake.engine,
        "config_version": card.version,
        "package_version": card.code_version,
        "treatment": treatment,
        "is_verdict": treatment == card.treatment,
        "primary_metric": card.primary,
        "spec_hash": card.spec_hash,
        "data_fingerprint": card.intake.fingerprint,
    }
    return tuple(values[column.name] for column in PRIMARY)


def _secondary(row: Comparison, analysis_id: str) -> Row:
    estimate, guardrail = row.estimate, row.guardrail
    lift = None if estimate is None else estimate.lift
    ends = None if estimate is None else estimate.lift_interval
    sign = -1.0 if row.direction == "increase" else 1.0
    why = "" if row.unavailable is None else f": {row.unavailable.reason}"
    values: dict[str, Value] = {
        "analysis_id": analysis_id,
        "secondary_metric_name": row.metric,
        "secondary_metric_effect_percent": _percent(lift),
        "secondary_metric_status": row.reading.upper() if guardrail is None else guardrail.status,
        "secondary_metric_interpretation": guardrail.reason
        if guardrail is not None
        else f"{row.metric} is {row.reading} with {row.treatment}{why}",
        "guardrail_threshold_used": None if guardrail is None or guardrail.margin is None else sign * guardrail.margin,
        "ci_low_percent": _percent(None if ends is None else ends.low),
        "ci_high_percent": _percent(None if ends is None else ends.high),
        "non_inferior": None if guardrail is None else guardrail.non_inferior,
        "treatment": row.treatment,
        "metric_role": row.role,
    }
    return tuple(values[column.name] for column in SECONDARY)


def _imbalance(card: Scorecard) -> float | None:
    """max(n_i / w_i) / min(n_i / w_i) over planned shares w; None where none were planned or an arm is empty."""
    weighted = [arm.n / arm.planned_share for arm in card.arms if arm.planned_share]
    return max(weighted) / min(weighted) if len(weighted) == len(card.arms) and min(weighted) > 0 else None


def _percent(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else 100.0 * value


def _end(value: float) -> float | None:
    return value if math.isfinite(value) else None


def column_names(columns: Sequence[Column]) -> list[str]:
    """Their names, in order."""
    return [column.name for column in columns]
