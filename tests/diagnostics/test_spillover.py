"""Spillover between units: the test against a slow one, planted spillover, and its error rate (IN-13)."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from fairtrial.diagnostics.spillover import find_spillover, neighbours_of_clusters, neighbours_of_edges
from fairtrial.errors import UsageError


def world(rng, units=1500, edges=6000, spill=0.0, effect=0.5):
    """A random network, arms by coin, and outcomes that follow the own arm and the share of treated neighbours."""
    near = neighbours_of_edges(rng.integers(0, units, (edges, 2)), units)
    treated = rng.random(units) < 0.5
    degree = np.asarray(near.sum(axis=1)).ravel()
    dose = np.divide(near @ treated.astype(float), degree, out=np.zeros(units), where=degree > 0)
    return rng.normal(size=units) + effect * treated + spill * dose, treated, near


def test_edges_and_clusters_make_neighbours():
    near = neighbours_of_edges([[0, 1], [1, 0], [1, 2], [2, 2]], 4)
    assert near.toarray().tolist() == [[0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    assert neighbours_of_edges([], 3).nnz == 0
    inside = neighbours_of_clusters([0, 0, 1, -1, 1, 0])
    assert inside.toarray()[0].tolist() == [0, 1, 0, 0, 0, 1]
    assert inside.toarray()[3].tolist() == [0] * 6
    with pytest.raises(UsageError, match="below 2"):
        neighbours_of_edges([[0, 2]], 2)


def test_the_statistic_is_that_of_a_slow_loop():
    """The same focal units and the same draws, one assignment at a time."""
    y, treated, near = world(np.random.default_rng(3), units=600, edges=1500, spill=1.0)
    found = find_spillover(y, treated, near, rng=np.random.default_rng(9), draws=199)
    rng = np.random.default_rng(9)
    focal = rng.random(600) < 0.5
    degree = np.asarray(near.sum(axis=1)).ravel()
    rows = np.flatnonzero(~treated & (degree > 0) & focal)
    others = np.flatnonzero(~focal)
    matrix = near.toarray()

    def dose_of(arms):
        return (matrix @ arms)[rows] / degree[rows]

    mean_arms = treated.astype(float).copy()
    mean_arms[others] = treated[others].mean()
    expected = dose_of(mean_arms)
    centred = y[rows] - y[rows].mean()
    seen = abs(centred @ (dose_of(treated.astype(float)) - expected))
    beaten = 0
    for start in range(0, 199, 64):
        count = min(64, 199 - start)
        for arms in rng.permuted(np.broadcast_to(treated[others].astype(float), (count, others.size)), axis=1):
            again = treated.astype(float).copy()
            again[others] = arms
            beaten += abs(centred @ (dose_of(again) - expected)) >= seen
    assert found.p_value == pytest.approx((1 + beaten) / 200)
    assert found.focal_controls == rows.size


def test_a_planted_spillover_is_found_with_its_size_and_doses():
    y, treated, near = world(np.random.default_rng(5), units=6000, edges=15_000, spill=1.5)
    found = find_spillover(y, treated, near, rng=np.random.default_rng(1))
    assert found.has_spillover is True
    assert found.p_value == pytest.approx(1 / 2000)
    assert found.ci_low < 1.5 < found.ci_high
    assert found.ci_low > 0
    assert found.slope == pytest.approx(1.5, abs=0.6)
    means = [band.mean for band in found.doses]
    assert means[0] < means[2] < means[4]
    assert sum(band.n for band in found.doses) == found.connected_controls


def test_too_little_is_said_and_not_tested():
    rng = np.random.default_rng(2)
    y, treated, near = world(rng, units=100, edges=100)
    assert find_spillover(y, treated, near, rng=rng).unavailable_reason == "too_few_connected_controls"
    y, treated, near = world(rng)
    assert find_spillover(np.ones(y.size), treated, near, rng=rng).unavailable_reason == "no_variance"
    nobody = find_spillover(y, np.zeros(y.size, dtype=bool), near, rng=rng)
    assert (nobody.unavailable_reason, nobody.has_spillover) == ("one_arm_only", None)
    with pytest.raises(UsageError, match="same units"):
        find_spillover(y[:5], treated, near, rng=rng)
    with pytest.raises(UsageError, match="99 draws"):
        find_spillover(y, treated, near, rng=rng, draws=10)


@pytest.mark.slow
def test_size_and_coverage():
    """Without spillover 5 % reject; with a linear one 95 % of the intervals hold it."""
    runs, rng = 600, np.random.default_rng(11)
    rejected = sum(bool(find_spillover(*world(rng, units=800, edges=2400), rng=rng, draws=199).has_spillover) for _ in range(runs))
    assert stats.binomtest(rejected, runs, 0.05).pvalue > 1e-3, rejected
    held = 0
    for _ in range(runs):
        found = find_spillover(*world(rng, units=800, edges=2400, spill=1.0), rng=rng, draws=199)
        low = -np.inf if found.ci_low is None else found.ci_low
        held += low <= 1.0 <= (np.inf if found.ci_high is None else found.ci_high)
    assert stats.binomtest(held, runs, 0.95, alternative="less").pvalue > 1e-3, held
