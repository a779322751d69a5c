"""The decision log of a bandit in a file: read into arrays, or written from a run."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairtrial.analysis.drift import read_table
from fairtrial.bandits.readout import BanditLog
from fairtrial.errors import DataError
from fairtrial.spec.bandit import BanditSpec

PROPENSITY = "propensity_"
"""What the columns of the arms' probabilities begin with."""


def read_bandit_log(address: str, spec: BanditSpec) -> BanditLog:
    """Read a log: columns `arm`, `reward`, `propensity_<arm>` of every arm; if there, `period`, `fixed`, `unit`.

    Args:
        address: A Parquet, CSV or NDJSON file, its rows in the order of the decisions.
        spec: The bandit.

    Returns:
        Rows whose reward is there; without `period` all are of period 1, without `unit` each is a unit of its own.

    Raises:
        UsageError: There is no such file.
        DataError: A column is missing, or holds what it must not.
    """
    frame = read_table(address)
    wanted = ["arm", "reward", *(PROPENSITY + arm for arm in spec.arms)]
    missing = [name for name in wanted if name not in frame.columns]
    if missing:
        raise DataError(
            f"The log must have the columns {wanted}, {missing} are missing among {[str(name) for name in frame.columns]}.",
            code="missing_columns",
        )
    frame = frame[frame["reward"].notna()]
    place = {arm: index for index, arm in enumerate(spec.arms)}
    named = [str(arm) for arm in frame["arm"]]
    foreign = sorted({arm for arm in named if arm not in place})
    if foreign:
        raise DataError(f"The log's arms must be among {list(spec.arms)}, got {foreign[:5]}.", code="unknown_arms")
    n = len(named)
    units: Any = frame["unit"] if "unit" in frame.columns else range(n)
    codes = {unit: index for index, unit in enumerate(dict.fromkeys(str(unit) for unit in units))}
    periods = _numbers(frame, "period") if "period" in frame.columns else np.ones(n)
    fixed = _numbers(frame, "fixed") if "fixed" in frame.columns else np.zeros(n)
    return BanditLog(
        actions=np.array([place[arm] for arm in named], dtype=np.int64),
        rewards=_numbers(frame, "reward"),
        propensities=np.column_stack([_numbers(frame, PROPENSITY + arm) for arm in spec.arms]),
        periods=periods.astype(np.int64),
        fixed=fixed > 0.0,
        units=np.array([codes[str(unit)] for unit in units], dtype=np.int64),
    )


def write_bandit_log(path: str | Path, spec: BanditSpec, log: BanditLog) -> None:
    """Write a log as CSV, with the columns that `read_bandit_log` reads."""
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["period", "unit", "arm", "reward", "fixed", *(PROPENSITY + arm for arm in spec.arms)])
        for place in range(log.n):
            chances = [repr(float(chance)) for chance in log.propensities[place]]
            arm = spec.arms[int(log.actions[place])]
            rows.writerow(
                [
                    int(log.periods[place]),
                    f"u{int(log.units[place])}",
                    arm,
                    repr(float(log.rewards[place])),
                    int(log.fixed[place]),
                    *chances,
                ]
            )


def _numbers(frame: Any, name: str) -> NDArray[np.float64]:
    try:
        values = np.asarray(frame[name], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"The column {name!r} must hold numbers: {error}.", code="bad_column") from error
    if not np.isfinite(values).all():
        raise DataError(f"The column {name!r} must hold finite numbers, some are missing or infinite.", code="bad_column")
    return values
