"""Errors by kind of cluster: Welch's by hand, Bell and McCaffrey's by matrices, size with few treated units (XC-42, G-5)."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.quasi import CleanComparison, aggregate_did, att_gt, did_2x2, did_two_way, event_study, impute_did
from fairtrial.quasi.few_clusters import ClusterErrors, kinds_of

PERIODS, START = 6, 3
BY_COHORT = CleanComparison(small_sample="satterthwaite")


def panel(seed, *cohorts, starts=(START,), lasting=0.5):
    """Units over six periods, the last cohort never treated; outcome, unit, time and cohort of each row."""
    rng = np.random.default_rng(seed)
    units = sum(cohorts)
    shocks = rng.normal(size=(units, PERIODS))
    for t in range(1, PERIODS):
        shocks[:, t] = lasting * shocks[:, t - 1] + math.sqrt(1 - lasting**2) * shocks[:, t]
    y = 3 * rng.normal(size=(units, 1)) + 0.2 * np.arange(PERIODS) + shocks
    first = np.repeat([*starts, np.nan], cohorts)
    return y, np.repeat(np.arange(units), PERIODS), np.tile(np.arange(PERIODS), units), np.repeat(first, PERIODS)


def change(y):
    return y[:, START:].mean(axis=1) - y[:, :START].mean(axis=1)


def welch(change, treated):
    """Difference, its standard error, and Satterthwaite's degrees of freedom were both sides to vary alike."""
    on, off = change[:treated], change[treated:]
    parts = 1 / on.size, 1 / off.size
    df = sum(parts) ** 2 / (parts[0] ** 2 / (on.size - 1) + parts[1] ** 2 / (off.size - 1))
    return on.mean() - off.mean(), math.sqrt(on.var(ddof=1) / on.size + off.var(ddof=1) / off.size), df


def by_two_way(y, unit, time, cohort):
    return did_two_way(y, unit, time, time >= cohort).estimate


def by_two_groups(y, unit, time, cohort):
    return did_2x2(y, np.isfinite(cohort), time >= START, cluster=unit, small_sample="satterthwaite").estimate


def by_imputation(y, unit, time, cohort):
    return impute_did(y, unit, time, cohort, small_sample="satterthwaite").estimate


def by_events(y, unit, time, cohort):
    return event_study(y, unit, time, cohort).estimate


def by_cohorts(y, unit, time, cohort):
    return aggregate_did(att_gt(y, unit, time, cohort, against=BY_COHORT)).estimate


MEANS = (by_two_way, by_two_groups, by_imputation)
LAST = (by_events, by_cohorts)


@pytest.mark.parametrize("sizes", [(4, 46), (10, 10), (3, 5)])
@pytest.mark.parametrize("estimate", [*MEANS, *LAST])
def test_with_one_start_the_error_is_welchs_of_the_units_changes(estimate, sizes):
    y, *columns = panel(1, *sizes)
    found = estimate(y.ravel(), *columns)
    own = change(y) if estimate in MEANS else y[:, START:].mean(axis=1) - y[:, START - 1]
    effect, std_error, df = welch(own, sizes[0])
    assert (found.effect, found.std_error, found.df) == pytest.approx((effect, std_error, df), rel=1e-8)
    assert found.p_value == pytest.approx(2 * stats.t.sf(abs(effect) / std_error, df), rel=1e-6)


def test_every_point_of_an_event_study_and_every_cohort_period_is_welchs():
    y, *columns = panel(2, 4, 20)
    points = {point.event_time: point for point in event_study(y.ravel(), *columns).points}
    cells = {cell.event_time: cell for cell in att_gt(y.ravel(), *columns, against=BY_COHORT).effects}
    for e in (0, 1, 2):
        effect, std_error, df = welch(y[:, START + e] - y[:, START - 1], 4)
        reach = stats.t.isf(0.025, df) * std_error
        for found in (points[e], cells[e]):
            assert (found.effect, found.std_error) == pytest.approx((effect, std_error), rel=1e-8)
            assert (found.interval.low, found.interval.high) == pytest.approx((effect - reach, effect + reach), rel=1e-8)


