"""Exact, stratified, regression and paired tests through the whole evaluation: the test that the spec names is the one that is made."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fairtrial.errors import UsageError
from fairtrial.evaluation import by_design, evaluate
from fairtrial.evaluation.planning import plan_experiment
from fairtrial.metrics import build_metrics
from fairtrial.reports import view
from fairtrial.spec.loader import parse_spec
from fairtrial.stats.exact_difference import exact_difference_test
from fairtrial.stats.odds_homogeneity import breslow_day_test
from fairtrial.stats.paired import PairCounts, mcnemar_test, signed_rank_test
from fairtrial.stats.regression import ancova_test, lin_test
from fairtrial.stats.result import Unavailable
from fairtrial.stats.stratified_rates import mantel_haenszel_test
from fairtrial.stats.tables import cochran_mantel_haenszel
from fairtrial.warehouse.memory import read_rows

ARMS = ("control", "treatment")


def table(n: int = 120, *, seed: int = 3) -> list[dict]:
    rng = np.random.default_rng(seed)
    treated = rng.permutation(np.arange(n) % 2)
    before, visits = rng.gamma(4.0, 5.0, n), rng.poisson(4, n)
    country = rng.integers(0, 3, n)
    spend = 0.7 * before + 2.0 * visits + rng.normal(0.0, 6.0, n) * (1 + treated) + 3.0 * treated
    return [
        {
            "id": i,
            "arm": ARMS[treated[i]],
            "country": "abc"[country[i]],
            "bought": int(rng.random() < (0.15, 0.35, 0.6)[country[i]] + 0.12 * treated[i]),
            "spend": float(spend[i]),
            "before": float(before[i]),
            "visits": int(visits[i]),
        }
        for i in range(n)
    ]


def pairs(n: int = 60, *, seed: int = 5, lost: int = 0) -> list[dict]:
    """Stores under both arms; the last `lost` have no control row."""
    rng = np.random.default_rng(seed)
    level = rng.normal(30.0, 8.0, n)
    rows: list[dict] = []
    for i in rng.permutation(n):
        for side, arm in enumerate(ARMS):
            row = {
                "store": f"s{i}",
                "arm": arm,
                "sales": float(level[i] + rng.normal(0.0, 3.0) + side),
                "hit": int(rng.random() < 0.4 + 0.2 * side),
            }
            if side or i < n - lost:
                rows.append(row)
    return rows


def design(*metrics: dict, plan: dict | None = None, **data):
    raw = {"key": "spring", "arms": list(ARMS), "plan": {"sample_size": 120} | (plan or {}), "data": {"source": "memory"} | data}
    return parse_spec(raw | {"metrics": [{"key": "m", "role": "primary"} | metrics[0], *metrics[1:]]})


def evaluated(spec, rows: list[dict]):
    return evaluate(spec, read_rows({"t": rows}, spec.data, [one.needs for one in build_metrics(spec)], ARMS))


def estimate(spec, rows: list[dict]):
    return evaluated(spec, rows).comparison("m").estimate


RATE = {"kind": "proportion", "column": "bought"}
MEAN = {"kind": "mean", "column": "spend"}
SALES = {"kind": "mean", "column": "sales"}
HITS = {"kind": "proportion", "column": "hit"}


def strata_counts(rows: list[dict]) -> list[tuple[int, ...]]:
    return [
        tuple(f([row["bought"] for row in rows if (row["country"], row["arm"]) == (country, arm)]) for arm in ARMS for f in (sum, len))
        for country in "abc"
    ]


def test_mantel_haenszel_is_made_of_the_strata():
    """The chi-square of the strata's counts (Mantel & Haenszel 1959), and the interval of `mantel_haenszel_test`."""
    rows = table()
    found = estimate(design(RATE | {"test": "mantel_haenszel"}, unit="id", strata=["country"]), rows)
    own, chi = mantel_haenszel_test(strata_counts(rows)), cochran_mantel_haenszel(strata_counts(rows))
    assert found.p_value == pytest.approx(chi.p_value, rel=1e-12)
    assert (found.interval, found.lift_interval) == (own.interval, own.lift_interval)
    assert (found.method, found.interval_method) == ("mantel_haenszel", "stratified_miettinen_nurminen")


