"""One guardrail of a challenger in one set of rows (IV.b, ML-17)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fairtrial.diagnostics.guarded_values import guarded_values, latency_quantile
from fairtrial.diagnostics.model_guardrails import KILL_ALPHA, MIN_N, check_guardrail
from fairtrial.errors import UsageError
from fairtrial.stats.quantiles import order_statistic_interval


def flags(events, n, missing=0):
    column = np.zeros(n + missing)
    column[:events] = 1.0
    column[n:] = np.nan
    return {"error": column, "timeout": column}


def test_the_example_of_the_guardrails_route():
    """IV.a: 15 errors of 600 against 1 %; exact binomial test and Clopper-Pearson's interval."""
    check = check_guardrail("error_rate", (0, 0.01), flags(15, 600))
    assert (check.value, check.n, check.violated, check.status, check.kill) == (0.025, 600, True, "violated", False)
    assert check.p_value == pytest.approx(0.001313, abs=5e-7)
    assert (check.ci_low, check.ci_high) == (pytest.approx(0.014058, abs=5e-7), pytest.approx(0.040899, abs=5e-7))
    oracle = stats.binomtest(15, 600, 0.01, alternative="greater")
    assert check.p_value == pytest.approx(oracle.pvalue, rel=1e-10)
    interval = stats.binomtest(15, 600).proportion_ci(0.95, method="exact")
    assert (check.ci_low, check.ci_high) == (pytest.approx(interval.low, rel=1e-10), pytest.approx(interval.high, rel=1e-10))


def test_a_p95_within_its_limit_is_ok():
    """IV.a: 187 of 200 ms."""
    latencies = np.linspace(100.0, 187.0 + 87.0 / 19.0, 600)
    check = check_guardrail("p95_latency_ms", (0, 200), {"latency_ms": latencies})
    assert (check.violated, check.status, check.n) == (False, "ok", 600)
    assert check.value == pytest.approx(187.0, abs=0.05)
    assert check.value == np.percentile(latencies, 95)


@settings(deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(20, 800), q=st.sampled_from([50, 90, 95, 99]), limit=st.floats(0.5, 4.0))
def test_a_quantile_is_broken_when_its_one_sided_lower_bound_lies_beyond_the_limit(seed, n, q, limit):
    """IV.b: the exact test and the bound between order statistics say the same."""
    latencies = np.random.default_rng(seed).lognormal(0.0, 0.7, n)
    check = check_guardrail(f"p{q}_latency_ms", (None, limit), {"latency_ms": latencies})
    bound = order_statistic_interval(latencies, q / 100.0, alpha=0.1).interval.low
    assert (check.violated is True) == (bound > limit)


@settings(deadline=None)
@given(n=st.integers(1, 3_000), share=st.floats(0.0, 1.0), limit=st.floats(0.0, 1.0), upper=st.booleans())
def test_a_rate_is_broken_exactly_when_value_and_exact_test_say_so(n, share, limit, upper):
    """IV.b: p < .05 and the value beyond the limit; false only with 200 values; true needs only the test."""
    events = round(share * n)
    limits, word = ((None, limit), "greater") if upper else ((limit, None), "less")
    check = check_guardrail("timeout_rate", limits, flags(events, n))
    oracle = stats.binomtest(events, n, limit, alternative=word).pvalue
    beyond = events / n > limit if upper else events / n < limit
    assert (check.violated is True) == (beyond and oracle < 0.05)
    assert check.p_value == pytest.approx(oracle, rel=1e-6, abs=1e-12)
    if check.violated is False:
        assert n >= MIN_N
        assert check.status == "ok"
    if check.violated is None:
        assert check.status == "insufficient"
        assert check.reason


@pytest.mark.parametrize(
    ("columns", "status"),
    [
        ({}, "no_data"),
        ({"error": np.array([])}, "no_data"),
        ({"error": np.full(500, np.nan)}, "no_data"),
        (flags(0, 199), "insufficient"),
        (flags(0, 200), "ok"),
        (flags(0, 600, missing=30), "insufficient"),
        ({"error": np.full(500, 0.5)}, "no_data"),
    ],
)
def test_what_is_not_known_is_never_ok(columns, status):
    """IV.c: NaN is not ok; nor a missing column, no rows, few rows, or missing values that could turn the answer."""
    check = check_guardrail("error_rate", (0, 0.01), columns)
    assert check.status == status
    assert (check.violated is False) == (status == "ok")
    assert (check.reason == "") == (status == "ok")


def test_missing_values_that_cannot_turn_the_answer_are_counted_and_no_more():
    check = check_guardrail("error_rate", (0, 0.05), flags(2, 1_000, missing=5))
    assert (check.status, check.missing, check.n) == ("ok", 5, 1_000)


def test_few_rows_suffice_to_break_a_limit_and_to_kill():
    """IV.b: true needs only the test; the kill threshold is twice the limit at p < .001."""
    check = check_guardrail("error_rate", (0, 0.01), flags(5, 20))
    assert (check.status, check.kill) == ("violated", True)
    assert check.p_value < KILL_ALPHA
    assert not check_guardrail("error_rate", (0, 0.01), flags(19, 1_000)).kill  # p .006, below twice the limit
    assert not check_guardrail("error_rate", (0, 0.01), flags(3, 60)).kill  # five times the limit, p .02
    assert check_guardrail("error_rate", (0, 0.01), flags(3, 60)).violated


