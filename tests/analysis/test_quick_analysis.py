"""XC-20 to XC-23, XC-47: one call, the documented shape, the golden analysis of Part V."""

import datetime as dt
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from fairtrial.analysis import (
    StatisticalResult,
    analyze_subgroups,
    create_experiment_data,
    quick_analysis,
    quick_ttest,
    run_quick_analysis,
)
from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.spec import ExperimentConfigClient, parse_spec
from fairtrial.spec.access import ExperimentConfigError
from fairtrial.spec.business import BusinessSpec

NAME = "free_shipping_threshold_test_v1_1_1"


def values_with(n, mean, sd):
    x = np.arange(n, dtype=float)
    x = (x - x.mean()) / x.std(ddof=1)
    return mean + sd * x


@pytest.fixture(scope="module")
def frame():
    """The golden analysis: 578 and 577 users of given mean and spread, 405 and 410 of them active."""
    return pd.DataFrame(
        {
            "unit": [f"u{i}" for i in range(1155)],
            "arm": ["control"] * 578 + ["treatment"] * 577,
            "orders_per_eligible_user": np.r_[values_with(578, 1.00692, 0.1017), values_with(577, 1.18198, 0.4524)],
            "active_user_rate": [1] * 405 + [0] * 173 + [1] * 410 + [0] * 167,
        }
    )


@pytest.fixture(scope="module")
def results(frame):
    return run_quick_analysis(NAME, data=frame, reference_date="2024-09-03")


def test_the_documented_expressions_work_on_the_golden_analysis(results):
    """XC-20, V.b."""
    assert results["recommendation"]["decision"] == "LAUNCH"
    assert results["recommendation"]["confidence"] == "MEDIUM-HIGH"
    assert results["recommendation"]["risk_level"] == "medium"
    sizes = results["statistical_results"]["effect_sizes"]
    assert sizes["relative_lift_percent"] == pytest.approx(17.385691, abs=1e-6)
    assert sizes["cohens_d"] == pytest.approx(0.534127, abs=1e-6)
    assert sizes["hedges_g"] == pytest.approx(0.533779, abs=1e-6)
    assert sizes["glass_delta"] == pytest.approx(1.721337, abs=1e-6)
    assert sizes["pooled_std"] == pytest.approx(0.32775, abs=1e-5)
    welch = results["statistical_results"]["significance_tests"]["welch_ttest"]
    assert welch.p_value == pytest.approx(1.488e-18, rel=1e-3)
    assert (welch.statistic, welch.df) == (pytest.approx(9.069116, abs=1e-6), pytest.approx(633.971453, abs=1e-4))
    student = results["statistical_results"]["significance_tests"]["student_ttest"]
    assert student.statistic == pytest.approx(9.076221, abs=1e-6)
    assert student.p_value == pytest.approx(4.741e-19, rel=1e-3)
    intervals = results["statistical_results"]["confidence_intervals"]
    assert intervals["absolute_difference_ci"] == pytest.approx([0.137155, 0.212965], abs=1e-6)
    assert intervals["relative_lift_ci"] == pytest.approx([0.135945, 0.211769], abs=1e-6)
    assert intervals["bootstrap_ci"] == pytest.approx([0.137155, 0.212965], abs=0.003)
    assert results["statistical_results"]["metadata"]["total_sample_size"] == 1155
    assert results["statistical_results"]["metadata"]["imbalance_factor"] == pytest.approx(1.001733, abs=1e-6)
    guardrails = results["secondary_metrics_analysis"]["guardrail_results"]
    assert guardrails["_overall"]["status"] == "PASS"
    active = guardrails["active_user_rate"]
    assert active["effect"] == pytest.approx(0.0141, abs=1e-4)
    assert (active["ci_low"], active["ci_high"]) == (pytest.approx(-0.058708, abs=1e-6), pytest.approx(0.09254, abs=1e-5))
    assert (active["threshold"], active["non_inferior"]) == (-0.02, False)
    assert results["experiment_info"]["secondary_metrics"] == ["active_user_rate"]


def test_power_is_that_of_the_plan_and_the_detectable_effect_that_of_the_units(results):
    """V.b: MDE at 578/577, 80%: d .1649, .0540 absolute; never power at the observed effect."""
    power = results["statistical_results"]["power_analysis"]
    assert power["mde_at_80_d"] == pytest.approx(0.1649, abs=1e-4)
    assert power["mde_at_80"] == pytest.approx(0.0540, abs=1e-4)
    assert power["power_at_planned_mde"] == results.scorecard.plan.power_at_mde


