"""Columns as the estimators take them: which rows are kept, and what was left out."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairtrial.diagnostics.finding import Finding
from fairtrial.errors import DataError
from fairtrial.spec.metric import MetricSpec
from fairtrial.spec.quasi import Moment
from fairtrial.warehouse.columns import day_of

Floats = NDArray[np.float64]
Cell = float | str | None
LARGEST = 1e60
"""Largest number read: fifth powers of it, which local polynomials make, are still numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Columns of one table, as they were read.

    Attributes:
        values: By column, one cell a row.
    """

    values: Mapping[str, tuple[Cell, ...]]

    def numbers(self, name: str, *, missing: bool = False) -> Floats:
        """A column of numbers (dates count as days).

        Args:
            name: The column.
            missing: Whether missing cells are allowed; they become NaN.

        Raises:
            DataError: A cell holds text or a number too large to compute with, or is missing where that is not allowed.
        """
        cells = self.values[name]
        text = next(iter(sorted((cell for cell in cells if isinstance(cell, str)), key=_is_numeral)), None)
        if text is not None:
            raise DataError(f"Column {name!r} must hold numbers or dates, it holds {text!r}.", hint="Convert it first.", code="wrong_type")
        column = np.array([np.nan if cell is None else cell for cell in cells], dtype=np.float64)
        if (np.isfinite(column) & (np.abs(column) > LARGEST)).any():
            raise DataError(
                f"Numbers of column {name!r} must lie within {LARGEST:g}, or no product of them can be held.",
                hint="Divide the column by a constant.",
                code="too_large",
            )
        if not missing and np.isnan(column).any():
            raise DataError(
                f"Column {name!r} must not have missing values, {int(np.isnan(column).sum())} of {column.size} are.",
                hint="Leave those rows out by data.where, or fill them first.",
                code="missing",
            )
        return column

    def labels(self, name: str) -> NDArray[np.str_]:
        """A column as text: whole numbers without a decimal point.

        Raises:
            DataError: A cell is missing.
        """
        if any(cell is None for cell in self.values[name]):
            raise DataError(f"Column {name!r} must not have missing values.", hint="Leave those rows out by data.where.", code="missing")
        return np.array([_as_text(cell) for cell in self.values[name]])

    def matrix(self, names: Sequence[str]) -> Floats | None:
        """Columns side by side, shape (rows, columns); None for none."""
        return np.column_stack([self.numbers(name) for name in names]) if names else None

    def where(self, keep: NDArray[np.bool_]) -> Rows:
        """The rows that are kept."""
        places = np.flatnonzero(keep).tolist()
        return Rows(values={name: tuple(cells[i] for i in places) for name, cells in self.values.items()})


def outcome_of(rows: Rows, metric: MetricSpec, column: str) -> tuple[Rows, Floats, list[Finding]]:
    """The metric's outcome by its `missing` rule, the rows that have one, and what was left out.

    Args:
        rows: What was read.
        metric: The metric.
        column: Its outcome's column.

    Raises:
        DataError: An outcome is missing and the rule is `error`, no row is left, or a value is none of the metric's kind.
    """
    outcome = rows.numbers(column, missing=True)
    _check_values(metric, outcome, column)
    gone = np.isnan(outcome)
    if not gone.any():
        return rows, outcome, []
    if metric.missing == "error":
        raise DataError(
            f"{int(gone.sum())} of {outcome.size} rows have no {column!r}, and the metric's `missing` rule is error.",
            hint="Set missing to drop or zero.",
            code="missing_outcome",
        )
    if metric.missing == "zero":
        return rows, np.where(gone, 0.0, outcome), []
    if gone.all():
        raise DataError(f"Every row misses {column!r}.", code="all_missing")
    share = float(gone.mean())
    left = Finding(
        code="rows_without_outcome",
        severity="warning" if share > 0.1 else "info",
        message=f"{int(gone.sum())} of {outcome.size} rows have no {column!r} and were left out.",
        action="Ask why they are missing; if that depends on the treatment the effect is biased.",
        numbers={"rows": int(gone.sum()), "share": share},
    )
    return rows.where(~gone), outcome[~gone], [left]


def place_of(moment: Moment) -> float:
    """A period of a spec as a number, in the form that columns of dates are read in."""
    return day_of(moment) if isinstance(moment, dt.date) else float(moment)


def _check_values(metric: MetricSpec, outcome: Floats, column: str) -> None:
    """Refuse what the metric's kind does not allow; a row may be an aggregate, so a proportion may be a rate."""
    known = outcome[~np.isnan(outcome)]
    for wrong, rule, code in (
        (np.isinf(known), "must be finite", "infinite_value"),
        (((known < 0) | (known > 1)) & (metric.kind == "proportion"), "of a proportion must lie in [0, 1]", "not_binary"),
        ((known < 0) & (metric.kind == "count"), "of a count must not be negative", "negative_value"),
    ):
        if wrong.any():
            raise DataError(
                f"Column {column!r} {rule}, {int(wrong.sum())} of {known.size} values break that, such as {known[wrong][0]:g}.",
                hint="Mend the column, or make the metric a `mean`.",
                code=code,
            )


def _is_numeral(text: str) -> bool:
    """Whether the text alone could be read as a number, so that another cell made the column text."""
    return text.strip().lstrip("+-").replace(".", "", 1).isdecimal()


def _as_text(cell: Cell) -> str:
    """A cell as a label: whole numbers without a decimal point."""
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)
