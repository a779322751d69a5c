"""Assign whom a channel already touched (HO-12): an A/A check, or the seed of a future holdout; never an estimate of an effect."""

from __future__ import annotations

import datetime as dt

from sqlalchemy.orm import Session

from fairtrial.service.access.roles import Actor
from fairtrial.service.assignments import assign
from fairtrial.service.experiments.lifecycle import get_experiment
from fairtrial.service.planning.schemas import AutoAssignOut, AutoAssignRequest
from fairtrial.storage.population import touched_profiles

NOTE = "Profiles were already treated in this period: use as A/A check or to seed a future holdout."


def auto_assign(session: Session, reference: str, asked: AutoAssignRequest, *, actor: Actor, now: dt.datetime) -> AutoAssignOut:
    """Assign every profile with a contact of the channel in the period, converted or not.

    Raises:
        NotFoundError: There is no such experiment.
        ConflictError: It takes no assignments now, or another rate is in use.
    """
    row = get_experiment(session, reference, for_update=True)
    profiles = touched_profiles(session, asked.channel, asked.start_date, asked.end_date)
    request = assign.Request(treatment_rate=asked.treatment_rate, source="auto")
    found = assign.counted(assign.assign_units(session, row, profiles, request, actor=actor, now=now))
    return AutoAssignOut(
        treatment=found["treatment"],
        control=found["control"],
        total=found["assigned"],
        note=NOTE,
        new=found["new"],
        existing=found["existing"],
        excluded=found["excluded"],
    )
