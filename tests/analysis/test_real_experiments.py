"""Real experiments against published and independently computed answers (issue: Proof on real data).

The data and `expected/*.json` (computed with scipy, statsmodels and others, never with fairtrial) lie outside the
repository; tolerances are relative 1e-6 unless a line says why not.
"""

import importlib.util
import json
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from scipy.stats import fisher_exact

import fairtrial
from fairtrial.analysis import analyze_spec, lay_out_example
from fairtrial.cli.app import main
from fairtrial.diagnostics import check_allocation
from fairtrial.evaluation import evaluate
from fairtrial.metrics import build_metrics
from fairtrial.spec.loader import load_spec
from fairtrial.stats.batch import expand
from fairtrial.stats.contrast import linear_contrast
from fairtrial.stats.exact import binomial_exact_p
from fairtrial.warehouse import read

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def prepared(real_data, tmp_path_factory):
    """The tables that `examples/prepare.py` derives."""
    location = importlib.util.spec_from_file_location("prepare", EXAMPLES / "prepare.py")
    module = importlib.util.module_from_spec(location)
    location.loader.exec_module(module)
    folder = tmp_path_factory.mktemp("prepared")
    module.prepare(real_data, folder)
    return folder


def expected(real_data, name):
    return json.loads((real_data / "expected" / f"{name}.json").read_text(encoding="utf-8"))


def run(name, folder, **plan):
    spec = load_spec(EXAMPLES / f"{name}.yaml").spec
    if plan:
        spec = spec.model_copy(update={"plan": spec.plan.model_copy(update=plan)})
    return analyze_spec(spec, base=folder)


def findings(card):
    return {finding.code: finding.severity for finding in card.findings}


def assert_proportion(estimate, wanted):
    assert (estimate.n_control, estimate.n_treatment) == (wanted["n_control"], wanted["n_treatment"])
    assert estimate.control == pytest.approx(wanted["rate_control"], rel=1e-8)
    assert estimate.treatment == pytest.approx(wanted["rate_treatment"], rel=1e-8)
    assert estimate.effect == pytest.approx(wanted["diff"], rel=1e-8)
    assert estimate.std_error == pytest.approx(wanted["se_pooled"], rel=1e-8)
    assert estimate.statistic == pytest.approx(wanted["z_pooled"], rel=1e-8)
    assert estimate.p_value == pytest.approx(wanted["p_z_pooled"], rel=1e-6)
    assert estimate.lift == pytest.approx(wanted["relative_lift"], rel=1e-8)


def assert_mean(estimate, wanted, *, rel=1e-8):
    assert estimate.control == pytest.approx(wanted["mean_control"], rel=rel)
    assert estimate.treatment == pytest.approx(wanted["mean_treatment"], rel=rel)
    assert estimate.effect == pytest.approx(wanted["diff"], rel=rel * 10)
    assert estimate.std_error == pytest.approx(wanted["se_welch"], rel=rel)
    assert estimate.df == pytest.approx(wanted["df_welch"], rel=1e-6)
    assert estimate.p_value == pytest.approx(wanted["p_welch"], rel=1e-6)
    assert [estimate.interval.low, estimate.interval.high] == pytest.approx(wanted["ci95_welch"], rel=1e-6)
    assert [estimate.lift_interval.low, estimate.lift_interval.high] == pytest.approx(wanted["relative_lift_ci95_delta"], rel=1e-6)


# Hillstrom: three arms, Holm over two treatments, CUPED on past spend.


@pytest.mark.parametrize("treatment", ["Mens E-Mail", "Womens E-Mail"])
def test_hillstrom_matches_the_expected_answers(real_data, treatment):
    wanted = expected(real_data, "hillstrom")
    card = run("hillstrom", real_data, correction="none", secondary_correction="none")
    assert card.srm.chi_square == pytest.approx(wanted["srm"]["chi2"], rel=1e-8)
    for metric in ("visit", "conversion"):
        assert_proportion(card.comparison(metric, treatment).estimate, wanted["comparisons"][f"{treatment} vs No E-Mail | {metric}"])


