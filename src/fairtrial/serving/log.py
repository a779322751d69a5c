"""The log of predictions: one JSON object a line, on its way to the disk before the answer leaves.

A line is one `write` to a file opened for appending, so it is the system's from then on: a
process that is killed loses no line that it answered for. (A machine that loses power may lose
the last second: the file is flushed to the disk once a second by whoever keeps the log.)
Every process writes a file of its own, so that two never share one.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import msgspec

from fairtrial.errors import StorageError, UsageError

SHADOW_FOLDER = "shadow"
"""Comparisons lie in a folder of their own below that of the predictions."""

LARGEST_FILE = 256 * 1024 * 1024
"""Bytes after which the next file is begun."""

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()


class PredictionLog:
    """A folder of log files to which this process appends.

    Args:
        folder: Where; made when it is not there.
        name: What is logged; part of the files' names.
        owner: That of another log of this process, so that both are known as one's own.

    Attributes:
        owner: Part of the files' names that no other log shares.

    Raises:
        StorageError: The folder cannot be written.
    """

    def __init__(self, folder: str | Path, name: str, *, owner: str | None = None) -> None:
        self.folder = Path(folder)
        self._stem = file_stem(name)
        self.owner = owner or f"{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S%f}-{os.getpid()}"
        self._lock = threading.Lock()
        self._file = -1
        self._size = 0
        self._part = 0
        self._whole = True
        self._unsynced = False
        self._open()

    @property
    def path(self) -> Path:
        """The file that is written now."""
        return self.folder / f"{self._stem}-{self.owner}-{self._part:04d}.ndjson"

    def append(self, row: Mapping[str, Any]) -> None:
        """Write a line; it survives the end of this process.

        Raises:
            StorageError: It could not be written whole; nothing that is read later contains a half of it.
            UsageError: The row holds what JSON cannot.
        """
        try:
            line = _encoder.encode(row) + b"\n"
        except (TypeError, ValueError) as error:
            raise UsageError(f"A log line holds what JSON can, got {error}.") from error
        with self._lock:
            if self._file < 0:
                raise StorageError(f"The log in {self.folder} is closed.")
            self._write(line)

    def probe(self) -> None:
        """Write a blank line, which readers pass over, to see whether the log takes lines again.

        Raises:
            StorageError: It does not.
        """
        with self._lock:
            self._write(b"\n")

    def _write(self, line: bytes) -> None:
        if not self._whole:  # a half line is ended first, so that it spoils none but itself
            line = b"\n" + line
        try:
            written = os.write(self._file, line)
        except OSError as error:
            raise self._failed(error) from error
        self._whole = written == len(line)
        self._size += written
        self._unsynced = True
        if not self._whole:
            raise StorageError(f"The log in {self.folder} took {written} of {len(line)} bytes.", hint="Make room on the disk.")
        if self._size >= LARGEST_FILE:
            os.close(self._file)
            self._part += 1
            self._open()

    def _open(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise self._failed(error) from error
        self._size = 0

    def _failed(self, error: OSError) -> StorageError:
        why = os.strerror(error.errno or 0)
        return StorageError(f"The log in {self.folder} cannot be written: {why}.", hint="Make room, or check its permissions.")

    def sync(self) -> None:
        """Wait until what was written is on the disk.

        Raises:
            StorageError: The disk failed.
        """
        with self._lock:
            if self._file < 0 or not self._unsynced:
                return
            self._unsynced = False
            descriptor = os.dup(self._file)
        try:
            os.fsync(descriptor)
        except OSError as error:
            raise self._failed(error) from error
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Give the file back; a second time does nothing."""
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1


def file_stem(name: str) -> str:
    """A name as part of a file name: what is odd in it gives way to a hash of the whole."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:60]
    return plain if plain == name else f"{plain or 'log'}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadLines:
    """Rows of a log, and what could not be read of it.

    Attributes:
        rows: In the order of files and lines.
        broken: Lines that are no JSON object: what a killed or stopped writer left.
    """

    rows: list[dict[str, Any]]
    broken: int


def read_log(folder: str | Path) -> ReadLines:
    """Every row of the log files in a folder.

    Raises:
        UsageError: There is no such folder.
    """
    rows: list[dict[str, Any]] = []
    broken = 0
    for file in log_files(folder):
        with file.open("rb") as lines:
            for line in lines:
                row = parsed_line(line)
                if row is None:
                    broken += bool(line.strip())
                else:
                    rows.append(row)
    return ReadLines(rows=rows, broken=broken)


def log_files(folder: str | Path) -> list[Path]:
    """The log files in a folder, oldest first by name.

    Raises:
        UsageError: There is no such folder.
    """
    place = Path(folder)
    if not place.is_dir():
        raise UsageError(f"A prediction log is a folder of .ndjson files; there is no folder {str(folder)!r}.")
    return sorted(file for file in place.glob("*.ndjson") if not file.name.startswith("labels"))


def parsed_line(line: bytes) -> dict[str, Any] | None:
    """A line as a row; None when it is blank or not a whole JSON object."""
    if not line.endswith(b"\n"):
        return None
    try:
        row = _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return cast("dict[str, Any]", row) if isinstance(row, dict) else None


@dataclass(slots=True)
class LogTail:
    """Reads what was appended to a folder since it last looked; an unfinished last line waits for its end.

    Attributes:
        folder: Where the log is.
        offsets: Bytes read by file name.
    """

    folder: Path
    offsets: dict[str, int]

    def read(self, most: int, owner: str | None = None) -> Iterator[tuple[str, int, list[dict[str, Any]]]]:
        """New rows by file, at most about `most` in all.

        Args:
            most: Rows.
            owner: Only of files whose name has this part; None reads all.

        Yields:
            Name of the file, the offset after the rows (to be kept in `offsets` once they are safe), the rows.
        """
        left = most
        for file in log_files(self.folder):
            if left <= 0:
                return
            begun = self.offsets.get(file.name, 0)
            if (owner is not None and owner not in file.name) or file.stat().st_size <= begun:
                continue
            rows: list[dict[str, Any]] = []
            reached = begun
            with file.open("rb") as lines:
                lines.seek(begun)
                for line in lines:
                    if not line.endswith(b"\n") or left <= 0:
                        break
                    reached += len(line)
                    row = parsed_line(line)
                    if row is not None:
                        rows.append(row)
                        left -= 1
            if reached > begun:
                yield file.name, reached, rows
