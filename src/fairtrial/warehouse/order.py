"""Order statistics by arm, exact from any engine: a quantile and the two values that bound it.

The places are known once the units of an arm are counted, so the engine numbers the values
in their order and gives back four of them an arm. Between neighbours the interpolation of
Hyndman & Fan's definition 7 is done here, so that engines agree to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from fairtrial.stats.quantiles import QuantileSummary, order_statistic_ranks
from fairtrial.stats.result import Interval, Unavailable
from fairtrial.warehouse.quantiles import interpolate
from fairtrial.warehouse.sums import ArmSums
from fairtrial.warehouse.terms import Term, kept
from fairtrial.warehouse.unit_rows import arm_code, value_of
from fairtrial.warehouse.unit_table import UnitTable
from fairtrial.warehouse.untyped import ibis

ALPHA = 0.05
"""Error rate of the interval from which a quantile's standard error is taken."""


def read_quantiles(
    units: UnitTable, wanted: Mapping[str, tuple[Term, float]], sums: Mapping[str, ArmSums]
) -> dict[str, dict[str, QuantileSummary | Unavailable]]:
    """Quantiles with their order-statistic intervals, by metric and arm."""
    return {metric: _read(units, term, probability, sums) for metric, (term, probability) in wanted.items()}


def places(n: int, probability: float) -> tuple[int, int, int, int] | None:
    """Places, from 1, of the lower bound, the quantile's two neighbours and the upper bound; None where a bound is not there."""
    if n < 1:
        return None
    low, high = order_statistic_ranks(n, probability, alpha=ALPHA)
    if low < 1 or high > n:
        return None
    own = math.floor((n - 1) * probability) + 1
    return low, own, min(own + 1, n), high


def too_few(n: int, probability: float) -> Unavailable:
    """Why an arm has no quantile to compare."""
    return Unavailable(code="too_few_units", reason=f"{n:,} units are too few to bound the {probability:g} quantile on both sides.")


def _read(units: UnitTable, term: Term, probability: float, sums: Mapping[str, ArmSums]) -> dict[str, QuantileSummary | Unavailable]:
    counts = {name: arm.count("kept", term.mask) if term.mask else arm.n for name, arm in sums.items()}
    wanted = {name: places(n, probability) for name, n in counts.items()}
    table = units.table.mutate(code=arm_code(units, sums), value=value_of(units, term))
    inside = kept(units, term.mask)
    table = table.select("code", "value") if inside is None else table.filter(inside).select("code", "value")
    place = ibis.row_number().over(ibis.window(group_by="code", order_by="value"))
    placed = table.filter(table.code >= 0).mutate(place=place.cast("int64"))
    asked = [
        (placed.code == code) & placed.place.isin([each - 1 for each in sorted(set(spots))])
        for code, spots in enumerate(wanted.values())
        if spots is not None
    ]
    rows = units.source.rows(placed.filter(ibis.or_(*asked)).select("code", "place", "value")) if asked else []
    values = {(int(code), int(at) + 1): float(value) for code, at, value in rows}
    found: dict[str, QuantileSummary | Unavailable] = {}
    for code, (name, spots) in enumerate(wanted.items()):
        n = counts[name]
        if spots is None:
            found[name] = too_few(n, probability)
            continue
        low, own, above, high = (values[code, spot] for spot in spots)
        found[name] = QuantileSummary(
            n=n, value=interpolate(own, above, (n - 1) * probability), interval=Interval(low=low, high=high), alpha=ALPHA
        )
    return found
