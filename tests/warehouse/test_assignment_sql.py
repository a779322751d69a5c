"""Assignment in an engine's SQL is the pure function, bit for bit (G-9), on DuckDB and Postgres; the others' text is told here."""

from __future__ import annotations

import duckdb
import psycopg
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairtrial.assignment import Allocation, Gate, GlobalHoldout, LayerPlace, Routing, Segment, SlotRange, unit_hash
from fairtrial.assignment.hashing import HASH_SPACE
from fairtrial.errors import DataError, UnknownNameError
from fairtrial.warehouse.assignment import FEWEST, HEX_OF, arm_sql, assign

UNITS = [f"user_{i:06d}" for i in range(FEWEST)] + ["", "Zoë", "Zoe\u0308", "用户", "🌱", " spaced ", "O'Neil", "a\\b", "a\tb\n", "x" * 200]
GATED = Routing(
    allocation=Allocation.from_shares("checkout", {"b": 0.2, "a": 0.5, "c": 0.3}, salt="s'\\1", traffic=0.6),
    gate=Gate(
        holdout=GlobalHoldout(name="global", salt="2026", share=0.05),
        places=(LayerPlace(layer="prices", salt="L", slots=(SlotRange(0, 3000), SlotRange(7000, 10_000))),),
    ),
)
ROUTINGS = {
    "holdout by number": Allocation.holdout("1", 0.8, hash_key="1"),
    "gate, traffic, three arms": GATED,
    "after a change of shares": Routing(allocation=GATED.allocation.extended({"b": 0.4, "a": 0.3, "c": 0.3})),
    "everybody held out": Routing(allocation=GATED.allocation, gate=Gate(holdout=GlobalHoldout(name="g", salt="", share=1.0))),
    "nobody held out": Routing(allocation=GATED.allocation, gate=Gate(holdout=GlobalHoldout(name="g", salt="", share=0.0))),
    "no traffic": GATED.allocation.with_traffic(0),
    "ten arms": Allocation.from_shares("many", {f"arm {i}": 0.1 for i in range(10)}),
}


def in_python(routing: Routing | Allocation, units: list[str]) -> list[str | None]:
    return [routing.decide(unit).arm if isinstance(routing, Routing) else routing.decide(unit) for unit in units]


@pytest.mark.parametrize("name", ROUTINGS)
def test_in_bulk_as_one_by_one(name):
    """Above the number where the engine takes over and below it, in the order given."""
    for units in (UNITS, UNITS[-20:], []):
        found = assign(pa.array(units, pa.string()), ROUTINGS[name])
        assert found.to_pylist() == in_python(ROUTINGS[name], units)
        assert found.type == pa.string()
    large = pa.chunked_array([pa.array(UNITS[:100], pa.large_string()), pa.array(UNITS[100:], pa.large_string())])
    assert assign(large, ROUTINGS[name], threads=1).to_pylist() == in_python(ROUTINGS[name], UNITS)


def test_order_is_kept_over_many_pieces_and_threads():
    units = [str(i) for i in range(400_000)]
    found = assign(pa.array(units), ROUTINGS["holdout by number"], threads=4)
    assert found.to_pylist() == in_python(ROUTINGS["holdout by number"], units)


@pytest.mark.parametrize("name", ROUTINGS)
def test_the_expression_in_postgres(postgres_url, name):
    """Its own SHA-256, in a statement of one's own; NULL is in no arm."""
    with psycopg.connect(postgres_url) as connection:
        connection.execute('CREATE TABLE people (place serial, "the unit" text)')
        with connection.cursor().copy('COPY people ("the unit") FROM STDIN') as copy:
            for unit in (*UNITS, None):
                copy.write_row((unit,))
        arm = arm_sql(ROUTINGS[name], '"the unit"', engine="postgresql")
        rows = connection.execute(f"SELECT {arm} FROM people ORDER BY place").fetchall()
    assert [row[0] for row in rows] == [*in_python(ROUTINGS[name], UNITS), None]


def test_null_is_in_no_arm_in_duckdb():
    with duckdb.connect() as connection:
        rows = connection.sql(f"SELECT {arm_sql(GATED, 'u')} FROM (VALUES (NULL), ('user_001')) t(u)").fetchall()
    assert [row[0] for row in rows] == [None, *in_python(GATED, ["user_001"])]


text = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40)


@given(
    units=st.lists(text, min_size=1, max_size=30),
    experiment=text.filter(lambda t: t and "\0" not in t),
    salt=text.filter(lambda t: "\0" not in t),
    cut=st.data(),
)
@settings(max_examples=60, deadline=None)
def test_a_unit_at_a_border_falls_as_the_integers_say(units, experiment, salt, cut):
    """Borders laid exactly on a unit's hash and one above it: any text, any key, any salt, quotes and all."""
    at = unit_hash(cut.draw(st.sampled_from(units)), experiment, salt)
    for border in {at, min(at + 1, HASH_SPACE - 1)} - {0}:
        segments = (Segment(0, border, "o'ne"), Segment(border, HASH_SPACE, "two\\"))
        allocation = Allocation(hash_key=experiment, salt=salt, arms=("o'ne", "two\\"), segments=segments)
        with duckdb.connect() as connection:
            connection.register("units", pa.table({"u": pa.array(units, pa.string())}))
            rows = connection.sql(f"SELECT {arm_sql(allocation, 'u')} FROM units").fetchall()
        assert [row[0] for row in rows] == allocation.assign(units)


def test_every_engine_has_its_own_words():
    allocation = Allocation.from_shares("e'x\\p", {"a": 0.5, "b": 0.5})
    assert arm_sql(allocation, "u", engine="spark") == (
        "CASE WHEN u IS NULL THEN NULL WHEN sha2(concat(u, ':e\\'x\\\\p:'), 256) < '8000000000000000' THEN 'a' ELSE 'b' END"
    )
    assert all(HEX_OF[engine].partition("{key}")[0] in arm_sql(allocation, "u", engine=engine) for engine in HEX_OF)
    with pytest.raises(UnknownNameError, match="sqlite"):
        arm_sql(allocation, "u", engine="sqlite")


def test_what_is_no_unit_is_refused():
    with pytest.raises(DataError, match="int64"):
        assign(pa.array([1, 2]), GATED)
    with pytest.raises(DataError, match="1 have none"):
        assign(pa.array(["a", None]), GATED)
