"""The additive test over many tables: golden values (I.b), the single test, and the likelihood itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special

from fairtrial.errors import UsageError
from fairtrial.stats import additivity
from fairtrial.stats.additivity import additive_tests
from fairtrial.stats.interactions import Successes, additive_interaction_test


@pytest.mark.parametrize(
    ("n_c", "n_t", "x_c", "x_t", "chi_square", "p_value"),
    [
        ((2000, 2000), (2000, 2000), (200, 400), (300, 600), 8.462833, 0.003625),
        ((50000, 2000), (2000, 2000), (1000, 800), (40, 40), 855.7295, None),
        ((500, 500), (500, 500), (50, 52), (55, 60), 0.046548, 0.8292),
    ],
)
def test_golden_tables_of_part_one_in_25(n_c, n_t, x_c, x_t, chi_square, p_value):
    found = additive_tests([x_c], [n_c], [x_t], [n_t])
    assert found.chi_square[0] == pytest.approx(chi_square, rel=1e-6, abs=5e-7)
    if p_value is not None:
        assert found.p_value[0] == pytest.approx(p_value, abs=5e-5)
    if chi_square == 8.462833:
        assert found.effect[0] == pytest.approx(0.068587, abs=5e-7)


def log_likelihood(x, n, rate):
    return float((special.xlogy(x, rate) + special.xlog1py(n - x, -rate)).sum())


cell = st.tuples(st.integers(1, 3000), st.floats(0.0, 1.0)).map(lambda pair: (round(pair[0] * pair[1]), pair[0]))
tables = st.integers(2, 4).flatmap(lambda arms: st.tuples(*(st.lists(cell, min_size=arms, max_size=arms) for _ in (0, 1))))


@settings(deadline=None)
@given(tables)
def test_many_tables_at_once_are_the_single_test(sides):
    control, treatment = (np.array(side) for side in sides)
    ballast = np.array([[5, 9], [7, 30]])
    alone = additive_interaction_test(*([Successes(successes=x, n=n) for x, n in side] for side in sides))
    arms = control.shape[0]
    stacked = [np.stack([values, np.resize(ballast[:, column], arms)]) for values, column in (
        (control[:, 0], 0), (control[:, 1], 1), (treatment[:, 0], 0), (treatment[:, 1], 1),
    )]  # fmt: skip
    found = additive_tests(*stacked)
    assert found.chi_square[0] == pytest.approx(alone.chi_square, rel=1e-9, abs=1e-9)
    assert found.effect[0] == pytest.approx(alone.effect, rel=1e-9, abs=1e-12)
    assert found.effect_range[0] == pytest.approx(alone.effect_range)
    assert found.df == arms - 1


@settings(deadline=None)
@given(tables)
def test_newton_and_the_bracketed_search_agree(sides):
    x_c, n_c, x_t, n_t = (np.array(side, dtype=float)[None, :, column] for side in sides for column in (0, 1))
    effect, chi_square = additivity._fitted(x_c, n_c, x_t, n_t)
    found = additive_tests(x_c, n_c, x_t, n_t)
    assert found.effect[0] == pytest.approx(effect[0], rel=1e-8, abs=1e-11)
    assert found.chi_square[0] == pytest.approx(chi_square[0], rel=1e-8, abs=1e-8)


@settings(deadline=None)
@given(tables, st.floats(-0.02, 0.02), st.integers(0, 10**6))
def test_no_other_common_effect_is_likelier(sides, shift, seed):
    """Against the likelihood itself: any d and any rates that fit it are no better than the ones found."""
    x_c, n_c, x_t, n_t = (np.array(side, dtype=float)[None, :, column] for side in sides for column in (0, 1))
    effect, _ = additivity._fit(x_c, n_c, x_t, n_t)
    p, q = additivity._restricted_rates(x_c, n_c, x_t, n_t, effect[:, None])
    best = log_likelihood(x_c, n_c, p) + log_likelihood(x_t, n_t, q)
    d = effect[0] + shift
    if not -1.0 < d < 1.0:
        return
    low, high = max(0.0, -d), min(1.0, 1.0 - d)
    rates = np.clip(p + np.random.default_rng(seed).normal(0.0, 0.01, p.shape), low, high)
    other = log_likelihood(x_c, n_c, rates) + log_likelihood(x_t, n_t, np.clip(rates + d, 0.0, 1.0))
    assert other <= best + 1e-6 * max(1.0, abs(best))


@settings(deadline=None, max_examples=40)
@given(
    st.integers(2, 3).flatmap(
        lambda arms: st.lists(st.tuples(st.integers(5, 300), st.floats(0.1, 0.9)), min_size=2 * arms, max_size=2 * arms)
    )
)
def test_against_a_general_optimizer(cells):
    """The same maximum by SciPy's bounded scalar search over d, the rates by its own root finding for each d."""
    n = np.array([cell[0] for cell in cells], dtype=float).reshape(2, -1)
    x = np.clip(np.rint(n * np.array([cell[1] for cell in cells]).reshape(2, -1)), 1, n - 1)

    def rate_of(j, d):
        def slope(p):
            return (x[0, j] - n[0, j] * p) / (p * (1 - p)) + (x[1, j] - n[1, j] * (p + d)) / ((p + d) * (1 - p - d))

        return optimize.brentq(slope, max(0.0, -d) + 1e-12, min(1.0, 1.0 - d) - 1e-12, xtol=1e-15)

    def cost(d):
        rates = np.array([rate_of(j, d) for j in range(n.shape[1])])
        return -log_likelihood(x[0], n[0], rates) - log_likelihood(x[1], n[1], rates + d)

    effects = x[1] / n[1] - x[0] / n[0]
    if np.ptp(effects) < 1e-6:
        return
    best = optimize.minimize_scalar(cost, bounds=(effects.min(), effects.max()), method="bounded", options={"xatol": 1e-11})
    found = additive_tests(x[:1], n[:1], x[1:], n[1:])
    assert found.effect[0] == pytest.approx(best.x, abs=1e-6)
    rates = np.array([rate_of(j, found.effect[0]) for j in range(n.shape[1])])
    fitted = np.stack([rates, rates + found.effect[0]])
    assert found.chi_square[0] == pytest.approx(((x - n * fitted) ** 2 / (n * fitted * (1 - fitted))).sum(), rel=1e-6, abs=1e-9)


def test_a_cell_fitted_at_zero_adds_nothing():
    found = additive_tests([[0, 0]], [[500, 400]], [[0, 0]], [[300, 200]])
    assert (found.effect[0], found.chi_square[0], found.p_value[0]) == pytest.approx((0.0, 0.0, 1.0), abs=1e-9)


@pytest.mark.parametrize(
    "tables",
    [
        ([[1]], [[2]], [[1]], [[2]]),
        ([[1, 1]], [[2, 2]], [[1, 1]], [[2]]),
        ([[3, 1]], [[2, 2]], [[1, 1]], [[2, 2]]),
        ([[0, 1]], [[0, 2]], [[1, 1]], [[2, 2]]),
        ([1, 1], [2, 2], [1, 1], [2, 2]),
    ],
)
def test_what_is_no_table_is_refused(tables):
    with pytest.raises(UsageError):
        additive_tests(*tables)
