"""From a unit table to arm statistics: look, scan, and scan again only where the first was not enough.

The first scan is optimistic: nothing is missing, sums about the looked-up constant are well
conditioned. Counts and sums in the same scan tell whether that held. Where it did not, a
census counts what is missing, and a careful scan applies each metric's rule.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

from fairtrial.errors import DataError, did_you_mean
from fairtrial.metrics.needs import Column, Needs
from fairtrial.stats.reading import ArmStats, OutcomeStats, SegmentStats
from fairtrial.stats.result import Unavailable
from fairtrial.warehouse.details import with_details
from fairtrial.warehouse.look import Census, Footers, Look, census, footers, look, narrowed, refuse_text
from fairtrial.warehouse.pushdown import Number, Scan
from fairtrial.warehouse.quantiles import pooled_cap
from fairtrial.warehouse.sums import (
    WORST_CONDITION,
    ArmSums,
    as_float,
    by_arm,
    centre_of,
    co_moments,
    condition,
    is_finite,
    shifted_sum,
)
from fairtrial.warehouse.terms import EXACT_IN_FLOAT, Term
from fairtrial.warehouse.unit_table import UnitTable, Value, as_known_arm, is_no_arm

Progress = Callable[[str], None]
MOST_SHOWN_ARMS = 10
EXTREME_SHARE = 0.02
"""Part of an arm's sum of squares below which a single value is not worth reading by arm."""
MOST_SHOWN_VALUES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The terms of each metric, and what is settled before the scan.

    Attributes:
        terms: By metric key, in the order of the co-moments.
        settled: By (side, term): an extreme already known, and the stored arms it holds in.
        pooled: By (side, term): the extreme over all arms, which is read by arm only if it could matter to one.
        complete: Whether no value is NULL, so that none need be counted.
    """

    terms: Mapping[str, tuple[Term, ...]]
    settled: Mapping[tuple[str, Term], tuple[Number, frozenset[object]]]
    pooled: Mapping[tuple[str, Term], Number] = field(default_factory=dict[tuple[str, Term], Number])
    complete: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Arm statistics and the counts that came with them.

    Attributes:
        arms: By arm of the spec, all of them.
        rows: Rows of the unit table, whatever their arm.
        rows_without_arm: Rows whose arm is NULL.
        unknown_arms: Rows by arm name that the spec does not know.
        totals: Integer totals, for the fingerprint.
        notes: Plain sentences on what was done.
        segments: The arms by segment, where asked for.
    """

    arms: Mapping[str, ArmStats]
    rows: int
    rows_without_arm: int
    unknown_arms: Mapping[str, int]
    totals: Mapping[str, Mapping[str, int]]
    notes: tuple[str, ...] = ()
    segments: tuple[SegmentStats, ...] = ()


def measure(units: UnitTable, needs: Sequence[Needs], arms: Sequence[str], progress: Progress) -> Measured:
    """Compute the arm statistics of a unit table.

    Raises:
        DataError: The data breaks a rule: nothing of the spec's arms, text, infinite or
            impossible values, missing values under the rule `error`.
    """
    seen = look(units)
    known = footers(units)
    units = narrowed(units, known)
    capped = any(column.winsorize is not None for need in needs for column in need.columns)
    found: Census | None = None
    notes: list[str] = []
    scan: Scan | None = None
    sums: dict[str, ArmSums] = {}
    plan = _plain_plan(units, needs, seen, known)
    raw: dict[object, dict[Any, Number]] = {}
    if not (capped or seen.incomplete or _has_flags(units) or (known is not None and not known.complete)):
        progress("Scanning the data")
        scan = _scan(units, needs, plan, seen)
        raw = scan.run()
        sums = by_arm(raw, arms)
        if not _complete(units, plan, sums):
            scan = None
    if scan is None:
        progress("Counting missing values")
        found = census(units, seen.centres, arms)
        plan, notes = _careful_plan(units, needs, found)
        progress("Scanning the data")
        scan = _scan(units, needs, plan, seen)
        raw = scan.run()
        sums = by_arm(raw, arms)
    check_arms(raw, arms)
    _check_values(units, needs, plan, sums)
    _check_finite(sums)
    scan, plan, sums = _sharpened(scan, needs, plan, sums, arms, progress)
    _check_finite(sums)
    plan, sums = _settle_extremes(scan, plan, sums, raw, arms)
    sums = _read_extremes(scan, plan, sums, arms)
    stats = {arm: _arm_stats(arm, scan, needs, plan, sums.get(arm)) for arm in arms}
    return Measured(
        arms=with_details(scan, needs, plan.terms, sums, stats, progress),
        rows=sum(int(row["n",]) for row in raw.values()),
        rows_without_arm=sum(int(row["n",]) for arm, row in raw.items() if is_no_arm(arm)),
        unknown_arms=_unknown(raw, arms),
        totals=_totals(scan, plan, sums),
        notes=tuple(notes),
    )


