"""The columns that quasi-experiments read: checked once, with one wording for what is wrong with them.

Every estimator takes flat columns of one length. What it means for a column to
be numeric, complete, an indicator, a label or a cluster is decided here, so that
the same mistake is met with the same message whatever the design.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fairtrial.errors import DataError, NotEnoughDataError, UsageError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def check_noise(residuals: Floats, outcome: Floats) -> None:
    """Raise where a fit leaves nothing but rounding of an outcome, both shape (n,).

    Raises:
        DataError: The residuals are rounding errors: nothing varies that the model does not tell.
    """
    if float(np.abs(residuals).max()) <= 1e-13 * float(np.abs(outcome).max()):
        raise DataError(
            "The outcome must vary beyond what the design explains; nothing varies here.",
            hint="Check that the outcome is what was measured, and that it differs between units.",
            code="no_variance",
        )


def numbers_of(name: str, values: object, *, rows: int | None = None) -> Floats:
    """A column of finite numbers.

    Args:
        name: What it is called, for messages.
        values: Shape (n,), n >= 1.
        rows: Rows it must have.

    Raises:
        UsageError: The length is another than `rows`, or it is not numeric.
        DataError: It is empty, not flat, or not finite.
    """
    try:
        column = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name} must hold numbers, got {np.asarray(values).dtype}.") from error
    if column.ndim != 1 or column.size == 0:
        raise DataError(f"{name} must be a flat column of at least one value, got shape {column.shape}.")
    if rows is not None and column.size != rows:
        raise UsageError(f"{name} must have one value a row: {rows} rows, got {column.size} values.")
    broken = int(column.size - np.isfinite(column).sum())
    if broken:
        raise DataError(
            f"{name} must be finite, got {broken} missing or infinite values of {column.size}.", hint="Drop those rows.", code="missing"
        )
    return column


def indicator_of(name: str, values: object, *, rows: int | None = None) -> NDArray[np.bool_]:
    """A column of zeros and ones (or booleans) in which both occur.

    Raises:
        UsageError: There are other values.
        DataError: Only one of the two occurs.
    """
    column = numbers_of(name, values, rows=rows)
    if not np.isin(column, (0.0, 1.0)).all():
        raise UsageError(f"{name} must hold 0 and 1 only, got {np.unique(column)[:5].tolist()}.")
    if column.min() == column.max():
        raise DataError(f"{name} must hold both 0 and 1, got {column[0]:g} in every row.", code="one_sided")
    return column == 1.0


def codes_of(name: str, values: object, *, rows: int | None = None) -> tuple[NDArray[np.generic], Ints]:
    """The different labels of a column, sorted, and each row's place among them.

    Raises:
        UsageError: The length is another than `rows`.
        DataError: It is empty, not flat, or holds missing labels.
    """
    column = np.asarray(values)
    if column.dtype == object:
        if any(label is None or label != label for label in column.ravel()):  # noqa: PLR0124 NaN differs from itself
            raise DataError(f"{name} must not have missing labels.", hint="Drop those rows.", code="missing")
        column = column.astype(str) if any(isinstance(label, str) for label in column.ravel()) else column
    if column.ndim != 1 or column.size == 0:
        raise DataError(f"{name} must be a flat column of at least one label, got shape {column.shape}.")
    if rows is not None and column.size != rows:
        raise UsageError(f"{name} must have one label a row: {rows} rows, got {column.size}.")
    if column.dtype.kind == "f" and not np.isfinite(column).all():
        raise DataError(f"{name} must not have missing labels.", hint="Drop those rows.", code="missing")
    labels, codes = np.unique(column, return_inverse=True)
    return labels, codes.astype(np.int64)


def matrix_of(name: str, values: object, *, rows: int, row: str) -> Floats:
    """Columns of finite numbers side by side.

    Args:
        name: What they are called, for messages.
        values: Shape (n,) or (n, p).
        rows: Rows they must have.
        row: What a row is ("unit", "period"), for messages.

    Returns:
        Shape (n, p); p may be 0.

    Raises:
        UsageError: There is another number of rows, or they are not numeric.
        DataError: A value is missing or infinite.
    """
    try:
        columns = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name} must hold numbers, got {np.asarray(values).dtype}.") from error
    columns = columns[:, None] if columns.ndim == 1 else columns
    if columns.ndim != 2 or columns.shape[0] != rows:
        raise UsageError(f"{name} must have one row a {row}, got {columns.shape} for {rows}.")
    if not np.isfinite(columns).all():
        raise DataError(f"{name.capitalize()} must be finite.", hint=f"Fill or drop every {row} that misses one.", code="missing")
    return columns


def count_clusters(members: Ints) -> int:
    """How many clusters there are, by the place of each row's cluster, shape (n,), without gaps.

    Raises:
        NotEnoughDataError: There is one, and nothing to tell how much clusters differ.
    """
    clusters = int(members.max()) + 1
    if clusters < 2:
        raise NotEnoughDataError("Cluster-robust errors need two clusters at least, got 1.", code="too_few_clusters")
    return clusters
