"""`fairtrial calibrate`: what the methods promise, and what is measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import typer

from fairtrial.cli.files import write_text
from fairtrial.cli.options import Json
from fairtrial.cli.output import out, print_json, say, steps
from fairtrial.errors import UsageError
from fairtrial.reports.calibration import overview_table, receipt_page, receipt_plot, render_receipt
from fairtrial.simulation.calibration import StudyResult, all_studies, run_study, study_named

OVERVIEW = "index.md"
MARK, END = "<!-- measured -->\n", "<!-- end -->"
"""Between these lines of the overview stands its table."""


def calibrate(
    methods: Annotated[
        list[str] | None, typer.Argument(help="Names of studies; default: all of them. --list names them.", show_default=False)
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A tenth of the experiments.")] = False,
    runs: Annotated[
        int | None, typer.Option("--runs", min=200, max=10_000_000, help="Experiments a case, 200 or more, whatever one costs.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the random numbers: the same seed gives the same answer.")] = 1,
    folder: Annotated[Path | None, typer.Option("--out", help="Write a page and a plot a method to this folder.")] = None,
    names: Annotated[bool, typer.Option("--list", help="Name the studies there are, and run none.")] = False,
    as_json: Json = False,
) -> int:
    """Measure size, coverage and power of methods by simulation, against what they promise."""
    if names:
        _list(as_json=as_json)
        return 0
    if folder is not None and not folder.is_dir():
        raise UsageError(f"--out must be a folder that exists, got {str(folder)!r}.")
    studies = [study_named(name) for name in methods] if methods else list(all_studies().values())
    results: list[StudyResult] = []
    with steps(quiet=as_json) as report:
        for study in studies:
            report(f"Measuring {study.method}")
            result = run_study(study, quick=quick, runs=runs, rng=np.random.default_rng(seed))
            results.append(result)
            if folder is not None:
                write_text(folder / f"{study.method}.md", receipt_page(result))
                write_text(folder / f"{study.method}.svg", receipt_plot(result))
    if folder is not None and methods is None:
        write_overview(folder / OVERVIEW, results)
        say("Receipts:", str(folder))
    if as_json:
        print_json({"studies": [msgspec.to_builtins(result) for result in results]})
    else:
        for result in results:
            render_receipt(result, out())
    return 0


def _list(*, as_json: bool) -> None:
    studies = all_studies()
    if as_json:
        print_json({"studies": [{"method": name, "title": study.title, "cases": len(study.cases)} for name, study in studies.items()]})
        return
    width = max(len(name) for name in studies)
    for name, study in studies.items():
        out().print(f"{name:<{width}}  {study.title}", highlight=False, markup=False, soft_wrap=True)


def write_overview(path: Path, results: list[StudyResult]) -> None:
    """Renew the table of the overview between its marks; where there is no page, make one.

    Args:
        path: The page.
        results: What was measured, in the order of the table.

    Raises:
        UsageError: There is a page without the marks.
    """
    text = path.read_text(encoding="utf-8") if path.is_file() else f"# Calibration\n\n{MARK}{END}\n"
    before, mark, rest = text.partition(MARK)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise UsageError(f"{str(path)!r} must hold the marks {MARK.strip()} and {END}.")
    write_text(path, f"{before}{MARK}\n{overview_table(results)}\n{END}{after}")