@pytest.mark.parametrize("treatment", ["Mens E-Mail", "Womens E-Mail"])
def test_hillstrom_newcombe_intervals_match(real_data, treatment):
    wanted = expected(real_data, "hillstrom")["comparisons"]
    card = run("hillstrom", real_data, correction="none", secondary_correction="none", ci_method="newcombe")
    for metric in ("visit", "conversion"):
        interval = card.comparison(metric, treatment).estimate.interval
        assert [interval.low, interval.high] == pytest.approx(wanted[f"{treatment} vs No E-Mail | {metric}"]["ci95_newcombe"], rel=1e-7)


@pytest.mark.parametrize("treatment", ["Mens E-Mail", "Womens E-Mail"])
def test_hillstrom_cuped_on_past_spend_matches(real_data, treatment):
    """The expected answers take theta over both arms pooled, between-arm part included."""
    spec = load_spec(EXAMPLES / "hillstrom.yaml").spec
    reading = read(spec.data, [metric.needs for metric in build_metrics(spec)], [arm.key for arm in spec.arms], base=real_data)
    sides = [expand([reading.arms[arm].outcomes["spend"].moments], "mean_cuped") for arm in ("No E-Mail", treatment)]
    wanted = expected(real_data, "hillstrom")["variance_reduction"][f"{treatment} spend CUPED(history), one theta from both arms pooled"]
    contrast = linear_contrast(*sides, theta_method="pooled_overall")
    assert contrast.theta[0] == pytest.approx(wanted["theta"], rel=1e-8)
    assert contrast.effect[0] == pytest.approx(wanted["diff"], rel=1e-8)
    assert contrast.std_error[0] == pytest.approx(wanted["se_welch"], rel=1e-8)
    card = run("hillstrom", real_data, correction="none", secondary_correction="none")
    ours = card.comparison("spend", treatment).estimate
    assert ours.effect == pytest.approx(wanted["diff"], rel=1e-3)  # theta within arms: another, close, convention
    assert ours.std_error == pytest.approx(wanted["se_welch"], rel=1e-5)


def test_hillstrom_is_corrected_by_holm_over_its_two_treatments(real_data):
    card = run("hillstrom", real_data)
    p = {t: card.comparison("visit", t).estimate for t in card.decisions}
    assert p["Womens E-Mail"].p_adjusted == pytest.approx(max(p["Womens E-Mail"].p_value, 2 * p["Mens E-Mail"].p_value))
    assert all(estimate.correction == "holm" for estimate in p.values())
    assert card.treatment == "Mens E-Mail"
    assert card.decision.verdict == "STRONG_LAUNCH"


# Cookie Cats: a suspicious sample ratio, and one absurd player.


def test_cookie_cats_matches_and_its_sample_ratio_is_a_warning(real_data):
    wanted = expected(real_data, "cookie_cats")
    card = run("cookie_cats", real_data, secondary_correction="none")
    assert card.srm.p_value == pytest.approx(wanted["srm"]["p"], rel=1e-8)
    assert card.srm.status == "warning"
    assert card.decision.state == "valid"
    for metric in ("retention_1", "retention_7"):
        assert_proportion(card.comparison(metric).estimate, wanted["comparisons"][f"gate_40 vs gate_30 | {metric}"])
    assert_mean(card.comparison("sum_gamerounds").estimate, wanted["comparisons"]["sum_gamerounds (raw)"])


def test_cookie_cats_outlier_is_noticed_and_winsorising_tames_it(real_data):
    card = run("cookie_cats", real_data)
    (outlier,) = [finding for finding in card.findings if finding.code == "outlier"]
    assert outlier.numbers["value"] == 49854
    assert outlier.arm == "gate_30"
    spec = load_spec(EXAMPLES / "cookie_cats.yaml").spec
    metrics = [metric.model_copy(update={"winsorize": 0.99}) if metric.kind == "mean" else metric for metric in spec.metrics]
    plan = spec.plan.model_copy(update={"secondary_correction": "none"})
    capped = analyze_spec(spec.model_copy(update={"metrics": tuple(metrics), "plan": plan}), base=real_data)
    assert_mean(
        capped.comparison("sum_gamerounds").estimate,
        expected(real_data, "cookie_cats")["comparisons"]["sum_gamerounds winsorised at pooled 99th percentile"],
    )
    assert "outlier" not in findings(capped)


