"""`fairtrial quickstart`: a real experiment from spec to verdict, on this machine, with nothing to configure."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from fairtrial.analysis import analyze_spec, lay_out_example
from fairtrial.cli.files import write_text
from fairtrial.cli.options import Json
from fairtrial.cli.output import out, print_json, steps
from fairtrial.errors import DataError, UsageError
from fairtrial.evaluation.planning import plan_experiment
from fairtrial.reports import render_html, render_plan, render_spec, render_terminal
from fairtrial.spec import load_spec
from fairtrial.stats.result import Unavailable


def quickstart(
    folder: Annotated[Path, typer.Option("--out", help="Folder for the data, the report and the scorecard.")] = Path(
        "fairtrial-quickstart"
    ),
    as_json: Json = False,
) -> int:
    """Run a real advertising experiment of 588,101 people from spec to verdict."""
    _make(folder)
    with steps(quiet=as_json) as report:
        report("Laying out 588,101 people as a unit table")
        path = lay_out_example(folder)
    loaded = load_spec(path)
    plan = plan_experiment(loaded.spec)
    if isinstance(plan, Unavailable):
        raise DataError(f"The example cannot be planned. {plan.reason}")
    if not as_json:
        out().print()
        render_spec(loaded.spec, out())
        render_plan(plan, loaded.spec, out())
    with steps(quiet=as_json) as report:
        card = analyze_spec(loaded.spec, base=loaded.base, progress=report)
        report("Writing the report")
        write_text(folder / "report.html", render_html(card))
        write_text(folder / "scorecard.json", card.to_json() + "\n")
    if as_json:
        print_json({"folder": str(folder), "scorecard": card.to_dict(), "report": str(folder / "report.html")})
    else:
        render_terminal(card, out())
        _say_next(folder)
    return 0


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"Cannot make the folder {str(folder)!r}: {error.strerror}.", hint="Name another one by --out.") from error


def _say_next(folder: Path) -> None:
    console, program = out(), _program()
    console.print(f"\nThe report: [bold]{folder / 'report.html'}[/] (open it in a browser)", highlight=False)
    console.print(f"The scorecard: [bold]{folder / 'scorecard.json'}[/]\n", highlight=False)
    console.print("Try next:", style="bold")
    spec = folder / "spec.yaml"
    for command, why in (
        (f"{program} power {spec}", "how many people this plan needed, and why"),
        (f"{program} analyze {spec} --json", "the same scorecard as data"),
        (f"{program} show free_shipping_threshold_test", "a spec from the catalog that ships, ready to copy"),
        (f"{program} serve --demo", "the service and its dashboard, full of simulated experiments of every kind"),
    ):
        console.print(f"  [cyan]{command}[/]", highlight=False, soft_wrap=True)
        console.print(f"      {why}", style="dim", highlight=False)
    console.print()


def _program() -> str:
    """How to call this program again: by name where the shell finds it, by its path where it does not."""
    called = Path(sys.argv[0]) if sys.argv[0] else Path("fairtrial")
    found = shutil.which("fairtrial")
    if called.name != "fairtrial" or (found is not None and Path(found).resolve() == called.resolve()):
        return "fairtrial"
    return os.path.relpath(called)
