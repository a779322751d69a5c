"""evaluate(): arm statistics in, scorecard out (G-5, G-10..G-15, V.b)."""

import datetime as dt
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from readings import rate, reading, values

from fairtrial.diagnostics import Finding
from fairtrial.errors import DataError, UnknownNameError
from fairtrial.evaluation import Look, evaluate
from fairtrial.spec.loader import parse_spec
from fairtrial.stats.moments import Moments
from fairtrial.stats.result import Unavailable


def spec(**changes):
    plain = {
        "key": "cart",
        "arms": {"control": 0.5, "treatment": 0.5},
        "metrics": [{"key": "bought", "kind": "proportion", "role": "primary"}],
        "plan": {"sample_size": 1000},
    }
    return parse_spec(plain | changes)


def two(control, treatment, metric="bought"):
    return reading({"control": {metric: control}, "treatment": {metric: treatment}})


def test_two_proportions_give_the_golden_values():
    """G-12, II.b: 45/800 against 8/200."""
    card = evaluate(
        spec(arms={"control": 0.2, "treatment": 0.8}),
        two(rate(8, 200), rate(45, 800)),
    )
    estimate = card.comparison("bought").estimate
    assert estimate.effect == pytest.approx(0.01625)
    assert estimate.p_value == pytest.approx(0.358887, abs=1e-6)
    assert (estimate.interval.low, estimate.interval.high) == pytest.approx((-0.022924, 0.043565), abs=1e-6)
    assert (estimate.lift_interval.low, estimate.lift_interval.high) == pytest.approx((-0.326298, 1.935330), abs=1e-6)
    assert card.comparison("bought").reading == "inconclusive"
    assert card.decision.verdict == "NO_LAUNCH"


def golden_analysis(m, s=None, *, guardrail_wide=True):
    """V.b golden analysis: n 578, mean 1.00692, sd .1017 against 577, 1.18198, .4524."""
    plan = {"sample_size": 1155, "practical_threshold": m} | ({"strong_threshold": s} if s else {})
    margin = 0.02 if guardrail_wide else 0.2
    design = spec(
        metrics=[
            {"key": "orders", "kind": "mean", "role": "primary"},
            {"key": "active", "kind": "proportion", "role": "guardrail", "margin": margin, "margin_kind": "relative"},
        ],
        plan=plan,
    )
    read = reading(
        {
            "control": {"orders": Moments.from_summary(n=578, mean=1.00692, sd=0.1017), "active": rate(405, 578)},
            "treatment": {"orders": Moments.from_summary(n=577, mean=1.18198, sd=0.4524), "active": rate(410, 577)},
        }
    )
    return evaluate(design, read)


def test_the_golden_analysis_has_its_values():
    """XC-22, the example of part V."""
    card = golden_analysis(0.05)
    estimate = card.comparison("orders").estimate
    assert estimate.statistic == pytest.approx(9.069116, abs=1e-5)
    assert estimate.df == pytest.approx(633.971453, abs=1e-3)
    assert estimate.p_value == pytest.approx(1.488e-18, rel=1e-3)
    assert (estimate.interval.low, estimate.interval.high) == pytest.approx((0.137155, 0.212965), abs=1e-6)
    assert (estimate.lift_interval.low, estimate.lift_interval.high) == pytest.approx((0.135945, 0.211769), abs=1e-6)
    guardrail = card.comparison("active").guardrail
    assert guardrail.status == "PASS"
    assert -guardrail.harm == pytest.approx(0.0141, abs=1e-4)
    assert (-guardrail.interval.high, -guardrail.interval.low) == pytest.approx((-0.058708, 0.09254), abs=1e-6)
    assert guardrail.non_inferior is False


@pytest.mark.parametrize(
    ("m", "wide", "verdict"),
    [(0.05, True, "LAUNCH"), (0.20, True, "CONSIDER_LAUNCH"), (0.05, False, "STRONG_LAUNCH"), (0.10, False, "STRONG_LAUNCH")],
)
def test_the_golden_analysis_gives_its_verdicts(m, wide, verdict):
    """V.b: LAUNCH at m .05; CONSIDER_LAUNCH at m .20; STRONG_LAUNCH when the guardrail is non-inferior."""
    assert golden_analysis(m, guardrail_wide=wide).decision.verdict == verdict


