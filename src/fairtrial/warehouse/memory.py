"""The reference: the same reading from rows in memory, one at a time, in exact rational arithmetic.

Slow, short and without any engine: what the engines are held to in the contract suite. It
shares with them the words of the data section and nothing of the way.
"""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from fairtrial.errors import DataError, UsageError
from fairtrial.metrics.needs import Column, Needs
from fairtrial.spec.data import DataSpec, LogsData, UnitsData
from fairtrial.spec.metric import EventValue
from fairtrial.spec.segments import SegmentsSpec
from fairtrial.stats.moments import CoMoments
from fairtrial.stats.quantiles import QuantileSummary, order_statistic_interval
from fairtrial.stats.reading import ArmStats, Intake, LevelStats, OutcomeStats, Reading, SegmentStats
from fairtrial.stats.resampling.buckets import BucketSums
from fairtrial.stats.result import Unavailable
from fairtrial.warehouse.buckets import bucket_of
from fairtrial.warehouse.unit_table import as_known_arm, is_no_arm

Row = Mapping[str, Any]
Number = Fraction | None


class Unit(NamedTuple):
    """A unit: its arm, for a column its number and whether that was missing, its id, its stratum and its segments' values."""

    arm: str
    get: Callable[[Column], tuple[Number, bool]]
    key: Any = None
    stratum: str = ""
    levels: tuple[str | None, ...] = ()


class Kept(NamedTuple):
    """A unit that a metric keeps, with its numbers."""

    numbers: list[Fraction]
    key: Any
    stratum: str
    levels: tuple[str | None, ...]


def read_rows(
    tables: Mapping[str, Sequence[Row]], data: DataSpec, needs: Sequence[Needs], arms: Sequence[str], segments: SegmentsSpec | None = None
) -> Reading:
    """Read arm statistics from lists of rows.

    Args:
        tables: Rows by table name; for shape `units` the only one.
        data: How to read them.
        needs: What the metrics need.
        arms: Arms of the spec.
        segments: Columns by which the same is read, of shape `units`.

    Raises:
        UsageError: The shape is `aggregates`.
        DataError: A value is impossible, or missing under the rule `error`.
    """
    if isinstance(data, UnitsData):
        units, counts = _units(next(iter(tables.values())), data, needs, arms, () if segments is None else segments.columns)
    elif isinstance(data, LogsData):
        units, counts = _logs(tables, data, needs, arms)
    else:
        raise UsageError("The reference reads rows, shape 'aggregates' has none.")
    stats: dict[str, dict[str, OutcomeStats | Unavailable]] = {arm: {} for arm in arms}
    post_stratified = isinstance(data, UnitsData) and data.adjust == "post_stratify"
    for need in needs:
        for arm, outcome in _metric(need, units, arms, post_stratified=post_stratified).items():
            stats[arm][need.metric] = outcome
    sizes = Counter(unit.arm for unit in units)
    intake = Intake(source="memory", engine="memory", fingerprint="", shape=data.shape, units=len(units), **counts)
    by_segment = () if segments is None else _segments(segments, units, needs, arms, post_stratified=post_stratified)
    return Reading(arms={arm: ArmStats(n=sizes[arm], outcomes=stats[arm]) for arm in arms}, intake=intake, segments=by_segment)


