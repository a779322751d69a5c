"""Numbers as people read them: rounding never hides a fact."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairtrial.reports.formatting import (
    NumberStyle,
    clean,
    count,
    effect_style,
    level,
    level_style,
    lift_style,
    magnitude,
    p_statement,
    p_value,
    power,
    precise,
    relative,
    share,
    tick,
)
from fairtrial.stats.result import Interval

MINUS, TIMES = "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}"


@pytest.mark.parametrize(
    ("p", "shown"),
    [
        (1.7e-13, "< 0.0001"),
        (0.00009999, "< 0.0001"),
        (0.00091, "0.00091"),
        (0.0086, "0.0086"),
        (0.0499, "0.0499"),
        (0.04996, "0.04996"),
        (0.05, "0.0500"),
        (0.05000001, "0.0500"),
        (0.359, "0.359"),
        (0.9997, "> 0.999"),
        (1.0, "1"),
        (0.0, "< 0.0001"),
    ],
)
def test_a_p_value_is_shown_with_the_digits_that_matter(p: float, shown: str):
    assert p_value(p, 0.05) == shown
    assert p_statement(p, 0.05) == (f"p {shown}" if shown[0] in "<>" else f"p = {shown}")


@given(p=st.floats(1e-4, 0.9995), alpha=st.sampled_from([0.001, 0.01, 0.025, 0.05, 0.1]))
@settings(deadline=None, max_examples=300)
def test_rounding_never_carries_a_p_value_across_its_error_rate(p: float, alpha: float):
    assert (float(p_value(p, alpha)) < alpha) == (p < alpha)


def test_a_proportion_is_shown_in_points_and_percent():
    """G-2: percent occurs only in rendered text."""
    interval = Interval(low=0.0058749305, high=0.0093616867)
    style = effect_style("proportion", 0.007692453, interval)
    assert style.signed(0.007692453) == "+0.77 pp"
    assert style.span(interval) == "[+0.59, +0.94] pp"
    assert style.between(interval) == "+0.59 to +0.94 pp"
    assert level_style("proportion", style).plain(0.02554655964) == "2.555%"


def test_a_lift_is_shown_in_percent():
    interval = Interval(low=0.29969658, high=0.57523963)
    style = lift_style(0.43085064, interval)
    assert style.signed(0.43085064) == "+43.1%"
    assert style.span(interval) == "[+30.0%, +57.5%]"


def test_money_is_shown_in_whole_units_when_the_interval_is_wide():
    interval = Interval(low=223.0, high=5720.0)
    style = effect_style("mean", 2972.36, interval)
    assert (style.signed(2972.36), style.span(interval)) == ("+2,972", "[+223, +5,720]")


def test_an_infinite_end_is_open():
    style = effect_style("mean", 0.3, Interval(low=0.14, high=math.inf))
    assert style.span(Interval(low=0.14, high=math.inf)) == "[+0.14, ∞)"
    assert style.between(Interval(low=0.14, high=math.inf)) == "+0.14 or more"
    assert style.span(Interval(low=-math.inf, high=0.14)) == f"({MINUS}∞, +0.14]"
    assert style.between(Interval(low=-math.inf, high=-0.14)) == f"{MINUS}0.14 or less"
    assert style.between(Interval(low=-math.inf, high=math.inf)) == "any value"


def test_tiny_and_huge_numbers_share_a_power_of_ten():
    tiny = Interval(low=6.0e-13, high=5.4e-12)
    style = effect_style("mean", 3.0e-12, tiny)
    assert style.signed(3.0e-12) == f"+3.0 {TIMES} 10⁻¹²"
    assert style.span(tiny) == f"[+0.6, +5.4] {TIMES} 10⁻¹²"
    huge = Interval(low=-2.61e13, high=-1.39e13)
    assert effect_style("mean", -2.0e13, huge).signed(-2.0e13) == f"{MINUS}2.00 {TIMES} 10¹³"


@given(
    half=st.floats(1e-6, 1e6),
    nearness=st.floats(0.002, 1.0),
    sign=st.sampled_from([-1, 1]),
    kind=st.sampled_from(["proportion", "mean"]),
)
@settings(deadline=None, max_examples=300)
def test_an_interval_that_excludes_zero_is_seen_to_exclude_it(half: float, nearness: float, sign: int, kind: str):
    """Digits are added until an end near zero shows its sign, down to 1/500 of the half-width."""
    effect = sign * half * (1 + nearness)
    interval = Interval(low=effect - half, high=effect + half)
    style = effect_style(kind, effect, interval)
    for end in (interval.low, interval.high):
        assert style.signed(end)[0] == ("+" if sign > 0 else MINUS)


def test_digits_are_added_only_where_rounding_would_hide_an_end():
    near = Interval(low=0.00004, high=0.19596)
    assert effect_style("mean", 0.098, near).span(near) == "[+0.00004, +0.19596]"
    plain = Interval(low=0.02, high=0.176)
    assert effect_style("mean", 0.098, plain).span(plain) == "[+0.020, +0.176]"


@given(value=st.floats(-1e9, 1e9), decimals=st.integers(0, 6))
@settings(deadline=None, max_examples=200)
def test_a_shown_number_is_the_nearest_one(value: float, decimals: int):
    text = NumberStyle(decimals=decimals).signed(value).replace(",", "").replace(MINUS, "-")
    assert abs(float(text) - value) <= 0.5 * 10.0**-decimals * (1 + 1e-6) + 1e-9 * abs(value)
    assert not text.startswith("-0") or float(text) != 0.0


def test_shares_keep_the_digits_that_a_small_share_needs():
    assert [share(x) for x in (0.0, 1.0, 0.96, 0.04, 0.333333, 0.0005, 0.9995)] == [
        "0%",
        "100%",
        "96.0%",
        "4.0%",
        "33.3%",
        "0.050%",
        "99.950%",
    ]


def test_levels_powers_and_sizes():
    assert [level(a) for a in (0.05, 0.025, 0.05 / 6, 0.1)] == ["95%", "97.5%", "99.17%", "90%"]
    assert [power(x) for x in (0.8, 0.99999, 0.0001)] == ["80.0%", "> 99.9%", "< 0.1%"]
    assert [magnitude("proportion", 0.002545), magnitude("mean", -0.1), relative(0.1), relative(0.13678)] == [
        "0.255 pp",
        "0.1",
        "10%",
        "13.7%",
    ]
    assert [count(588101), count(0)] == ["588,101", "0"]


def test_numbers_as_computed_keep_six_digits():
    assert [precise(x) for x in (0.007692453192, 0.0, None, math.inf, -math.inf, 12345.678)] == [
        "0.00769245",
        "0",
        "\N{EM DASH}",
        "∞",
        f"{MINUS}∞",
        "12,345.7",
    ]
    assert precise(1.705280716e-13) == f"1.70528 {TIMES} 10⁻¹³"
    assert precise(-2.5e15, 3) == f"{MINUS}2.5 {TIMES} 10¹⁵"


def test_ticks_carry_no_sign_on_a_mirrored_axis():
    assert [tick("lift", v, 0.5, signed=False) for v in (0.0, 0.5)] == ["0", "50%"]
    assert [tick("proportion", v, 0.002, signed=True) for v in (-0.002, 0.0, 0.002)] == [f"{MINUS}0.2 pp", "0", "+0.2 pp"]
    assert tick("mean", 3e-12, 1e-12, signed=True) == f"+3 {TIMES} 10⁻¹²"


def test_control_and_reordering_characters_never_reach_the_output():
    assert clean("a\x1b[31mb\u202ec\nd  e") == "a\N{REPLACEMENT CHARACTER}[31mb\N{REPLACEMENT CHARACTER}c d e"
    assert clean("معدل 转化 🛒") == "معدل 转化 🛒"


@pytest.mark.parametrize("kind", ["proportion", "mean"])
@pytest.mark.parametrize("scale", [5e-324, 1e-310, 1e-200, 1e-30, 1e-7, 1.0, 1e9, 1e30, 1e200])
def test_no_magnitude_breaks_the_style(kind: str, scale: float):
    interval = Interval(low=-scale, high=2 * scale)
    style = effect_style(kind, scale, interval)
    for text in (style.signed(scale), style.span(interval), precise(scale), tick(kind, scale, max(scale / 3, 5e-324), signed=True)):
        assert len(text) < 48
        assert not set("naif") & set(text)
