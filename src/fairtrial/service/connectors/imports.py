"""What comes out of a connected platform, stored.

Nothing of ours is held while the platform answers: the connection is read, the
platform is asked, and only then a writing session is opened.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, cast

from pydantic import ValidationError
from sqlalchemy.orm import Session

from fairtrial.errors import ConflictError, ConnectorError
from fairtrial.service.access.roles import Actor
from fairtrial.service.assignments import assign
from fairtrial.service.audit import record_change
from fairtrial.service.connectors import meiro_cdp
from fairtrial.service.connectors.client import Client
from fairtrial.service.connectors.journeys import CONVERSION_EVENTS, Mode, Step, as_journeys, read_steps
from fairtrial.service.connectors.schemas import EventsOut, ExportImport, SegmentImport, SegmentOut
from fairtrial.service.experiments.lifecycle import get_experiment
from fairtrial.service.population.load import load_profiles
from fairtrial.service.population.schemas import ProfileIn, StoredOut
from fairtrial.service.state import ServiceState
from fairtrial.storage.population import store_conversions, store_touchpoints

POLL_SECONDS = 1.0
"""Between two questions after an export within one request."""


def client_of(state: ServiceState) -> Client:
    """What talks to the platform, by the stored connection.

    Raises:
        ConflictError: Nothing is connected.
    """
    with state.database.reading() as session:
        return meiro_cdp.make_client(db=session)


def import_segment(state: ServiceState, segment_id: str, asked: SegmentImport, *, actor: Actor, now: dt.datetime) -> SegmentOut:
    """Store the profiles of a segment and, if asked, assign them.

    Raises:
        ConflictError: Nothing is connected, or the experiment takes no assignments now.
        ConnectorError: The platform failed; nothing was stored.
    """
    if asked.experiment is not None:
        with state.database.reading() as session:
            get_experiment(session, str(asked.experiment))
    rows = meiro_cdp.fetch_segment(segment_id, client=client_of(state))
    profiles = [profile for row in rows if (profile := _profile(row)) is not None]
    with state.database.writing() as session:
        stored = load_profiles(session, profiles, actor=actor, now=now)
        assigned = None if asked.experiment is None else _assign(session, asked, profiles, actor, now)
    return SegmentOut(**stored.model_dump(), skipped=len(rows) - len(profiles), assigned=assigned)


def _assign(session: Session, asked: SegmentImport, profiles: list[ProfileIn], actor: Actor, now: dt.datetime) -> dict[str, int]:
    row = get_experiment(session, str(asked.experiment), for_update=True)
    request = assign.Request(treatment_rate=asked.treatment_rate, source="segment")
    found = assign.counted(assign.assign_units(session, row, (profile.id for profile in profiles), request, actor=actor, now=now))
    return cast("dict[str, int]", found["groups"])


def _profile(row: Mapping[str, Any]) -> ProfileIn | None:
    """A profile of a segment; None when its id is one that no table can hold.

    What else the platform knows of it is kept where it can be.
    """
    attributes = {name: value for name, value in row.items() if name not in {"id", "age", "ltv"}}
    given = {name: row[name] for name in ("age", "ltv") if isinstance(row.get(name), int | float) and not isinstance(row[name], bool)}
    for kept in ({**given, **({"attributes": attributes} if attributes else {})}, {}):
        try:
            return ProfileIn.model_validate({"id": row["id"], **kept})
        except ValidationError:
            continue
    return None


def import_export(state: ServiceState, export_id: str, asked: ExportImport, *, actor: Actor, now: dt.datetime) -> EventsOut:
    """Store contacts and conversions out of a completed export.

    Raises:
        ConflictError: Nothing is connected, or the export is not completed yet.
        ConnectorError: The platform failed; nothing was stored.
    """
    client = client_of(state)
    try:
        export = meiro_cdp.poll_export(export_id, every_seconds=POLL_SECONDS, at_most_seconds=asked.wait_seconds, client=client)
    except ConnectorError as error:
        if error.code != "export_running":
            raise
        raise ConflictError(
            f"Export {export_id!r} is not completed yet.", hint="Ask again, or send wait_seconds.", code="export_running"
        ) from error
    events = meiro_cdp.download_export(export, client=client)
    with state.database.writing() as session:
        return store_events(session, events, mode=asked.mode, conversion_events=asked.conversion_events, actor=actor, now=now)


def store_events(
    session: Session,
    events: list[dict[str, Any]],
    *,
    mode: Mode,
    conversion_events: Iterable[str] | None,
    actor: Actor,
    now: dt.datetime,
) -> EventsOut:
    """Store contacts and conversions out of raw events; what is stored already is counted as a duplicate of its table."""
    steps = read_steps(events, mode, conversion_events=CONVERSION_EVENTS if conversion_events is None else conversion_events)
    touches = [_touchpoint(step) for step in steps.kept if not step.converts]
    converted = [_conversion(step) for step in steps.kept if step.converts]
    stored = store_touchpoints(session, touches), store_conversions(session, converted)
    if any(stored):
        after = {"touchpoints": stored[0], "conversions": stored[1]}
        record_change(session, actor=actor, now=now, action="events.load", on=("population", "events"), after=after)
    return EventsOut(
        events=len(events),
        journeys=len(as_journeys(steps.kept)),
        duplicates=steps.duplicates,
        skipped=dict(steps.skipped),
        touchpoints=StoredOut(stored=stored[0], duplicates=len(touches) - stored[0]),
        conversions=StoredOut(stored=stored[1], duplicates=len(converted) - stored[1]),
    )


def _touchpoint(step: Step) -> dict[str, Any]:
    return {
        "profile_id": step.profile_id,
        "channel": step.channel,
        "touched_at": step.at,
        "campaign_id": step.campaign_id,
        "owned": None,
    }


def _conversion(step: Step) -> dict[str, Any]:
    return {"profile_id": step.profile_id, "kpi": step.kind, "converted_at": step.at, "value": step.value}


def quick(client: Client) -> Client:
    """The same client for a question that somebody waits for: one try, a short wait."""
    return replace(client, bounds=replace(client.bounds, tries=1, total_seconds=15.0, read_seconds=10.0))
