"""A scorecard in the terminal: readable at 80 columns, without colour and in a pipe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from fairtrial.evaluation.scorecard import Scorecard
from fairtrial.reports.text_plot import ASCII, UNICODE, ascii_text, tick_line, track
from fairtrial.reports.view_models import GroupView, MetricView, RowView, ScorecardView, VerdictView
from fairtrial.reports.views import UNTRUSTED, view

WIDE = 116
MOST_LABEL = 22
WIDEST = 150
TONES = {"better": "green", "worse": "red", "inconclusive": "yellow", "unavailable": "dim"}
VERDICTS = {"good": "green", "caution": "yellow", "wait": "blue", "neutral": "cyan", "bad": "red", "invalid": "magenta"}
CHECKS = {"ok": "green", "warning": "yellow", "critical": "bold red", "skipped": "dim", "info": "cyan"}
STATUSES = {"PASS": "green", "WARNING": "yellow", "ALERT": "bold red", "UNAVAILABLE": "magenta"}


class Pen:
    """Writes to one console: knows its width and whether it can print more than ASCII.

    Attributes:
        width: Columns to use.
        plain: Whether only ASCII can be printed.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.width = min(console.width, WIDEST)
        self.plain = not console.encoding.lower().startswith("utf")
        self.glyphs = ASCII if self.plain else UNICODE

    def text(self, words: str, style: str = "") -> Text:
        """Words as they are: no markup is read from them."""
        return Text(ascii_text(words) if self.plain else words, style=style)

    def join(self, *parts: tuple[str, str]) -> Text:
        """Several (words, style) on one line."""
        line = Text()
        for words, style in parts:
            line.append_text(self.text(words, style))
        return line

    def out(self, *lines: RenderableType, indent: int = 0) -> None:
        """Print lines, wrapped to the width."""
        for line in lines:
            self.console.print(Padding(line, (0, 0, 0, indent)) if indent else line, width=self.width, highlight=False)

    def heading(self, title: str, hint: str = "") -> None:
        """A blank line and a heading."""
        self.out(Text(), self.join((title, "bold"), (f"  {hint}" if hint else "", "dim")))

    def items(self, items: Iterable[tuple[RenderableType, RenderableType]], *, indent: int = 2) -> None:
        """A list: a mark (or a name) and a text that wraps beside it."""
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(no_wrap=True)
        grid.add_column(ratio=1, overflow="fold")
        for first, second in items:
            grid.add_row(first, second)
        self.out(grid, indent=indent)


def render_terminal(scorecard: Scorecard, console: Console) -> None:
    """Print a scorecard.

    Args:
        scorecard: The result to show.
        console: Where to print; its width, colours and encoding are respected.
    """
    shown, pen = view(scorecard), Pen(console)
    _title(pen, shown)
    _verdict(pen, shown.verdict)
    if len(shown.verdicts) > 1:
        _verdicts(pen, shown.verdicts)
    _plan_and_data(pen, shown)
    _arms(pen, shown)
    if not shown.trusted:
        pen.out(Text(), pen.text(UNTRUSTED, "bold magenta"))
    for group in shown.groups:
        _group(pen, group, shown)
    _axis(pen, shown)
    _incremental(pen, shown)
    _findings(pen, shown)
    _next_steps(pen, shown.verdict)
    _provenance(pen, shown)


def _title(pen: Pen, shown: ScorecardView) -> None:
    pen.out(pen.join((shown.title, "bold"), (f"  {shown.kind}", "dim")))
    parts = [] if shown.title == shown.key else [shown.key]
    pen.out(pen.text(" · ".join([*parts, shown.summary, *([f"as of {shown.as_of}"] if shown.as_of else [])]), "dim"))
    if shown.hypothesis:
        pen.out(pen.text(shown.hypothesis, "italic"))


def _verdict(pen: Pen, verdict: VerdictView) -> None:
    style = VERDICTS[verdict.tone]
    reasons = Table.grid(padding=(0, 1, 0, 0))
    reasons.add_column(justify="right", style="dim")
    reasons.add_column(ratio=1, overflow="fold")
    for number, reason in enumerate(verdict.reasons, start=1):
        reasons.add_row(f"{number}.", pen.text(reason))
    facts = pen.text(" · ".join(f"{name} {value}" for name, value in verdict.facts), "dim")
    body: list[RenderableType] = [pen.text(verdict.headline, "bold")]
    body += [Text(), reasons] if verdict.reasons else []
    label = pen.text(f" {verdict.label} ", f"bold reverse {style}")
    panel = Panel(Group(*body, Text(), facts), title=label, title_align="left", border_style=style, padding=(1, 2))
    pen.out(Text(), panel)


