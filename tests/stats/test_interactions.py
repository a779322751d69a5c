"""Two-way interactions from cells, on every scale, and the additive model over several arms (Part I.b)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.interactions import (
    MeanCells,
    RateCells,
    Successes,
    additive_interaction_test,
    two_way_interaction,
    two_way_interaction_rates,
)
from fairtrial.stats.moments import Moments

NAMES = ("a0b0", "a1b0", "a0b1", "a1b1")


def counts(x, n):
    return [Successes(successes=a, n=b) for a, b in zip(x, n, strict=True)]


def rates(x, n):
    return RateCells(**dict(zip(NAMES, counts(x, n), strict=True)))


def test_the_golden_cells():
    """I.b: interaction .9, HC3 se .297551, t 3.024688, normal p .002489."""
    cells = {"a0b0": (200, 5.0, 2.0), "a1b0": (210, 5.4, 2.1), "a0b1": (190, 5.3, 1.9), "a1b1": (205, 6.6, 2.4)}
    found = two_way_interaction(MeanCells(**{k: Moments.from_summary(n=n, mean=m, sd=s) for k, (n, m, s) in cells.items()}))
    assert (found.interaction, found.std_error, found.statistic) == pytest.approx((0.9, 0.297551, 3.024688), abs=5e-7)
    assert found.p_value == pytest.approx(0.002489, abs=5e-7)
    assert (found.df, found.scale, found.method) == (None, "absolute", "HC3_normal")
    assert found.marginal_effect_b == pytest.approx(0.75)


@pytest.mark.parametrize("covariance", ["HC0", "HC1", "HC2", "HC3", "classical"])
def test_cells_are_the_saturated_regression(covariance):
    """Oracle: statsmodels OLS of y on a, b and a:b with the same covariance, 1e-9."""
    rng = np.random.default_rng(2)
    a, b = rng.integers(0, 2, 120), rng.integers(0, 2, 120)
    y = 1e3 + rng.normal(size=120) * (1 + a) + a * b
    fit = sm.OLS(y, np.stack([np.ones(120), a, b, a * b], axis=1)).fit(cov_type="nonrobust" if covariance == "classical" else covariance)
    cells = MeanCells(**{f"a{i}b{j}": Moments.from_values(y[(a == i) & (b == j)]) for i in (0, 1) for j in (0, 1)})
    found = two_way_interaction(cells, covariance=covariance, reference="t", alpha=0.1)
    assert (found.interaction, found.std_error) == pytest.approx((fit.params[3], fit.bse[3]), rel=1e-9)
    assert found.df == 116
    assert found.p_value == pytest.approx(2 * stats.t.sf(abs(fit.params[3] / fit.bse[3]), 116), rel=1e-8)
    assert found.interval.high - found.interval.low == pytest.approx(2 * stats.t.isf(0.05, 116) * fit.bse[3], rel=1e-9)


def test_the_golden_rates_of_the_example():
    """I.b: (.3 - .2) - (.15 - .1) = .05, z 2.917, p .00353, interval [.0164, .0836]; logit p .533, relative p 1."""
    cells = rates([200, 300, 400, 600], [2000] * 4)
    found = two_way_interaction_rates(cells)
    assert (found.interaction, found.statistic, found.p_value) == pytest.approx((0.05, 2.917, 0.00353), abs=5e-4)
    assert (found.interval.low, found.interval.high) == pytest.approx((0.0164, 0.0836), abs=5e-5)
    assert two_way_interaction_rates(cells, scale="log_odds").p_value == pytest.approx(0.533, abs=5e-4)
    assert two_way_interaction_rates(cells, scale="log_risk").p_value == pytest.approx(1.0, abs=5e-4)


def test_the_odds_scale_is_logistic_regression():
    """Oracle: statsmodels GLM, binomial, on the units themselves; 1e-6 (its convergence)."""
    x, n = [30, 150, 28, 190], [200, 800, 220, 790]
    design = np.repeat([[1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 1, 1]], n, axis=0)
    y = np.concatenate([np.arange(size) < successes for successes, size in zip(x, n, strict=True)]).astype(float)
    fit = sm.GLM(y, design, family=sm.families.Binomial()).fit(tol=1e-12)
    found = two_way_interaction_rates(rates(x, n), scale="log_odds")
    assert (found.interaction, found.std_error) == pytest.approx((fit.params[3], fit.bse[3]), rel=1e-6)


@given(st.lists(st.integers(1, 30), min_size=4, max_size=4))
@settings(max_examples=60, deadline=None)
def test_swapping_an_experiments_arms_turns_the_sign(x):
    """The interaction is symmetric in A and B and changes sign when control and treatment are exchanged."""
    one = two_way_interaction_rates(rates(x, [40] * 4))
    swapped = two_way_interaction_rates(rates([x[1], x[0], x[3], x[2]], [40] * 4))
    mirrored = two_way_interaction_rates(rates([x[0], x[2], x[1], x[3]], [40] * 4))
    assert swapped.interaction == pytest.approx(-one.interaction, abs=1e-12)
    assert mirrored.interaction == pytest.approx(one.interaction, abs=1e-12)
    assert mirrored.effect_a_at_b0 == pytest.approx(one.effect_b_at_a0)


@given(st.lists(st.integers(1, 39), min_size=4, max_size=4), st.sampled_from(["absolute", "log_odds", "log_risk"]))
@settings(max_examples=60, deadline=None)
def test_the_interval_excludes_nothing_exactly_when_p_is_below_alpha(x, scale):
    found = two_way_interaction_rates(rates(x, [40] * 4), scale=scale)
    assert found.interval.excludes(0.0) == (found.p_value < 0.05)


@pytest.mark.parametrize(
    ("control", "n_control", "treatment", "n_treatment", "effect", "chi_square"),
    [
        ([200, 400], [2000, 2000], [300, 600], [2000, 2000], 0.068587, 8.462833),
        ([1000, 800], [50000, 2000], [40, 40], [2000, 2000], None, 855.7295),
        ([50, 52], [500, 500], [55, 60], [500, 500], None, 0.046548),
    ],
)
def test_the_golden_additive_models(control, n_control, treatment, n_treatment, effect, chi_square):
    """I.b, three tables."""
    found = additive_interaction_test(counts(control, n_control), counts(treatment, n_treatment))
    assert found.chi_square == pytest.approx(chi_square, rel=1e-5)
    assert effect is None or found.effect == pytest.approx(effect, abs=5e-7)
    assert found.p_value == pytest.approx(stats.chi2.sf(found.chi_square, 1), rel=1e-12)


@pytest.mark.parametrize(
    ("x_c", "n_c", "x_t", "n_t"),
    [
        ([20, 5, 90], [300, 400, 250], [30, 25, 80], [280, 390, 260]),
        ([0, 1], [20, 20], [0, 0], [20, 20]),
        ([20, 19], [20, 20], [20, 20], [20, 20]),
        ([0, 3, 8], [50, 60, 40], [2, 0, 9], [40, 50, 60]),
    ],
)
def test_the_additive_fit_is_the_likelihoods_maximum(x_c, n_c, x_t, n_t):
    """Oracle: a bounded numerical maximum over d, the controls' rates maximised for each d; 1e-6. Rates at a bound too."""
    arms = range(len(x_c))

    def loss(d):
        def one(j):
            def negative(p):
                return -(stats.binom.logpmf(x_c[j], n_c[j], p) + stats.binom.logpmf(x_t[j], n_t[j], p + d))

            low, high = max(1e-12, -d + 1e-12), min(1 - 1e-12, 1 - d - 1e-12)
            return optimize.minimize_scalar(negative, bounds=(low, high), method="bounded", options={"xatol": 1e-13}).fun

        return sum(one(j) for j in arms)

    effects = [x_t[j] / n_t[j] - x_c[j] / n_c[j] for j in arms]
    best = optimize.minimize_scalar(loss, bounds=(min(effects), max(effects)), method="bounded", options={"xatol": 1e-11}).x
    found = additive_interaction_test(counts(x_c, n_c), counts(x_t, n_t))
    assert found.effect == pytest.approx(best, abs=1e-6)
    assert found.effects == pytest.approx(effects)
    assert (found.df, found.effect_range) == (len(x_c) - 1, pytest.approx(max(effects) - min(effects)))


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=2, max_size=4))
@settings(max_examples=80, deadline=None)
def test_the_additive_model_fits_any_table(pairs):
    """Counting failures instead of successes turns the effect and leaves the statistic; equal effects fit exactly."""
    control, treatment = counts([a for a, _ in pairs], [20] * len(pairs)), counts([b for _, b in pairs], [20] * len(pairs))
    found = additive_interaction_test(control, treatment)
    failures = [counts([20 - c.successes for c in side], [20] * len(pairs)) for side in (control, treatment)]
    turned = additive_interaction_test(*failures)
    assert min(found.effects) - 1e-9 <= found.effect <= max(found.effects) + 1e-9
    assert turned.chi_square == pytest.approx(found.chi_square, rel=1e-5, abs=1e-6)
    assert turned.effect == pytest.approx(-found.effect, abs=1e-6)
    if found.effect_range < 1e-12:
        assert found.chi_square == pytest.approx(0.0, abs=1e-9)


