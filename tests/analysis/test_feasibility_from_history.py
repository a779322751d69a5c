"""Feasibility measured in a warehouse at a reference date (XC-13, XC-29, V.c): windows, eligibility, distinct units, failures."""

from __future__ import annotations

import datetime as dt
import sqlite3

import duckdb
import numpy as np
import pytest

from fairtrial.analysis.feasibility import measure_feasibility, mock_feasibility
from fairtrial.errors import ConnectorError, DataError, SpecError, UnknownNameError, UsageError
from fairtrial.spec.loader import parse_spec

REFERENCE = dt.date(2024, 3, 1)
AT = dt.datetime(2024, 3, 1, 15, 30, tzinfo=dt.UTC)
DAYS, WINDOW = 28, 3
HISTORY = {
    "visits": {"table": "carts", "unit": "user_id", "time": "opened_at"},
    "facts": {"orders": {"table": "orders", "unit": "user_id", "time": "ordered_at", "event_id": "order_id"}},
    "metrics": {
        "ordered": {"fact": "orders"},
        "revenue": {"fact": "orders", "value": "amount", "covariate": {"fact": "orders", "value": "amount", "before_days": 14}},
    },
    "days": DAYS,
    "window_days": WINDOW,
}
SPEC = {
    "key": "ship",
    "arms": {"control": 0.5, "treatment": 0.5},
    "metrics": [
        {"key": "ordered", "kind": "proportion", "role": "primary"},
        {"key": "revenue", "kind": "mean", "role": "guardrail", "margin": 5.0, "covariate": "revenue_before"},
    ],
    "plan": {"baseline": 0.3, "mde": 0.2, "max_days": 140},
    "eligibility": {
        "include": [{"attribute": "country", "operator": "in", "value": ["US", "CA"]}],
        "exclude": [{"attribute": "is_staff", "operator": "equals", "value": True}],
    },
    "feasibility": {"history": HISTORY},
}


def shop() -> tuple[list[tuple], list[tuple]]:
    """Visits and orders from 60 days before the reference date to 10 days after it; some visitors return, some are not eligible."""
    rng = np.random.default_rng(11)
    carts, orders = [], []
    for day in range(-60, 10):
        start = dt.datetime.combine(REFERENCE, dt.time()) + dt.timedelta(days=day)
        for user in rng.choice(900, int(rng.normal(120, 15)), replace=False):
            at = start + dt.timedelta(seconds=int(rng.integers(0, 86_400)))
            country = None if user % 17 == 0 else "DE" if user % 10 == 0 else "CA" if user % 3 else "US"
            carts.append((int(user), at, country, bool(user % 25 == 1)))
            if rng.random() < 0.2:
                orders.append((f"{day}:{user}", int(user), at + dt.timedelta(hours=1), float(round(rng.exponential(30) + user / 30, 2))))
    orders += [orders[0], (orders[1][0], *orders[1][1:])]  # the same events once more
    return carts, orders


@pytest.fixture(scope="module")
def rows():
    return shop()


