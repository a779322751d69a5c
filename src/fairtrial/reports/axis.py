"""Where an estimate stands on an axis on which better always lies to the right.

A metric for which lower is better is mirrored; tick labels then carry no sign,
so that no number on the axis contradicts the signed numbers in the text. Very
wide intervals of lesser metrics are cut at the edge, with an arrow, so that they
do not squeeze the primary metric into a point.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fairtrial.reports.view_models import AxisView, MarkView, TickView

PAD = 0.06
MOST_TICKS = 7
TINIEST = 1e-250
"""Below this, numbers cannot be told from zero on any axis."""
MUST_ROOM, TYPICAL_ROOM = 1.6, 2.5
"""Lesser rows may reach this many times as far as the primary, or as the typical row, before they are cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One estimate to draw, turned so that positive is better.

    Attributes:
        point: The estimate.
        low: Worse end of the interval; may be `-inf`.
        high: Better end; may be `inf`.
        margin: Harm tolerated as a value on this scale (negative), or None.
        margin_text: What the margin is, in words.
        primary: Whether it must be shown whole.
    """

    point: float
    low: float
    high: float
    margin: float | None = None
    margin_text: str = ""
    primary: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """The stretch of numbers that an axis shows; zero lies inside."""

    low: float
    high: float

    def at(self, value: float) -> float:
        """Position of `value`, in [0, 1]; what lies outside stands at the edge."""
        return min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)

    def holds(self, value: float) -> bool:
        """Whether `value` is on the axis."""
        return self.low <= value <= self.high


def oriented(point: float, low: float, high: float, *, lower_is_better: bool) -> tuple[float, float, float]:
    """Turn an estimate and its interval so that positive is better."""
    return (-point, -high, -low) if lower_is_better else (point, low, high)


def domain(spans: Sequence[Span]) -> Domain | None:
    """The domain for `spans`: all of the primary, and of the others what a typical row needs.

    Returns:
        None when there is nothing to draw.
    """
    if not spans:
        return None
    reach = [_reach(span) for span in spans]
    must = max((r for r, span in zip(reach, spans, strict=True) if span.primary), default=0.0)
    limit = max(MUST_ROOM * must, TYPICAL_ROOM * statistics.median(reach))
    if limit < TINIEST:
        return Domain(low=-1.0, high=1.0)
    lows = [max(low, -limit) for low in (_ends(span)[0] for span in spans)]
    highs = [min(high, limit) for high in (_ends(span)[1] for span in spans)]
    margins = [span.margin for span in spans if span.margin is not None and abs(span.margin) <= limit]
    low, high = min(0.0, *lows, *margins), max(0.0, *highs, *margins)
    width = high - low
    low, high = min(low - PAD * width, -0.14 * width), max(high + PAD * width, 0.14 * width)
    return Domain(low=low, high=high)


def axis(scale: Domain, label: Callable[[float, float], str], *, mirrored: bool, title: str) -> AxisView:
    """Ticks at round numbers, zero among them.

    Args:
        scale: The stretch shown.
        label: Writes a tick: (value, step between ticks) to text.
        mirrored: Whether ticks go without sign.
        title: What the axis measures.
    """
    step = _step((scale.high - scale.low) / MOST_TICKS)
    first, last = math.ceil(scale.low / step - 1e-9), math.floor(scale.high / step + 1e-9)
    ticks = tuple(
        TickView(at=scale.at(k * step), label=label(abs(k) * step if mirrored else k * step, step), major=k % 2 == 0)
        for k in range(first, last + 1)
    )
    return AxisView(ticks=ticks, zero=scale.at(0.0), mirrored=mirrored, title=title)


def mark(span: Span, scale: Domain) -> MarkView:
    """Place one estimate on the axis."""
    margin = span.margin if span.margin is not None and scale.holds(span.margin) else None
    return MarkView(
        point=scale.at(span.point),
        low=scale.at(span.low),
        high=scale.at(span.high),
        open_low=span.low < scale.low,
        open_high=span.high > scale.high,
        point_off=not scale.holds(span.point),
        margin=None if margin is None else scale.at(margin),
        margin_text=span.margin_text,
    )


def _ends(span: Span) -> tuple[float, float]:
    """Finite ends: an infinite one is drawn as far from the estimate as the finite one, and half again."""
    low, high = span.low, span.high
    if math.isinf(low) and math.isinf(high):
        return span.point, span.point
    if math.isinf(high):
        high = span.point + 1.5 * (span.point - low)
    elif math.isinf(low):
        low = span.point - 1.5 * (high - span.point)
    return low, high


def _reach(span: Span) -> float:
    low, high = _ends(span)
    return max(abs(low), abs(high), abs(span.margin or 0.0))


def _step(rough: float) -> float:
    """The round step (1, 2 or 5 times a power of ten) nearest above `rough`."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(m * power for m in (1.0, 2.0, 5.0, 10.0) if m * power >= rough * (1 - 1e-9))
