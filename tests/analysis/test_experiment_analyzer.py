"""The report of a champion against its challengers (ML-12 to ML-16, ML-24 to ML-32, IV.b, IV.c)."""

import datetime as dt
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from model_logs import CHALLENGER, CHAMPION, END, START, config, log
from scipy import stats

from fairtrial.analysis import ExperimentAnalyzer, ModelOptions
from fairtrial.errors import DataError, UnknownNameError, UsageError
from fairtrial.stats.power_proportions import calculate_sample_size, calculate_sample_size_by_arm
from fairtrial.stats.ranking import roc_auc

GUARDED = {"p95_latency_ms": (0, 200), "error_rate": (0, 0.01)}


def close(value: float) -> object:
    return pytest.approx(value, abs=1e-6)


def test_the_example_of_the_requirement_is_reported_figure_by_figure() -> None:
    """ML-12, ML-13, ML-15, ML-16, ML-24 and the example GET .../report: 14,250 of 95,000 against 825 of 5,000."""
    frame = log({CHAMPION: (95_000, 14_250), CHALLENGER: (5_000, 825)}).sample(frac=1, random_state=1)
    rng = np.random.default_rng(3)
    frame["latency_ms"] = rng.gamma(4, 22, len(frame))
    analyzer = ExperimentAnalyzer(config(min_sample_size=4_802, guardrail_metrics=GUARDED))
    report = analyzer.generate_report(frame, start_date=START, end_date=END)
    head = ("experiment_name", "duration_days", "total_samples", "champion_samples", "challenger_samples", "decision", "verdict", "state")
    assert {key: report[key] for key in head} == {
        "experiment_name": "fraud_model_v2_test",
        "duration_days": 14,
        "total_samples": 100_000,
        "champion_samples": 95_000,
        "challenger_samples": 5_000,
        "decision": "ROLLOUT_CHALLENGER",
        "verdict": "LAUNCH",
        "state": "valid",
    }
    primary = report["primary_metric"]
    assert (primary["name"], primary["significant"]) == ("conversion_rate", True)
    assert [primary[key] for key in ("champion", "challenger", "absolute_lift", "relative_lift")] == [
        close(0.15), close(0.165), close(0.015), close(0.1),
    ]  # fmt: skip
    assert primary["confidence_interval"] == [close(0.004709), close(0.02578)]
    assert primary["relative_confidence_interval"] == [close(0.031635), close(0.172895)]
    assert (primary["statistic"], primary["p_value"]) == (close(2.889293), close(0.003861))
    assert report["reason"] == "Challenger significantly better (p=0.0039, lift=10.00%)"
    assert report["planned"] == {CHAMPION: 91_233, CHALLENGER: 4_802}
    assert report["srm"] == {"chi_square": 0.0, "p_value": 1.0, "status": "ok"}
    assert {"champion": 1.0, "challenger": 1.0}.items() <= report["label_coverage"].items()
    assert report["rollout_plan"] == {
        "decision": "gradual_rollout",
        "reason": "Moderate improvement (10.0% lift)",
        "next_steps": ["Week 1: Increase to 25% traffic", "Week 2: Increase to 50% traffic", "Week 3: Increase to 100% if stable"],
        "risk_level": "medium",
        "unchecked": [],
    }
    assert report["guardrails"]["_overall"]["status"] == "PASS"
    json.dumps(report, allow_nan=False)
    metrics = analyzer.calculate_metrics(frame)
    assert metrics[CHALLENGER] == {"n_samples": 5_000, "n_users": 5_000, "primary_metric": close(0.165), "secondary_metrics": {}}


def test_the_order_of_rows_and_of_models_does_not_matter() -> None:
    """IV.c: nothing is read from an order."""
    frame = log({CHAMPION: (4_000, 600), CHALLENGER: (4_000, 700)})
    analyzer = ExperimentAnalyzer(config(share=0.5))
    turned = ExperimentAnalyzer(config(traffic_allocation={CHALLENGER: 0.5, CHAMPION: 0.5}))
    reports = [analyzer.generate_report(frame), analyzer.generate_report(frame.iloc[::-1]), turned.generate_report(frame)]
    assert reports[0]["primary_metric"] == reports[1]["primary_metric"] == reports[2]["primary_metric"]


