"""Raw events of a customer data platform as journeys: contacts of one profile up to a conversion (HO-27).

An event that says the same as one kept within the five minutes before it is a
duplicate. What counts as the same is the mode: `strict`, type, channel and campaign;
`balanced`, channel and campaign; `aggressive`, the channel. An event with the id of
another is that other in every mode. The order in which events come does not matter.
"""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from fairtrial.service.bodies import as_utc, check_text

Mode = Literal["strict", "balanced", "aggressive"]

APART = dt.timedelta(minutes=5)
CONVERSION_EVENTS = frozenset({"purchase", "order", "conversion"})

PROFILE = ("profile_id", "customer_id", "user_id")
EVENT_ID = ("event_id", "id")
TYPE = ("event_type", "type", "name")
TIME = ("timestamp", "occurred_at", "event_time", "time")
CHANNEL = ("channel", "utm_medium")
CAMPAIGN = ("campaign_id", "utm_campaign", "campaign")
VALUE = ("value", "revenue", "amount")
NESTED = ("properties", "payload")
"""Names of fields, the first that is there counts; also within the nested objects."""

LONGEST = 200
MILLISECONDS_FROM = 1e11
"""A number of seconds beyond this would lie past the year 5100: it is of milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A contact, or a conversion.

    Attributes:
        profile_id: Of whom.
        at: When, aware UTC.
        kind: Type of the event; of a conversion the KPI.
        channel: Channel in lower case; empty for a conversion.
        campaign_id: Campaign; empty without one.
        event_id: Id of the event; empty without one.
        value: Value of a conversion.
        converts: Whether it is a conversion.
    """

    profile_id: str
    at: dt.datetime
    kind: str
    channel: str = ""
    campaign_id: str = ""
    event_id: str = ""
    value: float = 0.0
    converts: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """What events hold.

    Attributes:
        kept: Contacts and conversions without duplicates, by profile and time.
        duplicates: Events left out because they say what another says.
        skipped: Events left out by the reason: `no_profile`, `no_time`, `no_channel`, `no_value`.
    """

    kept: tuple[Step, ...]
    duplicates: int
    skipped: Mapping[str, int]


def build_journeys_from_events(
    events: Iterable[Mapping[str, Any]], mode: Mode = "balanced", *, conversion_events: Iterable[str] = CONVERSION_EVENTS
) -> list[dict[str, Any]]:
    """Journeys, by profile and time; what is after the last conversion is a journey without one.

    Args:
        events: Raw events in any order; those without profile, time or channel are left out.
        mode: What counts as a duplicate.
        conversion_events: Types of events that are conversions.

    Returns:
        Each with `profile_id`, `touchpoints`, `conversion` (None without one) and `converted`.
    """
    return as_journeys(read_steps(events, mode, conversion_events=conversion_events).kept)


def read_steps(
    events: Iterable[Mapping[str, Any]], mode: Mode = "balanced", *, conversion_events: Iterable[str] = CONVERSION_EVENTS
) -> Steps:
    """Contacts and conversions out of raw events, duplicates left out."""
    converting = {name.lower() for name in conversion_events}
    skipped: Counter[str] = Counter()
    found: list[Step] = []
    for event in events:
        step = _step(event, converting)
        if isinstance(step, str):
            skipped[step] += 1
        else:
            found.append(step)
    found.sort(
        key=lambda step: (step.profile_id, step.at, step.converts, step.kind, step.channel, step.campaign_id, step.value, step.event_id)
    )
    kept = _without_duplicates(found, mode)
    return Steps(kept=tuple(kept), duplicates=len(found) - len(kept), skipped=dict(sorted(skipped.items())))


def as_journeys(steps: Iterable[Step]) -> list[dict[str, Any]]:
    """Steps, sorted by profile and time, cut at each conversion."""
    journeys: list[dict[str, Any]] = []
    touches: list[Step] = []
    profile = ""
    for step in steps:
        if step.profile_id != profile and touches:
            journeys.append(_journey(profile, touches, None))
            touches = []
        profile = step.profile_id
        if step.converts:
            journeys.append(_journey(profile, touches, step))
            touches = []
        else:
            touches.append(step)
    if touches:
        journeys.append(_journey(profile, touches, None))
    return journeys


