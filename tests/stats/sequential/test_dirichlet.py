"""The Dirichlet mixture's e-value."""

from __future__ import annotations

from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats

from fairtrial.stats.sequential.dirichlet import beta_binomial_log_e_value, dirichlet_multinomial_log_e_value, stirling_remainder

NUMERATORS = (Decimal(1) / 12, Decimal(-1) / 360, Decimal(1) / 1260, Decimal(-1) / 1680, Decimal(1) / 1188, Decimal(-691) / 360360)
PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")


def log_gamma(z: Decimal) -> Decimal:
    """Stirling's series from 1,000 on, to some 40 digits (NIST DLMF 5.11.1)."""
    shift = Decimal(0)
    while z < 1000:
        shift += z.ln()
        z += 1
    series = sum(c / z ** (2 * k + 1) for k, c in enumerate(NUMERATORS))
    return (z - Decimal("0.5")) * z.ln() - z + (2 * PI).ln() / 2 + series - shift


def exact(counts, prior, theta) -> float:
    with localcontext() as context:
        context.prec = 60
        before = [Decimal(a) for a in prior]
        after = [Decimal(n) + a for n, a in zip(counts, before, strict=True)]
        log_beta = [sum(map(log_gamma, v)) - log_gamma(sum(v)) for v in (before, after)]
        return float(log_beta[1] - log_beta[0] - sum(Decimal(n) * Decimal(t).ln() for n, t in zip(counts, theta, strict=True)))


@pytest.mark.parametrize(
    ("counts", "prior", "theta"),
    [
        ((10, 20), (5, 5), (0.5, 0.5)),
        ((1, 0, 400), (0.001, 1, 3), (0.25, 0.25, 0.5)),
        ((0, 0), (3, 4), (0.25, 0.75)),
        ((500_001_000_000, 499_999_000_000), (5000, 5000), (0.5, 0.5)),
        ((250_000_400_000, 750_000_000_000), (25, 75), (0.25, 0.75)),
        ((2, 2**30), (100 * 2.0**-30, 100 - 100 * 2.0**-30), (2.0**-30, 1 - 2.0**-30)),
    ],
)
def test_it_is_the_ratio_of_dirichlet_integrals_up_to_a_trillion_units(counts, prior, theta):
    """Oracle: the defining formula in 60-digit decimals; relative 1e-10 (1e-11 absolute near 0)."""
    assert dirichlet_multinomial_log_e_value(counts, prior, theta) == pytest.approx(exact(counts, prior, theta), rel=1e-10, abs=1e-11)


def test_two_categories_are_the_beta_binomial_mixture():
    """Oracle: numerical integration of the likelihood ratio over the prior, 1e-8."""
    p, strength, x, n = 0.3, 12.0, 9, 20

    def ratio(rate):
        return stats.beta.pdf(rate, strength * p, strength * (1 - p)) * (rate / p) ** x * ((1 - rate) / (1 - p)) ** (n - x)

    mixed, _ = integrate.quad(ratio, 0, 1, epsabs=0, epsrel=1e-11)
    log_e = beta_binomial_log_e_value(x - n * p, n, strength, p, 1 - p)
    assert log_e == pytest.approx(np.log(mixed), rel=1e-8)
    assert log_e == pytest.approx(dirichlet_multinomial_log_e_value([x, n - x], [strength * p, strength * (1 - p)], [p, 1 - p]), rel=1e-12)


@given(
    counts=st.lists(st.integers(0, 200), min_size=2, max_size=5),
    strength=st.floats(0.5, 500),
    weights=st.lists(st.floats(0.1, 1.0), min_size=5, max_size=5),
)
@settings(max_examples=60, deadline=None)
def test_it_is_a_martingale_the_next_unit_leaves_its_mean(counts, strength, weights):
    """Lindon & Malek (2022): under the null the expectation over the next unit is the present value."""
    theta = np.array(weights[: len(counts)])
    theta /= theta.sum()
    following = np.asarray(counts) + np.eye(len(counts))
    now = dirichlet_multinomial_log_e_value(counts, strength * theta, theta)
    then = dirichlet_multinomial_log_e_value(following, strength * theta, theta)
    assert special.logsumexp(then, b=theta) == pytest.approx(float(now), rel=1e-10, abs=1e-10)


def test_the_remainder_of_stirlings_formula():
    """Oracle: scipy's gammaln at sizes where the difference keeps its digits; the leading term 1 / (12 z) beyond."""
    z = np.array([1e-8, 0.3, 1.0, 7.5, 15.99, 16.01, 40.0])
    direct = special.gammaln(z) - (z - 0.5) * np.log(z) + z - 0.5 * np.log(2 * np.pi)
    assert stirling_remainder(z) == pytest.approx(direct, rel=1e-12, abs=1e-13)
    assert stirling_remainder(1e12) == pytest.approx(1 / 12e12, rel=1e-12)
