"""Real quasi-experiments against published figures, through specs; every trap of the data is a finding.

Sources stand in the `expected/*.json` beside the data; figures there were computed with rdrobust, statsmodels and
others, never with fairtrial.
"""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from fairtrial import analyze_spec, parse_spec
from fairtrial.analysis.quasi import analyze_quasi
from fairtrial.cli.app import app
from fairtrial.errors import UnknownNameError, UsageError


def expected(real_data, name):
    return json.loads((real_data / "expected" / f"{name}.json").read_text(encoding="utf-8"))


def run(folder, kind, source, design, *, metric=None, **more):
    first = {"key": "y", "kind": "mean", **(metric or {})}
    raw = {"key": "q", "kind": kind, "metrics": [first], "design": design, "data": {"source": source}, **more}
    return analyze_spec(parse_spec(raw), base=folder)


def codes(card):
    return {finding.code: finding.severity for finding in card.findings}


def only(card):
    return card.comparisons[0].estimate


# Senate: a sharp discontinuity.

SENATE = {"running": "margin", "covariates": ["demvoteshlag1", "population"], "donut": 0.3}


def test_the_senate_matches_and_its_checks_pass(real_data):
    wanted = expected(real_data, "rd_senate")["estimates"]["default (p=1, triangular, mserd, vce=nn)"]["robust"]
    card = run(real_data, "rdd", "rd_senate.csv.gz", SENATE, metric={"column": "vote", "missing": "drop"})
    estimate = only(card)
    assert estimate.effect == pytest.approx(wanted["coef"], rel=1e-6)
    assert estimate.std_error == pytest.approx(wanted["se"], rel=1e-6)
    assert [estimate.interval.low, estimate.interval.high] == pytest.approx(wanted["ci95"], rel=1e-6)
    assert (estimate.n_control, estimate.n_treatment) == (360, 323)
    assert codes(card) == dict.fromkeys(("evidence_grade", "rows_without_outcome", "rdd_checks_passed", "density_smooth"), "info")
    assert card.evidence_grade.level == "strong"


def test_the_senates_other_windows_and_the_placebo_outcome_match(real_data):
    wanted = expected(real_data, "rd_senate")
    fixed = {"running": "margin", "bandwidth": 17.754, "bias_bandwidth": 28.028}
    for design, key in (
        ({"running": "margin", "kernel": "uniform"}, "uniform kernel"),
        ({"running": "margin", "order": 2}, "p=2"),
        (fixed, "h=17.754 fixed, b=28.028 fixed"),
    ):
        estimate = only(run(real_data, "rdd", "rd_senate.csv.gz", design, metric={"column": "vote", "missing": "drop"}))
        assert estimate.effect == pytest.approx(wanted["estimates"][key]["robust"]["coef"], rel=1e-5)
        assert estimate.std_error == pytest.approx(wanted["estimates"][key]["robust"]["se"], rel=1e-5)
    placebo = only(run(real_data, "rdd", "rd_senate.csv.gz", {"running": "margin"}, metric={"column": "demvoteshlag1", "missing": "drop"}))
    assert placebo.p_value == pytest.approx(wanted["placebo_lagged_vote"]["robust"]["p"], rel=1e-5)


def test_transfers_treat_below_the_cutoff_and_have_mass_points(real_data):
    wanted = expected(real_data, "gov_transfers_rd")["support_rdrobust_above_minus_below"]["robust"]
    design = {"running": "income_centered", "treated_side": "below"}
    card = run(real_data, "rdd", "gov_transfers_rd.csv.gz", design, metric={"column": "support", "missing": "drop"})
    assert only(card).effect == pytest.approx(-wanted["coef"], rel=1e-5)
    assert only(card).std_error == pytest.approx(wanted["se"], rel=1e-5)
    assert codes(card)["mass_points"] == "info"


# Card and Krueger: two groups, two waves.


@pytest.fixture
def stores(real_data, tmp_path):
    wide = pd.read_csv(real_data / "card_krueger.csv.gz")
    wide["store"] = np.arange(len(wide))
    waves = [wide[["store", "state"]].assign(wave=wave, fte=wide[column]) for wave, column in ((1, "fte"), (2, "fte2"))]
    pd.concat(waves).to_csv(tmp_path / "stores.csv", index=False)
    return tmp_path


MINIMUM_WAGE = {"unit": "store", "time": "wave", "treated": "state", "start": 2}


