"""Merging sufficient statistics is pooling the units, at any offset."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fairtrial.errors import DataError, UsageError
from fairtrial.stats.moments import CoMoments, Moments

OFFSETS = st.sampled_from([0.0, 1.0, -1e6, 1e9])


def columns(k):
    return hnp.arrays(np.float64, st.tuples(st.integers(1, 40), st.just(k)), elements=st.floats(-100, 100, width=32))


def rounding(offset, n):
    """What rounding of means of the size of `offset` does to sums of products over n values within 200 of each other."""
    return 4e-16 * (abs(offset) + 100) * 200 * n


@given(first=columns(1), second=columns(1), offset=OFFSETS)
@settings(max_examples=150, deadline=None)
def test_adding_moments_is_pooling_values(first, second, offset):
    a, b = first[:, 0] + offset, second[:, 0] + offset
    merged, pooled = Moments.from_values(a) + Moments.from_values(b), Moments.from_values(np.concatenate([a, b]))
    noise = rounding(offset, pooled.n)
    assert merged.n == pooled.n
    assert merged.mean == pytest.approx(pooled.mean, rel=1e-14, abs=1e-12)
    assert merged.m2 == pytest.approx(pooled.m2, rel=1e-9, abs=noise)


@given(first=columns(3), second=columns(3), offset=OFFSETS)
@settings(max_examples=100, deadline=None)
def test_adding_co_moments_is_pooling_rows(first, second, offset):
    a, b = first + offset, second + offset
    merged, pooled = CoMoments.from_values(a) + CoMoments.from_values(b), CoMoments.from_values(np.concatenate([a, b]))
    np.testing.assert_allclose(merged.mean, pooled.mean, rtol=1e-14, atol=1e-12)
    np.testing.assert_allclose(merged.cross, pooled.cross, rtol=1e-9, atol=rounding(offset, pooled.n))


def test_a_variance_survives_an_offset_of_a_billion():
    rng = np.random.default_rng(11)
    values = rng.normal(0, 1, 1000)
    shifted = Moments.from_values(values + 1e9)
    assert shifted.variance == pytest.approx(values.var(ddof=1), rel=1e-6)


def test_a_column_of_co_moments_is_its_moments():
    rng = np.random.default_rng(12)
    values = rng.normal(5, 2, (50, 2))
    column, alone = CoMoments.from_values(values).column(1), Moments.from_values(values[:, 1])
    assert (column.n, column.mean, column.m2) == pytest.approx((alone.n, alone.mean, alone.m2), rel=1e-12)
    assert CoMoments.of(alone).column().m2 == alone.m2


def test_successes_are_the_moments_of_zeros_and_ones():
    counted, raw = Moments.from_successes(3, 10), Moments.from_values([1, 1, 1] + [0] * 7)
    assert (counted.n, counted.mean, counted.m2) == pytest.approx((raw.n, raw.mean, raw.m2), rel=1e-12)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: Moments(n=0, mean=0.0, m2=0.0), DataError),
        (lambda: Moments(n=2, mean=float("nan"), m2=0.0), DataError),
        (lambda: Moments(n=2, mean=0.0, m2=-1.0), DataError),
        (lambda: Moments.from_values([]), DataError),
        (lambda: Moments.from_successes(5, 4), UsageError),
        (lambda: Moments(n=1, mean=0.0, m2=0.0).variance, DataError),
        (lambda: CoMoments(n=2, mean=np.zeros(2), cross=np.zeros((3, 3))), UsageError),
        (lambda: CoMoments(n=0, mean=np.zeros(1), cross=np.zeros((1, 1))), DataError),
        (lambda: CoMoments(n=2, mean=np.array([np.inf]), cross=np.zeros((1, 1))), DataError),
        (lambda: CoMoments(n=2, mean=np.zeros(1), cross=-np.ones((1, 1))), DataError),
        (lambda: CoMoments.from_values(np.zeros((0, 2))), DataError),
    ],
)
def test_moments_that_cannot_be_are_refused(make, error):
    with pytest.raises(error):
        make()
