"""Addresses: what opens, and how plainly the rest is refused."""

from __future__ import annotations

import importlib.util
import os
import sqlite3

import duckdb
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from fairtrial.errors import ConnectorError, UnknownNameError, UsageError
from fairtrial.metrics.needs import Column, Needs
from fairtrial.spec.data import UnitsData
from fairtrial.warehouse import open_source, read

TABLE = pa.table({"arm": ["a", "b", "a", "b"], "x": [1.0, 2.0, 3.0, 5.0]})
NEEDS = (Needs(metric="x", missing="error", outcome=Column(source="x")),)


def mean_of_b(source: str, base=None, **options) -> float:
    reading = read(UnitsData(source=source, **options), NEEDS, ["a", "b"], base=base)
    return float(reading.arms["b"].outcomes["x"].moments.mean[0])


def test_files_count_from_the_spec_and_folders_are_one_table(tmp_path):
    pq.write_table(TABLE, tmp_path / "one.parquet")
    (tmp_path / "days" / "march").mkdir(parents=True)
    pq.write_table(TABLE, tmp_path / "days" / "1.parquet")
    pq.write_table(TABLE, tmp_path / "days" / "march" / "2.parquet")
    (tmp_path / "days" / "_SUCCESS").touch()
    pyarrow.csv.write_csv(TABLE, tmp_path / "one.csv")
    with pa.CompressedOutputStream(str(tmp_path / "one.csv.gz"), "gzip") as out:
        pyarrow.csv.write_csv(TABLE, out)
    for address in ("one.parquet", "days", "one.csv", "one.csv.gz"):
        assert mean_of_b(address, tmp_path) == 3.5, address
    assert read(UnitsData(source="days"), NEEDS, ["a", "b"], base=tmp_path).intake.rows == 8
    assert mean_of_b(str(tmp_path / "one.csv")) == 3.5


@pytest.mark.parametrize("scheme", ["duckdb", "sqlite"])
def test_database_files_are_opened_for_reading_only(tmp_path, scheme):
    path = tmp_path / "data base.db"
    connect = duckdb.connect if scheme == "duckdb" else sqlite3.connect
    connection = connect(str(path))
    connection.execute("CREATE TABLE t (arm TEXT, x DOUBLE PRECISION)")
    connection.execute("INSERT INTO t VALUES ('a', 1), ('b', 2), ('b', 5)")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    assert mean_of_b(f"{scheme}:///data%20base.db", tmp_path) == 3.5
    assert mean_of_b(f"{scheme}:///{path}", table="t") == 3.5
    with pytest.raises(UnknownNameError, match=r"No table named 'tt'. Known: \['t'\]"):
        mean_of_b(f"{scheme}:///{path}", table="tt")
    assert path.read_bytes() == before


def test_several_tables_need_a_name(tmp_path):
    with duckdb.connect(str(tmp_path / "two.db")) as connection:
        connection.execute("CREATE TABLE t (x INT)")
        connection.execute("CREATE SCHEMA s")
        connection.execute("CREATE TABLE s.u AS SELECT 'b' AS arm, 3.5 AS x")
        connection.execute("CREATE TABLE w (x INT)")
    with pytest.raises(UsageError, match=r"holds 2 tables and none was named.*\['t', 'w'\]"):
        mean_of_b("duckdb:///two.db", tmp_path)
    assert mean_of_b("duckdb:///two.db", tmp_path, table="s.u") == 3.5


