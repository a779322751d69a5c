"""Made-up logs: who was assigned (and exposed) when, and a table of events for each fact.

A fact table is drawn once, for the first metric that reads it (the primary one first); other
metrics read what is then there.
"""

from __future__ import annotations

import numpy as np

from fairtrial.errors import UsageError
from fairtrial.simulation.generate.clock import DAY, Micros, as_timestamps, draw_times, enrolment
from fairtrial.simulation.generate.columns import Column, put
from fairtrial.simulation.generate.events import FactEvents, Happened
from fairtrial.simulation.generate.expected import Expected
from fairtrial.simulation.generate.laws import Floats
from fairtrial.simulation.generate.recipe import LABEL, Recipe
from fairtrial.spec.data import FactTable, LogsData, LogTable

EXPOSED = 0.6
"""Share of units that meet the change, where exposures are logged."""
WINDOW_DAYS = 14.0
"""For how long units do things, where the data section has no window."""


def log_tables(
    expected: Expected, recipe: Recipe, data: LogsData, names: list[str], arms: list[str], effect: float
) -> dict[str, dict[str, Column]]:
    """Tables by name, each with its columns by name.

    Args:
        expected: The plan.
        recipe: What is asked.
        data: Names of the tables and columns.
        names: The units.
        arms: Their arms.
        effect: Relative effect on the primary metric of every treatment, on those who are exposed.

    Raises:
        UsageError: Tables or columns share a name, a metric is of a form for which no events are generated, or late events,
            duplicates or contaminated controls are asked for where the data section has no window, event id or exposures.
    """
    _check(data, recipe)
    key = expected.spec.key
    first, end = enrolment(expected)
    low = np.full(len(names), first)
    assigned = draw_times(low, low + (end - first), recipe.stream(key, "arrival"))
    tables = {data.assignments.table: _log(data.assignments, names, arms, assigned)}
    for name, value in data.where.items():
        put(tables[data.assignments.table], name, [value] * len(names) if isinstance(value, str) else np.full(len(names), value))
    seen = np.ones(len(names), dtype=np.bool_)
    start = assigned
    control = np.array([arm == expected.spec.control for arm in arms])
    reached = np.zeros(len(names), dtype=np.bool_)
    if data.exposures is not None:
        seen = recipe.stream(key, "exposed").random(len(names)) < EXPOSED
        reached = control & (recipe.stream(key, "contaminated").random(len(names)) < recipe.contaminated)
        seen = seen | reached
        start = np.where(seen, draw_times(assigned, assigned + DAY, recipe.stream(key, "exposure")), assigned)
        expected.assume(f"{EXPOSED:.0%} of the units are exposed, within a day of their assignment, the same share in every arm.")
        if recipe.contaminated:
            expected.assume(f"{recipe.contaminated:.0%} of the control units are exposed to {expected.spec.treatments[0]}, and feel it.")
        shown = [expected.spec.treatments[0] if is_reached else arm for arm, is_reached in zip(arms, reached, strict=True)]
        who = np.flatnonzero(seen)
        tables[data.exposures.table] = _log(data.exposures, [names[i] for i in who], [shown[i] for i in who], start[who])
    treated = (~control & seen) | reached
    events = FactEvents(expected, recipe, factor=np.where(treated, 1.0 + effect, 1.0)).draw()
    window = _window(expected, data)
    for fact, table in data.facts.items():
        stream = (key, "fact", fact)
        dated = _dated(events[fact], start, window, recipe, stream) if fact in events else _Dated.empty()
        tables[table.table] = _fact_table(table, dated.sent_twice(recipe.duplicates, recipe.stream(*stream, "twice")), names)
    return tables


def _check(data: LogsData, recipe: Recipe) -> None:
    logs = [data.assignments.table] + ([data.exposures.table] if data.exposures else [])
    tables = logs + [fact.table for fact in data.facts.values()]
    if twice := sorted({name for name in tables if tables.count(name) > 1}):
        raise UsageError(
            f"Each log and fact is generated as a table of its own, {twice} serve two.", hint="Name others in a copy of the spec."
        )
    if recipe.late and data.window_days is None:
        raise UsageError("Events are late when they come after data.window_days; the spec declares none.", hint="Leave --late out.")
    if recipe.contaminated and data.exposures is None:
        raise UsageError("Contaminated controls show in a log of exposures; the spec declares none.", hint="Leave --contaminated out.")
    if recipe.duplicates and (without := [key for key, fact in data.facts.items() if fact.event_id is None]):
        raise UsageError(f"Events sent twice are told by data.facts.*.event_id; {without} declare none.", hint="Leave --duplicates out.")


def _window(expected: Expected, data: LogsData) -> int:
    if data.window_days is None:
        expected.assume(f"Units do things for {WINDOW_DAYS:g} days from their start: the data section has no window.")
    return round((WINDOW_DAYS if data.window_days is None else data.window_days) * DAY)


def _log(log: LogTable, names: list[str], arms: list[str], times: Micros) -> dict[str, Column]:
    columns: dict[str, Column] = {}
    put(columns, log.unit, names)
    put(columns, log.arm, arms)
    put(columns, log.time, as_timestamps(times))
    put(columns, LABEL, np.ones(len(names), dtype=np.bool_))
    return columns


class _Dated:
    """Events with their times, arrays of shape (events,)."""

    def __init__(self, unit: Micros, time: Micros, values: dict[str, Floats], number: Micros) -> None:
        order = np.argsort(time, kind="stable")
        self.unit, self.time, self.number = unit[order], time[order], number[order]
        self.values = {name: value[order] for name, value in values.items()}

    @classmethod
    def empty(cls) -> _Dated:
        """No events."""
        none = np.zeros(0, dtype=np.int64)
        return cls(none, none, {}, none)

    def sent_twice(self, share: float, rng: np.random.Generator) -> _Dated:
        """The events, this share of them with a copy that has the same number."""
        again = rng.choice(self.unit.size, size=round(share * self.unit.size), replace=False)
        rows = np.concatenate([np.arange(self.unit.size), np.sort(again)])
        return _Dated(self.unit[rows], self.time[rows], {name: value[rows] for name, value in self.values.items()}, self.number[rows])


def _dated(happened: Happened, start: Micros, window: int, recipe: Recipe, stream: tuple[str, ...]) -> _Dated:
    """Events inside the window at their times, those of the time before at theirs, and late ones."""
    unit, values = happened.unit, happened.values
    low = start[unit] - happened.before
    high = np.where(happened.before > 0, start[unit], start[unit] + window)
    time = draw_times(low, high, recipe.stream(*stream, "times"))
    inside = np.flatnonzero(happened.before == 0)
    late = round(recipe.late * inside.size)
    if late:
        rng = recipe.stream(*stream, "late")
        like = rng.choice(inside, size=late)
        who = rng.integers(start.size, size=late)
        after = draw_times(start[who] + window, start[who] + 2 * window, rng)
        unit, time = np.concatenate([unit, who]), np.concatenate([time, after])
        values = {name: np.concatenate([value, value[like]]) for name, value in values.items()}
    return _Dated(unit, time, values, np.arange(1, unit.size + 1))


def _fact_table(table: FactTable, events: _Dated, names: list[str]) -> dict[str, Column]:
    columns: dict[str, Column] = {}
    if table.event_id is not None:
        put(columns, table.event_id, events.number)
    put(columns, table.unit, [names[i] for i in events.unit])
    put(columns, table.time, as_timestamps(events.time))
    for name, value in events.values.items():
        put(columns, name, value)
    put(columns, LABEL, np.ones(events.unit.size, dtype=np.bool_))
    return columns
