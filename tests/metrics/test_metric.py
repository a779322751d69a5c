"""Metrics: every kind of the union has a builder, needs and a family."""

from typing import get_args

import pytest

from fairtrial.errors import UsageError
from fairtrial.metrics import UnitComparison, build_metric, build_metrics, builds, known_kinds
from fairtrial.metrics.needs import Column
from fairtrial.spec.loader import parse_spec
from fairtrial.spec.metric import CountSpec, EventValue, MeanSpec, MetricSpec, ProportionSpec, QuantileSpec, RatioSpec

EXAMPLES = {
    "proportion": ProportionSpec(key="bought", kind="proportion"),
    "mean": MeanSpec(key="spend", kind="mean"),
    "count": CountSpec(key="visits", kind="count"),
    "ratio": RatioSpec(key="ctr", kind="ratio", numerator="clicks", denominator="views"),
    "quantile": QuantileSpec(key="latency", kind="quantile", q=0.95),
}


def test_every_kind_of_the_union_has_a_builder_and_an_example():
    kinds = {get_args(member.model_fields["kind"].annotation)[0] for member in get_args(get_args(MetricSpec)[0])}
    assert kinds == set(known_kinds()) == set(EXAMPLES)


def test_registering_a_kind_twice_is_an_error():
    with pytest.raises(UsageError, match="has one already"):
        builds("mean")(lambda spec, _: build_metric(spec))


@pytest.mark.parametrize(
    ("kind", "values", "columns", "test"),
    [
        ("proportion", "binary", 1, "two_proportion_z_pooled"),
        ("mean", "real", 1, "welch_t"),
        ("count", "nonnegative", 1, "welch_t"),
        ("ratio", "real", 2, "ratio_delta"),
        ("quantile", "real", 1, "quantile_difference"),
    ],
)
def test_a_metric_says_what_to_read_and_how_it_is_tested(kind, values, columns, test):
    metric = build_metric(EXAMPLES[kind])
    assert metric.needs.outcome.values == values
    assert len(metric.needs.columns) == columns
    assert metric.family.test_name() == test
    assert metric.family.adjusted is False


@pytest.mark.parametrize("kind", sorted(set(EXAMPLES) - {"quantile"}))
def test_a_covariate_makes_any_kind_a_cuped_test(kind):
    metric = build_metric(EXAMPLES[kind].model_copy(update={"covariate": "before"}))
    assert metric.family.adjusted
    assert metric.family.test_name().startswith("cuped")
    assert metric.needs.covariate == Column(source="before")


def test_the_default_column_is_the_metrics_name_and_events_are_kept():
    assert build_metric(EXAMPLES["mean"]).needs.outcome.source == "spend"
    event = EventValue(fact="orders", value="amount")
    assert build_metric(MeanSpec(key="spend", kind="mean", column=event)).needs.outcome.source == event
    assert build_metric(ProportionSpec(key="x", kind="proportion", column=EventValue(fact="orders"))).needs.outcome.any_event


def test_metrics_of_one_family_share_a_batch():
    """DESIGN 3: one vectorised core."""
    assert build_metric(EXAMPLES["mean"]).family == build_metric(EXAMPLES["count"]).family
    assert hash(build_metric(EXAMPLES["mean"]).family) == hash(build_metric(EXAMPLES["count"]).family)
    assert build_metric(EXAMPLES["mean"]).family != build_metric(EXAMPLES["ratio"]).family


def test_several_covariates_are_all_read_and_said_to_be_several():
    metric = build_metric(MeanSpec(key="spend", kind="mean", covariate=("before", "age")))
    assert [column.source for column in metric.needs.columns] == ["spend", "before", "age"]
    assert (metric.family.several, metric.family.test_name()) == (True, "cuped_welch_t")
    assert not build_metric(MeanSpec(key="spend", kind="mean", covariate=("before",))).family.several


