"""`fairtrial drift`: have inputs or scores moved since, or between arms?"""

from __future__ import annotations

from typing import Annotated

import typer

from fairtrial.analysis.drift import DriftLimits, analyze_drift, read_table
from fairtrial.cli.analyze import parse_time
from fairtrial.cli.options import Json
from fairtrial.cli.output import out, print_json, steps
from fairtrial.diagnostics.drift import KS_LIMIT, PSI_LIMIT
from fairtrial.reports.drift import drift_dict, render_drift


def drift(
    current: Annotated[str, typer.Argument(help="A Parquet, CSV or NDJSON file: a prediction log, or any table.", show_default=False)],
    reference: Annotated[str | None, typer.Option("--reference", help="File to compare with.")] = None,
    split_at: Annotated[str | None, typer.Option("--split-at", help="Compare rows from this moment on with those before it.")] = None,
    by: Annotated[str | None, typer.Option("--by", help="Column of arms: compare each with champion, control or the most common.")] = None,
    time: Annotated[str, typer.Option("--time", help="Column of the time, for --split-at.")] = "timestamp",
    columns: Annotated[str | None, typer.Option("--columns", help="Which columns, with commas between. [default: all but ids]")] = None,
    psi_limit: Annotated[float, typer.Option("--psi", help="Population stability index above which a column moved.")] = PSI_LIMIT,
    ks_limit: Annotated[float, typer.Option("--ks-p", help="Corrected p-value below which a column moved.")] = KS_LIMIT,
    min_distance: Annotated[float, typer.Option("--min-distance", help="Distance below which a significant shift does not count.")] = 0.0,
    as_json: Json = False,
) -> int:
    """Have inputs or scores moved? Exit 0 if none has, 1 if one has or a file cannot be read."""
    limits = DriftLimits(psi=psi_limit, ks_p_value=ks_limit, min_distance=min_distance)
    with steps(quiet=as_json) as report:
        report("Reading the columns")
        found = analyze_drift(
            read_table(current),
            None if reference is None else read_table(reference),
            split_at=None if split_at is None else parse_time(split_at),
            by=by,
            time=time,
            columns=None if columns is None else [name.strip() for name in columns.split(",") if name.strip()],
            limits=limits,
        )
    if as_json:
        print_json(drift_dict(found))
    else:
        render_drift(found, out())
    return 1 if found.drifted else 0
