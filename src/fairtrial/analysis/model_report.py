"""The report of a model experiment: its scorecard in the words of champion and challenger (ML-15, ML-16).

Decisions are those of the one verdict, by the mapping of the decision table; a reason that
claims a difference is given only where the verdict rests on one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import msgspec

from fairtrial.analysis.model_labels import LabelShare
from fairtrial.analysis.model_metrics import value_of
from fairtrial.analysis.model_rows import LogRows
from fairtrial.analysis.model_units import UnitReading, planned_sizes
from fairtrial.decisions import Decision, make_rollout_decision
from fairtrial.decisions.guardrails import worst
from fairtrial.errors import UsageError
from fairtrial.evaluation import Scorecard
from fairtrial.evaluation.scorecard import Comparison
from fairtrial.spec.model_experiment import ExperimentConfig
from fairtrial.stats.result import Estimate, Interval, Unavailable

ROLLOUT, KEEP, INCONCLUSIVE = "ROLLOUT_CHALLENGER", "KEEP_CHAMPION", "INCONCLUSIVE"
DECISIONS: Mapping[str | None, str] = {
    "STRONG_LAUNCH": ROLLOUT,
    "LAUNCH": ROLLOUT,
    "CONSIDER_LAUNCH": KEEP,
    "EXTEND_TEST": INCONCLUSIVE,
    "NO_LAUNCH": KEEP,
    "ROLLBACK": KEEP,
    None: INCONCLUSIVE,
}
"""A verdict in the report's words; NO_LAUNCH for want of evidence is `INCONCLUSIVE`."""

