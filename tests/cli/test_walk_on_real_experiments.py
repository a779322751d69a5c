"""The way of docs/howto/from-git-to-warehouse.md on real experiments (issue: experiments as code): every verb, as a person types it."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import duckdb
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def data(real_data, tmp_path_factory):
    """The data of each example, prepared where the raw file lacks a column."""
    location = importlib.util.spec_from_file_location("prepare", EXAMPLES / "prepare.py")
    module = importlib.util.module_from_spec(location)
    location.loader.exec_module(module)
    folder = tmp_path_factory.mktemp("prepared")
    module.prepare(real_data, folder)
    return {
        "hillstrom": real_data / "hillstrom.csv.gz",
        "penn_bonus": folder / "penn_bonus_log.parquet",
        "udacity_free_trial": folder / "udacity_paid_days.parquet",
    }


def rows_of(folder):
    with duckdb.connect(str(folder / "results.duckdb"), read_only=True) as results:
        return results.execute("SELECT analysis_id, final_decision FROM int_experiment_results_primary ORDER BY ALL").fetchall()


@pytest.mark.parametrize(("name", "planned"), [("hillstrom", True), ("penn_bonus", False), ("udacity_free_trial", True)])
def test_from_the_spec_to_the_warehouse_and_back(run, data, tmp_path, name, planned):
    """Shares that were not recorded cannot be planned from (penn_bonus): that is said, with exit 1, and the rest goes on."""
    spec, warehouse, card = EXAMPLES / f"{name}.yaml", f"duckdb:///{tmp_path}/results.duckdb", tmp_path / "card.json"
    assert run("validate", spec)[0] == 0
    code, _, said = run("power", spec)
    assert code == (0 if planned else 1)
    assert planned or "allocation is unknown" in said
    code, told, said = run("oc", spec, "--runs", "200", "--seed", "1", "--json")
    assert code == (0 if planned else 1), said
    if planned:
        assert json.loads(told)
    options = ("--source", data[name], "--as-of", "2026-01-05T00:00:00Z")
    code, told, said = run("analyze", spec, *options, "--scorecard", card, "--write-to-warehouse", "--warehouse", warehouse, "--json")
    assert code in {0, 1}, said
    made = json.loads(card.read_text(encoding="utf-8"))
    stored = rows_of(tmp_path)
    assert len(stored) == len({row["treatment"] for row in made["comparisons"]})
    assert made["decision"]["verdict"] in {verdict for _, verdict in stored}
    run("analyze", spec, *options, "--write-to-warehouse", "--warehouse", warehouse, "--json")
    assert rows_of(tmp_path) == stored, "the same analysis again is the same rows"
    code, told, _ = run("verify", card, spec, *options[:2])
    assert code == 0
    assert "Equal" in told
