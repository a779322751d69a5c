"""The contract of segments: on every engine the arms of every level equal the reference, and the whole is what it is without (XC-34)."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from test_contract import ARMS, assert_same, assert_same_outcome, need, sample, size_of
from test_contract_of_units import assert_same_details, assert_same_moments, of_units

from fairtrial.errors import DataError, UnknownNameError, UsageError
from fairtrial.metrics.needs import Column, Needs
from fairtrial.spec.data import AggregatesData, MomentColumns, UnitsData
from fairtrial.spec.segments import SegmentsSpec
from fairtrial.stats.reading import OutcomeStats, Reading
from fairtrial.warehouse import read, read_frame, segments
from fairtrial.warehouse.memory import read_rows

NEEDS = (
    need("x", missing="drop", covariate="x0"),
    need("b", values="binary", covariate="b0"),
    need("cnt", values="nonnegative", winsorize=0.9),
    Needs(metric="r", missing="error", outcome=Column(source="cnt"), denominator=Column(source="den")),
)


def assert_same_segments(found: Reading, expected: Reading) -> None:
    assert [segment.column for segment in found.segments] == [segment.column for segment in expected.segments]
    for got, wanted in zip(found.segments, expected.segments, strict=True):
        levels = [(level.name, level.kind, level.pooled) for level in got.levels]
        assert levels == [(level.name, level.kind, level.pooled) for level in wanted.levels]
        for mine, true in zip(got.levels, wanted.levels, strict=True):
            for arm, stats in true.arms.items():
                where = f"{wanted.column}/{true.name}/{arm}"
                assert mine.arms[arm].n == stats.n, where
                for metric, outcome in stats.outcomes.items():
                    one = mine.arms[arm].outcomes[metric]
                    assert_same_outcome(one, outcome, f"{where}/{metric}", size_of(expected, metric))
                    if isinstance(outcome, OutcomeStats):
                        assert_same_moments(one.stratified, outcome.stratified, where)


def check(engine, columns, needs, asked: SegmentsSpec, **options) -> Reading:
    table = pa.table(columns)
    data = UnitsData(source=engine.load({"by_segment": table}), table="by_segment", **options)
    found, expected = read(data, needs, ARMS, segments=asked), read_rows({"by_segment": table.to_pylist()}, data, needs, ARMS, asked)
    assert_same(found, expected)
    assert_same_details(found, expected)
    assert_same_segments(found, expected)
    plain = read(data, needs, ARMS)
    assert {**plain.intake.unknown_arms} == found.intake.unknown_arms
    assert plain.intake.rows == found.intake.rows
    return found


def people(n: int = 900) -> dict[str, object]:
    rng = np.random.default_rng(12)
    columns = sample(n=n)
    columns["arm"] = [(*ARMS, "other")[i] for i in rng.integers(0, 3, n)]
    columns["country"] = [("it", "de", "fr", 'l\'île "é"', None)[i] for i in rng.choice(5, n, p=[0.4, 0.3, 0.15, 0.05, 0.1])]
    columns["age"] = rng.integers(1, 4, n).tolist()
    columns["new"] = [("y", "n")[i] for i in rng.integers(0, 2, n)]
    columns["x"] = [None if i % 6 == 0 else float(v) + (1e6 if columns["country"][i] == "it" else 0.0) for i, v in enumerate(columns["x"])]
    return columns


def test_every_level_of_every_column_out_of_one_scan(engine):
    found = check(engine, people(), NEEDS, SegmentsSpec(columns=("country", "age"), max_levels=3))
    country, age = found.segments
    assert [level.kind for level in country.levels] == ["value", "value", "value", "missing", "other"]
    assert [level.name for level in country.levels][-2:] == ["(missing)", "(other)"]
    assert len(age.levels) == 3
    for column in found.segments:
        for arm in ARMS:
            assert sum(level.arms[arm].n for level in column.levels) == found.arms[arm].n


def test_levels_are_post_stratified_like_the_whole(engine):
    check(engine, people(), NEEDS[:2], SegmentsSpec(columns=("age",)), strata=("new",), adjust="post_stratify")


def test_a_scan_for_each_column_gives_the_same_as_one_for_all(engine, monkeypatch):
    monkeypatch.setattr(segments, "MOST_CELLS", 12)
    check(engine, people(), NEEDS, SegmentsSpec(columns=("country", "age"), max_levels=3))


def test_units_in_two_arms_are_in_no_segment(engine):
    table = {
        "arm": ["control", "treatment"] * 12, "id": [*range(22), 1, 0], "c": ["a", "a", "b", "b"] * 6,
        "x": [float(i % 7) for i in range(24)],
    }  # fmt: skip
    found = check(engine, table, (need("x"),), SegmentsSpec(columns=("c",)), unit="id")
    assert found.intake.units_in_two_arms == 2
    assert sum(stats.n for level in found.segments[0].levels for stats in level.arms.values()) == found.intake.units == 20


def test_tests_of_units_are_not_read_by_segment_and_say_so(engine):
    table = pa.table({"arm": ["control", "treatment"] * 60, "c": ["a", "b", "b"] * 40, "x": [float(i % 7) for i in range(120)]})
    data = UnitsData(source=engine.load({"rows_too": table}), table="rows_too")
    needs = (need("x"), of_units("y", column="x", rows=True), of_units("z", column="x", quantile=0.5))
    found = read(data, needs, ARMS, segments=SegmentsSpec(columns=("c",)))
    assert_same_details(found, read(data, needs, ARMS))
    for level in found.segments[0].levels:
        outcomes = level.arms["control"].outcomes
        assert isinstance(outcomes["x"], OutcomeStats)
        assert {outcomes["y"].code, outcomes["z"].code} == {"not_by_segment"}
    alone = read(data, needs[1:2], ARMS, segments=SegmentsSpec(columns=("c",)))
    assert [level.arms["control"].n + level.arms["treatment"].n for level in alone.segments[0].levels] == [80, 40]


def test_data_keep_their_fingerprint_with_segments(engine):
    table = pa.table({"arm": ["control", "treatment"] * 60, "c": ["a", "b", "b"] * 40, "k": [i % 7 for i in range(120)]})
    data = UnitsData(source=engine.load({"of_totals": table}), table="of_totals")
    by_c, by_arm = read(data, (need("k"),), ARMS, segments=SegmentsSpec(columns=("c",))), read(data, (need("k"),), ARMS)
    assert by_c.arms["control"].outcomes["k"].moments.mean[0] == by_arm.arms["control"].outcomes["k"].moments.mean[0]
    assert by_c.intake.fingerprint == by_arm.intake.fingerprint


FRAME = pa.table({"arm": [*ARMS] * 60, "v": [i / 7 for i in range(120)], "id": list(range(120)), "x": [float(i % 5) for i in range(120)]})


def of_frame(asked: SegmentsSpec, **options) -> Reading:
    return read_frame(FRAME, UnitsData(source="memory", **options), (need("x"),), ARMS, segments=asked)


def test_a_segment_must_be_a_category_that_is_there(monkeypatch):
    with pytest.raises(UnknownNameError):
        of_frame(SegmentsSpec(columns=("nowhere",)))
    with pytest.raises(UsageError, match="A segment must be a category") as fractions:
        of_frame(SegmentsSpec(columns=("v",)))
    assert fractions.value.code == "wrong_type"
    monkeypatch.setattr(segments, "MOST_VALUES", 100)
    with pytest.raises(DataError, match="more than 100 different values") as ids:
        of_frame(SegmentsSpec(columns=("id",)))
    assert ids.value.code == "too_many_segments"


def test_more_cells_than_a_scan_holds_are_refused(monkeypatch):
    monkeypatch.setattr(segments, "MOST_CELLS", 5)
    with pytest.raises(DataError, match="at most 5") as error:
        of_frame(SegmentsSpec(columns=("id",)))
    assert error.value.code == "too_many_segments"


def test_unknown_arms_alone_are_refused_as_ever():
    with pytest.raises(DataError) as error:
        read_frame(FRAME, UnitsData(source="memory"), (need("x"),), ("a", "b"), segments=SegmentsSpec(columns=("id",)))
    assert error.value.code == "unknown_arms"


def test_ready_aggregates_have_no_segments():
    data = AggregatesData(source="memory", shape="aggregates", columns={"x": MomentColumns(successes="x")})
    with pytest.raises(UsageError, match="Segments are columns of a unit table"):
        read_frame(FRAME, data, (need("x"),), ARMS, segments=SegmentsSpec(columns=("c",)))