def test_missing_and_wrong_files_are_refused_before_they_are_read(tmp_path):
    """Issue 2, bad input: a 5 GB file opened by mistake is not read into memory."""
    (tmp_path / "empty.csv").touch()
    (tmp_path / "text.parquet").write_text("arm,x\n")
    (tmp_path / "binary.csv").write_bytes(b"PAR1" + bytes(100))
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "base.bin").write_bytes(b"SQLite format 3\0" + bytes(100))
    (tmp_path / "nothing").mkdir()
    for name in ("huge.csv", "huge.raw", "huge.parquet"):
        (tmp_path / name).touch()
        os.truncate(tmp_path / name, 5 * 2**30)
    pq.write_table(TABLE, tmp_path / "right.parquet")
    cases = {
        "wright.parquet": "no 'wright.parquet'.*Did you mean 'right.parquet'",
        "empty.csv": "0 bytes",
        "text.parquet": "does not begin like it",
        "binary.csv": "holds no text.*rename it to .parquet",
        "notes.txt": "must be Parquet or CSV",
        "base.bin": "sqlite:///base.bin",
        "nothing": "holds none",
        "huge.csv": "holds no text",
        "huge.raw": "must be Parquet or CSV",
        "huge.parquet": "does not begin like it",
    }
    for name, message in cases.items():
        with pytest.raises(UsageError, match=message):
            open_source(name, tmp_path)


def test_a_broken_parquet_file_is_named(tmp_path):
    (tmp_path / "cut.parquet").write_bytes(b"PAR1" + bytes(200))
    with pytest.raises(Exception, match=r"cut\.parquet") as error:
        open_source("cut.parquet", tmp_path)
    assert error.value.code == "data"


def test_unknown_schemes_and_missing_databases(tmp_path):
    with pytest.raises(UnknownNameError, match="Did you mean 'postgresql://'"):
        open_source("postgressql://host/db")
    with pytest.raises(UsageError, match=r"no file '.*gone\.db'"):
        open_source("sqlite:///gone.db", tmp_path)
    with pytest.raises(UsageError, match="three slashes"):
        open_source("duckdb://gone.db", tmp_path)
    (tmp_path / "not.db").write_text("no database at all, but longer than a header is " * 9)
    for scheme in ("sqlite", "duckdb"):
        with pytest.raises(ConnectorError, match=f"Check that it is a {'SQLite' if scheme == 'sqlite' else 'DuckDB'} file"):
            open_source(f"{scheme}:///not.db", tmp_path)


def test_an_unreachable_database_is_retriable_and_keeps_the_password():
    """Issue 2, bad input."""
    with pytest.raises(ConnectorError, match="does not answer") as error:
        open_source("postgresql://me:s3cret@127.0.0.1:1/shop?connect_timeout=2")
    assert error.value.retriable
    assert "s3cret" not in f"{error.value} {error.value.message} {error.value.hint}"


def test_labels_carry_no_credentials_and_no_folders(postgres_url, tmp_path):
    with open_source(postgres_url.replace("postgres@", "postgres:s3cret@")) as source:
        assert "s3cret" not in source.label
        assert "s3cret" not in repr(source)
        assert "/tmp" not in source.label
        assert source.label.startswith("postgresql:///t_")
    pq.write_table(TABLE, tmp_path / "one.parquet")
    with open_source(str(tmp_path / "one.parquet")) as source:
        assert source.label == "one.parquet"


def test_postgres_is_read_only(postgres_url):
    with open_source(postgres_url) as source, pytest.raises(Exception, match="read-only"):
        source.backend.con.execute("CREATE TABLE t (x int)")


@pytest.mark.skipif(importlib.util.find_spec("pyspark") is not None, reason="pyspark is installed")
def test_spark_without_its_extra_says_what_to_install():
    with pytest.raises(UsageError, match=r"pip install 'fairtrial\[spark\]'") as error:
        open_source("spark://local[2]")
    assert error.value.code == "missing_extra"


@pytest.mark.spark
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_spark_reads_files_by_path(spark_session, tmp_path):
    pq.write_table(TABLE, tmp_path / "one.parquet")
    pyarrow.csv.write_csv(TABLE, tmp_path / "one.csv")
    for name in ("one.parquet", "one.csv"):
        assert mean_of_b(f"spark://local[2]?path={name}", tmp_path) == 3.5
