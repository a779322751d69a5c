"""What does not go together in a spec is refused: the rule, what came, and what to write instead."""

import pytest

from fairtrial.errors import SpecError
from fairtrial.spec.loader import parse_spec
from fairtrial.spec.metric import adds_up, chosen_test, covariates_of

UNITS = {"source": "units.parquet", "unit": "id"}
AGGREGATES = {"source": "sums.csv", "shape": "aggregates"}


POST_STRATIFIED = UNITS | {"strata": ["c"], "adjust": "post_stratify"}
PAIRS = {"source": "units.parquet", "pair": "store"}
RATE = {"kind": "proportion"}
RATIO = {"kind": "ratio", "numerator": "a", "denominator": "b"}


def spec(metric, plan=None, data=None):
    raw = {"key": "x", "arms": ["control", "treatment"], "metrics": [{"key": "m", "kind": "mean"} | metric], "plan": plan or {}}
    return parse_spec(raw | ({} if data is None else {"data": data}))


REFUSED = [
    (
        {"test": "log"},
        {"method": "always_valid"},
        None,
        "made for one look and plan.method is 'always_valid'; use method fixed, or test welch",
    ),
    ({"test": "bootstrap"}, {"method": "bayesian"}, None, "made for one look"),
    ({"kind": "quantile", "q": 0.5}, {"method": "hybrid"}, None, "a quantile is made for one look"),
    (
        {"kind": "ratio", "numerator": "a", "denominator": "b", "test": "bootstrap"},
        {"method": "group_sequential", "mde": 0.1},
        None,
        "or test delta, which may look more than once",
    ),
    ({"test": "trimmed"}, {}, AGGREGATES, "ready aggregates hold none"),
    ({"kind": "quantile", "q": 0.5}, {}, AGGREGATES, "ready aggregates hold none"),
    ({"test": "bootstrap"}, {}, {"source": "units.parquet"}, "name the id's column as data.unit"),
    ({"test": "log"}, {"mde": 1.0, "mde_kind": "absolute"}, None, "plan.mde_kind: absolute"),
    ({"test": "log1p"}, {"practical_threshold_absolute": 1.0}, None, "plan.practical_threshold_absolute"),
    ({"test": "log"}, {"practical_threshold_absolute": 1.0}, None, "use relative thresholds, or test welch"),
    ({"test": "log", "margin": 0.1, "margin_kind": "absolute"}, {}, None, "use test log with margin_kind relative"),
    ({"test": "log1p", "margin": 0.1, "margin_kind": "relative"}, {}, None, "use test log with margin_kind relative"),
    ({"test": "student"}, {}, UNITS | {"strata": ["c"], "adjust": "post_stratify"}, "test 'student' cannot be post-stratified"),
    ({"kind": "quantile", "q": 0.5}, {}, UNITS | {"strata": ["c"], "adjust": "post_stratify"}, "a quantile cannot be post-stratified"),
    (
        {"test": "log", "covariate": "b"},
        {},
        None,
        "test 'log' takes no covariate; use one of ['ancova', 'bootstrap', 'lin', 'student', 'welch']",
    ),
    ({"test": "bootstrap", "covariate": ["b", "c"]}, {}, None, "test bootstrap takes one covariate, got 2"),
    ({"covariate": ["b", "b"]}, {}, None, "each covariate may be named once"),
    ({"kind": "proportion", "covariate": ["b", "b"]}, {}, None, "each covariate may be named once"),
    ({"trim": 0.1}, {}, None, "trim belongs to test trimmed, the test is 'welch'"),
    ({"test": "trimmed", "trim": 0.5}, {}, None, "should be less than 0.5"),
    ({"test": "trimmed", "winsorize": 0.9}, {}, None, "bounds outliers by itself"),
    ({"test": "mann_whitney", "winsorize": 0.9}, {}, None, "bounds outliers by itself"),
    ({"test": "rank_sum"}, {}, None, "must be one of"),
    ({"test": "lin"}, {}, None, "test 'lin' adjusts for covariates and needs one; without any use test welch"),
    ({"hc": "HC3"}, {}, None, "hc belongs to tests lin and ancova, the test is 'welch'"),
    ({"test": "lin", "covariate": "b", "hc": "HC9"}, {}, None, "must be one of"),
    ({"test": "ancova", "covariate": "b"}, {"method": "group_sequential", "mde": 0.1}, None, "is made for one look"),
    ({"test": "lin", "covariate": "b"}, {"method": "bayesian"}, None, "use method fixed, or test welch"),
    ({"test": "lin", "covariate": "b"}, {}, POST_STRATIFIED, "test 'lin' cannot be post-stratified; use test welch"),
    (RATE | {"test": "exact"}, {"method": "always_valid"}, None, "use method fixed, or test score, which may look more than once"),
    (RATE | {"test": "exact"}, {"method": "bayesian"}, None, "is made for one look"),
    (RATE | {"test": "exact", "covariate": "b"}, {}, None, "leave the test out, and the rates are compared by CUPED"),
    (RATE | {"test": "exact"}, {}, POST_STRATIFIED, "test 'exact' cannot be post-stratified; use test score, or adjust: none"),
    (RATE | {"test": "welch"}, {}, None, "must be one of"),
    (RATE | {"test": "mantel_haenszel"}, {}, UNITS, "name their columns as data.strata"),
    (RATE | {"test": "mantel_haenszel"}, {}, AGGREGATES, "data of shape 'aggregates' does not have; use test score"),
    (RATE | {"test": "mantel_haenszel"}, {}, POST_STRATIFIED, "cannot be post-stratified; use test score, or adjust: none"),
    (RATE | {"test": "mantel_haenszel"}, {"method": "hybrid"}, None, "is made for one look"),
    (RATE | {"test": "mcnemar"}, {}, UNITS, "name the pair's column as data.pair"),
    (RATE | {"test": "mcnemar"}, {}, AGGREGATES, "ready aggregates hold none; use test score or exact"),
    ({"test": "paired_t"}, {}, UNITS, "test 'paired_t' compares the units of a pair; name the pair's column as data.pair"),
    ({"test": "wilcoxon"}, {"method": "always_valid"}, PAIRS, "is made for one look"),
    ({"test": "wilcoxon", "winsorize": 0.9}, {}, PAIRS, "bounds outliers by itself"),
    ({"test": "paired_t", "covariate": "b"}, {}, PAIRS, "test 'paired_t' takes no covariate"),
    ({}, {}, PAIRS, "test 'welch' does not compare within them; use test paired_t, wilcoxon or permutation"),
    ({"test": "lin", "covariate": "b"}, {}, PAIRS, "does not compare within them"),
    (RATE, {}, PAIRS, "test 'proportions' does not compare within them; use test mcnemar"),
    ({"kind": "quantile", "q": 0.5}, {}, PAIRS, "a quantile does not compare within them; no test of a quantile does"),
    (RATIO | {"test": "permutation"}, {}, PAIRS, "no test of a ratio compares within them; make it a mean"),
    ({"test": "paired_t"}, {}, PAIRS | {"pair": "arm"}, "the arm column 'arm' names no pair"),
    ({"test": "paired_t"}, {}, PAIRS | {"unit": "store"}, "leave `unit` out, `pair` names 'store'"),
    ({"test": "paired_t"}, {}, PAIRS | {"strata": ["c"], "adjust": "post_stratify"}, "pairs are strata of their own"),
    ({"test": "paired_t"}, {}, PAIRS | {"repeated": "mean"}, "aggregate the rows first"),
    (
        {"kind": "ratio", "numerator": "a", "denominator": "b", "test": "bootstrap", "covariate": "c"},
        {},
        None,
        "test 'bootstrap' of a ratio takes no covariate; use test delta",
    ),
    (
        {"kind": "ratio", "numerator": "a", "denominator": "b", "covariate": ["c", "d"], "covariate_denominator": "e"},
        {},
        None,
        "covariate_denominator needs a covariate, exactly one, got 2",
    ),
    ({"kind": "quantile", "q": 1.0}, {}, None, "should be less than 1"),
    ({"kind": "quantile"}, {}, None, "q is required"),
    ({}, {}, UNITS | {"strata": ["c"]}, "go together, one of them is missing"),
    ({}, {}, UNITS | {"adjust": "post_stratify"}, "go together, one of them is missing"),
    ({}, {}, UNITS | {"strata": ["c", "c"], "adjust": "post_stratify"}, "each stratum column may be named once"),
    ({}, {}, UNITS | {"strata": ["arm"], "adjust": "post_stratify"}, "the arm column 'arm' is no stratum"),
    ({}, {}, UNITS | {"strata": ["c"], "adjust": "post_stratify", "post_assignment": ["c"]}, "['c'] are measured after it"),
    ({}, {}, UNITS | {"strata": ["c"], "adjust": "post_stratify", "repeated": "mean"}, "repeated is 'mean'"),
    ({"covariate": []}, {}, None, "covariate: list should have at least 1 item"),
    ({"covariate": ["a", {"fact": "f", "days": 3}]}, {}, None, "unknown key 'days' in metrics[0].covariate[1]"),
    ({"covariate": [True]}, {}, None, "metrics[0].covariate[0]: input should be a valid string, got True"),
    ({"covariate": True}, {}, None, "metrics[0].covariate: input should be a valid string, got True"),
]


