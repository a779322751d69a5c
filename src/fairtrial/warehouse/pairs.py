"""Pairs: one row in each of two arms, told by a column; which are complete, and their numbers side by side.

Complete pairs are kept by the engine before anything is added up, so that moments, arm sizes
and values speak of the same pairs. What a paired test reads leaves the engine joined by the
pair, in an order made of the numbers themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairtrial.errors import DataError
from fairtrial.warehouse.sums import ArmSums
from fairtrial.warehouse.terms import Term
from fairtrial.warehouse.unit_rows import arm_code, check_size, ordered, value_of
from fairtrial.warehouse.unit_table import ARM, UnitTable, as_known_arm, check_column, is_no_arm
from fairtrial.warehouse.untyped import ibis

PAIR = "pair"
"""Name of the pair's column in the unit table."""

MOST_STORED_ARMS = 1_000


def pair_column(table: Any, name: str | None) -> dict[str, Any]:
    """The pair's column under its name of the unit table; nothing where the data has none.

    Raises:
        UnknownNameError: The column is not there.
    """
    return {} if name is None else {PAIR: check_column(table, name)}


def complete_pairs(units: UnitTable, arms: Sequence[str]) -> UnitTable:
    """Only the rows of pairs that have one row in each arm.

    Args:
        units: The unit table, with the column `pair`.
        arms: The two arms of the spec.

    Raises:
        DataError: A pair has several rows in one arm, or no pair is complete.
    """
    per_pair = _per_pair(units, arms)
    complete, repeated = (per_pair.n == 2) & (per_pair.treated == 1), (per_pair.treated > 1) | (per_pair.n - per_pair.treated > 1)
    asked = per_pair.agg(complete=complete.cast("int32").sum(), repeated=repeated.cast("int32").sum())
    whole, several = (int(number or 0) for number in units.source.rows(asked)[0])
    if several:
        raise DataError(
            f"A pair has one row in each arm, {several:,} pairs have several rows in one.",
            hint="Keep one row a unit, or aggregate its measurements before the analysis.",
            code="repeated_pairs",
        )
    if whole == 0:
        raise DataError(
            "No pair has a row in each arm, so nothing can be compared within pairs.",
            hint="Check data.pair and data.arm.",
            code="no_pairs",
        )
    kept = units.table.semi_join(per_pair.filter(complete), PAIR)
    return replace(units, table=kept.filter(kept[ARM].isin(_stored(units, arms))), direct=False, footers=False)


def unpaired_rows(units: UnitTable, arms: Sequence[str]) -> dict[str, int]:
    """Rows by arm whose pair has no row in the other arm, or that name no pair; arms without any are left out.

    Args:
        units: The unit table, with the column `pair`.
        arms: The two arms of the spec.
    """
    table = units.table.filter(units.table[ARM].isin(_stored(units, arms)))
    per_pair = _per_pair(units, arms)
    alone = table.anti_join(per_pair.filter(per_pair.n == 2), PAIR)
    counted = units.source.rows(alone.group_by(ARM).agg(n=alone.count()))
    found: dict[str, int] = {}
    for stored, n in counted:
        name = as_known_arm(stored, arms)
        found[name] = found.get(name, 0) + int(n)
    return {arm: found[arm] for arm in arms if arm in found}


def read_pair_rows(
    units: UnitTable, wanted: Mapping[str, Sequence[Term]], sums: Mapping[str, ArmSums]
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """The numbers of both rows of every pair, by metric and arm, shape (pairs, terms), pairs in one order in both arms.

    A pair with a number missing in either arm, under the rule `drop`, is left out of that metric.

    Args:
        units: The unit table, of complete pairs only.
        wanted: By metric: the terms to read.
        sums: By arm: what was scanned; two arms.

    Raises:
        DataError: There are more units than may leave the engine.
    """
    check_size(wanted, sums)
    sums = {arm: sums[arm] for arm in sorted(sums)}  # engines scan arms in any order, and the pairs' order starts from the first
    terms = list(dict.fromkeys(term for of_metric in wanted.values() for term in of_metric))
    table = units.table.mutate(code=arm_code(units, sums), **{f"r{i}": value_of(units, term) for i, term in enumerate(terms)})
    own, other = (
        table.filter(table.code == place).select(**{PAIR: table[PAIR]}, **{f"{name}{i}": table[f"r{i}"] for i in range(len(terms))})
        for place, name in enumerate(("c", "t"))
    )
    joined = own.join(other, PAIR)
    chosen = joined.select(*(f"{name}{i}" for name in ("c", "t") for i in range(len(terms))))
    columns = units.source.columns(chosen)
    found: dict[str, dict[str, NDArray[np.float64]]] = {}
    for metric, of_metric in wanted.items():
        places = [terms.index(term) for term in of_metric]
        both = np.stack([columns[offset + place] for offset in (0, len(terms)) for place in places], axis=1)
        both = ordered(both[~np.isnan(both).any(axis=1)])
        sides = both[:, : len(places)], both[:, len(places) :]
        found[metric] = dict(zip(sums, sides, strict=True))
    return found


def _stored(units: UnitTable, arms: Sequence[str]) -> list[object]:
    """The arms of the spec as the table spells them."""
    rows = units.source.rows(units.table.select(ARM).distinct().limit(MOST_STORED_ARMS))
    return [row[0] for row in rows if not is_no_arm(row[0]) and as_known_arm(row[0], arms) in arms]


def _per_pair(units: UnitTable, arms: Sequence[str]) -> Any:
    """By pair that has a name: its rows in the spec's arms, and those of the second arm among them."""
    stored = _stored(units, arms)
    table = units.table.filter(units.table[ARM].isin(stored) & units.table[PAIR].notnull())
    second = [(table[ARM] == ibis.literal(arm), ibis.literal(1)) for arm in stored if as_known_arm(arm, arms) == arms[-1]]
    coded = table.mutate(second=ibis.cases(*second, else_=ibis.literal(0)) if second else ibis.literal(0))
    return coded.group_by(PAIR).agg(n=coded.count(), treated=coded.second.sum())
