"""The sequential sample-ratio check."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from fairtrial.errors import DataError, UsageError
from fairtrial.stats.sequential.allocation import DEFAULT_CONCENTRATION, sequential_srm

DAILY = np.cumsum([[520, 480]] * 30, axis=0)


def test_a_split_of_52_to_48_is_found_and_an_even_one_is_not():
    """G-11 watched daily at its alpha of 0.001: 1,000 units a day, 2 points off."""
    found = sequential_srm(DAILY, [0.5, 0.5])
    assert 10 < found.first_detection() < 25
    assert found.posterior[-1] > 0.999
    assert found.observed_shares.tolist() == [0.52, 0.48]
    even = sequential_srm(np.cumsum([[500, 500]] * 30, axis=0), [1, 1])
    assert even.first_detection() == 0
    assert (even.p_value == 1.0).all()


def test_the_evidence_is_the_marginal_likelihood_ratio():
    """Oracle: the formula of Lindon & Malek (2022) with gammaln; 1e-9."""
    counts, theta, prior = np.array([[30, 50, 20], [70, 90, 60]]), np.array([0.3, 0.4, 0.3]), np.array([6.0, 8.0, 6.0])
    total = counts.sum(axis=1)
    expected = (
        special.gammaln(20) - special.gammaln(20 + total) + (special.gammaln(prior + counts) - special.gammaln(prior)).sum(axis=1)
    ) - counts @ np.log(theta)
    assert sequential_srm(counts, theta, concentration=20).log_e_value == pytest.approx(expected, rel=1e-9)
    assert sequential_srm(counts, theta, dirichlet_alpha=prior).log_e_value == pytest.approx(expected, rel=1e-9)


@given(
    steps=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 400), st.integers(0, 400)), min_size=1, max_size=8),
    order=st.permutations(range(3)),
)
@settings(max_examples=60, deadline=None)
def test_neither_the_order_of_the_arms_nor_an_arm_without_share_matters(steps, order):
    counts, shares = np.cumsum(steps, axis=0), np.array([0.5, 0.3, 0.2])
    one = sequential_srm(counts, shares)
    assert sequential_srm(counts[:, order], shares[list(order)]).log_e_value == pytest.approx(one.log_e_value, abs=1e-8)
    idle = sequential_srm(np.column_stack([counts, np.arange(len(steps))]), [*shares, 0.0])
    assert idle.log_e_value == pytest.approx(one.log_e_value, abs=1e-12)
    assert idle.units_without_share == len(steps) - 1
    assert idle.observed_shares[-1] == 0.0
    assert (np.diff(one.p_value) <= 0).all()


def test_replicates_stand_in_front():
    both = sequential_srm(np.stack([DAILY, DAILY[:, ::-1], DAILY * 0]), [0.5, 0.5])
    assert both.log_e_value.shape == (3, 30)
    assert both.first_detection().tolist() == [both.first_detection()[0]] * 2 + [0]
    assert both.observed_shares[2].tolist() == [0.0, 0.0]


def test_a_broken_split_of_a_trillion_units_does_not_overflow():
    result = sequential_srm([[6e11, 4e11]], [0.5, 0.5])
    assert result.log_e_value[0] > 1e10
    assert (result.p_value[0], result.posterior[0]) == (0.0, 1.0)


def test_a_small_concentration_looks_for_large_mismatches():
    assert sequential_srm([[65, 35]], [0.5, 0.5], concentration=100).log_e_value > sequential_srm([[65, 35]], [0.5, 0.5]).log_e_value
    assert DEFAULT_CONCENTRATION == 10_000


@pytest.mark.parametrize(
    ("call", "error", "rule"),
    [
        (lambda: sequential_srm(DAILY, [1.0, -1.0]), UsageError, "Planned shares"),
        (lambda: sequential_srm(DAILY, [[0.5, 0.5]]), UsageError, "Planned shares"),
        (lambda: sequential_srm(DAILY, [1.0, 0.0]), DataError, "two arms"),
        (lambda: sequential_srm([5, 5], [0.5, 0.5]), UsageError, "shape"),
        (lambda: sequential_srm(DAILY, [0.4, 0.3, 0.3]), UsageError, "shape"),
        (lambda: sequential_srm(np.empty((0, 2)), [0.5, 0.5]), DataError, "at least one look"),
        (lambda: sequential_srm([[1.5, 2]], [0.5, 0.5]), UsageError, "whole numbers"),
        (lambda: sequential_srm([[5, 5], [4, 6]], [0.5, 0.5]), UsageError, "must not fall"),
        (lambda: sequential_srm(DAILY, [0.5, 0.5], concentration=0), UsageError, "concentration must be positive"),
        (lambda: sequential_srm(DAILY, [0.5, 0.5], dirichlet_alpha=[1.0]), UsageError, "each of 2 arms"),
        (lambda: sequential_srm(DAILY, [0.5, 0.5], dirichlet_alpha=[1.0, 0.0]), UsageError, "where the share is"),
        (lambda: sequential_srm(DAILY, [0.5, 0.5]).first_detection(alpha=5), UsageError, "alpha must lie"),
    ],
)
def test_what_breaks_a_rule_is_refused(call, error, rule):
    with pytest.raises(error, match=rule):
        call()
