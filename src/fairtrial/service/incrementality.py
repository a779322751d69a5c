"""Holdout experiments from Python: the functions behind the routes (HO-20, HO-21).

`db` is a writing session of `fairtrial.storage.Database`; nothing is committed here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Literal

from sqlalchemy.orm import Session

from fairtrial.assignment import Allocation
from fairtrial.service.access.roles import Actor, Role
from fairtrial.service.assignments import assign
from fairtrial.service.experiments.lifecycle import get_experiment
from fairtrial.service.state import utc_now
from fairtrial.stats.power_proportions import estimate_sample_size

__all__ = ["assign_profiles_deterministic", "deterministic_assignment", "estimate_sample_size"]

LIBRARY = Actor(name="library", role=Role.DEVELOPER)
"""Who the audit log says it was."""


def deterministic_assignment(
    profile_id: str, experiment_id: int | str, treatment_rate: float, salt: str = ""
) -> Literal["treatment", "control"]:
    """The group that the hash gives a profile: treatment when u < `treatment_rate` (II.b).

    Raises:
        UsageError: The rate lies outside [0, 1].
    """
    key = str(experiment_id)
    return "treatment" if Allocation.holdout(key, treatment_rate, hash_key=key, salt=salt).arm(profile_id) == "treatment" else "control"


def assign_profiles_deterministic(
    db: Session,
    experiment_id: int | str,
    profile_ids: Iterable[str],
    treatment_rate: float | None = None,
    *,
    assigned_at: dt.datetime | None = None,
    force_reassign: bool = False,
    source: str = "assign",
    now: dt.datetime | None = None,
) -> dict[str, int]:
    """Assign profiles and store their groups, the stored group always winning (HO-05).

    Returns:
        `assigned`, `treatment`, `control`, `new`, `existing`: distinct profiles by stored group.

    Raises:
        NotFoundError: There is no such experiment.
        ConflictError: It takes no assignments now, or another rate is in use.
    """
    asked = assign.Request(treatment_rate=treatment_rate, assigned_at=assigned_at, force_reassign=force_reassign, source=source)
    row = get_experiment(db, str(experiment_id), for_update=True)
    found = assign.counted(assign.assign_units(db, row, profile_ids, asked, actor=LIBRARY, now=now or utc_now()))
    return {name: found[name] for name in ("assigned", "treatment", "control", "new", "existing")}
