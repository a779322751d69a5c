"""The contract of what tests of units read: values, bucket sums, order statistics and strata equal the reference on every engine."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from test_contract import ARMS, assert_same, logs, logs_data, need, sample

from fairtrial.errors import DataError, UnknownNameError, UsageError
from fairtrial.metrics.needs import Column, Needs
from fairtrial.spec.data import AggregatesData, MomentColumns, UnitsData
from fairtrial.spec.metric import EventValue
from fairtrial.stats.reading import OutcomeStats, Reading
from fairtrial.stats.resampling.buckets import BucketSums
from fairtrial.stats.result import Unavailable
from fairtrial.warehouse import read, read_frame, strata, unit_rows
from fairtrial.warehouse.buckets import BUCKETS, bucket_of
from fairtrial.warehouse.memory import read_rows

TOLERANCE = 1e-9


def of_units(metric: str, *, column: str | None = None, missing: str = "error", winsorize: float | None = None, **what) -> Needs:
    """A need of a mean, with what is read beside the moments."""
    return Needs(metric=metric, missing=missing, outcome=Column(source=column or metric, winsorize=winsorize), **what)


def check(engine, table: pa.Table, needs, arms=ARMS, **options) -> Reading:
    data = UnitsData(source=engine.load({"of_units": table}), table="of_units", **options)
    found, expected = read(data, needs, arms), read_rows({"of_units": table.to_pylist()}, data, needs, arms)
    assert_same(found, expected)
    assert_same_details(found, expected)
    return found


def assert_same_details(found: Reading, expected: Reading) -> None:
    for arm, stats in expected.arms.items():
        for metric, wanted in stats.outcomes.items():
            got = found.arms[arm].outcomes[metric]
            if not isinstance(wanted, OutcomeStats):
                continue
            where = f"{arm}/{metric}"
            assert (got.rows is None) == (wanted.rows is None), where
            if wanted.rows is not None:
                assert got.rows == pytest.approx(wanted.rows, rel=1e-15), where
            assert_same_quantile(got.quantile, wanted.quantile, where)
            assert_same_buckets(got.buckets, wanted.buckets, where)
            assert_same_moments(got.stratified, wanted.stratified, where)


def assert_same_quantile(got, wanted, where) -> None:
    if wanted is None or isinstance(wanted, Unavailable):
        assert getattr(got, "code", got) == getattr(wanted, "code", wanted), where
        return
    assert (got.n, got.alpha) == (wanted.n, wanted.alpha), where
    ends, true_ends = ([one.value, one.interval.low, one.interval.high] for one in (got, wanted))
    assert ends == pytest.approx(true_ends, rel=1e-14), where


def about_zero(sums: BucketSums) -> tuple[np.ndarray, np.ndarray | None]:
    """Sums and products about 0, whatever constant they were taken about."""
    n, c = sums.n[:, None], sums.center
    if sums.products is None:
        return sums.sums + n * c, None
    shifted = sums.products + sums.sums[:, :, None] * c + c[:, None] * sums.sums[:, None, :] + n[..., None] * np.outer(c, c)
    return sums.sums + n * c, shifted


def assert_same_buckets(got, wanted, where) -> None:
    if wanted is None or isinstance(wanted, Unavailable):
        assert getattr(got, "code", got) == getattr(wanted, "code", wanted), where
        return
    assert got.n.tolist() == wanted.n.tolist(), where
    (sums, products), (true_sums, true_products) = about_zero(got), about_zero(wanted)
    assert sums == pytest.approx(true_sums, rel=TOLERANCE, abs=1e-12 * np.abs(true_sums).max()), where
    assert (products is None) == (true_products is None), where
    if products is not None:
        assert products == pytest.approx(true_products, rel=TOLERANCE, abs=1e-12 * np.abs(true_products).max()), where


def assert_same_moments(got, wanted, where) -> None:
    if wanted is None or isinstance(wanted, Unavailable):
        assert getattr(got, "code", got) == getattr(wanted, "code", wanted), where
        return
    assert got.n == wanted.n, where
    assert got.mean == pytest.approx(wanted.mean, rel=TOLERANCE), where
    scale = np.sqrt(np.outer(np.diagonal(wanted.cross), np.diagonal(wanted.cross)))
    assert (np.abs(got.cross - wanted.cross) <= TOLERANCE * scale + 1e-12).all(), where


def with_ids(columns: dict[str, object], *, text: bool = False) -> dict[str, object]:
    n = len(columns["arm"])
    ids = np.random.default_rng(0).permutation(n * 7)[:n] - 5
    return {**columns, "id": [f"пользователь {i}" for i in ids] if text else ids.astype(np.int64)}


@pytest.mark.parametrize("offset", [0.0, 1e9])
def test_values_leave_the_engine_as_they_are(engine, offset):
    ratio = Needs(metric="r", missing="error", outcome=Column(source="cnt"), denominator=Column(source="den"), rows=True)
    found = check(engine, pa.table(sample(offset=offset)), (of_units("x", rows=True), of_units("big", rows=True), ratio, need("b")))
    assert found.arms["control"].outcomes["r"].rows.shape[1] == 2
    assert found.arms["control"].outcomes["b"].rows is None


@pytest.mark.parametrize("missing", ["zero", "drop"])
def test_values_follow_the_metrics_rule_of_what_is_missing(engine, missing):
    columns = with_ids(sample())
    columns["x"] = [None if i % 5 == 0 else float(v) for i, v in enumerate(columns["x"])]
    columns["cnt"] = [None if i % 7 == 0 else int(v) for i, v in enumerate(columns["cnt"])]
    needs = (
        of_units("x", missing=missing, rows=True),
        of_units("x2", column="x", missing=missing, buckets=True, covariate=Column(source="x0")),
        of_units("x3", column="x", missing=missing, quantile=0.6),
        of_units("x4", column="x", missing=missing, winsorize=0.9, rows=True),
        Needs(
            metric="r", missing=missing, outcome=Column(source="cnt"), denominator=Column(source="den"), rows=True
        ),
        Needs(metric="r2", missing=missing, outcome=Column(source="cnt"), denominator=Column(source="den"), buckets=True),
    )  # fmt: skip
    check(engine, pa.table(columns), needs, unit="id")


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("offset", [0.0, 1e9])
def test_sums_by_bucket_of_units(engine, text, offset):
    needs = (
        of_units("x", buckets=True),
        of_units("x2", column="x", buckets=True, covariate=Column(source="x0")),
        of_units("big", buckets=True),
        Needs(metric="r", missing="error", outcome=Column(source="cnt"), denominator=Column(source="den"), buckets=True),
    )
    found = check(engine, pa.table(with_ids(sample(n=1500, offset=offset), text=text)), needs, unit="id")
    sums = found.arms["control"].outcomes["x"].buckets
    assert sums.units == found.arms["control"].n
    assert sums.n.size > 400


def test_buckets_are_as_likely_as_one_another():
    """10,240 ids in 1,024 buckets: Pearson's statistic lies within five standard deviations of its mean."""
    counts = np.bincount([bucket_of(str(i)) for i in range(10_240)], minlength=BUCKETS)
    statistic = float(((counts - 10.0) ** 2 / 10.0).sum())
    assert abs(statistic - (BUCKETS - 1)) < 5.0 * np.sqrt(2.0 * (BUCKETS - 1))


