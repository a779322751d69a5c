"""Options that several verbs share."""

from __future__ import annotations

from typing import Annotated

import typer

Target = Annotated[str, typer.Argument(help="A spec file, a folder of them, or a name in the catalog.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
Experiment = Annotated[str | None, typer.Option("--experiment", "-e", help="Which one, when the file holds several.")]
Catalog = Annotated[
    str | None,
    typer.Option(
        "--catalog",
        help="Where names are looked up: a file, a folder, package:NAME, or git+file:///REPOSITORY@REVISION.",
        envvar="FAIRTRIAL_CATALOG",
    ),
]
