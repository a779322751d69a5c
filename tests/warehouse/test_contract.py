"""One contract for every engine: arm statistics equal the reference in memory to 1e-9."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from fairtrial.errors import DataError
from fairtrial.metrics.needs import Column, Needs
from fairtrial.spec.data import FactTable, LogsData, LogTable, UnitsData
from fairtrial.spec.metric import EventValue
from fairtrial.stats.reading import OutcomeStats, Reading
from fairtrial.warehouse import read
from fairtrial.warehouse.measure import EXTREME_SHARE
from fairtrial.warehouse.memory import read_rows

ARMS = ("control", "treatment")
TOLERANCE = 1e-9
COUNTS = (
    "rows", "units", "units_checked", "repeated_rows", "units_in_two_arms", "rows_without_arm", "unknown_arms",
    "duplicate_events", "unknown_unit_events", "early_events", "late_events", "untimed_events", "assigned", "population",
)  # fmt: skip


def need(metric: str, source: object = None, values: str = "real", *, missing: str = "error", winsorize: float | None = None, **parts):
    outcome = Column(source=source or metric, values=values, winsorize=winsorize, any_event=values == "binary" and source is not None)
    columns = {part: Column(source=column) for part, column in parts.items()}
    return Needs(metric=metric, missing=missing, outcome=outcome, **columns)


def assert_same(found: Reading, expected: Reading, *, unread: bool = False, rounding: float = 0.0) -> None:
    """Equal to the reference; `unread` allows an extreme that cannot stand out to be left unread.

    `rounding` is what a constant taken from the table may leave behind; 0 but for drawn tables.
    """
    assert list(found.arms) == list(expected.arms)
    for arm, stats in expected.arms.items():
        assert found.arms[arm].n == stats.n, arm
        assert list(found.arms[arm].outcomes) == list(stats.outcomes)
        for metric, outcome in stats.outcomes.items():
            assert_same_outcome(
                found.arms[arm].outcomes[metric], outcome, f"{arm}/{metric}", size_of(expected, metric), unread=unread, rounding=rounding
            )
    for name in COUNTS:
        assert getattr(found.intake, name) == getattr(expected.intake, name), name


def size_of(reading: Reading, metric: str) -> np.ndarray:
    """How large a metric's numbers are over all arms: next to it an error of 1e-12 is nothing."""
    found = [stats.outcomes[metric].moments for stats in reading.arms.values() if isinstance(stats.outcomes[metric], OutcomeStats)]
    return max((np.abs(m.mean) + np.sqrt(np.diagonal(m.cross) / m.n) for m in found), key=np.max, default=np.zeros(1))


def assert_same_outcome(
    found: object, expected: object, where: str, size: np.ndarray, *, unread: bool = False, rounding: float = 0.0
) -> None:
    if not isinstance(expected, OutcomeStats):
        assert found.code == expected.code, where
        return
    assert isinstance(found, OutcomeStats), where
    a, b = found.moments, expected.moments
    assert a.n == b.n, where
    assert (np.abs(a.mean - b.mean) <= TOLERANCE * np.abs(b.mean) + 1e-12 * size + rounding).all(), (where, a.mean, b.mean)
    scale = np.sqrt(np.outer(np.diagonal(b.cross), np.diagonal(b.cross)))
    noise = np.where(scale == 0, a.n * np.outer(1e-15 * size, 1e-15 * size), 0.0)
    assert (np.abs(a.cross - b.cross) <= TOLERANCE * scale + noise + rounding**2).all(), (where, a.cross, b.cross)
    assert (found.missing, found.missing_covariate) == (expected.missing, expected.missing_covariate), where
    for side in ("minimum", "maximum"):
        got, wanted = getattr(found, side), getattr(expected, side)
        if unread and got is None and wanted is not None:
            assert (wanted - b.mean[0]) ** 2 <= EXTREME_SHARE * b.cross[0, 0], (where, side)
            continue
        assert got == (None if wanted is None else pytest.approx(wanted, rel=TOLERANCE)), (where, side)


def check_units(engine, table: pa.Table, needs, arms=ARMS, *, name: str = "units_of_test", **options) -> Reading:
    data = UnitsData(source=engine.load({name: table}), table=name, **options)
    found = read(data, needs, arms)
    assert_same(found, read_rows({name: table.to_pylist()}, data, needs, arms))
    return found