@pytest.mark.parametrize(
    ("ones", "decision", "reason", "verdict"),
    [
        (600, "INCONCLUSIVE", "No significant difference (p=1.0000)", "NO_LAUNCH"),
        (480, "KEEP_CHAMPION", "Champion significantly better (p=0.0001)", "ROLLBACK"),
        (720, "ROLLOUT_CHALLENGER", "Challenger significantly better (p=0.0003, lift=20.00%)", "LAUNCH"),
    ],
)
def test_a_decision_says_which_model_is_better(ones: int, decision: str, reason: str, verdict: str) -> None:
    """ML-16, by the one verdict of V.b; 600 of 4,000 against 480, 600 and 720 of 4,000, 14 days."""
    p_value = stats.chi2_contingency([[600, 3_400], [ones, 4_000 - ones]], correction=False)[1]
    report = ExperimentAnalyzer(config(share=0.5)).generate_report(log({CHAMPION: (4_000, 600), CHALLENGER: (4_000, ones)}))
    assert report["primary_metric"]["p_value"] == pytest.approx(p_value, rel=1e-9)
    assert (report["decision"], report["reason"], report["verdict"]) == (decision, reason, verdict)


def test_before_the_plan_is_complete_a_difference_is_no_reason_to_roll_out() -> None:
    """ML-21, IV.b: the plan needs its size, its days and every arm."""
    frame = log({CHAMPION: (4_000, 600), CHALLENGER: (4_000, 720)})
    early = ExperimentAnalyzer(config(share=0.5, max_duration_days=28)).generate_report(frame, end_date=START + dt.timedelta(days=10))
    assert (early["decision"], early["verdict"], early["rollout_plan"]["decision"]) == ("INCONCLUSIVE", "EXTEND_TEST", "extend_test")
    assert early["reason"].startswith("Difference seen before the plan is complete")
    thin = ExperimentAnalyzer(config(share=0.5, min_sample_size=4_100, max_duration_days=28)).generate_report(frame)
    assert thin["verdict"] == "EXTEND_TEST"
    late = log({CHAMPION: (400, 60), CHALLENGER: (400, 60)})
    steps = ExperimentAnalyzer(config(share=0.5, max_duration_days=28)).generate_report(late, end_date=START + dt.timedelta(days=10))
    assert steps["rollout_plan"]["reason"] == "Not yet significant, need more data"
    wanted = calculate_sample_size(steps["primary_metric"]["champion"], 0.1)
    assert steps["rollout_plan"]["next_steps"][0] == f"Continue test until {wanted} challenger samples"


def test_a_metrics_type_and_direction_come_from_the_config() -> None:
    """ML-14, IV.c: not always a proportion, not always more is better."""
    rng = np.random.default_rng(5)
    frame = log({CHAMPION: (2_000, 100), CHALLENGER: (2_000, 100)})
    frame["latency_ms"] = rng.normal(100, 10, len(frame)) - np.where(frame["model_name"] == CHALLENGER, 8, 0)
    own = config("latency_ms", share=0.5, metric_types={"latency_ms": "continuous"}, directions={"latency_ms": "decrease"})
    analyzer = ExperimentAnalyzer(own)
    report = analyzer.generate_report(frame)
    arms = [frame.loc[frame["model_name"] == model, "latency_ms"] for model in (CHAMPION, CHALLENGER)]
    welch = stats.ttest_ind(arms[1], arms[0], equal_var=False)
    assert report["decision"] == "ROLLOUT_CHALLENGER"
    assert (report["primary_metric"]["method"], report["primary_metric"]["statistic"]) == ("welch_t", pytest.approx(welch.statistic))
    statistic, p_value, details = analyzer.test_statistical_significance(*arms)
    assert (statistic, p_value) == (pytest.approx(welch.statistic), pytest.approx(welch.pvalue))
    assert set(details) >= {"champion_mean", "challenger_mean", "absolute_difference", "relative_change", "confidence_interval"}
    with pytest.raises(ValueError, match=r"^Unknown metric_type: median"):
        analyzer.test_statistical_significance(*arms, metric_type="median")
    with pytest.raises(UsageError, match="0 or 1"):
        analyzer.test_statistical_significance(*arms, metric_type="proportion")
    with pytest.raises(UsageError, match="continuous"):
        ExperimentAnalyzer(config("latency_ms", share=0.5)).generate_report(frame)


def test_small_counts_have_fishers_p_value_and_the_score_interval() -> None:
    """ML-14, IV.b golden: 5/500 against 28/9500."""
    values = [np.repeat([1.0, 0.0], [ones, n - ones]) for ones, n in ((28, 9_500), (5, 500))]
    statistic, p_value, details = ExperimentAnalyzer(config()).test_statistical_significance(*values)
    assert statistic == close(2.680148)
    assert details["confidence_interval"] == (close(0.001179), close(0.020273))
    assert p_value == pytest.approx(stats.fisher_exact([[5, 495], [28, 9_472]])[1])
    assert details["notes"] == ["small_counts"]


