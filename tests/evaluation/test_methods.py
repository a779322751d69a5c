"""Plans that look more than once: what their intervals promise and how they decide (V.b, G-13, III.b)."""

from __future__ import annotations

import datetime as dt
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from readings import rate, reading, values

from fairtrial.errors import UsageError
from fairtrial.evaluation import Look, evaluate
from fairtrial.spec import parse_spec
from fairtrial.stats.bayes.beta_binomial import beta_binomial_ab
from fairtrial.stats.moments import Moments
from fairtrial.stats.sequential.msprt import msprt

ARMS = ("control", "treatment")


def spec_of(method: str, *, metrics=None, arms=ARMS, sequential=None, **plan):
    return parse_spec(
        {
            "key": "looks",
            "arms": list(arms),
            "metrics": metrics or [{"key": "converted", "kind": "proportion", "role": "primary"}],
            "plan": {"method": method, **plan, **({} if sequential is None else {"sequential": sequential})},
        }
    )


def rates(control: int, treatment: int, n: int):
    return reading({"control": {"converted": rate(control, n)}, "treatment": {"converted": rate(treatment, n)}})


def estimate_of(card, metric="converted", treatment="treatment"):
    estimate = card.comparison(metric, treatment).estimate
    assert estimate is not None
    return estimate


class TestAnyLook:
    def test_the_estimate_is_the_golden_mixture(self):
        """G-13 and IN-31: 200/2000 against 260/2000, MDE .01: variance .00010155, p .1563, interval -.006968 to .066968."""
        card = evaluate(spec_of("always_valid", mde=0.01, mde_kind="absolute", baseline=0.1), rates(200, 260, 2000))
        estimate = estimate_of(card)
        assert estimate.std_error**2 == pytest.approx(0.00010155, rel=1e-9)
        assert estimate.p_value == pytest.approx(0.1563, abs=5e-5)
        assert (estimate.interval.low, estimate.interval.high) == pytest.approx((-0.006968, 0.066968), abs=5e-7)
        assert (estimate.error_control, estimate.method, card.error_control) == ("always_valid", "msprt", "always_valid")

    def test_the_nightly_example(self):
        """II.a: 100/2000 against 600/8000: always-valid p .001395."""
        data = reading({"control": {"converted": rate(100, 2000)}, "treatment": {"converted": rate(600, 8000)}})
        spec = parse_spec(
            {
                "key": "push",
                "arms": {"control": 0.2, "treatment": 0.8},
                "metrics": [{"key": "converted", "kind": "proportion"}],
                "plan": {"method": "always_valid", "mde": 0.01, "mde_kind": "absolute", "sample_size": 25_999},
            }
        )
        assert estimate_of(evaluate(spec, data)).p_value == pytest.approx(0.001395, abs=5e-7)

    def test_it_may_decide_before_the_plan_is_complete(self):
        spec = spec_of("always_valid", mde=0.05, sample_size=1_000_000)
        card = evaluate(spec, rates(1000, 1400, 20_000))
        assert not card.plan.complete
        assert card.decision.verdict in {"LAUNCH", "STRONG_LAUNCH"}

    def test_below_its_end_it_goes_on_and_at_its_end_it_does_not(self):
        """V.b rule 9: always-valid below max n and max days."""
        running = spec_of("always_valid", mde=0.05, sample_size=50_000)
        assert evaluate(running, rates(1000, 1010, 20_000)).decision.reason == "promising"
        assert evaluate(running, rates(1010, 1000, 20_000)).decision.reason == "plan_incomplete"
        ended = evaluate(running, rates(1250, 1260, 25_000)).decision
        assert (ended.verdict, ended.reason) == ("NO_LAUNCH", "inconclusive")

    def test_without_a_size_it_has_no_end(self):
        card = evaluate(spec_of("always_valid"), rates(1000, 1010, 20_000))
        assert not card.plan.complete
        assert card.decision.verdict == "EXTEND_TEST"
        assert "no planned end" in card.plan.reason

    def test_few_events_are_not_judged(self):
        """Below 20 events or 200 units an arm the normal mixture errs far more than alpha (measured in `confidence_sequences`)."""
        card = evaluate(spec_of("always_valid", mde=0.05, sample_size=50_000), rates(19, 40, 500))
        unavailable = card.comparison("converted").unavailable
        assert unavailable is not None
        assert unavailable.code == "too_early"
        assert card.decision.verdict == "EXTEND_TEST"
        assert evaluate(spec_of("always_valid"), rates(30, 60, 199)).comparison("converted").unavailable.code == "too_early"
        assert evaluate(spec_of("always_valid"), rates(30, 60, 200)).comparison("converted").estimate is not None

    def test_one_sided_has_one_end(self):
        estimate = estimate_of(
            evaluate(spec_of("always_valid", mde=0.01, mde_kind="absolute", alternative="one-sided"), rates(200, 260, 2000))
        )
        assert estimate.interval.high == math.inf
        look = msprt(estimate.effect, estimate.std_error**2, tau2=1e-4, alternative="greater")
        assert (estimate.interval.low, estimate.p_value) == pytest.approx((look.interval.low, look.p_value))

    def test_a_covariate_narrows_the_sequence(self):
        rng = np.random.default_rng(3)
        columns = {arm: rng.multivariate_normal([10, 10], [[4, 3.6], [3.6, 4]], 5_000) for arm in ARMS}
        plain = {"key": "spend", "kind": "mean", "role": "primary"}
        wide = evaluate(spec_of("always_valid", metrics=[plain]), reading({a: {"spend": values(c[:, 0])} for a, c in columns.items()}))
        cuped = evaluate(
            spec_of("always_valid", metrics=[{**plain, "covariate": "before"}]),
            reading({a: {"spend": values(*c.T)} for a, c in columns.items()}),
        )
        widths = [e.interval.high - e.interval.low for e in (estimate_of(wide, "spend"), estimate_of(cuped, "spend"))]
        assert widths[1] < 0.6 * widths[0]

    def test_guardrails_are_watched_at_any_look_too(self):
        """III.b: under continuous monitoring the guardrails' intervals are always-valid."""
        metrics = [
            {"key": "converted", "kind": "proportion", "role": "primary"},
            {"key": "errors", "kind": "proportion", "role": "guardrail", "direction": "decrease"},
        ]
        arms = {arm: {"converted": rate(1000, 20_000), "errors": rate(400 + 30 * i, 20_000)} for i, arm in enumerate(ARMS)}
        for method, control in (("always_valid", "always_valid"), ("hybrid", "always_valid"), ("group_sequential", "fixed")):
            card = evaluate(spec_of(method, metrics=metrics, sample_size=80_000), reading(arms))
            assert estimate_of(card, "errors").error_control == control