def _segments(
    segments: SegmentsSpec, units: Sequence[Unit], needs: Sequence[Needs], arms: Sequence[str], *, post_stratified: bool
) -> tuple[SegmentStats, ...]:
    found: list[SegmentStats] = []
    for place, column in enumerate(segments.columns):
        counts = Counter(unit.levels[place] for unit in units)
        common = sorted((value for value in counts if value is not None), key=lambda value: (-counts[value], value))
        kept, rare = common[: segments.max_levels], common[segments.max_levels :]
        groups: list[tuple[LevelStats, set[str | None]]] = [(LevelStats(name=value, kind="value", arms={}), {value}) for value in kept]
        if None in counts:
            groups.append((LevelStats(name="(missing)", kind="missing", arms={}), {None}))
        if rare:
            groups.append((LevelStats(name="(other)", kind="other", arms={}, pooled=len(rare)), set(rare)))
        levels: list[LevelStats] = []
        for level, values in groups:
            inside = [unit for unit in units if unit.levels[place] in values]
            sizes = Counter(unit.arm for unit in inside)
            outcomes = {need.metric: _metric(need, units, arms, post_stratified=post_stratified, only=(place, values)) for need in needs}
            of_arm = {arm: ArmStats(n=sizes[arm], outcomes={key: each[arm] for key, each in outcomes.items()}) for arm in arms}
            levels.append(replace(level, arms=of_arm))
        found.append(SegmentStats(column=column, levels=tuple(levels)))
    return tuple(found)


def number_of(raw: Any) -> Number:
    """A stored number as a fraction; None where it is missing.

    Raises:
        DataError: It is infinite.
    """
    if raw is None or (isinstance(raw, float) and math.isnan(raw)):
        return None
    if isinstance(raw, float) and math.isinf(raw):
        raise DataError("A value must be finite, got an infinite one.", code="infinite_value")
    return Fraction(raw)


def _metric(
    need: Needs,
    units: Sequence[Unit],
    arms: Sequence[str],
    *,
    post_stratified: bool,
    only: tuple[int, set[str | None]] | None = None,
) -> dict[str, OutcomeStats | Unavailable]:
    """By arm; of `only` those units whose level of one segment column is among the values, by the rules of all units."""
    split = 1 if need.denominator is None else 2
    read = [(unit, [unit.get(column) for column in need.columns]) for unit in units]
    missing = Counter(unit.arm for unit, cells in read if any(gone for _, gone in cells[:split]))
    if missing and need.missing == "error":
        raise DataError(f"Metric '{need.metric}' allows no missing outcome.", code="missing_outcome")
    means = [_mean([n for _, cells in read if not cells[i][1] and (n := cells[i][0]) is not None]) for i in range(len(need.columns))]
    kept: dict[str, list[Kept]] = defaultdict(list)
    filled: Counter[str] = Counter()
    for unit, cells in read:
        if need.missing == "drop" and any(gone for _, gone in cells[:split]):
            continue
        filled[unit.arm] += any(gone for _, gone in cells[split:])
        numbers = [_fill(number, gone=gone, mean=None if i < split else means[i]) for i, (number, gone) in enumerate(cells)]
        kept[unit.arm].append(Kept(numbers, unit.key, unit.stratum, unit.levels))
    every = [unit.numbers for of_arm in kept.values() for unit in of_arm]
    _check(need, every)
    for i, column in enumerate(need.columns):
        if column.winsorize is not None:
            _cap(every, i, column.winsorize)
    if only is not None:
        place, values = only
        mine = [(unit, cells) for unit, cells in read if unit.levels[place] in values]
        missing = Counter(unit.arm for unit, cells in mine if any(gone for _, gone in cells[:split]))
        dropped = {id(unit) for unit, cells in mine if need.missing == "drop" and any(gone for _, gone in cells[:split])}
        filled = Counter(unit.arm for unit, cells in mine if id(unit) not in dropped and any(gone for _, gone in cells[split:]))
        kept = defaultdict(list, {arm: [unit for unit in of_arm if unit.levels[place] in values] for arm, of_arm in kept.items()})
    found = {arm: _outcome(need, kept[arm], missing[arm], filled[arm]) for arm in arms}
    if need.paired:
        found = _side_by_side(need, kept, found)
    return _post_stratified(kept, found) if post_stratified else found


def _fill(number: Number, *, gone: bool, mean: Fraction | None) -> Fraction:
    if not gone:
        assert number is not None  # noqa: S101 - the flag says so
        return number
    return (number or Fraction(0)) if mean is None else mean


def _mean(numbers: Sequence[Fraction]) -> Fraction:
    return sum(numbers, Fraction(0)) / len(numbers) if numbers else Fraction(0)


