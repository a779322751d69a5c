"""The contract of designs: pairs, strata of single metrics and covariates by unit equal the reference on every engine."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from test_contract import ARMS, assert_same, need, sample
from test_contract_of_units import assert_same_moments, of_units, with_ids

from fairtrial.errors import DataError, UnknownNameError
from fairtrial.metrics.needs import Column, Needs
from fairtrial.spec.data import UnitsData
from fairtrial.stats.reading import OutcomeStats, Reading
from fairtrial.warehouse import read, read_frame, strata, unit_rows
from fairtrial.warehouse.memory import read_rows


def check(engine, table: pa.Table, needs, arms=ARMS, **options) -> Reading:
    data = UnitsData(source=engine.load({"of_designs": table}), table="of_designs", **options)
    found, expected = read(data, needs, arms), read_rows({"of_designs": table.to_pylist()}, data, needs, arms)
    assert_same(found, expected)
    assert dict(found.intake.unpaired) == dict(expected.intake.unpaired)
    for arm, stats in expected.arms.items():
        for metric, wanted in stats.outcomes.items():
            if isinstance(wanted, OutcomeStats):
                assert_same_design(found.arms[arm].outcomes[metric], wanted, f"{arm}/{metric}")
    return found


def assert_same_design(got: OutcomeStats, wanted: OutcomeStats, where: str) -> None:
    assert (got.rows is None) == (wanted.rows is None), where
    if wanted.rows is not None:
        assert got.rows == pytest.approx(wanted.rows, rel=1e-12), where
    assert (got.by_stratum is None) == (wanted.by_stratum is None), where
    if wanted.by_stratum is not None:
        assert len(got.by_stratum) == len(wanted.by_stratum), where
        for one, other in zip(sorted(got.by_stratum), sorted(wanted.by_stratum), strict=True):
            assert_same_moments(got.by_stratum[one], wanted.by_stratum[other], where)


def paired_table(n: int = 60, *, text: bool = True) -> pa.Table:
    """Pairs in no order; every tenth lacks its control, every fifteenth its treatment, some rows name no pair or an unknown arm."""
    rng = np.random.default_rng(2)
    rows = [
        {"pair": f"paire {i}" if text else i, "arm": arm, "x": float(rng.normal(50.0, 4.0) + i), "hit": int(rng.random() < 0.5)}
        for i in range(n)
        for arm in ARMS
        if not (arm == ARMS[0] and i % 10 == 0) and not (arm == ARMS[1] and i % 15 == 7)
    ]
    rows += [{"pair": None, "arm": "control", "x": 1.0, "hit": 0}, {"pair": rows[3]["pair"], "arm": "other", "x": 2.0, "hit": 1}]
    rows += [{"pair": rows[5]["pair"], "arm": None, "x": 3.0, "hit": 1}]
    return pa.Table.from_pylist([rows[i] for i in rng.permutation(len(rows))])


PAIRED = (
    of_units("x", rows=True, paired=True),
    Needs(metric="hit", missing="error", outcome=Column(source="hit", values="binary"), rows=True, paired=True),
)


@pytest.mark.parametrize("text", [True, False])
def test_complete_pairs_stand_side_by_side_and_the_others_are_counted(engine, text):
    found = check(engine, paired_table(text=text), PAIRED, pair="pair")
    own, other = (found.arms[arm].outcomes["x"].rows for arm in ARMS)
    assert own.shape == other.shape == (50, 1)
    assert np.abs(own - other).max() < 25.0, "the pairs' levels run from 50 to 110: rows of two pairs would be further apart"
    assert dict(found.intake.unpaired) == {"control": 5, "treatment": 6}
    assert (found.intake.rows_without_arm, dict(found.intake.unknown_arms), found.intake.units_checked) == (1, {"other": 1}, True)
    assert (found.intake.rows, found.intake.units) == (113, 100)


def test_a_value_missing_in_one_unit_leaves_its_pair_out_of_that_metric(engine):
    table = paired_table()
    values = [None if i % 9 == 0 else v for i, v in enumerate(table["x"].to_pylist())]
    table = table.set_column(table.schema.get_field_index("x"), "x", pa.array(values))
    found = check(engine, table, (of_units("x", missing="drop", rows=True, paired=True), PAIRED[1]), pair="pair")
    assert found.arms[ARMS[0]].outcomes["x"].rows.shape == found.arms[ARMS[1]].outcomes["x"].rows.shape
    assert found.arms[ARMS[0]].outcomes["x"].rows.shape[0] < found.arms[ARMS[0]].outcomes["hit"].rows.shape[0] == 50


def test_pairs_of_units_with_ids_and_arms_of_numbers(engine):
    rng = np.random.default_rng(1)
    table = pa.table({"arm": [1, 2] * 40, "id": list(range(80)), "pair": np.repeat(np.arange(40), 2), "x": rng.normal(size=80)})
    check(engine, table, (of_units("x", rows=True, paired=True),), ("1", "2"), unit="id", pair="pair")


def test_several_rows_of_a_pair_in_one_arm_are_refused(engine):
    table = pa.concat_tables([paired_table(), paired_table().filter(pa.array([i in {0, 1, 2} for i in range(113)]))])
    data = UnitsData(source=engine.load({"of_designs": table}), table="of_designs", pair="pair")
    with pytest.raises(DataError, match="have several rows in one") as error:
        read(data, PAIRED, ARMS)
    assert error.value.code == "repeated_pairs"


def test_data_without_a_complete_pair_is_refused():
    table = pa.table({"arm": ["control", "treatment"] * 5, "pair": list(range(10)), "x": [1.0] * 10, "hit": [0] * 10})
    data = UnitsData(source="memory", pair="pair")
    with pytest.raises(DataError, match="No pair has a row in each arm") as error:
        read_frame(table, data, PAIRED, ARMS)
    assert error.value.code == "no_pairs"
    with pytest.raises(UnknownNameError, match="couple"):
        read_frame(table, UnitsData(source="memory", pair="couple"), PAIRED, ARMS)


def test_no_more_pairs_leave_the_engine_than_may(monkeypatch):
    monkeypatch.setattr(unit_rows, "MOST_UNITS", 99)
    with pytest.raises(DataError, match=r"at most 99 units, there are 100") as error:
        read_frame(paired_table(), UnitsData(source="memory", pair="pair"), PAIRED, ARMS)
    assert error.value.code == "too_many_units"


@pytest.mark.parametrize("missing", ["zero", "drop"])
def test_covariates_leave_the_engine_beside_their_outcome(engine, missing):
    columns = with_ids(sample())
    columns["x"] = [None if i % 5 == 0 else float(v) for i, v in enumerate(columns["x"])]
    columns["x0"] = [None if i % 7 == 0 else float(v) for i, v in enumerate(columns["x0"])]
    one = of_units(
        "x", missing=missing, rows=True, covariate_rows=True, covariate=Column(source="x0"), more_covariates=(Column(source="cnt"),)
    )
    found = check(engine, pa.table(columns), (one, of_units("x2", column="x", missing=missing, rows=True)), unit="id")
    assert found.arms["control"].outcomes["x"].rows.shape[1] == 3
    assert found.arms["control"].outcomes["x2"].rows.shape[1] == 1


def test_strata_of_one_metric_stand_beside_the_others(engine):
    columns = with_ids(sample())
    n = len(columns["arm"])
    columns["country"] = [("de", "fr", None)[i % 3] for i in range(n)]
    columns["new"] = [i % 2 == 0 for i in range(n)]
    stratified = Needs(metric="rate", missing="drop", outcome=Column(source="b", values="binary"), by_stratum=True)
    found = check(engine, pa.table(columns), (stratified, of_units("x", rows=True), need("x0")), unit="id", strata=("country", "new"))
    assert len(found.arms["control"].outcomes["rate"].by_stratum) == 6
    assert found.arms["control"].outcomes["x"].stratified is None
    assert found.intake.notes[-1] == "The arms were compared within 6 strata of country, new on rate."


def test_strata_beyond_the_bound_are_refused(monkeypatch):
    monkeypatch.setattr(strata, "MOST_CELLS", 5)
    table = pa.table({"arm": ["control", "treatment"] * 10, "b": [0, 1] * 10, "c": [i // 4 for i in range(20)]})
    asked = Needs(metric="rate", missing="error", outcome=Column(source="b", values="binary"), by_stratum=True)
    with pytest.raises(DataError, match="at most 5") as error:
        read_frame(table, UnitsData(source="memory", strata=("c",)), (asked,), ARMS)
    assert error.value.code == "too_many_strata"