def test_card_and_krueger_match_and_missing_waves_and_closed_stores_are_said(real_data, stores):
    wanted = expected(real_data, "card_krueger")["did"]
    card = run(stores, "did", "stores.csv", {**MINIMUM_WAGE, "small_sample": False}, metric={"column": "fte", "missing": "drop"})
    assert only(card).effect == pytest.approx(wanted["point"], rel=1e-8)
    assert only(card).std_error == pytest.approx(wanted["cluster_store"]["state:post"]["se"], rel=1e-8)
    assert only(card).treatment == pytest.approx(21.02742947, rel=1e-8)
    assert {"one_wave_only", "rows_without_outcome", "zero_after_start"} <= set(codes(card))
    assert card.evidence_grade.level == "weak"


def test_the_balanced_sample_is_the_published_one(stores):
    """Table 3, row 4: 2.75 (1.34)."""
    card = run(stores, "did", "stores.csv", {**MINIMUM_WAGE, "balanced": True}, metric={"column": "fte", "missing": "drop"})
    assert only(card).effect == pytest.approx(2.75, abs=1e-9)
    assert only(card).std_error == pytest.approx(1.34, abs=0.005)
    assert only(card).n_control + only(card).n_treatment == 384
    assert "unbalanced_panel" in codes(card)


def test_without_a_unit_the_waves_are_repeated_cross_sections(real_data, stores):
    design = {"time": "wave", "treated": "state", "start": 2}
    card = run(stores, "did", "stores.csv", design, metric={"column": "fte", "missing": "drop"})
    assert only(card).std_error == pytest.approx(expected(real_data, "card_krueger")["did"]["ols_hc1_se"], rel=1e-8)
    assert card.unit == "row"


# Castle doctrine: staggered adoption in small cohorts.

PUBLISHED = {"small_sample": False}
CASTLE = {"unit": "state", "time": "year", "cohort": "first_treated_year"}


@pytest.mark.parametrize("aggregation", ["simple", "dynamic", "group"])
def test_castle_staggered_estimates_match_and_its_one_state_cohorts_are_said(real_data, aggregation):
    wanted = expected(real_data, "castle_doctrine")["callaway_santanna_l_homicide_never_treated_no_covariates"][aggregation]
    design = {**CASTLE, **PUBLISHED, "aggregation": aggregation}
    card = run(real_data, "did", "castle_doctrine.csv.gz", design, metric={"column": "l_homicide"})
    assert only(card).effect == pytest.approx(wanted["att"], rel=1e-6)
    assert only(card).std_error == pytest.approx(wanted["se"], rel=0.06)  # said there not to be relied on
    assert codes(card)["small_cohorts"] == "warning"
    assert card.evidence_grade.level == "weak"


@pytest.mark.parametrize("aggregation", ["simple", "dynamic", "group", "calendar"])
def test_castle_s_one_state_cohorts_are_given_an_error_by_default(real_data, aggregation):
    """As published a state alone in its cohort adds nothing to the error."""
    spec = {**CASTLE, "aggregation": aggregation}
    ours, published = (
        run(real_data, "did", "castle_doctrine.csv.gz", {**spec, **more}, metric={"column": "l_homicide"}) for more in ({}, PUBLISHED)
    )
    assert only(ours).effect == only(published).effect
    assert only(ours).std_error > 1.05 * only(published).std_error
    assert only(ours).df < 49 < (only(published).df or math.inf)
    assert "vary as the others do" in next(f.message for f in ours.findings if f.code == "small_cohorts")


@pytest.mark.parametrize("weights", [None, "popwt"])
def test_castle_two_way_effects_match_and_their_timing_is_warned_of(real_data, weights):
    """Cheng & Hoekstra (2013) use the same regression on the fraction of the year; here on whole treated years."""
    design = {**CASTLE, **PUBLISHED, "estimator": "two_way", "weights": weights}
    wanted = expected(real_data, "castle_doctrine")["twfe"][
        f"l_homicide ~ post, state + year FE, {'popwt' if weights else 'unweighted'}, CRV1 state"
    ]
    card = run(real_data, "did", "castle_doctrine.csv.gz", design, metric={"column": "l_homicide"})
    assert only(card).effect == pytest.approx(wanted["coef"], rel=1e-6)
    assert only(card).std_error == pytest.approx(wanted["se"], rel=1e-6)
    assert only(card).p_value == pytest.approx(wanted["p"], rel=1e-5)
    assert codes(card)["staggered_adoption"] == "warning"


