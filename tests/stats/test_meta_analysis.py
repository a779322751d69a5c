"""Several experiments as one (HO-42): fixed and random effects, heterogeneity, prediction interval."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.meta_analysis import combine_effects
from test_heterogeneity import bcg

from fairtrial.errors import NotEnoughDataError, UsageError
from fairtrial.stats.meta_analysis import meta_analysis

SOME = ([0.02, 0.035, -0.004, 0.011], [0.008, 0.012, 0.009, 0.02])


def test_published_analysis_of_the_bcg_trials_by_reml():
    """tau^2 .3132, I^2 92.22%, estimate -.7145: metafor's documented example of these data, REML."""
    found = meta_analysis(*bcg())
    assert (found.k, found.tau2_method) == (13, "reml")
    assert found.tau2 == pytest.approx(0.3132, abs=5e-5)
    assert found.i_squared == pytest.approx(0.9222, abs=5e-5)
    assert found.random.effect == pytest.approx(-0.7145, abs=5e-5)
    weights = 1 / (np.square(bcg()[1]) + found.tau2)
    assert 1 / math.sqrt(weights.sum()) == pytest.approx(0.1798, abs=5e-5)
    assert (found.fixed.effect, found.fixed.std_error) == (pytest.approx(-0.4303, abs=5e-5), pytest.approx(0.0405, abs=5e-5))


def test_dersimonian_laird_with_hartung_knapp_is_that_of_statsmodels():
    """`combine_effects(method_re="dl", use_t=True)`, rows "random effect wls" and "fixed effect"."""
    effects, errors = bcg()
    oracle = combine_effects(np.array(effects), np.square(errors), method_re="dl", use_t=False)
    mine = meta_analysis(effects, errors, tau2_method="dersimonian_laird")
    assert mine.tau2 == pytest.approx(oracle.tau2, rel=1e-12)
    assert (mine.random.effect, mine.random.std_error) == (pytest.approx(oracle.mean_effect_re), pytest.approx(oracle.sd_eff_w_re_hksj))
    half = stats.t.isf(0.025, 12) * oracle.sd_eff_w_re_hksj
    assert mine.random.interval.low == pytest.approx(oracle.mean_effect_re - half)
    assert mine.random.weights == pytest.approx(
        oracle.weights_rel_r if hasattr(oracle, "weights_rel_r") else oracle.weights_re / oracle.weights_re.sum()
    )
    frame = oracle.summary_frame().loc["fixed effect"]
    assert (mine.fixed.interval.low, mine.fixed.interval.high) == (pytest.approx(frame["ci_low"]), pytest.approx(frame["ci_upp"]))


def test_the_prediction_interval_is_that_of_the_formula():
    """Higgins, Thompson & Spiegelhalter (2009): mu -+ t(k - 2) sqrt(tau^2 + se^2); none below three experiments."""
    found = meta_analysis(*SOME)
    half = stats.t.isf(0.025, 2) * math.hypot(math.sqrt(found.tau2), found.random.std_error)
    assert found.prediction is not None
    assert found.prediction.high == pytest.approx(found.random.effect + half)
    assert found.prediction.low < found.random.interval.low
    assert meta_analysis(SOME[0][:2], SOME[1][:2]).prediction is None


def test_reml_is_the_top_of_the_restricted_likelihood():
    effects, errors = np.array(bcg()[0]), np.array(bcg()[1])

    def height(tau2):
        weights = 1 / (errors**2 + tau2)
        mu = weights @ effects / weights.sum()
        return 0.5 * (np.log(weights).sum() - np.log(weights.sum()) - weights @ (effects - mu) ** 2)

    top = meta_analysis(effects.tolist(), errors.tolist()).tau2
    assert height(top) >= max(height(t) for t in np.linspace(0, 3, 3001))


def test_effects_that_agree_by_luck_do_not_narrow_the_interval():
    """Knapp & Hartung (2003): the bare form would give four equal effects an interval of no width."""
    found = meta_analysis([0.02] * 4, [0.01] * 4)
    assert (found.tau2, found.i_squared, found.heterogeneity.q) == (0.0, 0.0, pytest.approx(0.0, abs=1e-20))
    assert found.random.std_error == pytest.approx(found.fixed.std_error)
    assert found.random.interval.low < found.fixed.interval.low


effects = st.lists(st.tuples(st.floats(-5, 5), st.floats(0.05, 3)), min_size=2, max_size=8)


@settings(max_examples=40, deadline=None)
@given(effects, st.floats(0.001, 1000), st.sampled_from(["reml", "dersimonian_laird"]))
def test_another_unit_changes_nothing_but_the_unit(drawn, factor, method):
    y, s = [a for a, _ in drawn], [b for _, b in drawn]
    one = meta_analysis(y, s, tau2_method=method)
    other = meta_analysis([factor * a for a in y], [factor * b for b in s], tau2_method=method)
    assert other.random.effect == pytest.approx(factor * one.random.effect, rel=1e-5, abs=1e-5 * factor)
    assert other.tau2 == pytest.approx(factor**2 * one.tau2, rel=1e-4, abs=1e-6 * factor**2)
    assert other.random.p_value == pytest.approx(one.random.p_value, rel=1e-3, abs=1e-6)
    assert sum(one.random.weights) == pytest.approx(1)
    for pooled in (one.fixed, one.random):
        assert (pooled.p_value < 0.05) == (not pooled.interval.low <= 0 <= pooled.interval.high)


def test_the_interval_covers_and_the_next_experiment_is_predicted():
    """Six experiments, tau^2 as large as the noise: an exact binomial bound at 1e-4."""
    rng = np.random.default_rng(42)
    errors = np.array([0.5, 0.8, 1.0, 1.0, 1.2, 1.5])
    covered = predicted = 0
    for _ in range(600):
        found = meta_analysis((0.3 + rng.normal(0, np.sqrt(1 + errors**2))).tolist(), errors.tolist())
        covered += found.random.interval.low <= 0.3 <= found.random.interval.high
        predicted += found.prediction.low <= 0.3 + rng.normal() <= found.prediction.high
    assert stats.binom.cdf(covered, 600, 0.95) > 1e-4
    assert 0.84 < predicted / 600 < 0.93, "short of nominal, as the module says and Partlett & Riley (2017) found"


@pytest.mark.parametrize(
    ("y", "s", "error"),
    [([1.0], [1.0], NotEnoughDataError), ([1.0, 2.0], [1.0, 0.0], UsageError), ([1.0, math.nan], [1.0, 1.0], UsageError)],
)
def test_what_cannot_be_pooled_is_refused(y, s, error):
    with pytest.raises(error):
        meta_analysis(y, s)
