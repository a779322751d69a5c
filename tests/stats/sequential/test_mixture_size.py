"""How much larger an always-valid test must be."""

import math

import numpy as np
import pytest
from scipy import special

from fairtrial.errors import UsageError
from fairtrial.stats.sequential.confidence_sequences import Mixture, always_valid_effect
from fairtrial.stats.sequential.mixture_size import mixture_inflation, tuned_inflation
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


@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize("tuned", [0.1, 0.5, 1.0, 4.0])
def test_a_sequence_tuned_to_units_has_its_power_at_the_end(sides, tuned):
    """At the planned end the interval of equation 9 (Waudby-Smith et al. 2024) excludes 0 with the power asked for."""
    factor, side = tuned_inflation(0.05, 0.8, tuned=tuned, sides=sides), "two-sided" if sides == 2 else "greater"
    fixed = special.ndtri(0.8) - special.ndtri(0.05 / sides)
    look = always_valid_effect(0.0, 1.0, 500, 500, mixture=Mixture(n_opt=1000 * tuned), alternative=side)
    reach = -float(look.low)
    assert special.ndtr(fixed * factor**0.5 - reach) == pytest.approx(0.8, abs=1e-9)


def test_tuned_to_its_own_size_the_units_and_the_share_say_the_same():
    factor = tuned_inflation(0.05, 0.8, tuned=0.7)
    assert tuned_inflation(0.05, 0.8, tuned=0.7 * factor * 4000, single=4000) == pytest.approx(factor, rel=1e-9)
    assert tuned_inflation(0.05, 0.8, tuned=1.0) < tuned_inflation(0.05, 0.8, tuned=20.0)
    assert tuned_inflation(0.045, 0.8, over=0.05) > tuned_inflation(0.05, 0.8)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"alpha": 0.0}, "alpha must lie"),
        ({"over": 1.5}, "alpha must lie"),
        ({"sides": 3}, "sides must be 1 or 2"),
        ({"power": 0.01}, "power must lie between"),
        ({"tuned": 0.0}, "tuned must be positive"),
        ({"single": float("inf")}, "single must be positive"),
        ({"tuned": 1e300, "single": 1.0}, "with any size near"),
    ],
)
def test_an_impossible_tuning_is_refused(options, said):
    with pytest.raises(UsageError, match=said):
        tuned_inflation(**({"alpha": 0.05, "power": 0.8} | options))
