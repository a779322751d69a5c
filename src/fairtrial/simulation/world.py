"""What is assumed of the units: the law of every metric in the control, and how metrics move together.

A law is known by its moments: mean and covariance of the metric's columns over units,
and skewness and excess kurtosis of its outcome. They come from the plan (baseline and
standard deviation), from figures given by hand, or are measured from history. A metric of
which nothing is known is left out, and the world says which and why: no number is invented.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fairtrial.errors import DataError, UnknownNameError, UsageError
from fairtrial.metrics import Metric, build_metrics
from fairtrial.metrics.family import Proportions
from fairtrial.simulation.replicates import UNITS_HINT, layout_of, why_not_simulated
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.metric import MetricSpec
from fairtrial.stats.moments import CoMoments

Floats = NDArray[np.float64]
Origin = Literal["plan", "given", "history"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What the control's units are expected to show on one metric.

    Attributes:
        mean: Rate, mean, events per unit or ratio.
        sd: Standard deviation over units (of the linearised value of a ratio); not needed for a
            proportion, and taken as Poisson's for a count without one.
    """

    mean: float
    sd: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Law:
    """The distribution of one metric over the control's units, by its moments.

    Attributes:
        metric: The metric, as built.
        mean: Of the columns that the metric has (outcome, denominator, covariate, its denominator), shape (k,).
        covariance: Of the same columns, shape (k, k).
        skewness: Of the outcome.
        kurtosis: Excess kurtosis of the outcome; 0 is the normal's.
        origin: Where the numbers come from.
    """

    metric: Metric
    mean: Floats
    covariance: Floats
    skewness: float = 0.0
    kurtosis: float = 0.0
    origin: Origin = "plan"

    def __post_init__(self) -> None:
        k = sum(layout_of(self.metric))
        if self.mean.shape != (k,) or self.covariance.shape != (k, k):
            raise UsageError(
                f"A law of {self.metric.spec.key!r} has {k} columns, got shapes {self.mean.shape} and {self.covariance.shape}."
            )
        if not (np.isfinite(self.mean).all() and np.isfinite(self.covariance).all()) or (np.diagonal(self.covariance) < 0).any():
            raise UsageError(f"The law of {self.metric.spec.key!r} must have finite moments and variances >= 0.")

    @property
    def binary(self) -> bool:
        """Whether whole successes are drawn."""
        return isinstance(self.metric.family, Proportions)

    @property
    def value(self) -> float:
        """The control's value: rate, mean or ratio of the means."""
        ratio = layout_of(self.metric)[1]
        return float(self.mean[0] / self.mean[1]) if ratio else float(self.mean[0])

    def shift(self, effect: float) -> float:
        """How far the outcome's column moves when the metric's value moves by `effect`."""
        return effect * float(self.mean[1]) if layout_of(self.metric)[1] else effect


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class World:
    """The laws of all simulated metrics.

    Attributes:
        laws: By metric key, in declared order; the primary metric is among them.
        correlation: Of the metrics' outcomes over units, in that order, shape (m, m).
        left_out: Metrics of which nothing is known: key and why.
        source: Where the numbers come from, in words.
    """

    laws: Mapping[str, Law]
    correlation: Floats
    left_out: Mapping[str, str] = field(default_factory=dict[str, str])
    source: str = "the plan"

    def __post_init__(self) -> None:
        m = len(self.laws)
        if self.correlation.shape != (m, m) or not np.allclose(self.correlation, self.correlation.T):
            raise UsageError(f"{m} metrics need a symmetric ({m}, {m}) matrix of correlations, got shape {self.correlation.shape}.")
        if np.linalg.eigvalsh(self.correlation).min() < -1e-8:
            raise UsageError("The correlations contradict each other: their matrix is not positive semi-definite.")

    @property
    def independent(self) -> bool:
        """Whether no two metrics are correlated."""
        return bool(np.allclose(self.correlation, np.eye(len(self.laws))))


def world_of_plan(spec: ExperimentSpec, *, baselines: Mapping[str, Baseline] | None = None, correlation: float = 0.0) -> World:
    """The world as the plan expects it.

    Args:
        spec: The experiment; its plan names the primary metric's baseline.
        baselines: What is expected of other metrics (or of the primary one instead of the plan).
        correlation: Of every pair of metrics over units, in (-1, 1).

    Raises:
        UnknownNameError: A baseline names no metric of the spec.
        UsageError: A baseline is impossible, or the correlation cannot be that of so many metrics.
        DataError: Nothing is known of the primary metric.
    """
    given = dict(baselines or {})
    for key in given:
        spec.metric(key)
    plan = spec.plan
    origins: dict[str, Origin] = dict.fromkeys(given, "given")
    if plan.baseline is not None and spec.primary.key not in given:
        given[spec.primary.key] = Baseline(mean=plan.baseline, sd=plan.baseline_sd)
        origins[spec.primary.key] = "plan"
    laws: dict[str, Law] = {}
    left_out: dict[str, str] = {}
    for metric in build_metrics(spec):
        key = metric.spec.key
        missing = why_not_simulated(metric) or _missing(metric.spec, given.get(key))
        if missing:
            left_out[key] = missing
        else:
            laws[key] = law_of_baseline(metric, given[key], origin=origins[key])
    if spec.primary.key in left_out:
        unit_test = any(metric.spec is spec.primary and why_not_simulated(metric) for metric in build_metrics(spec))
        raise DataError(
            f"The primary metric must have a baseline to simulate from. {left_out[spec.primary.key]}",
            hint=UNITS_HINT if unit_test else "Declare plan.baseline (and baseline_sd), or measure it from history.",
            code="no_baseline",
        )
    if not -1.0 < correlation < 1.0:
        raise UsageError(f"A correlation must lie in (-1, 1), got {correlation:g}.")
    matrix = np.full((len(laws), len(laws)), correlation)
    np.fill_diagonal(matrix, 1.0)
    return World(laws=laws, correlation=matrix, left_out=left_out)