def test_castle_by_imputation_answers_too(real_data):
    card = run(real_data, "did", "castle_doctrine.csv.gz", {**CASTLE, "estimator": "imputation"}, metric={"column": "l_homicide"})
    assert only(card).method == "did_imputation"
    assert 0.0 < only(card).effect < 0.2


# Proposition 99: one treated state.

PROP99 = {"unit": "state", "time": "year", "treated_unit": "California", "start": 1989}


def test_proposition_99_matches_by_synthetic_control(real_data):
    wanted = expected(real_data, "prop99_smoking")["synthetic_control_outcomes_only"]
    card = run(real_data, "synthetic_control", "prop99_smoking.csv.gz", PROP99, metric={"column": "cigsale", "direction": "decrease"})
    assert only(card).effect == pytest.approx(wanted["att"], rel=1e-6)
    assert only(card).p_value == pytest.approx(wanted["placebo_p"], rel=1e-9)
    assert only(card).statistic == pytest.approx(wanted["rmspe_ratio"], rel=1e-6)
    assert card.decision.verdict == "NO_LAUNCH"


def test_proposition_99_by_differences_warns_of_its_one_treated_state(real_data):
    wanted = expected(real_data, "prop99_smoking")["twfe"]
    design = {"unit": "state", "time": "year", "treated": "california", "start": 1989, "small_sample": False}
    frame = pd.read_csv(real_data / "prop99_smoking.csv.gz").assign(california=lambda f: (f.state == "California").astype(int))
    card = run_frame(frame, "did", design, "cigsale")
    assert only(card).effect == pytest.approx(wanted["coef"], rel=1e-8)
    assert only(card).std_error == pytest.approx(wanted["se_crv1_state"], rel=1e-8)
    assert codes(card)["few_treated_clusters"] == "warning"
    honest = run_frame(frame, "did", {**design, "small_sample": True}, "cigsale")
    assert only(honest).effect == only(card).effect
    assert only(honest).p_value > 0.1  # one state tells nothing of how states vary; its own fit is what synthetic control looks at
    assert codes(honest)["few_treated_clusters"] == "warning"


def run_frame(frame, kind, design, column, **options):
    with tempfile.TemporaryDirectory() as place:
        frame.to_csv(Path(place) / "rows.csv", index=False)
        return run(Path(place), kind, "rows.csv", design, metric={"column": column, **options})


# Interrupted series.

SERIES = {
    "causalimpact_arma": ("y", "t", 70, ["X"], (0.27, 1.5)),
    "causalimpact_comparison": ("changed", "date", "2019-07-15", ["not_changed_1", "not_changed_2", "not_changed_3"], (-2076, 832)),
    "vw_emissions_weekly": ("volkswagen", "date", "2015-09-20", ["bmw", "allianz"], (-55, -33)),
}


@pytest.mark.parametrize("model", ["local_level", "least_squares"])
@pytest.mark.parametrize("name", SERIES)
def test_series_agree_with_the_counterfactuals_and_lie_in_the_published_interval(real_data, name, model):
    """Least squares to 1e-8; the local level to 1% of statsmodels' maximum likelihood (ours is the restricted one)."""
    outcome, time, start, controls, published = SERIES[name]
    wanted = expected(real_data, name)["simple_counterfactuals"]
    frame = pd.read_csv(real_data / f"{name}.csv")
    frame["t"] = np.arange(len(frame))
    card = run_frame(frame, "interrupted_series", {"time": time, "start": start, "controls": controls, "model": model}, outcome)
    key, rel = ("ols_effect_mean", 1e-8) if model == "least_squares" else ("local_level_mle_effect_mean", 0.01)
    assert only(card).effect == pytest.approx(wanted[key], rel=rel)
    assert (only(card).n_control, only(card).n_treatment) == (wanted["n_pre"], wanted["n_post"])
    assert published[0] < only(card).effect < published[1]
    assert (only(card).p_value < 0.05) == (name != "causalimpact_comparison")


def test_volkswagens_price_wanders_and_its_controls_left_their_range(real_data):
    outcome, time, start, controls, _ = SERIES["vw_emissions_weekly"]
    card = run(real_data, "interrupted_series", "vw_emissions_weekly.csv", {"time": time, "start": start, "controls": controls},
               metric={"column": outcome})  # fmt: skip
    assert {"wandering_series", "extrapolation"} <= set(codes(card))
    assert only(card).lift_interval.excludes(0.0)


