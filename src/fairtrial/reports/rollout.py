"""A rollout's report on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fairtrial.analysis.rollout_run import RolloutRun
from fairtrial.reports.pen import STATUSES, VERDICTS, Pen
from fairtrial.reports.rollout_view import DAY_HEAD, GUARDRAIL_HEAD, LEVEL_HEAD, METRIC_HEAD, RolloutView, view_rollout

WORDS_LEFT = 1
"""Columns from the left that hold names; the others are set to the right."""


def render_rollout(run: RolloutRun, console: Console) -> None:
    """Print the report of a run.

    Args:
        run: The run.
        console: Where to print.
    """
    shown = view_rollout(run)
    pen = Pen(console)
    pen.out(pen.join((shown.title, "bold"), ("  " + shown.setting, "dim")))
    pen.out(Text(), pen.join((f" {shown.decision} ", f"reverse {VERDICTS[shown.tone]}"), (f"  {shown.headline}", "bold")))
    pen.items([(pen.text("-", "dim"), pen.text(reason)) for reason in shown.reasons])
    pen.out(Text())
    pen.items([(pen.text(name, "dim"), pen.text(text)) for name, text in shown.facts])
    pen.heading("Day by day")
    _table(pen, DAY_HEAD, shown.days, tones=VERDICTS_OF_STEPS, words=("guardrails", "decision"))
    pen.heading("Metrics", "all days up to the stop")
    _table(pen, METRIC_HEAD, shown.metrics)
    if shown.guardrails:
        pen.heading("Guardrails", "positive harm is worse")
        _table(pen, GUARDRAIL_HEAD, shown.guardrails, tones=STATUSES, words=("status",))
    _levels(pen, shown)
    pen.heading("Truth", "what the simulation planted")
    pen.items([(pen.text(name, "dim"), pen.text(lift)) for name, lift in shown.truth])


VERDICTS_OF_STEPS = {"ROLLOUT": "green", "ROLLBACK": "bold red", "HOLD": "yellow", "RAMP_UP": "blue", "CONTINUE": ""}


def _levels(pen: Pen, shown: RolloutView) -> None:
    pen.heading("Engagement before the rollout", "who is helped, who is hurt")
    if shown.levels:
        _table(pen, LEVEL_HEAD, shown.levels, tones={"HIDDEN REGRESSION": "bold red", "suspected": "yellow"}, words=(LEVEL_HEAD[-1],))
    pen.items([(pen.text("-", "dim"), pen.text(note)) for note in shown.level_notes])


def _table(
    pen: Pen, head: Sequence[str], rows: Sequence[Sequence[str]], *, tones: dict[str, str] | None = None, words: Sequence[str] = ()
) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    for i, name in enumerate(head):
        table.add_column(name, justify="left" if i < WORDS_LEFT or name in words else "right", overflow="fold")
    for row in rows:
        table.add_row(*(pen.text(cell, (tones or {}).get(cell, "")) for cell in row))
    pen.out(table, indent=2)