def test_tests_agree_with_scipy(frame, results):
    """XC-22."""
    own, other = (frame.loc[frame.arm == arm, "orders_per_eligible_user"] for arm in ("control", "treatment"))
    tests = results["statistical_results"]["significance_tests"]
    ranks = scipy_stats.mannwhitneyu(other, own, alternative="two-sided", method="asymptotic")
    assert tests["mann_whitney"].statistic == ranks.statistic
    assert tests["mann_whitney"].p_value == pytest.approx(ranks.pvalue, rel=1e-9)
    trimmed = scipy_stats.ttest_ind(other, own, equal_var=False, trim=0.2)
    sensitivity = results["statistical_results"]["sensitivity_analysis"]
    assert sensitivity["trimmed_mean_ci"] == pytest.approx(list(trimmed.confidence_interval(0.95)), rel=1e-9)
    assert sensitivity["same_sign"] is True


def test_the_same_call_gives_the_same_json(frame, results):
    again = run_quick_analysis(NAME, data=frame, reference_date=dt.date(2024, 9, 3))
    assert again.to_json() == results.to_json()
    read = json.loads(results.to_json())
    assert read["statistical_results"]["significance_tests"]["welch_ttest"]["test_name"] == "welch_ttest"
    assert "NaN" not in results.to_json()


def test_a_file_gives_what_the_frame_gives(tmp_path, frame, results):
    frame.to_parquet(tmp_path / "units.parquet")
    made = run_quick_analysis(NAME, source=str(tmp_path / "units.parquet"), reference_date="2024-09-03")
    assert made["statistical_results"] == results["statistical_results"]
    assert made["recommendation"] == results["recommendation"]


def test_checks_name_what_they_saw(results):
    """XC-47."""
    checks = {check.name: check for check in results.quality.checks}
    assert checks["one_variant_per_unit"].status == "pass"
    assert checks["future_dates"].status == "not_checked"
    assert checks["verdict_agrees_with_interval"].status == "pass"


SPEND = {
    "key": "spend",
    "arms": {"control": 0.5, "treatment": 0.5},
    "metrics": [{"key": "spend", "kind": "mean", "missing": "drop"}],
    "plan": {"sample_size": 2000},
}


@pytest.mark.parametrize(("gone", "status"), [(0, "pass"), (60, "pass"), (100, "warn"), (180, "warn"), (200, "fail"), (600, "fail")])
def test_missing_values_warn_from_5_and_fail_from_10_percent(gone, status):
    """XC-47."""
    rng = np.random.default_rng(5)
    frame = pd.DataFrame({"unit": range(2000), "arm": ["control", "treatment"] * 1000, "spend": rng.normal(5, 1, 2000)})
    frame.loc[: gone - 1, "spend"] = np.nan
    made = quick_analysis(parse_spec(SPEND), data=frame)
    assert {check.name: check.status for check in made.quality.checks}["missing_values"] == status


def test_units_in_two_arms_and_unknown_arms_are_named():
    """XC-47."""
    rng = np.random.default_rng(5)
    frame = pd.DataFrame({"unit": range(2000), "arm": ["control", "treatment"] * 1000, "spend": rng.normal(5, 1, 2000)})
    frame.loc[3, "arm"] = "blue"
    spoilt = pd.concat([frame, frame.iloc[[10, 12, 14]].assign(arm="treatment")])
    made = quick_analysis(parse_spec(SPEND), data=spoilt)
    checks = {check.name: check.status for check in made.quality.checks}
    assert checks["allowed_variants"] == "warn"
    assert checks["one_variant_per_unit"] == "fail"
    assert made["quality_checks"]["status"] == "fail"
    assert made["recommendation"]["state"] == "invalid"


def test_a_read_below_the_planned_size_is_early(frame):
    """XC-47: flagged, and the verdict follows the table."""
    few = frame.iloc[list(range(100)) + list(range(600, 700))]
    made = run_quick_analysis(NAME, data=few, reference_date="2024-09-03")
    assert made.quality.early is True
    late = run_quick_analysis(NAME, data=frame, reference_date="2024-09-03")
    assert late.quality.early is False


RATIO = {
    "key": "clicks",
    "arms": {"control": 0.5, "treatment": 0.5},
    "metrics": [{"key": "ctr", "kind": "ratio", "numerator": "clicks", "denominator": "views"}],
    "plan": {"baseline": 0.1, "mde": 0.1, "sample_size": 400},
}


def test_what_a_ratio_has_no_answer_to_is_null_with_its_reason():
    rng = np.random.default_rng(3)
    views = rng.poisson(9, 400) + 1
    frame = pd.DataFrame({"unit": range(400), "arm": ["control", "treatment"] * 200, "views": views, "clicks": rng.binomial(views, 0.1)})
    made = quick_analysis(parse_spec(RATIO), data=frame)
    tests = made["statistical_results"]["significance_tests"]
    assert tests["mann_whitney"]["unavailable"]["code"] == "no_unit_values"
    assert made["statistical_results"]["effect_sizes"]["cohens_d"] is None
    assert made["statistical_results"]["effect_sizes"]["unavailable"]["code"] == "no_unit_values"
    assert made["recommendation"]["decision"] is not None