# Upworthy: ready counts at scale.


def test_an_upworthy_test_with_a_broken_split_is_invalid(real_data):
    card = run("upworthy", real_data)
    assert card.decision.state == "invalid"
    assert card.srm.p_value == pytest.approx(8.45366531e-57, rel=1e-6)


def test_all_4873_upworthy_tests_have_their_sample_ratio_verdict(real_data):
    table = pd.read_csv(real_data / "upworthy_counts.csv.gz")
    summary = expected(real_data, "upworthy_counts")["summary"]
    broken = 0
    for _, group in table.groupby("test_id"):
        units = dict(zip(group["arm"].astype(str), group["impressions"], strict=True))
        check, found = check_allocation({arm: int(n) for arm, n in units.items()}, dict.fromkeys(units, 1 / len(units)), "fixed")
        broken += check.status == "mismatch"
        assert (check.status == "mismatch") == any(finding.severity == "critical" for finding in found)
    assert broken == summary["srm_count_p_below_001"]


@pytest.mark.parametrize("index", range(13))
def test_upworthy_examples_match(real_data, index):
    wanted = expected(real_data, "upworthy_counts")["examples"][index]
    spec = load_spec(EXAMPLES / "upworthy.yaml").spec
    arms = tuple(spec.arms[0].model_copy(update={"key": str(i)}) for i in range(wanted["arms"]))
    data = spec.data.model_copy(update={"where": {"test_id": wanted["test_id"]}})
    card = analyze_spec(spec.model_copy(update={"arms": arms, "data": data}), base=real_data)
    assert card.srm.p_value == pytest.approx(wanted["srm_p"], rel=1e-6)
    assert (card.decision.state == "invalid") == (wanted["srm_p"] < 0.001)


# Udacity's free-trial screener: daily totals, of which the last two weeks lack outcomes.


def test_udacity_gives_the_published_conversions_and_does_not_launch(real_data, prepared):
    wanted = expected(real_data, "udacity_free_trial")
    card = run("udacity_free_trial", prepared)
    gross = wanted["comparisons"]["gross conversion enrollments/clicks (first 23 days)"]
    net = wanted["comparisons"]["net conversion payments/clicks (first 23 days)"]
    for key, found in (("enrolled", gross), ("paid", net)):
        estimate = card.comparison(key).estimate
        assert (estimate.n_control, estimate.n_treatment) == (found["n_control"], found["n_treatment"])
        assert estimate.effect == pytest.approx(found["diff"], rel=1e-8)
    newcombe = run("udacity_free_trial", prepared, ci_method="newcombe").comparison("enrolled").estimate.interval
    assert [newcombe.low, newcombe.high] == pytest.approx(gross["ci95_newcombe"], rel=1e-8)
    assert (card.decision.verdict, card.decision.state) == ("NO_LAUNCH", "valid")
    assert card.comparison("paid").estimate.interval.low < -0.0075 < card.comparison("paid").estimate.effect


def test_udacity_invariants_and_sign_tests_match(real_data, prepared):
    wanted = expected(real_data, "udacity_free_trial")
    days = pd.read_csv(real_data / "udacity_free_trial.csv")
    for name, invariant in wanted["invariants"].items():
        counts = days.groupby("group")[name].sum()
        check, _ = check_allocation({arm: int(counts[arm]) for arm in counts.index}, dict.fromkeys(counts.index, 0.5), "fixed")
        assert check.p_value == pytest.approx(invariant["p"], rel=1e-8)
    known = pd.read_parquet(prepared / "udacity_paid_days.parquet")
    for outcome, found in wanted["sign_test"].items():
        rates = known.assign(rate=known[outcome] / known["clicks"]).pivot_table(index="date", columns="group", values="rate")
        higher = int((rates["experiment"] > rates["control"]).sum())
        assert (len(rates), higher) == (found["days"], found["days_experiment_higher"])
        assert binomial_exact_p(higher, len(rates), 0.5) == pytest.approx(found["p"], rel=1e-8)


