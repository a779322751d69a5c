"""Engines to run the contract on: each takes Arrow tables and hands back a source address."""

from __future__ import annotations

import sqlite3
import uuid
from decimal import Decimal
from pathlib import Path

import duckdb
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq


class DuckDb:
    name = "duckdb"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, tables: dict[str, pa.Table]) -> str:
        path = self.folder / f"{uuid.uuid4().hex}.db"
        with duckdb.connect(str(path)) as connection:
            for name, table in tables.items():
                connection.register("incoming", table)
                connection.execute(f"CREATE TABLE {_quoted(name)} AS SELECT * FROM incoming")
                connection.unregister("incoming")
        return f"duckdb:///{path}"


class Sqlite:
    name = "sqlite"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, tables: dict[str, pa.Table]) -> str:
        path = self.folder / f"{uuid.uuid4().hex}.sqlite"
        connection = sqlite3.connect(path)
        for name, table in tables.items():
            columns = ", ".join(f"{_quoted(field.name)} {_sqlite_type(field.type)}" for field in table.schema)
            connection.execute(f"CREATE TABLE {_quoted(name)} ({columns})")
            marks = ", ".join("?" for _ in table.schema)
            rows = [tuple(_sqlite_value(value) for value in row.values()) for row in table.to_pylist()]
            connection.executemany(f"INSERT INTO {_quoted(name)} VALUES ({marks})", rows)
        connection.commit()
        connection.close()
        return f"sqlite:///{path}"


class Postgres:
    name = "postgres"

    def __init__(self, url: str) -> None:
        self.url = url

    def load(self, tables: dict[str, pa.Table]) -> str:
        with psycopg.connect(self.url, autocommit=True) as connection:
            for name, table in tables.items():
                columns = ", ".join(f"{_quoted(field.name)} {_postgres_type(field.type)}" for field in table.schema)
                connection.execute(f"DROP TABLE IF EXISTS {_quoted(name)}")
                connection.execute(f"CREATE TABLE {_quoted(name)} ({columns})")
                with connection.cursor().copy(f"COPY {_quoted(name)} FROM STDIN") as copy:
                    for row in table.to_pylist():
                        copy.write_row(list(row.values()))
        return self.url


class Spark:
    name = "spark"

    def __init__(self, session: object, folder: Path) -> None:
        self.session = session
        self.folder = folder

    def load(self, tables: dict[str, pa.Table]) -> str:
        for name, table in tables.items():
            path = self.folder / f"{uuid.uuid4().hex}.parquet"
            pq.write_table(table, path)
            self.session.read.parquet(str(path)).createOrReplaceTempView(name)
        return "spark://local[2]"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _sqlite_type(kind: pa.DataType) -> str:
    if pa.types.is_boolean(kind):
        return "BOOLEAN"
    if pa.types.is_integer(kind):
        return "BIGINT"
    if pa.types.is_decimal(kind):
        return f"DECIMAL({kind.precision}, {kind.scale})"
    if pa.types.is_floating(kind):
        return "DOUBLE"
    return "TIMESTAMP" if pa.types.is_timestamp(kind) else "TEXT"


def _sqlite_value(value: object) -> object:
    if isinstance(value, Decimal):
        return float(value)
    return value.isoformat() if hasattr(value, "isoformat") else value


_POSTGRES_TYPES = {
    pa.bool_(): "boolean",
    pa.int8(): "smallint",
    pa.int16(): "smallint",
    pa.int32(): "integer",
    pa.int64(): "bigint",
    pa.float32(): "real",
    pa.float64(): "double precision",
    pa.string(): "text",
    pa.date32(): "date",
}


def _postgres_type(kind: pa.DataType) -> str:
    if pa.types.is_decimal(kind):
        return "numeric"
    if pa.types.is_timestamp(kind):
        return "timestamptz" if kind.tz else "timestamp"
    return _POSTGRES_TYPES[kind]
