"""Boundaries for sums with other than normal steps."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from fairtrial.errors import UsageError
from fairtrial.stats.sequential.normal_mixture import normal_mixture_boundary, normal_mixture_log_e_value, tune_rho
from fairtrial.stats.sequential.uniform_boundaries import (
    beta_binomial_mixture_boundary,
    beta_binomial_mixture_log_e_value,
    gamma_mixture_boundary,
    gamma_mixture_log_e_value,
    one_sided_beta_binomial,
    polynomial_stitching_boundary,
)

ONE, TWO = tune_rho(100, alternative="greater"), tune_rho(100)
FAMILIES = ("exponential", "poisson")


@pytest.mark.parametrize(("family", "log_e", "bound"), [("exponential", -0.2490165, 33.02017), ("poisson", -0.06991219, 30.1949)])
def test_the_published_values_of_the_gamma_mixtures(family, log_e, bound):
    """Source: unit tests of the confseq reference implementation (Howard et al. 2021): s 10, v 100, c 2."""
    assert gamma_mixture_log_e_value(10, 100, rho=ONE, c=2, family=family) == pytest.approx(log_e, abs=1e-7)
    assert gamma_mixture_boundary(100, rho=ONE, c=2, family=family) == pytest.approx(bound, abs=1e-5)


@pytest.mark.parametrize(
    ("side", "rho", "log_e", "bound"), [("two-sided", TWO, -0.6941012, 31.4308), ("greater", ONE, -0.07134019, 28.41238)]
)
def test_the_published_values_of_the_beta_binomial_mixture(side, rho, log_e, bound):
    """Source: as above, steps within [-0.2, 0.8]."""
    assert beta_binomial_mixture_log_e_value(10, 100, rho=rho, g=0.2, h=0.8, alternative=side) == pytest.approx(log_e, abs=1e-7)
    assert beta_binomial_mixture_boundary(100, rho=rho, g=0.2, h=0.8, alternative=side) == pytest.approx(bound, abs=1e-5)


@pytest.mark.parametrize(("c", "bound"), [(3, 64.48755), (-1, 28.99389)])
def test_the_published_values_of_polynomial_stitching(c, bound):
    """Source: as above, v_min 10, s 1.4, eta 2."""
    assert polynomial_stitching_boundary(100, v_min=10, c=c) == pytest.approx(bound, abs=1e-5)


def test_before_its_start_the_stitched_boundary_stays_where_it_starts():
    assert polynomial_stitching_boundary([0.0, 5.0, 10.0], v_min=10).tolist() == [polynomial_stitching_boundary(10, v_min=10)] * 3


@pytest.mark.parametrize("s", [-30.0, 0.0, 25.0])
def test_the_gamma_exponential_mixture_is_its_integral(s):
    """Oracle: Howard et al. (2021), proposition 9: 1 - c lambda is Gamma(r, r) below 1, psi = (-log(1 - c l) - c l) / c^2; 1e-8."""
    v, rho, c = 80.0, 20.0, 2.0
    r = rho / c**2

    def ratio(y):
        slope = (1 - y) / c
        return math.exp(slope * s - v * (-math.log(y) - c * slope) / c**2) * stats.gamma.pdf(y, r + 1, scale=1 / r) / y

    mixed, _ = integrate.quad(ratio, 0, 1, epsabs=0, epsrel=1e-11)
    weight, _ = integrate.quad(lambda y: stats.gamma.pdf(y, r + 1, scale=1 / r) / y, 0, 1, epsabs=0, epsrel=1e-11)
    assert gamma_mixture_log_e_value(s, v, rho=rho, c=c) == pytest.approx(math.log(mixed / weight), rel=1e-8)


@pytest.mark.parametrize("s", [-30.0, 0.0, 25.0])
def test_the_gamma_poisson_mixture_is_its_integral(s):
    """Oracle: Howard et al. (2021), proposition 10: exp(c lambda) is Gamma(r, r) above 1, psi = (e^(c l) - c l - 1) / c^2; 1e-8."""
    v, rho, c = 80.0, 20.0, 2.0
    r = rho / c**2

    def ratio(y):
        slope = math.log(y) / c
        return math.exp(slope * s - v * (y - c * slope - 1) / c**2) * stats.gamma.pdf(y, r, scale=1 / r)

    mixed, _ = integrate.quad(ratio, 1, 6, epsabs=0, epsrel=1e-11, limit=200)
    expected = math.log(mixed / stats.gamma.sf(1, r, scale=1 / r))
    assert gamma_mixture_log_e_value(s, v, rho=rho, c=c, family="poisson") == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("family", FAMILIES)
def test_with_a_vanishing_scale_both_are_the_one_sided_normal_mixture(family):
    v = np.array([10.0, 1e3, 1e5])
    normal = normal_mixture_boundary(v, rho=20.0, alternative="greater")
    assert gamma_mixture_boundary(v, rho=20.0, c=1e-4, family=family) == pytest.approx(normal, rel=1e-4)
    small = gamma_mixture_log_e_value(-3.0, 1e3, rho=20.0, c=1e-4, family=family)
    assert small == pytest.approx(normal_mixture_log_e_value(-3.0, 1e3, rho=20.0, alternative="greater"), rel=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_sum_far_below_the_null_is_no_evidence_above_it(family):
    """Where the tail underflows (|s| beyond 37 standard deviations) the value goes on falling smoothly."""
    s = -np.linspace(30, 44, 29) * 100.0
    logs = gamma_mixture_log_e_value(s, 1e4, rho=1e3, c=1.0, family=family)
    assert (np.diff(logs) < 0).all()
    assert np.diff(logs) == pytest.approx(np.diff(-np.log(-s)), rel=0.2)


@given(
    v=st.floats(1, 1e9),
    rho=st.floats(0.1, 1e5),
    c=st.floats(0.01, 10),
    alpha=st.floats(1e-9, 0.9),
    family=st.sampled_from(FAMILIES),
)
@settings(max_examples=80, deadline=None)
def test_on_a_gamma_boundary_the_e_value_is_one_over_alpha(v, rho, c, alpha, family):
    bound = gamma_mixture_boundary(v, rho=rho, c=c, alpha=alpha, family=family)
    assert gamma_mixture_log_e_value(bound, v, rho=rho, c=c, family=family) == pytest.approx(-math.log(alpha), rel=1e-6, abs=1e-6)


@given(n=st.integers(50, 10**9), g=st.floats(0.05, 0.95), alpha=st.floats(1e-6, 0.5), side=st.sampled_from(["two-sided", "greater"]))
@settings(max_examples=60, deadline=None)
def test_on_a_beta_binomial_boundary_the_e_value_is_one_over_alpha_or_no_sum_suffices(n, g, alpha, side):
    h = 1 - g
    v, rho = g * h * n, tune_rho(g * h * n, alternative=side)
    bound = float(beta_binomial_mixture_boundary(v, rho=rho, g=g, h=h, alpha=alpha, alternative=side))
    log_e = float(beta_binomial_mixture_log_e_value(bound, v, rho=rho, g=g, h=h, alternative=side))
    assert log_e == pytest.approx(-math.log(alpha), rel=1e-6, abs=1e-6) or (bound == pytest.approx(v / g) and log_e < -math.log(alpha))


def test_before_any_evidence_could_suffice_the_boundary_is_the_largest_sum():
    assert beta_binomial_mixture_boundary(0.25, rho=1.0, g=0.5, h=0.5, alpha=1e-6) == pytest.approx(0.5, rel=1e-12)


def test_the_lower_one_sided_mixture_is_the_upper_one_of_the_mirrored_steps():
    down = beta_binomial_mixture_log_e_value(-10, 100, rho=ONE, g=0.8, h=0.2, alternative="less")
    assert down == pytest.approx(float(beta_binomial_mixture_log_e_value(10, 100, rho=ONE, g=0.2, h=0.8, alternative="greater")), rel=1e-12)


@pytest.mark.parametrize("p", [0.3, 0.7])
def test_the_one_sided_mixture_falls_smoothly_where_its_tail_underflows(p):
    n = 1_000_000
    x = np.linspace(0.02, p - 0.005, 200) * n
    logs = one_sided_beta_binomial(x - n * p, n, 50.0, p, 1 - p, alternative="greater")
    assert (np.diff(logs) > 0).all()
    assert (logs < 0).all()


def test_entries_without_alpha_have_no_boundary():
    for bound in (
        gamma_mixture_boundary(100, rho=ONE, c=2, alpha=[0.05, np.nan]),
        beta_binomial_mixture_boundary(100, rho=ONE, g=0.2, h=0.8, alpha=[0.05, np.nan]),
    ):
        assert np.isnan(bound).tolist() == [False, True]


@pytest.mark.parametrize(
    ("call", "rule"),
    [
        (lambda: gamma_mixture_log_e_value(0, 1, rho=1, c=1, family="weibull"), "family must be one of"),
        (lambda: gamma_mixture_boundary(1, rho=1, c=1, family="weibull"), "family must be one of"),
        (lambda: gamma_mixture_log_e_value(-5, 1, rho=1, c=1), r"above -\(v \+ rho\) / c, got -5"),
        (lambda: gamma_mixture_log_e_value(math.nan, 1, rho=1, c=1), "s must be finite"),
        (lambda: gamma_mixture_boundary(1, rho=1, c=0), "c must be positive"),
        (lambda: gamma_mixture_boundary(1, rho=1, c=1, alpha=5), "alpha must lie"),
        (lambda: beta_binomial_mixture_log_e_value(9, 1, rho=1, g=0.5, h=0.5), "s must lie within"),
        (lambda: beta_binomial_mixture_log_e_value(0, 1, rho=1, g=0, h=0.5), "g must be positive"),
        (lambda: beta_binomial_mixture_boundary(1, rho=1, g=0.5, h=0.5, alternative="less"), "got 'less'"),
        (lambda: beta_binomial_mixture_boundary(0, rho=1, g=0.5, h=0.5), "v must be positive"),
        (lambda: one_sided_beta_binomial(0, 1, 1, 0.5, 0.5, alternative="up"), "alternative must be"),
        (lambda: polynomial_stitching_boundary(1, v_min=0), "v_min must be positive"),
        (lambda: polynomial_stitching_boundary(1, v_min=1, s=1), "s must be finite and above 1"),
        (lambda: polynomial_stitching_boundary(1, v_min=1, eta=math.inf), "eta must be finite and above 1"),
    ],
)
def test_what_breaks_a_rule_is_refused(call, rule):
    with pytest.raises(UsageError, match=rule):
        call()