def test_sizes_of_the_requirement() -> None:
    """ML-02, IV.b and IV.c: the plan is sized by the scarce arm."""
    assert calculate_sample_size(0.15, 0.10) == 9_257
    sizes = calculate_sample_size_by_arm(0.15, 0.10, allocation={CHAMPION: 0.95, CHALLENGER: 0.05})
    assert sizes == {CHAMPION: 91_233, CHALLENGER: 4_802}
    assert sum(sizes.values()) == 96_035
    assert [calculate_sample_size(base, 0.10) for base in (0.05, 0.15, 0.30, 0.50)] == [31_234, 9_257, 3_763, 1_565]
    assert [calculate_sample_size(base, 0.05) for base in (0.05, 0.15, 0.30, 0.50)] == [122_124, 36_310, 14_856, 6_275]


def test_a_baseline_asks_for_its_own_size_too() -> None:
    """IV.b: complete when every arm has the size that baseline and effect call for, and min_sample_size."""
    frame = log({CHAMPION: (4_000, 600), CHALLENGER: (4_000, 720)})
    wide = config(share=0.5, max_duration_days=28)
    assert ExperimentAnalyzer(wide).generate_report(frame)["verdict"] == "LAUNCH"
    report = ExperimentAnalyzer(wide, options=ModelOptions(baseline=0.15)).generate_report(frame)
    assert (report["verdict"], report["planned"]) == ("EXTEND_TEST", {CHAMPION: 9_257, CHALLENGER: 9_257})


def test_a_split_that_is_off_makes_the_report_invalid() -> None:
    """ML-24."""
    report = ExperimentAnalyzer(config(share=0.5)).generate_report(log({CHAMPION: (4_000, 600), CHALLENGER: (4_400, 800)}))
    assert (report["state"], report["verdict"], report["decision"], report["srm"]["status"]) == (
        "invalid",
        None,
        "INCONCLUSIVE",
        "mismatch",
    )
    assert (report["rollout_plan"]["decision"], report["rollout_plan"]["risk_level"]) == ("extend_test", "high")


def test_labels_that_come_unequally_make_the_report_invalid() -> None:
    """ML-26: coverage by arm; p < .001 is invalid, and the metric alone would have launched."""
    frame = log({CHAMPION: (4_000, 600), CHALLENGER: (4_000, 760)})
    hidden = frame[frame["model_name"] == CHALLENGER].index[:400]
    frame.loc[hidden, "outcome"] = np.nan
    report = ExperimentAnalyzer(config(share=0.5)).generate_report(frame)
    assert (report["state"], report["verdict"]) == ("invalid", None)
    assert report["label_coverage"]["challenger"] == close(0.9)
    assert [f["code"] for f in report["findings"] if f["severity"] == "critical"] == ["label_coverage_differs"]
    frame.loc[frame[frame["model_name"] == CHAMPION].index[:400], "outcome"] = np.nan
    even = ExperimentAnalyzer(config(share=0.5)).generate_report(frame)
    assert (even["state"], even["label_coverage"]["champion"]) == ("valid", close(0.9))
    assert even["primary_metric"]["n_champion"] == 3_600


def test_a_prediction_whose_label_may_still_come_does_not_count() -> None:
    """ML-26: with label_window_days, early labels of the last days are left out in both arms, and so are late ones."""
    frame = log({CHAMPION: (1_400, 210), CHALLENGER: (1_400, 210)})
    frame["labelled_at"] = frame["timestamp"] + pd.Timedelta(days=1)
    own = config(share=0.5, label_window_days=4)
    report = ExperimentAnalyzer(own).generate_report(frame, start_date=START, end_date=END)
    assert report["primary_metric"]["n_champion"] == 1_000
    assert report["label_coverage"]["champion"] == 1.0
    frame.loc[frame.index[:100], "labelled_at"] = frame["timestamp"] + pd.Timedelta(days=5)
    assert ExperimentAnalyzer(own).generate_report(frame, start_date=START, end_date=END)["primary_metric"]["n_champion"] == 900


