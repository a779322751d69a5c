"""What an effect is worth: gain, costs, return and payback with their intervals (XC-35, XC-44, V.b)."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairtrial.decisions.impact import BusinessCase, Improvement, expected_impact, payback_years
from fairtrial.errors import UsageError
from fairtrial.stats.result import Interval, Unavailable
from fairtrial.stats.roi import mde_from_roi
from fairtrial.stats.shrinkage import shrink_to_prior

SHOP = BusinessCase(units_per_day=950, value_per_unit=30)
FOUND = Improvement(effect=0.0036, interval=Interval(low=-0.001, high=0.0082), alpha=0.05)
MONEY = st.floats(min_value=-1e6, max_value=1e6)


def impact(found=FOUND, case=SHOP):
    return expected_impact(found, case, treatment="t", metric="m")


def case(**changed):
    return BusinessCase(**{"units_per_day": 950, "value_per_unit": 30, **changed})


class TestGain:
    def test_golden(self):
        """V.b: 950 a day x 365 x .0036 x 30 = 37,449 (XC-35)."""
        gain = impact().gain
        assert gain.value == pytest.approx(37_449.0, abs=1e-6)
        assert (gain.interval.low, gain.interval.high) == pytest.approx((-10_402.5, 85_300.5))

    def test_the_reading_follows_the_interval_of_the_net_gain(self):
        """XC-37: an effect that is not sure to pay is never told as a gain."""
        sure = Improvement(effect=0.0036, interval=Interval(low=0.001, high=0.0062), alpha=0.05)
        assert impact().reading == "unclear"
        assert impact(sure).reading == "gain"
        assert impact(sure, case(one_off_cost=20_000)).reading == "unclear"
        assert impact(sure, case(one_off_cost=100_000)).reading == "loss"

    @pytest.mark.parametrize(
        ("changed", "named"),
        [
            ({"value_per_unit": None}, "lacks value_per_unit."),
            ({"units_per_day": None}, "lacks eligible_units_per_day."),
            ({"units_per_day": None, "value_per_unit": None}, "lacks eligible_units_per_day and value_per_unit."),
        ],
    )
    def test_a_missing_term_is_named_and_gives_no_number(self, changed, named):
        """V.b: null when the config lacks a term."""
        found = impact(case=case(**changed))
        assert found.unavailable.code == "missing_terms"
        assert found.unavailable.reason.endswith(named)
        assert (found.gain, found.net, found.roi, found.payback, found.reading) == (None, None, None, None, "unavailable")

    def test_without_an_estimate_the_reason_is_handed_on(self):
        gone = Unavailable(code="too_few", reason="Too few units.")
        assert impact(gone).unavailable == gone

    def test_an_open_interval_stays_open(self):
        found = impact(Improvement(effect=0.0036, interval=Interval(low=0.001, high=math.inf), alpha=0.05), case(one_off_cost=1000))
        assert math.isinf(found.net.interval.high)
        assert found.payback.earliest == 0.0
        assert found.reading == "gain"

    @given(effect=MONEY, below=st.floats(0, 1e6), above=st.floats(0, 1e6), cost=st.floats(0, 1e9), years=st.floats(0.1, 10))
    def test_every_interval_holds_its_figure(self, effect, below, above, cost, years):
        found = Improvement(
            effect=effect,
            interval=Interval(low=effect - below, high=effect + above),
            alpha=0.05,
            shrunk=shrink_to_prior(effect, 1.0, prior_sd=2.0),
        )
        told = impact(found, case(one_off_cost=cost, horizon_years=years))
        for figure in (told.gain, told.net, told.roi, told.shrunk_gain, told.shrunk_net):
            if figure is not None:
                assert figure.interval.low <= figure.value <= figure.interval.high
                assert math.isfinite(figure.value)


class TestTime:
    def test_years_discount_persistence_and_holdout(self):
        """By hand: 1000 a year; half is left in year 2; 10% a year; a holdout of 20%."""
        terms = {"units_per_day": 10, "value_per_unit": 10 / 36.5, "horizon_years": 2, "discount_rate": 0.1, "persistence": 0.5}
        one = Improvement(effect=1.0, interval=Interval(low=0.5, high=1.5), alpha=0.05)
        told = impact(one, BusinessCase(**terms, holdout_share=0.2, one_off_cost=100, running_cost=50))
        cost = 100 + 50 / 1.1 + 50 / 1.21
        assert told.gain.value == pytest.approx(800)
        assert told.units_per_period == pytest.approx(2920)
        assert told.cost == pytest.approx(cost)
        assert told.net.value == pytest.approx(800 / 1.1 + 400 / 1.21 - cost)
        assert told.roi.value == pytest.approx(told.net.value / cost)
        assert told.break_even == pytest.approx(cost / (800 / 1.1 + 400 / 1.21))

    def test_the_period_is_no_part_of_the_net_gain(self):
        """A gain told for a month is not a gain over the horizon."""
        month, year = (impact(case=case(period_days=days, horizon_years=2)) for days in (30, 365))
        assert month.gain.value == pytest.approx(year.gain.value * 30 / 365)
        assert month.net.value == pytest.approx(year.net.value) == pytest.approx(2 * year.gain.value)

    def test_a_part_of_a_year_counts_as_such(self):
        assert impact(case=case(horizon_years=1.5)).net.value == pytest.approx(1.5 * 37_449)

    def test_payback_by_hand(self):
        """5,000 out; 4,000 less 1,000 a year: 1.667 years."""
        terms = case(one_off_cost=5000, running_cost=1000, horizon_years=3)
        assert payback_years(4000, terms) == pytest.approx(5 / 3)
        assert payback_years(1000, terms) is None
        assert payback_years(2000, terms) is None
        assert payback_years(8000, terms) == pytest.approx(5 / 7)

    def test_payback_turns_its_interval_and_never_is_none(self):
        """The better end pays back first; an end that loses never does."""
        found = impact(case=case(one_off_cost=20_000)).payback
        assert found.earliest < found.years < 1
        assert found.latest is None

    @given(gain=st.floats(1, 1e6), cost=st.floats(1, 1e6), rate=st.floats(0, 0.5), left=st.floats(0.1, 1))
    def test_what_pays_back_within_the_horizon_is_what_has_a_net_gain(self, gain, cost, rate, left):
        terms = case(one_off_cost=cost, horizon_years=3, discount_rate=rate, persistence=left)
        worth = sum(gain * left**k / (1 + rate) ** (k + 1) for k in range(3))
        if abs(worth - cost) > 1e-6 * cost:
            assert (payback_years(gain, terms) is not None) == (worth > cost)


class TestShrinkage:
    def test_by_hand(self):
        """Prior sd 2, standard error 1: 4/5 is kept, the spread is sqrt(4/5)."""
        found = shrink_to_prior(5.0, 1.0, prior_sd=2.0)
        assert found.factor == pytest.approx(0.8)
        assert found.effect == pytest.approx(4.0)
        assert found.interval.high - found.effect == pytest.approx(1.959964 * math.sqrt(0.8), abs=1e-6)

    def test_it_is_right_for_those_that_were_chosen(self):
        """XC-24: among effects launched because p < .05, the shrunken estimates are right on average and the plain are not."""
        rng = np.random.default_rng(5)
        true = rng.normal(0, 1.0, 200_000)
        seen = true + rng.normal(0, 1.0, true.size)
        won = seen > 1.96
        kept = shrink_to_prior(1.0, 1.0, prior_sd=1.0).factor
        assert seen[won].mean() - true[won].mean() > 1.0
        assert kept * seen[won].mean() == pytest.approx(true[won].mean(), abs=0.02)

    @given(effect=MONEY, error=st.floats(1e-6, 1e6), prior=st.floats(1e-6, 1e6))
    def test_it_draws_towards_none_and_never_across(self, effect, error, prior):
        found = shrink_to_prior(effect, error, prior_sd=prior)
        assert 0 < found.factor <= 1
        assert abs(found.effect) <= abs(effect)
        assert found.effect * effect >= 0

    def test_a_prior_without_spread_is_refused(self):
        with pytest.raises(UsageError, match="prior_sd"):
            shrink_to_prior(1.0, 1.0, prior_sd=0.0)


def test_the_effect_worth_detecting_rises_with_the_demanded_return():
    """V.b: 50,000 x 3 / 1,000,000 = .15; V.c: it rises with the return."""
    assert mde_from_roi(50_000, 1_000_000, required_multiple=3, payback_years=1) == pytest.approx(0.15)
    wanted = [mde_from_roi(50_000, 1_000_000, required_multiple=multiple) for multiple in (1, 2, 3, 5)]
    assert wanted == sorted(wanted)
