"""Effects by segment in the terminal: a table per column, metric and treatment, with a forest where there is room."""

from __future__ import annotations

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from fairtrial.reports.pen import TONES, Pen
from fairtrial.reports.text_plot import tick_line, track
from fairtrial.reports.view_models import ScorecardView, SegmentBlockView, SegmentRowView, SegmentsView

INDENT = 4
GAP = 2
MOST_NAME = 16
LEAST_PLOT, MOST_PLOT = 14, 40


def print_segments(pen: Pen, shown: ScorecardView) -> None:
    """Print the effects by segment; nothing where there are none."""
    segments = shown.segments
    if segments is None:
        return
    pen.heading("By segment", segments.hint)
    pen.out(pen.text(segments.basis, "dim"), indent=2)
    for column in segments.columns:
        pen.out(Text(), pen.join((f"By {column.column}", "bold underline"), (f"  {column.note}", "dim")), indent=2)
        for block in column.blocks:
            _block(pen, segments, block)


def _block(pen: Pen, segments: SegmentsView, block: SegmentBlockView) -> None:
    of = f", {block.treatment}" if segments.several else ""
    lower = "  lower is better" if block.lower_is_better else ""
    pen.out(pen.join((f"{block.metric}{of}", "bold"), (f"{lower}  {block.whole}", "dim")), indent=2)
    widths = _widths(segments, block.rows)
    plot = _plot(pen, block, widths)
    grid = _grid(widths, plot)
    if widths:
        ends = "better " + pen.glyphs.open_right
        head = [pen.text(f"{pen.glyphs.open_left} worse".ljust(plot - len(ends)) + ends, "dim")] if plot else []
        grid.add_row(*(pen.text(name, "dim") for name, _ in widths), *head)
    lines: list[Text] = []
    for one in block.rows:
        if one.row.why_unavailable:
            lines.append(pen.join((f"{one.row.treatment}: not available. ", TONES["unavailable"]), (one.row.why_unavailable, "dim")))
            continue
        tone = TONES[one.row.tone]
        cells = [pen.text(text, f"bold {tone}" if place == 2 else "") for place, text in enumerate(_cells(segments, one))]
        if plot and block.axis is not None:
            cells.append(pen.text(track(one.row.mark, block.axis, one.row.tone, plot, pen.glyphs), tone))
        grid.add_row(*cells)
        if one.harm:
            lines.append(pen.join((f"{one.row.treatment}: ", tone), (one.harm, "bold" if one.row.tone == "worse" else "dim")))
    if grid.row_count > 1:
        if plot and block.axis is not None:
            grid.add_row(*(Text() for _ in widths), pen.text(tick_line(block.axis, plot), "dim"))
        pen.out(grid, indent=INDENT)
    for line in lines:
        pen.out(line, indent=INDENT)
    pen.out(pen.text(block.differ, "dim"), indent=INDENT)
    if block.reversed:
        pen.out(pen.text(block.reversed, "bold"), indent=INDENT)


def _cells(segments: SegmentsView, one: SegmentRowView) -> list[str]:
    p = [] if segments.believed else [one.row.p_final]
    return [one.row.treatment, one.share, one.row.change, one.row.interval, *p, f"{one.shrunken} {one.shrunken_interval}"]


def _widths(segments: SegmentsView, rows: tuple[SegmentRowView, ...]) -> list[tuple[str, int]]:
    names = ["", "share", "change", "interval", *([] if segments.believed else ["adj. p"]), "shrunken"]
    read = [_cells(segments, one) for one in rows if not one.row.why_unavailable]
    if not read:
        return []
    widths = [max(cell_len(text) for text in column) for column in zip(names, *read, strict=True)]
    return [(name, min(width, MOST_NAME) if place == 0 else width) for place, (name, width) in enumerate(zip(names, widths, strict=True))]


def _plot(pen: Pen, block: SegmentBlockView, widths: list[tuple[str, int]]) -> int:
    room = pen.width - INDENT - sum(width + GAP for _, width in widths)
    return min(room, MOST_PLOT) if block.axis is not None and room >= LEAST_PLOT else 0


def _grid(widths: list[tuple[str, int]], plot: int) -> Table:
    grid = Table.grid(padding=(0, GAP, 0, 0))
    for number, (_, width) in enumerate(widths):
        grid.add_column(width=width, justify="right" if number else "left", overflow="fold")
    if plot:
        grid.add_column(width=plot, no_wrap=True, overflow="crop")
    return grid
