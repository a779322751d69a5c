"""The one statement: its text, engine by engine, and what it must never hold."""

from __future__ import annotations

import ibis
import pytest

from fairtrial.metrics.needs import Column, Needs
from fairtrial.spec.data import UnitsData
from fairtrial.warehouse.capabilities import engine_of
from fairtrial.warehouse.measure import Plan, asked
from fairtrial.warehouse.pushdown import Scan
from fairtrial.warehouse.sources import Source
from fairtrial.warehouse.terms import Term
from fairtrial.warehouse.units import unit_table

SCHEMA = {"arm": "string", "bought": "boolean", "orders": "int32", "total": "int64", "spend": "float64", "before": "float64"}
NEEDS = (
    Needs(metric="bought", missing="error", outcome=Column(source="bought", values="binary"), covariate=Column(source="before")),
    Needs(metric="orders", missing="error", outcome=Column(source="orders", values="nonnegative")),
    Needs(metric="spend", missing="error", outcome=Column(source="spend"), covariate=Column(source="before")),
    Needs(metric="value", missing="error", outcome=Column(source="total"), denominator=Column(source="orders")),
)

DUCKDB = """\
SELECT
  "t1"."arm",
  COUNT(*) AS "n",
  SUM("t1"."v0") AS "a0",
  COUNT("t1"."v0") AS "a1",
  SUM("t1"."v1" - 100.5) AS "a2",
  COUNT("t1"."v1") AS "a3",
  SUM(CAST("t1"."v0" AS DOUBLE) * (
    "t1"."v1" - 100.5
  )) AS "a4",
  SUM((
    "t1"."v1" - 100.5
  ) * (
    "t1"."v1" - 100.5
  )) AS "a5",
  SUM("t1"."v2") AS "a6",
  COUNT("t1"."v2") AS "a7",
  SUM(CAST("t1"."v2" AS BIGINT) * CAST("t1"."v2" AS BIGINT)) AS "a8",
  MIN("t1"."v2") AS "a9",
  MAX("t1"."v2") AS "a10",
  SUM("t1"."v3") AS "a11",
  COUNT("t1"."v3") AS "a12",
  SUM("t1"."v3" * "t1"."v3") AS "a13",
  SUM("t1"."v3" * (
    "t1"."v1" - 100.5
  )) AS "a14",
  MIN("t1"."v3") AS "a15",
  MAX("t1"."v3") AS "a16",
  SUM("t1"."v4") AS "a17",
  COUNT("t1"."v4") AS "a18",
  SUM(CAST("t1"."v4" AS DOUBLE) * CAST("t1"."v4" AS DOUBLE)) AS "a19",
  SUM(CAST("t1"."v4" AS DOUBLE) * CAST("t1"."v2" AS DOUBLE)) AS "a20",
  MIN("t1"."v4") AS "a21",
  MAX("t1"."v4") AS "a22"
FROM (
  SELECT
    "t0"."arm",
    CAST("t0"."bought" AS INT) AS "v0",
    "t0"."before" AS "v1",
    "t0"."orders" AS "v2",
    "t0"."spend" AS "v3",
    "t0"."total" AS "v4"
  FROM "units" AS "t0"
) AS "t1"
GROUP BY
  1
LIMIT 1001"""
POSTGRES = DUCKDB.replace("AS DOUBLE)", "AS DOUBLE PRECISION)")


def statement(engine: str, needs=NEEDS) -> str:
    table = ibis.table(SCHEMA, name="units")
    source = Source(backend=None, engine=engine_of(engine), label="units", only=table)
    units = unit_table(source, table, UnitsData(source="units"), needs, rows_are_stored=False)
    terms = {need.metric: tuple(Term(value=units.value(column)) for column in need.columns) for need in needs}
    centres = {term: 100.5 for row in terms.values() for term in row if term.value.source == "before"}
    scan = asked(Scan(units=units, centres=centres), needs, Plan(terms=terms, settled={}))
    dialect = {"pyspark": "databricks"}.get(engine, engine)
    return str(ibis.to_sql(scan.statement(), dialect=dialect))


@pytest.mark.parametrize(("engine", "text"), [("duckdb", DUCKDB), ("postgres", POSTGRES)])
def test_the_statement_is_what_it_was(engine, text):
    """DESIGN 5: one GROUP BY of sums about a constant; a change of the SQL must be seen and meant."""
    assert statement(engine) == text


@pytest.mark.parametrize("engine", ["duckdb", "postgres", "sqlite", "pyspark"])
def test_no_filter_no_case_by_arm_no_covariance(engine):
    """PERFORMANCE 2."""
    text = statement(engine).upper()
    for trap in ("FILTER", "COVAR", "VAR_", "STDDEV", "CASE"):
        assert trap not in text
    assert text.count("GROUP BY") == 1


def test_a_column_of_two_metrics_is_summed_once():
    text = statement("duckdb")
    assert text.count('COUNT("t1"."v1")') == 1
    assert text.count('SUM("t1"."v2")') == 1


def test_engines_without_wide_sums_take_long_integers_in_halves():
    for engine in ("sqlite", "pyspark"):
        text = statement(engine)
        assert "4294967295" in text
        assert "BIGINT) * CAST" not in text
