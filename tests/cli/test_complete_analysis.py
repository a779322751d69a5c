"""XC-21, XC-29, XC-49: analyze --complete, a folder of reports, an analysis as of a past day."""

import csv
import json
import xml.etree.ElementTree as ET

import duckdb
import numpy as np
import pandas as pd
import pytest
import yaml

from fairtrial.analysis import quick_analysis
from fairtrial.cli.app import main
from fairtrial.reports import render_markdown
from fairtrial.reports.executive import executive_markdown, executive_page, executive_summary
from fairtrial.spec import parse_spec

SPEC = {
    "key": "checkout",
    "hypothesis": "One page is easier than three",
    "arms": {"control": 0.5, "treatment": 0.5},
    "metrics": [
        {"key": "bought", "kind": "proportion", "role": "primary"},
        {"key": "refunded", "kind": "proportion", "role": "guardrail", "direction": "decrease", "margin": 0.1, "margin_kind": "relative"},
        {"key": "spend", "kind": "mean", "role": "secondary"},
    ],
    "plan": {"baseline": 0.2, "mde": 0.2, "sample_size": 4000},
    "data": {"source": "units.parquet", "unit": "user"},
}


def run(*arguments):
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    return stop.value.code


def units(n=4000, seed=2, lift=0.3):
    rng = np.random.default_rng(seed)
    arm = np.where(np.arange(n) % 2 == 0, "control", "treatment")
    bought = rng.random(n) < np.where(arm == "treatment", 0.2 * (1 + lift), 0.2)
    return pd.DataFrame(
        {
            "user": [f"ü{i}" for i in range(n)],
            "arm": arm,
            "bought": bought.astype(int),
            "refunded": (rng.random(n) < 0.05).astype(int),
            "spend": bought * rng.gamma(2, 20, n),
        }
    )


@pytest.fixture
def shop(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    units().to_parquet("units.parquet")
    (tmp_path / "checkout.yaml").write_text(yaml.safe_dump(SPEC), encoding="utf-8")
    return tmp_path


def test_a_folder_holds_every_form_of_one_result(shop, capsys):
    """XC-21: report, executive summary, rows for the dashboard and the charts; all say the same."""
    assert run("analyze", "checkout.yaml", "--complete", "--report-dir", "out/reports") == 0
    said = capsys.readouterr()
    assert "Mann-Whitney U" in said.out
    assert "one variant per unit" in said.out
    folder = shop / "out" / "reports"
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()) == [
        "analysis.json",
        "charts/distributions.svg",
        "charts/effect_size_ci.svg",
        "charts/primary_comparison.svg",
        "dashboard.csv",
        "dashboard.json",
        "executive_summary.html",
        "executive_summary.md",
        "report.html",
        "report.md",
        "scorecard.json",
    ]
    card = json.loads((folder / "scorecard.json").read_text())
    made = json.loads((folder / "analysis.json").read_text())
    rows = list(csv.DictReader((folder / "dashboard.csv").read_text().splitlines()))
    effect = card["comparisons"][0]["estimate"]["effect"]
    assert made["statistical_results"]["effect_sizes"]["absolute_difference"] == effect
    assert float(rows[0]["effect"]) == effect
    assert json.loads((folder / "dashboard.json").read_text())[0]["effect"] == pytest.approx(effect, rel=1e-14)
    assert {row["verdict"] for row in rows} == {made["recommendation"]["decision"]} == {card["decision"]["verdict"]}
    page = (folder / "report.html").read_text()
    for name, shown in (("distributions", True), ("primary_comparison", True), ("effect_size_ci", False)):
        drawn = (folder / "charts" / f"{name}.svg").read_text().strip()
        assert (drawn in page) is shown, name
    for chart in (folder / "charts").iterdir():
        assert ET.fromstring(chart.read_text()).tag.endswith("svg")
    assert card["decision"]["verdict"].replace("_", " ") in (folder / "report.md").read_text()


