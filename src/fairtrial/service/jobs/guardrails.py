"""Checks between the nightly reports: harm that is already certain, and what makes results worthless.

Nothing is stored as a look. A sample-ratio mismatch and significant harm raise the same
alert as the nightly report would, so that each is told once; the p of harm is always
valid, so asking every hour does not spoil it.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import structlog
from sqlalchemy.orm import Session

from fairtrial.errors import FairtrialError
from fairtrial.service.bodies import iso
from fairtrial.service.jobs.nightly import Guard, notices_of, phase_of
from fairtrial.service.notifications.alerts import Audience, Notice, raise_alerts
from fairtrial.service.results.results import read_results
from fairtrial.storage import Database
from fairtrial.storage.experiments import find_experiment, running_experiments
from fairtrial.storage.tables import Experiment

LIMIT = "max_contamination_rate"
"""Key of an experiment's `guardrails`: the share of exposed controls above which to raise the alarm."""

log = structlog.get_logger("fairtrial.jobs")


def check_guardrails(database: Database, *, as_of: dt.datetime, now: dt.datetime, audience: Audience, guard: Guard) -> dict[str, Any]:
    """Check every running experiment.

    Returns:
        How many were checked, and the ids of those that have something wrong.

    Raises:
        StorageError: The store failed for good.
        StopJobError: The guard said so.
    """
    with database.reading() as session:
        todo = [row.id for row in running_experiments(session)]
    checked, wrong = 0, list[int]()
    for experiment in todo:
        with database.reading() as session:
            notices = _check(session, experiment, as_of)
        if notices is None:
            continue
        checked += 1
        if notices:
            wrong.append(experiment)
            with database.writing() as session:
                guard(session)
                raise_alerts(session, notices, audience, now=now)
    return {"as_of": iso(as_of), "checked": checked, "alerting": wrong}


def _check(session: Session, experiment: int, as_of: dt.datetime) -> list[Notice] | None:
    row = find_experiment(session, experiment)
    if row is None or row.status != "running":
        return None
    try:
        if phase_of(row, as_of)[0] != "within":
            return None
        return bad_news(session, row, read_results(session, str(row.id), now=as_of, until=as_of))
    except Exception as error:  # one experiment's failure is an alert, the others go on
        log.exception("experiment not checked", experiment_id=experiment)
        reason = error.message.rstrip(".") if isinstance(error, FairtrialError) else f"internal error ({type(error).__name__})"
        text = f"Experiment '{row.name}' failed: {reason}"
        return [Notice(experiment_id=row.id, severity="error", message=text, dedupe_key=f"check:{row.id}:{as_of:%Y-%m-%d}")]


def bad_news(session: Session, row: Experiment, results: dict[str, Any]) -> list[Notice]:
    """What of an experiment's results cannot wait for the night."""
    found = [notice for notice in notices_of(session, row, results, fixed=False) if notice.severity in {"error", "warning"}]
    limit, rate = (row.guardrails_json or {}).get(LIMIT), results["contamination_rate"]
    if isinstance(limit, int | float) and not isinstance(limit, bool) and rate is not None and rate > limit:
        text = f"Experiment '{row.name}': {rate:.1%} of the control group was exposed, its guardrail allows {limit:.1%}"
        key = f"contamination:{row.id}:v{row.version}"
        found.append(Notice(experiment_id=row.id, severity="warning", message=text, dedupe_key=key))
    return found
