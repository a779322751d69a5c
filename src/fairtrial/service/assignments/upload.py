"""Assign the profiles of an uploaded file: spooled to disk, checked, then assigned in one transaction."""

from __future__ import annotations

import datetime as dt
import tempfile
from contextlib import closing
from typing import IO, Any

from fastapi import Request as HttpRequest
from starlette.concurrency import run_in_threadpool

from fairtrial.errors import UsageError
from fairtrial.service.access.roles import Actor
from fairtrial.service.assignments.assign import Request, counted, place_units, strata_of
from fairtrial.service.assignments.files import SHOWN, FileForm, form_of, read_profiles
from fairtrial.service.experiments.lifecycle import get_experiment
from fairtrial.service.state import ServiceState

IN_MEMORY_BYTES = 4_000_000
"""A file up to this size is not written to disk."""


async def assign_upload(
    state: ServiceState, request: HttpRequest, reference: str, asked: Request, *, skip_bad: bool, actor: Actor, now: dt.datetime
) -> dict[str, Any]:
    """Take in a file as it comes and assign its profiles.

    Raises:
        UsageError: The file is of no form that can be read, or has bad lines and `skip_bad` is false; nothing is stored.
    """
    form = form_of(request.headers.get("content-type", ""))
    with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES) as file:
        async for chunk in request.stream():
            file.write(chunk)
        return await run_in_threadpool(_assign, state, file, form, reference, asked, skip_bad=skip_bad, actor=actor, now=now)


def _assign(
    state: ServiceState,
    file: IO[bytes],
    form: FileForm,
    reference: str,
    asked: Request,
    *,
    skip_bad: bool,
    actor: Actor,
    now: dt.datetime,
) -> dict[str, Any]:
    bad: list[tuple[int, str]] = []
    file.seek(0)
    lines = sum(1 for _ in read_profiles(file, form, lambda line, reason: bad.append((line, reason)))) + len(bad)
    if bad and not skip_bad:
        said = "; ".join(f"line {line}: {reason}" for line, reason in bad[:SHOWN])
        raise UsageError(
            f"{len(bad)} of {lines} lines are no profiles: {said}.", hint="Mend them, or send skip_bad=true; nothing was stored."
        )
    file.seek(0)
    with closing(read_profiles(file, form, _left_out)) as profiles, state.database.writing() as session:
        row = get_experiment(session, reference, for_update=True)
        found = place_units(session, row, profiles, asked, actor=actor, now=now)
        strata = strata_of(session, row)
    shown = [{"line": line, "reason": reason} for line, reason in bad[:SHOWN]]
    return {**counted(found), "strata": strata, "lines": lines, "bad": len(bad), "bad_lines": shown}


def _left_out(line: int, reason: str) -> None:
    """A bad line was named on the first reading."""
    del line, reason
