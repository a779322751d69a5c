"""The population stability index (ML-35)."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairtrial.errors import DataError, UsageError
from fairtrial.stats.stability import bins_of_numbers, population_stability

COUNTS = st.lists(st.integers(0, 500), min_size=2, max_size=8)


def test_the_index_is_the_symmetrised_divergence_of_the_shares() -> None:
    """A worked example: shares .5 .3 .2 against .4 .3 .3, large enough for the half counts not to matter."""
    found = population_stability([5e9, 3e9, 2e9], [4e9, 3e9, 3e9])
    assert found.psi == pytest.approx(0.1 * math.log(0.5 / 0.4) + 0.1 * math.log(0.3 / 0.2), rel=1e-8)
    assert found.bins == 3


@settings(deadline=None)
@given(COUNTS, COUNTS)
def test_the_index_is_symmetric_and_never_negative(first: list[int], second: list[int]) -> None:
    size = min(len(first), len(second))
    a, b = first[:size], second[:size]
    if sum(a) and sum(b):
        assert population_stability(a, b).psi == pytest.approx(population_stability(b, a).psi)
        assert population_stability(a, b).psi >= 0.0
        assert population_stability(a, a).psi == 0.0
        assert population_stability([*a, 0], [*b, 0]) == population_stability(a, b)


def test_chance_exceeds_its_level_once_in_a_hundred() -> None:
    """Yurdakul & Naranjo (2020): about chi-square; 4,000 draws, exact binomial bounds of 40 at 1e-6 are 13 and 76."""
    rng = np.random.default_rng(12)
    shares = np.full(10, 0.1)
    found = [population_stability(rng.multinomial(800, shares), rng.multinomial(500, shares)) for _ in range(4_000)]
    assert 13 <= sum(one.psi > one.chance for one in found) <= 76
    assert np.mean([one.p_value < 0.5 for one in found]) == pytest.approx(0.5, abs=0.04)
    assert population_stability([50] * 10, [50] * 10).chance < 0.2 < population_stability([3] * 10, [3] * 10).chance


def test_numbers_fall_into_tenths_of_the_reference_and_missing_ones_apart() -> None:
    reference = np.r_[np.arange(1_000.0), np.nan]
    base, current = bins_of_numbers(reference, np.r_[np.full(7, 1e6), np.nan, np.nan])
    assert base.tolist() == [100] * 10 + [1]
    assert current.tolist() == [0] * 9 + [7, 2]
    few, other = bins_of_numbers(np.array([1.0, 1.0, 2.0]), np.array([0.0, 1.5, 2.0, 3.0, np.nan]))
    assert few.tolist() == [2, 1, 0, 0]
    assert other.tolist() == [0, 1, 3, 1]


def test_samples_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(UsageError):
        population_stability([1, 2], [1])
    with pytest.raises(UsageError):
        population_stability([-1, 2], [1, 2])
    with pytest.raises(DataError):
        population_stability([0, 0], [1, 2])
    with pytest.raises(DataError):
        bins_of_numbers(np.array([np.nan]), np.array([1.0]))
    assert population_stability([3], [9]).psi == 0.0
