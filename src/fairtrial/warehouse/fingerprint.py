"""What identifies the data behind a result, and the cache of what was checked of it.

The fingerprint is the SHA-256 of the source (without credentials or folders), the columns
read, the filters, the row count and the integer totals by arm: two reads of the same data
agree on it, though their floating-point sums may differ in the last bit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from fairtrial.warehouse.sources import Source


def fingerprint(
    source: str, *, columns: Sequence[str], where: Mapping[str, object], rows: int, totals: Mapping[str, Mapping[str, int]]
) -> str:
    """SHA-256 in hex.

    Args:
        source: Label of the source and table, without credentials.
        columns: Columns read.
        where: Filters applied.
        rows: Rows read.
        totals: By arm: counts and integer totals.
    """
    name = source if "://" in source else source.rpartition("/")[2]
    content = {
        "source": name,
        "columns": sorted(set(columns)),
        "where": {key: str(value) for key, value in sorted(where.items())},
        "rows": rows,
        "totals": {arm: dict(sorted(row.items())) for arm, row in sorted(totals.items())},
    }
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


class UniquenessCache:
    """Remembers, in a folder, data whose units were found to be unique.

    An entry stands for a fingerprint, the unit column and, for files, their sizes and
    times of change, so that an edited file is checked again.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def knows(self, key: str) -> bool:
        """Whether the data behind `key` was found unique before."""
        return self._folder is not None and (self._folder / f"{key}.unique").is_file()

    def remember(self, key: str) -> None:
        """Note that the data behind `key` is unique."""
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / f"{key}.unique").touch()

    @staticmethod
    def key(print_of_data: str, unit: str, source: Source) -> str:
        """Name of the entry."""
        stamps = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in source.files]
        return hashlib.sha256(json.dumps([print_of_data, unit, stamps]).encode()).hexdigest()
