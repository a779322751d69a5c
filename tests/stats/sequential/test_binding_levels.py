"""Futility at the looks really taken: bounds that stay, a boundary that comes down only for who obeyed (XC-32, issue 3)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairtrial.errors import UsageError
from fairtrial.stats.sequential.binding_levels import binding_boundaries, binding_levels
from fairtrial.stats.sequential.boundaries import GroupSequentialDesign, actual_boundaries, boundaries
from fairtrial.stats.sequential.futility import FutilityRule, futility_bound, planned_futility
from fairtrial.stats.sequential.levels import look_levels
from fairtrial.stats.sequential.recursion import above, below, enter
from fairtrial.stats.sequential.spending import alpha_spent
from fairtrial.stats.sequential.stagewise import stagewise_estimate, stagewise_p_values

SPENDING = ["lan-demets-obrien-fleming", "lan-demets-pocock", "pocock", "obrien-fleming"]


def design_of(*, alpha=0.025, times=(0.25, 0.5, 0.75, 1.0), spending="lan-demets-obrien-fleming", gamma=None, sides=1):
    return GroupSequentialDesign(alpha=alpha, sides=sides, spending=spending, information_fractions=times, gamma=gamma)


def bounds_of(design, rule, fractions):
    return tuple(futility_bound(design, rule, fractions[: k + 1]) for k in range(len(fractions)))


def spent(fractions, efficacy, given_up, drift=0.0):
    """Chances to win and to give up at each look when both bounds are obeyed, by the recursion."""
    won, lost, corridor = [], [], None
    for look, time in enumerate(fractions):
        won.append(above(corridor, time, efficacy[look], drift).item())
        if look < len(given_up):
            lost.append(below(corridor, time, given_up[look], drift).item())
        if look + 1 < len(fractions):
            means = (drift * math.sqrt(time),)
            corridor = enter(corridor, time, low=given_up[look], high=efficacy[look], following=fractions[look + 1], means=means)
    return np.array(won), np.array(lost)


def test_the_default_design_of_gsdesign_is_as_printed():
    """gsDesign, default design (k=3, alpha 2.5%, power 90%, Hwang-Shih-DeCani -4 and -2, non-binding), as its documentation
    prints it: lower -0.24, 0.94, 2.00; upper 3.01, 2.55, 2.00; ratio 1.070. Tolerance: the digits printed."""
    design = design_of(times=(1 / 3, 2 / 3, 1.0), spending="hwang-shih-decani", gamma=-4.0)
    found = planned_futility(design, FutilityRule(beta=0.1, spending="hwang-shih-decani", gamma=-2.0))
    assert found.futility.round(2).tolist() == [-0.24, 0.94, 2.0]
    assert found.efficacy.round(2).tolist() == [3.01, 2.55, 2.0]
    assert round(found.inflation_factor, 3) == 1.070


@pytest.mark.parametrize("spending", SPENDING)
@pytest.mark.parametrize("binding", [False, True])
def test_at_the_planned_looks_the_bounds_are_the_planned_ones(spending, binding):
    design, rule = design_of(spending=spending), FutilityRule(beta=0.2, binding=binding)
    times = design.information_fractions
    planned, seen = planned_futility(design, rule), bounds_of(design, rule, times[:-1])
    assert seen == pytest.approx(planned.futility[:-1], abs=1e-9)
    if binding:
        assert binding_boundaries(design, times, seen, final=True).critical == pytest.approx(planned.efficacy, abs=1e-9)


@pytest.mark.parametrize("binding", [False, True])
@pytest.mark.parametrize("times", [(0.2, 0.35, 0.9), (0.5,), (0.1, 0.6, 0.61)])
def test_at_other_looks_beta_is_spent_by_the_information_that_came(times, binding):
    design, rule = design_of(), FutilityRule(beta=0.2, binding=binding)
    seen, drift = bounds_of(design, rule, times), planned_futility(design, rule).drift
    efficacy = actual_boundaries(design, times).critical
    if binding:
        efficacy = binding_boundaries(design, (*times, 1.0), seen, final=True).critical[:-1]
    _, lost = spent(times, efficacy, seen, drift)
    assert lost.cumsum() == pytest.approx(alpha_spent(times, alpha=0.2, spending="lan-demets-obrien-fleming"), abs=1e-9)


@pytest.mark.parametrize("spending", SPENDING)
def test_obeyed_bounds_bring_the_boundary_down_and_alpha_is_used_up(spending):
    design, rule, times = design_of(spending=spending), FutilityRule(beta=0.2, binding=True), (0.3, 0.55, 0.8, 1.0)
    seen = bounds_of(design, rule, times[:-1])
    found, loose = binding_boundaries(design, times, seen, final=True), actual_boundaries(design, times, final=True)
    won, _ = spent(times, found.critical, seen)
    assert won.cumsum() == pytest.approx(loose.cumulative_alpha, abs=1e-9)
    assert (found.critical <= loose.critical).all()
    assert found.critical[-1] < loose.critical[-1] - 0.01
    ignored, _ = spent(times, found.critical, (-math.inf,) * 3)
    assert ignored.sum() > 0.0252, "who goes on below a binding bound errs more often than alpha"


@settings(max_examples=25, deadline=None)
@given(
    alpha=st.floats(0.002, 0.2),
    spending=st.sampled_from(SPENDING),
    low=st.lists(st.floats(-2.5, 0.6), min_size=3, max_size=3),
    looks=st.integers(2, 4),
)
def test_a_p_value_lies_below_alpha_exactly_when_its_look_crosses(alpha, spending, low, looks):
    """DESIGN section 5, under binding futility; and a smaller error rate never has the lower boundary."""
    design, times = design_of(alpha=alpha, spending=spending), (0.25, 0.5, 0.75, 1.0)[:looks]
    given_up = tuple(low[: looks - 1])
    levels = binding_levels(design, times, given_up, final=looks == 4)
    boundary = binding_boundaries(design, times, given_up, final=looks == 4)
    assert (np.diff(levels.critical) >= 0.0).all()
    nominal = levels.nominal(alpha)
    assert nominal == pytest.approx(boundary.nominal_p[-1], rel=1e-9)
    around = nominal * np.array([0.2, 0.9, 0.999, 1.001, 1.1, 3.0])
    assert ((levels.overall(around) < alpha) == (around < nominal)).all()
    loose = look_levels(design, times, final=looks == 4)
    assert (levels.overall(around) <= loose.overall(around) * (1.0 + 1e-4)).all()


def test_without_a_look_that_gave_up_nothing_is_gained():
    design, times = design_of(), (0.25, 0.5, 0.75, 1.0)
    nobody = (-math.inf,) * 3
    assert binding_boundaries(design, times, nobody, final=True).critical == pytest.approx(boundaries(design).critical, abs=1e-9)


def test_earlier_bounds_stay_when_looks_are_added():
    design, rule = design_of(), FutilityRule(beta=0.2)
    assert futility_bound(design, rule, (0.3,)) == bounds_of(design, rule, (0.3, 0.7, 0.95))[0]
    assert futility_bound(design, rule, (0.3, 0.9999)) > futility_bound(design, rule, (0.3, 0.7))


def test_the_final_inference_agrees_with_the_boundary_that_was_obeyed():
    """A crossing at the very boundary of the last look has the stagewise p-value alpha; tolerance 1e-9."""
    design, rule, times = design_of(), FutilityRule(beta=0.2, binding=True), (0.25, 0.5, 0.75, 1.0)
    seen = bounds_of(design, rule, times[:-1])
    critical = binding_boundaries(design, times, seen, final=True).critical
    z = float(critical[-1])
    told = stagewise_estimate(z, 1.0, fractions=times, critical=critical.tolist(), sides=1, given_up=seen)
    assert told.p_value == pytest.approx(0.025, abs=1e-9)
    assert told.interval.low < told.effect < told.interval.high
    silent = stagewise_p_values(z, fractions=times, critical=critical.tolist(), sides=1)
    assert silent > 0.0252


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: binding_boundaries(design_of(sides=2), (0.5, 1.0), (0.0,), final=True), "needs a one-sided design"),
        (lambda: binding_levels(design_of(), (0.5, 1.0), (), final=True), "one value for each of the 1 looks"),
        (lambda: binding_levels(design_of(), (0.5, 1.0), (math.nan,), final=True), "one value for each"),
        (lambda: futility_bound(design_of(), FutilityRule(), (0.5, 1.0)), "information still to come"),
        (lambda: futility_bound(design_of(), FutilityRule(), ()), "information still to come"),
        (lambda: stagewise_estimate(1.0, 1.0, fractions=(0.5, 1.0), critical=(2.0,), sides=2, given_up=(0.0,)), "one-sided design"),
    ],
)
def test_what_cannot_be_is_refused(call, said):
    with pytest.raises(UsageError, match=said):
        call()
