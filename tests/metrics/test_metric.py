"""Metrics: every kind of the union has a builder, needs and a family."""

from typing import get_args

import pytest

from fairtrial.errors import UsageError
from fairtrial.metrics import build_metric, builds, known_kinds
from fairtrial.metrics.needs import Column
from fairtrial.spec.metric import CountSpec, EventValue, MeanSpec, MetricSpec, ProportionSpec, RatioSpec

EXAMPLES = {
    "proportion": ProportionSpec(key="bought", kind="proportion"),
    "mean": MeanSpec(key="spend", kind="mean"),
    "count": CountSpec(key="visits", kind="count"),
    "ratio": RatioSpec(key="ctr", kind="ratio", numerator="clicks", denominator="views"),
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
    ],
)
def test_a_metric_says_what_to_read_and_how_it_is_tested(kind, values, columns, test):
    metric = build_metric(EXAMPLES[kind])
    assert metric.needs.outcome.values == values
    assert len(metric.needs.columns) == columns
    assert metric.family.test_name() == test
    assert metric.family.adjusted is False


@pytest.mark.parametrize("kind", EXAMPLES)
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
