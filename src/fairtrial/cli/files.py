"""Files that the program writes and reads back: whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from fairtrial.errors import UsageError
from fairtrial.evaluation import Look
from fairtrial.evaluation.card import SCHEMA_VERSION
from fairtrial.evaluation.earlier import earlier_look
from fairtrial.spec.experiment import ExperimentSpec

FOLDER_HINT = "Name a file in a folder that exists and is writable."


def write_text(path: Path, text: str) -> None:
    """Write a file so that a crash leaves the old one or the new one, never half.

    A link is followed and stays; a device or pipe is written as it is.

    Raises:
        UsageError: The folder does not exist or cannot be written, or the path is a folder.
    """
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """The same for what is not text.

    Raises:
        UsageError: As of `write_text`.
    """
    _refuse_folder(path)
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)
        else:
            _replace(Path(os.path.realpath(path)), data)
    except OSError as error:
        raise _not_written(path, error) from error


def check_outputs(outputs: Mapping[str, Path | None], inputs: Sequence[Path]) -> None:
    """Refuse, before any work is done, files that could not be written or should not.

    Args:
        outputs: Where to write, by option; None for what is not asked for.
        inputs: Files that are read.

    Raises:
        UsageError: Two outputs are one file, one is a file that is read, or its folder is missing or closed.
    """
    read = {os.path.realpath(path) for path in inputs}
    taken: dict[str, str] = {}
    for option, path in outputs.items():
        if path is None:
            continue
        _refuse_folder(path)
        real = os.path.realpath(path)
        if real in read:
            raise UsageError(f"{option} must not overwrite a file that is read, got {str(path)!r}.", hint="Name another file.")
        if real in taken:
            raise UsageError(f"{taken[real]} and {option} must be two files, both are {str(path)!r}.", hint="Name another file.")
        taken[real] = option
        _try_folder(path)


def read_look(path: Path, spec: ExperimentSpec) -> tuple[Look, str]:
    """An earlier look from the scorecard it left, and the hash of the spec that it was made by.

    Raises:
        UsageError: The file is not there, is no scorecard, or is one of a newer version or of another experiment.
    """
    advice = "Pass a file written by `fairtrial analyze --scorecard`."
    try:
        earlier = earlier_look(path.read_bytes())
    except OSError as error:
        raise UsageError(f"An earlier scorecard is a JSON file; cannot read {str(path)!r}: {error.strerror}.", hint=advice) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{str(path)!r} is no scorecard: {error}.", hint=advice) from error
    if earlier.schema_version > SCHEMA_VERSION:
        raise UsageError(
            f"Scorecards are read up to schema version {SCHEMA_VERSION}, {str(path)!r} has {earlier.schema_version}.",
            hint="Read it with the newer fairtrial that wrote it.",
        )
    if earlier.experiment != spec.key:
        raise UsageError(
            f"An earlier look must be of the same experiment, {spec.key!r}; {str(path)!r} is of {earlier.experiment!r}.",
            hint="Name the scorecard of this experiment.",
        )
    return earlier.look, earlier.spec_hash


def _refuse_folder(path: Path) -> None:
    if os.path.isdir(path):  # noqa: PTH112 - false, not an error, for a name that cannot be
        raise UsageError(f"Cannot write {str(path)!r}: it is a folder.", hint="Name a file in it.")


def _try_folder(path: Path) -> None:
    try:
        if path.exists() and not path.is_file():
            return
        with tempfile.NamedTemporaryFile(dir=Path(os.path.realpath(path)).parent, prefix=".fairtrial."):
            pass
    except OSError as error:
        raise _not_written(path, error) from error


def _replace(path: Path, data: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".fairtrial.")
    unfinished = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        unfinished.chmod(0o644)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def _not_written(path: Path, error: OSError) -> UsageError:
    return UsageError(f"Cannot write {str(path)!r}: {error.strerror}.", hint=FOLDER_HINT)
