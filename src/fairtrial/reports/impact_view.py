"""What the effects are worth, as it is shown: each amount with its interval, and what it rests on in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from fairtrial.decisions.impact import Figure, Impact, Payback
from fairtrial.evaluation.scorecard import Scorecard
from fairtrial.reports.formatting import DASH, Kind, NumberStyle, clean, effect_style, level, lift_style, magnitude
from fairtrial.reports.view_models import ImpactLineView, ImpactView
from fairtrial.reports.words import arm_name, sentence

READINGS = {
    "gain": "Even at the low end of its interval the change gains more than it costs.",
    "loss": "Even at the high end of its interval the change loses.",
    "unclear": "The interval includes a loss: it is not shown that the change pays.",
}


def impact_views(scorecard: Scorecard) -> tuple[ImpactView, ...]:
    """What each treatment's effect is worth; empty where the spec has no terms."""
    return tuple(_impact(impact, scorecard) for impact in scorecard.impact)


def _impact(impact: Impact, scorecard: Scorecard) -> ImpactView:
    kind = scorecard.comparison(impact.metric, impact.treatment).kind
    gone = impact.unavailable
    return ImpactView(
        treatment=clean(impact.treatment),
        metric=clean(impact.metric),
        level="" if impact.level is None else level(1.0 - impact.level),
        sentence=_sentence(impact),
        lines=tuple(_lines(impact, kind)),
        assumptions=tuple(sentence(text) for text in impact.assumptions),
        why_unavailable="" if gone is None else sentence(gone.reason),
    )


def _sentence(impact: Impact) -> str:
    """The gain with its interval, and whether it is sure to pay."""
    gain, named = impact.gain, arm_name(clean(impact.treatment))
    if gain is None or impact.level is None:
        return f"What {named} is worth is not told."
    money = _money(impact, gain)
    ends = f"{level(1.0 - impact.level)} interval {money.between(gain.interval)}"
    return (
        f"Launching {named} is expected to bring {money.signed(gain.value)} through {clean(impact.metric)} in {impact.period_days:g} days, "
        f"before costs ({ends}). {READINGS[impact.reading]}"
    )


def _lines(impact: Impact, kind: Kind) -> Iterator[ImpactLineView]:
    if impact.gain is None or impact.net is None:
        return
    over = f"over {impact.horizon_years:g} {'year' if impact.horizon_years == 1 else 'years'}"
    yield _amount(impact, f"Gain in {impact.period_days:g} days", impact.gain)
    if impact.shrunk_gain is not None:
        yield _amount(impact, "The same, shrunken", impact.shrunk_gain)
    if impact.cost > 0:
        cost = _money(impact, Figure(value=impact.cost, interval=impact.net.interval))
        yield ImpactLineView(name=f"Costs {over}", value=cost.plain(impact.cost), interval=DASH)
    yield _amount(impact, f"Net gain {over}", impact.net)
    if impact.shrunk_net is not None:
        yield _amount(impact, "The same, shrunken", impact.shrunk_net)
    if impact.roi is not None:
        style = lift_style(impact.roi.value, impact.roi.interval)
        yield ImpactLineView(name="Return on the costs", value=style.signed(impact.roi.value), interval=style.span(impact.roi.interval))
    if impact.payback is not None:
        yield _payback(impact.payback)
    if impact.break_even is not None:
        yield ImpactLineView(name="Improvement that breaks even", value=magnitude(kind, impact.break_even), interval=DASH)


def _amount(impact: Impact, name: str, figure: Figure) -> ImpactLineView:
    money = _money(impact, figure)
    return ImpactLineView(name=name, value=money.signed(figure.value), interval=money.span(figure.interval))


def _payback(payback: Payback) -> ImpactLineView:
    between = f"{_years(payback.earliest)} to {_years(payback.latest)}"
    return ImpactLineView(name="Paid back after", value=_years(payback.years), interval=between)


def _years(years: float | None) -> str:
    return "not within the horizon" if years is None else f"{years:.2f} years"


def _money(impact: Impact, figure: Figure) -> NumberStyle:
    unit = clean(impact.currency)
    return replace(effect_style("mean", figure.value, figure.interval), unit=f" {unit}" if unit else "")
