"""XC-30: a list of units assigned from the command line: eligible ones, in strata, balanced; and what cannot be is refused."""

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from fairtrial.assignment import Allocation
from fairtrial.cli.app import main
from fairtrial.spec import parse_spec
from fairtrial.stats.resampling.designs import mahalanobis_distances

SPEC = {
    "key": "winback",
    "arms": {"control": 0.2, "treatment": 0.8},
    "eligibility": {"exclude": [{"attribute": "employee", "operator": "equals", "value": True}]},
    "assignment": {"method": "stratified_blocks", "strata": ["region", "kind"], "minimum_stratum_size": 30},
    "metrics": [{"key": "ordered", "kind": "proportion"}],
    "plan": {"baseline": 0.1, "mde": 0.4},
}


def run(*arguments):
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    return stop.value.code


@pytest.fixture
def shop(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "unit": [f"kündin {i}" for i in range(1000)],
            "region": rng.choice(["north", "south", None, "isles"], 1000, p=[0.5, 0.4, 0.09, 0.01]),
            "kind": rng.choice(["new", "old"], 1000),
            "age": rng.integers(18, 80, 1000),
            "spend": rng.gamma(2, 20, 1000),
            "employee": rng.random(1000) < 0.03,
        }
    )
    frame.to_parquet("customers.parquet")
    (tmp_path / "winback.yaml").write_text(yaml.safe_dump(SPEC), encoding="utf-8")
    plain = {key: value for key, value in SPEC.items() if key not in {"assignment", "eligibility"}}
    (tmp_path / "plain.yaml").write_text(yaml.safe_dump(plain), encoding="utf-8")
    return frame


def test_blocks_hold_the_shares_within_each_stratum(shop, capsys):
    assert run("assign", "winback.yaml", "customers.parquet", "--out", "a.parquet", "--json") == 0
    made = json.loads(capsys.readouterr().out)
    found = pd.read_parquet("a.parquet")
    inside = shop[~shop.employee]
    assert set(found.unit) == set(inside.unit)
    assert made["left_out"] == int(shop.employee.sum())
    for counts in made["by_stratum"].values():
        n = sum(counts.values())
        assert abs(counts["control"] - 0.2 * n) < 1 + 1e-9
    assert "isles / new" in made["pooled"]
    assert "north / old" in made["by_stratum"]
    assert any("(missing)" in stratum for stratum in (*made["by_stratum"], *made["pooled"]))
    assert all(one["balanced"] for one in made["balance"])
    joined = found.merge(shop, on="unit")
    assert pd.crosstab(joined.stratum, joined.arm).to_dict() == {
        arm: {stratum: counts[arm] for stratum, counts in made["by_stratum"].items()} for arm in ("control", "treatment")
    }


def test_a_longer_list_keeps_what_was_given(shop):
    shop.iloc[:600].to_parquet("first.parquet")
    assert run("assign", "winback.yaml", "first.parquet", "--out", "a.csv") == 0
    assert run("assign", "winback.yaml", "customers.parquet", "--out", "b.csv", "--given", "a.csv") == 0
    first, second = (pd.read_csv(name).set_index("unit").arm for name in ("a.csv", "b.csv"))
    assert (second[first.index] == first).all()
    assert len(second) > len(first)


def test_without_a_section_the_hash_decides_as_everywhere(shop):
    assert run("assign", "plain.yaml", "customers.parquet", "--out", "a.csv", "--balance-on", "region,age") == 0
    rows = list(csv.DictReader(Path("a.csv").read_text(encoding="utf-8").splitlines()))
    allocation = Allocation.from_shares("winback", {"control": 0.2, "treatment": 0.8})
    assert len(rows) == 1000
    assert all(row["arm"] == allocation.arm(row["unit"]) for row in rows)


def test_arms_are_drawn_again_until_they_are_alike(shop, capsys):
    said = (
        "assign",
        "plain.yaml",
        "customers.parquet",
        "--out",
        "a.parquet",
        "--balance-on",
        "age,spend",
        "--rerandomize",
        "0.05",
        "--json",
    )
    assert run(*said) == 0
    made = json.loads(capsys.readouterr().out)
    found = pd.read_parquet("a.parquet").merge(shop, on="unit")
    z = (found.arm == "treatment").to_numpy()
    assert mahalanobis_distances(found[["age", "spend"]].to_numpy(), z[None, :])[0] <= made["limit"]
    again = Allocation.from_shares("winback", {"control": 0.2, "treatment": 0.8}, salt=made["salt"])
    assert [again.arm(unit) for unit in found.unit] == found.arm.to_list()


def test_people_read_counts_strata_and_balance(shop, capsys):
    assert run("assign", "winback.yaml", "customers.parquet", "--out", "a.csv") == 0
    out = capsys.readouterr().out
    for words in ("blocks within strata", "not eligible", "too small and were pooled", "north / new", "region (treatment)"):
        assert words in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("winback.yaml", "customers.parquet", "--out", "a.txt"), ".parquet or .csv"),
        (("winback.yaml", "customers.parquet", "--out", "customers.parquet"), "must not overwrite"),
        (("winback.yaml", "nowhere.parquet", "--out", "a.csv"), "nowhere.parquet"),
        (("winback.yaml", "customers.parquet", "--out", "a.csv", "--unit", "id"), "id"),
        (("plain.yaml", "customers.parquet", "--out", "a.csv", "--rerandomize", "0.1"), "balanced on named columns"),
        (("plain.yaml", "customers.parquet", "--out", "a.csv", "--balance-on", "region", "--rerandomize", "0.1"), "balanced on numbers"),
        (("winback.yaml", "customers.parquet", "--out", "a.csv", "--given", "winback.yaml"), "cannot read"),
    ],
)
def test_what_cannot_be_done_is_said(shop, capsys, arguments, said):
    assert run("assign", *arguments) in {1, 2}
    assert said in capsys.readouterr().err


def test_units_come_once_and_have_a_name(shop, capsys):
    pd.concat([shop, shop.iloc[:2]]).to_parquet("twice.parquet")
    assert run("assign", "plain.yaml", "twice.parquet", "--out", "a.csv", "--json") == 1
    assert json.loads(capsys.readouterr().err)["code"] == "repeated_units"
    shop.assign(unit=shop.unit.mask(shop.index == 5)).to_parquet("nameless.parquet")
    assert run("assign", "plain.yaml", "nameless.parquet", "--out", "a.csv", "--json") == 1
    assert json.loads(capsys.readouterr().err)["code"] == "missing_unit"


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ({"method": "stratified_blocks"}, "needs strata"),
        ({"strata": ["a", "a"]}, "named once"),
        ({"method": "coin"}, "stratified_blocks"),
        ({"strata": ["a"], "minimum_stratum_size": 0}, "minimum_stratum_size"),
    ],
)
def test_a_section_that_breaks_a_rule_is_refused(assignment, said):
    with pytest.raises(Exception, match=said):
        parse_spec({**SPEC, "assignment": assignment})