@pytest.fixture(scope="module")
def places(rows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    carts, orders = rows
    with duckdb.connect(str(folder / "shop.duckdb")) as con:
        con.execute("CREATE TABLE carts (user_id BIGINT, opened_at TIMESTAMP, country VARCHAR, is_staff BOOLEAN)")
        con.execute("CREATE TABLE orders (order_id VARCHAR, user_id BIGINT, ordered_at TIMESTAMP, amount DOUBLE)")
        con.execute(
            "INSERT INTO carts SELECT unnest(?), unnest(?), unnest(?), unnest(?)", [list(column) for column in zip(*carts, strict=True)]
        )
        con.execute(
            "INSERT INTO orders SELECT unnest(?), unnest(?), unnest(?), unnest(?)", [list(column) for column in zip(*orders, strict=True)]
        )
    con = sqlite3.connect(folder / "shop.sqlite")
    con.execute("CREATE TABLE carts (user_id INTEGER, opened_at TEXT, country TEXT, is_staff BOOLEAN)")
    con.execute("CREATE TABLE orders (order_id TEXT, user_id INTEGER, ordered_at TEXT, amount REAL)")
    con.executemany("INSERT INTO carts VALUES (?, ?, ?, ?)", [(u, at.isoformat(), c, s) for u, at, c, s in carts])
    con.executemany("INSERT INTO orders VALUES (?, ?, ?, ?)", [(o, u, at.isoformat(), a) for o, u, at, a in orders])
    con.commit()
    con.close()
    return {"duckdb": f"duckdb:///{folder}/shop.duckdb", "sqlite": f"sqlite:///{folder}/shop.sqlite"}


def by_hand(rows):
    """The same figures from plain rows, the slow way."""
    carts, orders = rows
    begin = dt.datetime.combine(REFERENCE, dt.time()) - dt.timedelta(days=DAYS)
    end = dt.datetime.combine(REFERENCE, dt.time())
    seen = [(u, at) for u, at, country, staff in carts if country in {"US", "CA"} and not staff and begin <= at < end]
    days = [{u for u, at in seen if at.date() == (begin + dt.timedelta(days=d)).date()} for d in range(DAYS)]
    first = {}
    for user, at in seen:
        first[user] = min(at, first.get(user, at))
    entered = {user: at for user, at in first.items() if at <= end - dt.timedelta(days=WINDOW)}
    unique = {order[0]: order for order in orders}.values()
    value = dict.fromkeys(entered, 0.0)
    before = dict(value)
    for _, user, at, amount in unique:
        if user in entered and at < end:
            gap = at - entered[user]
            if dt.timedelta() <= gap < dt.timedelta(days=WINDOW):
                value[user] += amount
            elif -dt.timedelta(days=14) <= gap < dt.timedelta():
                before[user] += amount
    return days, len(first), value, before


@pytest.mark.parametrize("engine", ["duckdb", "sqlite"])
def test_traffic_and_outcomes_are_those_counted_by_hand(engine, places, rows):
    found = measure_feasibility(parse_spec(SPEC), at=AT, source=places[engine])
    days, units, value, before = by_hand(rows)
    sizes = np.array([len(day) for day in days])
    assert found.traffic.daily == pytest.approx(sizes.mean())
    assert found.traffic.cv == pytest.approx(sizes.std(ddof=1) / sizes.mean())
    assert found.traffic.distinct[-1] == units
    assert found.traffic.distinct[6] == pytest.approx(np.mean([len(set().union(*days[s : s + 7])) for s in range(DAYS - 6)]))
    assert found.traffic.distinct[-1] < 0.5 * sizes.sum(), "who comes back is not counted twice"
    assert found.traffic.period == (REFERENCE - dt.timedelta(days=DAYS), REFERENCE - dt.timedelta(days=1))
    revenue, past = np.array(list(value.values())), np.array(list(before.values()))
    assert found.figures["ordered"].value == pytest.approx((revenue > 0).mean())
    assert found.figures["ordered"].units == revenue.size
    assert found.figures["revenue"].value == pytest.approx(revenue.mean())
    assert found.figures["revenue"].sd == pytest.approx(revenue.std(ddof=1))
    assert found.figures["revenue"].correlation == pytest.approx(abs(np.corrcoef(revenue, past)[0, 1]))
    assert found.traffic.data_source.startswith(f"{engine}:///shop.")
    assert found.guardrails[0].total is not None


def test_the_reference_date_ends_every_window(places):
    spec = parse_spec(SPEC)
    early = measure_feasibility(spec, at=AT - dt.timedelta(days=20), source=places["duckdb"])
    late = measure_feasibility(spec, at=AT, source=places["duckdb"])
    again = measure_feasibility(spec, at=AT.replace(hour=0, minute=0), source=places["duckdb"])
    assert early.traffic.distinct != late.traffic.distinct == again.traffic.distinct
    assert early.traffic.period[1] == dt.date(2024, 2, 9)
    with pytest.raises(DataError, match="none from 2020-") as caught:
        measure_feasibility(spec, at=AT.replace(year=2020), source=places["duckdb"])
    assert caught.value.code == "no_history"


@pytest.mark.parametrize(
    ("rule", "kept"),
    [
        ({"attribute": "country", "operator": "not_equals", "value": "US"}, lambda c, _: c not in {None, "US"}),
        ({"attribute": "country", "operator": "exists"}, lambda c, _: c is not None),
        ({"attribute": "country", "operator": "starts_with", "value": "C"}, lambda c, _: (c or "").startswith("C")),
        ({"attribute": "country", "operator": "contains", "value": "E"}, lambda c, _: "E" in (c or "")),
        ({"attribute": "country", "operator": "equals", "value": 5}, lambda *_: False),
        ({"attribute": "is_staff", "operator": "equals", "value": True}, lambda _, s: s),
        ({"attribute": "user_id", "operator": "at_least", "value": 450}, None),
    ],
    ids=lambda value: value["operator"] if isinstance(value, dict) else "",
)
def test_eligibility_is_applied_as_the_spec_means_it(rule, kept, places, rows):
    history = {**HISTORY, "eligibility": {"include": [rule]}, "metrics": {}}
    spec = parse_spec({**SPEC, "feasibility": {"history": history}})
    begin = dt.datetime.combine(REFERENCE, dt.time()) - dt.timedelta(days=DAYS)
    seen = [row for row in rows[0] if begin <= row[1] < begin + dt.timedelta(days=DAYS)]
    units = {u for u, _, c, s in seen if (u >= 450 if kept is None else kept(c, s))}
    if units:
        assert measure_feasibility(spec, at=AT, source=places["duckdb"]).traffic.distinct[-1] == len(units)
    else:
        with pytest.raises(DataError, match="none from"):
            measure_feasibility(spec, at=AT, source=places["duckdb"])


@pytest.mark.parametrize(
    ("change", "source", "error", "words"),
    [
        ({}, "duckdb:///nowhere.duckdb", ConnectorError, "no file"),
        ({}, "mysql://x", UnknownNameError, "No kind of source"),
        ({"visits": {"table": "cart", "unit": "user_id", "time": "opened_at"}}, None, DataError, "No table named 'cart'"),
        ({"visits": {"table": "carts", "unit": "user", "time": "opened_at"}}, None, DataError, "'user'"),
        (
            {"eligibility": {"include": [{"attribute": "vip", "operator": "exists"}]}},
            None,
            DataError,
            "No column of the visits named 'vip'",
        ),
        ({"window_days": 28}, None, UsageError, "longer than the window"),
    ],
    ids=["no file", "no engine", "no table", "no column", "no attribute", "window"],
)
def test_a_failure_is_an_error_and_never_a_number(change, source, error, words, places):
    spec = parse_spec({**SPEC, "feasibility": {"history": {**HISTORY, **change}, "daily_units": 500}})
    with pytest.raises(error, match=words):
        measure_feasibility(spec, at=AT, source=source or places["duckdb"])


def test_a_source_without_a_way_to_read_it_is_refused(places):
    spec = parse_spec({**SPEC, "feasibility": {"daily_units": 500}})
    with pytest.raises(UsageError, match="does not say how to read history"):
        measure_feasibility(spec, at=AT, source=places["duckdb"])
    assert measure_feasibility(spec, at=AT).traffic.data_source == "spec"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"metrics": {"orderd": {"fact": "orders"}}}, "no metric named 'orderd'"),
        ({"metrics": {"ordered": {"fact": "order"}}}, "no fact named 'order'"),
        ({"metrics": {"ordered": {"numerator": {"fact": "orders"}}}}, "numerator"),
        ({"metrics": {"revenue": {"fact": "orders", "covariate": {"fact": "orders"}}}}, "before_days"),
        ({"dayz": 3}, "dayz"),
    ],
    ids=["metric", "fact", "half a ratio", "covariate", "key"],
)
def test_a_wrong_history_is_refused_with_its_name(change, words):
    with pytest.raises(SpecError, match=words):
        parse_spec({**SPEC, "feasibility": {"history": {**HISTORY, **change}}})


def test_made_up_numbers_are_labelled_everywhere():
    found = mock_feasibility(parse_spec(SPEC), at=AT, rng=np.random.default_rng(1))
    again = mock_feasibility(parse_spec(SPEC), at=AT, rng=np.random.default_rng(1))
    assert found.traffic == again.traffic
    assert found.synthetic
    assert found.traffic.data_source == "synthetic"
    assert "SYNTHETIC" in found.warnings[0]
    assert "SYNTHETIC" in found.notes[0]
