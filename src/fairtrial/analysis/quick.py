"""run_quick_analysis(): one call, everything of one experiment as plain dictionaries.

The verdict, the guardrails and the intervals are the scorecard's, made by the same `evaluate`; around
them stand the other tests, effect sizes and checks that analysts ask for. They describe and do not decide.
"""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, cast

import msgspec

from fairtrial.analysis.quality import Quality, quality_of
from fairtrial.analysis.quick_statistics import WITHOUT_VALUES, Case, ends, finite, statistics_of, why
from fairtrial.analysis.run import WAREHOUSE, moment_of, needs_of, read_spec
from fairtrial.decisions.guardrails import worst
from fairtrial.errors import DataError, UsageError
from fairtrial.evaluation import Look, Scorecard, evaluate
from fairtrial.evaluation.scorecard import Comparison
from fairtrial.spec import ExperimentConfigClient
from fairtrial.spec.data import AggregatesData, UnitsData
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.stats.reading import Reading
from fairtrial.warehouse import read_frame
from fairtrial.warehouse.results import DEFAULT, Written, write_results


class QuickAnalysis(dict[str, Any]):
    """The result of `run_quick_analysis`: nested dictionaries; tests are `StatisticalResult`s.

    Attributes:
        scorecard: The result that the verdict is from.
        quality: The checks of the data and of the verdict.
    """

    scorecard: Scorecard
    quality: Quality

    def to_json(self, *, indent: int | None = 2) -> str:
        """Strict JSON; a number that is not there is null, with its reason beside it."""
        return json.dumps(_plain(self), indent=indent, ensure_ascii=False, allow_nan=False)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form as plain dictionaries and lists."""
        return cast("dict[str, Any]", _plain(self))


def run_quick_analysis(
    experiment_name: str,
    write_to_warehouse: bool = False,  # noqa: FBT001, FBT002 - by place in documented calls
    use_legacy_schema: bool = False,  # noqa: FBT001, FBT002
    *,
    data: Any = None,
    source: str | None = None,
    reference_date: str | dt.date | None = None,
    catalog: str | Path | None = None,
) -> QuickAnalysis:
    """Analyse an experiment of a catalog and gather all that is known of it.

    Args:
        experiment_name: Its name in the catalog.
        write_to_warehouse: Store the result in the warehouse (`FAIRTRIAL_WAREHOUSE`; default: `fairtrial_results.duckdb` here).
        use_legacy_schema: Store it in the one table of old instead of the two.
        data: A pandas or polars frame or an Arrow table of one row a unit, to read instead of the spec's data.
        source: An address to read instead: a file, or a database with the table that the spec names.
        reference_date: Last day that counts, YYYY-MM-DD; logs are read to its end and the plan's days count to it.
            Default: now.
        catalog: Where the experiment is; default: the catalog that ships.

    Returns:
        `experiment_info`, `statistical_results`, `secondary_metrics_analysis`, `quality_checks`, `recommendation`
        and, where it was stored, `warehouse`.

    Raises:
        ExperimentConfigError: The catalog has no such experiment.
        UsageError: Nothing says where the data is, or two arguments do.
        DataError: The data cannot answer.
        ConnectorError: The source cannot be reached.
    """
    if data is not None and source is not None:
        raise UsageError("data is a table in memory and source an address; both were given.", hint="Pass one of them.")
    found = ExperimentConfigClient(catalog).load(experiment_name)
    as_of = None if reference_date is None else end_of_day(reference_date)
    made = quick_analysis(found.spec, data=data, source=source, base=None if source else found.base, as_of=as_of)
    if write_to_warehouse:
        store(made, os.environ.get(WAREHOUSE) or DEFAULT, legacy=use_legacy_schema)
    return made


def quick_analysis(
    spec: ExperimentSpec,
    *,
    data: Any = None,
    source: str | None = None,
    base: Path | None = None,
    looks: Sequence[Look] = (),
    as_of: dt.datetime | None = None,
    progress: Callable[[str], None] | None = None,
) -> QuickAnalysis:
    """The same for a spec.

    Args:
        spec: The experiment.
        data: A table in memory to read instead of the spec's data.
        source: An address to read instead.
        base: Folder that a relative source counts from.
        looks: Earlier looks, oldest first.
        as_of: Moment of the look; of logs, nothing dated from then on is read.
        progress: Called with a sentence as each step begins.

    Returns:
        As `run_quick_analysis`.

    Raises:
        UsageError: It is a quasi-experiment, or nothing says where the data is.
        DataError: The data cannot answer.
        ConnectorError: The source cannot be reached.
    """
    if spec.design is not None:
        raise UsageError(
            f"A quick analysis compares randomised arms; {spec.key!r} is of kind {spec.kind!r}.",
            hint="Use analyze_spec, which reads its design.",
        )
    reading = _read(spec, data, lambda values: read_spec(spec, base=base, source=source, as_of=as_of, progress=progress, values=values))
    if progress is not None:
        progress("Testing, correcting and deciding")
    card = evaluate(spec, reading, looks, as_of=moment_of(spec, as_of))
    row = card.comparison(card.primary, card.treatment)
    alpha = row.estimate.alpha if row.estimate is not None else spec.plan.alpha
    case = Case(spec=spec, reading=reading, card=card, row=row, alpha=alpha)
    made = QuickAnalysis(
        experiment_info=_info(case),
        statistical_results=statistics_of(case),
        secondary_metrics_analysis=_secondary(case),
    )
    made.scorecard, made.quality = card, quality_of(card, reading)
    made["quality_checks"] = asdict(made.quality)
    made["recommendation"] = _recommendation(card)
    return made


def store(made: QuickAnalysis, url: str, *, legacy: bool = False) -> Written:
    """Write the result into a warehouse, and say so under `warehouse`.

    Args:
        made: The analysis.
        url: Address of the warehouse; see `fairtrial.warehouse.results.write_results`.
        legacy: Whether to write the one table of old.

    Raises:
        UsageError: The address is none.
        DataError: A table there does not have the columns that are needed.
        ConnectorError: The warehouse refuses.
    """
    sizes = {made.scorecard.treatment: made["statistical_results"]["effect_sizes"]["cohens_d"]}
    written = write_results(made.scorecard, url, cohens_d=sizes, legacy=legacy)
    made["warehouse"] = {"analysis_id": written.analysis_id, "tables": list(written.tables), "address": written.warehouse}
    return written


def end_of_day(day: str | dt.date) -> dt.datetime:
    """The first moment after a day, in UTC: a window that ends with the day ends here.

    Raises:
        UsageError: It is no date.
    """
    try:
        found = dt.date.fromisoformat(day) if isinstance(day, str) else day
    except ValueError as error:
        raise UsageError(f"A reference date is written YYYY-MM-DD, got {day!r}.", hint="For example 2024-03-01.") from error
    if not 1900 <= found.year <= 2200:
        raise UsageError(f"A reference date lies between the years 1900 and 2200, got {found}.", hint="For example 2024-03-01.")
    return dt.datetime.combine(found, dt.time(), tzinfo=dt.UTC) + dt.timedelta(days=1)


def _read(spec: ExperimentSpec, data: Any, from_source: Callable[[Sequence[str]], Reading]) -> Reading:
    """Arm statistics with the units' own values of the primary metric, where there are such and not too many."""
    table = spec.data if isinstance(spec.data, UnitsData | AggregatesData) else UnitsData(source="memory", unit=_unit_column(data))

    def reading_of(values: Sequence[str]) -> Reading:
        if data is None:
            return from_source(values)
        return read_frame(data, table, needs_of(spec, values), [arm.key for arm in spec.arms], segments=spec.segments)

    if isinstance(spec.data, AggregatesData) or spec.primary.kind in WITHOUT_VALUES:
        return reading_of([])
    try:
        return reading_of([spec.primary.key])
    except DataError as error:
        if error.code != "too_many_units":
            raise
    return reading_of([])


