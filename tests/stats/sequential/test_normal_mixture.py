"""The normal mixture boundary and its e-value."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, optimize, stats

from fairtrial.errors import UsageError
from fairtrial.stats.sequential.normal_mixture import (
    checked_alphas,
    finite,
    normal_mixture_boundary,
    normal_mixture_log_e_value,
    positive,
    standard_log_e_value,
    standard_reach,
    tune_rho,
    tune_tau2,
    tuning_constant,
)

SIDES = ("two-sided", "greater", "less")


def test_the_published_values_of_both_mixtures():
    """Source: unit tests of the confseq reference implementation (Howard et al. 2021), printed to 5-7 digits."""
    rho, one_sided = tune_rho(100), tune_rho(100, alternative="greater")
    assert rho == pytest.approx(12.60056, abs=1e-5)
    assert normal_mixture_log_e_value(10, 100, rho=rho) == pytest.approx(-0.6510052, abs=1e-7)
    assert normal_mixture_boundary(100, rho=rho) == pytest.approx(30.35209, abs=1e-5)
    assert normal_mixture_log_e_value(10, 100, rho=one_sided, alternative="greater") == pytest.approx(-0.06502391, abs=1e-8)
    assert normal_mixture_boundary(100, rho=one_sided, alternative="greater") == pytest.approx(27.66071, abs=1e-5)


@pytest.mark.parametrize("s", [-40.0, -3.0, 0.0, 12.0, 50.0])
@pytest.mark.parametrize("side", SIDES)
def test_the_e_value_is_the_mixture_integral(s, side):
    """Oracle: numerical integration over lambda ~ N(0, 1 / rho), half of it one-sided; 1e-8."""
    v, rho = 60.0, 9.0
    low, high = {"two-sided": (-3, 3), "greater": (0, 3), "less": (-3, 0)}[side]

    def ratio(slope):
        return math.exp(slope * s - slope * slope * v / 2) * stats.norm.pdf(slope, 0, rho**-0.5)

    mixed, _ = integrate.quad(ratio, low, high, epsabs=0, epsrel=1e-11, limit=200)
    weight = 1.0 if side == "two-sided" else 0.5
    assert normal_mixture_log_e_value(s, v, rho=rho, alternative=side) == pytest.approx(math.log(mixed / weight), rel=1e-8)


@given(v=st.floats(0, 1e12), rho=st.floats(1e-6, 1e9), alpha=st.floats(1e-12, 0.99), side=st.sampled_from(SIDES))
@settings(max_examples=200, deadline=None)
def test_on_the_boundary_the_e_value_is_one_over_alpha(v, rho, alpha, side):
    bound = float(normal_mixture_boundary(v, rho=rho, alpha=alpha, alternative=side))
    at = -bound if side == "less" else bound
    assert normal_mixture_log_e_value(at, v, rho=rho, alternative=side) == pytest.approx(-math.log(alpha), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("alpha", [0.3, 0.05, 0.001, 1e-12])
def test_the_tuned_boundary_is_nearly_the_tightest(alpha):
    """Section 3.5 of Howard et al.: the first-order rho; against a numerical minimum over rho."""
    best = optimize.minimize_scalar(
        lambda log_rho: float(normal_mixture_boundary(1.0, rho=math.exp(log_rho), alpha=alpha)), bounds=(-9, 4), method="bounded"
    )
    tuned = float(normal_mixture_boundary(1.0, rho=tune_rho(1.0, alpha_opt=alpha), alpha=alpha))
    assert best.fun <= tuned * (1 + 1e-9)
    assert tuned < best.fun * 1.004


def test_what_the_docstring_says_of_five_percent():
    exact = optimize.brentq(lambda r: r - (2 * math.log(20) + math.log1p(r)), 1, 20)
    assert (round(tuning_constant(), 2), round(exact, 2)) == (7.94, 8.21)
    widths = [float(normal_mixture_boundary(1.0, rho=1 / ratio)) for ratio in (tuning_constant(), exact)]
    assert 1 < widths[0] / widths[1] < 1.0001


def test_a_one_sided_boundary_lies_inside_the_two_sided_one_and_outside_that_of_twice_alpha():
    v = np.geomspace(1, 1e6, 20)
    one = normal_mixture_boundary(v, rho=10.0, alternative="greater")
    assert (one < normal_mixture_boundary(v, rho=10.0)).all()
    assert (one > normal_mixture_boundary(v, rho=10.0, alpha=0.1) - 1e-9).all()
    assert normal_mixture_boundary(v, rho=10.0, alternative="less") == pytest.approx(one, rel=1e-14)


def test_far_on_the_wrong_side_the_one_sided_e_value_keeps_its_digits():
    """Oracle: the asymptotic series of Mills' ratio, log(sqrt(2 / pi) / x)."""
    x = np.array([1e4, 1e8, 1e12])
    assert standard_log_e_value(-x, 0.0, alternative="greater") == pytest.approx(0.5 * np.log(2 / np.pi) - np.log(x), rel=1e-8)


def test_an_alpha_of_1e_300_and_a_trillion_units_are_no_trouble():
    bound = normal_mixture_boundary(1e12, rho=1e3, alpha=1e-300, alternative="greater")
    assert normal_mixture_log_e_value(bound, 1e12, rho=1e3, alternative="greater") == pytest.approx(300 * math.log(10), rel=1e-9)


def test_tau2_is_the_inverse_of_rho_on_the_scale_of_the_estimate():
    """A sum of estimate / V with intrinsic time 1 / V: rho tuned at 1 / V is 1 / tau2."""
    assert tune_tau2(1e-4) == pytest.approx(1 / tune_rho(1e4), rel=1e-12)


def test_an_entry_without_alpha_has_no_reach():
    reach = standard_reach(1.0, [0.05, np.nan], alternative="greater")
    assert np.isnan(reach).tolist() == [False, True]
    assert np.isnan(checked_alphas([0.05, np.nan])).tolist() == [False, True]


@pytest.mark.parametrize(
    ("call", "rule"),
    [
        (lambda: tune_rho(0.0), "v_opt must be positive and finite, got 0"),
        (lambda: tune_rho(10.0, alpha_opt=95), "alpha must lie"),
        (lambda: tune_rho(10.0, alpha_opt=0.5, alternative="less"), "below 1/2"),
        (lambda: tune_rho(10.0, alternative="up"), "alternative must be"),
        (lambda: tune_tau2(math.nan), "variance_opt must be positive"),
        (lambda: normal_mixture_log_e_value(math.inf, 1.0, rho=1.0), "s must be finite"),
        (lambda: normal_mixture_log_e_value(0.0, -1.0, rho=1.0), "v must be finite and >= 0"),
        (lambda: normal_mixture_log_e_value(0.0, 1.0, rho=0.0), "rho must be positive"),
        (lambda: normal_mixture_log_e_value(0.0, 1.0, rho=1.0, alternative="up"), "alternative must be"),
        (lambda: normal_mixture_boundary(1.0, rho=1.0, alpha=1.0), "alpha must lie"),
        (lambda: normal_mixture_boundary(1.0, rho=1.0, alpha=math.nan), "alpha must lie"),
        (lambda: normal_mixture_boundary(1.0, rho=1.0, alpha=[0.1, 2.0]), "alpha must lie"),
        (lambda: standard_reach(1.0, 0.05, alternative="up"), "alternative must be"),
        (lambda: positive("x", [1.0, -2.0]), "got -2"),
        (lambda: finite("x", [1.0, math.nan]), "got nan"),
    ],
)
def test_what_breaks_a_rule_is_refused(call, rule):
    with pytest.raises(UsageError, match=rule):
        call()