def _verdicts(pen: Pen, verdicts: Sequence[VerdictView]) -> None:
    pen.heading("Verdict by treatment")
    pen.items((pen.text(v.treatment), pen.join((v.label, VERDICTS[v.tone]), (f"  {v.headline}", "dim"))) for v in verdicts)


def _plan_and_data(pen: Pen, shown: ScorecardView) -> None:
    facts = dict(shown.provenance)
    intake = dict(shown.intake)
    read = f"{facts['Data source']}, {intake['Rows read']} rows, {intake['Units analysed']} units, read by {facts['Engine']}"
    left = "" if intake.get("Left out") == "nothing" else "; some were left out, see below"
    pen.heading("Plan and data")
    pen.items(
        (
            (pen.text("Plan", "dim"), pen.text(f"{shown.plan.sentence} {shown.plan.progress_text}.")),
            (pen.text("Power", "dim"), pen.text(shown.plan.powered)),
            (pen.text("Data", "dim"), pen.text(f"{read}{left}.")),
            (pen.text("Error", "dim"), pen.text(f"{facts['Error control']}; looks before this one: {facts['Looks before this one']}.")),
        )
    )


def _arms(pen: Pen, shown: ScorecardView) -> None:
    pen.heading("Arms")
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    table.add_column("arm", overflow="fold", min_width=8)
    table.add_column("")
    for name in ("units", "planned share", "observed share"):
        table.add_column(name, justify="right")
    for arm in shown.arms:
        table.add_row(
            pen.text(arm.name, "bold" if arm.role == "control" else ""),
            pen.text(arm.role, "dim"),
            arm.n,
            pen.text(arm.planned_share),
            arm.observed_share,
        )
    pen.out(table, indent=2)
    style = CHECKS[shown.srm.state]
    pen.out(
        pen.join((pen.glyphs.checks[shown.srm.state], style), (f" {shown.srm.title}. ", style), (shown.srm.sentence, "dim")), indent=2
    )


def _group(pen: Pen, group: GroupView, shown: ScorecardView) -> None:
    pen.heading(group.title, group.hint)
    for metric in group.metrics:
        tag = "  lower is better" if metric.lower_is_better else ""
        pen.out(pen.join((metric.metric, "bold"), (tag, "dim")), indent=2)
        for row in metric.rows:
            _row(pen, row, shown)
            _remarks(pen, row)


def _row(pen: Pen, row: RowView, shown: ScorecardView) -> None:
    tone = TONES[row.tone]
    if row.why_unavailable:
        pen.items(((pen.text(row.treatment), pen.join(("not available  ", tone), (row.why_unavailable, ""))),), indent=4)
        return
    wide = pen.width >= WIDE
    grid = Table.grid(padding=(0, 2, 0, 0))
    widths = _widths(shown)
    level = "" if shown.one_level else f" {row.level}"
    cells: list[tuple[Text, int, bool]] = [
        (pen.text(row.treatment), widths[0], False),
        (pen.text(row.change, f"bold {tone}"), widths[1], True),
        (pen.text(row.interval + level), widths[2], True),
    ]
    if wide:
        cells.append((pen.text(f"{row.lift} {row.lift_interval}" if row.lift_interval != row.lift else row.lift, "dim"), widths[3], True))
    cells.append((pen.text(row.p_final), widths[4], True))
    for _, width, right in cells:
        grid.add_column(width=width, justify="right" if right else "left", overflow="fold")
    room = pen.width - 4 - sum(width + 2 for _, width, _ in cells)
    plotted = shown.axis is not None and room >= 12
    if plotted:
        grid.add_column(width=room, no_wrap=True)
    drawn = [pen.text(track(row.mark, shown.axis, row.tone, room, pen.glyphs), tone)] if plotted and shown.axis is not None else []
    grid.add_row(*(cell for cell, _, _ in cells), *drawn)
    pen.out(grid, indent=4)
    lift = "" if wide or row.lift == row.lift_interval else f", lift {row.lift} {row.lift_interval}"
    values = f"{row.control_value} → {row.treatment_value}{lift}"
    pen.out(pen.join((row.reading, tone), (f": {values}", "dim")), indent=4 + widths[0] + 2)


def _remarks(pen: Pen, row: RowView) -> None:
    indent = 6 + _label_width(row.treatment)
    if row.guardrail is not None:
        facts = [fact for fact in (row.guardrail.margin, row.guardrail.non_inferior) if fact]
        extra = f" ({'; '.join(facts)})" if facts else ""
        pen.out(
            pen.join((row.guardrail.status, STATUSES[row.guardrail.status]), (f" {row.guardrail.reason}", ""), (extra, "dim")), indent=indent
        )
    if row.mark is None and not row.why_unavailable:
        pen.out(pen.text(f"not drawn: {row.mark_missing}", "dim"), indent=indent)
    for note in row.notes:
        pen.out(pen.text(note, "dim"), indent=indent)