def _check(need: Needs, rows: Sequence[Sequence[Fraction]]) -> None:
    for i, column in enumerate(need.columns):
        if column.values == "binary" and any(row[i] not in {0, 1} for row in rows):
            raise DataError(f"Metric '{need.metric}' must be 0 or 1.", code="not_binary")
        if column.values == "nonnegative" and any(row[i] < 0 for row in rows):
            raise DataError(f"Metric '{need.metric}' must not be negative.", code="negative_value")


def _cap(rows: Sequence[list[Fraction]], index: int, quantile: float) -> None:
    """Cap at Hyndman and Fan's seventh quantile, unless that is the smallest value."""
    ordered = sorted(float(row[index]) for row in rows)
    if not ordered:
        return
    h = (len(ordered) - 1) * quantile
    low, high = ordered[math.floor(h)], ordered[math.ceil(h)]
    cap = low + (h - math.floor(h)) * (high - low)
    if cap <= ordered[0]:
        return
    for row in rows:
        row[index] = Fraction(cap) if float(row[index]) > cap else row[index]


def _outcome(need: Needs, kept: Sequence[Kept], missing: int, filled: int) -> OutcomeStats | Unavailable:
    rows = [unit.numbers for unit in kept]
    if not rows:
        return Unavailable(code="all_missing" if missing else "no_units", reason="No unit has an outcome.")
    binary = need.outcome.values == "binary"
    return OutcomeStats(
        moments=_moments(rows),
        missing=missing,
        missing_covariate=filled,
        minimum=None if binary else float(min(row[0] for row in rows)),
        maximum=None if binary else float(max(row[0] for row in rows)),
        rows=np.array(sorted(_read(need, row) for row in rows)) if need.rows else None,
        by_stratum=_by_stratum(kept) if need.by_stratum else None,
        buckets=_buckets(kept) if need.buckets else None,
        quantile=_quantile([float(row[0]) for row in rows], need.quantile) if need.quantile is not None else None,
    )


def _read(need: Needs, row: Sequence[Fraction]) -> list[float]:
    """The numbers that a test of units reads of one."""
    outcomes = 1 if need.denominator is None else 2
    return [float(number) for number in (row if need.covariate_rows else row[:outcomes])]


def _by_stratum(kept: Sequence[Kept]) -> dict[str, CoMoments]:
    names = sorted({unit.stratum for unit in kept})
    return {name: _moments([unit.numbers for unit in kept if unit.stratum == name]) for name in names}


def _side_by_side(
    need: Needs, kept: Mapping[str, Sequence[Kept]], found: Mapping[str, OutcomeStats | Unavailable]
) -> dict[str, OutcomeStats | Unavailable]:
    """Rows of both arms in one order, of pairs that have both; the arms by name."""
    sides = [{unit.key: _read(need, unit.numbers) for unit in kept[arm]} for arm in sorted(found)]
    both = sorted((*sides[0][key], *sides[1][key]) for key in sides[0] if key in sides[1])
    width = len(both[0]) // 2 if both else 0
    rows = [np.array([pair[start : start + width] for pair in both]) for start in (0, width)]
    return {
        arm: replace(outcome, rows=side) if isinstance(outcome, OutcomeStats) else outcome
        for (arm, outcome), side in zip(sorted(found.items()), rows, strict=True)
    }


def _moments(rows: Sequence[Sequence[Fraction]]) -> CoMoments:
    n, k = len(rows), len(rows[0])
    means = [sum((row[i] for row in rows), Fraction(0)) / n for i in range(k)]
    cross = [[float(sum((row[i] - means[i]) * (row[j] - means[j]) for row in rows)) for j in range(k)] for i in range(k)]
    return CoMoments(n=n, mean=np.array([float(mean) for mean in means]), cross=np.array(cross))


