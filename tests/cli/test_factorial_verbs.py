"""XC-41, end to end: a factorial spec and a file, through the program."""

import json
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

SPEC = """\
key: shop
kind: factorial
factors: {button: [grey, green], price: [full, discount]}
metrics:
  - {key: ordered, kind: proportion, role: primary}
  - {key: seconds, kind: mean, covariate: before}
plan: {baseline: 0.1, mde: 0.2}
data: {source: shop.csv, unit: shopper, factors: {button: button, price: price}}
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """10,000 shoppers a cell; a discount works better beside the green button."""
    folder = tmp_path_factory.mktemp("shop")
    duckdb.sql(f"""
        COPY (
            SELECT i AS shopper, ['grey', 'green'][1 + i % 2] AS button, ['full', 'discount'][1 + (i // 2) % 2] AS price,
                   CAST((i // 4) % 1000 < [98, 110, 109, 148][1 + 2 * (i % 2) + (i // 2) % 2] AS INTEGER) AS ordered,
                   (i * 7) % 300 + 2 * (i % 41) AS seconds, i % 41 AS before
            FROM range(40000) AS t (i)
        ) TO '{folder}/shop.csv'
    """)
    (folder / "shop.yaml").write_text(SPEC, encoding="utf-8")
    return folder


def fairtrial(*arguments, cwd):
    program = Path(sys.executable).parent / "fairtrial"
    return subprocess.run([program, *arguments], capture_output=True, text=True, cwd=cwd, check=False, timeout=120)


def test_analyze_reports_effects_interaction_and_a_verdict_on_cells(shop):
    done = fairtrial("analyze", "shop.yaml", "--json", "--report", "report.html", cwd=shop)
    assert done.returncode == 0, done.stderr
    card = json.loads(done.stdout)
    effects = {":".join(e["factors"]): e for e in card["factorial"]["effects"] if e["metric"] == "ordered"}
    # by hand, from rates of 98, 110, 109 and 148 in 1,000
    assert effects["button"]["effect"] == pytest.approx((0.109 + 0.148 - 0.098 - 0.110) / 2, abs=1e-12)
    assert effects["price"]["effect"] == pytest.approx((0.110 + 0.148 - 0.098 - 0.109) / 2, abs=1e-12)
    assert effects["button:price"]["effect"] == pytest.approx(0.148 - 0.109 - 0.110 + 0.098, abs=1e-12)
    assert effects["button:price"]["reading"] == "interacts"
    assert [e["at"] for e in card["factorial"]["simple_effects"]] == [
        {"price": "full"},
        {"price": "discount"},
        {"button": "grey"},
        {"button": "green"},
    ]
    seconds = [e for e in card["factorial"]["effects"] if e["metric"] == "seconds"]
    assert {e["method"] for e in seconds} == {"cuped_factorial_contrast"}
    assert (card["treatment"], card["decision"]["verdict"]) == ("green+discount", "STRONG_LAUNCH")
    assert card["findings"][0]["code"] == "factors_interact"
    assert "Effects of factors" in (shop / "report.html").read_text(encoding="utf-8")


def test_power_says_both_sizes_and_validate_refuses_a_missing_cell(shop):
    plan = json.loads(fairtrial("power", "shop.yaml", "--json", cwd=shop).stdout)["plan"]
    sizes = plan["factor_sizes"]
    assert sizes["interaction"] == pytest.approx(4 * sizes["main_effect"], abs=4)
    assert plan["total"] > sizes["main_effect"]
    (shop / "broken.yaml").write_text(SPEC.replace("metrics:", "arms: [grey+full, green+full]\nmetrics:"), encoding="utf-8")
    refused = fairtrial("validate", "broken.yaml", cwd=shop)
    assert refused.returncode == 1
    assert "one arm for each of its 4 cells" in refused.stderr


def test_operating_characteristics_and_aa_take_a_factorial_spec(shop):
    found = fairtrial("oc", "shop.yaml", "--runs", "200", "--json", cwd=shop)
    assert found.returncode == 0, found.stderr
    assert '"shop"' in found.stdout
    again = fairtrial("aa", "shop.yaml", "--runs", "100", "--json", cwd=shop)
    assert again.returncode == 0, again.stderr
