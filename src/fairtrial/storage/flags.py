"""What decisions are made of: experiments, units that are forced, origins of browsers; and writing them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from fairtrial.storage.tables import ApiKey, Experiment, ExperimentAssignment, ExperimentVersion, ForcedVariant

AT_ONCE = 10_000
"""Rows read at a time where there may be millions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origins:
    """Web origins from which client keys may call.

    Attributes:
        named: Those that a key in force names.
        anywhere: Whether a key in force may be used from any.
    """

    named: frozenset[str]
    anywhere: bool

    def allow(self, origin: str) -> bool:
        """Whether any key may be used from there."""
        return self.anywhere or origin in self.named


def experiments_with_flags(session: Session) -> Sequence[Experiment]:
    """Every experiment that is not archived, by id."""
    return session.scalars(select(Experiment).where(Experiment.status != "archived").order_by(Experiment.id)).all()


def forced_units(session: Session) -> dict[int, dict[str, str]]:
    """Arms of the units that are forced now, by experiment."""
    found: dict[int, dict[str, str]] = {}
    rows = session.execute(
        select(ForcedVariant.experiment_id, ForcedVariant.unit, ForcedVariant.arm).where(ForcedVariant.lifted_at.is_(None))
    )
    for experiment, unit, arm in rows:
        found.setdefault(experiment, {})[unit] = arm
    return found


def client_origins(session: Session, now: dt.datetime) -> Origins:
    """Where client keys in force may be used."""
    rows = session.scalars(
        select(ApiKey.origins_json).where(
            ApiKey.kind == "client", ApiKey.revoked_at.is_(None), ApiKey.expires_at.is_(None) | (ApiKey.expires_at > now)
        )
    ).all()
    named = frozenset(str(origin) for origins in rows for origin in origins or ())
    return Origins(named=named, anywhere=any(not origins for origins in rows))


def stored_groups(session: Session, experiment_id: int) -> Iterator[tuple[str, str]]:
    """Profile and stored group of every assignment, read as it is walked."""
    statement = select(ExperimentAssignment.profile_id, ExperimentAssignment.group).where(
        ExperimentAssignment.experiment_id == experiment_id
    )
    for row in session.execute(statement.execution_options(yield_per=AT_ONCE)):
        yield row[0], row[1]


def find_forced(session: Session, experiment_id: int, unit: str) -> ForcedVariant | None:
    """The forced variant of a unit, lifted or not."""
    return session.scalar(select(ForcedVariant).where(ForcedVariant.experiment_id == experiment_id, ForcedVariant.unit == unit))


def list_forced(session: Session, experiment_id: int) -> Sequence[ForcedVariant]:
    """Units that are forced now, newest first."""
    return session.scalars(
        select(ForcedVariant)
        .where(ForcedVariant.experiment_id == experiment_id, ForcedVariant.lifted_at.is_(None))
        .order_by(ForcedVariant.id.desc())
    ).all()


def count_forced(session: Session, experiment_id: int) -> int:
    """How many units are forced now."""
    statement = select(func.count()).where(ForcedVariant.experiment_id == experiment_id, ForcedVariant.lifted_at.is_(None))
    return session.scalar(statement.select_from(ForcedVariant)) or 0


def list_versions(session: Session, experiment_id: int) -> Sequence[ExperimentVersion]:
    """The versions of an experiment, newest first."""
    return session.scalars(
        select(ExperimentVersion).where(ExperimentVersion.experiment_id == experiment_id).order_by(ExperimentVersion.version.desc())
    ).all()