def test_strata_whose_odds_ratios_differ_are_told():
    """Breslow, Day and Tarone beside the test of Mantel and Haenszel."""
    counts = {"a": (20, 45), "b": (45, 20), "c": (30, 31)}
    rows = [
        {"id": f"{country}{side}{i}", "arm": ARMS[side], "country": country, "bought": int(i < own)}
        for country, pair in counts.items()
        for side, own in enumerate(pair)
        for i in range(100)
    ]
    spec = design(RATE | {"test": "mantel_haenszel"}, unit="id", strata=["country"])
    assert breslow_day_test(strata_counts(rows)).p_value < 1e-4
    assert estimate(spec, rows).notes == ("odds_ratios_differ",)
    alike = [row | {"country": "a"} for row in rows]
    assert estimate(spec, alike).notes == ()  # one stratum cannot differ


def test_strata_serve_the_metrics_that_ask_and_leave_the_others_alone():
    rows = table()
    plain = {"key": "p", "kind": "proportion", "column": "bought"}
    spec = design(
        RATE | {"test": "mantel_haenszel"}, plain, MEAN | {"key": "s", "test": "log1p", "column": "before"}, unit="id", strata=["country"]
    )
    card = evaluated(spec, rows)
    alone = evaluated(design(RATE, unit="id"), rows).comparison("m").estimate
    assert card.comparison("p").estimate.p_value == pytest.approx(alone.p_value, rel=1e-12)
    assert card.comparison("s").estimate is not None


def test_exact_is_made_of_the_counts():
    rows = [row for row in table() if row["country"] == "a"]
    x = [sum(row["bought"] for row in rows if row["arm"] == arm) for arm in ARMS]
    n = [sum(row["arm"] == arm for row in rows) for arm in ARMS]
    found = estimate(design(RATE | {"test": "exact"}, unit="id"), rows)
    own = exact_difference_test(x[0], n[0], x[1], n[1])
    assert (found.p_value, found.interval.low, found.statistic) == (own.p_value, own.interval.low, own.statistic)
    assert (found.method, found.notes) == ("exact_unconditional", own.notes)


def test_exact_has_a_bound_of_units():
    rows = [{"id": i, "arm": ARMS[i % 2], "bought": i % 3 == 0} for i in range(600)]
    assert evaluated(design(RATE | {"test": "exact"}, unit="id"), rows).comparison("m").unavailable.code == "too_many_units"


@pytest.mark.parametrize("covariate", ["before", ["before", "visits"]])
@pytest.mark.parametrize("hc", ["classical", "HC0", "HC1", "HC2", "HC3"])
def test_lin_and_ancova_are_those_of_the_reference_vectors(covariate, hc):
    """`lin_test` and `ancova_test`, which tests/reference holds to R's figures, on the units' own rows."""
    rows = table()
    names = [covariate] if isinstance(covariate, str) else covariate
    y, treated = (np.array([float(row[k] == "treatment" if k == "arm" else row[k]) for row in rows]) for k in ("spend", "arm"))
    x = np.column_stack([[row[name] for row in rows] for name in names])
    for test, own in (("lin", lin_test), ("ancova", ancova_test)):
        found = estimate(design(MEAN | {"test": test, "covariate": covariate, "hc": hc}, unit="id"), rows)
        wanted = own(y, treated, x, std_errors=hc.lower())
        assert (found.effect, found.std_error, found.p_value) == pytest.approx((wanted.effect, wanted.std_error, wanted.p_value), rel=1e-9)
        assert (found.interval.low, found.df) == pytest.approx((wanted.interval.low, wanted.df), rel=1e-9)
        assert found.method == wanted.method == f"{test}_{hc.lower()}"
        assert 0.2 < found.variance_reduction < 0.95


def test_hc2_is_the_default_of_a_regression():
    assert estimate(design(MEAN | {"test": "lin", "covariate": "before"}, unit="id"), table()).method == "lin_hc2"


def test_collinear_covariates_make_no_estimate():
    rows = [row | {"twice": 2.0 * row["before"]} for row in table()]
    card = evaluated(design(MEAN | {"test": "lin", "covariate": ["before", "twice"]}, unit="id"), rows)
    assert card.comparison("m").unavailable.code == "collinear"


def sides(rows: list[dict], column: str) -> tuple[np.ndarray, np.ndarray]:
    by_arm = [{row["store"]: row[column] for row in rows if row["arm"] == arm} for arm in ARMS]
    both = [name for name in by_arm[0] if name in by_arm[1]]
    return tuple(np.array([values[name] for name in both], dtype=float) for values in by_arm)


