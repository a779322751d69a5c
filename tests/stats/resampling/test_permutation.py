"""Randomisation tests and the intervals that invert them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.means import welch_test
from fairtrial.stats.moments import Moments
from fairtrial.stats.ranks import mann_whitney_test
from fairtrial.stats.resampling.designs import Bernoulli, Clustered, Complete, Paired, Stratified
from fairtrial.stats.resampling.permutation import permutation_p_value, permutation_test, rank_sum, studentised_permutation_test
from fairtrial.stats.result import Interval, Unavailable

SIDES = ("two-sided", "greater", "less")
DARWIN = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
"""Crossed less self-fertilised plants in eighths of an inch (Fisher 1935, section 17)."""


def arms(n=14, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=n) + 3.0, np.arange(n) % 2


def mean_difference(outcome, treated):
    return treated @ outcome / treated.sum(axis=1) - ~treated @ outcome / (~treated).sum(axis=1)


@pytest.mark.parametrize("alternative", SIDES)
def test_all_assignments_give_the_p_value_of_scipy(alternative):
    """scipy.stats.permutation_test, exact, of the difference of means: 3,432 assignments."""
    y, z = arms()
    y[z == 1] += 0.7
    theirs = stats.permutation_test(
        (y[z == 1], y[z == 0]), lambda a, b, axis: a.mean(axis=axis) - b.mean(axis=axis), n_resamples=np.inf, alternative=alternative
    )
    found = permutation_test(y, z, alternative=alternative)
    assert found.p_value == pytest.approx(theirs.pvalue, rel=1e-12)
    assert (found.exact, found.assignments, found.n_control, found.n_treatment) == (True, 3432, 7, 7)


def test_darwins_plants_as_fisher_enumerated_them():
    """Fisher (1935), section 21: of 2^15 assignments 1,726 reach the sum of 314 on either side (863 on one): p = 5.267%."""
    pairs = np.repeat(np.arange(15), 2)
    y = np.column_stack([np.zeros(15), DARWIN]).ravel()
    found = permutation_test(y, np.tile([0, 1], 15), design=Paired(pairs=pairs))
    assert found.assignments == 2**15
    assert found.p_value * 2**15 == pytest.approx(1726, abs=1e-6)
    assert found.effect == pytest.approx(314 / 15)


def shifted(y, z, null, design, alternative):
    """p-value of the null that every effect is `null`, by its definition: take it off, then test for none."""
    return permutation_p_value(y - null * z, z, mean_difference, design=design, alternative=alternative)


@given(seed=st.integers(0, 1000), null=st.floats(-3, 3), alternative=st.sampled_from(SIDES))
@settings(max_examples=60, deadline=None)
def test_the_p_value_of_another_null_is_that_of_the_outcome_less_it(seed, null, alternative):
    y, z = arms(9, seed)
    for design in (Complete(), Bernoulli(share=0.4)):
        found = permutation_test(y, z, design=design, null=null, alternative=alternative)
        assert found.p_value == pytest.approx(shifted(y, z, null, design, alternative), rel=1e-9)


DESIGNS = [
    Complete(),
    Bernoulli(share=0.3),
    Stratified(strata=np.arange(12) // 6),
    Paired(pairs=np.arange(12) // 2),
    Clustered(clusters=np.arange(12)),
]


@given(
    seed=st.integers(0, 1000),
    null=st.floats(-4, 4),
    alternative=st.sampled_from(SIDES),
    alpha=st.floats(0.05, 0.5),
    design=st.sampled_from(DESIGNS),
)
@settings(max_examples=150, deadline=None)
def test_the_interval_leaves_a_null_out_exactly_when_its_p_lies_below_alpha(seed, null, alternative, alpha, design):
    y, z = arms(12, seed)
    found = permutation_test(y, z, design=design, null=null, alternative=alternative, alpha=alpha)
    assert isinstance(found.interval, Interval)
    if min(abs(null - found.interval.low), abs(null - found.interval.high)) > 1e-9 and abs(found.p_value - alpha) > 1e-9:
        assert found.interval.excludes(null) == (found.p_value < alpha)


@given(shift=st.floats(-1e9, 1e9), scale=st.floats(1e-3, 1e3), effect=st.floats(-2, 2))
@settings(max_examples=40, deadline=None)
def test_shift_scale_and_effect_go_through(shift, scale, effect):
    y, z = arms(10, 3)
    plain = permutation_test(y, z, alpha=0.1)
    moved = permutation_test(shift + scale * (y + effect * z), z, alpha=0.1)
    slack = 1e-6 * (scale + 1e-9 * abs(shift))
    assert moved.interval.low == pytest.approx(scale * (plain.interval.low + effect), rel=1e-6, abs=slack + 1e-6)
    assert moved.effect == pytest.approx(scale * (plain.effect + effect), rel=1e-6, abs=slack + 1e-6)


def test_swapping_the_arms_turns_the_answer_round():
    y, z = arms(11, 5)
    one, other = permutation_test(y, z), permutation_test(y, 1 - z)
    assert other.p_value == pytest.approx(one.p_value)
    assert (other.interval.low, other.interval.high) == pytest.approx((-one.interval.high, -one.interval.low))


def test_clusters_move_together():
    """Six clusters, three treated: 20 assignments, so the finest two-sided p-value is 2 / 20."""
    clusters = np.repeat(np.arange(6), [3, 5, 2, 4, 6, 1])
    z = (clusters >= 3).astype(int)
    y = 10.0 * z + np.random.default_rng(0).normal(size=clusters.size)
    found = permutation_test(y, z, design=Clustered(clusters=clusters))
    assert (found.assignments, found.p_value) == (20, pytest.approx(2 / 20))
    assert isinstance(found.interval, Unavailable)
    assert found.interval.code == "too_few_assignments"
    assert isinstance(permutation_test(y, z, design=Clustered(clusters=clusters), alpha=0.2).interval, Interval)


def test_strata_are_weighted_by_their_units():
    """A stratum of higher values that is treated more often leaves no trace in the effect."""
    strata = np.repeat([0, 1], [12, 8])
    z = np.array([1] * 3 + [0] * 9 + [1] * 6 + [0] * 2)
    noise = np.random.default_rng(1).normal(size=20)
    found = permutation_test(noise + 100.0 * strata, z, design=Stratified(strata=strata))
    by_stratum = [noise[(strata == s) & (z == 1)].mean() - noise[(strata == s) & (z == 0)].mean() for s in (0, 1)]
    assert found.effect == pytest.approx(0.6 * by_stratum[0] + 0.4 * by_stratum[1])


def test_many_units_are_drawn_and_agree_with_welch():
    rng = np.random.default_rng(4)
    y, z = rng.normal(size=600), rng.permutation(np.arange(600) % 2)
    found = permutation_test(y, z, rng=rng, null=0.1)
    welch = welch_test(Moments.from_values(y[z == 0]), Moments.from_values(y[z == 1]), margin=0.1)
    assert (found.exact, found.assignments) == (False, 10_000)
    assert found.p_value == pytest.approx(welch.p_value, abs=0.02)
    width = welch.interval.high - welch.interval.low
    assert found.interval.low == pytest.approx(welch.interval.low, abs=0.05 * width)
    assert found.interval.high == pytest.approx(welch.interval.high, abs=0.05 * width)


@pytest.mark.parametrize("design", [Complete(), Bernoulli(share=0.5), Paired(pairs=np.arange(400) // 2)])
def test_drawn_p_values_count_the_assignment_itself(design):
    """Phipson & Smyth (2010): (b + 1) / (m + 1), here b = 0."""
    z = np.arange(400) % 2
    y = 50.0 * z + np.random.default_rng(2).normal(size=400)
    found = permutation_test(y, z, design=design, alternative="greater", resamples=499, rng=np.random.default_rng(3))
    assert found.p_value == pytest.approx(1 / 500)


def test_any_statistic_the_rank_sum_with_ties_is_the_exact_mann_whitney_test():
    """`mann_whitney_test(method="exact")` of Student's sleep data, midranks; its sides are tails of the same sum."""
    control, treatment = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8], [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6]
    y, z = np.array(control + treatment), np.repeat([0, 1], 8)
    for alternative in ("greater", "less"):
        exact = mann_whitney_test(control, treatment, method="exact", alternative=alternative).p_value
        assert permutation_p_value(y, z, rank_sum, alternative=alternative) == pytest.approx(exact, rel=1e-9)


