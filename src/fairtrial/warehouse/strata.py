"""Moments by arm and stratum in one GROUP BY, and the arms put together from them, plain and post-stratified.

A cell - an arm in a stratum - takes the arm's place in the scan, so that everything the scan
does for an arm (constants, missing values, caps over all units) it does for a cell. Cells
of an arm add up to the arm exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fairtrial.errors import DataError, UsageError
from fairtrial.metrics.needs import Needs
from fairtrial.stats.reading import ArmStats, OutcomeStats
from fairtrial.stats.result import Unavailable
from fairtrial.stats.strata import LEAST_UNITS, pooled_shares, post_stratified_moments
from fairtrial.warehouse.measure import Measured, Progress, count_rows, measure
from fairtrial.warehouse.unit_table import ARM, UnitTable, as_known_arm, check_column, is_no_arm
from fairtrial.warehouse.untyped import ibis

MOST_CELLS = 200
"""Arms times strata."""

APART = "\x1f"
MISSING = "(missing)"
"""The stratum of units without a value in its column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """The statistics of each arm in each stratum.

    Attributes:
        arms: By arm of the spec, then by stratum; a stratum without units is left out.
    """

    arms: Mapping[str, Mapping[str, ArmStats]]

    @property
    def strata(self) -> int:
        """How many strata have units."""
        return len({stratum for of_arm in self.arms.values() for stratum in of_arm})


def stratum_columns(table: Any, names: Sequence[str]) -> dict[str, Any]:
    """The stratum columns as text, under names of the unit table."""
    return {f"s{index}": category(table, name, "stratum").coalesce(MISSING) for index, name in enumerate(names)}


def category(table: Any, name: str, what: str) -> Any:
    """A column of categories as text, NULL where it has no value.

    Args:
        table: The table.
        name: The column.
        what: What its categories are called: "stratum", "segment".

    Raises:
        UnknownNameError: A column is not there.
        UsageError: A column holds fractions or times, which are no categories.
    """
    column = check_column(table, name)
    kind = column.type()
    if not (kind.is_string() or kind.is_integer() or kind.is_boolean() or kind.is_date()):
        raise UsageError(
            f"A {what} must be a category (text, whole numbers, true or false), column {name!r} holds {kind}.",
            hint="Cut it into classes, or use it as a covariate.",
            code="wrong_type",
        )
    return column.cast("string")


def measure_strata(units: UnitTable, strata: Sequence[str], needs: Sequence[Needs], arms: Sequence[str], progress: Progress) -> Measured:
    """The arm statistics of a unit table, with those of post-stratified arms beside them.

    Args:
        units: The unit table, with the columns of `stratum_columns`.
        strata: What the stratum columns are called.
        needs: What the metrics need.
        arms: Arms of the spec.
        progress: Told what is being done.

    Raises:
        DataError: There are too many strata, or the data breaks a rule of `measure`.
    """
    known = stored_arms(units, arms)
    if not known:
        return measure(units, needs, arms, progress)
    cells, measured = _measured_cells(units, known, strata, needs, arms, progress)
    rows = count_rows(units, arms)
    return replace(
        rows,
        arms=combined(cells, strata, needs),
        totals=measured.totals,
        notes=(*measured.notes, f"The arms were compared within {cells.strata} strata of {', '.join(strata)}."),
    )


def with_strata(
    measured: Measured, units: UnitTable, strata: Sequence[str], needs: Sequence[Needs], arms: Sequence[str], progress: Progress
) -> Measured:
    """What was measured, with the moments of each stratum for the metrics that ask for them, by one scan more.

    Args:
        measured: The arm statistics of the same table.
        units: The unit table, with the columns of `stratum_columns`.
        strata: What the stratum columns are called.
        needs: What the metrics need.
        arms: Arms of the spec.
        progress: Told what is being done.

    Raises:
        DataError: There are too many strata.
    """
    asked = [need for need in needs if need.by_stratum]
    known = stored_arms(units, arms)
    if not asked or not known:
        return measured
    cells, _ = _measured_cells(units, known, strata, asked, arms, progress)
    found: dict[str, ArmStats] = {}
    for arm, stats in measured.arms.items():
        outcomes = dict(stats.outcomes)
        for need in asked:
            outcome = outcomes[need.metric]
            if isinstance(outcome, OutcomeStats):
                moments = {name: inner.moments for name, inner in _outcomes(cells.arms[arm], need.metric).items()}
                outcomes[need.metric] = replace(outcome, by_stratum=moments)
        found[arm] = replace(stats, outcomes=outcomes)
    named = ", ".join(need.metric for need in asked)
    note = f"The arms were compared within {cells.strata} strata of {', '.join(strata)} on {named}."
    return replace(measured, arms=found, notes=(*measured.notes, note))


