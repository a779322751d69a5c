"""What reads by segment tell a reader before the result is believed. None is critical: no verdict rests on segments."""

from __future__ import annotations

from collections.abc import Sequence

from fairtrial.diagnostics.finding import Finding
from fairtrial.evaluation.segment_report import LevelEffect, SegmentColumn, SegmentComparison, SegmentLevel, Segments

SHARES_DIFFER = 1e-3
"""p-value of level by arm below which assignment or the column is in doubt (as for sample ratios)."""
WATCHED = frozenset({"primary", "guardrail"})
"""Roles whose suspected harm is worth a finding; that of secondary metrics is in the table."""


def segment_findings(segments: Segments | None) -> list[Finding]:
    """Findings on reads by segment, in the order of the columns and comparisons.

    Args:
        segments: As in the scorecard; None gives no finding.
    """
    if segments is None:
        return []
    found: list[Finding] = []
    for column in segments.columns:
        found += _shares(column) + _thin(column, segments)
    shares = {column.column: column.shares_p_value for column in segments.columns}
    for row in segments.comparisons:
        found += _hidden(row) + _suspected(row) + _reversal(row, shares[row.column]) + _differ(row, segments.alpha)
    return found


def _shares(column: SegmentColumn) -> list[Finding]:
    p_value = column.shares_p_value
    if p_value is None or p_value >= SHARES_DIFFER:
        return []
    return [
        Finding(
            code="segment_shares_differ",
            severity="warning",
            message=f"The levels of {column.column} have different shares in different arms, which randomisation does not do to a column "
            "known before assignment.",
            action="Find out whether the treatment changes the column (then it is no segment) or whether units were lost unevenly.",
            numbers={"column": column.column, "p_value": p_value},
        )
    ]


def _thin(column: SegmentColumn, segments: Segments) -> list[Finding]:
    thin = [level for level in column.levels if min(level.n.values()) < segments.min_units]
    if not thin:
        return []
    return [
        Finding(
            code="thin_segments",
            severity="info",
            message=f"Levels of {column.column} with an arm of fewer than {segments.min_units} units are not read: {_names(thin)}.",
            action="Nothing can be said of these units by themselves; they count in the whole.",
            numbers={"column": column.column, "levels": len(thin), "min_units": segments.min_units},
        )
    ]


def _hidden(row: SegmentComparison) -> list[Finding]:
    hurt = [level for level in row.levels if level.harm == "hidden_regression"]
    if not hurt:
        return []
    return [
        Finding(
            code="hidden_regression",
            severity="warning",
            message=f"Where {row.column} is {_names(hurt)}, {row.metric} is significantly worse in {row.treatment}, while over all units "
            "its estimate is for the better.",
            action="Find out what breaks there before anything is rolled out to these units; the average hides it.",
            metric=row.metric,
            arm=row.treatment,
            numbers=_numbers(row, hurt),
        )
    ]


def _suspected(row: SegmentComparison) -> list[Finding]:
    hurt = [level for level in row.levels if level.harm == "suspected"]
    if not hurt or row.role not in WATCHED:
        return []
    return [
        Finding(
            code="suspected_regression",
            severity="info",
            message=f"Where {row.column} is {_names(hurt)}, the estimate of {row.metric} in {row.treatment} is for the worse, while over "
            "all units it is for the better.",
            action="Chance alone does this to some levels: look at the shrunken effect, and watch these units.",
            metric=row.metric,
            arm=row.treatment,
            numbers=_numbers(row, hurt),
        )
    ]


def _numbers(row: SegmentComparison, hurt: Sequence[LevelEffect]) -> dict[str, float | int | str | None]:
    """The level that is hurt most, and by how much."""
    worst = max(hurt, key=lambda level: 0.0 if level.estimate is None else abs(level.estimate.effect))
    effect = None if worst.estimate is None else worst.estimate.effect
    return {"column": row.column, "level": worst.level, "effect": effect, "shrunken": worst.shrunken}


def _reversal(row: SegmentComparison, shares_p_value: float | None) -> list[Finding]:
    if not row.reversed:
        return []
    doubtful = shares_p_value is not None and shares_p_value < SHARES_DIFFER
    return [
        Finding(
            code="simpson_reversal",
            severity="warning" if doubtful or any(level.reading in {"better", "worse"} for level in row.levels) else "info",
            message=f"The effect of {row.treatment} on {row.metric} over all units points one way and in every level of {row.column} "
            "the other (Simpson's paradox): the arms hold different mixes of levels.",
            action=f"Believe the levels, not the whole: compare within {row.column} (data.adjust: post_stratify, strata: "
            f"[{row.column}]) and find out why the mixes differ.",
            metric=row.metric,
            arm=row.treatment,
            numbers={"column": row.column, "shares_p_value": shares_p_value},
        )
    ]


def _differ(row: SegmentComparison, alpha: float) -> list[Finding]:
    differ = row.differ
    if differ is None or differ.p_adjusted >= alpha:
        return []
    return [
        Finding(
            code="segments_differ",
            severity="info",
            message=f"The effect of {row.treatment} on {row.metric} differs between the levels of {row.column}.",
            action="Read the shrunken effects, not the largest one; confirm a difference in a new experiment before building on it.",
            metric=row.metric,
            arm=row.treatment,
            numbers={"column": row.column, "q": differ.q, "df": differ.df, "p_value": differ.p_value, "p_adjusted": differ.p_adjusted},
        )
    ]


def _names(levels: Sequence[LevelEffect] | Sequence[SegmentLevel]) -> str:
    return ", ".join(repr(level.level if isinstance(level, LevelEffect) else level.name) for level in levels)
