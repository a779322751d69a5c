"""What goes wrong with model experiments elsewhere, and does not here (IV.c, V.b)."""

import datetime as dt
import gzip
import json

import numpy as np
import pandas as pd
import pytest
from model_logs import CHALLENGER, CHAMPION, START, config, log
from scipy import stats
from test_experiment_analyzer import several_a_user

from fairtrial.analysis import ExperimentAnalyzer
from fairtrial.analysis.drift import analyze_drift
from fairtrial.decisions import make_rollout_decision
from fairtrial.evaluation import Look
from fairtrial.spec import ExperimentConfig
from fairtrial.stats.clustered_quantiles import clustered_quantile
from fairtrial.stats.proportions import two_proportion_test
from fairtrial.stats.quantiles import QuantileSummary
from fairtrial.stats.ranking import roc_auc, roc_auc_influence


def within(hits: int, n: int, rate: float, *, error: float = 1e-4) -> bool:
    """Whether so many hits are what a rate gives, by exact binomial bounds."""
    low, high = stats.binom.ppf(error / 2, n, rate), stats.binom.isf(error / 2, n, rate)
    return bool(low <= hits <= high)


def test_a_pooled_interval_covers_86_percent_where_ours_covers_95() -> None:
    """IV.c: 5% against 10% at 19,000/1,000; 3,000 draws, exact binomial bounds."""
    rng = np.random.default_rng(21)
    pooled = ours = 0
    for x, y in zip(rng.binomial(19_000, 0.05, 3_000), rng.binomial(1_000, 0.10, 3_000), strict=True):
        found = two_proportion_test(int(x), 19_000, int(y), 1_000)
        rate = (x + y) / 20_000
        half = 1.959964 * np.sqrt(rate * (1 - rate) * (1 / 19_000 + 1 / 1_000))
        pooled += abs(found.effect - 0.05) <= half
        ours += not found.interval.excludes(0.05)
    assert 0.84 < pooled / 3_000 < 0.88
    assert within(ours, 3_000, 0.95)


def test_equal_models_end_in_a_rollout_at_most_one_time_in_forty_and_never_in_a_full_one() -> None:
    """IV.c: at 9,500/500 point lifts above 20% come by chance; 4,000 draws of two equal models."""
    rng = np.random.default_rng(22)
    decisions: list[str] = []
    large = 0
    for x, y in zip(rng.binomial(9_500, 0.15, 4_000), rng.binomial(500, 0.15, 4_000), strict=True):
        found = two_proportion_test(int(x), 9_500, int(y), 500)
        significant = found.p_value is not None and found.p_value < 0.05
        large += bool(significant and found.lift is not None and found.lift > 0.2)
        primary = {
            "champion": found.control,
            "relative_lift": found.lift,
            "confidence_interval": [found.interval.low, found.interval.high],
            "significant": significant,
        }
        decisions.append(make_rollout_decision({"duration_days": 14, "primary_metric": primary}).decision)
    assert large / 4_000 > 0.02
    assert decisions.count("full_rollout") <= 1
    assert decisions.count("gradual_rollout") <= stats.binom.isf(1e-4, 4_000, 0.025)


def test_the_first_complete_look_stands() -> None:
    """IV.c: extending once after a non-significant look errs in 8.3%; a later look of a fixed plan only describes."""
    own = config(share=0.5, max_duration_days=28)
    analyzer = ExperimentAnalyzer(own)
    first = analyzer.scorecard(log({CHAMPION: (4_000, 600), CHALLENGER: (4_000, 610)}))
    assert first.plan.complete
    look = Look(as_of=first.as_of, complete=True, decisions=first.decisions)
    later = log({CHAMPION: (8_000, 1_200), CHALLENGER: (8_000, 1_400)})
    report = analyzer.generate_report(later, looks=[look])
    assert report["primary_metric"]["significant"] is True
    assert (report["verdict"], report["looks"]) == (first.decision.verdict, 1)
    assert report["decision"] != "ROLLOUT_CHALLENGER"
    assert analyzer.generate_report(later)["decision"] == "ROLLOUT_CHALLENGER"


def test_a_ramp_and_a_stop_within_the_run_are_seen() -> None:
    """ML-11, ML-19: after a stop nothing is drawn any more; arms of a ramp come from different times."""
    frame = log({CHAMPION: (4_000, 600), CHALLENGER: (4_000, 760)}).assign(propensity=0.5)
    after = log({CHAMPION: (900, 200)}).assign(propensity=1.0, prediction_id=[f"x{i}" for i in range(900)])
    after["user_id"] = [f"new-{i}" for i in range(900)]
    analyzer = ExperimentAnalyzer(config(share=0.5))
    stopped = analyzer.generate_report(pd.concat([frame, after], ignore_index=True))
    assert (stopped["decision"], stopped["champion_samples"]) == ("ROLLOUT_CHALLENGER", 4_000)
    assert [finding["code"] for finding in stopped["findings"]] == ["not_randomised"]
    frame.loc[frame["timestamp"] < START + dt.timedelta(days=7), "propensity"] = 0.25
    ramped = analyzer.generate_report(frame)
    assert (ramped["state"], ramped["findings"][0]["code"]) == ("invalid", "allocation_changed")
    second = analyzer.generate_report(frame, start_date=START + dt.timedelta(days=7))
    assert second["state"] == "valid"


def test_a_champion_at_zero_gives_no_relative_lift_and_no_crash() -> None:
    """IV.c: relative_lift null must not be compared with a number."""
    report = ExperimentAnalyzer(config(share=0.5)).generate_report(log({CHAMPION: (2_000, 0), CHALLENGER: (2_000, 60)}))
    assert report["primary_metric"]["relative_lift"] is None
    assert report["rollout_plan"]["decision"] in {"keep_champion", "extend_test"}
    json.dumps(report, allow_nan=False)