def sample(n: int = 400, seed: int = 1, offset: float = 0.0) -> dict[str, object]:
    rng = np.random.default_rng(seed)
    x0 = rng.normal(10, 3, n)
    return {
        "arm": rng.choice(ARMS, n).tolist(),
        "b": rng.integers(0, 2, n).astype(np.int8),
        "flag": rng.random(n) < 0.3,
        "b0": rng.integers(0, 2, n).astype(np.int16),
        "cnt": rng.poisson(3, n).astype(np.int32),
        "big": rng.integers(-(10**6), 10**6, n) + int(offset),
        "x": offset + x0 * 0.5 + rng.normal(0, 1, n),
        "x0": offset + x0,
        "den": rng.integers(1, 5, n).astype(np.int32),
        "den0": rng.integers(1, 5, n),
    }


ALL = (
    need("b", values="binary", covariate="b0"),
    need("flag", values="binary", covariate="x0"),
    need("cnt", values="nonnegative", covariate="b0"),
    need("big", covariate="x0"),
    need("x", covariate="x0"),
    Needs(metric="r", missing="error", outcome=Column(source="cnt"), denominator=Column(source="den"),
          covariate=Column(source="b0"), covariate_denominator=Column(source="den0")),
)  # fmt: skip


@pytest.mark.parametrize("offset", [0.0, 1e9])
def test_all_kinds_of_columns(engine, offset):
    """DESIGN 5: exact to 1e-9, at an offset of 1e9 too."""
    check_units(engine, pa.table(sample(offset=offset)), ALL)


def test_sorted_values_whose_first_rows_mislead(engine):
    """The constant from the first rows is far from the rest: the scan is repeated about the means."""
    columns = sample(3000)
    columns["x"] = np.sort(np.concatenate([np.random.default_rng(2).normal(0, 1, 1000), np.random.default_rng(3).normal(1e7, 1, 2000)]))
    columns["big"] = np.sort(np.concatenate([np.arange(1000), 10**14 + np.arange(2000)]))
    columns["arm"] = ["control"] * 1000 + ["treatment"] * 2000
    check_units(engine, pa.table(columns), ALL)


@pytest.mark.parametrize("missing", ["zero", "drop"])
def test_missing_outcomes_and_covariates(engine, missing):
    rng = np.random.default_rng(4)
    columns = sample()
    table = {"arm": columns["arm"]}
    for name in ("b", "cnt", "big", "x", "x0", "den", "b0", "flag"):
        table[name] = [
            None if gone else value for gone, value in zip(rng.random(400) < 0.2, np.asarray(columns[name]).tolist(), strict=True)
        ]
    needs = (
        need("b", values="binary", missing=missing, covariate="x0"),
        need("flag", values="binary", missing=missing),
        need("big", missing=missing, covariate="b0"),
        need("x", missing=missing, covariate="x0"),
        need("cnt", values="nonnegative", missing=missing, covariate="b0"),
        Needs(metric="r", missing=missing, outcome=Column(source="cnt"), denominator=Column(source="den"),
              covariate=Column(source="b0"), covariate_denominator=Column(source="x0")),
    )  # fmt: skip
    check_units(engine, pa.table(table), needs)


def test_missing_outcome_under_error_is_refused_with_the_options(engine):
    table = pa.table({"arm": ["control", "treatment"] * 3, "x": [1.0, None, 3.0, 4.0, 5.0, None]})
    with pytest.raises(DataError, match=r"2 of column 'x' are missing.*zero.*drop.*error") as error:
        check_units(engine, table, (need("x"),))
    assert error.value.code == "missing_outcome"


def test_nan_counts_as_missing(engine):
    values = [1.0, math.nan, 3.0, 4.0, math.nan, 6.0, 7.0, 8.5]
    table = pa.table({"arm": ["control", "treatment"] * 4, "x": values, "c": values[::-1]})
    for missing in ("zero", "drop"):
        check_units(engine, table, (need("x", missing=missing, covariate="c"), need("c", missing=missing)))


