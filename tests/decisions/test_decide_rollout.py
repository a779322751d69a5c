"""decide_rollout (AD-07, 08, 10, 13, 14, 15, 17): the stage rule, boundaries, guardrails, limits; pure and total."""

import dataclasses
import itertools
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairtrial.decisions import (
    PRESETS,
    Contrast,
    GuardrailEvidence,
    MeanArm,
    PrimaryEvidence,
    RateArm,
    RolloutEvidence,
    RolloutPolicy,
    decide_rollout,
    preset_policy,
    read_harm,
    recommended_stop_day,
    rollout_boundary,
    saved_user_days,
)
from fairtrial.decisions.ramp_looks import read_primary
from fairtrial.errors import FairtrialError, UnknownNameError, UsageError
from fairtrial.stats.means import welch_test
from fairtrial.stats.moments import Moments
from fairtrial.stats.proportion_intervals import wilson_interval
from fairtrial.stats.proportions import two_proportion_test
from fairtrial.stats.sequential.msprt import msprt

POLICY = RolloutPolicy(first_look_day=7)


def primary(improvement: float = 1.1, *, n: int = 2000, direction="lower", **changes) -> PrimaryEvidence:
    sign = -1.0 if direction == "lower" else 1.0
    arms = {"control": MeanArm(n=3 * n, mean=42.0, sd=18.0), "treatment": MeanArm(n=n, mean=42.0 + sign * improvement, sd=17.6)}
    return PrimaryEvidence(metric="task", direction=direction, **{"practical_threshold": 0.02, **arms, **changes})


