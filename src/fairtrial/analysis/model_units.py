"""From predictions to users: the arm statistics of a model experiment, its spec, and what its labels look like.

The user is what was randomised, so the user is what is analysed. Predictions of one user in
one arm are collapsed into sums; a user under two models is seen by the reader, as in every
other experiment.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from fairtrial.analysis.model_metrics import MODEL_METRICS, MetricRows, influence_of, metric_rows
from fairtrial.analysis.model_rows import QUARTERS, TIME_OF_DAY, Booleans, Floats, LogRows, pd
from fairtrial.errors import DataError, UnknownNameError, UsageError
from fairtrial.metrics import build_metrics
from fairtrial.spec.data import UnitsData
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.metric import MetricSpec
from fairtrial.spec.model_experiment import KINDS, ExperimentConfig
from fairtrial.spec.problems import validated
from fairtrial.stats.clustered_quantiles import clustered_quantile
from fairtrial.stats.power_proportions import calculate_sample_size_by_arm
from fairtrial.stats.reading import ArmStats, OutcomeStats, Reading
from fairtrial.stats.result import Unavailable
from fairtrial.warehouse import read_frame

UNIT, ARM = "user", "model"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UnitReading:
    """A model experiment, ready to be evaluated.

    Attributes:
        spec: The experiment with its metrics as the data asks for them.
        reading: Arm statistics over users.
        metrics: The metrics over predictions, by key; those that the log cannot give are left out.
        unit: Which unit each prediction belongs to, shape (predictions,).
        unit_model: Model of each unit, shape (units,).
        repeated: Whether a user has more than one prediction.
        counted: Share of users whom the primary metric is about (users with a labelled positive, of recall), in (0, 1].
        quantiles: Guardrails on a quantile that are read as the share beyond their limit (several looks, strata): the quantile.
    """

    spec: ExperimentSpec
    reading: Reading
    metrics: Mapping[str, MetricRows]
    unit: NDArray[np.intp]
    unit_model: NDArray[np.object_]
    repeated: bool
    counted: float
    quantiles: Mapping[str, MetricRows]


def read_units_of(rows: LogRows, config: ExperimentConfig) -> UnitReading:
    """Collapse predictions into users and read the arm statistics.

    Raises:
        UsageError: The primary metric cannot be read from the log, or a declared type does not fit its values.
        DataError: The data cannot answer.
    """
    base = config.to_spec()
    metrics, failed = _metrics(base, rows)
    as_shares = rows.options.method != "fixed" or bool(rows.options.strata)
    quantiles = {key: metric for key, metric in metrics.items() if metric.kind == "quantile" and as_shares}
    model, models = pd.factorize(rows.model, use_na_sentinel=False)
    pairs = pd.Index(rows.user.astype(np.int64) * len(models) + model)
    unit, first = np.asarray(pairs.factorize()[0], dtype=np.intp), np.asarray(~pairs.duplicated(), dtype=np.bool_)
    units = int(first.sum())
    repeated = units < rows.size
    collapse = _Collapse(unit=unit, units=units, model=rows.model, repeated=repeated)
    table: dict[str, Any] = {UNIT: rows.names[rows.user[first]].astype(str), ARM: rows.model[first]} | _segment_columns(rows, first)
    written: list[dict[str, Any]] = []
    for place, spec in enumerate(base.metrics):
        form: dict[str, Any] = spec.model_dump(mode="json", exclude_defaults=True, exclude={"kind", "column"})
        if spec.key in quantiles and spec.max_value is None:
            failed[spec.key] = Unavailable(code="one_look_only", reason="A quantile is compared at one look only, and not within strata.")
        if spec.key in failed:
            written.append(form | {"kind": "mean"})
            continue
        if spec.key in quantiles:
            metrics[spec.key], limit = _beyond(spec, quantiles[spec.key])
            form |= {"direction": "decrease", "max_value": limit}
        columns, kind = _columns(spec, metrics[spec.key], config, collapse, place)
        table |= columns
        written.append(form | kind)
    counted = float((collapse.sums(metrics[base.primary.key].denominator) > 0.0).mean())
    spec = _spec(base, config, rows, written, counted)
    found = UnitReading(
        spec=spec,
        reading=_read(pd.DataFrame(table), spec, failed),
        metrics=metrics,
        unit=unit,
        unit_model=rows.model[first],
        repeated=repeated,
        counted=counted,
        quantiles=quantiles,
    )
    return replace(found, reading=_mended(found, rows))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Collapse:
    """How rows become units."""

    unit: NDArray[np.intp]
    units: int
    model: NDArray[np.object_]
    repeated: bool

    def sums(self, values: Floats) -> Floats:
        """The sum of the rows' values for each unit."""
        return np.bincount(self.unit, weights=values, minlength=self.units).astype(np.float64)


def _source_of(spec: MetricSpec) -> str:
    """The metric's own name: a guardrail with two ends has a twin, which names its column."""
    column = getattr(spec, "column", None)
    return column if isinstance(column, str) else spec.key


