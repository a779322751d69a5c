"""Wilson's limits solve their equation and Newcombe's interval of a difference is made of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from fairtrial.stats.wilson import LARGEST_Z, newcombe_distance, newcombe_z, wilson_low

sizes = st.sampled_from([1, 3, 20, 148, 9_500, 10_000_000])
arms = sizes.flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
quantiles = st.floats(0.01, 8.0)


def array(*values):
    return [np.array([float(v)]) for v in values]


@settings(max_examples=100, deadline=None)
@given(arm=arms, z=quantiles)
def test_a_limit_lies_z_of_its_own_standard_errors_from_the_rate(arm, z):
    x, n = arm
    low = wilson_low(*array(x, n, z)).item()
    assert 0.0 <= low <= x / n
    assert x / n - low == pytest.approx(z * (low * (1 - low) / n) ** 0.5, rel=1e-6, abs=1e-15)


@pytest.mark.parametrize(("x", "n"), [(0, 20), (1, 29), (15, 148), (81, 263), (10, 10)])
def test_limits_are_those_of_statsmodels(x, n):
    low, high = proportion_confint(x, n, alpha=0.05, method="wilson")
    z = 1.959963984540054
    assert wilson_low(*array(x, n, z)).item() == pytest.approx(low, rel=1e-12, abs=1e-15)
    assert 1.0 - wilson_low(*array(n - x, n, z)).item() == pytest.approx(high, rel=1e-12)


@settings(max_examples=100, deadline=None)
@given(control=arms, treatment=arms, margin=st.floats(-0.99, 0.99))
def test_the_limit_at_the_touching_z_is_the_margin(control, treatment, margin):
    z = newcombe_z(*array(*control, *treatment, margin)).item()
    effect = treatment[0] / treatment[1] - control[0] / control[1]
    down, up = (treatment, control) if z > 0 else (control, treatment)
    reach = newcombe_distance(*array(*down, *up, abs(z))).item()
    if abs(z) < LARGEST_Z - 1e-9:
        assert reach == pytest.approx(abs(effect - margin), rel=1e-9, abs=1e-12)
    else:
        assert reach < abs(effect - margin)


def test_a_margin_that_no_limit_reaches_has_the_largest_z():
    # Of 1/2 against 1/2 no limit lies below -sqrt(1/2), whatever its level.
    assert newcombe_z(*array(5, 10, 5, 10, -0.9)).item() == pytest.approx(LARGEST_Z, rel=1e-12)
