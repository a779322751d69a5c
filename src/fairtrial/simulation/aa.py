"""A/A test on history: re-randomised many times under the design, do p-values keep their promise?

Nothing was done to the units, so every assignment drawn anew is an experiment without an
effect: p-values must be uniform, and a share alpha of them must lie below alpha. Uniformity is
tested by Kolmogorov and Smirnov (with Stephens' correction of the asymptotic law), the
share by Clopper and Pearson's exact bounds. Re-randomisations of the same units are
independent given the units, so the bounds hold for what is promised: the error rate over
assignments. A single assignment a unit table has once may still be unlucky.

References: Kohavi, Tang & Xu (2020), Trustworthy Online Controlled Experiments, ch. 19;
Stephens (1970), JRSS B 32, 115-122; Clopper & Pearson (1934), Biometrika 26, 404-413.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fairtrial.errors import DataError, UsageError
from fairtrial.evaluation.rowwise import is_of_units
from fairtrial.metrics import Metric, build_metrics
from fairtrial.metrics.columns import MetricValues, UnitColumns, metric_values
from fairtrial.simulation.aa_units import p_values_of_units, why_not_redrawn
from fairtrial.simulation.batch_compare import make_test
from fairtrial.simulation.monte_carlo import Measured, share_of
from fairtrial.simulation.randomise import Randomisation, arm_sums
from fairtrial.simulation.replicates import contrast_of, layout_of, why_not_simulated
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.stats.batch import BatchMoments
from fairtrial.stats.result import Interval

Floats = NDArray[np.float64]
Flag = Literal["ok", "too_many", "too_few", "not_uniform"]

SURE = 0.001
"""Error rate, over all comparisons of a run together, with which a metric is flagged."""
CHUNK_VALUES = 6_000_000
"""Units times assignments held in memory at once."""
FEWEST_RUNS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class AaRow:
    """What one metric's test did for one treatment over all assignments.

    Attributes:
        metric: Its key.
        treatment: The treatment compared with the control.
        rejected: Share of assignments with p < alpha, of those with a p-value.
        bounds: Exact interval of that share at level 1 - `SURE` / comparisons.
        ks_p_value: Of uniform p-values.
        undefined: Assignments without a p-value.
        histogram: Share of p-values in each of ten equal classes.
        flag: `too_many` and `too_few` rejections lie beyond alpha by more than chance; `not_uniform` p-values
            deviate elsewhere (discrete ones do, which is no fault); else `ok`.
    """

    metric: str
    treatment: str
    rejected: Measured
    bounds: Interval
    ks_p_value: float
    undefined: int
    histogram: tuple[float, ...]
    flag: Flag


@dataclass(frozen=True, slots=True, kw_only=True)
class AaResult:
    """An A/A test of a whole spec.

    Attributes:
        experiment: Key of the experiment.
        alpha: Error rate promised to each comparison, before correction.
        runs: Assignments drawn.
        units: Units in history.
        source: Where history comes from.
        population: Which units it is.
        rows: By metric and treatment.
        skipped: Metrics that were not tested, and why.
    """

    experiment: str
    alpha: float
    runs: int
    units: int
    source: str
    population: str
    rows: tuple[AaRow, ...]
    skipped: Mapping[str, str]

    @property
    def passed(self) -> bool:
        """Whether no test rejects more often than it promises."""
        return all(row.flag != "too_many" for row in self.rows)


def aa_test(
    spec: ExperimentSpec,
    columns: UnitColumns,
    *,
    runs: int,
    rng: np.random.Generator,
    cluster: str | None = None,
    strata: str | None = None,
) -> AaResult:
    """Re-randomise history under the spec's shares and test every metric each time.

    Every comparison is tested as at one look, before correction; guardrails likewise.

    Args:
        spec: The experiment.
        columns: History, unit by unit.
        runs: Assignments, >= 100.
        rng: Source of randomness.
        cluster: Column whose values are assigned as wholes; the tests still take units as independent.
        strata: Column within whose values the shares hold exactly.

    Raises:
        UsageError: Too few runs, or the shares are not fixed.
        UnknownNameError: A column was not read.
        DataError: A metric cannot be computed, or there are too few units.
    """
    if runs < FEWEST_RUNS:
        raise UsageError(f"An A/A test needs {FEWEST_RUNS} assignments or more, got {runs}.")
    shares = spec.shares
    if shares is None:
        raise UsageError(f"History can be re-randomised with fixed shares, the allocation is {spec.allocation}.")
    design = Randomisation(
        shares=tuple(shares[arm] for arm in (spec.control, *spec.treatments)),
        units=columns.units,
        clusters=None if cluster is None else columns.label(cluster),
        strata=None if strata is None else columns.label(strata),
    )
    built = build_metrics(spec)
    metrics = [metric for metric in built if not _why_not(metric)]
    if not metrics:
        raise DataError(
            f"An A/A test needs a metric that can be tested on assignments drawn anew. {_why_not(built[0])}",
            hint="Give it another `test`, or add a metric that has one.",
            code="no_metric",
        )
    ready = {metric.spec.key: metric_values(metric.needs, columns) for metric in metrics}
    p_values = _p_values(_one_look(spec), metrics, ready, design, runs, rng)
    comparisons = len(metrics) * len(spec.treatments)
    rows = [
        _row(key, treatment, found[:, place], spec.plan.alpha, comparisons)
        for key, found in p_values.items()
        for place, treatment in enumerate(spec.treatments)
    ]
    return AaResult(
        experiment=spec.key,
        alpha=spec.plan.alpha,
        runs=runs,
        units=columns.units,
        source=columns.source,
        population=columns.population,
        rows=tuple(rows),
        skipped={metric.spec.key: why for metric in built if (why := _why_not(metric))},
    )


def _why_not(metric: Metric) -> str:
    return why_not_redrawn(metric) if is_of_units(metric) else why_not_simulated(metric)


def ks_uniform_p(values: Floats) -> float:
    """P-value of the Kolmogorov-Smirnov test that numbers are uniform on [0, 1].

    Args:
        values: At least 8 numbers in [0, 1].

    Returns:
        Asymptotic, with Stephens' correction (1970): sqrt(n) + 0.12 + 0.11 / sqrt(n).

    Raises:
        UsageError: Fewer than 8 numbers, or one outside [0, 1].
    """
    n = values.size
    if n < 8 or not ((values >= 0.0) & (values <= 1.0)).all():
        raise UsageError(f"A test of uniformity needs 8 numbers or more, all in [0, 1], got {n}.")
    ordered = np.sort(values)
    above, below = np.arange(1, n + 1) / n - ordered, ordered - np.arange(n) / n
    distance = max(float(above.max()), float(below.max()))
    root = math.sqrt(n)
    return float(special.kolmogorov(distance * (root + 0.12 + 0.11 / root)))


def _one_look(spec: ExperimentSpec) -> ExperimentSpec:
    return spec.model_copy(update={"plan": spec.plan.model_copy(update={"method": "fixed"})})


def _p_values(
    spec: ExperimentSpec,
    metrics: Sequence[Metric],
    ready: Mapping[str, MetricValues],
    design: Randomisation,
    runs: int,
    rng: np.random.Generator,
) -> dict[str, Floats]:
    """By metric: p-values of shape (runs, treatments), NaN where undefined."""
    arms = len(design.shares)
    tables = {metric.spec.key: _products(ready[metric.spec.key]) for metric in metrics if not is_of_units(metric)}
    found: dict[str, list[Floats]] = {metric.spec.key: [] for metric in metrics}
    chunk = max(1, CHUNK_VALUES // design.units)
    for start in range(0, runs, chunk):
        assignments = [design.draw(rng) for _ in range(min(chunk, runs - start))]
        for metric in metrics:
            key = metric.spec.key
            if is_of_units(metric):
                found[key].append(p_values_of_units(spec, metric, ready[key], assignments))
                continue
            columns, centre = tables[key]
            moments = _moments(metric, arm_sums(assignments, columns, arms), centre)
            with np.errstate(all="ignore"):
                found[key].append(make_test(spec, metric, contrast_of(metric, moments)).p_value)
    return {key: np.concatenate(parts) for key, parts in found.items()}


def _products(values: MetricValues) -> tuple[Floats, Floats]:
    """Per unit: 1 where it counts, deviations from the overall means, and their products; and the means."""
    centre = values.of_kept.mean(axis=0)
    kept = values.kept.astype(np.float64)
    deviations = (values.values - centre) * kept[:, None]
    k = deviations.shape[1]
    products = [deviations[:, i] * deviations[:, j] for i in range(k) for j in range(i, k)]
    return np.column_stack([kept, deviations, *products]), centre


def _moments(metric: Metric, sums: Floats, centre: Floats) -> BatchMoments:
    """Batch of shape (assignments, arms) from sums of `_products` (Chan et al. 1983, eq. 1.3)."""
    present = layout_of(metric)
    columns = np.flatnonzero(present)
    k, shape = columns.size, sums.shape[:2]
    n = sums[..., 0]
    if (n < 1.0).any():
        raise DataError(f"An arm got no unit of metric {metric.spec.key!r} in some assignment.", hint="Take more history.")
    first = sums[..., 1 : 1 + k]
    mean = np.zeros((*shape, 4))
    mean[..., 1], mean[..., 3] = 1.0, 1.0
    mean[..., columns] = centre + first / n[..., None]
    cross = np.zeros((*shape, 4, 4))
    place = 1 + k
    for i in range(k):
        for j in range(i, k):
            product = sums[..., place] - first[..., i] * first[..., j] / n
            product = np.maximum(product, 0.0) if i == j else product
            cross[..., columns[i], columns[j]] = cross[..., columns[j], columns[i]] = product
            place += 1
    return BatchMoments(n=n, mean=mean, cross=cross, present=present)


def _row(metric: str, treatment: str, p_values: Floats, alpha: float, comparisons: int) -> AaRow:
    known = p_values[~np.isnan(p_values)]
    if known.size < FEWEST_RUNS // 2:
        raise DataError(f"Metric {metric!r} could not be tested in most assignments: it hardly varies.", code="no_variance")
    rejected = share_of(known < alpha)
    bounds = rejected.exact_bounds(alpha=SURE / comparisons)
    ks = ks_uniform_p(np.clip(known, 0.0, 1.0))
    flag: Flag = "ok"
    if bounds.low > alpha:
        flag = "too_many"
    elif bounds.high < alpha:
        flag = "too_few"
    elif ks < SURE / comparisons:
        flag = "not_uniform"
    counts, _ = np.histogram(known, bins=10, range=(0.0, 1.0))
    return AaRow(
        metric=metric,
        treatment=treatment,
        rejected=rejected,
        bounds=bounds,
        ks_p_value=ks,
        undefined=int(p_values.size - known.size),
        histogram=tuple((counts / known.size).tolist()),
        flag=flag,
    )
