"""Breslow and Day's test: their own example, statsmodels, and the strata that say nothing."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import StratifiedTable

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.odds_homogeneity import breslow_day_test

# Breslow & Day (1980), table 4.2: oesophageal cancer and alcohol in Ille-et-Vilaine by six ages; exposed and all, controls then cases
AGES = [(9, 115, 1, 1), (26, 190, 4, 9), (29, 167, 25, 46), (27, 166, 42, 76), (18, 106, 19, 55), (0, 31, 5, 13)]
arms = st.integers(4, 400).flatmap(lambda n: st.tuples(st.integers(1, n - 1), st.just(n)))


def oracle(strata):
    tables = [np.array([[x_t, n_t - x_t], [x_c, n_c - x_c]], dtype=float) for x_c, n_c, x_t, n_t in strata]
    return StratifiedTable(tables)


def test_the_published_example():
    """Breslow & Day (1980), section 4.4: common odds ratio 5.158, chi-square 9.3 on 5 degrees of freedom, p about 0.1."""
    found = breslow_day_test(AGES)
    assert found.common_odds_ratio == pytest.approx(5.158, abs=5e-4)
    assert (found.chi_square, found.df) == (pytest.approx(9.32, abs=0.05), 5)
    assert found.p_value_uncorrected == pytest.approx(0.097, abs=2e-3)


@settings(max_examples=100, deadline=None)
@given(strata=st.lists(st.tuples(arms, arms).map(lambda pair: (*pair[0], *pair[1])), min_size=2, max_size=8))
def test_it_is_that_of_statsmodels_with_and_without_the_correction(strata):
    theirs = oracle(strata)
    assume(abs(np.log(theirs.oddsratio_pooled)) > 1e-3)  # at 1 statsmodels divides 0 by 0, near it digits cancel there
    ours = breslow_day_test(strata)
    plain, adjusted = theirs.test_equal_odds(), theirs.test_equal_odds(adjust=True)
    assert ours.common_odds_ratio == pytest.approx(theirs.oddsratio_pooled, rel=1e-10)
    assert (ours.chi_square, ours.p_value_uncorrected) == pytest.approx((plain.statistic, plain.pvalue), rel=1e-6, abs=1e-9)
    assert (ours.chi_square_tarone, ours.p_value) == pytest.approx((adjusted.statistic, adjusted.pvalue), rel=1e-6, abs=1e-9)


@settings(max_examples=50, deadline=None)
@given(strata=st.lists(st.tuples(arms, arms).map(lambda pair: (*pair[0], *pair[1])), min_size=2, max_size=8))
def test_the_arms_names_and_the_outcomes_do_not_matter(strata):
    ours = breslow_day_test(strata)
    for other in ([(c, d, a, b) for a, b, c, d in strata], [(b - a, b, d - c, d) for a, b, c, d in strata]):
        swapped = breslow_day_test(other)
        assert swapped.common_odds_ratio == pytest.approx(1.0 / ours.common_odds_ratio, rel=1e-9)
        assert (swapped.chi_square, swapped.chi_square_tarone) == pytest.approx(
            (ours.chi_square, ours.chi_square_tarone), rel=1e-6, abs=1e-9
        )


def test_equal_odds_give_nothing_and_large_arms_lose_no_digits():
    assert breslow_day_test([(10, 30, 20, 40), (100, 300, 200, 400)]).chi_square == pytest.approx(0.0, abs=1e-20)
    rare = [(1_000, 10**12, 2_000, 10**12), (3_000, 10**12, 3_000, 10**12)]
    assert breslow_day_test(rare).p_value == pytest.approx(
        breslow_day_test([(a, 10**9, c, 10**9) for a, _, c, _ in rare]).p_value, rel=1e-5
    )


def test_strata_that_say_nothing_are_passed_over():
    assert breslow_day_test([*AGES, (0, 10, 0, 10), (3, 3, 4, 4), (1, 5, 0, 0)]) == breslow_day_test(AGES)


def test_what_cannot_be_tested_is_refused():
    with pytest.raises(UsageError, match="successes in"):
        breslow_day_test([(5, 4, 1, 2), (1, 2, 1, 2)])
    with pytest.raises(UsageError, match="whole"):
        breslow_day_test([(0.5, 4, 1, 2), (1, 2, 1, 2)])
    for few in ([], [(1, 4, 2, 4)], [(1, 4, 2, 4), (0, 4, 0, 4)]):
        with pytest.raises(NotEnoughDataError, match="two strata"):
            breslow_day_test(few)
    for one_sided in ([(0, 5, 3, 5), (0, 6, 2, 6)], [(3, 5, 0, 5), (2, 6, 0, 6)]):
        with pytest.raises(DataError, match="without bound"):
            breslow_day_test(one_sided)


@pytest.mark.slow
@pytest.mark.parametrize(("ratio", "units", "baseline"), [(1.0, 60, 0.3), (2.5, 200, 0.1), (0.5, 1000, 0.02)])
def test_its_size_is_the_promised_one(ratio, units, baseline):
    """Five strata, 4,000 experiments: share below 0.05 within exact bounds at 99.9% of [0.03, 0.06]."""
    rng = np.random.default_rng(8)
    odds = baseline / (1 - baseline) * ratio
    x = rng.binomial(units, [[[baseline]], [[odds / (1 + odds)]]], size=(2, 4000, 5))
    p_values = np.array([breslow_day_test([(c, units, t, units) for c, t in zip(*pair, strict=True)]).p_value for pair in x.swapaxes(0, 1)])
    bounds = stats.binomtest(int((p_values < 0.05).sum()), 4000).proportion_ci(0.999)
    assert bounds.high > 0.03
    assert bounds.low < 0.06
