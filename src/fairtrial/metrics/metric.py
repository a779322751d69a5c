"""A metric ready to be read and compared, and the mapping from kinds to builders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fairtrial.errors import UnknownNameError, UsageError
from fairtrial.metrics.family import Family, Means, Proportions
from fairtrial.metrics.needs import Column, Needs
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.metric import CountSpec, MeanSpec, MetricSpec, ProportionSpec, RatioSpec, Source
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


def build_metric(spec: MetricSpec, *, ci_method: CiMethod = "score") -> Metric:
    """Make a declared metric ready to be read and compared.

    Raises:
        UnknownNameError: The kind has no builder.
    """
    if spec.kind not in _BUILDERS:
        raise UnknownNameError.among("kind of metric", spec.kind, _BUILDERS)
    return _BUILDERS[spec.kind](spec, ci_method)


def build_metrics(spec: ExperimentSpec) -> Sequence[Metric]:
    """All metrics of an experiment, in declared order."""
    return [build_metric(metric, ci_method=spec.plan.ci_method) for metric in spec.metrics]


def known_kinds() -> tuple[str, ...]:
    """Kinds of metric that have a builder."""
    return tuple(_BUILDERS)


@builds("proportion")
def _proportion(spec: ProportionSpec, ci_method: CiMethod) -> Metric:
    outcome = Column(source=spec.column or spec.key, values="binary", any_event=True)
    needs = Needs(metric=spec.key, missing=spec.missing, outcome=outcome, covariate=_covariate(spec.covariate))
    family = Proportions(ci_method) if spec.covariate is None else Means((True, False, True, False))
    return Metric(spec=spec, needs=needs, family=family)


@builds("mean")
def _mean(spec: MeanSpec, _: CiMethod) -> Metric:
    outcome = Column(source=spec.column or spec.key, winsorize=spec.winsorize)
    needs = Needs(metric=spec.key, missing=spec.missing, outcome=outcome, covariate=_covariate(spec.covariate))
    return Metric(spec=spec, needs=needs, family=_family(needs))


@builds("count")
def _count(spec: CountSpec, _: CiMethod) -> Metric:
    outcome = Column(source=spec.column or spec.key, values="nonnegative", winsorize=spec.winsorize)
    needs = Needs(metric=spec.key, missing=spec.missing, outcome=outcome, covariate=_covariate(spec.covariate))
    return Metric(spec=spec, needs=needs, family=_family(needs))


@builds("ratio")
def _ratio(spec: RatioSpec, _: CiMethod) -> Metric:
    needs = Needs(
        metric=spec.key,
        missing=spec.missing,
        outcome=Column(source=spec.numerator),
        denominator=Column(source=spec.denominator),
        covariate=_covariate(spec.covariate),
        covariate_denominator=_covariate(spec.covariate_denominator),
    )
    return Metric(spec=spec, needs=needs, family=_family(needs))


def _covariate(source: Source | None) -> Column | None:
    return None if source is None else Column(source=source)


def _family(needs: Needs) -> Means:
    return Means((True, needs.denominator is not None, needs.covariate is not None, needs.covariate_denominator is not None))