def count_rows(units: UnitTable, arms: Sequence[str]) -> Measured:
    """Only the rows by arm, known and unknown, without any statistics."""
    raw = Scan(units=units).run()
    return Measured(
        arms={},
        rows=sum(int(row["n",]) for row in raw.values()),
        rows_without_arm=sum(int(row["n",]) for arm, row in raw.items() if is_no_arm(arm)),
        unknown_arms=_unknown(raw, arms),
        totals={},
    )


def _has_flags(units: UnitTable) -> bool:
    return any(value.flag is not None for value in units.values.values())


def _plain_plan(units: UnitTable, needs: Sequence[Needs], seen: Look, known: Footers | None) -> Plan:
    terms = {need.metric: tuple(Term(value=units.value(column)) for column in need.columns) for need in needs}
    settled: dict[tuple[str, Term], tuple[Number, frozenset[object]]] = {}
    later: dict[tuple[str, Term], Number] = {}
    for need in needs:
        term = terms[need.metric][0]
        if known is None or need.outcome.values == "binary":
            continue
        name = term.value.name
        for side, pooled, sampled in (("min", known.lows, seen.lows), ("max", known.highs, seen.highs)):
            reached = [arm for arm, value in sampled.get(name, {}).items() if value == pooled[name]]
            if reached and len(reached) == len(sampled[name]):
                settled[side, term] = (pooled[name], frozenset(reached))
            elif need.outcome.values == "real" and term.kind == "float":
                later[side, term] = pooled[name]
    return Plan(terms=terms, settled=settled, pooled=later, complete=known is not None and known.complete)


def _careful_plan(units: UnitTable, needs: Sequence[Needs], found: Census) -> tuple[Plan, list[str]]:
    terms: dict[str, tuple[Term, ...]] = {}
    notes: list[str] = []
    for need in needs:
        gone = _missing_outcomes(units, need, found)
        if gone and need.missing == "error":
            _refuse_missing(need, gone, found)
        mask = tuple(dict.fromkeys(gone)) if need.missing == "drop" else ()
        row: list[Term] = []
        for column in need.columns:
            value = units.value(column)
            is_outcome = column is need.outcome or column is need.denominator
            fill: Fraction | None = None
            if found.missing[value.name]:
                fill = Fraction(0) if is_outcome else found.means[value.name]
            term = Term(value=value, fill=fill, mask=mask)
            if column.winsorize is not None:
                cap = pooled_cap(units, term, column.winsorize, found.stored)
                if cap is None:
                    notes.append(_skipped(need, column))
                term = replace(term, cap=cap)
            row.append(term)
        terms[need.metric] = tuple(row)
    return Plan(terms=terms, settled={}), notes


def _missing_outcomes(units: UnitTable, need: Needs, found: Census) -> list[Value]:
    parts = [column for column in (need.outcome, need.denominator) if column is not None]
    return [value for value in (units.value(column) for column in parts) if found.missing[value.name]]


def _skipped(need: Needs, column: Column) -> str:
    return (
        f"Metric '{need.metric}' was not winsorised: its {column.winsorize:g} quantile is its smallest value, "
        "so that capping would leave no difference between units."
    )


def _refuse_missing(need: Needs, gone: Sequence[Value], found: Census) -> None:
    counts = " and ".join(f"{found.missing[value.name]} of column {value.source!r}" for value in gone)
    raise DataError(
        f"Metric '{need.metric}' allows no missing outcome (`missing: error`), but {counts} are missing.",
        hint="Say what a missing outcome counts as: `missing: zero` (as 0), `missing: drop` (the unit is left out of "
        "this metric) or `missing: error` (as now) after mending the data.",
        code="missing_outcome",
    )


