"""Guardrails of a model experiment: checks of the latest rows, and when they stop it (ML-17, ML-18, IV.b, IV.c)."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from fairtrial.errors import DataError, UsageError
from fairtrial.serving import GuardrailMonitor
from fairtrial.spec import ExperimentConfig
from fairtrial.spec.examples import FRAUD_DETECTION_EXPERIMENT

START = dt.datetime(2026, 1, 3, 10, 0, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)


def rows(errors, n, *, start=START, minutes=15, latency=100.0, variant="challenger", timestamps=True):
    """`errors` of `n` requests, spread evenly over the minutes."""
    error = np.zeros(n, dtype=bool)
    error[np.linspace(0, n - 1, errors).astype(int)] = True
    frame = pd.DataFrame({"variant": variant, "latency_ms": latency + np.arange(n) % 50, "error": error})
    if timestamps:
        frame["timestamp"] = [start + minutes * MINUTE * i / n for i in range(n)]
    return frame


@pytest.fixture
def monitor():
    return GuardrailMonitor(FRAUD_DETECTION_EXPERIMENT, clock=lambda: START + dt.timedelta(days=30))


def test_the_form_of_a_check(monitor):
    """ML-17, and the example of GET /guardrails: 15 errors of 600, latency within its limit."""
    data = pd.concat([rows(15, 600), rows(50, 9_000, variant="champion")])
    found = monitor.check_guardrails(data)
    assert found["has_violations"]
    (violation,) = found["violations"]
    assert {name: violation[name] for name in ("metric", "value", "threshold")} == {
        "metric": "error_rate",
        "value": 0.025,
        "threshold": (0, 0.01),
    }
    assert violation["timestamp"] == START + 15 * MINUTE * 599 / 600
    error, latency = found["metrics"]["error_rate"], found["metrics"]["p95_latency_ms"]
    assert (error["value"], error["threshold"], error["violated"], error["status"], error["n"]) == (0.025, [0, 0.01], True, "violated", 600)
    assert (error["p_value"], error["ci_low"], error["ci_high"]) == (
        pytest.approx(0.001313, abs=5e-7),
        pytest.approx(0.014058, abs=5e-7),
        pytest.approx(0.040899, abs=5e-7),
    )
    assert (latency["violated"], latency["status"]) == (False, "ok")
    assert error["champion"]["value"] == 50 / 9_000
    assert not found["has_unknown"]
    assert not monitor.should_stop_experiment()


def test_only_the_challengers_rows_are_judged(monitor):
    assert not monitor.check_guardrails(pd.concat([rows(0, 600), rows(900, 9_000, variant="champion")]))["has_violations"]


def test_three_windows_of_one_metric_within_an_hour_stop(monitor):
    """ML-18, IV.b."""
    for window, stops in ((0, False), (1, False), (3, True)):
        monitor.check_guardrails(rows(11, 600, start=START + 15 * window * MINUTE))
        assert monitor.should_stop_experiment() is stops
    assert monitor.should_stop_experiment(violation_count=3)
    assert not monitor.should_stop_experiment(violation_count=4)


def test_windows_far_apart_do_not_stop(monitor):
    """ML-18: violations within the last hour."""
    for hour in range(5):
        monitor.check_guardrails(rows(11, 600, start=START + 40 * hour * MINUTE))
        assert not monitor.should_stop_experiment()


@pytest.mark.parametrize("minute", [27, 32])
def test_a_window_counts_once_however_often_it_is_read(monitor, minute):
    """IV.c: overlapping windows must not add up; a check every 5 minutes over the last 15, two bad minutes."""
    log = rows(0, 4_800, minutes=120)
    inside = (log["timestamp"] >= START + minute * MINUTE) & (log["timestamp"] < START + (minute + 2) * MINUTE)
    log.loc[log.index[inside][:11], "error"] = True
    seen = 0
    for end in range(15, 125, 5):
        now = START + end * MINUTE
        recent = log[(log["timestamp"] >= now - 15 * MINUTE) & (log["timestamp"] < now)]
        seen += monitor.check_guardrails(recent)["has_violations"]
        assert not monitor.should_stop_experiment()
        assert not monitor.should_stop_experiment(violation_count=2)
    assert seen == 3


def test_the_same_rows_ten_times_are_one_violation(monitor):
    """IV.c."""
    for _ in range(10):
        monitor.check_guardrails(rows(11, 600))
    assert not monitor.should_stop_experiment(violation_count=2)
    assert monitor.should_stop_experiment(violation_count=1)


def test_several_metrics_in_one_window_do_not_add_up():
    """IV.c: three metrics broken in one window are one window of each."""
    config = ExperimentConfig(
        "many",
        "a",
        ["b"],
        {"a": 0.9, "b": 0.1},
        "clicked",
        [],
        {"error_rate": (0, 0.01), "timeout_rate": (0, 0.01), "p95_latency_ms": (0, 140), "latency_ms": (0, 120)},
        100,
        14,
    )
    monitor = GuardrailMonitor(config)
    data = rows(11, 600)
    data["timeout"] = data["error"]
    found = monitor.check_guardrails(data)
    assert [violation["metric"] for violation in found["violations"]] == ["error_rate", "timeout_rate", "p95_latency_ms", "latency_ms"]
    assert not monitor.should_stop_experiment()
    assert not monitor.should_stop_experiment(violation_count=2)
    monitor.check_guardrails(data.assign(timestamp=data["timestamp"] + 15 * MINUTE))
    assert not monitor.should_stop_experiment()
    assert monitor.should_stop_experiment(violation_count=2)


def test_one_call_over_an_hour_counts_each_of_its_windows(monitor):
    monitor.check_guardrails(rows(44, 2_400, minutes=60))
    assert monitor.should_stop_experiment()


def test_without_timestamps_a_call_is_a_window(monitor):
    """IV.b: data without timestamps: one window per call."""
    for call in range(1, 4):
        monitor.check_guardrails(rows(11, 600, timestamps=False))
        assert monitor.should_stop_experiment() is (call == 3)


def test_the_kill_threshold_stops_at_once_even_with_few_rows(monitor):
    """IV.b: value > 2 x limit and p < .001."""
    monitor.check_guardrails(rows(6, 30))
    assert monitor.should_stop_experiment()


@pytest.mark.parametrize("errors", [12, 7])
def test_short_of_the_kill_threshold_one_window_does_not_stop(monitor, errors):
    monitor.check_guardrails(rows(errors, 600))
    assert not monitor.should_stop_experiment()


def test_healthy_windows_let_violations_age(monitor):
    for window in range(2):
        monitor.check_guardrails(rows(11, 600, start=START + 15 * window * MINUTE))
    for window in range(2, 7):
        monitor.check_guardrails(rows(0, 600, start=START + 15 * window * MINUTE))
    assert not monitor.should_stop_experiment(violation_count=1)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (rows(0, 0), "no_data"),
        (rows(0, 50), "insufficient"),
        (rows(0, 600).drop(columns=["error", "latency_ms"]), "no_data"),
        (rows(0, 600).assign(error=np.nan, latency_ms=np.nan), "no_data"),
        (rows(0, 600).assign(error=None, latency_ms="slow"), "no_data"),
        (rows(0, 600).assign(error=[[1]] * 600, latency_ms=pd.array([None] * 600, dtype="Int64")), "no_data"),
        (rows(0, 600, variant="champion"), "no_data"),
    ],
)
def test_missing_and_empty_data_are_never_ok(monitor, data, status):
    """IV.c: NaN is not ok."""
    found = monitor.check_guardrails(data)
    assert [found["metrics"][name]["status"] for name in ("error_rate", "p95_latency_ms")] == [status, status]
    assert [found["metrics"][name]["violated"] for name in ("error_rate", "p95_latency_ms")] == [None, None]
    assert found["has_unknown"]
    assert not found["has_violations"]
    assert not monitor.should_stop_experiment()


def test_two_challengers_are_not_pooled():
    """IV.c: two models labelled challenger; one is broken."""
    config = ExperimentConfig(
        "trio", "champion", ["a", "b"], {"champion": 0.8, "a": 0.1, "b": 0.1}, "clicked", [], {"error_rate": (0, 0.01)}, 100, 14
    )
    monitor = GuardrailMonitor(config)
    data = pd.concat([rows(0, 3_000).assign(model_name="a"), rows(11, 600).assign(model_name="b")])
    found = monitor.check_guardrails(data)
    assert [violation["model"] for violation in found["violations"]] == ["b"]
    assert found["models"]["a"]["error_rate"]["status"] == "ok"
    assert found["metrics"]["error_rate"]["status"] == "violated"
    with pytest.raises(DataError, match="model_name"):
        monitor.check_guardrails(rows(11, 600))


def test_windows_of_two_challengers_do_not_add_up():
    config = ExperimentConfig(
        "trio", "champion", ["a", "b"], {"champion": 0.8, "a": 0.1, "b": 0.1}, "clicked", [], {"error_rate": (0, 0.01)}, 100, 14
    )
    monitor = GuardrailMonitor(config)
    for window, model in enumerate(["a", "b", "a"]):
        monitor.check_guardrails(rows(11, 600, start=START + 15 * window * MINUTE).assign(model_name=model))
    assert not monitor.should_stop_experiment()


def test_times_of_any_form_and_order(monitor):
    """Text with Z, without a zone, out of order, missing, or from a clock that runs ahead: nothing crashes or is lost."""
    text = rows(11, 600)
    text["timestamp"] = [moment.isoformat().replace("+00:00", "Z") for moment in text["timestamp"]]
    monitor.check_guardrails(text.sample(frac=1.0, random_state=1))
    plain = rows(11, 600, start=START + 15 * MINUTE)
    plain["timestamp"] = plain["timestamp"].dt.tz_localize(None)
    plain.loc[plain.index[:5], "timestamp"] = pd.NaT
    monitor.check_guardrails(plain)
    assert monitor.should_stop_experiment(violation_count=2)
    with pytest.raises(DataError, match="Timestamps"):
        monitor.check_guardrails(rows(0, 5).assign(timestamp="yesterday"))


def test_a_clock_that_runs_ahead_does_not_age_violations():
    monitor = GuardrailMonitor(FRAUD_DETECTION_EXPERIMENT, clock=lambda: START + 50 * MINUTE)
    for window in range(3):
        monitor.check_guardrails(rows(11, 600, start=START + 15 * window * MINUTE))
    monitor.check_guardrails(rows(0, 600, start=START + dt.timedelta(days=2)))
    assert monitor.should_stop_experiment()


def test_a_quarter_of_an_hour_that_begins_anywhere_is_a_window(monitor):
    """Windows begin with the first rows seen, so checks of disjoint quarters of an hour count each."""
    start = START + dt.timedelta(minutes=7, seconds=13)
    for window in range(3):
        monitor.check_guardrails(rows(7, 230, start=start + 15 * window * MINUTE))
    assert monitor.should_stop_experiment()


@pytest.mark.parametrize("count", [0, -1])
def test_a_count_is_positive(monitor, count):
    with pytest.raises(UsageError, match="violation_count"):
        monitor.should_stop_experiment(violation_count=count)


def test_false_positive_rate_by_its_own_denominator():
    """IV.b: 45 of 900 negatives in 1,000 rows are .05; by all rows (.045) the limit of .048 would be kept."""
    config = ExperimentConfig("fraud", "a", ["b"], {"a": 0.9, "b": 0.1}, "caught", [], {"false_positive_rate": (0, 0.03)}, 100, 14)
    data = pd.DataFrame(
        {
            "variant": "challenger",
            "outcome": np.r_[np.zeros(900), np.ones(100)],
            "prediction": np.r_[np.full(45, 0.9), np.full(955, 0.1)],
        }
    )
    found = GuardrailMonitor(config).check_guardrails(data)["metrics"]["false_positive_rate"]
    assert (found["value"], found["n"], found["violated"]) == (0.05, 900, True)
