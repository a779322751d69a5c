"""From a spec and a file, through the program: binding futility over two looks, and an exact sequence (issue 3, end to end)."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

duckdb = pytest.importorskip("duckdb")
PROGRAM = Path(sys.executable).parent / "fairtrial"

GIVE_UP = """
key: checkout
arms: [control, treatment]
metrics: [{key: paid, kind: proportion}]
plan:
  method: group_sequential
  alternative: one-sided
  alpha: 0.025
  baseline: 0.1
  mde: 0.1
  sequential: {looks: 4, futility: beta_spending, binding: true}
data: {source: week1.parquet, unit: visitor, arm: arm}
"""
CRASHES = """
key: driver
arms: {control: 0.95, treatment: 0.05}
metrics: [{key: paid, kind: proportion, direction: decrease}]
plan:
  method: always_valid
  baseline: 0.006
  sample_size: 20000
  always_valid: {sequence: bernoulli, tuned_for: 0.3}
data: {source: crashes.parquet, unit: visitor, arm: arm}
"""


def run(folder, *arguments, code=0):
    done = subprocess.run([str(PROGRAM), *arguments], cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout


def write(path, n, control, treatment, arm="CASE WHEN i % 2 = 0 THEN 'control' ELSE 'treatment' END"):
    """Units whose rates are so many of 10,000, by a hash of their number."""
    rate = f"CASE WHEN arm = 'control' THEN {control} ELSE {treatment} END"
    units = f"SELECT i, {arm} AS arm FROM range({n}) AS numbers (i)"
    duckdb.sql(f"COPY (SELECT i AS visitor, arm, CAST(hash(i * 7919) % 10000 < {rate} AS INTEGER) AS paid FROM ({units})) TO '{path}'")


def test_binding_futility_over_two_looks(tmp_path):
    (tmp_path / "spec.yaml").write_text(GIVE_UP)
    write(tmp_path / "week1.parquet", 9_000, 1000, 970)
    write(tmp_path / "week2.parquet", 18_000, 1000, 1400)
    assert "binding" in run(tmp_path, "show", "spec.yaml")
    plan = json.loads(run(tmp_path, "power", "spec.yaml", "--json"))
    assert plan["plan"]["inflation"] == pytest.approx(1.078, abs=1e-3)
    first = run(tmp_path, "analyze", "spec.yaml", "--scorecard", "one.json", "--report", "one.html", code=1)
    assert "binding; bound z" in " ".join(first.split())
    assert "bound z" in (tmp_path / "one.html").read_text()
    second = json.loads(run(tmp_path, "analyze", "spec.yaml", "--source", "week2.parquet", "--previous", "one.json", "--json", code=1))
    assert (second["decision"]["verdict"], second["decision"]["reason"]) == ("NO_LAUNCH", "futile")
    assert "futility_ignored" in {finding["code"] for finding in second["findings"]}
    fresh = json.loads(run(tmp_path, "analyze", "spec.yaml", "--source", "week2.parquet", "--json"))
    assert fresh["decision"]["verdict"] in {"LAUNCH", "STRONG_LAUNCH"}
    assert fresh["plan"]["sequential"]["obeyed"] == []


def test_an_exact_sequence_of_rare_events(tmp_path):
    (tmp_path / "spec.yaml").write_text(CRASHES)
    write(tmp_path / "crashes.parquet", 4_000, 60, 500, arm="CASE WHEN hash(i * 31) % 20 = 0 THEN 'treatment' ELSE 'control' END")
    card = json.loads(run(tmp_path, "analyze", "spec.yaml", "--json", "--report", "card.html", code=1))
    estimate = card["comparisons"][0]["estimate"]
    assert (estimate["method"], estimate["error_control"], card["decision"]["reason"]) == ("bernoulli_sequence", "always_valid", "harm")
    assert estimate["treatment"] * estimate["n_treatment"] < 20, "where the normal mixture would not be read yet"
    assert estimate["interval"]["low"] > 0.0
    assert card["plan"]["sequence"] == {"name": "bernoulli", "tuned_for": 6000.0}
    assert "an exact Bernoulli sequence, tightest at 6,000 units" in (tmp_path / "card.html").read_text()
    told = run(tmp_path, "oc", "spec.yaml", "--effect", "0", "--runs", "200", "--seed", "1")
    assert "always-valid plan" in told
