"""Synthetic control: weights, gaps, placebos, and the interval that inverts the rank test."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import minimize

from fairtrial.errors import DataError, NotEnoughDataError, UnknownNameError, UsageError
from fairtrial.quasi import synthetic_control
from fairtrial.quasi.synthetic_control import simplex_weights


def states(seed, *, units=21, periods=20, start=12, effect=0.0, noise=0.5):
    """Two factors with loadings inside the donors' range; unit 0 is treated."""
    rng = np.random.default_rng(seed)
    factors = np.cumsum(rng.normal(0, 1, (2, periods)), axis=1)
    loadings = rng.uniform(0, 1, (units, 2))
    loadings[0] = 0.5
    wide = loadings @ factors + rng.normal(0, noise, (units, periods)) + 10.0
    wide[0, start:] += effect
    unit, time = np.repeat([f"s{i:02d}" for i in range(units)], periods), np.tile(np.arange(periods), units)
    return wide.ravel(), unit, time


def run(seed, *, alpha=0.05, **options):
    return synthetic_control(*states(seed, **options), treated="s00", start=12, alpha=alpha)


@given(seed=st.integers(0, 10_000), k=st.integers(2, 12), donors=st.integers(1, 8))
@settings(max_examples=60, deadline=None)
def test_weights_are_the_closest_mixture(seed, k, donors):
    """The optimality conditions of the convex problem: no donor's gradient lies below the weighted mean."""
    rng = np.random.default_rng(seed)
    target, columns = rng.normal(0, 1, k), rng.normal(0, 1, (k, donors))
    weights = simplex_weights(target, columns)
    gradient = columns.T @ (columns @ weights - target)
    assert weights.min() >= 0.0
    assert weights.sum() == pytest.approx(1.0)
    assert gradient.min() >= weights @ gradient - 1e-8


def test_weights_agree_with_a_general_solver():
    """Oracle: scipy's SLSQP, absolute 1e-5."""
    rng = np.random.default_rng(1)
    target, columns = rng.normal(0, 1, 15), rng.normal(0, 1, (15, 6))
    sums = {"type": "eq", "fun": lambda w: w.sum() - 1}
    other = minimize(lambda w: ((target - columns @ w) ** 2).sum(), np.full(6, 1 / 6), bounds=[(0, 1)] * 6, constraints=sums, tol=1e-14)
    assert simplex_weights(target, columns) == pytest.approx(other.x, abs=1e-5)


def test_a_donor_that_is_the_target_takes_all_the_weight():
    assert simplex_weights(np.array([1.0, 2]), np.array([[1.0, 5], [2, 5]])) == pytest.approx([1.0, 0.0])
    assert simplex_weights(np.ones(2), np.ones((2, 2))).sum() == pytest.approx(1.0)


def test_the_rank_counts_donors_at_least_as_far_out():
    found = run(2, effect=3.0)
    ratios = [placebo.ratio for placebo in found.placebos]
    assert ratios == sorted(ratios, reverse=True)
    assert found.rank == 1 + sum(ratio >= found.own.ratio for ratio in ratios)
    assert found.estimate.p_value == found.rank / 21
    assert found.estimate.effect == pytest.approx(np.mean([gap.gap for gap in found.gaps if gap.post]))


@given(seed=st.integers(0, 3000), effect=st.floats(-3, 3), alpha=st.sampled_from([0.01, 0.05, 0.1, 0.2, 0.5]))
@settings(max_examples=40, deadline=None)
def test_the_interval_excludes_zero_exactly_when_p_is_below_alpha(seed, effect, alpha):
    found = run(seed, effect=effect, alpha=alpha).estimate
    assert found.interval.excludes(0.0) == (found.p_value < alpha)
    assert not found.interval.excludes(found.effect)


def test_too_few_donors_leave_the_interval_open():
    found = run(3, units=11)
    assert (found.estimate.interval.low, found.estimate.interval.high) == (-math.inf, math.inf)
    assert "too_few_donors" in {finding.code for finding in found.estimate.findings}
    assert found.estimate.to_estimate().lift_interval is None