def test_without_data_nothing_is_made_up():
    with pytest.raises(UsageError, match="names no data"):
        run_quick_analysis(NAME)
    with pytest.raises(ExperimentConfigError, match="not found"):
        run_quick_analysis("nonexistent_experiment")
    with pytest.raises(UsageError, match="YYYY-MM-DD"):
        run_quick_analysis(NAME, reference_date="yesterday")
    with pytest.raises(UsageError, match="both were given"):
        run_quick_analysis(NAME, data=pd.DataFrame(), source="x.parquet")


def test_constant_values_leave_nulls_and_reasons(frame):
    still = frame.assign(orders_per_eligible_user=1.0)
    made = run_quick_analysis(NAME, data=still, reference_date="2024-09-03")
    assert made["statistical_results"]["significance_tests"]["welch_ttest"]["unavailable"]["code"] == "no_variance"
    assert made["recommendation"]["decision"] == "EXTEND_TEST"
    json.loads(made.to_json())


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30, unique=True),
    st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30, unique=True),
)
def test_quick_ttest_is_scipys(own, other):
    """XC-23."""
    found = quick_ttest(own, other)
    expected = scipy_stats.ttest_ind(other, own, equal_var=False)
    assert isinstance(found, StatisticalResult)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)
    assert found.significant == (found.p_value < 0.05)


def test_a_result_is_made_by_place_too():
    """XC-23: the documented order of fields."""
    made = StatisticalResult("welch_ttest", 2.0, 0.04, True, "t-test", 0.05)
    assert (made.test_name, made.statistic, made.p_value, made.significant, made.method_notes, made.significance_level) == (
        "welch_ttest",
        2.0,
        0.04,
        True,
        "t-test",
        0.05,
    )


def test_values_are_checked():
    with pytest.raises(NotEnoughDataError):
        create_experiment_data([1.0], [1.0, 2.0])
    with pytest.raises(DataError):
        create_experiment_data([1.0, float("nan")], [1.0, 2.0])
    assert quick_ttest([1, 2, 3], [2, 3, 5], equal_variances=True).test_name == "student_ttest"


def test_subgroups_below_ten_are_not_estimated():
    """XC-23."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"arm": ["control", "treatment"] * 120, "country": ["NL"] * 224 + ["LU"] * 16, "spend": rng.normal(5, 1, 240)})
    found = analyze_subgroups(frame, metric="spend", by="country")
    levels = {level.level: level for row in found.segments.comparisons for level in row.levels}
    assert levels["NL"].estimate is not None
    assert levels["LU"].estimate is None
    assert levels["LU"].unavailable is not None


def test_a_result_is_written_to_the_warehouse(frame, tmp_path, monkeypatch):
    """XC-20: to FAIRTRIAL_WAREHOUSE, else to a file in the working directory."""
    monkeypatch.chdir(tmp_path)
    made = run_quick_analysis(NAME, True, data=frame, reference_date="2024-09-03")
    assert (tmp_path / "fairtrial_results.duckdb").exists()
    monkeypatch.setenv("FAIRTRIAL_WAREHOUSE", f"sqlite:///{tmp_path}/mine.sqlite")
    old = run_quick_analysis(NAME, write_to_warehouse=True, use_legacy_schema=True, data=frame, reference_date="2024-09-03")
    assert old["warehouse"]["tables"] == ["int_experiment_results"]
    assert made["warehouse"]["analysis_id"] == old["warehouse"]["analysis_id"] == f"{NAME}_20240904T000000Z"
    json.loads(old.to_json())


def test_what_the_effect_is_worth_stands_in_the_recommendation(frame):
    """XC-35: with an interval, and null where the spec does not say what turns it into money."""
    spec = ExperimentConfigClient().get_experiment_spec(NAME)
    assert quick_analysis(spec, data=frame)["recommendation"]["expected_impact"] is None
    worth = spec.model_copy(update={"business": BusinessSpec(eligible_units_per_day=100, value_per_unit=10, currency="USD")})
    found = quick_analysis(worth, data=frame).to_dict()["recommendation"]["expected_impact"]
    assert found["gain"]["value"] == pytest.approx(0.17506 * 100 * 365 * 10, rel=1e-6)
    assert found["gain"]["interval"]["low"] == pytest.approx(0.137155 * 365_000, rel=1e-5)
