"""`fairtrial nightly-report`: a look at every running experiment, straight in the database."""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer
from rich.text import Text

from fairtrial.cli.database import DatabaseUrl, the_database
from fairtrial.cli.files import check_outputs, write_text
from fairtrial.cli.options import Json
from fairtrial.cli.output import out, print_json, talk
from fairtrial.cli.token import me
from fairtrial.errors import UsageError
from fairtrial.service.clock import utc_now
from fairtrial.service.jobs.nightly import moment_of
from fairtrial.service.jobs.reports import report_now
from fairtrial.service.notifications.delivery import Postman
from fairtrial.service.notifications.sender import AppriseSender
from fairtrial.service.settings import read_settings
from fairtrial.storage import upgrade


def nightly_report(
    as_of: Annotated[
        str | None, typer.Option(help="Moment it speaks of, such as 2026-03-15T02:00:00Z; nothing later is read. [default: now]")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Write the report as JSON to this file too.", show_default=False)] = None,
    database: DatabaseUrl = None,
    as_json: Json = False,
) -> int:
    """Look at every running experiment: results, alerts, and those that are over completed. Exit 1 when an alert is an error."""
    check_outputs({"--output": output}, [])
    moment = None if as_of is None else _moment(as_of)
    structlog.configure(logger_factory=lambda *_: structlog.WriteLogger(sys.stderr))
    settings = read_settings(database_url=database)
    with the_database(database) as opened:
        upgrade(opened)
        report = report_now(opened, settings, as_of=moment, clock=utc_now, actor=me())
        sent = Postman(opened, AppriseSender(settings.alert_targets), utc_now).deliver()
    if output is not None:
        write_text(output, json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
        talk().print(f"Wrote {output}", highlight=False, markup=False)
    if sent.delivered or sent.failed:
        talk().print(f"{sent.delivered} messages delivered, {sent.failed} will be tried again.", highlight=False)
    if as_json:
        print_json(report)
    else:
        _show(report)
    return 1 if any(alert["severity"] == "error" for alert in report["alerts"]) else 0


def _moment(text: str) -> dt.datetime:
    try:
        given = dt.datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--as-of must be a moment in ISO 8601, got {text!r}.", hint="Such as 2026-03-15T02:00:00Z.") from None
    return moment_of(given)


def _show(report: dict[str, Any]) -> None:
    statuses = Counter("completed" if entry["final"] else "running" for entry in report["experiments"])
    said = f"{statuses['running']} running, {statuses['completed']} completed now, {len(report['skipped'])} left out"
    out().print(f"Nightly report of {report['as_of_date']}: {said}", highlight=False, markup=False)
    for alert in report["alerts"]:
        out().print(Text.assemble((f"{alert['severity']:<8}", _STYLES[alert["severity"]]), alert["message"]), soft_wrap=True)
    for left in report["skipped"]:
        out().print(Text(f"left out Experiment '{left['name']}': {left['reason']}"), soft_wrap=True)
    if not report["alerts"]:
        out().print("No alerts.", highlight=False)


_STYLES = {"error": "bold red", "warning": "yellow", "success": "green", "info": ""}
