"""From an address to an Ibis connection, read only, and back to plain Python rows.

Addresses: a Parquet or CSV file (`.gz` and `.zst` too) or a folder of them, read lazily by
the embedded DuckDB; `duckdb:///file.db`, `sqlite:///file.db`, `postgresql://user@host/db`;
`spark://local[2]` for the tables and views of a local Spark session, with
`?path=folder/file.parquet` for files read by Spark, `spark://host:7077` for a master.
A path with one more slash (`duckdb:////data/file.db`) is absolute, others count from `base`.

Expressions are compiled by Ibis and run on the driver's own connection, so that big
integers and decimals come back exact and not as floats.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fairtrial.errors import ConnectorError, DataError, FairtrialError, UnknownNameError, UsageError
from fairtrial.warehouse import untyped
from fairtrial.warehouse.capabilities import Engine, engine_of
from fairtrial.warehouse.files import Files, find_files
from fairtrial.warehouse.untyped import ibis

Row = tuple[Any, ...]
SCHEMES = ("duckdb", "sqlite", "postgresql", "postgres", "spark")
CONNECT_TIMEOUT_SECONDS = 10
SPARK_SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.session.timeZone": "UTC",
    "spark.driver.memory": "1g",
}
FILE_TABLE = "data"
SPARK_VIEW = "fairtrial_files"
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(kw_only=True)
class Source:
    """An open address: hands out tables and runs expressions.

    Attributes:
        backend: The Ibis backend.
        engine: What the engine can do.
        label: The address without credentials and without the machine's folders.
        only: The one table that a file, a folder or a frame is.
        files: The files behind it, when it is made of files.
        footers: Whether extremes of a whole column come free, from Parquet footers.
        secret: What must not appear in any message.
        is_ours: Whether the connection was opened here, so that it is closed here.
    """

    backend: Any
    engine: Engine
    label: str
    only: Any = None
    files: tuple[Path, ...] = ()
    footers: bool = False
    secret: str = field(default="", repr=False)
    is_ours: bool = True
    _kept: int = 0

    def named(self, table: str | None) -> str:
        """The label with the table's name."""
        return self.label if table is None or self.only is not None else f"{self.label}#{table}"

    def table(self, name: str | None) -> Any:
        """The table named `name`; for a file or where there is only one table, None will do.

        Raises:
            UnknownNameError: No such table.
            UsageError: Several tables are there and none was named.
            ConnectorError: The engine could not be asked.
        """
        if self.only is not None:
            return self.only
        query, place = self.engine.tables
        names = sorted(str(row[place]) for row in self._fetched(query))
        if name is None and len(names) != 1:
            raise UsageError(f"{self.label} holds {len(names)} tables and none was named.", hint=f"Set `table` to one of {names}.")
        wanted: str = names[0] if name is None else name
        schema, _, short = wanted.rpartition(".")
        try:
            if wanted in names:
                return self.backend.table(wanted)
            if schema:
                return self.backend.table(short, database=schema)
        except Exception as error:
            if type(error).__name__ != "TableNotFound":
                raise self._translate(error) from error
        raise UnknownNameError.among("table", wanted, names, code="unknown_table")

    def sql(self, expression: Any) -> str:
        """The text that `rows` would run."""
        return str(self.backend.compile(expression))

    def rows(self, expression: Any) -> list[Row]:
        """Run an expression and return its rows as Python values.

        Raises:
            DataError: The data does not fit the question (a text that is no time, ...).
            ConnectorError: The engine failed.
        """
        return self._fetched(self.sql(expression))

    def columns(self, expression: Any) -> list[NDArray[np.float64]]:
        """Run an expression of number columns and return each as doubles, NULL as NaN.

        Raises:
            DataError: The data does not fit the question.
            ConnectorError: The engine failed.
        """
        text = self.sql(expression)
        if self.engine.name != "duckdb":
            table = np.array(self._fetched(text), dtype=np.float64).reshape(-1, len(expression.columns))
            return [np.ascontiguousarray(table[:, index]) for index in range(table.shape[1])]
        try:
            found = self.backend.con.execute(text).fetchnumpy()
        except Exception as error:
            raise self._translate(error) from error
        return [np.ma.filled(np.ma.asarray(column, dtype=np.float64), np.nan) for column in found.values()]

    def arrow(self, expression: Any) -> Any:
        """Run an expression and return its rows as an Arrow table.

        Raises:
            DataError: The data does not fit the question.
            ConnectorError: The engine failed.
        """
        if self.engine.name == "duckdb":
            try:
                return self.backend.con.execute(self.sql(expression)).to_arrow_table()
            except Exception as error:
                raise self._translate(error) from error
        pa = untyped.pyarrow()
        columns = list(zip(*self.rows(expression), strict=True)) or [() for _ in expression.columns]
        schema = expression.schema().to_pyarrow()
        return pa.table(
            {name: pa.array(list(values), type=schema.field(name).type) for name, values in zip(expression.columns, columns, strict=True)}
        )

    def _fetched(self, text: str) -> list[Row]:
        try:
            if self.engine.name == "pyspark":
                return [tuple(row) for row in self.backend.raw_sql(text).collect()]
            return [tuple(row) for row in self.backend.con.execute(text).fetchall()]
        except Exception as error:
            raise self._translate(error) from error

    def kept(self, expression: Any) -> Any:
        """The rows of an expression kept in a temporary table, where the engine has such for readers; else itself."""
        if not self.engine.keeps_temporary:
            return expression
        name = f"fairtrial_{self._kept}"
        self._kept += 1
        try:
            self.backend.con.execute(f"CREATE TEMP TABLE {name} AS {self.sql(expression)}")
        except Exception as error:
            raise self._translate(error) from error
        return self.backend.table(name, database=("temp", "main"))

    def close(self) -> None:
        """Close the connection; a Spark session is shared and stays."""
        if self.engine.name != "pyspark":
            self.backend.con.close()

    def __enter__(self) -> Source:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _translate(self, error: Exception) -> FairtrialError:
        """Our error for an engine's: whose fault it is, without the secret."""
        if isinstance(error, FairtrialError):
            return error
        first = _gist(error)
        message = first.replace(self.secret, "***") if self.secret else first
        kind = type(error).__name__
        if kind in _LOST or (kind == "OperationalError" and self.engine.name == "postgres"):
            return ConnectorError(f"{self.label} does not answer: {message}", hint="Try again when it is up.", retriable=True)
        if kind in _BAD_VALUES:
            return DataError(
                f"{self.label} could not compute the arm statistics: {message}",
                hint="A value does not fit its column; mend the column or leave such rows out by `where`.",
                code="bad_value",
            )
        return ConnectorError(f"{self.label} failed ({kind}): {message}")