@pytest.mark.parametrize(
    ("test", "rows", "buckets", "name", "interval"),
    [
        ("welch", False, False, "welch_t", "t"),
        ("student", False, False, "student_t", "t"),
        ("log", True, False, "log_t", "t"),
        ("log1p", True, False, "log1p_t", "t"),
        ("trimmed", True, False, "yuen_t", "t"),
        ("mann_whitney", True, False, "mann_whitney", "hodges_lehmann"),
        ("permutation", True, False, "permutation", "permutation"),
        ("bootstrap", False, True, "bootstrap_mean_difference", "bootstrap_studentised"),
    ],
)
@pytest.mark.parametrize("model", [MeanSpec, CountSpec])
def test_a_test_says_what_it_reads(model, test, rows, buckets, name, interval):
    """Only tests of units let values leave the engine; a bootstrap reads sums by bucket."""
    metric = build_metric(model(key="spend", kind=model.__name__.removesuffix("Spec").lower(), test=test))
    assert (metric.needs.rows, metric.needs.buckets) == (rows, buckets)
    assert (metric.family.test_name(), metric.family.interval_method) == (name, interval)
    assert isinstance(metric.family, UnitComparison) == (rows or buckets)


@pytest.mark.parametrize(("test", "name"), [("bootstrap", "bootstrap_ratio_difference"), ("permutation", "permutation_ratio")])
def test_a_ratio_may_be_resampled_too(test, name):
    metric = build_metric(RatioSpec(key="ctr", kind="ratio", numerator="clicks", denominator="views", test=test))
    assert (metric.needs.rows, metric.needs.buckets) == (test == "permutation", test == "bootstrap")
    assert metric.family.test_name() == name


@pytest.mark.parametrize(("test", "hc", "name"), [("lin", "HC2", "lin_hc2"), ("ancova", "classical", "ancova_classical")])
def test_a_regression_reads_its_covariates_unit_by_unit(test, hc, name):
    metric = build_metric(MeanSpec(key="spend", kind="mean", test=test, hc=hc, covariate=("before", "age")))
    assert (metric.needs.rows, metric.needs.covariate_rows, metric.needs.paired) == (True, True, False)
    assert (metric.family.test_name(), metric.family.interval_method) == (name, "t")


@pytest.mark.parametrize(
    ("test", "rows", "by_stratum", "name", "interval"),
    [
        ("exact", False, False, "exact_unconditional", "exact_unconditional"),
        ("mantel_haenszel", False, True, "mantel_haenszel", "stratified_miettinen_nurminen"),
        ("mcnemar", True, False, "mcnemar", "tango"),
    ],
)
def test_rates_are_compared_as_their_metric_says(test, rows, by_stratum, name, interval):
    """Only pairs need rows: exact and stratified tests are made of counts."""
    metric = build_metric(ProportionSpec(key="bought", kind="proportion", test=test))
    assert (metric.needs.rows, metric.needs.by_stratum) == (rows, by_stratum)
    assert (metric.family.test_name(), metric.family.interval_method) == (name, interval)


def test_where_the_data_has_pairs_a_permutation_is_within_them():
    metric = build_metric(MeanSpec(key="spend", kind="mean", test="permutation"), paired=True)
    assert (metric.needs.paired, metric.family.test_name()) == (True, "paired_permutation")


def test_a_bootstrap_with_a_covariate_says_so():
    assert build_metric(MeanSpec(key="s", kind="mean", test="bootstrap", covariate="b")).family.test_name() == "bootstrap_cuped_difference"


def test_a_quantile_reads_its_order_statistics():
    assert build_metric(EXAMPLES["quantile"]).needs.quantile == 0.95


def test_post_stratified_data_makes_means_of_rates():
    spec = parse_spec({
        "key": "x", "arms": ["control", "treatment"],
        "metrics": [{"key": "bought", "kind": "proportion", "role": "primary"}, {"key": "spend", "kind": "mean", "covariate": "before"}],
        "data": {"source": "units.parquet", "strata": ["country"], "adjust": "post_stratify"},
    })  # fmt: skip
    names = [metric.family.test_name() for metric in build_metrics(spec)]
    assert names == ["post_stratified_welch_t", "post_stratified_cuped_welch_t"]
