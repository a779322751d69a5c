"""Verbs that bring specs to a service: plan says what would change, apply changes it.

Nothing that runs is edited: a draft is made or rewritten, an experiment that has started gets a new version, and what
a started plan does not allow is refused. Applying the same specs again, or twice at once, changes nothing more.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Literal

import typer
from rich.text import Text

from fairtrial.cli.changes import change_line
from fairtrial.cli.options import Catalog, Json
from fairtrial.cli.output import out, print_json, say
from fairtrial.cli.targets import find_many
from fairtrial.client import Client
from fairtrial.errors import ConflictError, ConnectorError, FairtrialError, UnknownNameError, UsageError
from fairtrial.spec import LoadedSpec, parse_spec
from fairtrial.spec.diff import SpecChange, compare_trees
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.freezing import frozen_changes
from fairtrial.spec.versions import largest, version_problems

Action = Literal["create", "rewrite", "new version", "none", "refused"]

SERVED = ("ab_test", "holdout", "factorial")
"""Kinds of experiments that a service assigns."""

MARKS: dict[Action, tuple[str, str]] = {
    "create": ("+", "green"),
    "rewrite": ("~", "yellow"),
    "new version": ("~", "yellow"),
    "none": ("=", "dim"),
    "refused": ("!", "bold red"),
}
TRIES = 3
"""How often a step is planned anew when somebody else was quicker."""

Target = Annotated[str, typer.Argument(help="A spec file, a folder of them, a name, or a catalog.", show_default=False)]
Service = Annotated[str, typer.Option("--service", help="Address of the service.", envvar="FAIRTRIAL_SERVICE")]
Token = Annotated[
    str | None,
    typer.Option("--token", help="API key of a DEVELOPER (plan: VIEWER). The variable keeps it out of logs.", envvar="FAIRTRIAL_TOKEN"),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What becomes of one experiment.

    Attributes:
        found: Its spec.
        action: What is to be done, or why not.
        status: What it is on the service; None when it is not there.
        changes: What differs from the service's newest version.
        why: Why it is refused.
    """

    found: LoadedSpec
    action: Action
    status: str | None = None
    changes: Sequence[SpecChange] = ()
    why: str = ""

    @property
    def key(self) -> str:
        """The experiment."""
        return self.found.spec.key


def plan(
    target: Target,
    service: Service,
    token: Token = None,
    catalog: Catalog = None,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit 2 if something would change, 0 if nothing would.")] = False,
    as_json: Json = False,
) -> int:
    """What `apply` would change on a service; nothing is changed. Exit 1 if something would be refused."""
    with _client(service, token) as client:
        steps = [_step(client, found) for found in find_many(target, catalog)]
    if as_json:
        print_json({"service": service, "changes": _count(steps), "steps": [_as_json(step) for step in steps]})
    else:
        _render(steps)
    if any(step.action == "refused" for step in steps):
        return 1
    return 2 if exit_code and _count(steps) else 0


def apply(
    target: Target,
    service: Service,
    token: Token = None,
    catalog: Catalog = None,
    reason: Annotated[str | None, typer.Option("--reason", help="Why, for the versions; default: the change log's line.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; a program is never asked.")] = False,
    as_json: Json = False,
) -> int:
    """Make a service run the specs: create drafts, rewrite drafts, add versions to what runs.

    What has started is never edited: it gets a new version, or the change is refused. If one step would be refused,
    none is taken. Applying again changes nothing. Exit 1 if a step was refused.
    """
    specs = find_many(target, catalog)
    with _client(service, token) as client:
        steps = [_step(client, found) for found in specs]
        refused = any(step.action == "refused" for step in steps)
        if not as_json:
            _render(steps)
        if not refused and _count(steps) and not yes and not as_json and sys.stdin.isatty() and not typer.confirm("Apply?", err=True):
            return 1
        done = [] if refused else [_take(client, step, reason) for step in steps]
    if as_json:
        print_json({"service": service, "applied": not refused, "steps": [_as_json(step) for step in done or steps]})
    elif done:
        for step in done:
            if step.action not in {"none", "refused"}:
                say("Done:", f"{step.action} {step.key}")
    return 1 if refused or any(step.action == "refused" for step in done) else 0


@contextmanager
def _client(service: str, token: str | None) -> Generator[Client]:
    if not service.startswith(("http://", "https://")):
        raise UsageError(f"A service is named by its address, got {service!r}.", hint="Such as --service http://127.0.0.1:8000.")
    with Client(service, token or None) as client:
        yield client