def _journey(profile: str, touches: list[Step], conversion: Step | None) -> dict[str, Any]:
    return {
        "profile_id": profile,
        "touchpoints": [
            {"channel": step.channel, "touched_at": step.at, "campaign_id": step.campaign_id, "event_type": step.kind} for step in touches
        ],
        "conversion": None if conversion is None else {"kpi": conversion.kind, "converted_at": conversion.at, "value": conversion.value},
        "converted": conversion is not None,
    }


def _without_duplicates(steps: list[Step], mode: Mode) -> list[Step]:
    kept: list[Step] = []
    ids: set[tuple[str, str]] = set()
    last: dict[tuple[Any, ...], dt.datetime] = {}
    for step in steps:
        if step.event_id and (step.profile_id, step.event_id) in ids:
            continue
        if step.event_id:
            ids.add((step.profile_id, step.event_id))
        same = (step.profile_id, step.converts, *_sameness(step, mode))
        if same in last and step.at - last[same] <= APART:
            continue
        last[same] = step.at
        kept.append(step)
    return kept


def _sameness(step: Step, mode: Mode) -> tuple[Any, ...]:
    if step.converts:
        return (step.kind,) if mode == "aggressive" else (step.kind, step.value)
    if mode == "aggressive":
        return (step.channel,)
    return (step.channel, step.campaign_id) if mode == "balanced" else (step.kind, step.channel, step.campaign_id)


def _step(event: Any, converting: set[str]) -> Step | str:
    """A step, or the reason why the event is none."""
    if not isinstance(event, Mapping):
        return "no_profile"
    fields = _flat(cast("Mapping[str, Any]", event))
    profile, at, kind = _text(fields, PROFILE), _time(fields), _text(fields, TYPE)
    if not profile:
        return "no_profile"
    if at is None:
        return "no_time"
    event_id = _text(fields, EVENT_ID)
    if kind.lower() in converting:
        value = _value(fields)
        return (
            "no_value"
            if value is None
            else Step(profile_id=profile, at=at, kind=kind.lower(), event_id=event_id, value=value, converts=True)
        )
    channel = _text(fields, CHANNEL).strip().lower()
    if not channel:
        return "no_channel"
    return Step(profile_id=profile, at=at, kind=kind, channel=channel, campaign_id=_text(fields, CAMPAIGN), event_id=event_id)


def _flat(event: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = [cast("Mapping[str, Any]", event[name]) for name in NESTED if isinstance(event.get(name), Mapping)]
    flat: dict[str, Any] = {}
    for part in (*reversed(inner), event):
        flat |= {name: value for name, value in part.items() if value is not None}
    return flat


def _text(fields: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """The first of the fields that is a text, or a whole number; empty without one that a table can hold."""
    found = next((fields[name] for name in names if isinstance(fields.get(name), str | int) and not isinstance(fields[name], bool)), "")
    try:
        text = check_text(str(found))
    except ValueError:
        return ""
    return text if len(text) <= LONGEST else ""


def _time(fields: Mapping[str, Any]) -> dt.datetime | None:
    found = next((fields[name] for name in TIME if name in fields), None)
    try:
        if isinstance(found, str):
            return as_utc(dt.datetime.fromisoformat(found))
        if isinstance(found, dt.datetime):
            return as_utc(found)
        if isinstance(found, int | float) and not isinstance(found, bool):
            return as_utc(dt.datetime.fromtimestamp(found / 1000 if abs(found) >= MILLISECONDS_FROM else found, dt.UTC))
    except (ValueError, OverflowError, OSError):
        return None
    return None


def _value(fields: Mapping[str, Any]) -> float | None:
    """The value of a conversion, 0 without one; None when it is no number."""
    found = next((fields[name] for name in VALUE if name in fields), 0.0)
    if isinstance(found, bool) or not isinstance(found, int | float | str):
        return None
    try:
        value = float(found)
    except (ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None
