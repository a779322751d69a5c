"""A forest plot in characters: one track per row, better to the right.

The shape of the estimate says what the colour says, so that nothing is lost
without colour: a filled circle is better, a diamond worse, an open circle
inconclusive. Consoles that cannot print these get letters of ASCII.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rich.cells import cell_len

from fairtrial.reports.view_models import AxisView, MarkView, Tone

TO_ASCII = str.maketrans(
    {
        "\N{MINUS SIGN}": "-",
        "\N{INFINITY}": "inf",
        "\N{MULTIPLICATION SIGN}": "x",
        "\N{EM DASH}": "-",
        "\N{RIGHTWARDS ARROW}": "->",
        "\N{MIDDLE DOT}": "-",
        "\N{LEFT DOUBLE QUOTATION MARK}": '"',
        "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
        **{high: f"^{low}" if low == "-" else low for high, low in zip("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789", strict=True)},
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Glyphs:
    """The characters of a track and of a list."""

    line: str
    left: str
    right: str
    open_left: str
    open_right: str
    zero: str
    crossed: str
    margin: str
    points: Mapping[Tone, str]
    checks: Mapping[str, str]


UNICODE = Glyphs(
    line="─",
    left="├",
    right="┤",
    open_left="◂",
    open_right="▸",
    zero="│",
    crossed="┼",
    margin="┊",
    points={"better": "●", "worse": "◆", "inconclusive": "○", "unavailable": "○"},
    checks={"ok": "✓", "warning": "!", "critical": "✗", "skipped": "·", "info": "·"},
)
ASCII = Glyphs(
    line="-",
    left="[",
    right="]",
    open_left="<",
    open_right=">",
    zero="|",
    crossed="+",
    margin=":",
    points={"better": "*", "worse": "#", "inconclusive": "o", "unavailable": "o"},
    checks={"ok": "ok", "warning": "!", "critical": "X", "skipped": "-", "info": "-"},
)


def track(mark: MarkView | None, axis: AxisView, tone: Tone, width: int, glyphs: Glyphs) -> str:
    """One row of the plot, `width` characters wide.

    Args:
        mark: The estimate; None draws the zero line alone.
        axis: The axis the mark stands on.
        tone: What the estimate says; chooses the shape of the point.
        width: Characters to fill, >= 8.
        glyphs: The characters to use.
    """
    cells = [" "] * width
    cells[_cell(axis.zero, width)] = glyphs.zero
    if mark is None:
        return "".join(cells)
    low, high = _cell(mark.low, width), _cell(mark.high, width)
    for i in range(low, high + 1):
        cells[i] = glyphs.line
    cells[low] = glyphs.open_left if mark.open_low else glyphs.left
    cells[high] = glyphs.open_right if mark.open_high else glyphs.right
    if low < _cell(axis.zero, width) < high:
        cells[_cell(axis.zero, width)] = glyphs.crossed
    if mark.margin is not None:
        cells[_cell(mark.margin, width)] = glyphs.margin
    if not mark.point_off:
        cells[_cell(mark.point, width)] = glyphs.points[tone]
    return "".join(cells)


def tick_line(axis: AxisView, width: int) -> str:
    """The labels of the axis under the tracks; zero first, then those that find room."""
    cells = [" "] * width
    for tick in sorted(axis.ticks, key=lambda tick: (abs(tick.at - axis.zero), tick.at)):
        size = cell_len(tick.label)
        start = min(max(_cell(tick.at, width) - size // 2, 0), width - size)
        free = cells[max(start - 1, 0) : start + size + 1]
        if start >= 0 and all(cell == " " for cell in free):
            cells[start : start + size] = tick.label
    return "".join(cells)


def ascii_text(text: str) -> str:
    """Text in ASCII: signs by their plain forms, other letters as escapes, nothing dropped."""
    return text.translate(TO_ASCII).encode("ascii", "backslashreplace").decode("ascii")


def _cell(position: float, width: int) -> int:
    return min(int(position * width), width - 1)
