"""How error rates are released over the information: functions, parameters, extremes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fairtrial.errors import UnknownNameError, UsageError
from fairtrial.stats.sequential.spending import alpha_spent, log_alpha_spent

TIMES = np.array([0.1, 0.25, 0.5, 0.75, 0.9, 1.0])
FUNCTIONS = [
    ("lan-demets-obrien-fleming", {}),
    ("lan-demets-pocock", {}),
    ("hwang-shih-decani", {"gamma": -4.0}),
    ("hwang-shih-decani", {"gamma": 2.5}),
    ("kim-demets", {"rho": 3.0}),
]


def test_the_obrien_fleming_type_function_is_its_definition():
    """XC-32; Lan & DeMets (1983); SciPy's normal distribution, tolerance 1e-12."""
    expected = 2.0 * stats.norm.sf(stats.norm.isf(0.0125) / np.sqrt(TIMES))
    assert alpha_spent(TIMES, alpha=0.025, spending="lan-demets-obrien-fleming") == pytest.approx(expected, rel=1e-12)


def test_the_pocock_type_function_is_its_definition():
    """XC-32; Lan & DeMets (1983), tolerance 1e-12."""
    expected = 0.025 * np.log(1.0 + (math.e - 1.0) * TIMES)
    assert alpha_spent(TIMES, alpha=0.025, spending="lan-demets-pocock") == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("gamma", [-8.0, -1e-3, 1e-3, 1.0, 6.0])
def test_the_hwang_shih_decani_function_is_its_definition(gamma):
    """Hwang, Shih & DeCani (1990), tolerance 1e-9 (the plain formula cancels near gamma = 0)."""
    expected = 0.025 * (1.0 - np.exp(-gamma * TIMES)) / (1.0 - math.exp(-gamma))
    assert alpha_spent(TIMES, alpha=0.025, spending="hwang-shih-decani", gamma=gamma) == pytest.approx(expected, rel=1e-9)


def test_a_hwang_shih_decani_function_of_gamma_0_and_a_kim_demets_function_of_rho_1_are_straight():
    for options in ({"spending": "hwang-shih-decani", "gamma": 0.0}, {"spending": "kim-demets", "rho": 1.0}):
        assert alpha_spent(TIMES, alpha=0.05, **options) == pytest.approx(0.05 * TIMES, rel=1e-14)


@pytest.mark.parametrize("gamma", [-1e6, 1e6])
def test_extreme_parameters_do_not_overflow(gamma):
    spent = alpha_spent(TIMES, alpha=0.05, spending="hwang-shih-decani", gamma=gamma)
    assert np.isfinite(spent).all()
    assert spent[0] == pytest.approx(0.0 if gamma < 0 else 0.05)


def test_what_a_double_cannot_hold_is_still_known_by_its_logarithm():
    """A first look at a millionth of the information may spend exp(-2.5 million) of 0.05."""
    log_spent = log_alpha_spent(np.array([1e-6]), np.log(0.025), spending="lan-demets-obrien-fleming", parameter=None)
    assert log_spent[0] == pytest.approx(stats.norm.logsf(stats.norm.isf(0.0125) * 1e3) + math.log(2.0), rel=1e-12)
    assert log_spent[0] < -1e6


@settings(max_examples=60, deadline=None)
@given(
    alpha=st.floats(1e-12, 0.999),
    function=st.sampled_from(FUNCTIONS),
    first=st.floats(0.0, 1.5),
    second=st.floats(0.0, 1.5),
)
def test_a_spending_function_rises_from_nothing_to_alpha(alpha, function, first, second):
    """XC-32."""
    spending, options = function
    early, late = sorted((first, second))
    spent = alpha_spent([0.0, early, late, 1.0, 2.0], alpha=alpha, spending=spending, **options)
    assert spent[0] == 0.0
    assert (np.diff(spent) >= 0.0).all()
    assert spent[3] == spent[4] == alpha


@pytest.mark.parametrize("fraction", [-0.1, math.nan, math.inf])
def test_a_fraction_that_is_none_is_refused(fraction):
    with pytest.raises(UsageError, match="fraction"):
        alpha_spent([0.5, fraction], alpha=0.05, spending="lan-demets-pocock")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"spending": "hwang-shih-decani"}, "needs gamma"),
        ({"spending": "kim-demets", "gamma": 1.0}, "has no gamma"),
        ({"spending": "lan-demets-pocock", "rho": 1.0}, "has no rho"),
        ({"spending": "kim-demets", "rho": 0.0}, "rho must lie"),
        ({"spending": "kim-demets", "rho": math.nan}, "rho must lie"),
        ({"spending": "hwang-shih-decani", "gamma": math.inf}, "gamma must lie"),
        ({"spending": "lan-demets-pocock", "alpha": 5.0}, "alpha must lie"),
    ],
)
def test_parameters_that_are_missing_wrong_or_foreign_are_refused(options, message):
    with pytest.raises(UsageError, match=message) as raised:
        alpha_spent(0.5, **({"alpha": 0.05} | options))
    assert raised.value.hint


def test_an_unknown_function_is_answered_with_those_that_exist():
    with pytest.raises(UnknownNameError, match="lan-demets-pocock"):
        alpha_spent(0.5, alpha=0.05, spending="lan-demets-pococ")
