"""A rollout's report as one HTML page and as Markdown (AD-12)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from fairtrial.analysis.rollout_run import RolloutRun
from fairtrial.decisions.ramp_looks import rollout_boundary
from fairtrial.errors import UsageError
from fairtrial.reports.html import environment, squeeze, stylesheet
from fairtrial.reports.line_chart import Axes, Line, line_chart
from fairtrial.reports.rollout_view import DAY_HEAD, GUARDRAIL_HEAD, LEVEL_HEAD, METRIC_HEAD, view_rollout

FORMS = (".html", ".md")


def render_rollout_report(run: RolloutRun, path: Path) -> str:
    """The report in the form that a file's name asks for.

    Raises:
        UsageError: The name ends neither in .html nor in .md.
    """
    check_report_name(path)
    return render_rollout_html(run) if path.suffix == ".html" else render_rollout_markdown(run)


def check_report_name(path: Path) -> None:
    """Raise unless a report can be written under this name.

    Raises:
        UsageError: The name ends neither in .html nor in .md.
    """
    if path.suffix not in FORMS:
        raise UsageError(f"A report's name must end in .html or .md, got {path.name!r}.", hint="For example --report rollout.html")


def render_rollout_html(run: RolloutRun) -> str:
    """The report as one self-contained page: no request, no script."""
    tables = {"days": DAY_HEAD, "metrics": METRIC_HEAD, "guardrails": GUARDRAIL_HEAD, "levels": LEVEL_HEAD}
    page = environment().get_template("rollout.html.j2")
    charts = [Markup(chart) for chart in rollout_charts(run)]  # noqa: S704 - our own SVG, its texts escaped
    return squeeze(page.render(v=view_rollout(run), heads=tables, charts=charts, css=stylesheet("report.css")))


def rollout_charts(run: RolloutRun) -> list[str]:
    """The improvement by day with the interval in force, and |z| against the boundary, as SVG."""
    seen = [(day.day, day.decision.primary) for day in run.days if day.decision.primary is not None]
    if len(seen) < 2:
        return []
    days = [float(day) for day, _ in seen]
    relative = [100 * reading.improvement if reading.improvement is not None else float("nan") for _, reading in seen]
    spans = [reading.relative_interval for _, reading in seen]
    low = [100 * span.low if span is not None else float("nan") for span in spans]
    high = [100 * span.high if span is not None else float("nan") for span in spans]
    charts = [
        line_chart(
            [Line(name="improvement", x=days, y=relative, low=low, high=high)],
            Axes(title="Improvement in % with the interval in force", x_label="day", y_label="%", percent=False, reference=0.0),
        )
    ]
    policy = run.rules.policy
    planned = range(policy.first_look, policy.max_days + 1)
    lines = [
        Line(name="|z|", x=days, y=[abs(reading.z) for _, reading in seen]),
        Line(name="boundary", x=[float(day) for day in planned], y=[float(c) for c in rollout_boundary(planned, policy).critical]),
    ]
    charts.append(line_chart(lines, Axes(title="Evidence against the boundary", x_label="day", y_label="|z|", percent=False)))
    return charts


def render_rollout_markdown(run: RolloutRun) -> str:
    """The report as Markdown."""
    shown = view_rollout(run)
    parts = [
        f"# {_safe(shown.title)}",
        _safe(shown.setting),
        f"## {shown.decision}: {shown.headline}",
        "\n".join(f"- {reason}" for reason in shown.reasons),
        "\n".join(f"- **{name}**: {_safe(text)}" for name, text in shown.facts),
        "## Day by day",
        _table(DAY_HEAD, shown.days),
        "## Metrics",
        _table(METRIC_HEAD, shown.metrics),
    ]
    if shown.guardrails:
        parts += ["## Guardrails", _table(GUARDRAIL_HEAD, shown.guardrails)]
    parts.append("## Engagement before the rollout")
    if shown.levels:
        parts.append(_table(LEVEL_HEAD, shown.levels))
    parts += ["\n".join(f"- {_safe(note)}" for note in shown.level_notes)]
    parts += ["## Truth", "\n".join(f"- {name}: {lift}" for name, lift in shown.truth)]
    parts += ["## How the figures were made", "\n".join(f"- {note}" for note in shown.notes)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(_safe(cell) for cell in row) + " |" for row in rows)])


def _safe(text: str) -> str:
    for mark in "\\|<>*_[]`#":
        text = text.replace(mark, "\\" + mark)
    return text