def _unit_column(data: Any) -> str | None:
    """`unit` where the table has such a column; without it repeats cannot be seen, and a finding says so."""
    names = getattr(data, "column_names", None) or getattr(data, "columns", ())
    return "unit" if "unit" in list(cast("Sequence[str]", names)) else None


def _info(case: Case) -> dict[str, Any]:
    card, spec = case.card, case.spec
    return {
        "experiment_name": spec.key,
        "config_version": spec.version,
        "analysis_timestamp": card.as_of or dt.datetime.now(dt.UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z"),
        "primary_metric": spec.primary.key,
        "secondary_metrics": [metric.key for metric in spec.metrics if metric.role != "primary"],
        "guardrail_metrics": [metric.key for metric in spec.metrics if metric.role == "guardrail"],
        "control": spec.control,
        "treatment": case.row.treatment,
        "data_source": card.intake.engine,
        "source": card.intake.source,
        "fingerprint": card.intake.fingerprint,
        "spec_hash": card.spec_hash,
        "package_version": card.code_version,
    }


def _secondary(case: Case) -> dict[str, Any]:
    rows = [row for row in case.card.comparisons if row.treatment == case.row.treatment and row.role != "primary"]
    guarded = {row.metric: _guardrail(row) for row in rows if row.guardrail is not None}
    overall = worst([row.guardrail.status for row in rows if row.guardrail is not None])
    return {
        "metrics": {row.metric: _reading(row) for row in rows},
        "guardrail_results": {**guarded, "_overall": {"status": overall or "PASS", "declared": len(guarded)}},
    }


def _guardrail(row: Comparison) -> dict[str, Any]:
    """Effect, interval and threshold on one scale, the metric's own way round: below a negative threshold is harm."""
    guardrail, estimate = row.guardrail, row.estimate
    assert guardrail is not None  # noqa: S101 - asked of guardrails alone
    relative = guardrail.scale == "relative"
    effect = None if estimate is None else estimate.lift if relative else estimate.effect
    interval = None if estimate is None else estimate.lift_interval if relative else estimate.interval
    sign = -1.0 if row.direction == "increase" else 1.0
    return {
        "status": guardrail.status,
        "effect": effect,
        "ci_low": None if interval is None else finite(interval.low),
        "ci_high": None if interval is None else finite(interval.high),
        "threshold": None if guardrail.margin is None else sign * guardrail.margin,
        "scale": guardrail.scale,
        "non_inferior": guardrail.non_inferior,
        "mitigation": _mitigation(row.metric, guardrail.status),
        "reason": guardrail.reason,
    }


def _mitigation(metric: str, status: str) -> str | None:
    texts = {
        "WARNING": f"Watch {metric} daily while the change goes out in stages, and have a way back.",
        "ALERT": f"Stop: find out why {metric} moved, mend it, and test again.",
        "UNAVAILABLE": f"Get the data of {metric}: no data is not a pass.",
    }
    return texts.get(status)


def _reading(row: Comparison) -> dict[str, Any]:
    estimate = row.estimate
    if estimate is None:
        return {"role": row.role, "reading": row.reading, **({} if row.unavailable is None else why(row.unavailable))}
    return {
        "role": row.role,
        "reading": row.reading,
        "effect": estimate.effect,
        "ci": ends(estimate.interval),
        "relative_lift": estimate.lift,
        "relative_lift_ci": ends(estimate.lift_interval),
        "p_value": estimate.p_value,
        "p_adjusted": estimate.p_adjusted,
        "correction": estimate.correction,
    }


def _recommendation(card: Scorecard) -> dict[str, Any]:
    decision = card.decision
    return {
        "decision": decision.verdict,
        "state": decision.state,
        "confidence": decision.confidence,
        "risk_level": decision.risk_level,
        "rule": decision.rule,
        "reason": decision.reason,
        "reasoning": list(decision.reasoning),
        "expected_impact": next((_plain(one) for one in card.impact if one.treatment == card.treatment), None),
        "next_steps": list(decision.next_steps),
    }


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in cast("Mapping[object, object]", value).items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in cast("Sequence[object]", value)]
    if is_dataclass(value) and not isinstance(value, type):
        return cast("object", msgspec.json.decode(msgspec.json.encode(value)))
    return value
