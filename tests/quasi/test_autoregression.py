"""Autoregressive errors of unknown strength: each rho against statsmodels, weights against dense matrices, size of short series (G-5)."""

import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.linalg import toeplitz

from fairtrial.errors import DataError, UsageError
from fairtrial.quasi import counterfactual_series, segmented_regression
from fairtrial.quasi.autoregression import Autoregression, Mixture


def lasting(rng, n, rho):
    values = rng.normal(size=n)
    for t in range(1, n):
        values[t] = rho * values[t - 1] + math.sqrt(1 - rho**2) * values[t]
    return values


def line(n, start):
    t = np.arange(n, dtype=float)
    after = (t >= start).astype(float)
    return np.column_stack([np.ones(n), t, after, after * (t - start)])


def codes(estimate):
    return {finding.code: finding.severity for finding in estimate.findings}


@pytest.fixture
def fitted():
    design = line(30, 18)
    y = 5 + lasting(np.random.default_rng(1), 30, 0.5)
    return y, design, Autoregression.of(y, design)


@pytest.mark.parametrize("place", [3, 40, 77])
def test_at_each_rho_it_is_generalised_least_squares(fitted, place):
    """Oracle: statsmodels GLS with the dense correlation, relative 1e-6."""
    y, design, found = fitted
    fit = sm.GLS(y, design, sigma=toeplitz(found.rho[place] ** np.arange(30))).fit()
    assert found.coefficients[place] == pytest.approx(fit.params, rel=1e-6, abs=1e-8)
    errors = np.sqrt(found.noise[place] * np.diagonal(found.inverse[place]))
    assert errors == pytest.approx(fit.bse, rel=1e-6)
    assert found.df == 26.0


def test_each_rho_counts_by_its_restricted_likelihood(fitted):
    """Oracle: dense determinants. Points are even in arcsin(rho), which is the prior."""
    y, design, found = fitted
    logs = []
    for rho in found.rho:
        v = toeplitz(rho ** np.arange(30)) / (1 - rho**2)
        solved = np.linalg.solve(v, design)
        rest = y - design @ np.linalg.solve(design.T @ solved, solved.T @ y)
        squares = rest @ np.linalg.solve(v, rest)
        logs.append(-0.5 * (np.linalg.slogdet(v)[1] + np.linalg.slogdet(design.T @ solved)[1] + 26 * math.log(squares)))
    weight = np.exp(np.array(logs) - max(logs))
    assert found.weight == pytest.approx(weight / weight.sum(), rel=1e-5, abs=1e-12)
    assert np.diff(np.arcsin(found.rho)) == pytest.approx(np.full(80, np.diff(np.arcsin(found.rho)).mean()), rel=1e-6)


def test_long_series_leave_little_doubt_of_rho():
    found = Autoregression.of(lasting(np.random.default_rng(2), 5000, 0.6), line(5000, 2500))
    assert found.mean_rho == pytest.approx(0.6, abs=0.05)
    assert (found.weight > 1e-3).sum() > 15  # the points stand where rho is likely


def test_weighted_sums_have_the_variance_of_dense_matrices(fitted):
    _, _, found = fitted
    weights = np.random.default_rng(3).normal(size=40)
    told = found.of_weights(1.5, weights)
    for place in (3, 40, 77):
        rho = found.rho[place]
        dense = found.noise[place] / (1 - rho**2) * weights @ toeplitz(rho ** np.arange(40)) @ weights
        assert told.scale[place] == pytest.approx(math.sqrt(dense), rel=1e-6)
    assert told.mean == pytest.approx(1.5)


def test_the_interval_leaves_half_of_alpha_on_each_side(fitted):
    mixture = fitted[2].of_sum(np.array([0.0, 0.0, 1.0, 5.5]))
    for alpha in (0.05, 0.3, 1e-9):
        ends = mixture.tested(alpha=alpha)["interval"]
        below = mixture.weight @ stats.t.cdf((ends.low - mixture.centre) / mixture.scale, mixture.df)
        above = mixture.weight @ stats.t.sf((ends.high - mixture.centre) / mixture.scale, mixture.df)
        assert (below, above) == pytest.approx((alpha / 2, alpha / 2), rel=1e-6)


def test_one_component_is_students_t():
    mixture = Mixture(weight=np.ones(1), centre=np.array([2.0]), scale=np.array([0.5]), df=7.0)
    told = mixture.tested(alpha=0.05)
    reach = 0.5 * stats.t.isf(0.025, 7)
    assert (told["interval"].low, told["interval"].high) == pytest.approx((2 - reach, 2 + reach), rel=1e-12)
    assert told["p_value"] == pytest.approx(2 * stats.t.sf(4.0, 7), rel=1e-12)
    same = Mixture(weight=np.full(2, 0.5), centre=np.full(2, 2.0), scale=np.full(2, 0.5), df=7.0).tested(alpha=0.05)
    assert same["interval"].low == pytest.approx(2 - reach, rel=1e-9)


