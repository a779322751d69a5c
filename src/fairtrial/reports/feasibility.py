"""Whether an experiment can be run, shown: blocks of text for the terminal (XC-14), a page with a plot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from rich.console import Console
from rich.table import Table

from fairtrial.evaluation.feasibility import TEST_TYPES, Assessment
from fairtrial.evaluation.feasibility_advice import Change, SensitivityRow, days_by_mde
from fairtrial.reports.formatting import clean, count, magnitude, power, precise, relative, share
from fairtrial.reports.html import stylesheet
from fairtrial.reports.line_chart import Axes, Line, line_chart
from fairtrial.reports.pen import Pen
from fairtrial.reports.words import arm_name

STATUS_STYLES = {"FEASIBLE": "bold green", "MARGINAL": "bold yellow", "NOT_FEASIBLE": "bold red"}
VARIED = {"mde": "smallest effect", "power": "power", "daily_users": "users a day", "baseline": "baseline"}
MADE_UP = "SYNTHETIC DATA: nothing here was measured"
BAR = 30
PLOTTED = (0.7, 0.8, 0.9)
"""Powers that the chart draws a line for, beside the plan's own."""

Facts = list[tuple[str, str]]


def render_feasibility(
    found: Assessment, console: Console, *, changes: Sequence[Change] = (), rows: Sequence[SensitivityRow] = (), verbose: bool = False
) -> None:
    """Print the blocks of the assessment.

    Args:
        found: The assessment.
        console: Where to print.
        changes: What to change where it does not fit.
        rows: Sensitivity of the plan; none prints no such table.
        verbose: Print guardrails one by one and the accumulation of units too.
    """
    pen = Pen(console)
    for title, facts in blocks(found):
        pen.heading(title)
        if title == "Experiment":
            pen.out(
                pen.join((found.status, STATUS_STYLES[found.status]), (f"  {'; '.join(found.reasons)}" if found.reasons else "", "")),
                indent=2,
            )
        pen.items(((pen.text(name, "dim"), pen.text(clean(value))) for name, value in facts), indent=2)
    _starts(pen, found)
    _listed(pen, "Notes", [*found.notes, *([one.reason for one in found.guardrails if one.reason] if verbose else _unsized(found))])
    _listed(pen, "Warnings", found.warnings)
    if verbose and found.traffic.distinct:
        pen.heading("Distinct eligible users", "within so many days, as measured")
        pen.out(_accumulation(pen, found), indent=2)
    if rows:
        pen.heading("Sensitivity", "one number moves, the others stay")
        pen.out(_sensitivity(pen, found, rows), indent=2)
    _listed(pen, "Next steps", next_steps(found, changes))


def blocks(found: Assessment) -> list[tuple[str, Facts]]:
    """The blocks of facts, by title, in the order of the text."""
    plan, run, traffic, spec = found.plan, found.run, found.traffic, found.spec
    kind = spec.primary.kind
    write = relative if kind == "proportion" else precise
    parameters: Facts = [("metric", f"{spec.primary.key} ({TEST_TYPES.get(kind, kind)})")]
    if plan.baseline is not None and plan.target is not None:
        parameters.append(("baseline to target", f"{write(plan.baseline)} to {write(plan.target)}"))
    lift = f", {relative(plan.effect / plan.baseline)} relative" if plan.baseline else ""
    parameters += [
        ("smallest effect", f"{magnitude(kind, plan.effect)}{lift}"),
        ("alpha, power", f"{share(spec.plan.alpha)}, {power(plan.power)}, {plan.alternative}"),
    ]
    if kind != "proportion" and spec.plan.baseline_sd is not None:
        parameters.append(("standard deviation", precise(spec.plan.baseline_sd)))
    if spec.plan.covariate_correlation is not None:
        parameters.append(("covariate", f"correlation {spec.plan.covariate_correlation:.3f}, {share(plan.variance_factor)} of the units"))
    if found.roi_mde is not None:
        parameters.append(("effect that pays", f"{relative(found.roi_mde)} relative, from cost, revenue and demanded return"))
    sizes: Facts = [(arm_name(key), count(n)) for key, n in found.arms.items()]
    sizes += [
        ("total", count(sum(found.arms.values()))),
        ("with buffer", f"{count(run.target_total)} ({found.buffer:g} times)"),
        ("decided by", found.decided_by),
    ]
    each = {key: traffic.daily * n / sum(found.arms.values()) for key, n in found.arms.items()}
    per = ", ".join(f"{arm_name(key)} {precise(n, 4)}" for key, n in each.items())
    days: Facts = [
        ("days of traffic", "not reached" if run.required_days is None else count(run.required_days)),
        ("with its variability", "" if run.adjusted_days is None else count(run.adjusted_days)),
        ("final, whole weeks", "" if run.final_days is None else f"{count(run.final_days)} days"),
        ("longest the business allows", "none stated" if spec.plan.max_days is None else f"{spec.plan.max_days:g} days"),
    ]
    about: Facts = [("name", spec.key), ("config version", spec.version), ("reference date", found.at.date().isoformat())]
    if found.synthetic:
        about.insert(0, ("data", MADE_UP))
    return [
        ("Experiment", about),
        ("Statistical parameters", parameters),
        ("Sample per variant", sizes),
        (
            "Traffic",
            [
                ("eligible users a day", precise(traffic.daily, 5)),
                ("per variant", per),
                ("variability", f"{share(traffic.cv)} of the mean from day to day"),
                ("data source", "SYNTHETIC" if found.synthetic else traffic.data_source),
            ],
        ),
        ("Duration", [fact for fact in days if fact[1]]),
    ]


