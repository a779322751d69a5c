"""operating-characteristics, aa and calibrate as a person or a script meets them (issue 3, G-17)."""

import contextlib
import io
import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from fairtrial.cli import main
from fairtrial.cli.calibrate import write_overview
from fairtrial.errors import UsageError
from fairtrial.simulation.calibration import all_studies, run_study, study_named

EXAMPLES = Path(__file__).parents[2] / "examples"
SPEC = """\
key: cart
arms: [control, treatment]
metrics: [{key: bought, kind: proportion, role: primary}, {key: spend, kind: mean, role: guardrail, margin: 1.0}]
plan: {baseline: 0.05, mde: 0.2}
data: {source: units.csv, unit: user}
"""


def fairtrial(*arguments, cwd):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(cwd), contextlib.redirect_stderr(err), contextlib.redirect_stdout(out), pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return subprocess.CompletedProcess(arguments, ended.value.code, out.getvalue(), err.getvalue())


@pytest.fixture
def shop(tmp_path):
    (tmp_path / "cart.yaml").write_text(SPEC, encoding="utf-8")
    rows = [f"u{i},control,{int(i % 20 == 0)},{(i * 7) % 23},s{i % 40}" for i in range(800)]
    (tmp_path / "units.csv").write_text("user,arm,bought,spend,shop\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return tmp_path


def test_oc_is_short_for_operating_characteristics(shop):
    long, short = (
        fairtrial(verb, "cart.yaml", "--runs", 100, "--effect", 0.2, "--json", cwd=shop) for verb in ("operating-characteristics", "oc")
    )
    assert (long.returncode, long.stdout) == (0, short.stdout)
    (answer,) = json.loads(long.stdout)["experiments"]
    assert answer["rows"][0]["effect"] == 0.2
    assert answer["missed_win_rate"]["n"] == 100
    assert "spend" in answer["assumptions"][1]


def test_the_terminal_shows_verdicts_costs_and_assumptions(shop):
    done = fairtrial("oc", "cart.yaml", "--runs", 200, "--baseline", "spend=11,6", "--looks", 3, "--daily-units", 500, cwd=shop)
    assert done.returncode == 0, done.stderr
    for said in (
        "Verdicts",
        "any launch",
        "exaggerated",
        "false launches",
        "missed wins",
        "days",
        "3 looks",
        "Units behave as the plan says",
    ):
        assert said in done.stdout


def test_the_page_is_whole_and_asks_nobody(shop):
    done = fairtrial("oc", "cart.yaml", "--runs", 100, "--html", "oc.html", cwd=shop)
    page = (shop / "oc.html").read_text(encoding="utf-8")
    assert done.returncode == 0
    assert "<svg" in page
    assert "default-src 'none'" in page
    assert "<script" not in page
    assert re.findall(r"(?:src|href)=\"(?!data:)", page) == []


def test_history_is_measured(shop):
    done = fairtrial("oc", "cart.yaml", "--runs", 100, "--history", "units.csv", "--effect", 0, "--json", cwd=shop)
    (answer,) = json.loads(done.stdout)["experiments"]
    assert "history (units.csv, 800 units)" in answer["assumptions"][0]
    assert "bought 0.05" in answer["assumptions"][0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--history", "units.csv", "--baseline", "spend=1,1"), "History measures"),
        (("--baseline", "spend"), "metric=mean"),
        (("--move", "spend"), "metric=effect"),
        (("--move", "=1"), "metric=effect"),
        (("--move", "spend=inf"), "metric=effect"),
        (("--runs", 0), "needs a run"),
        (("--history", "nothing.csv"), "nothing.csv"),
    ],
)
def test_wrong_options_are_usage_errors(shop, options, said):
    done = fairtrial("oc", "cart.yaml", *options, cwd=shop)
    assert done.returncode == 2
    assert said in done.stderr.replace("\n", " ")


