"""Joint cells on every engine, against a count by hand in Python."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from fairtrial.metrics.needs import Column, Needs
from fairtrial.spec.data import LogsData, UnitsData
from fairtrial.spec.metric import EventValue
from fairtrial.warehouse.joint import all_joint_sums, joint_sums
from fairtrial.warehouse.memberships import read_membership
from fairtrial.warehouse.sources import open_source

ARMS = ["control", "treatment"]
OFFSET = 1e9


def rows_of(seed, low, high):
    rng = np.random.default_rng(seed)
    units = rng.choice(np.arange(low, high), size=300, replace=False)
    arms = rng.integers(0, 2, 300)
    return {f"u-é{unit}": (int(arm), OFFSET + float(value)) for unit, arm, value in zip(units, arms, rng.normal(size=300), strict=True)}


def table_of(rows):
    return pa.table(
        {
            "unit": list(rows),
            "arm": [ARMS[arm] for arm, _ in rows.values()],
            "value": [value for _, value in rows.values()],
        }
    )


@pytest.fixture
def three():
    return [rows_of(seed, low, low + 500) for seed, low in ((1, 0), (2, 100), (3, 300))]


NEEDS = Needs(metric="value", missing="error", outcome=Column(source="value"))


def check(sums, a, b):
    """Cells, means and spreads in exact-enough Python, at an offset of 1e9."""
    for i in (0, 1):
        for j in (0, 1):
            shared = [unit for unit in a if unit in b and a[unit][0] == i and b[unit][0] == j]
            assert sums.n[i, j] == len(shared)
            for mean, m2, side in ((sums.mean_a, sums.m2_a, a), (sums.mean_b, sums.m2_b, b)):
                values = np.array([side[unit][1] - OFFSET for unit in shared])
                assert mean[i, j] - OFFSET == pytest.approx(values.mean(), abs=1e-6)
                assert m2[i, j] == pytest.approx(((values - values.mean()) ** 2).sum(), rel=1e-6)


def test_cells_of_units_are_the_same_on_every_engine(engine, three):
    url = engine.load({f"t{place}": table_of(rows) for place, rows in enumerate(three)})
    with open_source(url) as source:
        members = [
            read_membership(source, UnitsData(source=url, table=f"t{place}", unit="unit"), f"e{place}", ARMS, NEEDS) for place in range(3)
        ]
        assert [sum(member.units) for member in members] == [300, 300, 300]
        check(joint_sums(members[0], members[1]), three[0], three[1])
        found = all_joint_sums(members)
        for i, j in ((0, 1), (0, 2), (1, 2)):
            check(found[i, j], three[i], three[j])


def test_cells_of_logs_are_the_same_on_every_engine(engine, three):
    start = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
    tables = {}
    for place, rows in enumerate(three[:2]):
        tables[f"a{place}"] = pa.table(
            {
                "unit": list(rows),
                "arm": [ARMS[arm] for arm, _ in rows.values()],
                "time": pa.array([start] * len(rows), pa.timestamp("us", "UTC")),
            }
        )
    orders = [unit for number, unit in enumerate(three[0]) if number % 3 == 0]
    tables["orders"] = pa.table({"unit": orders, "time": pa.array([start + dt.timedelta(days=1)] * len(orders), pa.timestamp("us", "UTC"))})
    url = engine.load(tables)
    needs = Needs(metric="ordered", missing="error", outcome=Column(source=EventValue(fact="orders"), values="binary", any_event=True))
    with open_source(url) as source:
        members = [
            read_membership(
                source,
                LogsData.model_validate({"source": url, "assignments": {"table": f"a{place}"}, "facts": {"orders": {"table": "orders"}}}),
                f"e{place}",
                ARMS,
                needs,
            )
            for place in (0, 1)
        ]
        sums = joint_sums(members[0], members[1])
    a, b = three[0], three[1]
    for i in (0, 1):
        for j in (0, 1):
            shared = [unit for unit in a if unit in b and a[unit][0] == i and b[unit][0] == j]
            assert sums.n[i, j] == len(shared)
            assert sums.mean_a[i, j] * sums.n[i, j] == pytest.approx(sum(unit in set(orders) for unit in shared))
