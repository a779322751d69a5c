"""A declared total is reached when it came, each arm short of its share by chance at most (XC-07)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairtrial import parse_spec
from fairtrial.evaluation.status import plan_status


def asked(shares, total=3_000, **plan):
    arms = [{"key": arm, "allocation": share} for arm, share in shares.items()]
    return parse_spec({"key": "k", "arms": arms, "metrics": [{"key": "m", "kind": "mean"}], "plan": {"sample_size": total, **plan}})


def status_of(spec, units):
    return plan_status(spec, units, as_of=None, control_value=None, control_sd=None)[0]


@pytest.mark.parametrize(
    ("units", "complete", "says"),
    [
        ({"control": 1_500, "b": 1_500}, True, "Every arm has its planned size (3,000 in total)."),
        ({"control": 1_472, "b": 1_528}, True, "The planned 3,000 units came, each arm its share but for chance."),
        ({"control": 1_471, "b": 1_528}, False, "Units are still missing: 'control' has 1,471 of 1,500."),
        ({"control": 1_400, "b": 1_600}, False, "Units are still missing: 'control' has 1,400 of 1,500."),
        ({"control": 1_400, "b": 5_000}, False, "Units are still missing: 'control' has 1,400 of 1,500."),
    ],
)
def test_the_total_counts_and_arms_may_miss_their_share_by_chance(units, complete, says):
    status = status_of(asked({"control": 0.5, "b": 0.5}), units)
    assert (status.complete, status.reason) == (complete, says)


def test_sizes_that_a_power_calculation_asks_for_are_every_arms():
    spec = parse_spec(
        {
            "key": "k",
            "arms": ["control", "b"],
            "metrics": [{"key": "m", "kind": "proportion"}],
            "plan": {"baseline": 0.1, "mde": 0.02, "mde_kind": "absolute"},
        }
    )
    planned = status_of(spec, {"control": 0, "b": 0}).planned_n
    half = planned // 2
    assert status_of(spec, {"control": half, "b": half}).complete
    assert not status_of(spec, {"control": half - 1, "b": half + 1}).complete


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(1, 9), min_size=2, max_size=5), st.integers(0, 2**32 - 1))
def test_a_fair_draw_of_the_total_is_nearly_always_complete(weights, seed):
    """Of 2,000 fair assignments of the total at most 1 in 100 is called incomplete, with five arms."""
    shares = np.array(weights) / sum(weights)
    names = ["control", *(f"t{i}" for i in range(1, len(weights)))]
    spec = asked(dict(zip(names, map(float, shares), strict=True)))
    draws = np.random.default_rng(seed).multinomial(3_000, shares, size=2_000)
    short = (draws < 3_000 * shares - 3.29 * np.sqrt(3_000 * shares * (1 - shares))).any(axis=1)
    for row, is_short in zip(draws[:20], short[:20], strict=True):
        if not is_short:
            assert status_of(spec, dict(zip(names, map(int, row), strict=True))).complete
    assert short.mean() < 0.01