_LOST = {"IOException", "ConnectionException", "InterfaceError", "AdminShutdown", "ConnectionTimeout"}
_BAD_VALUES = {
    "ConversionException", "InvalidInputException", "OutOfRangeException", "TypeMismatchException",
    "InvalidTextRepresentation", "InvalidDatetimeFormat", "DatetimeFieldOverflow", "NumericValueOutOfRange",
    "DateTimeException", "NumberFormatException", "ArithmeticException", "IntegrityError",
}  # fmt: skip


def open_source(url: str, base: Path | None = None) -> Source:
    """Open an address for reading.

    Args:
        url: File, folder or URL, see the module's text.
        base: Folder from which relative paths count; default: the working directory.

    Raises:
        UsageError: The address is none, or nothing readable is there.
        ConnectorError: The database does not answer.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return _open_files(url, base)
    scheme = scheme.partition("+")[0].lower()
    if scheme == "duckdb":
        return _open_duckdb(rest, base)
    if scheme == "sqlite":
        return _open_sqlite(rest, base)
    if scheme in {"postgresql", "postgres"}:
        return _open_postgres(url)
    if scheme == "spark":
        return _open_spark(rest, base)
    if scheme in _ELSEWHERE:
        raise UnknownNameError(f"Files are read from this machine, got {scheme}://.", hint="Download it first, or load it into a database.")
    raise UnknownNameError.among("kind of source", f"{scheme}://", [f"{name}://" for name in SCHEMES])


_ELSEWHERE = {"http", "https", "ftp", "s3", "gs", "gcs", "az", "abfs", "hdfs"}
_MADE_UP = re.compile(r"column\d+")
"""How the reader calls columns of a CSV file that has no names."""


def source_of_frame(frame: Any) -> Source:
    """A source around a table in memory: pandas, pyarrow, polars, or an Ibis table on its own engine.

    Raises:
        UsageError: The object is no table.
    """
    if isinstance(frame, ibis.Table):
        backend = frame.get_backend()
        return Source(backend=backend, engine=engine_of(backend.name), label="ibis table", only=frame, is_ours=False)
    backend = _embedded()
    backend.con.register(FILE_TABLE, _as_arrow(frame))
    return Source(backend=backend, engine=engine_of("duckdb"), label="frame", only=backend.table(FILE_TABLE))


def source_of_frames(frames: Mapping[str, Any], label: str) -> Source:
    """An embedded engine that holds several Arrow tables, each by its name."""
    backend = _embedded()
    for name, frame in frames.items():
        backend.con.register(name, frame)
    return Source(backend=backend, engine=engine_of("duckdb"), label=label)


def _as_arrow(frame: Any) -> Any:
    pa = untyped.pyarrow()
    if isinstance(frame, pa.Table):
        return frame
    if isinstance(frame, pd.DataFrame):
        if not frame.columns.is_unique:
            raise UsageError("A frame's columns must have different names.", hint="Rename or drop the repeated ones.")
        try:
            return pa.Table.from_pandas(frame.rename(columns=str), preserve_index=False)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise DataError(f"A frame's column must hold one type: {error.args[0]}", hint="Convert the column first.") from error
    if hasattr(frame, "__arrow_c_stream__"):
        return pa.table(frame)
    raise UsageError(
        f"Data must be a frame (pandas, polars, Arrow, Ibis), a path or a URL, got {type(frame).__name__}.",
        hint="Pass pandas.DataFrame(...) or a path to a Parquet file.",
    )


def _embedded(path: Path | None = None) -> Any:
    duckdb = untyped.duckdb()
    quiet: dict[str, Any] = {"autoinstall_known_extensions": False}
    connection = duckdb.connect(":memory:" if path is None else str(path), read_only=path is not None, config=quiet)
    return ibis.duckdb.from_connection(connection)


def _open_files(address: str, base: Path | None) -> Source:
    duckdb = untyped.duckdb()
    path = Path(address).expanduser() if base is None else base / Path(address).expanduser()
    found: Files = find_files(path)
    backend = _embedded()
    names = [str(file) for file in found.paths]
    label = Path(address).name if Path(address).is_absolute() else Path(address).as_posix()
    try:
        if found.kind == "parquet":
            table = backend.read_parquet(names, table_name=FILE_TABLE)
        else:
            table = backend.read_csv(names, table_name=FILE_TABLE)
            _check_names(table.columns, label)
    except duckdb.Error as error:
        hint = "Save it as UTF-8." if "unicode" in str(error) else "Check that the file is whole."
        raise DataError(f"{label} cannot be read as {found.kind}: {_gist(error)}", hint=hint) from error
    return Source(
        backend=backend,
        engine=engine_of("duckdb"),
        label=label,
        only=table,
        files=found.paths,
        footers=found.kind == "parquet",
    )


def _check_names(columns: Sequence[str], label: str) -> None:
    """Refuse a CSV file whose rows do not agree on their cells: its reader then takes other rows for the names."""
    if (len(columns) == 1 and any(mark in columns[0] for mark in ",;|\t")) or all(_MADE_UP.fullmatch(name) for name in columns):
        raise DataError(
            f"Every row of a CSV file must have the cells that its first row names, in {label} they do not agree.",
            hint="Look for rows with more or fewer cells than the first, and for quotes that are not closed.",
            code="bad_file",
        )


def _gist(error: Exception) -> str:
    """What an engine says, without its advice: of a bad CSV row the row too."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    if "CSV Error" not in lines[0]:
        return lines[0]
    return "; ".join([lines[0], *(line for line in lines[1:4] if line.startswith(("Original Line", "Expected", "Invalid unicode")))])