def test_udacity_days_without_outcomes_are_not_read_as_nobody_paid(real_data):
    spec = load_spec(EXAMPLES / "udacity_free_trial.yaml").spec
    data = spec.data.model_copy(update={"source": "udacity_free_trial.csv"})
    card = analyze_spec(spec.model_copy(update={"data": data}), base=real_data)
    for key in ("paid", "enrolled"):
        row = card.comparison(key)
        assert (row.estimate, row.unavailable.code) == (None, "missing_successes")
    assert card.decision.verdict not in {"LAUNCH", "STRONG_LAUNCH", "CONSIDER_LAUNCH"}


# marketing_AB: a 96/4 holdout, from counts and from a sample of people.


def test_marketing_counts_match_and_the_incremental_conversions_follow(real_data):
    wanted = expected(real_data, "marketing_ab")
    card = run("marketing_ab_counts", real_data)
    assert_proportion(card.comparison("converted").estimate, wanted["comparisons"]["FULL ad vs psa | converted (from counts)"])
    assert card.srm.p_value == pytest.approx(wanted["srm_96_4"]["p"], rel=1e-8)
    assert card.incremental[0].value == pytest.approx(wanted["incrementality_full"]["incremental_conversions_in_ad_group"], rel=1e-9)
    assert card.incremental[0].share == pytest.approx(wanted["incrementality_full"]["share_of_ad_conversions_incremental"], rel=1e-9)
    wald = run("marketing_ab_counts", real_data, ci_method="wald").incremental[0].interval
    assert [wald.low, wald.high] == pytest.approx(wanted["incrementality_full"]["incremental_ci95"], rel=1e-8)
    newcombe = run("marketing_ab_counts", real_data, ci_method="newcombe").comparison("converted").estimate.interval
    assert [newcombe.low, newcombe.high] == pytest.approx(
        wanted["comparisons"]["FULL ad vs psa | converted (from counts)"]["ci95_newcombe"], rel=1e-8
    )


def test_the_counts_and_the_people_laid_out_from_them_give_the_same_numbers(real_data, tmp_path):
    """DESIGN 5: the shapes give the same arm statistics."""
    path = lay_out_example(tmp_path)
    people = analyze_spec(load_spec(path).spec, base=tmp_path)
    counts = run("marketing_ab_counts", real_data)
    assert people.comparisons[0].estimate == counts.comparisons[0].estimate


def test_a_wrong_planned_split_of_the_holdout_is_a_mismatch(real_data):
    spec = load_spec(EXAMPLES / "marketing_ab_counts.yaml").spec
    halves = tuple(arm.model_copy(update={"allocation": 0.5}) for arm in spec.arms)
    assert analyze_spec(spec.model_copy(update={"arms": halves}), base=real_data).decision.state == "invalid"


def test_the_marketing_sample_matches_and_its_placebo_does_not_move(real_data):
    wanted = expected(real_data, "marketing_ab")["comparisons"]
    card = run("marketing_ab_sample", real_data)
    estimate = card.comparison("converted").estimate
    assert_proportion(estimate, wanted["SAMPLE ad vs psa | converted"])
    placebo = card.comparison("total_ads").estimate
    assert_mean(placebo, next(v for k, v in wanted.items() if k.startswith("SAMPLE ad vs psa | total_ads")))
    newcombe = run("marketing_ab_sample", real_data, ci_method="newcombe").comparison("converted").estimate.interval
    assert [newcombe.low, newcombe.high] == pytest.approx(wanted["SAMPLE ad vs psa | converted"]["ci95_newcombe"], rel=1e-8)


