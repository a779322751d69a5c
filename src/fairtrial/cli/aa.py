"""`fairtrial aa`: do the tests keep their promise on your own data?"""

from __future__ import annotations

from typing import Annotated

import msgspec
import numpy as np
import typer

from fairtrial.analysis.history import read_history
from fairtrial.cli.options import Catalog, Experiment, Json, Target
from fairtrial.cli.output import out, print_json, steps
from fairtrial.cli.targets import find_spec, randomised
from fairtrial.reports.aa import render_aa
from fairtrial.simulation.aa import aa_test


def aa(
    target: Target,
    experiment: Experiment = None,
    catalog: Catalog = None,
    runs: Annotated[int, typer.Option("--runs", max=10_000_000, help="Assignments drawn anew.")] = 1_000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the random numbers: the same seed gives the same answer.")] = 1,
    source: Annotated[str | None, typer.Option("--source", help="Read this address instead of the spec's.")] = None,
    everyone: Annotated[bool, typer.Option("--everyone", help="Take the units of all arms, not the control's alone.")] = False,
    cluster: Annotated[str | None, typer.Option("--cluster", help="Column whose values are assigned as wholes.")] = None,
    strata: Annotated[str | None, typer.Option("--strata", help="Column within whose values the shares hold exactly.")] = None,
    as_json: Json = False,
) -> int:
    """Assign historic units anew, many times, and test each time: p-values must be uniform.

    Exit 1 if a metric's test rejects more often than it promises.
    """
    found = find_spec(target, experiment, catalog)
    randomised(found, "fairtrial aa")
    with steps(quiet=as_json) as report:
        report("Reading history")
        columns = read_history(
            found.spec,
            source=source,
            base=found.base if source is None else None,
            arm=None if everyone else found.spec.control,
            labels=[name for name in (cluster, strata) if name is not None],
        )
        report(f"Assigning {columns.units:,} units {runs:,} times")
        result = aa_test(found.spec, columns, runs=runs, rng=np.random.default_rng(seed), cluster=cluster, strata=strata)
    if as_json:
        print_json(msgspec.to_builtins(result) | {"passed": result.passed})
    else:
        render_aa(result, out())
    return 0 if result.passed else 1
