"""The units' own numbers by arm: the only rows that ever leave the engine.

They are read by one statement for all metrics whose test needs them, and sorted, so
that neither the engine's order nor its threads show in a result.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairtrial.errors import DataError
from fairtrial.warehouse.sums import ArmSums
from fairtrial.warehouse.terms import Term, kept, plain
from fairtrial.warehouse.unit_table import ARM, UnitTable
from fairtrial.warehouse.untyped import ibis

MOST_UNITS = 1_000_000
"""Units of all arms together whose numbers may leave the engine."""


def arm_code(units: UnitTable, sums: Mapping[str, ArmSums]) -> Any:
    """The arm as a small integer, its place in `sums`; -1 for other arms and none."""
    branches = [
        (units.table[ARM] == ibis.literal(stored), ibis.literal(place))
        for place, arm in enumerate(sums.values())
        for stored in arm.spellings
    ]
    return ibis.cases(*branches, else_=ibis.literal(-1)).cast("int32")


def value_of(units: UnitTable, term: Term) -> Any:
    """The number after cap and fill; NULL for units that the term's mask leaves out."""
    inside = kept(units, term.mask)
    return plain(units, term) if inside is None else inside.ifelse(plain(units, term), None)


def read_unit_rows(
    units: UnitTable, wanted: Mapping[str, Sequence[Term]], sums: Mapping[str, ArmSums]
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """The numbers of every unit kept, by metric and arm, shape (n, terms), in ascending order.

    Raises:
        DataError: There are more units than may leave the engine.
    """
    check_size(wanted, sums)
    terms = list(dict.fromkeys(term for of_metric in wanted.values() for term in of_metric))
    table = units.table.mutate(code=arm_code(units, sums), **{f"r{i}": value_of(units, term) for i, term in enumerate(terms)})
    chosen = table.filter(table.code >= 0).select("code", *(f"r{i}" for i in range(len(terms))))
    code, *columns = units.source.columns(chosen)
    found: dict[str, dict[str, NDArray[np.float64]]] = {}
    for metric, of_metric in wanted.items():
        values = np.stack([columns[terms.index(term)] for term in of_metric], axis=1)
        inside = ~np.isnan(values).any(axis=1)
        found[metric] = {arm: ordered(values[inside & (code == place)]) for place, arm in enumerate(sums)}
    return found


def check_size(wanted: Collection[str], sums: Mapping[str, ArmSums]) -> None:
    """Raise when there are more units than may leave the engine.

    Raises:
        DataError: There are.
    """
    count = sum(arm.n for arm in sums.values())
    if count > MOST_UNITS:
        raise DataError(
            f"The tests of {sorted(wanted)} read every unit's value, at most {MOST_UNITS:,} units, there are {count:,}.",
            hint="Use test: bootstrap or kind: quantile, which the engine computes at any size, or test: welch.",
            code="too_many_units",
        )


def ordered(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows in ascending order of their first column, then of the next."""
    return rows[np.lexsort(rows.T[::-1])]
