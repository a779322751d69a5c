"""A run of a rollout as the words and figures that every form of its report shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fairtrial.analysis.rollout_days import MetricResult
from fairtrial.analysis.rollout_run import RolloutDay, RolloutRun, segments_dict
from fairtrial.analysis.rollout_sessions import SESSION_METRICS
from fairtrial.decisions.ramp_guardrails import GuardrailReading
from fairtrial.reports.formatting import clean, count, p_value

HEADLINES: Mapping[str, str] = {
    "ROLLOUT": "Roll out to everybody",
    "ROLLBACK": "Take the traffic back",
    "HOLD": "Hold the share, and look into it",
    "RAMP_UP": "Raise the share",
    "CONTINUE": "Go on at this share",
}
TONES: Mapping[str, str] = {"ROLLOUT": "good", "ROLLBACK": "bad", "HOLD": "caution", "RAMP_UP": "wait", "CONTINUE": "wait"}

REASONS: Mapping[str, str] = {
    "boundary_crossed": "the evidence crossed the boundary of the sequential test",
    "boundary_not_crossed": "the evidence has not crossed the boundary of the sequential test",
    "before_first_look": "the first planned look has not come yet",
    "practical_effect": "the improvement reaches the practical threshold",
    "strong_effect": "the whole interval lies above the strong threshold",
    "effect_below_practical_threshold": "the improvement is proven, but smaller than the practical threshold",
    "guardrails_pass": "all guardrails pass",
    "no_guardrails": "no guardrail is declared",
    "guardrail_warning": "a guardrail warns",
    "guardrail_unavailable": "a guardrail cannot be read, and no data is no pass",
    "guardrail_alert": "a guardrail is in alarm",
    "harm": "the primary metric is worse beyond doubt",
    "sample_ratio_mismatch": "the arms do not have their planned shares, so the effects cannot be trusted",
    "kill_threshold": "the primary metric lies beyond the kill threshold",
    "stage_minimum_met": "the stage has had its days and users",
    "stage_minimum_not_met": "the stage has not had its days and users yet",
    "not_enough_data": "there are too few data yet",
    "last_stage": "there is no further stage",
    "next_stage_is_full": "the next stage is all traffic, which needs proof",
    "held_by_limits": "a limit of adaptation keeps the share where it is",
    "futile": "the improvement cannot reach the practical threshold any more",
    "inconclusive": "the plan ended without proof of an improvement",
}
"""Reason codes in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutView:
    """What a report shows.

    Attributes:
        title: Name of the rollout.
        setting: What was simulated, in a line.
        decision: The last decision.
        tone: Of it.
        headline: What to do, in words.
        reasons: Why, in words.
        facts: Names and values: stop day, savings, the estimate after the stop, full duration.
        days: A row a day: day, share, improvement, interval, z and boundary, guardrails, decision.
        metrics: A row a metric: name, control, treatment, improvement, interval, p.
        guardrails: A row a guardrail on the last day: name, status, harm, interval, margin.
        levels: A row a level of engagement: name, users, improvement, interval, p, what it hides.
        level_notes: What the levels say.
        truth: A row a metric: name, true lift.
        notes: How the figures were made.
    """

    title: str
    setting: str
    decision: str
    tone: str
    headline: str
    reasons: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    days: tuple[tuple[str, ...], ...]
    metrics: tuple[tuple[str, ...], ...]
    guardrails: tuple[tuple[str, ...], ...]
    levels: tuple[tuple[str, ...], ...]
    level_notes: tuple[str, ...]
    truth: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


DAY_HEAD = ("day", "share", "improvement", "interval in force", "z / boundary", "guardrails", "decision")
METRIC_HEAD = ("metric", "control", "treatment", "improvement", "95% interval", "p")
GUARDRAIL_HEAD = ("guardrail", "status", "harm", "interval", "tolerated")
LEVEL_HEAD = ("engagement before", "users", "improvement", "corrected interval", "p", "hidden by the average")

NOTES = (
    "Improvements are positive where the treatment is better, whichever way the metric points.",
    (
        "Task time is over all sessions: a task that was not accepted counts with the censoring time. "
        "The mean over accepted tasks alone stands beside it and decides nothing."
    ),
    "Intervals by day hold at all planned looks together; before the first look they hold at any time and are read for harm alone.",
    (
        "Intervals of metrics are studentised bootstraps of users, stratified by arm and stage, read once; "
        "p-values of secondary metrics are corrected (Benjamini-Hochberg), guardrails are not."
    ),
)


def view_rollout(run: RolloutRun) -> RolloutView:
    """The view of a run."""
    config, last = run.config, run.last
    shares = "staged: " + ", ".join(f"{stage:.0%}" for stage in run.rules.stages) if run.ramp else f"{config.treatment_share:.0%} treated"
    levels = None if run.segments is None else segments_dict(run.segments)
    return RolloutView(
        title=clean(run.rules.name),
        setting=f"SIMULATED: {count(config.users)} users, {config.days} days, seed {config.seed}, noise {config.noise:g}, {shares}",
        decision=last.decision,
        tone=TONES[last.decision],
        headline=HEADLINES[last.decision],
        reasons=tuple(REASONS.get(code, code) for code in last.reasons),
        facts=_facts(run),
        days=tuple(_day(day, run.rules.primary) for day in run.days),
        metrics=tuple(_metric(metric) for metric in run.metrics),
        guardrails=tuple(_guardrail(reading) for reading in last.guardrails),
        levels=() if levels is None else tuple(_level(row, run.rules.primary) for row in levels["levels"]),
        level_notes=_level_notes(levels),
        truth=tuple((SESSION_METRICS[metric].label, _relative(groups[""].lift)) for metric, groups in run.truth.items()),
        notes=NOTES,
    )


