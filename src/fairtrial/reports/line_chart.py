"""A line chart as a small SVG text: no script, no font of its own, readable on light and dark paper."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape

from fairtrial.errors import UsageError

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 58, 150, 26, 46
INKS = ("#27568f", "#b03319", "#0a6b5c", "#855600", "#8b2a68", "#4d5866", "#2f7d9c", "#6a7d1f")
"""Colours of the lines, told apart in light and dark; dashes tell them apart without colour."""
DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 2", "1 2", "12 4", "6 2 1 2")
GREY = "#7d848d"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a chart.

    Attributes:
        name: What it is, for the legend.
        x: Places, increasing.
        y: Values; NaN leaves a gap.
        low: Lower ends of the uncertainty, drawn as bars; empty for none.
        high: Upper ends.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Axes:
    """What the axes show.

    Attributes:
        title: Of the whole, also for those who hear it read.
        x_label: What stands across.
        y_label: What stands up.
        x_names: Names of the places 0, 1, 2, ... instead of numbers; empty for numbers.
        y_range: Ends of the upright axis; None takes what the lines need.
        percent: Whether the upright axis is a share, shown as percent.
        x_percent: The same of the axis across.
        reference: A value to draw a line across at (a nominal rate); None for none.
    """

    title: str
    x_label: str
    y_label: str
    x_names: Sequence[str] = ()
    y_range: tuple[float, float] | None = None
    percent: bool = True
    x_percent: bool = False
    reference: float | None = None
    notes: Sequence[str] = field(default=())


def line_chart(lines: Sequence[Line], axes: Axes) -> str:
    """Draw lines over common axes.

    Args:
        lines: At most eight, each with a point at least.
        axes: Their axes.

    Returns:
        An SVG element with a title, self-contained, a few kilobytes.

    Raises:
        UsageError: There is nothing to draw, or more than eight lines.
    """
    points = [(x, y) for line in lines for x, y in zip(line.x, line.y, strict=True) if math.isfinite(y)]
    if not points or len(lines) > len(INKS):
        raise UsageError(f"A chart takes 1 to {len(INKS)} lines with points, got {len(lines)} lines and {len(points)} points.")
    ends = [v for line in lines for v in (*line.y, *line.low, *line.high) if math.isfinite(v)]
    ends += [axes.reference] if axes.reference is not None else []
    low, high = axes.y_range or _padded(min(ends), max(ends), floor=0.0 if min(ends) >= 0 else None)
    x_low, x_high = min(x for x, _ in points), max(x for x, _ in points)
    if x_low == x_high:
        x_low, x_high = x_low - 0.5, x_high + 0.5
    across = _scale(x_low, x_high, LEFT + 8, WIDTH - RIGHT - 8)
    up = _scale(low, high, HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" font-family="sans-serif" font-size="11">',
        f"<title>{escape(axes.title)}</title>",
        f'<text x="{LEFT}" y="14" font-weight="bold" fill="{GREY}">{escape(axes.title)}</text>',
        *_upright(axes, low, high, up),
        *_across(axes, x_low, x_high, across),
    ]
    if axes.reference is not None:
        y = up(axes.reference)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{GREY}" stroke-dasharray="3 3"/>')
    for i, line in enumerate(lines):
        parts += _drawn(line, i, across, up)
    return "".join(parts) + "</svg>\n"


def _drawn(line: Line, place: int, across: Callable[[float], float], up: Callable[[float], float]) -> list[str]:
    ink, dash = INKS[place], DASHES[place]
    parts: list[str] = []
    for x, low, high in zip(line.x, line.low, line.high, strict=False):
        if math.isfinite(low) and math.isfinite(high):
            parts.append(f'<line x1="{across(x):.1f}" x2="{across(x):.1f}" y1="{up(low):.1f}" y2="{up(high):.1f}" stroke="{ink}"/>')
    run: list[str] = []
    for x, y in [*zip(line.x, line.y, strict=True), (0.0, math.nan)]:
        if math.isfinite(y):
            run.append(f"{across(x):.1f},{up(y):.1f}")
        elif run:
            dashed = f' stroke-dasharray="{dash}"' if dash else ""
            parts.append(f'<polyline points="{" ".join(run)}" fill="none" stroke="{ink}" stroke-width="1.8"{dashed}/>')
            parts += [f'<circle cx="{spot.partition(",")[0]}" cy="{spot.partition(",")[2]}" r="2.6" fill="{ink}"/>' for spot in run]
            run = []
    y = TOP + 6 + 16 * place
    x = WIDTH - RIGHT + 12
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    parts.append(f'<line x1="{x}" x2="{x + 18}" y1="{y}" y2="{y}" stroke="{ink}" stroke-width="2"{dashed}/>')
    parts.append(f'<text x="{x + 23}" y="{y + 4}" fill="{ink}">{escape(line.name)}</text>')
    return parts


def _upright(axes: Axes, low: float, high: float, up: Callable[[float], float]) -> list[str]:
    middle = (TOP + HEIGHT - BOTTOM) / 2
    turned = f'transform="rotate(-90 14 {middle})"'
    parts = [f'<text x="14" y="{middle}" fill="{GREY}" text-anchor="middle" {turned}>{escape(axes.y_label)}</text>']
    for value in ticks(low, high):
        y = up(value)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{GREY}" stroke-opacity="0.25"/>')
        parts.append(f'<text x="{LEFT - 5}" y="{y + 4:.1f}" fill="{GREY}" text-anchor="end">{_label(value, percent=axes.percent)}</text>')
    return parts


def _across(axes: Axes, low: float, high: float, across: Callable[[float], float]) -> list[str]:
    base = HEIGHT - BOTTOM
    parts = [f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" fill="{GREY}" text-anchor="middle">{escape(axes.x_label)}</text>']
    named = [(float(i), name) for i, name in enumerate(axes.x_names)]
    marks = named or [(value, _label(value, percent=axes.x_percent)) for value in ticks(low, high)]
    for value, name in marks:
        x = across(value)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{base}" y2="{base + 4}" stroke="{GREY}"/>')
        parts.append(f'<text x="{x:.1f}" y="{base + 16}" fill="{GREY}" text-anchor="middle">{escape(name)}</text>')
    return parts


def ticks(low: float, high: float, *, most: int = 6) -> list[float]:
    """Round numbers from `low` to `high`, at most about `most` of them.

    Raises:
        UsageError: The ends are not finite, or `high` is not above `low`.
    """
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UsageError(f"An axis must have finite ends, the high one above the low one, got {low} and {high}.")
    rough = (high - low) / most
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * times for times in (1.0, 2.0, 5.0, 10.0) if unit * times >= rough)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _label(value: float, *, percent: bool) -> str:
    return f"{100 * value:.4g}%" if percent else f"{value:.4g}"


def _padded(low: float, high: float, *, floor: float | None) -> tuple[float, float]:
    room = 0.06 * (high - low) or 0.06 * (abs(high) or 1.0)
    return (low - room if floor is None else max(low - room, floor)), high + room


def _scale(low: float, high: float, first: float, last: float) -> Callable[[float], float]:
    return lambda value: first + (min(max(value, low), high) - low) / (high - low) * (last - first)