def test_the_same_reading_gives_the_same_bytes_and_strict_json():
    """G-4, DESIGN 5 Scorecard."""
    card = golden_analysis(0.05)
    assert card.to_json() == golden_analysis(0.05).to_json()
    parsed = json.loads(card.to_json(), parse_constant=lambda c: pytest.fail(f"{c} in strict JSON"))
    assert parsed["decision"]["verdict"] == "LAUNCH"


def three_arms(correction, p_close=False):
    design = spec(
        arms=["control", "a", "b"],
        plan={"sample_size": 3000, "correction": correction},
    )
    b = rate(121, 1000) if p_close else rate(105, 1000)
    return evaluate(design, reading({"control": {"bought": rate(100, 1000)}, "a": {"bought": rate(150, 1000)}, "b": {"bought": b}}))


@pytest.mark.parametrize("correction", ["none", "bonferroni", "holm", "hochberg", "benjamini-hochberg", "benjamini-yekutieli"])
def test_intervals_and_corrected_p_values_agree(correction):
    """DESIGN 5: the interval excludes 0 if and only if the adjusted p lies below alpha (XC-31)."""
    for row in three_arms(correction).comparisons:
        p = row.estimate.p_value if row.estimate.p_adjusted is None else row.estimate.p_adjusted
        assert (p < 0.05) == row.estimate.interval.excludes(0.0)
        assert row.estimate.correction == (None if correction == "none" else correction)


rates = st.integers(2, 98)


@given(
    st.tuples(rates, rates, rates, rates), st.sampled_from(["holm", "hochberg", "benjamini-hochberg", "benjamini-yekutieli", "bonferroni"])
)
@settings(max_examples=60, deadline=None)
def test_duality_after_correction_holds_for_any_arms(successes, correction):
    """DESIGN 5 Estimate, for three treatments of any size."""
    keys = ["control", "a", "b", "c"]
    design = spec(arms=keys, plan={"sample_size": 4000, "correction": correction})
    card = evaluate(design, reading({k: {"bought": rate(10 * x, 1000)} for k, x in zip(keys, successes, strict=True)}))
    for row in card.comparisons:
        if row.estimate is not None and "small_counts" not in row.estimate.notes and abs(row.estimate.p_adjusted - 0.05) > 1e-9:
            assert (row.estimate.p_adjusted < 0.05) == row.estimate.interval.excludes(0.0)


def test_secondary_metrics_have_a_family_of_their_own_and_guardrails_none():
    """III.b: one primary carries alpha, secondaries are BH-adjusted, guardrails unadjusted."""
    metrics = [{"key": "bought", "kind": "proportion", "role": "primary"}]
    metrics += [{"key": f"s{i}", "kind": "proportion"} for i in range(3)] + [{"key": "g", "kind": "proportion", "role": "guardrail"}]
    arm = {"bought": rate(100, 1000), **{f"s{i}": rate(100, 1000) for i in range(3)}, "g": rate(100, 1000)}
    other = {"bought": rate(130, 1000), "s0": rate(140, 1000), "s1": rate(128, 1000), "s2": rate(101, 1000), "g": rate(90, 1000)}
    card = evaluate(spec(metrics=metrics), reading({"control": arm, "treatment": other}))
    by_key = {row.metric: row.estimate for row in card.comparisons}
    assert by_key["bought"].p_adjusted is None
    assert by_key["g"].p_adjusted is None
    p = sorted(by_key[f"s{i}"].p_value for i in range(3))
    assert by_key["s0"].p_adjusted == pytest.approx(min(3 * p[0], 3 / 2 * p[1], p[2]))