def test_the_studentised_test_permutes_welchs_t():
    """scipy.stats.permutation_test of Welch's t, exact."""
    rng = np.random.default_rng(6)
    c, t = rng.normal(size=9), rng.normal(1.0, 3.0, size=5)

    def welch_t(a, b, axis):
        return stats.ttest_ind(a, b, axis=axis, equal_var=False).statistic

    for alternative in SIDES:
        theirs = stats.permutation_test((t, c), welch_t, n_resamples=np.inf, alternative=alternative).pvalue
        assert studentised_permutation_test(c + 1e6, t + 1e6, alternative=alternative) == pytest.approx(theirs, rel=1e-9)


Y, Z = arms(60)


def two_of_three(outcome, treated):
    return (treated @ outcome)[:2]


def over_nothing(outcome, treated):
    return treated @ outcome / 0.0


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: permutation_test(Y, Z), UsageError, "about 1e17: some must be drawn"),
        (lambda: permutation_test(Y, Z, design=Bernoulli()), UsageError, "rng is missing"),
        (lambda: permutation_test(Y, Z, resamples=0, rng=np.random.default_rng(0)), UsageError, "resamples=0"),
        (lambda: permutation_test(Y, Z, alpha=2), UsageError, "alpha"),
        (lambda: permutation_test(Y, Z, alternative="up"), UsageError, "alternative"),
        (lambda: permutation_test(Y, Z, null=math.inf), UsageError, "null"),
        (lambda: permutation_test([1.0, 1.0], [0, 1]), DataError, "the same for all units"),
        (lambda: permutation_test([], []), DataError, "at least one value"),
        (lambda: permutation_test([1.0, math.nan], [0, 1]), DataError, "NaN"),
        (lambda: permutation_test([1.0, 2.0], [0, 0]), NotEnoughDataError, "Both arms"),
        (lambda: permutation_p_value([1.0, 2.0, 4.0], [0, 1, 0], two_of_three), UsageError, "one value an assignment"),
        (lambda: permutation_p_value([1.0, 2.0], [0, 1], over_nothing), DataError, "finite"),
        (lambda: studentised_permutation_test([1.0], [1.0, 2.0]), NotEnoughDataError, "got 1 and 2"),
        (lambda: studentised_permutation_test([1.0, 1.0], [2.0, 2.0]), DataError, "finite"),
    ],
)
def test_what_breaks_a_rule_is_refused(call, error, said):
    with pytest.raises(error, match=said):
        call()
