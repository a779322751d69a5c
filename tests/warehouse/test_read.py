"""The door itself: shapes that agree, frames, checks of units, fingerprints, refusals."""

from __future__ import annotations

import datetime as dt
import math

import duckdb
import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_contract import assert_same, need

from fairtrial.errors import DataError, UnknownNameError, UsageError
from fairtrial.metrics.needs import Column, Needs
from fairtrial.spec.data import AggregatesData, FactTable, LogsData, LogTable, MomentColumns, UnitsData
from fairtrial.spec.metric import EventValue
from fairtrial.warehouse import distinct_arms, read, read_frame
from fairtrial.warehouse.events import facts_of
from fairtrial.warehouse.memory import read_rows

ARMS = ("control", "treatment")
UNITS = UnitsData(source="frame")


def frame(n: int = 200, seed: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"id": np.arange(n), "arm": rng.choice(ARMS, n), "x": rng.normal(5, 2, n), "b": rng.integers(0, 2, n)})


NEEDS = (need("x"), need("b", values="binary"))


def test_the_three_shapes_of_one_experiment_agree(tmp_path):
    """Issue 2: all three shapes give the same arm statistics for the same experiment."""
    rng = np.random.default_rng(7)
    n = 300
    arms = rng.choice(ARMS, n)
    start = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
    orders = [
        (int(unit), start + dt.timedelta(hours=float(rng.uniform(0, 100))), float(rng.lognormal(3, 1)))
        for unit in rng.integers(0, n, 500)
    ]  # fmt: skip
    spend = np.zeros(n)
    for unit, _, value in orders:
        spend[unit] += value
    units = pd.DataFrame({"arm": arms, "spend": spend, "bought": spend > 0})
    with duckdb.connect(str(tmp_path / "logs.db")) as connection:
        connection.register("u", pa.table({"unit": list(range(n)), "arm": arms.tolist(), "time": [start] * n}))
        connection.register(
            "o", pa.table({"unit": [o[0] for o in orders], "time": [o[1] for o in orders], "value": [o[2] for o in orders]})
        )
        connection.execute("CREATE TABLE assigned AS FROM u; CREATE TABLE orders AS FROM o")
    logs = LogsData(source="duckdb:///logs.db", assignments=LogTable(table="assigned"), facts={"orders": FactTable(table="orders")})
    value = EventValue(fact="orders", value="value")
    by_arm = units.groupby("arm")
    ready = by_arm.agg(n=("spend", "size"), mean=("spend", "mean"), variance=("spend", "var"), bought=("bought", "sum")).reset_index()
    columns = {"spend": MomentColumns(mean="mean", variance="variance"), "bought": MomentColumns(successes="bought")}

    a = read_frame(units, UNITS, (need("spend"), need("bought", values="binary")), ARMS)
    b = read(logs, (need("spend", value), need("bought", EventValue(fact="orders"), "binary")), ARMS, base=tmp_path)
    c = read_frame(ready, AggregatesData(source="frame", columns=columns), (need("spend"), need("bought", values="binary")), ARMS)
    for arm in ARMS:
        assert a.arms[arm].n == b.arms[arm].n == c.arms[arm].n
        for metric in ("spend", "bought"):
            wanted = a.arms[arm].outcomes[metric].moments
            for other in (b, c):
                got = other.arms[arm].outcomes[metric].moments
                assert got.n == wanted.n
                np.testing.assert_allclose(got.mean, wanted.mean, rtol=1e-9)
                np.testing.assert_allclose(got.cross, wanted.cross, rtol=1e-9)


def test_every_kind_of_frame_gives_the_same_reading():
    data = frame()
    arrow = pa.Table.from_pandas(data, preserve_index=False)
    backend = ibis.duckdb.connect()
    backend.con.register("t", arrow)
    expected = read_rows({"t": arrow.to_pylist()}, UNITS, NEEDS, ARMS)
    stream = pa.RecordBatchReader.from_batches(arrow.schema, arrow.to_batches())
    for table in (data, arrow, stream, backend.table("t"), data.astype({"arm": "category"}), data.astype({"arm": object})):
        assert_same(read_frame(table, UNITS, NEEDS, ARMS), expected)
    assert backend.con.execute("SELECT count(*) FROM t").fetchone() == (200,)


def test_objects_that_are_no_tables_are_refused():
    with pytest.raises(UsageError, match="must be a frame"):
        read_frame({"arm": [1]}, UNITS, NEEDS, ARMS)
    with pytest.raises(UsageError, match="different names"):
        read_frame(pd.DataFrame([["control", 1.0, 2.0]], columns=["arm", "x", "x"]), UNITS, NEEDS, ARMS)
    with pytest.raises(DataError, match="one type"):
        read_frame(pd.DataFrame({"arm": ["control", "treatment"], "x": [1.0, "a"]}), UNITS, (need("x"),), ARMS)
    logs = LogsData(source="frame", assignments=LogTable(table="a"))
    with pytest.raises(UsageError, match="several"):
        read_frame(frame(), logs, NEEDS, ARMS)


