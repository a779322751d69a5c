"""The program as a person or a script meets it: a real process, its output, its exit code (G-17)."""

import contextlib
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from running_service import real_service

from fairtrial._version import __version__
from fairtrial.analysis import lay_out_example
from fairtrial.cli import main

SHORT = """\
key: cart
arms: {control: 0.5, treatment: 0.5}
metrics: [{key: bought, kind: proportion}]
plan: {baseline: 0.05, mde: 0.01, mde_kind: absolute}
data: {source: units.csv, unit: user}
"""


def fairtrial(*arguments, cwd=None):
    """Run the program in this process; what starts a real one is named `process`."""
    out, err = io.StringIO(), io.StringIO()
    here, talk = contextlib.chdir(cwd or Path.cwd()), contextlib.redirect_stderr(err)
    with here, talk, contextlib.redirect_stdout(out), pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return subprocess.CompletedProcess(arguments, ended.value.code, out.getvalue(), err.getvalue())


def process(*arguments, cwd=None, **environment):
    """Run the installed program."""
    program = Path(sys.executable).parent / "fairtrial"
    return subprocess.run(
        [program, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    folder = tmp_path_factory.mktemp("example")
    lay_out_example(folder)
    return folder


@pytest.fixture
def cart(tmp_path):
    (tmp_path / "cart.yaml").write_text(SHORT, encoding="utf-8")
    rows = [f"u{i},{'control' if i % 2 else 'treatment'},{int(i // 2 % 10 == 0)}" for i in range(400)]
    (tmp_path / "units.csv").write_text("user,arm,bought\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return tmp_path


@pytest.mark.xdist_group("quickstart")
def test_quickstart_goes_from_a_real_experiment_to_a_verdict(tmp_path):
    """Issue: what a newcomer sees."""
    done = process("quickstart", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for said in ("588,101", "Advertising holdout", "STRONG", "psa", "incremental", "p <", "Try next"):
        assert said.lower() in done.stdout.lower(), said
    folder = tmp_path / "fairtrial-quickstart"
    assert sorted(p.name for p in folder.iterdir()) == [
        "ATTRIBUTION.md",
        "ad_holdout.parquet",
        "report.html",
        "scorecard.json",
        "spec.yaml",
    ]
    card = json.loads((folder / "scorecard.json").read_text(encoding="utf-8"))
    assert card["decision"]["verdict"] == "STRONG_LAUNCH"
    assert card["incremental"][0]["value"] == pytest.approx(4342.982146)
    assert "<html" in (folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.xdist_group("quickstart")
def test_the_commands_that_quickstart_names_work(tmp_path):
    done = fairtrial("quickstart", cwd=tmp_path)
    commands = [line.split() for line in done.stdout.splitlines() if re.match(r"  \S*fairtrial ", line)]
    assert len(commands) == 4
    *finite, demo = commands
    for command in finite:
        assert fairtrial(*command[1:], cwd=tmp_path).returncode == 0, command
    with real_service(tmp_path, f"sqlite:///{tmp_path}/demo.db", *demo[2:]) as (address, _, _):
        assert demo[1] == "serve"
        assert httpx.get(f"{address}/api/v1/overview").json()["by_status"]["running"] > 3
        assert httpx.get(f"{address}/dashboard/").status_code == 200


def test_json_is_on_stdout_alone_and_equal_from_run_to_run(example):
    first = process("analyze", example / "spec.yaml", "--json")
    again = process("analyze", example / "spec.yaml", "--json", PYTHONHASHSEED="7")
    assert first.returncode == 0
    card = json.loads(first.stdout)
    assert card["comparisons"][0]["estimate"]["p_value"] == pytest.approx(1.705280716e-13, rel=1e-8)
    assert json.loads(again.stdout)["comparisons"] == card["comparisons"]


def test_talk_goes_to_stderr_and_data_to_stdout(example):
    done = process("analyze", example / "spec.yaml")
    assert "Testing, correcting and deciding" in done.stderr
    assert "Testing, correcting" not in done.stdout


def test_validate_says_yes_with_0_and_no_with_1(cart):
    good = fairtrial("validate", cart / "cart.yaml")
    assert good.returncode == 0
    assert "cart" in good.stdout
    (cart / "cart.yaml").write_text(SHORT.replace("baseline", "baselin"), encoding="utf-8")
    bad = fairtrial("validate", cart / "cart.yaml")
    assert bad.returncode == 1
    assert "Did you mean 'baseline'" in " ".join(bad.stderr.split())
    machine = fairtrial("validate", cart / "cart.yaml", "--json")
    assert machine.returncode == 1
    assert json.loads(machine.stdout)["valid"] is False


def test_power_gives_the_golden_size(cart):
    """G-14, HO-11: 5% + 1 point needs 8,158 in each arm."""
    done = fairtrial("power", cart / "cart.yaml", "--json")
    assert done.returncode == 0
    plan = json.loads(done.stdout)["plan"]
    assert plan["arms"] == {"control": 8158, "treatment": 8158}
    assert "16,316" in fairtrial("power", cart / "cart.yaml").stdout


def test_power_that_cannot_be_planned_is_a_no(cart):
    (cart / "cart.yaml").write_text(SHORT.replace("baseline: 0.05, ", ""), encoding="utf-8")
    done = fairtrial("power", cart / "cart.yaml")
    assert done.returncode == 1
    assert "baseline" in done.stderr


def test_analyze_an_unfinished_plan_waits(cart):
    done = fairtrial("analyze", cart / "cart.yaml", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["decision"]["verdict"] == "EXTEND_TEST"


def test_an_answer_of_no_exits_with_1(cart):
    spec = SHORT.replace("baseline: 0.05, mde: 0.01, mde_kind: absolute", "sample_size: 400, practical_threshold: 0.1")
    (cart / "cart.yaml").write_text(spec, encoding="utf-8")
    done = fairtrial("analyze", cart / "cart.yaml", "--json")
    assert json.loads(done.stdout)["decision"]["verdict"] == "NO_LAUNCH"
    assert done.returncode == 1


def test_report_and_scorecard_are_written_whole_and_an_earlier_look_binds(cart):
    spec = SHORT.replace("baseline: 0.05, mde: 0.01, mde_kind: absolute", "sample_size: 400, practical_threshold: 0.1")
    (cart / "cart.yaml").write_text(spec, encoding="utf-8")
    first = fairtrial("analyze", "cart.yaml", "--scorecard", "one.json", "--report", "one.html", cwd=cart)
    assert first.returncode == 1
    assert (cart / "one.html").stat().st_size > 10_000
    again = fairtrial("analyze", "cart.yaml", "--previous", "one.json", "--json", cwd=cart)
    card = json.loads(again.stdout)
    assert card["looks"] == 1
    assert "only describes" in card["decision"]["reasoning"][0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("analyze", "nowhere.yaml"), "there is no"),
        (("analyze", "no_such_experiment"), "not found. Available experiments"),
        (("analyze", "cart.yaml", "--as-of", "yesterday"), "ISO 8601"),
        (("analyze", "cart.yaml", "--previous", "units.csv"), "is no scorecard"),
        (("analyze", "cart.yaml", "--previous", "absent.json"), "cannot read"),
        (("analyze", "cart.yaml", "--report", "no/folder/r.html"), "Cannot write"),
        (("analyze", "cart.yaml", "--source", "absent.parquet"), "absent.parquet"),
        (("analyze", "cart.yaml", "--sorce", "x"), "No such option"),
        (("analyse", "cart.yaml"), "No such command"),
        (("power", "cart.yaml", "--experiment", "other"), "Known"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_what_to_do(cart, arguments, said):
    done = fairtrial(*arguments, cwd=cart)
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert said in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("rows", "code", "said"),
    [
        ("user,arm,bought\n", 1, "0 rows"),
        ("user,arm,bought\nu1,control,often\nu2,treatment,never\n", 1, "often"),
        ("user,arm,bought\nu1,control,2\nu2,treatment,0\n", 1, "0 or 1"),
        ("user,arm,bought\nu1,control,\nu2,treatment,0\n", 1, "missing"),
        ("user,arm,bought\nu1,control,1\nu1,control,1\nu2,treatment,0\n", 1, "one row"),
        ("user,arm,purchased\nu1,control,1\nu2,treatment,0\n", 2, "bought"),
        ("user,group,bought\nu1,control,1\nu2,treatment,0\n", 2, "arm"),
        ("user,arm,bought\nu1,contrl,1\nu2,tretment,0\n", 1, "contrl"),
    ],
)
def test_bad_data_gets_a_clear_error_and_no_verdict(cart, rows, code, said):
    """Issue: Bad input."""
    (cart / "units.csv").write_text(rows, encoding="utf-8")
    done = fairtrial("analyze", "cart.yaml", "--scorecard", "card.json", cwd=cart)
    assert done.returncode == code, (done.stdout, done.stderr)
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert not (cart / "card.json").exists()


def test_errors_are_json_where_json_was_asked_for(cart):
    done = fairtrial("analyze", "cart.yaml", "--source", "absent.csv", "--json", cwd=cart)
    assert done.returncode == 2
    problem = json.loads(done.stderr.splitlines()[-1])
    assert set(problem) == {"code", "detail", "hint"}


def test_list_show_schema_and_version():
    listed = fairtrial("list", "--json")
    keys = [row["key"] for row in json.loads(listed.stdout)["experiments"]]
    assert keys[:3] == ["free_shipping_threshold_test", "checkout_simplification_test", "recommendation_algorithm_test"]
    assert "free_shipping_threshold_test" in fairtrial("list").stdout
    assert "free shipping" in fairtrial("show", "free_shipping_threshold_test").stdout.lower()
    assert json.loads(fairtrial("show", "free_shipping_threshold_test", "--json").stdout)["key"] == "free_shipping_threshold_test"
    assert "business_justification" in fairtrial("show", "free_shipping_threshold_test", "--raw").stdout
    assert json.loads(fairtrial("schema").stdout)["properties"]["key"]
    assert fairtrial("version").stdout.strip() == __version__


def test_the_planned_size_of_the_catalogs_flagship_is_golden():
    """V.b: 4.5% to 4.86% needs 54,033 per variant."""
    plan = json.loads(fairtrial("power", "free_shipping_threshold_test", "--json").stdout)["plan"]
    assert list(plan["arms"].values()) == [54033, 54033]


def test_every_verb_has_help():
    overview = fairtrial("--help").stdout
    for verb in ("quickstart", "validate", "power", "analyze", "list", "show", "schema", "version"):
        assert verb in overview
        assert fairtrial(verb, "--help").returncode == 0


def test_a_reader_who_hangs_up_gets_no_traceback(example):
    program = Path(sys.executable).parent / "fairtrial"
    piped = subprocess.run(f"{program} schema | head -1", shell=True, capture_output=True, text=True, check=False, timeout=60)
    assert "Traceback" not in piped.stderr


def test_a_unicode_experiment_works_from_end_to_end(tmp_path):
    spec = SHORT.replace("cart", "корзина-2").replace("treatment", "лечение").replace("bought", "купил").replace("user}", "ид}")
    (tmp_path / "опыт.yaml").write_text(spec, encoding="utf-8")
    rows = "".join(f"ю{i},{'control' if i % 2 else 'лечение'},{int(i % 7 == 0)}\n" for i in range(300))
    (tmp_path / "units.csv").write_text("ид,arm,купил\n" + rows, encoding="utf-8")
    done = process("analyze", "опыт.yaml", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["treatment"] == "лечение"