@pytest.mark.parametrize("q", [0.02, 0.5, 0.9])
def test_quantiles_with_their_order_statistics(engine, q):
    """Ties, NULLs and integers: the engine's own order, Hyndman & Fan's definition 7."""
    columns = sample(n=301)
    columns["x"] = [None if i % 9 == 0 else float(np.round(v, 1)) for i, v in enumerate(columns["x"])]
    needs = (of_units("x", missing="drop", quantile=q), of_units("big", quantile=q), of_units("cnt", quantile=q))
    check(engine, pa.table(columns), needs)


def test_a_quantile_of_too_few_units_is_unavailable(engine):
    table = pa.table({"arm": ["control"] * 30 + ["treatment"] * 5, "x": [float(i) for i in range(35)]})
    found = check(engine, table, (of_units("x", quantile=0.9),), arms=("control", "treatment", "absent"))
    assert found.arms["treatment"].outcomes["x"].quantile.code == "too_few_units"


def test_an_arm_of_one_bucket_has_no_bootstrap(engine):
    table = pa.table({"arm": ["control"] * 9 + ["treatment"], "id": list(range(10)), "x": [float(i) for i in range(10)]})
    found = check(engine, table, (of_units("x", buckets=True),), unit="id")
    assert found.arms["treatment"].outcomes["x"].buckets.code == "too_few_units"


