"""Numbers of the service's answers as people read them; a missing one is a dash."""

from __future__ import annotations

import datetime as dt

from fairtrial.reports.formatting import DASH, count, p_statement, p_value, precise, share


def whole(value: float | None) -> str:
    """A count: "12,345"."""
    return DASH if value is None else count(value)


def percent(value: float | None) -> str:
    """A share or a rate: "5.25%"."""
    return DASH if value is None else share(value)


def points(value: float | None) -> str:
    """A difference of rates in percentage points, with its sign: "+0.93 pp"."""
    return DASH if value is None else f"{100.0 * value:+.2f} pp"


def lift(value: float | None) -> str:
    """A relative difference with its sign: "+12.1%"."""
    return DASH if value is None else f"{100.0 * value:+.1f}%"


def span(low: float | None, high: float | None, *, relative: bool = False) -> str:
    """An interval in points (or relative): "+0.12 to +1.04 pp"; an end that is open says so."""
    if low is None and high is None:
        return DASH
    style, unit = (".1f", "%") if relative else (".2f", " pp")
    ends = [missing if end is None else f"{100.0 * end:+{style}}" for end, missing in ((low, "below"), (high, "above"))]
    return f"{ends[0]} to {ends[1]}{unit}"


def p(value: float | None) -> str:
    """A p-value."""
    return DASH if value is None else p_value(value)


def p_says(value: float | None) -> str:
    """A p-value in a sentence: "p = 0.012"."""
    return "p unknown" if value is None else p_statement(value)


def number(value: float | None, digits: int = 4) -> str:
    """A number to some significant digits."""
    return DASH if value is None else precise(value, digits)


def day(moment: str | None) -> str:
    """The day of a moment: "2026-03-01"."""
    return DASH if not moment else moment[:10]


def minute(moment: str | None) -> str:
    """A moment to the minute, in UTC: "2026-03-01 02:00 UTC"."""
    if not moment:
        return DASH
    return dt.datetime.fromisoformat(moment).astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M UTC")


def words(code: str | None) -> str:
    """A code as words: `needs_more_volume` becomes "needs more volume"."""
    return DASH if not code else code.replace("_", " ")
