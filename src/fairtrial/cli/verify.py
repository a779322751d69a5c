"""`fairtrial verify`: make a scorecard again and compare."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.text import Text

from fairtrial.analysis import analyze_spec
from fairtrial.analysis.verify import CAUSES, MISSING, Verification, compare_scorecards
from fairtrial.cli.analyze import parse_time, read_looks
from fairtrial.cli.files import read_look
from fairtrial.cli.options import Catalog, Experiment, Json, Target
from fairtrial.cli.output import out, print_json, say, steps
from fairtrial.cli.targets import find_spec
from fairtrial.errors import UsageError
from fairtrial.spec.experiment import ExperimentSpec

SHOWN = 20
"""Differences that are shown to people; --json has them all."""

SAYS = {
    "equal": "Equal: the same scorecard to the last bit.",
    "equal_but_rounding": "Equal but for rounding: every number within one part in a billion.",
    "different": "Different.",
}


def verify(
    scorecard: Annotated[Path, typer.Argument(help="A scorecard that `fairtrial analyze --scorecard` wrote.", show_default=False)],
    target: Target,
    experiment: Experiment = None,
    catalog: Catalog = None,
    source: Annotated[str | None, typer.Option("--source", help="Read this address instead of the spec's.")] = None,
    previous: Annotated[list[Path] | None, typer.Option("--previous", help="Scorecard of an earlier look; repeat in order.")] = None,
    as_json: Json = False,
) -> int:
    """Make a scorecard again, from its spec and data, and say whether it is equal or what differs.

    Exit 1 if it differs.
    """
    found = find_spec(target, experiment, catalog)
    stored = _stored(scorecard, found.spec)
    earlier = previous or []
    if len(earlier) != stored["looks"]:
        raise UsageError(
            f"The scorecard was made after {stored['looks']} earlier looks, got {len(earlier)}.",
            hint="Name their scorecards with --previous, oldest first.",
        )
    moment = None if stored["as_of"] is None else parse_time(stored["as_of"])
    with steps(quiet=as_json) as report_step:
        looks = read_looks(earlier, found.spec)
        card = analyze_spec(found.spec, base=None if source else found.base, source=source, looks=looks, as_of=moment, progress=report_step)
    verification = compare_scorecards(stored, json.loads(card.to_json()))
    if as_json:
        rows = [{"path": one.path, "before": one.before, "now": one.now} for one in verification.differences]
        print_json({"experiment": found.spec.key, "result": verification.result, "causes": verification.causes, "differences": rows})
    else:
        _tell(verification, stored["code_version"], card.code_version)
    return 0 if verification.reproduced else 1


def _stored(path: Path, spec: ExperimentSpec) -> dict[str, Any]:
    read_look(path, spec)
    return cast("dict[str, Any]", json.loads(path.read_bytes()))


def _tell(verification: Verification, before: str, now: str) -> None:
    out().print(SAYS[verification.result])
    for cause in verification.causes:
        out().print(f"  {CAUSES[cause]}" + (f" It was {before}, this is {now}." if cause == "version" else ""))
    for one in verification.differences[:SHOWN]:
        out().print(Text.assemble(f"  {one.path}: ", (_short(one.before), "red"), " -> ", (_short(one.now), "green")), soft_wrap=True)
    if len(verification.differences) > SHOWN:
        say("Note:", f"{len(verification.differences) - SHOWN} more; --json has them all.")


def _short(value: object) -> str:
    text = MISSING if value == MISSING else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "..."
