"""Roots are found to the last digits, wherever they lie in the bracket."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairtrial.stats.roots import solve_increasing


def test_roots_of_different_functions_are_found_together():
    powers, target = np.array([1.0, 2.0, 3.0, 9.0]), np.array([0.3, 0.5, 1e-6, 0.9])
    roots = solve_increasing(lambda x: x**powers - target, np.zeros(4), np.ones(4), np.full(4, 0.5))
    np.testing.assert_allclose(roots, target ** (1.0 / powers), rtol=1e-14)


@settings(max_examples=60, deadline=None)
@given(root=st.floats(1e-6, 0.999), guess=st.floats(-3.0, 3.0), slope=st.floats(0.01, 100.0), bend=st.floats(0.1, 30.0))
def test_neither_the_guess_nor_the_slope_moves_the_root(root, guess, slope, bend):
    def function(x):
        return np.arctan(bend * (x - root)) + (x - root) ** 3

    found = solve_increasing(function, np.zeros(1), np.ones(1), np.array([guess]), slope=slope)
    assert found.item() == pytest.approx(root, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize(("shift", "end"), [(-5.0, 1.0), (5.0, 0.0)])
def test_without_a_change_of_sign_the_nearer_end_is_returned(shift, end):
    assert solve_increasing(lambda x: x + shift, np.zeros(1), np.ones(1), np.array([0.4])).item() == pytest.approx(end, abs=1e-15)


def test_a_step_function_is_bisected_to_its_jump():
    found = solve_increasing(lambda x: np.where(x < 0.7123, -1.0, 1.0), np.zeros(1), np.ones(1), np.array([0.1]))
    assert found.item() == pytest.approx(0.7123, rel=1e-14)


def test_a_bracket_of_no_width_is_its_own_root():
    assert solve_increasing(lambda x: x - 1.0, np.ones(3), np.ones(3), np.zeros(3)).tolist() == [1.0, 1.0, 1.0]


def test_a_search_that_cannot_settle_ends():
    found = solve_increasing(lambda x: np.full_like(x, np.nan), np.zeros(2), np.ones(2), np.full(2, 0.3))
    assert found.shape == (2,)
