"""Tabulated densities: probabilities, quantiles, far tails and shortest intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from fairtrial.stats.bayes.table import far_tail, shortest, tabulate


def table_of(log_density, low, high, center, *, breaks=0.0):
    ends = (np.array([float(x)]) for x in (low, high))
    return tabulate(lambda _, x: log_density(x), *ends, center=np.array([float(center)]), breaks=np.array([[breaks]]))


def test_a_normal_density_gives_the_normal_distribution():
    """Oracle: SciPy's normal distribution, 1e-10."""
    table = table_of(lambda x: -0.5 * x * x, -9, 9, 0.1)
    points = np.linspace(-8, 8, 41)[None]
    assert table.cdf(points)[0] == pytest.approx(stats.norm.cdf(points[0]), abs=1e-10)
    assert table.sf(points)[0] == pytest.approx(stats.norm.sf(points[0]), abs=1e-10)
    assert table.density(points)[0] == pytest.approx(stats.norm.pdf(points[0]), abs=1e-9)
    assert table.log_total[0] == pytest.approx(0.5 * np.log(2 * np.pi), abs=1e-12)
    assert table.below[0, -1] == pytest.approx(1.0, abs=1e-14)
    probabilities = np.array([[0.001, 0.025, 0.5, 0.9, 0.999]])
    assert table.quantile(probabilities)[0] == pytest.approx(stats.norm.ppf(probabilities[0]), abs=1e-8)


def test_outside_the_table_there_is_no_density():
    table = table_of(lambda x: -0.5 * x * x, -9, 9, 0)
    assert table.density(np.array([[-20.0, 20.0]]))[0].tolist() == [0.0, 0.0]
    assert table.cdf(np.array([[-20.0, 20.0]]))[0] == pytest.approx([0.0, 1.0])


def test_a_kink_at_a_break_point_costs_nothing():
    """Laplace's density: losses on either side of 0 are 1/2 each."""
    table = table_of(lambda x: -np.abs(x), -45, 45, 0.7)
    for upper in (False, True):
        side = table.tail(np.zeros(1), upper=upper)
        assert (side.probability[0], side.loss[0]) == pytest.approx((0.5, 0.5), abs=1e-10)


def test_a_singular_density_is_followed_to_its_end():
    """x^-1/2 on (0, 1): F = sqrt(x)."""
    table = table_of(lambda x: -0.5 * np.log(x), 0.0, 1.0, 0.5)
    points = np.array([[1e-6, 0.01, 0.3, 0.9]])
    assert table.cdf(points)[0] == pytest.approx(np.sqrt(points[0]), abs=1e-6)


def test_many_densities_stand_in_one_table():
    """Each of its own mean and width; oracle: SciPy."""
    mean, sd = np.array([-3.0, 0.0, 1e3]), np.array([1e-3, 5.0, 20.0])
    table = tabulate(lambda i, x: -0.5 * ((x - mean[i]) / sd[i]) ** 2, mean - 9 * sd, mean + 9 * sd, center=mean, breaks=np.zeros((3, 1)))
    assert table.size == 3
    assert table.quantile(np.full((3, 1), 0.975))[:, 0] == pytest.approx(mean + 1.959963984540054 * sd, rel=1e-10)


@pytest.mark.parametrize("z", [5.0, 12.0, 30.0, 37.0])
def test_a_far_tail_keeps_its_relative_precision(z):
    """Oracle: log of the normal tail and of its expected excess (Mills' ratio), 1e-9."""
    tail = far_tail(
        lambda _, x: -0.5 * x * x, np.array([z]), upper=True, log_total=np.array([0.5 * np.log(2 * np.pi)]), length=np.array([0.01])
    )
    assert np.log(tail.probability[0]) == pytest.approx(special.log_ndtr(-z), rel=1e-9)
    excess = np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi) * (1 - z * np.sqrt(np.pi / 2) * special.erfcx(z / np.sqrt(2)))
    assert tail.loss[0] == pytest.approx(excess, rel=1e-7)
    mirrored = far_tail(lambda _, x: -0.5 * x * x, np.array([-z]), upper=False, log_total=np.zeros(1), length=np.array([0.01]))
    assert mirrored.probability[0] == pytest.approx(tail.probability[0] * np.sqrt(2 * np.pi), rel=1e-12)


def test_beyond_the_end_of_a_density_nothing_is_left():
    def bounded(_, x):
        return np.where(np.abs(x) < 1, 0.0, -np.inf)

    tail = far_tail(bounded, np.array([2.0]), upper=True, log_total=np.zeros(1), length=np.array([0.01]))
    assert (tail.probability[0], tail.loss[0]) == (0.0, 0.0)


@given(shape=st.floats(1.5, 80), mass=st.floats(0.3, 0.99))
@settings(max_examples=15, deadline=None)
def test_no_interval_of_a_gamma_is_shorter(shape, mass):
    law = stats.gamma(shape)
    low, high = (x[0] for x in shortest(lambda p: law.ppf(np.minimum(p, 1 - 1e-15)), law.pdf, mass=np.array([mass])))
    assert law.cdf(high) - law.cdf(low) == pytest.approx(mass, abs=1e-8)
    assert law.pdf(low) == pytest.approx(law.pdf(high), rel=1e-5)
    for tail in np.linspace(1e-4, 1 - mass - 1e-4, 17):
        assert law.ppf(tail + mass) - law.ppf(tail) >= (high - low) * (1 - 1e-9)


def test_the_shortest_interval_of_a_falling_density_begins_where_it_does():
    law = stats.expon()
    low, high = shortest(lambda p: law.ppf(np.minimum(p, 1 - 1e-15)), law.pdf, mass=np.array([0.95]))
    assert (low[0], high[0]) == pytest.approx((0.0, -np.log(0.05)), abs=1e-12)


def test_the_shortest_interval_of_a_rising_density_ends_where_it_does():
    law = stats.beta(3, 1)
    low, high = shortest(law.ppf, law.pdf, mass=np.array([0.9]))
    assert (low[0], high[0]) == pytest.approx((law.ppf(0.1), 1.0), abs=1e-12)
