"""Difference in differences: two groups, cells, fixed effects, event study."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.quasi import CellMean, did_2x2, did_from_cells, did_two_way, event_study
from fairtrial.quasi.event_study import joint_test, pretrend_findings
from fairtrial.quasi.fixed_effects import TwoWay, fit_panel


def panel(seed, *, units=20, periods=6, start=3, effect=0.0, treated=0.5, missing=0.0, wander=1.0):
    """A panel with unit and period effects and errors that wander within a unit."""
    rng = np.random.default_rng(seed)
    unit, time = np.repeat(np.arange(units), periods), np.tile(np.arange(periods), units)
    group = unit < units * treated
    noise = np.cumsum(rng.normal(0, wander, (units, periods)), axis=1).ravel()
    y = rng.normal(0, 2, units)[unit] + rng.normal(0, 1, periods)[time] + noise + effect * (group & (time >= start))
    frame = pd.DataFrame({"y": y, "unit": unit, "time": time, "group": group.astype(int), "post": (time >= start).astype(int)})
    frame["on"] = frame.group * frame.post
    frame["cohort"] = np.where(frame.group == 1, float(start), np.nan)
    return frame[rng.random(len(frame)) >= missing].reset_index(drop=True)


@given(seed=st.integers(0, 10_000), shift=st.floats(-1e6, 1e6), scale=st.floats(0.01, 100))
@settings(max_examples=25, deadline=None)
def test_the_effect_follows_the_units_of_the_outcome(seed, shift, scale):
    frame = panel(seed)
    one = did_2x2(frame.y, frame.group, frame.post, cluster=frame.unit).estimate
    other = did_2x2(shift + scale * frame.y, frame.group, frame.post, cluster=frame.unit).estimate
    assert other.effect == pytest.approx(scale * one.effect, rel=1e-6, abs=1e-8 * scale)
    assert other.std_error == pytest.approx(scale * one.std_error, rel=1e-6)


def test_a_two_by_two_is_the_interaction_of_a_regression():
    """Oracle: statsmodels, OLS with clusters, relative 1e-9."""
    frame = panel(3, effect=1.0, missing=0.1)
    fit = smf.ols("y ~ group * post", frame).fit(cov_type="cluster", cov_kwds={"groups": frame.unit})
    ours = did_2x2(frame.y, frame.group, frame.post, cluster=frame.unit)
    assert ours.estimate.effect == pytest.approx(fit.params["group:post"], rel=1e-9)
    assert ours.std_errors["cluster_cr1"] == pytest.approx(fit.bse["group:post"], rel=1e-9)
    assert did_2x2(frame.y, frame.group, frame.post).estimate.std_error == pytest.approx(
        smf.ols("y ~ group * post", frame).fit(cov_type="HC1").bse["group:post"], rel=1e-9
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_two_way_effects_are_those_of_all_dummies_balanced_or_not(weighted):
    """Oracle: statsmodels WLS with every dummy, relative 1e-8; its cluster factor counts them all."""
    frame = panel(4, effect=1.0, missing=0.2)
    frame["w"] = np.random.default_rng(0).uniform(0.5, 2, len(frame)) if weighted else 1.0
    fit = smf.wls("y ~ on + C(unit) + C(time)", frame, weights=frame.w).fit(cov_type="cluster", cov_kwds={"groups": frame.unit})
    ours = did_two_way(frame.y, frame.unit, frame.time, frame.on, weights=frame.w if weighted else None, small_sample="all")
    assert ours.estimate.effect == pytest.approx(fit.params["on"], rel=1e-8)
    assert ours.estimate.std_error == pytest.approx(fit.bse["on"], rel=1e-8)
    assert ours.std_errors["none"] < ours.std_errors["nested"] < ours.std_errors["all"]


def test_an_offset_of_a_billion_costs_no_digits():
    frame = panel(5, effect=1.0)
    near = did_two_way(frame.y, frame.unit, frame.time, frame.on).estimate
    far = did_two_way(frame.y + 1e9, frame.unit, frame.time, frame.on).estimate
    assert far.effect == pytest.approx(near.effect, rel=1e-5)
    assert far.std_error == pytest.approx(near.std_error, rel=1e-5)


def test_clusters_above_units_count_every_dummy_only_where_units_cross_them():
    frame = panel(6, units=40)
    coarse = did_two_way(frame.y, frame.unit, frame.time, frame.on, cluster=frame.unit % 10)
    assert coarse.std_errors["nested"] < coarse.std_errors["all"]
    crossed = did_two_way(frame.y, frame.unit, frame.time, frame.on, cluster=np.arange(len(frame)) % 12)
    assert crossed.std_errors["nested"] == crossed.std_errors["all"]


def test_cells_add_their_variances():
    names = ("control_pre", "control_post", "treated_pre", "treated_post")
    figures = zip(names, (1.0, 2.0, 1.0, 5.0), (0.1, 0.2, 0.3, 0.4), strict=True)
    cells = {name: CellMean(mean=mean, std_error=error, n=9) for name, mean, error in figures}
    found = did_from_cells(cells)
    assert found.estimate.effect == pytest.approx(3.0)
    assert found.estimate.std_error == pytest.approx(math.sqrt(0.3))
    assert found.estimate.n == 36


@pytest.mark.parametrize(
    ("changed", "match"), [({"treated_post": None}, "four cells"), ({"treated_post": CellMean(mean=1.0, std_error=-1.0)}, "finite mean")]
)
def test_broken_cells_are_refused(changed, match):
    cells = dict.fromkeys(("control_pre", "control_post", "treated_pre", "treated_post"), CellMean(mean=1.0, std_error=0.1)) | changed
    with pytest.raises(UsageError, match=match):
        did_from_cells({name: cell for name, cell in cells.items() if cell is not None})


def codes(estimate):
    return {finding.code: finding.severity for finding in estimate.findings}


def test_one_treated_unit_is_warned_of():
    frame = panel(7, treated=0.05)
    estimate = did_two_way(frame.y, frame.unit, frame.time, frame.on).estimate
    assert codes(estimate)["few_treated_clusters"] == "warning"
    assert estimate.grade.level == "weak"


def test_few_clusters_are_a_note():
    frame = panel(7)
    assert codes(did_two_way(frame.y, frame.unit, frame.time, frame.on, small_sample="nested").estimate) == {"few_clusters": "info"}
    assert codes(did_two_way(frame.y, frame.unit, frame.time, frame.on).estimate) == {}  # that error counts how few they are


def test_staggered_adoption_and_treatments_that_end_are_warned_of():
    frame = panel(8, units=60)
    frame["on"] = (frame.time >= frame.unit % 5 + 1).astype(int)
    result = did_two_way(frame.y, frame.unit, frame.time, frame.on)
    assert codes(result.estimate)["staggered_adoption"] == "warning"
    assert result.negative_weights > 0.0
    frame["on"] = ((frame.unit < 30) & (frame.time == 2)).astype(int)
    assert codes(did_two_way(frame.y, frame.unit, frame.time, frame.on).estimate)["treatment_ends"] == "warning"


def test_negative_weights_are_those_of_the_theorem():
    """de Chaisemartin & D'Haultfoeuille (2020), section II: 3 periods, groups treated from 2 and 3: weights 1/2, 1, -1/2."""
    on = [0, 1, 1, 0, 0, 1]
    result = did_two_way([1.0, 2, 4, 1, 1, 2.5], [1, 1, 1, 2, 2, 2], [1, 2, 3, 1, 2, 3], on, small_sample="none")
    assert result.negative_weights == pytest.approx(1 / 3)


