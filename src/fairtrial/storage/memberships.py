"""Who is in an experiment, in which arm, and what became of them: one row a unit, as dense numbers.

The population and the outcomes are those of the results (`storage.readings`): assigned
profiles; those whom only an exposure brought in, and those forced for QA, are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from fairtrial.storage.readings import CONVERTERS, FATES, POPULATION, Window

BATCH = 50_000
"""Rows taken from the store at a time."""

MEMBERS = f"""{FATES}
SELECT a.profile_id, a."group", b.value
FROM experiment_assignments a
LEFT JOIN (SELECT profile_id, sum(value) AS value {CONVERTERS}) b ON b.profile_id = a.profile_id
WHERE {POPULATION}
"""  # noqa: S608 - no value of anybody's


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Members:
    """The units of one experiment, in no order.

    Attributes:
        unit: Dense number of each unit, the same in every experiment, shape (n,).
        arm: Place of its arm, shape (n,).
        converted: Whether it has a counted outcome, shape (n,).
        value: Sum of its counted outcomes, 0 without any, shape (n,).
    """

    unit: NDArray[np.int64]
    arm: NDArray[np.int16]
    converted: NDArray[np.bool_]
    value: NDArray[np.float64]

    @property
    def n(self) -> int:
        """Units."""
        return self.unit.size


def read_members(session: Session, window: Window, arms: Sequence[str], numbers: dict[str, int]) -> Members:
    """Read the units of an experiment once.

    Args:
        session: An open session.
        window: When its outcomes count.
        arms: Its arms; units of others are left out, as results do.
        numbers: Dense number of each unit seen so far; new ones are added.

    Raises:
        StorageError: The store failed.
    """
    places = {arm: place for place, arm in enumerate(arms)}
    unit: list[int] = []
    arm: list[int] = []
    value: list[float] = []
    result = session.connection().execution_options(yield_per=BATCH).execute(window.bind(MEMBERS))
    for batch in result.partitions():
        for profile, group, outcome in batch:
            place = places.get(group)
            if place is not None:
                unit.append(numbers.setdefault(profile, len(numbers)))
                arm.append(place)
                value.append(np.nan if outcome is None else outcome)
    found = np.array(value, dtype=np.float64)
    converted = ~np.isnan(found)
    return Members(
        unit=np.array(unit, dtype=np.int64),
        arm=np.array(arm, dtype=np.int16),
        converted=converted,
        value=np.where(converted, found, 0.0),
    )
