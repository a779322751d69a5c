"""`fairtrial novelty`, `interference` and `spillover`: does the effect fade, do controls see the treatment, or feel their neighbours'?"""

from __future__ import annotations

from typing import Annotated

import typer

from fairtrial.analysis.interactions import Located
from fairtrial.analysis.novelty import ExperimentNovelty, analyze_interference, analyze_novelty
from fairtrial.analysis.spillover import analyze_spillover
from fairtrial.cli.analyze import parse_time
from fairtrial.cli.options import Catalog, Json, Target
from fairtrial.cli.output import out, print_json, steps
from fairtrial.cli.targets import find_spec
from fairtrial.diagnostics.daily_effects import MAX_DAYS
from fairtrial.diagnostics.spillover import DRAWS
from fairtrial.errors import UsageError
from fairtrial.reports.novelty import experiment_novelty_dict, interference_dict, render_interference, render_novelty
from fairtrial.reports.spillover import render_spillover, spillover_dict

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


def spillover(
    target: Target,
    network: Annotated[str | None, typer.Option("--network", help="Table with the columns unit and neighbour.")] = None,
    clusters: Annotated[str | None, typer.Option("--clusters", help="Table with the columns unit and cluster instead.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the assignments drawn: the same seed gives the same answer.")] = 1,
    draws: Annotated[int, typer.Option("--draws", min=99, max=1_000_000, help="Assignments drawn.")] = DRAWS,
    source: SourceOption = None,
    catalog: Catalog = None,
    as_json: Json = False,
) -> int:
    """Do control units feel the treatment of their neighbours? Exit 0 whatever is found, 1 if a source failed."""
    one = _located(target, catalog, source)
    with steps(quiet=as_json) as report:
        found = analyze_spillover(one, network=network, clusters=clusters, seed=seed, draws=draws, progress=report)
    if as_json:
        print_json({"experiment_id": one.spec.key, "spillover_result": spillover_dict(found)})
    else:
        render_spillover(found, one.spec.key, out())
    return 0


def _located(name: str, catalog: str | None, source: str | None) -> Located:
    found = find_spec(name, None, catalog)
    return Located(spec=found.spec, base=None if source is not None else found.base, source=source)
