"""Staggered adoption: Callaway and Sant'Anna, its averages, imputation."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.quasi import CleanComparison, aggregate_did, att_gt, impute_did
from fairtrial.quasi.doubly_robust import doubly_robust_change, plain_change

STARTS = np.array([np.nan, 3.0, 5.0])


def staggered(seed, *, units=90, periods=6, effect=1.0, grows=0.0, drift=0.0):
    """Cohorts 3 and 5 and the never treated; a covariate that may carry a trend."""
    rng = np.random.default_rng(seed)
    unit, time = np.repeat(np.arange(units), periods), np.tile(np.arange(1, periods + 1), units)
    start, x = STARTS[np.arange(units) % 3], rng.normal(0, 1, units)
    on = time >= np.where(np.isnan(start), np.inf, start)[unit]
    since = np.where(on, time - np.nan_to_num(start, nan=0.0)[unit], 0.0)
    noise = np.cumsum(rng.normal(0, 1, (units, periods)), axis=1).ravel()
    y = rng.normal(0, 2, units)[unit] + 0.3 * time + noise + on * (effect + grows * since) + drift * x[unit] * time
    return pd.DataFrame({"y": y, "unit": unit, "time": time, "cohort": start[unit], "x": x[unit]})


def columns(frame):
    return frame.y, frame.unit, frame.time, frame.cohort


def codes(found):
    return {finding.code: finding.severity for finding in found}


def test_each_cell_is_a_two_by_two_with_its_own_errors():
    """Oracle: the difference of mean changes, Welch-like variance with divisor n, exact."""
    frame = staggered(1)
    wide = frame.pivot(index="unit", columns="time", values="y").to_numpy()
    first = frame.groupby("unit").cohort.first().to_numpy()
    for cell in att_gt(*columns(frame)).effects:
        base = int(cell.cohort) - 1 if cell.time >= cell.cohort else int(cell.time) - 1
        change = wide[:, int(cell.time) - 1] - wide[:, base - 1]
        on, off = change[first == cell.cohort], change[np.isnan(first)]
        assert cell.effect == pytest.approx(on.mean() - off.mean(), rel=1e-10)
        assert cell.std_error == pytest.approx(np.sqrt(on.var() / on.size + off.var() / off.size), rel=1e-10)
        assert (cell.n_treated, cell.n_control) == (30, 30)


def test_not_yet_treated_controls_join_the_never_treated():
    frame = staggered(2)
    cells = {(c.cohort, c.time): c for c in att_gt(*columns(frame), against=CleanComparison(control="not_yet_treated")).effects}
    assert cells[3.0, 3.0].n_control == 60
    assert cells[3.0, 5.0].n_control == 30
    without = frame[frame.cohort.notna()]
    alone = att_gt(*columns(without), against=CleanComparison(control="not_yet_treated"))
    assert {(c.cohort, c.time) for c in alone.effects} == {(3.0, 2.0), (3.0, 3.0), (3.0, 4.0), (5.0, 2.0)}
    with pytest.raises(NotEnoughDataError, match="untreated"):
        att_gt(*columns(without))


def test_a_universal_base_is_zero_by_construction_in_the_last_period_before():
    cells = att_gt(*columns(staggered(3)), against=CleanComparison(base="universal")).effects
    reference = [c for c in cells if c.event_time == -1]
    assert [c.effect for c in reference] == [0.0, 0.0]
    assert all(c.std_error is None and c.interval is None for c in reference)
    varying = {(c.cohort, c.time): c.effect for c in att_gt(*columns(staggered(3))).effects}
    assert all(c.effect == varying[c.cohort, c.time] for c in cells if c.event_time >= 0)


def test_anticipation_moves_the_base_back():
    frame = staggered(4)
    wide = frame.pivot(index="unit", columns="time", values="y").to_numpy()
    first = frame.groupby("unit").cohort.first().to_numpy()
    cell = next(c for c in att_gt(*columns(frame), against=CleanComparison(anticipation=1)).effects if (c.cohort, c.time) == (5.0, 6.0))
    change = wide[:, 5] - wide[:, 2]
    assert cell.effect == pytest.approx(change[first == 5].mean() - change[np.isnan(first)].mean())


def test_anticipation_before_the_first_period_leaves_a_cohort_out():
    cells = att_gt(*columns(staggered(4)), against=CleanComparison(anticipation=2)).effects
    assert {c.cohort for c in cells} == {5.0}


def test_a_reference_period_has_no_error_in_an_average_either():
    points = aggregate_did(att_gt(*columns(staggered(3)), against=CleanComparison(base="universal")), "dynamic").points
    (reference,) = [point for point in points if point.at == -1]
    assert (reference.effect, reference.std_error, reference.interval) == (0.0, None, None)


def test_averages_weigh_cohorts_by_size_and_distances_evenly():
    groups = att_gt(*columns(staggered(5)))
    after = [c for c in groups.effects if c.event_time >= 0]
    simple = aggregate_did(groups, "simple")
    assert simple.estimate.effect == pytest.approx(np.mean([c.effect for c in after]))  # cohorts of one size
    dynamic = aggregate_did(groups, "dynamic")
    assert [p.at for p in dynamic.points] == [-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0]
    assert dynamic.estimate.effect == pytest.approx(np.mean([p.effect for p in dynamic.points if p.at >= 0]))
    by_period = aggregate_did(groups, "calendar")
    assert [p.at for p in by_period.points] == [3.0, 4.0, 5.0, 6.0]
    assert aggregate_did(groups, "group").points[0].effect == pytest.approx(np.mean([c.effect for c in after if c.cohort == 3.0]))
    with pytest.raises(UsageError, match="kind"):
        aggregate_did(groups, "weekly")


def test_standard_errors_of_averages_agree_with_a_bootstrap_of_units():
    """Oracle: 400 resamples of units, within 12% (four Monte-Carlo errors are 14%)."""
    frame = staggered(6, units=150, grows=0.5)
    wide = frame.pivot(index="unit", columns="time", values="y").to_numpy()
    first = frame.groupby("unit").cohort.first().to_numpy()
    rng = np.random.default_rng(0)
    draws = {kind: [] for kind in ("simple", "group", "dynamic", "calendar")}
    for _ in range(400):
        pick = rng.integers(0, 150, 150)
        groups = att_gt(wide[pick].ravel(), np.repeat(np.arange(150), 6), np.tile(np.arange(1, 7), 150), np.repeat(first[pick], 6))
        for kind, values in draws.items():
            values.append(aggregate_did(groups, kind).estimate.effect)
    for kind, values in draws.items():
        assert aggregate_did(att_gt(*columns(frame)), kind).estimate.std_error == pytest.approx(np.std(values), rel=0.12)


def test_pretrends_are_tested_together():
    groups = att_gt(*columns(staggered(7)))
    before = [i for i, c in enumerate(groups.effects) if c.event_time < 0]
    influence = groups.influence[:, before]
    effects = np.array([groups.effects[i].effect for i in before])
    wald = effects @ np.linalg.solve(influence.T @ influence / 90**2, effects)
    test = aggregate_did(groups).pretrend
    assert test.p_value == pytest.approx(stats.chi2.sf(wald, len(before)), rel=1e-9)


def test_cohorts_too_small_for_each_test_are_tested_by_distance_or_not_at_all():
    frame = staggered(8, units=9, periods=14)
    frame["cohort"] = np.where(frame.unit % 3 == 0, np.nan, np.where(frame.unit % 3 == 1, 8.0, 9.0))
    assert aggregate_did(att_gt(*columns(frame))).pretrend.df == 7
    frame["cohort"] = np.where(frame.unit % 3 == 0, np.nan, np.where(frame.unit % 3 == 1, 13.0, 14.0))
    found = aggregate_did(att_gt(*columns(frame)))
    assert found.pretrend is None
    assert codes(found.estimate.findings)["pretrend_untestable"] == "warning"


def test_covariates_take_out_a_trend_that_they_carry():
    """Units of high x grow faster and are treated more: plain differences are biased, the doubly robust one is not."""
    rng = np.random.default_rng(3)
    n = 3000
    x = rng.normal(0, 1, n)
    treated = rng.random(n) < 1 / (1 + np.exp(-x))
    change = 2.0 * x + 1.0 * treated + rng.normal(0, 1, n)
    plain, _ = plain_change(change, treated)
    robust, influence = doubly_robust_change(change, treated, x[:, None])
    assert plain > 1.5
    assert robust == pytest.approx(1.0, abs=4 * np.sqrt((influence**2).mean() / n))
    assert influence.mean() == pytest.approx(0.0, abs=1e-9)


def test_doubly_robust_errors_agree_with_a_bootstrap():
    """Oracle: 600 resamples, within 12%; the line for the untreated is wrong on purpose, so that the logit's error counts."""
    rng = np.random.default_rng(4)
    n = 500
    x = rng.normal(0, 1, (n, 1))
    treated = rng.random(n) < 1 / (1 + np.exp(0.5 - x[:, 0]))
    change = 2.0 * x[:, 0] ** 2 + treated * 1.0 + rng.normal(0, 0.3, n)
    influence = doubly_robust_change(change, treated, x)[1]
    draws = []
    for _ in range(600):
        pick = rng.integers(0, n, n)
        draws.append(doubly_robust_change(change[pick], treated[pick], x[pick])[0])
    assert np.sqrt((influence**2).mean() / n) == pytest.approx(np.std(draws), rel=0.12)


