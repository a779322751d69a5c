"""One server or session for the run, one database or folder for each test."""

from __future__ import annotations

import importlib.util
import shutil

import pytest
import warehouse_engines

from fairtrial.warehouse.sources import start_spark


@pytest.fixture(scope="session")
def spark_session(tmp_path_factory):
    if importlib.util.find_spec("pyspark") is None:
        pytest.skip("pyspark is not installed (extra [spark])")
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java 17 or later, there is none")
    folder = tmp_path_factory.mktemp("spark")
    # Tables of a few rows: compiling code for each query takes longer than running it.
    plain = {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}
    session = start_spark("local[2]", {"spark.sql.warehouse.dir": str(folder / "warehouse"), **plain})
    yield session
    session.stop()


SPARK_MARKS = (
    pytest.mark.spark,
    # pyspark leaves the socket of each result to the garbage collector
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
)


@pytest.fixture(params=["duckdb", "sqlite", "postgres", pytest.param("spark", marks=SPARK_MARKS)])
def engine(request, tmp_path):
    match request.param:
        case "duckdb":
            return warehouse_engines.DuckDb(tmp_path)
        case "sqlite":
            return warehouse_engines.Sqlite(tmp_path)
        case "postgres":
            return warehouse_engines.Postgres(request.getfixturevalue("postgres_url"))
        case _:
            return warehouse_engines.Spark(request.getfixturevalue("spark_session"), tmp_path)
