"""A/A tests of metrics whose tests read single units: made as an analysis makes them (issue 3)."""

import numpy as np
import pytest
from test_aa import columns, spec

from fairtrial.analysis import analyze_spec
from fairtrial.errors import DataError
from fairtrial.metrics import build_metrics
from fairtrial.metrics.columns import metric_values
from fairtrial.simulation.aa import aa_test
from fairtrial.simulation.aa_units import p_values_of_units

SPENT = {"key": "spent", "kind": "mean"}
METRICS = [
    {**SPENT, "test": "mann_whitney"},
    {**SPENT, "test": "log1p"},
    {**SPENT, "test": "trimmed"},
    {**SPENT, "test": "permutation"},
    {"key": "spent", "kind": "quantile", "q": 0.5},
    {**SPENT, "test": "lin", "covariate": "before"},
    {**SPENT, "test": "ancova", "covariate": "before"},
    {"key": "spent", "kind": "proportion", "test": "exact"},
]


def name_of(metric):
    return metric.get("test", metric["kind"])


def values_of(metric, size, seed):
    rng = np.random.default_rng(seed)
    before = rng.lognormal(0.0, 1.0, size)
    spent = (before > 1.5).astype(float) if metric["kind"] == "proportion" else np.round(before * rng.lognormal(0.0, 0.5, size), 2)
    return {"spent": spent, "before": before}


@pytest.mark.parametrize("metric", METRICS, ids=name_of)
def test_a_drawn_assignment_is_tested_as_an_analysis_tests_it(metric, tmp_path):
    values = values_of(metric, 240, 1)
    arms = np.random.default_rng(2).integers(0, 2, 240).astype(np.int8)
    rows = [f"{i},{['control', 't'][arm]},{values['spent'][i]},{values['before'][i]}" for i, arm in enumerate(arms)]
    (tmp_path / "units.csv").write_text("unit,arm,spent,before\n" + "\n".join(rows) + "\n", encoding="utf-8")
    design = spec(metric, arms={"control": 0.5, "t": 0.5}, data={"source": "units.csv", "unit": "unit", "arm": "arm"})
    built = build_metrics(design)[0]
    found = p_values_of_units(design, built, metric_values(built.needs, columns(design, **values)), [arms])
    card = analyze_spec(design, base=tmp_path)
    assert found[0, 0] == pytest.approx(card.comparisons[0].estimate.p_value, rel=1e-9)


@pytest.mark.parametrize("metric", [METRICS[0], METRICS[1], METRICS[2], METRICS[5], METRICS[6]], ids=name_of)
def test_p_values_of_units_keep_their_promise_on_skewed_history(metric):
    design = spec(metric, arms={"control": 0.5, "t": 0.5})
    found = aa_test(design, columns(design, **values_of(metric, 300, 3)), runs=400, rng=np.random.default_rng(4))
    assert found.passed
    assert found.rows[0].undefined == 0
    assert 0.02 < found.rows[0].rejected.value < 0.09
    assert found.rows[0].ks_p_value > 1e-4


def test_units_that_are_not_alike_are_caught():
    """Whole clusters of like units assigned at once: the rank test takes them as independent, and is seen to."""
    metric = METRICS[0]
    design = spec(metric, arms={"control": 0.5, "t": 0.5})
    clusters = np.repeat(np.arange(30), 20)
    spent = np.random.default_rng(5).normal(size=30)[clusters] + np.random.default_rng(6).normal(size=600) * 0.3
    found = aa_test(design, columns(design, {"shop": clusters}, spent=spent + 10.0), runs=200, rng=np.random.default_rng(7), cluster="shop")
    assert not found.passed
    assert found.rows[0].flag == "too_many"


@pytest.mark.parametrize(
    ("metric", "data", "says"),
    [
        ({**SPENT, "test": "bootstrap"}, {}, "sums by bucket"),
        ({**SPENT, "test": "paired_t"}, {"pair": "couple"}, "come in pairs"),
    ],
)
def test_what_cannot_be_drawn_anew_says_why(metric, data, says):
    design = spec(metric, arms={"control": 0.5, "t": 0.5}, data={"source": "units.csv", "unit": "unit", "arm": "arm", **data})
    with pytest.raises(DataError, match=says) as caught:
        aa_test(design, columns(design, spent=np.arange(50.0)), runs=100, rng=np.random.default_rng(1))
    assert caught.value.code == "no_metric"
    assert caught.value.hint
