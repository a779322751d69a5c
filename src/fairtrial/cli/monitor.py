"""`fairtrial monitor`: one look at the guardrails of a model experiment, for cron and for people."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import structlog
import typer
from rich.table import Table
from rich.text import Text

from fairtrial.cli.database import DatabaseUrl, the_database
from fairtrial.cli.options import Json
from fairtrial.cli.output import out, print_json
from fairtrial.service.monitoring import monitor_experiment_health
from fairtrial.storage import upgrade


def monitor(
    name: Annotated[str | None, typer.Argument(help="Which experiment; default: the only one.", show_default=False)] = None,
    database: DatabaseUrl = None,
    as_json: Json = False,
) -> int:
    """Read the guardrails of a model experiment; what is broken stops it. Exit 1 when it is stopped or a guardrail is broken."""
    structlog.configure(logger_factory=lambda *_: structlog.WriteLogger(sys.stderr))
    with the_database(database) as opened:
        upgrade(opened)
        found = monitor_experiment_health(name, database=opened)
    if as_json:
        print_json(_plain(found))
    else:
        _show(found)
    return 1 if found["status"] == "stopped" or found["guardrails"]["has_violations"] else 0


def _plain(found: dict[str, Any]) -> dict[str, Any]:
    violations = [{**item, "timestamp": item["timestamp"].isoformat().replace("+00:00", "Z")} for item in found["guardrails"]["violations"]]
    return {**found, "guardrails": {**found["guardrails"], "violations": violations}}


def _show(found: dict[str, Any]) -> None:
    head = f"{found['experiment_name']}: {found['status']}" + (", stopped now" if found["stopped"] else "")
    out().print(Text(head, style="bold"))
    if found["reason"]:
        out().print(Text(f"{found['reason']}."))
    table = Table("guardrail", "value", "limits", "n", "status", box=None, title="last 15 minutes", title_justify="left")
    for name, check in found["guardrails"]["metrics"].items():
        table.add_row(Text(name), *_cells(check["value"], check["threshold"], check["n"], check["status"]))
    out().print(table)
    whole = Table("guardrail", "challenger", "value", "limits", "n", "status", box=None, title="whole run", title_justify="left")
    for guard in found["watch"]["guards"]:
        value, limits, n, status = _cells(guard["value"], guard["threshold"], guard["n"], guard["status"])
        whole.add_row(Text(guard["metric"]), Text(guard["model"]), value, limits, n, status)
    out().print(whole)


def _cells(value: float | None, threshold: Any, n: int, status: str) -> tuple[str, str, str, str]:
    low, high = threshold
    limits = f"{'' if low is None else f'{low:g}'} to {'' if high is None else f'{high:g}'}".strip()
    return ("none" if value is None else f"{value:.4g}", limits, str(n), status)