@pytest.mark.parametrize("missing", ["zero", "drop"])
def test_moments_by_arm_and_stratum(engine, missing):
    rng = np.random.default_rng(12)
    columns = sample(n=900)
    columns["arm"] = [(*ARMS, "other")[i] for i in rng.integers(0, 3, 900)]
    columns["country"] = [("it", "de", None)[i] for i in rng.integers(0, 3, 900)]
    columns["new"] = rng.random(900) < 0.5
    far = [1e6 if country == "it" else 0.0 for country in columns["country"]]
    columns["x"] = [None if i % 6 == 0 else float(v) + far[i] for i, v in enumerate(columns["x"])]
    needs = (
        need("x", missing=missing, covariate="x0"),
        need("b", values="binary", covariate="b0"),
        need("cnt", values="nonnegative", winsorize=0.9),
        Needs(metric="r", missing="error", outcome=Column(source="cnt"), denominator=Column(source="den")),
    )
    found = check(engine, pa.table(columns), needs, strata=("country", "new"), adjust="post_stratify")
    assert found.intake.unknown_arms == {"other": columns["arm"].count("other")}
    assert "6 strata" in found.intake.notes[-1]


def test_a_stratum_that_lacks_an_arm_is_named(engine):
    table = pa.table({"arm": ["control", "treatment"] * 10, "c": ["a"] * 18 + ["b", "a"], "x": [float(i % 7) for i in range(20)]})
    found = check(engine, table, (need("x"),), strata=("c",), adjust="post_stratify")
    outcome = found.arms["treatment"].outcomes["x"].stratified
    assert outcome.code == "thin_stratum"
    assert "stratum c b has 0 units of 'x' in arm 'treatment'" in outcome.reason


def test_strata_leave_out_units_in_two_arms(engine):
    table = pa.table({
        "arm": ["control", "treatment"] * 12, "id": [*range(22), 0, 1], "c": ["a", "a", "b", "b"] * 6,
        "x": [float(i % 7) for i in range(24)],
    })  # fmt: skip
    twice = table.set_column(1, "id", pa.array([*range(22), 1, 0]))
    found = check(engine, twice, (need("x"),), unit="id", strata=("c",), adjust="post_stratify")
    assert found.intake.units_in_two_arms == 2


@pytest.mark.parametrize("arms", [("1", "2"), ("1", "0")])
def test_arms_stored_as_numbers_or_booleans(engine, arms):
    stored = [True, False] * 60 if arms == ("1", "0") else [1, 2] * 60
    rng = np.random.default_rng(3)
    table = pa.table({"arm": stored, "id": list(range(120)), "x": rng.normal(size=120), "c": rng.integers(0, 2, 120)})
    needs = (of_units("x", rows=True), of_units("y", column="x", buckets=True), of_units("z", column="x", quantile=0.5))
    check(engine, table, needs, arms, unit="id")
    check(engine, table, (need("x"),), arms, unit="id", strata=("c",), adjust="post_stratify")


