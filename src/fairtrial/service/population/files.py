"""The population out of files: NDJSON or CSV, line by line; a file with a bad line stores nothing.

A line of NDJSON is a row as the routes take it. A CSV file has a header with the names
of the fields; an empty cell is a field left out. Columns of profiles that are no fields
become attributes.
"""

from __future__ import annotations

import csv
import datetime as dt
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Literal, cast

import msgspec
from pydantic import ValidationError
from sqlalchemy.orm import Session

from fairtrial.errors import UsageError
from fairtrial.service.access.roles import Actor
from fairtrial.service.bodies import Body
from fairtrial.service.population.load import load_conversions, load_profiles, load_touchpoints
from fairtrial.service.population.schemas import ConversionIn, ProfileIn, TouchpointIn

What = Literal["profiles", "touchpoints", "conversions"]

AT_A_TIME = 5_000
"""Rows that are held."""

ROW: dict[str, type[Body]] = {"profiles": ProfileIn, "touchpoints": TouchpointIn, "conversions": ConversionIn}
STORE: dict[str, Any] = {"profiles": load_profiles, "touchpoints": load_touchpoints, "conversions": load_conversions}

FORMS = {".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson"}


def load_file(session: Session, what: What, path: Path, *, actor: Actor, now: dt.datetime) -> dict[str, int]:
    """Store the rows of a file.

    Args:
        session: A writing session; what raises here must undo it.
        what: What its rows are.
        path: The file; `.csv`, `.ndjson` or `.jsonl`.
        actor: Who.
        now: When.

    Returns:
        Rows, and what became of them, as the route of this kind says it.

    Raises:
        UsageError: The file is of no form that can be read, or a line is no such row.
    """
    rows = _checked(what, _read(path))
    counted: Counter[str] = Counter(rows=0)
    while batch := list(islice(rows, AT_A_TIME)):
        counted.update(STORE[what](session, batch, actor=actor, now=now).model_dump())
        counted["rows"] += len(batch)
    return dict(counted)


def _checked(what: What, lines: Iterable[tuple[int, Any]]) -> Iterator[Body]:
    form = ROW[what]
    for number, raw in lines:
        try:
            yield form.model_validate(_profile(cast("dict[str, Any]", raw)) if form is ProfileIn and isinstance(raw, dict) else raw)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            said = f"{place}: {first['msg'].removeprefix('Value error, ')}" if place else first["msg"]
            raise UsageError(
                f"Line {number} is none of {what}: {said}.", hint="Nothing was stored; mend the line and load again."
            ) from None


def _profile(raw: dict[str, Any]) -> dict[str, Any]:
    """Fields that a profile has not, among its attributes."""
    other = {name: value for name, value in raw.items() if name not in ProfileIn.model_fields}
    if not other or not isinstance(raw.get("attributes", {}), dict):
        return raw
    kept = {name: value for name, value in raw.items() if name in ProfileIn.model_fields}
    return {**kept, "attributes": {**raw.get("attributes", {}), **other}}


def _read(path: Path) -> Iterator[tuple[int, Any]]:
    form = FORMS.get(path.suffix.lower())
    if form is None:
        raise UsageError(f"A file must end in {', '.join(FORMS)}, got {path.name!r}.")
    if not path.is_file():
        raise UsageError(f"There is no file {str(path)!r}.")
    yield from (_csv if form == "csv" else _ndjson)(path)


def _ndjson(path: Path) -> Iterator[tuple[int, Any]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                yield number, msgspec.json.decode(line)
            except (msgspec.DecodeError, RecursionError, ValueError) as error:
                raise UsageError(f"Line {number} of {path.name!r} is no JSON: {error}.", hint="Nothing was stored.") from error


def _csv(path: Path) -> Iterator[tuple[int, Any]]:
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.DictReader(file)
        try:
            for row in reader:
                if None in row or None in row.values():
                    raise UsageError(f"Line {reader.line_num} of {path.name!r} has not as many fields as the header.")
                yield reader.line_num, {name: value for name, value in row.items() if value != ""}
        except csv.Error as error:
            raise UsageError(f"{path.name!r} cannot be read as CSV: {error}.") from error
