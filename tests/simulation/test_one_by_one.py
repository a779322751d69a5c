"""Claims of methods that read one data set at a time, sets of arms worth exactly 1 - alpha, and the command (issue 3, G-17)."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairtrial.errors import UsageError
from fairtrial.simulation.calibration.of_best_arms import chances_to_enter
from fairtrial.simulation.calibration.one_by_one import claimed, repeated
from fairtrial.simulation.calibration.samples import ALPHA
from fairtrial.stats.means import paired_t_test

BEFORE = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
SMALL = np.array([0.4, -0.3, 0.1, -0.4, 0.3])


def test_a_claim_says_whether_the_null_fell_and_the_truth_lay_inside():
    null, inside, seen = claimed(
        lambda: paired_t_test(BEFORE, BEFORE + SMALL), lambda: paired_t_test(BEFORE, BEFORE + SMALL + 2.0), truth=2.0
    )
    assert (null, inside, seen) == (False, True, True)
    assert claimed(None, lambda: paired_t_test(BEFORE, BEFORE + SMALL + 2.0), truth=9.0) == (None, False, True)


def test_what_is_refused_claims_nothing():
    """Constant differences have no test: no rejection, and an interval that holds everything."""
    assert claimed(lambda: paired_t_test(BEFORE, BEFORE), lambda: paired_t_test(BEFORE, BEFORE + 1.0), truth=5.0) == (False, True, False)


def test_a_wrong_call_is_no_refusal():
    with pytest.raises(UsageError, match="one length"):
        claimed(None, lambda: paired_t_test(BEFORE, BEFORE[:3]), truth=0.0)


def test_what_no_run_says_is_none():
    case = repeated("c", "words", lambda rng: (None, bool(rng.random() < 0.5), None))
    found = case.simulate(50, np.random.default_rng(1))
    assert (found.rejected_null, found.rejected_effect, found.covered.shape) == (None, None, (50,))
    assert 5 < found.covered.sum() < 45


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(1e-6, 1.0), min_size=2, max_size=12))
def test_the_set_of_arms_is_worth_exactly_its_mass(weights):
    """Were the probabilities right, the set would hold the best arm with probability 1 - alpha."""
    prob = np.array(weights) / np.sum(weights)
    chances = chances_to_enter(prob)
    assert float(prob @ chances) == pytest.approx(1.0 - ALPHA, rel=1e-9)
    assert ((chances >= 0.0) & (chances <= 1.0)).all()
    order = np.argsort(-prob, kind="stable")
    assert (np.diff(chances[order]) <= 0.0).all()


def test_a_sure_arm_enters_by_the_coin_alone():
    assert chances_to_enter(np.array([0.0, 1.0, 0.0])) == pytest.approx([0.0, 0.95, 0.0])


def test_the_command_measures_writes_and_reads_alike(tmp_path):
    """A process: JSON on stdout, a page and a plot in the folder, the same numbers in all."""
    command = [
        str(Path(sys.executable).with_name("fairtrial")),
        "calibrate",
        "futility_size",
        "paired_t",
        "--runs",
        "200",
        "--json",
        "--out",
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    studies = {study["method"]: study for study in json.loads(done.stdout)["studies"]}
    assert set(studies) == {"futility_size", "paired_t"}
    page = (tmp_path / "paired_t.md").read_text(encoding="utf-8")
    first = studies["paired_t"]["rows"][0]
    assert f"| 1 | {first['name']} | {first['words']} | {100 * first['size']['value']:.1f}%" in page
    assert "200 experiments a case" in page
    assert (tmp_path / "paired_t.svg").read_text(encoding="utf-8").startswith("<svg")
