"""Sequences and futility rules chosen by the spec, as evaluate() reads them (issue 3; XC-32, G-13, DESIGN section 5)."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from readings import rate, reading

from fairtrial.errors import UsageError
from fairtrial.evaluation import Look, evaluate
from fairtrial.evaluation.planning import plan_experiment
from fairtrial.spec import parse_spec
from fairtrial.stats.moments import Moments
from fairtrial.stats.proportions import ProportionContrast
from fairtrial.stats.sequential.bernoulli import bernoulli_confidence_sequence, rate_lift_sequence
from fairtrial.stats.sequential.boundaries import GroupSequentialDesign, boundaries
from fairtrial.stats.sequential.confidence_sequences import Mixture, always_valid_difference, always_valid_effect
from fairtrial.stats.sequential.futility import futility_boundaries

ARMS = ("control", "treatment")
PAID = {"key": "paid", "kind": "proportion", "role": "primary"}


def spec_of(method, *, metrics=(PAID,), arms=ARMS, **plan):
    return parse_spec(
        {
            "key": "looks",
            "arms": arms if isinstance(arms, dict) else list(arms),
            "metrics": list(metrics),
            "plan": {"method": method, **plan},
        }
    )


def rates(control, treatment, n, m=None):
    return reading({"control": {"paid": rate(control, n)}, "treatment": {"paid": rate(treatment, m or n)}})


def estimate_of(card, metric="paid", treatment="treatment"):
    estimate = card.comparison(metric, treatment).estimate
    assert estimate is not None
    return estimate


def looked(card):
    at = card.plan.sequential
    return Look(
        as_of="2026-01-01",
        complete=card.plan.complete,
        decisions=card.decisions,
        information=at.information,
        futility_bound=at.futility_bound,
        given_up=at.given_up,
    )


class TestFutilityBounds:
    plan: ClassVar = {"alternative": "one-sided", "alpha": 0.025, "mde": 0.1, "baseline": 0.1, "sample_size": 40_000}
    loose: ClassVar = {"looks": 4, "futility": "beta_spending"}
    tight: ClassVar = loose | {"binding": True}

    def test_the_bound_of_a_look_is_that_of_the_design(self):
        design = GroupSequentialDesign(alpha=0.025, sides=1, information_fractions=(0.25, 0.5, 0.75, 1.0))
        for sequential, binding in ((self.loose, False), (self.tight, True)):
            expected = futility_boundaries(design, beta=0.2, binding=binding)
            spec = spec_of("group_sequential", sequential=sequential, **self.plan)
            at = evaluate(spec, rates(500, 500, 5000)).plan.sequential
            assert (at.futility, at.binding) == ("beta_spending", binding)
            assert at.futility_bound == pytest.approx(expected.futility[0], abs=1e-9)

    def test_below_the_bound_the_verdict_is_that_of_futility(self):
        """V.b rule 10, as for conditional power; above it the plan goes on."""
        spec = spec_of("group_sequential", sequential=self.loose, **self.plan)
        lost, going = (evaluate(spec, rates(500, 500 + more, 5000)) for more in (-30, 3))
        assert (lost.decision.verdict, lost.decision.reason, lost.decision.rule) == ("NO_LAUNCH", "futile", "10")
        assert lost.plan.sequential.given_up == ("treatment",)
        assert "the result is below the futility bound of this look" in lost.decision.reasoning
        assert (going.decision.verdict, going.decision.rule) == ("EXTEND_TEST", "9")
        assert going.plan.sequential.given_up == ()

    @pytest.mark.parametrize("direction", ["increase", "decrease"])
    def test_better_is_better_whatever_the_direction(self, direction):
        spec = spec_of("group_sequential", metrics=[PAID | {"direction": direction}], sequential=self.loose, **self.plan)
        worse = rates(500, 470 if direction == "increase" else 530, 5000)
        assert evaluate(spec, worse).plan.sequential.given_up == ("treatment",)

    def test_a_bound_that_does_not_bind_leaves_the_boundary_and_the_decision_open(self):
        spec, plain = (spec_of("group_sequential", sequential=s, **self.plan) for s in (self.loose, {"looks": 4, "futility": "none"}))
        first = evaluate(spec, rates(500, 465, 5000))
        second, bare = (evaluate(s, rates(1000, 1150, 10_000), [looked(first)]) for s in (spec, plain))
        assert second.plan.sequential.critical_value == bare.plan.sequential.critical_value
        assert estimate_of(second) == estimate_of(bare)
        assert second.decision.verdict in {"LAUNCH", "STRONG_LAUNCH"}
        assert not [f for f in second.findings if f.code == "futility_ignored"]

    def test_bounds_that_bind_and_were_obeyed_bring_the_boundary_down(self):
        spec, free = (spec_of("group_sequential", sequential=s, **self.plan) for s in (self.tight, self.loose))
        looks = []
        for n in (5000, 10_000, 15_000):
            card = evaluate(spec, rates(n // 10, n // 10 + 26 * n // 5000, n), looks)
            assert card.decision.verdict == "EXTEND_TEST"
            looks.append(looked(card))
        last, same = (evaluate(s, rates(2000, 2121, 20_000), looks) for s in (spec, free))
        design = GroupSequentialDesign(alpha=0.025, sides=1, information_fractions=(0.25, 0.5, 0.75, 1.0))
        expected = futility_boundaries(design, beta=0.2, binding=True).efficacy
        assert last.plan.sequential.critical_value == pytest.approx(expected[-1], abs=1e-9)
        assert same.plan.sequential.critical_value == pytest.approx(boundaries(design).critical[-1], abs=1e-9)
        z = estimate_of(last).statistic
        assert expected[-1] < z < boundaries(design).critical[-1], "the case lies between the two boundaries"
        assert estimate_of(last).p_value < 0.025 < estimate_of(same).p_value
        assert estimate_of(last).interval.low > 0.0 > estimate_of(same).interval.low
        assert (last.decision.verdict, same.decision.verdict) == ("CONSIDER_LAUNCH", "NO_LAUNCH")
        assert last.comparison("paid").after_stop.p_value < 0.025

    def test_looks_that_nobody_shows_bring_nothing_down(self):
        spec = spec_of("group_sequential", sequential=self.tight, **self.plan)
        at = evaluate(spec, rates(2000, 2121, 20_000)).plan.sequential
        assert at.assumed
        assert at.obeyed == ()
        assert at.critical_value == pytest.approx(2.0141, abs=1e-3)

    def test_going_on_below_a_binding_bound_changes_nothing_and_is_told(self):
        spec = spec_of("group_sequential", sequential=self.tight, **self.plan)
        first = evaluate(spec, rates(500, 465, 5000))
        card = evaluate(spec, rates(2000, 2400, 20_000), [looked(first)])
        assert (card.decision.verdict, card.decision.reason) == ("NO_LAUNCH", "futile")
        assert "this read only describes" in card.decision.reasoning[0]
        (told,) = [f for f in card.findings if f.code == "futility_ignored"]
        assert (told.severity, told.arm, told.numbers["information"]) == ("warning", "treatment", 0.25)
        assert card.plan.sequential.obeyed == (), "what was not obeyed brings no boundary down"

    def test_other_metrics_gave_nobody_up_and_keep_their_boundary(self):
        other = PAID | {"key": "other", "role": "secondary"}
        spec = spec_of("group_sequential", metrics=[PAID, other], sequential=self.tight, **self.plan)
        counts = {"control": rate(2000, 20_000), "treatment": rate(2121, 20_000)}
        looks = [
            Look(as_of=None, complete=False, decisions={}, information=t, futility_bound=b)
            for t, b in ((0.25, -0.9), (0.5, 0.5), (0.75, 1.3))
        ]
        card = evaluate(spec, reading({arm: {"paid": moments, "other": moments} for arm, moments in counts.items()}), looks)
        assert estimate_of(card).p_value < 0.025 < estimate_of(card, "other").p_value

    def test_a_look_without_an_estimate_holds_nobody_against_its_bound(self):
        spec = spec_of("group_sequential", sequential=self.tight, **self.plan)
        assert evaluate(spec, rates(0, 0, 5000)).plan.sequential.futility_bound is None

    def test_the_size_pays_for_the_bound_and_a_binding_one_is_cheaper(self):
        free = {k: v for k, v in self.plan.items() if k != "sample_size"}
        sizes = [
            plan_experiment(spec_of("group_sequential", sequential=s, **free))
            for s in ({"looks": 4, "futility": "none"}, self.tight, self.loose)
        ]
        design = GroupSequentialDesign(alpha=0.025, sides=1, information_fractions=(0.25, 0.5, 0.75, 1.0))
        assert sizes[2].inflation == pytest.approx(futility_boundaries(design, beta=0.2).inflation_factor)
        assert sizes[0].total < sizes[1].total < sizes[2].total


class TestSequences:
    def test_the_asymptotic_sequence_is_the_published_one(self):
        """Waudby-Smith et al. (2024), equation 9, tuned to the units said; tolerance 1e-12."""
        spec = spec_of("always_valid", always_valid={"sequence": "asymptotic", "tuned_for": 8000}, sample_size=50_000)
        card = evaluate(spec, rates(300, 360, 3000))
        found = estimate_of(card)
        counts = (np.array([x]) for x in (300.0, 3000.0, 360.0, 3000.0))
        names = ("successes_control", "n_control", "successes_treatment", "n_treatment")
        expected = always_valid_difference(ProportionContrast(**dict(zip(names, counts, strict=True))), mixture=Mixture(n_opt=8000.0))
        assert found.p_value == pytest.approx(expected.p_value[0], rel=1e-12)
        assert (found.interval.low, found.interval.high) == pytest.approx((expected.low[0], expected.high[0]), rel=1e-12)
        assert (found.method, found.error_control) == ("asymptotic_sequence", "always_valid")
        assert (card.plan.sequence.name, card.plan.sequence.tuned_for) == ("asymptotic", 8000.0)

    def test_cuped_keeps_its_smaller_error_and_arms_their_part_of_the_units(self):
        metric = {"key": "spend", "kind": "mean", "role": "primary"}
        arms = {"control": 0.5, "a": 0.25, "b": 0.25}
        spec = spec_of(
            "always_valid", metrics=[metric], arms=arms, always_valid={"sequence": "asymptotic", "tuned_for": 0.5}, sample_size=40_000
        )
        data = {
            arm: {"spend": Moments(n=n, mean=10.0 + 0.1 * i, m2=4.0 * n)}
            for i, (arm, n) in enumerate((("control", 4000), ("a", 2000), ("b", 2000)))
        }
        found = estimate_of(evaluate(spec, reading(data)), "spend", "a")
        expected = always_valid_effect(0.1, found.std_error, 4000, 2000, mixture=Mixture(n_opt=15_000.0), alpha=found.alpha)
        assert (found.interval.low, found.interval.high) == pytest.approx((float(expected.low), float(expected.high)), rel=1e-12)

    def test_the_exact_sequence_is_that_of_the_converters(self):
        """Lindon & Malek (2022): nine tenths of alpha for the converters' share, tolerance 1e-9."""
        spec = spec_of(
            "always_valid",
            arms={"control": 0.95, "treatment": 0.05},
            always_valid={"sequence": "bernoulli", "tuned_for": 20_000},
            baseline=0.01,
        )
        found = estimate_of(evaluate(spec, rates(19, 8, 1900, 100)))
        expected = rate_lift_sequence(19, 8, treatment_share=0.05, events_opt=200, alpha=0.045, alpha_opt=0.05)
        assert found.p_value == pytest.approx(float(expected.p_value) / 0.9, rel=1e-9)
        assert (found.lift_interval.low, found.lift_interval.high) == pytest.approx((float(expected.low), float(expected.high)), rel=1e-9)
        level = bernoulli_confidence_sequence(27, 2000, n_opt=20_000, alpha=0.005, alpha_opt=0.05)
        share = 0.05 * (1.0 + float(expected.low)) / (0.95 + 0.05 * (1.0 + float(expected.low)))
        assert found.interval.low == pytest.approx(float(level.low) * (share - 0.05) / (0.05 * 0.95), rel=1e-9)
        assert (found.method, found.lift_method, found.statistic) == ("bernoulli_sequence", "bernoulli_sequence", None)

    def test_it_reads_what_the_mixture_must_leave_alone(self):
        """No 200 units and 20 events: from the first event on; before it nothing has been seen."""
        exact, normal = (
            spec_of("always_valid", always_valid=s, sample_size=4000) for s in ({"sequence": "bernoulli", "tuned_for": 200}, {})
        )
        assert evaluate(normal, rates(0, 9, 30)).comparison("paid").unavailable.code == "too_early"
        assert estimate_of(evaluate(exact, rates(0, 9, 30))).p_value < 0.05
        assert evaluate(exact, rates(0, 0, 30)).comparison("paid").unavailable.code == "no_variance"

    def test_a_limit_is_read_from_the_exact_sequence_of_the_own_rate(self):
        crashed = PAID | {"key": "crashed", "role": "guardrail", "direction": "decrease", "max_value": 0.02}
        spec = spec_of("always_valid", metrics=[PAID, crashed], always_valid={"sequence": "bernoulli"}, sample_size=4000)
        arms = {arm: {"paid": rate(40, 400), "crashed": rate(2 + 38 * i, 400)} for i, arm in enumerate(ARMS)}
        assert evaluate(spec, reading(arms)).comparison("crashed").guardrail.status == "ALERT"

    def test_the_watch_of_a_hybrid_plan_takes_the_sequence_too(self):
        options = {"mde": 0.1, "baseline": 0.1, "sample_size": 200_000, "sequential": {"looks": 2}}
        crashed = PAID | {"key": "crashed", "role": "guardrail", "direction": "decrease"}
        mean = {"key": "spend", "kind": "mean", "role": "secondary"}
        spec = spec_of("hybrid", metrics=[PAID, crashed, mean], always_valid={"sequence": "bernoulli", "tuned_for": 2000}, **options)
        arms = {
            arm: {"paid": rate(110 - 105 * i, 1000), "crashed": rate(1 + i, 1000), "spend": Moments(n=1000, mean=1.0, m2=1000.0)}
            for i, arm in enumerate(ARMS)
        }
        card = evaluate(spec, reading(arms))
        assert estimate_of(card).error_control == "group_sequential"
        assert (estimate_of(card, "crashed").method, estimate_of(card, "spend").method) == ("bernoulli_sequence", "welch_t")
        assert card.decision.reason == "harm", "the mixture would still wait for 20 events"
        assert card.plan.sequence.name == "bernoulli"

    def test_a_share_of_a_size_that_is_not_planned_is_refused(self):
        for sequence in ("asymptotic", "bernoulli"):
            with pytest.raises(UsageError, match="tuned for a share of the planned size must have one") as caught:
                evaluate(spec_of("always_valid", always_valid={"sequence": sequence}), rates(30, 60, 1000))
            assert "tuned_for" in caught.value.hint

    def test_sizes_are_those_of_the_sequence(self):
        plan = {"mde": 0.1, "baseline": 0.1}
        single = plan_experiment(spec_of("fixed", **plan)).total
        whole, half, far = (
            plan_experiment(spec_of("always_valid", always_valid={"sequence": "asymptotic", "tuned_for": t}, **plan))
            for t in (1.0, 0.5, 10_000_000)
        )
        assert 1.7 * single < whole.total < half.total < 2.0 * single
        assert far.total > half.total
        again = plan_experiment(spec_of("always_valid", always_valid={"sequence": "asymptotic", "tuned_for": whole.total}, **plan))
        assert again.total == pytest.approx(whole.total, abs=4)
        exact = plan_experiment(spec_of("always_valid", always_valid={"sequence": "bernoulli"}, **plan))
        assert whole.total < exact.total < 1.05 * whole.total