def test_false_positives_are_counted_among_negatives():
    """IV.b: 45 false positives among 900 negatives in 1,000 rows are .05, not .045."""
    outcome = np.r_[np.zeros(900), np.ones(100)]
    prediction = np.r_[np.full(45, 0.9), np.full(855, 0.1), np.full(80, 0.5), np.full(20, 0.49)]
    columns = {"outcome": outcome, "prediction": prediction}
    check = check_guardrail("false_positive_rate", (0, 0.08), columns)
    assert (check.value, check.n, check.status) == (0.05, 900, "ok")
    assert check_guardrail("fraud_detection_rate", (0.9, None), columns).value == 0.8
    assert check_guardrail("fraud_detection_rate", (0.9, None), columns).violated
    assert check_guardrail("conversion_rate", (0.05, None), columns).value == 0.1


def test_rows_without_a_label_are_no_part_of_rates_over_labels():
    outcome = np.r_[np.zeros(300), np.ones(100), np.full(600, np.nan)]
    columns = {"outcome": outcome, "prediction": np.full(1_000, 0.2)}
    assert [guarded_values(name, columns).n for name in ("false_positive_rate", "fraud_detection_rate", "conversion_rate")] == [
        300,
        100,
        400,
    ]
    columns["prediction"][:10] = np.nan
    assert guarded_values("false_positive_rate", columns).missing == 10


def test_other_columns_are_means_with_students_t():
    """ML-17: else the column mean; lower limits too."""
    score = np.random.default_rng(5).normal(0.6, 0.1, 400)
    check = check_guardrail("score", (0.7, None), {"score": score})
    assert (check.violated, check.value) == (True, pytest.approx(score.mean()))
    assert check.p_value == pytest.approx(stats.ttest_1samp(score, 0.7, alternative="less").pvalue, rel=1e-9)
    interval = stats.ttest_1samp(score, 0.0).confidence_interval(0.95)
    assert (check.ci_low, check.ci_high) == (pytest.approx(interval.low), pytest.approx(interval.high))
    assert check_guardrail("score", (0.5, 0.7), {"score": score}).status == "ok"
    assert check_guardrail("score", (0.5, 0.7), {"score": np.r_[score, np.nan]}).status == "insufficient"


def test_values_that_do_not_differ_are_not_ok_beyond_their_limit():
    check = check_guardrail("score", (None, 3.0), {"score": np.full(500, 5.0)})
    assert (check.violated, check.status, check.p_value) == (None, "insufficient", None)
    assert check_guardrail("score", (None, 3.0), {"score": np.full(500, 2.0)}).status == "ok"


def test_a_declared_proportion_is_tested_as_one():
    column = np.r_[np.ones(12), np.zeros(488)]
    rate = check_guardrail("complaint", (None, 0.01), {"complaint": column}, proportion=True)
    assert rate.p_value == pytest.approx(stats.binomtest(12, 500, 0.01, alternative="greater").pvalue)
    mean = check_guardrail("complaint", (None, 0.01), {"complaint": column})
    assert mean.p_value != rate.p_value


def test_the_champion_is_compared_and_decides_nothing():
    """IV.b: also compared with the champion."""
    both = check_guardrail("error_rate", (0, 0.05), flags(18, 600), flags(95, 11_400))
    assert both.status == "ok"
    assert (both.champion.value, both.champion.n, both.champion.worse) == (95 / 11_400, 11_400, True)
    assert both.champion.difference == pytest.approx(18 / 600 - 95 / 11_400)
    slower = check_guardrail(
        "p95_latency_ms",
        (0, 500),
        {"latency_ms": np.random.default_rng(1).gamma(4.0, 40.0, 900)},
        {"latency_ms": np.random.default_rng(2).gamma(4.0, 25.0, 9_000)},
    )
    assert slower.champion.worse
    assert slower.champion.method == "quantile_difference"
    assert check_guardrail("error_rate", (0, 0.05), flags(0, 600), flags(0, 600)).champion is None
    lower = check_guardrail(
        "score",
        (0.2, None),
        {"score": np.random.default_rng(3).normal(0.5, 0.1, 500)},
        {"score": np.random.default_rng(4).normal(0.6, 0.1, 500)},
    )
    assert lower.champion.worse


def test_the_json_has_the_fields_of_the_route():
    """IV.a: GET /guardrails."""
    given = check_guardrail("error_rate", (0, 0.01), flags(15, 600)).as_json()
    assert {"value", "threshold", "violated", "n", "p_value", "ci_low", "ci_high", "status"} <= set(given)
    assert given["threshold"] == [0, 0.01]


@pytest.mark.parametrize("limits", [(None, None), (0, float("inf")), (float("-inf"), None), (None, float("nan"))])
def test_a_guardrail_has_a_limit(limits):
    if limits == (0, float("inf")):
        assert check_guardrail("error_rate", limits, flags(1, 500)).status == "ok"  # a smallest value of 0
        return
    with pytest.raises(UsageError, match="smallest or largest"):
        check_guardrail("error_rate", limits, flags(1, 500))


@pytest.mark.parametrize(("name", "q"), [("p95_latency_ms", 0.95), ("p99.9_latency_ms", 0.999), ("p0_latency_ms", None), ("p95", None)])
def test_names_of_latency_quantiles(name, q):
    assert latency_quantile(name) == (None if q is None else pytest.approx(q))


def test_a_limit_of_zero_is_broken_by_one_event():
    check = check_guardrail("error_rate", (None, 0.0), flags(1, 10))
    assert (check.violated, check.p_value, check.kill) == (True, 0.0, True)
    assert check_guardrail("error_rate", (None, 0.0), flags(0, 300)).status == "ok"