def test_infinite_values_are_refused_with_their_count(engine):
    table = pa.table({"arm": ["control", "treatment"] * 4, "x": [1.0, math.inf, 3.0, 4.0, -math.inf, 6.0, 7.0, 8.5]})
    with pytest.raises(DataError, match="2 values are infinite") as error:
        check_units(engine, table, (need("x", missing="drop"),))
    assert error.value.code == "infinite_value"


def test_empty_arm_and_arm_of_one_row(engine):
    table = pa.table({"arm": ["control"] * 5 + ["single"], "x": [1.0, 2.0, 4.0, 8.0, 16.0, 5.1], "k": [1, 2, 3, 4, 5, 6]})
    found = check_units(engine, table, (need("x", covariate="k"),), arms=("control", "treatment", "single"))
    assert found.arms["treatment"].outcomes["x"].code == "no_units"
    assert found.arms["single"].outcomes["x"].moments.cross.tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_all_units_of_an_arm_without_outcome(engine):
    table = pa.table({"arm": ["control"] * 3 + ["treatment"] * 3, "x": [1.0, 2.0, 4.0, None, None, None]})
    check_units(engine, table, (need("x", missing="drop"),))
    check_units(engine, table, (need("x", missing="zero"),))


def test_constant_columns_have_no_variance(engine):
    table = pa.table({"arm": ["control", "treatment"] * 50, "x": [0.1] * 100, "y": [1e9 + 0.3] * 100, "z": list(range(100))})
    found = check_units(engine, table, (need("x", covariate="z"), need("y", covariate="x")))
    assert found.arms["control"].outcomes["x"].moments.cross[0].tolist() == [0.0, 0.0]


def test_names_in_any_script_with_quotes(engine):
    arms = ('контроль "Б"', "处理's")
    names = {"arm": 'das "Är`m"', "x": "umsatz € 'netto'", "unit": "ünit;--"}
    table = pa.table(
        {names["arm"]: [*arms, *arms, "другой"], names["x"]: [1.5, 2.5, 3.5, 4.5, 9.0], names["unit"]: ["é", "e", "日", "a'b", 'a"b']}
    )
    needs = (need(names["x"]),)
    found = check_units(engine, table, needs, arms, arm=names["arm"], unit=names["unit"], name="units_1")
    assert found.intake.unknown_arms == {"другой": 1}


@pytest.mark.parametrize("width", [8, 16, 32, 64])
def test_integers_near_the_limits_of_their_type(engine, width):
    low, high = -(2 ** (width - 1)), 2 ** (width - 1) - 1
    kind = {8: pa.int8(), 16: pa.int16(), 32: pa.int32(), 64: pa.int64()}[width]
    rng = np.random.default_rng(5)
    near = [high - int(i) for i in rng.integers(0, 100, 200)]
    wide = [low + int(i) if i % 2 else high - int(i) for i in rng.integers(0, 100, 200)]
    table = pa.table({
        "arm": ["control", "treatment"] * 100, "near": pa.array(near, kind), "wide": pa.array(wide, kind),
        "y": rng.normal(0, 1, 200), "s": rng.integers(0, 9, 200),
    })  # fmt: skip
    check_units(
        engine,
        table,
        (need("near", covariate="wide"), need("wide", covariate="y"), need("y", covariate="near"), need("s", covariate="near")),
    )


def test_long_integers_with_missing_values(engine):
    near = [2**62 + i if i % 7 else None for i in range(200)]
    table = pa.table({"arm": ["control", "treatment"] * 100, "near": pa.array(near, pa.int64()), "y": [float(i % 13) for i in range(200)]})
    check_units(engine, table, (need("near", missing="drop", covariate="y"), need("y", covariate="near")))


def test_decimals(engine):
    rng = np.random.default_rng(6)
    cents = [Decimal(int(i)).scaleb(-2) + 1_000_000_000 for i in rng.integers(0, 10_000, 300)]
    small = [Decimal(int(i)).scaleb(-4) for i in rng.integers(0, 10_000, 300)]
    table = pa.table(
        {"arm": ["control", "treatment"] * 150, "d": pa.array(cents, pa.decimal128(18, 2)), "e": pa.array(small, pa.decimal128(10, 4))}
    )
    if engine.name == "sqlite":  # it has no decimals: the float that it stores is what there is
        table = table.set_column(1, "d", table["d"].cast(pa.float64())).set_column(2, "e", table["e"].cast(pa.float64()))
    check_units(engine, table, (need("d", covariate="e"), need("e", covariate="d")))


