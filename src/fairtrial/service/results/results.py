"""What the result routes and the nightly report call: judge, look, record, decide."""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import io
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from fairtrial.errors import ConflictError, NotEnoughDataError
from fairtrial.evaluation import Scorecard
from fairtrial.service.access.roles import Actor
from fairtrial.service.audit import record_change
from fairtrial.service.bodies import iso
from fairtrial.service.experiments.lifecycle import change_status, get_experiment
from fairtrial.service.results.flat import FEWEST_PROFILES, always_valid_look, flat_results, insufficient
from fairtrial.service.results.reading import Counted, count, judge
from fairtrial.storage.tables import Experiment, ExperimentLook, ExperimentResult

CSV_COLUMNS = (
    "experiment_id", "name", "channel", "conversion_key", "status", "start_at", "end_at", "treatment_n", "treatment_conversions",
    "treatment_rate", "treatment_value", "control_n", "control_conversions", "control_rate", "control_value", "uplift_abs", "uplift_rel",
    "ci_low", "ci_high", "p_value", "insufficient_data", "srm_p_value", "overlap_status",
)  # fmt: skip
"""HO-40."""


def read_results(
    session: Session, reference: str, *, now: dt.datetime, fewest: int = FEWEST_PROFILES, until: dt.datetime | None = None
) -> dict[str, Any]:
    """The flat results of this moment (HO-09), or of what was there `until` an earlier one; nothing is stored.

    Raises:
        NotFoundError: There is no such experiment.
    """
    row = get_experiment(session, reference)
    return flat_now(session, count(session, row, until=until), now=now, fewest=fewest)


def flat_now(session: Session, counted: Counted, *, now: dt.datetime, fewest: int = FEWEST_PROFILES) -> dict[str, Any]:
    """The flat results of counts; nothing is stored."""
    return _flat(session, counted, _judged(session, counted, now), fewest)


def read_scorecard(session: Session, reference: str, *, now: dt.datetime) -> Scorecard:
    """The whole scorecard of this moment; nothing is stored.

    Raises:
        NotFoundError: There is no such experiment.
        NotEnoughDataError: No unit is assigned yet.
    """
    row = get_experiment(session, reference)
    return judge(session, count(session, row), as_of=now)


def take_look(
    session: Session, row: Experiment, *, now: dt.datetime, fewest: int = FEWEST_PROFILES, until: dt.datetime | None = None
) -> dict[str, Any]:
    """The flat results of this moment, stored as the latest; where there was enough to test, a look of the plan as well.

    With `until`, of what was there at that moment.

    Raises:
        StorageError: The store failed; nothing was kept.
    """
    counted = count(session, row, until=until)
    scorecard = _judged(session, counted, now)
    fields = _flat(session, counted, scorecard, fewest)
    if scorecard is not None and not fields["insufficient_data"]:
        _keep_look(session, row, scorecard, now)
    stored = _latest(session, row)
    if stored is None:
        stored = ExperimentResult(experiment_id=row.id)
        session.add(stored)
    for name in ("uplift_abs", "uplift_rel", "ci_low", "ci_high", "p_value"):
        setattr(stored, name, fields[name])
    stored.computed_at = now
    stored.treatment_size, stored.control_size = counted.treatment.n, counted.control.n
    running = fields["always_valid_p"]
    stored.meta_json = {"version": row.version, "always_valid_p": running, "results": _plain(fields)}
    return fields


def _keep_look(session: Session, row: Experiment, scorecard: Scorecard, now: dt.datetime) -> None:
    mine = select(ExperimentLook).where(
        ExperimentLook.experiment_id == row.id, ExperimentLook.version == row.version, ExperimentLook.as_of == now
    )
    if session.scalar(mine) is None:
        session.add(ExperimentLook(experiment_id=row.id, version=row.version, as_of=now, scorecard_json=scorecard.to_dict()))


