"""Expanded posteriors of two rates (issue 3): never farther from the integrals than their stated bounds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from fairtrial.stats.bayes.arm import Arm
from fairtrial.stats.bayes.beta_binomial import beta_binomial_batch
from fairtrial.stats.bayes.conjugate import effect_ends, lift_ends
from fairtrial.stats.bayes.expansion import LARGEST, SMALLEST, expanded_effect, expanded_lift
from fairtrial.stats.bayes.pairs import Pair

MASSES = (0.5, 0.8, 0.95, 0.99, 0.9999)
NUMBERS = ("effect", "low", "high", "shortfall", "surplus", "lift", "lift_low", "lift_high")


def pair_of(a_c, b_c, a_t, b_t):
    shapes = [np.atleast_1d(np.asarray(shape, dtype=float)) for shape in (a_c, b_c, a_t, b_t)]
    return Pair(control=Arm(*shapes[:2], bounded=True), treatment=Arm(*shapes[2:], bounded=True))


def grid():
    """Shapes from 2 to 1e4, rates from 1/300 to 299/300, arms of 1:1 and 1:20, treatments up to five standard deviations away."""
    rows = []
    for smallest in (2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1000.0, 10_000.0):
        for odds in (1.0, 3.0, 10.0, 299.0):
            for share in (1.0, 0.05):
                n = smallest * (1.0 + odds)
                rate = 1.0 / (1.0 + odds)
                sd = np.sqrt(rate * (1.0 - rate) * (1.0 + 1.0 / share) / n)
                for away in (-5.0, -2.0, -0.5, 0.0, 1.0, 3.0):
                    moved = np.clip(rate + away * sd, smallest / (n * share), 1.0 - smallest / (n * share))
                    shapes = (smallest, n - smallest, max(n * share * moved, 2.0), max(n * share * (1.0 - moved), 2.0))
                    rows += [shapes, (shapes[1], shapes[0], shapes[3], shapes[2])]
    return pair_of(*np.array(rows).T)


def compared(pair, mass):
    """By name: how far the expansion is from the integrals, and its bound."""
    effect, losses, off, loss_off = expanded_effect(pair, mass=mass)
    lift, lift_off = expanded_lift(pair, mass=mass)
    exact, exact_losses = effect_ends(pair, mass=mass)
    expanded = (*effect, *losses, *lift)
    wanted = (*exact, *exact_losses, *lift_ends(pair, mass=mass))
    bounds = (*off, *loss_off, *lift_off)
    return {name: (np.abs(a - b), c) for name, a, b, c in zip(NUMBERS, expanded, wanted, bounds, strict=True)}


@pytest.mark.parametrize("mass", MASSES)
def test_over_the_grid_no_error_exceeds_half_of_its_bound(mass):
    """Reference: the project's own integrals (exact to about 1e-10, test_beta_binomial); 768 pairs of shapes."""
    for name, (error, bound) in compared(grid(), mass).items():
        assert np.isfinite(bound).all()
        worst = np.max(np.where(error > 1e-9, error / np.maximum(bound, 1e-300), 0.0))
        assert worst <= 0.5, (name, mass, worst)


@settings(max_examples=30, deadline=None)
@given(
    n=st.tuples(st.integers(4, 2_000_000), st.integers(4, 2_000_000)),
    rate=st.floats(0.0005, 0.9995),
    away=st.floats(-6.0, 6.0),
    mass=st.floats(0.5, 0.999),
)
def test_anywhere_the_bound_holds(n, rate, away, mass):
    sd = np.sqrt(rate * (1.0 - rate) * (1.0 / n[0] + 1.0 / n[1]))
    successes = [round(m * min(max(rate + shift, 0.0), 1.0)) for m, shift in zip(n, (0.0, away * sd), strict=True)]
    pair = pair_of(*(x for m, k in zip(n, successes, strict=True) for x in (1.0 + k, 1.0 + m - k)))
    for name, (error, bound) in compared(pair, mass).items():
        assert (error <= bound + 1e-9).all(), name


def test_far_out_and_for_tiny_or_huge_shapes_no_bound_is_claimed():
    fine, tiny, huge = (50.0, 500.0, 60.0, 500.0), (SMALLEST / 2.0, 500.0, 60.0, 500.0), (50.0, LARGEST, 60.0, 500.0)
    pair = pair_of(*np.array([fine, tiny, huge]).T)
    _, _, off, loss_off = expanded_effect(pair, mass=0.95)
    assert np.isfinite(off.low).tolist() == np.isfinite(loss_off.surplus).tolist() == [True, False, False]
    assert np.isfinite(expanded_lift(pair, mass=0.95)[1].point).tolist() == [True, False, False]
    beyond = 1.0 - 2.0 * special.ndtr(-4.5)
    assert not np.isfinite(expanded_effect(pair, mass=beyond)[2].low).any()


def test_what_a_decision_reads_is_what_the_whole_posterior_says():
    """`effect_ends` and `lift_ends` are parts of the same computation as the full comparison: equal to the last digits."""
    counts = np.array([[3, 40], [120, 900], [5000, 41_000]]), np.array([[1000], [1000], [50_000]])
    x_c, x_t, n = counts[0][:, 0], counts[0][:, 1], counts[1][:, 0]
    whole = beta_binomial_batch(x_c, n, x_t, n, mass=0.9)
    pair = pair_of(1.0 + x_c, 1.0 + n - x_c, 1.0 + x_t, 1.0 + n - x_t)
    (effect, low, high), losses = effect_ends(pair, mass=0.9)
    lift = lift_ends(pair, mass=0.9)
    parts = (effect, low, high, *losses, *lift)
    for name, part in zip(NUMBERS, parts, strict=True):
        np.testing.assert_allclose(part, getattr(whole, name), rtol=1e-10, atol=1e-14)