@pytest.mark.parametrize(("metric", "plan", "data", "said"), REFUSED, ids=lambda part: part if isinstance(part, str) else None)
def test_an_impossible_combination_is_refused_with_what_to_do(metric, plan, data, said):
    """Issue 3, bad input; one complaint for one mistake."""
    with pytest.raises(SpecError) as caught:
        spec(metric, plan, data)
    assert said in str(caught.value)
    assert "breaks a rule" in str(caught.value)


def test_a_log_test_of_non_inferiority_is_refused():
    with pytest.raises(SpecError, match="geometric means"):
        spec({"test": "log", "margin": 0.1}, {"objective": "non_inferiority"})


def test_pairs_are_of_two_arms():
    raw = {"key": "x", "arms": ["control", "a", "b"], "metrics": [{"key": "m", "kind": "mean", "test": "paired_t"}], "data": PAIRS}
    with pytest.raises(SpecError, match="so there are two arms; the spec has 3"):
        parse_spec(raw)


ALLOWED = [
    (RATE | {"test": "exact"}, AGGREGATES | {"columns": {"m": {"successes": "x"}}}),
    (RATE | {"test": "mantel_haenszel"}, UNITS | {"strata": ["country"]}),
    (RATE | {"test": "mcnemar"}, PAIRS),
    ({"test": "permutation"}, PAIRS | {"unit": "id"}),
    ({"kind": "count", "test": "wilcoxon"}, PAIRS),
    ({"test": "lin", "covariate": ["a", "b"], "hc": "HC0"}, UNITS),
]