def test_a_cut_of_the_sample_with_few_conversions_uses_the_exact_test(real_data):
    frame = pd.read_csv(real_data / "marketing_ab_sample.csv.gz")
    day = frame[frame["most_ads_day"] == "Sunday"]
    shares = {"psa": 0.04, "ad": 0.96}
    card = fairtrial.analyze(
        day, arm="test_group", control="psa", unit="user_id", shares=shares, metrics=[fairtrial.proportion("converted")]
    )
    estimate = card.comparison("converted").estimate
    table = pd.crosstab(day["test_group"], day["converted"]).to_numpy()
    assert estimate.method == "fisher_exact"
    assert estimate.p_value == pytest.approx(fisher_exact(table).pvalue, rel=1e-9)


# Penn bonus: six treatments of unequal shares.


def test_penn_bonus_matches_for_every_treatment(real_data, prepared):
    wanted = expected(real_data, "penn_bonus")["comparisons"]
    card = run("penn_bonus", prepared, correction="none", secondary_correction="none")
    for treatment in "123456":
        assert_mean(card.comparison("log_weeks", treatment).estimate, wanted[f"tg {treatment} vs 0 | log(inuidur1)"])
        assert_mean(card.comparison("inuidur1", treatment).estimate, wanted[f"tg {treatment} vs 0 | inuidur1 (weeks)"])
    assert card.srm.status == "skipped"
    assert findings(card)["shares_unknown"] == "info"


def test_penn_bonus_against_equal_shares_would_be_the_wrong_check(real_data, prepared):
    spec = load_spec(EXAMPLES / "penn_bonus.yaml").spec.model_copy(update={"allocation": "fixed"})
    assert analyze_spec(spec, base=prepared).srm.status == "mismatch"


def test_penn_bonus_effects_do_not_survive_holm_over_six_treatments(prepared):
    card = run("penn_bonus", prepared)
    p = sorted(row.estimate.p_value for row in card.comparisons if row.metric == "log_weeks")
    assert p[0] < 0.05
    assert all(row.estimate.p_adjusted > 0.05 for row in card.comparisons if row.metric == "log_weeks")
    assert card.decision.verdict == "NO_LAUNCH"


# AdSmart: people who do not answer.


def test_adsmart_differential_non_response_is_a_finding(real_data, prepared):
    wanted = expected(real_data, "adsmart")["comparisons"]
    card = run("adsmart", prepared, secondary_correction="none")
    (finding,) = [f for f in card.findings if f.code == "missing_differs"]
    assert finding.severity == "warning"
    assert finding.numbers["p_value"] == pytest.approx(
        wanted["exposed vs control | answered (differential non-response)"]["p_z_pooled"], rel=1e-6
    )
    assert_proportion(card.comparison("aware").estimate, wanted["exposed vs control | yes among those who answered"])
    assert_proportion(card.comparison("yes").estimate, wanted["exposed vs control | yes among all"])
    assert_proportion(card.comparison("answered").estimate, wanted["exposed vs control | answered (differential non-response)"])


# Fast food: rows are not the randomised unit.


def test_fast_food_is_analysed_by_restaurant_and_says_so(real_data):
    wanted = expected(real_data, "fast_food_marketing")
    card = run("fast_food", real_data)
    assert findings(card)["rows_are_not_units"] == "warning"
    assert card.srm.p_value == pytest.approx(wanted["srm_locations"]["p"], rel=1e-8)
    for treatment in "23":
        assert_mean(card.comparison("SalesInThousands", treatment).estimate, wanted["pairs"][f"{treatment} vs 1 location means"])


def test_fast_food_rows_taken_for_units_are_found_out(real_data):
    frame = pd.read_csv(real_data / "fast_food_marketing.csv")
    card = fairtrial.analyze(frame, arm="Promotion", control=1, metrics=[fairtrial.mean("SalesInThousands")], correction="none")
    (finding,) = [f for f in card.findings if f.code == "clustered_assignment"]
    assert finding.severity == "warning"
    assert set(finding.numbers) == {"LocationID"}
    wanted = expected(real_data, "fast_food_marketing")["pairs"]["2 vs 1 location-week rows"]
    assert_mean(card.comparison("SalesInThousands", "2").estimate, wanted)