def test_paired_tests_compare_within_pairs():
    """Against SciPy's `ttest_rel`, and `signed_rank_test` and `mcnemar_test` on the pairs."""
    rows = pairs(lost=4)
    control, treatment = sides(rows, "sales")
    rel = stats.ttest_rel(treatment, control)
    found = estimate(design(SALES | {"test": "paired_t"}, pair="store"), rows)
    assert (found.p_value, found.df, found.n_control) == (pytest.approx(rel.pvalue, rel=1e-9), 55, 56)
    ranks, own = estimate(design(SALES | {"test": "wilcoxon"}, pair="store"), rows), signed_rank_test(control, treatment)
    assert (ranks.p_value, ranks.effect) == pytest.approx((own.p_value, own.effect), rel=1e-12)
    hits, wanted = (
        estimate(design(HITS | {"test": "mcnemar"}, pair="store"), rows),
        mcnemar_test(PairCounts.from_values(*sides(rows, "hit"))),
    )
    assert (hits.p_value, hits.interval.low) == pytest.approx((wanted.p_value, wanted.interval.low), rel=1e-9)


def test_a_permutation_within_pairs_exchanges_the_arms_of_a_pair():
    """Ten pairs: all 1,024 ways are gone through; the p-value is counted by hand."""
    rows = pairs(10)
    control, treatment = sides(rows, "sales")
    difference = treatment - control
    signs = np.array(np.meshgrid(*[[-1, 1]] * 10)).reshape(10, -1)
    means = (signs * difference[:, None]).mean(axis=0)
    greater, less = (means >= difference.mean() - 1e-12).mean(), (means <= difference.mean() + 1e-12).mean()
    found = estimate(design(SALES | {"test": "permutation"}, pair="store"), rows)
    assert found.p_value == pytest.approx(min(1.0, 2 * min(greater, less)), rel=1e-12)
    assert found.method == "paired_permutation"
    assert found.effect == pytest.approx(difference.mean(), rel=1e-12)


def test_signed_ranks_have_a_bound_of_pairs(monkeypatch):
    monkeypatch.setattr(by_design, "MOST_PAIRS", 20)
    assert evaluated(design(SALES | {"test": "wilcoxon"}, pair="store"), pairs()).comparison("m").unavailable.code == "too_many_units"


def test_sizes_of_arms_of_pairs_are_not_checked_and_lost_partners_are_a_finding():
    card = evaluated(design(SALES | {"test": "paired_t"}, pair="store"), pairs(lost=4))
    assert (card.srm.status, card.srm.p_value) == ("skipped", None)
    assert "every pair has one unit in each arm" in card.srm.reason
    finding = next(one for one in card.findings if one.code == "incomplete_pairs")
    assert (finding.severity, finding.numbers["rows"], finding.numbers["treatment"]) == ("warning", 4, 4)
    assert [arm.n for arm in card.arms] == [56, 56]


def test_partners_lost_from_one_arm_alone_make_the_result_invalid():
    """Fourteen of fourteen from one arm: binomial p = 1.2e-4."""
    card = evaluated(design(SALES | {"test": "paired_t"}, pair="store"), pairs(lost=14))
    assert next(one for one in card.findings if one.code == "incomplete_pairs").severity == "critical"
    assert card.decision.state == "invalid"


def test_complete_pairs_leave_nothing_to_report():
    assert not [one for one in evaluated(design(SALES | {"test": "paired_t"}, pair="store"), pairs()).findings if "pair" in one.code]


def test_a_limit_is_read_from_the_treatments_own_value():
    """Every test of this kind has an interval of the treatment's own value, around that value."""
    rows, both = table(400), pairs(150)
    limits = [
        (design(RATE, {"key": "g", "role": "guardrail", "max_value": 0.001, "direction": "decrease"} | RATE | more, **data), rows_of)
        for more, data, rows_of in (
            ({"test": "mantel_haenszel"}, {"unit": "id", "strata": ["country"]}, rows),
            ({"test": "exact"}, {"unit": "id"}, rows),
        )
    ]
    guards = [
        (MEAN, MEAN | {"test": "lin", "covariate": ["before", "visits"]}, {"unit": "id"}, rows),
        (SALES | {"test": "paired_t"}, SALES | {"test": "paired_t"}, {"pair": "store"}, both),
        (SALES | {"test": "paired_t"}, SALES | {"test": "wilcoxon"}, {"pair": "store"}, both),
        (SALES | {"test": "paired_t"}, HITS | {"test": "mcnemar"}, {"pair": "store"}, both),
    ]
    limits += [
        (design(first, {"key": "g", "role": "guardrail", "max_value": 0.001, "direction": "decrease"} | guard, **data), rows_of)
        for first, guard, data, rows_of in guards
    ]
    for spec, rows_of in limits:
        assert evaluated(spec, rows_of).comparison("g").guardrail.status == "ALERT", spec.metrics[1]


