"""Receipts (issue 3): the fast part of every study, and what a verdict means."""

import numpy as np
import pytest

from fairtrial.errors import UnknownNameError, UsageError
from fairtrial.simulation.calibration import Case, Simulated, Study, all_studies, run_study, study_named
from fairtrial.simulation.calibration.of_means import row_moments
from fairtrial.simulation.calibration.study import joined, judged
from fairtrial.simulation.monte_carlo import share_of
from fairtrial.stats.moments import Moments

KEEPING = {
    "welch": {"95/5 skewed"},
    "score": set(),
    "miettinen_nurminen": set(),
    "newcombe": set(),
    "holm": set(),
    "hochberg": set(),
    "benjamini_hochberg": set(),
    "dunnett": set(),
    "group_sequential_obf": set(),
    "group_sequential_pocock": set(),
    "confidence_sequence": set(),
    "two_proportions": set(),
}
"""Studies whose cases must not be broken, but for those named."""


def measured(errors, n):
    return share_of(np.arange(n) < errors)


@pytest.mark.parametrize(
    ("errors", "n", "verdict"),
    [
        (500, 10_000, "keeps"),
        (350, 10_000, "keeps"),
        (100, 10_000, "conservative"),
        (650, 10_000, "strays"),
        (900, 10_000, "broken"),
        (9, 100, "keeps"),
    ],
)
def test_a_verdict_reads_the_bounds_of_the_error_not_the_error(errors, n, verdict):
    assert judged([measured(errors, n)], 0.05) == verdict


def test_the_worse_of_size_and_coverage_counts():
    assert judged([measured(500, 10_000), measured(900, 10_000)], 0.05) == "broken"
    assert judged([None, measured(100, 10_000)], 0.05) == "conservative"


@pytest.mark.parametrize("method", all_studies())
def test_every_study_runs_and_measures_something(method):
    study = study_named(method)
    assert len({case.name for case in study.cases}) == len(study.cases) >= 3
    dear = any(case.cost != "cheap" for case in study.cases)
    result = run_study(study, rng=np.random.default_rng(1), runs=2 if dear and method != "expected_loss" else 200)
    assert [row.name for row in result.rows] == [case.name for case in study.cases]
    assert all(row.size is not None or row.coverage is not None for row in result.rows)


@pytest.mark.parametrize("method", KEEPING)
def test_the_fast_part_of_a_receipt_is_not_broken(method):
    """2,000 experiments a case, bounds of level 99%: a size above 7.5% is caught."""
    result = run_study(study_named(method), quick=True, rng=np.random.default_rng(2))
    assert {row.name for row in result.of("broken")} <= KEEPING[method]


@pytest.mark.parametrize(
    ("method", "case"), [("peeking", "5%, 20 looks"), ("student", "95/5 wider"), ("wald", "98%, 95/5"), ("expected_loss", "20 looks")]
)
def test_a_study_finds_what_is_known_to_break(method, case):
    result = run_study(study_named(method), quick=True, rng=np.random.default_rng(3))
    assert case in {row.name for row in result.of("broken")}


def test_five_looks_at_five_percent_err_as_published():
    """Armitage, McPherson & Rowe (1969), table 2: 14.2% for five looks; exact bounds at level 99%."""
    row = next(row for row in run_study(study_named("peeking"), rng=np.random.default_rng(4)).rows if row.name == "5%, 5 looks")
    bounds = row.size.exact_bounds(alpha=0.001)
    assert bounds.low < 0.142 < bounds.high


def test_the_same_seed_gives_the_same_receipt():
    first, second = (run_study(study_named("score"), rng=np.random.default_rng(5), runs=100) for _ in range(2))
    assert first == second


def test_rows_of_samples_have_their_moments():
    values = np.random.default_rng(6).normal(size=(3, 7))
    batch = row_moments(values, 2 * values, present=(True, True, False, False))
    for row, sample in enumerate(values):
        expected = Moments.from_values(sample)
        assert (batch.mean[row, 0], batch.cross[row, 0, 0], batch.cross[row, 0, 1]) == pytest.approx(
            (expected.mean, expected.m2, 2 * expected.m2)
        )
    with pytest.raises(UsageError, match="columns"):
        row_moments(values, values)


def test_batches_of_a_case_are_joined():
    part = Simulated(rejected_null=np.array([True]), covered=None, rejected_effect=np.array([False, True]))
    both = joined([part, part])
    assert (both.rejected_null.size, both.covered, both.rejected_effect.size) == (2, None, 4)


def test_studies_that_cannot_be_are_refused():
    with pytest.raises(UnknownNameError, match="calibration study"):
        study_named("welsh")
    with pytest.raises(UsageError, match="a run at least"):
        run_study(study_named("score"), rng=np.random.default_rng(0), runs=0)
    silent = Study(method="m", title="M", promise="", cases=(Case(name="c", words="", simulate=lambda _runs, _rng: Simulated()),))
    with pytest.raises(UsageError, match="measured neither"):
        run_study(silent, rng=np.random.default_rng(0))
