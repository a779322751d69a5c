"""A calibration receipt as a page of Markdown with a plot, and as a table in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from fairtrial.reports.formatting import share
from fairtrial.reports.line_chart import Axes, Line, line_chart
from fairtrial.reports.pen import Pen
from fairtrial.simulation.calibration import CaseResult, StudyResult
from fairtrial.simulation.calibration.study import BOUNDS_ALPHA
from fairtrial.simulation.monte_carlo import Measured

SAYS = {"keeps": "keeps", "conservative": "cautious", "strays": "strays", "broken": "**broken**"}
STYLES = {"keeps": "green", "conservative": "cyan", "strays": "yellow", "broken": "bold red"}


def receipt_page(result: StudyResult) -> str:
    """The page of one method; its plot is the file `METHOD.svg` beside it."""
    lines = [
        f"# {result.title}",
        "",
        f"{result.promise} Here alpha is {share(result.alpha)}.",
        "",
        f"![Error rates measured, against the promise]({result.method}.svg)",
        "",
        *_advice(result),
        "",
        "| | case | what it is | size | coverage | power | verdict |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *(_row(place, row) for place, row in enumerate(result.rows, start=1)),
        "",
        f"In brackets: exact bounds of the measurement at level {share(1 - BOUNDS_ALPHA)}. Verdicts are explained in the",
        "[overview](index.md).",
    ]
    if result.note:
        lines += ["", result.note]
    lines += ["", f"Measured by `fairtrial calibrate {result.method}`, {_runs(result)}."]
    return "\n".join(lines) + "\n"


def receipt_plot(result: StudyResult) -> str:
    """The measured error rates over the grid, with their bounds, as SVG."""
    lines: list[Line] = []
    for name, read in (("size", _size), ("1 - coverage", _missed)):
        found = [(float(i), value) for i, row in enumerate(result.rows) if (value := read(row)) is not None]
        if found:
            bounds = [value.exact_bounds(alpha=BOUNDS_ALPHA) for _, value in found]
            offset = -0.08 if name == "size" else 0.08
            lines.append(
                Line(
                    name=name,
                    x=[x + offset for x, _ in found],
                    y=[value.value for _, value in found],
                    low=[bound.low for bound in bounds],
                    high=[bound.high for bound in bounds],
                )
            )
    top = max(max(high for line in lines for high in line.high) * 1.05, 2.0 * result.alpha)
    axes = Axes(
        title=f"{result.title}: errors measured, promised {share(result.alpha)}",
        x_label="case",
        y_label="error rate",
        x_names=[str(i + 1) for i in range(len(result.rows))],
        y_range=(0.0, min(top, 1.0)),
        reference=result.alpha,
    )
    return line_chart(lines, axes)


def overview_table(results: Sequence[StudyResult]) -> str:
    """A line a method: where it keeps its promise and where it should not be used, as Markdown."""
    lines = ["| method | cases that keep | cautious | stray | broken: do not use |", "| --- | --- | --- | --- | --- |"]
    for result in results:
        broken = "; ".join(row.name for row in result.of("broken")) or "none"
        counts = [str(len(result.of(verdict))) for verdict in ("keeps", "conservative", "strays")]
        lines.append(f"| [{result.title}]({result.method}.md) | {' | '.join(counts)} | {broken} |")
    return "\n".join(lines) + "\n"


def render_receipt(result: StudyResult, console: Console) -> None:
    """Print a receipt.

    Args:
        result: What was measured.
        console: Where to print.
    """
    pen = Pen(console)
    pen.heading(result.title, _runs(result))
    pen.out(pen.text(result.promise, "dim"), indent=2)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    table.add_column("case", overflow="fold")
    for head in ("size", "coverage", "power"):
        table.add_column(head, justify="right")
    table.add_column("")
    for row in result.rows:
        cells = [_percent(value) for value in (row.size, row.coverage, row.power)]
        table.add_row(pen.text(row.name), *cells, pen.text(SAYS[row.verdict].strip("*"), STYLES[row.verdict]))
    pen.out(table, indent=2)
    for sentence in _advice(result):
        pen.out(pen.text(sentence.replace("**", "").removeprefix("- ")), indent=2)


def _advice(result: StudyResult) -> list[str]:
    """Where not to use the method, from the measured numbers alone."""
    broken, strays, cautious = result.of("broken"), result.of("strays"), result.of("conservative")
    if not broken and not strays:
        said = ["**Kept its promise in every case measured.**"]
    elif not broken:
        said = ["**Usable in every case measured**, with errors a little above the promise where it strays."]
    else:
        said = ["**Do not use it** where the measured error is more than half above the promise:", ""]
        said += [f"- {row.words}: {_worst(row)}." for row in broken]
        if strays:
            said.append("")
    if strays:
        said += [f"It strays, by less than half, for {_listed(strays)}."]
    if cautious:
        said += ["", f"It is safe but wasteful for {_listed(cautious)}."]
    return said


def _worst(row: CaseResult) -> str:
    parts: list[str] = []
    if row.size is not None:
        parts.append(f"rejects {share(row.size.value)} of true null hypotheses")
    if row.coverage is not None:
        parts.append(f"covers {share(row.coverage.value)}")
    return ", ".join(parts)


def _listed(rows: Sequence[CaseResult]) -> str:
    return "; ".join(row.words for row in rows)


def _row(place: int, row: CaseResult) -> str:
    cells = [str(place), row.name, row.words, _bounded(row.size), _bounded(row.coverage), _percent(row.power), SAYS[row.verdict]]
    return f"| {' | '.join(cells)} |"


def _bounded(found: Measured | None) -> str:
    if found is None:
        return ""
    bounds = found.exact_bounds(alpha=BOUNDS_ALPHA)
    return f"{_percent(found)} ({100 * bounds.low:.1f} to {100 * bounds.high:.1f})"


def _percent(found: Measured | None) -> str:
    return "" if found is None else f"{100 * found.value:.1f}%"


def _size(row: CaseResult) -> Measured | None:
    return row.size


def _missed(row: CaseResult) -> Measured | None:
    if row.coverage is None:
        return None
    return Measured(value=1.0 - row.coverage.value, std_error=row.coverage.std_error, n=row.coverage.n)


def _runs(result: StudyResult) -> str:
    sizes = sorted({measured.n for row in result.rows for measured in (row.size, row.coverage) if measured is not None})
    return f"{sizes[0]:,} experiments a case" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,} experiments a case"
