"""A new draft out of an experiment (HO-34)."""

from __future__ import annotations

import datetime as dt
import uuid

from sqlalchemy.orm import Session

from fairtrial.service.access.roles import Actor
from fairtrial.service.experiments.lifecycle import create_holdout, get_experiment
from fairtrial.service.experiments.schemas import ExperimentCreate
from fairtrial.service.planning.schemas import DuplicateRequest, as_request
from fairtrial.service.versions.schemas import SpecCreate
from fairtrial.service.versions.versions import create_from_spec
from fairtrial.storage.tables import Experiment

LONGEST_NAME = 200
SAME = ("channel", "conversion_key", "notes", "source_type", "source_id", "treatment_rate", "config_id", "config_version")


def duplicate(session: Session, reference: str, asked: DuplicateRequest, *, actor: Actor, now: dt.datetime) -> Experiment:
    """A draft with the set-up of another experiment, a key of its own, and nobody assigned.

    Raises:
        NotFoundError: There is no such experiment.
        ConflictError: The key is taken.
        UsageError: The new dates or key break a rule.
    """
    row = get_experiment(session, reference)
    copy = _from_spec(session, row, asked, actor, now) if row.setup_json.get("setup_source") == "spec" else None
    if copy is None:
        copy = create_holdout(session, _form(row, asked, now), actor=actor, now=now)
    copy.duplicated_from = row.id
    return copy


def _name(row: Experiment, asked: DuplicateRequest) -> str:
    return asked.name or f"{row.name[: LONGEST_NAME - 7]} (copy)"


def _dates(row: Experiment, asked: DuplicateRequest, now: dt.datetime) -> dict[str, dt.datetime | None]:
    """Dates that were asked for; else the original's, while its end lies ahead."""
    if asked.start_at is not None or asked.end_at is not None:
        return {"start_at": asked.start_at, "end_at": asked.end_at}
    ahead = row.end_at is not None and row.end_at > now
    return {"start_at": row.start_at, "end_at": row.end_at} if ahead else {"start_at": None, "end_at": None}


def _form(row: Experiment, asked: DuplicateRequest, now: dt.datetime) -> ExperimentCreate:
    guardrails = {name: value for name, value in (row.guardrails_json or {}).items() if name != "power_plan"}
    given = {name: getattr(row, name) for name in SAME} | {
        **row.setup_json,
        **_dates(row, asked, now),
        "name": _name(row, asked),
        "key": asked.key,
        "segment": row.segment_json,
        "policy": row.policy_json,
        "guardrails": guardrails or None,
    }
    return as_request(ExperimentCreate, given)


def _from_spec(session: Session, row: Experiment, asked: DuplicateRequest, actor: Actor, now: dt.datetime) -> Experiment:
    dates = {name.removesuffix("_at"): moment.isoformat() for name, moment in _dates(row, asked, now).items() if moment is not None}
    spec = {name: value for name, value in row.spec_json.items() if name != "schedule"}
    spec |= {"key": asked.key or str(uuid.uuid4()), "name": _name(row, asked)} | ({"schedule": dates} if dates else {})
    same = {name: getattr(row, name) for name in ("environment", "channel", "conversion_key", "notes", "source_type", "source_id")}
    log = row.setup_json.get("log_assignments", True)
    made = SpecCreate.model_validate({"spec": spec, **same, "policy": row.policy_json, "log_assignments": log})
    return create_from_spec(session, made, actor=actor, now=now)
