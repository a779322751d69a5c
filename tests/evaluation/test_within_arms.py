"""The verdict of each experiment in each arm of the other, by the spec's own rule."""

from __future__ import annotations

import numpy as np
import pytest

from fairtrial import parse_spec
from fairtrial.diagnostics.pair_cells import MeanOutcome, PairCells, Side, rate_outcome
from fairtrial.evaluation.within_arms import verdicts_within_arms


def spec_of(key, *, kind="proportion", plan=None, **metric):
    return parse_spec(
        {
            "key": key,
            "arms": ["control", "treatment"],
            "metrics": [{"key": "m", "kind": kind, **metric}],
            "plan": {"sample_size": 8000, **(plan or {})},
        }
    )


def cells_of(outcome_a, outcome_b, n=4000):
    sides = [Side(key=key, arms=("control", "treatment"), units=(2 * n, 2 * n), control="control") for key in "ab"]
    return PairCells(a=sides[0], b=sides[1], n=np.full((2, 2), n), outcome_a=outcome_a, outcome_b=outcome_b)


def test_a_treatment_that_launches_in_one_arm_and_not_in_the_other():
    outcome = rate_outcome("m", [[400, 400], [520, 280]])
    found = verdicts_within_arms(spec_of("a"), spec_of("b"), cells_of(outcome, outcome))
    assert [(one.experiment_id, one.by_experiment_id, one.arm, one.n) for one in found] == [
        ("a", "b", "control", 8000), ("a", "b", "treatment", 8000), ("b", "a", "control", 8000), ("b", "a", "treatment", 8000),
    ]  # fmt: skip
    assert found[0].verdict in {"STRONG_LAUNCH", "LAUNCH", "CONSIDER_LAUNCH"}
    assert found[1].verdict in {"NO_LAUNCH", "ROLLBACK"}
    assert found[2].verdict not in {"STRONG_LAUNCH", "LAUNCH", "CONSIDER_LAUNCH"}


def test_too_few_units_for_the_plan_is_no_launch_of_chance():
    outcome = rate_outcome("m", [[40, 40], [52, 28]])
    found = verdicts_within_arms(spec_of("a"), spec_of("b"), cells_of(outcome, outcome, n=400))
    assert all(one.verdict not in {"STRONG_LAUNCH", "LAUNCH"} for one in found)


@pytest.mark.parametrize("metric", [{"covariate": "before"}, {"covariate": "before", "test": "lin"}])
def test_means_are_read_without_their_covariates(metric):
    mean = np.array([[5.0, 5.0], [5.5, 5.0]])
    outcome = MeanOutcome(metric="m", mean=mean, m2=np.full((2, 2), 3999.0 * 4.0))
    found = verdicts_within_arms(spec_of("a", kind="mean", **metric), spec_of("b"), cells_of(outcome, "no_metric"))
    assert len(found) == 2, "an experiment without a metric has no verdict"
    assert found[0].verdict in {"STRONG_LAUNCH", "LAUNCH", "CONSIDER_LAUNCH"}
    assert found[1].verdict in {"NO_LAUNCH", "EXTEND_TEST"}
