"""`fairtrial rollout` and `fairtrial replay`: where an experiment of models stands, and what its watch would have done."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table
from rich.text import Text

from fairtrial.cli.database import DatabaseUrl, the_database
from fairtrial.cli.options import Json
from fairtrial.cli.output import out, print_json
from fairtrial.cli.token import me
from fairtrial.errors import UsageError
from fairtrial.service.clock import utc_now
from fairtrial.service.models.control import change, shown
from fairtrial.service.models.schemas import ModelExperimentOut
from fairtrial.service.settings import read_settings
from fairtrial.serving import read_log
from fairtrial.serving.records import iso
from fairtrial.serving.replay import Replayed
from fairtrial.serving.replay import replay as run_replay
from fairtrial.spec.model_file import load_model_experiment
from fairtrial.storage import upgrade
from fairtrial.storage.deployments import get_deployment

Action = Literal["status", "stop", "pause", "resume", "approve", "restart"]


def rollout(
    name: Annotated[str, typer.Argument(help="The experiment of models.")],
    action: Annotated[
        Action,
        typer.Argument(
            help="`status` shows it; `stop` gives the champion all traffic for good, `pause` and `resume` hold it in its stage, "
            "`approve` lets it one stage further, `restart` begins it anew."
        ),
    ] = "status",
    reason: Annotated[str | None, typer.Option(help="Why; needed for every change.", show_default=False)] = None,
    database: DatabaseUrl = None,
    as_json: Json = False,
) -> int:
    """Show or change the rollout of a challenger; gateways obey within a second. Exit 1 when it is stopped."""
    if action != "status" and not (reason and reason.strip()):
        raise UsageError(f"To {action} a rollout a reason is needed, got none.", hint="Pass --reason.")
    settings = read_settings(database_url=database)
    with the_database(database) as opened:
        upgrade(opened)
        if action != "status":
            with opened.writing() as session:
                change(session, name, action, reason or "", actor=me(), now=utc_now(), settings=settings)
        with opened.reading() as session:
            found = shown(get_deployment(session, name))
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        _show(found)
    return 1 if found.status == "stopped" else 0


def replay(
    spec: Annotated[Path, typer.Argument(help="File with the experiment and its `serving:` block.")],
    log: Annotated[Path, typer.Argument(help="Folder of the prediction log.")],
    experiment: Annotated[str | None, typer.Option(help="Which experiment, when the file holds several.")] = None,
    check_seconds: Annotated[
        float | None, typer.Option(help="How often guardrails are read. [default: as the spec says]", min=0.001, show_default=False)
    ] = None,
    as_json: Json = False,
) -> int:
    """Run the guardrails over logged traffic: would they have stopped it, when, and why? Exit 1 when they would."""
    served = load_model_experiment(spec, experiment)
    read = read_log(log)
    rows = [row for row in read.rows if row.get("experiment") == served.config.name]
    if not rows:
        raise UsageError(f"The log in {str(log)!r} has no prediction of {served.config.name!r} among {len(read.rows)} lines.")
    found = run_replay(
        rows, served.config, served.serving.rollout.watch, columns=served.serving.features.segments, check_seconds=check_seconds
    )
    if as_json:
        print_json(_replayed(found, rows=len(rows), broken=read.broken))
    else:
        _show_replay(found, rows=len(rows), broken=read.broken)
    return 0 if found.stopped_at is None else 1


def _replayed(found: Replayed, *, rows: int, broken: int) -> dict[str, Any]:
    return {
        "stopped_at": None if found.stopped_at is None else iso(found.stopped_at),
        "metric": found.metric,
        "model": found.model,
        "challenger_requests": found.n,
        "checks": found.checks,
        "rows": rows,
        "broken_lines": broken,
        "guardrails": found.reading.as_json(),
    }


def _show_replay(found: Replayed, *, rows: int, broken: int) -> None:
    said = f"{rows} predictions, {found.checks} checks" + (f", {broken} lines that cannot be read" if broken else "")
    out().print(Text(said))
    if found.stopped_at is None:
        out().print(Text("No guardrail would have stopped it."))
    else:
        out().print(Text(f"Stopped at {iso(found.stopped_at)} after {found.n} challenger requests: {found.reading.reason}."))
    table = Table("guardrail", "challenger", "value", "limits", "n", "status", box=None)
    for guard in found.reading.guards:
        low, high = guard.threshold
        limits = " to ".join("" if end is None else f"{end:g}" for end in (low, high)).strip()
        value = "none" if guard.value is None else f"{guard.value:.4g}"
        table.add_row(guard.metric, Text(guard.model), value, limits, str(guard.n), guard.status)
    out().print(table)
    if found.reading.unwatched:
        out().print(Text(f"Not read from requests: {', '.join(found.reading.unwatched)}."))


def _show(found: ModelExperimentOut) -> None:
    head = f"{found.experiment_name}: {found.status} at stage {found.stage}, challengers get {found.share:.2%}"
    out().print(Text(head, style="bold"))
    for model, share in found.traffic_allocation.items():
        out().print(Text(f"  {share:>8.2%}  {model}"))
    table = Table("when", "what", "stage", "share", "why", "by", box=None)
    for event in found.history:
        cells = (event["at"][:19], event["what"], event["stage"], f"{event['share']:.2%}", event["reason"], event["by"])
        table.add_row(*(Text(cell) for cell in cells))
    out().print(table)
