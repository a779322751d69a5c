"""The chances of crossing, against the multivariate normal distribution and against themselves."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fairtrial.errors import UsageError
from fairtrial.stats.sequential import recursion
from fairtrial.stats.sequential.recursion import above, below, check_finite, check_fractions, check_sides, enter


def joint(times, drift=0.0):
    """The canonical joint distribution of Z at some looks (Jennison & Turnbull 2000, ch. 3.1)."""
    t = np.array(times)
    return stats.multivariate_normal(mean=drift * np.sqrt(t), cov=np.sqrt(np.minimum.outer(t, t) / np.maximum.outer(t, t)))


@pytest.mark.parametrize("drift", [-3.0, 0.0, 1.7, 4.0])
@pytest.mark.parametrize(("low", "high"), [(-2.2, 2.2), (-math.inf, 1.9), (-0.4, 2.8)])
@pytest.mark.parametrize("times", [(0.2, 1.0), (0.5, 0.6), (0.9, 1.0)])
def test_the_chance_to_cross_at_a_second_look_is_that_of_the_bivariate_normal(times, low, high, drift):
    """Jennison & Turnbull (2000), ch. 3.1; SciPy's bivariate normal distribution, tolerance 1e-8."""
    corridor = enter(None, times[0], low=low, high=high, following=times[1], means=(drift * math.sqrt(times[0]),))
    bottom = max(low, -40.0)
    expected = joint(times, drift).cdf([high, 60.0], lower_limit=[bottom, 1.5])
    assert above(corridor, times[1], 1.5, drift).item() == pytest.approx(expected, abs=1e-8)
    expected = joint(times, drift).cdf([high, 1.5], lower_limit=[bottom, -60.0])
    assert below(corridor, times[1], 1.5, drift).item() == pytest.approx(expected, abs=1e-8)


def test_the_chance_to_cross_at_a_third_look_is_that_of_the_trivariate_normal():
    """SciPy's multivariate normal distribution by quasi-Monte Carlo, tolerance 2e-6."""
    times, high, drift = (0.3, 0.45, 1.0), (2.5, 2.1, 2.0), 1.2
    first = enter(None, times[0], low=-high[0], high=high[0], following=times[1])
    second = enter(first, times[1], low=-high[1], high=high[1], following=times[2])
    law = stats.multivariate_normal(joint(times, drift).mean, joint(times, drift).cov, maxpts=2_000_000, abseps=1e-7, releps=1e-7)
    expected = law.cdf([high[0], high[1], 60.0], lower_limit=[-high[0], -high[1], 2.0], rng=np.random.default_rng(5))
    assert above(second, times[2], 2.0, drift).item() == pytest.approx(expected, abs=2e-6)


@settings(max_examples=40, deadline=None)
@given(
    gaps=st.lists(st.floats(0.02, 1.0), min_size=2, max_size=5),
    limits=st.lists(st.floats(0.1, 4.0), min_size=5, max_size=5),
    drift=st.floats(-5.0, 5.0),
    two_sided=st.booleans(),
)
def test_every_trial_stops_above_below_or_goes_on(gaps, limits, drift, two_sided):
    times = np.cumsum(gaps) / sum(gaps)
    corridor, stopped = None, 0.0
    for look, time in enumerate(times):
        low = -limits[look] if two_sided else -math.inf
        last = look + 1 == len(times)
        stopped += above(corridor, time, limits[look], drift).item()
        stopped += below(corridor, time, limits[look] if last else low, drift).item() if two_sided or last else 0.0
        if not last:
            corridor = enter(corridor, time, low=low, high=limits[look], following=times[look + 1], means=(drift * math.sqrt(time),))
    assert stopped == pytest.approx(1.0, abs=1e-11)


def test_a_finer_rule_changes_nothing(monkeypatch):
    """The quadrature is exact to 1e-12 also where looks follow each other closely."""
    times = (0.3, 0.31, 0.3105, 0.99, 1.0)

    def last():
        corridor = None
        for look in range(4):
            corridor = enter(corridor, times[look], low=-2.4, high=2.4, following=times[look + 1])
        return above(corridor, 1.0, 2.4).item()

    coarse = last()
    monkeypatch.setattr(recursion, "PANEL", 0.5)
    monkeypatch.setattr(recursion, "PANEL_IN_BRIDGES", 1.0)
    monkeypatch.setattr(recursion, "BLOCK", 50)
    monkeypatch.setattr(recursion, "BRIDGE_REACH", 30.0)
    assert coarse == pytest.approx(last(), abs=1e-12)


def test_tiny_chances_keep_their_digits():
    """A drift of -20 turns a crossing at 2 into P(Z > 22) = 1.4e-107, at look 1 and near it at look 2."""
    assert above(None, 1.0, 2.0, -20.0).item() == pytest.approx(stats.norm.sf(22.0), rel=1e-12)
    corridor = enter(None, 0.5, low=-math.inf, high=9.0, following=1.0, means=(-20.0 * math.sqrt(0.5),))
    assert above(corridor, 1.0, 2.0, -20.0).item() == pytest.approx(stats.norm.sf(22.0), rel=1e-6)


def test_a_corridor_without_room_lets_nobody_through():
    corridor = enter(None, 0.5, low=2.0, high=1.0, following=1.0)
    assert above(corridor, 1.0, -9.0).item() == 0.0


def test_many_designs_and_many_drifts_go_through_at_once():
    highs = np.array([1.5, 2.0, 3.0])
    batch = enter(None, 0.4, low=-highs, high=highs, following=1.0)
    alone = [above(enter(None, 0.4, low=-h, high=h, following=1.0), 1.0, c).item() for h, c in zip(highs, highs, strict=True)]
    assert above(batch, 1.0, highs) == pytest.approx(alone, abs=1e-14)
    second = enter(batch, 0.6, low=-highs, high=highs, following=1.0)
    assert second.alive.shape == second.z.shape
    one = enter(None, 0.4, low=-2.0, high=2.0, following=1.0)
    drifts = np.array([0.0, 1.0, -2.0])
    assert above(one, 1.0, 2.0, drifts) == pytest.approx([above(one, 1.0, 2.0, d).item() for d in drifts], abs=1e-15)


@pytest.mark.parametrize(
    ("fractions", "message"),
    [
        ([], "1 to 200 looks, got 0"),
        (np.linspace(0.005, 1.0, 201), "got 201"),
        ([0.0, 1.0], "positive and finite"),
        ([0.5, math.nan], "positive and finite"),
        ([0.5, 0.5], "rise by at least"),
        ([0.5, 0.5001, 1.0], "rise by at least"),
    ],
)
def test_fractions_that_no_looks_can_have_are_refused(fractions, message):
    with pytest.raises(UsageError, match=message):
        check_fractions(fractions)


def test_values_that_are_not_numbers_and_sides_that_do_not_exist_are_refused():
    with pytest.raises(UsageError, match="z must be finite, got nan"):
        check_finite("z", np.array([1.0, math.nan]))
    with pytest.raises(UsageError, match="sides must be 1 or 2, got 3"):
        check_sides(3)
