"""A scorecard as Markdown, for pull requests and wikis: the same words and numbers as the page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from fairtrial.evaluation.scorecard import Scorecard
from fairtrial.reports.view_models import RowView, ScorecardView
from fairtrial.reports.views import UNTRUSTED, view


def render_markdown(card: Scorecard) -> str:
    """The report as Markdown.

    Args:
        card: The result to show.

    Returns:
        Headings, tables and lists; names are escaped.
    """
    shown = view(card)
    parts = [f"# {_safe(shown.title)}", *_verdict(shown)]
    if not shown.trusted:
        parts.append(f"**{UNTRUSTED}**")
    if shown.hero is not None:
        parts.append(_safe(shown.hero.sentence) + (f" **{_safe(shown.hero.caution)}**" if shown.hero.caution else ""))
    for group in shown.groups:
        rows = [row for metric in group.metrics for row in metric.rows]
        parts += [f"## {group.title}", _metrics(rows)]
    parts += [
        "## Arms",
        _table(("arm", "units", "planned share", "share"), ((a.name, a.n, a.planned_share, a.observed_share) for a in shown.arms)),
    ]
    parts += [
        f"{shown.srm.title}. {_safe(shown.srm.sentence)}",
        "## Plan",
        f"{_safe(shown.plan.sentence)} {_safe(shown.plan.powered)}".strip(),
    ]
    parts += [f"**{_safe(item.metric)}.** {_safe(item.sentence)}" for item in shown.incremental]
    parts += ["## Findings", _findings(shown)]
    parts += ["## Where it comes from", _table(("what", "value"), shown.provenance)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _verdict(shown: ScorecardView) -> list[str]:
    verdict = shown.verdict
    facts = ", ".join(f"{name} {value}" for name, value in verdict.facts)
    return [
        f"**{verdict.label}.** {_safe(verdict.headline)} ({facts})",
        _list(verdict.reasons, "1."),
        "Next: " + " ".join(_safe(step) for step in verdict.next_steps) if verdict.next_steps else "",
    ]


def _metrics(rows: Iterable[RowView]) -> str:
    head = ("metric", "treatment", "change", "interval", "lift", "p", "reading")
    return _table(
        head,
        (
            (row.metric, row.treatment, "not available", row.why_unavailable, "", "", row.reading)
            if row.why_unavailable
            else (
                row.metric,
                row.treatment,
                row.change,
                f"{row.interval} ({row.level})",
                row.lift_says,
                row.p_final,
                f"{row.reading}{f', {row.guardrail.status}' if row.guardrail else ''}",
            )
            for row in rows
        ),
    )


def _findings(shown: ScorecardView) -> str:
    if not shown.findings:
        return shown.no_findings
    return _list([f"{one.label}: {one.message} {one.action}" for one in shown.findings], "-")


def _list(texts: Sequence[str], mark: str) -> str:
    return "\n".join(f"{mark} {_safe(text)}" for text in texts)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    lines += [f"| {' | '.join(_safe(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines)


def _safe(text: str) -> str:
    """Text that Markdown shows as it stands: no markup, no cell or line ends; backticks mean code as everywhere."""
    return (
        re.sub(r"([\\*_|<>\[\]#])", r"\\\1", text.replace("\n", " ")) if "`" not in text else text.replace("|", "\\|").replace("<", "\\<")
    )