def _buckets(kept: Sequence[Kept]) -> BucketSums | Unavailable:
    """Sums about 0 by the hash of the unit's id."""
    groups: dict[int, list[list[Fraction]]] = defaultdict(list)
    for unit in kept:
        groups[bucket_of(str(unit.key))].append(unit.numbers)
    if len(groups) < 2:
        return Unavailable(code="too_few_units", reason="One bucket.")
    ordered = [groups[bucket] for bucket in sorted(groups)]
    k = len(kept[0].numbers)
    products = [[[float(sum(row[i] * row[j] for row in rows)) for j in range(k)] for i in range(k)] for rows in ordered]
    return BucketSums(
        n=np.array([float(len(rows)) for rows in ordered]),
        sums=np.array([[float(sum(row[i] for row in rows)) for i in range(k)] for rows in ordered]),
        center=np.zeros(k),
        products=np.array(products) if k > 1 else None,
    )


def _quantile(values: Sequence[float], probability: float) -> QuantileSummary | Unavailable:
    found = order_statistic_interval(values, probability).interval
    if math.isinf(found.low) or math.isinf(found.high):
        return Unavailable(code="too_few_units", reason="Unbounded.")
    return QuantileSummary(n=len(values), value=float(np.quantile(values, probability)), interval=found)


def _post_stratified(
    kept: Mapping[str, Sequence[Kept]], found: Mapping[str, OutcomeStats | Unavailable]
) -> dict[str, OutcomeStats | Unavailable]:
    """Weighted means of strata, and the covariance of them, as moments."""
    total = Counter(unit.stratum for of_arm in kept.values() for unit in of_arm)
    units = sum(total.values())
    done: dict[str, OutcomeStats | Unavailable] = dict(found)
    for arm, outcome in found.items():
        if isinstance(outcome, Unavailable):
            continue
        strata = {name: [unit.numbers for unit in kept[arm] if unit.stratum == name] for name in total}
        if min(len(rows) for rows in strata.values()) < 2:
            done[arm] = replace(outcome, stratified=Unavailable(code="thin_stratum", reason="Too thin."))
            continue
        parts = [(total[name] / units, _moments(rows)) for name, rows in strata.items()]
        n = sum(part.n for _, part in parts)
        mean = sum((share * part.mean for share, part in parts), np.zeros(1))
        covariance = sum((share**2 * part.cross / (part.n - 1) / part.n for share, part in parts), np.zeros(1))
        done[arm] = replace(outcome, stratified=CoMoments(n=n, mean=mean, cross=covariance * n * (n - 1)))
    return done


def _known(rows: Sequence[Row], arm: str, arms: Sequence[str]) -> tuple[list[tuple[str, Row]], dict[str, Any]]:
    """Rows of the spec's arms with the arm's name, and the counts of the others."""
    known: list[tuple[str, Row]] = []
    unknown: Counter[str] = Counter()
    without = 0
    for row in rows:
        if is_no_arm(row[arm]):
            without += 1
        elif (name := as_known_arm(row[arm], arms)) in arms:
            known.append((name, row))
        else:
            unknown[name] += 1
    return known, {"rows": len(rows), "rows_without_arm": without, "unknown_arms": dict(unknown)}


def _units(
    rows: Sequence[Row], data: UnitsData, needs: Sequence[Needs], arms: Sequence[str], segments: Sequence[str] = ()
) -> tuple[list[Unit], dict[str, Any]]:
    kept = [row for row in rows if all(row[name] == wanted for name, wanted in data.where.items())]
    known, counts = _known(kept, data.arm, arms)
    if data.pair is not None:
        return _pairs(known, data, arms, segments, counts)
    if data.unit is None:
        return [_unit(arm, row, row, data, segments) for arm, row in known], {**counts, "units_checked": False}
    groups: dict[Any, list[tuple[str, Row]]] = defaultdict(list)
    for arm, row in known:
        if row[data.unit] is not None:
            groups[row[data.unit]].append((arm, row))
    whole = [group for group in groups.values() if len({arm for arm, _ in group}) == 1]
    repeated = sum(len(group) - 1 for group in whole)
    if repeated and data.repeated == "error":
        raise DataError("Every unit must have one row.", code="repeated_units")
    columns = [column.source for need in needs for column in need.columns if isinstance(column.source, str)]
    units = [
        _unit(group[0][0], group[0][1], _collapsed([row for _, row in group], columns, data.repeated), data, segments) for group in whole
    ]
    return units, {**counts, "repeated_rows": repeated, "units_in_two_arms": len(groups) - len(whole)}


