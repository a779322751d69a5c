"""The level of one look: nominal and overall error rates are each other's inverse."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from fairtrial.stats.sequential.boundaries import GroupSequentialDesign, actual_boundaries, family_boundaries
from fairtrial.stats.sequential.levels import SMALLEST_LEVEL, look_levels
from fairtrial.stats.sequential.repeated import repeated_p_values

FRACTIONS = (0.2, 0.4, 0.6, 0.8, 1.0)
SPENDING = ("lan-demets-obrien-fleming", "lan-demets-pocock", "obrien-fleming", "pocock")


def design(spending="lan-demets-obrien-fleming", sides=2, alpha=0.05):
    return GroupSequentialDesign(alpha=alpha, sides=sides, spending=spending, information_fractions=FRACTIONS)


@pytest.mark.parametrize("spending", SPENDING)
@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize("look", [1, 3, 5])
def test_the_levels_are_those_of_the_boundaries(spending, sides, look):
    """Against the boundaries solved at each rate, to 1e-3 relative; at the design's own alpha exactly."""
    plan, final = design(spending, sides), look == 5
    levels = look_levels(plan, FRACTIONS[:look], final=final)
    rates = np.array([1e-8, 1e-4, 0.0123, 0.05, 0.3, 0.8])
    exact = sides * special.ndtr(-family_boundaries(plan, np.log(rates), FRACTIONS[:look], final=final).critical[:, -1])
    assert levels.nominal(rates) == pytest.approx(exact, rel=1e-3)
    own = actual_boundaries(plan, FRACTIONS[:look], final=final).nominal_p[-1]
    assert float(levels.nominal(0.05)) == pytest.approx(own, rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(SPENDING), st.sampled_from([1, 2]), st.integers(1, 5), st.floats(1e-12, 0.98))
def test_overall_undoes_nominal(spending, sides, look, alpha):
    levels = look_levels(design(spending, sides), FRACTIONS[:look], final=look == 5)
    nominal = float(levels.nominal(alpha))
    if SMALLEST_LEVEL < nominal < 1.0:
        assert float(levels.overall(nominal)) == pytest.approx(alpha, rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([1, 2]), st.integers(1, 5), st.lists(st.floats(0, 1), min_size=2, max_size=6))
def test_levels_keep_the_order_and_never_lower_a_p_value(sides, look, p_values):
    levels = look_levels(design(sides=sides), FRACTIONS[:look], final=look == 5)
    p = np.sort(np.array(p_values))
    overall = levels.overall(p)
    assert (np.diff(overall) >= 0.0).all()
    assert ((overall >= p) & (overall <= 1.0)).all()


def test_they_agree_with_the_repeated_p_values():
    z = np.array([[0.5, 1.0], [2.0, 2.9], [4.0, 4.5]])
    by_path = repeated_p_values(z, (0.4, 0.8), design()).at_look[:, -1]
    by_level = look_levels(design(), (0.4, 0.8), final=False).overall(2.0 * special.ndtr(-z[:, 1]))
    assert by_level == pytest.approx(by_path, rel=2e-3)


def test_what_is_missing_stays_missing_and_what_is_tiny_stays_a_level():
    early = look_levels(design(), (0.01,), final=False)
    assert np.isnan(early.overall(np.array([np.nan, 0.5]))).tolist() == [True, False]
    assert float(early.nominal(1e-9)) == SMALLEST_LEVEL
    assert float(early.overall(0.0)) >= 0.0
