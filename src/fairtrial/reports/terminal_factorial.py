"""Effects of factors in the terminal: one line an effect, at any width."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from fairtrial.reports.pen import TONES, Pen
from fairtrial.reports.view_models import FactorRowView, ScorecardView


def print_factors(pen: Pen, shown: ScorecardView) -> None:
    """Print main effects, interactions and, where factors interact, their effects at each level of the others."""
    found = shown.factorial
    if found is None:
        return
    pen.heading("Effects of factors", "main effects and interactions; they do not decide")
    pen.out(pen.text(found.sentence, "dim"), indent=2)
    if found.caution:
        pen.out(pen.text(found.caution, "bold magenta"), indent=2)
    for metric in found.metrics:
        name = (metric.metric, "bold")
        pen.out(pen.join(name, (f"  {metric.role}", "dim"), ("  lower is better" if metric.lower_is_better else "", "dim")), indent=2)
        if metric.why_unavailable:
            pen.out(pen.text(f"not available  {metric.why_unavailable}", TONES["unavailable"]), indent=4)
        _rows(pen, metric.rows)
    if found.simple:
        pen.out(Text(), pen.join(("At each level of the factors they interact with", "bold"), (f"  {found.simple_note}", "dim")), indent=2)
        _rows(pen, found.simple)


def _rows(pen: Pen, rows: Sequence[FactorRowView]) -> None:
    if not rows:
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    table.add_column("", overflow="fold")
    for name in ("change", "interval", "at", "p"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for row in rows:
        tone = TONES[row.tone]
        table.add_row(
            pen.text(row.name),
            pen.text(row.change, f"bold {tone}"),
            pen.text(row.interval),
            pen.text(row.level, "dim"),
            pen.text(row.p),
            pen.text(row.reading, tone),
        )
    pen.out(table, indent=4)