def test_earlier_looks_are_drawn(shop):
    assert run("analyze", "checkout.yaml", "--scorecard", "first.json") == 0
    assert run("analyze", "checkout.yaml", "--previous", "first.json", "--report-dir", "out") == 0
    assert "look 2" in (shop / "out" / "charts" / "cumulative_effect.svg").read_text()
    assert run("analyze", "checkout.yaml", "--previous", "first.json", "--complete", "--report", "page.html") == 0
    assert "look 2" in (shop / "page.html").read_text()
    assert run("analyze", "checkout.yaml", "--previous", "first.json", "--report", "plain.html") == 0
    assert 'class="charts"' not in (shop / "plain.html").read_text()


def test_a_folder_that_cannot_be_made_is_refused(shop, capsys):
    (shop / "taken").write_text("a file")
    assert run("analyze", "checkout.yaml", "--report-dir", "taken") == 2
    assert "Cannot make the folder" in capsys.readouterr().err


def test_complete_json_is_the_whole_analysis(shop, capsys):
    assert run("analyze", "checkout.yaml", "--complete", "--json") == 0
    made = json.loads(capsys.readouterr().out)
    assert {"experiment_info", "statistical_results", "secondary_metrics_analysis", "quality_checks", "recommendation"} <= set(made)
    assert made["statistical_results"]["significance_tests"]["mann_whitney"]["p_value"] <= 1


def test_an_executive_summary_answers_eight_questions():
    """XC-49."""
    made = quick_analysis(parse_spec({**SPEC, "data": {"source": "memory", "unit": "user"}}), data=units())
    summary = executive_summary(made.scorecard, made.quality)
    text = executive_markdown(summary)
    assert len(summary.executive_next_steps) == 3
    assert made.scorecard.decision.risk_level.capitalize() in summary.risk_assessment
    assert "refunded" in summary.risk_assessment
    assert "interval" in summary.key_finding
    assert "checks could be made" in summary.sample_quality
    for title in ("Bottom line", "Key finding", "How sure", "Quality of the data", "Business impact", "Risk", "When", "Next steps"):
        assert title in text
    page = executive_page(summary, made.scorecard)
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")


def test_untrusted_data_is_said_on_every_form():
    frame = units()
    frame = frame[(frame.arm == "control") | (np.arange(len(frame)) % 3 == 0)]
    made = quick_analysis(parse_spec({**SPEC, "data": {"source": "memory", "unit": "user"}}), data=frame)
    summary = executive_summary(made.scorecard, made.quality)
    assert made["recommendation"]["decision"] is None
    assert summary.untrusted
    assert "cannot be trusted" in summary.bottom_line_recommendation
    assert "Not before the data is sound" in summary.implementation_timeline
    assert "failed a check" in render_markdown(made.scorecard)
    assert made["quality_checks"]["status"] == "fail"


def test_names_are_not_markup():
    hostile = {**SPEC, "name": "<script>alert(1)</script> | *x*", "data": {"source": "memory", "unit": "user"}}
    made = quick_analysis(parse_spec(hostile), data=units())
    summary = executive_summary(made.scorecard, made.quality)
    assert "<script>" not in executive_page(summary, made.scorecard)
    assert "<script>" not in render_markdown(made.scorecard)


LOGS = {
    **{key: SPEC[key] for key in ("arms", "plan")},
    "key": "logged",
    "metrics": [{"key": "bought", "kind": "proportion", "column": {"fact": "orders"}}],
    "data": {
        "source": "duckdb:///shop.db",
        "assignments": {"table": "assigned", "unit": "unit", "arm": "arm", "time": "at"},
        "facts": {"orders": {"table": "orders", "unit": "unit", "time": "at"}},
    },
}


