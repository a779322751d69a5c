"""Events of a fact table, told apart into classes and summed per unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from fairtrial.errors import UsageError
from fairtrial.metrics.needs import Column, Needs
from fairtrial.spec.data import FactTable, LogsData
from fairtrial.spec.metric import EventValue
from fairtrial.warehouse.look import refuse_text
from fairtrial.warehouse.sources import Source
from fairtrial.warehouse.times import micros_of, micros_of_days
from fairtrial.warehouse.unit_table import Value, check_column, needed_columns, text_rows, typed_number
from fairtrial.warehouse.untyped import NO, ibis

EVENT_UNIT = "event_unit"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventCounts:
    """Events left out, each in one class, the first that fits in this order.

    Attributes:
        duplicates: A repeated event id.
        unknown_unit: The unit was never assigned.
        outside: The unit is left out: two arms, or never exposed.
        untimed: No time.
        early: Before the start, and in no covariate's window.
        late: At or after the end of the window.
    """

    duplicates: int = 0
    unknown_unit: int = 0
    outside: int = 0
    untimed: int = 0
    early: int = 0
    late: int = 0

    def __add__(self, other: EventCounts) -> EventCounts:
        return EventCounts(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})

    def as_numbers(self) -> dict[str, int]:
        """The counts by name."""
        return {f"events_{f.name}": getattr(self, f.name) for f in fields(self)}

    def notes(self) -> tuple[str, ...]:
        """A sentence on events that have no count of their own in the intake."""
        return (f"{self.outside} events belong to units that are left out.",) if self.outside else ()


def facts_of(needs: Sequence[Needs]) -> dict[str, list[Column]]:
    """The distinct numbers to make, by fact table.

    Raises:
        UsageError: A metric names a plain column, which logs have none of.
    """
    found: dict[str, list[Column]] = {}
    for column in needed_columns(needs):
        if not isinstance(column.source, EventValue):
            raise UsageError(
                f"Data of shape 'logs' has events and no column {column.source!r} a unit.",
                hint="Name the events: {fact: ..., value: ...}, with `facts` in the data section.",
            )
        found.setdefault(column.source.fact, []).append(column)
    return found


def event_tables(
    source: Source, data: LogsData, needs: Sequence[Needs], assigned: Any, *, as_text: bool
) -> tuple[list[tuple[Any, Mapping[Column, Value]]], EventCounts]:
    """One table a fact, with a row a unit that has events, and the counts of events left out."""
    tables: list[tuple[Any, Mapping[Column, Value]]] = []
    total = EventCounts()
    made = 0
    for fact, columns in facts_of(needs).items():
        table, values, counts = _Fact(source, data, data.facts[fact], columns, first=made).read(assigned, as_text=as_text)
        tables.append((table, values))
        total += counts
        made += len(columns)
    return tables, total


def events_of(source: Source, data: LogsData, column: Column, *, as_text: bool) -> tuple[Any, int]:
    """The events that one need is made of, without duplicates, and how many of those there were.

    Returns:
        A table with `event_unit`, `at` in microseconds and, where the need sums a column, that column as `e0`.

    Raises:
        UsageError: A table or column is not there.
        DataError: A column is of the wrong type.
    """
    fact = data.facts[_event(column).fact]
    return _Fact(source, data, fact, [column], first=0).events(source.table(fact.table), as_text=as_text)


class _Fact:
    """One fact table on its way to a row a unit."""

    def __init__(self, source: Source, data: LogsData, fact: FactTable, columns: Sequence[Column], *, first: int) -> None:
        self._source = source
        self._fact = fact
        self._columns = columns
        self._first = first
        self._window = None if data.window_days is None else micros_of_days(data.window_days)
        self._names = list(dict.fromkeys(name for column in columns if (name := _event(column).value) is not None))

    def read(self, assigned: Any, *, as_text: bool) -> tuple[Any, Mapping[Column, Value], EventCounts]:
        stored = self._source.table(self._fact.table)
        events, duplicates = self.events(stored, as_text=as_text)
        joined = events.left_join(assigned, events[EVENT_UNIT] == assigned.unit)
        counts, incomplete = self._classes(joined, duplicates)
        table, values = self._per_unit(joined.filter(joined.inside == 1), incomplete)
        return table, values, counts

    def events(self, stored: Any, *, as_text: bool) -> tuple[Any, int]:
        """Unit, time and values of every event but the duplicates, and how many those are."""
        unit = check_column(stored, self._fact.unit)
        chosen: dict[str, Any] = {
            EVENT_UNIT: unit.cast("string") if as_text else unit,
            "at": micros_of(self._source, stored, self._fact.time),
        }
        for index, name in enumerate(self._names):
            typed = typed_number(self._source, stored, name)
            chosen[f"e{index}"] = typed.expression.cast("float64") if typed.kind == "decimal" else typed.expression
            if self._source.engine.dynamic_types:
                count = self._source.rows(stored.agg(n=text_rows(stored, name)))[0][0]
                refuse_text(Value(name=name, source=name, kind=typed.kind), int(count or 0))
        if self._fact.event_id is None:
            return stored.select(**chosen), 0
        event = check_column(stored, self._fact.event_id)
        events = stored.select(**chosen, event_id=event)
        ids, distinct = self._source.rows(events.agg(ids=events.event_id.count(), distinct=events.event_id.nunique()))[0]
        if ids == distinct:
            return events.drop("event_id"), 0
        order = [events["at"].isnull().cast("int32"), *(events[name] for name in events.columns if name != "event_id")]
        place = ibis.row_number().over(ibis.window(group_by=events.event_id, order_by=order))
        placed = events.mutate(place=place)
        kept = placed.filter((placed.place == 0) | placed.event_id.isnull())
        return kept.drop("event_id", "place"), int(ids) - int(distinct)

    def _classes(self, joined: Any, duplicates: int) -> tuple[EventCounts, list[bool]]:
        """Counts by class, and for each value column whether some value is missing."""
        inside = (joined.inside == 1).coalesce(NO)
        timed = inside & joined["at"].notnull()
        early = timed & (joined["at"] < joined.start)
        reach = [micros_of_days(days) for column in self._columns if (days := _event(column).before_days) is not None]
        if reach:
            early = early & (joined["at"] < joined.start - max(reach))
        asked = {
            "unknown": joined.inside.isnull(),
            "outside": (joined.inside == 0).coalesce(NO),
            "untimed": inside & joined["at"].isnull(),
            "early": early,
            "late": timed & (joined["at"] >= joined.start + self._window) if self._has_outcome() and self._window else inside & ~inside,
            **{f"gone{index}": self._missing(joined, index) for index in range(len(self._names))},
        }
        row = self._source.rows(joined.agg(**{name: flag.cast("int32").sum() for name, flag in asked.items()}))[0]
        numbers = [int(number or 0) for number in row]
        counts = EventCounts(
            duplicates=duplicates, unknown_unit=numbers[0], outside=numbers[1], untimed=numbers[2], early=numbers[3], late=numbers[4]
        )
        return counts, [number > 0 for number in numbers[5:]]

    def _has_outcome(self) -> bool:
        return any(_event(column).before_days is None for column in self._columns)

    def _missing(self, joined: Any, index: int) -> Any:
        column = joined[f"e{index}"]
        gone = column.isnull()
        return gone | column.isnan() if column.type().is_floating() and self._source.engine.has_nan else gone

    def _per_unit(self, joined: Any, incomplete: Sequence[bool]) -> tuple[Any, Mapping[Column, Value]]:
        asked: dict[str, Any] = {}
        values: dict[Column, Value] = {}
        for index, column in enumerate(self._columns, start=self._first):
            name, flag = f"v{index}", None
            counts = self._in_window(joined, _event(column))
            which = _event(column).value
            if which is not None:
                position = self._names.index(which)
                if incomplete[position]:
                    flag = f"f{index}"
                    asked[flag] = (counts & self._missing(joined, position)).cast("int32").max()
            asked[name], value = self._number(joined, column, counts, Value(name=name, source=_spoken(column), kind="wide", flag=flag))
            values[column] = value
        return joined.group_by(EVENT_UNIT).agg(**asked), values

    def _number(self, joined: Any, column: Column, counts: Any, value: Value) -> tuple[Any, Value]:
        """The aggregate of one need over a unit's events, and what it is."""
        which = _event(column).value
        if which is None:
            number = counts.cast("int32").max() if column.any_event else counts.cast("int32").sum()
        else:
            position = self._names.index(which)
            kind = joined[f"e{position}"].type()
            number = self._missing(joined, position).ifelse(0, joined[f"e{position}"])
            if not column.any_event:
                summed = counts.ifelse(number.cast("float64"), 0.0).sum()
                if kind.is_floating():
                    return summed, Value(name=value.name, source=value.source, kind="float", flag=value.flag)
                return summed.cast("int64"), value
            number = (counts & (number != 0)).cast("int32").max()
        if column.any_event:
            return number, Value(name=value.name, source=value.source, kind="narrow", low=0, high=1, flag=value.flag)
        return number.cast("float64").cast("int64"), value

    def _in_window(self, joined: Any, event: EventValue) -> Any:
        at, start = joined["at"], joined.start
        if event.before_days is not None:
            inside = (at < start) & (at >= start - micros_of_days(event.before_days))
        elif self._window is None:
            inside = at >= start
        else:
            inside = (at >= start) & (at < start + self._window)
        return inside.coalesce(NO)


def _event(column: Column) -> EventValue:
    assert isinstance(column.source, EventValue)  # noqa: S101 - `facts_of` has seen to it
    return column.source


def _spoken(column: Column) -> str:
    event = _event(column)
    return event.fact if event.value is None else f"{event.fact}.{event.value}"
