"""Effects by attribute of profiles: the levels of a spec's `segments`, counted in the service's own tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from sqlalchemy.orm import Session

from fairtrial.errors import UsageError
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.metric import covariates_of
from fairtrial.spec.segments import SegmentsSpec
from fairtrial.stats.moments import CoMoments, Moments
from fairtrial.stats.reading import ArmStats, LevelStats, OutcomeStats, SegmentStats
from fairtrial.stats.result import Unavailable
from fairtrial.storage.readings import ArmCounts, Window
from fairtrial.storage.segments import count_by_attribute

MISSING, OTHER, EMPTY = "(missing)", "(other)", "(empty)"
NUMBERS = ("age", "ltv")
"""Columns of profiles that are amounts."""

ADJUSTED = Unavailable(
    code="not_by_segment",
    reason="The metric is adjusted for a covariate, and the service reads such metrics for all profiles together alone.",
)

Levels = Mapping[str | None, Mapping[str, ArmCounts]]


def check_segments(segments: SegmentsSpec | None) -> None:
    """Refuse columns that no attribute can be.

    Raises:
        UsageError: A column is an amount, or its name has a double quote.
    """
    check_attributes(() if segments is None else segments.columns, "segment")


def check_attributes(columns: Sequence[str], what: str) -> None:
    """Refuse columns that no attribute can be.

    Args:
        columns: Their names.
        what: What they are to be.

    Raises:
        UsageError: A column is an amount, or its name has a double quote.
    """
    for column in columns:
        if column in NUMBERS or '"' in column:
            raise UsageError(
                f"A {what} of the service is an attribute of profiles, {column!r} is none.",
                hint=f"Store it in classes, as an attribute: {column}_class." if column in NUMBERS else "Rename the attribute.",
            )


def count_segments(session: Session, spec: ExperimentSpec, window: Window) -> tuple[SegmentStats, ...]:
    """The arms by level of each attribute that the spec names, the most common level first.

    Raises:
        UsageError: A column is no attribute.
        DataError: An attribute has too many values to be a category.
    """
    check_segments(spec.segments)
    if spec.segments is None:
        return ()
    found: list[SegmentStats] = []
    for column in spec.segments.columns:
        counted = count_by_attribute(session, window, column)
        found.append(SegmentStats(column=column, levels=tuple(_levels(spec, counted, spec.segments.max_levels))))
    return tuple(found)


def plain_stats(arm: ArmCounts, keys: Sequence[str]) -> ArmStats:
    """Counts as the statistics of the metrics `converted` and `value`, in that order."""
    converted, value = keys
    if arm.n == 0 or arm.value is None:
        nobody = Unavailable(code="empty_arm", reason="The arm has no units.")
        return ArmStats(n=0, outcomes={converted: nobody, value: nobody})
    rate = OutcomeStats(moments=CoMoments.of(Moments.from_successes(arm.converters, arm.n)), minimum=0.0, maximum=1.0)
    return ArmStats(n=arm.n, outcomes={converted: rate, value: OutcomeStats(moments=CoMoments.of(arm.value))})


def _levels(spec: ExperimentSpec, counted: Levels, most: int) -> list[LevelStats]:
    values = sorted((name for name in counted if name is not None), key=lambda name: (-sum(arm.n for arm in counted[name].values()), name))
    made = [_level(spec, name or EMPTY, "value", [counted[name]]) for name in values[:most]]
    if None in counted:
        made.append(_level(spec, MISSING, "missing", [counted[None]]))
    if rarer := values[most:]:
        made.append(_level(spec, OTHER, "other", [counted[name] for name in rarer]))
    return made


def _level(
    spec: ExperimentSpec, name: str, kind: Literal["value", "missing", "other"], parts: Sequence[Mapping[str, ArmCounts]]
) -> LevelStats:
    adjusted = {metric.key: ADJUSTED for metric in spec.metrics if covariates_of(metric)}
    arms: dict[str, ArmStats] = {}
    for arm in spec.arms:
        stats = plain_stats(together([part[arm.key] for part in parts if arm.key in part]), ("converted", "value"))
        arms[arm.key] = replace(stats, outcomes={**stats.outcomes, **adjusted})
    return LevelStats(name=name, kind=kind, arms=arms, pooled=len(parts))


def together(parts: Sequence[ArmCounts]) -> ArmCounts:
    """Several arms' counts as one."""
    whole = ArmCounts()
    for part in parts:
        value = part.value if whole.value is None or part.value is None else whole.value + part.value
        whole = ArmCounts(
            n=whole.n + part.n, converters=whole.converters + part.converters, total_value=whole.total_value + part.total_value, value=value
        )
    return whole
