"""A metric ready to be read and compared, and the mapping from kinds to builders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fairtrial.errors import UnknownNameError, UsageError
from fairtrial.metrics.family import Family, Means, Proportions
from fairtrial.metrics.needs import Column, Needs
from fairtrial.metrics.unit_comparison import UnitComparison
from fairtrial.spec.data import UnitsData
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.metric import (
    REGRESSIONS,
    CountSpec,
    MeanSpec,
    MetricSpec,
    ProportionSpec,
    QuantileSpec,
    RatioSpec,
    Source,
    covariates_of,
)
from fairtrial.spec.plan import CiMethod


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A metric of a spec: what it needs read and how it is compared.

    Attributes:
        spec: As declared.
        needs: What to read.
        family: How it is compared, in a batch with others of its family.
    """

    spec: MetricSpec
    needs: Needs
    family: Family


Builder = Callable[[Any, CiMethod], Metric]

_BUILDERS: dict[str, Builder] = {}


def builds(kind: str) -> Callable[[Builder], Builder]:
    """Register the builder of a kind of metric; registering twice raises."""

    def register(builder: Builder) -> Builder:
        if kind in _BUILDERS:
            raise UsageError(f"A kind of metric has one builder; {kind!r} has one already.")
        _BUILDERS[kind] = builder
        return builder

    return register


def build_metric(spec: MetricSpec, *, ci_method: CiMethod = "score", stratified: bool = False, paired: bool = False) -> Metric:
    """Make a declared metric ready to be read and compared.

    Args:
        spec: As declared.
        ci_method: Interval of a difference of two proportions.
        stratified: Whether the data is post-stratified; rates are then compared as means.
        paired: Whether the data has pairs, whose units are compared with each other.

    Raises:
        UnknownNameError: The kind has no builder.
    """
    if spec.kind not in _BUILDERS:
        raise UnknownNameError.among("kind of metric", spec.kind, _BUILDERS)
    metric = _BUILDERS[spec.kind](spec, ci_method)
    if paired and isinstance(metric.family, UnitComparison):
        return replace(metric, needs=replace(metric.needs, paired=True), family=replace(metric.family, paired=True))
    if not stratified:
        return metric
    plain = metric.family if isinstance(metric.family, Means) else Means((True, False, False, False))
    return replace(metric, family=replace(plain, stratified=True))


def build_metrics(spec: ExperimentSpec, *, stratified: bool = False) -> Sequence[Metric]:
    """All metrics of an experiment, in declared order; `stratified`: whether its arms are read within strata, as its data may say too."""
    stratified = stratified or (isinstance(spec.data, UnitsData) and spec.data.adjust == "post_stratify")
    return [build_metric(metric, ci_method=spec.plan.ci_method, stratified=stratified, paired=spec.paired) for metric in spec.metrics]


def known_kinds() -> tuple[str, ...]:
    """Kinds of metric that have a builder."""
    return tuple(_BUILDERS)


@builds("proportion")
def _proportion(spec: ProportionSpec, ci_method: CiMethod) -> Metric:
    outcome = Column(source=spec.column or spec.key, values="binary", any_event=True)
    needs = _with_covariates(Needs(metric=spec.key, missing=spec.missing, outcome=outcome), spec)
    if spec.test != "score":
        needs = replace(needs, rows=spec.test == "mcnemar", by_stratum=spec.test == "mantel_haenszel")
        return Metric(spec=spec, needs=needs, family=UnitComparison(test=spec.test))
    return Metric(spec=spec, needs=needs, family=Proportions(ci_method) if needs.covariate is None else _means(needs))


@builds("mean")
def _mean(spec: MeanSpec, _: CiMethod) -> Metric:
    return _of_numbers(spec, Column(source=spec.column or spec.key, winsorize=spec.winsorize))


@builds("count")
def _count(spec: CountSpec, _: CiMethod) -> Metric:
    return _of_numbers(spec, Column(source=spec.column or spec.key, values="nonnegative", winsorize=spec.winsorize))


@builds("quantile")
def _quantile(spec: QuantileSpec, _: CiMethod) -> Metric:
    outcome = Column(source=spec.column or spec.key)
    needs = Needs(metric=spec.key, missing=spec.missing, outcome=outcome, quantile=spec.q)
    return Metric(spec=spec, needs=needs, family=UnitComparison(test="quantile"))


@builds("ratio")
def _ratio(spec: RatioSpec, _: CiMethod) -> Metric:
    needs = Needs(metric=spec.key, missing=spec.missing, outcome=Column(source=spec.numerator), denominator=Column(source=spec.denominator))
    needs = _with_covariates(needs, spec)
    if spec.covariate_denominator is not None:
        needs = replace(needs, covariate_denominator=_column(spec.covariate_denominator))
    if spec.test == "delta":
        return Metric(spec=spec, needs=needs, family=_means(needs))
    return Metric(spec=spec, needs=_reading(needs, spec.test), family=UnitComparison(test=spec.test, ratio=True))


def _of_numbers(spec: MeanSpec | CountSpec, outcome: Column) -> Metric:
    """A metric of one number a unit, by the test that it declares."""
    needs = _with_covariates(Needs(metric=spec.key, missing=spec.missing, outcome=outcome), spec)
    match spec.test:
        case "welch" | "student":
            variances = "equal" if spec.test == "student" else "unequal"
            return Metric(spec=spec, needs=needs, family=replace(_means(needs), variances=variances))
        case _:
            family = UnitComparison(test=spec.test, adjusted=needs.covariate is not None, trim=spec.trim, hc=spec.hc)
            return Metric(spec=spec, needs=_reading(needs, spec.test), family=family)


def _reading(needs: Needs, test: str) -> Needs:
    """What a test of units needs beside the moments."""
    return replace(needs, rows=test != "bootstrap", buckets=test == "bootstrap", covariate_rows=test in REGRESSIONS)


def _with_covariates(needs: Needs, spec: MetricSpec) -> Needs:
    columns = [_column(source) for source in covariates_of(spec)]
    return replace(needs, covariate=columns[0], more_covariates=tuple(columns[1:])) if columns else needs


def _column(source: Source) -> Column:
    return Column(source=source)


def _means(needs: Needs) -> Means:
    present = (True, needs.denominator is not None, needs.covariate is not None, needs.covariate_denominator is not None)
    return Means(present, covariates=1 + len(needs.more_covariates))