def test_every_example_is_answered_for():
    """Issue 3: `fairtrial oc examples/*.yaml` answers; what cannot be simulated is named, with the reason."""
    specs = sorted(EXAMPLES.glob("*.yaml"))
    done = fairtrial("oc", *specs, "--runs", 50, "--json", cwd=EXAMPLES)
    answer = json.loads(done.stdout)
    assert done.returncode == 0
    assert len(answer["experiments"]) + len(answer["not_simulated"]) == len(specs)
    assert {"free-delivery", "checkout-looks", "ranking-hybrid", "price-page-not-worse"} <= {e["experiment"] for e in answer["experiments"]}
    assert all(refused["detail"] for refused in answer["not_simulated"])
    alone = fairtrial("oc", EXAMPLES / "fast_food.yaml", "--runs", 50, cwd=EXAMPLES)
    assert alone.returncode == 1
    assert "must have a baseline" in alone.stderr.replace("\n", " ")
    assert fairtrial("oc", *specs, "--html", "x.html", cwd=EXAMPLES).returncode == 2


def test_aa_passes_or_says_no(shop):
    done = fairtrial("aa", "cart.yaml", "--runs", 100, cwd=shop)
    assert done.returncode == 0, done.stderr
    assert "fine" in done.stdout
    as_json = json.loads(fairtrial("aa", "cart.yaml", "--runs", 100, "--everyone", "--strata", "shop", "--json", cwd=shop).stdout)
    assert (as_json["population"], as_json["passed"], as_json["runs"]) == ("all units", True, 100)


def test_aa_exits_with_1_when_a_test_rejects_too_often(shop):
    rows = [f"u{i},control,{int(i % 40 < 4)},{(i % 40) * 3 + i % 2},s{i % 40}" for i in range(800)]
    (shop / "units.csv").write_text("user,arm,bought,spend,shop\n" + "\n".join(rows) + "\n", encoding="utf-8")
    done = fairtrial("aa", "cart.yaml", "--runs", 150, "--cluster", "shop", cwd=shop)
    assert done.returncode == 1
    assert "rejects too often" in done.stdout


def test_calibrate_lists_measures_and_writes(shop):
    assert "welch" in fairtrial("calibrate", "--list", cwd=shop).stdout
    listed = json.loads(fairtrial("calibrate", "--list", "--json", cwd=shop).stdout)["studies"]
    assert {"method", "title", "cases"} == set(listed[0])
    done = fairtrial("calibrate", "score", "wald", "--runs", 500, "--out", ".", cwd=shop)
    assert done.returncode == 0, done.stderr
    page, plot = (shop / "wald.md").read_text(encoding="utf-8"), (shop / "wald.svg").read_text(encoding="utf-8")
    assert "**Do not use it**" in page
    assert "rate 98%, 1,900 against 100 units" in page
    assert plot.startswith("<svg")
    assert len(plot) < 60_000
    answer = json.loads(fairtrial("calibrate", "score", "--runs", 200, "--json", cwd=shop).stdout)
    assert answer["studies"][0]["rows"][0]["size"]["n"] == 200
    assert fairtrial("calibrate", "score", "--runs", 1, cwd=shop).returncode == 2, "a rate cannot be judged by one experiment"
    assert fairtrial("calibrate", "scor", cwd=shop).returncode == 2
    assert fairtrial("calibrate", "score", "--out", "nowhere", cwd=shop).returncode == 2


def test_the_overview_is_renewed_between_its_marks(tmp_path):
    result = run_study(study_named("score"), rng=np.random.default_rng(1), runs=50)
    page = tmp_path / "index.md"
    write_overview(page, [result])
    page.write_text(page.read_text(encoding="utf-8").replace("# Calibration", "# Mine") + "after\n", encoding="utf-8")
    write_overview(page, [result, result])
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# Mine")
    assert text.count("(score.md)") == 2
    assert text.endswith("after\n")
    page.write_text("no marks", encoding="utf-8")
    with pytest.raises(UsageError, match="must hold the marks"):
        write_overview(page, [result])


def test_every_study_has_its_receipt_and_the_overview_names_it():
    """Issue 3: receipts are written, and small."""
    folder = Path(__file__).parents[2] / "docs" / "statistics" / "calibration"
    overview = (folder / "index.md").read_text(encoding="utf-8")
    for method in all_studies():
        assert f"({method}.md)" in overview
        assert f"({method}.svg)" in (folder / f"{method}.md").read_text(encoding="utf-8")
        assert (folder / f"{method}.svg").stat().st_size < 60_000