def _pairs(
    known: Sequence[tuple[str, Row]], data: UnitsData, arms: Sequence[str], segments: Sequence[str], counts: dict[str, Any]
) -> tuple[list[Unit], dict[str, Any]]:
    """Units of complete pairs, their pair as their id."""
    name = str(data.pair)
    groups: dict[Any, list[tuple[str, Row]]] = defaultdict(list)
    for arm, row in known:
        groups[row[name]].append((arm, row))
    whole = [group for pair, group in groups.items() if pair is not None and sorted(arm for arm, _ in group) == sorted(arms)]
    inside = {id(row) for group in whole for _, row in group}
    alone = Counter(arm for arm, row in known if id(row) not in inside)
    units = [_unit(arm, row, row, data, segments)._replace(key=row[name]) for group in whole for arm, row in group]
    return units, {**counts, "unpaired": {arm: alone[arm] for arm in arms if alone[arm]}}


def _unit(arm: str, first: Row, values: Row, data: UnitsData, segments: Sequence[str]) -> Unit:
    named = ["(missing)" if first[name] is None else str(first[name]) for name in data.strata]
    levels = tuple(None if first[name] is None else str(first[name]) for name in segments)
    return Unit(arm, _getter(values), None if data.unit is None else first[data.unit], "|".join(named), levels)


def _collapsed(rows: Sequence[Row], columns: Sequence[str], rule: str) -> Row:
    if len(rows) == 1:
        return rows[0]
    made: dict[str, Any] = {}
    for name in columns:
        numbers = [n for row in rows if (n := number_of(row[name])) is not None]
        total = sum(numbers, Fraction(0))
        made[name] = None if not numbers else total if rule == "sum" else total / len(numbers)
    return made


def _getter(row: Row) -> Callable[[Column], tuple[Number, bool]]:
    def get(column: Column) -> tuple[Number, bool]:
        number = number_of(row[str(column.source)])
        return number, number is None

    return get


def micros(raw: Any) -> int | None:
    """Microseconds since 1970-01-01 UTC of a time, a date or ISO text."""
    if raw is None:
        return None
    moment = dt.datetime.fromisoformat(raw) if isinstance(raw, str) else raw
    if not isinstance(moment, dt.datetime):
        moment = dt.datetime(moment.year, moment.month, moment.day, tzinfo=dt.UTC)
    moment = moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment
    return (moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)


def _logs(
    tables: Mapping[str, Sequence[Row]], data: LogsData, needs: Sequence[Needs], arms: Sequence[str]
) -> tuple[list[Unit], dict[str, Any]]:
    log = data.assignments
    known, counts = _known(tables[log.table], log.arm, arms)
    seen: dict[Any, list[tuple[str, int | None]]] = defaultdict(list)
    for arm, row in known:
        if row[log.unit] is not None:
            seen[row[log.unit]].append((arm, micros(row[log.time])))
    torn = {unit for unit, entries in seen.items() if len({arm for arm, _ in entries}) > 1}
    starts = {unit: min(at for _, at in entries if at is not None) for unit, entries in seen.items()}
    if data.exposures is not None:
        starts = _exposed(tables[data.exposures.table], data, arms, seen, torn)
        counts["assigned"] = {arm: sum(entries[0][0] == arm and unit not in torn for unit, entries in seen.items()) for arm in arms}
        counts["population"] = "triggered"
    counts |= {
        "units_in_two_arms": len(torn),
        "repeated_rows": sum(len(entries) - 1 for unit, entries in seen.items() if unit not in torn),
    }
    inside = {unit: at for unit, at in starts.items() if unit not in torn and unit in seen}
    events, event_counts = _events(tables, data, needs, seen, inside)
    units = [Unit(seen[unit][0][0], _event_getter(events, unit, start, data), unit) for unit, start in inside.items()]
    return units, {**counts, **event_counts}