def test_rates_of_labelled_cases_have_their_own_denominators() -> None:
    """ML-13, IV.b and IV.c: recall over positives, 45 false positives of 900 negatives are .05; prevalence is not detection."""
    outcome = np.repeat([1.0, 0.0], [100, 900])
    score = np.r_[np.repeat([0.9, 0.1], [80, 20]), np.repeat([0.7, 0.1], [45, 855])]
    arms = [
        log({model: (1_000, 0)}).assign(outcome=outcome, prediction=score, user_id=[f"{model}{i}" for i in range(1_000)])
        for model in (CHAMPION, CHALLENGER)
    ]
    frame = pd.concat(arms, ignore_index=True).assign(prediction_id=range(2_000))
    names = ["false_positive_rate", "precision", "accuracy", "prevalence", "specificity", "f1", "cost", "calibration", "flagged_rate"]
    own = config("fraud_detection_rate", share=0.5, secondary_metrics=names)
    found = ExperimentAnalyzer(own, options=ModelOptions(false_negative_cost=10.0)).calculate_metrics(frame)[CHAMPION]
    assert found["primary_metric"] == close(0.8)
    assert found["secondary_metrics"] == {
        "false_positive_rate": close(45 / 900),
        "precision": close(80 / 125),
        "accuracy": close(935 / 1_000),
        "prevalence": close(0.1),
        "specificity": close(855 / 900),
        "f1": close(160 / (160 + 45 + 20)),
        "cost": close((45 + 200) / 1_000),
        "calibration": close(100 / score.sum()),
        "flagged_rate": close(0.125),
    }
    report = ExperimentAnalyzer(own).generate_report(frame)
    assert (report["primary_metric"]["n_champion"], report["primary_metric"]["kind"]) == (100, "proportion")
    assert report["prevalence"] == {"champion": close(0.1), "challenger": close(0.1), "p_value": close(1.0)}
    assert report["state"] == "valid"
    # Recall of 80% is planned in positives, of whom one user in ten is one.
    assert report["planned"] == dict.fromkeys((CHAMPION, CHALLENGER), 10 * calculate_sample_size(0.8, 0.1))
    strict = ExperimentAnalyzer(own, options=ModelOptions(threshold=0.8)).calculate_metrics(frame)[CHAMPION]
    assert strict["secondary_metrics"]["false_positive_rate"] == 0.0


def test_unlike_arms_are_told_by_their_prevalence() -> None:
    """IV.b: outcome prevalence is an A/A check, where it is not the effect itself."""
    frame = log({CHAMPION: (4_000, 600), CHALLENGER: (4_000, 800)}).assign(prediction=lambda f: 0.9 * f["outcome"])
    report = ExperimentAnalyzer(config("recall", share=0.5)).generate_report(frame)
    assert "prevalence_differs" in [finding["code"] for finding in report["findings"]]
    effect = ExperimentAnalyzer(config(share=0.5)).generate_report(frame)
    assert "prevalence_differs" not in [finding["code"] for finding in effect["findings"]]