def test_a_series_alone_says_so(real_data):
    card = run(real_data, "interrupted_series", "causalimpact_comparison.csv", {"time": "date", "start": "2019-07-15"},
               metric={"column": "changed"})  # fmt: skip
    assert codes(card)["no_control_series"] == "info"
    assert card.evidence_grade.level == "weak"


# An encouragement, and how it is asked for.


def test_the_incentive_to_learn_a_result_is_an_instrument(real_data):
    """Thornton: 34% collect without and 79% with an incentive, in villages."""
    frame = pd.read_csv(real_data / "thornton_hiv.csv.gz").dropna(subset=["any", "got", "villnum"])
    card = run_frame(frame, "iv", {"instrument": "any", "treatment": "got", "cluster": "villnum"}, "age", missing="drop")
    assert only(card).df > 100
    assert codes(card)["first_stage"] == "info"
    assert card.evidence_grade.level == "strong"


@pytest.fixture
def panel(tmp_path):
    rng = np.random.default_rng(1)
    unit, time = np.repeat(np.arange(40), 6), np.tile(np.arange(6), 40)
    treated = (unit < 20).astype(int)
    frame = pd.DataFrame({"unit": unit, "time": time, "treated": treated})
    for name in ("y", "a", "b"):
        frame[name] = rng.normal(0, 1, 40)[unit] + rng.normal(0, 1, 240) + 1.0 * treated * (time >= 3)
    frame.to_csv(tmp_path / "panel.csv", index=False)
    return tmp_path


PANEL = {"unit": "unit", "time": "time", "treated": "treated", "start": 3}


def test_a_panel_with_periods_before_is_tested_for_its_trends(panel):
    card = run(panel, "did", "panel.csv", PANEL)
    assert only(card).method == "did_two_way"
    assert codes(card)["pretrend_not_rejected"] == "info"
    assert card.evidence_grade.level == "moderate"


def test_a_balanced_panel_stays_whole_and_one_without_the_last_period_before_goes_untested(panel):
    balanced = run(panel, "did", "panel.csv", {**PANEL, "balanced": True})
    assert only(balanced).effect == only(run(panel, "did", "panel.csv", PANEL)).effect
    frame = pd.read_csv(panel / "panel.csv")
    card = run_frame(frame[(frame.treated == 0) | (frame.time != 2)], "did", PANEL, "y")
    assert {"pretrend", "pretrend_not_rejected", "no_pretrend_test"} & set(codes(card)) == set()
    assert card.evidence_grade.level == "weak"


def test_secondary_metrics_are_corrected_and_their_intervals_agree(panel):
    metrics = [{"key": "y", "kind": "mean", "role": "primary"}, {"key": "a", "kind": "mean"}, {"key": "b", "kind": "mean"}]
    raw = {"key": "q", "kind": "did", "metrics": metrics, "design": PANEL, "data": {"source": "panel.csv"}}
    card = analyze_spec(parse_spec(raw), base=panel)
    for key in ("a", "b"):
        estimate = card.comparison(key).estimate
        assert estimate.p_adjusted >= estimate.p_value
        assert estimate.interval.excludes(0.0) == (estimate.p_adjusted < 0.05)
    assert card.comparison("y").estimate.correction is None
    plain = analyze_spec(parse_spec({**raw, "plan": {"secondary_correction": "none"}}), base=panel)
    assert plain.comparison("a").estimate.p_adjusted is None


def test_what_one_metric_lacks_leaves_the_others(panel):
    frame = pd.read_csv(panel / "panel.csv")
    frame.loc[3, "a"] = np.nan
    frame["words"] = "many"
    frame["none"] = np.nan
    frame.to_csv(panel / "panel.csv", index=False)
    columns = ("y", "a", "words", "none")
    metrics = [{"key": key, "kind": "mean", "missing": "drop" if key == "none" else "error"} for key in columns]
    metrics[0]["role"] = "primary"
    raw = {"key": "q", "kind": "did", "metrics": metrics, "design": PANEL, "data": {"source": "panel.csv"}}
    card = analyze_spec(parse_spec(raw), base=panel)
    reasons = {key: card.comparison(key).unavailable for key in columns}
    assert reasons["y"] is None
    assert [reasons[key].code for key in columns[1:]] == ["missing_outcome", "wrong_type", "all_missing"]