def _exposed(rows: Sequence[Row], data: LogsData, arms: Sequence[str], seen: Mapping[Any, Any], torn: set[Any]) -> dict[Any, int]:
    log = data.exposures
    assert log is not None  # noqa: S101 - asked by the caller
    starts: dict[Any, int] = {}
    for row in rows:
        unit, at = row[log.unit], micros(row[log.time])
        arm = row.get(log.arm)
        if arm is not None and as_known_arm(arm, arms) not in arms:
            continue
        if at is not None:
            starts[unit] = min(at, starts.get(unit, at))
        if arm is not None and unit in seen and as_known_arm(arm, arms) != seen[unit][0][0]:
            torn.add(unit)
    return starts


Event = tuple[int, Row]


def _events(
    tables: Mapping[str, Sequence[Row]], data: LogsData, needs: Sequence[Needs], seen: Mapping[Any, Any], inside: Mapping[Any, int]
) -> tuple[dict[tuple[str, Any], list[Event]], dict[str, int]]:
    """Timed events by fact and unit of those analysed, and the counts by class."""
    sources = [column.source for need in needs for column in need.columns if isinstance(column.source, EventValue)]
    found: dict[tuple[str, Any], list[Event]] = defaultdict(list)
    counts: Counter[str] = Counter()
    for fact in dict.fromkeys(source.fact for source in sources):
        table = data.facts[fact]
        reach = max((source.before_days or 0.0 for source in sources if source.fact == fact), default=0.0)
        has_outcome = any(source.fact == fact and source.before_days is None for source in sources)
        ids: set[Any] = set()
        rows = sorted(tables[table.table], key=lambda row, t=table: (row[t.time] is None, micros(row[t.time]) or 0))
        for row in rows:
            event_id = row[table.event_id] if table.event_id else None
            unit, at = row[table.unit], micros(row[table.time])
            if event_id is not None and event_id in ids:
                counts["duplicate_events"] += 1
                continue
            ids.add(event_id)
            if unit not in seen:
                counts["unknown_unit_events"] += 1
            elif unit in inside and at is None:
                counts["untimed_events"] += 1
            elif unit in inside and at is not None:
                found[fact, unit].append((at, row))
                counts["early_events"] += at < inside[unit] - _day_micros(reach)
                counts["late_events"] += has_outcome and data.window_days is not None and at >= inside[unit] + _day_micros(data.window_days)
    names = ("duplicate_events", "unknown_unit_events", "untimed_events", "early_events", "late_events")
    return found, {name: counts[name] for name in names}


def _day_micros(days: float) -> int:
    return round(days * 86_400_000_000)


def _event_getter(
    events: Mapping[tuple[str, Any], Sequence[Event]], unit: Any, start: int, data: LogsData
) -> Callable[[Column], tuple[Number, bool]]:
    def get(column: Column) -> tuple[Number, bool]:
        source = column.source
        assert isinstance(source, EventValue)  # noqa: S101 - logs hold nothing else
        if source.before_days is not None:
            low, high = start - _day_micros(source.before_days), start
        else:
            low, high = start, math.inf if data.window_days is None else start + _day_micros(data.window_days)
        rows = [row for at, row in events.get((source.fact, unit), ()) if low <= at < high]
        if source.value is None:
            return Fraction(min(len(rows), 1) if column.any_event else len(rows)), False
        numbers = [number_of(row[source.value]) for row in rows]
        total = sum((number for number in numbers if number is not None), Fraction(0))
        happened = any(number for number in numbers if number is not None)
        return (Fraction(happened) if column.any_event else total), None in numbers

    return get
