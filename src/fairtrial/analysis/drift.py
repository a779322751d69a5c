"""Drift of the columns of files: a reference against a current sample, before against after, arm against arm."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fairtrial.analysis.model_rows import micros_of, pd
from fairtrial.analysis.model_source import read_ndjson
from fairtrial.diagnostics import Finding
from fairtrial.diagnostics.drift import (
    KS_LIMIT,
    PSI_LIMIT,
    ColumnDrift,
    compare_levels,
    compare_numbers,
    drift_findings,
    judge_drift,
)
from fairtrial.errors import DataError, UnknownNameError, UsageError
from fairtrial.warehouse.sources import open_source

IDS = 0.5
"""A column of text with more distinct values than this share of its rows names rows and has no distribution."""

LEAST_IDS = 100
"""Distinct values from which that is asked."""

OUR_OWN = {"prediction_id", "assignment_id", "user_id", "model_name", "variant", "served_by", "propensity"}
"""Columns of a prediction log that say who and by whom, and are no inputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftLimits:
    """From what a column has drifted.

    Attributes:
        psi: Population stability index, > 0.
        ks_p_value: Corrected p-value of the Kolmogorov-Smirnov test, in (0, 1).
        min_distance: Distance below which a significant shift does not count, in [0, 1].
    """

    psi: float = PSI_LIMIT
    ks_p_value: float = KS_LIMIT
    min_distance: float = 0.0

    def __post_init__(self) -> None:
        if not (self.psi > 0.0 and 0.0 < self.ks_p_value < 1.0 and 0.0 <= self.min_distance <= 1.0):
            raise UsageError(f"Limits must be an index > 0, a p-value in (0, 1) and a distance in [0, 1], got {self}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftReport:
    """What moved.

    Attributes:
        reference: What is compared with, for people.
        columns: Every column of every group, in the file's order.
        skipped: Columns that were not compared, and why.
        findings: What was seen.
        limits: From what a column has drifted.
    """

    reference: str
    columns: tuple[ColumnDrift, ...]
    skipped: dict[str, str]
    findings: tuple[Finding, ...]
    limits: DriftLimits

    @property
    def drifted(self) -> bool:
        """Whether any column has."""
        return any(one.drifted for one in self.columns)


def read_table(address: str) -> Any:
    """A Parquet, CSV or NDJSON file as a frame.

    Raises:
        UsageError: There is no such file.
        DataError: It cannot be read, or holds no row.
    """
    if address.endswith(".ndjson"):
        path = Path(address).expanduser()
        if not path.is_file():
            raise UsageError(f"The data file must exist, there is no {path.name!r}.", code="missing_file")
        frame = pd.DataFrame(read_ndjson([path])[0])
    else:
        with open_source(address) as source:
            frame = source.arrow(source.table(None)).to_pandas()
    if not len(frame):
        raise DataError(f"{Path(address).name} holds no row.", code="no_units")
    return frame


def analyze_drift(
    current: Any,
    reference: Any = None,
    *,
    split_at: dt.datetime | None = None,
    by: str | None = None,
    time: str = "timestamp",
    columns: Sequence[str] | None = None,
    limits: DriftLimits | None = None,
) -> DriftReport:
    """Compare the columns of two samples.

    Args:
        current: A pandas frame.
        reference: A pandas frame to compare with; exactly one of `reference`, `split_at` and `by` is given.
        split_at: Rows from this moment on are compared with those before it, aware.
        by: Column whose values name arms; each is compared with `champion`, `control`, else the most common one.
        time: Column of the time, for `split_at`.
        columns: Which columns; default: all that are neither ids nor times.
        limits: From what a column has drifted.

    Raises:
        UsageError: Not exactly one comparison is asked for, or a column is not there.
        DataError: A sample has no row, or no column can be compared.
    """
    chosen = limits or DriftLimits()
    told, base, groups = _samples(current, reference, split_at, by, time)
    names, skipped = _columns(current, base, columns, {by, time} if columns is None else {by})
    if not names:
        raise DataError("No column can be compared.", hint=f"Left out: {skipped}." if skipped else "", code="no_columns")
    found = [_compared(name, group, base[name], frame[name]) for group, frame in groups for name in names]
    judged = judge_drift(found, psi_limit=chosen.psi, ks_limit=chosen.ks_p_value, min_distance=chosen.min_distance)
    return DriftReport(
        reference=told,
        columns=judged,
        skipped=skipped,
        findings=tuple(drift_findings(judged, psi_limit=chosen.psi)),
        limits=chosen,
    )


def _samples(
    current: Any, reference: Any, split_at: dt.datetime | None, by: str | None, time: str
) -> tuple[str, Any, list[tuple[str, Any]]]:
    """The reference with its name, and the samples that are held against it."""
    if sum(given is not None for given in (reference, split_at, by)) != 1:
        raise UsageError("One comparison at a time: a reference, a moment to split at, or a column of arms.")
    if reference is not None:
        return "the reference", reference, [("current", current)]
    if split_at is not None:
        _check_column(current, time)
        after = micros_of(current[time]) >= (split_at - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)
        if after.all() or not after.any():
            raise DataError(f"Rows must lie before and after {split_at.isoformat()}, they lie on one side.", code="no_units")
        return f"the rows before {split_at.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%SZ}", current[~after], [("after", current[after])]
    name = str(by)
    _check_column(current, name)
    arms = current[name].dropna().astype(str)
    levels = sorted(arms.unique())
    if not 2 <= len(levels) <= 50:
        raise DataError(f"Column {name!r} must name 2 to 50 arms, it names {len(levels)}.", code="wrong_arm_column")
    base = next((one for one in ("champion", "control") if one in levels), str(arms.value_counts().index[0]))
    text = current[name].astype(str).where(current[name].notna())
    return base, current[text == base], [(level, current[text == level]) for level in levels if level != base]


def _columns(current: Any, reference: Any, wanted: Sequence[str] | None, apart: set[str | None]) -> tuple[list[str], dict[str, str]]:
    """Columns to compare, and those left out with the reason."""
    if wanted is not None:
        for name in wanted:
            _check_column(current, name)
            _check_column(reference, name)
        return list(dict.fromkeys(wanted)), {}
    names: list[str] = []
    skipped: dict[str, str] = {}
    for raw in current.columns:
        name = str(raw)
        if name in apart or name in OUR_OWN:
            continue
        if name not in reference.columns:
            skipped[name] = "the reference has no such column"
        elif _is_time(current[name]):
            skipped[name] = "it holds times"
        elif not _is_number(current[name]) and _names_rows(current[name]):
            skipped[name] = "it names rows: its values hardly repeat"
        else:
            names.append(name)
    return names, skipped


def _compared(name: str, group: str, reference: Any, current: Any) -> ColumnDrift:
    if _is_number(reference) and _is_number(current):
        return compare_numbers(
            name, group, *(pd.to_numeric(one).to_numpy(dtype=np.float64, na_value=np.nan) for one in (reference, current))
        )
    values = [[None if gone else str(value) for value, gone in zip(one, one.isna(), strict=True)] for one in (reference, current)]
    return compare_levels(name, group, *values)


def _is_number(column: Any) -> bool:
    if pd.api.types.is_bool_dtype(column):
        return False
    # A column without any value is of no type of its own: it goes with the other side's.
    return bool(pd.api.types.is_numeric_dtype(column)) or bool(column.isna().all())


def _is_time(column: Any) -> bool:
    return bool(pd.api.types.is_datetime64_any_dtype(column))


def _names_rows(column: Any) -> bool:
    kept = column.dropna().astype(str)
    distinct = int(kept.nunique())
    return distinct >= LEAST_IDS and distinct > IDS * len(kept)


def _check_column(frame: Any, name: str) -> None:
    if name not in frame.columns:
        raise UnknownNameError.among("column", name, [str(one) for one in frame.columns], code="unknown_column")
