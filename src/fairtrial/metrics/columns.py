"""Numbers of single units in memory, and the columns of a metric made of them.

Analysis never needs them: arm statistics come out of the engine. Re-randomising history
does, and so do the third and fourth moments that a simulation starts from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fairtrial.errors import DataError, UnknownNameError, UsageError
from fairtrial.metrics.needs import Column, Needs

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UnitColumns:
    """One number per unit and column.

    Attributes:
        units: Number of units, >= 1.
        values: By column as read (no winsorising applied), shape (units,); NaN where missing.
        labels: By name of a further column: a whole number per unit for its distinct values, shape (units,).
        source: Where they come from, for people.
        population: Which units they are, in words.
    """

    units: int
    values: Mapping[Column, Floats]
    labels: Mapping[str, NDArray[np.intp]] = field(default_factory=dict[str, NDArray[np.intp]])
    source: str = "memory"
    population: str = "all units"

    def __post_init__(self) -> None:
        if self.units < 1:
            raise DataError("History must hold a unit at least, got none.", code="no_units")
        lengths = {values.shape for values in (*self.values.values(), *self.labels.values())}
        if lengths - {(self.units,)}:
            raise UsageError(f"Every column must have an entry for each of {self.units} units, got shapes {sorted(lengths)}.")

    def label(self, name: str) -> NDArray[np.intp]:
        """The codes of a further column.

        Raises:
            UnknownNameError: It was not read.
        """
        if name not in self.labels:
            raise UnknownNameError.among("column", name, self.labels)
        return self.labels[name]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MetricValues:
    """A metric's columns over units, ready for sums.

    Attributes:
        values: In the order of the co-moments, shape (units, k); 0 where a unit is left out.
        kept: Which units count for this metric, shape (units,).
    """

    values: Floats
    kept: NDArray[np.bool_]

    @property
    def of_kept(self) -> Floats:
        """Values of the units that count, shape (kept, k)."""
        return self.values[self.kept]


def metric_values(needs: Needs, columns: UnitColumns) -> MetricValues:
    """Apply a metric's rules of missing values and of winsorising, as the engine would.

    Args:
        needs: What the metric needs.
        columns: Holds every column of it.

    Raises:
        DataError: A value is missing under the rule `error`, infinite, of the wrong range, or all are missing.
    """
    raw = [columns.values[Column(source=column.source, any_event=column.any_event)] for column in needs.columns]
    outcomes = 1 if needs.denominator is None else 2
    kept = np.ones(columns.units, dtype=np.bool_)
    parts: list[Floats] = []
    for place, (column, values) in enumerate(zip(needs.columns, raw, strict=True)):
        missing = np.isnan(values)
        filled = values
        if missing.any():
            filled = _filled(needs, values, missing, covariate=place >= outcomes)
            if place < outcomes and needs.missing == "drop":
                kept &= ~missing
        _check_values(needs, column, filled[~missing])
        parts.append(filled)
    if not kept.any():
        raise DataError(f"Every unit misses its outcome of metric {needs.metric!r}.", code="all_missing")
    for place, column in enumerate(needs.columns):
        if column.winsorize is not None:
            parts[place] = np.minimum(parts[place], np.quantile(parts[place][kept], column.winsorize))
    return MetricValues(values=np.where(kept[:, None], np.column_stack(parts), 0.0), kept=kept)


def _filled(needs: Needs, values: Floats, missing: NDArray[np.bool_], *, covariate: bool) -> Floats:
    if covariate:
        if missing.all():
            raise DataError(f"Every unit misses its covariate of metric {needs.metric!r}.", code="all_missing")
        return np.where(missing, np.mean(values[~missing]), values)
    if needs.missing == "error":
        raise DataError(
            f"Metric {needs.metric!r} must have a value of every unit, {int(missing.sum())} are missing.",
            hint="Set the metric's `missing` to zero or drop.",
            code="missing_values",
        )
    return np.where(missing, 0.0, values)


def _check_values(needs: Needs, column: Column, values: Floats) -> None:
    wrong = ~np.isfinite(values)
    if column.values == "binary":
        wrong |= (values != 0.0) & (values != 1.0)
    elif column.values == "nonnegative":
        wrong |= values < 0.0
    if wrong.any():
        raise DataError(
            f"Values of metric {needs.metric!r} must be finite and {column.values}, got {values[wrong][0]:g}.", code="bad_value"
        )
