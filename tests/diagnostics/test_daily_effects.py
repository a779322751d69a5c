"""Daily effects and the covariance between days, from sums (IN-06, I.b Novelty)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fairtrial.diagnostics.daily_effects import DailySums, daily_effects, sums_of_cohorts, sums_of_values
from fairtrial.errors import DataError, UsageError


def censored(rng, n, days, make):
    """Values of n units that entered one after the other: NaN after a unit's last whole day."""
    values = make(rng, n, days)
    last = rng.integers(-1, days, n)
    return np.where(np.arange(days)[None, :] <= last[:, None], values, np.nan), last


def persistent(rng, n, days):
    """Daily purchases of units that differ from each other, so that days go together."""
    return rng.poisson(rng.gamma(1.0, 1.0, (n, 1)), (n, days)).astype(float)


def test_effects_and_errors_of_one_day_are_those_of_welch():
    rng = np.random.default_rng(1)
    control, _ = censored(rng, 3000, 9, persistent)
    treatment, _ = censored(rng, 2800, 9, persistent)
    found = daily_effects(sums_of_values(control), sums_of_values(treatment))
    for place, day in enumerate(found.days):
        c, t = (arm[np.isfinite(arm[:, day]), day] for arm in (control, treatment))
        assert found.effects[place] == pytest.approx(t.mean() - c.mean(), rel=1e-10)
        assert found.std_errors[place] == pytest.approx(np.sqrt(c.var(ddof=1) / c.size + t.var(ddof=1) / t.size), rel=1e-10)
        assert (found.n_control[place], found.n_treatment[place]) == (c.size, t.size)


def test_the_covariance_between_days_is_that_of_units_seen_on_both():
    rng = np.random.default_rng(2)
    control, _ = censored(rng, 4000, 8, persistent)
    treatment, _ = censored(rng, 4000, 8, persistent)
    found = daily_effects(sums_of_values(control), sums_of_values(treatment))

    def cov(arm, d, e):
        seen = np.isfinite(arm)
        both = seen[:, d] & seen[:, e]
        shared = np.cov(arm[both, d], arm[both, e])[0, 1]
        return both.sum() / (seen[:, d].sum() * seen[:, e].sum()) * shared

    assert found.covariance[1, 5] == pytest.approx(cov(control, 1, 5) + cov(treatment, 1, 5), rel=1e-10)
    assert found.covariance[5, 1] == found.covariance[1, 5]
    assert found.covariance[1, 5] > 0


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(0, 60), days=st.integers(1, 9))
def test_sums_by_cohort_are_the_sums_of_the_units(seed, n, days):
    rng = np.random.default_rng(seed)
    values, last = censored(rng, n, days, persistent)
    units, sums = np.zeros(days), np.zeros((days, days))
    for row, end in zip(values, last, strict=True):
        if end >= 0:
            units[end] += 1
            sums[end] += np.nan_to_num(row)
    whole = sums_of_values(values)
    found = sums_of_cohorts(units, sums, np.triu(whole.products))
    assert np.array_equal(found.units, whole.units)
    assert np.allclose(found.sums, whole.sums, rtol=0, atol=1e-9)
    assert np.array_equal(found.products, whole.products)


def test_days_that_cannot_be_told_are_left_out_with_a_reason():
    rng = np.random.default_rng(4)
    values = rng.binomial(1, 0.2, (400, 4)).astype(float)
    values[:, 1] = 0.0
    values[:, 2] = 0.0
    values[0, 2] = 1.0
    values[50:, 3] = np.nan
    arm = sums_of_values(values)
    assert daily_effects(arm, arm, is_rate=True).left_out == ((1, "too_few_conversions"), (2, "too_few_conversions"), (3, "too_few_units"))
    found = daily_effects(arm, arm)
    assert (found.days, found.left_out) == ((0, 2), ((1, "no_variance"), (3, "too_few_units")))


def test_nothing_to_tell_is_nothing_and_not_an_error():
    empty = DailySums(units=np.zeros((3, 3), dtype=np.int64), sums=np.zeros((3, 3)), products=np.zeros((3, 3)))
    found = daily_effects(empty, empty)
    assert found.days == ()
    assert found.novelty().unavailable_reason == "too_few_days"


def test_late_entrants_do_not_drag_the_tail():
    """Units enter evenly over the days: a count that takes the unseen for zero would show an effect that fades away."""
    rng = np.random.default_rng(5)
    control, treatment = rng.normal(1.0, 1.0, (8000, 10)), rng.normal(1.3, 1.0, (8000, 10))
    last = np.arange(8000) % 10
    for arm in (control, treatment):
        arm[np.arange(10)[None, :] > last[:, None]] = np.nan
    seen = daily_effects(sums_of_values(control), sums_of_values(treatment))
    assert seen.novelty().has_novelty is False
    naive = daily_effects(sums_of_values(np.nan_to_num(control)), sums_of_values(np.nan_to_num(treatment)))
    assert naive.novelty().has_novelty is True


def test_sums_that_do_not_fit_are_refused():
    one = DailySums(units=np.ones((2, 2), dtype=np.int64), sums=np.zeros((2, 2)), products=np.zeros((2, 2)))
    other = DailySums(units=np.ones((3, 3), dtype=np.int64), sums=np.zeros((3, 3)), products=np.zeros((3, 3)))
    with pytest.raises(UsageError, match="same days"):
        daily_effects(one, other)
    with pytest.raises(UsageError, match="min_units"):
        daily_effects(one, one, min_units=1)
    with pytest.raises(UsageError, match="one shape"):
        DailySums(units=np.ones((2, 2), dtype=np.int64), sums=np.zeros((3, 3)), products=np.zeros((2, 2)))
    with pytest.raises(UsageError, match="shape"):
        sums_of_cohorts(np.zeros(2), np.zeros((3, 3)), np.zeros((2, 2)))
    negative = DailySums(units=-np.ones((2, 2), dtype=np.int64), sums=np.zeros((2, 2)), products=np.zeros((2, 2)))
    with pytest.raises(DataError):
        daily_effects(negative, negative)


@pytest.mark.slow
def test_a_constant_effect_of_units_that_persist_keeps_its_promise_and_independence_would_not():
    """1,000 experiments of 1,000 units an arm over 14 days; the same units every day, effect constant.

    With the covariance the size is held to an exact binomial bound at 1e-4.
    """
    rng = np.random.default_rng(11)
    runs, called, covered = 1000, 0, 0
    for _ in range(runs):
        control = rng.normal(rng.normal(5.0, 2.0, (1000, 1)), 1.0, (1000, 14))
        treatment = rng.normal(rng.normal(6.0, 2.0, (1000, 1)), 1.0, (1000, 14))
        found = daily_effects(sums_of_values(control), sums_of_values(treatment)).novelty()
        called += found.p_value < 0.05
        covered += found.long_run_effect.ci_low <= 1.0 <= found.long_run_effect.ci_high
    low, high = stats.binom.ppf([1e-4, 1 - 1e-4], runs, 0.05)
    assert low <= called <= high, called
    assert low <= runs - covered <= high, covered