@pytest.mark.parametrize("estimate", [*MEANS, *LAST])
def test_one_treated_unit_varies_as_the_others_do(estimate):
    """The pooled t-test with one observation on one side: s sqrt(1 + 1 / n), n - 1 degrees of freedom."""
    y, *columns = panel(3, 1, 30)
    found = estimate(y.ravel(), *columns)
    own = change(y) if estimate in MEANS else y[:, START:].mean(axis=1) - y[:, START - 1]
    assert found.std_error == pytest.approx(own[1:].std(ddof=1) * math.sqrt(1 + 1 / 30), rel=1e-8)
    assert found.df == pytest.approx(29)
    code = "small_cohorts" if estimate is by_cohorts else "few_treated_clusters"
    told = {finding.code: finding for finding in found.findings}[code]
    assert told.severity == "warning"
    assert "vary as the others do" in told.message
    assert found.grade.level == "weak"


@pytest.mark.parametrize("share", [[0.2] * 5, [0.5, 0.3, 0.1, 0.06, 0.04], [0.9, 0.05, 0.05]])
def test_unequal_clusters_are_scaled_and_counted_as_their_matrices_say(share):
    """Oracle: the quadratic form z' B z of independent cluster means z: expectation sum of p^2, df tr(B)^2 / tr(B^2)."""
    p = np.array(share)
    size, total = p.size, float((p**2).sum())
    away = np.eye(size) - np.outer(np.ones(size), p)
    form = away.T @ np.diag(p**2 / (1 - 2 * p + total)) @ away
    z = np.random.default_rng(4).normal(size=size)
    errors = ClusterErrors.of((p * (z - p @ z))[:, None], p[:, None], np.zeros(size, dtype=np.int64))
    assert np.trace(form) == pytest.approx(total)
    assert errors.covariance[0, 0] == pytest.approx(z @ form @ z, rel=1e-10)
    assert errors.df_of(np.ones(1)) == pytest.approx(np.trace(form) ** 2 / np.trace(form @ form), rel=1e-6)


def test_clusters_that_hold_two_cohorts_are_all_of_one_kind():
    members, cohort = np.array([0, 0, 1, 1, 2, 2]), np.array([1, 1, 2, 2, 2, 2])
    assert kinds_of(members, cohort).tolist() == [1, 2, 2]
    assert kinds_of(members, np.array([1, 2, 2, 2, 1, 1])).tolist() == [0, 0, 0]
    y, unit, time, starts = panel(5, 10, 10)
    mixed = did_two_way(y.ravel(), unit, time, time >= starts, cluster=unit % 10).estimate
    score = change(y)[:10] - change(y)[10:]
    assert mixed.std_error == pytest.approx(score.std(ddof=1) / math.sqrt(10), rel=1e-8)
    assert mixed.df == pytest.approx(9)


def test_the_joint_test_is_hotellings_scaled_to_f():
    """Oracle: T^2 with Welch's covariance matrix, (f - q + 1) / (f q) T^2 on q and f - q + 1 degrees of freedom."""
    y, *columns = panel(6, 12, 15)
    test = event_study(y.ravel(), *columns).pretrend
    before = y[:, : START - 1] - y[:, [START - 1]]
    gap = before[:12].mean(axis=0) - before[12:].mean(axis=0)
    square = gap @ np.linalg.solve(np.cov(before[:12].T) / 12 + np.cov(before[12:].T) / 15, gap)
    f = welch(change(y), 12)[2]
    assert (test.df, test.df_error) == (2, pytest.approx(f - 1))
    assert test.statistic == pytest.approx((f - 1) / (2 * f) * square, rel=1e-8)
    assert test.p_value == pytest.approx(stats.f.sf(test.statistic, 2, f - 1), rel=1e-8)


def test_too_few_treated_units_for_the_periods_before_are_not_tested_together():
    """G-5: not computed, with the reason, is neither a pass nor a fail."""
    y, *columns = panel(7, 3, 40)
    study = event_study(y.ravel(), *columns)
    assert study.pretrend is None
    told = {finding.code: finding for finding in study.estimate.findings}["pretrend_untestable"]
    assert (told.severity, told.numbers["periods"]) == ("warning", 2)
    assert study.estimate.grade.level == "weak"
    assert event_study(y.ravel(), *columns, small_sample="nested").pretrend is not None


