"""Interactions from specs and real data (issue: resume_callbacks, Hillstrom), and how units are brought together."""

from __future__ import annotations

import datetime as dt
import json

import duckdb
import numpy as np
import pandas as pd
import psycopg
import pytest

from fairtrial import parse_spec
from fairtrial.analysis.interactions import Located, analyze_interaction, overlap_in_time, read_pair, scan_interactions
from fairtrial.errors import DataError, UsageError
from fairtrial.stats.interactions import MeanCells, two_way_interaction
from fairtrial.stats.moments import Moments


def spec_of(key, source, arm, arms, metric, **more):
    given = {
        "key": key,
        "arms": arms,
        "control": arms[0],
        "metrics": [metric if isinstance(metric, dict) else {"key": metric, "kind": "proportion"}],
        "data": {"source": str(source), "unit": "unit", "arm": arm, **more.pop("data", {})},
        **more,
    }
    return Located(spec=parse_spec(given))


@pytest.fixture(scope="module")
def resumes(real_data, tmp_path_factory):
    source = real_data / "resume_callbacks.csv.gz"
    path = tmp_path_factory.mktemp("resume_pair") / "resumes.parquet"
    query = f"SELECT row_number() OVER () AS unit, ethnicity, quality, CAST(call = 'yes' AS INTEGER) AS called FROM read_csv('{source}')"
    duckdb.sql(f"COPY ({query}) TO '{path}'")
    return path, json.loads((real_data / "expected" / "resume_callbacks.json").read_text(encoding="utf-8"))


def test_resume_callbacks_two_by_two_in_25(resumes):
    """Names and quality as two experiments on the same resumes: the cells and the interaction of the reference."""
    path, expected = resumes
    a = spec_of("name", path, "ethnicity", ["cauc", "afam"], "called")
    b = spec_of("quality", path, "quality", ["low", "high"], "called")
    found = analyze_interaction(a, b)
    assert found.overlap.jaccard == 1.0
    assert found.overlap.intersection == 4870
    wanted = expected["interaction_lpm_hc1"]["afam:high"]
    row = found.tests[0]
    assert row.interaction == pytest.approx(wanted["coef"], rel=1e-8)
    assert (row.ci_high - row.ci_low) / 2 / 1.959964 == pytest.approx(wanted["se"], rel=1e-3), "HC1 beside unpooled"
    assert row.p_value == pytest.approx(wanted["p"], abs=0.01)
    assert found.interaction.has_interaction is False
    assert found.risk == "medium"
    assert row.smallest_visible == pytest.approx(2.8016 * wanted["se"], rel=1e-3)


@pytest.fixture(scope="module")
def hillstrom(real_data, tmp_path_factory):
    source = real_data / "hillstrom.csv.gz"
    path = tmp_path_factory.mktemp("hillstrom_pair") / "hillstrom.parquet"
    query = f"SELECT row_number() OVER () AS unit, * FROM read_csv('{source}')"
    duckdb.sql(f"COPY ({query}) TO '{path}'")
    return path, json.loads((real_data / "expected" / "hillstrom.json").read_text(encoding="utf-8"))["heterogeneity"]


@pytest.mark.parametrize(("other", "column"), [("newbie", "newbie"), ("womens", "womens"), ("mens", "mens")])
def test_hillstrom_email_by_customer(hillstrom, other, column):
    """E-mail against who got it; one row each of both e-mails, as in the reference."""
    path, expected = hillstrom
    email = spec_of("email", path, "segment", ["No E-Mail", "Mens E-Mail", "Womens E-Mail"], "visit")
    customer = spec_of(other, path, column, ["0", "1"], "visit")
    rows = {row.treatment: row for row in analyze_interaction(email, customer).tests if row.tested_experiment_id == "email"}
    for treatment in ("Mens E-Mail", "Womens E-Mail"):
        name = f"{treatment} visit by {other}"
        if name not in expected:
            continue
        wanted = next(iter(expected[name]["interaction_lpm_hc1"].values()))
        row = rows[treatment]
        assert row.interaction == pytest.approx(wanted["coef"], rel=1e-7)
        assert (row.ci_high - row.ci_low) / 2 / 1.959964 == pytest.approx(wanted["se"], rel=1e-3)
        if wanted["p"] > 1e-6:
            assert row.p_value == pytest.approx(wanted["p"], abs=0.005)
        else:
            assert row.p_value < 1e-15
        if "subgroups" in expected[name]:
            for level, arm in zip(("0", "1"), row.arms, strict=True):
                cell = expected[name]["subgroups"][level]
                assert [arm.n_control, arm.n_treatment, arm.conversions_control, arm.conversions_treatment] == [
                    cell["n_control"], cell["n_treatment"], cell["x_control"], cell["x_treatment"],
                ]  # fmt: skip
                assert arm.effect == pytest.approx(cell["diff"], rel=1e-8)


