"""The `fairtrial` program: its verbs, and what becomes of an error.

Data goes to stdout, talk to stderr. Exit 0: done; 1: the answer is no, or a
source failed; 2: wrong usage. A verb's module is loaded when the verb is called,
so that the light ones answer at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.core import TyperGroup

from fairtrial.cli.output import fail
from fairtrial.errors import FairtrialError, UsageError


class Verb(NamedTuple):
    """Where a verb's function lives, and what it does in a line."""

    home: str
    function: str
    summary: str


VERBS = {
    "quickstart": Verb("quickstart", "quickstart", "Run a real experiment of 588,101 people from spec to verdict."),
    "validate": Verb("specs", "validate", "Check specs: every broken rule, and what to do."),
    "power": Verb("power", "power", "How many units a plan calls for, and why."),
    "operating-characteristics": Verb(
        "characteristics", "characteristics", "Simulate the spec's own rule: what it concludes, against what is true."
    ),
    "aa": Verb("aa", "aa", "Re-randomise history many times: do the tests keep their promise on your data?"),
    "calibrate": Verb("calibrate", "calibrate", "Measure a method's size, coverage and power by simulation."),
    "analyze": Verb("analyze", "analyze", "Analyse an experiment and decide by its own rule."),
    "list": Verb("specs", "list_experiments", "Name the experiments there are."),
    "show": Verb("specs", "show", "Show a spec for people or as data."),
    "schema": Verb("specs", "schema", "Print the JSON Schema of a spec."),
    "serve": Verb("serve", "serve", "Start the service: REST API, OFREP, jobs, in one process."),
    "db": Verb("database", "db", "Make, renew, check or take back the service's tables."),
    "token": Verb("token", "token", "Make, list and revoke API keys."),
    "version": Verb("specs", "version", "Print the version."),
}

ALIASES = {"oc": "operating-characteristics"}
"""Short names of verbs."""


class Program(TyperGroup):
    """A group whose verbs are loaded when they are called."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        """Names of the verbs, in the order of an experiment's life."""
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        """The verb, built from its function's signature; None when there is no such verb."""
        name = ALIASES.get(cmd_name, cmd_name)
        return build_verb(name) if name in VERBS else None

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """The verbs with their summaries, without loading them."""
        with formatter.section("Verbs"):
            formatter.write_dl([(name, verb.summary) for name, verb in VERBS.items()])


app = typer.Typer(
    name="fairtrial", cls=Program, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
)


@app.callback()
def describe() -> None:
    """Plan, run, check, decide and report experiments."""


def build_verb(name: str) -> Any:
    """The command of a verb; what its function returns becomes the exit code."""
    verb = VERBS[name]
    function: Callable[..., int] = getattr(import_module(f"fairtrial.cli.{verb.home}"), verb.function)

    @wraps(function)
    def run(*arguments: Any, **options: Any) -> None:
        raise typer.Exit(function(*arguments, **options))

    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    alone.command(name)(run)
    return typer.main.get_command(alone)


def main(arguments: list[str] | None = None) -> None:
    """Run the program and exit."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        app(arguments, prog_name="fairtrial")
    except FairtrialError as error:
        fail(error, as_json="--json" in arguments)
        sys.exit(2 if isinstance(error, UsageError) else 1)
