"""Scores of effects put to the test (AD-09): the regressions by an independent program, size, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.effect_scores import calibrate_score, effects_by_score


def scene(n=4_000, seed=1, share=0.3, slope=1.0, offset=0.0, scale=1.0):
    rng = np.random.default_rng(seed)
    score = rng.normal(0.5, 0.4, n)
    treated = (rng.random(n) < share).astype(float)
    baseline = rng.normal(0.0, 1.0, n)
    outcome = baseline + treated * (0.5 + slope * (score - score.mean())) + rng.normal(0.0, 1.0, n)
    return offset + scale * outcome, treated, scale * score, scale * baseline


@pytest.mark.parametrize("with_baseline", [True, False])
def test_coefficients_and_errors_are_those_of_statsmodels(with_baseline):
    y, t, s, b = scene()
    common = [np.ones_like(y), s, b] if with_baseline else [np.ones_like(y), s]
    assigned = t - 0.3
    fit = sm.OLS(y, np.column_stack([*common, assigned, assigned * (s - s.mean())])).fit(cov_type="HC2")
    found = calibrate_score(y, t, s, share=0.3, baseline=b if with_baseline else None, alpha=0.1)
    for one, at in ((found.average, -2), (found.slope, -1)):
        assert (one.value, one.std_error) == pytest.approx((fit.params[at], fit.bse[at]), rel=1e-9)
        assert (one.interval.low, one.interval.high) == pytest.approx(fit.conf_int(alpha=0.1)[at], rel=1e-9)
    assert found.average.p_value == pytest.approx(fit.pvalues[-2], rel=1e-9)
    assert found.slope.p_value == pytest.approx(stats.norm.sf(fit.params[-1] / fit.bse[-1]), rel=1e-9)


def test_groups_and_their_spread_are_those_of_statsmodels():
    y, t, s, b = scene()
    groups = np.argsort(np.argsort(s)) * 5 // s.size
    design = np.column_stack([np.ones_like(y), s, b, (t - 0.3)[:, None] * (groups[:, None] == np.arange(5))])
    fit = sm.OLS(y, design).fit(cov_type="HC2")
    found = effects_by_score(y, t, s, groups, share=0.3, baseline=b)
    joint = fit.conf_int(alpha=0.05 / 5)[3:]
    for k, one in enumerate(found.groups):
        assert (one.value, one.std_error) == pytest.approx((fit.params[3 + k], fit.bse[3 + k]), rel=1e-9)
        assert (one.interval.low, one.interval.high) == pytest.approx(joint[k], rel=1e-9)
    contrast = fit.t_test([0, 0, 0, -1, 0, 0, 0, 1])
    assert (found.spread.value, found.spread.std_error) == pytest.approx((contrast.effect[0], contrast.sd[0, 0]), rel=1e-9)
    assert found.spread.p_value == pytest.approx(float(contrast.pvalue), rel=1e-9)


@pytest.mark.parametrize(("offset", "scale"), [(1e6, 1.0), (0.0, 1e-9), (0.0, 1e9)])
def test_units_of_the_outcome_do_not_matter(offset, scale):
    plain, moved = (calibrate_score(y, t, s, share=0.3, baseline=b) for y, t, s, b in (scene(), scene(offset=offset, scale=scale)))
    assert moved.slope.value == pytest.approx(plain.slope.value, rel=1e-6)
    assert moved.slope.p_value == pytest.approx(plain.slope.p_value, rel=1e-5)
    assert moved.average.value == pytest.approx(scale * plain.average.value, rel=1e-6)


def test_a_baseline_that_is_a_line_of_the_score_is_left_out():
    y, t, s, _ = scene()
    plain = calibrate_score(y, t, s, share=0.3)
    for baseline in (2.0 * s + 1.0, np.full(s.size, 3.0)):
        assert calibrate_score(y, t, s, share=0.3, baseline=baseline).slope == plain.slope


@pytest.mark.slow
@pytest.mark.parametrize(("slope", "kind"), [(0.0, "size"), (1.0, "cover")])
def test_the_slope_keeps_its_level_and_covers(slope, kind):
    """Size of the one-sided test, and coverage of 95% intervals, in 2,000 experiments; exact binomial bounds."""
    hits = 0
    for seed in range(2_000):
        y, t, s, b = scene(n=800, seed=seed, slope=slope)
        found = calibrate_score(y, t, s, share=0.3, baseline=b).slope
        hits += found.p_value < 0.05 if kind == "size" else not found.interval.excludes(slope)
    assert stats.binomtest(hits, 2_000, 0.05 if kind == "size" else 0.95).pvalue > 0.001, hits


Y, T, S, B = scene(n=200)


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: calibrate_score(Y, T, S[:-1], share=0.3), UsageError, "one value a unit"),
        (lambda: calibrate_score(Y, T, S, share=0.3, baseline=B[:-1]), UsageError, "one value a unit"),
        (lambda: calibrate_score(Y, T, S, share=1.0), UsageError, "share"),
        (lambda: calibrate_score(Y, T, S, share=0.3, alpha=0), UsageError, "alpha"),
        (lambda: calibrate_score(Y, T + 1, S, share=0.3), UsageError, "treated"),
        (lambda: calibrate_score(Y, np.zeros(200), S, share=0.3), NotEnoughDataError, "Both arms"),
        (lambda: calibrate_score(Y, T, np.ones(200), share=0.3), DataError, "sorts nothing"),
        (lambda: calibrate_score(np.where(Y > 1, np.nan, Y), T, S, share=0.3), DataError, "finite"),
        (lambda: calibrate_score(np.ones(200), T, S, share=0.3), DataError, "do not vary"),
        (lambda: effects_by_score(Y, T, S, np.zeros(200, int), share=0.3), UsageError, "Groups"),
        (lambda: effects_by_score(Y, T, S, np.arange(200) % 2 * 2, share=0.3), UsageError, "Groups"),
        (lambda: effects_by_score(Y, T, S, (T > 0).astype(int), share=0.3), NotEnoughDataError, "both arms"),
    ],
)
def test_what_breaks_a_rule_is_refused(call, error, said):
    with pytest.raises(error, match=said):
        call()
