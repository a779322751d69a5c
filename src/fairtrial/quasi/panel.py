"""A panel: units seen over periods, and when each was first treated.

Every method for adoption over time reads this one form. A unit's cohort is the
first period in which it is treated; a cohort of NaN, infinity or 0 (where 0 is
no period) means never, and so does one after the last period: within the panel
such a unit is not treated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairtrial.errors import DataError, NotEnoughDataError
from fairtrial.quasi.columns import check_noise, codes_of, numbers_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Panel:
    """Rows of a panel, by place.

    Attributes:
        outcome: Shape (n,).
        unit: Place of each row's unit, shape (n,).
        period: Place of each row's period, shape (n,).
        periods: The periods, sorted, shape (T,).
        first: Place of the first treated period of each unit, shape (units,); T for the never treated.
        weight: Weight of each row, > 0, shape (n,).
        cluster: Place of each row's cluster, shape (n,); the unit where no cluster was given.
    """

    outcome: Floats
    unit: Ints
    period: Ints
    periods: Floats
    first: Ints
    weight: Floats
    cluster: Ints

    @property
    def units(self) -> int:
        """Number of units."""
        return self.first.size

    @property
    def never(self) -> int:
        """What `first` says of a unit that is never treated: the number of periods."""
        return self.periods.size

    @property
    def treated(self) -> NDArray[np.bool_]:
        """Whether a row's unit is under treatment in the row's period, shape (n,)."""
        return self.period >= self.first[self.unit]

    @property
    def cohorts(self) -> Ints:
        """Places of the periods in which somebody was first treated, ascending."""
        found = np.unique(self.first)
        return found[found < self.never]

    @property
    def is_balanced(self) -> bool:
        """Whether every unit is seen in every period."""
        return self.outcome.size == self.units * self.periods.size

    def label(self, place: int) -> str:
        """A period's value as text ("2004")."""
        return f"{self.periods[place]:g}"

    def rows(self, keep: NDArray[np.bool_]) -> Panel:
        """The panel of some rows; units and clusters without rows disappear, periods stay.

        Raises:
            NotEnoughDataError: No row is kept.
        """
        if not keep.any():
            raise NotEnoughDataError("No row of the panel is left to analyse.", code="too_few_units")
        names, unit = np.unique(self.unit[keep], return_inverse=True)
        return Panel(
            outcome=self.outcome[keep],
            unit=unit.astype(np.int64),
            period=self.period[keep],
            periods=self.periods,
            first=self.first[names],
            weight=self.weight[keep],
            cluster=np.unique(self.cluster[keep], return_inverse=True)[1].astype(np.int64),
        )

    def matrix(self) -> Floats:
        """Outcomes by unit and period, shape (units, T); NaN where a unit was not seen."""
        wide = np.full((self.units, self.periods.size), np.nan)
        wide[self.unit, self.period] = self.outcome
        return wide


def panel_of(
    outcome: ArrayLike,
    unit: ArrayLike,
    time: ArrayLike,
    cohort: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    cluster: ArrayLike | None = None,
) -> Panel:
    """Check rows and put them in the panel's form.

    Args:
        outcome: One finite value a row, shape (n,).
        unit: The unit of each row, numbers or text, shape (n,).
        time: The period of each row, numbers, shape (n,).
        cohort: First treated period of the row's unit; NaN, infinity, or 0 where 0 is no period: never. Shape (n,).
        weights: Weight of each row, > 0; default 1.
        cluster: The cluster of each row, numbers or text; default: the unit.

    Raises:
        UsageError: Lengths differ.
        DataError: A value is missing, a unit is seen twice in a period or has two cohorts, a weight is not
            positive, or there is one period only.
    """
    y = numbers_of("outcome", outcome)
    check_noise(y - y.mean(), y)
    _, units = codes_of("unit", unit, rows=y.size)
    times = numbers_of("time", time, rows=y.size)
    periods, period = np.unique(times, return_inverse=True)
    if periods.size < 2:
        raise NotEnoughDataError("A panel needs two periods at least, got 1.", code="too_few_periods")
    if np.unique(units * periods.size + period).size < y.size:
        raise DataError("A unit must be seen once a period; some are seen twice.", hint="Aggregate to one row a unit and period.")
    started = np.array(cohort, dtype=np.float64).ravel()
    started = numbers_of("cohort", np.where(np.isfinite(started), started, periods[-1] + 1.0), rows=y.size)
    if not (periods == 0.0).any():
        started = np.where(started == 0.0, periods[-1] + 1.0, started)
    start = np.searchsorted(periods, started)  # the first period at or after the cohort's
    first = np.zeros(int(units.max()) + 1, dtype=np.int64)
    first[units] = start
    if (first[units] != start).any():
        raise DataError("A unit must have one cohort, the period in which it was first treated; some have two.")
    return Panel(
        outcome=y,
        unit=units,
        period=period.astype(np.int64),
        periods=periods,
        first=first,
        weight=weights_of(weights, y.size),
        cluster=units if cluster is None else codes_of("cluster", cluster, rows=y.size)[1],
    )


def weights_of(weights: ArrayLike | None, rows: int) -> Floats:
    """Weights of rows, default 1.

    Raises:
        DataError: One is not positive.
    """
    if weights is None:
        return np.ones(rows)
    weight = numbers_of("weights", weights, rows=rows)
    if weight.min() <= 0.0:
        raise DataError(f"Weights must be positive, got {weight.min():g}.", hint="Leave rows without weight out.")
    return weight / weight.mean()
