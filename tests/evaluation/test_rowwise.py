"""Tests of units through the whole evaluation: the test that the spec names is the one that is made, and its readings agree."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from readings import reading, values
from scipy import stats

from fairtrial.errors import SpecError, UsageError
from fairtrial.evaluation import evaluate, own_values, rowwise
from fairtrial.evaluation.planning import plan_experiment
from fairtrial.metrics import build_metrics
from fairtrial.reports import view
from fairtrial.spec.loader import parse_spec
from fairtrial.stats.quantiles import quantile_difference
from fairtrial.stats.result import Unavailable
from fairtrial.stats.robust import log_t_test, yuen_test
from fairtrial.stats.shift import hodges_lehmann_test
from fairtrial.warehouse.memory import read_rows

ROWS_TESTS = ("log", "log1p", "trimmed", "mann_whitney", "permutation")
OF_UNITS = (*ROWS_TESTS, "bootstrap", "quantile")


def table(n: int = 240, *, effect: float = 3.0, seed: int = 1) -> list[dict]:
    rng = np.random.default_rng(seed)
    treated = rng.permutation(np.arange(n) % 2)
    before = rng.gamma(4.0, 5.0, n)
    spend = before * 0.7 + rng.gamma(4.0, 3.0, n) + effect * treated
    views = rng.poisson(4, n) + 1
    return [
        {
            "id": i,
            "arm": ("control", "treatment")[treated[i]],
            "spend": float(spend[i]),
            "before": float(before[i]),
            "clicks": int(rng.binomial(views[i], 0.3)),
            "views": int(views[i]),
        }
        for i in range(n)
    ]


def metric(test: str, **changes) -> dict:
    if test == "quantile":
        return {"key": "m", "kind": "quantile", "q": 0.6, "column": "spend", "role": "primary"} | changes
    return {"key": "m", "kind": "mean", "column": "spend", "test": test, "role": "primary"} | changes


def design(*metrics: dict, plan: dict | None = None, **changes):
    raw = {"key": "spring", "arms": ["control", "treatment"], "metrics": list(metrics), "plan": {"sample_size": 240} | (plan or {})}
    return parse_spec(raw | {"data": {"source": "memory", "unit": "id"}} | changes)


def evaluated(spec, rows: list[dict]):
    needs = [one.needs for one in build_metrics(spec)]
    return evaluate(spec, read_rows({"t": rows}, spec.data, needs, [arm.key for arm in spec.arms]))


def estimate(test: str, rows: list[dict] | None = None, plan: dict | None = None, **changes):
    return evaluated(design(metric(test, **changes), plan=plan), rows or table()).comparison("m").estimate


def arms(rows: list[dict], column: str = "spend") -> tuple[np.ndarray, np.ndarray]:
    return tuple(np.array([row[column] for row in rows if row["arm"] == arm]) for arm in ("control", "treatment"))


def test_log_compares_geometric_means():
    """Against `log_t_test`: effect, interval and lift are the ratio of geometric means less 1."""
    rows = table()
    found, logs = estimate("log", rows), log_t_test(*arms(rows))
    control, treatment = arms(rows)
    assert found.control == pytest.approx(stats.gmean(control), rel=1e-12)
    assert found.effect == pytest.approx(stats.gmean(treatment) / stats.gmean(control) - 1, rel=1e-9)
    assert (found.effect, found.interval) == (pytest.approx(found.lift, rel=1e-12), found.lift_interval)
    assert (found.p_value, found.statistic) == pytest.approx((logs.p_value, logs.statistic), rel=1e-9)
    assert (found.method, found.interval_method, found.std_error) == ("log_t", "t", None)
    assert found.notes == ("geometric_means",)


def test_log1p_is_of_one_more_than_the_value_and_has_no_lift():
    rows = [row | {"spend": max(row["spend"] - 15.0, 0.0)} for row in table()]
    found = estimate("log1p", rows)
    control, treatment = arms(rows)
    assert found.effect == pytest.approx(stats.gmean(1 + treatment) / stats.gmean(1 + control) - 1, rel=1e-9)
    assert found.control == pytest.approx(stats.gmean(1 + control) - 1, rel=1e-9)
    assert (found.lift, found.lift_interval) == (None, None)
    card = evaluated(design(metric("log")), rows)
    assert card.comparison("m").unavailable.code == "no_logarithm"


def test_a_one_sided_log_interval_stays_open():
    found = estimate("log", plan={"alternative": "one-sided"}, direction="decrease")
    assert (found.interval.low, found.alternative) == (-math.inf, "less")


def test_trimmed_is_yuens_test_with_the_declared_trim():
    rows = table()
    for trim in (0.2, 0.1):
        found, own = estimate("trimmed", rows, **({} if trim == 0.2 else {"trim": trim})), yuen_test(*arms(rows), trim=trim)
        assert (found.effect, found.p_value) == pytest.approx((own.effect, own.p_value), rel=1e-9)
        assert found.method == "yuen_t"


def test_mann_whitney_estimates_the_shift():
    rows = table()
    found, own = estimate("mann_whitney", rows), hodges_lehmann_test(*arms(rows))
    assert (found.effect, found.p_value, found.interval.low) == pytest.approx((own.effect, own.p_value, own.interval.low), rel=1e-9)
    assert (found.method, found.interval_method) == ("mann_whitney", "hodges_lehmann")


def test_a_quantile_is_compared_by_its_order_statistics():
    rows = table()
    found = estimate("quantile", rows)
    assert found.effect == pytest.approx(quantile_difference(*arms(rows), 0.6).effect[0], rel=1e-12)
    assert (found.method, found.interval_method) == ("quantile_difference", "order_statistics")
    assert found.notes == ()
    tied = estimate("quantile", [row | {"spend": float(round(row["spend"] / 10))} for row in rows])
    assert tied.notes == ("tied_quantile",)


def test_student_pools_the_variances():
    rows = table()
    control, treatment = arms(rows)
    found = estimate("student", rows)
    wanted = stats.ttest_ind(treatment, control)
    assert (found.p_value, found.df) == pytest.approx((wanted.pvalue, wanted.df), rel=1e-9)
    assert found.method == "student_t"


def test_permutation_and_bootstrap_agree_with_welch_where_it_is_right():
    """Means of gamma values in arms of 120: p-values of the three within Monte-Carlo error of each other."""
    rows = table(effect=1.5)
    welch = estimate("welch", rows)
    for test in ("permutation", "bootstrap"):
        found = estimate(test, rows)
        assert (found.effect, found.control) == pytest.approx((welch.effect, welch.control), rel=1e-9)
        assert found.p_value == pytest.approx(welch.p_value, abs=0.02)
        assert found.interval.low == pytest.approx(welch.interval.low, abs=0.15)
    assert estimate("bootstrap", rows).std_error == pytest.approx(welch.std_error, rel=0.05)
    assert estimate("bootstrap", rows).lift_interval.low == pytest.approx(welch.lift_interval.low, abs=0.02)
    assert estimate("permutation", rows).lift_interval is None


def test_a_bootstrap_may_be_adjusted_by_a_covariate():
    rows = table()
    plain, cuped = estimate("bootstrap", rows), estimate("bootstrap", rows, covariate="before")
    welch = estimate("welch", rows, covariate="before")
    assert (cuped.effect, cuped.theta, cuped.variance_reduction) == pytest.approx((welch.effect, welch.theta, welch.variance_reduction))
    assert cuped.std_error < 0.8 * plain.std_error
    assert cuped.std_error == pytest.approx(welch.std_error, rel=0.06)
    assert cuped.method == "bootstrap_cuped_difference"


@pytest.mark.parametrize("test", ["delta", "bootstrap", "permutation"])
def test_a_ratio_is_compared_by_each_of_its_tests(test):
    ratio = {"key": "m", "kind": "ratio", "numerator": "clicks", "denominator": "views", "role": "primary"}
    rows = [row | {"clicks": row["clicks"] + (row["arm"] == "treatment" and i % 3 == 0)} for i, row in enumerate(table())]
    found, delta = (evaluated(design(ratio | {"test": name}), rows).comparison("m").estimate for name in (test, "delta"))
    assert (found.effect, found.control) == pytest.approx((delta.effect, delta.control), rel=1e-12)
    assert (found.interval.low, found.interval.high) == pytest.approx((delta.interval.low, delta.interval.high), abs=0.15 * delta.std_error)
    assert found.method == {"delta": "ratio_delta", "bootstrap": "bootstrap_ratio_difference", "permutation": "permutation_ratio"}[test]


@pytest.mark.parametrize("test", OF_UNITS)
def test_the_same_data_gives_the_same_bytes_whatever_its_order(test):
    """G-15: draws come from the names of experiment, metric and treatment alone."""
    spec, rows = design(metric(test)), table()
    one, other = evaluated(spec, rows), evaluated(spec, rows[::-1])
    assert one.comparison("m") == other.comparison("m")


def test_another_experiment_draws_otherwise():
    spec, other = design(metric("bootstrap")), design(metric("bootstrap"), key="autumn")
    rows = table()
    assert evaluated(spec, rows).comparison("m").estimate.p_value != evaluated(other, rows).comparison("m").estimate.std_error
    assert rowwise.seed_of("a", "b") != rowwise.seed_of("ab", "")
    assert evaluated(spec, rows).comparison("m").estimate.interval != evaluated(other, rows).comparison("m").estimate.interval


@given(st.sampled_from(OF_UNITS), st.integers(0, 1_000), st.sampled_from([0.0, 1.2, 2.5]), st.sampled_from(["two-sided", "one-sided"]))
@settings(max_examples=25, deadline=None)
def test_p_value_and_interval_agree(test, seed, effect, alternative):
    """Property: below alpha exactly when the interval leaves 0 out."""
    found = estimate(test, table(80, effect=effect, seed=seed), plan={"alternative": alternative})
    assert (found.p_value < 0.05) == found.interval.excludes(0.0)


def test_corrected_intervals_agree_with_corrected_p_values():
    """DESIGN 5: after Benjamini-Hochberg over tests of all kinds each interval stands at its own level."""
    names = ("welch", *OF_UNITS)
    metrics = [metric(test, key=f"m_{test}", role="secondary") for test in names]
    lead = {"key": "clicks", "kind": "count", "role": "primary"}
    card = evaluated(design(lead, *metrics, plan={"secondary_correction": "benjamini-hochberg"}), table(effect=2.2))
    levels = set()
    for test in names:
        found = card.comparison(f"m_{test}").estimate
        levels.add(found.alpha)
        assert found.correction == "benjamini-hochberg"
        assert (found.p_adjusted < 0.05) == found.interval.excludes(0.0), test
    assert min(levels) < 0.04


@pytest.mark.parametrize("test", [*(test for test in OF_UNITS if test not in {"log", "log1p"}), "student"])
def test_a_margin_of_non_inferiority_is_what_is_tested(test):
    """The p-value is that of the margin: close to 1/2 one-sided where the effect is the margin itself."""
    rows = table(effect=0.0)
    at = estimate(test, rows).effect
    margin = abs(at) if at < 0 else 1.0
    shifted = [row | {"spend": row["spend"] - (at + margin) * (row["arm"] == "treatment")} for row in rows]
    found = estimate(test, shifted, plan={"objective": "non_inferiority", "alternative": "one-sided"}, margin=margin)
    assert found.margin == -margin
    assert found.p_value == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("test", OF_UNITS)
def test_a_guardrail_of_any_test_is_read(test):
    """Its own value has an interval, so that a limit can be passed surely; the harm is turned by the direction."""
    lead = {"key": "clicks", "kind": "count", "role": "primary"}
    guard = metric(test, role="guardrail", direction="decrease", max_value=1_000.0)
    passes = evaluated(design(lead, guard), table()).comparison("m").guardrail
    beyond = evaluated(design(lead, guard | {"max_value": 1.0}), table()).comparison("m").guardrail
    assert (passes.status, beyond.status) == ("PASS", "ALERT")


@pytest.mark.parametrize("test", OF_UNITS)
def test_the_interval_of_the_treatments_own_value_holds_it(test):
    spec = design(metric(test))
    rows = table()
    needs = build_metrics(spec)
    read = read_rows({"t": rows}, spec.data, [needs[0].needs], ["control", "treatment"])
    task = rowwise.make_task(
        needs[0], "treatment", read.arms, experiment="x", control="control", alternative="two-sided", margin=0.0, alpha=0.05
    )
    interval = own_values.treatment_intervals([task])["m", "treatment"]
    found = rowwise.compare_units([task])[0].found
    assert interval.low < found.treatment < interval.high
    assert interval.high - interval.low < 10.0
    assert bool(own_values.control_sds([task])) == (test in {"permutation", "bootstrap"})


def test_what_units_cannot_give_is_unavailable_with_its_reason(monkeypatch):
    few = [row for row in table() if row["id"] < 9]
    assert evaluated(design(metric("quantile")), few).comparison("m").unavailable.code == "too_few_units"
    flat = [row | {"spend": 4.0} for row in table()]
    for test in (*ROWS_TESTS, "bootstrap", "quantile"):
        assert evaluated(design(metric(test)), flat).comparison("m").unavailable.code == "no_variance", test
    huge = [row | {"spend": (1e-300 if row["arm"] == "control" else 1e150) * (1 + i % 5)} for i, row in enumerate(table())]
    assert evaluated(design(metric("log")), huge).comparison("m").unavailable.code == "not_finite"
    tiny = evaluated(design(metric("bootstrap"), plan={"alpha": 1e-4}), table()).comparison("m")
    assert tiny.unavailable.code == "too_few_draws"
    four = table(4)
    assert evaluated(design(metric("permutation")), four).comparison("m").unavailable.code == "too_few_assignments"
    monkeypatch.setattr(rowwise, "MOST_PERMUTED", 100)
    many = evaluated(design(metric("permutation")), table()).comparison("m").unavailable
    assert many.code == "too_many_units"
    assert "bootstrap" in many.reason


def test_one_bucket_in_either_arm_is_no_bootstrap():
    for arm in ("control", "treatment"):
        rows = table(60)
        kept = [row for row in rows if row["arm"] != arm] + [row for row in rows if row["arm"] == arm][:1]
        found = evaluated(design(metric("bootstrap")), kept).comparison("m")
        assert found.unavailable.code == "too_few_units"
        median = evaluated(design(metric("quantile")), kept).comparison("m")
        assert median.unavailable.code == "too_few_units"


def test_a_bootstrapped_lift_needs_a_control_that_is_no_zero():
    """Values about 0: the effect stands, the lift is not given; a resample whose control is 0 leaves no interval."""
    rows = [row | {"spend": row["spend"] - 100.0} for row in table()]
    assert estimate("bootstrap", rows).lift is None
    rows = [row | {"spend": float(row["id"] % 5 == 0)} for row in table(200)]
    twice = [row["id"] for row in rows if row["arm"] == "control" and row["spend"]][2:]
    rare = evaluated(design(metric("bootstrap")), [row | {"spend": 0.0} if row["id"] in twice else row for row in rows]).comparison("m")
    assert rare.estimate.lift > 0
    assert (rare.estimate.lift_interval, rare.estimate.lift_method) == (None, None)


def test_a_ratio_whose_denominator_may_vanish_in_a_resample_is_unavailable():
    ratio = {"key": "m", "kind": "ratio", "numerator": "clicks", "denominator": "views", "role": "primary", "test": "bootstrap"}
    rows = table(100)
    seen = [row["id"] for row in rows if row["arm"] == "control"][:2]
    few = [row | {"views": int(row["arm"] == "treatment" or row["id"] in seen)} for row in rows]
    assert evaluated(design(ratio), few).comparison("m").unavailable.code == "not_finite"
    none = [row | {"views": int(row["arm"] == "treatment")} for row in rows]
    assert evaluated(design(ratio), none).comparison("m").unavailable.code == "zero_denominator"


@pytest.mark.parametrize("test", OF_UNITS)
def test_a_reading_without_what_the_test_reads_is_an_error(test):
    """Moments alone, of a simulation or an older reading, never stand in for units."""
    moments = values(np.arange(20.0))
    card = reading({"control": {"m": moments}, "treatment": {"m": moments}})
    with pytest.raises(UsageError, match="reading holds none"):
        evaluate(design(metric(test)), card)
    family = build_metrics(design(metric(test)))[0].family
    with pytest.raises(UsageError, match="moments of 1 and 1"):
        family.contrast([moments], [moments])


def test_a_task_needs_a_metric_of_units_in_both_arms():
    spec = design(metric("log"), metric("welch", key="w", role="secondary"))
    card = reading({"control": {"m": values(np.arange(5.0))}, "treatment": {"m": Unavailable(code="no_units", reason="None.")}})
    options = {"experiment": "x", "control": "control", "alternative": "two-sided", "margin": 0.0, "alpha": 0.05}
    for one in build_metrics(spec):
        with pytest.raises(UsageError, match="no comparison of units"):
            rowwise.make_task(one, "treatment", card.arms, **options)


def test_effects_that_do_not_add_up_have_no_total():
    """Incremental outcomes are differences of means times units, and nothing else."""
    totals = {test: evaluated(design(metric(test)), table()).incremental for test in ("welch", "student", *OF_UNITS)}
    assert {test for test, total in totals.items() if total} == {"welch", "student", "permutation", "bootstrap"}


def test_a_quantile_cannot_be_sized_by_formula():
    found = plan_experiment(design(metric("quantile"), plan={"mde": 0.1, "baseline": 30.0, "baseline_sd": 8.0}))
    assert found.code == "no_formula"


def test_reports_say_what_the_change_is_a_change_of():
    """A ratio of geometric means is shown in percent, and the note says so."""
    shown = view(evaluated(design(metric("log")), table()))
    row = shown.groups[0].metrics[0].rows[0]
    assert row.change.endswith("%")
    assert not row.control_value.endswith("%")
    assert "geometric mean" in row.notes[0]
    assert "%" in shown.hero.sentence
    shift = view(evaluated(design(metric("mann_whitney")), table())).groups[0].metrics[0].rows[0]
    assert "this test gives none" in shift.mark_missing


@pytest.mark.parametrize("method", ["group_sequential", "always_valid", "hybrid", "bayesian"])
@pytest.mark.parametrize("test", OF_UNITS)
def test_a_test_of_one_look_is_refused_in_a_plan_of_several(test, method):
    """Issue 3: impossible combinations are refused with the rule, what came and what to do."""
    with pytest.raises(SpecError, match=f"made for one look and plan.method is '{method}'; use method fixed, or"):
        design(metric(test), plan={"method": method})


def test_several_covariates_are_used_together_in_the_evaluation():
    rng = np.random.default_rng(3)
    rows = [row | {"other": float(row["spend"] - row["before"] + rng.normal())} for row in table()]
    one, two = (estimate("welch", rows, covariate=covariate) for covariate in ("before", ["before", "other"]))
    assert two.std_error < one.std_error
    assert (two.theta, two.method) == (None, "cuped_welch_t")
    assert two.variance_reduction > one.variance_reduction
    same = evaluated(design(metric("welch", covariate=["before", "twice"])), [row | {"twice": 2 * row["before"]} for row in rows])
    assert same.comparison("m").unavailable.code == "collinear"
    looking = design(metric("welch", covariate=["before", "other"]), plan={"method": "always_valid", "mde": 0.1})
    many = [row | {"other": float(row["spend"] - row["before"] + rng.normal())} for row in table(440)]
    at_once = estimate("welch", many, covariate=["before", "other"])
    assert evaluated(looking, many).comparison("m").estimate.effect == pytest.approx(at_once.effect)


def test_post_stratified_data_is_compared_within_strata():
    rng = np.random.default_rng(8)
    rows = [row | {"country": "it" if rng.random() < 0.4 else "de"} for row in table()]
    rows = [row | {"spend": row["spend"] + 40.0 * (row["country"] == "it"), "bought": int(row["country"] == "it")} for row in rows]
    data = {"source": "memory", "unit": "id", "strata": ["country"], "adjust": "post_stratify"}
    without = data | {"strata": [], "adjust": "none"}
    plain, adjusted = (evaluated(design(metric("welch"), data=one), rows).comparison("m").estimate for one in (without, data))
    assert adjusted.std_error < 0.7 * plain.std_error
    assert adjusted.method == "post_stratified_welch_t"
    parts = [
        [np.mean([r["spend"] for r in rows if r["arm"] == a and r["country"] == c]) for c in ("de", "it")] for a in ("control", "treatment")
    ]
    share = np.array([sum(r["country"] == c for r in rows) for c in ("de", "it")]) / len(rows)
    assert adjusted.effect == pytest.approx(float(share @ (np.array(parts[1]) - parts[0])), rel=1e-9)
    rates = design({"key": "clicked", "column": "views", "kind": "proportion", "role": "primary"}, data=data)
    clicked = [row | {"views": int(row["views"] > 4)} for row in rows]
    assert evaluated(rates, clicked).comparison("clicked").estimate.method == "post_stratified_welch_t"
    thin = [row for row in rows if row["country"] == "de" or row["arm"] == "control"]
    assert evaluated(design(metric("welch"), data=data), thin).comparison("m").unavailable.code == "thin_stratum"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("test", "runs"), [("bootstrap", 150), ("permutation", 250), ("quantile", 1_000), ("trimmed", 1_000), ("log", 1_000)]
)
def test_its_size_is_what_it_promises(test, runs, monkeypatch):
    """Calibration: skewed values without effect; false alarms within an exact 99.9% binomial bound of 5%."""
    monkeypatch.setattr(rowwise, "RESAMPLES", 999)
    spec, rng = design(metric(test)), np.random.default_rng(5)
    built = build_metrics(spec)[0]
    alarms = 0
    for run in range(runs):
        rows = [{"id": i, "arm": ("control", "treatment")[i % 2], "spend": float(v)} for i, v in enumerate(rng.gamma(2.0, 3.0, 100))]
        read = read_rows({"t": rows}, spec.data, [built.needs], ["control", "treatment"])
        options = {"experiment": str(run), "control": "control", "alternative": "two-sided", "margin": 0.0, "alpha": 0.05}
        alarms += rowwise.compare_units([rowwise.make_task(built, "treatment", read.arms, **options)])[0].p_value < 0.05
    assert alarms <= stats.binom.ppf(0.9995, runs, 0.05)
