"""The charts of a complete report, each a self-contained SVG (XC-21)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

from scipy import special

from fairtrial.analysis.quick import QuickAnalysis
from fairtrial.evaluation.scorecard import Comparison, Scorecard
from fairtrial.reports.formatting import clean
from fairtrial.reports.line_chart import INKS, Axes, Line, line_chart

LONGEST = 14
"""Letters of a name on an axis."""


def charts(made: QuickAnalysis, earlier: Sequence[Mapping[str, Any]] = ()) -> dict[str, str]:
    """The charts that the data allows, by name: `primary_comparison`, `effect_size_ci`, `distributions`, `cumulative_effect`.

    Args:
        made: The analysis.
        earlier: Scorecards of earlier looks as their JSON is read, oldest first; with one at least the effect is
            drawn over the looks.
    """
    card = made.scorecard
    found = {
        "primary_comparison": _arms(made),
        "effect_size_ci": _lifts(card),
        "distributions": _distribution(made),
        "cumulative_effect": _over_looks(card, earlier),
    }
    return {name: chart for name, chart in found.items() if chart is not None}


def _arms(made: QuickAnalysis) -> str | None:
    """Each arm's mean with its own 95% interval."""
    card = made.scorecard
    row = card.comparison(card.primary, card.treatment)
    summary: dict[str, dict[str, Any]] = made["statistical_results"]["data_summary"]
    lines: list[Line] = []
    for arm, known in summary.items():
        if known["mean"] is None or known["std"] is None:
            return None
        mean = float(known["mean"])
        half = float(special.stdtrit(int(known["n"]) - 1, 0.975)) * float(known["std"]) / math.sqrt(known["n"])
        lines.append(Line(name=_short(arm), x=[float(len(lines))], y=[mean], low=[mean - half], high=[mean + half]))
    percent = row.kind == "proportion"
    axes = Axes(
        title=f"{clean(row.metric)} by variant, 95% intervals",
        x_label="variant",
        y_label="share of units" if percent else "mean per unit",
        x_names=[_short(arm) for arm in summary],
        percent=percent,
        y_range=_around([end for line in lines for end in (*line.low, *line.high)]),
    )
    return line_chart(lines, axes)


def _lifts(card: Scorecard) -> str | None:
    """The lift of every metric under the treatment that the verdict speaks of, with its interval."""
    rows = [row for row in card.comparisons if row.treatment == card.treatment and _lift(row) is not None][: 2 * len(INKS)]
    if not rows:
        return None
    lines: list[Line] = []
    for role in ("primary", "guardrail", "secondary"):
        points = [(float(place), *found) for place, row in enumerate(rows) if row.role == role and (found := _lift(row)) is not None]
        if points:
            x, y, low, high = _apart(points)
            lines.append(Line(name=role, x=x, y=y, low=low, high=high))
    axes = Axes(
        title=f"Lift of {clean(card.treatment)} over {clean(card.control)}, with intervals",
        x_label="metric",
        y_label="lift",
        x_names=[_short(row.metric) for row in rows],
        reference=0.0,
    )
    return line_chart(lines, axes)


def _distribution(made: QuickAnalysis) -> str | None:
    """Shares of units by value of the primary metric."""
    card = made.scorecard
    found: dict[str, list[float]] | None = made["statistical_results"]["distribution"]
    if found is None or len(found["places"]) < 2:
        return None
    places: list[float] = list(found["places"])
    lines = [Line(name=_short(arm), x=places, y=found[arm]) for arm in (card.control, card.treatment)]
    axes = Axes(title=f"Distribution of {clean(card.primary)}", x_label=clean(card.primary), y_label="share of units")
    return line_chart(lines, axes)


def _over_looks(card: Scorecard, earlier: Sequence[Mapping[str, Any]]) -> str | None:
    """The primary metric's effect at each look, with its interval: intervals of one look are not valid for all."""
    looks = [found for past in earlier if (found := _effect_of(past, card)) is not None]
    now = card.comparison(card.primary, card.treatment).estimate
    if not looks or now is None:
        return None
    ends = [*looks, (now.effect, now.interval.low, now.interval.high)]
    x = [float(place) for place in range(len(ends))]
    line = Line(name=_short(card.treatment), x=x, y=[e[0] for e in ends], low=[e[1] for e in ends], high=[e[2] for e in ends])
    percent = card.comparison(card.primary, card.treatment).kind == "proportion"
    names = [f"look {place + 1}" for place in range(len(ends))]
    axes = Axes(
        title=f"Effect on {clean(card.primary)} by look", x_label="look", y_label="effect", x_names=names, percent=percent, reference=0.0
    )
    return line_chart([line], axes)


def _effect_of(past: Mapping[str, Any], card: Scorecard) -> tuple[float, float, float] | None:
    rows = cast("Sequence[Mapping[str, Any]]", past.get("comparisons", ()))
    for row in rows:
        estimate = row.get("estimate")
        if row.get("metric") == card.primary and row.get("treatment") == card.treatment and estimate:
            ends = estimate["interval"]
            low = -math.inf if ends["low"] is None else float(ends["low"])
            return float(estimate["effect"]), low, math.inf if ends["high"] is None else float(ends["high"])
    return None


def _lift(row: Comparison) -> tuple[float, float, float] | None:
    estimate = row.estimate
    if estimate is None or estimate.lift is None or estimate.lift_interval is None:
        return None
    return estimate.lift, estimate.lift_interval.low, estimate.lift_interval.high


def _apart(points: Sequence[tuple[float, float, float, float]]) -> tuple[list[float], list[float], list[float], list[float]]:
    """Points with a gap after each, so that no line joins metrics."""
    x, y, low, high = ([value for point in points for value in (point[column], math.nan)] for column in range(4))
    return [place if math.isfinite(place) else x[i - 1] for i, place in enumerate(x)], y, low, high


def _around(ends: Sequence[float]) -> tuple[float, float]:
    """The ends with some room, not from 0: means far from it would hide their difference."""
    room = 0.15 * (max(ends) - min(ends)) or 0.1 * (abs(ends[0]) or 1.0)
    return min(ends) - room, max(ends) + room


def _short(name: str) -> str:
    text = clean(name)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
