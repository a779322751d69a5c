"""Spillover between units: as plain values, and in the terminal with the outcome by dose."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from fairtrial.diagnostics.spillover import FEWEST, Spillover
from fairtrial.reports.formatting import DASH, clean, count, p_statement, precise
from fairtrial.reports.pen import Pen

WHY = {
    "too_few_connected_controls": f"fewer than {FEWEST} of the controls looked at have a neighbour in the experiment",
    "no_variance": "outcomes or doses do not vary",
    "one_arm_only": "the other units are all in one arm, so there is nothing to assign anew",
}


def spillover_dict(found: Spillover) -> dict[str, Any]:
    """A `spillover_result` as plain values."""
    return asdict(found) | {"doses": [asdict(band) for band in found.doses]}


def render_spillover(found: Spillover, experiment: str, console: Console) -> None:
    """Print the test and the outcome of controls by the share of their neighbours that is treated.

    Args:
        found: What was found.
        experiment: Key of the experiment.
        console: Where to print.
    """
    pen = Pen(console)
    pen.heading("Spillover", clean(experiment))
    pen.out(pen.text(f"{count(found.connected_controls)} control units have neighbours in the experiment.", "dim"), indent=2)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    table.add_column("neighbours treated")
    for head in ("controls", "outcome"):
        table.add_column(head, justify="right", no_wrap=True)
    for band in found.doses:
        name = "none" if band.high == 0.0 else f"{100 * band.low:.0f}% to {100 * band.high:.0f}%"
        table.add_row(name, count(band.n), DASH if band.mean is None else precise(band.mean, 4))
    pen.out(table, indent=2)
    if found.p_value is None or found.slope is None:
        pen.out(pen.text(f"Not tested: {WHY[str(found.unavailable_reason)]}.", "yellow"), indent=2)
        return
    ends = [DASH if end is None else precise(end, 4) for end in (found.ci_low, found.ci_high)]
    says = (
        "Controls feel their neighbours' treatment"
        if found.has_spillover
        else "Nothing shows that controls feel their neighbours' treatment"
    )
    told = f"{says}: {precise(found.slope, 4)} ({ends[0]} to {ends[1]}) from no treated neighbour to all; {p_statement(found.p_value)}."
    pen.out(pen.text(told, "bold red" if found.has_spillover else ""), indent=2)
    basis = f"Randomisation test on {count(found.focal_controls)} focal controls, {count(found.draws)} assignments of the others."
    pen.out(pen.text(basis, "dim"), indent=2)
