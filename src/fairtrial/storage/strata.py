"""Strata of profiles: read from their attributes when they are assigned, kept with their group from then on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from fairtrial.storage.bulk import load_temporary
from fairtrial.storage.readings import LAZY
from fairtrial.storage.segments import LEVEL, attribute_path
from fairtrial.storage.tables import ExperimentAssignment

LISTED = (
    'SELECT n.profile_id, a."group"{columns} FROM listed_units n LEFT JOIN profiles p ON p.id = n.profile_id '
    "LEFT JOIN experiment_assignments a ON a.experiment_id = :experiment AND a.profile_id = n.profile_id ORDER BY n.profile_id"
)


def listed_units(
    session: Session, experiment_id: int, units: Iterable[str], attributes: Sequence[str]
) -> Iterator[tuple[str, str | None, tuple[str | None, ...]]]:
    """The profiles, each with its stored group and its attributes as text, None where it has none.

    Args:
        session: A writing session.
        experiment_id: The experiment.
        units: The profiles.
        attributes: Names of attributes.
    """
    load_temporary(session, "listed_units", ("profile_id",), ((unit,) for unit in units))
    connection = session.connection()
    dialect = connection.dialect.name
    levels = [LEVEL[dialect].replace(":path", f":path{i}") for i in range(len(attributes))]
    paths = {f"path{i}": attribute_path(dialect, name) for i, name in enumerate(attributes)}
    statement = text(LISTED.format(columns="".join(f", {level}" for level in levels)))
    for unit, group, *values in connection.execute(statement, {"experiment": experiment_id, **paths}):
        yield unit, group, tuple(values)


def stratum_sizes(session: Session, experiment_id: int) -> Mapping[str, int]:
    """Profiles by the stratum within which they were assigned."""
    counted = session.execute(
        select(ExperimentAssignment.stratum, func.count())
        .where(
            ExperimentAssignment.experiment_id == experiment_id,
            ExperimentAssignment.source != LAZY,
            ExperimentAssignment.stratum.is_not(None),
        )
        .group_by(ExperimentAssignment.stratum)
    ).all()
    return {str(row[0]): int(row[1]) for row in counted}


def groups_by_stratum(session: Session, experiment_id: int) -> Mapping[str, Mapping[str, int]]:
    """Profiles by stratum and group, in order of name."""
    counted = session.execute(
        select(ExperimentAssignment.stratum, ExperimentAssignment.group, func.count())
        .where(ExperimentAssignment.experiment_id == experiment_id, ExperimentAssignment.stratum.is_not(None))
        .group_by(ExperimentAssignment.stratum, ExperimentAssignment.group)
        .order_by(ExperimentAssignment.stratum, ExperimentAssignment.group)
    ).all()
    found: dict[str, dict[str, int]] = {}
    for row in counted:
        found.setdefault(str(row[0]), {})[str(row[1])] = int(row[2])
    return found
