"""Assign a list of units at once: by the hash, in stratified blocks, or again until the arms are alike; with a report of balance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fairtrial.assignment import Allocation, assign_in_blocks
from fairtrial.assignment.blocks import MISSING, stratum_of
from fairtrial.assignment.rerandomize import rerandomise
from fairtrial.errors import DataError, UsageError
from fairtrial.spec.assignment import AssignmentSpec
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.stats.balance import balance_of_levels, balance_of_values
from fairtrial.warehouse import open_source
from fairtrial.warehouse.eligible import eligible
from fairtrial.warehouse.unit_table import check_column

MOST_UNITS = 5_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnBalance:
    """How one column differs between a treatment and the control.

    Attributes:
        column: Its name.
        treatment: Key of the treatment.
        smd: Standardised difference; of text columns the Mahalanobis form over the levels. None where nothing varies.
        balanced: Whether it is within the tolerance.
    """

    column: str
    treatment: str
    smd: float | None
    balanced: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignedList:
    """A list of units with their arms.

    Attributes:
        units: Ids as text, in the order of the list.
        arms: Arm of each.
        strata: Stratum of each; empty where there are none.
        method: `hash`, `stratified_blocks` or `rerandomized`.
        counts: Units by arm.
        by_stratum: Units by stratum and arm; empty where there are none.
        pooled: Strata that were too small and were pooled.
        left_out: Rows that the experiment's eligibility keeps out.
        kept: Units that had an arm before.
        balance: By column and treatment.
        salt: Salt from which the arms follow by the hash; None of blocks.
        draws: Assignments that were looked at by re-randomisation; None of other methods.
        limit: Largest distance that re-randomisation would have taken; None of other methods.
    """

    units: tuple[str, ...]
    arms: tuple[str, ...]
    strata: tuple[str, ...]
    method: str
    counts: Mapping[str, int]
    by_stratum: Mapping[str, Mapping[str, int]]
    pooled: tuple[str, ...]
    left_out: int
    kept: int
    balance: tuple[ColumnBalance, ...]
    salt: str | None
    draws: int | None
    limit: float | None


def assign_list(
    spec: ExperimentSpec,
    source: str,
    *,
    unit: str = "unit",
    table: str | None = None,
    balance_on: Sequence[str] = (),
    accept: float | None = None,
    given: Mapping[str, str] | None = None,
    base: Path | None = None,
) -> AssignedList:
    """Assign every eligible unit of a list by the spec's method.

    Args:
        spec: The experiment, with fixed shares.
        source: Address of the list: a file or a database.
        unit: Column that identifies the unit.
        table: Table of a database.
        balance_on: Further columns whose balance is reported; of numbers, where the arms are drawn again.
        accept: Draw again until the arms are as alike on `balance_on` as this share of assignments, in [0.0001, 1].
        given: Arms of units that were assigned before; of blocks alone, the hash gives them again by itself.
        base: Folder that a relative source counts from.

    Raises:
        UsageError: The spec's arms cannot be assigned, or options do not go together.
        UnknownNameError: A column is not there.
        DataError: A unit is missing or comes twice, or the list cannot be balanced.
    """
    shares = spec.shares
    if spec.design is not None or shares is None:
        raise UsageError(f"Units are assigned to arms of fixed shares; {spec.key!r} is of kind {spec.kind!r}, {spec.allocation}.")
    rules = spec.assignment or AssignmentSpec()
    if accept is not None and (rules.method != "hash" or not balance_on):
        raise UsageError("Arms are drawn again by the hash, balanced on named columns.", hint="Name --balance-on, and leave blocks out.")
    if given and rules.method != "stratified_blocks":
        raise UsageError("Arms given before are read for stratified blocks alone; the hash gives a unit its arm again by itself.")
    columns = list(dict.fromkeys([*rules.strata, *balance_on]))
    units, values, left_out = _read(spec, source, unit, table, columns, base)
    allocation = Allocation.from_shares(spec.key, shares)
    strata = tuple(stratum_of(values[name][i] for name in rules.strata) for i in range(len(units))) if rules.strata else ()
    by_stratum: Mapping[str, Mapping[str, int]] = {}
    pooled: tuple[str, ...] = ()
    salt: str | None = allocation.salt
    draws: int | None = None
    limit: float | None = None
    if rules.method == "stratified_blocks":
        blocks = assign_in_blocks(units, strata, shares, hash_key=spec.key, given=given, least=rules.minimum_stratum_size)
        arms, strata, by_stratum, pooled, salt = blocks.arms, blocks.strata, blocks.counts, blocks.pooled, None
    elif accept is not None:
        taken = rerandomise(units, _numbers(values, balance_on), allocation, control=spec.control, accept=accept)
        arms, salt, draws, limit = taken.arms, taken.salt, taken.draws, taken.limit
    else:
        arms = tuple(allocation.arm(one) for one in units)
    if strata and not by_stratum:
        by_stratum = _counted(strata, arms, list(shares))
    return AssignedList(
        units=tuple(units),
        arms=arms,
        strata=strata,
        method="rerandomized" if accept is not None else rules.method,
        counts={arm: arms.count(arm) for arm in shares},
        by_stratum=by_stratum,
        pooled=pooled,
        left_out=left_out,
        kept=sum(one in (given or {}) for one in units),
        balance=tuple(_balance(values, arms, spec, columns, rules.balance_tolerance)),
        salt=salt,
        draws=draws,
        limit=limit,
    )


def _read(
    spec: ExperimentSpec, source: str, unit: str, table: str | None, columns: Sequence[str], base: Path | None
) -> tuple[list[str], dict[str, list[Any]], int]:
    """Units, the columns' values, and how many rows are not eligible."""
    with open_source(source, base) as opened:
        stored = opened.table(table)
        kept = eligible(stored, spec.eligibility)
        wanted = {"unit": check_column(kept, unit), **{f"c{i}": check_column(kept, name) for i, name in enumerate(columns)}}
        whole = int(opened.rows(stored.count().as_table())[0][0])
        if whole > MOST_UNITS:
            raise DataError(
                f"A list has at most {MOST_UNITS:,} units, this one has {whole:,}.",
                hint="Assign by `warehouse.assignment.arm_sql` in the engine.",
                code="too_many_units",
            )
        rows = opened.rows(kept.select(**wanted))
    if any(row[0] is None for row in rows):
        raise DataError(f"Every row of the list must name its unit in column {unit!r}, some do not.", code="missing_unit")
    units = [str(row[0]) for row in rows]
    twice = [one for one, n in Counter(units).items() if n > 1]
    if twice:
        raise DataError(f"A unit comes once in a list, {twice[0]!r} comes more often ({len(twice):,} such units).", code="repeated_units")
    if not units:
        raise DataError("The list holds no eligible unit.", hint="Check the file and the spec's eligibility.", code="empty_list")
    return units, {name: [row[i + 1] for row in rows] for i, name in enumerate(columns)}, whole - len(rows)


