"""Pooled quantiles for winsorising: exact order statistics from any engine.

Hyndman & Fan (1996), The American Statistician 50, 361-365, definition 7: with the n
sorted values x_0..x_(n-1) and h = (n - 1) q, the quantile is x_floor(h) + (h - floor(h))
(x_floor(h)+1 - x_floor(h)). The two order statistics come by ordering, which every engine
does exactly, and the interpolation is done here, so that engines agree to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from fairtrial.warehouse.terms import Term, kept, plain
from fairtrial.warehouse.unit_table import ARM, UnitTable


def interpolate(low: float, high: float, h: float) -> float:
    """The value between two neighbouring order statistics at position `h`."""
    return low + (h - math.floor(h)) * (high - low)


def pooled_cap(units: UnitTable, term: Term, quantile: float, stored_arms: Sequence[object]) -> float | None:
    """The quantile of a term over all units of the given arms, after its `missing` rule.

    Args:
        units: The unit table.
        term: The outcome, filled or masked as its rule says.
        quantile: In (0, 1).
        stored_arms: The arms of the spec, as stored.

    Returns:
        The cap; None where it is the smallest value, so that capping would leave no spread.
    """
    table = units.table
    wanted = table[ARM].isin(list(stored_arms))
    inside = kept(units, term.mask)
    numbers = table.filter(wanted if inside is None else wanted & inside).select(value=plain(units, term))
    count, smallest = units.source.rows(numbers.agg(n=numbers.count(), low=numbers.value.min()))[0]
    if not count:
        return None
    h = (int(count) - 1) * quantile
    rows = units.source.rows(numbers.order_by(numbers.value).limit(2, offset=math.floor(h)))
    low = float(rows[0][0])
    cap = interpolate(low, float(rows[-1][0]), h)
    return None if cap <= float(smallest) else cap
