"""Lines that a person types or pastes, as the service's rows: one id a line, `profile,campaign,message,ts`, `profile,value,ts` (HO-39)."""

from __future__ import annotations

import csv
import datetime as dt
import io
import math
from typing import Any

from fairtrial.errors import UsageError

MOST = 5_000
"""Lines of one form; more belong into a file."""


def typed_ids(text: str) -> list[str]:
    """One id a line, blanks around it and empty lines left out.

    Raises:
        UsageError: There is none, or there are too many.
    """
    found = [line.strip() for line in text.splitlines() if line.strip()]
    _check_many(found)
    return found


def typed_exposures(text: str) -> list[dict[str, Any]]:
    """Exposures `profile,campaign,message,ts`; all but the profile may be empty.

    Raises:
        UsageError: A line breaks the form; it is named.
    """
    found: list[dict[str, Any]] = []
    for number, cells in _lines(text, 4):
        row = {"profile_id": cells[0], "campaign_id": cells[1] or None, "message_id": cells[2] or None}
        found.append(row | _moment("exposure_ts", cells[3], number))
    return found


def typed_outcomes(text: str) -> list[dict[str, Any]]:
    """Outcomes `profile,value,ts`; without a time it is now.

    Raises:
        UsageError: A line breaks the form; it is named.
    """
    found: list[dict[str, Any]] = []
    for number, cells in _lines(text, 3):
        try:
            value = float(cells[1]) if cells[1] else 0.0
        except ValueError:
            raise UsageError(f"Line {number}: the value must be a number, got {cells[1][:40]!r}.") from None
        if not math.isfinite(value):
            raise UsageError(f"Line {number}: the value must be finite, got {cells[1][:40]!r}.")
        now = dt.datetime.now(dt.UTC).isoformat()
        found.append({"profile_id": cells[0], "value": value} | (_moment("conversion_ts", cells[2], number) or {"conversion_ts": now}))
    return found


def _lines(text: str, most: int) -> list[tuple[int, list[str]]]:
    found: list[tuple[int, list[str]]] = []
    for number, cells in enumerate(csv.reader(io.StringIO(text)), start=1):
        row = [cell.strip() for cell in cells]
        if not any(row):
            continue
        if len(row) > most:
            raise UsageError(f"Line {number} has {len(row)} fields, at most {most} are known.")
        if not row[0]:
            raise UsageError(f"Line {number} names no profile.")
        found.append((number, row + [""] * (most - len(row))))
    _check_many(found)
    return found


def _check_many(found: list[Any]) -> None:
    if not found:
        raise UsageError("There is no line.", hint="Put one on each line.")
    if len(found) > MOST:
        raise UsageError(f"At most {MOST:,} lines fit here, got {len(found):,}.", hint="Upload a file: POST .../assign/upload, or the API.")


def _moment(name: str, text: str, line: int) -> dict[str, str]:
    if not text:
        return {}
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"Line {line}: the time must look like 2026-03-01T12:00:00Z, got {text[:40]!r}.") from None
    return {name: (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).isoformat()}
