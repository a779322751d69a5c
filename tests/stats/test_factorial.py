"""Factorial experiments."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fairtrial.errors import DataError, NotEnoughDataError, UnknownNameError, UsageError
from fairtrial.stats.factorial import cell_contrasts, factorial_contrasts, factorial_effects
from fairtrial.stats.means import student_test, welch_test
from fairtrial.stats.moments import Moments

LEVELS = {k: list(itertools.product((0, 1), repeat=k)) for k in (1, 2, 3)}


def values(k=3, seed=0, offset=0.0):
    rng = np.random.default_rng(seed)
    return {cell: offset + rng.normal(sum(cell), 1 + 0.5 * cell[0], 10 + 3 * i) for i, cell in enumerate(LEVELS[k])}


def moments(cells):
    return {cell: Moments.from_values(x) for cell, x in cells.items()}


def test_effects_and_errors_are_those_of_the_saturated_regression_with_hc2():
    """statsmodels OLS with HC2 errors on columns coded -1/2, +1/2: coefficients, errors, relative 1e-9."""
    cells = values()
    y = np.concatenate(list(cells.values()))
    x = np.concatenate([np.tile(cell, (v.size, 1)) for cell, v in cells.items()]) - 0.5
    sets = [chosen for order in (1, 2, 3) for chosen in itertools.combinations(range(3), order)]
    design = np.column_stack([np.ones(y.size), *(np.prod(x[:, list(chosen)], axis=1) for chosen in sets)])
    fit = sm.OLS(y, design).fit(cov_type="HC2")
    found = factorial_effects(moments(cells), ["a", "b", "c"])
    assert [c.name for c in found.contrasts] == ["a", "b", "c", "a:b", "a:c", "b:c", "a:b:c"]
    assert [c.order for c in found.contrasts] == [1, 1, 1, 2, 2, 2, 3]
    np.testing.assert_allclose([c.effect for c in found.contrasts], fit.params[1:], rtol=1e-9)
    np.testing.assert_allclose([c.std_error for c in found.contrasts], fit.bse[1:], rtol=1e-9)
    assert found.n == y.size


def test_pooled_variances_are_those_of_ordinary_least_squares():
    """statsmodels OLS: t and p of the interaction."""
    cells = values(2)
    y = np.concatenate(list(cells.values()))
    x = np.concatenate([np.tile(cell, (v.size, 1)) for cell, v in cells.items()]) - 0.5
    fit = sm.OLS(y, np.column_stack([np.ones(y.size), x, x[:, 0] * x[:, 1]])).fit()
    found = factorial_effects(moments(cells), ["a", "b"], variances="equal", correction="none")["a:b"]
    assert (found.statistic, found.p_value, found.df) == pytest.approx((fit.tvalues[3], fit.pvalues[3], fit.df_resid))
    assert (found.interval.low, found.interval.high) == pytest.approx(tuple(fit.conf_int()[3]))


def test_one_factor_is_welchs_or_students_test():
    cells = moments(values(1))
    for variances, test in (("unequal", welch_test), ("equal", student_test)):
        estimate = test(cells[0,], cells[1,])
        found = factorial_effects(cells, ["a"], variances=variances)["a"]
        assert (found.effect, found.std_error, found.df) == pytest.approx((estimate.effect, estimate.std_error, estimate.df))
        assert (found.p_adjusted, found.interval.low) == pytest.approx((estimate.p_value, estimate.interval.low))


def test_an_interaction_is_a_difference_of_differences():
    """Reference conventions: a1b1 - a1b0 - a0b1 + a0b0."""
    cells = moments(values(2))
    mean = {cell: own.mean for cell, own in cells.items()}
    expected = mean[1, 1] - mean[1, 0] - mean[0, 1] + mean[0, 0]
    assert factorial_effects(cells, ["a", "b"])["a:b"].effect == pytest.approx(expected)


def test_box_and_hunters_pilot_plant():
    """Box, Hunter & Hunter (2005), table 5.1: yields 60 72 54 68 52 83 45 80 by temperature, concentration, catalyst; table 5.3's effects.

    Theirs are half of ours for two factors and a quarter for three (they average; we take differences).
    """
    yields = {(0, 0, 0): 60, (1, 0, 0): 72, (0, 1, 0): 54, (1, 1, 0): 68, (0, 0, 1): 52, (1, 0, 1): 83, (0, 1, 1): 45, (1, 1, 1): 80}
    cells = {cell: Moments.from_summary(n=2, mean=float(mean), sd=2.0) for cell, mean in yields.items()}
    found = factorial_effects(cells, ["T", "C", "K"])
    halves = {"T": 23.0, "C": -5.0, "K": 1.5, "T:C": 1.5, "T:K": 10.0, "C:K": 0.0, "T:C:K": 0.5}
    for name, effect in halves.items():
        assert found[name].effect == pytest.approx(effect * 2 ** (found[name].order - 1), abs=1e-9)


@pytest.mark.parametrize("factors", [1, 2, 3, 5])
def test_the_contrasts_are_orthogonal_and_the_first_is_the_mean(factors):
    rows = factorial_contrasts(factors)
    product = rows @ rows.T
    np.testing.assert_allclose(product, np.diag(np.diagonal(product)), atol=1e-12)
    np.testing.assert_allclose(rows[0], 2.0**-factors)
    np.testing.assert_allclose(rows[1:].sum(axis=1), 0.0, atol=1e-12)


@given(
    seed=st.integers(0, 200), alpha=st.floats(0.01, 0.3), correction=st.sampled_from(["holm", "bonferroni", "sidak", "benjamini-hochberg"])
)
@settings(max_examples=60, deadline=None)
def test_an_interval_leaves_0_out_exactly_when_its_adjusted_p_lies_below_alpha(seed, alpha, correction):
    found = factorial_effects(moments(values(seed=seed)), ["a", "b", "c"], alpha=alpha, correction=correction)
    for contrast in found.contrasts:
        if abs(contrast.p_adjusted - alpha) > 1e-9:
            assert contrast.interval.excludes(0.0) == (contrast.p_adjusted < alpha)
    assert found.simultaneous == (correction in {"bonferroni", "sidak"})


def test_an_offset_of_1e9_keeps_the_effects():
    plain, far = (factorial_effects(moments(values(offset=o)), ["a", "b", "c"]) for o in (0.0, 1e9))
    np.testing.assert_allclose([c.effect for c in far.contrasts], [c.effect for c in plain.contrasts], atol=1e-5)


def test_contrasts_of_ones_own_and_a_limit_to_the_order():
    cells = list(moments(values(2)).values())
    found = cell_contrasts(cells, {"b alone": [-1, 1, 0, 0]}, correction="none")["b alone"]
    welch = welch_test(cells[0], cells[1])
    assert (found.p_value, found.df, found.order) == (pytest.approx(welch.p_value), pytest.approx(welch.df), 0)
    mains = factorial_effects(moments(values()), ["a", "b", "c"], max_order=1)
    assert [c.name for c in mains.contrasts] == ["a", "b", "c"]


GOOD = moments(values(2))
FLAT = dict.fromkeys(LEVELS[1], Moments.from_values([1.0, 1.0]))


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: factorial_effects(GOOD, []), UsageError, "1 to 10 factors"),
        (lambda: factorial_effects(GOOD, ["a", "a"]), UsageError, "different names"),
        (lambda: factorial_effects(GOOD, ["a"]), UsageError, "unknown"),
        (lambda: factorial_effects({}, ["a", "b"]), UsageError, r"missing \[\(0, 0\)"),
        (lambda: factorial_effects(GOOD, ["a", "b"], max_order=3), UsageError, r"1\.\.2, got 3"),
        (lambda: factorial_effects(GOOD, ["a", "b"], alpha=0), UsageError, "alpha"),
        (lambda: factorial_effects(GOOD, ["a", "b"], variances="pooled"), UsageError, "variances"),
        (lambda: factorial_effects(GOOD, ["a", "b"], correction="dunnett"), UnknownNameError, "holm"),
        (lambda: factorial_effects(GOOD | {(0, 0): Moments.from_values([1.0])}, ["a", "b"]), NotEnoughDataError, "two units"),
        (lambda: factorial_effects(FLAT, ["a"]), DataError, "does not vary"),
        (lambda: factorial_effects(GOOD, ["a", "b"])["b:a"], UnknownNameError, "a:b"),
        (lambda: cell_contrasts(list(GOOD.values()), {}), UsageError, "at least one contrast"),
        (lambda: cell_contrasts(list(GOOD.values()), {"x": [1, -1]}), UsageError, "one a cell"),
        (lambda: cell_contrasts(list(GOOD.values()), {"x": [1, 1, -1, 0]}), UsageError, "sum to 0"),
        (lambda: cell_contrasts(list(GOOD.values()), {"x": [0, 0, 0, 0]}), UsageError, "not all 0"),
        (lambda: cell_contrasts(list(GOOD.values()), {"x": [math.nan, 0, 0, 0]}), UsageError, "sum to 0"),
        (lambda: factorial_contrasts(0), UsageError, "1 to 10"),
    ],
)
def test_what_breaks_a_rule_is_refused(call, error, said):
    with pytest.raises(error, match=said):
        call()


@pytest.mark.slow
def test_sidaks_intervals_hold_all_at_once_and_each_effect_at_its_own():
    """4,000 experiments of 2^3 small cells of unequal spread: joint coverage of seven intervals at 95%, and of each at 95%."""
    rng, runs = np.random.default_rng(4), 4_000
    sizes, spread = np.array([6, 9, 12, 15, 6, 9, 12, 15]), np.array([1, 2, 1, 3, 2, 1, 1, 2.0])
    truth = factorial_contrasts(3) @ np.arange(8.0)
    names = ["a", "b", "c", "a:b", "a:c", "b:c", "a:b:c"]
    place = {"a": 4, "b": 2, "c": 1, "a:b": 6, "a:c": 5, "b:c": 3, "a:b:c": 7}
    joint = own = 0
    for _ in range(runs):
        cells = {cell: Moments.from_values(rng.normal(i, spread[i], sizes[i])) for i, cell in enumerate(LEVELS[3])}
        found = factorial_effects(cells, ["a", "b", "c"], correction="sidak")
        joint += all(not found[name].interval.excludes(truth[place[name]]) for name in names)
        a = found["a:b"]
        own += abs(a.effect - truth[6]) <= stats.t.isf(0.025, a.df) * a.std_error
    assert stats.binomtest(joint, runs, 0.95, alternative="less").pvalue > 1e-4
    assert stats.binomtest(own, runs, 0.95, alternative="less").pvalue > 1e-4
