"""Profiles out of an uploaded file, line by line: NDJSON or CSV, in flat memory.

An NDJSON line is a string or an object with `profile_id`. A CSV file has a header
with a column `profile_id`. Either may name a `group` beside the profile, where the
groups were drawn elsewhere. The file is read twice, once to find what is wrong with
it and once to assign, so that a bad file stores nothing.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Generator
from typing import IO, Literal

import msgspec

from fairtrial.errors import UsageError
from fairtrial.service.bodies import check_text

COLUMN = "profile_id"
GROUP = "group"
LONGEST_LINE = 10_000
SHOWN = 20
"""Bad lines that an answer names."""

FileForm = Literal["ndjson", "csv"]

FORM_OF: dict[str, FileForm] = {
    "application/x-ndjson": "ndjson",
    "application/ndjson": "ndjson",
    "application/jsonl": "ndjson",
    "text/csv": "csv",
}
"""Form by content type."""


Profile = tuple[str, str | None]
"""A profile and the group that the file names for it, if any."""


class _Line(msgspec.Struct):
    profile_id: str
    group: str | None = None


_DECODER = msgspec.json.Decoder(str | _Line)


def form_of(content_type: str) -> FileForm:
    """The form that a content type announces.

    Raises:
        UsageError: It is none of those that can be read.
    """
    name = content_type.partition(";")[0].strip().lower()
    if name not in FORM_OF:
        raise UsageError(f"An upload must be of the type {' or '.join(FORM_OF)}, got {name or 'none'!r}.", hint="Set Content-Type.")
    return FORM_OF[name]


def read_profiles(file: IO[bytes], form: FileForm, on_bad: Callable[[int, str], None]) -> Generator[Profile]:
    """The profiles of a file in their order.

    Args:
        file: The file, read from where it stands.
        form: How to read it.
        on_bad: Called with the number of a line, from 1, and what is wrong with it; the line is left out.

    Raises:
        UsageError: A CSV file has no column `profile_id`.
    """
    if form == "ndjson":
        yield from _ndjson(file, on_bad)
    else:
        yield from _csv(file, on_bad)


def _ndjson(file: IO[bytes], on_bad: Callable[[int, str], None]) -> Generator[Profile]:
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            on_bad(number, f"longer than {LONGEST_LINE} bytes")
            while line and not line.endswith(b"\n"):
                line = file.readline(LONGEST_LINE)
            continue
        if not line.strip():
            continue
        try:
            found = _DECODER.decode(line)
            yield _checked(found, None) if isinstance(found, str) else _checked(found.profile_id, found.group)
        except (msgspec.DecodeError, ValueError) as error:
            on_bad(number, str(error))


def _csv(file: IO[bytes], on_bad: Callable[[int, str], None]) -> Generator[Profile]:
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
    try:
        reader = csv.reader(text)
        header = next(reader, list[str]())
        if COLUMN not in header:
            raise UsageError(f"A CSV file must have a column {COLUMN!r}, its header is {header[:20]}.")
        place = header.index(COLUMN)
        group = header.index(GROUP) if GROUP in header else None
        for row in reader:
            if not row:
                continue
            try:
                yield _checked(row[place], None if group is None else row[group])
            except IndexError:
                on_bad(reader.line_num, f"has {len(row)} fields, the header {len(header)}")
            except ValueError as error:
                on_bad(reader.line_num, str(error))
    except csv.Error as error:
        raise UsageError(f"The CSV file cannot be read: {error}.") from error
    finally:
        text.detach()


def _checked(unit: str, group: str | None) -> Profile:
    if group == "":
        raise ValueError("names no group")
    if not 1 <= len(unit) <= 200:
        raise ValueError(f"a profile id has 1 to 200 characters, got {len(unit)}")
    return check_text(unit), group
