"""What `analyze --complete` adds: the other tests, the checks, and a folder of reports, charts and rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from fairtrial.analysis.quick import QuickAnalysis
from fairtrial.analysis.statistics import StatisticalResult
from fairtrial.cli.files import write_text
from fairtrial.errors import UsageError
from fairtrial.reports import render_html, render_markdown
from fairtrial.reports.charts import charts
from fairtrial.reports.executive import executive_markdown, executive_page, executive_summary
from fairtrial.reports.formatting import clean, p_statement, precise
from fairtrial.reports.pen import Pen

TEST_NAMES = {"welch_ttest": "Welch's t-test", "student_ttest": "Student's t-test", "mann_whitney": "Mann-Whitney U"}
MARKS = {"pass": "green", "warn": "yellow", "fail": "bold red", "not_checked": "dim"}


def print_complete(made: QuickAnalysis, console: Console) -> None:
    """Print the tests beside the declared one, the effect in standard deviations, and the checks."""
    pen = Pen(console)
    found = made["statistical_results"]
    pen.heading("Other tests", "they describe; the declared one decides")
    pen.items(((pen.text(name, "dim"), pen.text(clean(text))) for name, text in _tests(found)), indent=2)
    pen.heading("Checks")
    pen.items(
        (
            (
                pen.text(f"{check.status.replace('_', ' ')}", MARKS[check.status]),
                pen.text(f"{check.name.replace('_', ' ')}: {clean(check.message)}"),
            )
            for check in made.quality.checks
        ),
        indent=2,
    )


def report_charts(made: QuickAnalysis | None, earlier: Sequence[Path]) -> list[str]:
    """The charts that a report shows beside its own plot of every metric's interval; none without a complete analysis."""
    return [] if made is None else _beside(charts(made, _read(earlier)))


def write_folder(made: QuickAnalysis, folder: Path, earlier: Sequence[Path]) -> list[str]:
    """Write every form of the result into a folder, which is made where it is missing.

    Args:
        made: The analysis.
        folder: Where to write; files of the same names are replaced.
        earlier: Scorecards of earlier looks, oldest first, for the chart over looks.

    Returns:
        Names of the files, relative to the folder.

    Raises:
        UsageError: The folder cannot be made or written.
    """
    files = _files(made, _read(earlier))
    try:
        (folder / "charts").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"Cannot make the folder {str(folder)!r}: {error.strerror}.", hint="Name a folder that can be written.") from error
    for name, text in files.items():
        write_text(folder / name, text)
    return list(files)


def _read(earlier: Sequence[Path]) -> list[Mapping[str, Any]]:
    return [msgspec.json.decode(path.read_bytes()) for path in earlier]


def _beside(drawn: Mapping[str, str]) -> list[str]:
    return [chart for name, chart in drawn.items() if name != "effect_size_ci"]


def _files(made: QuickAnalysis, earlier: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    card = made.scorecard
    drawn = charts(made, earlier)
    summary = executive_summary(card, made.quality)
    frame = card.to_frame()
    rows = json.loads(frame.to_json(orient="records", double_precision=15))
    head = {
        "experiment": card.experiment,
        "version": card.version,
        "as_of": card.as_of,
        "verdict": card.decision.verdict,
        "state": card.decision.state,
    }
    return {
        "report.html": render_html(card, charts=_beside(drawn)),
        "report.md": render_markdown(card),
        "executive_summary.html": executive_page(summary, card),
        "executive_summary.md": executive_markdown(summary),
        "scorecard.json": card.to_json() + "\n",
        "analysis.json": made.to_json() + "\n",
        "dashboard.csv": frame.assign(**head).to_csv(index=False),
        "dashboard.json": json.dumps([{**head, **row} for row in rows], indent=2, ensure_ascii=False) + "\n",
        **{f"charts/{name}.svg": chart for name, chart in drawn.items()},
    }


def _tests(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    facts: list[tuple[str, str]] = []
    for name, test in found["significance_tests"].items():
        if isinstance(test, StatisticalResult):
            df = "" if test.df is None else f", {precise(test.df, 5)} degrees of freedom"
            facts.append((TEST_NAMES[name], f"{precise(test.statistic)}{df}, {p_statement(test.p_value, test.significance_level)}"))
        else:
            facts.append((TEST_NAMES[name], f"not available: {test['unavailable']['reason']}"))
    ends = found["confidence_intervals"]["bootstrap_ci"]
    why = found["confidence_intervals"].get("bootstrap_unavailable")
    shown = f"not available: {why['reason']}" if ends is None else f"{precise(ends[0])} to {precise(ends[1])}"
    facts.append(("bootstrap interval", shown))
    sizes = found["effect_sizes"]
    if sizes["cohens_d"] is not None:
        facts.append(("in standard deviations", f"d {precise(sizes['cohens_d'], 3)} (Cohen), g {precise(sizes['hedges_g'], 3)} (Hedges)"))
    power = found["power_analysis"]
    if power["mde_at_80"] is not None:
        facts.append(("detectable at 80% power", f"{precise(power['mde_at_80'], 3)}, d {precise(power['mde_at_80_d'], 3)}"))
    return facts