def law_of_baseline(metric: Metric, baseline: Baseline, *, origin: Origin = "given") -> Law:
    """The law of a metric of which a mean and a standard deviation are known.

    A count is negative binomial (Poisson without a standard deviation), a proportion
    binary, any other normal; the denominator of a ratio is constant, and a covariate
    explains nothing.

    Raises:
        UsageError: The figures are impossible for this kind of metric.
    """
    kind, key, mean = metric.spec.kind, metric.spec.key, baseline.mean
    skewness = kurtosis = 0.0
    if not math.isfinite(mean) or (baseline.sd is not None and not 0.0 < baseline.sd < math.inf):
        raise UsageError(f"A baseline must be finite with a standard deviation > 0, got {mean} and {baseline.sd} for {key!r}.")
    if kind == "proportion":
        if not 0.0 < mean < 1.0:
            raise UsageError(f"The baseline of {key!r} must be a rate in (0, 1), got {mean:g}.", hint="Rates are fractions, not percent.")
        variance = mean * (1.0 - mean)
    elif kind == "count":
        variance, skewness, kurtosis = _count_moments(key, baseline)
    else:
        if baseline.sd is None:
            raise UsageError(f"The baseline of {key!r} must name a standard deviation, none came.")
        variance = baseline.sd**2
    columns = {0: mean}
    _, ratio, covariate, covariate_ratio = layout_of(metric)
    columns |= {1: 1.0} if ratio else {}
    columns |= {2: 0.0} if covariate else {}
    columns |= {3: 1.0} if covariate_ratio else {}
    spread = [{0: variance, 1: 0.0, 2: 1.0, 3: 0.0}[column] for column in columns]
    return Law(
        metric=metric,
        mean=np.array(list(columns.values())),
        covariance=np.diag(spread),
        skewness=skewness,
        kurtosis=kurtosis,
        origin=origin,
    )


def law_of_moments(metric: Metric, moments: CoMoments, *, skewness: float = 0.0, kurtosis: float = 0.0) -> Law:
    """The law of a metric whose co-moments were measured.

    Raises:
        DataError: Fewer than two units were measured.
    """
    if moments.n < 2:
        raise DataError(f"History must hold two units or more to measure {metric.spec.key!r}, got {moments.n}.", code="too_few_units")
    return Law(
        metric=metric,
        mean=moments.mean,
        covariance=moments.cross / (moments.n - 1),
        skewness=skewness,
        kurtosis=kurtosis,
        origin="history",
    )


def parse_baseline(text: str) -> tuple[str, Baseline]:
    """A baseline written as `metric=mean` or `metric=mean,sd`.

    Raises:
        UsageError: It is written otherwise.
    """
    key, _, numbers = text.rpartition("=")
    wrong = UsageError(f"A baseline is written metric=mean or metric=mean,sd, got {text!r}.", hint="Such as revenue=3.2,14.")
    try:
        mean, *rest = (float(number) for number in numbers.split(","))
    except ValueError as error:
        raise wrong from error
    if not key or len(rest) > 1:
        raise wrong
    return key, Baseline(mean=mean, sd=rest[0] if rest else None)


def known_metric(world: World, key: str) -> Law:
    """The law of a metric.

    Raises:
        UnknownNameError: It is not simulated.
    """
    if key not in world.laws:
        raise UnknownNameError.among("simulated metric", key, world.laws)
    return world.laws[key]


def _missing(metric: MetricSpec, baseline: Baseline | None) -> str:
    """Why a metric cannot be simulated; empty where it can."""
    if baseline is None:
        return f"No baseline of {metric.key!r} is known."
    if baseline.sd is None and metric.kind in {"mean", "ratio"}:
        return f"No standard deviation of {metric.key!r} is known."
    return ""


def _count_moments(key: str, baseline: Baseline) -> tuple[float, float, float]:
    """Variance, skewness and excess kurtosis of a negative binomial count, or of Poisson's."""
    mean = baseline.mean
    if mean <= 0.0:
        raise UsageError(f"The baseline of the count {key!r} must be > 0, got {mean:g}.")
    variance = mean if baseline.sd is None else baseline.sd**2
    if variance <= mean * (1.0 + 1e-9):
        return variance, 1.0 / math.sqrt(mean), 1.0 / mean
    size, chance = mean * mean / (variance - mean), mean / variance
    skewness = (2.0 - chance) / math.sqrt(size * (1.0 - chance))
    return variance, skewness, 6.0 / size + chance * chance / (size * (1.0 - chance))
