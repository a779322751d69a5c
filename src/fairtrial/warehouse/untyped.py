"""The libraries that come without types, each behind one name of type Any, imported when first used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from fairtrial.errors import UsageError

ibis: Any = import_module("ibis")
datatypes: Any = import_module("ibis.expr.datatypes")
NO: Any = ibis.literal(value=False)
"""The literal false, what an unknown comparison is taken for."""


def duckdb() -> Any:
    """The embedded engine's module."""
    return import_module("duckdb")


def pyarrow() -> Any:
    """Arrow."""
    return import_module("pyarrow")


def psycopg() -> Any:
    """The Postgres driver.

    Raises:
        UsageError: It is not installed.
    """
    try:
        return import_module("psycopg")
    except ImportError as error:
        raise UsageError("Reading Postgres needs its driver.", hint="pip install 'fairtrial[postgres]'.", code="missing_extra") from error


def spark_session() -> Any:
    """The class `pyspark.sql.SparkSession`.

    Raises:
        UsageError: pyspark is not installed.
    """
    try:
        return import_module("pyspark.sql").SparkSession
    except ImportError as error:
        raise UsageError(
            "Reading Spark needs pyspark and Java 17.", hint="pip install 'fairtrial[spark]'.", code="missing_extra"
        ) from error
