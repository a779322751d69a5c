"""segment_effects(): who is helped and who is hurt, beside what the average says.

The rules are those of a spec's `segments` section (`evaluation.segments`): first Cochran's
test of whether levels differ, then corrected effects and simultaneous intervals, shrunken ones
beside them. Every declared level stands under the same rule, which makes it a view of fairness too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fairtrial.analysis.frame import MetricLike, analyze
from fairtrial.diagnostics.finding import Finding
from fairtrial.errors import DataError, UsageError
from fairtrial.evaluation import Scorecard
from fairtrial.evaluation.segment_findings import segment_findings
from fairtrial.evaluation.segment_report import Harm, Segments


@dataclass(frozen=True, slots=True, kw_only=True)
class HurtLevel:
    """A level that is worse off, in estimate at least, while the whole is better off.

    Attributes:
        column: The segment column.
        level: Name of the level.
        metric: Key of the metric.
        treatment: The arm that hurts.
        harm: `hidden_regression` where the corrected interval is on the harmful side, `suspected` where the estimate alone is.
        effect: Treatment less control within the level, in the metric's unit.
        n: Units of the level, both arms and any other.
        share: Its part of all units, in [0, 1].
    """

    column: str
    level: str
    metric: str
    treatment: str
    harm: Harm
    effect: float
    n: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentEffects:
    """Effects by segment and what they say.

    Attributes:
        segments: Test of whether levels differ, and the effect in each level.
        hurt: Levels hidden by the average, by column, metric and treatment in declared order.
        findings: On levels: different shares by arm, thin levels, hidden and suspected regressions, Simpson's reversals.
        scorecard: The whole that the levels are read beside.
    """

    segments: Segments
    hurt: tuple[HurtLevel, ...]
    findings: tuple[Finding, ...]
    scorecard: Scorecard


def segment_effects(
    data: Any,
    *,
    arm: str,
    metrics: Sequence[MetricLike],
    by: str | Sequence[str] | Mapping[str, object],
    unit: str | None = None,
    control: str | float | bool | None = None,
    shares: Mapping[str, float] | Literal["equal", "unknown"] = "equal",
    **plan: object,
) -> SegmentEffects:
    """Effects within groups known before assignment, and who is hurt while the average is better.

    Args:
        data: A pandas or polars frame, an Arrow table, or the address of a file; one row a randomised unit.
        arm: Column that names the arm.
        metrics: Made by `proportion`, `mean`, `count` and `ratio`, each with its `direction` where less is better.
        by: Column of levels (engagement low, medium, high before the experiment began), several, or a spec's `segments` section.
            A column that the treatment can change is none.
        unit: Column that identifies the randomised unit; without it repeats cannot be seen.
        control: Value of the control arm; default "control".
        shares: Planned share of each arm; "unknown" skips the check of sample ratios.
        **plan: Keys of a spec's plan: `alpha`, `correction`, ...

    Returns:
        Effects in the metrics' units and what they say; a thin level is unavailable with its reason.

    Raises:
        UsageError: An argument breaks a rule.
        DataError: The data cannot answer.

    References:
        Cochran (1954), Biometrics 10, 101-129; corrections and shrinkage: see `fairtrial.evaluation.segments`.
    """
    if not by:
        raise UsageError("segment_effects needs a column of levels at least, got none.", hint="Pass by='engagement'.")
    columns = [by] if isinstance(by, str) else by
    card = analyze(data, arm=arm, metrics=metrics, unit=unit, control=control, shares=shares, segments=columns, **plan)
    segments = card.segments
    if segments is None:  # a reading that was asked for columns has them
        raise DataError("The data holds nothing by segment.", hint="Name columns of the unit table.")
    return SegmentEffects(segments=segments, hurt=_hurt(segments), findings=tuple(segment_findings(segments)), scorecard=card)


def _hurt(segments: Segments) -> tuple[HurtLevel, ...]:
    who = {(column.column, level.name): level for column in segments.columns for level in column.levels}
    return tuple(
        HurtLevel(
            column=row.column,
            level=level.level,
            metric=row.metric,
            treatment=row.treatment,
            harm=level.harm,
            effect=level.estimate.effect,
            n=sum(who[row.column, level.level].n.values()),
            share=who[row.column, level.level].share,
        )
        for row in segments.comparisons
        for level in row.levels
        if level.harm is not None and level.estimate is not None
    )
