"""Results written into a warehouse: two tables and two views that a BI tool reads.

Both tables are written in one transaction, and an analysis replaces itself: written twice it
stands there once. Engines: DuckDB, SQLite, Postgres, BigQuery.
"""

from __future__ import annotations

import datetime as dt
import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import unquote, urlsplit

from fairtrial.errors import ConnectorError, DataError, UnknownNameError, UsageError
from fairtrial.evaluation.scorecard import Scorecard
from fairtrial.warehouse import untyped
from fairtrial.warehouse.result_rows import (
    LEGACY,
    LEGACY_TABLE,
    PRIMARY,
    PRIMARY_TABLE,
    SECONDARY,
    SECONDARY_TABLE,
    Column,
    ResultRows,
    Row,
    analysis_id_of,
    rows_of,
)
from fairtrial.warehouse.result_sql import (
    BIGQUERY,
    DUCKDB,
    POSTGRES,
    SQLITE,
    Dialect,
    create_table,
    delete_analysis,
    earlier_analysis,
    insert_row,
    misfits,
    views,
)

T = TypeVar("T")
DEFAULT = "duckdb:///fairtrial_results.duckdb"
"""Where results go when nobody says otherwise: a file in the working directory."""
SCHEMES = ("duckdb", "sqlite", "postgresql", "bigquery")
TABLES: Mapping[str, Sequence[Column]] = {PRIMARY_TABLE: PRIMARY, SECONDARY_TABLE: SECONDARY, LEGACY_TABLE: LEGACY}
WAIT_SECONDS = 30.0
"""How long another process that holds the file is waited for."""
LOCK = 0x66616972
"""Key of the advisory lock under which Postgres lets one writer at a time make tables and rows."""
SUFFIXES = {".duckdb": "duckdb", ".ddb": "duckdb", ".sqlite": "sqlite", ".db": "sqlite"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What was stored.

    Attributes:
        analysis_id: Under which it stands.
        tables: Names of the tables.
        warehouse: The address, without credentials.
    """

    analysis_id: str
    tables: tuple[str, ...]
    warehouse: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TableState:
    """Whether a table of results can be written.

    Attributes:
        name: Of the table.
        exists: Whether it is there; the first write makes it.
        misfits: What it lacks or has in the wrong type.
    """

    name: str
    exists: bool
    misfits: tuple[str, ...]


class ResultStore(ABC):
    """A warehouse that is open for writing results."""

    dialect: Dialect

    @abstractmethod
    def write(self, change: Callable[[], T]) -> T:
        """Do `change` in one transaction that no other writer of results shares."""

    @abstractmethod
    def run(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Run a statement within the transaction."""

    @abstractmethod
    def stored(self, table: str) -> dict[str, str]:
        """Type by column of a table; empty where there is none."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the connection."""


def write_results(
    card: Scorecard,
    url: str = DEFAULT,
    *,
    cohens_d: Mapping[str, float | None] | None = None,
    legacy: bool = False,
    now: dt.datetime | None = None,
) -> Written:
    """Store a result; the same result stored again stands there once.

    Args:
        card: The result.
        url: `duckdb:///FILE`, `sqlite:///FILE`, `postgresql://user@host/db` or `bigquery://project/dataset`.
        cohens_d: Effect in standard deviations by treatment, where it was computed.
        legacy: Whether to write the one table of old, `int_experiment_results`, instead of the two.
        now: Moment of an analysis whose scorecard names none, aware; default: now. Such an analysis keeps the id under
            which the same design, data and version already stand.

    Returns:
        The id and the tables.

    Raises:
        UsageError: The address is none, or its driver is not installed.
        DataError: A table there does not have the columns that are needed; nothing was written.
        ConnectorError: The warehouse cannot be reached or refuses.
    """
    moment = _moment(card, now)
    with open_store(url) as store:
        made = store.write(lambda: _replace(store, card, moment, cohens_d=cohens_d, legacy=legacy))
    return Written(analysis_id=made.analysis_id, tables=tuple(made.tables), warehouse=without_secrets(url))


def check_results(url: str) -> list[TableState]:
    """Whether results can be written: the connection, and the tables that are there. Makes nothing.

    Raises:
        UsageError: The address is none, or its driver is not installed.
        ConnectorError: The warehouse cannot be reached.
    """
    scheme, path = _parsed(url)
    if path is not None and not path.exists():
        if not path.parent.is_dir():
            raise UsageError(f"The folder of {str(path)!r} must exist.", hint="Create it, or name another file.")
        return [TableState(name=name, exists=False, misfits=()) for name in TABLES]
    del scheme
    with open_store(url) as store:
        found = {name: store.stored(name) for name in TABLES}
        return [
            TableState(name=name, exists=bool(stored), misfits=tuple(misfits(store.dialect, TABLES[name], stored)) if stored else ())
            for name, stored in found.items()
        ]


@contextmanager
def open_store(url: str) -> Generator[ResultStore]:
    """The warehouse at an address, open for writing results.

    Raises:
        UsageError: The address is none, or its driver is not installed.
        ConnectorError: It cannot be reached.
    """
    scheme, path = _parsed(url)
    store: ResultStore
    if scheme == "bigquery":
        store = _BigQuery(url)
    elif scheme == "postgresql":
        store = _Postgres(url)
    else:
        assert path is not None  # noqa: S101 - of files alone
        store = _DuckDb(path) if scheme == "duckdb" else _Sqlite(path)
    try:
        yield store
    finally:
        store.close()


def without_secrets(url: str) -> str:
    """The address without user, password and options."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url
    host, slash, path = rest.partition("?")[0].partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def _moment(card: Scorecard, now: dt.datetime | None) -> dt.datetime:
    if card.as_of is not None:
        return dt.datetime.fromisoformat(card.as_of)
    return now or dt.datetime.now(dt.UTC)


def _replace(
    store: ResultStore, card: Scorecard, moment: dt.datetime, *, cohens_d: Mapping[str, float | None] | None, legacy: bool
) -> ResultRows:
    wanted = {LEGACY_TABLE: LEGACY} if legacy else {PRIMARY_TABLE: PRIMARY, SECONDARY_TABLE: SECONDARY}
    for name, columns in wanted.items():
        store.run(create_table(store.dialect, name, columns))
        if wrong := misfits(store.dialect, columns, store.stored(name)):
            raise DataError(
                f"Table {name} must have the columns of results: {'; '.join(wrong)}. Nothing was written.",
                hint="Alter the table, or rename it: the next write makes it anew.",
                code="wrong_schema",
            )
    first = next(iter(wanted))
    analysis_id = analysis_id_of(card.experiment, moment)
    if card.as_of is None:
        same = (card.experiment, card.spec_hash, card.intake.fingerprint, card.code_version)
        analysis_id = str(store.run(earlier_analysis(store.dialect, first), same)[0][0] or analysis_id)
        moment = dt.datetime.strptime(analysis_id[-16:], "%Y%m%dT%H%M%SZ").replace(tzinfo=dt.UTC)
    made = rows_of(card, analysis_id=analysis_id, moment=moment, cohens_d=cohens_d, legacy=legacy)
    for name, (columns, rows) in made.tables.items():
        store.run(delete_analysis(store.dialect, name), (analysis_id,))
        for row in rows:
            store.run(insert_row(store.dialect, name, columns), row)
    if not legacy:
        for statement in views(store.dialect):
            store.run(statement)
    return made


def _parsed(url: str) -> tuple[str, Path | None]:
    """Kind of warehouse and, of a file, its path."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        kind = SUFFIXES.get(Path(url).suffix)
        if kind is None:
            raise UsageError(f"A warehouse is an address or a .duckdb file, got {url!r}.", hint=f"Such as {DEFAULT}.")
        return kind, Path(url).expanduser()
    scheme = {"postgres": "postgresql"}.get(scheme.partition("+")[0].lower(), scheme.partition("+")[0].lower())
    if scheme not in SCHEMES:
        raise UnknownNameError.among("kind of warehouse", f"{scheme}://", [f"{name}://" for name in SCHEMES])
    if scheme in {"postgresql", "bigquery"}:
        return scheme, None
    path = unquote(rest.partition("?")[0])
    if not path.startswith("/") or len(path) < 2:
        raise UsageError(f"A {scheme} address has three slashes and a file, got {url!r}.", hint=f"Write {scheme}:///file.{scheme}.")
    return scheme, Path(path[1:]).expanduser()


def _waited(open_it: Callable[[], T], busy: Callable[[Exception], bool]) -> T:
    """Try until another process has let go of the file, or the time is over."""
    until = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            return open_it()
        except Exception as error:
            if not busy(error) or time.monotonic() > until:
                raise
            time.sleep(0.1)


class _DuckDb(ResultStore):
    dialect = DUCKDB

    def __init__(self, path: Path) -> None:
        duckdb = untyped.duckdb()

        def busy(error: Exception) -> bool:
            said = str(error).lower()
            return "lock" in said or "different configuration" in said or "already attached" in said

        try:
            self._connection: Any = _waited(lambda: duckdb.connect(str(path)), busy)
        except duckdb.Error as error:
            raise ConnectorError(f"The warehouse {path.name} cannot be opened: {str(error).splitlines()[0]}") from error
        self._error = duckdb.Error

    def write(self, change: Callable[[], T]) -> T:
        with _refusals("DuckDB", self._error):
            self._connection.begin()
            try:
                made = change()
                self._connection.commit()
            except BaseException:
                self._connection.rollback()
                raise
        return made

    def run(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        return cast("list[Row]", self._connection.execute(statement, list(parameters)).fetchall())

    def stored(self, table: str) -> dict[str, str]:
        asked = "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = ?"
        return {str(name): str(kind) for name, kind in self.run(asked, (table,))}

    def close(self) -> None:
        self._connection.close()


class _Sqlite(ResultStore):
    dialect = SQLITE

    def __init__(self, path: Path) -> None:
        try:
            self._connection = sqlite3.connect(path, timeout=WAIT_SECONDS, isolation_level=None)
        except sqlite3.Error as error:
            raise ConnectorError(f"The warehouse {path.name} cannot be opened: {error}.") from error

    def write(self, change: Callable[[], T]) -> T:
        with _refusals("SQLite", sqlite3.Error):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                made = change()
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
        return made

    def run(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        plain = [value.isoformat(sep=" ") if isinstance(value, dt.datetime) else value for value in parameters]
        return cast("list[Row]", self._connection.execute(statement, plain).fetchall())

    def stored(self, table: str) -> dict[str, str]:
        return {str(row[1]): str(row[2]) for row in self.run(f"PRAGMA table_info({table})")}

    def close(self) -> None:
        self._connection.close()


class _Postgres(ResultStore):
    dialect = POSTGRES

    def __init__(self, url: str) -> None:
        psycopg = _driver("psycopg", "postgres")
        scheme, _, rest = url.partition("://")
        del scheme
        self._error: type[Exception] = psycopg.Error
        try:
            self._connection: Any = psycopg.connect(f"postgresql://{rest}", connect_timeout=10)
        except psycopg.Error as error:
            raise ConnectorError(f"The warehouse {without_secrets(url)} cannot be reached: {str(error).splitlines()[0]}") from error

    def write(self, change: Callable[[], T]) -> T:
        with _refusals("Postgres", self._error), self._connection.transaction():
            self.run("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
            return change()

    def run(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        cursor = self._connection.execute(statement, tuple(parameters) or None)
        return cast("list[Row]", cursor.fetchall() if cursor.description else [])

    def stored(self, table: str) -> dict[str, str]:
        asked = "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = %s AND table_schema = current_schema()"
        return {str(name): str(kind) for name, kind in self.run(asked, (table,))}

    def close(self) -> None:
        self._connection.close()


class _BigQuery(ResultStore):
    """BigQuery by Google's client. Tables are made first; rows change in one script that is a transaction.

    It is tested by its statements alone: no test here reaches Google.
    """

    dialect = BIGQUERY

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        dataset = parts.path.strip("/")
        if not parts.netloc or not dataset or "/" in dataset:
            raise UsageError(f"BigQuery is named by project and dataset, got {without_secrets(url)!r}.", hint="bigquery://project/dataset")
        self._module: Any = _driver("google.cloud.bigquery", "bigquery")
        self.dialect = Dialect(types=BIGQUERY.types, families=BIGQUERY.families, mark="?", prefix=f"{_quoted(parts.netloc, dataset)}.")
        self._place = (parts.netloc, dataset)
        self._script: list[tuple[str, list[Any]]] = []
        try:
            self._client: Any = self._module.Client(project=parts.netloc)
        except Exception as error:
            raise ConnectorError(f"BigQuery refuses: {error}", hint="gcloud auth application-default login") from error

    def write(self, change: Callable[[], T]) -> T:
        self._script = []
        made = change()
        statement, parameters = transaction_script(self._script)
        self._query(statement, parameters)
        return made

    def run(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        if statement.startswith(("DELETE", "INSERT")):
            self._script.append((statement, list(parameters)))
            return []
        return self._query(statement, parameters)

    def stored(self, table: str) -> dict[str, str]:
        found = import_module("google.api_core.exceptions")
        try:
            made = self._client.get_table(".".join((*self._place, table)))
        except found.NotFound:
            return {}
        return {field.name: field.field_type for field in made.schema}

    def close(self) -> None:
        self._client.close()

    def _query(self, statement: str, parameters: Sequence[Any]) -> list[Row]:
        config = self._module.QueryJobConfig(
            query_parameters=[self._module.ScalarQueryParameter(None, _bigquery_type(value), value) for value in parameters]
        )
        try:
            return [tuple(row.values()) for row in self._client.query(statement, job_config=config).result()]
        except Exception as error:
            raise ConnectorError(f"BigQuery refuses: {error}") from error


def transaction_script(steps: Sequence[tuple[str, Sequence[Any]]]) -> tuple[str, list[Any]]:
    """Statements as one BigQuery script that is a transaction, with all parameters in order."""
    body = ";\n".join(["BEGIN TRANSACTION", *(statement for statement, _ in steps), "COMMIT TRANSACTION"])
    return f"{body};", [value for _, parameters in steps for value in parameters]


def _bigquery_type(value: object) -> str:
    kinds: tuple[tuple[type, str], ...] = ((bool, "BOOL"), (int, "INT64"), (float, "FLOAT64"), (dt.datetime, "DATETIME"))
    return next((name for kind, name in kinds if isinstance(value, kind)), "STRING")


def _quoted(*names: str) -> str:
    if any("`" in name for name in names):
        raise UsageError(f"Names of BigQuery hold no backtick, got {names}.", hint="bigquery://project/dataset")
    return "`" + "`.`".join(names) + "`"


def _driver(module: str, extra: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise UsageError(
            f"This warehouse needs {module}, which is not installed.", hint=f"pip install 'fairtrial[{extra}]'", code="missing_extra"
        ) from error


@contextmanager
def _refusals(engine: str, kind: type[Exception]) -> Generator[None]:
    try:
        yield
    except kind as error:
        raise ConnectorError(f"{engine} refuses to store the result: {str(error).splitlines()[0]}. Nothing was written.") from error
