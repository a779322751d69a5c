"""analyze(): a frame, an Arrow table or an address in, a scorecard out; for notebooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from fairtrial.analysis.run import analyze_spec
from fairtrial.errors import UsageError
from fairtrial.evaluation import Scorecard, evaluate
from fairtrial.metrics import build_metrics
from fairtrial.spec.data import UnitsData
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.problems import validated
from fairtrial.warehouse import distinct_arms, read_frame

MetricLike = Mapping[str, object]

MAX_ARMS = 50
"""A column with more distinct values than this does not name arms."""


def proportion(column: str, **options: object) -> MetricLike:
    """A share of units with outcome 1, for `analyze`.

    Args:
        column: Column of zeros and ones (or booleans).
        **options: Further keys of a metric in a spec: `role`, `direction`, `covariate`, `missing`, `margin`, ...
    """
    return {"key": column, "column": column, "kind": "proportion", **options}


def mean(column: str, **options: object) -> MetricLike:
    """A mean over all units, for `analyze`.

    Args:
        column: Column of numbers.
        **options: Further keys of a metric in a spec: `role`, `direction`, `covariate`, `winsorize`, `missing`, ...
    """
    return {"key": column, "column": column, "kind": "mean", **options}


def count(column: str, **options: object) -> MetricLike:
    """A mean number of events per unit, for `analyze`.

    Args:
        column: Column of counts, >= 0.
        **options: Further keys of a metric in a spec.
    """
    return {"key": column, "column": column, "kind": "count", **options}


def ratio(numerator: str, denominator: str, **options: object) -> MetricLike:
    """A ratio of two sums over units (clicks per session), for `analyze`.

    Args:
        numerator: Column to sum above the line.
        denominator: Column to sum below it.
        **options: Further keys of a metric in a spec; `key` defaults to "numerator/denominator".
    """
    return {"key": f"{numerator}/{denominator}", "kind": "ratio", "numerator": numerator, "denominator": denominator, **options}


def analyze(
    data: Any,
    *,
    arm: str,
    metrics: Sequence[MetricLike],
    unit: str | None = None,
    control: str | float | bool | None = None,
    shares: Mapping[str, float] | Literal["equal", "unknown"] = "equal",
    segments: Sequence[str] | Mapping[str, object] | None = None,
    **plan: object,
) -> Scorecard:
    """Analyse an experiment where the data is, without a spec file.

    Args:
        data: A pandas or polars frame, an Arrow table, or the address of a file.
        arm: Column that names the arm.
        metrics: Made by `proportion`, `mean`, `count` and `ratio`; the first is the primary
            one unless another says `role="primary"`.
        unit: Column that identifies the randomised unit; without it repeats cannot be seen.
        control: Value of the control arm; default "control".
        shares: Planned share of each arm, for the sample-ratio check; "unknown" skips it.
        segments: Columns by which effects are read beside the whole, or a spec's `segments` section.
        **plan: Keys of a spec's plan: `alpha`, `power`, `mde`, `baseline`, `correction`, `ci_method`, ...

    Returns:
        The same scorecard that a spec file with these settings gives.

    Raises:
        UsageError: An argument breaks a rule.
        DataError: The data cannot answer.
    """
    if not metrics:
        raise UsageError("analyze needs at least one metric, got none.", hint="Pass metrics=[fairtrial.proportion('converted')].")
    address = str(data) if isinstance(data, str | Path) else None
    arms = distinct_arms(data if address is None else address, arm, limit=MAX_ARMS)
    raw = _raw_spec(arms, metrics, control=control, shares=shares, plan=plan)
    table = {"source": address or "memory", "arm": arm, "unit": unit}
    asked = {} if segments is None else {"segments": segments}
    spec = validated(ExperimentSpec, raw | asked | {"data": {"shape": "units", **table}}, what="call of analyze")
    if address is not None:
        return analyze_spec(spec)
    needs = [metric.needs for metric in build_metrics(spec)]
    reading = read_frame(data, UnitsData.model_validate(table), needs, [a.key for a in spec.arms], segments=spec.segments)
    return evaluate(spec, reading)


def _raw_spec(
    arms: Sequence[str],
    metrics: Sequence[MetricLike],
    *,
    control: str | float | bool | None,
    shares: Mapping[str, float] | Literal["equal", "unknown"],
    plan: Mapping[str, object],
) -> dict[str, object]:
    named = "control" if control is None else _as_text(control)
    if named not in arms:
        raise UsageError(f"The control must be one of the arms {list(arms)}, got {named!r}.", hint="Pass control='...'.")
    ordered = [named, *(a for a in arms if a != named)]
    listed = [dict(metric) for metric in metrics]
    if not any(metric.get("role") == "primary" for metric in listed):
        listed[0]["role"] = "primary"
    raw: dict[str, object] = {"key": "notebook", "control": named, "metrics": listed, "plan": dict(plan)}
    if shares == "unknown":
        raw |= {"arms": ordered, "allocation": "unknown"}
    elif shares == "equal":
        raw |= {"arms": ordered}
    else:
        planned = {_as_text(key): share for key, share in shares.items()}
        missing = [a for a in ordered if a not in planned]
        if missing:
            raise UsageError(f"shares must name every arm, {missing} are missing.", hint="Pass shares='unknown' if they were not recorded.")
        raw["arms"] = [{"key": a, "allocation": planned[a]} for a in dict.fromkeys([*ordered, *planned])]
    return raw


def _as_text(value: object) -> str:
    """The name under which a value of the arm column stands: as the warehouse compares it."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
