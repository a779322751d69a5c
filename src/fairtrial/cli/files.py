"""Files that the program writes and reads back: whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import msgspec

from fairtrial.decisions import Decision
from fairtrial.errors import UsageError
from fairtrial.evaluation import Look


class _Sequential(msgspec.Struct):
    information: float


class _Plan(msgspec.Struct):
    complete: bool
    sequential: _Sequential | None = None


class _EarlierScorecard(msgspec.Struct):
    as_of: str | None
    plan: _Plan
    decisions: dict[str, Decision]


def write_text(path: Path, text: str) -> None:
    """Write a file so that a crash leaves the old one or the new one, never half.

    Raises:
        UsageError: The folder does not exist or cannot be written.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise UsageError(f"Cannot write {str(path)!r}: {error.strerror}.", hint="Name a folder that exists and is writable.") from error
    unfinished = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        unfinished.chmod(0o644)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def read_look(path: Path) -> Look:
    """An earlier look from the scorecard it left.

    Raises:
        UsageError: The file is not there, or is no scorecard.
    """
    try:
        earlier = msgspec.json.decode(path.read_bytes(), type=_EarlierScorecard)
    except OSError as error:
        raise UsageError(f"An earlier scorecard is a JSON file; cannot read {str(path)!r}: {error.strerror}.") from error
    except msgspec.DecodeError as error:
        raise UsageError(
            f"{str(path)!r} is no scorecard: {error}.", hint="Pass a file written by `fairtrial analyze --scorecard`."
        ) from error
    looked = earlier.plan.sequential
    return Look(
        as_of=earlier.as_of,
        complete=earlier.plan.complete,
        decisions=earlier.decisions,
        information=None if looked is None else looked.information,
    )
