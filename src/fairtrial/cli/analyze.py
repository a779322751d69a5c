"""`fairtrial analyze`: read the data, judge it, report."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from fairtrial.analysis import QuickAnalysis, analyze_spec, quick_analysis
from fairtrial.analysis.quick import end_of_day, store
from fairtrial.analysis.run import WAREHOUSE
from fairtrial.cli.complete import print_complete, report_charts, write_folder
from fairtrial.cli.files import check_outputs, read_look, write_bytes, write_text
from fairtrial.cli.options import Catalog, Experiment, Json, Target
from fairtrial.cli.output import out, print_data, say, steps
from fairtrial.cli.targets import find_spec, is_path
from fairtrial.errors import UsageError
from fairtrial.evaluation import Look, Scorecard
from fairtrial.evaluation.amendments import amended
from fairtrial.reports import render_html, render_pdf, render_terminal
from fairtrial.spec import LoadedSpec
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.warehouse.results import DEFAULT, Written


def analyze(
    target: Target,
    experiment: Experiment = None,
    catalog: Catalog = None,
    source: Annotated[str | None, typer.Option("--source", help="Read this address instead of the spec's.")] = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="Moment of the look, ISO 8601 (UTC unless it says otherwise).")] = None,
    reference_date: Annotated[
        str | None, typer.Option("--reference-date", help="Last day that counts, YYYY-MM-DD: the look is at its end.")
    ] = None,
    previous: Annotated[list[Path] | None, typer.Option("--previous", help="Scorecard of an earlier look; repeat in order.")] = None,
    launched: Annotated[
        str | None, typer.Option("--launched", help="The spec as it was launched: FILE@REVISION, NAME@VERSION or a file.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Write the report to this HTML file, or PDF file (NAME.pdf; extra reports).")
    ] = None,
    scorecard: Annotated[Path | None, typer.Option("--scorecard", help="Write the scorecard to this JSON file.")] = None,
    complete: Annotated[bool, typer.Option("--complete", help="Add the other tests, effect sizes and checks.")] = False,
    report_dir: Annotated[
        Path | None, typer.Option("--report-dir", help="Write reports, executive summary, charts and rows into this folder (--complete).")
    ] = None,
    write_to_warehouse: Annotated[
        bool, typer.Option("--write-to-warehouse", help="Store the result in the warehouse's tables of results (--complete).")
    ] = False,
    warehouse: Annotated[
        str,
        typer.Option("--warehouse", envvar=WAREHOUSE, help="duckdb:///FILE, sqlite:///FILE, postgresql://..., bigquery://PROJECT/DATASET."),
    ] = DEFAULT,
    use_legacy_schema: Annotated[bool, typer.Option("--use-legacy-schema", help="Store it in the one table of old.")] = False,
    as_json: Json = False,
) -> int:
    """Analyse an experiment and decide by its own rule.

    Exit 1 if the verdict is NO_LAUNCH or ROLLBACK, or the data is invalid.
    """
    moment = _moment(as_of, reference_date)
    found = find_spec(target, experiment, catalog)
    base = None if source is not None else found.base
    earlier = previous or []
    check_outputs({"--scorecard": scorecard, "--report": report}, [found.path, *earlier, *_data_file(found, source)])
    looks = read_looks(earlier, found.spec)
    before = None if launched is None else _launched(launched, found.spec, catalog)
    made: QuickAnalysis | None = None
    with steps(quiet=as_json) as report_step:
        if complete or report_dir is not None or write_to_warehouse:
            made = quick_analysis(found.spec, base=base, source=source, looks=looks, as_of=moment, progress=report_step)
            card = made.scorecard
        else:
            card = analyze_spec(found.spec, base=base, source=source, looks=looks, as_of=moment, progress=report_step)
    if before is not None:
        card = amended(card, found.spec, before)
    written: Written | None = None
    if made is not None:
        made.scorecard = card
        written = store(made, warehouse, legacy=use_legacy_schema) if write_to_warehouse else None
    if as_json:
        print_data(card.to_json() if made is None else made.to_json())
    else:
        render_terminal(card, out())
        if made is not None and (complete or report_dir is not None):
            print_complete(made, out())
    if made is not None and report_dir is not None:
        files = write_folder(made, report_dir, earlier)
        say("Reports:", f"{len(files)} files in {report_dir}")
    if written is not None:
        say("Stored:", f"{written.analysis_id} in {', '.join(written.tables)} of {written.warehouse}")
    if scorecard is not None:
        write_text(scorecard, card.to_json() + "\n")
        say("Scorecard:", str(scorecard))
    if report is not None:
        page = render_pdf(card) if report.suffix.lower() == ".pdf" else render_html(card, charts=report_charts(made, earlier)).encode()
        write_bytes(report, page)
        say("Report:", str(report))
    return exit_code(card)


def _moment(as_of: str | None, reference_date: str | None) -> dt.datetime | None:
    """The moment of the look: a time, or the end of a day."""
    if as_of is not None and reference_date is not None:
        raise UsageError("--as-of is a moment and --reference-date a whole day; both were given.", hint="Leave one of them out.")
    return parse_time(as_of) if as_of is not None else None if reference_date is None else end_of_day(reference_date)


def _launched(target: str, spec: ExperimentSpec, catalog: str | None) -> ExperimentSpec:
    """The spec that was launched, which must be one of the same experiment."""
    before = find_spec(target, spec.key if is_path(target.rpartition("@")[0] or target) else None, catalog).spec
    if before.key != spec.key:
        raise UsageError(f"--launched must name an earlier version of {spec.key!r}, got {before.key!r}.", hint="FILE@REVISION")
    return before


def read_looks(paths: Sequence[Path], spec: ExperimentSpec) -> list[Look]:
    """The earlier looks, in order, and a word about those that another version of the spec made.

    Args:
        paths: Their scorecards, oldest first.
        spec: The experiment.

    Raises:
        UsageError: One is none of this experiment, named twice, or out of order.
    """
    if len({path.resolve() for path in paths}) < len(paths):
        raise UsageError(f"Each earlier look is named once, got {[str(path) for path in paths]}.", hint="Leave out the repeated one.")
    looks: list[Look] = []
    for path in paths:
        look, spec_hash = read_look(path, spec)
        if looks and look.as_of is not None and (before := looks[-1].as_of) is not None and look.as_of < before:
            raise UsageError(
                f"Earlier looks are named in the order of time, {str(path)!r} of {look.as_of} follows one of {before}.",
                hint="Repeat --previous from the oldest look to the newest.",
            )
        if spec_hash != spec.spec_hash:
            say("Note:", f"the spec has changed since the look in {path}.", style="bold yellow")
        looks.append(look)
    return looks


def _data_file(found: LoadedSpec, source: str | None) -> list[Path]:
    """The file that the data is read from, where it is one."""
    data = found.spec.data
    address = source if source is not None or data is None else found.base / data.source
    return [Path(address)] if address is not None and os.path.isfile(address) else []  # noqa: PTH113 - never an error


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
    if not 1900 <= moment.year <= 2200:
        raise UsageError(f"A look lies between the years 1900 and 2200, got {text!r}.", hint="For example 2026-03-31T23:59:59Z.")
    return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)