@pytest.fixture
def logged(tmp_path, monkeypatch):
    """Units assigned over March, 40 a day; every third orders the day after."""
    monkeypatch.chdir(tmp_path)
    days = np.repeat(np.arange(31), 40)
    start = pd.Timestamp("2026-03-01T08:00:00") + pd.to_timedelta(days, unit="D")
    assigned = pd.DataFrame({"unit": [f"u{i}" for i in range(days.size)], "arm": ["control", "treatment"] * (days.size // 2), "at": start})
    orders = assigned.iloc[::3][["unit", "at"]].assign(at=lambda t: t["at"] + pd.Timedelta(days=1))
    with duckdb.connect("shop.db") as connection:
        connection.register("a", assigned)
        connection.register("o", orders)
        connection.execute("create table assigned as select * from a")
        connection.execute("create table orders as select * from o")
    (tmp_path / "logged.yaml").write_text(yaml.safe_dump(LOGS), encoding="utf-8")
    return assigned, orders


@pytest.mark.parametrize("day", [9, 10, 30])
def test_a_reference_date_reads_logs_to_its_end_and_no_further(logged, capsys, day):
    """XC-29: the last day belongs to the window, the next one does not."""
    assigned, orders = logged
    run("analyze", "logged.yaml", "--reference-date", f"2026-03-{day:02d}", "--complete", "--json")
    made = json.loads(capsys.readouterr().out)
    end = pd.Timestamp("2026-03-01") + pd.Timedelta(days=day)
    inside = assigned[assigned["at"] < end]
    bought = orders[(orders["at"] < end) & orders["unit"].isin(inside["unit"])].unit.nunique()
    summary = made["statistical_results"]["data_summary"]
    assert made["statistical_results"]["metadata"]["total_sample_size"] == len(inside)
    assert round(sum(arm["n"] * arm["mean"] for arm in summary.values())) == bought
    later = int((assigned["at"] >= end).sum() + (orders["at"] >= end).sum())
    future = next(check for check in made["quality_checks"]["checks"] if check["name"] == "future_dates")
    assert future["status"] == ("fail" if later else "pass")
    assert (f"{later:,}" in future["message"]) or not later


def test_without_a_moment_the_whole_log_is_read(logged, capsys):
    run("analyze", "logged.yaml", "--json")
    card = json.loads(capsys.readouterr().out)
    assert sum(arm["n"] for arm in card["arms"]) == len(logged[0])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--reference-date", "2026-3-1"), "YYYY-MM-DD"),
        (("--reference-date", "2026-03-01", "--as-of", "2026-03-01"), "both were given"),
        (("--reference-date", "0001-01-01"), "between the years"),
    ],
)
def test_a_wrong_day_is_refused(shop, capsys, options, said):
    assert run("analyze", "checkout.yaml", *options) == 2
    assert said in capsys.readouterr().err


def test_a_result_is_stored_and_the_warehouse_checked(shop, capsys):
    """XC-21, XC-28."""
    assert run("validate", "--warehouse", "duckdb:///results.duckdb", "--json") == 0
    assert [table["exists"] for table in json.loads(capsys.readouterr().out)["tables"]] == [False, False, False]
    for _ in range(2):
        assert (
            run("analyze", "checkout.yaml", "--reference-date", "2026-03-01", "--write-to-warehouse", "--warehouse", "results.duckdb") == 0
        )
    said = capsys.readouterr()
    assert "checkout_20260302T000000Z" in said.err
    assert "Other tests" not in said.out
    with duckdb.connect("results.duckdb") as connection:
        assert connection.execute("select count(*), sum(is_verdict::int) from int_experiment_results_primary").fetchall() == [(1, 1)]
        assert connection.execute("select count(*) from int_experiment_results_secondary").fetchall() == [(2,)]
        connection.execute("drop view v_experiment_guardrails")
        connection.execute("drop view v_experiment_latest")
        connection.execute("alter table int_experiment_results_primary drop column looks")
    assert run("validate", "--warehouse", "results.duckdb") == 1
    assert "looks is missing" in capsys.readouterr().out
    assert run("analyze", "checkout.yaml", "--write-to-warehouse", "--warehouse", "results.duckdb", "--json") == 1
    assert json.loads(capsys.readouterr().err.splitlines()[-1])["code"] == "wrong_schema"


def test_validate_asks_for_specs_or_a_warehouse(shop, capsys):
    assert run("validate") == 2
    assert run("validate", "checkout.yaml", "--warehouse", "x.duckdb") == 2
    assert "name one of them" in capsys.readouterr().err