class TestPlannedLooks:
    @pytest.mark.parametrize(
        ("looks", "units", "past", "boundary"),
        [
            (2, 5_000, (), 2.963),
            (2, 10_000, (0.5,), 1.969),
            (5, 2_000, (), 4.877),
            (5, 4_000, (0.2,), 3.357),
            (4, 10_000, (0.25, 0.5, 0.75), 2.014),
        ],
    )
    def test_the_boundaries_are_the_published_ones(self, looks, units, past, boundary):
        """III.b: two-sided .05 Lan-DeMets O'Brien-Fleming."""
        spec = spec_of("group_sequential", sample_size=20_000, sequential={"looks": looks})
        card = evaluate(spec, rates(units // 10, units // 10, units), [looked(t) for t in past])
        status = card.plan.sequential
        assert status is not None
        assert status.critical_value == pytest.approx(boundary, abs=6e-4)
        assert status.past == past

    def test_earlier_looks_that_nobody_reports_are_counted_as_taken(self):
        spec = spec_of("group_sequential", sample_size=20_000, sequential={"looks": 4})
        silent = evaluate(spec, rates(1000, 1000, 10_000)).plan.sequential
        assert silent is not None
        assert (silent.past, silent.assumed) == ((0.25, 0.5, 0.75), True)
        told = evaluate(spec, rates(1000, 1000, 10_000), [looked(0.25), looked(0.6)]).plan.sequential
        assert told is not None
        assert (told.past, told.assumed) == ((0.25, 0.6), False)

    def test_what_a_single_look_would_call_significant_is_not_at_an_early_one(self):
        spec = spec_of("group_sequential", mde=0.01, sample_size=40_000, sequential={"looks": 2})
        early, late = rates(500, 580, 10_000), rates(1000, 1160, 20_000)
        first = evaluate(spec, early)
        assert 1.96 < estimate_of(first).statistic < 2.96
        assert estimate_of(first).p_value > 0.05
        assert not estimate_of(first).interval.excludes(0.0)
        assert first.decision.verdict == "EXTEND_TEST"
        assert evaluate(spec, late, [looked(0.5)]).decision.verdict in {"LAUNCH", "STRONG_LAUNCH"}

    def test_a_crossing_decides_early(self):
        spec = spec_of("group_sequential", mde=0.05, sample_size=40_000, sequential={"looks": 2})
        card = evaluate(spec, rates(500, 650, 10_000))
        assert not card.plan.complete
        assert card.decision.verdict in {"LAUNCH", "STRONG_LAUNCH"}

    def test_a_crossed_boundary_stands(self):
        """Going back on a crossing would err more often; later reads describe."""
        spec = spec_of("group_sequential", mde=0.05, sample_size=40_000, sequential={"looks": 2})
        first = evaluate(spec, rates(500, 650, 10_000))
        crossed = Look(as_of="2026-01-01", complete=False, decisions=first.decisions, information=0.5)
        later = evaluate(spec, rates(1000, 1001, 20_000), [crossed])
        assert later.decision.verdict == first.decision.verdict
        assert "2026-01-01" in later.decision.reasoning[0]
        open_look = replace(crossed, decisions=evaluate(spec, rates(500, 505, 10_000)).decisions)
        assert evaluate(spec, rates(1000, 1001, 20_000), [open_look]).decision.verdict == "NO_LAUNCH"

    def test_a_hopeless_look_stops_for_futility(self):
        """V.b rules 9 and 10: conditional power at the planned MDE below .20."""
        options = {"mde": 0.05, "baseline": 0.1, "power": 0.8}
        spec = spec_of("group_sequential", sequential={"looks": 2}, **options)
        n = 30_000
        card = evaluate(spec, rates(3000, 2950, n))
        assert (card.decision.verdict, card.decision.reason, card.decision.rule) == ("NO_LAUNCH", "futile", "10")
        stubborn = spec_of("group_sequential", sequential={"looks": 2, "futility": "none"}, **options)
        assert evaluate(stubborn, rates(3000, 2950, n)).decision.verdict == "EXTEND_TEST"

    def test_the_size_grows_with_the_looks(self):
        one = evaluate(spec_of("fixed", mde=0.05, baseline=0.1), rates(100, 100, 1000)).plan.planned_n
        many = evaluate(spec_of("group_sequential", mde=0.05, baseline=0.1), rates(100, 100, 1000)).plan.planned_n
        any_time = evaluate(spec_of("always_valid", mde=0.05, baseline=0.1), rates(100, 100, 1000)).plan.planned_n
        assert one < many < 1.05 * one
        assert 1.9 * one < any_time < 2.0 * one

    def test_days_can_carry_the_information(self):
        """III.b: day 7 of 14, boundary 2.963 (III.a)."""
        spec = parse_spec(
            {
                "key": "days",
                "arms": list(ARMS),
                "metrics": [{"key": "converted", "kind": "proportion"}],
                "plan": {
                    "method": "group_sequential",
                    "max_days": 14,
                    "sequential": {"information": "days", "looks": [k / 14 for k in range(7, 14)] + [1.0]},
                },
                "schedule": {"start": "2026-01-01"},
            }
        )

        def at(day: int, looks=()):
            card = evaluate(spec, rates(1000, 1000, 10_000), looks, as_of=dt.datetime(2026, 1, 1 + day, tzinfo=dt.UTC))
            assert card.plan.sequential is not None
            return card.plan

        assert at(7).sequential.critical_value == pytest.approx(2.963, abs=5e-4)
        assert at(8, [looked(0.5)]).sequential.critical_value == pytest.approx(2.797, abs=5e-4)
        last = at(14, [looked(k / 14) for k in range(7, 14)])
        assert last.sequential.critical_value == pytest.approx(2.103, abs=1e-3)
        assert last.complete

    def test_a_plan_without_a_size_is_refused(self):
        with pytest.raises(UsageError, match="must have a size"):
            evaluate(spec_of("group_sequential"), rates(100, 100, 1000))


def test_the_hybrid_reads_benefit_at_its_looks_and_harm_at_any():
    """V.b: hybrid: always-valid for rule 2, group-sequential for rules 5-10."""
    options = {"mde": 0.1, "baseline": 0.1, "sample_size": 40_000, "sequential": {"looks": 2}}
    harmed = rates(1000, 870, 10_000)
    planned, hybrid = (evaluate(spec_of(method, **options), harmed) for method in ("group_sequential", "hybrid"))
    z = abs(estimate_of(planned).statistic)
    assert z > 2.963
    assert planned.decision.reason == "harm"
    watch = msprt(estimate_of(hybrid).effect, (0.1 * 0.9 + 0.087 * 0.913) / 10_000, tau2=0.01**2)
    assert (hybrid.decision.reason == "harm") == (watch.interval.high < 0)
    better = evaluate(spec_of("hybrid", **options), rates(1000, 1200, 10_000))
    assert better.decision.verdict in {"LAUNCH", "STRONG_LAUNCH"}
    assert estimate_of(better).error_control == "group_sequential"


class TestBayesian:
    def test_a_posterior_stands_in_the_place_of_a_test(self):
        """V.b, V.c: credible intervals, and Bayesian output is not called a p-value."""
        card = evaluate(spec_of("bayesian", sample_size=4000, practical_threshold=0.01), rates(200, 260, 2000))
        estimate, believed = estimate_of(card), card.comparison("converted").posterior
        assert (estimate.p_value, estimate.p_adjusted, estimate.error_control) == (None, None, "bayesian")
        assert card.plan.correction == "none"
        exact = beta_binomial_ab(200, 2000, 260, 2000)
        assert believed is not None
        assert believed.chance_to_win == pytest.approx(exact.chance_to_win(), rel=1e-9)
        assert estimate.interval == exact.interval
        assert believed.rope_worse + believed.rope_inside + believed.rope_better == pytest.approx(1.0)
        assert "Beta(1, 1)" in believed.prior
        assert card.decision.verdict in {"LAUNCH", "STRONG_LAUNCH"}
        assert json.loads(card.to_json())["comparisons"][0]["estimate"]["p_value"] is None

    def test_better_is_better_where_lower_is_better(self):
        metric = {"key": "converted", "kind": "proportion", "role": "primary", "direction": "decrease"}
        up = evaluate(spec_of("bayesian"), rates(200, 260, 2000)).comparison("converted").posterior
        down = evaluate(spec_of("bayesian", metrics=[metric]), rates(200, 260, 2000)).comparison("converted").posterior
        assert (down.chance_to_win, down.expected_loss) == (pytest.approx(1 - up.chance_to_win), up.expected_loss_control)

    def test_means_take_the_normal_prior_of_the_lift_and_say_so(self):
        metrics = [{"key": "spend", "kind": "mean", "role": "primary"}]
        data = reading({arm: {"spend": Moments(n=500, mean=10.0 + i, m2=500 * 40.0)} for i, arm in enumerate(ARMS)})
        tight, flat = (
            evaluate(spec_of("bayesian", metrics=metrics, bayesian={"lift_prior_sd": sd}), data).comparison("spend") for sd in (0.02, None)
        )
        assert 0.0 < tight.estimate.effect < flat.estimate.effect == pytest.approx(1.0)
        assert "Normal(0, 0.02) on the lift" in tight.posterior.prior
        assert "Flat" in flat.posterior.prior

    def test_a_small_expected_loss_completes_the_plan(self):
        rule = {"bayesian": {"stop_loss": 0.001}, "sample_size": 1_000_000}
        assert evaluate(spec_of("bayesian", **rule), rates(1000, 1400, 10_000)).plan.complete
        still = evaluate(spec_of("bayesian", **rule), rates(1000, 1010, 10_000))
        assert not still.plan.complete
        assert still.decision.verdict == "EXTEND_TEST"
        assert not evaluate(spec_of("bayesian", sample_size=1_000_000), rates(1000, 1400, 10_000)).plan.complete

    def test_many_arms_have_a_chance_to_be_best(self):
        arms = ("control", "a", "b")
        data = reading({arm: {"converted": rate(1000 + 60 * i, 10_000)} for i, arm in enumerate(arms)})
        best = evaluate(spec_of("bayesian", arms=arms), data).best
        assert list(best) == list(arms)
        assert sum(best.values()) == pytest.approx(1.0)
        assert best["b"] > best["a"] > best["control"]
        means = reading({arm: {"spend": Moments(n=500, mean=10.0 + i / 10, m2=500.0)} for i, arm in enumerate(arms)})
        spend = [{"key": "spend", "kind": "mean", "role": "primary", "direction": "decrease"}]
        fewest = evaluate(spec_of("bayesian", arms=arms, metrics=spend), means).best
        assert fewest["control"] > fewest["a"] > fewest["b"]
        assert evaluate(spec_of("fixed", arms=arms), data).best == {}

    def test_guardrails_keep_their_test(self):
        metrics = [
            {"key": "converted", "kind": "proportion", "role": "primary"},
            {"key": "errors", "kind": "proportion", "role": "guardrail", "direction": "decrease"},
        ]
        arms = {arm: {"converted": rate(1000, 20_000), "errors": rate(400 + 300 * i, 20_000)} for i, arm in enumerate(ARMS)}
        card = evaluate(spec_of("bayesian", metrics=metrics), reading(arms))
        assert estimate_of(card, "errors").error_control == "fixed"
        assert card.decision.reason == "guardrail"


class TestAfterAStop:
    def test_a_crossing_is_reported_with_a_median_unbiased_estimate(self):
        """III.b: the estimate after a stop is biased upward, and a median-unbiased one is shown."""
        spec = spec_of("group_sequential", mde=0.05, sample_size=40_000, sequential={"looks": 2})
        second = evaluate(spec, rates(2000, 2150, 20_000), [looked(0.5)])
        row = second.comparison("converted")
        assert row.after_stop is not None
        assert 0.0 < row.after_stop.effect < row.estimate.effect
        assert row.after_stop.p_value < 0.05
        assert row.after_stop.interval.low > 0.0

    def test_a_look_that_does_not_stop_has_none(self):
        spec = spec_of("group_sequential", mde=0.05, sample_size=40_000, sequential={"looks": 2})
        assert evaluate(spec, rates(500, 505, 10_000)).comparison("converted").after_stop is None

    def test_where_lower_is_better_it_is_the_mirror_image(self):
        options = {"mde": 0.05, "sample_size": 40_000, "sequential": {"looks": 2}, "alternative": "one-sided"}
        metric = {"key": "converted", "kind": "proportion", "role": "primary"}
        up = evaluate(spec_of("group_sequential", metrics=[metric], **options), rates(2000, 2160, 20_000), [looked(0.5)])
        down = evaluate(
            spec_of("group_sequential", metrics=[{**metric, "direction": "decrease"}], **options), rates(2160, 2000, 20_000), [looked(0.5)]
        )
        one, other = (card.comparison("converted").after_stop for card in (up, down))
        assert other.effect == pytest.approx(-one.effect)
        assert other.p_value == pytest.approx(one.p_value)
        assert (other.interval.low, other.interval.high) == pytest.approx((-one.interval.high, -one.interval.low))


def looked(information: float) -> Look:
    return Look(as_of=None, complete=False, decisions={}, information=information)


METHODS = st.sampled_from(["fixed", "group_sequential", "always_valid", "hybrid"])
SPENDING = st.sampled_from(["lan-demets-obrien-fleming", "lan-demets-pocock"])


@given(
    method=METHODS,
    spending=SPENDING,
    alpha=st.sampled_from([0.01, 0.05, 0.2]),
    correction=st.sampled_from(["none", "bonferroni", "holm", "hochberg", "benjamini-hochberg"]),
    effects=st.lists(st.floats(-0.6, 0.6), min_size=2, max_size=3),
    n=st.sampled_from([200, 400, 900]),
)
@settings(max_examples=60, deadline=None)
def test_p_value_and_interval_agree_under_every_method_and_correction(method, spending, alpha, correction, effects, n):
    """DESIGN section 5: an interval excludes 0 if and only if p_adjusted < alpha."""
    arms = ["control", *(f"t{i}" for i in range(len(effects)))]
    spec = spec_of(
        method,
        arms=arms,
        metrics=[{"key": "spend", "kind": "mean", "role": "primary"}],
        alpha=alpha,
        power=0.8,
        correction=correction,
        mde=0.3,
        mde_kind="absolute",
        sample_size=1000 * len(arms),
        sequential={"looks": 3, "spending": spending},
    )
    data = {"control": {"spend": Moments(n=n, mean=10.0, m2=float(n))}}
    data |= {arm: {"spend": Moments(n=n, mean=10.0 + effect, m2=2.0 * n)} for arm, effect in zip(arms[1:], effects, strict=True)}
    card = evaluate(spec, reading(data))
    for row in card.comparisons:
        estimate = row.estimate
        assert estimate is not None
        p = estimate.p_value if estimate.p_adjusted is None else estimate.p_adjusted
        if abs(p - alpha) > 1e-9:
            assert estimate.interval.excludes(0.0) == (p < alpha)
        assert p >= 0.0
