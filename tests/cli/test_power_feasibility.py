"""`fairtrial power` as a command: flags, blocks, files, exit codes, write-back (XC-13, XC-14, XC-15, XC-19)."""

from __future__ import annotations

import json

import duckdb
import pytest
import yaml

from fairtrial.spec import load_spec
from fairtrial.spec.yaml_edit import append_item, set_value

FLAGSHIP = "free_shipping_threshold_test"
CATALOG = """\
# Our experiments.
config_metadata:
  version: 1.0.0
  schema_version: "1.0"
  change_log:
    - { version: 1.0.0, date: 2024-01-01, description: First. } # kept
experiments:
  orders:
    business_justification: Because.
    hypothesis: { primary: More orders. }
    design:
      experiment_name: orders
      temporal_schedule: { minimum_runtime_days: 14, maximum_runtime_days: 70 } # weeks
    population: {}
    variants: { control: { allocation: 0.5 }, treatment: { allocation: 0.5 } }
    metrics:
      primary: { name: ordered, definition: With an order, type: proportion, baseline_assumptions: { value: 0.1 } }
    power_analysis:
      effect_size: { magnitude: 0.2 }
      # traffic by hand
      traffic_analysis: TRAFFIC
    implementation: {}
  other:
    business_justification: Also.
    hypothesis: { primary: More. }
    design: { experiment_name: other }
    population: {}
    variants: { control: { allocation: 0.5 }, treatment: { allocation: 0.5 } }
    metrics: { primary: { name: m, definition: d, type: proportion, baseline_assumptions: { value: 0.1 } } }
    power_analysis: { effect_size: { magnitude: 0.1 }, traffic_analysis: OTHER }
    implementation: {}
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "ours.yaml"
    path.write_text(CATALOG.replace("TRAFFIC", "{ daily_eligible_users: 900 } # a guess").replace("OTHER", "{}"), encoding="utf-8")
    return path


def test_the_flagship_is_not_feasible_and_says_what_to_change(run):
    code, out, _ = run("power", FLAGSHIP, "--reference-date", "2024-03-01")
    assert code == 1
    for words in (
        "NOT_FEASIBLE",
        "140 days",
        "54,033",
        "950",
        "15.0%",
        "4.5% to 4.86%",
        "data source",
        "12.6% of the control",
        "Next steps",
    ):
        assert words in out
    assert "smaller effect" not in out


def test_the_blocks_of_a_feasible_one(run, tmp_path):
    page = tmp_path / "page.html"
    code, out, _ = run("power", f"{FLAGSHIP}_feasible", "--reference-date", "2024-03-01", "--sensitivity-analysis", "-v", "--html", page)
    assert code == 0
    titles = (
        "Experiment",
        "Statistical parameters",
        "Sample per variant",
        "Traffic",
        "Duration",
        "Start dates",
        "Notes",
        "Sensitivity",
        "Next steps",
    )
    places = [out.index(f"\n{title}") for title in titles]
    assert places == sorted(places)
    assert "2024-04-15  to 2024-05-12" in out
    html = page.read_text(encoding="utf-8")
    assert "<svg" in html
    assert "FEASIBLE" in html
    assert "<script" not in html


def test_output_holds_what_the_service_would_answer(run, tmp_path):
    path = tmp_path / "power.json"
    code, _, err = run("power", FLAGSHIP, "--reference-date", "2024-03-01", "-o", path)
    assert code == 1
    assert "power.json" in err
    found = json.loads(path.read_text(encoding="utf-8"))
    assert list(found)[:9] == [
        "experiment_name",
        "config_version",
        "analysis_timestamp",
        "statistical_parameters",
        "sample_size_requirements",
        "traffic_analysis",
        "duration_requirements",
        "feasibility_assessment",
        "calendar_recommendations",
    ]
    assert found["duration_requirements"]["final_duration_days"] == 140
    code, out, _ = run("power", FLAGSHIP, "--reference-date", "2024-03-01", "--json", "--sensitivity-analysis")
    assert json.loads(out)["sensitivity"][0]["varied"] == "mde"


def test_names_are_listed(run):
    code, out, _ = run("power", "--list-experiments")
    assert code == 0
    assert out.startswith(FLAGSHIP)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("nonexistent",), 2, "Experiment 'nonexistent' not found. Available experiments: ['free_shipping"),
        ((FLAGSHIP, "--reference-date", "2024-13-01"), 2, "YYYY-MM-DD, got '2024-13-01'"),
        ((FLAGSHIP, "--reference-date", "20240301"), 2, "YYYY-MM-DD, got '20240301'"),
        ((FLAGSHIP, "--reference-date", "0999-01-01"), 2, "1900 and 2200"),
        ((FLAGSHIP, "--no-such-flag"), 2, "No such option"),
        ((), 2, "--list-experiments"),
        ((FLAGSHIP, "--use-mock-data", "--write-back"), 2, "goes with neither"),
        ((FLAGSHIP, "--source", "duckdb:///x.duckdb"), 2, "does not say how to read history"),
    ],
    ids=["name", "month", "form", "year", "flag", "nothing", "mock", "no history"],
)
def test_wrong_usage_is_2(run, arguments, code, words):
    left, out, err = run("power", *arguments)
    assert left == code
    assert " ".join(words.split()) in " ".join(err.replace("│", " ").split())
    assert out == ""


def test_made_up_numbers_are_called_synthetic(run):
    code, out, err = run("power", f"{FLAGSHIP}_feasible", "--use-mock-data", "--json")
    found = json.loads(out)
    assert found["synthetic"] is True
    assert found["traffic_analysis"]["data_source"] == "synthetic"
    assert "SYNTHETIC" in found["feasibility_assessment"]["warnings"][0]
    assert "SYNTHETIC" in err
    assert code == 0
    assert "SYNTHETIC DATA" in run("power", f"{FLAGSHIP}_feasible", "--use-mock-data")[1]


def test_a_source_that_fails_is_1_and_validate_only_opens_none(run, file, tmp_path):
    history = "{ history: { source: 'duckdb:///nowhere.duckdb', visits: { table: carts } }, daily_eligible_users: 900 }"
    file.write_text(CATALOG.replace("TRAFFIC", history).replace("OTHER", "{}"), encoding="utf-8")
    code, out, err = run("power", file, "-e", "orders")
    assert (code, out) == (1, "")
    assert "nowhere.duckdb" in err
    assert run("power", file, "-e", "orders", "--validate-only")[0] == 0
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as con:
        con.execute("CREATE TABLE other AS SELECT 1 AS x")
    code, out, err = run("power", file, "-e", "orders", "--source", f"duckdb:///{tmp_path}/shop.duckdb", "--json")
    assert (code, out) == (1, "")
    assert json.loads(err)["code"] == "unknown_table"


def test_write_back_stores_the_plan_and_keeps_the_comments(run, file):
    before = file.read_text(encoding="utf-8")
    code, _out, err = run("power", file, "-e", "orders", "--reference-date", "2024-03-01", "--write-back")
    assert code == 0
    assert "1.0.0 -> 1.0.1" in err
    after = file.read_text(encoding="utf-8")
    for comment in ("# Our experiments.", "# kept", "# weeks", "# traffic by hand", "# a guess"):
        assert comment in after
    entry = yaml.safe_load(after)["experiments"]["orders"]
    schedule, power = entry["design"]["temporal_schedule"], entry["power_analysis"]
    assert str(schedule["start_date"]) == "2024-03-04"
    assert schedule["planned_duration_days"] == 14
    assert power["sample_size"]["total"] == 2 * power["sample_size"]["per_variant"] == 7682
    assert power["feasibility"]["status"] == "FEASIBLE"
    assert entry["metadata"]["config_version"] == "1.0.1"
    log = yaml.safe_load(after)["config_metadata"]["change_log"]
    assert (log[1]["version"], log[1]["experiment"], log[1]["level"]) == ("1.0.1", "orders", "patch")
    assert yaml.safe_load(after)["experiments"]["other"] == yaml.safe_load(before)["experiments"]["other"]
    assert load_spec(file, "orders").spec.version == "1.0.1"
    assert run("power", file, "-e", "orders", "--reference-date", "2024-03-01", "--write-back")[0] == 0
    assert load_spec(file, "orders").spec.version == "1.0.2"


def test_write_back_refuses_what_others_share_and_what_is_running(run, file):
    shared = CATALOG.replace("TRAFFIC", "&ours { daily_eligible_users: 900 }").replace("OTHER", "*ours")
    shared = shared.replace("temporal_schedule: {", "temporal_schedule: &when {").replace(
        "experiment_name: other }", "experiment_name: other, temporal_schedule: *when }"
    )
    file.write_text(shared, encoding="utf-8")
    code, _, err = run("power", file, "-e", "orders", "--reference-date", "2024-03-01", "--write-back")
    assert code == 2
    assert "share a section" in err
    assert file.read_text(encoding="utf-8") == shared
    code, _, _ = run("power", file, "-e", "other", "--reference-date", "2024-03-01", "--write-back")
    assert code == 0, "an alias is written out"
    assert load_spec(file, "orders").spec.version == "1.0.0"
    running = CATALOG.replace("TRAFFIC", "{ daily_eligible_users: 900 }").replace("OTHER", "{}")
    running = running.replace("    implementation: {}\n  other", "    implementation: {}\n    metadata: { status: running }\n  other")
    file.write_text(running, encoding="utf-8")
    code, _, err = run("power", file, "-e", "orders", "--write-back")
    assert code == 1
    assert "its spec is frozen" in err


def test_write_back_of_the_normal_form_and_of_json(run, tmp_path):
    spec = {
        "key": "short",
        "arms": {"control": 0.5, "treatment": 0.5},
        "metrics": [{"key": "ordered", "kind": "proportion"}],
        "plan": {"baseline": 0.1, "mde": 0.2},
        "feasibility": {"daily_units": 900},
    }
    for name, text in (("short.yaml", yaml.safe_dump(spec, sort_keys=False)), ("short.json", json.dumps(spec))):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        assert run("power", path, "--reference-date", "2024-03-01", "--write-back")[0] == 0
        found = load_spec(path).spec
        assert (found.version, found.plan.sample_size, found.feasibility.record.status) == ("1.0.1", 7682, "FEASIBLE")
        assert found.schedule.start.date().isoformat() == "2024-03-04"


@pytest.mark.parametrize(
    ("text", "path", "value", "expected"),
    [
        ("a: 1 # one\n", ["a"], 2, "a: 2 # one\n"),
        ("a:\n  b: 1 # one\nc: 3\n", ["a", "d"], 2, "a:\n  b: 1 # one\n  d: 2\nc: 3\n"),
        ("a: { b: 1 } # x\n", ["a", "c"], 2, "a: { b: 1, c: 2 } # x\n"),
        ("a: {}\n", ["a", "c", "d"], 2, "a: {c: {d: 2}}\n"),
        ("a:\nb: 1\n", ["a", "c"], 2, "a: {c: 2}\nb: 1\n"),
        ("a: &x {b: 1}\nc: *x\n", ["c", "d"], 2, "a: &x {b: 1}\nc: {b: 1, d: 2}\n"),
        ("a:\n  b: |\n    text\n\nc: 3", ["a", "d"], "é", "a:\n  b: |\n    text\n\n  d: é\nc: 3"),
        ("a: 1", ["b"], [1], "a: 1\nb: [1]"),
    ],
    ids=["value", "block", "flow", "nested", "empty", "alias", "literal", "no end"],
)
def test_one_value_changes_and_the_rest_stays(text, path, value, expected):
    assert set_value(text, path, value) == expected


def test_a_line_is_added_to_a_list():
    assert append_item("a:\n  - 1 # x\nb: 2\n", ["a"], 3) == "a:\n  - 1 # x\n  - 3\nb: 2\n"
    assert append_item("a: [1]\n", ["a"], {"b": 2}) == "a: [1, {b: 2}]\n"
