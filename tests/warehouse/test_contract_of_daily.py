"""Daily sums and contamination out of logs: each engine against a plain count in Python (IN-06, IN-07)."""

from __future__ import annotations

import datetime as dt

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from test_contract import ARMS, logs, logs_data, moment, need

from fairtrial.diagnostics.daily_effects import sums_of_values
from fairtrial.errors import DataError, UsageError
from fairtrial.spec.data import LogsData, LogTable
from fairtrial.spec.metric import EventValue
from fairtrial.warehouse.contamination import count_contamination
from fairtrial.warehouse.daily import read_daily
from fairtrial.warehouse.sources import open_source

DAY = dt.timedelta(days=1)


def population(rows, *, exposures):
    """Start and arm of each analysed unit, by the rules of `logs`."""
    by_unit = {}
    for row in rows["assigned"]:
        if row["unit"] is not None and row["arm"] in ARMS:
            by_unit.setdefault(row["unit"], []).append(row)
    whole = {unit: found for unit, found in by_unit.items() if len({row["arm"] for row in found}) == 1}
    starts = {unit: (found[0]["arm"], min(row["time"] for row in found)) for unit, found in whole.items()}
    if not exposures:
        return starts
    seen = {}
    for row in rows["exposed"]:
        if row["unit"] in starts and (row["arm"] is None or row["arm"] in ARMS):
            seen.setdefault(row["unit"], []).append(row)
    return {
        unit: (starts[unit][0], min(row["time"] for row in found))
        for unit, found in seen.items()
        if all(row["arm"] in {None, starts[unit][0]} for row in found)
    }


def plain(rows, *, exposures, days, value):
    """Values by arm, unit and day; NaN where the data does not reach to the end of the day."""
    starts = population(rows, exposures=exposures)
    end = max(row[name] for table, name in (("assigned", "time"), ("orders", "at")) for row in rows[table] if row[name] is not None)
    if exposures:
        end = max(end, *(row["time"] for row in rows["exposed"]))
    events, seen = [], set()
    for row in sorted(rows["orders"], key=lambda row: row["at"] is None):
        if row["event"] is None or row["event"] not in seen:
            seen.add(row["event"])
            events.append(row)
    found = {arm: [] for arm in ARMS}
    for unit, (arm, start) in starts.items():
        line = [np.nan] * days
        for day in range(days):
            if start + (day + 1) * DAY <= end:
                line[day] = value([
                    row for row in events
                    if row["who"] == unit and row["at"] is not None and start + day * DAY <= row["at"] < start + (day + 1) * DAY
                ])  # fmt: skip
        found[arm].append(line)
    return {arm: np.array(lines) for arm, lines in found.items()}


VALUES = {
    "revenue": (need("revenue", EventValue(fact="orders", value="amount")), lambda events: sum(row["amount"] for row in events)),
    "orders": (need("orders", EventValue(fact="orders"), "nonnegative"), len),
    "bought": (need("bought", EventValue(fact="orders"), "binary"), lambda events: float(bool(events))),
    "items": (need("items", EventValue(fact="orders", value="items"), "binary"), lambda events: float(any(row["items"] for row in events))),
}


