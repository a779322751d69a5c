"""long_term_value(): what units are worth over months, from assignments and events, with late starters censored."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import pandas as pd

from fairtrial.errors import DataError, NotEnoughDataError, UnknownNameError, UsageError
from fairtrial.stats.lifetime import CumulativeValue, compare_cumulative, cumulative_value
from fairtrial.stats.multiplicity import adjust
from fairtrial.stats.result import Estimate, Unavailable

Curve = CumulativeValue | Unavailable
Place = tuple[str, int]
"""Treatment and day."""
HORIZONS = (30, 90, 180, 365)
DAY = pd.Timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class HorizonValue:
    """The comparison at one horizon.

    Attributes:
        treatment: Key of the arm.
        day: Days since a unit's start.
        followed: Units of both arms that were followed so long.
        censored: Share of their units that were not, in [0, 1].
        estimate: Value per unit up to that day, treatment less control, `p_adjusted` by Holm over all horizons and treatments.
        unavailable: Why there is none.
    """

    treatment: str
    day: int
    followed: int
    censored: float
    estimate: Estimate | None
    unavailable: Unavailable | None


def long_term_value(
    assignments: Any,
    events: Any,
    *,
    as_of: dt.datetime,
    control: str = "control",
    horizons: Sequence[int] = HORIZONS,
    alpha: float = 0.05,
) -> list[HorizonValue]:
    """Cumulative value per unit at horizons, by treatment; units that started too late are censored, and how many is said.

    Args:
        assignments: Frame with columns `unit`, `arm` and `time`, of the start; the first row of a unit counts. Times without an
            offset are UTC.
        events: Frame with columns `unit`, `time` and `value` (an order's revenue; minus a refund; 1 for a visit).
        as_of: End of the data, aware; later events are left out.
        control: Value of the control arm.
        horizons: Days since the start, increasing.
        alpha: Error rate in (0, 1) of each interval.

    Returns:
        By treatment and horizon, in order.

    Raises:
        UnknownNameError: A column or the control is not there.
        UsageError: Horizons are none.
        DataError: A unit is in two arms, or a time or value is missing.
    """
    wanted = list(horizons)
    if not wanted or any(day < 1 or not float(day).is_integer() for day in wanted) or wanted != sorted(set(wanted)):
        raise UsageError(f"Horizons are days from 1 on, increasing, got {wanted}.", hint="Such as (30, 90, 180).")
    if as_of.tzinfo is None:
        raise UsageError(f"as_of must have a time zone, got {as_of.isoformat()}.", hint="UTC is datetime.UTC.")
    starts = _starts(assignments, pd.Timestamp(as_of))
    if control not in set(starts["arm"]):
        raise UnknownNameError.among("arm", control, sorted(set(starts["arm"])))
    happened = _events(events, starts)
    curves: dict[Place, Curve] = {
        (key, day): _curve(starts[starts["arm"] == key], happened, day) for key in dict.fromkeys(starts["arm"]) for day in wanted
    }
    treatments = [key for key in dict.fromkeys(starts["arm"]) if key != control]
    pairs = {(key, day): (curves[control, day], curves[key, day]) for key in treatments for day in wanted}
    found = {place: _compared(*pair, place[1], alpha) for place, pair in pairs.items()}
    found = _corrected(found, pairs, alpha)
    rows: list[HorizonValue] = []
    for (key, day), one in found.items():
        units = starts[starts["arm"].isin([control, key])]
        followed = int((units["followed"] >= day).sum())
        rows.append(
            HorizonValue(
                treatment=key,
                day=day,
                followed=followed,
                censored=1.0 - followed / len(units),
                estimate=one if isinstance(one, Estimate) else None,
                unavailable=one if isinstance(one, Unavailable) else None,
            )
        )
    return rows


def _columns(frame: Any, names: Sequence[str], what: str) -> Any:
    table: Any = frame if isinstance(frame, pd.DataFrame) else pd.DataFrame(frame.to_pandas() if hasattr(frame, "to_pandas") else frame)
    for name in names:
        if name not in table.columns:
            raise UnknownNameError.among(f"column of {what}", name, [str(column) for column in table.columns])
    chosen: Any = table[list(names)]
    if chosen.isna().any().any():
        gone = [str(name) for name in names if chosen[name].isna().any()]
        raise DataError(f"Columns {gone} of {what} have missing values.", hint="Drop or mend these rows.", code="missing_outcome")
    return chosen


def _utc(column: Any) -> Any:
    return cast("Any", pd.to_datetime(column, utc=True))


def _starts(frame: Any, end: pd.Timestamp) -> Any:
    table = _columns(frame, ["unit", "arm", "time"], "assignments")
    table = table.assign(start=_utc(table["time"]))
    table = table[table["start"] < end].sort_values("start", kind="stable")
    both = table.groupby("unit")["arm"].nunique()
    if (both > 1).any():
        raise DataError(f"{int((both > 1).sum()):,} units are in more than one arm.", hint="Leave them out.", code="units_in_two_arms")
    first = table.drop_duplicates("unit").reset_index(drop=True)
    if first.empty:
        raise DataError("No unit started before the end of the data.", code="empty_arm")
    return first.assign(arm=first["arm"].astype(str), followed=((end - first["start"]) // DAY).astype("int64"))


def _events(frame: Any, starts: Any) -> Any:
    table = _columns(frame, ["unit", "time", "value"], "events")
    table = table.assign(at=_utc(table["time"]))
    joined = table.merge(starts[["unit", "start"]], on="unit")
    joined = joined[joined["at"] >= joined["start"]]
    return joined.assign(day=((joined["at"] - joined["start"]) // DAY).astype("int64"))


def _curve(units: Any, events: Any, day: int) -> Curve:
    places = pd.Series(np.arange(len(units)), index=units["unit"])
    own = events[events["unit"].isin(places.index)]
    try:
        return cumulative_value(
            units["followed"].to_numpy(),
            places.loc[own["unit"]].to_numpy(),
            own["day"].to_numpy(),
            own["value"].to_numpy(dtype=float),
            days=day,
        )
    except NotEnoughDataError as error:
        return Unavailable(code=error.code, reason=error.message)


def _compared(control: Curve, treated: Curve, day: int, alpha: float) -> Estimate | Unavailable:
    if isinstance(control, Unavailable):
        return control
    if isinstance(treated, Unavailable):
        return treated
    try:
        return compare_cumulative(control, treated, day=day, alpha=alpha)
    except DataError as error:
        return Unavailable(code=error.code, reason=error.message)


def _corrected(
    found: dict[Place, Estimate | Unavailable], pairs: dict[Place, tuple[Curve, Curve]], alpha: float
) -> dict[Place, Estimate | Unavailable]:
    """P-values by Holm over all comparisons; each interval at the level at which its p-value is read."""
    tested = {place: one.p_value for place, one in found.items() if isinstance(one, Estimate) and one.p_value is not None}
    if len(tested) < 2:
        return found
    adjusted = adjust(list(tested.values()), "holm", alpha=alpha)
    levels = {place: (float(p), float(level)) for place, p, level in zip(tested, adjusted.p_adjusted, adjusted.local_alpha, strict=True)}
    made = dict(found)
    for place, (p, level) in levels.items():
        again = _compared(*pairs[place], place[1], level)
        made[place] = replace(again, p_adjusted=p, correction="holm") if isinstance(again, Estimate) else again
    return made
