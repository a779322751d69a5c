"""Ratio of sums over units by the delta method."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import tea_tasting as tt

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.moments import CoMoments
from fairtrial.stats.ratio import ratio_test, ratio_value


def users(seed, n, rate):
    rng = np.random.default_rng(seed)
    sessions = 1.0 + rng.poisson(2.0, n)
    return np.column_stack([rng.poisson(rate * sessions * rng.gamma(3, 1 / 3, n)).astype(float), sessions])


def test_a_ratio_is_that_of_tea_tasting():
    """Oracle: tea_tasting.RatioOfMeans(use_t=False), 1e-9."""
    control, treatment = users(1, 300, 0.5), users(2, 280, 0.6)
    rows = np.vstack([control, treatment])
    data = {"variant": np.repeat([0, 1], [300, 280]), "clicks": rows[:, 0], "sessions": rows[:, 1]}
    theirs = tt.Experiment(ratio=tt.RatioOfMeans("clicks", "sessions", use_t=False)).analyze(pd.DataFrame(data))["ratio"]
    ours = ratio_test(CoMoments.from_values(control), CoMoments.from_values(treatment))
    assert (ours.control, ours.treatment) == pytest.approx((theirs.control, theirs.treatment), rel=1e-12)
    assert (ours.effect, ours.p_value) == pytest.approx((theirs.effect_size, theirs.pvalue), rel=1e-9)
    assert (ours.interval.low, ours.interval.high) == pytest.approx((theirs.effect_size_ci_lower, theirs.effect_size_ci_upper), rel=1e-9)
    log = ratio_test(CoMoments.from_values(control), CoMoments.from_values(treatment), lift_method="log").lift_interval
    assert (log.low, log.high) == pytest.approx((theirs.rel_effect_size_ci_lower, theirs.rel_effect_size_ci_upper), rel=1e-9)


def test_the_standard_error_of_a_ratio_is_that_of_the_bootstrap():
    """Monte Carlo: 4,000 resamples of units, within 4%."""
    values = users(3, 400, 0.5)
    rng = np.random.default_rng(4)
    sums = values[rng.integers(0, 400, (4000, 400))].sum(axis=1)
    value = ratio_value(CoMoments.from_values(values))
    assert value.ratio == pytest.approx(values[:, 0].sum() / values[:, 1].sum(), rel=1e-12)
    assert value.std_error == pytest.approx((sums[:, 0] / sums[:, 1]).std(ddof=1), rel=0.04)


def test_the_effects_variance_is_the_sum_of_the_arms():
    control, treatment = CoMoments.from_values(users(5, 90, 0.5)), CoMoments.from_values(users(6, 80, 0.5))
    parts = [ratio_value(arm).std_error for arm in (control, treatment)]
    assert ratio_test(control, treatment).std_error == pytest.approx(np.hypot(*parts), rel=1e-12)


def test_one_unit_has_a_ratio_but_no_standard_error():
    assert ratio_value(CoMoments.from_values([[3.0, 4.0]])).std_error is None


def test_data_that_cannot_answer_is_named():
    good, empty = CoMoments.from_values(users(1, 50, 0.5)), CoMoments.from_values([[0.0, 0.0], [0.0, 0.0]])
    with pytest.raises(DataError) as zero:
        ratio_test(good, empty)
    with pytest.raises(DataError):
        ratio_value(empty)
    with pytest.raises(NotEnoughDataError) as few:
        ratio_test(good, CoMoments.from_values([[3.0, 4.0]]))
    assert (zero.value.code, few.value.code) == ("zero_denominator", "too_few_units")


def test_a_ratio_needs_two_columns():
    one = CoMoments.from_values([1.0, 2.0])
    with pytest.raises(UsageError, match="two columns"):
        ratio_test(one, one)
