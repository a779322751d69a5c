"""Boundaries of group-sequential designs: published tables, what they promise, and what comes of other times."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fairtrial.errors import UnknownNameError, UsageError
from fairtrial.stats.sequential.boundaries import GroupSequentialDesign, actual_boundaries, boundaries, critical_value, looks_taken
from fairtrial.stats.sequential.recursion import above, enter
from fairtrial.stats.sequential.spending import alpha_spent

OBRIEN_FLEMING = {
    2: [2.797, 1.977],
    3: [3.471, 2.454, 2.004],
    4: [4.049, 2.863, 2.337, 2.024],
    5: [4.562, 3.226, 2.634, 2.281, 2.040],
}
POCOCK = {2: 2.178, 3: 2.289, 4: 2.361, 5: 2.413}
LAN_DEMETS = {
    2: [2.963, 1.969],
    3: [3.710, 2.511, 1.993],
    4: [4.333, 2.963, 2.359, 2.014],
    5: [4.877, 3.357, 2.680, 2.290, 2.031],
}
FAMILIES = [
    ("obrien-fleming", {}),
    ("pocock", {}),
    ("wang-tsiatis", {"delta": 0.25}),
    ("lan-demets-obrien-fleming", {}),
    ("lan-demets-pocock", {}),
    ("hwang-shih-decani", {"gamma": -4.0}),
    ("kim-demets", {"rho": 2.0}),
]


def equal(looks):
    return tuple((k + 1) / looks for k in range(looks))


def design_of(family, times, *, alpha=0.05, sides=2):
    spending, options = family
    return GroupSequentialDesign(alpha=alpha, sides=sides, spending=spending, information_fractions=times, **options)


def crossed(critical, times, *, sides):
    """Chance under the null hypothesis of having stopped by each look, on all sides."""
    corridor, chances = None, []
    for look, time in enumerate(times):
        chances.append(sides * above(corridor, time, critical[look]).item())
        if look + 1 < len(times):
            low = -critical[look] if sides == 2 else -math.inf
            corridor = enter(corridor, time, low=low, high=critical[look], following=times[look + 1])
    return np.cumsum(chances)


@pytest.mark.parametrize("looks", [2, 3, 4, 5])
def test_boundaries_are_those_of_the_published_tables(looks):
    """XC-32, section V.b: Jennison & Turnbull (2000), tables 2.1 and 2.3, three decimals."""
    times = equal(looks)
    assert boundaries(design_of(("obrien-fleming", {}), times)).critical == pytest.approx(OBRIEN_FLEMING[looks], abs=6e-4)
    assert boundaries(design_of(("pocock", {}), times)).critical == pytest.approx([POCOCK[looks]] * looks, abs=6e-4)
    assert boundaries(design_of(("lan-demets-obrien-fleming", {}), times)).critical == pytest.approx(LAN_DEMETS[looks], abs=6e-4)


def test_the_pocock_type_boundary_of_four_looks_is_the_published_one():
    """Section V.b, three decimals."""
    found = boundaries(design_of(("lan-demets-pocock", {}), equal(4)))
    assert found.critical == pytest.approx([2.368, 2.368, 2.358, 2.350], abs=6e-4)
    assert found.constant is None


def test_daily_looks_from_day_7_of_14_have_the_boundary_of_the_rollout():
    """Section III.b: critical values to three decimals, cumulative alpha to five."""
    found = boundaries(design_of(("lan-demets-obrien-fleming", {}), tuple(day / 14 for day in range(7, 15))))
    assert found.critical == pytest.approx([2.963, 2.797, 2.636, 2.497, 2.378, 2.275, 2.183, 2.102], abs=6e-4)
    assert found.cumulative_alpha == pytest.approx([0.00305, 0.00605, 0.01036, 0.01600, 0.02290, 0.03096, 0.04004, 0.05], abs=6e-6)


@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("times", [equal(5), (0.1, 0.15, 0.6, 0.62, 1.0)])
def test_the_boundary_spends_what_it_says_and_alpha_in_all(family, times, sides):
    """XC-32; the recursion of another module put to the critical values, tolerance 1e-12."""
    found = boundaries(design_of(family, times, sides=sides))
    assert found.cumulative_alpha == pytest.approx(crossed(found.critical, times, sides=sides), abs=1e-12)
    assert found.cumulative_alpha[-1] == pytest.approx(0.05, abs=1e-15)
    assert found.nominal_p == pytest.approx(sides * stats.norm.sf(found.critical), rel=1e-12)


@pytest.mark.parametrize("family", FAMILIES[:3])
def test_a_classical_boundary_has_its_shape(family):
    found = boundaries(design_of(family, (0.2, 0.5, 1.0)))
    delta = {"obrien-fleming": 0.0, "pocock": 0.5}.get(family[0], 0.25)
    assert found.critical == pytest.approx(found.constant * np.array([0.2, 0.5, 1.0]) ** (delta - 0.5), rel=1e-12)


def test_a_single_look_is_a_fixed_test():
    for family in FAMILIES:
        assert boundaries(design_of(family, (1.0,))).critical == pytest.approx([stats.norm.isf(0.025)], rel=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_looks_at_the_planned_times_have_the_planned_boundary(family):
    design = design_of(family, equal(4))
    whole = actual_boundaries(design, [0.25 + 1e-14, 0.5, 0.75, 1.0], final=True)
    assert whole.critical == pytest.approx(boundaries(design).critical, abs=1e-14)
    some = actual_boundaries(design, equal(4)[:2])
    assert some.critical == pytest.approx(boundaries(design).critical[:2], abs=1e-14)
    assert some.constant is None


@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("times", [(0.2, 0.33, 0.7, 0.85), (0.3, 0.5, 1.17), (0.8,), (1.3,), (0.25, 0.5, 0.75)])
def test_the_final_look_takes_all_that_is_left_before_or_after_the_planned_information(family, times, sides):
    """Under- and over-running: Lan & DeMets (1983)."""
    found = actual_boundaries(design_of(family, equal(4), sides=sides), times, final=True)
    assert crossed(found.critical, times, sides=sides)[-1] == pytest.approx(0.05, abs=1e-12)


@pytest.mark.parametrize("family", FAMILIES[3:])
def test_a_look_spends_what_its_own_information_has_released(family):
    design = design_of(family, equal(4))
    found = actual_boundaries(design, [0.1, 0.37, 0.9])
    spent = 2.0 * alpha_spent([0.1, 0.37, 0.9], alpha=0.025, spending=family[0], **family[1])
    assert crossed(found.critical, (0.1, 0.37, 0.9), sides=2) == pytest.approx(spent, abs=1e-12)


@pytest.mark.parametrize("family", FAMILIES[:3])
def test_a_classical_design_spends_along_straight_lines_between_its_planned_looks(family):
    design = design_of(family, equal(4))
    planned = boundaries(design).cumulative_alpha
    found = actual_boundaries(design, [0.1, 0.5, 0.6])
    assert found.cumulative_alpha == pytest.approx([0.4 * planned[0], planned[1], planned[1] + 0.4 * (planned[2] - planned[1])], rel=1e-10)


@settings(max_examples=25, deadline=None)
@given(family=st.sampled_from(FAMILIES), sides=st.sampled_from([1, 2]), gaps=st.lists(st.floats(0.05, 1.0), min_size=2, max_size=4))
def test_looks_to_come_do_not_move_the_boundary_of_looks_that_were(family, sides, gaps):
    design = design_of(family, equal(3), sides=sides)
    times = list(np.cumsum(gaps) / sum(gaps) * 0.97)
    whole = actual_boundaries(design, times, final=True).critical
    assert actual_boundaries(design, times[:-1]).critical == pytest.approx(whole[:-1], abs=1e-11)
    assert critical_value(design, times[:-1], times[-1], final=True) == whole[-1]


def test_a_look_at_full_information_is_final_whatever_is_said():
    design = design_of(FAMILIES[3], equal(2))
    assert critical_value(design, [0.5], 1.0) == critical_value(design, [0.5], 1.0, final=True)
    assert critical_value(design, [0.5], 1.2) == critical_value(design, [0.5], 1.2, final=True)


@settings(max_examples=25, deadline=None)
@given(family=st.sampled_from(FAMILIES), sides=st.sampled_from([1, 2]), alpha=st.floats(1e-6, 0.5))
def test_a_smaller_alpha_never_has_the_lower_boundary(family, sides, alpha):
    """What makes the repeated p-value a p-value: the boundaries of a family are nested."""
    design = design_of(family, (0.15, 0.5, 0.6, 1.0), alpha=alpha, sides=sides)
    assert (boundaries(replace(design, alpha=0.9 * alpha)).critical > boundaries(design).critical).all()


def test_a_look_at_a_thousandth_of_the_information_has_a_boundary_where_chances_underflow():
    design = GroupSequentialDesign(spending="lan-demets-obrien-fleming", information_fractions=(0.001, 0.002, 0.5, 1.0))
    found = boundaries(design)
    assert np.isfinite(found.critical).all()
    assert found.critical[0] == pytest.approx(stats.norm.isf(0.0125) / math.sqrt(0.001), rel=2e-3)
    assert found.critical[2:] == pytest.approx(LAN_DEMETS[2], abs=6e-4)


def test_fifty_looks_are_solved():
    """Lan-DeMets Pocock-type, error spent at every look; the recursion put to it, tolerance 1e-11."""
    times = tuple((k + 1) / 50 for k in range(50))
    found = boundaries(design_of(FAMILIES[4], times))
    assert crossed(found.critical, times, sides=2)[-1] == pytest.approx(0.05, abs=1e-11)


def test_what_comes_back_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        boundaries(design_of(FAMILIES[0], equal(2))).critical[0] = 0.0


def test_designs_that_say_the_same_are_equal_and_can_be_keys():
    first, second = (GroupSequentialDesign(information_fractions=times) for times in ((0.5, 1.0), [0.5, 1.0 - 1e-12]))
    assert first == second
    assert len({first, second}) == 1
    assert first.looks == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 5.0}, "alpha must lie"),
        ({"sides": 3}, "sides must be 1 or 2"),
        ({"information_fractions": (0.5, 0.9)}, "must end at 1"),
        ({"information_fractions": (0.7, 0.5, 1.0)}, "rise by at least"),
        ({"information_fractions": ()}, "1 to 200 looks"),
        ({"spending": "wang-tsiatis"}, "needs delta"),
        ({"spending": "wang-tsiatis", "delta": 1.0}, "delta must lie"),
        ({"spending": "pocock", "delta": 0.1}, "has no delta"),
        ({"spending": "hwang-shih-decani", "rho": 1.0}, "needs gamma"),
    ],
)
def test_a_design_that_cannot_be_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        GroupSequentialDesign(**({"information_fractions": (0.5, 1.0)} | options))


def test_an_unknown_family_is_answered_with_those_that_exist():
    with pytest.raises(UnknownNameError, match="pocock"):
        GroupSequentialDesign(spending="haybittle-peto", information_fractions=(0.5, 1.0))


def test_a_look_after_all_was_spent_is_refused():
    design = design_of(FAMILIES[3], equal(2))
    with pytest.raises(UsageError, match="No look may follow"):
        actual_boundaries(design, [0.5, 1.0, 1.2])
    with pytest.raises(UsageError, match="fractions must be positive"):
        looks_taken(design, [-0.5])