def next_steps(found: Assessment, changes: Sequence[Change]) -> list[str]:
    """What to do now, a sentence each."""
    if found.status == "NOT_FEASIBLE":
        return [change.text for change in changes] or ["measure the traffic anew, or take in more kinds of users"]
    steps = [] if found.status == "FEASIBLE" else ["look at the reasons above before you start: the forecast is unsure"]
    if found.calendar:
        steps.append(f"start on {found.calendar[0].start_date}, and read the result after {found.calendar[0].end_date}")
    if found.traffic.data_source == "spec":
        known = found.spec.feasibility
        how = "declare a history of visits" if known is None or known.history is None else "add --source URL --reference-date YYYY-MM-DD"
        steps.append(f"measure traffic and baseline in place of assuming them: {how}")
    return [*steps, "store the plan in the spec: --write-back"]


def feasibility_page(found: Assessment, *, changes: Sequence[Change] = (), rows: Sequence[SensitivityRow] = ()) -> str:
    """One self-contained HTML page: the blocks, the chart of days against the effect, the table; no script, no request."""
    title = f"Can {clean(found.spec.key)} be run?"
    made_up = f"<p class='lead'><strong>{MADE_UP}</strong></p>" if found.synthetic else ""
    sections = "".join(
        f"<section><h2>{escape(name)}</h2><dl class='facts'>"
        + "".join(f"<div><dt>{escape(clean(key))}</dt><dd>{escape(clean(value))}</dd></div>" for key, value in facts)
        + "</dl></section>"
        for name, facts in blocks(found)
    )
    starts = [f"{one.start_date} to {one.end_date}: {one.reason}" for one in found.calendar]
    lists = "".join(
        f"<section><h2>{name}</h2><ul>{''.join(f'<li>{escape(clean(text))}</li>' for text in texts)}</ul></section>"
        for name, texts in (
            ("Start dates", starts),
            ("Notes", [*found.notes, *_unsized(found)]),
            ("Warnings", found.warnings),
            ("Next steps", next_steps(found, changes)),
        )
        if texts
    )
    chart = feasibility_chart(found)
    table = _html_table(found, rows) if rows else ""
    reasons = escape("; ".join(found.reasons) or "every check passed")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>{escape(title)}</title><style>:root{{--paper:#f6f6f2;--surface:#fff;--sunk:#f2f2ed;--ink:#1b1e23;--muted:#575d66;"
        f"--hairline:#e0e0d9;--rule:#a3a8ae}}{stylesheet('report.css')}</style></head><body>"
        f'<header><h1>{escape(title)}</h1>{made_up}<p class="lead"><strong>{found.status}</strong>: {reasons}.</p></header>'
        f"<main><section>{chart}</section>{sections}{table}{lists}</main></body></html>\n"
    )


def feasibility_chart(found: Assessment) -> str:
    """Days against the smallest effect, a line for each power, the longest run across; empty without an effect."""
    own = found.spec.plan
    relative_scale = own.mde_kind == "relative"
    lines: list[Line] = []
    for level in sorted({*PLOTTED, own.power}):
        points = days_by_mde(found, level)
        if points:
            lines.append(Line(name=f"power {level:.0%}", x=[x for x, _ in points], y=[y for _, y in points]))
    if not lines:
        return ""
    axes = Axes(
        title=f"Days against the smallest effect{' (SYNTHETIC DATA)' if found.synthetic else ''}",
        x_label="smallest effect, relative" if relative_scale else "smallest effect, absolute",
        y_label="days",
        percent=False,
        x_percent=relative_scale,
        reference=None if own.max_days is None else float(own.max_days),
    )
    return line_chart(lines, axes)


def _starts(pen: Pen, found: Assessment) -> None:
    if found.calendar:
        pen.heading("Start dates")
        pen.items(
            ((pen.text(str(one.start_date), "bold"), pen.text(f"to {one.end_date}: {one.reason}")) for one in found.calendar), indent=2
        )


def _unsized(found: Assessment) -> list[str]:
    """Guardrails without a size, in one sentence."""
    names = [one.metric for one in found.guardrails if one.total is None]
    return [f"not sized, for want of a baseline or a margin: {', '.join(names)} (why: --verbose)"] if names else []


def _listed(pen: Pen, title: str, texts: Sequence[str]) -> None:
    if texts:
        pen.heading(title)
        pen.items(((pen.text("-", "dim"), pen.text(clean(text))) for text in texts), indent=2)


def _accumulation(pen: Pen, found: Assessment) -> Table:
    curve = found.traffic.distinct
    table = _table("days", "distinct", "if nobody came back")
    for days in sorted({1, 7, 14, 28, 42, 56, len(curve)}):
        if days <= len(curve):
            table.add_row(*(pen.text(cell) for cell in (str(days), count(curve[days - 1]), count(found.traffic.daily * days))))
    return table


def _table(*heads: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    return table


def _sensitivity(pen: Pen, found: Assessment, rows: Sequence[SensitivityRow]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    table.add_column("changed")
    for head in ("to", "users", "days"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("")
    longest = max((row.final_days or 0 for row in rows), default=0)
    for row in rows:
        style = "bold" if row.planned else ""
        cells = (VARIED[row.varied], _value(found, row), _number(row.total), _number(row.final_days))
        table.add_row(*(pen.text(cell, style) for cell in cells), pen.text(_bar(row, longest, plain=pen.plain)))
    return table


def _value(found: Assessment, row: SensitivityRow) -> str:
    mark = " (plan)" if row.planned else ""
    if row.varied == "power":
        return power(row.value) + mark
    rates = found.spec.primary.kind == "proportion"
    as_percent = found.spec.plan.mde_kind == "relative" if row.varied == "mde" else row.varied == "baseline" and rates
    return (relative(row.value) if as_percent else precise(row.value, 5)) + mark


def _number(value: int | None) -> str:
    return "none" if value is None else count(value)


def _bar(row: SensitivityRow, longest: int, *, plain: bool) -> str:
    """Days as a bar; one that does not fit ends in an x."""
    if row.final_days is None or longest == 0:
        return ""
    full = max(1, math.ceil(BAR * row.final_days / longest))
    return ("#" if plain else "█") * full + (" x" if row.status == "NOT_FEASIBLE" else "")


def _html_table(found: Assessment, rows: Sequence[SensitivityRow]) -> str:
    heads = "".join(f"<th>{head}</th>" for head in ("changed", "to", "users", "days", "fits"))
    body = "".join(
        "<tr>"
        + "".join(
            f"<td>{escape(cell)}</td>"
            for cell in (VARIED[row.varied], _value(found, row), _number(row.total), _number(row.final_days), row.status or "no such plan")
        )
        + "</tr>"
        for row in rows
    )
    return f"<section><h2>Sensitivity</h2><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></section>"