def several_a_user(users: int, effect: float, seed: int = 1, each: int = 8) -> pd.DataFrame:
    """Users whose predictions are alike: half of the variance lies between users."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 2 * each, users)
    user = np.repeat(np.arange(users), counts)
    treated = np.arange(users) % 2 == 1
    rate = np.clip(rng.beta(0.6, 2.4, users) + effect * treated, 0, 1)
    n = user.size
    return pd.DataFrame(
        {
            "prediction_id": np.arange(n),
            "user_id": user,
            "model_name": np.where(treated, CHALLENGER, CHAMPION)[user],
            "prediction": 0.5,
            "outcome": (rng.random(n) < rate[user]).astype(float),
            "timestamp": START + pd.to_timedelta(rng.integers(0, 14 * 86_400, n), unit="s"),
            "latency_ms": (rng.gamma(4, 20, users)[user] + rng.normal(0, 5, n)).clip(1),
            "error": rng.random(n) < 0.002,
        }
    )


def test_several_predictions_a_user_are_one_unit() -> None:
    """IV.b: ratio over users with the delta method; both n are reported."""
    frame = several_a_user(2_000, 0.05)
    report = ExperimentAnalyzer(config(share=0.5, guardrail_metrics=GUARDED)).generate_report(frame)
    sums = frame.groupby(["model_name", "user_id"])["outcome"].agg(["sum", "size"]).reset_index()
    rates, variances = [], []
    for model in (CHAMPION, CHALLENGER):
        own = sums[sums["model_name"] == model]
        rate = own["sum"].sum() / own["size"].sum()
        rates.append(rate)
        variances.append(np.var(own["sum"] - rate * own["size"], ddof=1) / len(own) / own["size"].mean() ** 2)
    primary = report["primary_metric"]
    assert (primary["kind"], primary["method"]) == ("ratio", "ratio_delta")
    assert primary["statistic"] == pytest.approx((rates[1] - rates[0]) / np.sqrt(sum(variances)), rel=1e-9)
    assert (report["champion_samples"], report["challenger_samples"]) == (1_000, 1_000)
    assert sum(report["predictions"].values()) == len(frame)
    naive = stats.norm.isf(0.025) * np.sqrt(sum(r * (1 - r) / (sums["size"].sum() / 2) for r in rates))
    assert primary["confidence_interval"][1] - primary["absolute_lift"] > 1.5 * naive
    latency = report["guardrails"]["p95_latency_ms"]
    assert latency["value"] == pytest.approx(np.quantile(frame.loc[frame["model_name"] == CHALLENGER, "latency_ms"], 0.95))


def test_two_challengers_are_never_pooled() -> None:
    """IV.b and IV.c: keyed by model, corrected, one verdict each; the better one speaks."""
    models = {CHAMPION: 0.5, "a": 0.25, "b": 0.25}
    own = config(challenger_models=["a", "b"], traffic_allocation=models)
    frame = log({CHAMPION: (8_000, 1_200), "a": (4_000, 480), "b": (4_000, 760)})
    report = ExperimentAnalyzer(own).generate_report(frame)
    assert (report["challenger_model"], report["decision"]) == ("b", "ROLLOUT_CHALLENGER")
    assert {name: one["decision"] for name, one in report["challengers"].items()} == {"a": "KEEP_CHAMPION", "b": "ROLLOUT_CHALLENGER"}
    assert {name: one["challenger_samples"] for name, one in report["challengers"].items()} == {"a": 4_000, "b": 4_000}
    assert report["primary_metric"]["correction"] == "holm"
    dunnett = ExperimentAnalyzer(own, options=ModelOptions(correction="dunnett")).generate_report(frame)
    assert dunnett["primary_metric"]["correction"] == "dunnett"
    assert dunnett["primary_metric"]["p_adjusted"] > dunnett["primary_metric"]["p_value"]
    with pytest.raises(UnknownNameError):
        ExperimentAnalyzer(own).generate_report(frame.drop(columns="model_name"))


def test_secondary_metrics_are_corrected_and_a_missing_guardrail_is_no_pass() -> None:
    """ML-29; a guardrail that the log cannot give is UNAVAILABLE."""
    frame = log({CHAMPION: (4_000, 600), CHALLENGER: (4_000, 720)}).drop(columns="error")
    own = config(share=0.5, secondary_metrics=["latency_ms", "timeout_rate", "flagged_rate"], guardrail_metrics={"error_rate": (0, 0.01)})
    rng = np.random.default_rng(1)
    frame["latency_ms"] = rng.normal(100, 10, len(frame))
    frame["timeout"] = rng.random(len(frame)) < 0.05
    report = ExperimentAnalyzer(own, options=ModelOptions(secondary_correction="bonferroni")).generate_report(frame)
    assert report["secondary_metrics"]["latency_ms"]["correction"] == "bonferroni"
    assert (report["guardrails"]["error_rate"]["status"], report["guardrails"]["error_rate"]["violated"]) == ("UNAVAILABLE", None)
    assert (report["verdict"], report["verdict_reason"], report["decision"]) == ("NO_LAUNCH", "guardrail_unavailable", "INCONCLUSIVE")
    assert report["rollout_plan"]["decision"] == "keep_champion"


def test_a_guardrail_beyond_its_limit_rolls_back_a_winner() -> None:
    """ML-16, V.b rule 1: a win never overrides an ALERT."""
    frame = log({CHAMPION: (4_000, 600), CHALLENGER: (4_000, 760)})
    frame["error"] = (frame["model_name"] == CHALLENGER) & (np.arange(len(frame)) % 20 == 0)
    report = ExperimentAnalyzer(config(share=0.5, guardrail_metrics=GUARDED)).generate_report(frame)
    assert (report["verdict"], report["decision"], report["rollout_plan"]["decision"]) == ("ROLLBACK", "KEEP_CHAMPION", "rollback")
    assert report["guardrails"]["error_rate"]["violated"] is True
    assert report["rollout_plan"]["risk_level"] == "critical"


def test_a_user_under_two_models_is_seen() -> None:
    """ML-33: same user, same variant."""
    frame = log({CHAMPION: (4_000, 600), CHALLENGER: (4_000, 600)})
    frame.loc[frame.index[-40:], "user_id"] = frame["user_id"][:40].to_numpy()
    report = ExperimentAnalyzer(config(share=0.5)).generate_report(frame)
    assert report["state"] == "invalid"
    assert "units_in_two_arms" in [finding["code"] for finding in report["findings"]]


def test_what_is_sent_twice_counts_once() -> None:
    """ML-31: one prediction_id is one prediction."""
    frame = log({CHAMPION: (1_000, 150), CHALLENGER: (1_000, 150)})
    report = ExperimentAnalyzer(config(share=0.5)).generate_report(pd.concat([frame, frame[:300]], ignore_index=True))
    assert report["total_samples"] == 2_000
    assert [f["numbers"] for f in report["findings"] if f["code"] == "repeated_predictions"] == [{"rows": 300}]


def test_new_users_and_a_washout_keep_out_what_carries_over() -> None:
    """ML-30, as config."""
    frame = log({CHAMPION: (1_400, 210), CHALLENGER: (1_400, 210)})
    frame["first_seen"] = np.where(np.arange(len(frame)) % 4 == 0, START - pd.Timedelta(days=9), frame["timestamp"])
    frame["is_new"] = frame["first_seen"] == frame["timestamp"]
    own = config(share=0.5)
    for column in ("first_seen", "is_new"):
        report = ExperimentAnalyzer(own, options=ModelOptions(new_users=column)).generate_report(frame, start_date=START)
        assert (report["total_samples"], report["findings"][-1]["code"]) == (2_100, "new_users_only")
    washed = ExperimentAnalyzer(own, options=ModelOptions(washout_days=3)).generate_report(frame, start_date=START)
    assert washed["total_samples"] == 2_200
    with pytest.raises(DataError):
        ExperimentAnalyzer(own, options=ModelOptions(washout_days=30)).generate_report(frame)


def test_segments_are_read_with_the_test_of_whether_they_differ() -> None:
    """ML-27, ML-32: device and time of day; the interaction comes with them."""
    rng = np.random.default_rng(11)
    frame = log({CHAMPION: (6_000, 0), CHALLENGER: (6_000, 0)})
    frame["device"] = rng.choice(["phone", "desktop"], len(frame))
    better = (frame["model_name"] == CHALLENGER) & (frame["device"] == "phone")
    frame["outcome"] = (rng.random(len(frame)) < np.where(better, 0.25, 0.15)).astype(float)
    report = ExperimentAnalyzer(config(share=0.5), options=ModelOptions(segments=("device", "time_of_day"))).generate_report(frame)
    device, hours = report["segments"]["comparisons"]
    assert device["differ"]["p_adjusted"] < 0.001 < hours["differ"]["p_adjusted"]
    assert [level["level"] for level in device["levels"]] == ["desktop", "phone"]
    assert {level["level"] for level in hours["levels"]} == {"night", "morning", "afternoon", "evening"}
    assert "segments_differ" in [finding["code"] for finding in report["findings"]]
    with pytest.raises(UnknownNameError):
        ExperimentAnalyzer(config(share=0.5), options=ModelOptions(segments=("planet",))).generate_report(frame)


def test_models_are_compared_within_strata() -> None:
    """ML-32: user segments for stratified tests; the effect is the strata's, weighed by their users."""
    rng = np.random.default_rng(3)
    frame = log({CHAMPION: (4_000, 0), CHALLENGER: (4_000, 0)})
    frame["tier"] = rng.choice(["high", "low"], len(frame), p=[0.3, 0.7])
    base = np.where(frame["tier"] == "high", 0.5, 0.05)
    frame["outcome"] = (rng.random(len(frame)) < base + 0.03 * (frame["model_name"] == CHALLENGER)).astype(float)
    frame["latency_ms"] = rng.gamma(4, 20, len(frame))
    own = config(share=0.5, guardrail_metrics={"p95_latency_ms": (0, 200)})
    plain = ExperimentAnalyzer(own).generate_report(frame)["primary_metric"]
    report = ExperimentAnalyzer(own, options=ModelOptions(strata=("tier",))).generate_report(frame)
    rates = frame.groupby(["tier", "model_name"])["outcome"].mean().unstack()
    effect = ((rates[CHALLENGER] - rates[CHAMPION]) * frame["tier"].value_counts(normalize=True)).sum()
    assert report["primary_metric"]["absolute_lift"] == pytest.approx(effect, rel=1e-9)
    widths = [one["confidence_interval"][1] - one["confidence_interval"][0] for one in (plain, report["primary_metric"])]
    assert widths[1] < 0.85 * widths[0]
    assert report["guardrails"]["p95_latency_ms"]["status"] == "PASS"