def value(metric: str, number: float, *, signed: bool = False) -> str:
    """A value of a metric with its unit."""
    seen = SESSION_METRICS[metric]
    sign = "+" if signed else ""
    if seen.form == "session_rate":
        return f"{100 * number:{sign}.2f}{' pp' if signed else '%'}"
    return f"{number:{sign}.2f} {seen.unit}"


def span(metric: str, low: float, high: float) -> str:
    """An interval of a difference of a metric with its unit."""
    seen = SESSION_METRICS[metric]
    scale, unit = (100.0, "pp") if seen.form == "session_rate" else (1.0, seen.unit)
    return f"{scale * low:+.2f} to {scale * high:+.2f} {unit}"


def _relative(number: float | None) -> str:
    return "unknown" if number is None else f"{100 * number:+.2f}%"


def _facts(run: RolloutRun) -> tuple[tuple[str, str], ...]:
    last, metric = run.last, run.rules.primary
    facts: list[tuple[str, str]] = []
    planned = run.rules.policy.max_days
    if run.stop_day is not None:
        facts.append(("Stop", f"day {run.stop_day} of {planned}"))
    if run.saved_user_days is not None:
        facts.append(("Saved", f"{count(round(run.saved_user_days))} user-days"))
    seen = None if last.primary is None else last.primary
    if seen is not None:
        facts.append(("Plain estimate", f"{value(metric, seen.improvement_abs, signed=True)} ({_relative(seen.improvement)})"))
    if seen is not None and seen.after_stop is not None:
        after = seen.after_stop
        facts[-1] = (facts[-1][0], facts[-1][1] + ", too far from 0 on average after a stop")
        facts.append(
            (
                "Median-unbiased",
                (
                    f"{value(metric, after.median_unbiased, signed=True)} ({_relative(after.relative)}), "
                    f"{span(metric, after.ci_low, after.ci_high)}, p {p_value(after.p_value)}"
                ),
            )
        )
    if run.full is not None and last.stop_day is not None and last.stop_day < planned:
        full = run.full
        facts.append(
            (
                "Full duration",
                (
                    f"{value(metric, full.improvement, signed=True)} ({_relative(full.relative)}), "
                    f"{span(metric, full.interval.low, full.interval.high)} had nobody looked before day {planned}"
                ),
            )
        )
    return tuple(facts)


def _day(day: RolloutDay, metric: str) -> tuple[str, ...]:
    made = day.decision
    seen = made.primary
    states = [reading.status for reading in made.guardrails]
    guardrails = made.overall or "none"
    if made.overall not in {None, "PASS"}:
        guardrails = f"{made.overall}: " + ", ".join(r.metric for r in made.guardrails if r.status == made.overall)
    elif states:
        guardrails = "pass"
    if seen is None:
        return (str(day.day), f"{day.share:.0%}", "no estimate", "", "", guardrails, made.decision)
    return (
        str(day.day),
        f"{day.share:.0%}",
        value(metric, seen.improvement_abs, signed=True),
        span(metric, seen.interval.low, seen.interval.high),
        f"{seen.z:.2f} / {'no look' if seen.boundary is None else f'{seen.boundary:.2f}'}",
        guardrails,
        made.decision,
    )


def _metric(result: MetricResult) -> tuple[str, ...]:
    key = result.metric
    p = p_value(result.p_value) if result.p_adjusted is None else f"{p_value(result.p_adjusted)} corrected"
    return (
        SESSION_METRICS[key].label,
        value(key, result.control),
        value(key, result.treatment),
        value(key, result.improvement, signed=True),
        span(key, result.interval.low, result.interval.high),
        p if result.role != "beside" else "not tested",
    )


def _guardrail(reading: GuardrailReading) -> tuple[str, ...]:
    label = SESSION_METRICS[reading.metric].label
    tolerated = "" if reading.margin is None else value(reading.metric, reading.margin, signed=True)
    if reading.harm is None or reading.ci_low is None or reading.ci_high is None:
        return (label, reading.status, "", clean(reading.reason), tolerated)
    between = span(reading.metric, reading.ci_low, reading.ci_high)
    return (label, reading.status, value(reading.metric, reading.harm, signed=True), between, tolerated)


def _level(row: Mapping[str, object], metric: str) -> tuple[str, ...]:
    n, improvement = row["n"], row["improvement"]
    users = count(n) if isinstance(n, int) else ""
    hidden = {"hidden_regression": "HIDDEN REGRESSION", "suspected": "suspected"}.get(str(row["harm"]), "")
    if not isinstance(improvement, float):
        return (str(row["level"]), users, "too few users", "", "", hidden)
    low, high, p = row["ci_low"], row["ci_high"], row["p_adjusted"]
    return (
        str(row["level"]),
        users,
        value(metric, improvement, signed=True),
        span(metric, low, high) if isinstance(low, float) and isinstance(high, float) else "",
        p_value(p) if isinstance(p, float) else "",
        hidden,
    )


def _level_notes(levels: Mapping[str, Any] | None) -> tuple[str, ...]:
    if levels is None:
        return ("Effects by engagement cannot be read: too few users, or no control left.",)
    p = levels["p_value"]
    first = (f"Do the levels differ? Cochran's Q {levels['q']:.2f}, p {p_value(p)}.",) if isinstance(p, float) else ()
    return (*first, *(one["message"] for one in levels["findings"]))
