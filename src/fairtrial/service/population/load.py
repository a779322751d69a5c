"""Store batches of the population; every batch may be sent again."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from sqlalchemy.orm import Session

from fairtrial.service.access.roles import Actor
from fairtrial.service.audit import record_change
from fairtrial.service.population.schemas import ConversionIn, ProfileIn, ProfilesOut, StoredOut, TouchpointIn
from fairtrial.storage.population import Fields, store_conversions, store_touchpoints, upsert_profiles

COLUMN = {"attributes": "attributes_json"}
"""Columns that are not named as the field."""


def load_profiles(session: Session, profiles: Sequence[ProfileIn], *, actor: Actor, now: dt.datetime) -> ProfilesOut:
    """Store profiles; of one that is there the given fields alone are rewritten."""
    rows: list[Fields] = []
    for profile in profiles:
        given = profile.model_dump(include=profile.model_fields_set | {"id"})
        rows.append({COLUMN.get(name, name): value for name, value in given.items()} | {"updated_at": now})
    new, there = upsert_profiles(session, rows)
    _record(session, "profiles", {"new": new, "updated": there}, actor, now)
    return ProfilesOut(stored=new + there, new=new, updated=there)


def load_touchpoints(session: Session, touchpoints: Sequence[TouchpointIn], *, actor: Actor, now: dt.datetime) -> StoredOut:
    """Store contacts; a repeat is the same profile, channel, time and campaign."""
    stored = store_touchpoints(session, [touch.model_dump() for touch in touchpoints])
    return _counted(session, "touchpoints", stored, len(touchpoints), actor, now)


def load_conversions(session: Session, conversions: Sequence[ConversionIn], *, actor: Actor, now: dt.datetime) -> StoredOut:
    """Store conversions; a repeat is the same profile, KPI and time."""
    stored = store_conversions(session, [conversion.model_dump() for conversion in conversions])
    return _counted(session, "conversions", stored, len(conversions), actor, now)


def _counted(session: Session, what: str, stored: int, sent: int, actor: Actor, now: dt.datetime) -> StoredOut:
    _record(session, what, {"stored": stored}, actor, now)
    return StoredOut(stored=stored, duplicates=sent - stored)


def _record(session: Session, what: str, after: dict[str, int], actor: Actor, now: dt.datetime) -> None:
    if any(after.values()):
        record_change(session, actor=actor, now=now, action=f"{what}.load", on=("population", what), after=after)
