"""Routes of the population: parse, one call, return."""

from __future__ import annotations

from fastapi import APIRouter

from fairtrial.service.dependencies import AsDeveloper, DbWrite, Now
from fairtrial.service.population.load import load_conversions, load_profiles, load_touchpoints
from fairtrial.service.population.schemas import ConversionsIn, ProfilesIn, ProfilesOut, StoredOut, TouchpointsIn

router = APIRouter(tags=["population"])


@router.put("/profiles", response_model=ProfilesOut)
def put_profiles(db: DbWrite, actor: AsDeveloper, now: Now, body: ProfilesIn) -> ProfilesOut:
    """Store profiles with what was known of them before any experiment; sending them again changes nothing."""
    return load_profiles(db, body.profiles, actor=actor, now=now)


@router.post("/profiles", response_model=ProfilesOut)
def post_profiles(db: DbWrite, actor: AsDeveloper, now: Now, body: ProfilesIn) -> ProfilesOut:
    """The same as PUT."""
    return load_profiles(db, body.profiles, actor=actor, now=now)


@router.post("/touchpoints", response_model=StoredOut)
def post_touchpoints(db: DbWrite, actor: AsDeveloper, now: Now, body: TouchpointsIn) -> StoredOut:
    """Store contacts of channels with profiles; a repeat is counted, not stored twice."""
    return load_touchpoints(db, body.touchpoints, actor=actor, now=now)


@router.post("/conversions", response_model=StoredOut)
def post_conversions(db: DbWrite, actor: AsDeveloper, now: Now, body: ConversionsIn) -> StoredOut:
    """Store conversions, in an experiment or not; a repeat is counted, not stored twice."""
    return load_conversions(db, body.conversions, actor=actor, now=now)