def _database_path(rest: str, base: Path | None, scheme: str) -> Path:
    if not rest.startswith("/"):
        raise UsageError(f"A {scheme} address has three slashes, got '{scheme}://{rest}'.", hint=f"Write {scheme}:///file.db.")
    path = Path(unquote(rest[1:].partition("?")[0])).expanduser()
    path = path if base is None else base / path
    if not path.is_file():
        hint = "Paths count from the spec's file."
        raise UsageError(f"The database must exist, there is no file {str(path)!r}.", hint=hint, code="missing_file")
    return path


def _open_duckdb(rest: str, base: Path | None) -> Source:
    duckdb = untyped.duckdb()
    path = _database_path(rest, base, "duckdb")
    try:
        backend = _embedded(path)
    except duckdb.Error as error:
        first = str(error).splitlines()[0].replace(str(path), path.name)
        locked = "lock" in first.lower()
        hint = "Another process has it open for writing; close that one." if locked else "Check that it is a DuckDB file."
        raise ConnectorError(f"duckdb:///{path.name} cannot be opened: {first}", hint=hint, retriable=locked) from error
    return Source(backend=backend, engine=engine_of("duckdb"), label=f"duckdb:///{path.name}", files=(path,))


def _open_sqlite(rest: str, base: Path | None) -> Source:
    path = _database_path(rest, base, "sqlite")
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
    except sqlite3.Error as error:
        hint = "Check that it is a SQLite file."
        raise ConnectorError(f"sqlite:///{path.name} cannot be opened: {error}", hint=hint) from error
    connection.create_function("fairtrial_micros", 1, _micros_of_text, deterministic=True)
    connection.create_function("md5", 1, _md5_of_text, deterministic=True)
    backend = ibis.sqlite.from_connection(connection)
    return Source(backend=backend, engine=engine_of("sqlite"), label=f"sqlite:///{path.name}", files=(path,))