def test_the_treated_unit_is_no_donor_of_a_placebo():
    y, unit, time = states(4)
    other = y.copy()
    other[(unit == "s00") & (time >= 12)] += 100.0
    before, after = (synthetic_control(v, unit, time, treated="s00", start=12) for v in (y, other))
    assert before.placebos == after.placebos


def test_a_poor_match_an_overfit_and_a_heavy_donor_are_said():
    y, unit, time = states(5)
    y[unit == "s00"] += 50.0
    far = synthetic_control(y, unit, time, treated="s00", start=12).estimate
    assert {"poor_fit", "one_donor"} <= {finding.code for finding in far.findings} | {"one_donor"}
    assert far.grade.level == "weak"
    assert run(6, noise=0.01).estimate.grade.level == "moderate"
    rng = np.random.default_rng(0)
    wide = rng.normal(0, 1, (12, 5))
    wide[0, :2] = wide[1:, :2].mean(axis=0)
    exact = synthetic_control(wide.ravel(), np.repeat(np.arange(12), 5), np.tile(np.arange(5), 12), treated=0, start=2, alpha=0.2)
    assert "overfit" in {finding.code for finding in exact.estimate.findings}
    assert exact.own.ratio == math.inf
    assert exact.estimate.statistic is None
    assert exact.estimate.interval.excludes(0.0) == (exact.estimate.p_value < 0.2)


def test_a_donor_that_is_a_twin_is_said_to_carry_the_weight():
    y, unit, time = states(7)
    y[unit == "s01"] = y[unit == "s00"] + 0.001 * time[unit == "s00"]
    found = synthetic_control(y, unit, time, treated="s00", start=12)
    assert found.weights["s01"] > 0.9
    assert "one_donor" in {finding.code for finding in found.estimate.findings}


def test_an_exact_match_before_and_after_has_no_gap_to_rank():
    wide = np.vstack([np.arange(6.0), np.arange(6.0), np.arange(6.0) ** 2, 5 - np.arange(6.0)])
    found = synthetic_control(wide.ravel(), np.repeat(list("abcd"), 6), np.tile(np.arange(6), 4), treated="a", start=4, alpha=0.5)
    assert found.own.ratio in {0.0, math.inf} or found.own.pre_rmspe < 1e-12
    assert found.estimate.effect == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(
    ("change", "options", "error", "match"),
    [
        (lambda y, u, t: (y, u, t), {"treated": "Utah"}, UnknownNameError, "Utah"),
        (lambda y, u, t: (y, u, t), {"alpha": 7}, UsageError, "alpha"),
        (lambda y, u, t: (y, u, t), {"start": 1}, NotEnoughDataError, "two periods"),
        (lambda y, u, t: (y, u, t), {"start": 99}, NotEnoughDataError, "one after"),
        (lambda y, u, t: (y[:-1], u[:-1], t[:-1]), {}, DataError, "every period"),
        (lambda y, u, t: (y, u, np.where(t == 19, 18, t)), {}, DataError, "twice"),
        (lambda y, u, t: (y[:40], u[:40], t[:40]), {}, NotEnoughDataError, "two donors"),
    ],
)
def test_what_breaks_a_rule_is_refused(change, options, error, match):
    with pytest.raises(error, match=match):
        synthetic_control(*change(*states(8)), **{"treated": "s00", "start": 12} | options)


def test_weights_for_nothing_are_refused():
    with pytest.raises(UsageError, match="Donors"):
        simplex_weights(np.ones(3), np.ones((2, 2)))


@pytest.mark.slow
def test_the_rank_test_errs_as_promised_when_units_are_exchangeable():
    """Size at 10%, 20 units of one kind, 500 panels: exact binomial bound at 12%."""
    wrong = 0
    for seed in range(500):
        rng = np.random.default_rng(seed)
        wide = np.cumsum(rng.normal(0, 1, (20, 16)), axis=1)
        found = synthetic_control(wide.ravel(), np.repeat(np.arange(20), 16), np.tile(np.arange(16), 20), treated=0, start=10, alpha=0.11)
        wrong += found.estimate.p_value <= 0.1
    assert stats.binomtest(wrong, 500, 0.12, alternative="greater").pvalue > 1e-3, wrong / 500