def test_what_leaves_nothing_is_refused():
    with pytest.raises(DataError, match="entirely"):
        Autoregression.of(2 + 3 * np.arange(20.0), line(20, 10))
    with pytest.raises(DataError, match="nothing varies"):
        Mixture(weight=np.ones(1), centre=np.ones(1), scale=np.zeros(1), df=5.0).tested(alpha=0.05)
    with pytest.raises(UsageError, match="alpha"):
        Mixture(weight=np.ones(1), centre=np.ones(1), scale=np.ones(1), df=5.0).tested(alpha=5.0)


@given(
    seed=st.integers(0, 10_000), rho=st.floats(-0.5, 0.95), n=st.integers(8, 60), scale=st.floats(1e-6, 1e6), alpha=st.floats(0.001, 0.5)
)
@settings(max_examples=60, deadline=None)
def test_p_value_and_interval_are_one_fact_and_unit_and_direction_do_not_matter(seed, rho, n, scale, alpha):
    y = 10 + lasting(np.random.default_rng(seed), n, rho)
    found = segmented_regression(y, start=n // 2, alpha=alpha)
    for told in (found.estimate, found.level, found.slope):
        assert abs(told.p_value - alpha) < 1e-7 or told.interval.excludes(0.0) == (told.p_value < alpha)
    other = segmented_regression(-scale * y, start=n // 2, alpha=alpha).estimate
    assert other.p_value == pytest.approx(found.estimate.p_value, rel=1e-5)
    ends = found.estimate.interval
    assert (other.interval.low, other.interval.high) == pytest.approx((-scale * ends.high, -scale * ends.low), rel=1e-5, abs=1e-6 * scale)


def test_lags_bring_newey_west_back_and_leave_the_coefficients_alone():
    y = 10 + lasting(np.random.default_rng(5), 80, 0.3)
    ours, theirs = segmented_regression(y, start=40), segmented_regression(y, start=40, lags=3)
    assert (ours.level.effect, ours.level.se_adjusted) == (theirs.level.effect, theirs.level.se_adjusted)
    assert theirs.level.weighed == theirs.level.effect
    assert theirs.rho is None
    assert theirs.level.p_value == pytest.approx(2 * stats.t.sf(abs(theirs.level.effect) / theirs.level.se_adjusted, 76), rel=1e-9)
    assert (ours.estimate.interval_method, theirs.estimate.interval_method) == ("autoregression_t", "newey_west_t")
    assert "autocorrelated" not in codes(theirs.estimate)


def test_what_cannot_be_seen_in_a_series_is_said():
    rng = np.random.default_rng(6)
    assert codes(segmented_regression(lasting(rng, 120, 0.97), start=60).estimate)["persistent_series"] == "warning"
    assert codes(segmented_regression(lasting(rng, 200, 0.6), start=60).estimate)["autocorrelated"] == "info"
    assert codes(segmented_regression(lasting(rng, 24, 0.0), start=12).estimate)["short_series"] == "info"
    assert codes(segmented_regression(lasting(rng, 200, 0.0), start=100).estimate) == {"no_control_series": "info"}
    x = rng.normal(size=(30, 1)).cumsum(axis=0)
    fixed = counterfactual_series(x[:, 0] + lasting(rng, 30, 0.0), x, start=20, model="least_squares").estimate
    assert codes(fixed)["short_series"] == "info"
    assert fixed.interval_method == "autoregression_t"


@pytest.mark.slow
@pytest.mark.parametrize(("n", "start", "rho"), [(24, 12, 0.0), (24, 12, 0.6), (60, 40, 0.3), (60, 40, 0.6)])
def test_the_size_holds_in_short_series_where_newey_wests_does_not(n, start, rho):
    """Size at 5%, 800 series: exact binomial bounds at 6%; Newey-West goes beyond 10%."""
    rng, runs, wrong, naive = np.random.default_rng(7), 800, 0, 0
    for _ in range(runs):
        y = lasting(rng, n, rho)
        wrong += segmented_regression(y, start=start).estimate.p_value < 0.05
        naive += segmented_regression(y, start=start, lags=3).estimate.p_value < 0.05
    assert stats.binomtest(wrong, runs, 0.06, alternative="greater").pvalue > 1e-3, wrong / runs
    assert stats.binomtest(wrong, runs, 0.01, alternative="less").pvalue > 1e-3, wrong / runs
    assert stats.binomtest(naive, runs, 0.10, alternative="greater").pvalue < 0.05, naive / runs


@pytest.mark.slow
def test_a_fixed_relation_covers_with_twenty_periods_before():
    """Coverage at 95%, 20 periods before and 10 after, 800 series: exact binomial bound at 94%; by Newey-West below 91%."""
    rng, runs, held, naive = np.random.default_rng(8), 800, 0, 0
    for _ in range(runs):
        x = rng.normal(size=(30, 2)).cumsum(axis=0) / 3
        y = 5 + x.sum(axis=1) + rng.normal(size=30)
        held += not counterfactual_series(y, x, start=20, model="least_squares").estimate.interval.excludes(0.0)
        naive += not counterfactual_series(y, x, start=20, model="least_squares", lags=4).estimate.interval.excludes(0.0)
    assert stats.binomtest(held, runs, 0.94, alternative="less").pvalue > 1e-3, held / runs
    assert stats.binomtest(naive, runs, 0.91, alternative="less").pvalue < 0.05, naive / runs