DESIGNS = st.sampled_from(["asymptotic", "bernoulli", "msprt"])


@given(
    sequence=DESIGNS,
    alternative=st.sampled_from(["two-sided", "one-sided"]),
    alpha=st.sampled_from([0.01, 0.05, 0.2]),
    correction=st.sampled_from(["none", "bonferroni", "holm", "hochberg", "benjamini-hochberg"]),
    counts=st.lists(st.integers(0, 120), min_size=3, max_size=4),
    n=st.sampled_from([200, 900, 5000]),
    direction=st.sampled_from(["increase", "decrease"]),
)
@settings(max_examples=80, deadline=None)
def test_p_value_and_intervals_are_one_fact_under_every_sequence(sequence, alternative, alpha, correction, counts, n, direction):
    """DESIGN section 5: an interval, of the effect and of an exact lift, excludes 0 if and only if p_adjusted < alpha."""
    arms = ["control", *(f"t{i}" for i in range(len(counts) - 1))]
    options = {} if sequence == "msprt" else {"always_valid": {"sequence": sequence, "tuned_for": 3000}}
    spec = spec_of(
        "always_valid",
        metrics=[PAID | {"direction": direction}],
        arms=arms,
        alpha=alpha,
        correction=correction,
        alternative=alternative,
        **options,
    )
    card = evaluate(spec, reading({arm: {"paid": rate(x, n)} for arm, x in zip(arms, counts, strict=True)}))
    for row in card.comparisons:
        if row.estimate is None:
            continue
        p = row.estimate.p_value if row.estimate.p_adjusted is None else row.estimate.p_adjusted
        assert 0.0 <= p <= 1.0
        if abs(p - alpha) < 1e-9:
            continue
        assert row.estimate.interval.excludes(0.0) == (p < alpha)
        assert row.estimate.interval.low <= row.estimate.effect <= row.estimate.interval.high
        if sequence == "bernoulli" and row.estimate.lift_interval is not None:
            assert row.estimate.lift_interval.excludes(0.0) == (p < alpha)
            assert not math.isnan(row.estimate.lift_interval.high)


def test_a_spec_that_says_nothing_of_sequences_keeps_its_hash_and_its_result():
    """Decision 6: defaults stay out of the hash."""
    plain, said = (spec_of("always_valid", sample_size=4000, **more) for more in ({}, {"always_valid": {"sequence": "msprt"}}))
    assert plain.spec_hash == said.spec_hash
    assert replace(estimate_of(evaluate(said, rates(200, 260, 2000)))).method == "msprt"
