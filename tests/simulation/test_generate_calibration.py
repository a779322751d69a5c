"""Calibration: analyses of generated experiments find the planted effect as often as they promise (XC-48)."""

import pyarrow as pa
import pytest
from scipy import stats

from fairtrial.analysis import analyze_spec
from fairtrial.cli.synthetic_files import source_of, write_synthetic
from fairtrial.evaluation import evaluate
from fairtrial.metrics import build_metrics
from fairtrial.simulation.generate import Recipe, generate_data
from fairtrial.spec.loader import parse_spec
from fairtrial.warehouse.read import read_frame

RUNS = 200
PLANTED = 0.1

SHAPES = {
    "proportion": ({"kind": "proportion"}, {"baseline": 0.3}, {}),
    "count": ({"kind": "count"}, {"baseline": 1.5, "baseline_sd": 2.0}, {}),
    "narrow count": ({"kind": "count"}, {"baseline": 1.007, "baseline_sd": 0.33}, {}),
    "cuped": ({"kind": "mean", "covariate": "before"}, {"baseline": 20.0, "baseline_sd": 10.0, "covariate_correlation": 0.7}, {}),
    "strata": ({"kind": "mean"}, {"baseline": 20.0, "baseline_sd": 10.0}, {"strata": ["country"], "adjust": "post_stratify"}),
    "ratio": ({"kind": "ratio", "numerator": "clicks", "denominator": "views"}, {"baseline": 0.3}, {}),
}


def unit_tables(metric, plan, data):
    spec = parse_spec(
        {
            "key": "calibrated",
            "arms": {"control": 0.6, "b": 0.4},
            "metrics": [{"key": "m", "role": "primary", **metric}],
            "plan": {"mde": PLANTED, **plan},
            "data": {"source": "x.parquet", "unit": "unit", **data},
        }
    )
    needs, arms = [metric.needs for metric in build_metrics(spec)], [arm.key for arm in spec.arms]

    def estimate(seed, effect):
        made = generate_data(spec, Recipe(seed=seed, units=1_500, effect=effect))
        reading = read_frame(pa.table(made.tables["units"]), spec.data, needs, arms)
        return evaluate(spec, reading).comparison("m").estimate

    return estimate


def within_promise(hits, rate):
    """Whether a count lies where 99.9% of counts at this rate do."""
    return stats.binom.ppf(0.0005, RUNS, rate) <= hits <= stats.binom.ppf(0.9995, RUNS, rate)


def count_hits(estimate):
    """Intervals that hold the planted lift, and tests that reject where none was planted."""
    held = [found.lift_interval.low <= PLANTED <= found.lift_interval.high for found in (estimate(s, PLANTED) for s in range(RUNS))]
    rejected = [estimate(seed, 0.0).p_value < 0.05 for seed in range(RUNS, 2 * RUNS)]
    return sum(held), sum(rejected)


@pytest.mark.slow
@pytest.mark.parametrize("shape", list(SHAPES))
def test_intervals_hold_the_planted_lift_and_aa_tests_keep_their_size(shape):
    held, rejected = count_hits(unit_tables(*SHAPES[shape]))
    assert within_promise(held, 0.95), held
    assert within_promise(rejected, 0.05), rejected


@pytest.mark.slow
def test_of_logs_too_with_events_late_and_repeated(tmp_path):
    spec = parse_spec(
        {
            "key": "calibrated-logs",
            "arms": ["control", "b"],
            "metrics": [
                {
                    "key": "revenue",
                    "kind": "mean",
                    "role": "primary",
                    "column": {"fact": "orders", "value": "amount"},
                    "covariate": {"fact": "orders", "value": "amount", "before_days": 14},
                }
            ],
            "plan": {"baseline": 20.0, "baseline_sd": 30.0, "mde": PLANTED, "covariate_correlation": 0.5},
            "data": {
                "source": "duckdb:///x.duckdb",
                "assignments": {"table": "assigned"},
                "facts": {"orders": {"table": "orders", "event_id": "id"}},
                "window_days": 7,
            },
        }
    )
    file = tmp_path / "made.duckdb"

    def estimate(seed, effect):
        made = generate_data(spec, Recipe(seed=seed, units=1_500, effect=effect, late=0.3, duplicates=0.1))
        write_synthetic(made, file, {"synthetic": "true"})
        return analyze_spec(spec, source=source_of(file)).comparison("revenue").estimate

    held, rejected = count_hits(estimate)
    assert within_promise(held, 0.95), held
    assert within_promise(rejected, 0.05), rejected
