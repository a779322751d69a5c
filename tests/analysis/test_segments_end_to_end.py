"""Segments from a file and a spec to reports: every level equals an analysis of that level alone (XC-34, AD-09)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
import yaml

import fairtrial as ft
from fairtrial import parse_spec
from fairtrial.analysis import analyze_spec
from fairtrial.stats.heterogeneity import cochran_q

PROGRAM = Path(sys.executable).parent / "fairtrial"
SPEC = """
key: checkout
arms: [control, treatment]
metrics:
  - {key: bought, kind: proportion, role: primary}
  - {key: spend, kind: mean, covariate: before, role: guardrail}
  - {key: per_visit, kind: ratio, numerator: spend, denominator: visits}
  - {key: median_spend, kind: quantile, column: spend, q: 0.5}
plan: {sample_size: 6000, practical_threshold: 0.02}
segments: {columns: [country, platform], max_levels: 3, min_units: 50}
data: {source: units.parquet, unit: id, arm: arm}
"""


def people(n: int = 6_000) -> pd.DataFrame:
    rng = np.random.default_rng(8)
    country = rng.choice(["de", "fr", "it", "se", "pt"], n, p=[0.4, 0.25, 0.2, 0.1, 0.05])
    treated = rng.random(n) < 0.5
    before = rng.gamma(2.0, 5.0, n)
    return pd.DataFrame(
        {
            "id": np.arange(n),
            "arm": np.where(treated, "treatment", "control"),
            "country": country,
            "platform": np.where(rng.random(n) < 0.1, None, rng.choice(["web", "app"], n)),
            "before": before,
            "visits": rng.integers(1, 5, n),
            "bought": (rng.random(n) < 0.3 + np.where(country == "it", -0.15, 0.08) * treated).astype(int),
            "spend": before + rng.normal(0, 2, n) + 0.3 * treated,
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("segments")
    frame = people()
    duckdb.from_df(frame).write_parquet(str(made / "units.parquet"))
    (made / "spec.yaml").write_text(SPEC, encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def card(folder) -> dict:
    done = subprocess.run(
        [PROGRAM, "analyze", "spec.yaml", "--json", "--report", "report.html"],
        cwd=folder, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr  # the whole: do not launch
    return json.loads(done.stdout)


def alone(folder: Path, column: str, level: str) -> dict:
    """The scorecard of one level by itself."""
    raw = yaml.safe_load(SPEC)
    raw.pop("segments")
    raw["data"]["where"] = {column: level}
    return analyze_spec(parse_spec(raw), base=folder).to_dict()


@pytest.mark.parametrize(("column", "level"), [("country", "de"), ("country", "it"), ("platform", "app")])
def test_a_level_is_what_an_analysis_of_it_alone_says(folder, card, column, level):
    by_itself = {row["metric"]: row["estimate"] for row in alone(folder, column, level)["comparisons"]}
    for row in (row for row in card["segments"]["comparisons"] if row["column"] == column and row["metric"] != "median_spend"):
        found = next(one["estimate"] for one in row["levels"] if one["level"] == level)
        for name in ("effect", "p_value", "std_error", "control", "treatment", "theta", "n_control", "n_treatment", "method"):
            expected = by_itself[row["metric"]][name]
            expected = pytest.approx(expected, rel=1e-8) if isinstance(expected, float) else expected
            assert found[name] == expected, (row["metric"], name)


def test_the_whole_is_what_it_is_without_segments(folder, card):
    raw = yaml.safe_load(SPEC)
    raw.pop("segments")
    plain = analyze_spec(parse_spec(raw), base=folder).to_dict()
    for ours, theirs in zip(card["comparisons"], plain["comparisons"], strict=True):
        assert ours["estimate"]["effect"] == pytest.approx(theirs["estimate"]["effect"], rel=1e-9)
        assert ours["estimate"]["interval"] == pytest.approx(theirs["estimate"]["interval"], rel=1e-9)
    assert card["decision"]["verdict"] == plain["decision"]["verdict"]
    assert card["intake"]["fingerprint"] == plain["intake"]["fingerprint"]


def test_what_the_scorecard_says_of_its_levels(card):
    country, platform = card["segments"]["columns"]
    assert [level["name"] for level in country["levels"]] == ["de", "fr", "it", "(other)"]
    assert country["levels"][-1]["pooled"] == 2
    assert {level["kind"] for level in platform["levels"]} == {"value", "missing"}
    rows = {(row["column"], row["metric"]): row for row in card["segments"]["comparisons"]}
    italy = rows["country", "bought"]["levels"][2]
    assert (italy["harm"], italy["reading"]) == ("hidden_regression", "worse")
    assert rows["country", "median_spend"]["unavailable"]["code"] == "not_by_segment"
    assert "hidden_regression" in {finding["code"] for finding in card["findings"]}
    assert rows["country", "spend"]["levels"][0]["estimate"]["method"] == "cuped_welch_t"


def test_whether_levels_differ_is_asked_of_the_adjusted_effects(card):
    """Cochran's Q of the levels' own CUPED effects and errors, as a reader may recompute it from the scorecard."""
    row = next(row for row in card["segments"]["comparisons"] if (row["column"], row["metric"]) == ("country", "spend"))
    read = [level["estimate"] for level in row["levels"]]
    expected = cochran_q([one["effect"] for one in read], [one["std_error"] for one in read])
    assert (row["differ"]["q"], row["differ"]["df"]) == (pytest.approx(expected.q, rel=1e-9), 3)
    assert [one["theta"] is not None for one in read] == [True] * 4


def test_the_reports_show_segments(folder, card):
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert card["segments"] is not None
    assert 'aria-label="By segment"' in page
    assert "hidden regression: significantly worse here" in page
    done = subprocess.run([PROGRAM, "analyze", "spec.yaml"], cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    told = " ".join(done.stdout.split())
    assert "By segment no verdict rests on them" in told
    assert "By country (other) holds the 2 rarer values." in told
    assert "it: hidden regression" in told


def test_post_stratified_levels_are_what_an_analysis_of_them_alone_says(folder):
    raw = yaml.safe_load(SPEC)
    raw["metrics"] = raw["metrics"][:2]
    raw["data"] |= {"strata": ["visits"], "adjust": "post_stratify"}
    whole = analyze_spec(parse_spec(raw), base=folder)
    raw.pop("segments")
    raw["data"]["where"] = {"country": "de"}
    by_itself = analyze_spec(parse_spec(raw), base=folder)
    for row in whole.segments.comparisons[:2]:
        assert row.levels[0].level == "de"
        expected = by_itself.comparison(row.metric).estimate
        assert row.levels[0].estimate.effect == pytest.approx(expected.effect, rel=1e-8)
        assert row.levels[0].estimate.p_value == pytest.approx(expected.p_value, rel=1e-8)
        assert row.levels[0].estimate.method == expected.method
        assert row.levels[0].estimate.method.startswith("post_stratified")


@pytest.mark.parametrize(
    "plan",
    [
        {"method": "group_sequential", "mde": 0.1, "baseline": 0.3},
        {"method": "group_sequential", "mde": 0.1, "baseline": 0.3, "alternative": "one-sided"},
        {"method": "always_valid", "always_valid": {"sequence": "bernoulli"}, "sample_size": 6000},
        {"method": "always_valid", "always_valid": {"sequence": "asymptotic"}, "sample_size": 6000},
        {"method": "hybrid", "mde": 0.1, "baseline": 0.3},
        {"method": "bayesian", "mde": 0.1, "baseline": 0.3},
    ],
    ids=["looks", "one-sided looks", "bernoulli", "asymptotic", "hybrid", "bayesian"],
)
def test_a_notebook_reads_segments_under_every_plan(plan):
    exact = "bernoulli" in str(plan)
    metrics = [ft.proportion("bought"), *([] if exact else [ft.mean("spend", role="guardrail")])]
    card = ft.analyze(people(), arm="arm", unit="id", metrics=metrics, segments=["country"], **plan)
    assert "hidden_regression" in {finding.code for finding in card.findings}
    for row in card.segments.comparisons:
        for level in row.levels:
            found = level.estimate
            if found is not None and found.p_adjusted is not None:
                assert (found.p_adjusted < 0.05) == found.interval.excludes(0.0)


def test_segments_without_a_column_are_refused_by_name(folder):
    with pytest.raises(ft.errors.UnknownNameError, match="contry"):
        ft.analyze(people(200), arm="arm", unit="id", metrics=[ft.proportion("bought")], segments=["contry"])