@pytest.mark.parametrize(("metric", "data"), ALLOWED)
def test_what_a_method_serves_is_allowed(metric, data):
    assert chosen_test(spec(metric, {}, data).metrics[0]) == metric["test"]


def test_the_new_settings_left_at_their_defaults_change_no_hash():
    """Decision 6: what a spec does not use stays out of its hash."""
    plain = spec(RATE, {}, UNITS)
    assert plain.spec_hash == spec(RATE | {"test": "score"}, {}, UNITS | {"pair": None}).spec_hash
    assert plain.spec_hash != spec(RATE | {"test": "exact"}, {}, UNITS).spec_hash
    assert spec({}).spec_hash == spec({"hc": "HC2"}).spec_hash


@pytest.mark.parametrize("test", ["welch", "student"])
@pytest.mark.parametrize("method", ["fixed", "always_valid", "bayesian"])
def test_tests_of_moments_may_look_more_than_once(test, method):
    assert spec({"test": test}, {"method": method}).plan.method == method


def test_student_serves_ready_aggregates():
    assert spec({"test": "student"}, {}, AGGREGATES | {"columns": {"m": {"mean": "a", "variance": "b"}}}).data.shape == "aggregates"


def test_one_covariate_and_a_list_of_one_mean_the_same():
    one, listed = (spec({"covariate": given}).metrics[0] for given in ("before", ["before"]))
    assert covariates_of(one) == covariates_of(listed) == ("before",)
    assert covariates_of(spec({"kind": "quantile", "q": 0.5}).metrics[0]) == ()


def test_a_covariate_of_a_list_may_not_be_measured_after_assignment():
    with pytest.raises(SpecError, match="late"):
        spec({"covariate": ["before", "late"]}, {}, UNITS | {"post_assignment": ["late"]})


@pytest.mark.parametrize(
    ("metric", "test", "total"),
    [
        ({"kind": "proportion"}, "proportions", True),
        ({"kind": "proportion", "covariate": "b"}, "welch", True),
        ({"kind": "count", "test": "permutation"}, "permutation", True),
        ({"test": "mann_whitney"}, "mann_whitney", False),
        ({"kind": "proportion", "test": "exact"}, "exact", True),
        ({"kind": "proportion", "test": "mantel_haenszel"}, "mantel_haenszel", False),
        ({"kind": "proportion", "test": "mcnemar"}, "mcnemar", True),
        ({"test": "lin", "covariate": "b"}, "lin", True),
        ({"test": "wilcoxon"}, "wilcoxon", False),
        ({"kind": "ratio", "numerator": "a", "denominator": "b", "test": "bootstrap"}, "bootstrap", False),
        ({"kind": "quantile", "q": 0.5}, "order_statistics", False),
    ],
)
def test_a_metric_says_its_test_and_whether_its_effect_adds_up(metric, test, total):
    found = spec(metric).metrics[0]
    assert (chosen_test(found), adds_up(found)) == (test, total)
