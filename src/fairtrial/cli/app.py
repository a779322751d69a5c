"""The `fairtrial` program: its verbs, and what becomes of an error.

Data goes to stdout, talk to stderr. Exit 0: done; 1: the answer is no, or a
source failed; 2: wrong usage; 130: stopped from the keyboard. A verb's module is
loaded when the verb is called, so that the light ones answer at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from typing import Annotated, Any, NamedTuple, cast

import typer
from typer.core import TyperGroup

from fairtrial._version import __version__
from fairtrial.cli.output import any_text, fail, say
from fairtrial.errors import DataError, FairtrialError, UsageError, did_you_mean

STOPPED = 130
"""Exit code of a program that was stopped from the keyboard."""

WrongCall = cast("type[typer.BadParameter]", typer.BadParameter.__base__)
"""What the parser raises for a wrong option or argument."""


class Verb(NamedTuple):
    """Where a verb's function lives, and what it does in a line."""

    home: str
    function: str
    summary: str


VERBS = {
    "quickstart": Verb("quickstart", "quickstart", "Run a real experiment of 588,101 people from spec to verdict."),
    "init": Verb("start", "init", "Write a spec to start from, by template."),
    "validate": Verb("specs", "validate", "Check specs: every broken rule, and what to do."),
    "power": Verb("power", "power", "How many units a plan calls for, and why."),
    "operating-characteristics": Verb(
        "characteristics", "characteristics", "Simulate the spec's own rule: what it concludes, against what is true."
    ),
    "aa": Verb("aa", "aa", "Re-randomise history many times: do the tests keep their promise on your data?"),
    "calibrate": Verb("calibrate", "calibrate", "Measure a method's size, coverage and power by simulation."),
    "assign": Verb("assign", "assign", "Assign a list of units, and say how alike the arms are."),
    "generate": Verb("generate", "generate", "Make SYNTHETIC data of an experiment, to rehearse it."),
    "simulate": Verb("simulate", "simulate", "Simulate a rollout of a feature, day by day, to its decision."),
    "analyze": Verb("analyze", "analyze", "Analyse an experiment and decide by its own rule."),
    "novelty": Verb("novelty", "novelty", "Does the effect fade, or grow, with the days since first exposure?"),
    "interference": Verb("novelty", "interference", "Do control units see the treatment?"),
    "verify": Verb("verify", "verify", "Make a scorecard again and say whether it is equal, or what differs."),
    "list": Verb("specs", "list_experiments", "Name the experiments there are."),
    "show": Verb("specs", "show", "Show a spec for people or as data."),
    "diff": Verb("changes", "diff", "What changed between two specs, and the version that calls for."),
    "bump": Verb("changes", "bump", "Move the version of a spec and log it; comments stay."),
    "plan": Verb("deployment", "plan", "What `apply` would change on a service."),
    "apply": Verb("deployment", "apply", "Make a service run the specs: create drafts, add versions."),
    "schema": Verb("specs", "schema", "Print the JSON Schema of a spec."),
    "serve": Verb("serve", "serve", "Start the service: REST API, OFREP, jobs, in one process."),
    "dashboard": Verb("serve", "dashboard", "Start the dashboard alone, over a service or a folder of scorecards."),
    "gateway": Verb("gateway", "gateway", "Route predictions to a champion and its challengers, watched."),
    "rollout": Verb("rollout", "rollout", "Show, stop, pause, resume, approve or restart the rollout of a model."),
    "monitor": Verb("monitor", "monitor", "Read the guardrails of a model experiment; stop it when one is broken."),
    "replay": Verb("rollout", "replay", "Run the guardrails of a model experiment over logged traffic."),
    "db": Verb("database", "db", "Make, renew, check or take back the service's tables."),
    "load": Verb("load", "load", "Load profiles, touchpoints or conversions into the service's database."),
    "token": Verb("token", "token", "Make, list and revoke API keys."),
    "interaction": Verb("interactions", "interaction", "Does the effect of one experiment depend on the arm of another?"),
    "spillover": Verb("novelty", "spillover", "Do control units feel the treatment of their neighbours?"),
    "bandit": Verb("bandit", "bandit", "Read the decision log of a bandit, or rehearse one."),
    "drift": Verb("drift", "drift", "Have inputs or scores moved since, or between arms?"),
    "scan-interactions": Verb("interactions", "scan_interactions", "Look at every pair of experiments that run at once."),
    "nightly-report": Verb("nightly_report", "nightly_report", "Look at every running experiment and say what is worth telling."),
    "version": Verb("version", "version", "Print the version."),
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

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The verb that the first word names.

        Raises:
            UsageError: There is none of that name.
        """
        if args and not args[0].startswith("-") and args[0] not in VERBS and args[0] not in ALIASES:
            known = [*VERBS, *ALIASES]
            hint = did_you_mean(args[0], known) or "See `fairtrial --help`."
            raise UsageError(f"No such command {args[0]!r}. Known: {known}.", hint=hint)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """The verbs with their summaries, without loading them."""
        with formatter.section("Verbs"):
            formatter.write_dl([(name, verb.summary) for name, verb in VERBS.items()])


app = typer.Typer(
    name="fairtrial", cls=Program, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def describe(
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")] = False,
) -> None:
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
    as_json = "--json" in arguments
    any_text()
    try:
        code = app(arguments, prog_name="fairtrial", standalone_mode=False)
    except FairtrialError as error:
        code = _refused(error, as_json=as_json)
    except WrongCall as error:
        if as_json:
            code = _refused(UsageError(error.format_message(), hint="See `fairtrial --help`."), as_json=True)
        else:
            error.show()
            code = 2
    except OSError as error:
        what = error.strerror or str(error)
        where = f" {str(error.filename)!r}" if error.filename else ""
        code = _refused(DataError(f"The system refused{where}: {what}.", hint="Check permissions and free space."), as_json=as_json)
    except MemoryError:
        hint = "Ask for fewer runs, or let a database do the reading (data.source: postgresql://...)."
        code = _refused(DataError("There is not enough memory for this.", hint=hint), as_json=as_json)
    sys.exit(_stopped() if code == STOPPED else code)


def _refused(error: FairtrialError, *, as_json: bool) -> int:
    fail(error, as_json=as_json)
    return 2 if isinstance(error, UsageError) else 1


def _stopped() -> int:
    say("Stopped", "from the keyboard; no file was left half written.", style="bold yellow")
    return STOPPED
