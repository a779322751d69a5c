"""An A/A test shown: a line a metric, and what a flag means."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fairtrial.reports.formatting import clean, count, p_value, share
from fairtrial.reports.pen import Pen
from fairtrial.simulation.aa import AaResult, AaRow

SAYS = {
    "ok": ("fine", "green"),
    "too_many": ("rejects too often", "bold red"),
    "too_few": ("rejects too rarely", "yellow"),
    "not_uniform": ("not uniform", "yellow"),
}
WHAT_TO_DO = {
    "too_many": "Do not trust this test on such data: cap it (winsorize), analyse by the unit that is assigned, or change the metric.",
    "too_few": "Safe, but it wastes power. One unit that dwarfs all others does this (cap it: winsorize), and so do few events.",
    "not_uniform": "Few distinct values make p-values discrete; the error rate at alpha is what counts, and it holds.",
}
BARS = "▁▂▃▄▅▆▇█"
PLAIN_BARS = ".:-=+*#@"


def render_aa(result: AaResult, console: Console) -> None:
    """Print an A/A test.

    Args:
        result: What was found.
        console: Where to print.
    """
    pen = Pen(console)
    pen.heading("A/A test", clean(result.experiment))
    where = f"{count(result.units)} units of {clean(result.source)} ({clean(result.population)})"
    pen.out(pen.text(f"{where}, assigned anew {count(result.runs)} times", "dim"), indent=2)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    table.add_column("metric", overflow="fold")
    several = len({row.treatment for row in result.rows}) > 1
    if several:
        table.add_column("treatment", overflow="fold")
    for head in (f"p < {share(result.alpha)}, bounds", "uniform?"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("p 0 to 1", no_wrap=True)
    table.add_column("", no_wrap=True)
    for row in result.rows:
        says, style = SAYS[row.flag]
        table.add_row(
            pen.text(clean(row.metric), "bold"),
            *([pen.text(clean(row.treatment))] if several else []),
            f"{100 * row.rejected.value:.1f}% ({100 * row.bounds.low:.1f} to {100 * row.bounds.high:.1f})",
            p_value(row.ks_p_value),
            pen.text(_histogram(row, plain=pen.plain)),
            pen.text(says, style),
        )
    pen.out(table, indent=2)
    for why in result.skipped.values():
        pen.out(pen.text(clean(f"Not tested. {why}"), "dim"), indent=2)
    for flag in dict.fromkeys(row.flag for row in result.rows if row.flag != "ok"):
        pen.out(Text(), pen.text(f"{SAYS[flag][0]}: {WHAT_TO_DO[flag]}"), indent=2)


def _histogram(row: AaRow, *, plain: bool) -> str:
    """Ten bars; a uniform distribution fills each of them half."""
    bars = PLAIN_BARS if plain else BARS
    return "".join(bars[min(int(part / 0.2 * (len(bars) - 1) + 0.5), len(bars) - 1)] for part in row.histogram)
