"""From the log to the database: what was written down first is stored second, once, in batches.

How far each file has been stored is noted beside the files after the rows are committed. A process that ends
between the two stores a batch again, which changes nothing: rows are kept by their prediction id.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from sqlalchemy.orm import Session

from fairtrial.serving.log import SHADOW_FOLDER, LogTail
from fairtrial.storage import Database
from fairtrial.storage.predictions import store_comparisons, store_predictions

AT_ONCE = 5_000
NOTE = "shipped.json"

Store = Callable[[Session, Sequence[Mapping[str, Any]]], int]


class Shipment:
    """Stores what this process's log files gained; several processes may share the folder.

    Args:
        folder: The prediction log's folder.
        owner: Part of the names of files that are this process's, so that each line has one carrier; what others left
            behind is carried too when `leftovers` is called.
        database: Where to.
    """

    def __init__(self, folder: Path, owner: str, database: Database) -> None:
        self._database = database
        self._parts = [
            _Part(folder, owner, store_predictions),
            _Part(folder / SHADOW_FOLDER, owner, store_comparisons),
        ]

    def ship(self, *, everything: bool = False) -> int:
        """Store what is new; how many lines were read.

        Args:
            everything: Also from files of processes that are gone.

        Raises:
            StorageError: The database failed; the lines wait in the files.
        """
        return sum(part.ship(self._database, everything=everything) for part in self._parts)


class _Part:
    def __init__(self, folder: Path, owner: str, store: Store) -> None:
        self._folder, self._owner, self._store = folder, owner, store
        self._note = folder / f"{owner}.{NOTE}"
        self._tail = LogTail(folder, _read_note(self._note))

    def ship(self, database: Database, *, everything: bool) -> int:
        if not self._folder.is_dir():
            return 0
        shipped = 0
        if everything:
            for other in self._folder.glob(f"*.{NOTE}"):
                for name, offset in _read_note(other).items():
                    self._tail.offsets[name] = max(offset, self._tail.offsets.get(name, 0))
        for name, reached, rows in self._tail.read(AT_ONCE, None if everything else self._owner):
            with database.writing() as session:
                self._store(session, rows)
            self._tail.offsets[name] = reached
            shipped += len(rows)
        if shipped or everything:
            _write_note(self._note, self._tail.offsets)
        return shipped


def _read_note(file: Path) -> dict[str, int]:
    """What a note says; a broken one says nothing, so that its files are stored again, which changes nothing."""
    try:
        noted: Any = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    offsets = cast("dict[str, Any]", noted) if isinstance(noted, dict) else {}
    return {name: offset for name, offset in offsets.items() if isinstance(offset, int)}


def _write_note(file: Path, offsets: Mapping[str, int]) -> None:
    beside = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    beside.write_text(json.dumps(dict(offsets)), encoding="utf-8")
    beside.replace(file)