def test_hillstrom_scan_names_the_one_real_interaction(hillstrom):
    path, _ = hillstrom
    email = spec_of("email", path, "segment", ["No E-Mail", "Mens E-Mail", "Womens E-Mail"], "visit")
    others = [spec_of(name, path, name, ["0", "1"], "visit") for name in ("newbie", "womens")]
    found = scan_interactions([email, *others])
    by_pair = {(entry.experiment_a_id, entry.experiment_b_id): entry for entry in found.entries}
    assert by_pair["email", "womens"].has_interaction is True
    assert by_pair["email", "womens"].overall_risk == "high"
    assert by_pair["email", "newbie"].has_interaction is False
    assert (found.method, found.counted_in) == ("exact", "duckdb")


def made(rng, units, low, high):
    """A table of `units` units with ids in [low, high), two arms and two outcomes."""
    ids = rng.choice(np.arange(low, high), size=units, replace=False)
    frame = pd.DataFrame({"unit": ids, "arm": np.where(rng.random(units) < 0.5, "control", "treatment")})
    frame["converted"] = (rng.random(units) < 0.3).astype(int)
    frame["value"] = 1e9 + rng.normal(5.0, 2.0, units)
    return frame


@pytest.fixture
def tables():
    rng = np.random.default_rng(17)
    return [made(rng, 4000, low, high) for low, high in ((0, 6000), (1000, 7000), (3000, 9000))]


def by_hand(a, b, column):
    joined = a.merge(b, on="unit", suffixes=("_a", "_b"))
    return joined.groupby(["arm_a", "arm_b"])[f"{column}_a"].agg(["count", "mean", "var"])


def write(tables, folder, kind):
    names = []
    if kind == "one_database":
        with duckdb.connect(str(folder / "all.duckdb")) as connection:
            for place, frame in enumerate(tables):
                connection.register("frame", frame)
                connection.execute(f"CREATE TABLE t{place} AS SELECT * FROM frame")
                names.append(("duckdb:///all.duckdb", {"table": f"t{place}"}))
        return names
    for place, frame in enumerate(tables):
        written = frame.assign(unit=frame["unit"].astype(str)) if place == 1 else frame
        written.to_parquet(folder / f"t{place}.parquet")
        names.append((f"t{place}.parquet", {}))
    return names


@pytest.mark.parametrize("kind", ["one_database", "files"])
def test_cells_are_those_of_a_join_by_hand(tables, tmp_path, kind):
    """Experiments in one database are joined there; those in files of their own, ids as text or number, side by side."""
    metric = {"key": "value", "kind": "mean"}
    located = [
        Located(spec=spec_of(f"e{place}", source, "arm", ["control", "treatment"], metric, data=more).spec, base=tmp_path)
        for place, (source, more) in enumerate(write(tables, tmp_path, kind))
    ]
    cells = read_pair(located[0], located[1])
    wanted = by_hand(tables[0], tables[1], "value")
    assert cells.n.ravel().tolist() == wanted["count"].tolist()
    assert cells.outcome_a.mean.ravel() == pytest.approx(wanted["mean"].to_numpy(), rel=1e-12)
    spread = cells.outcome_a.m2 / (cells.n - 1)
    assert spread.ravel() == pytest.approx(wanted["var"].to_numpy(), rel=1e-7)
    assert cells.a.n == 4000
    scan = scan_interactions(located)
    assert [(entry.experiment_a_id, entry.experiment_b_id) for entry in scan.entries] == [("e0", "e1"), ("e0", "e2"), ("e1", "e2")]
    assert scan.entries[0].shared_users == wanted["count"].sum()
    alone = analyze_interaction(located[0], located[1]).tests[0]
    assert scan.entries[0].p_value == pytest.approx(min(row.p_value for row in analyze_interaction(located[0], located[1]).tests))
    m = {
        f"a{i}b{j}": Moments(n=int(cells.n[i, j]), mean=float(cells.outcome_a.mean[i, j]), m2=float(cells.outcome_a.m2[i, j]))
        for i in (0, 1)
        for j in (0, 1)
    }
    assert alone.p_value == pytest.approx(two_way_interaction(MeanCells(**m)).p_value)