def _metrics(base: ExperimentSpec, rows: LogRows) -> tuple[dict[str, MetricRows], dict[str, Unavailable]]:
    """Each metric over predictions; one that the log cannot give is unavailable, but for the primary one."""
    metrics: dict[str, MetricRows] = {}
    failed: dict[str, Unavailable] = {}
    for spec in base.metrics:
        try:
            metric = metric_rows(_source_of(spec), rows)
        except (DataError, UsageError) as error:
            if spec.role == "primary":
                raise
            failed[spec.key] = Unavailable(code=error.code, reason=error.message)
            continue
        if metric.kind == "pr_auc":
            failed[spec.key] = Unavailable(
                code="by_resampling", reason=f"{spec.key} is compared by resampling users, beside the scorecard."
            )
            if spec.role == "primary":
                raise UsageError(
                    f"{spec.key} has no test that a verdict may rest on.", hint="Take roc_auc, or recall, as the primary metric."
                )
            continue
        if not metric.denominator.any():
            failed[spec.key] = Unavailable(code="all_missing", reason=f"No prediction counts for {spec.key}.")
            if spec.role == "primary":
                raise DataError(failed[spec.key].reason, hint="Has any label come? See label_coverage.", code="all_missing")
            continue
        metrics[spec.key] = metric
    return metrics, failed


def _columns(
    spec: MetricSpec, metric: MetricRows, config: ExperimentConfig, collapse: _Collapse, place: int
) -> tuple[dict[str, Floats], dict[str, Any]]:
    """Columns of the table of users for one metric, and its form in the spec."""
    name = f"metric_{place}"
    above, below = collapse.sums(metric.numerator), collapse.sums(metric.denominator)
    if metric.kind in {"rmse", "roc_auc"}:
        return {name: _influence(metric, collapse)}, {"kind": "mean", "column": name}
    per_user = np.divide(above, below, out=np.full(above.size, np.nan), where=below > 0.0)
    if metric.kind == "quantile":
        return {name: per_user}, {"kind": "quantile", "q": metric.quantile, "column": name}
    # A rate at which nothing ever happened has no ratio to compare, but users to whom it did not happen.
    if metric.kind == "ratio" or (collapse.repeated and (metric.kind != "rate" or above.any())):
        return {f"{name}_sum": above, f"{name}_n": below}, {"kind": "ratio", "numerator": f"{name}_sum", "denominator": f"{name}_n"}
    source = _source_of(spec)
    natural = "proportion" if metric.kind == "rate" else "mean"
    declared = config.metric_types.get(spec.key)
    kind = KINDS[declared] if declared else natural if source in MODEL_METRICS else spec.kind
    if kind == "proportion" and metric.kind != "rate":
        raise UsageError(
            f"Metric {spec.key!r} is a proportion by its config, its values are not all 0 or 1.",
            hint=f"Set metric_types={{{spec.key!r}: 'continuous'}}.",
        )
    return {name: per_user}, {"kind": kind, "column": name}


def _beyond(spec: MetricSpec, metric: MetricRows) -> tuple[MetricRows, float]:
    """A quantile within its limit, as the share of rows beyond the limit, and the most that this share may be.

    The 95th percentile is at most 200 exactly where at most 5% lie above 200; a share may be looked at more than once.
    """
    limit, q = spec.max_value or 0.0, metric.quantile or 0.5
    high = spec.direction == "decrease"
    beyond = metric.numerator > limit if high else metric.numerator < limit
    counted = metric.denominator > 0.0
    return replace(metric, numerator=(beyond & counted).astype(np.float64), kind="rate", quantile=None), 1.0 - q if high else q


def _influence(metric: MetricRows, collapse: _Collapse) -> Floats:
    """Influence values of every arm's users, arm by arm; missing where an arm has none."""
    values = np.full(collapse.units, np.nan)
    for model in dict.fromkeys(collapse.model.tolist()):
        where = collapse.model == model
        own, codes = np.unique(collapse.unit[where], return_inverse=True)
        try:
            values[own] = influence_of(metric, where, codes, own.size)
        except DataError:
            continue
    return values


