"""Repeated intervals and p-values: definitions, duality at every look, and extremes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fairtrial.errors import UsageError
from fairtrial.stats.sequential.boundaries import GroupSequentialDesign, actual_boundaries, boundaries
from fairtrial.stats.sequential.repeated import repeated_interval, repeated_p_values

TIMES = (0.2, 0.4, 0.6, 0.8, 1.0)
FAMILIES = [
    ("obrien-fleming", {}),
    ("pocock", {}),
    ("wang-tsiatis", {"delta": 0.25}),
    ("lan-demets-obrien-fleming", {}),
    ("lan-demets-pocock", {}),
    ("hwang-shih-decani", {"gamma": -4.0}),
    ("kim-demets", {"rho": 2.0}),
]
CASES = [(family, sides, seen) for family in FAMILIES for sides in (1, 2) for seen in (TIMES, (0.17, 0.45, 0.9), (0.3, 0.5, 1.1))]


def design_of(family, *, sides=2, alpha=0.05):
    spending, options = family
    return GroupSequentialDesign(alpha=alpha, sides=sides, spending=spending, information_fractions=TIMES, **options)


@pytest.mark.parametrize(("family", "sides", "seen"), CASES)
@pytest.mark.parametrize("alpha", [0.3, 0.05, 0.011, 1e-4, 1e-9])
def test_a_p_value_is_the_error_rate_whose_boundary_the_look_just_meets(family, sides, seen, alpha):
    """Jennison & Turnbull (2000), ch. 9.3: boundaries solved at that rate, tolerance 1e-6 of it."""
    design = design_of(family, sides=sides)
    critical = actual_boundaries(replace(design, alpha=alpha), seen, final=True).critical
    found = repeated_p_values(critical, seen, design, final=True)
    assert found.at_look == pytest.approx(np.full(len(seen), alpha), rel=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    case=st.sampled_from(CASES),
    final=st.booleans(),
    alpha=st.sampled_from([0.05, 0.01, 0.2]),
    z=st.lists(st.floats(-6.0, 6.0), min_size=5, max_size=5),
)
def test_a_p_value_lies_below_alpha_exactly_when_its_interval_leaves_the_null_out(case, final, alpha, z):
    """DESIGN section 5: intervals and p-values agree, here at every look."""
    family, sides, seen = case
    design = design_of(family, sides=sides, alpha=alpha)
    path = np.array(z[: len(seen)])
    critical = actual_boundaries(design, seen, final=final).critical
    interval = repeated_interval(path, np.ones_like(path), critical, sides=sides)
    p = repeated_p_values(path, seen, design, final=final)
    assert ((p.at_look < alpha) == ((interval.low > 0.0) | (interval.high < 0.0))).all()
    assert ((p.at_look >= 0.0) & (p.at_look <= 1.0)).all()
    assert p.running.tolist() == np.minimum.accumulate(p.at_look).tolist()


@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_hair_decides_the_side_of_alpha(family, sides):
    """The last digit of Z, whatever interpolation says."""
    design = design_of(family, sides=sides)
    critical = boundaries(design).critical
    for z, expected in ((np.nextafter(critical, 9.0), True), (critical, False), (np.nextafter(critical, 0.0), False)):
        assert ((repeated_p_values(z, TIMES, design, final=True).at_look < 0.05) == expected).all()


@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_larger_z_never_has_the_larger_p_value_even_where_chances_underflow(family, sides):
    z = np.concatenate([np.linspace(0.0, 12.0, 400), np.geomspace(12.1, 1e6, 200)])
    paths = np.repeat(z[:, None], 5, axis=1)
    p = repeated_p_values(paths, TIMES, design_of(family, sides=sides), final=True).at_look
    assert (np.diff(p, axis=0) <= 0.0).all()
    assert (p[-1] == 0.0).all()
    assert ((p[350] > 0.0) & (p[350] < 1e-3)).all()


def test_below_1e_300_a_first_look_keeps_its_digits():
    """A first look has a closed form: 4 P(Z > z sqrt(t)), the Lan-DeMets function inverted; 1% of itself."""
    design = design_of(FAMILIES[3])
    for z in (40.0, 60.0, 80.0):
        expected = 4.0 * stats.norm.sf(z * math.sqrt(0.2))
        assert repeated_p_values([z], (0.2,), design).at_look[0] == pytest.approx(expected, rel=0.01)


def test_a_z_that_no_level_stops_at_has_a_p_value_of_1():
    """Even at alpha = 1 a Pocock-type design spends no more than a part by the first look."""
    p = repeated_p_values([0.1, 0.0], TIMES[:2], design_of(FAMILIES[4]))
    assert p.at_look[0] == 1.0


def test_many_trials_are_the_same_as_one_by_one():
    rng = np.random.default_rng(3)
    z = rng.normal(0.0, 2.0, (4, 7, 5))
    design = design_of(FAMILIES[3])
    batch = repeated_p_values(z, TIMES, design, final=True)
    assert batch.running.shape == (4, 7, 5)
    for i, j in ((0, 0), (3, 6)):
        alone = repeated_p_values(z[i, j], TIMES, design, final=True)
        assert alone.at_look.tolist() == batch.at_look[i, j].tolist()
        assert alone.running.tolist() == batch.running[i, j].tolist() == np.minimum.accumulate(alone.at_look).tolist()


def test_a_final_look_has_the_smaller_p_value():
    """It may spend what is left."""
    design = design_of(FAMILIES[3])
    assert (
        repeated_p_values([2.0, 2.2], (0.4, 0.8), design, final=True).at_look[1]
        < repeated_p_values([2.0, 2.2], (0.4, 0.8), design).at_look[1]
    )


def test_an_interval_is_the_estimate_and_its_critical_value_in_standard_errors():
    """Jennison & Turnbull (1989): 1.2 -+ 4.8769 x 0.7."""
    found = repeated_interval([1.2, 1e9], [0.7, 1.0], [4.8769, 2.0])
    assert found.low == pytest.approx([-2.21383, 1e9 - 2.0], abs=1e-9)
    assert found.high == pytest.approx([4.61383, 1e9 + 2.0], abs=1e-9)
    one = repeated_interval(1.2, 0.7, 2.0, sides=1)
    assert (one.low.item(), one.high.item()) == (pytest.approx(-0.2), math.inf)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: repeated_interval(1.0, 0.0, 2.0), "std_error must be positive"),
        (lambda: repeated_interval(1.0, [1.0, math.nan], 2.0), "std_error must be positive"),
        (lambda: repeated_interval(math.nan, 1.0, 2.0), "estimate must be finite"),
        (lambda: repeated_interval(1.0, 1.0, math.inf), "critical must be finite"),
        (lambda: repeated_interval(1.0, 1.0, 2.0, sides=3), "sides must be"),
        (lambda: repeated_p_values([math.nan], [0.5], design_of(FAMILIES[0])), "z must be finite"),
        (lambda: repeated_p_values([1.0, 2.0], [0.5], design_of(FAMILIES[0])), "one value for each of the 1 fractions"),
        (lambda: repeated_p_values(1.0, [0.5], design_of(FAMILIES[0])), "one value for each"),
        (lambda: repeated_p_values([], [], design_of(FAMILIES[0])), "1 to 200 looks"),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(UsageError, match=message):
        call()
