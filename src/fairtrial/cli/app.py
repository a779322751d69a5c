"""The `fairtrial` program: its verbs, and what becomes of an error.

Data goes to stdout, talk to stderr. Exit 0: done; 1: the answer is no, or a
source failed; 2: wrong usage.
"""

from __future__ import annotations

import os
import sys

import click
import typer

from fairtrial.cli import analyze, catalog, quickstart
from fairtrial.cli.output import fail
from fairtrial.errors import FairtrialError, UsageError

app = typer.Typer(
    name="fairtrial",
    help="Plan, run, check, decide and report experiments.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.command("quickstart")(quickstart.quickstart)
app.command("validate")(catalog.validate)
app.command("power")(catalog.power)
app.command("analyze")(analyze.analyze)
app.command("list")(catalog.list_experiments)
app.command("show")(catalog.show)
app.command("schema")(catalog.schema)
app.command("version")(catalog.version)


def main(arguments: list[str] | None = None) -> None:
    """Run the program and exit."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        code = app(arguments, standalone_mode=False)
    except FairtrialError as error:
        fail(error, as_json="--json" in arguments)
        sys.exit(2 if isinstance(error, UsageError) else 1)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader hung up: nobody to tell
        sys.exit(141)
    sys.exit(code if isinstance(code, int) else 0)
