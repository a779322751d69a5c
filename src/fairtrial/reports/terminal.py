"""A scorecard in the terminal: readable at 80 columns, without colour and in a pipe."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from fairtrial.evaluation.scorecard import Scorecard
from fairtrial.reports.pen import CHECKS, VERDICTS, Pen
from fairtrial.reports.terminal_factorial import print_factors
from fairtrial.reports.terminal_rows import print_groups
from fairtrial.reports.terminal_segments import print_segments
from fairtrial.reports.view_models import FindingView, HeroView, ScorecardView, VerdictView
from fairtrial.reports.views import UNTRUSTED, view


def render_terminal(scorecard: Scorecard, console: Console) -> None:
    """Print a scorecard.

    Args:
        scorecard: The result to show.
        console: Where to print; its width, colours and encoding are respected.
    """
    shown, pen = view(scorecard), Pen(console)
    _title(pen, shown)
    _verdict(pen, shown)
    if len(shown.verdicts) > 1:
        _verdicts(pen, shown.verdicts)
    _plan_and_data(pen, shown)
    _arms(pen, shown)
    if not shown.trusted:
        pen.out(Text(), pen.text(UNTRUSTED, "bold magenta"))
    print_groups(pen, shown)
    print_factors(pen, shown)
    print_segments(pen, shown)
    _incremental(pen, shown)
    _impact(pen, shown)
    _findings(pen, shown)
    _next_steps(pen, shown.verdict)
    _provenance(pen, shown)


def _title(pen: Pen, shown: ScorecardView) -> None:
    pen.out(pen.join((shown.title, "bold"), (f"  {shown.kind}", "dim")))
    parts = [] if shown.title == shown.key else [shown.key]
    pen.out(pen.text(" · ".join([*parts, shown.summary, *([f"as of {shown.as_of}"] if shown.as_of else [])]), "dim"))
    if shown.hypothesis:
        pen.out(pen.text(shown.hypothesis, "italic"))


def _verdict(pen: Pen, shown: ScorecardView) -> None:
    verdict = shown.verdict
    style = VERDICTS[verdict.tone]
    reasons = Table.grid(padding=(0, 1, 0, 0))
    reasons.add_column(justify="right", style="dim")
    reasons.add_column(ratio=1, overflow="fold")
    for number, reason in enumerate(verdict.reasons, start=1):
        reasons.add_row(f"{number}.", pen.text(reason))
    facts = pen.text(" · ".join(f"{name} {value}" for name, value in verdict.facts), "dim")
    body: list[RenderableType] = [pen.text(verdict.headline, "bold")]
    if shown.hero is not None:
        body.append(pen.text(_number(shown.hero)))
        body += [pen.text(shown.hero.caution, "bold magenta")] if shown.hero.caution else []
    body += [Text(), reasons] if verdict.reasons else []
    label = pen.text(f" {verdict.label} ", f"bold reverse {style}")
    panel = Panel(Group(*body, Text(), facts), title=label, title_align="left", border_style=style, padding=(1, 2))
    pen.out(Text(), panel)


def _number(hero: HeroView) -> str:
    row = hero.row
    if row.why_unavailable:
        return f"{hero.sentence} {row.why_unavailable}"
    lift = f", lift {row.lift_says}" if row.lift_says else ""
    return f"{hero.sentence} {row.level} interval {row.interval}{lift}, {row.p_says}."


def _verdicts(pen: Pen, verdicts: Sequence[VerdictView]) -> None:
    pen.heading("Verdict by treatment")
    pen.items((pen.text(v.treatment), pen.join((v.label, VERDICTS[v.tone]), (f"  {v.headline}", "dim"))) for v in verdicts)


def _plan_and_data(pen: Pen, shown: ScorecardView) -> None:
    facts = dict(shown.provenance)
    intake = dict(shown.intake)
    read = f"{facts['Data source']}, {intake['Rows read']} rows, {intake['Units analysed']} units, read by {facts['Engine']}"
    left = "" if intake.get("Left out") == "nothing" else "; some were left out, see below"
    plan = dict(shown.plan.facts)
    test = f"Test: {plan['Test']}, alpha and power {plan['Alpha and planned power']}"
    pen.heading("Plan and data")
    pen.items(
        (
            (
                pen.text("Plan", "dim"),
                pen.text(shown.plan.sentence + (f" {shown.plan.progress_text}." if shown.plan.progress is not None else "")),
            ),
            (pen.text("Power", "dim"), pen.text(shown.plan.powered)),
            (pen.text("Data", "dim"), pen.text(f"{read}{left}.")),
            (
                pen.text("Error", "dim"),
                pen.text(f"{facts['Error control']}; looks before this one: {facts['Looks before this one']}. {test}."),
            ),
            *((pen.text("Looks", "dim"), pen.text(text)) for text in _looks(plan)),
        )
    )


def _looks(plan: dict[str, str]) -> list[str]:
    """Where a look of a plan with several stands, and by which sequence or futility rule it is read."""
    said: list[str] = []
    if "This look at" in plan:
        said.append(f"At {plan['This look at']}; boundary {plan['Boundary at this look']}. Giving up: {plan['Giving up']}.")
    if "Read at any look by" in plan:
        said.append(f"Read at any look by {plan['Read at any look by']}.")
    return [" ".join(said)] if said else []


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
    pen.out(pen.join((pen.glyphs.checks[shown.srm.state], style), (f" {shown.srm.title}. ", style), (shown.srm.sentence, "dim")), indent=2)


def _incremental(pen: Pen, shown: ScorecardView) -> None:
    if not shown.incremental:
        return
    pen.heading("Incremental outcomes", "effect times units")
    for item in shown.incremental:
        pen.out(pen.join((item.value, "bold"), (f" {item.metric}  ", "bold"), (item.sentence, "")), indent=2)


def _impact(pen: Pen, shown: ScorecardView) -> None:
    """What the effects are worth; every amount stands beside its interval."""
    for one in shown.impact:
        pen.heading("Business impact", f"{one.treatment} on {one.metric}" + (f", {one.level} intervals" if one.level else ""))
        pen.out(pen.text(f"{one.sentence} {one.why_unavailable}".strip()), indent=2)
        if not one.lines:
            continue
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=False, show_edge=False)
        table.add_column("", overflow="fold")
        for _ in range(2):
            table.add_column("", justify="right")
        for line in one.lines:
            table.add_row(pen.text(line.name), pen.text(line.value, "bold"), pen.text(line.interval))
        pen.out(table, indent=2)
        for text in one.assumptions:
            pen.out(pen.text(f"- {text}", "dim"), indent=2)


def _findings(pen: Pen, shown: ScorecardView) -> None:
    pen.heading("Findings")
    if not shown.findings:
        pen.out(pen.text(shown.no_findings, "dim"), indent=2)
    pen.items((_mark(pen, finding), _told(pen, finding)) for finding in shown.findings)


def _mark(pen: Pen, finding: FindingView) -> Text:
    return pen.text(f"{pen.glyphs.checks[finding.severity]} {finding.label}", CHECKS[finding.severity])


def _told(pen: Pen, finding: FindingView) -> Text:
    return pen.join((finding.message, ""), ("\nWhat to do: ", "dim"), (finding.action, "dim"))


def _next_steps(pen: Pen, verdict: VerdictView) -> None:
    if verdict.next_steps:
        pen.heading("Next steps")
        pen.items((Text(f"{number}."), pen.text(step)) for number, step in enumerate(verdict.next_steps, start=1))


def _provenance(pen: Pen, shown: ScorecardView) -> None:
    facts = dict(shown.provenance)
    left = [f"{name}: {value}" for name, value in shown.intake[2:] if name != "Left out"]
    if left or shown.intake_notes:
        pen.heading("On the way in")
        for line in (*left, *shown.intake_notes):
            pen.out(pen.text(line, "dim"), indent=2)
    tie = f"spec {facts['Spec hash'][:12]} · data {facts['Data fingerprint'][:12]} · {facts['Code version']}"
    pen.out(Text(), pen.text(tie, "dim"))