def _judged(session: Session, counted: Counted, now: dt.datetime) -> Scorecard | None:
    try:
        return judge(session, counted, as_of=now)
    except NotEnoughDataError:
        return None


def _flat(session: Session, counted: Counted, scorecard: Scorecard | None, fewest: int) -> dict[str, Any]:
    look = None if insufficient(counted, fewest) else always_valid_look(counted)
    seen = running_p(session, counted.row)
    running = min((p for p in (seen, None if look is None else look.p_value) if p is not None), default=None)
    return flat_results(counted, scorecard, always_valid_p=running, fewest=fewest)


def running_p(session: Session, row: Experiment) -> float | None:
    """Smallest always-valid p of the looks stored so far, of the running version."""
    stored = _latest(session, row)
    if stored is None or stored.meta_json.get("version") != row.version:
        return None
    found = stored.meta_json.get("always_valid_p")
    return None if found is None else float(found)


def _latest(session: Session, row: Experiment) -> ExperimentResult | None:
    return session.scalar(select(ExperimentResult).where(ExperimentResult.experiment_id == row.id))


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != "findings"}


def decide(session: Session, reference: str, *, decision: str, note: str, actor: Actor, now: dt.datetime) -> Experiment:
    """Write down what was decided, on which scorecard, and close the experiment.

    Raises:
        NotFoundError: There is no such experiment.
        ConflictError: It has not ended yet, or was decided before.
    """
    row = get_experiment(session, reference, for_update=True)
    if row.status not in {"stopped", "completed"}:
        raise ConflictError(
            f"Experiment {row.key!r} is {row.status}; a decision is written down once it is stopped or completed.",
            hint="POST /experiments/{id}/status",
        )
    scorecard = _judged(session, count(session, row), now)
    row.decision_json = {
        "decision": decision,
        "note": note,
        "decided_by": actor.name,
        "decided_at": iso(now),
        "verdict": None if scorecard is None else scorecard.decision.verdict,
        "verdict_state": "not_enough_data" if scorecard is None else scorecard.decision.state,
        "reasoning": [] if scorecard is None else list(scorecard.decision.reasoning),
        "scorecard_sha256": None if scorecard is None else hashlib.sha256(scorecard.to_json().encode()).hexdigest(),
    }
    record_change(
        session, actor=actor, now=now, action="experiment.decision", on=("experiment", row.id), after={"decision": decision, "note": note}
    )
    return change_status(session, str(row.id), "decided", actor=actor, now=now)


def export_csv(session: Session, rows: list[Experiment], *, now: dt.datetime) -> str:
    """Experiments with their results as CSV, 23 columns (HO-40); what is not known is an empty field."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(CSV_COLUMNS)
    running = [row.channel for row in rows if row.status == "running"]
    for row in rows:
        counted = count(session, row)
        fields = flat_now(session, counted, now=now)
        others = running.count(row.channel) - (row.status == "running")
        writer.writerow(_csv_row(row, fields, "overlap" if others else "ok"))
    return text.getvalue()


def _csv_row(row: Experiment, fields: dict[str, Any], overlap: str) -> list[Any]:
    groups = [fields[group][name] for group in ("treatment", "control") for name in ("n", "conversions", "conversion_rate", "total_value")]
    times = [None if moment is None else iso(moment) for moment in (row.start_at, row.end_at)]
    tested = [fields[name] for name in ("uplift_abs", "uplift_rel", "ci_low", "ci_high", "p_value", "insufficient_data")]
    srm = None if fields["srm"] is None else fields["srm"]["p_value"]
    cells = [row.id, row.name, row.channel, row.conversion_key, row.status, *times, *groups, *tested, srm, overlap]
    return [_safe(cell) for cell in cells]


def _safe(cell: object) -> object:
    """A cell that a spreadsheet does not run as a formula."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return str(cell).lower()
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in {"=", "+", "-", "@", "\t", "\r"} else cell