def test_decimals_with_missing_values_and_misleading_first_rows(engine):
    values = [Decimal(i).scaleb(-2) for i in range(1500)] + [Decimal(10**9) + Decimal(i).scaleb(-2) for i in range(1500)]
    values[7] = values[2000] = None
    table = pa.table({"arm": ["control"] * 1500 + ["treatment"] * 1500, "d": pa.array(values, pa.decimal128(18, 2))})
    if engine.name == "sqlite":
        table = table.set_column(1, "d", table["d"].cast(pa.float64()))
    check_units(engine, table, (need("d", missing="drop"),))


def test_single_precision(engine):
    table = pa.table({"arm": ["control", "treatment"] * 50, "x": pa.array(np.random.default_rng(8).normal(1e5, 1, 100), pa.float32())})
    check_units(engine, table, (need("x"),))


@pytest.mark.parametrize("missing", ["error", "zero", "drop"])
def test_winsorised_at_a_pooled_quantile(engine, missing):
    rng = np.random.default_rng(9)
    x = [None if missing != "error" and i % 9 == 0 else float(v) for i, v in enumerate(rng.lognormal(3, 1, 300))]
    table = pa.table({
        "arm": [("control", "treatment", "other")[i % 3] for i in range(300)], "x": x, "k": rng.poisson(4, 300),
        "x0": rng.lognormal(3, 1, 300),
    })  # fmt: skip
    found = check_units(
        engine,
        table,
        (need("x", winsorize=0.9, missing=missing, covariate="x0"), need("k", values="nonnegative", winsorize=0.95), need("x0")),
    )
    assert found.arms["control"].outcomes["x"].maximum == found.arms["treatment"].outcomes["x"].maximum


def test_winsorising_that_would_leave_no_spread_is_skipped_and_said(engine):
    table = pa.table({"arm": ["control", "treatment"] * 50, "x": [0.0] * 98 + [5.0, 7.0]})
    found = check_units(engine, table, (need("x", winsorize=0.95),))
    assert "not winsorised" in found.intake.notes[0]


@pytest.mark.parametrize("rule", ["mean", "sum"])
def test_repeated_rows_are_collapsed_per_unit(engine, rule):
    rng = np.random.default_rng(10)
    units = rng.integers(0, 60, 200)
    arms = [("control", "treatment")[int(unit) % 2] for unit in units]
    x = [None if i % 11 == 0 else float(v) for i, v in enumerate(rng.normal(5, 2, 200))]
    table = pa.table({"arm": arms, "id": [f"u{unit}" for unit in units], "x": x, "k": rng.integers(0, 9, 200), "x0": rng.normal(0, 1, 200)})
    found = check_units(engine, table, (need("x", missing="drop", covariate="x0"), need("k", covariate="x0")), unit="id", repeated=rule)
    assert found.intake.repeated_rows > 0


def test_repeated_rows_are_refused_by_default(engine):
    table = pa.table({"arm": ["control", "treatment", "control", "control"], "id": [1, 2, 1, 3], "x": [1.0, 2.0, 1.0, 4.0]})
    with pytest.raises(DataError, match=r"4 rows of 3 units\. 1 rows are exact copies.*repeated: mean") as error:
        check_units(engine, table, (need("x"),), unit="id")
    assert error.value.code == "repeated_units"


def test_units_in_two_arms_are_left_out_and_counted(engine):
    table = pa.table({
        "arm": ["control", "treatment", "control", "treatment", "treatment", None, "other"],
        "id": ["a", "a", "b", "c", "d", "e", "f"], "x": [1.0, 2.0, 3.0, 4.0, 6.0, 5.0, 5.0],
    })  # fmt: skip
    found = check_units(engine, table, (need("x"),), unit="id")
    assert (found.intake.units_in_two_arms, found.intake.rows_without_arm, found.intake.unknown_arms) == (1, 1, {"other": 1})