def test_a_sequential_plan_may_decide_early() -> None:
    """ML-28: always-valid instead of a fixed horizon; before its time the fixed plan waits."""
    frame = log({CHAMPION: (8_000, 1_200), CHALLENGER: (8_000, 1_520)})
    own = config(share=0.5, min_duration_days=1, min_sample_size=20_000, max_duration_days=28)
    waiting = ExperimentAnalyzer(own).generate_report(frame)
    decided = ExperimentAnalyzer(own, options=ModelOptions(method="always_valid")).generate_report(frame)
    assert (waiting["verdict"], waiting["error_control"]) == ("EXTEND_TEST", "fixed")
    assert (decided["verdict"], decided["error_control"]) == ("LAUNCH", "always_valid")


def test_a_bayesian_plan_has_no_p_value_to_report() -> None:
    """ML-28, V.b: credible intervals; what stands in the reason is the chance to win."""
    frame = log({CHAMPION: (4_000, 600), CHALLENGER: (4_000, 760)})
    report = ExperimentAnalyzer(config(share=0.5), options=ModelOptions(method="bayesian")).generate_report(frame)
    assert (report["decision"], report["primary_metric"]["p_value"]) == ("ROLLOUT_CHALLENGER", None)
    assert report["reason"].startswith("Challenger significantly better (chance to win 100.0%")
    assert report["error_control"] == "bayesian"


