"""Power look by look, inflation factors and expected information."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fairtrial.errors import UsageError
from fairtrial.stats.sequential.boundaries import GroupSequentialDesign, boundaries
from fairtrial.stats.sequential.group_power import design_for_power, inflation_factor, look_power, planned_drift

FAMILIES = [
    ("obrien-fleming", {}),
    ("pocock", {}),
    ("wang-tsiatis", {"delta": 0.25}),
    ("lan-demets-obrien-fleming", {}),
    ("lan-demets-pocock", {}),
    ("hwang-shih-decani", {"gamma": -4.0}),
    ("kim-demets", {"rho": 2.0}),
]


def design_of(family, times, *, alpha=0.05, sides=2):
    spending, options = family
    return GroupSequentialDesign(alpha=alpha, sides=sides, spending=spending, information_fractions=times, **options)


@pytest.mark.parametrize(
    ("family", "looks", "power", "expected"),
    [("pocock", 5, 0.8, 1.229), ("pocock", 5, 0.9, 1.207), ("obrien-fleming", 5, 0.8, 1.028), ("obrien-fleming", 5, 0.9, 1.026)],
)
def test_inflation_factors_are_those_of_the_published_tables(family, looks, power, expected):
    """Jennison & Turnbull (2000), tables 2.2 and 2.4, alpha 0.05, three decimals."""
    design = design_of((family, {}), tuple((k + 1) / looks for k in range(looks)))
    assert inflation_factor(design, power=power) == pytest.approx(expected, abs=6e-4)


@settings(max_examples=25, deadline=None)
@given(
    family=st.sampled_from(FAMILIES),
    sides=st.sampled_from([1, 2]),
    power=st.floats(0.2, 0.999),
    gaps=st.lists(st.floats(0.05, 1.0), min_size=1, max_size=5),
)
def test_a_design_has_its_power_at_its_drift_and_saves_information(family, sides, power, gaps):
    design = design_of(family, tuple(np.cumsum(gaps) / sum(gaps)), sides=sides)
    found = design_for_power(design, power=power)
    under = look_power(design, found.drift)
    assert under.power.item() == pytest.approx(power, abs=1e-10)
    assert found.stagewise_power.sum() == pytest.approx(power, abs=1e-10)
    assert found.inflation_factor >= 1.0 - 1e-12
    assert found.inflation_factor == pytest.approx((found.drift / planned_drift(power, sides=sides)) ** 2)
    assert 0.0 < found.expected_fraction <= found.expected_fraction_half + 1e-12 <= found.expected_fraction_null + 2e-12 <= 1.0 + 3e-12


def test_without_an_effect_the_power_is_one_side_of_alpha():
    for family in FAMILIES:
        design = design_of(family, (0.3, 0.8, 1.0))
        under = look_power(design, 0.0)
        assert under.power.item() == pytest.approx(0.025, abs=1e-12)
        assert 2.0 * under.stops_above.cumsum() == pytest.approx(boundaries(design).cumulative_alpha, abs=1e-12)


def test_expected_information_is_the_average_time_of_the_stop():
    design = design_of(FAMILIES[1], (0.25, 0.5, 1.0))
    drifts = np.array([[-3.0, 0.0], [1.5, 30.0]])
    under = look_power(design, drifts)
    assert under.stops_above.shape == (2, 2, 3)
    early = (under.stops_above + under.stops_below)[..., :2]
    expected = early @ np.array([0.25, 0.5]) + (1.0 - early.sum(axis=-1)) * 1.0
    assert under.expected_fraction == pytest.approx(expected, abs=1e-14)
    assert under.expected_fraction[1, 1] == pytest.approx(0.25)
    assert under.power[0, 0] == pytest.approx(look_power(design, 3.0).power.item(), abs=1e-13)
    assert under.power[1, 1] == pytest.approx(1.0)


def test_a_single_look_needs_no_larger_plan():
    found = design_for_power(design_of(FAMILIES[0], (1.0,)), power=0.8)
    assert found.drift == pytest.approx(stats.norm.isf(0.025) + stats.norm.isf(0.2), rel=1e-12)
    assert (found.inflation_factor, found.expected_fraction) == (pytest.approx(1.0), 1.0)


def test_a_one_sided_design_never_stops_below():
    under = look_power(design_of(FAMILIES[3], (0.5, 1.0), sides=1), [-4.0, 1.0])
    assert (under.stops_below == 0.0).all()
    assert under.power[0] == 0.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: planned_drift(0.02), r"power must lie in \(0.025, 1\)"),
        (lambda: planned_drift(1.0), "power must lie"),
        (lambda: planned_drift(math.nan), "power must lie"),
        (lambda: planned_drift(0.8, sides=0), "sides must be"),
        (lambda: planned_drift(0.8, alpha=5.0), "alpha must lie"),
        (lambda: inflation_factor(design_of(FAMILIES[0], (1.0,)), power=80.0), "power must lie"),
        (lambda: look_power(design_of(FAMILIES[0], (1.0,)), [1.0, math.nan]), "drift must be finite"),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(UsageError, match=message):
        call()