NUMBERS = st.one_of(
    st.none(),
    st.just(math.nan),
    st.floats(-1e6, 1e6).map(lambda number: round(number, 6)),  # squares of 1e-240 are beyond any double
    st.sampled_from([0.0, 1e9, 1e9 + 1.0, -1e9]),
)


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.sampled_from(["control", "treatment", "other", None]), NUMBERS, NUMBERS, st.integers(-(2**63), 2**63 - 1)),
        min_size=1, max_size=30,
    ),
    missing=st.sampled_from(["zero", "drop"]),
)  # fmt: skip
def test_any_table_equals_the_reference(rows, missing):
    arms, x, y, k = zip(*rows, strict=True)
    if not set(arms) & set(ARMS):
        return
    table = pa.table(
        {"arm": pa.array(arms, pa.string()), "x": pa.array(x, pa.float64()), "y": pa.array(y, pa.float64()), "k": pa.array(k, pa.int64())}
    )
    needs = (need("x", missing=missing, covariate="y"), need("k", covariate="y"), need("y", missing=missing))
    found, expected = read_frame(table, UNITS, needs, ARMS), read_rows({"t": table.to_pylist()}, UNITS, needs, ARMS)
    assert_same(found, expected, rounding=1e-18)  # drawn numbers have six decimals: less is rounding


def test_clusters_are_found_where_rows_are_not_the_unit(real_data):
    """Issue 2: Fast food; each location has one promotion, each market several."""
    data = UnitsData(source="fast_food_marketing.csv", arm="Promotion")
    reading = read(data, (need("SalesInThousands"),), ("1", "2", "3"), base=real_data)
    assert reading.intake.clusters == {"LocationID": 137}
    assert not reading.intake.units_checked


def test_no_clusters_are_seen_in_real_unit_tables(real_data):
    for source, arm, arms, column, unit in (
        ("hillstrom.csv.gz", "segment", ("No E-Mail", "Mens E-Mail", "Womens E-Mail"), "visit", None),
        ("cookie_cats.csv.gz", "version", ("gate_30", "gate_40"), "retention_7", "userid"),
        ("adsmart.csv.gz", "experiment", ("control", "exposed"), "yes", None),
        ("penn_bonus.csv.gz", "tg", tuple("0123456"), "inuidur1", None),
    ):  # fmt: skip
        reading = read(UnitsData(source=source, arm=arm, unit=unit), (need(column),), arms, base=real_data)
        assert reading.intake.clusters == {}, source


def test_uniqueness_is_checked_once_for_the_same_data(tmp_path):
    """DESIGN 7: the uniqueness check is timed apart and cached by fingerprint."""
    path = tmp_path / "t.parquet"
    frame().to_parquet(path)
    data, cache = UnitsData(source="t.parquet", unit="id"), tmp_path / "cache"

    def steps() -> list[str]:
        told: list[str] = []
        read(data, NEEDS, ARMS, base=tmp_path, progress=told.append, cache=cache)
        return told

    check = "Checking that every unit is there once"
    assert check in steps()
    assert check not in steps()
    torn = frame().assign(id=lambda f: f.id.where(f.id != 7, 8))
    torn.to_parquet(path)
    with pytest.raises(DataError, match="200 rows of 199 units") if torn.arm[7] == torn.arm[8] else pytest.MonkeyPatch.context():
        assert check in steps()


def test_the_fingerprint_follows_the_data_and_not_the_folder(tmp_path):
    def print_of(folder: str, data: pd.DataFrame, **options) -> str:
        (tmp_path / folder).mkdir(exist_ok=True)
        data.to_parquet(tmp_path / folder / "t.parquet")
        return read(UnitsData(source=f"{folder}/t.parquet", **options), NEEDS, ARMS, base=tmp_path).intake.fingerprint

    data = frame()
    first = print_of("a", data)
    assert first == print_of("a", data) == print_of("b", data.sample(frac=1, random_state=1))
    others = {
        print_of("a", data[1:]),
        print_of("a", data.assign(b=lambda f: f.b.where(f.id != 3, 1 - f.b))),
        print_of("a", data, where={"b": 1}),
        print_of("a", data, unit="id"),
    }
    assert len(others | {first}) == 5


def test_text_outcomes_are_explained():
    """Issue 2, bad input: 'yes'/'no' outcomes are explained."""
    table = frame(6).assign(y=["yes", "no"] * 3, t=["1,5", "NA", "2"] * 2, s=["2026-01-01"] * 6)
    with pytest.raises(DataError, match=r"'no', 'yes'.*CASE WHEN y = 'yes'") as error:
        read_frame(table, UNITS, (need("y", values="binary"),), ARMS)
    assert error.value.code == "wrong_type"
    with pytest.raises(DataError, match="leave those cells empty"):
        read_frame(table, UNITS, (need("t"),), ARMS)
    with pytest.raises(DataError, match="it holds timestamp"):
        read_frame(table.assign(s=pd.to_datetime(table.s)), UNITS, (need("s"),), ARMS)