def test_a_quantile_guardrail_is_watched_as_the_share_beyond_its_limit() -> None:
    """ML-28: p95 <= 200 is a share above 200 of at most 5%, which may be looked at more than once."""
    frame = log({CHAMPION: (8_000, 1_200), CHALLENGER: (8_000, 1_520)})
    rng = np.random.default_rng(1)
    frame["latency_ms"], frame["error"] = rng.gamma(4, 22, len(frame)), rng.random(len(frame)) < 0.003
    own = config(share=0.5, min_duration_days=1, min_sample_size=20_000, max_duration_days=28, guardrail_metrics=GUARDED)
    for method in ("always_valid", "group_sequential"):
        analyzer = ExperimentAnalyzer(own, options=ModelOptions(method=method))
        quick = analyzer.generate_report(frame)
        latency = quick["guardrails"]["p95_latency_ms"]
        challenger = frame.loc[frame["model_name"] == CHALLENGER, "latency_ms"]
        assert (latency["status"], latency["value"]) == ("PASS", pytest.approx(challenger.quantile(0.95)))
        assert latency["share_beyond"] == pytest.approx((challenger > 200).mean())
        slow = analyzer.generate_report(frame.assign(latency_ms=2 * frame["latency_ms"]))
        assert (slow["guardrails"]["p95_latency_ms"]["status"], slow["rollout_plan"]["decision"]) == ("ALERT", "rollback")