@pytest.mark.parametrize(("lone", "severity"), [(1, "info"), (10, "warning")])
def test_units_seen_in_one_wave_are_a_finding(lone, severity):
    frame = panel(9, units=40, periods=2, start=1)
    frame = frame[~((frame.unit < lone) & (frame.time == 1))]
    found = did_2x2(frame.y, frame.group, frame.post, cluster=frame.unit).estimate
    assert codes(found)["one_wave_only"] == severity


@pytest.mark.parametrize(
    ("rows", "error", "match"),
    [
        ({"y": [1.0, 2, 3, 4], "treated": [0, 0, 1, 1], "post": [0, 0, 1, 1]}, NotEnoughDataError, "four cells"),
        ({"y": [1.0, 2, 3], "treated": [0, 0, 1, 1], "post": [0, 1, 0, 1]}, UsageError, "one value a row"),
        ({"y": [1.0] * 4, "treated": [0, 0, 1, 1], "post": [0, 1, 0, 1]}, NotEnoughDataError, "more units"),
        ({"y": [1.0] * 8, "treated": [0, 0, 1, 1] * 2, "post": [0, 1, 0, 1] * 2}, DataError, "nothing varies"),
    ],
)
def test_what_is_no_two_by_two_is_refused(rows, error, match):
    with pytest.raises(error, match=match):
        did_2x2(rows["y"], rows["treated"], rows["post"])


