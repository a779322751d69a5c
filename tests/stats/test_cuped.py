"""CUPED against its golden value, ordinary least squares and another library."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import tea_tasting as tt

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.cuped import cuped_test
from fairtrial.stats.means import welch_test
from fairtrial.stats.moments import CoMoments


def summary(n, mean_y, mean_x, var_y, var_x, cov):
    return CoMoments(n=n, mean=np.array([mean_y, mean_x]), cross=np.array([[var_y, cov], [cov, var_x]]) * (n - 1))


GOLDEN = (summary(1000, 10.0, 9.9, 25.0, 16.0, 12.0), summary(1000, 10.5, 10.1, 26.0, 16.0, 12.2))


def arms(seed, n=(80, 60), slopes=(0.8, 0.8)):
    rng = np.random.default_rng(seed)
    out = []
    for size, slope in zip(n, slopes, strict=True):
        x = rng.normal(10, 2, size)
        out.append(np.column_stack([3 + slope * x + rng.normal(0, 1, size), x]))
    return out


def test_the_golden_example():
    """Requirements, Part I (`GET /experiments/{id}/cuped`), to the digits printed there."""
    raw, adjusted = welch_test(GOLDEN[0].column(), GOLDEN[1].column()), cuped_test(*GOLDEN)
    assert adjusted.theta == pytest.approx(0.75625, abs=1e-12)
    assert (raw.effect, raw.std_error) == pytest.approx((0.5, 0.225832), abs=5e-7)
    assert raw.p_value == pytest.approx(0.02694, abs=5e-6)
    assert (adjusted.effect, adjusted.std_error) == pytest.approx((0.34875, 0.180828), abs=5e-7)
    assert adjusted.p_value == pytest.approx(0.05392, abs=5e-6)
    assert adjusted.variance_reduction == pytest.approx(0.358848, abs=5e-7)


def test_pooled_within_is_the_slope_and_effect_of_ancova():
    """Frisch-Waugh; oracle: statsmodels OLS on intercept, treatment and covariate, 1e-9."""
    control, treatment = arms(1)
    ours = cuped_test(CoMoments.from_values(control), CoMoments.from_values(treatment))
    rows = np.vstack([control, treatment])
    design = np.column_stack([np.ones(140), np.repeat([0.0, 1.0], [80, 60]), rows[:, 1]])
    fit = sm.OLS(rows[:, 0], design).fit()
    assert (ours.effect, ours.theta) == pytest.approx(tuple(fit.params[1:]), rel=1e-9)


@pytest.mark.parametrize("columns", [1, 2])
def test_pooled_overall_is_tea_tasting(columns):
    """Oracle: tea_tasting.Mean and RatioOfMeans with covariates, 1e-8."""
    rng = np.random.default_rng(2)
    n = np.array([150, 130])
    base = rng.gamma(4, 1, n.sum())
    frame = pd.DataFrame(
        {
            "variant": np.repeat([0, 1], n),
            "orders": rng.poisson(base).astype(float),
            "visits": 1.0 + rng.poisson(base),
            "orders_before": rng.poisson(base).astype(float),
            "visits_before": 1.0 + rng.poisson(base),
        }
    )
    if columns == 1:
        metric, names = tt.Mean("orders", "orders_before"), ["orders", "orders_before"]
    else:
        metric = tt.RatioOfMeans("orders", "visits", "orders_before", "visits_before", use_t=False)
        names = ["orders", "visits", "orders_before", "visits_before"]
    theirs = tt.Experiment(m=metric).analyze(frame)["m"]
    control, treatment = (CoMoments.from_values(frame.loc[frame.variant == v, names].to_numpy()) for v in (0, 1))
    ours = cuped_test(control, treatment, theta_method="pooled_overall", lift_method="log")
    assert (ours.control, ours.treatment) == pytest.approx((theirs.control, theirs.treatment), rel=1e-10)
    assert (ours.effect, ours.p_value) == pytest.approx((theirs.effect_size, theirs.pvalue), rel=1e-8)
    assert (ours.interval.low, ours.interval.high) == pytest.approx((theirs.effect_size_ci_lower, theirs.effect_size_ci_upper), rel=1e-8)


def test_the_theta_methods_are_what_they_say():
    control, treatment = arms(3, slopes=(0.3, 1.5))
    c, t = np.cov(control.T), np.cov(treatment.T)
    overall = np.cov(np.vstack([control, treatment]).T)
    expected = {
        "pooled_within": (79 * c[0, 1] + 59 * t[0, 1]) / (79 * c[1, 1] + 59 * t[1, 1]),
        "pooled_overall": overall[0, 1] / overall[1, 1],
        "sum_of_arm_covariances": (c[0, 1] + t[0, 1]) / (c[1, 1] + t[1, 1]),
        "control_only": c[0, 1] / c[1, 1],
    }
    for method, theta in expected.items():
        estimate = cuped_test(CoMoments.from_values(control), CoMoments.from_values(treatment), theta_method=method)
        assert estimate.theta == pytest.approx(theta, rel=1e-10), method
        left = [arm[:, 0] - theta * arm[:, 1] for arm in (control, treatment)]
        assert estimate.std_error == pytest.approx(np.sqrt(sum(e.var(ddof=1) / e.size for e in left)), rel=1e-10)


def test_a_covariate_that_tells_nothing_may_cost_variance():
    """Control and treatment lean on the covariate in opposite ways; the control's slope makes it worse."""
    control, treatment = (CoMoments.from_values(arm) for arm in arms(4, slopes=(1.5, -1.5)))
    assert cuped_test(control, treatment, theta_method="control_only").variance_reduction < 0


def test_a_constant_covariate_is_welch():
    rng = np.random.default_rng(5)
    control, treatment = (np.column_stack([rng.normal(5, 1, n), np.full(n, 0.7)]) for n in (30, 40))
    ours = cuped_test(CoMoments.from_values(control), CoMoments.from_values(treatment))
    welch = welch_test(CoMoments.from_values(control).column(), CoMoments.from_values(treatment).column())
    assert (ours.theta, ours.variance_reduction) == (0.0, 0.0)
    assert (ours.effect, ours.std_error, ours.df, ours.p_value) == pytest.approx(
        (welch.effect, welch.std_error, welch.df, welch.p_value), rel=1e-12
    )


def test_data_that_cannot_answer_is_named():
    with pytest.raises(NotEnoughDataError):
        cuped_test(CoMoments.from_values([[1.0, 2.0]]), GOLDEN[1])
    told = CoMoments.from_values([[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]])
    with pytest.raises(DataError) as caught:
        cuped_test(told, told)
    assert caught.value.code == "no_variance"


@pytest.mark.parametrize("k", [1, 3])
def test_the_columns_must_be_two_or_four(k):
    moments = CoMoments.from_values(np.random.default_rng(6).normal(size=(9, k)))
    with pytest.raises(UsageError, match="two columns"):
        cuped_test(moments, moments)
