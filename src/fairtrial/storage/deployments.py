"""Where experiments of models stand: one row each, changed only by who has read its last revision."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from fairtrial.errors import ConflictError, UnknownNameError
from fairtrial.storage.tables import ModelDeployment, ModelEvidence


def list_deployments(session: Session) -> Sequence[ModelDeployment]:
    """Every experiment of models, by name."""
    return session.scalars(select(ModelDeployment).order_by(ModelDeployment.name)).all()


def find_deployment(session: Session, name: str) -> ModelDeployment | None:
    """An experiment as it stands now."""
    return session.get(ModelDeployment, name, populate_existing=True)


def get_deployment(session: Session, name: str, *, lock: bool = False) -> ModelDeployment:
    """An experiment as it stands now.

    Args:
        session: A session; a writing one to `lock`.
        name: Of the experiment.
        lock: Let nobody else change it until the session ends.

    Raises:
        UnknownNameError: There is none of that name.
    """
    found = session.get(ModelDeployment, name, populate_existing=True, with_for_update=lock or None)
    if found is None:
        known = [row.name for row in list_deployments(session)]
        raise UnknownNameError.among("model experiment", name, known, code="unknown_model_experiment")
    return found


def add_deployment(
    session: Session, name: str, *, spec: Mapping[str, Any], spec_hash: str, state: Mapping[str, Any], by: str, now: dt.datetime
) -> ModelDeployment:
    """Keep a new experiment.

    Raises:
        ConflictError: There is one of that name.
    """
    if find_deployment(session, name) is not None:
        raise ConflictError(f"Model experiment {name!r} exists already.", hint="A started experiment is not edited: choose another name.")
    row = ModelDeployment(
        name=name,
        spec_json=dict(spec),
        spec_hash=spec_hash,
        state_json=dict(state),
        status=str(state["status"]),
        revision=1,
        created_at=now,
        updated_at=now,
        updated_by=by,
    )
    session.add(row)
    session.flush()
    return row


def change_state(session: Session, name: str, *, revision: int, state: Mapping[str, Any], by: str, now: dt.datetime) -> bool:
    """Write a new state if nobody else has written one since `revision`; whether it was written."""
    changed: Any = session.execute(
        update(ModelDeployment)
        .where(ModelDeployment.name == name, ModelDeployment.revision == revision)
        .values(state_json=dict(state), status=str(state["status"]), revision=revision + 1, updated_at=now, updated_by=by)
        .execution_options(synchronize_session=False)
    )
    return changed.rowcount == 1


def keep_evidence(session: Session, name: str, holder: str, counts: Mapping[str, Any], *, now: dt.datetime) -> None:
    """Write what a process has counted in all."""
    dialect = session.connection().dialect.name
    table: Any = ModelEvidence.__table__
    statement = (sqlite.insert if dialect == "sqlite" else postgresql.insert)(table)
    values = {"name": name, "holder": holder, "counts_json": dict(counts), "updated_at": now}
    kept = {"counts_json": statement.excluded.counts_json, "updated_at": statement.excluded.updated_at}
    session.execute(statement.values(values).on_conflict_do_update(index_elements=["name", "holder"], set_=kept))


def evidence_of(session: Session, name: str) -> dict[str, dict[str, Any]]:
    """What every process has counted, by process."""
    rows = session.execute(select(ModelEvidence.holder, ModelEvidence.counts_json).where(ModelEvidence.name == name))
    return {holder: counts for holder, counts in rows}  # noqa: C416 - rows are no pairs to the type checker


def forget_evidence(session: Session, name: str) -> None:
    """Begin the counts anew, as a restart after a stop does."""
    session.execute(delete(ModelEvidence).where(ModelEvidence.name == name))