def test_what_the_units_could_show_knows_of_pairs_and_covariates():
    """The paired spread is that of the differences, so fewer units show more than two independent arms do."""
    rows = pairs()
    paired = evaluated(design(SALES | {"test": "paired_t"}, pair="store"), rows).plan.detectable_effect
    welch = evaluated(design(SALES), rows).plan.detectable_effect
    control, treatment = sides(rows, "sales")
    assert paired == pytest.approx(2.8016 * (treatment - control).std(ddof=1) / np.sqrt(60), rel=1e-3)
    assert paired < 0.7 * welch
    adjusted = evaluated(design(MEAN | {"test": "lin", "covariate": ["before", "visits"]}, unit="id"), table()).plan.detectable_effect
    assert adjusted < evaluated(design(MEAN, unit="id"), table()).plan.detectable_effect
    assert evaluated(design(HITS | {"test": "mcnemar"}, pair="store"), rows).plan.detectable_effect is None
    assert evaluated(design(RATE | {"test": "exact"}, unit="id"), table()).plan.detectable_effect > 0.1


def test_pairs_have_no_size_by_formula_and_counted_rates_that_of_the_score_test():
    plan = {"baseline": 0.2, "mde": 0.2, "sample_size": None}
    gone = plan_experiment(design(HITS | {"test": "mcnemar"}, plan=plan, pair="store"))
    assert isinstance(gone, Unavailable)
    assert (gone.code, "declare plan.sample_size" in gone.reason) == ("no_formula", True)
    exact, score = (plan_experiment(design(RATE | {"test": test}, plan=plan, unit="id")) for test in ("exact", "score"))
    assert (exact.arms, exact.notes, score.notes) == (score.arms, ("planned_as_score",), ())


def test_a_reading_without_what_a_test_reads_is_refused():
    """A spec without a data section names no pairs; a reading made for another test has no strata and no covariates."""
    rows = pairs()
    raw = {"key": "x", "arms": list(ARMS), "metrics": [{"key": "m", "role": "primary"} | SALES | {"test": "paired_t"}]}
    spec = parse_spec(raw)
    data = design(SALES).data
    with pytest.raises(UsageError, match="reads pairs"):
        evaluate(spec, read_rows({"t": rows}, data, [one.needs for one in build_metrics(spec)], ARMS))
    for more, read_as, said in (
        (RATE | {"test": "mantel_haenszel"}, RATE, "reads the strata's counts"),
        (MEAN | {"test": "lin", "covariate": "before"}, MEAN | {"test": "log"}, "reads the covariates' values"),
    ):
        data = {"unit": "id", "strata": ["country"]} if "kind" in more and more["kind"] == "proportion" else {"unit": "id"}
        asked, other = design(more, **data), design(read_as, unit="id")
        reading = read_rows(
            {"t": [row | {"spend": abs(row["spend"]) + 1} for row in table()]},
            other.data,
            [one.needs for one in build_metrics(other)],
            ARMS,
        )
        with pytest.raises(UsageError, match=said):
            evaluate(asked, reading)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), correction=st.sampled_from(["holm", "benjamini-hochberg", "none"]))
def test_after_correction_too_p_values_and_intervals_agree(seed, correction):
    """DESIGN 5, for every test made here, primary or secondary."""
    plan = {"secondary_correction": correction, "alpha": 0.1}
    rows = table(80, seed=seed)
    rates = [RATE | {"key": "e", "test": "exact"}, RATE | {"key": "h", "test": "mantel_haenszel"}]
    means = [
        MEAN | {"key": "l", "test": "lin", "covariate": "before"},
        MEAN | {"key": "a", "test": "ancova", "covariate": "visits", "hc": "HC3"},
    ]
    cards = [evaluated(design(RATE, *rates, *means, plan=plan, unit="id", strata=["country"]), rows)]
    within = [SALES | {"key": "w", "test": "wilcoxon"}, SALES | {"key": "p", "test": "permutation"}, HITS | {"key": "c", "test": "mcnemar"}]
    cards.append(evaluated(design(SALES | {"test": "paired_t"}, *within, plan=plan, pair="store"), pairs(24, seed=seed)))
    for card in cards:
        for row in card.comparisons:
            found = row.estimate
            if found is None:
                continue
            p_value = found.p_value if found.p_adjusted is None else found.p_adjusted
            assert (p_value < 0.1) == found.interval.excludes(0.0), row


def test_reports_show_what_was_compared():
    card = evaluated(design(SALES | {"test": "paired_t"}, pair="store"), pairs(lost=4))
    row = view(card).groups[0].metrics[0].rows[0]
    assert "paired" in str(row)
