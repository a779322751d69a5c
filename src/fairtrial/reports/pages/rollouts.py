"""A rollout as points of charts; its words are those of `reports.rollout_view`."""

from __future__ import annotations

import math
from typing import Any

from fairtrial.analysis.rollout_run import RolloutRun, segments_dict
from fairtrial.analysis.rollout_sessions import SESSION_METRICS
from fairtrial.reports.formatting import clean, share


def improvement_rows(run: RolloutRun) -> list[dict[str, Any]]:
    """Points (day, uplift, low, high) of the primary metric, each with the interval in force on that day."""
    found: list[dict[str, Any]] = []
    for day in run.days:
        seen = day.decision.primary
        if seen is None or not (math.isfinite(seen.interval.low) and math.isfinite(seen.interval.high)):
            continue
        found.append({"day": day.day, "uplift": seen.improvement_abs, "low": seen.interval.low, "high": seen.interval.high})
    return found


def boundary_rows(run: RolloutRun) -> list[dict[str, Any]]:
    """Points (day, value, group) of z and of the boundary, where a look is planned."""
    found: list[dict[str, Any]] = []
    for day in run.days:
        seen = day.decision.primary
        if seen is None:
            continue
        found.append({"day": day.day, "value": seen.z, "group": "z of the evidence"})
        if seen.boundary is not None:
            found.append({"day": day.day, "value": seen.boundary, "group": "boundary"})
    return found


def share_rows(run: RolloutRun) -> list[dict[str, Any]]:
    """Points (day, share in percent) of the treatment's traffic."""
    return [{"day": day.day, "share": 100.0 * day.share} for day in run.days]


def level_rows(run: RolloutRun) -> list[dict[str, Any]]:
    """Points (name, effect, low, high, tone, says) of the primary metric by engagement before the rollout."""
    if run.segments is None:
        return []
    found: list[dict[str, Any]] = []
    for row in segments_dict(run.segments)["levels"]:
        ends = (row["ci_low"], row["ci_high"])
        if row["improvement"] is None or any(end is None or not math.isfinite(end) for end in ends):
            continue
        tone = "worse" if row["harm"] else "better" if ends[0] > 0.0 else "inconclusive"
        says = f"{share(row['share'])} of users, corrected interval"
        found.append(
            {"name": clean(str(row["level"])), "effect": row["improvement"], "low": ends[0], "high": ends[1], "tone": tone, "says": says}
        )
    return found


def unit_of(run: RolloutRun) -> str:
    """Unit of the primary metric."""
    return SESSION_METRICS[run.rules.primary].unit
