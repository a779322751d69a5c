"""Relative lift: each interval against its definition, and said to be missing where there is none."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats
from statsmodels.stats.proportion import confint_proportions_2indep

from fairtrial.errors import DataError, UsageError
from fairtrial.stats.contrast import expand, linear_contrast
from fairtrial.stats.lift import lift_estimate, lift_interval, lift_of_means, lift_std_error, relative_lift
from fairtrial.stats.moments import CoMoments, Moments
from fairtrial.stats.proportions import ProportionContrast

METHODS = ["delta", "log", "fieller"]
GOLDEN = (Moments.from_summary(n=578, mean=1.00692, sd=0.1017), Moments.from_summary(n=577, mean=1.18198, sd=0.4524))


def means(*arms):
    """A contrast over pairs of arms."""
    return linear_contrast(expand([CoMoments.of(c) for c, _ in arms]), expand([CoMoments.of(t) for _, t in arms]))


def test_the_golden_relative_interval():
    """Requirements, Part V: relative_lift_ci [0.135945, 0.211769] by the delta method, normal quantile."""
    estimate = lift_of_means(*GOLDEN)
    assert estimate.lift == pytest.approx(0.173857, abs=5e-7)
    assert (estimate.interval.low, estimate.interval.high) == pytest.approx((0.135945, 0.211769), abs=1e-6)


def test_log_on_proportions_is_katz():
    """Oracle: statsmodels confint_proportions_2indep(compare="ratio", method="log"), 1e-10."""
    contrast = ProportionContrast(successes_control=14, n_control=28, successes_treatment=16, n_treatment=30)
    low, high = lift_interval(contrast, alpha=0.05, method="log")
    expected = confint_proportions_2indep(16, 30, 14, 28, compare="ratio", method="log")
    assert (low.item() + 1, high.item() + 1) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("quantile", ["normal", "t"])
def test_fieller_ends_where_the_pivot_meets_the_critical_value(quantile):
    """Oracle: root of (t - (1 + r) c) / se = -+ critical value, found numerically."""
    (control, treatment), contrast = GOLDEN, means(GOLDEN)
    reach = stats.norm.isf(0.05) if quantile == "normal" else stats.t.isf(0.05, contrast.df.item())

    def pivot(lift):
        variance = treatment.variance / treatment.n + (1 + lift) ** 2 * control.variance / control.n
        return (treatment.mean - (1 + lift) * control.mean) / math.sqrt(variance)

    low, high = lift_interval(contrast, alpha=0.1, method="fieller", quantile=quantile)
    assert low.item() == pytest.approx(optimize.brentq(lambda r: pivot(r) - reach, -1, 0.17), rel=1e-9)
    assert high.item() == pytest.approx(optimize.brentq(lambda r: pivot(r) + reach, 0.17, 2), rel=1e-9)


def test_fieller_of_a_control_that_may_be_zero_is_unbounded_and_says_so():
    noisy = Moments.from_summary(n=20, mean=0.1, sd=3.0)
    bounds = lift_interval(means((noisy, GOLDEN[1]), GOLDEN), alpha=0.05, method="fieller")
    assert bounds.defined.tolist() == [False, True]
    assert (bounds.low[0], bounds.high[0]) == (-np.inf, np.inf)
    assert lift_of_means(noisy, GOLDEN[1], method="fieller").interval is None


@pytest.mark.parametrize("method", METHODS)
def test_one_sided_intervals_are_the_ends_of_the_two_sided_one_at_twice_alpha(method):
    contrast = means(GOLDEN)
    both = lift_interval(contrast, alpha=0.1, method=method)
    greater = lift_interval(contrast, alpha=0.05, method=method, alternative="greater")
    less = lift_interval(contrast, alpha=0.05, method=method, alternative="less")
    assert (greater.low.item(), greater.high.item()) == (pytest.approx(both.low.item(), rel=1e-12), np.inf)
    assert (less.low.item(), less.high.item()) == (-np.inf, pytest.approx(both.high.item(), rel=1e-12))
    assert greater.defined.all()
    assert less.defined.all()


@given(
    mean=st.floats(1, 100), ratio=st.floats(0.5, 2), sd=st.floats(0.1, 0.5), n=st.integers(100, 10_000),
    method=st.sampled_from(METHODS), side=st.sampled_from(["two-sided", "greater", "less"]), scale=st.floats(0.01, 1000),
)  # fmt: skip
@settings(max_examples=120, deadline=None)
def test_a_lift_has_no_unit(mean, ratio, sd, n, method, side, scale):
    def pair(k):
        control = Moments.from_summary(n=n, mean=k * mean, sd=k * sd * mean)
        return control, Moments.from_summary(n=2 * n, mean=k * ratio * mean, sd=k * sd * mean)

    one, other = (lift_of_means(*pair(k), method=method, alternative=side) for k in (1.0, scale))
    assert other.lift == pytest.approx(one.lift, rel=1e-9, abs=1e-12)
    assert (other.interval.low, other.interval.high) == pytest.approx((one.interval.low, one.interval.high), rel=1e-6, abs=1e-9)
    assert one.interval.low <= one.lift <= one.interval.high


@given(mean=st.floats(1, 100), ratio=st.floats(0.5, 2), sd=st.floats(0.05, 0.3))
@settings(max_examples=60, deadline=None)
def test_swapping_the_arms_inverts_log_and_fieller_intervals(mean, ratio, sd):
    one, other = Moments.from_summary(n=500, mean=mean, sd=sd * mean), Moments.from_summary(n=900, mean=ratio * mean, sd=sd * mean)
    for method in ("log", "fieller"):
        forth, back = lift_of_means(one, other, method=method).interval, lift_of_means(other, one, method=method).interval
        assert (1 / (1 + back.high), 1 / (1 + back.low)) == pytest.approx((1 + forth.low, 1 + forth.high), rel=1e-9)


def test_the_three_methods_agree_with_many_units():
    arms = Moments.from_summary(n=10**7, mean=5, sd=2), Moments.from_summary(n=10**7, mean=5.05, sd=2)
    ends = np.array([lift_interval(means(arms), alpha=0.05, method=method) for method in METHODS])
    assert np.ptp(ends, axis=0).max() < 1e-6


@pytest.mark.parametrize(
    ("control", "method", "defined"),
    [(0.0, "delta", False), (-2.0, "delta", True), (0.0, "log", False), (-2.0, "log", False), (0.0, "fieller", False)],
)
def test_a_lift_over_nothing_is_not_defined(control, method, defined):
    """No warning and no NaN: the entry is flagged, its neighbour has its interval."""
    odd = Moments.from_summary(n=400, mean=control, sd=1.0)
    contrast = means((odd, GOLDEN[1]), GOLDEN)
    bounds = lift_interval(contrast, alpha=0.05, method=method)
    assert bounds.defined.tolist() == [defined, True]
    assert not np.isnan(np.concatenate(bounds)).any()
    assert np.isnan(relative_lift(contrast)).tolist() == [control == 0.0, False]
    if not defined:
        with pytest.raises(DataError, match="control value other than zero"):
            lift_of_means(odd, GOLDEN[1], method=method)


def test_a_lift_of_arms_without_variance_is_refused():
    constant = Moments(n=10, mean=1.0, m2=0.0)
    with pytest.raises(DataError) as caught:
        lift_of_means(constant, constant)
    assert caught.value.code == "no_variance"


def test_the_lift_of_a_ratio_and_of_an_adjusted_mean_are_read_from_their_contrasts():
    rng = np.random.default_rng(4)
    control, treatment = (CoMoments.from_values(loc + rng.normal(0, 1, (300, 2)) @ [[1, 0.6], [0, 0.8]]) for loc in (6.0, 6.5))
    for layout in ("ratio", "mean_cuped"):
        contrast = linear_contrast(expand([control], layout), expand([treatment], layout))
        estimate = lift_estimate(contrast)
        assert estimate.lift == pytest.approx(contrast.treatment.item() / contrast.control.item() - 1, rel=1e-12)
        assert estimate.interval.low < estimate.lift < estimate.interval.high


@pytest.mark.parametrize("options", [{"method": "bayes"}, {"quantile": "z"}, {"alpha": 5.0}, {"alternative": "larger"}])
def test_a_wrong_option_is_refused(options):
    with pytest.raises(UsageError):
        lift_interval(means(GOLDEN), **({"alpha": 0.05} | options))


def test_fieller_has_no_standard_error():
    with pytest.raises(UsageError, match="'delta' or 'log'"):
        lift_std_error(means(GOLDEN), method="fieller")