def test_a_missing_outcome_may_count_as_zero(panel):
    frame = pd.read_csv(panel / "panel.csv")
    frame.loc[frame.time == 5, "y"] = np.nan
    zeros = run_frame(frame, "did", PANEL, "y", missing="zero")
    assert only(zeros).effect == pytest.approx(only(run_frame(frame.fillna({"y": 0.0}), "did", PANEL, "y")).effect)


@pytest.mark.parametrize(
    ("design", "code"),
    [
        ({**PANEL, "treated": "y"}, "data"),
        ({**PANEL, "treated": "hole"}, "missing"),
        ({**PANEL, "cluster": "gap"}, "missing"),
        ({"unit": "unit", "time": "time", "cohort": "when", "estimator": "two_by_two"}, "one_sided"),
        ({"time": "time", "start": 3, "kind": "interrupted_series"}, "data"),
        ({"running": "unit", "cutoff": 999, "kind": "rdd"}, "too_few_units"),
    ],
)
def test_a_design_that_the_data_do_not_serve_is_unavailable_with_a_reason(panel, design, code):
    frame = pd.read_csv(panel / "panel.csv")
    frame["hole"] = np.where(frame.unit == 3, np.nan, frame.treated)
    frame["gap"] = np.where(frame.unit == 3, None, "g")
    frame["when"] = np.where(frame.unit < 10, 2, np.where(frame.unit < 20, 4, np.nan))
    kind = design.get("kind", "did")
    card = run_frame(frame, kind, design, "y")
    assert card.comparisons[0].unavailable.code == code
    assert card.decision.state == "not_enough_data"


def test_cohorts_that_differ_choose_the_staggered_estimator(panel):
    frame = pd.read_csv(panel / "panel.csv")
    frame["when"] = np.where(frame.unit < 10, 2, np.where(frame.unit < 20, 4, 0))
    frame["group"] = frame.unit // 2
    frame["w"] = 1.0 + frame.unit % 3
    staggered = {"unit": "unit", "time": "time", "cohort": "when", "cluster": "group"}
    assert only(run_frame(frame, "did", staggered, "y")).method == "callaway_santanna_simple"
    assert only(run_frame(frame, "did", {**staggered, "estimator": "imputation", "weights": "w"}, "y")).method == "did_imputation"
    assert only(run_frame(frame, "did", {**staggered, "covariates": ["w"], "control_group": "not_yet_treated"}, "y")).effect != 0.0


def test_a_running_variable_with_few_rows_on_a_side_leaves_the_density_untested():
    rng = np.random.default_rng(2)
    x = np.concatenate([rng.uniform(-1, 0, 300), rng.uniform(0, 1, 45)])
    card = run_frame(pd.DataFrame({"x": x, "y": rng.normal(0, 1, 345)}), "rdd", {"running": "x", "bandwidth": 0.9}, "y")
    assert codes(card)["density_untested"] == "warning"


def test_what_is_no_quasi_experiment_or_has_no_data_is_refused(panel):
    arms = {"key": "q", "arms": ["control", "b"], "metrics": [{"key": "y", "kind": "mean"}]}
    with pytest.raises(UsageError, match="not a quasi-experiment"):
        analyze_quasi(parse_spec(arms))
    bare = parse_spec({"key": "q", "kind": "did", "metrics": [{"key": "y", "kind": "mean"}], "design": PANEL})
    with pytest.raises(UsageError, match="names no data"):
        analyze_spec(bare)
    with pytest.raises(UnknownNameError, match="nowhere"):
        run(panel, "did", "panel.csv", {**PANEL, "unit": "nowhere"})


def test_the_program_analyses_it_from_a_file(panel):
    raw = {"key": "q", "kind": "did", "metrics": [{"key": "y", "kind": "mean"}], "design": PANEL, "data": {"source": "panel.csv"}}
    (panel / "spec.json").write_text(json.dumps(raw), encoding="utf-8")
    result = CliRunner().invoke(app, ["analyze", str(panel / "spec.json"), "--json"])
    card = json.loads(result.stdout)
    assert (card["kind"], card["evidence_grade"]["level"]) == ("did", "moderate")
    assert result.exit_code == 0
    earlier = panel / "earlier.json"
    earlier.write_text(json.dumps(card), encoding="utf-8")
    refused = CliRunner().invoke(app, ["analyze", str(panel / "spec.json"), "--previous", str(earlier)])
    assert isinstance(refused.exception, UsageError)
    with pytest.raises(UsageError, match="read once"):
        analyze_spec(parse_spec(raw), base=panel, looks=[object()])


