"""`fairtrial analyze`: read the data, judge it, report."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated

import typer

from fairtrial.analysis import analyze_spec
from fairtrial.cli.files import read_look, write_text
from fairtrial.cli.options import Catalog, Experiment, Json, Target
from fairtrial.cli.output import out, steps, talk
from fairtrial.cli.targets import find_spec
from fairtrial.errors import UsageError
from fairtrial.evaluation import Scorecard
from fairtrial.reports import render_html, render_terminal


def analyze(
    target: Target,
    experiment: Experiment = None,
    catalog: Catalog = None,
    source: Annotated[str | None, typer.Option("--source", help="Read this address instead of the spec's.")] = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="Moment of the look, ISO 8601 (UTC unless it says otherwise).")] = None,
    previous: Annotated[list[Path] | None, typer.Option("--previous", help="Scorecard of an earlier look; repeat in order.")] = None,
    report: Annotated[Path | None, typer.Option("--report", help="Write the report to this HTML file.")] = None,
    scorecard: Annotated[Path | None, typer.Option("--scorecard", help="Write the scorecard to this JSON file.")] = None,
    as_json: Json = False,
) -> int:
    """Analyse an experiment and decide by its own rule.

    Exit 1 if the verdict is NO_LAUNCH or ROLLBACK, or the data is invalid.
    """
    moment = None if as_of is None else parse_time(as_of)
    looks = [read_look(path) for path in previous or []]
    found = find_spec(target, experiment, catalog)
    base = None if source is not None else found.base
    with steps(quiet=as_json) as report_step:
        card = analyze_spec(found.spec, base=base, source=source, looks=looks, as_of=moment, progress=report_step)
    if as_json:
        out().file.write(card.to_json() + "\n")
    else:
        render_terminal(card, out())
    if scorecard is not None:
        write_text(scorecard, card.to_json() + "\n")
        talk().print(f"Scorecard: {scorecard}", highlight=False)
    if report is not None:
        write_text(report, render_html(card))
        talk().print(f"Report: {report}", highlight=False)
    return exit_code(card)


def exit_code(card: Scorecard) -> int:
    """0 when the answer is not a no."""
    return 1 if card.decision.state == "invalid" or card.decision.verdict in {"NO_LAUNCH", "ROLLBACK"} else 0


def parse_time(text: str) -> dt.datetime:
    """An ISO 8601 time; without an offset it is UTC.

    Raises:
        UsageError: It is no time.
    """
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"A time is written as ISO 8601, got {text!r}.", hint="For example 2026-03-31T23:59:59Z.") from error
    return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)