def test_a_database_elsewhere_counts_by_itself_and_says_the_same(tables, tmp_path, postgres_url):
    """One self-join in Postgres, and units numbered in the embedded engine: the same entries."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        for place, frame in enumerate(tables):
            connection.execute(f"CREATE TABLE t{place} (unit text, arm text, converted integer, value double precision)")
            with connection.cursor().copy(f"COPY t{place} FROM STDIN") as copy:
                for row in frame.itertuples(index=False):
                    copy.write_row([str(row.unit), row.arm, row.converted, row.value])
    there = [spec_of(f"e{p}", postgres_url, "arm", ["control", "treatment"], "converted", data={"table": f"t{p}"}) for p in range(3)]
    here = [plain(tmp_path, tables, key=f"e{place}", place=place) for place in range(3)]
    pushed, counted = scan_interactions(there), scan_interactions(here)
    assert (pushed.counted_in, counted.counted_in) == ("postgresql", "duckdb")
    for one, other in zip(pushed.entries, counted.entries, strict=True):
        for name in one.__slots__:
            value = getattr(one, name)
            assert getattr(other, name) == (pytest.approx(value) if isinstance(value, float) else value)


def plain(tmp_path, tables, *, key="a", place=0, metric="converted", data=None, **more):
    path = tmp_path / f"{key}.parquet"
    tables[place].to_parquet(path)
    return spec_of(key, path, "arm", ["control", "treatment"], metric, data=data or {}, **more)


def test_pairs_of_one_group_or_apart_in_time_are_listed_and_not_tested(tables, tmp_path):
    early = {"schedule": {"start": "2026-01-01", "end": "2026-02-01"}}
    late = {"schedule": {"start": "2026-02-01"}}
    a = plain(tmp_path, tables, key="a", exclusion_group="checkout", **early)
    b = plain(tmp_path, tables, key="b", place=1, exclusion_group="checkout")
    c = plain(tmp_path, tables, key="c", place=2, **late)
    found = scan_interactions([a, b, c])
    assert [entry.unavailable_reason for entry in found.entries] == ["mutual_exclusion_group", "not_concurrent", None]
    assert [entry.mutual_exclusion_group_id for entry in found.entries] == ["checkout", None, None]
    assert found.entries[0].shared_users > 0, "shared all the same, and said"
    assert overlap_in_time(a.spec, c.spec) is False
    assert overlap_in_time(b.spec, c.spec) is True
    assert c.spec.schedule.start == dt.datetime(2026, 2, 1, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    "metric",
    [
        {"key": "value", "kind": "ratio", "numerator": "value", "denominator": "converted"},
        {"key": "value", "kind": "quantile", "q": 0.5},
        {"key": "value", "kind": "mean", "winsorize": 0.99},
        {"key": "value", "kind": "mean", "test": "mann_whitney"},
        {"key": "gap", "kind": "mean", "missing": "drop"},
    ],
    ids=["ratio", "quantile", "winsorized", "ranks", "missing_dropped"],
)
def test_metrics_that_cells_cannot_hold_say_so_in_26(tables, tmp_path, metric):
    tables[0]["gap"] = tables[0]["value"].where(tables[0].index > 3)
    found = analyze_interaction(plain(tmp_path, tables, metric=metric), plain(tmp_path, tables, key="b", place=1))
    assert found.tests[0].unavailable_reason == "unsupported_metric"
    assert found.interaction.has_interaction is None
    assert found.interaction.unavailable_reason == "unsupported_metric"


def test_missing_values_count_as_zero_or_are_an_error(tables, tmp_path):
    tables[0]["gap"] = tables[0]["value"].where(tables[0].index % 2 == 0)
    zero = plain(tmp_path, tables, metric={"key": "gap", "kind": "mean", "missing": "zero"})
    other = plain(tmp_path, tables, key="b", place=1)
    cells = read_pair(zero, other)
    joined = tables[0].merge(tables[1], on="unit", suffixes=("_a", "_b"))
    wanted = joined["gap"].fillna(0.0).groupby([joined["arm_a"], joined["arm_b"]]).mean()
    assert cells.outcome_a.mean.ravel() == pytest.approx(wanted.to_numpy())
    strict = plain(tmp_path, tables, metric={"key": "gap", "kind": "mean"})
    with pytest.raises(DataError, match="2,000 are missing"):
        read_pair(strict, other)


def test_what_cannot_be_compared_is_refused_in_words(tables, tmp_path):
    a, b = plain(tmp_path, tables), plain(tmp_path, tables, key="b", place=1)
    with pytest.raises(UsageError, match="Two different experiments"):
        analyze_interaction(a, a)
    with pytest.raises(UsageError, match="named once"):
        scan_interactions([a, a])
    nameless = Located(spec=a.spec.model_copy(update={"data": a.spec.data.model_copy(update={"unit": None})}))
    with pytest.raises(UsageError, match="Units must be named"):
        analyze_interaction(nameless, b)
    with pytest.raises(UsageError, match="needs two experiments"):
        scan_interactions([nameless, b])
    skipping = scan_interactions([nameless, b, plain(tmp_path, tables, key="c", place=2)])
    assert list(skipping.skipped) == ["a"]
    tables[0] = pd.concat([tables[0], tables[0].head(1)])
    with pytest.raises(DataError, match="one row"):
        analyze_interaction(plain(tmp_path, tables), b)
    tables[0]["converted"] = 2
    with pytest.raises(DataError, match="must be 0 or 1"):
        analyze_interaction(plain(tmp_path, [tables[0].drop_duplicates("unit")]), b)


def test_units_in_two_arms_are_left_out(tables, tmp_path):
    torn = tables[0].head(1).assign(arm=lambda frame: np.where(frame["arm"] == "control", "treatment", "control"))
    both = plain(tmp_path, [pd.concat([tables[0], torn])])
    assert read_pair(both, plain(tmp_path, tables, key="b", place=1)).a.n == 3999