def test_one_cluster_is_refused():
    y, group, post = np.arange(8.0) ** 2, [0, 0, 1, 1] * 2, [0, 1, 0, 1] * 2
    with pytest.raises(NotEnoughDataError, match="two clusters"):
        did_2x2(y, group, post, cluster=[1] * 8)
    with pytest.raises(NotEnoughDataError, match="two clusters"):
        did_two_way(y, np.arange(8) // 2, np.arange(8) % 2, post, cluster=[1] * 8)


def test_a_treatment_that_does_not_vary_within_periods_is_refused():
    frame = panel(1)
    with pytest.raises(DataError, match="does not vary"):
        did_two_way(frame.y, frame.unit, frame.time, frame.post)
    with pytest.raises(DataError, match="does not vary"):
        did_two_way(frame.y, frame.unit, frame.time, np.zeros(len(frame)))
    with pytest.raises(UsageError, match="small_sample"):
        did_two_way(frame.y, frame.unit, frame.time, frame.on, small_sample="cr7")


def test_more_effects_than_rows_are_refused():
    y, unit, period = np.array([1.0, 2, 4, 3]), np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    with pytest.raises(NotEnoughDataError, match="coefficients"):
        fit_panel(y, np.array([[0.0], [1], [0], [0]]), TwoWay.of(unit, period), unit)


# The event study.


def test_event_study_coefficients_are_those_of_all_dummies():
    """Oracle: statsmodels OLS with every dummy, relative 1e-8, and its Wald test with the same factor."""
    frame = panel(11, units=40, effect=2.0)
    for e in (-3, -2, 0, 1, 2):
        frame[f"e{e + 3}"] = ((frame.group == 1) & (frame.time - 3 == e)).astype(int)
    fit = smf.ols("y ~ e0 + e1 + e3 + e4 + e5 + C(unit) + C(time)", frame).fit(
        cov_type="cluster", cov_kwds={"groups": frame.unit}, use_t=True
    )
    study = event_study(frame.y, frame.unit, frame.time, frame.cohort, small_sample="all")
    for point in study.points:
        if point.event_time != -1:
            assert point.effect == pytest.approx(fit.params[f"e{point.event_time + 3}"], rel=1e-8)
            assert point.std_error == pytest.approx(fit.bse[f"e{point.event_time + 3}"], rel=1e-8)
    wald = fit.f_test("e0 = e1 = 0")
    assert (study.pretrend.statistic, study.pretrend.p_value) == pytest.approx((float(wald.fvalue), float(wald.pvalue)), rel=1e-7)
    assert study.estimate.effect == pytest.approx(np.mean([p.effect for p in study.points if p.event_time >= 0]))
    assert study.points[2].effect == 0.0
    assert study.points[2].interval is None


def test_different_trends_before_are_a_warning_and_make_the_grade_weak():
    frame = panel(12, units=40, wander=0.1)
    frame["y"] += 0.5 * frame.group * frame.time
    study = event_study(frame.y, frame.unit, frame.time, frame.cohort)
    assert codes(study.estimate)["pretrend"] == "warning"
    assert study.estimate.grade.level == "weak"


def test_equal_trends_before_leave_a_moderate_grade():
    frame = panel(14, units=40)
    study = event_study(frame.y, frame.unit, frame.time, frame.cohort)
    assert codes(study.estimate) == {"pretrend_not_rejected": "info"}
    assert study.estimate.grade.level == "moderate"


def test_no_period_before_means_no_test():
    frame = panel(15, units=40, periods=3, start=1)
    study = event_study(frame.y, frame.unit, frame.time, frame.cohort)
    assert study.pretrend is None
    assert codes(study.estimate)["no_pretrend_test"] == "warning"
    assert pretrend_findings(None)[0].code == "no_pretrend_test"


def test_several_cohorts_are_warned_of():
    frame = panel(16, units=60)
    frame["cohort"] = np.where(frame.group == 1, 2.0 + frame.unit % 3, np.nan)
    assert codes(event_study(frame.y, frame.unit, frame.time, frame.cohort).estimate)["mixed_cohorts"] == "warning"


@pytest.mark.parametrize(
    ("cohort", "match"),
    [(lambda f: np.full(len(f), np.nan), "Nobody"), (lambda f: np.full(len(f), 3.0), "Everybody")],
)
def test_an_event_study_needs_treated_and_never_treated_units(cohort, match):
    frame = panel(17)
    with pytest.raises(NotEnoughDataError, match=match):
        event_study(frame.y, frame.unit, frame.time, cohort(frame))


def test_an_event_study_needs_a_period_before():
    frame = panel(17)
    with pytest.raises(NotEnoughDataError, match="before the treatment"):
        event_study(frame.y, frame.unit, frame.time, np.where(frame.group == 1, -1.0, np.nan))


def test_a_joint_test_of_what_cannot_be_told_apart_is_refused():
    with pytest.raises(DataError, match="singular"):
        joint_test(np.ones(2), np.ones((2, 2)))
    with pytest.raises(DataError, match="singular"):
        joint_test(np.ones(1), np.zeros((1, 1)))
    with pytest.raises(UsageError, match="k >= 1"):
        joint_test(np.ones(0), np.zeros((0, 0)))


def test_a_joint_test_of_one_coefficient_is_its_t_test():
    test = joint_test(np.array([2.0]), np.array([[1.0]]), df_error=9.0)
    assert test.p_value == pytest.approx(2 * stats.t.sf(2.0, 9), rel=1e-12)
    assert joint_test(np.array([2.0]), np.array([[1.0]])).p_value == pytest.approx(2 * stats.norm.sf(2.0), rel=1e-12)


@pytest.mark.slow
def test_the_clustered_test_errs_as_promised_where_the_plain_one_does_not():
    """Size at 5%, 50 units whose errors wander, 600 panels: exact binomial bounds; independent errors miss by far."""
    runs, wrong, naive, fixed = 600, 0, 0, 0
    for seed in range(runs):
        frame = panel(seed, units=50)
        columns = {name: frame[name].to_numpy() for name in ("y", "group", "post", "unit", "time", "on")}
        result = did_2x2(columns["y"], columns["group"], columns["post"], cluster=columns["unit"])
        wrong += result.estimate.p_value < 0.05
        naive += 2 * stats.norm.sf(abs(result.estimate.effect) / result.std_errors["hc1"]) < 0.05
        fixed += did_two_way(columns["y"], columns["unit"], columns["time"], columns["on"]).estimate.p_value < 0.05
    for found in (wrong, fixed):
        assert stats.binomtest(found, runs, 0.065, alternative="greater").pvalue > 1e-3, found / runs
        assert stats.binomtest(found, runs, 0.035, alternative="less").pvalue > 1e-3, found / runs
    assert stats.binomtest(naive, runs, 0.05).pvalue < 1e-3, naive / runs
