"""`fairtrial generate`, and the whole loop on what it makes (XC-48)."""

import contextlib
import io
import json
import subprocess
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from fairtrial.cli import main
from fairtrial.spec import list_available_experiments

EXAMPLES = Path(__file__).parents[2] / "examples"
UNIT_TABLES = ["adsmart", "checkout_looks", "cookie_cats", "fast_food", "free_delivery", "hillstrom", "marketing_ab_sample"]
UNIT_TABLES += ["price_not_worse", "ranking_hybrid"]


def fairtrial(*arguments, cwd):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(cwd), contextlib.redirect_stderr(err), contextlib.redirect_stdout(out), pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return subprocess.CompletedProcess(arguments, ended.value.code, out.getvalue(), err.getvalue())


def loop(target, cwd, *, suffix=".parquet"):
    """Generate, analyse and verify; the scorecard."""
    made = fairtrial("generate", target, "--seed", 7, "--units", 3000, "--out", f"made{suffix}", cwd=cwd)
    assert made.returncode == 0, made.stderr
    assert made.stderr.startswith("SYNTHETIC: 3,000 made-up units")
    read = fairtrial("analyze", target, "--source", f"made{suffix}", "--scorecard", "card.json", "--json", cwd=cwd)
    assert read.returncode in {0, 1}, read.stderr
    same = fairtrial("verify", "card.json", target, "--source", f"made{suffix}", cwd=cwd)
    assert same.returncode == 0, same.stdout + same.stderr
    return json.loads((cwd / "card.json").read_text())


@pytest.mark.parametrize("name", list_available_experiments())
def test_every_shipped_spec_goes_from_generate_to_verify(name, tmp_path):
    """XC-48: the loop can be rehearsed with nothing but a name."""
    card = loop(name, tmp_path)
    assert card["decision"]["state"] == "valid", card["decision"]


@pytest.mark.parametrize("name", UNIT_TABLES)
def test_every_example_of_a_unit_table_does_too(name, tmp_path):
    card = loop(EXAMPLES / f"{name}.yaml", tmp_path, suffix=".csv")
    assert card["decision"]["state"] == "valid", card["decision"]


def test_equal_seeds_give_equal_bytes_that_say_synthetic(tmp_path):
    name = list_available_experiments()[3]
    for file, seed in (("a.parquet", 7), ("b.parquet", 7), ("c.parquet", 8), ("a.csv", 7), ("b.csv", 7)):
        assert fairtrial("generate", name, "--seed", seed, "--out", file, cwd=tmp_path).returncode == 0
    a, b, c, text, again = (tmp_path.joinpath(file).read_bytes() for file in ("a.parquet", "b.parquet", "c.parquet", "a.csv", "b.csv"))
    assert a == b != c
    assert text == again
    assert pq.read_schema(tmp_path / "a.parquet").metadata[b"fairtrial.synthetic"] == b"true"
    assert pq.read_table(tmp_path / "a.parquet")["synthetic"].to_pylist()[0] is True
    assert b"synthetic" in text.splitlines()[0]


def test_json_says_what_was_planted_and_assumed(tmp_path):
    name = list_available_experiments()[0]
    done = fairtrial("generate", name, "--seed", 1, "--units", 500, "--out", "u.csv", "--effect", "-0.2", "--json", cwd=tmp_path)
    answer = json.loads(done.stdout)
    assert (answer["synthetic"], answer["effect"], answer["units"], answer["rows"]) == (True, -0.2, 500, {"units": 500})
    assert any("revenue_per_user" in sentence for sentence in answer["assumed"])
    null = json.loads(fairtrial("generate", name, "--seed", 1, "--units", 500, "--out", "n.csv", "--null", "--json", cwd=tmp_path).stdout)
    assert null["effect"] == 0.0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--out", "u.xlsx"), ".parquet or .csv"),
        (("--out", "u.csv", "--null", "--effect", "0.1"), "--null plants no effect"),
        (("--out", "u.csv", "--units", "3"), "Units must lie in"),
        (("--out", "nowhere/u.csv"), "Cannot write"),
    ],
)
def test_wrong_usage_is_said_before_anything_is_written(options, says, tmp_path):
    done = fairtrial("generate", list_available_experiments()[0], "--seed", 1, *options, cwd=tmp_path)
    assert done.returncode == 2
    assert says in done.stderr
    assert not list(tmp_path.iterdir())