def test_the_propensity_is_that_of_a_logistic_regression():
    """Oracle: statsmodels Logit and OLS put together by Sant'Anna & Zhao's equation 2.6, relative 1e-8."""
    frame = staggered(9, drift=0.5)
    x, first = frame.groupby("unit").x.first().to_numpy(), frame.groupby("unit").cohort.first().to_numpy()
    wide = frame.pivot(index="unit", columns="time", values="y").to_numpy()
    cell = next(c for c in att_gt(*columns(frame), covariates=frame.x).effects if (c.cohort, c.time) == (3.0, 4.0))
    use = np.isnan(first) | (first == 3)
    d, design, change = (first[use] == 3).astype(float), sm.add_constant(x[use]), (wide[:, 3] - wide[:, 1])[use]
    chance = sm.Logit(d, design).fit(disp=0).predict()
    gap = change - design @ sm.OLS(change[d == 0], design[d == 0]).fit().params
    odds = chance * (1 - d) / (1 - chance)
    assert cell.effect == pytest.approx((d * gap).sum() / d.sum() - (odds * gap).sum() / odds.sum(), rel=1e-8)


def test_what_was_left_out_and_what_is_thin_is_said():
    frame = staggered(10)
    frame.loc[frame.unit == 1, "cohort"] = 1.0
    frame.loc[frame.unit == 4, "cohort"] = 4.0
    frame = frame[~((frame.unit == 7) & (frame.time == 2))]
    groups = att_gt(*columns(frame))
    assert codes(groups.findings) == {"unbalanced_panel": "warning", "always_treated": "info", "small_cohorts": "warning"}
    lone = [c for c in groups.effects if c.cohort == 4.0]
    assert lone
    assert all(c.std_error is None for c in lone)
    assert aggregate_did(groups, "group").points[1].at == 4.0


