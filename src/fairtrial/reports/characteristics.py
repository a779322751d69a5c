"""How a spec's rule behaves, shown: a table with bars in the terminal, a page with a plot."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fairtrial.reports.formatting import MINUS, clean, count, precise
from fairtrial.reports.html import stylesheet
from fairtrial.reports.line_chart import Axes, Line, line_chart
from fairtrial.reports.pen import Pen
from fairtrial.simulation.characteristics import OUTCOMES, OperatingCharacteristics
from fairtrial.simulation.monte_carlo import Measured

BAR = 10
WORDS = {
    "STRONG_LAUNCH": "strong",
    "LAUNCH": "launch",
    "CONSIDER_LAUNCH": "consider",
    "EXTEND_TEST": "extend",
    "NO_LAUNCH": "no launch",
    "ROLLBACK": "rollback",
    "UNDECIDED": "undecided",
}


def render_characteristics(found: OperatingCharacteristics, console: Console) -> None:
    """Print the characteristics: verdicts against the true effect, then what they cost.

    Args:
        found: What was simulated.
        console: Where to print.
    """
    pen = Pen(console)
    pen.heading("Operating characteristics", clean(found.experiment))
    pen.out(pen.text(f"{count(found.rows[0].runs)} experiments for each true effect; {_looks(found)}.", "dim"), indent=2)
    pen.heading("Verdicts", "by true effect of the treatment")
    pen.out(_verdict_table(pen, found), indent=2)
    pen.heading("What a launch is worth")
    pen.out(_cost_table(pen, found), indent=2)
    pen.out(Text())
    pen.items((pen.text(name, "dim"), pen.text(value)) for name, value in headline(found))
    for sentence in found.assumptions:
        pen.out(pen.text(clean(sentence), "dim"), indent=2)


def headline(found: OperatingCharacteristics) -> list[tuple[str, str]]:
    """The numbers that one would remember, with their Monte-Carlo errors."""
    facts: list[tuple[str, str]] = []
    if found.false_launch_rate is not None:
        facts.append(("false launches", f"at most {measured(found.false_launch_rate)} where the treatment is no improvement"))
    if found.missed_win_rate is not None:
        facts.append(("missed wins", f"{measured(found.missed_win_rate)} at the smallest effect worth having"))
    null = next((row for row in found.rows if row.effect == 0.0), None)
    if null is not None:
        facts.append(("units", f"{count(null.units.value)} on average without an effect, {count(found.planned_units)} at the most"))
    return facts


def characteristics_page(found: OperatingCharacteristics) -> str:
    """One self-contained HTML page: a plot, the tables, the assumptions; no script, no request."""
    rows = found.rows
    shown = [verdict for verdict in OUTCOMES if any(row.verdicts[verdict].value > 0 for row in rows)]
    x = [row.effect for row in rows]
    lines = [_line(WORDS[verdict], x, [row.verdicts[verdict] for row in rows]) for verdict in shown]
    axes = Axes(
        title="Probability of each verdict",
        x_label=f"true improvement ({found.scale})",
        y_label="share of experiments",
        y_range=(0.0, 1.0),
        x_percent=found.scale == "relative",
    )
    heads = ["true effect", *(WORDS[verdict] for verdict in shown), "any launch", "units", "days", "exaggeration", "wrong sign"]
    cells = [
        [
            effect_words(found, row.effect),
            *(measured(row.verdicts[verdict]) for verdict in shown),
            measured(row.launch),
            count(row.units.value),
            "" if row.days is None else precise(row.days.value, 3),
            "" if row.exaggeration is None else _times(row.exaggeration),
            "" if row.sign_error is None else measured(row.sign_error),
        ]
        for row in rows
    ]
    facts = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in headline(found))
    said = "".join(f"<li>{escape(clean(sentence))}</li>" for sentence in found.assumptions)
    title = f"Operating characteristics of {clean(found.experiment)}"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>{escape(title)}</title><style>:root{{--paper:#f6f6f2;--surface:#fff;--sunk:#f2f2ed;--ink:#1b1e23;--muted:#575d66;"
        f"--hairline:#e0e0d9;--rule:#a3a8ae}}{stylesheet('report.css')}</style></head><body>"
        f'<header><h1>{escape(title)}</h1><p class="lead">{count(rows[0].runs)} simulated experiments for each true effect; '
        f'{escape(_looks(found))}.</p></header><main><section>{line_chart(lines, axes)}<dl class="facts">{facts}</dl></section>'
        f'<section><h2>The numbers</h2>{_html_table(heads, cells)}<p class="small muted">Shares with their Monte-Carlo standard '
        f"error.</p></section><section><h2>What they rest on</h2><ul>{said}</ul></section></main></body></html>\n"
    )


def measured(found: Measured) -> str:
    """A share with its Monte-Carlo standard error: "4.9% ± 0.2"."""
    error = 100.0 * found.std_error
    digits = 1 if error >= 0.05 or error == 0.0 else 2
    return f"{100.0 * found.value:.{digits}f}% ± {error:.{digits}f}"


def effect_words(found: OperatingCharacteristics, effect: float) -> str:
    """A true effect as people write it: "+5%", "0"."""
    sign = "+" if effect > 0 else MINUS if effect < 0 else ""
    size = f"{100 * abs(effect):.4g}%" if found.scale == "relative" else f"{abs(effect):.4g}"
    return f"{sign}{size}" if effect else "0"


def _verdict_table(pen: Pen, found: OperatingCharacteristics) -> Table:
    shown = [verdict for verdict in OUTCOMES if any(row.verdicts[verdict].value > 0 for row in found.rows)]
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    table.add_column("true effect", justify="right")
    for verdict in shown:
        table.add_column(WORDS[verdict], justify="right")
    table.add_column("any launch", no_wrap=True)
    for row in found.rows:
        bar = _bar(row.launch.value, plain=pen.plain)
        table.add_row(
            pen.text(effect_words(found, row.effect), "bold"), *(share_or_dot(row.verdicts[verdict]) for verdict in shown), pen.text(bar)
        )
    return table


def _cost_table(pen: Pen, found: OperatingCharacteristics) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    days = any(row.days is not None for row in found.rows)
    heads = ["true effect", "launched", "± MC", "units", *(["days"] if days else []), "exaggerated", "wrong sign"]
    for head in heads:
        table.add_column(head, justify="right")
    for row in found.rows:
        cells = [
            effect_words(found, row.effect),
            f"{100 * row.launch.value:.1f}%",
            f"{100 * row.launch.std_error:.2f}",
            count(row.units.value),
        ]
        cells += ([precise(row.days.value, 3)] if row.days is not None else [""]) if days else []
        cells += [_times(row.exaggeration), "" if row.sign_error is None else f"{100 * row.sign_error.value:.1f}%"]
        table.add_row(*(pen.text(cell) for cell in cells))
    return table


def share_or_dot(found: Measured) -> str:
    """A share as percent with one decimal, a dot where it is 0."""
    return "." if found.value == 0.0 else f"{100 * found.value:.1f}%"


def _times(found: Measured | None) -> str:
    return "" if found is None else f"{found.value:.2f}x"


def _bar(value: float, *, plain: bool) -> str:
    full = round(value * BAR)
    return ("#" if plain else "█") * full + ("." if plain else "░") * (BAR - full) + f" {100 * value:.0f}%"


def _looks(found: OperatingCharacteristics) -> str:
    method = found.method.replace("_", "-")
    if len(found.looks) == 1:
        return f"{method} plan, one look at {count(found.looks[0])} units"
    return f"{method} plan, {len(found.looks)} looks at {count(found.looks[0])} to {count(found.looks[-1])} units"


def _line(name: str, x: Sequence[float], values: Sequence[Measured]) -> Line:
    low = [max(value.value - 1.96 * value.std_error, 0.0) for value in values]
    high = [min(value.value + 1.96 * value.std_error, 1.0) for value in values]
    return Line(name=name, x=x, y=[value.value for value in values], low=low, high=high)


def _html_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div style="overflow-x:auto"><table class="num"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
