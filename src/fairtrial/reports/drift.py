"""Drift of columns: as plain values, and in the terminal with a line a column."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from fairtrial.analysis.drift import DriftReport
from fairtrial.diagnostics.drift import ColumnDrift
from fairtrial.reports.formatting import DASH, clean, count, p_value, share
from fairtrial.reports.pen import Pen


def drift_dict(report: DriftReport) -> dict[str, Any]:
    """A report as plain values."""
    return {
        "drifted": report.drifted,
        "reference": report.reference,
        "limits": asdict(report.limits),
        "columns": [asdict(one) for one in report.columns],
        "skipped": report.skipped,
        "findings": [asdict(finding) | {"numbers": dict(finding.numbers)} for finding in report.findings],
    }


def render_drift(report: DriftReport, console: Console) -> None:
    """Print the columns, those that drifted first, and what to do.

    Args:
        report: What was found.
        console: Where to print.
    """
    pen = Pen(console)
    moved = sum(one.drifted is True for one in report.columns)
    groups = list(dict.fromkeys(one.group for one in report.columns))
    pen.heading("Drift", f"{moved} of {len(report.columns)} columns moved")
    for group in groups:
        one = next(one for one in report.columns if one.group == group)
        told = f"{clean(group)}: {count(one.n_current)} rows, against {count(one.n_reference)} of {clean(report.reference)}."
        pen.out(pen.text(told, "dim"), indent=2)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    table.add_column("column", overflow="fold", min_width=12)
    if len(groups) > 1:
        table.add_column("sample", overflow="fold", min_width=8)
    for head in ("missing", "PSI", "KS", "p (Holm)"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for one in sorted(report.columns, key=lambda column: (column.drifted is not True, column.unavailable is not None)):
        name = (clean(one.column), clean(one.group)) if len(groups) > 1 else (clean(one.column),)
        table.add_row(*name, *_figures(one), style="yellow" if one.drifted else "")
    pen.out(table, indent=2)
    for finding in report.findings:
        pen.out(pen.text(f"{clean(finding.message)} {finding.action}", "yellow" if finding.severity == "warning" else "dim"), indent=2)
    for name, why in report.skipped.items():
        pen.out(pen.text(f"{clean(name)} was not compared: {why}.", "dim"), indent=2)


def _figures(one: ColumnDrift) -> tuple[str, ...]:
    state = "not compared" if one.drifted is None else "moved" if one.drifted else "steady"
    return (
        " / ".join(DASH if part is None else share(part) for part in (one.missing_reference, one.missing_current)),
        DASH if one.psi is None else f"{one.psi:.3f}",
        DASH if one.ks_distance is None else f"{one.ks_distance:.3f}",
        DASH if one.ks_p_adjusted is None else p_value(one.ks_p_adjusted),
        state,
    )