def test_clusters_above_units_change_the_error_only():
    frame = staggered(11)
    alone, together = att_gt(*columns(frame)), att_gt(*columns(frame), cluster=frame.unit // 9)
    assert [c.effect for c in alone.effects] == [c.effect for c in together.effects]
    assert alone.effects[0].std_error != together.effects[0].std_error


@pytest.mark.parametrize(
    ("changed", "error", "match"),
    [
        ({"covariates": np.zeros(3)}, UsageError, "covariates"),
        ({"covariates": np.full(540, np.nan)}, DataError, "finite"),
        ({"covariates": np.ones(540)}, DataError, "depend linearly"),
        ({"cluster": np.arange(540)}, UsageError, "one cluster"),
        ({"alpha": 2.0}, UsageError, "alpha"),
    ],
)
def test_what_breaks_a_rule_is_refused(changed, error, match):
    with pytest.raises(error, match=match):
        att_gt(*columns(staggered(12)), **changed)


@pytest.mark.parametrize("options", [{"control": "all"}, {"base": "last"}, {"anticipation": -1}])
def test_a_comparison_keeps_its_rules(options):
    with pytest.raises(UsageError, match=next(iter(options))):
        CleanComparison(**options)


def test_covariates_that_tell_who_is_treated_are_refused():
    frame = staggered(13)
    frame["x"] = np.where(frame.cohort.notna(), 1.0, -1.0) + np.random.default_rng(0).uniform(0, 0.1, 90)[frame.unit]
    with pytest.raises(DataError, match="tell who is treated"):
        att_gt(*columns(frame), covariates=frame.x)
    with pytest.raises(NotEnoughDataError, match="fewer units"):
        att_gt(*columns(frame), covariates=np.random.default_rng(0).normal(0, 1, (540, 40)))


def test_no_columns_of_covariates_are_no_covariates():
    frame = staggered(13)
    assert att_gt(*columns(frame), covariates=np.zeros((540, 0))).effects == att_gt(*columns(frame)).effects


def test_nothing_after_a_start_cannot_be_averaged():
    frame = staggered(14)
    groups = att_gt(*columns(frame))
    before = [i for i, c in enumerate(groups.effects) if c.event_time < 0]
    early = dataclasses.replace(groups, effects=tuple(groups.effects[i] for i in before), influence=groups.influence[:, before])
    with pytest.raises(NotEnoughDataError, match="after the start"):
        aggregate_did(early)
    late = [i for i, c in enumerate(groups.effects) if c.event_time >= 0]
    only = dataclasses.replace(groups, effects=tuple(groups.effects[i] for i in late), influence=groups.influence[:, late])
    assert aggregate_did(only).pretrend is None


# Imputation.


def test_imputation_is_a_regression_on_untreated_rows_with_the_two_stages_error():
    """Oracle: Gardner's GMM sandwich with every dummy laid out, relative 1e-8."""
    frame = staggered(15, units=30, grows=0.5).sample(frac=0.9, random_state=1).sort_values(["unit", "time"]).reset_index(drop=True)
    on = (frame.time >= frame.cohort.fillna(99)).to_numpy()
    dummies = pd.get_dummies(frame[["unit", "time"]].astype(str)).drop(columns="time_1").to_numpy(dtype=float)
    first = np.where(on[:, None], 0.0, dummies)
    beta = np.linalg.lstsq(first, np.where(on, 0.0, frame.y), rcond=None)[0]
    gap = frame.y.to_numpy() - dummies @ beta
    effect = gap[on].mean()
    second = on.astype(float)[:, None]
    bread = np.linalg.pinv(first.T @ first)
    scores = second * (gap - effect * on)[:, None] - (np.where(on, 0.0, gap)[:, None] * first) @ bread @ (dummies.T @ second)
    meat = sum(float(scores[frame.unit == u].sum()) ** 2 for u in frame.unit.unique())
    ours = impute_did(frame.y, frame.unit, frame.time, frame.cohort).estimate
    assert ours.effect == pytest.approx(effect, rel=1e-8)
    assert ours.std_error == pytest.approx(np.sqrt(meat) / on.sum(), rel=1e-8)


def test_points_average_to_the_whole():
    found = impute_did(*columns(staggered(16, grows=1.0)))
    n = np.array([p.n for p in found.points])
    assert [p.event_time for p in found.points] == [0, 1, 2, 3]
    assert n @ [p.effect for p in found.points] / n.sum() == pytest.approx(found.estimate.effect)


def test_rows_that_cannot_be_imputed_are_left_out_and_said():
    frame = staggered(17)
    frame.loc[frame.unit == 1, "cohort"] = 1.0
    found = impute_did(*columns(frame)).estimate
    assert codes(found.findings)["not_imputable"] == "warning"
    assert found.n == len(frame) - 6
    with pytest.raises(NotEnoughDataError, match="also seen untreated"):
        impute_did(*columns(frame.assign(cohort=1.0)))
    with pytest.raises(NotEnoughDataError, match="two clusters"):
        impute_did(*columns(frame), cluster=np.ones(len(frame)))


def test_weights_change_what_is_averaged():
    frame = staggered(18, grows=1.0)
    heavy = impute_did(*columns(frame), weights=np.where(frame.cohort == 3.0, 10.0, 1.0)).estimate
    assert heavy.effect > impute_did(*columns(frame)).estimate.effect


@pytest.mark.slow
@pytest.mark.parametrize("estimator", ["callaway", "imputation"])
def test_intervals_cover_the_effect_that_grows(estimator):
    """Coverage at 95%, 120 units, effects that differ by time since the start, 400 panels: exact binomial bound at 91.5%."""
    runs, held = 400, 0
    for seed in range(runs):
        frame = staggered(seed, units=120, effect=1.0, grows=0.5)
        truth = 1.0 + 0.5 * np.mean([0, 1, 2, 3, 0, 1])
        found = aggregate_did(att_gt(*columns(frame))).estimate if estimator == "callaway" else impute_did(*columns(frame)).estimate
        held += not found.interval.excludes(truth)
    assert stats.binomtest(held, runs, 0.915, alternative="less").pvalue > 1e-3, held / runs