@pytest.mark.parametrize("metric", VALUES)
@pytest.mark.parametrize("exposures", [False, True])
def test_daily_sums_are_those_of_the_units(engine, metric, exposures):
    tables = logs()
    data = logs_data(engine.load(tables), exposures=exposures, window=None)
    needs, value = VALUES[metric]
    with open_source(data.source) as source:
        found = read_daily(source, data, needs, ARMS, days=17)
    assert found.axis == ("exposure_day" if exposures else "assignment_day")
    assert found.duplicate_events == 3
    wanted = plain({name: table.to_pylist() for name, table in tables.items()}, exposures=exposures, days=17, value=value)
    for arm in ARMS:
        sums = sums_of_values(wanted[arm])
        assert np.array_equal(found.arms[arm].units, sums.units)
        assert found.arms[arm].units[16, 16] < found.arms[arm].units[0, 0] <= found.units[arm] == len(wanted[arm])
        np.testing.assert_allclose(found.arms[arm].sums, sums.sums, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(found.arms[arm].products, sums.products, rtol=1e-10, atol=1e-10)


def test_days_end_with_the_window_and_with_the_data(engine):
    data = logs_data(engine.load(logs()), window=7.5)
    with open_source(data.source) as source:
        found = read_daily(source, data, VALUES["orders"][0], ARMS, days=28)
    assert found.arms["control"].days == 7
    assert found.until is not None
    assert found.until <= moment(20)


def test_missing_values_are_refused_or_zero(engine):
    data = logs_data(engine.load(logs(missing_values=True)))
    value = EventValue(fact="orders", value="amount")
    with open_source(data.source) as source:
        with pytest.raises(DataError, match="are missing") as caught:
            read_daily(source, data, need("revenue", value), ARMS, days=7)
        assert caught.value.code == "missing_values"
        assert read_daily(source, data, need("revenue", value, missing="zero"), ARMS, days=7).arms["control"].days == 7


@pytest.mark.parametrize(
    ("column", "days"), [("amount", 7), (EventValue(fact="orders", before_days=3.0), 7), (EventValue(fact="orders"), 0)]
)
def test_what_has_no_days_is_refused(tmp_path, column, days):
    source_url = duckdb_of(tmp_path, logs())
    data = logs_data(source_url)
    with open_source(source_url) as source, pytest.raises(UsageError):
        read_daily(source, data, need("m", column), ARMS, days=days)


def duckdb_of(folder, tables):
    with duckdb.connect(str(folder / "some.db")) as connection:
        for name, table in tables.items():
            connection.register("incoming", table)
            connection.execute(f"CREATE TABLE {name} AS SELECT * FROM incoming")
            connection.unregister("incoming")
    return f"duckdb:///{folder / 'some.db'}"


def exposed_tables(*, arms=True):
    """Six controls and four treated; units 0 and 2 are controls who saw the treatment, 4 saw the control's, 98 was never assigned."""
    stamp = pa.timestamp("us", "UTC")
    assigned = [(u, "control" if u % 2 == 0 else "treatment", moment(u % 3)) for u in range(8)]
    assigned += [(8, "control", moment(1)), (10, "control", moment(1)), (12, "control", moment(1)), (12, "treatment", moment(2))]
    exposed = [(0, "treatment"), (0, "treatment"), (0, "control"), (2, "treatment"), (4, "control"), (1, "treatment"), (3, "treatment")]
    exposed += [(98, "treatment"), (6, "other"), (8, None), (12, "treatment")]
    columns = list(zip(*assigned, strict=True))
    tables = {
        "assigned": pa.table({"unit": pa.array(columns[0], pa.int64()), "arm": list(columns[1]), "time": pa.array(columns[2], stamp)}),
        "exposed": pa.table({
            "unit": pa.array([e[0] for e in exposed], pa.int64()), "arm": [e[1] for e in exposed],
            "time": pa.array([moment(3)] * len(exposed), stamp),
        }),
    }  # fmt: skip
    if not arms:
        tables["exposed"] = tables["exposed"].drop_columns(["arm"])
    return tables


def logs_of(url, *, exposures=True):
    return LogsData(source=url, assignments=LogTable(table="assigned"), exposures=LogTable(table="exposed") if exposures else None)


def test_exposed_controls_are_counted_of_those_assigned_in_07(engine):
    data = logs_of(engine.load(exposed_tables()))
    with open_source(data.source) as source:
        found = count_contamination(source, data, ARMS, "control", listed=1)
        assert (found.assigned, found.exposed, found.units, found.missing) == (6, 2, ("0",), None)
        assert count_contamination(source, data, ARMS, "control", listed=20).units == ("0", "2")
        assert count_contamination(source, data, ARMS, "control").units == ()


def test_a_log_without_arms_tells_only_of_a_campaign(engine):
    data = logs_of(engine.load(exposed_tables(arms=False)))
    with open_source(data.source) as source:
        silent = count_contamination(source, data, ARMS, "control")
        assert (silent.assigned, silent.exposed, silent.missing) == (6, None, "no_exposure_arm")
        campaign = count_contamination(source, data, ARMS, "control", any_exposure=True, listed=9)
        assert (campaign.exposed, campaign.units) == (5, ("0", "2", "4", "6", "8"))


def test_without_a_log_of_exposures_nothing_is_known(engine):
    data = logs_of(engine.load(exposed_tables()), exposures=False)
    with open_source(data.source) as source:
        found = count_contamination(source, data, ARMS, "control")
        assert (found.exposed, found.missing) == (None, "no_exposure_log")
        with pytest.raises(UsageError):
            count_contamination(source, data, ARMS, "control", listed=-1)
