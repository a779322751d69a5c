"""Segments: by which columns the effect is read beside the whole, and by which rules.

A segment is a group of units that could be told before assignment (a country, a platform,
new or returning). Its effects are read with the tests of the whole, corrected for how many there are; no
verdict rests on them.
"""

from __future__ import annotations

from typing import Annotated, Literal, cast

from pydantic import Field, model_validator

from fairtrial.spec.base import Name, SpecModel
from fairtrial.spec.data import DataSpec, UnitsData
from fairtrial.spec.metric import EventValue, MetricSpec

MOST_COLUMNS = 8


class SegmentsSpec(SpecModel):
    """By which columns effects are read by segment. A list of columns is short for `columns` alone."""

    columns: tuple[Name, ...] = Field(min_length=1, max_length=MOST_COLUMNS)
    """Columns of the unit table known before assignment (country, platform, plan), of text, whole numbers, booleans or
    dates; each is read by itself. A NULL is a level of its own."""
    min_units: Annotated[int, Field(ge=10)] = 100
    """Units that each of the two arms needs in a level; a thinner level is not estimated, and that is said."""
    max_levels: Annotated[int, Field(ge=2, le=50)] = 10
    """Most levels of a column: the most common are read, the others pooled as "(other)"."""
    correction: Literal["holm", "bonferroni", "hochberg"] = "holm"
    """Over all levels of all columns and treatments on one metric, and over the tests of whether levels differ."""

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, raw: object) -> object:
        if isinstance(raw, str):
            return {"columns": [raw]}
        return {"columns": cast("list[object] | tuple[object, ...]", raw)} if isinstance(raw, list | tuple) else raw

    @model_validator(mode="after")
    def _once_each(self) -> SegmentsSpec:
        if len(set(self.columns)) < len(self.columns):
            raise ValueError(f"each segment column may be named once, got {list(self.columns)}")
        return self


def check_segments(segments: SegmentsSpec | None, data: DataSpec | None, metrics: tuple[MetricSpec, ...], *, quasi: bool) -> None:
    """Refuse segments that no data or method serves.

    Raises:
        ValueError: The design is a quasi-experiment's, the data has no unit table with one row a unit or has pairs, or a
            column is the arm, a factor, the unit, an outcome or measured after assignment.
    """
    if segments is None:
        return
    if quasi:
        raise ValueError("segments are of randomised experiments; filter by data.where to read a quasi-experiment in one segment")
    if data is None:
        return
    if data.shape == "aggregates":
        raise ValueError("segments need the units, ready aggregates hold none; give a unit table (data.shape: units)")
    if data.shape == "logs":
        raise ValueError("segments are columns of a unit table, logs have none; join the attribute to a table of one row a unit")
    _one_row_a_unit(data)
    named = _not_before_assignment(data) | _outcomes(metrics)
    for column in segments.columns:
        if column in named:
            raise ValueError(f"segments must be known before assignment, {column!r} is {named[column]}")


def _one_row_a_unit(data: UnitsData) -> None:
    if data.repeated != "error":
        raise ValueError(f"segments need one row a unit (repeated: error), repeated is {data.repeated!r}")
    if data.pair is not None:
        raise ValueError("segments compare arms within a level, pairs are compared with each other; filter by data.where instead")


def _not_before_assignment(data: UnitsData) -> dict[str, str]:
    """Columns that are no segments, and why."""
    named = {data.arm: "the arm"} | {column: f"factor '{factor}'" for factor, column in data.factors.items()}
    if data.unit is not None:
        named[data.unit] = "the unit"
    return named | dict.fromkeys(data.post_assignment, "measured after it; comparing within it is biased")


def _outcomes(metrics: tuple[MetricSpec, ...]) -> dict[str, str]:
    """Columns that are outcomes, and of which metric."""
    found: dict[str, str] = {}
    for metric in metrics:
        parts = (metric.numerator, metric.denominator) if metric.kind == "ratio" else (metric.column or metric.key,)
        for part in cast("tuple[str | EventValue, ...]", parts):
            if isinstance(part, str):
                found[part] = f"an outcome of metric '{metric.key}'"
    return found
