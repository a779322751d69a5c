"""Shape C: ready counts and moments."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from fairtrial.errors import DataError, SpecError, UnknownNameError
from fairtrial.metrics.needs import Column, Needs
from fairtrial.spec.data import AggregatesData, MomentColumns
from fairtrial.stats.moments import Moments
from fairtrial.warehouse import read, read_frame

ARMS = ("control", "treatment")


def needs(metric: str, values: str = "real", source: str | None = None) -> Needs:
    return Needs(metric=metric, missing="error", outcome=Column(source=source or metric, values=values))


def shape(**columns) -> AggregatesData:
    return AggregatesData(source="frame", **columns)


def outcome(frame: pd.DataFrame, data: AggregatesData, need: Needs, arm: str = "treatment"):
    return read_frame(frame, data, (need,), ARMS).arms[arm].outcomes[need.metric]


def test_the_three_forms_say_the_same_and_rows_add_up():
    rng = np.random.default_rng(1)
    values = {arm: rng.integers(0, 2, 500) for arm in ARMS}
    rows = [
        {"arm": arm, "n": len(part), "hits": int(part.sum()), "mean": part.mean(), "var": part.var(ddof=1), "ss": int((part**2).sum())}
        for arm, x in values.items()
        for part in np.array_split(x, 3)
    ]
    frame = pd.DataFrame(rows)
    forms = (MomentColumns(successes="hits"), MomentColumns(mean="mean", variance="var"), MomentColumns(sum="hits", sum_squares="ss"))
    for form in forms:
        for arm in ARMS:
            got = outcome(frame, shape(columns={"b": form}), needs("b", "binary"), arm).moments.column()
            expected = Moments.from_values(values[arm])
            assert (got.n, got.mean, got.m2) == pytest.approx((expected.n, expected.mean, expected.m2), rel=1e-12)


def test_full_advertising_counts(real_data):
    """Issue 2: marketing_AB full counts; each dimension sums to 588,101 users."""
    data = AggregatesData(
        source="marketing_ab_counts.csv", arm="test_group", n="users", where={"dimension": "most_ads_day"},
        columns={"converted": MomentColumns(successes="converted")},
    )  # fmt: skip
    reading = read(data, (needs("converted", "binary"),), ("psa", "ad"), base=real_data)
    assert {arm: stats.n for arm, stats in reading.arms.items()} == {"psa": 23_524, "ad": 564_577}
    rates = {arm: float(stats.outcomes["converted"].moments.mean[0]) for arm, stats in reading.arms.items()}
    assert rates == pytest.approx({"psa": 420 / 23_524, "ad": 14_423 / 564_577}, rel=1e-15)
    assert (reading.intake.rows, reading.intake.shape, reading.intake.units) == (14, "aggregates", 588_101)


def test_ready_moments_of_asos_with_missing_variances(real_data, tmp_path):
    """Issue 2: ASOS part 1; a missing variance is Unavailable and no crash."""
    wide = pq.read_table(real_data / "asos_experiments_part1.parquet").to_pandas()
    last = wide.sort_values("time_since_start").groupby(["experiment_id", "variant_id", "metric_id"]).tail(1)
    parts = [
        last[["experiment_id", "variant_id", "metric_id", f"count_{c}", f"mean_{c}", f"variance_{c}"]]
        .set_axis(["experiment", "variant", "metric", "n", "mean", "variance"], axis=1).assign(arm=arm)
        for c, arm in (("c", "control"), ("t", "treatment"))
    ]  # fmt: skip
    long = pd.concat(parts).query("n > 0")
    long["metric"] = "m" + long.metric.astype(str)
    long.to_parquet(tmp_path / "long.parquet")
    missing = seen = 0
    for (experiment, variant), rows in long.groupby(["experiment", "variant"]):
        data = AggregatesData(source="long.parquet", metric="metric", where={"experiment": experiment, "variant": int(variant)})
        metrics = sorted(rows.metric.unique())
        reading = read(data, [needs(metric) for metric in metrics], ARMS, base=tmp_path)
        for arm in ARMS:
            for metric in metrics:
                row = rows[(rows.arm == arm) & (rows.metric == metric)].iloc[0]
                got = reading.arms[arm].outcomes[metric]
                seen += 1
                if math.isnan(row.variance):
                    missing += 1
                    assert got.code == "missing_variance"
                else:
                    expected = Moments(n=int(row.n), mean=row["mean"], m2=row.variance * (row.n - 1))
                    assert got.moments.column() == expected
    assert 0 < missing < seen / 2


def test_metrics_in_rows_of_their_own_with_counts_of_their_own():
    frame = pd.DataFrame({
        "arm": ["control", "control", "treatment", "treatment"], "what": ["a", "b", "a", "b"],
        "n": [100, 90, 110, 110], "mean": [1.0, 2.0, 3.0, 4.0], "variance": [1.0, 1.0, 1.0, None],
    })  # fmt: skip
    reading = read_frame(frame, shape(metric="what"), (needs("a"), needs("b")), ARMS)
    assert (reading.arms["control"].n, reading.arms["control"].outcomes["b"].missing) == (100, 10)
    assert reading.arms["treatment"].outcomes["b"].code == "missing_variance"


def test_ratios_need_unit_rows():
    frame = pd.DataFrame({"arm": ARMS, "n": [10, 10], "x": [1, 2]})
    ratio = Needs(metric="r", missing="error", outcome=Column(source="x"), denominator=Column(source="n"))
    assert outcome(frame, shape(), ratio).code == "needs_unit_rows"


def test_a_variance_of_one_unit_may_be_empty():
    frame = pd.DataFrame({"arm": ARMS, "n": [1, 10], "m": [1.0, 2.0], "v": [None, 1.0]})
    assert outcome(frame, shape(columns={"x": MomentColumns(mean="m", variance="v")}), needs("x"), "control").moments.cross[0, 0] == 0


@pytest.mark.parametrize(
    ("change", "form", "code"),
    [
        ({"n": [0, 10]}, "successes", "bad_count"),
        ({"n": [None, 10]}, "successes", "bad_count"),
        ({"n": [9.5, 10]}, "successes", "bad_count"),
        ({"hits": [11, 3]}, "successes", "bad_count"),
        ({"hits": [-1, 3]}, "successes", "bad_count"),
        ({"v": [-0.1, 1]}, "moments", "bad_variance"),
        ({"v": [math.inf, 1]}, "moments", "infinite_value"),
        ({"m": [1.5, 0.5]}, "moments", "bad_mean"),
        ({"ss": [0.1, 3]}, "sums", "bad_variance"),
    ],
)
def test_impossible_numbers_are_refused(change, form, code):
    frame = pd.DataFrame({"arm": ARMS, "n": [10, 10], "hits": [3, 4], "m": [0.3, 0.4], "v": [0.2, 0.2], "ss": [3, 4]} | change)
    forms = {
        "successes": MomentColumns(successes="hits"),
        "moments": MomentColumns(mean="m", variance="v"),
        "sums": MomentColumns(sum="hits", sum_squares="ss"),
    }
    with pytest.raises(DataError) as error:
        outcome(frame, shape(columns={"b": forms[form]}), needs("b", "binary"))
    assert error.value.code == code


def test_columns_must_be_named_and_be_there():
    frame = pd.DataFrame({"arm": ARMS, "n": [10, 10], "x": [1, 2], "t": ["a", "b"]})
    with pytest.raises(SpecError, match="must name the columns"):
        outcome(frame, shape(), needs("x"))
    with pytest.raises(UnknownNameError, match="No column named 'y'"):
        outcome(frame, shape(columns={"x": MomentColumns(successes="y")}), needs("x"))
    with pytest.raises(DataError, match="must hold numbers"):
        outcome(frame, shape(columns={"x": MomentColumns(successes="t")}), needs("x"))
    with pytest.raises(DataError, match="No row is of an arm"):
        outcome(frame.assign(arm="other"), shape(columns={"x": MomentColumns(successes="x")}), needs("x"))