SHOP = """\
key: product-page
arms: [control, treatment]
metrics:
  - {key: bought, kind: proportion, role: primary, column: {fact: orders}}
  - {key: revenue, kind: mean, column: {fact: orders, value: amount}, covariate: {fact: orders, value: amount, before_days: 28}}
plan: {baseline: 0.35, mde: 0.08}
data:
  source: duckdb:///shop.duckdb
  assignments: {table: assignments, unit: user_id, arm: arm, time: assigned_at}
  facts:
    orders: {table: orders, unit: user_id, time: ordered_at, event_id: order_id}
  window_days: 14
"""


@pytest.mark.parametrize("kind", ["duckdb", "sqlite"])
def test_late_and_repeated_events_do_not_move_the_estimate(kind, tmp_path):
    """XC-48: they are counted and left out, and the numbers stay what they are without them."""
    (tmp_path / "shop.yaml").write_text(SHOP, encoding="utf-8")
    cards = {}
    for name, options in (("plain", ()), ("more", ("--late", "0.2", "--duplicates", "0.05"))):
        made = fairtrial("generate", "shop.yaml", "--seed", 7, "--units", 800, "--out", f"{name}.{kind}", *options, cwd=tmp_path)
        assert made.returncode == 0, made.stderr
        source = f"{kind}:///{name}.{kind}"
        assert source in made.stderr
        read = fairtrial("analyze", "shop.yaml", "--source", source, "--scorecard", f"{name}.json", cwd=tmp_path)
        assert read.returncode in {0, 1}, read.stderr
        assert fairtrial("verify", f"{name}.json", "shop.yaml", "--source", source, cwd=tmp_path).returncode == 0
        cards[name] = json.loads((tmp_path / f"{name}.json").read_text())
    for before, after in zip(cards["plain"]["comparisons"], cards["more"]["comparisons"], strict=True):
        for number in ("effect", "p_value", "std_error", "control"):
            assert after["estimate"][number] == pytest.approx(before["estimate"][number], rel=1e-9)
    assert (cards["plain"]["intake"]["late_events"], cards["plain"]["intake"]["duplicate_events"]) == (0, 0)
    assert cards["more"]["intake"]["late_events"] > 50
    assert cards["more"]["intake"]["duplicate_events"] > 50


def test_logs_are_equal_bytes_in_sqlite_and_equal_rows_in_duckdb_and_say_synthetic(tmp_path):
    (tmp_path / "shop.yaml").write_text(SHOP, encoding="utf-8")
    for file in ("a.sqlite", "b.sqlite", "a.duckdb", "b.duckdb"):
        assert fairtrial("generate", "shop.yaml", "--seed", 7, "--units", 300, "--out", file, cwd=tmp_path).returncode == 0
    assert (tmp_path / "a.sqlite").read_bytes() == (tmp_path / "b.sqlite").read_bytes()
    for table in ("assignments", "orders", "fairtrial_synthetic"):
        rows = []
        for file in ("a.duckdb", "b.duckdb"):
            with duckdb.connect(str(tmp_path / file), read_only=True) as database:
                rows.append(database.table(table).fetchall())
        assert rows[0] == rows[1]
        assert len(rows[0]) > 3
    assert ("synthetic", "true") in rows[0]


def test_logs_are_written_to_databases(tmp_path):
    (tmp_path / "shop.yaml").write_text(SHOP, encoding="utf-8")
    done = fairtrial("generate", "shop.yaml", "--seed", 7, "--out", "a.parquet", cwd=tmp_path)
    assert done.returncode == 2
    assert ".duckdb or .sqlite" in done.stderr


def test_a_scorecard_of_made_up_data_says_so(tmp_path, monkeypatch, capsys):
    """XC-48: labelled wherever it is read."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["generate", "checkout_simplification_test", "--seed", "7", "--out", "units.parquet"])
    with pytest.raises(SystemExit):
        main(["analyze", "checkout_simplification_test", "--source", "units.parquet", "--scorecard", "card.json"])
    said = capsys.readouterr().out
    assert "evidence of nothing" in " ".join(said.split())
    notes = json.loads((tmp_path / "card.json").read_text(encoding="utf-8"))["intake"]["notes"]
    assert any("made-up data" in note for note in notes)