def _step(client: Client, found: LoadedSpec) -> Step:
    """What is to be done about one spec."""
    spec = found.spec
    if spec.kind not in SERVED:
        why = f"the service assigns experiments of kind {', '.join(SERVED)}; `fairtrial analyze` reads kind {spec.kind}"
        return Step(found=found, action="refused", why=why)
    try:
        row = client.experiment(spec.key)
    except UnknownNameError as error:
        if error.code != "unknown_experiment":
            raise ConnectorError(f"The address must be that of a fairtrial service: {error.message}", hint="Check --service.") from error
        return Step(found=found, action="create")
    newest = client.versions(spec.key)[0]
    status: str = row["status"]
    old, new = _plain(parse_spec(newest["spec"])), _plain(spec)
    if old == new:
        return Step(found=found, action="none", status=status)
    changes = compare_trees(old.model_dump(mode="json"), new.model_dump(mode="json"))
    why = _refusal(found, old, changes, status=status, started=newest["frozen_at"] is not None)
    action: Action = "refused" if why else "new version" if newest["frozen_at"] else "rewrite"
    return Step(found=found, action=action, status=status, changes=changes, why=why)


def _refusal(found: LoadedSpec, old: ExperimentSpec, changes: Sequence[SpecChange], *, status: str, started: bool) -> str:
    """Why a change is not possible; empty when it is."""
    key = found.spec.key
    if status not in {"draft", "running"}:
        return f"it is {status}: what has ended keeps its spec; give the new experiment another key"
    if not started:
        return ""
    frozen = frozen_changes(old, found.spec)
    if frozen:
        return f"it has started, so its {', '.join(frozen)} stay as they were; for another plan make another experiment"
    needed = largest(change.level for change in changes)
    problems = version_problems(key, old.version, found.spec.version, needed, found.change_log)
    return " ".join(problem.text for problem in problems)


def _take(client: Client, step: Step, reason: str | None) -> Step:
    """Take a step; when somebody else was quicker, see what is left of it."""
    for _ in range(TRIES):
        if step.action in {"none", "refused"}:
            return step
        body = _plain(step.found.spec).model_dump(mode="json", exclude_defaults=True)
        try:
            if step.action == "create":
                client.create_from_spec(body)
            else:
                client.add_version(step.key, body, reason or _reason(step.found))
        except ConflictError as error:
            again = _step(client, step.found)
            if again.action == step.action:
                raise _told(error, step) from error
            step = again
        except UsageError as error:
            raise _told(error, step) from error
        else:
            return step
    return step


def _told(error: FairtrialError, step: Step) -> FairtrialError:
    """The service's refusal, with the name of the experiment."""
    return type(error)(f"{step.action.capitalize()} {step.key!r}: {error.message}", hint=error.hint, code=error.code)


def _plain(spec: ExperimentSpec) -> ExperimentSpec:
    """A spec as the service keeps it: the status is the service's own."""
    return spec.model_copy(update={"status": None})


def _reason(found: LoadedSpec) -> str:
    line = next((line for line in found.change_log if line.version == found.spec.version), None)
    return f"{found.spec.version}: {line.description}" if line is not None else f"fairtrial apply, version {found.spec.version}"


def _count(steps: Sequence[Step]) -> int:
    return sum(step.action in {"create", "rewrite", "new version"} for step in steps)


def _as_json(step: Step) -> dict[str, object]:
    return {
        "experiment": step.key,
        "version": step.found.spec.version,
        "action": step.action,
        "status": step.status,
        "why": step.why,
        "changes": [
            {"path": change.path, "kind": change.kind, "level": change.level, "before": change.before, "after": change.after}
            for change in step.changes
        ],
    }


def _render(steps: Sequence[Step]) -> None:
    for step in steps:
        mark, style = MARKS[step.action]
        action = "no change" if step.action == "none" else step.action
        status = f" ({step.status})" if step.status else ""
        out().print(Text.assemble((mark, style), f" {step.key}  {step.found.spec.version}  ", (action, style), status), soft_wrap=True)
        if step.why:
            out().print(Text(f"    {step.why}"), soft_wrap=True)
        for change in step.changes:
            out().print(Text(f"    {change_line(change)}"), soft_wrap=True)
    actions = [step.action for step in steps]
    rewritten = actions.count("rewrite") + actions.count("new version")
    same, refused = actions.count("none"), actions.count("refused")
    out().print(f"{actions.count('create')} to create, {rewritten} to change, {same} unchanged, {refused} refused", highlight=False)
