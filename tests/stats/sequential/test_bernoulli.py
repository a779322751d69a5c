"""Exact sequences of rates and of their ratio."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from fairtrial.errors import UsageError
from fairtrial.stats.sequential.bernoulli import (
    bernoulli_confidence_sequence,
    bernoulli_log_e_value,
    prior_strength,
    rate_lift_sequence,
)
from fairtrial.stats.sequential.confidence_sequences import Mixture, asymptotic_confidence_sequence
from fairtrial.stats.sequential.msprt import p_value_of_log_e

SIDES = ("two-sided", "greater", "less")
rate = st.floats(0.001, 0.999)


@st.composite
def counts(draw):
    n = draw(st.integers(0, 3000))
    return draw(st.integers(0, n)), n


@pytest.mark.parametrize(
    ("successes", "n", "t_opt", "low", "high"),
    [(700, 1000, 100, 0.651630, 0.745949), (5, 50, 50, 0.0130, 0.2693), (1, 50, 50, 0.0, 0.1349)],
)
def test_the_published_intervals(successes, n, t_opt, low, high):
    """Source: the confseq reference implementation's bernoulli_confidence_interval (Howard et al. 2021), to the digits shown."""
    looks = bernoulli_confidence_sequence(successes, n, n_opt=t_opt)
    assert (looks.low, looks.high) == pytest.approx((low, high), abs=6e-5 if n == 50 else 1e-6)


@given(look=counts(), null=rate, n_opt=st.integers(1, 5000), alpha=st.floats(1e-6, 0.9), side=st.sampled_from(SIDES))
@settings(max_examples=200, deadline=None)
def test_the_p_value_is_below_alpha_exactly_when_the_interval_excludes_the_rate(look, null, n_opt, alpha, side):
    looks = bernoulli_confidence_sequence(*look, n_opt=n_opt, alpha=alpha, alternative=side)
    p_value = p_value_of_log_e(bernoulli_log_e_value(*look, null=null, n_opt=n_opt, alternative=side))
    if abs(p_value - alpha) > 1e-7 * alpha:
        assert (null < looks.low or null > looks.high) == (p_value < alpha)


@given(look=counts(), alpha=st.floats(1e-6, 0.5), side=st.sampled_from(SIDES))
@settings(max_examples=100, deadline=None)
def test_zeros_and_ones_exchanged_mirror_the_interval(look, alpha, side):
    x, n = look
    mirror = {"two-sided": "two-sided", "greater": "less", "less": "greater"}[side]
    one = bernoulli_confidence_sequence(x, n, n_opt=500, alpha=alpha, alternative=side)
    other = bernoulli_confidence_sequence(n - x, n, n_opt=500, alpha=alpha, alternative=mirror)
    assert (one.low, one.high) == pytest.approx((1 - other.high, 1 - other.low), abs=1e-12)


@pytest.mark.parametrize("side", SIDES)
def test_the_chance_ever_to_reject_the_truth_is_below_alpha_counted_out(side):
    """Oracle: exact enumeration of all paths of 200 units at p = 0.05, alpha 10%: below alpha, and not idly so."""
    p, alpha, alive, crossed = 0.05, 0.1, {0: 1.0}, 0.0
    for n in range(1, 201):
        following: dict[int, float] = {}
        for x, chance in alive.items():
            following[x] = following.get(x, 0.0) + chance * (1 - p)
            following[x + 1] = following.get(x + 1, 0.0) + chance * p
        seen = np.array(sorted(following))
        stop = bernoulli_log_e_value(seen, n, null=p, n_opt=50, alternative=side) >= -math.log(alpha)
        crossed += sum(following[x] for x in seen[stop].tolist())
        alive = {x: following[x] for x in seen[~stop].tolist()}
    assert 0.02 < crossed < alpha


@pytest.mark.parametrize("side", SIDES)
def test_it_is_a_martingale_the_next_unit_leaves_its_mean(side):
    x, n, p = np.arange(31), 30, 0.2

    def log_e(successes, trials):
        return bernoulli_log_e_value(successes, trials, null=p, n_opt=100, alternative=side)

    following = np.stack([log_e(x, n + 1), log_e(x + 1, n + 1)])
    assert special.logsumexp(following, b=np.array([[1 - p], [p]]), axis=0) == pytest.approx(log_e(x, n), abs=1e-9)


def test_without_data_there_is_no_evidence_and_the_interval_is_everything():
    looks = bernoulli_confidence_sequence(0, 0, n_opt=100)
    assert (looks.low, looks.high) == (0.0, 1.0)
    assert bernoulli_log_e_value(0, 0, null=0.3, n_opt=100) == pytest.approx(0.0, abs=1e-12)
    assert rate_lift_sequence(0, 0, events_opt=100).p_value == pytest.approx(1.0, abs=1e-12)