def test_a_lower_is_better_metric_is_read_in_its_direction():
    """AD-04: direction is declared; positive improvement is better."""
    design = spec(
        metrics=[{"key": "time", "kind": "mean", "role": "primary", "direction": "decrease"}],
        plan={"sample_size": 200, "practical_threshold": 0.02},
    )
    rng = np.random.default_rng(7)
    control, treatment = values(rng.normal(100, 5, 100)), values(rng.normal(90, 5, 100))
    card = evaluate(design, two(control, treatment, "time"))
    assert card.comparison("time").reading == "better"
    assert card.decision.verdict == "STRONG_LAUNCH"
    assert evaluate(design, two(treatment, control, "time")).decision.reason == "harm"


def test_one_sided_plans_test_for_improvement_alone():
    for direction, better in (("increase", 130), ("decrease", 70)):
        metric = {"key": "bought", "kind": "proportion", "role": "primary", "direction": direction}
        design = spec(metrics=[metric], plan={"sample_size": 2000, "alternative": "one-sided"})
        two_sided = evaluate(spec(metrics=[metric]), two(rate(100, 1000), rate(better, 1000))).comparison("bought").estimate
        estimate = evaluate(design, two(rate(100, 1000), rate(better, 1000))).comparison("bought").estimate
        assert estimate.p_value == pytest.approx(two_sided.p_value / 2)
        assert np.isinf(estimate.interval.high if direction == "increase" else estimate.interval.low)


def test_an_open_end_of_an_interval_is_null_in_json():
    design = spec(plan={"sample_size": 2000, "alternative": "one-sided"})
    card = json.loads(evaluate(design, two(rate(100, 1000), rate(130, 1000))).to_json())
    assert card["comparisons"][0]["estimate"]["interval"]["high"] is None
    assert card["comparisons"][0]["estimate"]["interval"]["low"] > 0


def test_non_inferiority_is_tested_against_the_margin():
    metric = {"key": "bought", "kind": "proportion", "role": "primary", "margin": 0.05}
    design = spec(metrics=[metric], plan={"sample_size": 2000, "objective": "non_inferiority"})
    card = evaluate(design, two(rate(500, 1000), rate(495, 1000)))
    assert card.comparison("bought").estimate.margin == -0.05
    assert card.decision.verdict == "LAUNCH"
    assert evaluate(design, two(rate(500, 1000), rate(400, 1000))).decision.reason == "harm"


def test_a_wrong_split_makes_the_verdict_invalid_and_a_suspicious_one_warns():
    """G-11: mismatch below .001 is invalid, below .01 a warning; [5100, 4900] at 50/50 is ok."""
    wrong = evaluate(spec(), two(rate(51, 510), rate(490, 4900)))
    assert wrong.decision.state == "invalid"
    assert wrong.decision.verdict is None
    assert wrong.srm.status == "mismatch"
    suspicious = evaluate(spec(), two(rate(4470, 44700), rate(4548, 45489)))
    assert suspicious.srm.status == "warning"
    assert suspicious.decision.state == "valid"
    ok = evaluate(spec(), two(rate(510, 5100), rate(490, 4900)))
    assert (ok.srm.status, ok.srm.chi_square) == ("ok", pytest.approx(4.0))


def test_adaptive_and_unknown_shares_are_not_checked_and_say_so():
    for allocation in ("adaptive", "unknown"):
        card = evaluate(spec(arms=["control", "treatment"], allocation=allocation), two(rate(51, 510), rate(490, 4900)))
        assert card.srm.status == "skipped"
        assert card.srm.p_value is None
        assert card.decision.state == "valid"


@pytest.mark.parametrize(
    ("control", "treatment", "code"),
    [
        (rate(0, 500), rate(0, 500), "no_variance"),
        (rate(1, 1), rate(250, 500), None),
        (Unavailable(code="missing_variance", reason="no variance was given"), rate(1, 500), "missing_variance"),
    ],
)
def test_what_cannot_be_tested_is_unavailable_with_a_reason(control, treatment, code):
    """G-5, V.b row 0b: never p = 1, never 'no effect'."""
    card = evaluate(
        spec(arms=["control", "treatment"], allocation="unknown"),
        reading({"control": {"bought": control}, "treatment": {"bought": treatment}}),
    )
    if code is not None:
        assert card.comparison("bought").estimate is None
        assert card.comparison("bought").unavailable.code == code
    assert card.decision.rule == "0b"
    assert card.decision.verdict == "EXTEND_TEST"


