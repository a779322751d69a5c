"""`fairtrial generate`: synthetic data of an experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fairtrial.cli.files import check_outputs
from fairtrial.cli.options import Catalog, Experiment, Json, Target
from fairtrial.cli.output import print_json, say
from fairtrial.cli.synthetic_files import check_format, source_of, write_synthetic
from fairtrial.cli.targets import find_spec
from fairtrial.errors import UsageError
from fairtrial.simulation.generate import Recipe, Synthetic, generate_data


def generate(
    target: Target,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Equal seeds give equal data.")],
    out: Annotated[Path, typer.Option("--out", help="File to write: .parquet or .csv for a table of units, .duckdb or .sqlite for logs.")],
    experiment: Experiment = None,
    catalog: Catalog = None,
    units: Annotated[int | None, typer.Option("--units", help="How many units; default: the planned size.")] = None,
    effect: Annotated[
        float | None, typer.Option("--effect", help="Relative effect on the primary metric, as 0.08; default: the planned MDE.")
    ] = None,
    null: Annotated[bool, typer.Option("--null", help="Plant no effect.")] = False,
    correlation: Annotated[
        float | None,
        typer.Option("--correlation", help="Of covariates, strata and segments with the outcome; default: as planned, or 0.5."),
    ] = None,
    late: Annotated[float, typer.Option("--late", help="Of logs: events after the window for each event in it, as 0.1.")] = 0.0,
    duplicates: Annotated[float, typer.Option("--duplicates", help="Of logs: share of events that are sent twice, as 0.02.")] = 0.0,
    contaminated: Annotated[
        float, typer.Option("--contaminated", help="Of logs: share of control units exposed to the treatment, as 0.1.")
    ] = 0.0,
    as_json: Json = False,
) -> int:
    """Make SYNTHETIC data of an experiment: units assigned by its own hash, outcomes drawn from its plan."""
    if null and effect is not None:
        raise UsageError("--null plants no effect, --effect plants one.", hint="Leave one of them out.")
    found = find_spec(target, experiment, catalog)
    recipe = Recipe(
        seed=seed,
        units=units,
        effect=0.0 if null else effect,
        correlation=correlation,
        late=late,
        duplicates=duplicates,
        contaminated=contaminated,
    )
    check_format(out, found.spec)
    check_outputs({"--out": out}, [found.path])
    made = generate_data(found.spec, recipe)
    write_synthetic(made, out, {"synthetic": "true", "experiment": found.spec.key, "seed": str(seed), "effect": str(made.effect)})
    if as_json:
        print_json({"synthetic": True, "experiment": found.spec.key, "source": source_of(out), "seed": seed, **_numbers(made)})
    else:
        _tell(made, out, seed, target)
    return 0


def _numbers(made: Synthetic) -> dict[str, object]:
    rows = {name: len(next(iter(columns.values()))) for name, columns in made.tables.items()}
    return {"shape": made.shape, "units": made.units, "rows": rows, "effect": made.effect, "assumed": list(made.assumed)}


def _tell(made: Synthetic, path: Path, seed: int, target: str) -> None:
    say("SYNTHETIC:", f"{made.units:,} made-up units in {path}, seed {seed}, planted effect {made.effect:+.2%}. Evidence of nothing.")
    for sentence in made.assumed:
        say("Assumed:", sentence)
    say("Read it by:", f"fairtrial analyze {target} --source {source_of(path)}")
