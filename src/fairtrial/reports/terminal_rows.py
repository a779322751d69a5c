"""The metrics in the terminal: a line of numbers with a forest plot beside it, a line of words below."""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from fairtrial.reports.pen import STATUSES, TONES, Pen
from fairtrial.reports.text_plot import tick_line, track
from fairtrial.reports.view_models import AxisView, RowView, ScorecardView

INDENT = 4
GAP = 2
WIDE = 112
MOST_LABEL = 24
NARROW_LABEL = 14
LEAST_PLOT = 14
MOST_PLOT = 46


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Widths of the columns, the same for every row so that tracks stand under each other.

    Attributes:
        columns: (header, width) of the text columns; the first is the treatment's name.
        plot: Width of the plot; 0 when there is no room or nothing to draw.
        wide: Whether the lift has a column of its own.
    """

    columns: tuple[tuple[str, int], ...]
    plot: int
    wide: bool


def print_groups(pen: Pen, shown: ScorecardView) -> None:
    """Print every metric of every role, and the axis below the last."""
    layout = _layout(pen, shown)
    for number, group in enumerate(shown.groups):
        pen.heading(group.title, group.hint)
        if number == 0:
            _header(pen, layout)
        for metric in group.metrics:
            pen.out(pen.join((metric.metric, "bold"), ("  lower is better" if metric.lower_is_better else "", "dim")), indent=2)
            for row in metric.rows:
                _row(pen, row, layout, shown)
    if shown.axis is not None and layout.plot:
        _footer(pen, layout, shown.axis)


def _layout(pen: Pen, shown: ScorecardView) -> Layout:
    rows = [row for group in shown.groups for metric in group.metrics for row in metric.rows]
    wide = pen.width >= WIDE
    label = min(max(cell_len(row.treatment) for row in rows), MOST_LABEL if wide else NARROW_LABEL) if rows else 0
    interval = f"{shown.one_level} interval" if shown.one_level else "interval"
    columns = [("", label), _column("change", [row.change for row in rows]), _column(interval, [row.interval for row in rows])]
    if wide:
        columns.append(_column("lift", [row.lift_says for row in rows]))
    evidence = "chance" if shown.believed else "p" if not shown.adjusted else "adjusted p" if wide else "adj. p"
    columns.append(_column(evidence, [row.p_final for row in rows]))
    room = pen.width - INDENT - sum(width + GAP for _, width in columns)
    plot = min(room, MOST_PLOT) if shown.axis is not None and room >= LEAST_PLOT else 0
    return Layout(columns=tuple(columns), plot=plot, wide=wide)


def _column(header: str, cells: list[str]) -> tuple[str, int]:
    return header, max(cell_len(text) for text in (header, *cells))


def _grid(layout: Layout) -> Table:
    grid = Table.grid(padding=(0, GAP, 0, 0))
    for number, (_, width) in enumerate(layout.columns):
        grid.add_column(width=width, justify="right" if number else "left", overflow="fold")
    if layout.plot:
        grid.add_column(width=layout.plot, no_wrap=True, overflow="crop")
    return grid


def _header(pen: Pen, layout: Layout) -> None:
    grid = _grid(layout)
    ends = "better " + pen.glyphs.open_right
    plot = f"{pen.glyphs.open_left} worse".ljust(layout.plot - len(ends)) + ends
    grid.add_row(*(pen.text(header, "dim") for header, _ in layout.columns), *([pen.text(plot, "dim")] if layout.plot else []))
    pen.out(grid, indent=INDENT)


def _footer(pen: Pen, layout: Layout, axis: AxisView) -> None:
    grid = _grid(layout)
    ticks = pen.text(tick_line(axis, layout.plot), "dim")
    grid.add_row(*(Text() for _ in layout.columns), ticks)
    pen.out(grid, indent=INDENT)
    pen.out(pen.text(axis.title, "dim"), indent=INDENT)


def _row(pen: Pen, row: RowView, layout: Layout, shown: ScorecardView) -> None:
    tone = TONES[row.tone]
    if row.why_unavailable:
        pen.items(((pen.text(row.treatment), pen.join(("not available  ", tone), (row.why_unavailable, ""))),), indent=INDENT)
    else:
        numbers = [pen.text(row.treatment), pen.text(row.change, f"bold {tone}"), pen.text(row.interval)]
        numbers += [pen.text(row.lift_says)] if layout.wide else []
        numbers.append(pen.text(row.p_final))
        if layout.plot and shown.axis is not None:
            drawn = pen.text(track(row.mark, shown.axis, row.tone, layout.plot, pen.glyphs), tone)
            drawn.highlight_regex(f"[{pen.glyphs.zero}{pen.glyphs.margin}]", "dim white")
            numbers.append(drawn)
        grid = _grid(layout)
        grid.add_row(*numbers)
        pen.out(grid, indent=INDENT)
    for line in _words(pen, row, layout, shown):
        pen.out(line, indent=INDENT + 2)


def _words(pen: Pen, row: RowView, layout: Layout, shown: ScorecardView) -> list[Text]:
    """What stands below the numbers: the reading, the arms' values, a guardrail's status, notes."""
    lines: list[Text] = []
    if not row.why_unavailable:
        facts = [f"{shown.control} {row.control_value}, {row.treatment} {row.treatment_value}"]
        facts += [f"lift {row.lift_says}"] if not layout.wide and row.lift_says else []
        facts += [f"at {row.level}"] if not shown.one_level else []
        lines.append(pen.join((row.reading, TONES[row.tone]), (": " + "; ".join(facts), "dim")))
    if row.guardrail is not None:
        told = [fact for fact in (row.guardrail.margin, row.guardrail.non_inferior) if fact]
        status = (row.guardrail.status, STATUSES[row.guardrail.status])
        lines.append(pen.join(status, (f" {row.guardrail.reason}", ""), (f" {'; '.join(told).capitalize()}." if told else "", "dim")))
    if row.mark is None and not row.why_unavailable:
        lines.append(pen.text(f"not drawn: {row.mark_missing}", "dim"))
    return lines + [pen.text(note, "dim") for note in row.notes]
