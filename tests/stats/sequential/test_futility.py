"""Futility bounds: where they meet, what they spend, and that they cost power and not alpha."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairtrial.errors import UnknownNameError, UsageError
from fairtrial.stats.sequential.boundaries import GroupSequentialDesign, boundaries
from fairtrial.stats.sequential.futility import futility_boundaries
from fairtrial.stats.sequential.group_power import design_for_power
from fairtrial.stats.sequential.recursion import above, below, enter
from fairtrial.stats.sequential.spending import alpha_spent

TIMES = (0.3, 0.6, 0.8, 1.0)
SPENDING = [("lan-demets-obrien-fleming", {}), ("hwang-shih-decani", {"gamma": -2.0}), ("kim-demets", {"rho": 1.5})]


def design_of(*, sides=1, alpha=0.025, times=TIMES, spending="lan-demets-obrien-fleming"):
    return GroupSequentialDesign(alpha=alpha, sides=sides, spending=spending, information_fractions=times)


def walk(found, drift, *, obeyed=True):
    """Chances to win and to give up at each look, by the recursion."""
    won, given_up, corridor = [], [], None
    times = found.information_fractions
    for look, time in enumerate(times):
        won.append(above(corridor, time, found.efficacy[look], drift).item())
        given_up.append(below(corridor, time, found.futility[look], drift).item())
        if look + 1 < times.size:
            low = found.futility[look] if obeyed else -math.inf
            corridor = enter(
                corridor, time, low=low, high=found.efficacy[look], following=times[look + 1], means=(drift * math.sqrt(time),)
            )
    return np.array(won), np.array(given_up)


@pytest.mark.parametrize("binding", [False, True])
@pytest.mark.parametrize("function", SPENDING)
@pytest.mark.parametrize("beta", [0.1, 0.2, 0.5])
def test_the_bounds_spend_beta_as_they_say_and_meet_at_the_power(function, beta, binding):
    """XC-32; Pampallona, Tsiatis & Kim (2001); tolerance 1e-9."""
    spending, options = function
    found = futility_boundaries(design_of(), beta=beta, spending=spending, binding=binding, **options)
    won, given_up = walk(found, found.drift)
    assert given_up.cumsum() == pytest.approx(alpha_spent(TIMES, alpha=beta, spending=spending, **options), abs=1e-9)
    assert found.cumulative_beta == pytest.approx(given_up.cumsum(), abs=1e-12)
    assert won.sum() == pytest.approx(1.0 - beta, abs=1e-9)
    assert found.power == pytest.approx(1.0 - beta, abs=1e-9)
    assert found.futility[-1] == found.efficacy[-1]
    assert (found.futility[:-1] < found.efficacy[:-1]).all()


def test_a_non_binding_bound_leaves_the_efficacy_side_as_it_was_and_alpha_whether_obeyed_or_not():
    found = futility_boundaries(design_of(), beta=0.2)
    assert found.efficacy == pytest.approx(boundaries(design_of()).critical, abs=0.0)
    assert walk(found, 0.0, obeyed=False)[0].sum() == pytest.approx(0.025, abs=1e-12)
    assert walk(found, 0.0)[0].sum() < 0.025
    assert found.inflation_factor > design_for_power(design_of(), power=0.8).inflation_factor


@pytest.mark.parametrize("spending", ["lan-demets-obrien-fleming", "lan-demets-pocock", "pocock"])
def test_a_binding_bound_spends_alpha_only_if_it_is_obeyed(spending):
    design = design_of(spending=spending)
    found = futility_boundaries(design, beta=0.2, binding=True)
    assert walk(found, 0.0)[0].cumsum() == pytest.approx(boundaries(design).cumulative_alpha, abs=1e-10)
    assert walk(found, 0.0, obeyed=False)[0].sum() > 0.0251
    loose = futility_boundaries(design, beta=0.2)
    assert (found.efficacy <= loose.efficacy + 1e-12).all()
    assert found.inflation_factor < loose.inflation_factor


def test_expected_information_is_that_of_both_bounds():
    found = futility_boundaries(design_of(), beta=0.2)
    for drift, expected in ((found.drift, found.expected_fraction), (0.0, found.expected_fraction_null)):
        stops = sum(walk(found, drift))
        assert stops @ np.array(TIMES) == pytest.approx(expected, abs=1e-9)
    assert found.expected_fraction_null < design_for_power(design_of(), power=0.8).expected_fraction_null


@settings(max_examples=12, deadline=None)
@given(alpha=st.floats(0.001, 0.2), beta=st.floats(0.02, 0.6), first=st.floats(0.05, 0.9), binding=st.booleans())
def test_any_plan_of_two_looks_has_bounds(alpha, beta, first, binding):
    found = futility_boundaries(design_of(alpha=alpha, times=(first, 1.0)), beta=beta, binding=binding)
    assert found.power == pytest.approx(1.0 - beta, abs=1e-9)
    assert found.inflation_factor >= 1.0 - 1e-9


def test_a_two_sided_design_gives_up_its_benefit_side():
    two = futility_boundaries(design_of(sides=2, alpha=0.05), beta=0.2)
    one = futility_boundaries(design_of(), beta=0.2)
    assert two.futility == pytest.approx(one.futility, abs=1e-6)
    assert not two.binding


def test_one_look_is_a_fixed_test():
    for binding in (False, True):
        found = futility_boundaries(design_of(times=(1.0,)), beta=0.2, binding=binding)
        assert found.inflation_factor == pytest.approx(1.0, abs=1e-10)


def test_a_look_that_may_spend_next_to_nothing_has_a_bound_that_nobody_reaches():
    found = futility_boundaries(design_of(times=(0.005, 0.01, 0.5, 1.0)), beta=0.2)
    assert np.isfinite(found.futility).all()
    assert (found.futility[:2] < -6.0).all()
    assert found.power == pytest.approx(0.8, abs=1e-9)


def test_an_aggressive_bound_never_passes_the_efficacy_bound():
    found = futility_boundaries(design_of(times=(0.9, 1.0)), beta=0.9, spending="hwang-shih-decani", gamma=30.0)
    assert (found.futility <= found.efficacy).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beta": 0.0}, "beta must lie"),
        ({"beta": 0.98}, "beta must lie"),
        ({"beta": math.nan}, "beta must lie"),
        ({"spending": "kim-demets"}, "needs rho"),
        ({"gamma": 1.0}, "has no gamma"),
        ({"sides": 2, "binding": True}, "Binding futility needs a one-sided design"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    design = design_of(sides=options.pop("sides", 1))
    with pytest.raises(UsageError, match=message):
        futility_boundaries(design, **options)


def test_an_unknown_function_is_answered_with_those_that_exist():
    with pytest.raises(UnknownNameError, match="kim-demets"):
        futility_boundaries(design_of(), spending="pocock")