def _measured_cells(
    units: UnitTable, known: Sequence[object], strata: Sequence[str], needs: Sequence[Needs], arms: Sequence[str], progress: Progress
) -> tuple[Cells, Measured]:
    """The statistics of every arm in every stratum, and the scan that they come from."""
    inner = _by_cell(units, known, arms, len(strata))
    names = [str(row[0]) for row in units.source.rows(inner.table.select(ARM).distinct().limit(MOST_CELLS + 1))]
    if len(names) > MOST_CELLS:
        raise DataError(
            f"Arms times strata may be at most {MOST_CELLS}, the combinations of {list(strata)} make more.",
            hint="Use fewer columns, or coarser ones; a number serves better as a covariate.",
            code="too_many_strata",
        )
    measured = measure(inner, needs, sorted(names), progress)
    cells: dict[str, dict[str, ArmStats]] = {arm: {} for arm in arms}
    for name, stats in measured.arms.items():
        place, _, stratum = name.partition(APART)
        cells[arms[int(place)]][stratum] = stats
    return Cells(arms=cells), measured


def stored_arms(units: UnitTable, arms: Sequence[str]) -> list[object]:
    """The arms of the spec as the table spells them."""
    spellings = [row[0] for row in units.source.rows(units.table.select(ARM).distinct().limit(MOST_CELLS + 2))]
    return [stored for stored in spellings if not is_no_arm(stored) and as_known_arm(stored, arms) in arms]


def place_of_arm(table: Any, known: Sequence[object], arms: Sequence[str]) -> Any:
    """The arm's place among `arms` as text, whatever its spelling in `table`."""
    places = [(table[ARM] == ibis.literal(stored), ibis.literal(str(arms.index(as_known_arm(stored, arms))))) for stored in known]
    return ibis.cases(*places, else_=ibis.literal("0"))


def combined(cells: Cells, strata: Sequence[str], needs: Sequence[Needs]) -> dict[str, ArmStats]:
    """Arms put together from their cells; post-stratified as well where there are `strata`."""
    outcomes: dict[str, dict[str, OutcomeStats | Unavailable]] = {arm: {} for arm in cells.arms}
    for need in needs:
        by_arm = {arm: _outcomes(of_arm, need.metric) for arm, of_arm in cells.arms.items()}
        present = [{name: outcome.moments.n for name, outcome in of_arm.items()} for of_arm in by_arm.values()]
        shares = pooled_shares(present) if any(present) else {}
        for arm, of_arm in by_arm.items():
            outcomes[arm][need.metric] = _outcome(arm, need, cells.arms[arm], of_arm, shares, strata)
    return {arm: ArmStats(n=sum(stats.n for stats in of_arm.values()), outcomes=outcomes[arm]) for arm, of_arm in cells.arms.items()}


def _by_cell(units: UnitTable, known: Sequence[object], arms: Sequence[str], columns: int) -> UnitTable:
    """The rows of the spec's arms, with the cell in place of the arm."""
    table = units.table.filter(units.table[ARM].isin(list(known)))
    cell = place_of_arm(table, known, arms)
    for index in range(columns):
        cell = cell + ibis.literal(APART) + table[f"s{index}"]
    return replace(units, table=table.mutate(**{ARM: cell}), footers=False)


def _outcomes(of_arm: Mapping[str, ArmStats], metric: str) -> dict[str, OutcomeStats]:
    found: dict[str, OutcomeStats] = {}
    for stratum, stats in sorted(of_arm.items()):
        outcome = stats.outcomes[metric]
        if isinstance(outcome, OutcomeStats):
            found[stratum] = outcome
    return found


def _outcome(
    arm: str,
    need: Needs,
    of_arm: Mapping[str, ArmStats],
    known: Mapping[str, OutcomeStats],
    shares: Mapping[str, float],
    strata: Sequence[str],
) -> OutcomeStats | Unavailable:
    if not known:
        if not of_arm:
            return Unavailable(code="no_units", reason=f"Arm '{arm}' has no units in the data.")
        return Unavailable(code="all_missing", reason=f"Every unit of arm '{arm}' misses its outcome of metric '{need.metric}'.")
    lost = sum(stats.n for stratum, stats in of_arm.items() if stratum not in known)
    first, *others = known.values()
    moments = first.moments
    for other in others:
        moments += other.moments
    lows = [outcome.minimum for outcome in known.values() if outcome.minimum is not None]
    highs = [outcome.maximum for outcome in known.values() if outcome.maximum is not None]
    return OutcomeStats(
        moments=moments,
        missing=lost + sum(outcome.missing for outcome in known.values()),
        missing_covariate=sum(outcome.missing_covariate for outcome in known.values()),
        minimum=min(lows) if len(lows) == len(known) else None,
        maximum=max(highs) if len(highs) == len(known) else None,
        stratified=_stratified(arm, need, known, shares, strata) if strata else None,
    )


def _stratified(arm: str, need: Needs, known: Mapping[str, OutcomeStats], shares: Mapping[str, float], strata: Sequence[str]) -> Any:
    """Post-stratified moments, or which stratum is too thin."""
    for stratum in shares:
        units = known[stratum].moments.n if stratum in known else 0
        if units < LEAST_UNITS:
            spoken = ", ".join(f"{name} {value}" for name, value in zip(strata, stratum.split(APART), strict=True))
            return Unavailable(
                code="thin_stratum",
                reason=f"The stratum {spoken} has {units} units of '{need.metric}' in arm '{arm}', and each arm needs "
                f"{LEAST_UNITS} there: merge small strata, or leave a column out.",
            )
    return post_stratified_moments([known[stratum].moments for stratum in shares], list(shares.values()))