# ASOS: ready moments, some without variance.


def test_every_asos_experiment_is_read_and_missing_variances_are_unavailable(real_data, prepared):
    wanted = {
        (r["experiment_id"], r["variant_id"], r["metric_id"]): r for r in expected(real_data, "asos_experiments_part1")["final_looks"]
    }
    spec = load_spec(EXAMPLES / "asos.yaml").spec
    seen, unavailable = set(), 0
    for experiment, variant in sorted({key[:2] for key in wanted}):
        metrics = tuple(m for m in spec.metrics if (experiment, variant, int(m.key[-1])) in wanted)
        data = spec.data.model_copy(update={"where": {"experiment_id": experiment, "variant_id": variant}})
        needs = [metric.needs for metric in build_metrics(spec.model_copy(update={"metrics": metrics}))]
        reading = read(data, needs, ["control", "treatment"], base=prepared)
        card = evaluate(spec.model_copy(update={"metrics": metrics, "data": data}), reading)
        for row in card.comparisons:
            answer = wanted[experiment, variant, int(row.metric[-1])]
            if answer["p_fixed_final"] is None:
                assert row.estimate is None
                assert row.unavailable.code == "missing_variance"
                unavailable += 1
                continue
            assert row.estimate.effect == pytest.approx(answer["diff"], rel=1e-6, abs=1e-15)
            assert row.estimate.std_error == pytest.approx(answer["se"], rel=1e-8)
            assert row.estimate.statistic == pytest.approx(answer["z"], rel=1e-6)
        seen.add(experiment)
    assert len(seen) == 47
    assert unavailable == 252 - 240


def test_a_finding_never_hides_another(real_data):
    """Several troubles at once are all said, the worst first."""
    frame = pd.read_csv(real_data / "cookie_cats.csv.gz")
    broken = pd.concat([frame, frame[frame["version"] == "gate_30"].head(3000).assign(userid=lambda d: -d["userid"])])
    card = fairtrial.analyze(
        broken,
        arm="version",
        control="gate_30",
        unit="userid",
        metrics=[fairtrial.proportion("retention_7"), fairtrial.mean("sum_gamerounds")],
    )
    assert {"outlier", "no_plan"} <= set(findings(card))
    order = [("critical", "warning", "info").index(f.severity) for f in card.findings]
    assert order == sorted(order)
    assert np.isfinite(card.srm.p_value)


@pytest.mark.parametrize(
    ("name", "data", "answers"),
    [("hillstrom", "hillstrom.csv.gz", True), ("penn_bonus", "penn_bonus_log.parquet", False)],
)
def test_the_whole_walk_on_a_real_experiment(real_data, prepared, tmp_path, monkeypatch, capsys, name, data, answers):
    """Issue 5: validate, power, oc, analyze --write-to-warehouse, verify; what has no plan says so."""
    monkeypatch.chdir(tmp_path)
    spec = str(EXAMPLES / f"{name}.yaml")
    source = str(next(path for path in (real_data / data, prepared / data) if path.exists()))

    def run_verb(*arguments):
        with pytest.raises(SystemExit) as stop:
            main(list(arguments))
        return stop.value.code

    assert run_verb("validate", spec) == 0
    assert run_verb("power", spec) == (0 if answers else 1)
    assert run_verb("oc", spec, "--runs", "50", "--seed", "1") == (0 if answers else 1)
    assert run_verb("analyze", spec, "--source", source, "--scorecard", "look.json", "--write-to-warehouse", "--warehouse", "w.duckdb") in {
        0,
        1,
    }
    capsys.readouterr()
    assert run_verb("verify", "look.json", spec, "--source", source) == 0
    assert "Equal" in capsys.readouterr().out
    card = json.loads(Path("look.json").read_text(encoding="utf-8"))
    with duckdb.connect("w.duckdb") as connection:
        rows = connection.execute("select treatment, final_decision from int_experiment_results_primary order by treatment").fetchall()
    assert rows == sorted((treatment, decision["verdict"]) for treatment, decision in card["decisions"].items())
