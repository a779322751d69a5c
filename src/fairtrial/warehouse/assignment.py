"""Assignment inside an engine: the pure function of `fairtrial.assignment` as SQL, bit for bit (G-9).

The arm follows from comparing the engine's own SHA-256, as hexadecimal digits, with the
16 digits of each border, so no number wider than the engine's integers is ever made. The
digits past the sixteenth decide nothing: where the first sixteen are equal to a border,
the longer text sorts behind it, as the integer rule has it. `arm_sql` can be put into any
statement of the engine; `assign` is the bulk path, for many units at hand.

SQLite has no SHA-256: there units are assigned in Python.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fairtrial.assignment import Allocation, Gate, Routing
from fairtrial.assignment.allocation import TRAFFIC_SALT
from fairtrial.errors import DataError, UnknownNameError
from fairtrial.warehouse import untyped

FEWEST = 5_000
"""Units below which plain Python is quicker than starting an engine."""

BATCH = 122_880
"""Units of one piece of work for a thread of the engine."""

HEX_OF: Mapping[str, str] = {
    "duckdb": "sha256({key})",
    "postgresql": "encode(sha256(convert_to({key}, 'UTF8')), 'hex')",
    "spark": "sha2({key}, 256)",
    "clickhouse": "lower(hex(SHA256({key})))",
    "bigquery": "to_hex(sha256({key}))",
    "snowflake": "sha2({key}, 256)",
}
"""SHA-256 of a text's UTF-8 as lower-case hexadecimal digits, by engine."""

BACKSLASH_ESCAPES = frozenset({"spark", "clickhouse", "bigquery", "snowflake"})
"""Engines in which a backslash in a text literal stands for something else."""


def arm_sql(routing: Routing | Allocation, unit: str, *, engine: str = "duckdb") -> str:
    """The arm of a unit as an expression of an engine's SQL; NULL for a unit that is in none, and for NULL.

    Args:
        routing: Gate, traffic and arms; or traffic and arms alone.
        unit: The unit as SQL: the name of a text column, quoted as the engine wants it.
        engine: `duckdb`, `postgresql`, `spark`, `clickhouse`, `bigquery` or `snowflake`.

    Raises:
        UnknownNameError: The engine is none of these.
    """
    if engine not in HEX_OF:
        raise UnknownNameError.among("engine", engine, HEX_OF)
    allocation = _allocation(routing)
    return _case(routing, unit, engine, _digits(unit, allocation.hash_key, allocation.salt, engine))


def assign(units: Any, routing: Routing | Allocation, *, threads: int | None = None) -> Any:
    """The arms of many units, in their order, as an Arrow array of texts; null for one that is in no arm.

    Args:
        units: Arrow array of texts.
        routing: Gate, traffic and arms; or traffic and arms alone.
        threads: Threads of the engine; None takes all cores.

    Raises:
        DataError: The units are not texts, or one is null.
    """
    pa = untyped.pyarrow()
    if not (pa.types.is_string(units.type) or pa.types.is_large_string(units.type)):
        raise DataError(f"Units must be texts, got {units.type}.", hint="Turn numbers into text first: str(42).")
    if units.null_count:
        raise DataError(f"Every unit must have an identity, {units.null_count} have none.")
    if len(units) < FEWEST:
        return pa.chunked_array([pa.array([_arm(routing, unit) for unit in units.to_pylist()], pa.string())])
    table = pa.Table.from_batches(pa.table({"unit": units}).to_batches(max_chunksize=BATCH))
    with untyped.duckdb().connect() as connection:
        if threads is not None:
            connection.execute(f"SET threads = {int(threads)}")
        connection.register("units", table)
        found = connection.sql(_statement(routing)).to_arrow_table()
        return found.column("arm").cast(pa.string())


def _statement(routing: Routing | Allocation) -> str:
    """The bulk path's statement; where many borders are tried, the digits are made once, in a column of their own."""
    allocation = _allocation(routing)
    if len(allocation.segments) <= 2:
        return f"SELECT {arm_sql(routing, 'unit')} AS arm FROM units"  # noqa: S608 - built here
    digits = _digits("unit", allocation.hash_key, allocation.salt, "duckdb")
    return f"SELECT {_case(routing, 'unit', 'duckdb', 'digits')} AS arm FROM (SELECT unit, {digits} AS digits FROM units)"  # noqa: S608


def _case(routing: Routing | Allocation, unit: str, engine: str, digits: str) -> str:
    """NULL where the gate or the traffic keeps the unit out, else the arm whose border is the first above the digits."""
    allocation = _allocation(routing)
    tests = _outside(routing.gate, unit, engine) if isinstance(routing, Routing) else []
    traffic = allocation.traffic_threshold_hex()
    if traffic is not None:
        tests.append(f"{_digits(unit, allocation.hash_key, allocation.salt + TRAFFIC_SALT, engine)} >= '{traffic}'")
    steps = [f"WHEN {test} THEN NULL" for test in (f"{unit} IS NULL", *tests)]
    *bounded, last = allocation.thresholds_hex()
    steps += [f"WHEN {digits} < '{step.below}' THEN {_text(step.arm, engine)}" for step in bounded]
    return f"CASE {' '.join(steps)} ELSE {_text(last.arm, engine)} END"


def _allocation(routing: Routing | Allocation) -> Allocation:
    return routing.allocation if isinstance(routing, Routing) else routing


def _arm(routing: Routing | Allocation, unit: str) -> str | None:
    return routing.decide(unit).arm if isinstance(routing, Routing) else routing.decide(unit)


def _outside(gate: Gate, unit: str, engine: str) -> list[str]:
    """Tests that keep a unit out: the holdout, then each layer."""
    tests: list[str] = []
    if gate.holdout is not None:
        border = gate.holdout.threshold_hex
        tests.append("TRUE" if border is None else f"{_digits(unit, gate.holdout.name, gate.holdout.salt, engine)} < '{border}'")
    for place in gate.places:
        digits = _digits(unit, place.layer, place.salt, engine)
        inside = [f"({digits} >= '{low}'" + (")" if below is None else f" AND {digits} < '{below}')") for low, below in place.hex_ranges]
        tests.append(f"NOT ({' OR '.join(inside)})" if inside else "TRUE")
    return tests


def _digits(unit: str, experiment: str, salt: str, engine: str) -> str:
    """A unit's hash as hexadecimal digits."""
    key = f"concat({unit}, {_text(f':{experiment}:{salt}', engine)})"
    digits = HEX_OF[engine].format(key=key)
    return f'({digits}) COLLATE "C"' if engine == "postgresql" else digits


def _text(text: str, engine: str) -> str:
    """A text as a literal."""
    if engine in BACKSLASH_ESCAPES:
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return "'" + text.replace("'", "''") + "'"