def errors(events: int = 44, *, n: int = 2000, **changes) -> GuardrailEvidence:
    arms = {"control": RateArm(n=3 * n, events=3 * n // 50), "treatment": RateArm(n=n, events=events)}
    return GuardrailEvidence(metric="error_rate", direction="lower", **{"margin": 0.005, **arms, **changes})


def evidence(**changes) -> RolloutEvidence:
    given = {"stage": 0.25, "next_stage": 0.5, "day": 7, "stage_days": 3, "primary": primary(), "guardrails": (errors(),)}
    return RolloutEvidence(**{**given, **changes})


BLIND = GuardrailEvidence(metric="latency", direction="lower", margin=10.0)
WARNS = errors(54)
ALARM = errors(90)
NOBODY = MeanArm(n=0, mean=0.0, sd=0.0)
SKEWED = {"users": (6000, 2400)}


@pytest.mark.parametrize(
    ("changes", "decision", "verdict", "reasons"),
    [
        ({}, "RAMP_UP", "EXTEND_TEST", ("boundary_not_crossed", "guardrails_pass", "stage_minimum_met")),
        ({"guardrails": ()}, "RAMP_UP", "EXTEND_TEST", ("boundary_not_crossed", "no_guardrails", "stage_minimum_met")),
        ({**SKEWED}, "HOLD", None, ("sample_ratio_mismatch",)),
        ({**SKEWED, "guardrails": (ALARM,)}, "ROLLBACK", None, ("sample_ratio_mismatch", "guardrail_alert")),
        ({**SKEWED, "primary": primary(-6.0)}, "ROLLBACK", None, ("sample_ratio_mismatch", "kill_threshold")),
        ({"guardrails": (ALARM,), "primary": primary(4.0)}, "ROLLBACK", "ROLLBACK", ("guardrail_alert",)),
        ({"guardrails": (ALARM,), "primary": primary(control=None, treatment=None)}, "ROLLBACK", "ROLLBACK", ("guardrail_alert",)),
        ({"primary": primary(-3.0)}, "ROLLBACK", "ROLLBACK", ("harm",)),
        ({"primary": primary(-4.0), "day": 2}, "ROLLBACK", "ROLLBACK", ("harm",)),
        ({"primary": primary(3.0)}, "ROLLOUT", "LAUNCH", ("boundary_crossed", "practical_effect", "guardrails_pass")),
        (
            {"primary": primary(6.0, strong_threshold=0.05), "guardrails": (errors(30),)},
            "ROLLOUT", "STRONG_LAUNCH", ("boundary_crossed", "strong_effect", "guardrails_pass"),
        ),
        ({"primary": primary(3.0), "guardrails": (WARNS,)}, "HOLD", "LAUNCH", ("boundary_crossed", "guardrail_warning")),
        ({"primary": primary(3.0), "day": 6}, "RAMP_UP", "EXTEND_TEST", ("before_first_look", "guardrails_pass", "stage_minimum_met")),
        (
            {"primary": primary(1.6, practical_threshold=0.05)},
            "HOLD", "CONSIDER_LAUNCH", ("boundary_crossed", "effect_below_practical_threshold"),
        ),
        ({"primary": primary(0.1, practical_threshold=0.05, n=60_000)}, "HOLD", "NO_LAUNCH", ("futile",)),
        ({"day": 14, "primary": primary(0.6)}, "HOLD", "NO_LAUNCH", ("inconclusive",)),
        ({"primary": primary(3.0), "guardrails": (BLIND,)}, "HOLD", "EXTEND_TEST", ("guardrail_unavailable",)),
        ({"guardrails": (BLIND,)}, "HOLD", "EXTEND_TEST", ("guardrail_unavailable",)),
        ({"guardrails": (WARNS,)}, "HOLD", "EXTEND_TEST", ("guardrail_warning",)),
        ({"stage_days": 0}, "CONTINUE", "EXTEND_TEST", ("stage_minimum_not_met",)),
        ({"next_stage": 1.0}, "CONTINUE", "EXTEND_TEST", ("next_stage_is_full",)),
        ({"next_stage": None}, "CONTINUE", "EXTEND_TEST", ("last_stage",)),
        ({"primary": primary(control=NOBODY, treatment=NOBODY), "guardrails": ()}, "CONTINUE", "EXTEND_TEST", ("stage_minimum_not_met",)),
        ({"primary": primary(control=None, treatment=None), "day": 14, "guardrails": ()}, "CONTINUE", None, ("not_enough_data",)),
    ],
)  # fmt: skip
def test_the_stage_rule_line_by_line(changes, decision, verdict, reasons):
    """AD-15, III.b: the first line that applies, with its reason codes."""
    made = decide_rollout(evidence(**changes), dataclasses.replace(POLICY, kill_threshold=0.1))
    assert (made.decision, made.verdict, made.reasons) == (decision, verdict, reasons)
    assert made.explanation


def test_the_boundary_of_daily_looks_is_the_printed_one():
    """AD-07: III.b, days 7 to 14 of 14, and the error spent."""
    found = rollout_boundary(range(7, 15), RolloutPolicy())
    assert [round(c, 3) for c in found.critical] == [2.963, 2.797, 2.636, 2.497, 2.378, 2.275, 2.183, 2.102]
    assert [round(a, 5) for a in found.cumulative_alpha] == [0.00305, 0.00605, 0.01036, 0.01600, 0.02290, 0.03096, 0.04004, 0.05]


@pytest.mark.parametrize(
    ("looks", "printed"),
    [
        (2, [2.963, 1.969]),
        (3, [3.710, 2.511, 1.993]),
        (4, [4.333, 2.963, 2.359, 2.014]),
        (5, [4.877, 3.357, 2.680, 2.290, 2.031]),
    ],
)
def test_equally_spaced_looks_have_the_printed_boundary(looks, printed):
    """AD-07: III.b, K = 2 to 5."""
    found = rollout_boundary(range(1, looks + 1), RolloutPolicy(min_days=1, max_days=looks))
    assert [round(c, 3) for c in found.critical] == printed


def test_each_day_reads_its_own_look():
    for day in range(7, 15):
        reading = read_primary(evidence(day=day), POLICY)
        assert reading.look == day - 6
        assert reading.boundary == pytest.approx(rollout_boundary(range(7, 15), POLICY).critical[day - 7], abs=1e-9)
    skipped = read_primary(evidence(day=10, look_days=(7,)), POLICY)
    assert (skipped.look, skipped.boundary) == (2, pytest.approx(rollout_boundary([7, 10], POLICY).critical[1]))
    assert skipped.boundary < read_primary(evidence(day=10), POLICY).boundary, "looks that were not taken spent nothing"
    late = read_primary(evidence(day=30, look_days=(7, 14)), POLICY)
    assert (late.look, late.information) == (2, 1.0)


def test_the_stop_day_is_the_first_look_that_crosses():
    """AD-07: never chosen by looking back; not before min_days."""
    assert recommended_stop_day([7, 8, 9, 10], [2.9, 2.7, 2.7, 5.0], RolloutPolicy()) == 9
    assert recommended_stop_day([7, 8], [2.9, 2.7], RolloutPolicy()) is None
    assert recommended_stop_day([], [], RolloutPolicy()) is None
    with pytest.raises(UsageError, match="min_days"):
        recommended_stop_day([6, 7], [9.0, 9.0], RolloutPolicy())


def test_saved_user_days():
    """AD-13: 14 planned days, a stop on day 9, 2,000 users a day: 10,000."""
    assert saved_user_days(14, 9, 2_000) == 10_000
    made = decide_rollout(evidence(day=9, daily_users=2_000.0, primary=primary(3.0)), POLICY)
    assert (made.decision, made.stop_day, made.saved_user_days) == ("ROLLOUT", 9, 10_000)
    assert decide_rollout(evidence(daily_users=2_000.0), POLICY).saved_user_days is None
    with pytest.raises(UsageError, match="stop_day"):
        saved_user_days(14, 15, 1)


def test_after_a_stop_the_estimate_is_corrected_towards_0():
    """AD-07: the plain estimate is marked, a median-unbiased one stands beside it (Tsiatis, Rosner & Mehta 1984)."""
    made = decide_rollout(evidence(day=10, primary=primary(1.5)), POLICY).primary
    after = made.after_stop
    assert made.crossed
    assert after.biased == "away_from_zero"
    assert 0.0 < after.median_unbiased < made.improvement_abs
    assert after.ci_low < after.median_unbiased < after.ci_high
    assert decide_rollout(evidence(), POLICY).primary.after_stop is None


@pytest.mark.parametrize(
    ("events", "n", "margin", "status"),
    [
        (40, 2000, 0.005, "PASS"),
        (54, 2000, 0.005, "WARNING"),
        (90, 2000, 0.005, "ALERT"),
        (62, 2000, 0.05, "WARNING"),
        (40, 99, 0.005, "UNAVAILABLE"),
    ],
)
def test_the_state_of_a_guardrail(events, n, margin, status):
    """AD-08: ALERT when hl > d, or h > d and hl > 0; WARNING when h > d or hl > 0; UNAVAILABLE under 100 users."""
    found = read_harm(errors(events, n=n, margin=margin))
    assert found.status == status
    if found.harm is not None:
        h, hl, d = found.harm, found.ci_low, margin
        assert (status == "ALERT") == (hl > d or (h > d and hl > 0))
        assert found.non_inferior == (found.ci_high <= d)


@given(
    control=st.integers(0, 400), treatment=st.integers(0, 400), margin=st.sampled_from([0.0, 0.001, 0.01, 0.05]),
    limit=st.sampled_from([None, 0.02, 0.1, 0.3]), direction=st.sampled_from(["lower", "higher"]),
)  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_the_state_follows_from_the_numbers_shown(control, treatment, margin, limit, direction):
    """AD-08: the rule of III.b from the reading's own figures, for rates in either direction, with and without a limit."""
    found = read_harm(
        GuardrailEvidence(
            metric="rate", direction=direction, margin=margin, max_value=limit,
            control=RateArm(n=1000, events=control), treatment=RateArm(n=1000, events=treatment),
        )
    )  # fmt: skip
    h, hl, hu = found.harm, found.ci_low, found.ci_high
    sign = 1 if direction == "lower" else -1
    assert math.isclose(h, sign * (treatment - control) / 1000, abs_tol=1e-12)
    own = wilson_interval(treatment, 1000)
    ends = [sign * (end - limit) > 0 for end in (own.low, own.high)] if limit is not None else [False]
    beyond = limit is not None and sign * (treatment / 1000 - limit) > 0
    alert = hl > margin or (h > margin and hl > 0) or all(ends)
    warning = h > margin or hl > 0 or beyond
    assert found.status == ("ALERT" if alert else "WARNING" if warning else "PASS")
    assert found.non_inferior == (hu <= margin and not any(ends))


def test_guardrail_intervals_are_those_of_the_tests():
    """AD-08, G-12, G-13: score and Welch where read once; a normal mixture tuned to the margin where read every day."""
    rate = two_proportion_test(120, 6000, 44, 2000)
    found = read_harm(errors())
    assert (found.ci_low, found.ci_high) == pytest.approx((rate.interval.low, rate.interval.high), abs=1e-12)
    arms = {"control": MeanArm(n=6000, mean=180.0, sd=60.0), "treatment": MeanArm(n=2000, mean=183.0, sd=62.0)}
    latency = GuardrailEvidence(metric="latency", direction="lower", margin=10.0, **arms)
    moments = [Moments.from_summary(n=arm.n, mean=arm.mean, sd=arm.sd) for arm in arms.values()]
    welch = welch_test(*moments)
    found = read_harm(latency)
    assert (found.ci_low, found.ci_high) == pytest.approx((welch.interval.low, welch.interval.high))
    always = read_harm(latency, monitoring="continuous")
    expected = msprt(3.0, 60.0**2 / 6000 + 62.0**2 / 2000, tau2=100.0)
    assert (always.ci_low, always.ci_high) == pytest.approx((expected.interval.low, expected.interval.high))
    assert always.ci_high - always.ci_low > found.ci_high - found.ci_low


def test_no_errors_at_all_are_read_and_not_called_unavailable():
    found = read_harm(errors(0, control=RateArm(n=6000, events=0), treatment=RateArm(n=2000, events=0)))
    assert (found.status, found.harm) == ("PASS", 0.0)
    assert found.ci_high > 0.0
    assert read_harm(errors(0, control=RateArm(n=6000, events=0), treatment=RateArm(n=2000, events=0)), monitoring="continuous").harm == 0.0


def test_the_worst_guardrail_speaks_for_all():
    """AD-08: ALERT > UNAVAILABLE > WARNING > PASS."""
    made = [
        decide_rollout(evidence(guardrails=some), POLICY).overall
        for some in ((errors(),), (errors(), dataclasses.replace(WARNS, metric="b")))
    ]
    assert made == ["PASS", "WARNING"]
    blind = decide_rollout(evidence(guardrails=(WARNS, BLIND)), POLICY)
    assert (blind.overall, blind.decision) == ("UNAVAILABLE", "HOLD")
    assert decide_rollout(evidence(guardrails=(BLIND, ALARM)), POLICY).decision == "ROLLBACK"


@pytest.mark.parametrize("preset", list(PRESETS))
def test_presets_limit_every_step(preset):
    """AD-17: the limits of a preset, and the limit that acted by name."""
    policy, limits = preset_policy(preset, POLICY), PRESETS[preset]
    few = decide_rollout(evidence(users=(int(limits["min_trials"]) * 3 - 3, int(limits["min_trials"]) - 1)), policy)
    assert (few.decision, few.constraints, few.reasons) == ("CONTINUE", ("min_trials",), ("stage_minimum_not_met",))
    assert any("min_trials acted" in sentence for sentence in few.explanation)
    wide = decide_rollout(evidence(next_stage=0.9), policy)
    assert (wide.decision, wide.constraints) == ("RAMP_UP", ("max_step",))
    assert wide.target_share == pytest.approx(0.25 + limits["max_step"])
    near = RolloutEvidence(stage=0.6, next_stage=0.99, day=7, stage_days=3, primary=primary(), users=(3000, 4500), guardrails=())
    floor = decide_rollout(near, dataclasses.replace(policy, max_step=1.0))
    assert (floor.constraints, floor.target_share) == (("min_weight",), pytest.approx(1.0 - limits["min_weight"]))
    assert any("min_weight acted" in sentence for sentence in floor.explanation)


def test_a_limit_that_leaves_no_room_is_no_raise():
    """AD-17."""
    near = RolloutEvidence(stage=0.9, next_stage=0.99, day=7, stage_days=3, primary=primary(), users=(500, 4500), guardrails=())
    made = decide_rollout(near, dataclasses.replace(POLICY, min_weight=0.1))
    assert (made.decision, made.reasons, made.constraints, made.target_share) == ("CONTINUE", ("held_by_limits",), ("min_weight",), 0.9)
    proven = decide_rollout(evidence(primary=primary(3.0)), dataclasses.replace(POLICY, max_step=0.3))
    assert (proven.decision, proven.target_share, proven.constraints) == ("ROLLOUT", 0.55, ("max_step",))


@given(improvement=st.floats(-8, 8), day=st.integers(0, 20), events=st.integers(0, 120))
@settings(max_examples=60, deadline=None)
def test_direction_is_declared_and_turns_everything(improvement, day, events):
    """Improvement is positive where the treatment is better, whichever way the metric points."""
    guardrails = (errors(events),)
    low = decide_rollout(evidence(primary=primary(improvement), day=day, guardrails=guardrails), POLICY)
    high = decide_rollout(evidence(primary=primary(improvement, direction="higher"), day=day, guardrails=guardrails), POLICY)
    assert low.primary.improvement_abs == pytest.approx(high.primary.improvement_abs)
    assert low.primary.crossed == high.primary.crossed
    assert low.guardrails == high.guardrails


NUMBERS = st.one_of(st.floats(-1e15, 1e15), st.sampled_from([0.0, 1e-30, -1e-30, 1e15, 42.0])).map(lambda x: x if abs(x) >= 1e-30 else 0.0)
SPREADS = NUMBERS.map(abs)
SIZES = st.one_of(st.integers(0, 10**12), st.integers(0, 3))
ARMS = st.builds(MeanArm, n=SIZES, mean=NUMBERS, sd=SPREADS)


@given(
    control=ARMS, treatment=ARMS, watched=ARMS, beside=ARMS, day=st.integers(0, 30), margin=st.one_of(st.none(), SPREADS),
    limit=st.one_of(st.none(), NUMBERS), practical=st.sampled_from([0.0, 1e-30, 0.02, 1e6]), stage=st.sampled_from([1e-9, 0.05, 0.5, 1.0]),
    direction=st.sampled_from(["lower", "higher"]), monitoring=st.sampled_from(["fixed", "continuous"]),
)  # fmt: skip
@settings(max_examples=400, deadline=None)
def test_any_figures_give_strict_json_or_a_refusal(**g):
    """AD-10: pure and total: extremes end in a decision whose JSON is strict, or in an error that says what to fix."""
    if g["margin"] is None and g["limit"] is None:
        return
    made = decide_rollout(
        RolloutEvidence(
            stage=g["stage"], next_stage=None, day=g["day"], stage_days=1,
            primary=PrimaryEvidence(
                metric="m", direction=g["direction"], control=g["control"], treatment=g["treatment"], practical_threshold=g["practical"]
            ),
            guardrails=(
                GuardrailEvidence(
                    metric="g", direction="lower", margin=g["margin"], max_value=g["limit"], control=g["watched"], treatment=g["beside"]
                ),
            ),
        ),
        dataclasses.replace(POLICY, monitoring=g["monitoring"]),
    )  # fmt: skip
    json.dumps(made.to_dict(), allow_nan=False)


@pytest.mark.parametrize(
    "broken",
    [
        lambda: MeanArm(n=10, mean=math.nan, sd=1.0),
        lambda: MeanArm(n=10, mean=1.0, sd=-1.0),
        lambda: MeanArm(n=10, mean=1e-40, sd=1.0),
        lambda: MeanArm(n=10, mean=1e40, sd=1.0),
        lambda: MeanArm(n=-1, mean=1.0, sd=1.0),
        lambda: RateArm(n=5, events=6),
        lambda: Contrast(effect=1.0, std_error=0.0, control=1.0, treatment=2.0, n_control=9, n_treatment=9),
        lambda: evidence(stage=0.0),
        lambda: evidence(stage=1.2),
        lambda: evidence(next_stage=0.2),
        lambda: evidence(look_days=(8, 7)),
        lambda: evidence(information=0.0),
        lambda: evidence(guardrails=(errors(), errors())),
        lambda: errors(margin=-0.1),
        lambda: errors(margin=None),
        lambda: errors(treatment=MeanArm(n=1, mean=1.0, sd=1.0)),
        lambda: RolloutPolicy(min_days=9, max_days=8),
        lambda: RolloutPolicy(first_look_day=3),
        lambda: RolloutPolicy(max_step=0.0),
        lambda: RolloutPolicy(min_weight=0.5),
        lambda: RolloutPolicy(alpha=1.0),
        lambda: RolloutPolicy(kill_threshold=0.0),
        lambda: primary(practical_threshold=math.inf),
    ],
)
def test_what_breaks_a_rule_is_refused_with_the_rule(broken):
    with pytest.raises(UsageError):
        broken()


def test_unknown_names_are_told_with_what_is_known():
    for broken in (lambda: preset_policy("bold"), lambda: primary(direction="up"), lambda: RolloutPolicy(spending="haybittle")):
        with pytest.raises(UnknownNameError, match="Known"):
            broken()


def test_the_evidence_is_not_changed_and_the_answer_is_the_same_again():
    """AD-10: pure."""
    given_evidence = evidence()
    before = dataclasses.asdict(given_evidence)
    first, second = (decide_rollout(given_evidence, POLICY) for _ in itertools.repeat(None, 2))
    assert first == second
    assert dataclasses.asdict(given_evidence) == before
    assert issubclass(UsageError, FairtrialError)