def test_rates_of_a_billionth_in_a_trillion_units():
    """Oracle: there the model is Poisson; effects 1e-9 and 4e-9, and a common one in between."""
    found = additive_interaction_test(counts([10, 1000], [10**10, 10**12]), counts([20, 5000], [10**10, 10**12]))
    assert 3.9e-9 < found.effect < 4e-9
    assert found.chi_square == pytest.approx(16.97, abs=0.01)
    plain = two_way_interaction_rates(rates([1000, 2000, 1500, 2500], [10**12] * 4))
    assert plain.std_error == pytest.approx(math.sqrt(7000) / 1e12, rel=1e-8)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: Successes(successes=3, n=2), UsageError),
        (lambda: Successes(successes=0.5, n=2), UsageError),
        (lambda: Successes(successes=0, n=0), UsageError),
        (lambda: Successes(successes=0, n=math.inf), UsageError),
        (lambda: two_way_interaction_rates(rates([1, 2, 3, 4], [9] * 4), scale="probit"), UsageError),
        (lambda: two_way_interaction_rates(rates([1, 2, 3, 4], [9] * 4), scale="log_odds", covariance="HC3"), UsageError),
        (lambda: two_way_interaction_rates(rates([1, 2, 3, 4], [9] * 4), covariance="HC2"), UsageError),
        (lambda: two_way_interaction_rates(rates([1, 2, 3, 4], [9] * 4), alpha=95), UsageError),
        (lambda: two_way_interaction_rates(rates([1, 0, 1, 0], [1] * 4), covariance="HC3"), NotEnoughDataError),
        (lambda: two_way_interaction_rates(rates([1, 0, 1, 0], [1] * 4), covariance="HC1"), NotEnoughDataError),
        (lambda: two_way_interaction_rates(rates([0, 9, 0, 9], [9] * 4)), DataError),
        (lambda: two_way_interaction_rates(rates([0, 2, 3, 4], [9] * 4), scale="log_risk"), DataError),
        (lambda: two_way_interaction_rates(rates([9, 2, 3, 4], [9] * 4), scale="log_odds"), DataError),
        (lambda: two_way_interaction(MeanCells(**dict.fromkeys(NAMES, Moments(n=1, mean=0.0, m2=0.0)))), NotEnoughDataError),
        (lambda: two_way_interaction(MeanCells(**dict.fromkeys(NAMES, Moments(n=5, mean=3.0, m2=0.0)))), DataError),
        (lambda: two_way_interaction(MeanCells(**dict.fromkeys(NAMES, Moments(n=5, mean=3.0, m2=1.0))), reference="z"), UsageError),
        (lambda: two_way_interaction(MeanCells(**dict.fromkeys(NAMES, Moments(n=5, mean=3.0, m2=1.0))), covariance="HC4"), UsageError),
        (lambda: additive_interaction_test(counts([1], [2]), counts([1], [2])), UsageError),
        (lambda: additive_interaction_test(counts([1, 1], [2, 2]), counts([1], [2])), UsageError),
    ],
)
def test_what_breaks_a_rule_is_refused(call, error):
    with pytest.raises(error):
        call()


@pytest.mark.slow
@pytest.mark.parametrize(("share_b", "seed"), [((0.5, 0.5), 3), ((0.95, 0.025, 0.025), 4)])
def test_main_effects_alone_are_called_an_interaction_as_often_as_alpha(share_b, seed):
    """I.b: 1,500 tables with an additive effect and no interaction; exact binomial bound of size .05."""
    rng, tables, hits = np.random.default_rng(seed), 1500, 0
    n = np.round(np.array(share_b) * 20_000).astype(int)
    base = np.linspace(0.1, 0.16, n.size)
    for _ in range(tables):
        x_c, x_t = rng.binomial(n, base), rng.binomial(n, base + 0.03)
        hits += additive_interaction_test(counts(x_c.tolist(), n.tolist()), counts(x_t.tolist(), n.tolist())).p_value < 0.05
    assert stats.binomtest(hits, tables, 0.05).pvalue > 1e-4