def test_regression_and_curve_metrics_have_tests_over_users() -> None:
    """ML-13, IV.b: rmse and ROC-AUC by influence values, PR-AUC by resampled users."""
    rng = np.random.default_rng(2)
    n = 4_000
    frame = log({CHAMPION: (n // 2, 0), CHALLENGER: (n // 2, 0)})
    frame["outcome"] = (rng.random(n) < 0.2).astype(float)
    sharper = np.where(frame["model_name"] == CHALLENGER, 1.6, 1.0)
    frame["prediction"] = 1 / (1 + np.exp(-(rng.normal(0, 1, n) + sharper * (2 * frame["outcome"] - 1) - 1)))
    own = config("roc_auc", share=0.5, secondary_metrics=["pr_auc", "rmse", "brier", "log_loss", "mae", "bias"])
    report = ExperimentAnalyzer(own, options=ModelOptions(resamples=300)).generate_report(frame)
    challenger = frame[frame["model_name"] == CHALLENGER]
    primary, secondary = report["primary_metric"], report["secondary_metrics"]
    assert primary["challenger"] == pytest.approx(float(roc_auc(challenger["prediction"], challenger["outcome"])), abs=1e-12)
    assert primary["significant"] is True
    error = challenger["prediction"] - challenger["outcome"]
    assert secondary["rmse"]["challenger"] == pytest.approx(np.sqrt((error**2).mean()))
    assert secondary["bias"]["challenger"] == pytest.approx(error.mean())
    assert secondary["pr_auc"]["significant"] is True
    assert secondary["pr_auc"]["confidence_interval"][0] > 0
    with pytest.raises(UsageError, match="roc_auc"):
        ExperimentAnalyzer(config("pr_auc", share=0.5)).generate_report(frame)
    table = ExperimentAnalyzer(own).reliability(frame)
    assert sum(row["n"] for row in table[CHAMPION]) == n // 2
    assert all(row["low"] <= row["mean_score"] <= row["high"] for row in table[CHALLENGER])


def test_text_labels_need_a_word_for_1() -> None:
    """ML-13: predictions may be labels."""
    frame = log({CHAMPION: (1_000, 100), CHALLENGER: (1_000, 100)})
    frame["outcome"] = np.where(frame["outcome"] == 1.0, "fraud", "fine")
    frame["prediction"] = np.where(np.arange(len(frame)) % 10 == 0, "fraud", "fine")
    own = config("accuracy", share=0.5)
    found = ExperimentAnalyzer(own).calculate_metrics(frame)[CHAMPION]["primary_metric"]
    assert found == pytest.approx((frame["outcome"] == frame["prediction"])[:1_000].mean())
    with pytest.raises(UsageError, match="which label"):
        ExperimentAnalyzer(config("recall", share=0.5)).generate_report(frame)
    named = ExperimentAnalyzer(config("recall", share=0.5), options=ModelOptions(positive_label="fraud"))
    assert named.calculate_metrics(frame)[CHAMPION]["primary_metric"] is not None


def test_numbers_that_a_table_holds_as_text_are_numbers() -> None:
    """ML-12: a column of predictions holds labels or numbers, so a database may keep both as text."""
    frame = log({CHAMPION: (500, 50), CHALLENGER: (500, 60)}).assign(prediction=np.linspace(0, 1, 1_000))
    text = frame.assign(prediction=frame["prediction"].astype(str), outcome=frame["outcome"].astype(int).astype(str))
    analyzer = ExperimentAnalyzer(config("recall", share=0.5, secondary_metrics=["brier"]))
    assert analyzer.calculate_metrics(text) == analyzer.calculate_metrics(frame)


def test_logs_that_cannot_answer_say_why() -> None:
    """ML-12: bad input."""
    analyzer = ExperimentAnalyzer(config(share=0.5))
    frame = log({CHAMPION: (100, 10), CHALLENGER: (100, 10)})
    with pytest.raises(DataError):
        analyzer.generate_report(frame[:0])
    with pytest.raises(UnknownNameError):
        analyzer.generate_report(frame.drop(columns="outcome"))
    with pytest.raises(DataError, match="label"):
        analyzer.generate_report(frame.assign(outcome=np.nan))
    with pytest.raises(DataError, match="finite"):
        analyzer.generate_report(frame.assign(outcome=np.inf))
    with pytest.raises(UsageError, match="timestamp"):
        analyzer.generate_report(frame.drop(columns="timestamp"))
    with pytest.raises(DataError, match="user_id"):
        analyzer.generate_report(frame.assign(user_id=[None, *frame["user_id"][1:]]))
    for wrong in ({"threshold": float("nan")}, {"false_positive_cost": -1.0}, {"washout_days": -1.0}):
        with pytest.raises(UsageError):
            ModelOptions(**wrong)
    assert replace(ModelOptions(), seed=2).seed == 2


def test_a_guardrail_at_which_nothing_happened_is_read_against_its_limit() -> None:
    """V.b: no error among 4,000 is an interval of the rate below 1%, not a missing guardrail; among 200 it is not."""
    own = config(share=0.5, guardrail_metrics={"error_rate": (0, 0.01)}, min_sample_size=100)
    many = ExperimentAnalyzer(own).generate_report(log({CHAMPION: (4_000, 600), CHALLENGER: (4_000, 760)}))
    assert (many["guardrails"]["error_rate"]["status"], many["decision"]) == ("PASS", "ROLLOUT_CHALLENGER")
    few = ExperimentAnalyzer(own).generate_report(log({CHAMPION: (200, 30), CHALLENGER: (200, 70)}))
    assert (few["guardrails"]["error_rate"]["status"], few["verdict_reason"]) == ("UNAVAILABLE", "guardrail_unavailable")
    always = log({CHAMPION: (4_000, 600), CHALLENGER: (4_000, 760)}, error=True)
    assert ExperimentAnalyzer(own).generate_report(always)["guardrails"]["error_rate"]["status"] == "ALERT"
    frame = several_a_user(2_000, 0.1).assign(error=False)
    assert ExperimentAnalyzer(own).generate_report(frame)["guardrails"]["error_rate"]["status"] == "PASS"
