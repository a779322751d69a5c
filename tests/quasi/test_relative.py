"""The lift of a quasi-experiment: its base is estimated by the same rows as the effect (G-12 for estimated bases).

References: least squares with the same covariances by statsmodels and a numerical gradient; a jackknife over clusters, which
knows nothing of our influence functions; hand arithmetic for four independent cells and two independent sides.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fairtrial.quasi import (
    CellMean,
    aggregate_did,
    att_gt,
    counterfactual_series,
    did_2x2,
    did_from_cells,
    did_two_way,
    event_study,
    impute_did,
    late_2sls,
    sharp_rdd,
    synthetic_control,
)
from fairtrial.quasi.relative import LevelError, lift_of
from fairtrial.stats.result import Interval, Unavailable

NORMAL = stats.norm.isf(0.025)


def panel(seed, *, units=60, periods=6, effect=2.0, level=20.0):
    rng = np.random.default_rng(seed)
    unit, time = np.repeat(np.arange(units), periods), np.tile(np.arange(periods), units)
    first = np.where(np.arange(units) < units // 3, 3.0, np.where(np.arange(units) < units // 2, 4.0, np.nan))
    on = time >= np.nan_to_num(first, nan=99.0)[unit]
    y = level + rng.normal(0, 2, units)[unit] + 0.3 * time + rng.normal(0, 1.5, unit.size) + effect * on
    return pd.DataFrame({"y": y, "unit": unit, "time": time, "cohort": first[unit], "on": on})


def two_way(frame):
    return did_two_way(frame.y, frame.unit, frame.time, frame.on, small_sample="none").estimate


def imputed(frame):
    return impute_did(frame.y, frame.unit, frame.time, frame.cohort).estimate


def staggered(frame):
    return aggregate_did(att_gt(frame.y, frame.unit, frame.time, frame.cohort)).estimate


def grouped(frame):
    post = (frame.time >= 3).astype(int)
    return did_2x2(frame.y, np.isfinite(frame.cohort), post, cluster=frame.unit).estimate


def instrumented(seed, *, units=600, moved=0.5, level=20.0):
    rng = np.random.default_rng(seed)
    z = rng.integers(0, 2, units)
    own = rng.normal(0, 1, units)
    d = (rng.random(units) < 0.2 + moved * z).astype(float)
    frame = pd.DataFrame({"y": level + 2.0 * d + own + rng.normal(0, 1, units), "d": d, "z": z, "x": own, "unit": np.arange(units)})
    return frame.assign(block=frame.unit // 10)


def late(frame):
    return late_2sls(frame.y, frame.d, frame.z, covariates=frame.x).estimate


def width(found):
    return (found.high - found.low) / 2


# References.


@pytest.mark.parametrize(("kind", "df"), [("HC1", 356.0), ("cluster", 59.0)])
def test_two_by_two_is_the_delta_method_on_statsmodels_covariance_of_all_four_coefficients(kind, df):
    frame = panel(1)
    frame["group"], frame["post"] = np.isfinite(frame.cohort).astype(float), (frame.time >= 3).astype(float)
    options = {"cov_type": "HC1"} if kind == "HC1" else {"cov_type": "cluster", "cov_kwds": {"groups": frame.unit}}
    fit = smf.ols("y ~ group * post", frame).fit(**options)
    beta, covariance = fit.params.to_numpy(), fit.cov_params().to_numpy()

    def lift(b):
        return b[3] / (b[0] + b[1] + b[2])

    gradient = np.array([(lift(beta + step) - lift(beta - step)) / 2e-5 for step in 1e-5 * np.eye(4)])
    half = stats.t.isf(0.025, df) * math.sqrt(gradient @ covariance @ gradient)
    found = did_2x2(frame.y, frame.group, frame.post, cluster=None if kind == "HC1" else frame.unit).estimate
    assert found.relative() == pytest.approx(lift(beta), rel=1e-10)
    assert width(found.relative_interval()) == pytest.approx(half, rel=1e-7)  # the gradient is numerical


def test_four_cells_are_hand_arithmetic():
    means = {"control_pre": 10.0, "control_post": 11.0, "treated_pre": 12.0, "treated_post": 15.0}
    cells = {name: CellMean(mean=mean, std_error=error) for (name, mean), error in zip(means.items(), (0.3, 0.4, 0.5, 0.6), strict=True)}
    found = did_from_cells(cells).estimate
    # base 12 + 11 - 10 = 13, effect 2; d lift = d treated / 13 - 15 d base / 169
    half = NORMAL * math.sqrt(0.36 / 13**2 + 15**2 * (0.09 + 0.16 + 0.25) / 13**4)
    interval = found.relative_interval()
    assert [interval.low, interval.high] == pytest.approx([2 / 13 - half, 2 / 13 + half], rel=1e-12)


def test_a_discontinuity_is_the_ratio_of_two_independent_sides():
    rng = np.random.default_rng(3)
    x = rng.uniform(-1, 1, 800)
    found = sharp_rdd(8 + x + 2.0 * (x >= 0) + rng.normal(0, 1, 800), x).estimate
    base, on = found.counterfactual, found.treated
    error_off = math.sqrt(found.level_error.variance)
    error_on = math.sqrt(found.std_error**2 - error_off**2)
    half = NORMAL * math.sqrt(error_on**2 / base**2 + on**2 * error_off**2 / base**4)
    assert width(found.relative_interval()) == pytest.approx(half, rel=1e-12)
    below = sharp_rdd(8 + x + 2.0 * (x < 0) + rng.normal(0, 1, 800), x, treated="below").estimate
    assert below.relative_interval().low < below.relative() < below.relative_interval().high


def jackknifed(fit, frame, key):
    """Standard error of the lift by leaving out one cluster after another."""
    left = np.array([fit(frame[frame[key] != group]).relative() for group in frame[key].unique()])
    return math.sqrt((left.size - 1) / left.size * float(np.square(left - left.mean()).sum()))


@pytest.mark.parametrize(
    ("fit", "frame", "key"),
    [
        (two_way, panel(4), "unit"),
        (imputed, panel(5), "unit"),
        (staggered, panel(6), "unit"),
        (grouped, panel(7), "unit"),
        (late, instrumented(8, units=300), "unit"),
    ],
    ids=["two_way", "imputation", "callaway_santanna", "two_by_two", "late"],
)
@pytest.mark.parametrize("level", [0.0, -14.0], ids=["far from zero", "near zero"])
def test_the_error_is_what_leaving_out_clusters_says(fit, frame, key, level):
    """Near zero the base's own error and its covariance with the effect make up most of the lift's error."""
    moved = frame.assign(y=frame.y + level)
    wide = fit(moved)
    half = stats.t.isf(0.025, wide.df or math.inf) * jackknifed(fit, moved, key)
    assert width(wide.relative_interval()) == pytest.approx(half, rel=0.06)  # jackknife and influence differ by about 1 / clusters


def test_clusters_of_an_instrument_widen_the_lift_as_the_jackknife_says():
    rng = np.random.default_rng(2)
    frame = instrumented(9, units=600)
    frame["y"] += rng.normal(0, 1.5, 60)[frame.block]

    def fit(rows):
        return late_2sls(rows.y, rows.d, rows.z, cluster=rows.block).estimate

    half = stats.t.isf(0.025, 59) * jackknifed(fit, frame, "block")
    assert width(fit(frame).relative_interval()) == pytest.approx(half, rel=0.06)


def test_the_small_sample_factor_is_the_effects_own():
    frame = panel(16)
    plain, nested = (did_two_way(frame.y, frame.unit, frame.time, frame.on, small_sample=kind).estimate for kind in ("none", "nested"))
    factor = (nested.std_error / plain.std_error) ** 2
    assert factor > 1.0
    assert nested.level_error.variance == pytest.approx(factor * plain.level_error.variance, rel=1e-12)
    assert nested.level_error.covariance == pytest.approx(factor * plain.level_error.covariance, rel=1e-12)


# Properties.


@given(
    seed=st.integers(0, 10_000), effect=st.floats(-3, 3), alpha=st.floats(0.001, 0.3), method=st.sampled_from([two_way, imputed, grouped])
)
@settings(max_examples=40, deadline=None)
def test_fiellers_interval_and_the_p_value_are_one_fact(seed, effect, alpha, method):
    found = replace(method(panel(seed, units=18, effect=effect)), alpha=alpha)
    interval = found.relative_interval("fieller")
    assert isinstance(interval, Unavailable) or interval.excludes(0.0) == (found.p_value < alpha)


@given(seed=st.integers(0, 10_000), scale=st.floats(0.001, 1000))
@settings(max_examples=25, deadline=None)
def test_a_lift_has_no_unit(seed, scale):
    frame = panel(seed, units=18)
    one, other = two_way(frame).relative_interval(), two_way(frame.assign(y=scale * frame.y)).relative_interval()
    assert [other.low, other.high] == pytest.approx([one.low, one.high], rel=1e-6, abs=1e-9)


def test_the_methods_agree_where_the_base_is_known_well():
    found = two_way(panel(10, level=2000.0))
    delta = found.relative_interval()
    for method in ("log", "fieller"):
        assert width(found.relative_interval(method)) == pytest.approx(width(delta), rel=1e-3)
        assert found.to_estimate(lift_method=method).lift_method == method


# What cannot be said.


def test_a_base_that_is_not_positive_has_no_lift_and_says_so():
    found = two_way(panel(11, level=-200.0))
    assert found.relative() == found.relative_interval()
    assert found.relative().code == "no_relative_effect"
    estimate = found.to_estimate()
    assert (estimate.lift, estimate.lift_interval, estimate.lift_method, estimate.notes) == (None, None, None, ("no_relative_effect",))


def test_a_weak_instrument_has_a_lift_without_an_interval():
    found = late(instrumented(12, moved=0.02))
    assert found.interval_method == "anderson_rubin"
    estimate = found.to_estimate()
    assert (estimate.lift_interval, estimate.notes) == (None, ("lift_without_interval",))
    assert estimate.lift is not None


def test_methods_without_an_error_of_the_base_say_so():
    frame = panel(13)
    found = event_study(frame.y, frame.unit, frame.time, frame.cohort).estimate
    assert found.relative_interval().code == "lift_without_interval"
    assert found.to_estimate().lift == pytest.approx(found.effect / found.counterfactual)


def test_an_observed_unit_has_one_interval_whatever_is_asked():
    rng = np.random.default_rng(14)
    other = np.cumsum(rng.normal(0, 1, 60)) + 80
    found = counterfactual_series(other + rng.normal(0, 1, 60) + 4.0 * (np.arange(60) >= 40), other, start=40).estimate
    assert found.to_estimate(lift_method="fieller").lift_method == "observed_treated"
    assert found.relative_interval("fieller") == found.relative_interval()
    frame = panel(15, units=6)
    few = synthetic_control(frame.y, frame.unit, frame.time, treated=0, start=3).estimate
    assert few.relative_interval().code == "lift_without_interval"  # too few donors: the effect's own interval is open


@pytest.mark.parametrize(
    ("error", "df", "alpha", "method"),
    [
        (LevelError(variance=9.0, covariance=-9.0), math.inf, 0.05, "fieller"),  # the base may be 0
        (LevelError(variance=0.01, covariance=-0.01), 1.0, 1e-4, "delta"),  # t's quantile lies beyond any normal one
    ],
)
def test_an_unbounded_interval_is_not_invented(error, df, alpha, method):
    found = lift_of(1.0, 3.5, 2.0, error, df=df, alpha=alpha, method=method)
    assert found.code == "lift_without_interval"


def test_the_log_needs_a_positive_treated_mean():
    assert lift_of(-3.0, 1.0, 2.0, LevelError(variance=0.1, covariance=-0.1), df=math.inf, alpha=0.05, method="log").code
    assert isinstance(lift_of(-1.0, 1.0, 2.0, LevelError(variance=0.1, covariance=-0.1), df=math.inf, alpha=0.05, method="log"), Interval)


# Calibration.


@pytest.mark.slow
@pytest.mark.parametrize("fit", [two_way, staggered])
def test_the_lift_is_covered_as_often_as_promised(fit):
    """400 panels of 60 units; the share covered may not differ from 0.95 by an exact binomial test at 0.001."""
    runs, truth = 400, []
    hits = 0
    for seed in range(runs):
        frame = panel(1_000 + seed, level=10.0)
        found = fit(frame)
        truth.append(found.treated - 2.0)
        interval = found.relative_interval()
        hits += interval.low <= 2.0 / (10.0 + 0.3 * TREATED_TIME) <= interval.high
    assert stats.binomtest(hits, runs, 0.95).pvalue > 0.001
    assert np.mean(truth) == pytest.approx(10.0 + 0.3 * TREATED_TIME, abs=0.1)


TREATED_TIME = (20 * (3 + 4 + 5) + 10 * (4 + 5)) / 80
"""Mean period of treated rows: 20 units from period 3 on, 10 from 4 on."""