@pytest.mark.parametrize("arms", [("1", "2"), ("true", "false"), ("1", "0")])
def test_arms_stored_as_numbers_or_booleans(engine, arms):
    stored = [True, False] * 4 if arms != ("1", "2") else [1, 2] * 4
    if engine.name == "sqlite" and arms[0] == "true":
        pytest.skip("SQLite stores booleans as 0 and 1")
    table = pa.table({"arm": stored, "id": [*range(7), 0], "x": [float(i * i) for i in range(8)]})
    check_units(engine, table, (need("x"),), arms, unit="id")


def test_where_keeps_only_matching_rows(engine):
    columns = sample()
    columns["country"] = ["it" if i % 3 else "de" for i in range(400)]
    found = check_units(engine, pa.table(columns), ALL, where={"country": "it", "cnt": 3})
    assert found.intake.rows < 400


def test_values_outside_0_and_1_are_named(engine):
    table = pa.table({"arm": ["control", "treatment"] * 4, "b": [0, 1, 0, 1, 2, -3, 0, 2]})
    with pytest.raises(DataError, match=r"holds 3 other values: -3, 2") as error:
        check_units(engine, table, (need("b", values="binary"),))
    assert error.value.code == "not_binary"


def test_negative_counts_are_refused(engine):
    table = pa.table({"arm": ["control", "treatment"] * 4, "k": [0, 1, 0, 1, 2, -3, 0, 2]})
    with pytest.raises(DataError, match="goes down to -3"):
        check_units(engine, table, (need("k", values="nonnegative"),))


def test_floats_that_are_zero_or_one(engine):
    table = pa.table({"arm": ["control", "treatment"] * 4, "b": [0.0, 1.0, None, 1.0, 1.0, 0.0, math.nan, 1.0]})
    check_units(engine, table, (need("b", values="binary", missing="drop"),))


def test_a_table_of_no_rows_is_refused(engine):
    table = pa.table({"arm": pa.array([], pa.string()), "x": pa.array([], pa.float64())})
    with pytest.raises(DataError, match="0 rows"):
        check_units(engine, table, (need("x"),))


def moment(day: int, hour: int = 0, micro: int = 0) -> dt.datetime:
    return dt.datetime(2026, 3, 1, tzinfo=dt.UTC) + dt.timedelta(days=day, hours=hour, microseconds=micro)


def logs(seed: int = 11, *, missing_values: bool = False) -> dict[str, pa.Table]:
    rng = np.random.default_rng(seed)
    stamp = pa.timestamp("us", "UTC")
    assigned = [
        (int(u), ("control", "treatment")[int(u) % 2], moment(int(rng.integers(0, 5)), int(rng.integers(0, 24)))) for u in range(60)
    ]
    assigned += [
        (3, "control", moment(0)),
        (4, "control", moment(1)),
        (4, "control", moment(2)),
        (70, "other", moment(1)),
        (71, None, moment(1)),
    ]
    assigned += [(5, "treatment", moment(9)), (None, "control", moment(1))]
    events = [
        (
            f"e{i}",
            int(rng.integers(0, 75)),
            moment(int(rng.integers(-6, 20)), int(rng.integers(0, 24))),
            float(rng.lognormal(2, 1)),
            int(rng.integers(0, 4)),
        )
        for i in range(600)
    ]
    events += [events[0], events[1], events[1], ("late", 8, None, 3.0, 1), (None, 9, moment(6), 4.0, 2), (None, 9, moment(6), 4.0, 2)]
    events += [("edge0", 10, assigned[10][2], 1.0, 1), ("edge1", 10, assigned[10][2] + dt.timedelta(days=7), 1.0, 1)]
    events += [("edge2", 10, assigned[10][2] + dt.timedelta(days=7, microseconds=-1), 1.0, 1), ("stranger", None, moment(3), 1.0, 1)]
    columns = list(zip(*events, strict=True))
    values = [None if missing_values and i % 17 == 0 else v for i, v in enumerate(columns[3])]
    exposed = [(u, arm, at + dt.timedelta(hours=5 + u)) for u, arm, at in assigned if u is not None and u % 3 and arm in ARMS]
    exposed += [(999, "control", moment(2)), (7, "control", moment(2)), (8, None, moment(4)), (11, "other", moment(0))]
    return {
        "assigned": pa.table({
            "unit": pa.array([a[0] for a in assigned], pa.int64()), "arm": [a[1] for a in assigned],
            "time": pa.array([a[2] for a in assigned], stamp),
        }),
        "exposed": pa.table({
            "unit": pa.array([e[0] for e in exposed], pa.int64()), "arm": [e[1] for e in exposed],
            "time": pa.array([e[2] for e in exposed], stamp),
        }),
        "orders": pa.table({
            "event": list(columns[0]), "who": pa.array(columns[1], pa.int32()), "at": pa.array(columns[2], stamp),
            "amount": values, "items": pa.array(columns[4], pa.int32()),
        }),
    }  # fmt: skip


