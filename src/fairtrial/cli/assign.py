"""`fairtrial assign`: a list of units with their arms, and how alike the arms are."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from fairtrial.analysis.assign_list import AssignedList, assign_list
from fairtrial.cli.files import check_outputs, write_bytes
from fairtrial.cli.options import Catalog, Experiment, Json, Target
from fairtrial.cli.output import out, print_json, say
from fairtrial.cli.targets import find_spec
from fairtrial.errors import UsageError
from fairtrial.reports.formatting import clean
from fairtrial.reports.pen import Pen

MOST_STRATA = 40
"""Strata that are printed one by one."""


def assign(
    target: Target,
    units: Annotated[str, typer.Argument(help="The list: a .parquet or .csv file, or the address of a database.", show_default=False)],
    file: Annotated[Path, typer.Option("--out", help="A .parquet or .csv file: unit, arm and stratum.")],
    experiment: Experiment = None,
    catalog: Catalog = None,
    unit: Annotated[str, typer.Option("--unit", help="Column that identifies the unit.")] = "unit",
    table: Annotated[str | None, typer.Option("--table", help="Table, where the list is in a database.")] = None,
    balance_on: Annotated[str, typer.Option("--balance-on", help="Further columns whose balance is reported, with commas between.")] = "",
    rerandomize: Annotated[
        float | None,
        typer.Option("--rerandomize", help="Draw again until the arms are as alike on --balance-on as this share of assignments (0.01)."),
    ] = None,
    given: Annotated[Path | None, typer.Option("--given", help="An earlier list of `assign`: its units keep their arms (blocks).")] = None,
    as_json: Json = False,
) -> int:
    """Assign a list of units by the spec's method, and report how alike the arms are."""
    found = find_spec(target, experiment, catalog)
    if file.suffix not in {".parquet", ".csv"}:
        raise UsageError(f"A list is written to a .parquet or .csv file, got {str(file)!r}.", hint=f"Such as {file.with_suffix('.csv')}.")
    inputs = [found.path, *([Path(units)] if Path(units).is_file() else []), *([] if given is None else [given])]
    check_outputs({"--out": file}, inputs)
    made = assign_list(
        found.spec,
        units,
        unit=unit,
        table=table,
        balance_on=[name.strip() for name in balance_on.split(",") if name.strip()],
        accept=rerandomize,
        given=None if given is None else _given(given),
    )
    write_bytes(file, _written(made, file.suffix))
    if as_json:
        print_json({key: value for key, value in asdict(made).items() if key not in {"units", "arms", "strata"}} | {"file": str(file)})
    else:
        _print(made)
        say("Assigned:", f"{len(made.units):,} units in {file}")
    return 0


def _given(path: Path) -> dict[str, str]:
    """Arms by unit of an earlier list."""
    pc, pq = _arrow(".csv"), _arrow(".parquet")
    try:
        table = pq.read_table(path) if path.suffix == ".parquet" else pc.read_csv(path)
        pairs = zip(table.column("unit").to_pylist(), table.column("arm").to_pylist(), strict=True)
        return {str(one): str(arm) for one, arm in pairs}
    except (OSError, KeyError, ValueError) as error:
        raise UsageError(f"--given is a list that `assign` wrote; cannot read {str(path)!r}: {error}.", hint="unit,arm") from error


def _written(made: AssignedList, suffix: str) -> bytes:
    columns = {"unit": made.units, "arm": made.arms, **({"stratum": made.strata} if made.strata else {})}
    if suffix == ".csv":
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
        return text.getvalue().encode()
    pa = _arrow()
    sink = pa.BufferOutputStream()
    _arrow(".parquet").write_table(pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()}), sink)
    return bytes(sink.getvalue())


def _arrow(part: str = "") -> Any:
    """Arrow or a part of it, which is slow to load and has no types."""
    return import_module(f"pyarrow{part}")


def _print(made: AssignedList) -> None:
    pen = Pen(out())
    how = {"hash": "each unit by its hash", "stratified_blocks": "blocks within strata", "rerandomized": "drawn again until alike"}
    pen.heading("Arms", how[made.method])
    pen.items((pen.text(clean(arm)), pen.text(f"{n:,}")) for arm, n in made.counts.items())
    if made.left_out:
        pen.out(pen.text(f"{made.left_out:,} rows are not eligible and were left out."), indent=2)
    if made.kept:
        pen.out(pen.text(f"{made.kept:,} units had an arm before and keep it."), indent=2)
    if made.draws is not None:
        pen.out(pen.text(f"Taken at draw {made.draws:,}; salt {made.salt!r}, largest distance allowed {made.limit:.4g}."), indent=2)
    if made.pooled:
        pen.out(pen.text(f"{len(made.pooled):,} strata were too small and were pooled: {clean(', '.join(made.pooled[:5]))}."), indent=2)
    if made.by_stratum:
        pen.heading("Strata")
        pen.out(_strata(pen, made), indent=2)
    if made.balance:
        pen.heading("Balance", "standardised differences from the control")
        pen.items(
            (
                pen.text(clean(f"{one.column} ({one.treatment})")),
                pen.text("nothing varies" if one.smd is None else f"{one.smd:+.4f}", "green" if one.balanced else "bold yellow"),
            )
            for one in made.balance
        )


def _strata(pen: Pen, made: AssignedList) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    table.add_column("stratum", overflow="fold")
    for arm in made.counts:
        table.add_column(clean(arm), justify="right")
    for stratum, counts in list(made.by_stratum.items())[:MOST_STRATA]:
        table.add_row(pen.text(clean(stratum)), *(f"{n:,}" for n in counts.values()))
    if len(made.by_stratum) > MOST_STRATA:
        table.add_row(pen.text(f"and {len(made.by_stratum) - MOST_STRATA:,} more", "dim"))
    return table
