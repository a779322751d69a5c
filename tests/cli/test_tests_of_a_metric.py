"""Tests that the spec chooses, from a file to the report: the installed program, real files, its numbers and its refusals."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from fairtrial.stats.stratified_rates import mantel_haenszel_test

UNITS = """\
key: shop
arms: [control, treatment]
metrics:
  - {key: bought, kind: proportion, test: mantel_haenszel, role: primary}
  - {key: spend, kind: mean, test: lin, covariate: [before, visits]}
  - {key: spend_common, kind: mean, column: spend, test: ancova, hc: HC3, covariate: before}
plan: {sample_size: 400}
data: {source: units.csv, unit: id, strata: [country]}
"""
PAIRS = """\
key: stores
arms: [control, treatment]
metrics:
  - {key: sales, kind: mean, test: paired_t, role: primary}
  - {key: ranks, kind: mean, column: sales, test: wilcoxon}
  - {key: hit, kind: proportion, test: mcnemar}
plan: {sample_size: 100}
data: {source: pairs.csv, pair: store}
"""


def process(*arguments, cwd):
    program = Path(sys.executable).parent / "fairtrial"
    return subprocess.run([program, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(11)
    lines = ["id,arm,country,bought,spend,before,visits"]
    for i in range(400):
        side, country, before, visits = i % 2, int(rng.integers(0, 3)), rng.gamma(3.0, 10.0), int(rng.poisson(4))
        bought = int(rng.random() < (0.1, 0.3, 0.5)[country] + 0.15 * side)
        spend = 0.7 * before + 2 * visits + rng.normal(0, 5) + 3 * side
        lines.append(f"{i},{('control', 'treatment')[side]},{'abc'[country]},{bought},{spend:.6f},{before:.6f},{visits}")
    (tmp_path / "units.csv").write_text("\n".join(lines), encoding="utf-8")
    lines = ["store,arm,sales,hit"]
    for i in range(50):
        level = rng.normal(30, 8)
        lines += [
            f"s{i},{arm},{level + rng.normal(0, 3) + 2 * side:.6f},{int(rng.random() < 0.3 + 0.4 * side)}"
            for side, arm in enumerate(("control", "treatment"))
        ]
    (tmp_path / "pairs.csv").write_text("\n".join(lines[:-1]), encoding="utf-8")
    (tmp_path / "units.yaml").write_text(UNITS, encoding="utf-8")
    (tmp_path / "pairs.yaml").write_text(PAIRS, encoding="utf-8")
    return tmp_path


def rows(path: Path) -> list[dict[str, str]]:
    head, *lines = path.read_text(encoding="utf-8").splitlines()
    return [dict(zip(head.split(","), line.split(","), strict=True)) for line in lines]


def estimates(card: dict) -> dict[str, dict]:
    return {row["metric"]: row["estimate"] for row in card["comparisons"]}


def test_strata_and_regressions_from_a_file_to_the_scorecard(folder):
    ended = process("analyze", "units.yaml", "--json", cwd=folder)
    assert ended.returncode in {0, 1}, ended.stderr
    card = json.loads(ended.stdout)
    found = estimates(card)
    counts: dict[str, list[int]] = {}
    for row in rows(folder / "units.csv"):
        place = counts.setdefault(row["country"], [0, 0, 0, 0])
        side = 2 * (row["arm"] == "treatment")
        place[side] += int(row["bought"])
        place[side + 1] += 1
    own = mantel_haenszel_test([tuple(counts[name]) for name in sorted(counts)])
    assert (found["bought"]["p_value"], found["bought"]["interval"]["low"]) == pytest.approx((own.p_value, own.interval.low), rel=1e-9)
    assert [found[key]["method"] for key in ("bought", "spend", "spend_common")] == ["mantel_haenszel", "lin_hc2", "ancova_hc3"]
    assert 0.3 < found["spend"]["variance_reduction"] < 1.0


def test_pairs_from_a_file_to_the_terminal_and_the_page(folder):
    ended = process("analyze", "pairs.yaml", "--json", cwd=folder)
    card = json.loads(ended.stdout)
    values = {(row["store"], row["arm"]): float(row["sales"]) for row in rows(folder / "pairs.csv")}
    stores = sorted(store for store, arm in values if arm == "control" and (store, "treatment") in values)
    assert len(stores) == 49
    rel = stats.ttest_rel([values[s, "treatment"] for s in stores], [values[s, "control"] for s in stores])
    assert estimates(card)["sales"]["p_value"] == pytest.approx(rel.pvalue, rel=1e-9)
    assert (card["srm"]["status"], [one["code"] for one in card["findings"] if "pairs" in one["code"]]) == ("skipped", ["incomplete_pairs"])
    shown = process("analyze", "pairs.yaml", "--report", "page.html", cwd=folder)
    assert "rows have no partner" in shown.stdout
    assert "Every pair has one unit in each arm" in " ".join(shown.stdout.split())
    assert "no partner in the other arm" in (folder / "page.html").read_text(encoding="utf-8")


def test_a_wrong_combination_is_refused_before_any_data_is_read(folder):
    (folder / "wrong.yaml").write_text(PAIRS.replace("test: paired_t, ", ""), encoding="utf-8")
    ended = process("validate", "wrong.yaml", cwd=folder)
    assert ended.returncode != 0
    assert "use test paired_t, wilcoxon or permutation" in " ".join((ended.stdout + ended.stderr).split())