def _segment_columns(rows: LogRows, first: Booleans) -> dict[str, Any]:
    """What was known at each user's first prediction in the log's order."""
    columns: dict[str, Any] = {}
    for name in dict.fromkeys((*rows.options.segments, *rows.options.strata)):
        if name == TIME_OF_DAY and rows.times is not None:
            columns[name] = np.array(QUARTERS)[rows.times[first] // 21_600_000_000 % 4]
        elif name in rows.frame.columns:
            columns[name] = rows.frame[name][first].to_numpy()
        else:
            raise UnknownNameError.among("column of the log", name, [TIME_OF_DAY, *map(str, rows.frame.columns)])
    return columns


def _spec(
    base: ExperimentSpec, config: ExperimentConfig, rows: LogRows, metrics: Sequence[Mapping[str, object]], counted: float
) -> ExperimentSpec:
    options = rows.options
    raw = base.model_dump(mode="json", exclude_defaults=True)
    plan: dict[str, object] = {**raw["plan"], "method": options.method, "correction": options.correction}
    plan["secondary_correction"] = options.secondary_correction
    if options.baseline is not None:
        sizes = planned_sizes(config, options.baseline, counted)
        wanted = max(math.ceil(n / config.traffic_allocation[model]) for model, n in sizes.items() if n)
        plan["sample_size"] = max(int(raw["plan"]["sample_size"]), wanted)
        plan["baseline"] = options.baseline
    more: dict[str, object] = {"plan": plan, "metrics": list(metrics), "status": "running"}
    adjust = {"strata": list(options.strata), "adjust": "post_stratify"} if options.strata else {}
    more["data"] = {"shape": "units", "source": "experiment_logs", "arm": ARM, "unit": UNIT} | adjust
    if rows.start is not None:
        more["schedule"] = {"start": rows.start.isoformat()}
    if options.segments:
        more["segments"] = {"columns": list(options.segments), "max_levels": 24}
    return validated(ExperimentSpec, raw | more, what=f"model experiment {config.name!r}")


def planned_sizes(config: ExperimentConfig, baseline: float, counted: float) -> dict[str, int]:
    """Users per model that the plan calls for at a champion's rate; models without traffic are left out.

    Args:
        config: The experiment.
        baseline: The primary rate under the champion, in (0, 1).
        counted: Share of users whom the metric is about: a rate of recall is planned in positives, and users are more.

    Returns:
        What the rate and the effect call for, `min_sample_size` at least.

    Raises:
        UsageError: The rate or the one to detect lies outside (0, 1).
    """
    shares = {model: float(share) for model, share in config.traffic_allocation.items() if share > 0}
    falling = config.directions.get(config.primary_metric) == "decrease"
    mde = -config.minimum_detectable_effect if falling else config.minimum_detectable_effect
    sizes = calculate_sample_size_by_arm(
        baseline, mde, config.significance_level, config.power, allocation=shares, control=config.champion_model
    )
    return {model: max(math.ceil(n / counted - 1e-9), config.min_sample_size) for model, n in sizes.items()}


def _read(frame: Any, spec: ExperimentSpec, failed: Mapping[str, Unavailable]) -> Reading:
    needs = [metric.needs for metric in build_metrics(spec) if metric.spec.key not in failed]
    reading = read_frame(frame, cast("UnitsData", spec.data), needs, [arm.key for arm in spec.arms], segments=spec.segments)

    def completed(arms: Mapping[str, ArmStats]) -> dict[str, ArmStats]:
        """The arms with a reason in place of each metric that could not be read."""
        return {arm: replace(stats, outcomes={**stats.outcomes, **failed}) for arm, stats in arms.items()}

    segments = tuple(
        replace(column, levels=tuple(replace(level, arms=completed(level.arms)) for level in column.levels)) for column in reading.segments
    )
    intake = replace(reading.intake, source="experiment_logs")
    return replace(reading, arms=completed(reading.arms), segments=segments, intake=intake)


def _mended(found: UnitReading, rows: LogRows) -> Reading:
    """What a table of users cannot say: quantiles over predictions, metrics that have no segments, and rows that are not missing.

    A user without a labelled fraud is no missing value of recall: who counts is the metric's denominator. Whether
    labels are missing is checked over all predictions.
    """

    def outcome(arm: str, key: str, stats: OutcomeStats | Unavailable) -> OutcomeStats | Unavailable:
        """A metric of a whole arm."""
        metric = found.metrics.get(key)
        if metric is None or isinstance(stats, Unavailable):
            return stats
        if metric.kind == "quantile" and found.repeated:
            where = (rows.model == arm) & (metric.denominator > 0.0)
            summary = clustered_quantile(metric.numerator[where], found.unit[where], metric.quantile or 0.5)
            return replace(stats, quantile=summary)
        return replace(stats, missing=0) if metric.labels else stats

    def whole(arm: str, stats: ArmStats) -> ArmStats:
        """A whole arm, mended."""
        return replace(stats, outcomes={key: outcome(arm, key, one) for key, one in stats.outcomes.items()})

    by_arm = Unavailable(code="not_by_segment", reason="This metric is read over a whole arm, not by segment.")

    def within(stats: ArmStats) -> ArmStats:
        """An arm within a segment, mended."""
        whole_arm = [key for key, metric in found.metrics.items() if metric.kind in {"rmse", "roc_auc", "quantile"}]
        return replace(stats, outcomes={key: by_arm if key in whole_arm else one for key, one in stats.outcomes.items()})

    segments = tuple(
        replace(column, levels=tuple(replace(level, arms={arm: within(s) for arm, s in level.arms.items()}) for level in column.levels))
        for column in found.reading.segments
    )
    return replace(found.reading, arms={arm: whole(arm, stats) for arm, stats in found.reading.arms.items()}, segments=segments)
