"""How an experiment came to its results: cumulative units and converters by period (HO-10)."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any, Literal

from sqlalchemy.orm import Session

from fairtrial.service.experiments.lifecycle import get_experiment
from fairtrial.service.experiments.routing import stored_spec
from fairtrial.service.results.always_valid import rate_look
from fairtrial.service.results.reading import window_of
from fairtrial.storage.readings import ArmCounts, PeriodCounts, count_periods

Freq = Literal["D", "W"]
TIME_SERIES_COLUMNS = (
    "date", "treatment_n", "treatment_conversions", "treatment_rate", "control_n", "control_conversions", "control_rate",
    "uplift_abs", "uplift_rel",
)  # fmt: skip
"""Fields of a row, in order."""

LONGEST = 5000
"""Periods of one answer; a longer series begins later."""


def read_time_series(session: Session, reference: str, freq: Freq) -> list[dict[str, Any]]:
    """One row a period from the first unit to the last event, cumulative; the last row agrees with the results.

    Raises:
        NotFoundError: There is no such experiment.
    """
    row = get_experiment(session, reference)
    spec = stored_spec(row)
    found = count_periods(session, window_of(row), freq)
    return accumulate(found, freq, treatment=spec.treatments[0], control=spec.control)


def read_trajectory(session: Session, reference: str, freq: Freq) -> list[dict[str, Any]]:
    """The cumulative uplift by period with the interval that holds at all of them at once (mSPRT, G-13).

    A period with too little to say has no interval; the running p is the smallest so far.

    Raises:
        NotFoundError: There is no such experiment.
    """
    row = get_experiment(session, reference)
    spec = stored_spec(row)
    rows = accumulate(count_periods(session, window_of(row), freq), freq, treatment=spec.treatments[0], control=spec.control)
    found: list[dict[str, Any]] = []
    smallest = 1.0
    for period in rows:
        arms = [ArmCounts(n=period[f"{arm}_n"], converters=period[f"{arm}_conversions"]) for arm in ("control", "treatment")]
        look = rate_look(arms[0], arms[1], spec.plan)
        point: dict[str, Any] = {"date": period["date"], "n": arms[0].n + arms[1].n, "uplift_abs": period["uplift_abs"]}
        if look is None:
            found.append(point | {"ci_low": None, "ci_high": None, "always_valid_p": None})
            continue
        smallest = min(smallest, look.look.p_value)
        interval = look.look.interval
        ends = [end if math.isfinite(end) else None for end in (interval.low, interval.high)]
        found.append(point | {"ci_low": ends[0], "ci_high": ends[1], "always_valid_p": smallest})
    return found


def accumulate(found: PeriodCounts, freq: Freq, *, treatment: str, control: str) -> list[dict[str, Any]]:
    """Add up periods; those in which nothing happened repeat what was there."""
    days = sorted({day for day, _ in (*found.units, *found.converters)})
    if not days:
        return []
    step = dt.timedelta(days=7 if freq == "W" else 1)
    totals = {treatment: [0, 0], control: [0, 0]}
    rows: list[dict[str, Any]] = []
    day = days[0]
    while day <= days[-1]:
        for arm, total in totals.items():
            total[0] += found.units.get((day, arm), 0)
            total[1] += found.converters.get((day, arm), 0)
        rows.append(_row(day, totals[treatment], totals[control]))
        day += step
    return rows[-LONGEST:]


def _row(day: dt.date, treatment: list[int], control: list[int]) -> dict[str, Any]:
    rates = [conversions / n if n else None for n, conversions in (treatment, control)]
    absolute = relative = None
    if rates[0] is not None and rates[1] is not None:
        absolute = rates[0] - rates[1]
        relative = absolute / rates[1] if rates[1] > 0 else None
    return {
        "date": day.isoformat(),
        "treatment_n": treatment[0],
        "treatment_conversions": treatment[1],
        "treatment_rate": rates[0],
        "control_n": control[0],
        "control_conversions": control[1],
        "control_rate": rates[1],
        "uplift_abs": absolute,
        "uplift_rel": relative,
    }
