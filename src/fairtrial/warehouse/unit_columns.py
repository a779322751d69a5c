"""Numbers of single units out of an engine: for re-randomising history, not for analysis.

One projection of the columns that the metrics need. A unit table only: logs and ready
aggregates have no row a unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairtrial.errors import DataError, UsageError
from fairtrial.metrics.columns import UnitColumns
from fairtrial.metrics.needs import Needs
from fairtrial.spec.data import DataSpec, UnitsData
from fairtrial.spec.factorial import CellsData
from fairtrial.warehouse.cells import cell_table
from fairtrial.warehouse.sources import Source, open_source
from fairtrial.warehouse.unit_table import as_known_arm, check_column, is_no_arm, typed_number
from fairtrial.warehouse.units import columns_of
from fairtrial.warehouse.where import filtered

Numbers = dict[str, NDArray[np.float64]]
Codes = dict[str, NDArray[np.intp]]

MOST_UNITS = 5_000_000
"""Beyond this many rows a sample says as much, and memory would be the limit."""
_ARM, _UNIT = "arm", "unit"


def read_unit_columns(
    data: DataSpec, needs: Sequence[Needs], *, arm: str | None, labels: Sequence[str] = (), base: Path | None = None
) -> UnitColumns:
    """Read the columns of the metrics, unit by unit.

    Args:
        data: Where the data is, of shape `units`.
        needs: What the metrics need.
        arm: Take this arm's units alone, where the data has the arm column; None takes all.
        labels: Further columns (clusters, strata), whose distinct values are numbered.
        base: Folder from which relative paths count.

    Raises:
        UsageError: The data is of another shape, or a column is not there.
        DataError: Nothing is left, there are too many rows, or units repeat and the spec does not say what that means.
        ConnectorError: The engine does not answer.
    """
    if not isinstance(data, UnitsData):
        raise UsageError(
            f"Units can be read one by one from data of shape 'units', this is {data.shape!r}.", hint="Write a table with a row a unit."
        )
    with open_source(data.source, base) as source:
        return _read(source, data, needs, arm, labels)


def _read(source: Source, data: UnitsData, needs: Sequence[Needs], arm: str | None, labels: Sequence[str]) -> UnitColumns:
    table = filtered(source.table(data.table), data.where)
    if isinstance(data, CellsData) and set(data.factors.values()) <= set(table.columns):
        table, column = cell_table(table, data)
        data = data.model_copy(update={"arm": column})
    names = columns_of(needs)
    places = {name: f"v{place}" for place, name in enumerate(dict.fromkeys(names.values()))}
    chosen: dict[str, Any] = {place: typed_number(source, table, name).expression.cast("float64") for name, place in places.items()}
    chosen |= {f"l{place}": check_column(table, name) for place, name in enumerate(labels)}
    has_arm = data.arm in table.columns
    if has_arm:
        chosen[_ARM] = table[data.arm]
    if data.unit is not None:
        chosen[_UNIT] = check_column(table, data.unit)
    rows = source.rows(table.select(**chosen).limit(MOST_UNITS + 1))
    if len(rows) > MOST_UNITS:
        raise DataError(
            f"History is read unit by unit and may have {MOST_UNITS:,} rows, this has more.", hint="Name a sample, or use `where`."
        )
    found: dict[str, tuple[Any, ...]] = dict.fromkeys(chosen, ())
    if rows:
        found = dict(zip(chosen, zip(*rows, strict=True), strict=True))
    keep = np.ones(len(rows), dtype=np.bool_)
    if has_arm and arm is not None:
        keep = _of_arm(found[_ARM], arm, data)
    values = {name: np.array([np.nan if v is None else v for v in found[place]], dtype=np.float64)[keep] for name, place in places.items()}
    codes = {name: _codes(found[f"l{place}"])[keep] for place, name in enumerate(labels)}
    units = int(keep.sum())
    if data.unit is not None:
        values, codes, units = _one_row_a_unit(data, _codes(found[_UNIT])[keep], values, codes)
    return UnitColumns(
        units=units,
        values={column: values[name] for column, name in names.items()},
        labels={name: np.unique(column, return_inverse=True)[1] for name, column in codes.items()},
        source=source.named(data.table),
        population=f"units of arm {arm}" if has_arm and arm is not None else "all units",
    )


def _of_arm(stored: Sequence[Any], arm: str, data: UnitsData) -> NDArray[np.bool_]:
    keep = np.array([not is_no_arm(value) and as_known_arm(value, [arm]) == arm for value in stored], dtype=np.bool_)
    if not keep.any():
        raise DataError(f"Arm {arm!r} has no unit in column {data.arm!r}.", hint="Check the arm's name, or take all units.")
    return keep


def _codes(stored: Sequence[object]) -> NDArray[np.intp]:
    """Whole numbers for distinct values, in order of appearance."""
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(value, len(numbers)) for value in stored], dtype=np.intp)


def _one_row_a_unit(data: UnitsData, unit: NDArray[np.intp], values: Numbers, codes: Codes) -> tuple[Numbers, Codes, int]:
    """Take several rows of a unit together as `repeated` says."""
    distinct, first, which, counts = np.unique(unit, return_index=True, return_inverse=True, return_counts=True)
    if distinct.size == unit.size:
        return values, codes, unit.size
    if data.repeated == "error":
        raise DataError(
            f"Column {data.unit!r} must name each unit once, {unit.size - distinct.size:,} rows repeat one.",
            hint="Set `repeated` to mean or sum if they are measurements of one unit.",
            code="repeated_units",
        )
    sums = {name: np.bincount(which, weights=column) for name, column in values.items()}
    parts = counts.astype(np.float64) if data.repeated == "mean" else np.ones(counts.size)
    taken = {name: np.asarray(total, dtype=np.float64) / parts for name, total in sums.items()}
    return taken, {name: column[first] for name, column in codes.items()}, distinct.size