def test_unknown_names_are_suggested():
    """Issue 2, bad input: missing column, unknown arms."""
    with pytest.raises(UnknownNameError, match=r"No column named 'xx'.*Did you mean 'x'"):
        read_frame(frame(), UNITS, (need("xx"),), ARMS)
    with pytest.raises(UnknownNameError, match="No column named 'group'"):
        read_frame(frame(), UnitsData(source="frame", arm="group"), NEEDS, ARMS)
    with pytest.raises(DataError, match=r"'Control': Did you mean 'control'\?") as error:
        read_frame(frame(), UNITS, NEEDS, ("Control", "Variant"))
    assert error.value.code == "unknown_arms"
    with pytest.raises(DataError, match="must name the arm"):
        read_frame(frame(2000), UnitsData(source="frame", arm="id"), NEEDS, ARMS)
    with pytest.raises(UsageError, match="compares like with like"):
        read_frame(frame(), UnitsData(source="frame", where={"b": "1"}), NEEDS, ARMS)
    with pytest.raises(UsageError, match="no column 'x' a unit"):
        facts_of(NEEDS)


def test_values_too_large_to_square_are_refused():
    table = pa.table({"arm": ["control", "treatment"] * 3, "x": [1e200, -1e200, 1e190, 5.0, 1.0, 2.0]})
    with pytest.raises(DataError, match="too large to square"):
        read_frame(table, UNITS, (need("x"),), ARMS)


def test_distinct_arms_are_named_as_they_are_compared(tmp_path):
    table = pa.table({"a": [True, False, None], "k": [1, 2, 10], "s": ["b", "a", "b"]})
    assert distinct_arms(table, "a", limit=5) == ("false", "true")
    assert distinct_arms(table, "s", limit=5) == ("a", "b")
    pq.write_table(table, tmp_path / "t.parquet")
    assert distinct_arms("t.parquet", "k", limit=5, base=tmp_path) == ("1", "10", "2")
    with pytest.raises(DataError, match="more than 2"):
        distinct_arms(table, "k", limit=2)


def test_a_request_names_each_arm_and_metric_once():
    with pytest.raises(UsageError, match="Arms must be named"):
        read_frame(frame(), UNITS, NEEDS, ("control", "control"))
    with pytest.raises(UsageError, match="Metrics must be named"):
        read_frame(frame(), UNITS, (*NEEDS, NEEDS[0]), ARMS)


def test_parquet_footers_spare_the_squares_of_zeros_and_ones(tmp_path):
    """Ranges from footers only narrow the sums; the statistics stay those of the reference."""
    n = 5000
    rng = np.random.default_rng(12)
    table = pa.table({
        "arm": rng.choice(["control", "treatment", "late"], n).tolist(), "b": rng.integers(0, 2, n), "k": rng.integers(-200, 200, n),
        "long": rng.integers(0, 2**40, n), "x": rng.exponential(1, n), "z": np.where(rng.random(n) < 0.9, 0.0, rng.normal(0, 1, n)),
    })  # fmt: skip
    table = pa.concat_tables(
        [table.filter(pa.compute.not_equal(table["arm"], "late")), table.filter(pa.compute.equal(table["arm"], "late"))]
    )
    pq.write_table(table, tmp_path / "t.parquet")
    needs = (
        need("b", values="binary", covariate="k"),
        need("k", covariate="b"),
        need("long", covariate="k"),
        need("x", covariate="b"),
        need("z"),
    )
    arms = (*ARMS, "late")
    found = read(UnitsData(source="t.parquet"), needs, arms, base=tmp_path)
    assert_same(found, read_rows({"t": table.to_pylist()}, UNITS, needs, arms), unread=True)


def test_one_absurd_value_in_a_parquet_file_is_read_by_arm(tmp_path):
    """Extremes that stand out are read by arm, though footers tell only of the whole column."""
    x = np.random.default_rng(3).normal(10, 1, 4000)
    x[2001] = 9000.0
    table = pa.table({"arm": ["control", "treatment"] * 2000, "x": x})
    pq.write_table(table, tmp_path / "t.parquet")
    found = read(UnitsData(source="t.parquet"), (need("x"),), ARMS, base=tmp_path)
    assert found.arms["treatment"].outcomes["x"].maximum == 9000.0
    assert found.arms["control"].outcomes["x"].maximum == x[::2].max()


def test_ratio_with_a_covariate_ratio_has_four_columns_in_order():
    rng = np.random.default_rng(13)
    data = pd.DataFrame({name: rng.integers(1, 9, 50) for name in "pqrs"}).assign(arm=["control", "treatment"] * 25)
    ratio = Needs(
        metric="r", missing="error", outcome=Column(source="p"), denominator=Column(source="q"),
        covariate=Column(source="r"), covariate_denominator=Column(source="s"),
    )  # fmt: skip
    got = read_frame(data, UNITS, (ratio,), ARMS).arms["control"].outcomes["r"].moments
    np.testing.assert_allclose(got.mean, data[data.arm == "control"][list("pqrs")].mean(), rtol=1e-14)
