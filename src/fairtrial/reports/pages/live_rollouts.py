"""A live rollout of the service: where it stands, what each evaluation said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fairtrial.analysis.rollout_sessions import SESSION_METRICS
from fairtrial.reports.formatting import DASH
from fairtrial.reports.pages import figures
from fairtrial.reports.rollout_view import HEADLINES, REASONS, TONES, span, value

STATUS: Mapping[str, str] = {"running": "good", "rolled_out": "wait", "rolled_back": "bad", "stopped": "bad"}


def decision_words(found: Mapping[str, Any]) -> tuple[str, str, tuple[str, ...]]:
    """Tone, headline and reasons of a decision."""
    code = found["decision"]
    return TONES[code], HEADLINES[code], tuple(REASONS.get(reason, figures.words(reason)) for reason in found["reasons"])


def live_cards(one: Mapping[str, Any]) -> tuple[tuple[str, str, str], ...]:
    """Share, users, sessions."""
    users: Mapping[str, int] = one["users"]
    return (
        ("Share treated", figures.percent(one["stage"]), f"next {figures.percent(one['next_stage'])}"),
        ("Users treated", figures.whole(users.get("treatment", 0)), f"{figures.whole(users.get('control', 0))} in the control"),
        ("Sessions", figures.whole(one["sessions"]), ""),
        ("Evaluations", figures.whole(len(one["history"])), ""),
    )


def history_table(one: Mapping[str, Any]) -> list[dict[str, str]]:
    """A row for each evaluation, the latest first."""
    rows: list[dict[str, str]] = []
    for entry in reversed(one["history"]):
        seen: Mapping[str, Any] = entry.get("primary") or {}
        rows.append(
            {
                "At": figures.minute(entry["at"]),
                "Day": str(entry["complete_days"]),
                "Share": figures.percent(entry["stage"]),
                "Decision": figures.words(entry["decision"]).capitalize(),
                "Improvement": figures.lift(seen.get("improvement")),
                "Why": "; ".join(REASONS.get(reason, reason) for reason in entry["reasons"]),
                "Applied": "yes" if entry["applied"] else "no",
            }
        )
    return rows


def share_steps(one: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Points (date, share in percent, group) of the traffic."""
    found = [{"date": change["at"], "share": 100.0 * change["share"], "group": "treated"} for change in one["shares"]]
    if found:
        found.append({**found[-1], "date": one["updated_at"]})
    return found


def guardrail_table(found: Mapping[str, Any]) -> list[dict[str, str]]:
    """A row for each guardrail of a decision."""
    return [
        {
            "Guardrail": row["metric"],
            "Status": row["status"],
            "Harm": figures.number(row["harm"]),
            "Interval": DASH if row["ci_low"] is None else f"{figures.number(row['ci_low'])} to {figures.number(row['ci_high'])}",
            "Tolerated": figures.number(row["margin"]),
            "Why": row["reason"],
        }
        for row in found["guardrails"]
    ]


RESULTS_NOTE = (
    "Improvements are positive where the treatment is better. Intervals are read once, at 95%; the evaluation alone, with its own "
    "boundaries, says when to stop."
)


def metric_table(read: Mapping[str, Any]) -> list[dict[str, str]]:
    """A row a metric: arms, improvement with its interval, p."""
    return [
        {
            "Metric": SESSION_METRICS[one["metric"]].label,
            "Role": one["role"],
            "Control": value(one["metric"], one["control"]),
            "Treatment": value(one["metric"], one["treatment"]),
            "Improvement": value(one["metric"], one["improvement"], signed=True),
            "95% interval": span(one["metric"], one["ci_low"], one["ci_high"]),
            "p": figures.p(one["p_value"] if one["p_adjusted"] is None else one["p_adjusted"]),
        }
        for one in read["metrics"]
    ]


def level_table(read: Mapping[str, Any]) -> list[dict[str, str]]:
    """A row a level of engagement: users, improvement with its corrected interval, what the average hides."""
    return [
        {
            "Engagement before": str(row["level"]),
            "Users": figures.percent(row["share"]),
            "Improvement": figures.number(row["improvement"]),
            "Corrected interval": f"{figures.number(row['ci_low'])} to {figures.number(row['ci_high'])}",
            "Harm": figures.words(row["harm"]) if row["harm"] else "",
        }
        for row in read["segments"]["levels"]
    ]
