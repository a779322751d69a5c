"""What an effect is worth, from a file to every report: the installed program and real files (XC-24, XC-35, XC-37)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fairtrial import analyze_spec, load_spec
from fairtrial.stats.shrinkage import shrink_to_prior

SPEC = """\
key: shop
arms: [control, treatment]
metrics:
  - {key: bought, kind: proportion, role: primary}
plan: {mde: 0.08, baseline: 0.045, sample_size: 20000}
data:
  shape: aggregates
  source: counts.csv
  arm: arm
  n: users
  columns: {bought: {successes: orders}}
"""
TERMS = """\
business: {eligible_units_per_day: 950, value_per_unit: 30, currency: EUR, one_off_cost: 20000, running_cost: 1000, horizon_years: 2}
"""


def process(*arguments, cwd):
    program = Path(sys.executable).parent / "fairtrial"
    return subprocess.run([program, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False, timeout=120)


def analyze(path: Path):
    return analyze_spec(load_spec(path).spec, base=path.parent)


def write(folder: Path, treatment: int, tail: str) -> Path:
    """10,000 units an arm, 450 of the control and `treatment` of the treated bought."""
    lines = ["arm,users,orders", "control,10000,450", f"treatment,10000,{treatment}"]
    (folder / "counts.csv").write_text("\n".join(lines), encoding="utf-8")
    (folder / "shop.yaml").write_text(SPEC + tail, encoding="utf-8")
    return folder / "shop.yaml"


def test_from_a_file_to_the_scorecard_and_the_reports(tmp_path):
    """V.b: effect x units a period x value, with the interval carried through."""
    write(tmp_path, 530, TERMS)
    ended = process("analyze", "shop.yaml", "--json", cwd=tmp_path)
    assert ended.returncode in {0, 1}, ended.stderr
    card = json.loads(ended.stdout)
    estimate, (impact,) = card["comparisons"][0]["estimate"], card["impact"]
    factor = 950 * 365 * 30
    assert estimate["effect"] == pytest.approx(0.008)
    assert impact["gain"]["value"] == pytest.approx(factor * 0.008)
    assert impact["gain"]["interval"]["low"] == pytest.approx(factor * estimate["interval"]["low"])
    assert impact["gain"]["interval"]["high"] == pytest.approx(factor * estimate["interval"]["high"])
    drawn = shrink_to_prior(0.008, estimate["std_error"], prior_sd=0.08 * estimate["control"])
    assert impact["shrunk_gain"]["value"] == pytest.approx(factor * drawn.effect)
    assert impact["cost"] == 22_000
    assert impact["net"]["value"] == pytest.approx(2 * factor * 0.008 - 22_000)
    assert impact["roi"]["value"] == pytest.approx(impact["net"]["value"] / 22_000)
    assert impact["reading"] == "gain"

    told = process("analyze", "shop.yaml", "--report", "report.html", cwd=tmp_path)
    text, page = " ".join(told.stdout.split()), (tmp_path / "report.html").read_text(encoding="utf-8")
    for said in ("Business impact", "+83,220 EUR", "Return on the costs", "Paid back after", "winner's curse"):
        assert said.lower().replace("'", "") in text.lower().replace("'", "")
        assert said.lower().replace("'", "") in page.lower().replace("'", "").replace("&#39;", "")


def test_an_inconclusive_effect_shows_that_it_may_lose(tmp_path):
    """XC-37: never a number without an interval, and the interval includes the loss."""
    spec = write(tmp_path, 460, TERMS)
    card = analyze(spec)
    (impact,) = card.impact
    assert impact.reading == "unclear"
    assert impact.gain.interval.low < 0 < impact.gain.value
    assert impact.payback.latest is None
    assert "The interval includes a loss" in card.explain()


def test_a_missing_term_is_said_and_nothing_is_made_up(tmp_path):
    card = analyze(write(tmp_path, 530, "business: {currency: EUR}\n"))
    assert card.impact[0].gain is None
    assert "lacks eligible_units_per_day and value_per_unit" in card.explain()


def test_the_traffic_of_the_plan_stands_in_for_the_units(tmp_path):
    """XC-35: catalogs declare their traffic once."""
    card = analyze(write(tmp_path, 530, "feasibility: {daily_units: 950}\nbusiness: {value_per_unit: 30}\n"))
    assert card.impact[0].gain.value == pytest.approx(950 * 365 * 30 * 0.008)
    assert any("feasibility.daily_units" in text for text in card.impact[0].assumptions)


def test_bad_data_is_worth_nothing(tmp_path):
    """Rule 0: what cannot be trusted is not told in money."""
    spec = write(tmp_path, 530, TERMS)
    text = (tmp_path / "counts.csv").read_text(encoding="utf-8").replace("treatment,10000", "treatment,12000")
    (tmp_path / "counts.csv").write_text(text, encoding="utf-8")
    card = analyze(spec)
    assert card.decision.state == "invalid"
    assert card.impact[0].unavailable.code == "invalid"


def test_where_lower_is_better_a_drop_is_a_gain(tmp_path):
    write(tmp_path, 370, TERMS)
    path = tmp_path / "shop.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("role: primary", "role: primary, direction: decrease"), encoding="utf-8")
    gain = analyze(path).impact[0].gain
    assert gain.value == pytest.approx(950 * 365 * 30 * 0.008)
    assert gain.interval.low < gain.value < gain.interval.high


def test_a_ratio_is_no_total(tmp_path):
    """Its effect is per unit of the denominator: times the units it is no sum of money."""
    rows = ["id,arm,spend,orders", *(f"{i},{('control', 'treatment')[i % 2]},{i % 7 + i % 2},{1 + i % 3}" for i in range(200))]
    (tmp_path / "units.csv").write_text("\n".join(rows), encoding="utf-8")
    metric = "{key: order_value, kind: ratio, numerator: spend, denominator: orders, role: primary}"
    spec = f"key: shop\narms: [control, treatment]\nmetrics: [{metric}]\ndata: {{source: units.csv, unit: id}}\n{TERMS}"
    (tmp_path / "ratio.yaml").write_text(spec, encoding="utf-8")
    assert analyze(tmp_path / "ratio.yaml").impact[0].unavailable.code == "does_not_add_up"


def test_without_a_business_section_nothing_is_said(tmp_path):
    card = analyze(write(tmp_path, 530, ""))
    assert card.impact == ()
    assert "Business impact" not in card.explain()
