"""XC-41: a factorial experiment read from one column per factor gives what one column of cells gives."""

import duckdb
import pytest

from fairtrial import parse_spec
from fairtrial.analysis import analyze_spec
from fairtrial.analysis.history import read_history
from fairtrial.errors import UnknownNameError, UsageError
from fairtrial.metrics import build_metrics
from fairtrial.spec.factorial import with_cells
from fairtrial.warehouse import read

ROWS = """
    SELECT i AS shopper, {button} AS button, {price} AS price, {cell} AS cell, CAST(i % 7 < 3 AS INTEGER) AS ordered, i % 11 AS spend
    FROM range(400) AS t (i)
"""
BUTTON, PRICE = "['grey', 'green'][1 + i % 2]", "['full', 'discount'][1 + (i // 2) % 2]"


def table(folder, button=BUTTON, price=PRICE, cell="1", name="shop.parquet"):
    path = folder / name
    duckdb.sql(f"COPY ({ROWS.format(button=button, price=price, cell=cell)}) TO '{path}'")
    return str(path)


def spec_of(source, factors=None, columns=None, metrics=None, **data):
    columns = {"button": "button", "price": "price"} if columns is None else columns
    return parse_spec(
        {
            "key": "shop",
            "kind": "factorial",
            "factors": factors or {"button": ["grey", "green"], "price": ["full", "discount"]},
            "metrics": metrics or [{"key": "ordered", "kind": "proportion", "role": "primary"}, {"key": "spend", "kind": "mean"}],
            "plan": {"sample_size": 100},
            "data": {"source": source, "unit": "shopper", **({"factors": columns} if columns else {}), **data},
        }
    )


def reading_of(spec):
    return read(with_cells(spec.data, spec.arms), [m.needs for m in build_metrics(spec)], [arm.key for arm in spec.arms])


def test_columns_of_factors_read_as_a_column_of_cells(tmp_path):
    source = table(tmp_path, cell=f"{BUTTON} || '+' || {PRICE}")
    by_factor, by_cell = analyze_spec(spec_of(source)), analyze_spec(spec_of(source, columns={}, arm="cell"))
    assert by_factor.factorial == by_cell.factorial
    assert by_factor.comparisons == by_cell.comparisons
    assert {arm.n for arm in by_factor.arms} == {100}


@pytest.mark.parametrize(
    ("button", "price", "levels"),
    [
        ("i % 2", "['full', 'discount'][1 + (i // 2) % 2]", {"button": ["0", "1"], "price": ["full", "discount"]}),
        ("i % 2 = 1", "10.5 + (i // 2) % 2", {"button": ["false", "true"], "price": ["10.5", "11.5"]}),
        ("i % 2 = 1", "CAST((i // 2) % 2 AS DOUBLE)", {"button": ["0", "1"], "price": [0, 1]}),
    ],
)
def test_levels_may_be_numbers_and_booleans(tmp_path, button, price, levels):
    card = analyze_spec(spec_of(table(tmp_path, button, price), factors=levels))
    assert [arm.n for arm in card.arms] == [100] * 4
    text = analyze_spec(spec_of(table(tmp_path, name="text.parquet")))
    assert [e.effect for e in card.factorial.effects] == [e.effect for e in text.factorial.effects]


def test_unknown_levels_and_missing_ones_are_counted(tmp_path):
    button = f"CASE WHEN i < 20 THEN NULL WHEN i < 50 THEN 'red' ELSE {BUTTON} END"
    found = reading_of(spec_of(table(tmp_path, button))).intake
    assert found.rows_without_arm == 20
    assert found.unknown_arms == {"red+discount": 14, "red+full": 16}
    assert found.units == 350


def test_repeated_units_and_a_filter_work_as_ever(tmp_path):
    source = table(tmp_path, button="['grey', 'green'][1 + (i // 4) % 2]")
    spec = spec_of(source, where={"ordered": 0})
    assert reading_of(spec).intake.units == 400 - 172
    folder = tmp_path / "twice"
    folder.mkdir()
    duckdb.sql(f"COPY (SELECT shopper // 2 AS shopper, button, price, ordered, spend FROM '{source}') TO '{folder}/shop.parquet'")
    found = reading_of(spec_of(f"{folder}/shop.parquet", repeated="mean", metrics=[{"key": "spend", "kind": "mean"}]))
    # rows 2j and 2j + 1 share a button, and their price too
    assert (found.intake.units + found.intake.units_in_two_arms, found.intake.repeated_rows) == (200, 200 - found.intake.units_in_two_arms)


def test_a_column_that_is_not_there_or_of_another_kind_is_refused(tmp_path):
    source = table(tmp_path, button="i % 2")
    with pytest.raises(UnknownNameError, match="buton"):
        reading_of(spec_of(source, columns={"button": "buton", "price": "price"}))
    with pytest.raises(UsageError, match=r"holds numbers, and 'green' is a level"):
        reading_of(spec_of(source))
    dated = table(tmp_path, button="DATE '2024-01-01' + CAST(i % 2 AS INTEGER)", name="dated.parquet")
    with pytest.raises(UsageError, match="must hold text, numbers or booleans"):
        reading_of(spec_of(dated))


def test_history_is_the_controls_units_by_their_levels(tmp_path):
    """What `fairtrial oc` and `fairtrial aa` start from: the cell of all first levels, or everybody where the columns are not there."""
    source = table(tmp_path)
    assert read_history(spec_of(source), arm="grey+full").units == 100
    assert read_history(spec_of(source), arm=None).units == 400
    bare = str(tmp_path / "bare.parquet")
    duckdb.sql(f"COPY (SELECT shopper, ordered, spend FROM '{source}') TO '{bare}'")
    assert read_history(spec_of(bare), arm="grey+full").units == 400
