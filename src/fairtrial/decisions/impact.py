"""What an effect is worth: gain per period, costs, return and payback, each with its interval.

    gain per period = improvement per unit x eligible units per period x value per unit

The interval goes the same way as the estimate. A gain is never shown without it, and beside the plain
figure stands one that allows for the winner's curse (`fairtrial.stats.shrinkage`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from fairtrial.stats.result import Interval, Unavailable
from fairtrial.stats.shrinkage import Shrunk

DAYS_A_YEAR = 365.0
TERMS = {"units_per_day": "eligible_units_per_day", "value_per_unit": "value_per_unit"}
"""What a gain cannot be told without, by what the spec's `business` section calls it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BusinessCase:
    """What turns an effect into money.

    Attributes:
        units_per_day: Eligible units a day, > 0; None where the spec does not say.
        value_per_unit: Money that one unit of the metric's improvement is worth, > 0; None where the spec does not say.
        period_days: Length of the period that a gain is told for, > 0.
        currency: Name of the money; may be empty.
        one_off_cost: Cost of building and launching the change, >= 0.
        running_cost: Cost of keeping it, a year, >= 0.
        horizon_years: Years over which gain and costs are added up, > 0.
        discount_rate: A year, a fraction >= 0; each year's flow counts at that year's end.
        persistence: Part of the effect that is left after each further year, in (0, 1].
        holdout_share: Part of the units kept without the change after the launch, in [0, 1).
    """

    units_per_day: float | None
    value_per_unit: float | None
    period_days: float = 365.0
    currency: str = ""
    one_off_cost: float = 0.0
    running_cost: float = 0.0
    horizon_years: float = 1.0
    discount_rate: float = 0.0
    persistence: float = 1.0
    holdout_share: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """An amount or a ratio, and the interval it never stands without; an open end is infinite."""

    value: float
    interval: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Payback:
    """Years until the gain has covered the one-off cost; None where it does not within the horizon.

    Attributes:
        years: At the estimate.
        earliest: At the better end of the interval.
        latest: At its worse end.
    """

    years: float | None
    earliest: float | None
    latest: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Impact:
    """What one treatment is expected to be worth on the primary metric; either `gain` or `unavailable` is set.

    Attributes:
        treatment: Key of the arm.
        metric: Key of the metric.
        currency: Name of the money; may be empty.
        level: Level of all intervals, such as 0.95; None where there are none.
        basis: `estimate`, or `after_stop` where the plan's looks called for one without their bias.
        reading: `gain` when the whole interval of `net` lies above 0 (of `gain`, where no cost was declared), `loss` when it
            lies below, else `unclear`.
        period_days: Length of the period.
        units_per_period: Units that the change reaches in it, those held out left off.
        gain: Money per period, before costs.
        shrunk_gain: The same after shrinkage; None where there is no prior.
        shrinkage: Part of the effect that shrinkage keeps.
        prior_sd: Standard deviation of true effects that it rests on, in the metric's unit.
        horizon_years: Years over which gain and costs are added up.
        cost: Costs over the horizon, discounted; 0 where none were declared.
        net: Gain less costs over the horizon, discounted.
        shrunk_net: The same of the shrunken gain.
        roi: `net` over `cost`; None without costs.
        payback: When the one-off cost is covered; None without one.
        break_even: Improvement per unit at which `net` is 0; None without costs.
        assumptions: What the figures rest on, one sentence each.
        unavailable: Why there are no figures.
    """

    treatment: str
    metric: str
    currency: str
    level: float | None = None
    basis: Literal["estimate", "after_stop"] = "estimate"
    reading: Literal["gain", "loss", "unclear", "unavailable"] = "unavailable"
    period_days: float
    units_per_period: float | None = None
    gain: Figure | None = None
    shrunk_gain: Figure | None = None
    shrinkage: float | None = None
    prior_sd: float | None = None
    horizon_years: float
    cost: float = 0.0
    net: Figure | None = None
    shrunk_net: Figure | None = None
    roi: Figure | None = None
    payback: Payback | None = None
    break_even: float | None = None
    assumptions: tuple[str, ...] = ()
    unavailable: Unavailable | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Improvement:
    """A measured effect, turned so that positive is better.

    Attributes:
        effect: Improvement per unit, in the metric's unit.
        interval: Its interval.
        alpha: 1 - level of the interval.
        basis: What it is read from.
        shrunk: The same after shrinkage; None where there is no prior.
        prior_sd: Standard deviation of true effects behind `shrunk`.
    """

    effect: float
    interval: Interval
    alpha: float
    basis: Literal["estimate", "after_stop"] = "estimate"
    shrunk: Shrunk | None = None
    prior_sd: float | None = None