def test_a_constant_mean_states_its_values_and_tests_nothing():
    design = spec(metrics=[{"key": "x", "kind": "mean", "role": "primary"}])
    card = evaluate(design, two(Moments(n=500, mean=3.0, m2=0.0), Moments(n=500, mean=3.0, m2=0.0), "x"))
    assert card.comparison("x").estimate is None
    assert card.comparison("x").unavailable.code == "no_variance"


def test_an_empty_arm_is_unavailable():
    card = evaluate(
        spec(arms=["control", "a", "b"], allocation="unknown"),
        reading({"control": {"bought": rate(10, 100)}, "a": {"bought": rate(20, 100)}, "b": {}}, n={"control": 100, "a": 100, "b": 0}),
    )
    assert card.comparison("bought", "b").unavailable.code == "empty_arm"
    assert card.comparison("bought", "a").estimate is not None


def test_no_units_at_all_and_unknown_arms_are_errors():
    with pytest.raises(DataError, match="any unit"):
        evaluate(spec(), reading({"control": {}, "treatment": {}}, n={"control": 0, "treatment": 0}))
    with pytest.raises(UnknownNameError, match="treatment"):
        evaluate(spec(), reading({"control": {"bought": rate(1, 10)}}))


def test_incremental_outcomes_are_effect_times_units():
    card = evaluate(spec(arms={"control": 0.2, "treatment": 0.8}), two(rate(8, 200), rate(45, 800)))
    (row,) = card.incremental
    assert row.value == pytest.approx(13.0)
    assert row.interval.low == pytest.approx(-0.022924 * 800, abs=1e-3)
    assert row.share == pytest.approx(13 / 45)


def test_an_unfinished_plan_waits_whatever_the_interval_says():
    """V.b rule 3: a fixed plan is read once, when it is complete."""
    card = evaluate(spec(plan={"sample_size": 100_000}), two(rate(100, 1000), rate(150, 1000)))
    assert card.decision.verdict == "EXTEND_TEST"
    assert card.plan.complete is False


def test_harm_far_beyond_doubt_stops_an_unfinished_live_test():
    """V.b rule 2 before the first complete read: the always-valid interval, for harm only."""
    card = evaluate(spec(plan={"sample_size": 1_000_000}, status="running"), two(rate(3000, 10_000), rate(2000, 10_000)))
    assert card.decision.verdict == "ROLLBACK"
    assert card.decision.reason == "harm"


START = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


def test_days_come_from_the_schedule_and_the_look():
    design = spec(plan={"sample_size": 1000, "min_days": 7, "max_days": 14}, schedule={"start": "2026-03-01T00:00:00Z"})
    read = two(rate(100, 1000), rate(150, 1000))
    early = evaluate(design, read, as_of=START + dt.timedelta(days=3))
    assert early.decision.verdict == "EXTEND_TEST"
    assert early.plan.days == 3.0
    late = evaluate(design, read, as_of=START + dt.timedelta(days=7))
    assert late.decision.verdict == "CONSIDER_LAUNCH"
    assert late.decision.reason == "small"


def test_a_min_days_plan_without_a_schedule_does_not_pass():
    card = evaluate(spec(plan={"sample_size": 1000, "min_days": 7}), two(rate(100, 1000), rate(150, 1000)))
    assert card.decision.verdict == "EXTEND_TEST"
    assert card.plan.days is None