def _level(value: object) -> str:
    return MISSING if value is None else str(value)


def _numbers(values: Mapping[str, list[Any]], names: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float64]]:
    for name in names:
        if any(not isinstance(value, int | float) for value in values[name]):
            raise DataError(
                f"Arms are balanced on numbers, column {name!r} holds others or has gaps.", hint="Leave it out, or fill the gaps."
            )
    return np.array([values[name] for name in names], dtype=np.float64).T


def _counted(strata: Sequence[str], arms: Sequence[str], keys: Sequence[str]) -> dict[str, dict[str, int]]:
    pairs = Counter(zip(strata, arms, strict=True))
    return {stratum: {arm: pairs[stratum, arm] for arm in keys} for stratum in sorted(set(strata))}


def _balance(
    values: Mapping[str, list[Any]], arms: Sequence[str], spec: ExperimentSpec, columns: Sequence[str], tolerance: float
) -> list[ColumnBalance]:
    found: list[ColumnBalance] = []
    places = {arm: [i for i, one in enumerate(arms) if one == arm] for arm in (spec.control, *spec.treatments)}
    for name in columns:
        for treatment in spec.treatments:
            smd = _smd([values[name][i] for i in places[spec.control]], [values[name][i] for i in places[treatment]])
            balanced = smd is not None and abs(smd) <= tolerance
            found.append(ColumnBalance(column=name, treatment=treatment, smd=smd, balanced=balanced))
    return found


def _smd(control: Sequence[Any], treatment: Sequence[Any]) -> float | None:
    try:
        if all(isinstance(value, int | float) and not isinstance(value, bool) for value in (*control, *treatment)):
            return balance_of_values(control, treatment).smd
        levels = sorted({_level(value) for value in (*control, *treatment)})
        counted = [Counter(_level(value) for value in arm) for arm in (control, treatment)]
        return balance_of_levels([counted[0][level] for level in levels], [counted[1][level] for level in levels]).smd
    except DataError:
        return None