def test_what_cannot_be_counted_is_refused():
    y, *columns = panel(8, 1, 1)
    with pytest.raises(NotEnoughDataError, match="two clusters of a kind"):
        by_two_way(y.ravel(), *columns)
    errors = ClusterErrors.plain(np.zeros((2, 2)), 30.0)
    with pytest.raises(DataError, match="too few clusters to test 2"):
        errors.hotelling(np.ones(2), [0, 1])
    rest = panel(8, 4, 4)
    for call in (
        lambda: did_2x2(rest[0].ravel(), np.isfinite(rest[3]), rest[2] >= START, cluster=rest[1], small_sample="nested"),
        lambda: impute_did(rest[0].ravel(), *rest[1:], small_sample="nested"),
        lambda: CleanComparison(small_sample="nested"),
        lambda: event_study(rest[0].ravel(), *rest[1:], small_sample="cr2"),
    ):
        with pytest.raises(UsageError, match="small_sample must be one of"):
            call()


@given(
    seed=st.integers(0, 10_000),
    sizes=st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(2, 12)),
    alpha=st.floats(0.001, 0.3),
    method=st.sampled_from([by_two_way, by_imputation, by_events, by_cohorts]),
)
@settings(max_examples=60, deadline=None)
def test_p_value_and_interval_are_one_fact_and_neither_order_nor_unit_matters(seed, sizes, alpha, method):
    y, unit, time, cohort = panel(seed, *sizes, starts=(2, 4))
    found = method(y.ravel(), unit, time, cohort)
    one = found.effect / found.std_error
    assert found.p_value == pytest.approx(2 * stats.t.sf(abs(one), found.df), rel=1e-6)
    reach = stats.t.isf(alpha / 2, found.df) * found.std_error
    assert (abs(found.effect) > reach) == (found.p_value < alpha)
    assert found.interval.excludes(0.0) == (found.p_value < 0.05)
    order = np.random.default_rng(seed).permutation(y.size)
    mixed = method(1000 * y.ravel()[order], -unit[order], time[order], cohort[order])
    assert (mixed.effect, mixed.std_error) == pytest.approx((1000 * found.effect, 1000 * found.std_error), rel=1e-6, abs=1e-6)
    assert (mixed.df, mixed.p_value) == pytest.approx((found.df, found.p_value), rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("estimate", [by_events, by_cohorts, by_imputation, by_two_way])
def test_the_size_holds_with_few_treated_units_where_the_published_errors_lose_it(estimate):
    """Size at 5%, cohorts of 3 and 3 (or 4) against 44, 700 panels: exact binomial bounds at 6%; published errors go beyond 8%."""
    sizes, starts = ((4, 44), (START,)) if estimate is by_events else ((3, 3, 44), (2, 4))
    published = {
        by_events: lambda *rows: event_study(*rows, small_sample="nested").estimate,
        by_cohorts: lambda *rows: aggregate_did(att_gt(*rows)).estimate,
        by_imputation: lambda *rows: impute_did(*rows).estimate,
        by_two_way: lambda y, unit, time, cohort: did_two_way(y, unit, time, time >= cohort, small_sample="nested").estimate,
    }[estimate]
    wrong, naive, runs = 0, 0, 700
    for seed in range(runs):
        y, *columns = panel(seed, *sizes, starts=starts)
        wrong += estimate(y.ravel(), *columns).p_value < 0.05
        naive += published(y.ravel(), *columns).p_value < 0.05
    assert stats.binomtest(wrong, runs, 0.06, alternative="greater").pvalue > 1e-3, wrong / runs
    assert stats.binomtest(wrong, runs, 0.015, alternative="less").pvalue > 1e-3, wrong / runs
    assert stats.binomtest(naive, runs, 0.08, alternative="greater").pvalue < 0.05, naive / runs
