"""A spec and its plan as a person reads them."""

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from fairtrial.evaluation.planning import plan_experiment
from fairtrial.reports import render_plan, render_spec
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.loader import parse_spec
from fairtrial.stats.result import Unavailable


def spec(**changes) -> ExperimentSpec:
    fields = {
        "key": "ad-holdout",
        "name": "Does the advertisement sell?",
        "kind": "holdout",
        "arms": {"psa": 0.04, "ad": 0.96},
        "control": "psa",
        "metrics": [
            {"key": "latency", "kind": "mean", "role": "guardrail", "direction": "decrease", "margin": 0.05, "margin_kind": "relative"},
            {"key": "converted", "kind": "proportion", "role": "primary"},
            {"key": "ctr", "kind": "ratio", "numerator": "clicks", "denominator": "views", "missing": "zero"},
            {"key": "spend", "kind": "mean", "column": "total", "covariate": "before", "winsorize": 0.99},
        ],
        "plan": {"mde": 0.1, "baseline": 0.018, "min_days": 14},
        "data": {"source": "visits.parquet", "arm": "group", "unit": "user_id", "where": {"country": "DE"}},
    }
    return ExperimentSpec.model_validate({**fields, **changes})


def printed(render, *args, width: int = 80) -> str:
    file = io.StringIO()
    render(*args, Console(file=file, width=width, color_system=None))
    assert max(cell_len(line) for line in file.getvalue().splitlines()) <= width
    return " ".join(file.getvalue().split())


@pytest.mark.parametrize("width", [80, 120])
def test_a_spec_reads_from_arms_to_data(width: int):
    text = printed(render_spec, spec(), width=width)
    for words in (
        "Does the advertisement sell? Holdout experiment, version 1.0.0",
        "psa 4.0% control",
        "ad 96.0% treatment",
        "primary converted share of units; higher is better",
        "guardrail latency mean per unit; lower is better; tolerates a harm of 5% of the control",
        "numerator from column clicks; denominator from column views; missing counts as zero",
        "covariate from column before; capped at the 99th percentile",
        "smallest effect 10% of the control",
        "at least 14 days",
        "arm group, unit user_id",
        "country = DE",
    ):
        assert words in text, words
    assert text.index("converted") < text.index("latency") < text.index("ctr")


def test_what_a_spec_leaves_open_is_said():
    text = printed(render_spec, spec(plan={}, data={"source": "x.csv"}))
    assert "none declared, so the experiment cannot be sized" in text
    assert "unit not named, so repeats cannot be seen" in text


def test_a_plan_gives_units_per_arm_and_the_effect_in_points():
    """G-2, G-14."""
    made = plan_experiment(spec())
    text = printed(render_plan, made, spec())
    assert f"{made.total:,} units in all" in text
    assert f"psa {made.arms['psa']:,} 4.0%" in text
    assert "from, to 1.8% to 1.98%" in text
    assert "effect 0.18 pp, a lift of 10%" in text


def test_a_plan_that_cannot_be_made_says_why():
    made = plan_experiment(spec(plan={"mde": 0.1}))
    assert isinstance(made, Unavailable)
    text = printed(render_plan, made, spec(plan={"mde": 0.1}))
    assert "Not sized." in text
    assert made.reason in text


def test_names_are_not_read_as_markup():
    text = printed(render_spec, spec(name="[red]x[/]", arms={"psa": 0.5, "[b]ad": 0.5}))
    assert "[red]x[/]" in text
    assert "[b]ad" in text


def test_a_metric_says_which_test_and_which_quantile_and_the_data_its_strata():
    several = parse_spec({
        "key": "x", "arms": ["control", "treatment"],
        "metrics": [
            {"key": "p95", "kind": "quantile", "q": 0.95, "role": "primary"},
            {"key": "middle", "kind": "mean", "test": "trimmed", "trim": 0.1},
            {"key": "moved", "kind": "count", "test": "mann_whitney"},
            {"key": "ctr", "kind": "ratio", "numerator": "clicks", "denominator": "views", "test": "bootstrap"},
        ],
        "data": {"source": "units.parquet", "unit": "id"},
    })  # fmt: skip
    shown = printed(render_spec, several)
    for words in ("the 0.95 quantile", "test trimmed by 0.1 at each end", "test mann whitney", "test bootstrap"):
        assert words in shown
    strata = {"source": "units.parquet", "strata": ["country"], "adjust": "post_stratify"}
    plain = parse_spec({"key": "x", "arms": ["control", "treatment"], "metrics": [{"key": "m", "kind": "mean"}], "data": strata})
    assert "strata country" in printed(render_spec, plain)


def test_a_decision_table_of_ones_own_stands_with_the_rule():
    """XC-24: who reads the spec sees that its verdicts are not the usual ones."""
    text = printed(render_spec, spec(plan={"decision_table": {7: {"verdict": "NO_LAUNCH"}, 10: {"risk": "high", "next_steps": ["Ask."]}}}))
    assert "rule 7: verdict NO_LAUNCH; rule 10: risk high, next steps its own" in " ".join(text.split())
    assert "own table" not in printed(render_spec, spec())
