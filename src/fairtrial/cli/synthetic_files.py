"""Made-up data as files, each of which says that it is made up."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Mapping
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from fairtrial.cli.files import write_bytes
from fairtrial.errors import UsageError
from fairtrial.simulation.generate import Column, Synthetic
from fairtrial.spec.data import LogsData
from fairtrial.spec.experiment import ExperimentSpec

TABLE_FORMATS = (".parquet", ".csv")
DATABASE_FORMATS = (".duckdb", ".sqlite")
LABELS_TABLE = "fairtrial_synthetic"
"""The table of a database that says what it is."""


def check_format(path: Path, spec: ExperimentSpec) -> None:
    """Refuse a file that cannot hold the experiment's data.

    Raises:
        UsageError: Its name ends otherwise than the formats that can.
    """
    formats, what = (DATABASE_FORMATS, "Logs are") if isinstance(spec.data, LogsData) else (TABLE_FORMATS, "A table is")
    if path.suffix not in formats:
        raise UsageError(
            f"{what} written to a {' or '.join(formats)} file, got {str(path)!r}.", hint=f"Such as {path.with_suffix(formats[0])}."
        )


def source_of(path: Path) -> str:
    """The address by which the file is read."""
    return f"{path.suffix[1:]}:///{path}" if path.suffix in DATABASE_FORMATS else str(path)


def write_synthetic(made: Synthetic, path: Path, labels: Mapping[str, str]) -> None:
    """Write the data whole or not at all.

    Args:
        made: The data.
        path: Where to; its suffix says in which format. All but DuckDB's give equal bytes for equal data.
        labels: What the file says of itself: in a Parquet file's metadata, in a database's own table.
    """
    if path.suffix == ".duckdb":
        write_bytes(path, _duckdb_file(made, labels))
    elif path.suffix == ".sqlite":
        write_bytes(path, _sqlite_file(made, labels))
    else:
        write_bytes(path, _table_file(made, labels, csv=path.suffix == ".csv"))


def _table_file(made: Synthetic, labels: Mapping[str, str], *, csv: bool) -> bytes:
    arrow: Any = import_module("pyarrow")
    (columns,) = made.tables.values()
    table = arrow.table(columns).replace_schema_metadata({f"fairtrial.{name}": text for name, text in labels.items()})
    sink = arrow.BufferOutputStream()
    if csv:
        import_module("pyarrow.csv").write_csv(table, sink)
    else:
        import_module("pyarrow.parquet").write_table(table, sink)
    return sink.getvalue().to_pybytes()


def _duckdb_file(made: Synthetic, labels: Mapping[str, str]) -> bytes:
    duckdb: Any = import_module("duckdb")
    arrow: Any = import_module("pyarrow")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "made.duckdb"
        with duckdb.connect(str(file)) as database:
            for name, columns in _with_labels(made, labels).items():
                database.from_arrow(arrow.table(columns)).create(_quoted(name))
        return file.read_bytes()


def _sqlite_file(made: Synthetic, labels: Mapping[str, str]) -> bytes:
    with closing(sqlite3.connect(":memory:")) as database:
        for name, columns in _with_labels(made, labels).items():
            database.execute(f"CREATE TABLE {_quoted(name)} ({', '.join(map(_quoted, columns))})")
            cells = [_cells(column) for column in columns.values()]
            marks = ", ".join("?" * len(cells))
            database.executemany(f"INSERT INTO {_quoted(name)} VALUES ({marks})", zip(*cells, strict=True))  # noqa: S608 - quoted
        database.commit()
        return database.serialize()


def _with_labels(made: Synthetic, labels: Mapping[str, str]) -> dict[str, dict[str, Column]]:
    return {**made.tables, LABELS_TABLE: {"name": list(labels), "value": list(labels.values())}}


def _cells(column: Column) -> list[Any]:
    """Values as SQLite stores them, times as text."""
    if isinstance(column, list):
        return list(column)
    return (np.char.add(column.astype(str), "Z") if column.dtype.kind == "M" else column).tolist()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