def log_needs(missing: str = "error"):
    def amount(days: float | None = None) -> EventValue:
        return EventValue(fact="orders", value="amount", before_days=days)

    return (
        need("revenue", amount(), missing=missing, covariate=amount(3.0)),
        need("orders", EventValue(fact="orders"), "nonnegative", missing=missing, covariate=EventValue(fact="orders", before_days=3.0)),
        need("bought", EventValue(fact="orders"), "binary", missing=missing),
        need("bought_items", EventValue(fact="orders", value="items"), "binary", missing=missing),
        Needs(
            metric="per_order",
            missing=missing,
            outcome=Column(source=amount()),
            denominator=Column(source=EventValue(fact="orders", value="items")),
        ),
    )


def logs_data(source: str, *, exposures: bool = False, window: float | None = 7.0) -> LogsData:
    return LogsData(
        source=source,
        assignments=LogTable(table="assigned"),
        exposures=LogTable(table="exposed") if exposures else None,
        facts={"orders": FactTable(table="orders", unit="who", time="at", event_id="event")},
        window_days=window,
    )


@pytest.mark.parametrize(("exposures", "window"), [(False, 7.0), (False, None), (True, 7.0)])
def test_logs_become_units(engine, exposures, window):
    tables = logs()
    data = logs_data(engine.load(tables), exposures=exposures, window=window)
    found = read(data, log_needs(), ARMS)
    rows = {name: table.to_pylist() for name, table in tables.items()}
    assert_same(found, read_rows(rows, data, log_needs(), ARMS))
    assert found.intake.duplicate_events == 3
    assert found.intake.untimed_events == 1


@pytest.mark.parametrize("missing", ["zero", "drop"])
def test_events_without_a_value(engine, missing):
    tables = logs(missing_values=True)
    data = logs_data(engine.load(tables))
    rows = {name: table.to_pylist() for name, table in tables.items()}
    assert_same(read(data, log_needs(missing), ARMS), read_rows(rows, data, log_needs(missing), ARMS))


@pytest.mark.parametrize("kind", ["text", "naive", "date"])
def test_times_as_text_without_offset_and_as_dates(engine, kind):
    tables = logs()
    for name, column in (("assigned", "time"), ("orders", "at")):
        moments = tables[name][column].to_pylist()
        if kind == "date":
            values = pa.array([None if m is None else m.date() for m in moments], pa.date32())
        elif kind == "naive":
            values = pa.array([None if m is None else m.replace(tzinfo=None) for m in moments], pa.timestamp("us"))
        else:
            texts = [None if m is None else m.astimezone(dt.timezone(dt.timedelta(hours=i % 3))).isoformat() for i, m in enumerate(moments)]
            values = pa.array(texts)
        tables[name] = tables[name].set_column(tables[name].schema.get_field_index(column), column, values)
    data = logs_data(engine.load(tables))
    rows = {name: table.to_pylist() for name, table in tables.items()}
    assert_same(read(data, log_needs(), ARMS), read_rows(rows, data, log_needs(), ARMS))


def test_units_of_different_types_are_compared_as_text(engine):
    tables = logs()
    tables["orders"] = tables["orders"].set_column(1, "who", tables["orders"]["who"].cast(pa.string()))
    data = logs_data(engine.load(tables))
    rows = {name: table.to_pylist() for name, table in tables.items()}
    for row in rows["assigned"]:
        row["unit"] = None if row["unit"] is None else str(row["unit"])
    assert_same(read(data, log_needs(), ARMS), read_rows(rows, data, log_needs(), ARMS))
