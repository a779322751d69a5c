"""Novelty and interference from a spec and its logs, in Python and by the verbs (IN-06, IN-07, IN-09, IN-13)."""

from __future__ import annotations

import datetime as dt
import json

import duckdb
import numpy as np
import pytest
import yaml

from fairtrial.analysis.interactions import Located
from fairtrial.analysis.novelty import analyze_interference, analyze_novelty
from fairtrial.errors import UsageError
from fairtrial.spec import parse_spec

START = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
DAYS = 14

SPEC = {
    "key": "badge",
    "arms": ["control", "treatment"],
    "metrics": [{"key": "clicks", "kind": "count", "column": {"fact": "clicks"}}],
    "data": {
        "source": "duckdb:///logs.db",
        "assignments": {"table": "assigned"},
        "exposures": {"table": "exposed"},
        "facts": {"clicks": {"table": "clicks"}},
    },
}


def write_logs(folder, *, decay, contaminated=0.0, units=3000, seed=1):
    """Units that enter over a week and click daily; the treatment's lift of one click decays by a share a day."""
    rng = np.random.default_rng(seed)
    arm = np.where(np.arange(units) % 2 == 0, "control", "treatment")
    entered = rng.uniform(0, 7, units)
    seen = arm.copy()
    seen[(arm == "control") & (rng.random(units) < contaminated)] = "treatment"
    clicks = []
    for unit in range(units):
        base = rng.gamma(4.0, 0.25)
        for day in range(DAYS + 7):
            lift = (1 - decay) ** day if arm[unit] == "treatment" else 0.0
            clicks += [(unit, entered[unit] + day + at) for at in rng.random(rng.poisson(base + lift))]
    clicks = [(unit, at) for unit, at in clicks if at < DAYS + 3]
    with duckdb.connect(str(folder / "logs.db")) as connection:
        for name, rows in {
            "assigned": [(i, arm[i], entered[i]) for i in range(units)],
            "exposed": [(i, seen[i], entered[i]) for i in range(units)],
            "clicks": [(i, "", at) for i, at in clicks],
        }.items():
            frame = {
                "unit": np.array([row[0] for row in rows]),
                "arm": np.array([row[1] for row in rows], dtype=object),
                "entered": np.array([row[2] for row in rows]),
            }
            connection.register("incoming", frame_of(frame))
            connection.execute(
                f"CREATE TABLE {name} AS SELECT unit, arm, "
                "TIMESTAMPTZ '2026-03-01 00:00:00+00' + to_microseconds(CAST(entered * 86400000000 AS BIGINT)) AS time FROM incoming"
            )
            connection.unregister("incoming")
    (folder / "badge.yaml").write_text(yaml.safe_dump(SPEC))


def frame_of(columns):
    import pandas as pd  # noqa: PLC0415

    return pd.DataFrame(columns)


@pytest.fixture(scope="module")
def fading(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fading")
    write_logs(folder, decay=0.15)
    return folder


@pytest.fixture(scope="module")
def lasting(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lasting")
    write_logs(folder, decay=0.0, contaminated=0.12)
    return folder


def located(folder, **changes):
    return Located(spec=parse_spec(SPEC | changes), base=folder)


def test_a_planted_decay_is_found_and_its_end_is_told(fading):
    found = analyze_novelty(located(fading))
    assert found.novelty.has_novelty is True
    assert found.novelty.axis == "exposure_day"
    assert found.novelty.correlated_days
    truth = [0.85**day for day in found.effects.days]
    inside = [
        abs(effect - true) < 4 * error for effect, true, error in zip(found.effects.effects, truth, found.effects.std_errors, strict=True)
    ]
    assert all(inside), "every day's effect is the planted one"
    late = found.novelty.long_run_effect
    assert late.ci_low < np.mean(truth[late.first_day : late.last_day + 1]) < late.ci_high
    assert (found.interference.has_violation, found.interference.controls_exposed, found.interference.controls_assigned) == (False, 0, 1500)


def test_an_effect_that_lasts_is_no_novelty_though_units_enter_late(lasting):
    found = analyze_novelty(located(lasting))
    assert found.novelty.has_novelty is False
    assert found.effects.n_control[-1] < found.effects.n_control[0]


def test_a_planted_contamination_is_found_in_07(lasting):
    found = analyze_interference(located(lasting), listed=3)
    assert found.has_violation is True
    assert found.contamination_rate == pytest.approx(0.12, abs=0.03)
    assert found.controls_assigned == 1500
    assert len(found.exposed_units) == 3


def test_what_is_declared_comes_from_the_spec(fading):
    found = analyze_interference(located(fading, interference={"network_effects": True}))
    assert (found.has_violation, found.declared) == (True, ("network_effects",))
    assert parse_spec(SPEC).spec_hash == parse_spec(SPEC | {"interference": {"network_effects": True}}).spec_hash


def test_too_early_a_look_says_nothing(fading):
    found = analyze_novelty(located(fading), as_of=START + dt.timedelta(days=6))
    assert (found.novelty.has_novelty, found.novelty.unavailable_reason) == (None, "too_few_days")
    assert found.until < START + dt.timedelta(days=6)


@pytest.mark.parametrize(
    ("changes", "options"),
    [
        ({"data": {"source": "x.csv", "unit": "unit"}, "metrics": [{"key": "clicks", "kind": "count"}]}, {}),
        ({}, {"treatment": "other"}),
        ({"metrics": [{"key": "clicks", "kind": "quantile", "q": 0.9, "column": {"fact": "clicks"}}]}, {}),
    ],
)
def test_what_has_no_days_is_refused(fading, changes, options):
    with pytest.raises(UsageError):
        analyze_novelty(located(fading, **changes), **options)


def test_the_verb_novelty_prints_a_track_a_day_and_strict_json(fading, run):
    code, shown, _ = run("novelty", fading / "badge.yaml")
    assert code == 0
    assert "Significant novelty effect detected." in shown
    assert "day   0" in shown
    assert "0 of 1,500 control units" in shown
    code, shown, _ = run("novelty", fading / "badge.yaml", "--json")
    (one,) = json.loads(shown)["experiments"]
    assert one["novelty_result"]["has_novelty"] is True
    assert one["novelty_result"]["trajectory"][0]["day"] == 0
    assert one["sutva_result"]["controls_assigned"] == 1500


def test_the_verb_novelty_takes_two_experiments(fading, lasting, run):
    code, shown, _ = run("novelty", fading / "badge.yaml", lasting / "badge.yaml", "--json")
    assert code == 0
    assert [one["novelty_result"]["has_novelty"] for one in json.loads(shown)["experiments"]] == [True, False]
    assert run("novelty", fading / "badge.yaml", lasting / "badge.yaml", "--treatment", "treatment")[0] == 2


def test_the_verb_interference_lists_exposed_controls(lasting, run):
    code, shown, _ = run("interference", lasting / "badge.yaml", "--list", "2")
    assert code == 0
    assert "Control users show treatment exposure." in shown
    assert "Exposed controls:" in shown
    code, shown, _ = run("interference", lasting / "badge.yaml", "--json")
    assert json.loads(shown)["sutva_result"]["has_violation"] is True


def test_a_source_that_fails_ends_with_one(tmp_path, run):
    (tmp_path / "badge.yaml").write_text(yaml.safe_dump(SPEC | {"data": SPEC["data"] | {"source": "postgresql://nobody@127.0.0.1:1/none"}}))
    assert run("novelty", tmp_path / "badge.yaml")[0] == 1
