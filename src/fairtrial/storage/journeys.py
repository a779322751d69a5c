"""Days of channels: touchpoints and conversions added up by day, so that weeks of them are read at once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from fairtrial.storage.bulk import time_parameter
from fairtrial.storage.tables import Conversion, JourneyDay

CLEAR = "DELETE FROM journey_days WHERE day = :day"

# A profile is counted once a channel and day; its conversions of that day are added up before they are joined.
FILL = """
INSERT INTO journey_days (day, channel, touchpoints, profiles, converters, value, computed_at)
SELECT :day, t.channel, sum(t.touches), count(*), count(c.profile_id), coalesce(sum(c.value), 0.0), :now
FROM (SELECT channel, profile_id, count(*) AS touches FROM touchpoints
      WHERE touched_at >= :since AND touched_at < :until GROUP BY channel, profile_id) t
LEFT JOIN (SELECT profile_id, sum(value) AS value FROM conversions
           WHERE converted_at >= :since AND converted_at < :until GROUP BY profile_id) c ON c.profile_id = t.profile_id
GROUP BY t.channel
"""


def add_up_day(session: Session, day: dt.date, *, now: dt.datetime) -> int:
    """Make the rows of one day (UTC) anew.

    Args:
        session: A writing session.
        day: The day.
        now: The moment.

    Returns:
        Channels that had touchpoints.
    """
    since = dt.datetime.combine(day, dt.time(), dt.UTC)
    connection = session.connection()
    day_text: object = day.isoformat() if connection.dialect.name == "sqlite" else day
    connection.execute(text(CLEAR), {"day": day_text})
    times = {"since": since, "until": since + dt.timedelta(days=1), "now": now}
    statement = text(FILL).bindparams(*(time_parameter(name, moment) for name, moment in times.items()))
    return connection.execute(statement, {"day": day_text}).rowcount


def days_of_channels(session: Session, since: dt.date, until: dt.date) -> Sequence[JourneyDay]:
    """Days from `since` to before `until`, by channel and day."""
    kept = select(JourneyDay).where(JourneyDay.day >= since, JourneyDay.day < until)
    return session.scalars(kept.order_by(JourneyDay.channel, JourneyDay.day)).all()


def last_conversion(session: Session, before: dt.datetime) -> dt.datetime | None:
    """When the latest conversion before a moment happened."""
    kept = select(Conversion.converted_at).where(Conversion.converted_at < before)
    return session.scalar(kept.order_by(Conversion.converted_at.desc()).limit(1))
