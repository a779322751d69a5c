"""Every interval leaves a margin out exactly when its own test rejects it."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.special import ndtri

from fairtrial.spec.plan import CiMethod as DeclaredCiMethod
from fairtrial.stats.inversion import CiMethod, Tables, limits, null_std_error, statistic

METHODS = get_args(CiMethod)
SLACK = 1e-9
"""Margins this far from a limit are on their side of it."""


def tables_of(x_c, n_c, x_t, n_t):
    return Tables(*(np.array([float(v)]) for v in (x_c, n_c, x_t, n_t)))


def interval_of(method, tables, z):
    low, high = limits(method, tables, np.array([z]))
    return low.item(), high.item()


def z_of(method, tables, margin):
    return statistic(method, tables, np.array([margin])).item()


sizes = st.sampled_from([1, 2, 9, 50, 2_000, 40_000, 10_000_000])
arms = sizes.flatmap(
    lambda n: st.tuples(st.one_of(st.integers(0, n), st.integers(0, min(n, 3)), st.integers(max(0, n - 3), n)), st.just(n))
)
quantiles = st.floats(0.05, 6.0)


def test_a_plan_declares_exactly_these_methods():
    assert get_args(DeclaredCiMethod) == METHODS


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=80, deadline=None)
@given(control=arms, treatment=arms, z=quantiles)
def test_the_statistic_at_a_limit_is_z(method, control, treatment, z):
    """G-12: interval and p-value always agree, at every margin and level."""
    tables = tables_of(*control, *treatment)
    assume(method != "wald" or null_std_error("wald", tables, np.zeros(1)).item() > 0.0)
    low, high = interval_of(method, tables, z)
    assert low <= high
    for limit, inside in ((low, 1.0), (high, -1.0)):
        outside, within = limit - inside * SLACK, limit + inside * SLACK
        if -1.0 < outside < 1.0:
            assert inside * z_of(method, tables, outside) >= z * (1 - SLACK)
        if -1.0 < within < 1.0:
            assert inside * z_of(method, tables, within) <= z * (1 + SLACK)


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=40, deadline=None)
@given(control=arms, treatment=arms, z=quantiles, margin=st.floats(-0.99, 0.99))
def test_swapping_the_arms_negates_and_mirrors(method, control, treatment, z, margin):
    tables = tables_of(*control, *treatment)
    assume(null_std_error("wald", tables, np.zeros(1)).item() > 0.0 or (margin and method != "wald"))
    low, high = interval_of(method, tables, z)
    mirrored = interval_of(method, tables.swapped, z)
    assert mirrored == (pytest.approx(-high, rel=1e-9, abs=1e-12), pytest.approx(-low, rel=1e-9, abs=1e-12))
    assert z_of(method, tables.swapped, -margin) == pytest.approx(-z_of(method, tables, margin), rel=1e-8, abs=1e-8)


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=40, deadline=None)
@given(control=arms, treatment=arms, z=quantiles, more=st.floats(1.01, 3.0))
def test_a_larger_quantile_gives_a_wider_interval(method, control, treatment, z, more):
    tables = tables_of(*control, *treatment)
    low, high = interval_of(method, tables, z)
    lower, higher = interval_of(method, tables, z * more)
    assert lower <= low + 1e-12
    assert higher >= high - 1e-12


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=40, deadline=None)
@given(control=arms, treatment=arms, margins=st.lists(st.floats(-0.999, 0.999), min_size=2, max_size=2, unique=True))
def test_the_statistic_falls_as_the_margin_rises(method, control, treatment, margins):
    tables = tables_of(*control, *treatment)
    assume(null_std_error("wald", tables, np.zeros(1)).item() > 0.0)
    first, second = (z_of(method, tables, margin) for margin in sorted(margins))
    assert first >= second - 1e-9 * abs(first)


@pytest.mark.parametrize("method", ["score", "miettinen-nurminen", "newcombe"])
@settings(max_examples=40, deadline=None)
@given(control=arms, treatment=arms, z=quantiles)
def test_limits_are_differences_of_rates_around_the_observed_one(method, control, treatment, z):
    tables = tables_of(*control, *treatment)
    low, high = interval_of(method, tables, z)
    assert -1.0 <= low <= tables.effect.item() + 1e-15
    assert tables.effect.item() - 1e-15 <= high <= 1.0


EXAMPLES = [
    (48, 80, 56, 70),
    (3, 10, 9, 10),
    (2, 7, 6, 7),
    (0, 29, 5, 56),
    (0, 20, 0, 10),
    (0, 10, 0, 10),
    (0, 20, 10, 10),
    (0, 10, 10, 10),
]
PUBLISHED = {
    "miettinen-nurminen": [
        (0.0528, 0.3382),
        (0.1700, 0.8406),
        (0.0342, 0.8534),
        (-0.0326, 0.1933),
        (-0.1658, 0.2844),
        (-0.2879, 0.2879),
        (0.7156, 1.0000),
        (0.6636, 1.0000),
    ],
    "newcombe": [
        (0.0524, 0.3339),
        (0.1705, 0.8090),
        (0.0582, 0.8062),
        (-0.0381, 0.1926),
        (-0.1611, 0.2775),
        (-0.2775, 0.2775),
        (0.6791, 1.0000),
        (0.6075, 1.0000),
    ],
}
"""Newcombe (1998), Statistics in Medicine 17, 873-890, table II, methods 6 and 10: 95% limits of eight examples, 4 decimals."""


@pytest.mark.parametrize("method", PUBLISHED)
def test_published_limits(method):
    z = -ndtri(0.025)
    got = [interval_of(method, tables_of(*table), z) for table in EXAMPLES]
    assert got == [pytest.approx(ends, abs=5.1e-5) for ends in PUBLISHED[method]]


def test_a_batch_of_any_shape_equals_its_entries():
    rng = np.random.default_rng(11)
    n_c, n_t = rng.integers(1, 400, (2, 3, 4, 5)).astype(float)
    x_c, x_t = np.floor(n_c * rng.uniform(size=n_c.shape)), np.floor(n_t * rng.uniform(size=n_c.shape))
    z = rng.uniform(0.5, 4.0, n_c.shape)
    for method in METHODS:
        low, high = limits(method, Tables(x_c, n_c, x_t, n_t), z)
        for index in np.ndindex(n_c.shape):
            alone = interval_of(method, tables_of(x_c[index], n_c[index], x_t[index], n_t[index]), z[index])
            assert alone == pytest.approx((low[index], high[index]), rel=1e-12, abs=1e-14)
