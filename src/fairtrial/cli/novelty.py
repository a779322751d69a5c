"""`fairtrial novelty` and `fairtrial interference`: does the effect fade, and do controls see the treatment?"""

from __future__ import annotations

from typing import Annotated

import typer

from fairtrial.analysis.interactions import Located
from fairtrial.analysis.novelty import ExperimentNovelty, analyze_interference, analyze_novelty
from fairtrial.cli.analyze import parse_time
from fairtrial.cli.options import Catalog, Json, Target
from fairtrial.cli.output import out, print_json, steps
from fairtrial.cli.targets import find_spec
from fairtrial.diagnostics.daily_effects import MAX_DAYS
from fairtrial.errors import UsageError
from fairtrial.reports.novelty import experiment_novelty_dict, interference_dict, render_interference, render_novelty

SourceOption = Annotated[str | None, typer.Option("--source", help="Read this address instead of the spec's.")]
AsOf = Annotated[str | None, typer.Option("--as-of", help="Nothing dated from this moment on is read, ISO 8601.")]


def novelty(
    target: Target,
    other: Annotated[str | None, typer.Argument(help="A second experiment.", show_default=False)] = None,
    treatment: Annotated[str | None, typer.Option("--treatment", help="Which treatment. [default: the first]", show_default=False)] = None,
    days: Annotated[int, typer.Option("--days", help="Days since first exposure to look at, at most.")] = MAX_DAYS,
    source: SourceOption = None,
    as_of: AsOf = None,
    catalog: Catalog = None,
    as_json: Json = False,
) -> int:
    """Does the effect fade, or grow, with the days since first exposure? Exit 0 whatever is found, 1 if a source failed."""
    if other is not None and (source is not None or treatment is not None):
        raise UsageError("--source and --treatment are of one experiment, two are named.", hint="Name one experiment.")
    moment = None if as_of is None else parse_time(as_of)
    found: list[ExperimentNovelty] = []
    with steps(quiet=as_json) as report:
        for name in (target, other):
            if name is not None:
                one = _located(name, catalog, source)
                found.append(analyze_novelty(one, treatment=treatment, as_of=moment, days=days, progress=report))
    if as_json:
        print_json({"experiments": [experiment_novelty_dict(one) for one in found]})
    else:
        for one in found:
            render_novelty(one, out())
    return 0


def interference(
    target: Target,
    listed: Annotated[int, typer.Option("--list", help="Ids of exposed control units to list, at most.", min=0)] = 0,
    source: SourceOption = None,
    as_of: AsOf = None,
    catalog: Catalog = None,
    as_json: Json = False,
) -> int:
    """Do control units see the treatment? Exit 0 whatever is found, 1 if a source failed."""
    moment = None if as_of is None else parse_time(as_of)
    one = _located(target, catalog, source)
    with steps(quiet=as_json) as report:
        result = analyze_interference(one, as_of=moment, listed=listed, progress=report)
    if as_json:
        print_json({"experiment_id": one.spec.key, "sutva_result": interference_dict(result)})
    else:
        render_interference(result, one.spec.key, out())
    return 0


def _located(name: str, catalog: str | None, source: str | None) -> Located:
    found = find_spec(name, None, catalog)
    return Located(spec=found.spec, base=None if source is not None else found.base, source=source)
