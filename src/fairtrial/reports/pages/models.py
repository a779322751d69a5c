"""Experiments of models: traffic, shadow agreement, guardrails, report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from fairtrial.reports.formatting import DASH
from fairtrial.reports.pages import figures

STATES: Mapping[str, str] = {"running": "good", "paused": "caution", "stopped": "bad", "completed": "wait"}
STATUS: Mapping[str, str] = {"ok": "good", "violated": "bad", "insufficient": "wait", "no_data": "caution"}


def traffic_rows(one: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Bars (name, share in percent) of the traffic."""
    return [{"name": model, "share": 100.0 * share} for model, share in one["traffic_allocation"].items()]


def history_rows(one: Mapping[str, Any]) -> list[dict[str, str]]:
    """Every step that led here, the latest first."""
    rows = [
        {
            "At": figures.minute(event.get("at")),
            "What": figures.words(event.get("what")),
            "Stage": str(event.get("stage", DASH)),
            "By": str(event.get("by", DASH)),
            "Why": str(event.get("reason", "")),
        }
        for event in one["history"]
    ]
    return rows[::-1]


def shadow_cards(shadow: Mapping[str, Any]) -> tuple[tuple[str, str, str], ...]:
    """How far champion and challenger agree."""
    rate = shadow["divergence_rate"]
    interval = f"95% {figures.percent(shadow['ci_low'])} to {figures.percent(shadow['ci_high'])}" if rate is not None else ""
    latency: Mapping[str, Any] = shadow["latency"] or {}
    slower: float | None = latency.get("mean_difference_ms")
    return (
        ("Mirrored", figures.whole(shadow["requests"]), f"{figures.whole(shadow['dropped'])} dropped"),
        ("Diverge", figures.percent(rate), f"{interval}, limit {figures.percent(shadow['limit'])}"),
        ("Labels flip", figures.percent(shadow["label_flip_rate"]), ""),
        ("Challenger fails", figures.whole(shadow["challenger_errors"]), f"{figures.whole(shadow['challenger_timeouts'])} too late"),
        ("Gate", figures.words(shadow["gate"]), "" if slower is None else f"{figures.number(slower, 3)} ms slower"),
    )


def guardrail_rows(found: Mapping[str, Any]) -> list[dict[str, str]]:
    """A row a guardrail, of the latest rows."""
    rows: list[dict[str, str]] = []
    metrics: Mapping[str, Mapping[str, Any]] = found["metrics"]
    for name, one in metrics.items():
        low, high = one.get("threshold") or (None, None)
        rows.append(
            {
                "Guardrail": name,
                "Status": figures.words(one.get("status")),
                "Value": figures.number(one.get("value")),
                "Limits": f"{figures.number(low)} to {figures.number(high)}",
                "Rows": figures.whole(one.get("n")),
                "Interval": f"{figures.number(one.get('ci_low'))} to {figures.number(one.get('ci_high'))}",
                "Why": str(one.get("reason") or ""),
            }
        )
    return rows


def watch_sentence(found: Mapping[str, Any]) -> str:
    """What the watch with one error rate says of the whole run."""
    watch = found["watch"]
    reason = watch.get("reason") or ""
    return f"The watch over the whole run says: {figures.words(watch.get('status'))}." + (f" {reason}" if reason else "")


def report_cards(report: Mapping[str, Any]) -> tuple[tuple[str, str, str], ...]:
    """The primary metric of champion and challenger."""
    metric = report["primary_metric"]
    champion = metric.get("champion_rate", metric.get("champion_mean"))
    challenger = metric.get("challenger_rate", metric.get("challenger_mean"))
    coverage: Mapping[str, Any] = report["label_coverage"] or {}
    return (
        ("Champion", figures.number(champion), f"{figures.whole(report['champion_samples'])} predictions"),
        ("Challenger", figures.number(challenger), f"{figures.whole(report['challenger_samples'])} predictions"),
        ("Lift", figures.lift(metric.get("relative_lift", metric.get("relative_change"))), figures.words(metric.get("metric"))),
        ("p-value", figures.p(metric.get("p_value")), ""),
        ("Labels known", " / ".join(figures.percent(value) for value in coverage.values()) or DASH, " / ".join(coverage)),
    )


def report_sentence(report: Mapping[str, Any]) -> str:
    """Decision and reason."""
    return f"{figures.words(report['decision']).capitalize()}. {report['reason']}"


class GuardrailChart(NamedTuple):
    """A guardrail over time.

    Attributes:
        metric: Its name.
        points: (date, group, value, low, high, says) of the windows that hold values.
        limits: (limit, says).
        top: End of the axis: room for every value and three times the limit; None where nothing above 0 is known.
    """

    metric: str
    points: list[dict[str, Any]]
    limits: list[dict[str, Any]]
    top: float | None


def timeline_charts(timeline: Mapping[str, Any]) -> list[GuardrailChart]:
    """A chart for each guardrail. Intervals of thin windows may reach far beyond; the axis follows values and limits."""
    by_metric: dict[str, list[Mapping[str, Any]]] = {}
    for point in timeline["points"]:
        by_metric.setdefault(point["metric"], []).append(point)
    charts: list[GuardrailChart] = []
    for metric, points in by_metric.items():
        rows: list[dict[str, Any]] = [
            {
                "date": point["at"],
                "group": point["model"],
                "value": point["value"],
                "low": point["value"] if point["ci_low"] is None else point["ci_low"],
                "high": point["value"] if point["ci_high"] is None else point["ci_high"],
                "says": f"{figures.number(point['value'])}, {figures.whole(point['n'])} values: {figures.words(point['status'])}",
            }
            for point in points
            if point["value"] is not None
        ]
        low, high = points[0]["threshold"]
        limits = [{"limit": end, "says": f"limit {figures.number(end)}"} for end in (low, high) if end]
        values = [float(point["value"]) for point in points if point["value"] is not None]
        room = [1.15 * value for value in values] + ([(3.0 if high < 1.0 else 1.15) * high] if high else [])
        charts.append(GuardrailChart(metric, rows, limits, max(room) if room and max(room) > 0.0 <= min(values, default=0.0) else None))
    return charts


def timeline_note(timeline: Mapping[str, Any]) -> str:
    """What a window is, and what it is not."""
    minutes = timeline["window_minutes"]
    width = f"{figures.number(minutes, 3)} minutes" if minutes < 120.0 else f"{figures.number(minutes / 60.0, 3)} hours"
    return f"Windows of {width} since {figures.minute(timeline['start'])} with their own 95% intervals; the watch alone stops a run."
