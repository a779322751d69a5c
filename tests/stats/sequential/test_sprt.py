"""Wald's sequential probability ratio test."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from fairtrial.errors import DataError, UsageError
from fairtrial.stats.sequential.sprt import SprtPlan, sprt_log_likelihood_ratio, sprt_paths, wald_sprt

PLAN = SprtPlan(p0=0.1, p1=0.2)


@pytest.mark.parametrize(("successes", "n", "decision"), [(14, 60, "reject_h0"), (1, 30, "accept_h0"), (5, 40, "continue")])
def test_the_ratio_is_that_of_the_binomial_probabilities(successes, n, decision):
    """Oracle: scipy's binomial probabilities, 1e-12."""
    look = wald_sprt(PLAN, successes, n)
    assert look.log_likelihood_ratio == pytest.approx(
        stats.binom.logpmf(successes, n, 0.2) - stats.binom.logpmf(successes, n, 0.1), rel=1e-12
    )
    assert (look.upper, look.lower) == pytest.approx((math.log(0.8 / 0.05), math.log(0.2 / 0.95)), rel=1e-12)
    assert look.decision == decision


def test_the_roles_of_outcomes_can_be_exchanged():
    """Against a lower rate failures count: p1 < p0 mirrors p1 > p0."""
    mirrored = wald_sprt(SprtPlan(p0=0.9, p1=0.8), 46, 60)
    assert mirrored.log_likelihood_ratio == pytest.approx(wald_sprt(PLAN, 14, 60).log_likelihood_ratio, rel=1e-9)
    assert mirrored.decision == "reject_h0"


def test_the_first_crossing_decides():
    successes = np.cumsum([[1, 1, 1, 1, 1, 1, 0, 0], [0] * 8, [1, 0, 0, 0, 0, 1, 0, 0]], axis=1)
    paths = sprt_paths(SprtPlan(p0=0.2, p1=0.6), successes, np.arange(1, 9))
    assert paths.decided_at.tolist() == [3, 3, 5]
    assert paths.rejected.tolist() == [True, False, False]
    assert paths.accepted.tolist() == [False, True, True]
    assert sprt_paths(PLAN, [0, 1], [1, 2]).decided_at == 0
    assert not sprt_paths(PLAN, [0, 1], [1, 2]).rejected


def test_rates_of_1e_9_are_no_trouble():
    plan = SprtPlan(p0=1e-9, p1=2e-9)
    assert sprt_log_likelihood_ratio(plan, 0, 10**9) == pytest.approx(-1.0, rel=1e-8)


def test_the_errors_and_the_average_size_are_those_that_wald_promises():
    """20,000 tests under each rate; errors within alpha / (1 - beta) and beta / (1 - alpha), sizes above Wald's by at most 15%."""
    rng, runs, most = np.random.default_rng(5), 20_000, 900
    under0, under1 = PLAN.expected_n()
    assert (under0, under1) == pytest.approx((36.57, 42.93), abs=0.01)
    for p, n_wald in ((0.1, under0), (0.2, under1)):
        paths = sprt_paths(PLAN, np.cumsum(rng.random((runs, most)) < p, axis=1), np.arange(1, most + 1))
        assert (paths.decided_at > 0).mean() > 0.999
        wrong = int((paths.rejected if p == 0.1 else paths.accepted).sum())
        limit = 0.05 / 0.8 if p == 0.1 else 0.2 / 0.95
        assert stats.binomtest(wrong, runs, limit, alternative="greater").pvalue > 1e-4
        assert n_wald < paths.decided_at[paths.decided_at > 0].mean() < 1.15 * n_wald


@pytest.mark.parametrize(
    ("call", "rule"),
    [
        (lambda: SprtPlan(p0=0.0, p1=0.2), "p0 must lie"),
        (lambda: SprtPlan(p0=0.1, p1=20), "p1 must lie"),
        (lambda: SprtPlan(p0=0.1, p1=0.1), "must differ"),
        (lambda: SprtPlan(p0=0.1, p1=0.2, alpha=5), "alpha must lie"),
        (lambda: SprtPlan(p0=0.1, p1=0.2, beta=0.0), "beta must lie"),
        (lambda: SprtPlan(p0=0.1, p1=0.2, alpha=0.5, beta=0.5), r"alpha \+ beta"),
        (lambda: wald_sprt(PLAN, 3, 2), "got 3 of 2"),
        (lambda: wald_sprt(PLAN, 0.5, 2), "whole numbers"),
    ],
)
def test_what_breaks_a_rule_is_refused(call, rule):
    with pytest.raises(UsageError, match=rule):
        call()


@pytest.mark.parametrize("looks", [3, np.empty((2, 0))])
def test_a_path_without_looks_is_refused(looks):
    with pytest.raises(DataError, match="at least one look"):
        sprt_paths(PLAN, looks, 5)