def test_the_lift_of_a_sampled_base_has_the_interval_that_the_plan_names(panel):
    """G-12 for an estimated base: delta by default; Fieller's excludes 0 exactly when the test rejects."""
    frame = pd.read_csv(panel / "panel.csv")
    frame["y"] += 8.0
    frame.to_csv(panel / "panel.csv", index=False)
    delta, fieller = (only(run(panel, "did", "panel.csv", PANEL, plan=plan)) for plan in ({}, {"lift_method": "fieller"}))
    assert (delta.lift_method, fieller.lift_method) == ("delta", "fieller")
    assert delta.lift == fieller.lift == pytest.approx(delta.effect / delta.control)
    assert delta.lift_interval.low < delta.lift < delta.lift_interval.high
    assert delta.lift_interval.low == pytest.approx(fieller.lift_interval.low, rel=0.05)
    assert fieller.lift_interval.excludes(0.0) == (fieller.p_value < 0.05)


def test_a_lift_can_be_launched_on_and_given_up_on(panel):
    """The verdict reads the lift's interval against the practical threshold."""
    frame = pd.read_csv(panel / "panel.csv")
    frame["y"] += 8.0
    frame["a"] = 50.0 + np.random.default_rng(5).normal(0, 1, len(frame))
    frame.to_csv(panel / "panel.csv", index=False)

    def decided(column, size):
        return run(panel, "did", "panel.csv", PANEL, metric={"column": column}, plan={"practical_threshold": size}).decision

    assert decided("y", 0.02).verdict == "STRONG_LAUNCH"  # the whole interval of the lift lies above 2%
    assert decided("y", 0.6).verdict == "CONSIDER_LAUNCH"
    given_up = decided("a", 0.2)
    assert (given_up.verdict, given_up.reason) == ("NO_LAUNCH", "futile")  # the whole interval lies below 20%


def test_a_base_below_zero_has_no_lift_and_the_scorecard_says_why(panel, tmp_path):
    frame = pd.read_csv(panel / "panel.csv")
    frame["y"] -= 20.0
    frame.to_csv(panel / "panel.csv", index=False)
    raw = {"key": "q", "kind": "did", "metrics": [{"key": "y", "kind": "mean"}], "design": PANEL, "data": {"source": "panel.csv"}}
    (panel / "spec.json").write_text(json.dumps(raw), encoding="utf-8")
    out = tmp_path / "report.html"
    shown = CliRunner().invoke(app, ["analyze", str(panel / "spec.json"), "--report", str(out)])
    assert "not drawn: no relative effect: the control's value is not positive" in " ".join(shown.stdout.split())
    assert shown.stdout.count("no relative effect") == 1
    assert "no relative effect" in out.read_text(encoding="utf-8").lower()
    result = CliRunner().invoke(app, ["analyze", str(panel / "spec.json"), "--json"])
    estimate = json.loads(result.stdout)["comparisons"][0]["estimate"]
    assert (estimate["lift"], estimate["lift_interval"], estimate["notes"]) == (None, None, ["no_relative_effect"])


def test_a_gate_holds_secondary_metrics_back_until_the_primary_has_passed(panel):
    """A gate that the spec names is kept in a quasi-experiment too, and p-values and intervals agree behind it."""
    frame = pd.read_csv(panel / "panel.csv")
    frame["y"] = np.random.default_rng(3).normal(0, 1, len(frame))
    frame.to_csv(panel / "panel.csv", index=False)
    metrics = [{"key": "y", "kind": "mean", "role": "primary"}, {"key": "a", "kind": "mean"}, {"key": "b", "kind": "mean"}]
    raw = {"key": "q", "kind": "did", "metrics": metrics, "design": PANEL, "data": {"source": "panel.csv"}}
    card = analyze_spec(parse_spec({**raw, "plan": {"gatekeeping": "serial"}}), base=panel)
    assert card.comparison("y").estimate.p_adjusted >= 0.05
    for key in ("a", "b"):
        estimate = card.comparison(key).estimate
        assert estimate.p_value < 0.05 <= estimate.p_adjusted
        assert not estimate.interval.excludes(0.0)
        assert estimate.correction == "serial-gatekeeping"
