"""Sums by bucket."""

from __future__ import annotations

import math

import duckdb
import numpy as np
import pytest

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.resampling.buckets import BucketSums, bucket_sums, cluster_sums, unit_sums


def rows(n=500, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(3.0, 2.0, size=(n, 2)), rng.integers(0, 40, size=n)


def test_sums_are_those_of_a_group_by():
    """What a warehouse gives for the same rows: count, sums about a constant, sums of products."""
    x, ids = rows()
    found = bucket_sums(x, ids, products=True)
    a, b = found.center.tolist()
    listed = duckdb.execute(
        f"SELECT count(*), sum(x - {a!r}), sum(y - {b!r}), sum((x - {a!r}) * (x - {a!r})), sum((x - {a!r}) * (y - {b!r})) "
        "FROM (SELECT unnest($1) AS x, unnest($2) AS y, unnest($3) AS bucket) GROUP BY bucket ORDER BY bucket",
        [x[:, 0].tolist(), x[:, 1].tolist(), ids.tolist()],
    ).fetchall()
    ours = np.column_stack([found.n, found.sums, found.products[:, 0, 0], found.products[:, 1, 0]])
    np.testing.assert_allclose(ours, np.array(listed), rtol=1e-9, atol=1e-9)


def test_empty_buckets_are_left_out_and_units_counted():
    found = bucket_sums([1.0, 2.0, 3.0], [0, 5, 5], buckets=1000)
    assert found.n.tolist() == [1.0, 2.0]
    assert (found.units, found.columns, found.products) == (3, 1, None)


def test_one_unit_a_bucket_and_one_cluster_a_bucket():
    units = unit_sums([[1.0, 2.0], [3.0, 5.0]], products=True)
    assert units.n.tolist() == [1.0, 1.0]
    assert units.products[0].tolist() == [[1.0, 1.5], [1.5, 2.25]]
    clusters = cluster_sums([1.0, 2.0, 6.0], ["b", "a", "b"])
    assert clusters.n.tolist() == [1.0, 2.0]
    assert clusters.sums[:, 0].tolist() == [-1.0, 1.0]


def test_an_offset_of_1e9_costs_no_digits():
    x, ids = rows()
    plain, far = bucket_sums(x, ids, products=True), bucket_sums(x + 1e9, ids, products=True)
    np.testing.assert_allclose(far.products, plain.products, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(far.sums, plain.sums, atol=1e-4)


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: bucket_sums([], []), DataError, "at least one row"),
        (lambda: bucket_sums([[[1.0]]], [0]), DataError, "at least one row"),
        (lambda: bucket_sums([1.0, math.nan], [0, 1]), DataError, "1 NaN or infinite"),
        (lambda: bucket_sums([1.0, 2.0], [0]), UsageError, "integer of a bucket"),
        (lambda: bucket_sums([1.0, 2.0], [0.0, 1.0]), UsageError, "integer of a bucket"),
        (lambda: bucket_sums([1.0, 2.0], [0, 9], buckets=9), UsageError, r"0\.\.8, got 0\.\.9"),
        (lambda: bucket_sums([1.0, 2.0], [-1, 0]), UsageError, "got -1"),
        (lambda: bucket_sums([1.0, 2.0], [3, 3]), NotEnoughDataError, "two buckets with units, got 1"),
        (lambda: cluster_sums([1.0, 2.0], ["a"]), UsageError, "one cluster"),
        (lambda: unit_sums([1.0]), NotEnoughDataError, "got 1"),
        (lambda: BucketSums(n=np.ones(2), sums=np.ones((2, 1)), center=np.zeros(2)), UsageError, "sums"),
        (lambda: BucketSums(n=np.ones(2), sums=np.ones((2, 1)), center=np.zeros(1), products=np.ones((2, 2, 2))), UsageError, "Products"),
        (lambda: BucketSums(n=np.array([1.0, 0.0]), sums=np.ones((2, 1)), center=np.zeros(1)), DataError, "at least one unit"),
        (lambda: BucketSums(n=np.ones(2), sums=np.full((2, 1), math.inf), center=np.zeros(1)), DataError, "finite"),
    ],
)
def test_what_breaks_a_rule_is_refused(call, error, said):
    with pytest.raises(error, match=said):
        call()
