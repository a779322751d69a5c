"""Effects by day since assignment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fairtrial.reports.pages import figures


def novelty_rows(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Points (day, uplift, low, high) of `trajectory`; rates in percentage points."""
    factor = 100.0 if found["metric"] == "converted" else 1.0
    return [
        {"day": day["day"], "uplift": factor * day["effect"], "low": factor * day["ci_low"], "high": factor * day["ci_high"]}
        for day in found["trajectory"]
    ]


def novelty_sentence(found: Mapping[str, Any]) -> str:
    """What is known of a trend, and what to do."""
    if found["unavailable_reason"]:
        return f"Whether the effect changes with time cannot be told: {figures.words(found['unavailable_reason'])}."
    said = "The effect changes with the days" if found["has_novelty"] else "No change with the days is shown"
    return f"{said} ({figures.p_says(found['p_value'])}). {found['recommendation']}"
