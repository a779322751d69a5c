"""Weighted Bonferroni from a spec: levels by weight, simultaneous intervals, sizes at each arm's own level."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from readings import reading
from scipy import stats

from fairtrial import parse_spec
from fairtrial.errors import SpecError
from fairtrial.evaluation import evaluate
from fairtrial.evaluation.corrections import Claim, corrected
from fairtrial.evaluation.design import local_alphas
from fairtrial.evaluation.planning import plan_experiment, sensitivity
from fairtrial.simulation.batch_corrections import corrected_replicates
from fairtrial.spec.weights import weights_of
from fairtrial.stats.moments import Moments
from fairtrial.stats.power_proportions import sample_size_two_proportions

ARMS = ("control", {"key": "a", "weight": 3}, {"key": "b", "weight": 1})
METRICS = (
    {"key": "spend", "kind": "mean", "role": "primary"},
    {"key": "visits", "kind": "mean", "weight": 4},
    {"key": "shares", "kind": "mean", "weight": 1},
)


def spec_of(*, arms=ARMS, metrics=METRICS[:1], **plan):
    return parse_spec(
        {
            "key": "many",
            "arms": list(arms),
            "metrics": list(metrics),
            "plan": {"sample_size": 100, "correction": "weighted-bonferroni", **plan},
        }
    )


def data(shifts, n=400, metrics=("spend",)):
    """Normal units with a spread of 1, shifted by metric and arm."""
    arms = ("control", "a", "b")
    return reading({arm: {m: Moments(n=n, mean=10.0 + shifts.get((m, arm), 0.0), m2=n - 1.0) for m in metrics} for arm in arms})


def test_p_values_and_intervals_stand_at_each_arms_share_of_alpha():
    """Adjusted p = p / w, and the interval is the plain one at alpha w, w = 3/4 and 1/4 (Holm 1979, section 3); t by SciPy to 1e-9."""
    card = evaluate(spec_of(), data({("spend", "a"): 0.15, ("spend", "b"): 0.15}))
    for arm, weight in (("a", 0.75), ("b", 0.25)):
        e = card.comparison("spend", arm).estimate
        assert e.p_adjusted == pytest.approx(e.p_value / weight, rel=1e-12)
        half = stats.t.isf(0.05 * weight / 2, e.df) * e.std_error
        assert (e.interval.low, e.interval.high) == pytest.approx((e.effect - half, e.effect + half), rel=1e-9)
        assert (e.alpha, e.correction) == (pytest.approx(0.05 * weight), "weighted-bonferroni")


def test_equal_weights_are_bonferronis():
    same = [arm if isinstance(arm, str) else {**arm, "weight": 0.2} for arm in ARMS]
    shown = data({("spend", "a"): 0.1, ("spend", "b"): 0.2})
    weighted, plain = (
        [evaluate(spec, shown).comparison("spend", arm).estimate for arm in ("a", "b")]
        for spec in (spec_of(arms=same), spec_of(arms=("control", "a", "b"), correction="bonferroni"))
    )
    assert [e.p_adjusted for e in weighted] == pytest.approx([e.p_adjusted for e in plain], rel=1e-12)
    assert [e.interval.low for e in weighted] == pytest.approx([e.interval.low for e in plain], rel=1e-12)


def test_secondary_metrics_share_by_their_weight_times_the_arms():
    spec = spec_of(metrics=METRICS, secondary_correction="weighted-bonferroni")
    shifts = {(m, arm): 0.2 for m in ("visits", "shares") for arm in ("a", "b")}
    card = evaluate(spec, data(shifts, metrics=("spend", "visits", "shares")))
    shares = {("visits", "a"): 12, ("visits", "b"): 4, ("shares", "a"): 3, ("shares", "b"): 1}
    for (metric, arm), share in shares.items():
        e = card.comparison(metric, arm).estimate
        assert e.p_adjusted == pytest.approx(min(e.p_value * 20 / share, 1.0), rel=1e-12)
    assert weights_of(list(shares), spec.metrics, spec.arms) == [12.0, 4.0, 3.0, 1.0]


def test_weights_of_metrics_alone_serve_the_secondary_family():
    spec = spec_of(arms=("control", "a", "b"), metrics=METRICS, correction="holm", secondary_correction="weighted-bonferroni")
    e = evaluate(spec, data({}, metrics=("spend", "visits", "shares"))).comparison("visits", "a").estimate
    assert e.alpha == pytest.approx(0.05 * 0.4)


@given(
    st.tuples(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3)),
    st.tuples(st.floats(0.01, 100.0), st.floats(0.01, 100.0)),
    st.sampled_from(["two-sided", "one-sided"]),
)
@settings(max_examples=60, deadline=None)
def test_intervals_agree_with_weighted_p_values(shifts, weights, alternative):
    arms = ["control", *({"key": key, "weight": weight} for key, weight in zip("ab", weights, strict=True))]
    card = evaluate(spec_of(arms=arms, alternative=alternative), data({("spend", "a"): shifts[0], ("spend", "b"): shifts[1]}))
    for row in card.comparisons:
        e = row.estimate
        if abs(e.p_adjusted - 0.05) > 1e-6:
            assert e.interval.excludes(0.0) == (e.p_adjusted < 0.05)


@given(st.lists(st.floats(0.0, 1.0), min_size=6, max_size=6))
@settings(max_examples=40, deadline=None)
def test_simulation_corrects_as_the_scorecard_does(p_values):
    spec = spec_of(metrics=METRICS, secondary_correction="weighted-bonferroni")
    pairs = [(metric.key, arm) for metric in spec.metrics for arm in spec.treatments]
    one = {pair: Claim(p_value=p, alternative="two-sided", n_control=9, n_treatment=9) for pair, p in zip(pairs, p_values, strict=True)}
    levels = corrected(spec, one)
    many = {metric.key: np.array([[one[metric.key, arm].p_value for arm in spec.treatments]]) for metric in spec.metrics}
    adjusted, local = corrected_replicates(spec, many, alternative="two-sided", shared=np.full((1, 2), 0.7))
    for metric, arm in pairs:
        place = spec.treatments.index(arm)
        assert adjusted[metric][0, place] == pytest.approx(levels[metric, arm].p_adjusted, rel=1e-12)
        assert local[metric][0, place] == pytest.approx(levels[metric, arm].alpha, rel=1e-12)


RATE = {"key": "bought", "kind": "proportion", "role": "primary"}


def test_the_size_is_that_of_the_arm_whose_level_needs_most():
    """Against `sample_size_two_proportions` (G-14) at alpha / 4, the smaller share."""
    spec = spec_of(metrics=[RATE], sample_size=None, baseline=0.1, mde=0.2)
    plan = plan_experiment(spec)
    needed = sample_size_two_proportions(0.1, 0.02, alpha=0.05 / 4, power=0.8, treatment_share=0.5)
    assert set(plan.arms.values()) == {int(np.ceil(needed.n_control))}
    assert plan.alphas == {"a": pytest.approx(0.0375), "b": pytest.approx(0.0125)}
    assert plan.alpha == pytest.approx(0.0125)
    assert "by weight" in plan.explanation
    assert local_alphas(spec, ["b"]) == {"b": 0.05}


def test_an_arm_with_more_weight_may_do_with_fewer_units():
    shares = ("control", {"key": "a", "weight": 3, "allocation": 0.25}, {"key": "b", "weight": 1, "allocation": 0.35})
    arms = [{"key": "control", "allocation": 0.4}, *shares[1:]]
    weighted = plan_experiment(spec_of(arms=arms, metrics=[RATE], sample_size=None, baseline=0.1, mde=0.2))
    turned = [arms[0], {**arms[1], "weight": 1}, {**arms[2], "weight": 3}]
    assert weighted.total < plan_experiment(spec_of(arms=turned, metrics=[RATE], sample_size=None, baseline=0.1, mde=0.2)).total


def test_power_that_came_is_that_of_the_weakest_arm_at_its_level():
    spec = spec_of(metrics=[RATE], sample_size=None, baseline=0.1, mde=0.2)
    plan = plan_experiment(spec)
    power, detectable, lift = sensitivity(spec, plan.arms, 0.1, None)
    assert power == pytest.approx(0.8, abs=2e-3)
    assert (detectable, lift) == (pytest.approx(0.02, rel=5e-3), pytest.approx(0.2, rel=5e-3))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arms": ("control", "a", "b")}, "needs a `weight` on every treatment"),
        ({"arms": ("control", {"key": "a", "weight": 1}, "b")}, r"every treatment or to none: \['b'\] lack one"),
        ({"arms": ({"key": "control", "weight": 1}, *ARMS[1:])}, "the control 'control' is in every comparison"),
        ({"arms": ("control", {"key": "a", "weight": 0}, ARMS[2])}, "greater than 0"),
        ({"correction": "holm"}, "weight belongs to correction or secondary_correction"),
        ({"arms": ("control", "a", "b"), "correction": "holm", "metrics": METRICS}, "weight belongs to"),
        ({"metrics": METRICS}, "belong to secondary_correction"),
        ({"metrics": ({**METRICS[0], "weight": 1},)}, "only secondary metrics share"),
        (
            {"metrics": (*METRICS, {"key": "c", "kind": "mean"}), "secondary_correction": "weighted-bonferroni"},
            r"every secondary metric or to none: \['c'\]",
        ),
        (
            {"arms": ("control", "a", "b"), "correction": "holm", "secondary_correction": "weighted-bonferroni"},
            "needs a `weight` on every secondary metric or every treatment",
        ),
        ({"method": "bayesian"}, "a bayesian plan has none"),
        ({"gatekeeping": "serial"}, "family-wise"),
        ({"method": "group_sequential", "sequential": {"futility": "beta_spending"}}, "one bound for all treatments"),
    ],
)
def test_weights_without_a_reader_and_a_reader_without_weights_are_refused(changes, message):
    with pytest.raises(SpecError, match=message):
        spec_of(**changes)


def test_weights_may_look_more_than_once():
    """The level of every look is that of the arm's own share (decision 0007)."""
    spec = spec_of(method="group_sequential", sample_size=1200)
    e = evaluate(spec, data({("spend", "a"): 0.3})).comparison("spend", "a").estimate
    assert e.p_adjusted == pytest.approx(e.p_value / 0.75, rel=1e-9)


@pytest.mark.slow
def test_the_family_wise_error_of_unequal_weights_is_kept():
    """Three treatments on one control, no effects, weights 6 : 3 : 1: any rejection in at most alpha (exact binomial bound)."""
    arms = ["control", *({"key": key, "weight": weight} for key, weight in zip("abc", (6, 3, 1), strict=True))]
    spec, runs = spec_of(arms=arms), 20_000
    rng = np.random.default_rng(21)
    means = rng.normal(size=(runs, 4))
    p_values = 2 * stats.norm.sf(np.abs(means[:, 1:] - means[:, :1]) / np.sqrt(2.0))
    adjusted, levels = corrected_replicates(spec, {"spend": p_values}, alternative="two-sided", shared=np.full((runs, 3), 0.7))
    assert np.array_equal(adjusted["spend"] < 0.05, p_values < levels["spend"])
    count = int((adjusted["spend"] < 0.05).any(axis=1).sum())
    assert stats.binom.sf(count - 1, runs, 0.05) > 0.001, count / runs
    assert count / runs > 0.03, "and it is spent"
