"""Rates within strata: the statistic is Cochran, Mantel and Haenszel's, the interval inverts it, nothing is invented."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import StratifiedTable

from fairtrial.errors import DataError, UsageError
from fairtrial.stats.proportions import two_proportion_test
from fairtrial.stats.stratified_rates import mantel_haenszel_rates, mantel_haenszel_test
from fairtrial.stats.tables import cochran_mantel_haenszel

CENTRES = [(10, 20, 11, 17), (4, 31, 9, 30), (22, 25, 25, 26), (0, 7, 1, 6)]
"""Made up; compared with other programs, never with digits of its own."""

strata = st.lists(st.tuples(*(st.integers(0, 14) for _ in range(4))), min_size=1, max_size=5).map(
    lambda rows: [(min(a, b), b, min(c, d), d) for a, b, c, d in rows]
)


def test_the_p_value_is_that_of_cochran_mantel_and_haenszel():
    """statsmodels 0.15, `StratifiedTable.test_null_odds(correction=False)`, and our own chi-square, to 1e-12."""
    tables = [np.array([[x_t, n_t - x_t], [x_c, n_c - x_c]]) for x_c, n_c, x_t, n_t in CENTRES]
    found = mantel_haenszel_test(CENTRES)
    theirs = StratifiedTable(tables).test_null_odds(correction=False)
    assert found.statistic**2 == pytest.approx(theirs.statistic, rel=1e-12)
    assert found.p_value == pytest.approx(theirs.pvalue, rel=1e-12)
    assert found.p_value == pytest.approx(cochran_mantel_haenszel(CENTRES).p_value, rel=1e-12)


def test_one_stratum_is_the_test_of_miettinen_and_nurminen():
    found, plain = mantel_haenszel_test([(30, 100, 45, 110)]), two_proportion_test(30, 100, 45, 110, ci_method="miettinen-nurminen")
    assert (found.effect, found.p_value) == pytest.approx((plain.effect, plain.p_value), rel=1e-12)
    assert (found.interval.low, found.interval.high) == pytest.approx((plain.interval.low, plain.interval.high), rel=1e-9)
    assert (found.lift, found.lift_interval.low) == pytest.approx((plain.lift, plain.lift_interval.low), rel=1e-12)
    assert (found.method, found.interval_method) == ("mantel_haenszel", "stratified_miettinen_nurminen")


def test_the_effect_weighs_strata_by_their_units():
    found = mantel_haenszel_test(CENTRES)
    weights = np.array([n_c * n_t / (n_c + n_t) for _, n_c, _, n_t in CENTRES])
    apart = np.array([x_t / n_t - x_c / n_c for x_c, n_c, x_t, n_t in CENTRES])
    assert found.effect == pytest.approx(float(weights @ apart / weights.sum()), rel=1e-12)
    assert found.treatment - found.control == pytest.approx(found.effect, rel=1e-12)
    own, other = mantel_haenszel_rates(CENTRES)
    assert (own[0], other[0]) == pytest.approx((found.control, found.treatment), rel=1e-12)
    assert other[1] > 0


def test_a_stratum_with_one_arm_says_nothing():
    alone = [(0, 0, 9, 12), (3, 8, 0, 0)]
    found, without = mantel_haenszel_test([*CENTRES, *alone]), mantel_haenszel_test(CENTRES)
    assert (found.p_value, found.effect, found.n_control) == (without.p_value, without.effect, without.n_control)


@settings(deadline=None, max_examples=80)
@given(
    tables=strata,
    alpha=st.floats(0.002, 0.9),
    side=st.sampled_from(["two-sided", "greater", "less"]),
    margin=st.sampled_from([0.0, 0.0, -0.1, 0.25]),
)
def test_p_values_and_intervals_agree(tables, alpha, side, margin):
    """DESIGN 5: p < alpha if and only if the interval leaves the margin out."""
    try:
        found = mantel_haenszel_test(tables, alpha=alpha, alternative=side, margin=margin)
    except DataError:
        return  # nothing varies
    assert (found.p_value < alpha) == found.interval.excludes(margin)
    mirrored = mantel_haenszel_test([(c, d, a, b) for a, b, c, d in tables], alpha=alpha, margin=-margin)
    assert mirrored.effect == pytest.approx(-found.effect, abs=1e-12)
    if side == "two-sided":
        assert mirrored.interval.high == pytest.approx(-found.interval.low, abs=1e-9)


def test_sides_leave_the_other_end_open():
    assert mantel_haenszel_test(CENTRES, alternative="greater").interval.high == math.inf
    assert mantel_haenszel_test(CENTRES, alternative="less").interval.low == -math.inf


def test_a_rate_of_zero_has_no_lift():
    found = mantel_haenszel_test([(0, 20, 5, 20), (0, 30, 4, 30)])
    assert (found.lift, found.lift_interval, found.lift_method, found.notes) == (None, None, None, ("zero_rate",))


def test_arms_that_do_not_vary_have_no_lift_interval():
    """All or nobody in every cell, though the strata differ: the rates' own errors are 0."""
    found = mantel_haenszel_test([(5, 5, 0, 5), (0, 5, 5, 5)])
    assert (found.effect, found.lift, found.lift_interval) == (0.0, 0.0, None)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: mantel_haenszel_test([(3, 2, 1, 4)]), UsageError),
        (lambda: mantel_haenszel_test([(0.5, 2, 1, 4)]), UsageError),
        (lambda: mantel_haenszel_test([(math.nan, 2, 1, 4)]), UsageError),
        (lambda: mantel_haenszel_test(CENTRES, margin=1.0), UsageError),
        (lambda: mantel_haenszel_test(CENTRES, alpha=5), UsageError),
        (lambda: mantel_haenszel_test(CENTRES, alternative="larger"), UsageError),
        (lambda: mantel_haenszel_test([(0, 5, 0, 5), (3, 3, 4, 4)]), DataError),
        (lambda: mantel_haenszel_test([(2, 5, 0, 0)]), DataError),
        (lambda: mantel_haenszel_test([]), DataError),
        (lambda: mantel_haenszel_rates([(9, 5, 0, 3)]), UsageError),
    ],
)
def test_bad_input_is_refused(call, error):
    with pytest.raises(error):
        call()


@pytest.mark.slow
@pytest.mark.parametrize("least", [4, 20])
def test_the_size_holds_where_pooled_counts_are_confounded(least):
    """1,500 experiments of five strata, rates 5% to 80%, arms mixed the other way round: exact binomial bound at 1e-4."""
    rng = np.random.default_rng(20)
    rates, runs = np.array([0.05, 0.2, 0.4, 0.6, 0.8]), 1_500
    n_c = least * np.arange(1, 6)
    n_t = n_c[::-1]
    x_c, x_t = rng.binomial(n_c, rates, (runs, 5)), rng.binomial(n_t, rates, (runs, 5))
    rejected = sum(mantel_haenszel_test(list(zip(a, n_c, b, n_t, strict=True))).p_value < 0.05 for a, b in zip(x_c, x_t, strict=True))
    assert stats.binom.cdf(rejected, runs, 0.05) > 1e-4
    assert stats.binom.sf(rejected - 1, runs, 0.05) > 1e-4
    units = int(n_c.sum())
    pooled = sum(two_proportion_test(int(a.sum()), units, int(b.sum()), units).p_value < 0.05 for a, b in zip(x_c, x_t, strict=True))
    assert pooled > 5 * rejected