def test_an_arm_without_users_is_not_decided() -> None:
    """V.b rules 0 and 0b: an empty challenger is a split that is off, an empty day is too little data."""
    empty = ExperimentAnalyzer(config(share=0.5)).generate_report(log({CHAMPION: (2_000, 300)}))
    assert (empty["verdict"], empty["state"]) == (None, "invalid")
    few = ExperimentAnalyzer(config(share=0.5)).generate_report(log({CHAMPION: (8, 2), CHALLENGER: (8, 3)}))
    assert (few["verdict"], few["state"]) == (None, "not_enough_data")
    early = ExperimentAnalyzer(config(share=0.5)).generate_report(
        log({CHAMPION: (8, 2), CHALLENGER: (8, 3)}), end_date=START + dt.timedelta(days=13)
    )
    assert early["rollout_plan"]["decision"] == "extend_test"


def test_hillstroms_mailing_is_reported_as_computed_elsewhere(real_data) -> None:
    """Two challengers on 64,000 real customers: the figures of statsmodels, and arms alike in what was known before."""
    expected = json.loads((real_data / "expected" / "hillstrom.json").read_text())["comparisons"]
    with gzip.open(real_data / "hillstrom.csv.gz") as file:
        frame = pd.read_csv(file)
    frame = frame.rename(columns={"segment": "model_name"}).assign(timestamp=START + pd.to_timedelta(np.arange(len(frame)) % 14, unit="D"))
    own = ExperimentConfig(
        name="hillstrom",
        champion_model="No E-Mail",
        challenger_models=["Mens E-Mail", "Womens E-Mail"],
        traffic_allocation={"No E-Mail": 0.3334, "Mens E-Mail": 0.3333, "Womens E-Mail": 0.3333},
        primary_metric="visit",
        secondary_metrics=["conversion", "spend"],
        guardrail_metrics={},
        min_sample_size=1_000,
        max_duration_days=14,
        metric_types={"conversion": "proportion", "spend": "continuous"},
    )
    report = ExperimentAnalyzer(own).generate_report(frame.assign(user_id=np.arange(len(frame))))
    for challenger, one in report["challengers"].items():
        rows = {"visit": one["primary_metric"], **one["secondary_metrics"]}
        for metric, found in rows.items():
            wanted = expected[f"{challenger} vs No E-Mail | {metric}"]
            assert found["absolute_lift"] == pytest.approx(wanted["diff"], rel=1e-6)
            statistic = wanted["z_pooled"] if wanted["kind"] == "proportion" else wanted["t_welch"]
            assert found["statistic"] == pytest.approx(statistic, rel=1e-6)
    assert report["challenger_model"] == "Mens E-Mail"
    known = analyze_drift(frame, by="model_name", columns=["recency", "history", "zip_code", "newbie", "channel"])
    assert not known.drifted


@pytest.mark.slow
def test_several_predictions_a_user_keep_the_error_rate() -> None:
    """300 experiments of 800 users without effect, half of the variance between users; taken as rows, far more would err."""
    analyzer = ExperimentAnalyzer(config(share=0.5))
    seen = naive = 0
    for seed in range(300):
        frame = several_a_user(800, 0.0, seed=seed)
        card = analyzer.scorecard(frame)
        seen += card.comparison("conversion_rate").reading != "inconclusive"
        counts = frame.groupby("model_name")["outcome"].agg(["sum", "size"])
        rows = two_proportion_test(*(int(v) for v in (*counts.loc[CHAMPION], *counts.loc[CHALLENGER])))
        naive += rows.p_value is not None and rows.p_value < 0.05
    assert within(seen, 300, 0.05)
    assert naive > 60


@pytest.mark.slow
def test_a_quantile_over_users_covers() -> None:
    """95th percentile of 400 users' rows, users differing twofold; 1,500 samples. As if rows were independent it would miss."""
    rng = np.random.default_rng(31)
    truth = float(np.quantile(rng.gamma(4, 1, 4_000_000) * rng.gamma(4, 5, 4_000_000), 0.95))
    covered = naive = 0
    for _ in range(1_500):
        user = np.repeat(np.arange(400), rng.integers(4, 12, 400))
        values = rng.gamma(4, 1, 400)[user] * rng.gamma(4, 5, user.size)
        found = clustered_quantile(values, user, 0.95)
        assert isinstance(found, QuantileSummary)
        covered += not found.interval.excludes(truth)
        alone = clustered_quantile(values, np.arange(user.size), 0.95)
        assert isinstance(alone, QuantileSummary)
        naive += not alone.interval.excludes(truth)
    assert covered / 1_500 > 0.93
    assert naive / 1_500 < 0.90


@pytest.mark.slow
def test_the_area_under_the_roc_curve_covers() -> None:
    """Influence values' interval: 2,000 samples of 600 rows, 20% positive, scores a standard deviation apart; truth Phi(1/sqrt 2)."""
    rng = np.random.default_rng(32)
    truth = float(stats.norm.cdf(1 / np.sqrt(2)))
    covered = 0
    for _ in range(2_000):
        labels = (rng.random(600) < 0.2).astype(float)
        scores = rng.normal(labels, 1.0)
        half = 1.959964 * roc_auc_influence(scores, labels).std() / np.sqrt(600)
        covered += abs(float(roc_auc(scores, labels)) - truth) <= half
    assert 0.93 < covered / 2_000 < 0.97