UNDECIDED = {"inconclusive", "guardrail_unavailable"}
"""Reasons of NO_LAUNCH that decide nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportParts:
    """What a report is made of."""

    config: ExperimentConfig
    card: Scorecard
    rows: LogRows
    units: UnitReading
    coverage: LabelShare | None
    prevalence: LabelShare | None
    curves: Mapping[str, Mapping[str, Estimate | Unavailable]]


def model_report(parts: ReportParts) -> dict[str, Any]:
    """The report, strict JSON."""
    card, config = parts.card, parts.config
    sizes = {arm.key: arm.n for arm in card.arms}
    head: dict[str, Any] = {
        "experiment_name": config.name,
        "champion_model": config.champion_model,
        "duration_days": _days(parts),
        "max_duration_days": config.max_duration_days,
        "total_samples": sum(sizes.values()),
        "champion_samples": sizes[config.champion_model],
        "samples": sizes,
        "predictions": {model: int((parts.rows.model == model).sum()) for model in sizes},
        "practical_threshold": config.practical_threshold,
        "strong_threshold": config.strong_threshold,
        "srm": {"chi_square": card.srm.chi_square, "p_value": card.srm.p_value, "status": card.srm.status},
        "planned": _planned(parts),
        "looks": card.looks,
        "error_control": card.error_control,
        "data_source": card.intake.source,
        "findings": [msgspec.to_builtins(finding) for finding in card.findings],
        "invalid_reason": " ".join(finding.message for finding in card.findings if finding.severity == "critical") or None,
    }
    each = {challenger: head | _of_challenger(parts, challenger) for challenger in card.decisions}
    report = each[card.treatment]
    if len(each) > 1:
        own = ("challenger_samples", "primary_metric", "secondary_metrics", "guardrails", "label_coverage", "prevalence")
        spoken = ("decision", "reason", "verdict", "verdict_reason", "state", "rollout_plan")
        report = report | {"challengers": {name: {key: one[key] for key in (*own, *spoken)} for name, one in each.items()}}
    if card.segments is not None:
        report = report | {"segments": msgspec.to_builtins(card.segments)}
    # What is not finite has no place in JSON: an end of a one-sided interval is null.
    return json.loads(json.dumps(_finite(report), allow_nan=False))


def report_word(decision: Decision) -> str:
    """A decision in the report's words (V.b's mapping)."""
    if decision.verdict == "NO_LAUNCH" and decision.reason in UNDECIDED:
        return INCONCLUSIVE
    return DECISIONS[decision.verdict]


def _of_challenger(parts: ReportParts, challenger: str) -> dict[str, Any]:
    """The figures and the decision of one challenger."""
    card, config = parts.card, parts.config
    decision = card.decisions[challenger]
    primary = _metric(parts, card.comparison(card.primary, challenger))
    own: dict[str, Any] = {
        "challenger_model": challenger,
        "challenger_samples": next(arm.n for arm in card.arms if arm.key == challenger),
        "primary_metric": primary,
        "secondary_metrics": _secondary(parts, challenger),
        "guardrails": _guardrails(parts, challenger),
        "label_coverage": _pair(parts.coverage, config.champion_model, challenger),
        "prevalence": _pair(parts.prevalence, config.champion_model, challenger),
        "decision": report_word(decision),
        "verdict": decision.verdict,
        "verdict_reason": decision.reason,
        "state": decision.state,
        "reasoning": list(decision.reasoning),
    }
    own["reason"] = _reason(own["decision"], decision, primary)
    plan_of = own | {
        "duration_days": _days(parts),
        "max_duration_days": config.max_duration_days,
        "practical_threshold": config.practical_threshold,
        "strong_threshold": config.strong_threshold,
        "planned": _planned(parts),
        "srm": {"status": card.srm.status},
        "invalid_reason": "; ".join(decision.reasoning[:1]),
    }
    own["rollout_plan"] = make_rollout_decision(_finite(plan_of)).to_dict()
    return own


def _reason(word: str, decision: Decision, primary: Mapping[str, Any]) -> str:
    """One sentence, in the words of ML-16 where they are true."""
    if decision.state == "invalid":
        return f"Data not valid: {decision.reasoning[0] if decision.reasoning else 'a check failed'}"
    if decision.reason == "guardrail":
        return "Guardrail violated by the challenger"
    if primary["confidence_interval"] is None:
        return "No comparison was possible"
    chance, lift = primary["chance_to_win"], primary["relative_lift"]
    p = f"p={primary['p_value']:.4f}" if primary["p_value"] is not None else f"chance to win {chance:.1%}"
    sized = f"{p}, lift={'unknown' if lift is None else f'{lift:.2%}'}"
    told = {"harm": f"Champion significantly better ({p})", "small": f"Improvement too small to justify change ({sized})"}
    if word == ROLLOUT:
        return f"Challenger significantly better ({sized})"
    if decision.reason in told:
        return told[decision.reason]
    return f"{_undecided(decision) if primary['significant'] else 'No significant difference'} ({p})"


def _undecided(decision: Decision) -> str:
    """Why a difference that the test saw decides nothing."""
    if decision.reason == "guardrail_unavailable":
        return "A guardrail could not be read"
    return "Difference seen before the plan is complete" if decision.verdict == "EXTEND_TEST" else "No worthwhile difference"


def _metric(parts: ReportParts, row: Comparison) -> dict[str, Any]:
    """One comparison; null where nothing could be computed, with the reason."""
    found: dict[str, Any] = {"name": row.metric, "direction": row.direction, "kind": row.kind}
    estimate = row.estimate
    if estimate is None:
        metric = parts.units.metrics.get(row.metric)
        values = [
            None if metric is None else value_of(metric, parts.rows.model == model)
            for model in (parts.config.champion_model, row.treatment)
        ]
        reason = None if row.unavailable is None else {"code": row.unavailable.code, "reason": row.unavailable.reason}
        empty = (
            "absolute_lift",
            "relative_lift",
            "confidence_interval",
            "relative_confidence_interval",
            "statistic",
            "p_value",
            "p_adjusted",
        )
        return (
            found
            | dict(zip(("champion", "challenger"), values, strict=True))
            | dict.fromkeys(empty)
            | {"significant": None, "unavailable": reason}
        )
    believed = {"chance_to_win": None if row.posterior is None else row.posterior.chance_to_win}
    return found | _estimate(estimate) | believed | {"significant": row.reading in {"better", "worse"}}


def _estimate(estimate: Estimate) -> dict[str, Any]:
    return {
        "champion": estimate.control,
        "challenger": estimate.treatment,
        "absolute_lift": estimate.effect,
        "relative_lift": estimate.lift,
        "confidence_interval": _ends(estimate.interval),
        "relative_confidence_interval": _ends(estimate.lift_interval),
        "statistic": estimate.statistic,
        "p_value": estimate.p_value,
        "p_adjusted": estimate.p_adjusted,
        "correction": estimate.correction,
        "n_champion": estimate.n_control,
        "n_challenger": estimate.n_treatment,
        "method": estimate.method,
        "interval_method": estimate.interval_method,
        "notes": list(estimate.notes),
    }


def _secondary(parts: ReportParts, challenger: str) -> dict[str, Any]:
    """Secondary metrics, areas under curves with their resampled intervals among them."""
    card, found = parts.card, dict[str, Any]()
    for row in card.comparisons:
        if row.role == "secondary" and row.treatment == challenger:
            found[row.metric] = _metric(parts, row)
    for name, area in parts.curves.get(challenger, {}).items():
        if isinstance(area, Unavailable):
            found[name]["bootstrap"] = {"code": area.code, "reason": area.reason}
        elif name == "pr_auc":
            told = _estimate(area)
            found[name] = (
                {"name": name, "direction": found[name]["direction"], "kind": "curve"} | told | {"significant": area.interval.excludes()}
            )
        else:
            found[name]["bootstrap"] = {"confidence_interval": _ends(area.interval), "p_value": area.p_value}
    return found


def _guardrails(parts: ReportParts, challenger: str) -> dict[str, Any]:
    """Each guardrail against its limits and against the champion, and all together."""
    config, found = parts.config, dict[str, Any]()
    rows = [row for row in parts.card.comparisons if row.role == "guardrail" and row.treatment == challenger]
    states = [row.guardrail for row in rows if row.guardrail is not None]
    for row, state in zip(rows, states, strict=True):
        estimate = row.estimate
        name = row.metric if row.metric in config.guardrail_metrics else row.metric.removesuffix("_min")
        quantile = parts.units.quantiles.get(row.metric)
        values = (
            None if quantile is None else [value_of(quantile, parts.rows.model == model) for model in (config.champion_model, challenger)]
        )
        found[row.metric] = {
            "status": state.status,
            "violated": {"ALERT": True, "PASS": False}.get(state.status),
            "value": values[1] if values else None if estimate is None else estimate.treatment,
            "champion": values[0] if values else None if estimate is None else estimate.control,
            "share_beyond": None if estimate is None or values is None else estimate.treatment,
            "threshold": list(config.guardrail_metrics[name]),
            "n": None if estimate is None else estimate.n_treatment,
            "harm": state.harm,
            "non_inferior": state.non_inferior,
            "reason": state.reason,
        }
    overall = worst([state.status for state in states])
    found["_overall"] = {"status": overall or "PASS", "reason": None if states else "no_guardrails"}
    return found


def _planned(parts: ReportParts) -> dict[str, int] | None:
    """Users per model that the plan calls for: at the baseline, else at the champion's own rate; else what was declared."""
    config, card = parts.config, parts.card
    estimate = card.comparison(card.primary).estimate
    rate = parts.rows.options.baseline if parts.rows.options.baseline is not None else (None if estimate is None else estimate.control)
    metric = parts.units.metrics[card.primary]
    if rate is not None and metric.kind == "rate" and not parts.units.repeated:
        try:
            return planned_sizes(config, rate, parts.units.counted)
        except UsageError:
            pass
    declared = {arm.key: arm.planned_n for arm in card.arms if arm.planned_n is not None}
    return declared or None


def _pair(share: LabelShare | None, champion: str, challenger: str) -> dict[str, float | None] | None:
    return None if share is None else {"champion": share.shares[champion], "challenger": share.shares[challenger], "p_value": share.p_value}


def _days(parts: ReportParts) -> float | int:
    """Days of the run, a whole number where they are whole."""
    start, end = parts.rows.run
    days = (end - start).total_seconds() / 86_400.0
    return int(days) if days.is_integer() else days


def _ends(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]


def _finite(value: Any) -> Any:
    """The same with null for what is not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in cast("Mapping[str, Any]", value).items()}
    return [_finite(one) for one in cast("Sequence[Any]", value)] if isinstance(value, list | tuple) else value
