"""A scorecard's effects as points of a chart; its words are those of `reports.views`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from fairtrial.evaluation.scorecard import Comparison, Scorecard
from fairtrial.reports.formatting import clean
from fairtrial.reports.rows import row


def forest_rows(card: Scorecard) -> list[dict[str, Any]]:
    """A row for each metric and treatment that has a lift with a finite interval, in percent, the primary first."""
    several = len({one.treatment for one in card.comparisons}) > 1
    order = {"primary": 0, "guardrail": 1, "secondary": 2}
    ordered = sorted(card.comparisons, key=lambda one: order[one.role])
    return [found for one in ordered if (found := _forest_row(card, one, several=several)) is not None]


def _forest_row(card: Scorecard, one: Comparison, *, several: bool) -> dict[str, Any] | None:
    estimate = one.estimate
    if estimate is None or estimate.lift is None or estimate.lift_interval is None:
        return None
    low, high = estimate.lift_interval.low, estimate.lift_interval.high
    if not (math.isfinite(low) and math.isfinite(high)):
        return None
    trusted = card.decision.state != "invalid"
    shown = row(one, alpha=card.plan.alpha, mark=None, trusted=trusted)
    name = f"{clean(one.metric)} · {clean(one.treatment)}" if several else clean(one.metric)
    return {
        "name": name,
        "effect": 100.0 * estimate.lift,
        "low": 100.0 * low,
        "high": 100.0 * high,
        "tone": one.reading if trusted else "unavailable",
        "says": shown.spoken,
    }


def not_drawn(card: Scorecard, rows: Sequence[dict[str, Any]]) -> str:
    """What the chart leaves out, and why; empty when nothing."""
    missing = len(card.comparisons) - len(rows)
    if not missing:
        return ""
    return f"{missing} of {len(card.comparisons)} effects have no relative interval that ends on both sides; the table has them."
