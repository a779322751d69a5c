"""Families of comparisons: who corrects whom, and intervals that agree (DESIGN section 5)."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from readings import reading

from fairtrial.errors import SpecError
from fairtrial.evaluation import evaluate
from fairtrial.spec import parse_spec
from fairtrial.stats.many_to_one import dunnett_test
from fairtrial.stats.moments import Moments

ARMS = ("control", "a", "b")


def spec_of(*, metrics=None, arms=ARMS, **plan):
    listed = metrics or [{"key": "spend", "kind": "mean", "role": "primary"}]
    return parse_spec({"key": "many", "arms": list(arms), "metrics": listed, "plan": {"sample_size": 100, **plan}})


def data(means, n=400, metrics=("spend",)):
    arms = {arm: {metric: Moments(n=n, mean=10.0 + means[arm, metric], m2=1.0 * n) for metric in metrics} for arm in ARMS}
    return reading(arms)


def shifted(a=0.0, b=0.0, metric="spend"):
    return {("control", metric): 0.0, ("a", metric): a, ("b", metric): b}


def test_dunnett_is_the_exact_test_of_large_arms():
    """Against `dunnett_test` with unequal variances at n = 40,000, where t and normal agree to 1e-3."""
    card = evaluate(spec_of(correction="dunnett"), data(shifted(0.015, 0.018), n=40_000))
    moments = [Moments(n=40_000, mean=10.0 + shift, m2=40_000.0) for shift in (0.0, 0.015, 0.018)]
    exact = dunnett_test(moments[0], moments[1:], variances="unequal")
    found = [card.comparison("spend", arm).estimate for arm in ("a", "b")]
    assert [e.p_adjusted for e in found] == pytest.approx(exact.p_adjusted.tolist(), rel=1e-3)
    assert [e.interval.low for e in found] == pytest.approx(exact.low.tolist(), abs=1e-5)
    assert {e.correction for e in found} == {"dunnett"}


def test_dunnett_is_less_strict_than_bonferroni_and_stricter_than_nothing():
    p = {
        method: evaluate(spec_of(correction=method), data(shifted(0.15, 0.1))).comparison("spend", "a").estimate
        for method in ("none", "dunnett", "bonferroni")
    }
    assert p["none"].p_value < p["dunnett"].p_adjusted < p["bonferroni"].p_adjusted


@given(st.floats(-0.4, 0.4), st.floats(-0.4, 0.4), st.sampled_from(["two-sided", "one-sided"]), st.sampled_from([0.01, 0.05, 0.1]))
@settings(max_examples=60, deadline=None)
def test_dunnetts_intervals_agree_with_its_p_values(a, b, alternative, alpha):
    card = evaluate(spec_of(correction="dunnett", alternative=alternative, alpha=alpha), data(shifted(a, b)))
    for row in card.comparisons:
        e = row.estimate
        if abs(e.p_adjusted - alpha) > 1e-6:
            assert e.interval.excludes(0.0) == (e.p_adjusted < alpha)


METRICS = [{"key": "spend", "kind": "mean", "role": "primary"}, {"key": "visits", "kind": "mean"}, {"key": "shares", "kind": "mean"}]
KEYS = ("spend", "visits", "shares")


def everything(primary, secondary):
    means = shifted(*primary) | shifted(*secondary, metric="visits") | shifted(*secondary, metric="shares")
    return data(means, metrics=KEYS)


def test_a_serial_gate_lets_nothing_through_until_every_treatment_has_passed():
    spec = spec_of(metrics=METRICS, gatekeeping="serial")
    shut = evaluate(spec, everything((0.5, 0.0), (0.5, 0.5)))
    assert shut.comparison("visits", "a").estimate.p_adjusted > 0.05
    assert shut.comparison("visits", "a").reading == "inconclusive"
    opened = evaluate(spec, everything((0.5, 0.5), (0.5, 0.5)))
    assert opened.comparison("visits", "a").estimate.p_adjusted < 1e-6
    assert opened.comparison("visits", "a").estimate.correction == "serial-gatekeeping"


def test_a_parallel_gate_hands_on_the_share_of_the_treatments_that_passed():
    spec = spec_of(metrics=METRICS, gatekeeping="parallel")
    half = evaluate(spec, everything((0.5, 0.0), (0.5, 0.5)))
    assert half.comparison("visits", "a").estimate.p_adjusted < 1e-6
    none = evaluate(spec, everything((0.0, 0.0), (0.5, 0.5)))
    assert none.comparison("visits", "a").estimate.p_adjusted > 0.05


@given(
    st.sampled_from(["serial", "parallel"]),
    st.tuples(st.floats(0, 0.3), st.floats(0, 0.3)),
    st.tuples(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3)),
)
@settings(max_examples=60, deadline=None)
def test_gated_intervals_agree_with_their_p_values(gate, primary, secondary):
    card = evaluate(spec_of(metrics=METRICS, gatekeeping=gate), everything(primary, secondary))
    for row in card.comparisons:
        e = row.estimate
        if e.p_adjusted is not None and abs(e.p_adjusted - 0.05) > 1e-6:
            assert e.interval.excludes(0.0) == (e.p_adjusted < 0.05)
            assert math.isfinite(e.alpha)


@pytest.mark.parametrize(
    ("plan", "rule"),
    [
        ({"correction": "dunnett", "method": "group_sequential"}, "single look"),
        ({"secondary_correction": "dunnett"}, "treatments on one metric"),
        ({"gatekeeping": "serial", "correction": "benjamini-hochberg"}, "family-wise"),
        ({"gatekeeping": "parallel", "correction": "dunnett"}, "family-wise"),
    ],
)
def test_what_does_not_go_together_is_refused(plan, rule):
    with pytest.raises(SpecError, match=rule):
        spec_of(**plan)