def _md5_of_text(text: str | None) -> str | None:
    """MD5 in hexadecimal; None stays None."""
    return None if text is None else hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _micros_of_text(text: str | None) -> int | None:
    """Microseconds since 1970-01-01 UTC of an ISO time; None stays None, other text is an error."""
    if text is None:
        return None
    moment = dt.datetime.fromisoformat(text)
    moment = moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment
    return (moment - _EPOCH) // dt.timedelta(microseconds=1)


def _open_postgres(url: str) -> Source:
    psycopg = untyped.psycopg()
    try:
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query))
        port = parts.port
    except ValueError as error:
        raise UsageError(
            "A Postgres address reads postgresql://user@host:port/database.", hint="Check the port and the brackets."
        ) from error
    secret = unquote(parts.password or "") or options.get("password", "")
    host = options.pop("host", parts.hostname or "")
    database = unquote(parts.path.lstrip("/")) or options.pop("dbname", "")
    label = f"postgresql://{'' if host.startswith('/') else host}{f':{port}' if port else ''}/{database}"
    given = {
        "host": host or None,
        "port": port,
        "user": unquote(parts.username or "") or options.pop("user", None),
        "password": secret or None,
        "dbname": database or None,
    }
    options.pop("password", None)
    settings = {"connect_timeout": CONNECT_TIMEOUT_SECONDS, **options, **{key: value for key, value in given.items() if value is not None}}
    try:
        connection = psycopg.connect(autocommit=True, **settings)
        connection.execute("SET default_transaction_read_only = on")
        backend = ibis.postgres.from_connection(connection)
    except psycopg.Error as error:
        first = str(error).strip().splitlines()[0]
        message = first.replace(secret, "***") if secret else first
        raise ConnectorError(
            f"{label} does not answer: {message}", hint="Check host, port, user and that it is up.", retriable=True
        ) from error
    return Source(backend=backend, engine=engine_of("postgres"), label=label, secret=secret)


def _open_spark(rest: str, base: Path | None) -> Source:
    session_class = untyped.spark_session()
    master, _, query = rest.partition("?")
    options = dict(parse_qsl(query))
    active = session_class.getActiveSession()
    session = active or start_spark(master if master.startswith("local") else f"spark://{master}")
    backend = ibis.pyspark.from_connection(session)
    label = f"spark://{master}"
    if "path" not in options:
        return Source(backend=backend, engine=engine_of("pyspark"), label=label)
    address = Path(options["path"])
    found = find_files(address if base is None else base / address)
    names = [str(file.resolve()) for file in found.paths]  # the JVM has a working directory of its own
    frame = session.read.parquet(*names) if found.kind == "parquet" else session.read.csv(names, header=True, inferSchema=True)
    frame.createOrReplaceTempView(SPARK_VIEW)
    table = backend.table(SPARK_VIEW)
    return Source(backend=backend, engine=engine_of("pyspark"), label=f"{label}/{address.name}", only=table, files=found.paths)


def start_spark(master: str, settings: Mapping[str, str] | None = None) -> Any:
    """Start a small quiet Spark session, or return the one that runs.

    Args:
        master: Spark's master ("local[2]", "spark://host:7077").
        settings: Further settings of Spark, by name.

    Raises:
        UsageError: pyspark is not installed.
        ConnectorError: Spark does not start.
    """
    builder = untyped.spark_session().builder.master(master).appName("fairtrial")
    for key, value in {**SPARK_SETTINGS, **(settings or {})}.items():
        builder = builder.config(key, value)
    try:
        return builder.getOrCreate()
    except Exception as error:
        first = str(error).splitlines()[0]
        raise ConnectorError(f"spark://{master} does not start: {first}", hint="Spark 4 needs Java 17 or later.", retriable=True) from error
