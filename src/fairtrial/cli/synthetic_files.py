"""Made-up data as files, each of which says that it is made up."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from fairtrial.cli.files import write_bytes
from fairtrial.errors import UsageError
from fairtrial.simulation.generate import Synthetic
from fairtrial.spec.data import LogsData
from fairtrial.spec.experiment import ExperimentSpec

TABLE_FORMATS = (".parquet", ".csv")


def check_format(path: Path, spec: ExperimentSpec) -> None:
    """Refuse a file that cannot hold the experiment's data.

    Raises:
        UsageError: Its name ends otherwise than the formats that can.
    """
    if isinstance(spec.data, LogsData):
        return
    if path.suffix not in TABLE_FORMATS:
        raise UsageError(
            f"A table of units is written to a .parquet or .csv file, got {str(path)!r}.", hint=f"Such as {path.with_suffix('.parquet')}."
        )


def write_synthetic(made: Synthetic, path: Path, labels: Mapping[str, str]) -> None:
    """Write the data whole or not at all; equal data give equal bytes.

    Args:
        made: The data.
        path: Where to; its suffix says in which format.
        labels: What a Parquet file says of itself, under `fairtrial.` and the name.
    """
    arrow: Any = import_module("pyarrow")
    (columns,) = made.tables.values()
    table = arrow.table(columns).replace_schema_metadata({f"fairtrial.{name}": text for name, text in labels.items()})
    sink = arrow.BufferOutputStream()
    if path.suffix == ".csv":
        import_module("pyarrow.csv").write_csv(table, sink)
    else:
        import_module("pyarrow.parquet").write_table(table, sink)
    write_bytes(path, sink.getvalue().to_pybytes())
