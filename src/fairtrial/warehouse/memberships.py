"""The units of one experiment: who is in it, in which arm, and what its primary metric says of them.

One row a unit, whatever the shape of the data: the unit as text, so that experiments whose
tables hold it in different types can be joined; the arm as its place in the spec; the
metric's number, if it has one that can be added up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fairtrial.errors import DataError, UsageError
from fairtrial.metrics.needs import Column, Needs
from fairtrial.spec.data import AggregatesData, DataSpec, LogsData, UnitsData
from fairtrial.spec.factorial import CellsData
from fairtrial.warehouse.cells import cell_table
from fairtrial.warehouse.checks import count_repeats, is_unique, one_row_a_unit, refuse_repeats
from fairtrial.warehouse.logs import log_units
from fairtrial.warehouse.sources import Source, source_of_frames
from fairtrial.warehouse.unit_table import ARM, UNIT, UnitTable, as_known_arm, is_no_arm
from fairtrial.warehouse.units import unit_table
from fairtrial.warehouse.untyped import ibis
from fairtrial.warehouse.where import filtered

VALUE = "value"


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """Who is in an experiment.

    Attributes:
        key: The experiment.
        source: The engine that the table lives in.
        table: Ibis table with the columns `unit` (text), `arm` (its place in `arms`) and, with a metric, `value`.
        arms: Keys of the arms.
        metric: Key of the metric; None without one.
        units: Units by arm.
        centre: A number near the middle of the values, about which they are summed.
        untested: Why there is no metric.
    """

    key: str
    source: Source
    table: Any
    arms: tuple[str, ...]
    metric: str | None
    units: tuple[int, ...]
    centre: float
    untested: Literal["no_metric", "unsupported_metric"] | None


def read_membership(source: Source, data: DataSpec, key: str, arms: Sequence[str], needs: Needs | None) -> Membership:
    """The units of an experiment with their arm and the number of one metric.

    Args:
        source: The open address of the data.
        data: Where its rows are.
        key: The experiment.
        arms: Arms of the spec.
        needs: What the metric needs: one column without covariates. None reads arms alone.

    Raises:
        UsageError: The data names no unit, or a table or column is not there.
        DataError: Units repeat without a rule, the metric has missing values under the rule `error`, or a value is none it may have.
    """
    wanted = [] if needs is None else [needs]
    units = _unit_rows(source, data, arms, wanted)
    table = units.table
    stored = [row[0] for row in source.rows(table.select(ARM).distinct())]
    known = {arm: arms.index(as_known_arm(arm, arms)) for arm in stored if not is_no_arm(arm) and as_known_arm(arm, arms) in arms}
    if not known:
        raise DataError(
            f"No row of {key!r} is in an arm of its spec {list(arms)}.", hint="Compare the arm column with the spec.", code="no_rows"
        )
    code = ibis.cases(*((table[ARM] == ibis.literal(arm), ibis.literal(place)) for arm, place in known.items()), else_=ibis.literal(-1))
    chosen: dict[str, Any] = {"unit": table[UNIT].cast("string"), "arm": code.cast("int32")}
    if needs is not None:
        number = table[units.value(Column(source=needs.outcome.source, any_event=needs.outcome.any_event)).name].cast("float64")
        chosen[VALUE] = number.isnan().ifelse(None, number) if source.engine.has_nan else number
    rows = table.select(**chosen)
    rows = source.kept(rows.filter((rows.arm >= 0) & rows.unit.notnull()))
    member = Membership(
        key=key,
        source=source,
        table=rows,
        arms=tuple(arms),
        metric=None if needs is None else needs.metric,
        units=(),
        centre=0.0,
        untested=None if needs is not None else "no_metric",
    )
    return _counted(member, needs)


def together(members: Sequence[Membership]) -> list[Membership]:
    """The same memberships in one engine, so that they can be joined: where they are, or side by side in the embedded one."""
    if len({id(member.source) for member in members}) <= 1:
        return list(members)
    frames = {f"m{place}": member.source.arrow(member.table) for place, member in enumerate(members)}
    home = source_of_frames(frames, "memberships")
    return [replace(member, source=home, table=home.backend.table(name)) for name, member in zip(frames, members, strict=True)]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Numbered:
    """An experiment's units by dense numbers that are the same in every experiment, ascending.

    Attributes:
        unit: Number of each unit, shape (n,).
        arm: Place of its arm, shape (n,).
        value: The metric, shape (n,); None without one.
    """

    unit: NDArray[np.uint32]
    arm: NDArray[np.uint8]
    value: NDArray[np.float64] | None


def numbered(members: Sequence[Membership]) -> list[Numbered]:
    """Give the units of experiments that live in one engine dense numbers there, and read these instead of the names."""
    source = members[0].source
    names = ibis.union(*(member.table.select("unit") for member in members), distinct=True)
    table = source.kept(names.mutate(number=ibis.row_number().over(ibis.window(order_by=names.unit))))
    found: list[Numbered] = []
    for member in members:
        joined = member.table.inner_join(table, "unit").order_by("number")
        unit, arm, *value = source.columns(joined.select("number", "arm", *([VALUE] if member.metric else [])))
        found.append(Numbered(unit=unit.astype(np.uint32), arm=arm.astype(np.uint8), value=value[0] if value else None))
    return found


def _unit_rows(source: Source, data: DataSpec, arms: Sequence[str], needs: Sequence[Needs]) -> UnitTable:
    if isinstance(data, AggregatesData):
        raise UsageError(
            "Units must be known to say who is in two experiments, data of shape 'aggregates' has none.",
            hint="Give a table of one row a unit.",
        )
    if isinstance(data, LogsData):
        return log_units(source, data, needs, arms)
    return _stored_units(source, data, arms, needs)


def _stored_units(source: Source, data: UnitsData, arms: Sequence[str], needs: Sequence[Needs]) -> UnitTable:
    if data.unit is None:
        raise UsageError("Units must be named to say who is in two experiments.", hint="Name their column as `unit` in the data section.")
    stored = filtered(source.table(data.table), data.where)
    if isinstance(data, CellsData):
        stored, arm = cell_table(stored, data)
        data = data.model_copy(update={"arm": arm})
    whole = unit_table(source, stored, data, needs, rows_are_stored=not data.where)
    if is_unique(whole):
        return whole
    found = count_repeats(whole, arms)
    if data.repeated == "error":
        refuse_repeats(data, found)
    return one_row_a_unit(whole, data, arms, found) if found.marred else whole


def _counted(member: Membership, needs: Needs | None) -> Membership:
    """The membership with its units by arm, its values checked and completed."""
    table = member.table
    asked: dict[str, Any] = {"n": table.count()}
    if needs is not None:
        binary = ((table[VALUE] == 0.0) | (table[VALUE] == 1.0)).ifelse(1, 0)
        asked |= {"there": table[VALUE].count(), "mean": table[VALUE].mean(), "binary": binary.sum(), "low": table[VALUE].min()}
    found = {int(row[0]): row[1:] for row in member.source.rows(table.group_by("arm").agg(**asked))}
    units = tuple(int(found[place][0]) if place in found else 0 for place in range(len(member.arms)))
    counted = replace(member, units=units)
    if needs is None:
        return counted
    missing = sum(units) - sum(int(row[1] or 0) for row in found.values())
    if missing and needs.missing == "error":
        raise DataError(
            f"Metric {needs.metric!r} of {member.key!r} must have a value of every unit, {missing:,} are missing.",
            hint="Set the metric's `missing` to zero or drop.",
            code="missing_values",
        )
    if missing and needs.missing == "drop":
        return replace(counted, metric=None, table=table.drop(VALUE), untested="unsupported_metric")
    if needs.outcome.values == "binary" and sum(int(row[3] or 0) for row in found.values()) + missing < sum(units):
        raise DataError(
            f"Values of metric {needs.metric!r} of {member.key!r} must be 0 or 1.", hint="Look at the column.", code="bad_value"
        )
    centre = next((float(row[2]) for row in found.values() if row[2] is not None), 0.0)
    filled = table.mutate(**{VALUE: table[VALUE].coalesce(0.0)}) if missing else table
    return replace(counted, table=filled, centre=0.0 if needs.outcome.values == "binary" else centre)