def test_after_the_first_complete_look_later_reads_only_describe():
    """V.b: re-reading a fixed interval daily errs 13-15%."""
    first = evaluate(spec(), two(rate(100, 1000), rate(104, 1000)))
    assert first.decision.reason == "inconclusive"
    look = Look(as_of="2026-03-15T00:00:00Z", complete=first.plan.complete, decisions=first.decisions)
    later = evaluate(spec(), two(rate(1000, 10_000), rate(1200, 10_000)), [look])
    assert later.decision.verdict == "NO_LAUNCH"
    assert "only describes" in later.decision.reasoning[0]
    assert later.looks == 1
    incomplete = Look(as_of=None, complete=False, decisions=first.decisions)
    assert evaluate(spec(), two(rate(1000, 10_000), rate(1200, 10_000)), [incomplete]).decision.verdict == "CONSIDER_LAUNCH"


def test_small_counts_switch_to_the_exact_test_and_say_so():
    """G-12: expected cell below 5 -> Fisher's p, note small_counts; IV.b: 5/500 against 28/9500."""
    card = evaluate(spec(arms={"control": 0.95, "treatment": 0.05}), two(rate(28, 9500), rate(5, 500)))
    estimate = card.comparison("bought").estimate
    assert estimate.method == "fisher_exact"
    assert "small_counts" in estimate.notes
    assert (estimate.interval.low, estimate.interval.high) == pytest.approx((0.001179, 0.020273), abs=1e-6)
    assert any(finding.code == "small_counts" for finding in card.findings)


def test_cuped_uses_the_covariate_and_reports_what_it_saved():
    """XC-38."""
    rng = np.random.default_rng(11)
    x = rng.normal(10, 3, 4000)
    y = x + rng.normal(0, 1, 4000)
    y[2000:] += 0.2
    design = spec(metrics=[{"key": "v", "kind": "mean", "role": "primary", "covariate": "pre"}], plan={"sample_size": 4000})
    card = evaluate(design, two(values(y[:2000], x[:2000]), values(y[2000:], x[2000:]), "v"))
    estimate = card.comparison("v").estimate
    assert estimate.method == "cuped_welch_t"
    assert estimate.theta == pytest.approx(1.0, abs=0.05)
    assert estimate.variance_reduction == pytest.approx(0.9, abs=0.02)
    assert estimate.p_value < 0.001


def test_ratio_metrics_go_by_the_delta_method():
    rng = np.random.default_rng(5)
    den = rng.integers(1, 9, 3000).astype(float)
    num = rng.binomial(den.astype(int), 0.3).astype(float)
    design = spec(metrics=[{"key": "ctr", "kind": "ratio", "role": "primary", "numerator": "clicks", "denominator": "views"}])
    card = evaluate(design, two(values(num[:1500], den[:1500]), values(num[1500:], den[1500:]), "ctr"))
    estimate = card.comparison("ctr").estimate
    assert estimate.method == "ratio_delta"
    assert estimate.control == pytest.approx(num[:1500].sum() / den[:1500].sum())
    assert estimate.df is None
    assert card.incremental == ()


