"""How much larger an always-valid test must be."""

import math

import numpy as np
import pytest
from scipy import special

from fairtrial.errors import UsageError
from fairtrial.stats.sequential.mixture_size import mixture_inflation
from fairtrial.stats.sequential.msprt import msprt_batch


@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize(("alpha", "power"), [(0.05, 0.8), (0.01, 0.9), (0.1, 0.5), (1e-6, 0.99)])
def test_the_inflated_size_has_the_power_at_its_end(alpha, power, sides):
    """The chance that the interval at the planned end excludes 0, far side left out, is the power asked for."""
    factor = mixture_inflation(alpha, power, sides=sides)
    fixed = float(special.ndtri(power) - special.ndtri(alpha / sides))
    std_error = 1.0 / (fixed * math.sqrt(factor))
    alternative = "two-sided" if sides == 2 else "greater"
    reach = -float(msprt_batch(0.0, std_error**2, tau2=1.0, alpha=alpha, alternative=alternative).low)
    assert special.ndtr((1.0 - reach) / std_error) == pytest.approx(power, abs=1e-9)
    assert factor > 1.0


def test_a_test_watched_at_every_look_costs_about_twice_the_units():
    assert mixture_inflation(0.05, 0.8) == pytest.approx(1.94, abs=0.01)


@pytest.mark.slow
def test_power_over_all_looks_is_at_least_the_planned_one():
    """20 looks at the effect planned for: 4,000 runs, lower 99.9% bound by the normal approximation."""
    factor, runs, looks = mixture_inflation(0.05, 0.8), 4_000, 20
    full = (2.8015852 * math.sqrt(factor)) ** 2
    rng = np.random.default_rng(11)
    information = full * np.arange(1, looks + 1) / looks
    path = rng.normal(size=(runs, looks)).cumsum(axis=1) * math.sqrt(full / looks) / information + 1.0
    crossed = (msprt_batch(path, 1.0 / information, tau2=1.0, alpha=0.05).low > 0.0).any(axis=1).mean()
    assert crossed > 0.8 - 3.1 * math.sqrt(0.16 / runs)


@pytest.mark.parametrize(("alpha", "power", "sides"), [(0.0, 0.8, 2), (0.05, 1.0, 2), (0.05, 0.05, 2), (0.05, 0.8, 3)])
def test_impossible_rates_are_refused(alpha, power, sides):
    with pytest.raises(UsageError):
        mixture_inflation(alpha, power, sides=sides)
