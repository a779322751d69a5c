"""`fairtrial load`: profiles, touchpoints and conversions out of files, straight into the database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from fairtrial.cli.database import DatabaseUrl, the_database
from fairtrial.cli.options import Json
from fairtrial.cli.output import out, print_json
from fairtrial.cli.token import me
from fairtrial.service.clock import utc_now
from fairtrial.service.population.files import load_file
from fairtrial.storage import upgrade


def load(
    what: Annotated[Literal["profiles", "touchpoints", "conversions"], typer.Argument(help="What the rows are.", show_default=False)],
    file: Annotated[Path, typer.Argument(help="A .csv, .ndjson or .jsonl file.", show_default=False)],
    database: DatabaseUrl = None,
    as_json: Json = False,
) -> int:
    """Load the population out of a file; it may be loaded again, repeats are counted. A bad line stores nothing."""
    with the_database(database) as opened:
        upgrade(opened)
        with opened.writing() as session:
            counted = load_file(session, what, file, actor=me(), now=utc_now())
    if as_json:
        print_json(counted)
    else:
        said = ", ".join(f"{number} {name}" for name, number in counted.items())
        out().print(f"{what}: {said}", highlight=False, markup=False)
    return 0