def _scan(units: UnitTable, needs: Sequence[Needs], plan: Plan, seen: Look) -> Scan:
    centres: dict[Term, Any] = {}
    for terms in plan.terms.values():
        for term in terms:
            centre = seen.centres.get(term.value.name, 0)
            centres[term] = centre if term.in_decimals or term.value.kind == "wide" else float(centre)
    return asked(Scan(units=units, centres=centres), needs, plan)


def asked(scan: Scan, needs: Sequence[Needs], plan: Plan) -> Scan:
    """The scan with everything that the metrics need asked for."""
    for need in needs:
        terms = plan.terms[need.metric]
        outcome, covariates = _parts(need, terms)
        scan.count_kept(terms[0].mask)
        for term in terms:
            scan.total(term)
            if not plan.complete:
                scan.present(term.value)
        for index, left in enumerate(terms):
            for right in terms[index:]:
                scan.product(left, right)
        _ask_ranges(scan, need, plan)
        if any(term.fill is not None or term.mask for term in outcome):
            scan.count_missing(("missing", need.metric), [term.value for term in outcome])
        if any(term.fill is not None for term in covariates):
            scan.count_missing(("filled", need.metric), [term.value for term in covariates], terms[0].mask)
    return scan


def _parts(need: Needs, terms: tuple[Term, ...]) -> tuple[tuple[Term, ...], tuple[Term, ...]]:
    """Terms of the outcome (with its denominator) and of the covariate."""
    split = 1 if need.denominator is None else 2
    return terms[:split], terms[split:]


def _ask_ranges(scan: Scan, need: Needs, plan: Plan) -> None:
    for index, (column, term) in enumerate(zip(need.columns, plan.terms[need.metric], strict=True)):
        sides = ("min", "max") if index == 0 and column.values != "binary" else ()
        if column.values == "binary" and not term.value.is_bit:
            scan.not_bit(term.value)
        if column.values == "nonnegative" and (term.value.low is None or term.value.low < 0):
            sides = sides or ("min",)
        if term.value.kind == "wide" and term.cap is None:
            sides = ("min", "max")
        for side in sides:
            if (side, term) not in plan.settled and (side, term) not in plan.pooled:
                scan.extreme(term, side)


def _complete(units: UnitTable, plan: Plan, sums: Mapping[str, ArmSums]) -> bool:
    """Whether nothing was missing, text, NaN or infinite in the arms of the spec."""
    for arm in sums.values():
        for value in dict.fromkeys(units.values.values()):
            refuse_text(value, arm.count("text", value.name))
            if not plan.complete and arm.count("present", value.name) != arm.n:
                return False
        if not all(is_finite(number) for number in arm.numbers.values()):
            return False
    return True


def check_arms(stored: Collection[object], arms: Sequence[str]) -> None:
    """Raise unless some row is of an arm of the spec.

    Raises:
        DataError: There are no rows, no arms, or only unknown ones.
    """
    if not stored:
        raise DataError("The data must hold units, it has 0 rows.", hint="Check the table and `where`.", code="no_rows")
    names = sorted({as_known_arm(arm, arms) for arm in stored if not is_no_arm(arm)})
    if not names:
        raise DataError("The arm column must name arms, it is NULL in every row.", hint="Check `arm` in the data section.", code="no_arm")
    if not set(names) & set(arms):
        near = [f"{arm!r}: {did_you_mean(arm, names)}" for arm in arms if did_you_mean(arm, names)]
        raise DataError(
            f"No row is of an arm of the spec {list(arms)}, the data holds {names[:MOST_SHOWN_ARMS]}.",
            hint=" ".join(near) or "Name the arms as the data does.",
            code="unknown_arms",
        )


