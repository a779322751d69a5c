"""XC-35: the smallest lift that earns what is demanded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairtrial.errors import UsageError
from fairtrial.stats.power import round_up
from fairtrial.stats.roi import mde_from_roi

MONEY = st.floats(1.0, 1e9)


def test_the_documented_value():
    assert mde_from_roi(50_000, 1_000_000) == pytest.approx(0.15)


@given(MONEY, MONEY, st.floats(0.1, 100), st.floats(1.01, 10))
def test_a_higher_demand_asks_for_a_larger_effect(cost, revenue, multiple, more):
    asked = mde_from_roi(cost, revenue, required_multiple=multiple)
    assert mde_from_roi(cost, revenue, required_multiple=multiple * more) > asked
    assert mde_from_roi(cost, revenue, required_multiple=multiple, payback_years=more) < asked
    assert asked * revenue == pytest.approx(cost * multiple)


@pytest.mark.parametrize("wrong", [{"cost": 0}, {"annual_revenue": -1}, {"required_multiple": 0}, {"payback_years": float("nan")}])
def test_amounts_are_above_zero(wrong):
    with pytest.raises(UsageError, match="must be"):
        mde_from_roi(**{"cost": 1.0, "annual_revenue": 1.0, **wrong})


def test_a_plan_that_no_number_can_hold_is_refused():
    with pytest.raises(UsageError, match="countable"):
        round_up(float("inf"))
