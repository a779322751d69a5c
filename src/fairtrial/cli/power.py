"""`fairtrial power`: how many units a plan calls for, for how long, from when, and whether that can be run."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import typer

from fairtrial.cli.files import check_outputs, write_text
from fairtrial.cli.options import Catalog, Experiment, Json
from fairtrial.cli.output import out, print_json, say, steps
from fairtrial.cli.specs import list_experiments
from fairtrial.cli.targets import find_spec
from fairtrial.errors import UsageError
from fairtrial.evaluation.feasibility import HINTS, Assessment, feasibility_document
from fairtrial.evaluation.feasibility_advice import sensitivity_table, what_to_change
from fairtrial.evaluation.planning import plan_experiment
from fairtrial.reports.feasibility import feasibility_page, render_feasibility
from fairtrial.reports.spec_text import render_plan
from fairtrial.spec import LoadedSpec
from fairtrial.spec.feasibility import FeasibilitySpec
from fairtrial.stats.result import Unavailable

MOCK_SEED = 20_240_301
DATE_HINT = "Such as 2024-03-01."
Name = Annotated[str | None, typer.Argument(help="A spec file, a folder of them, or a name in the catalog.", show_default=False)]
Reference = Annotated[
    str | None, typer.Option("--reference-date", help="Plan as of this day, YYYY-MM-DD: history ends before it. Default: today.")
]


def power(
    target: Name = None,
    experiment: Experiment = None,
    catalog: Catalog = None,
    reference_date: Reference = None,
    source: Annotated[str | None, typer.Option("--source", help="Measure traffic and outcomes at this address.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show guardrails and the accumulation of users too.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the JSON to this file.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page with the plot to this file.")] = None,
    sensitivity: Annotated[bool, typer.Option("--sensitivity-analysis", help="Show how days follow from each assumption.")] = False,
    mock: Annotated[bool, typer.Option("--use-mock-data", help="Make up traffic and outcomes; labelled SYNTHETIC.")] = False,
    validate_only: Annotated[bool, typer.Option("--validate-only", help="Check the spec; open no data source.")] = False,
    write_back: Annotated[bool, typer.Option("--write-back", help="Store dates, sizes, traffic and status in the spec file.")] = False,
    names: Annotated[bool, typer.Option("--list-experiments", help="Name the experiments there are, and stop.")] = False,
    as_json: Json = False,
) -> int:
    """How many units the plan calls for, for how long, from when. Exit 1 if it cannot be run or planned."""
    if names:
        return list_experiments(catalog=catalog, as_json=as_json)
    if target is None:
        raise UsageError("Name an experiment, or ask for their names with --list-experiments.", hint="fairtrial power --list-experiments")
    at = _moment(reference_date)
    if mock and (source is not None or write_back):
        raise UsageError("--use-mock-data makes numbers up: it goes with neither --source nor --write-back.", hint="Leave one of them out.")
    found = find_spec(target, experiment, catalog)
    check_outputs({"--output": output, "--html": html}, [found.path])
    if validate_only:
        return _validated(found, as_json=as_json)
    if source is None and not mock and not _has_traffic(found.spec.feasibility):
        if output is None and html is None and not (write_back or sensitivity):
            return _plan_alone(found, as_json=as_json)
        raise UsageError(f"Experiment {found.spec.key!r} says nothing of its traffic.", hint=HINTS["no_traffic"])
    assessed = _assess(found, at, source=source, mock=mock, quiet=as_json)
    if isinstance(assessed, Unavailable):
        return _not_planned(found, assessed, as_json=as_json)
    _show(found, assessed, _Wanted(sensitivity=sensitivity, verbose=verbose, as_json=as_json, output=output, html=html))
    if write_back:
        _write_back(found, assessed)
    return 1 if assessed.status == "NOT_FEASIBLE" else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """What is to be shown, and where."""

    sensitivity: bool
    verbose: bool
    as_json: bool
    output: Path | None
    html: Path | None


def _show(found: LoadedSpec, assessed: Assessment, wanted: _Wanted) -> None:
    """Print the assessment, and write the files that were asked for."""
    changes = what_to_change(assessed)
    rows = sensitivity_table(assessed) if wanted.sensitivity or wanted.html is not None else ()
    document: dict[str, Any] = msgspec.to_builtins(feasibility_document(assessed, changes=[change.as_data() for change in changes]))
    document |= {"sensitivity": msgspec.to_builtins(rows)} if wanted.sensitivity else {}
    if wanted.as_json:
        print_json({**document, "experiment": found.spec.key, "plan": msgspec.to_builtins(assessed.plan)})
    else:
        render_feasibility(assessed, out(), changes=changes, rows=rows if wanted.sensitivity else (), verbose=wanted.verbose)
    if wanted.output is not None:
        write_text(wanted.output, json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
        say("Analysis:", str(wanted.output))
    if wanted.html is not None:
        write_text(wanted.html, feasibility_page(assessed, changes=changes, rows=rows))
        say("Page:", str(wanted.html))


def _moment(text: str | None) -> dt.datetime:
    """The reference date at midnight UTC; now without one.

    Raises:
        UsageError: It is no date.
    """
    if text is None:
        return dt.datetime.now(tz=dt.UTC).replace(microsecond=0)
    try:
        if len(text) != len("2024-03-01"):
            raise ValueError(text)  # noqa: TRY301
        day = dt.date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"--reference-date is a day written YYYY-MM-DD, got {text!r}.", hint=DATE_HINT) from error
    if not 1900 <= day.year <= 2200:
        raise UsageError(f"--reference-date lies between the years 1900 and 2200, got {text!r}.", hint=DATE_HINT)
    return dt.datetime.combine(day, dt.time(), tzinfo=dt.UTC)


def _has_traffic(known: FeasibilitySpec | None) -> bool:
    return known is not None and (known.daily_units is not None or (known.history is not None and known.history.source is not None))


def _assess(found: LoadedSpec, at: dt.datetime, *, source: str | None, mock: bool, quiet: bool) -> Assessment | Unavailable:
    from fairtrial.analysis.feasibility import measure_feasibility, mock_feasibility  # noqa: PLC0415 - loads the engines

    if mock:
        say("Note:", "SYNTHETIC DATA: traffic and outcomes are made up; plan nothing from them.", style="bold yellow")
        return mock_feasibility(found.spec, at=at, rng=np.random.default_rng(MOCK_SEED))
    known = found.spec.feasibility
    measured = source is not None or (known is not None and known.history is not None and known.history.source is not None)
    with steps(quiet=quiet or not measured) as report:
        return measure_feasibility(found.spec, at=at, source=source, base=found.base, progress=report)


def _validated(found: LoadedSpec, *, as_json: bool) -> int:
    """What can be said without opening anything: the spec is valid, and whether it can be sized."""
    plan = plan_experiment(found.spec)
    lacks = plan.reason if isinstance(plan, Unavailable) else ""
    ready = _has_traffic(found.spec.feasibility)
    if as_json:
        print_json({"experiment": found.spec.key, "valid": True, "plannable": not lacks, "reason": lacks or None, "traffic": ready})
    else:
        say("Valid:", f"{found.spec.key} {found.spec.version}; no data source was opened.")
        if lacks:
            say("Not planned:", lacks, style="bold yellow")
    return 1 if lacks else 0


def _plan_alone(found: LoadedSpec, *, as_json: bool) -> int:
    """Sizes of a spec that says nothing of its traffic."""
    plan = plan_experiment(found.spec)
    if isinstance(plan, Unavailable):
        return _not_planned(found, plan, as_json=as_json)
    if as_json:
        print_json({"experiment": found.spec.key, "plan": msgspec.to_builtins(plan)})
    else:
        render_plan(plan, found.spec, out())
    return 0


def _not_planned(found: LoadedSpec, why: Unavailable, *, as_json: bool) -> int:
    hint = HINTS.get(why.code, "")
    if as_json:
        print_json({"experiment": found.spec.key, "plan": None, "code": why.code, "reason": why.reason, "hint": hint})
    else:
        say("Not planned:", why.reason, style="bold yellow")
        if hint:
            say("What to do:", hint, style="bold")
    return 1


def _write_back(found: LoadedSpec, assessed: Assessment) -> None:
    from fairtrial.evaluation.feasibility_record import patched_version, values_to_write  # noqa: PLC0415
    from fairtrial.spec.write_back import rewritten  # noqa: PLC0415

    version = patched_version(found.spec.version)
    change = {
        "version": version,
        "date": assessed.at.date(),
        "experiment": found.spec.key,
        "level": "patch",
        "description": f"Power analysis written back: {assessed.status}, source {assessed.traffic.data_source}.",
    }
    write_text(found.path, rewritten(found, values_to_write(assessed, found.raw), change=change))
    say("Written back:", f"{found.path} {found.spec.version} -> {version}")
