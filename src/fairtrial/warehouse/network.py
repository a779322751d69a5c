"""Who is whose neighbour: a table of edges, or of clusters, joined to the units of an experiment in the embedded engine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairtrial.errors import DataError
from fairtrial.warehouse.memberships import VALUE, Membership
from fairtrial.warehouse.sources import Source, open_source, source_of_frames
from fairtrial.warehouse.unit_table import check_column
from fairtrial.warehouse.untyped import ibis


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Networked:
    """Units with their neighbours or clusters, by dense numbers.

    Attributes:
        arm: Place of each unit's arm, shape (n,).
        value: Its metric, shape (n,).
        links: Numbers of the units of each edge, shape (m, 2); or the number of each unit's cluster, below 0 for none, shape (n,).
        strangers: Rows that name a unit outside the experiment.
    """

    arm: NDArray[np.intp]
    value: NDArray[np.float64]
    links: NDArray[np.int64]
    strangers: int


def read_edges(member: Membership, address: str, base: Path | None = None) -> Networked:
    """Join a table with the columns `unit` and `neighbour` to an experiment's units.

    Raises:
        UnknownNameError: A column is not there.
        UsageError: There is no such file or address.
    """
    home, units, table, rows = _side_by_side(member, address, base, ("unit", "neighbour"))
    ends = units.select("unit", "number")
    joined = table.inner_join(ends, "unit").select("neighbour", a="number")
    both = joined.inner_join(ends.rename(neighbour="unit", b="number"), "neighbour").select("a", "b")
    a, b = home.columns(both)
    arm, value = _values(home, units)
    return Networked(arm=arm, value=value, links=np.stack([a, b], axis=1).astype(np.int64), strangers=rows - a.size)


def read_clusters(member: Membership, address: str, base: Path | None = None) -> Networked:
    """Join a table with the columns `unit` and `cluster`, one row a unit, to an experiment's units.

    Raises:
        UnknownNameError: A column is not there.
        DataError: A unit is in two clusters.
        UsageError: There is no such file or address.
    """
    home, units, table, rows = _side_by_side(member, address, base, ("unit", "cluster"))
    named = table.filter(table.cluster.notnull())
    coded = named.mutate(code=ibis.dense_rank().over(ibis.window(order_by=named.cluster)))
    number, code = (column.astype(np.int64) for column in home.columns(units.inner_join(coded, "unit").select("number", "code")))
    if np.unique(number).size < number.size:
        raise DataError("A unit is in one cluster, some are listed in several.", hint="Keep one row a unit.", code="repeated_units")
    arm, value = _values(home, units)
    cluster = np.full(arm.size, -1, dtype=np.int64)
    cluster[number] = code
    return Networked(arm=arm, value=value, links=cluster, strangers=rows - number.size)


def _side_by_side(member: Membership, address: str, base: Path | None, columns: tuple[str, str]) -> tuple[Source, Any, Any, int]:
    """An embedded engine with the units by dense numbers and the table of the network, and that table's rows."""
    with open_source(address, base) as source:
        stored = source.table(None)
        named = {name: check_column(stored, name).cast("string") for name in columns}
        frame = source.arrow(stored.select(**named))
    home = source_of_frames({"units": member.source.arrow(member.table), "network": frame}, "network")
    units = home.backend.table("units")
    numbered = units.mutate(number=ibis.row_number().over(ibis.window(order_by=units.unit)))
    return home, home.kept(numbered), home.backend.table("network"), int(frame.num_rows)


def _values(home: Source, units: Any) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    arm, value = home.columns(units.order_by("number").select("arm", VALUE))
    return arm.astype(np.intp), value
