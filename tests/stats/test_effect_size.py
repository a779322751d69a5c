"""Effect sizes in standard deviations."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fairtrial.errors import DataError, NotEnoughDataError
from fairtrial.stats.effect_size import standardized_mean_difference
from fairtrial.stats.moments import Moments

GOLDEN = (Moments.from_summary(n=578, mean=1.00692, sd=0.1017), Moments.from_summary(n=577, mean=1.18198, sd=0.4524))


def test_the_golden_effect_sizes():
    """Requirements, Part V: cohens_d .534127, hedges_g .533779, glass_delta 1.721337, pooled_std .32775."""
    sizes = standardized_mean_difference(*GOLDEN)
    assert (sizes.cohens_d, sizes.glass_delta, sizes.pooled_sd) == pytest.approx((0.534127, 1.721337, 0.32775), abs=5e-7)
    assert sizes.hedges_g == pytest.approx(0.533779, abs=5e-7)


def test_hedges_g_is_unbiased_in_small_samples():
    """Monte Carlo: 8,000 experiments of 4 + 5 units with a true d of 1; the mean of g is 1 within 4 standard errors."""
    rng = np.random.default_rng(8)
    pairs = ((rng.normal(0, 1, 4), rng.normal(1, 1, 5)) for _ in range(8_000))
    g = np.array([standardized_mean_difference(Moments.from_values(c), Moments.from_values(t)).hedges_g for c, t in pairs])
    assert abs(g.mean() - 1.0) < 4 * g.std() / math.sqrt(g.size)


def test_the_exact_and_the_approximate_correction_meet_in_large_samples():
    big = [Moments.from_summary(n=10**9, mean=m.mean, sd=1.0) for m in GOLDEN]
    sizes = standardized_mean_difference(*big)
    assert sizes.hedges_g == pytest.approx(sizes.cohens_d, rel=1e-9)
    assert sizes.hedges_g_approx == pytest.approx(sizes.hedges_g, rel=1e-15)


def test_a_constant_control_has_no_glass_delta():
    assert standardized_mean_difference(Moments(n=5, mean=1.0, m2=0.0), GOLDEN[1]).glass_delta is None


def test_data_that_cannot_answer_is_named():
    constant = Moments(n=5, mean=1.0, m2=0.0)
    with pytest.raises(NotEnoughDataError):
        standardized_mean_difference(Moments(n=1, mean=1.0, m2=0.0), GOLDEN[1])
    with pytest.raises(DataError):
        standardized_mean_difference(constant, constant)