def test_a_guardrail_at_which_nothing_happened_is_read_against_its_limit():
    """No error in either arm: no difference to test, but an interval of the rate to hold against the limit, where there is one."""

    def guardrail(errors, n, **limits):
        metrics = [
            {"key": "bought", "kind": "proportion", "role": "primary"},
            {"key": "errors", "kind": "proportion", "role": "guardrail", "direction": "decrease", **limits},
        ]
        arms = {arm: {"bought": rate(n // 10, n), "errors": rate(errors, n)} for arm in ("control", "treatment")}
        return evaluate(spec(metrics=metrics), reading(arms)).comparison("errors").guardrail

    assert (guardrail(0, 1000, max_value=0.01).status, guardrail(0, 1000, max_value=0.01).non_inferior) == ("PASS", True)
    assert guardrail(0, 200, max_value=0.01).status == "UNAVAILABLE"
    assert guardrail(1000, 1000, max_value=0.01).status == "ALERT"
    assert guardrail(0, 1000, margin=0.01).status == "UNAVAILABLE"
    assert guardrail(0, 1000, max_value=0.01, margin=0.01).status == "UNAVAILABLE"


def test_what_the_reader_saw_counts_like_every_finding():
    """ML-26: a critical finding from outside the arm statistics makes the verdict invalid."""
    arms = {"control": {"x": rate(100, 1000)}, "treatment": {"x": rate(150, 1000)}}
    own = spec(metrics=[{"key": "x", "kind": "proportion", "role": "primary"}])
    seen = Finding(code="label_coverage_differs", severity="critical", message="Labels differ.", action="Wait.")
    assert evaluate(own, reading(arms)).decision.state == "valid"
    assert evaluate(own, reading(arms), seen=[seen]).decision.state == "invalid"
    assert evaluate(own, reading(arms), seen=[replace(seen, severity="warning")]).findings[0].code == "label_coverage_differs"


def test_a_guardrail_without_data_is_never_a_pass():
    metrics = [
        {"key": "bought", "kind": "proportion", "role": "primary"},
        {"key": "errors", "kind": "proportion", "role": "guardrail", "margin": 0.01},
    ]
    gone = Unavailable(code="missing", reason="the table has no errors")
    card = evaluate(
        spec(metrics=metrics),
        reading({"control": {"bought": rate(100, 1000), "errors": gone}, "treatment": {"bought": rate(150, 1000), "errors": gone}}),
    )
    assert card.comparison("errors").guardrail.status == "UNAVAILABLE"
    assert card.decision.reason == "guardrail_unavailable"
    assert card.decision.verdict == "EXTEND_TEST"


def test_an_absolute_limit_on_a_guardrail_is_watched():
    metrics = [
        {"key": "bought", "kind": "proportion", "role": "primary"},
        {"key": "latency", "kind": "mean", "role": "guardrail", "direction": "decrease", "margin": 500, "max_value": 200},
    ]
    slow = Moments.from_summary(n=1000, mean=230, sd=50)
    fine = Moments.from_summary(n=1000, mean=180, sd=50)
    for control, treatment, status in ((fine, slow, "ALERT"), (fine, fine, "PASS")):
        card = evaluate(
            spec(metrics=metrics),
            reading(
                {"control": {"bought": rate(100, 1000), "latency": control}, "treatment": {"bought": rate(150, 1000), "latency": treatment}}
            ),
        )
        assert card.comparison("latency").guardrail.status == status
    assert card.decision.verdict == "CONSIDER_LAUNCH"


def test_the_scorecard_states_plan_and_power_never_at_the_observed_effect():
    """V.c: no achieved power."""
    design = spec(plan={"sample_size": 2000, "baseline": 0.1, "mde": 0.1})
    small = evaluate(design, two(rate(100, 1000), rate(101, 1000)))
    large = evaluate(design, two(rate(100, 1000), rate(190, 1000)))
    assert small.plan.power_at_mde == pytest.approx(large.plan.power_at_mde)
    assert small.plan.detectable_effect > 0


def test_no_plan_is_read_as_complete_with_a_warning():
    """V.b: No plan recorded: treated as complete, with a warning."""
    card = evaluate(spec(plan={}), two(rate(100, 1000), rate(150, 1000)))
    assert card.plan.complete
    assert any(f.code == "no_plan" and f.severity == "warning" for f in card.findings)
    assert any("no plan was recorded" in sentence for sentence in card.decision.reasoning)


def test_two_hundred_metrics_are_compared_in_one_batch():
    """DESIGN 7 row 2: vectorised; every metric equals its own evaluation alone."""
    rng = np.random.default_rng(3)
    metrics = [{"key": "m0", "kind": "mean", "role": "primary"}] + [{"key": f"m{i}", "kind": "mean"} for i in range(1, 200)]
    arms = {arm: {f"m{i}": Moments.from_values(rng.normal(size=50)) for i in range(200)} for arm in ("control", "treatment")}
    design = spec(metrics=metrics, plan={"sample_size": 100, "secondary_correction": "none"})
    card = evaluate(design, reading(arms))
    alone = spec(metrics=[{"key": "m7", "kind": "mean", "role": "primary"}])
    only = evaluate(alone, reading({arm: {"m7": outcomes["m7"]} for arm, outcomes in arms.items()}))
    assert card.comparison("m7").estimate.p_value == pytest.approx(only.comparison("m7").estimate.p_value, rel=1e-12)
