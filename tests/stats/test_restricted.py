"""The restricted maximum of the likelihood is right to twelve digits, in large arms and at the bounds too."""

from __future__ import annotations

import decimal
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairtrial.stats.restricted import restricted_variance

RELATIVE = 1e-12
"""What remains where three roots cluster; elsewhere the variance is right to the last digit."""


def variance(*counts_and_delta):
    return restricted_variance(*(np.array([float(v)]) for v in counts_and_delta)).item()


def variance_in_60_digits(x_c, n_c, x_t, n_t, delta):
    """The same by bisection of the likelihood's slope in decimal arithmetic."""
    with decimal.localcontext() as context:
        context.prec = 60
        x_c, n_c, x_t, n_t, delta = (Decimal(v) for v in (x_c, n_c, x_t, n_t, delta))
        low, high = max(Decimal(0), -delta), min(Decimal(1), 1 - delta)
        for _ in range(190):
            p = (low + high) / 2
            q = p + delta
            control = (x_c * (1 - p) - (n_c - x_c) * p) * q * (1 - q)
            treatment = (x_t * (1 - q) - (n_t - x_t) * q) * p * (1 - p)
            low, high = (p, high) if control + treatment > 0 else (low, p)
        return float(low * (1 - low) / n_c + (low + delta) * (1 - low - delta) / n_t)


@st.composite
def tables(draw):
    sizes = [draw(st.sampled_from([1, 2, 7, 40, 999, 60_000, 10_000_000])) for _ in range(2)]
    return [v for n in sizes for v in (draw(st.one_of(st.integers(0, n), st.integers(0, min(n, 5)), st.integers(max(0, n - 5), n))), n)]


deltas = st.one_of(
    st.floats(-0.999, 0.999),
    st.sampled_from([1e-9, 1e-5, 1e-3, 1 - 1e-9, 1 - 1e-4]).flatmap(lambda d: st.sampled_from([d, -d])),
)


@settings(max_examples=250, deadline=None)
@given(table=tables(), delta=deltas)
def test_the_variance_agrees_with_sixty_digits(table, delta):
    expected = variance_in_60_digits(*table, delta)
    assert variance(*table, delta) == pytest.approx(expected, rel=RELATIVE, abs=1e-30)


@pytest.mark.parametrize(
    ("table", "delta"),
    [
        ((621413, 2266631, 0, 625), -0.2740242822941432),
        ((0, 99, 61605, 225161), 0.2732692973285564),
        ((32, 14083925, 0, 2), 0.9999969740201435),
        ((125796, 125797, 1, 360765), -0.9999999951717483),
        ((0, 10_000_000, 0, 10_000_000), 1e-7),
        ((1, 10_000_000, 0, 3), -1e-7),
    ],
)
def test_roots_that_cluster_keep_their_digits(table, delta):
    assert variance(*table, delta) == pytest.approx(variance_in_60_digits(*table, delta), rel=RELATIVE)


@settings(max_examples=50, deadline=None)
@given(table=tables())
def test_without_difference_the_rates_are_the_pooled_rate(table):
    x_c, n_c, x_t, n_t = table
    pooled = (x_c + x_t) / (n_c + n_t)
    failed = (n_c - x_c + n_t - x_t) / (n_c + n_t)
    assert variance(*table, 0.0) == pytest.approx(pooled * failed * (1 / n_c + 1 / n_t), rel=1e-14)


@settings(max_examples=100, deadline=None)
@given(table=tables(), delta=deltas)
def test_swapping_arms_or_counting_failures_changes_nothing(table, delta):
    x_c, n_c, x_t, n_t = table
    here = variance(*table, delta)
    assert variance(x_t, n_t, x_c, n_c, -delta) == pytest.approx(here, rel=RELATIVE)
    assert variance(n_c - x_c, n_c, n_t - x_t, n_t, -delta) == pytest.approx(here, rel=RELATIVE)


def test_at_the_observed_difference_the_rates_are_the_observed_ones():
    # Without a restriction that binds, the restricted maximum is the maximum (Miettinen & Nurminen 1985).
    assert variance(56, 70, 48, 80, 48 / 80 - 56 / 70) == pytest.approx(0.8 * 0.2 / 70 + 0.6 * 0.4 / 80, rel=1e-14)


def test_a_batch_equals_its_entries():
    rng = np.random.default_rng(7)
    n = rng.integers(1, 500, (2, 40)).astype(float)
    x = np.floor(n * rng.uniform(size=n.shape))
    delta = rng.uniform(-1, 1, 40)
    batch = restricted_variance(x[0], n[0], x[1], n[1], delta)
    alone = [variance(x[0, i], n[0, i], x[1, i], n[1, i], delta[i]) for i in range(40)]
    np.testing.assert_allclose(batch, alone, rtol=RELATIVE)
