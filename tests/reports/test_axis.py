"""Where estimates stand: better to the right, zero on the axis, the primary never cut."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairtrial.reports.axis import Span, axis, domain, mark, oriented

ends = st.floats(-5, 5, allow_nan=False)


def spans(draw_many=8):
    pair = st.tuples(ends, ends, st.booleans()).map(lambda t: Span(point=(t[0] + t[1]) / 2, low=min(t[:2]), high=max(t[:2]), primary=t[2]))
    return st.lists(pair, min_size=1, max_size=draw_many)


def test_nothing_to_draw_has_no_domain():
    assert domain([]) is None


def test_a_metric_for_which_lower_is_better_is_mirrored():
    assert oriented(-0.1, -0.3, 0.05, lower_is_better=True) == (0.1, -0.05, 0.3)
    assert oriented(-0.1, -math.inf, 0.05, lower_is_better=True) == (0.1, -0.05, math.inf)
    assert oriented(-0.1, -0.3, 0.05, lower_is_better=False) == (-0.1, -0.3, 0.05)


@given(spans())
@settings(deadline=None, max_examples=200)
def test_marks_keep_their_order_and_zero_is_on_the_axis(drawn: list[Span]):
    scale = domain(drawn)
    shown = axis(scale, lambda value, _: f"{value:g}", mirrored=False, title="")
    assert 0.0 < shown.zero < 1.0
    assert [tick.at for tick in shown.ticks] == sorted(tick.at for tick in shown.ticks)
    assert any(tick.at == shown.zero and tick.major for tick in shown.ticks)
    assert len(shown.ticks) <= 9
    for span in drawn:
        placed = mark(span, scale)
        assert 0.0 <= placed.low <= placed.point <= placed.high <= 1.0
        assert placed.open_low == (span.low < scale.low)
        assert placed.open_high == (span.high > scale.high)
        if span.primary:
            assert not placed.open_low
            assert not placed.open_high


def test_an_infinite_end_is_open_and_does_not_stretch_the_axis():
    span = Span(point=0.3, low=0.1, high=math.inf, primary=True)
    scale = domain([span])
    placed = mark(span, scale)
    assert placed.open_high
    assert placed.high == 1.0
    assert scale.high < 1.0


def test_a_wild_row_is_cut_and_says_so():
    calm = Span(point=0.05, low=0.01, high=0.09, primary=True)
    wild = Span(point=40.0, low=30.0, high=50.0)
    scale = domain([calm, wild])
    placed = mark(wild, domain([calm, calm, wild]))
    assert domain([calm, calm, wild]).high < 1.0
    assert (placed.open_low, placed.open_high, placed.point_off) == (False, True, True)
    assert not mark(calm, scale).open_high


def test_margins_are_drawn_where_they_lie():
    span = Span(point=0.01, low=-0.02, high=0.04, margin=-0.05, margin_text="harm tolerated: 5%", primary=True)
    scale = domain([span])
    placed = mark(span, scale)
    assert placed.margin is not None
    assert placed.margin < placed.low < scale.at(0.0)


@pytest.mark.parametrize("scale", [5e-324, 1e-300, 1e-12, 1e12, 1e200])
def test_no_magnitude_breaks_the_axis(scale: float):
    span = Span(point=scale, low=-scale, high=2 * scale, primary=True)
    shown = axis(domain([span]), lambda value, _: f"{value:g}", mirrored=False, title="")
    assert 0.0 < shown.zero < 1.0
    assert 3 <= len(shown.ticks) <= 9


def test_an_effect_of_exactly_nothing_still_has_an_axis():
    span = Span(point=0.0, low=0.0, high=0.0, primary=True)
    placed = mark(span, domain([span]))
    assert placed.low == placed.point == placed.high == 0.5