def _unknown(raw: Mapping[object, Mapping[Any, Number]], arms: Sequence[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for stored, row in raw.items():
        if not is_no_arm(stored) and (name := as_known_arm(stored, arms)) not in arms:
            counts[name] = counts.get(name, 0) + int(row["n",])
    return dict(sorted(counts.items()))


def _check_values(units: UnitTable, needs: Sequence[Needs], plan: Plan, sums: Mapping[str, ArmSums]) -> None:
    """Raise for values that a kind of metric cannot have."""
    for need in needs:
        for column, term in zip(need.columns, plan.terms[need.metric], strict=True):
            wrong = sum(arm.count("not_bit", term.value.name) for arm in sums.values())
            if column.values == "binary" and wrong:
                _refuse_not_binary(units, need, term.value, wrong)
            lows = [low for arm in sums.values() if (low := arm.numbers.get(("min", term))) is not None]
            if column.values == "nonnegative" and lows and min(lows) < 0:
                raise DataError(
                    f"Metric '{need.metric}' must not be negative, column {term.value.source!r} goes down to {min(lows)}.",
                    hint="Mend the column, or make the metric a `mean`.",
                    code="negative_value",
                )


def _refuse_not_binary(units: UnitTable, need: Needs, value: Value, count: int) -> None:
    column = units.table[value.name]
    other = units.table.filter((column != 0) & (column != 1)).select(value=column).distinct()
    shown = sorted(float(row[0]) for row in units.source.rows(other.limit(MOST_SHOWN_ARMS)))
    raise DataError(
        f"Metric '{need.metric}' must be 0 or 1, column {value.source!r} holds {count} other values: "
        f"{', '.join(f'{number:g}' for number in shown[:MOST_SHOWN_VALUES])}.",
        hint="Make it 0 and 1 (did it happen or not), or make the metric a `mean` or a `count`.",
        code="not_binary",
    )


def _sharpened(
    scan: Scan, needs: Sequence[Needs], plan: Plan, sums: dict[str, ArmSums], arms: Sequence[str], progress: Progress
) -> tuple[Scan, Plan, dict[str, ArmSums]]:
    """The scan, its plan and its sums, repeated about the arms' means where the constant proved bad.

    Only terms that are badly conditioned get a constant for every arm: its mean.
    """
    poor = [term for term in _all_terms(plan) if _is_poor(scan, term, sums)]
    if not poor:
        return scan, plan, sums
    progress("Scanning again about the means")
    swap = {term: replace(term, halves=term.value.kind == "wide") for term in poor}
    better = Plan(
        terms={metric: tuple(swap.get(term, term) for term in terms) for metric, terms in plan.terms.items()},
        settled={(side, swap.get(term, term)): entry for (side, term), entry in plan.settled.items()},
        pooled={(side, swap.get(term, term)): entry for (side, term), entry in plan.pooled.items()},
        complete=plan.complete,
    )
    centres: dict[Term, Any] = {swap.get(term, term): centre for term, centre in scan.centres.items()}
    for term in poor:
        centres[swap[term]] = {stored: _mean_centre(scan, arm, term) for arm in sums.values() for stored in arm.spellings}
    again = asked(Scan(units=scan.units, centres=centres), needs, better)
    return again, better, by_arm(again.run(), arms)


def _all_terms(plan: Plan) -> list[Term]:
    return list(dict.fromkeys(term for terms in plan.terms.values() for term in terms))


def _is_poor(scan: Scan, term: Term, sums: Mapping[str, ArmSums]) -> bool:
    if term.value.kind == "wide" and term.cap is None:
        reach = [abs(number) for arm in sums.values() for side in ("min", "max") if (number := arm.numbers.get((side, term)))]
        if reach and max(reach) > EXACT_IN_FLOAT:
            return True
    return any(condition(scan, arm, term, _kept(arm, term)) > WORST_CONDITION for arm in sums.values())


def _mean_centre(scan: Scan, arm: ArmSums, term: Term) -> Any:
    n = _kept(arm, term)
    if n == 0:
        return 0
    total = shifted_sum(scan, arm, term, n, integer=False)
    exact_mean = centre_of(scan, term, arm.stored) + total / n
    if term.value.kind == "wide":
        return round(exact_mean)
    mean = float(exact_mean)
    if not term.in_decimals:
        return mean
    scale: int | None = scan.units.table[term.value.name].type().scale
    return Decimal(repr(mean)) if scale is None else round(Decimal(repr(mean)), scale)


def _kept(arm: ArmSums, term: Term) -> int:
    return arm.count("kept", term.mask) if term.mask else arm.n


def _check_finite(sums: Mapping[str, ArmSums]) -> None:
    """Raise when a finite column's squares are not."""
    for arm in sums.values():
        for key, number in arm.numbers.items():
            if not is_finite(number):
                names = sorted({part.value.source for part in key if isinstance(part, Term)})
                raise DataError(
                    f"Squares of {names} must be finite, values are too large to square.",
                    hint="Divide the column by a constant, or cap it by `winsorize`.",
                    code="too_large",
                )


def _settle_extremes(
    scan: Scan, plan: Plan, sums: dict[str, ArmSums], raw: Mapping[object, object], arms: Sequence[str]
) -> tuple[Plan, dict[str, ArmSums]]:
    """Put extremes known beforehand beside those that were scanned.

    They hold in the arms that the look saw; where an arm was not among its rows, one more
    scan reads them.
    """
    if not plan.settled:
        return plan, sums
    stored = {arm for arm in raw if not is_no_arm(arm) and as_known_arm(arm, arms) in arms}
    if all(stored <= reached for _, reached in plan.settled.values()):
        known = {entry: pooled for entry, (pooled, _) in plan.settled.items()}
        return plan, {name: replace(arm, numbers={**arm.numbers, **known}) for name, arm in sums.items()}
    extra = Scan(units=scan.units)
    for side, term in plan.settled:
        extra.extreme(term, side)
    more = by_arm(extra.run(), arms)
    return plan, {name: replace(arm, numbers={**more[name].numbers, **arm.numbers}) for name, arm in sums.items()}


def _read_extremes(scan: Scan, plan: Plan, sums: dict[str, ArmSums], arms: Sequence[str]) -> dict[str, ArmSums]:
    """Read by arm those pooled extremes that would carry a notable part of some arm's sum of squares.

    Minima and maxima by arm are a third of a scan of floats; where even the pooled extreme
    is no outlier in any arm, no arm's own is, and nothing is read.
    """
    wanted = [entry for entry, value in plan.pooled.items() if any(_stands_out(scan, arm, entry[1], value) for arm in sums.values())]
    if not wanted:
        return sums
    extra = Scan(units=scan.units)
    for side, term in wanted:
        extra.extreme(term, side)
    more = by_arm(extra.run(), arms)
    return {name: replace(arm, numbers={**more[name].numbers, **arm.numbers}) for name, arm in sums.items()}


def _stands_out(scan: Scan, arm: ArmSums, term: Term, value: Number) -> bool:
    n = _kept(arm, term)
    if n == 0 or value is None:
        return False
    column = co_moments(scan, arm, (term,), n).column()
    return (float(value) - column.mean) ** 2 > EXTREME_SHARE * column.m2


def _arm_stats(name: str, scan: Scan, needs: Sequence[Needs], plan: Plan, arm: ArmSums | None) -> ArmStats:
    if arm is None or arm.n == 0:
        gone = Unavailable(code="no_units", reason=f"Arm '{name}' has no units in the data.")
        return ArmStats(n=0, outcomes={need.metric: gone for need in needs})
    return ArmStats(n=arm.n, outcomes={need.metric: _outcome(name, scan, need, plan.terms[need.metric], arm) for need in needs})


def _outcome(name: str, scan: Scan, need: Needs, terms: tuple[Term, ...], arm: ArmSums) -> OutcomeStats | Unavailable:
    n = _kept(arm, terms[0])
    if n == 0:
        return Unavailable(code="all_missing", reason=f"Every unit of arm '{name}' misses its outcome of metric '{need.metric}'.")
    binary = need.outcome.values == "binary"
    return OutcomeStats(
        moments=co_moments(scan, arm, terms, n),
        missing=arm.count("missing", need.metric),
        missing_covariate=arm.count("filled", need.metric),
        minimum=None if binary else as_float(arm.numbers.get(("min", terms[0]))),
        maximum=None if binary else as_float(arm.numbers.get(("max", terms[0]))),
    )


def _totals(scan: Scan, plan: Plan, sums: Mapping[str, ArmSums]) -> dict[str, dict[str, int]]:
    """Counts and totals of the integer columns, by arm."""
    totals: dict[str, dict[str, int]] = {}
    for name, arm in sorted(sums.items()):
        row = {"n": arm.n}
        for term in _all_terms(plan):
            if term.kind in {"narrow", "wide"}:
                row[f"{term.value.source}|{len(term.mask)}"] = int(shifted_sum(scan, arm, term, _kept(arm, term), integer=True))
        totals[name] = row
    return totals
