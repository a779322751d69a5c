"""Tails and quantiles against SciPy's distributions, and the one fact that interval and p-value share."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fairtrial.errors import UsageError
from fairtrial.stats.tails import critical_value, interval_of, p_value_of, upper_quantile, upper_tail

SIDES = ["two-sided", "greater", "less"]


def test_a_normal_tail_keeps_its_digits_at_nine_standard_errors():
    """G-12: 2 * sf(9) = 2.257e-19, where one minus the distribution function gives 0."""
    assert p_value_of(9.0, np.inf).item() == pytest.approx(2.2571768119076647e-19, rel=1e-12)
    assert p_value_of(-9.0, np.inf).item() == pytest.approx(2.2571768119076647e-19, rel=1e-12)


@pytest.mark.parametrize("df", [1.0, 2.5, 30.0, 633.97, 1e5])
@pytest.mark.parametrize("t", [0.0, 0.3, 2.0, 9.0, 40.0])
def test_tails_and_quantiles_are_those_of_scipy(t, df):
    """Oracle: scipy.stats.t, 1e-12."""
    assert upper_tail(t, df).item() == pytest.approx(stats.t.sf(t, df), rel=1e-12)
    assert upper_tail(-t, df).item() == pytest.approx(stats.t.cdf(t, df), rel=1e-12)
    assert upper_quantile(0.025, df).item() == pytest.approx(stats.t.isf(0.025, df), rel=1e-10)


def test_infinite_and_finite_degrees_of_freedom_stand_side_by_side():
    df = np.array([5.0, np.inf])
    assert p_value_of([2.0, 2.0], df) == pytest.approx([2 * stats.t.sf(2, 5), 2 * stats.norm.sf(2)], rel=1e-12)
    assert critical_value(0.05, df) == pytest.approx([stats.t.isf(0.025, 5), stats.norm.isf(0.025)], rel=1e-12)


@given(
    effect=st.floats(-5, 5), std_error=st.floats(0.1, 3), df=st.one_of(st.just(np.inf), st.floats(1, 1e4)),
    alpha=st.floats(0.001, 0.4), side=st.sampled_from(SIDES),
)  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_an_interval_excludes_zero_exactly_when_p_is_below_alpha(effect, std_error, df, alpha, side):
    """DESIGN 5, duality."""
    p_value = p_value_of(effect / std_error, df, side).item()
    low, high = interval_of(effect, std_error, df, alpha=alpha, alternative=side)
    if abs(p_value - alpha) > 1e-9:
        assert (low.item() > 0 or high.item() < 0) == (p_value < alpha)


def test_alpha_may_differ_by_entry():
    low, _ = interval_of([1.0, 1.0], 1.0, np.inf, alpha=[0.05, 0.01])
    assert low == pytest.approx([1 - stats.norm.isf(0.025), 1 - stats.norm.isf(0.005)])


@pytest.mark.parametrize("alpha", [0.0, 1.0, 95.0, -0.1, [0.05, 1.5]])
def test_an_alpha_that_is_no_error_rate_is_refused(alpha):
    with pytest.raises(UsageError, match=r"alpha must lie in \(0, 1\)"):
        critical_value(alpha, 10.0)


def test_an_unknown_alternative_is_refused():
    with pytest.raises(UsageError, match="'larger'"):
        p_value_of(1.0, 10.0, "larger")