@pytest.mark.parametrize("exposures", [False, True])
def test_events_become_values_buckets_and_quantiles(engine, exposures):
    tables = logs()
    amount = EventValue(fact="orders", value="amount")
    needs = (
        Needs(metric="revenue", missing="error", outcome=Column(source=amount), rows=True),
        Needs(metric="resampled", missing="error", outcome=Column(source=amount), buckets=True),
        Needs(metric="median", missing="error", outcome=Column(source=amount), quantile=0.5),
    )
    data = logs_data(engine.load(tables), exposures=exposures)
    found, expected = read(data, needs, ARMS), read_rows({name: table.to_pylist() for name, table in tables.items()}, data, needs, ARMS)
    assert_same(found, expected)
    assert_same_details(found, expected)


FRAME = pa.table({"arm": ["control", "treatment"] * 20, "id": list(range(40)), "x": [float(i) for i in range(40)], "f": [0.5, 1.5] * 20})


def test_more_units_than_may_leave_the_engine_are_refused_with_what_serves_instead(monkeypatch):
    monkeypatch.setattr(unit_rows, "MOST_UNITS", 39)
    with pytest.raises(DataError, match="at most 39 units, there are 40") as error:
        read_frame(FRAME, UnitsData(source="memory"), (of_units("x", rows=True),), ARMS)
    assert error.value.code == "too_many_units"
    assert "bootstrap" in error.value.hint
    assert "quantile" in error.value.hint


def test_a_bootstrap_needs_the_units_id():
    with pytest.raises(UsageError, match="names none"):
        read_frame(FRAME, UnitsData(source="memory"), (of_units("x", buckets=True),), ARMS)


def test_a_stratum_must_be_a_category_that_is_there(monkeypatch):
    def read_by(*names: str) -> Reading:
        return read_frame(FRAME, UnitsData(source="memory", strata=names, adjust="post_stratify"), (need("x"),), ARMS)

    with pytest.raises(UsageError, match=r"must be a category.*column 'f' holds float64"):
        read_by("f")
    with pytest.raises(UnknownNameError, match="country"):
        read_by("country")
    monkeypatch.setattr(strata, "MOST_CELLS", 39)
    with pytest.raises(DataError, match=r"at most 39.*make more") as error:
        read_by("id")
    assert error.value.code == "too_many_strata"


def test_strata_of_no_known_arm_say_which_arms_there_are():
    data = UnitsData(source="memory", strata=("id",), adjust="post_stratify")
    with pytest.raises(DataError, match="No row is of an arm"):
        read_frame(FRAME, data, (need("x"),), ("a", "b"))


def test_an_arm_that_is_not_there_has_no_units_in_any_stratum():
    table = FRAME.append_column("c", pa.array(["a", "a", "b", "b"] * 10)).append_column("n", pa.array([None] * 40, pa.float64()))
    data = UnitsData(source="memory", strata=("c",), adjust="post_stratify")
    needs = (need("x"), need("n", missing="drop"))
    found = read_frame(table, data, needs, (*ARMS, "absent"))
    assert_same(found, read_rows({"t": table.to_pylist()}, data, needs, (*ARMS, "absent")))
    assert found.arms["absent"].outcomes["x"].code == "no_units"
    assert found.arms["control"].outcomes["n"].code == "all_missing"


def test_an_arm_whose_units_all_miss_their_outcome_has_no_quantile():
    table = pa.table({"arm": ["control", "treatment"] * 20, "x": [float(i) if i % 2 == 0 else None for i in range(40)]})
    found = read_frame(table, UnitsData(source="memory"), (of_units("x", missing="drop", quantile=0.5, rows=True),), ARMS)
    assert found.arms["treatment"].outcomes["x"].code == "all_missing"
    assert found.arms["control"].outcomes["x"].quantile.n == 20


@pytest.mark.parametrize("what", [{"rows": True}, {"buckets": True}, {"quantile": 0.5}])
def test_ready_aggregates_hold_no_units(what):
    table = pa.table({"arm": list(ARMS), "n": [10, 10], "x": [1.0, 2.0]})
    data = AggregatesData(source="memory", columns={"x": MomentColumns(mean="x", variance="x")})
    found = read_frame(table, data, (of_units("x", **what),), ARMS)
    assert found.arms["control"].outcomes["x"].code == "needs_unit_rows"
    assert "own values" in found.arms["control"].outcomes["x"].reason