def expected_impact(
    found: Improvement | Unavailable, case: BusinessCase, *, treatment: str, metric: str, notes: tuple[str, ...] = ()
) -> Impact:
    """What a treatment is expected to be worth.

    Args:
        found: Its improvement on the primary metric, or why there is none.
        case: What turns it into money.
        treatment: Key of the arm.
        metric: Key of the metric.
        notes: Further assumptions, told first.

    Returns:
        The impact; without figures, and with the reason, where there is no improvement or a term is missing.
        950 units a day x 365 x 0.0036 x 30 = 37,449 a year.
    """
    missing = [word for name, word in TERMS.items() if getattr(case, name) is None]
    gone = found if isinstance(found, Unavailable) else _lacking(missing)
    if isinstance(found, Unavailable) or gone is not None or case.units_per_day is None or case.value_per_unit is None:
        return Impact(
            treatment=treatment,
            metric=metric,
            currency=case.currency,
            period_days=case.period_days,
            horizon_years=case.horizon_years,
            unavailable=gone,
        )
    reached = case.units_per_day * case.period_days * (1.0 - case.holdout_share)
    worth = reached * case.value_per_unit
    periods = _worth_of_years(case, persistence=case.persistence) * DAYS_A_YEAR / case.period_days
    cost = case.one_off_cost + case.running_cost * _worth_of_years(case, persistence=1.0)
    plain = Figure(value=found.effect, interval=found.interval)
    drawn = None if found.shrunk is None else Figure(value=found.shrunk.effect, interval=found.shrunk.interval)
    gain = _times(plain, worth)
    net = _times(plain, worth * periods, less=cost)
    return Impact(
        treatment=treatment,
        metric=metric,
        currency=case.currency,
        level=1.0 - found.alpha,
        basis=found.basis,
        reading="gain" if net.interval.low > 0 else "loss" if net.interval.high < 0 else "unclear",
        period_days=case.period_days,
        units_per_period=reached,
        gain=gain,
        shrunk_gain=None if drawn is None else _times(drawn, worth),
        shrinkage=None if found.shrunk is None else found.shrunk.factor,
        prior_sd=found.prior_sd,
        horizon_years=case.horizon_years,
        cost=cost,
        net=net,
        shrunk_net=None if drawn is None else _times(drawn, worth * periods, less=cost),
        roi=_return(net, cost),
        payback=_payback(gain, case) if case.one_off_cost > 0 else None,
        break_even=_finite(cost / (worth * periods)) if cost > 0 else None,
        assumptions=(*notes, *_assumptions(case)),
    )


def payback_years(gain_a_year: float, case: BusinessCase) -> float | None:
    """Years until the gain, less the running cost, has covered the one-off cost.

    Args:
        gain_a_year: In the first year, before costs.
        case: Costs, horizon, discount and persistence. Within a year the money comes in evenly.

    Returns:
        Years, >= 0; None when the horizon ends first.
    """
    covered = 0.0
    for start, length, discount in _years(case):
        flow = (gain_a_year * case.persistence**start - case.running_cost) * length * discount
        if flow > 0 and covered + flow >= case.one_off_cost:
            return start + length * (case.one_off_cost - covered) / flow
        covered += flow
    return None


def _payback(gain: Figure, case: BusinessCase) -> Payback:
    a_year = DAYS_A_YEAR / case.period_days
    years, earliest, latest = (payback_years(money * a_year, case) for money in (gain.value, gain.interval.high, gain.interval.low))
    return Payback(years=years, earliest=earliest, latest=latest)


def _lacking(missing: list[str]) -> Unavailable | None:
    if not missing:
        return None
    return Unavailable(code="missing_terms", reason=f"The spec's business section lacks {' and '.join(missing)}.")


def _times(figure: Figure, factor: float, *, less: float = 0.0) -> Figure:
    """A figure times a positive factor, less a fixed amount."""
    ends = figure.interval
    return Figure(value=figure.value * factor - less, interval=Interval(low=ends.low * factor - less, high=ends.high * factor - less))


def _return(net: Figure, cost: float) -> Figure | None:
    """Net gain over costs; None without costs, and with costs too small to divide by."""
    if cost == 0 or _finite(net.value / cost) is None:
        return None
    return Figure(value=net.value / cost, interval=Interval(low=net.interval.low / cost, high=net.interval.high / cost))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _years(case: BusinessCase) -> Iterator[tuple[float, float, float]]:
    """Each year of the horizon: its start, its length (the last may be shorter) and what money at its end is worth now."""
    for start in range(math.ceil(case.horizon_years)):
        length = min(1.0, case.horizon_years - start)
        yield float(start), length, (1.0 + case.discount_rate) ** -(start + length)


def _worth_of_years(case: BusinessCase, *, persistence: float) -> float:
    """What one a year over the horizon is worth now, in years."""
    return math.fsum(persistence**start * length * discount for start, length, discount in _years(case))


def _assumptions(case: BusinessCase) -> Iterator[str]:
    yield "After the launch the units are as many as stated and like those of the experiment."
    if case.persistence < 1.0:
        yield f"Of the effect {100 * case.persistence:.3g}% is left after each further year, as declared."
    else:
        yield f"The effect stays as it is for {case.horizon_years:g} {'year' if case.horizon_years == 1 else 'years'}."
    if case.holdout_share > 0:
        held = f"{100 * case.holdout_share:.3g}%"
        yield f"A holdout of {held} of the units goes without the change, to measure whether the effect lasts; its gain is left off."
    else:
        yield "Nothing measures whether the effect lasts: keep a holdout after the launch (business.holdout_share)."
    if case.discount_rate > 0:
        yield f"Money of later years is discounted by {100 * case.discount_rate:.3g}% a year, at each year's end."
    if case.one_off_cost == 0 and case.running_cost == 0:
        yield "No cost was declared, so the net figures are gains."
    yield "Intervals are of the effect alone: units, values and costs are taken as exact."
