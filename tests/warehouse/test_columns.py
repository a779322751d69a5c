"""Rows for designs that need them."""

from __future__ import annotations

import datetime as dt
import sqlite3

import duckdb
import pytest

from fairtrial.errors import DataError, UnknownNameError, UsageError
from fairtrial.spec.data import UnitsData
from fairtrial.warehouse import columns as module
from fairtrial.warehouse.columns import day_of, read_columns


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.parquet"
    duckdb.sql(
        "COPY (SELECT * FROM (VALUES (1, 'a', 1.5, DATE '2024-01-02', true), (2, 'b', NULL, DATE '2024-01-03', false), "
        "(3, 'b', 'nan'::DOUBLE, NULL, NULL)) AS t (n, name, y, day, flag)) TO '" + str(path) + "'"
    )
    return path


def test_columns_come_back_as_numbers_days_and_text(rows):
    read = read_columns(UnitsData(source=str(rows)), ["n", "name", "y", "day", "flag", "n"])
    assert read.values["n"] == (1.0, 2.0, 3.0)
    assert read.values["name"] == ("a", "b", "b")
    assert read.values["y"] == (1.5, None, None)
    assert read.values["day"] == (19724.0, 19725.0, None)
    assert read.values["flag"] == (1.0, 0.0, None)
    assert (read.intake.rows, read.intake.source, read.intake.engine) == (3, "rows.parquet", "duckdb")


def test_where_keeps_rows_and_changes_the_fingerprint(rows):
    whole = read_columns(UnitsData(source=str(rows)), ["n"])
    part = read_columns(UnitsData(source=str(rows), where={"name": "b"}), ["n"])
    assert part.values["n"] == (2.0, 3.0)
    assert part.intake.fingerprint != whole.intake.fingerprint
    assert read_columns(UnitsData(source=str(rows)), ["n"]).intake.fingerprint == whole.intake.fingerprint


def test_a_database_is_read_by_its_table(tmp_path):
    with sqlite3.connect(tmp_path / "x.db") as connection:
        connection.execute("CREATE TABLE panel (unit TEXT, y REAL)")
        connection.execute("INSERT INTO panel VALUES ('u', 2.0)")
    connection.close()
    read = read_columns(UnitsData(source="sqlite:///x.db", table="panel"), ["unit", "y"], base=tmp_path)
    assert read.values == {"unit": ("u",), "y": (2.0,)}
    assert read.intake.source == "sqlite:///x.db#panel"


def test_moments_of_time_are_days():
    assert day_of(dt.date(1970, 1, 2)) == 1.0
    assert day_of(dt.datetime(1970, 1, 2, 12, tzinfo=dt.UTC)) == 1.5
    assert day_of(dt.datetime(1970, 1, 2, 12)) == 1.5  # noqa: DTZ001 no zone is read as UTC


def test_what_cannot_be_read_is_refused(rows, monkeypatch):
    with pytest.raises(UnknownNameError, match="nam"):
        read_columns(UnitsData(source=str(rows)), ["nam"])
    with pytest.raises(DataError, match="no rows"):
        read_columns(UnitsData(source=str(rows), where={"name": "z"}), ["n"])
    lists = rows.with_name("lists.parquet")
    duckdb.sql(f"COPY (SELECT [1, 2] AS l) TO '{lists}'")
    with pytest.raises(DataError, match="list"):
        read_columns(UnitsData(source=str(lists)), ["l"])
    monkeypatch.setattr(module, "MOST_ROWS", 2)
    with pytest.raises(UsageError, match="At most 2"):
        read_columns(UnitsData(source=str(rows)), ["n"])