def test_nothing_seen_among_a_billion_bounds_the_rate_by_about_three_in_a_billion():
    """With n far beyond n_opt the mixture weighs (1 - p)^-n alone: p = log(20) / n, to 1e-4."""
    looks = bernoulli_confidence_sequence(0, 10**9, n_opt=100)
    assert looks.low == 0.0
    assert looks.high == pytest.approx(math.log(20) / 1e9, rel=1e-4)


def test_at_a_trillion_units_it_is_the_asymptotic_sequence():
    """Oracle: the normal mixture, whose assumption then holds; 0.1% of the width."""
    n, x = 10**12, 3 * 10**11
    exact = bernoulli_confidence_sequence(x, n, n_opt=n)
    normal = asymptotic_confidence_sequence(0.3, 0.21, n, mixture=Mixture(n_opt=n))
    assert exact.high - 0.3 == pytest.approx(float(normal.high) - 0.3, rel=1e-3)
    assert 0.3 - exact.low == pytest.approx(0.3 - float(normal.low), rel=1e-3)


def test_a_batch_is_its_looks_and_entries_without_alpha_have_no_interval():
    x, n = np.array([[0, 3, 9], [3, 3, 50]]), np.array([10, 20, 50])
    batch = bernoulli_confidence_sequence(x, n, n_opt=30, alpha=[0.05, 0.05, np.nan])
    one = bernoulli_confidence_sequence(3, 20, n_opt=30)
    assert batch.low[:, 1] == pytest.approx([float(one.low)] * 2, rel=1e-12)
    assert batch.high[:, 1] == pytest.approx([float(one.high)] * 2, rel=1e-12)
    assert np.isnan(batch.low).tolist() == [[False, False, True]] * 2


def test_the_priors_strength_has_a_floor():
    assert prior_strength([1.0, 793.6]).tolist() == pytest.approx([0.001, 99.0], rel=1e-3)


@given(
    control=st.integers(0, 200),
    treatment=st.integers(0, 200),
    share=st.floats(0.05, 0.95),
    lift=st.floats(-0.9, 5),
    side=st.sampled_from(SIDES),
)
@settings(max_examples=150, deadline=None)
def test_the_lifts_p_value_and_interval_are_one_fact(control, treatment, share, lift, side):
    looks = rate_lift_sequence(control, treatment, treatment_share=share, events_opt=100, null=lift, alternative=side)
    if abs(looks.p_value - 0.05) > 1e-8:
        assert (lift < looks.low or lift > looks.high) == (looks.p_value < 0.05)


def test_the_lift_is_the_odds_of_treatment_among_converters_over_those_planned():
    looks = rate_lift_sequence(40, 25, treatment_share=0.2, events_opt=80)
    share = bernoulli_confidence_sequence(25, 65, n_opt=80)
    low, high = (s / (1 - s) * 0.8 / 0.2 - 1 for s in (share.low, share.high))
    assert (looks.low, looks.high) == pytest.approx((low, high), rel=1e-9)


def test_a_side_without_events_is_not_bounded_there():
    looks = rate_lift_sequence([0, 30], [30, 0], events_opt=30)
    assert looks.high[0] == np.inf
    assert looks.low[0] > 0
    assert looks.low[1] == -1.0
    assert looks.high[1] < 0
    one_sided = [rate_lift_sequence(0, 30, events_opt=30, alternative=side) for side in ("greater", "less")]
    assert (one_sided[0].high, one_sided[1].low) == (np.inf, -1.0)


@pytest.mark.parametrize(
    ("call", "rule"),
    [
        (lambda: prior_strength(0), "n_opt must be positive"),
        (lambda: bernoulli_log_e_value(3, 2, null=0.5, n_opt=10), "got 3 of 2"),
        (lambda: bernoulli_log_e_value(0.5, 2, null=0.5, n_opt=10), "whole numbers"),
        (lambda: bernoulli_log_e_value(1, math.nan, null=0.5, n_opt=10), "whole numbers"),
        (lambda: bernoulli_log_e_value(1, 2, null=1.0, n_opt=10), "rate under the null"),
        (lambda: bernoulli_log_e_value(1, 2, null=0.5, n_opt=10, alternative="up"), "alternative must be"),
        (lambda: bernoulli_confidence_sequence(-1, 2, n_opt=10), "whole numbers"),
        (lambda: bernoulli_confidence_sequence(1, 2, n_opt=10, alpha=0), "alpha must lie"),
        (lambda: bernoulli_confidence_sequence(1, 2, n_opt=10, alternative="up"), "alternative must be"),
        (lambda: rate_lift_sequence(1, 2, events_opt=10, treatment_share=1.0), "treatment_share must lie"),
        (lambda: rate_lift_sequence(1, 2, events_opt=10, null=-1.0), "above -1"),
        (lambda: rate_lift_sequence(-1, 2, events_opt=10), "successes_control must be"),
        (lambda: rate_lift_sequence(1, 2.5, events_opt=10), "whole numbers"),
        (lambda: rate_lift_sequence(1, 2, events_opt=10, alternative="up"), "alternative must be"),
    ],
)
def test_what_breaks_a_rule_is_refused(call, rule):
    with pytest.raises(UsageError, match=rule):
        call()
