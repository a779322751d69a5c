"""Made-up data: the real assignment, planted effects, declared columns, equal seeds (XC-48)."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairtrial import analyze_spec
from fairtrial.assignment import Allocation
from fairtrial.errors import UsageError
from fairtrial.evaluation.status import planned_units
from fairtrial.simulation.generate import Recipe, generate_data
from fairtrial.simulation.generate.clock import DAY, draw_times, weekdays
from fairtrial.simulation.generate.laws import draw_amounts, draw_beside, draw_counts, draw_successes
from fairtrial.spec.loader import parse_spec

N = 40_000
FIVE_SIGMA = 5.0
few = settings(max_examples=25, deadline=None)


def spec_of(**changes):
    raw = {
        "key": "cart",
        "arms": {"control": 0.5, "small": 0.3, "large": 0.2},
        "metrics": [{"key": "bought", "kind": "proportion", "role": "primary"}],
        "plan": {"baseline": 0.2, "mde": 0.1},
    }
    return parse_spec({**raw, **changes})


def columns_of(spec, **recipe):
    made = generate_data(spec, Recipe(**{"seed": 3, "units": 2_000, **recipe}))
    return made.tables["units"], made


def close(values, mean, sd=None):
    values = np.asarray(values, dtype=float)
    return abs(values.mean() - mean) <= FIVE_SIGMA * (sd or values.std()) / np.sqrt(values.size)


def test_arms_are_those_of_the_allocation():
    """XC-48: hash assignment first; whoever assigns the same units finds the same arms."""
    spec = spec_of()
    columns, _ = columns_of(spec)
    allocation = Allocation.from_shares("cart", {"control": 0.5, "small": 0.3, "large": 0.2})
    assert columns["arm"] == allocation.assign(columns["unit"])
    assert len(set(columns["unit"])) == 2_000


@few
@given(rate=st.floats(0.02, 0.6), factor=st.floats(0.1, 1.6), seed=st.integers(0, 99))
def test_successes_have_the_rate_and_the_planted_effect(rate, factor, seed):
    drawn = draw_successes(np.ones(N, dtype=np.int64), rate, np.full(N, factor), np.random.default_rng(seed))
    assert close(drawn.untreated, rate)
    assert close(drawn.observed, rate * factor)
    assert set(np.unique(drawn.observed)) <= {0, 1}


@few
@given(mean=st.floats(0.1, 20.0), spread=st.floats(0.4, 3.0), factor=st.floats(0.1, 3.0), seed=st.integers(0, 99))
def test_counts_have_the_mean_the_spread_and_the_planted_effect(mean, spread, factor, seed):
    """Narrower than Poisson's, Poisson's and wider, wherever whole numbers can be so."""
    rest = mean - np.floor(mean)
    sd = max(spread * np.sqrt(mean), np.sqrt(rest * (1 - rest)))
    drawn = draw_counts(mean, sd, np.full(N, factor), np.random.default_rng(seed))
    assert close(drawn.untreated, mean)
    assert drawn.untreated.std() == pytest.approx(sd, rel=0.35, abs=0.02)
    assert close(drawn.observed, mean * factor)
    assert drawn.observed.min() >= 0


def test_counts_may_be_narrower_than_poissons():
    """The planned orders of free_shipping_threshold_test_v1_1_1."""
    drawn = draw_counts(1.00692, 0.33, np.ones(200_000), np.random.default_rng(1))
    assert drawn.untreated.std() == pytest.approx(0.33, rel=0.01)


def test_an_absolute_mde_is_planted_as_a_part_of_the_baseline():
    _, made = columns_of(spec_of(plan={"baseline": 0.2, "mde": 0.01, "mde_kind": "absolute"}))
    assert made.effect == pytest.approx(0.05)


def test_whole_numbers_that_cannot_spread_so_little_are_refused():
    with pytest.raises(UsageError, match=r"mean 1.5 have a standard deviation of 0.5 or more, got 0.1"):
        draw_counts(1.5, 0.1, np.ones(9), np.random.default_rng(1))


@few
@given(mean=st.floats(0.1, 1e6), cv=st.floats(0.2, 3.0), factor=st.floats(0.1, 3.0), seed=st.integers(0, 99))
def test_amounts_have_the_mean_the_spread_and_the_planted_effect(mean, cv, factor, seed):
    drawn = draw_amounts(mean, cv * mean, np.full(N, factor), np.random.default_rng(seed))
    assert close(drawn.untreated, mean, cv * mean)
    assert drawn.untreated.std() == pytest.approx(cv * mean, rel=0.35)
    assert np.allclose(drawn.observed, drawn.untreated * factor)


@pytest.mark.parametrize("correlation", [-0.8, 0.0, 0.6])
def test_what_stands_beside_an_outcome_has_the_correlation(correlation):
    rng = np.random.default_rng(4)
    outcome = rng.gamma(0.5, 2.0, 200_000)
    assert np.corrcoef(outcome, draw_beside(outcome, correlation, rng))[0, 1] == pytest.approx(correlation, abs=0.01)
    assert np.isfinite(draw_beside(np.ones(50), 0.5, rng)).all(), "an outcome that does not vary"


def test_the_week_has_its_season():
    times = draw_times(np.zeros(140_000, dtype=np.int64), np.full(140_000, 7 * DAY), np.random.default_rng(2))
    counts = np.bincount(weekdays(times), minlength=7) / 140_000
    assert counts[5] / counts[:4].mean() == pytest.approx(1.4, rel=0.05)
    assert times.min() >= 0
    assert times.max() < 7 * DAY
    monday = np.datetime64("2026-01-05", "us").astype(np.int64)
    assert weekdays(np.array([monday, monday + DAY - 1, monday + 6 * DAY])).tolist() == [0, 0, 6]


def test_covariates_strata_segments_and_filters_stand_under_their_declared_names():
    spec = spec_of(
        metrics=[{"key": "spend", "kind": "mean", "role": "primary", "covariate": "spend_before"}],
        plan={"baseline": 10.0, "baseline_sd": 8.0, "mde": 0.1},
        data={
            "source": "x.parquet",
            "unit": "id",
            "arm": "variant",
            "strata": ["country"],
            "adjust": "post_stratify",
            "where": {"test": 7},
        },
        segments=["platform"],
    )
    columns, made = columns_of(spec, units=N, correlation=0.7, effect=1.0)
    assert list(columns) == ["id", "variant", "spend", "spend_before", "country", "platform", "test", "synthetic", "first_seen"]
    control = np.array(columns["variant"]) == "control"
    assert np.corrcoef(columns["spend"][control], columns["spend_before"][control])[0, 1] == pytest.approx(0.7, abs=0.02)
    assert close(columns["spend_before"][control], 100.0)
    assert close(columns["spend_before"][~control], 100.0), "what was known before does not feel the treatment"
    assert set(columns["country"]) == {"a", "b", "c"}
    by_level = [columns["spend"][np.array(columns["country"]) == level].mean() for level in "abc"]
    assert by_level == sorted(by_level), "strata differ in the outcome"
    assert any("same in every stratum" in sentence for sentence in made.assumed)


def test_a_ratio_has_its_rate_and_its_numerator_is_part_of_its_denominator():
    spec = spec_of(
        metrics=[{"key": "rate", "kind": "ratio", "numerator": "clicks", "denominator": "views"}], plan={"baseline": 0.3, "mde": 0.2}
    )
    columns, _ = columns_of(spec, units=N)
    control = np.array(columns["arm"]) == "control"
    ratios = [columns["clicks"][which].sum() / columns["views"][which].sum() for which in (control, ~control)]
    assert ratios == pytest.approx([0.3, 0.36], rel=0.02)
    assert (columns["clicks"] <= columns["views"]).all()


def test_a_quantile_has_its_baseline():
    spec = spec_of(metrics=[{"key": "ms", "kind": "quantile", "q": 0.9, "direction": "decrease"}], plan={"baseline": 300.0, "mde": 0.1})
    columns, made = columns_of(spec, units=N)
    control = np.array(columns["arm"]) == "control"
    assert np.quantile(columns["ms"][control], 0.9) == pytest.approx(300.0, rel=0.04)
    assert np.quantile(columns["ms"][~control], 0.9) == pytest.approx(270.0, rel=0.04)
    assert made.effect == -0.1, "the good direction of a metric that should fall"


def test_equal_seeds_give_equal_data_and_others_do_not():
    spec = spec_of()
    (first, _), (again, _), (other, _) = columns_of(spec), columns_of(spec), columns_of(spec, seed=4)
    assert np.array_equal(first["bought"], again["bought"])
    assert np.array_equal(first["first_seen"], again["first_seen"])
    assert not np.array_equal(first["bought"], other["bought"])


def test_a_further_metric_leaves_the_others_as_they_are():
    more = spec_of(metrics=[{"key": "bought", "kind": "proportion", "role": "primary"}, {"key": "spend", "kind": "mean"}])
    assert np.array_equal(columns_of(spec_of())[0]["bought"], columns_of(more)[0]["bought"])


def test_the_default_size_fills_every_planned_arm():
    spec = spec_of()
    made = generate_data(spec, Recipe(seed=1))
    planned, _, _ = planned_units(spec)
    arms = made.tables["units"]["arm"]
    assert all(arms.count(arm) >= size for arm, size in planned.items())


def test_what_the_plan_does_not_say_is_listed():
    spec = spec_of(plan={}, metrics=[{"key": "bought", "kind": "proportion"}])
    _, made = columns_of(spec, units=None)
    said = "\n".join(made.assumed)
    assert made.effect == 0.0
    for part in ("names no MDE", "control's bought is 0.1", "20,000 units", "no schedule", "Saturdays 1.4"):
        assert part in said


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"allocation": "adaptive", "arms": ["control", "b"]}, "allocation 'adaptive'"),
        ({"plan": {"baseline": 5.0}}, "must be a rate in"),
        ({"plan": {"baseline": 0.9, "mde": 0.2}}, "takes a rate of 0.9 to 1.08"),
        ({"metrics": [{"key": "x", "kind": "mean"}], "plan": {"baseline": -2.0, "mde": 0.1}}, "baselines above 0"),
        ({"metrics": [{"key": "x", "kind": "mean", "column": "arm"}]}, "'arm' would have two"),
        (
            {"metrics": [{"key": "x", "kind": "mean", "role": "primary"}, {"key": "y", "kind": "proportion", "column": "x"}]},
            "as a mean and as a proportion",
        ),
        (
            {"data": {"shape": "aggregates", "source": "x.csv", "columns": {"other": {"successes": "s"}}}},
            "columns of every metric",
        ),
        (
            {
                "kind": "factorial",
                "arms": None,
                "factors": {"colour": ["red", "green"], "price": ["low", "high"]},
                "data": {"shape": "logs", "source": "x.duckdb", "assignments": {"table": "a"}, "facts": {"f": {"table": "f"}}},
                "metrics": [{"key": "bought", "kind": "proportion", "column": {"fact": "f"}, "role": "primary"}],
            },
            "No logs are generated of factorial",
        ),
    ],
)
def test_what_cannot_be_generated_is_refused(changes, says):
    raw = {key: value for key, value in changes.items() if value is not None}
    base = {
        "key": "cart",
        "arms": ["control", "b"],
        "metrics": [{"key": "bought", "kind": "proportion", "role": "primary"}],
        "plan": {"baseline": 0.2, "mde": 0.1},
    }
    if "factors" in raw:
        del base["arms"]
    with pytest.raises(UsageError, match=says):
        generate_data(parse_spec({**base, **raw}), Recipe(seed=1, units=100))


@pytest.mark.parametrize(
    "wrong",
    [
        {"seed": -1},
        {"units": 5},
        {"effect": -1.0},
        {"effect": float("nan")},
        {"correlation": 1.0},
        {"late": -0.1},
        {"duplicates": 1.5},
        {"contaminated": 1.1},
    ],
)
def test_a_recipe_keeps_to_its_ranges(wrong):
    with pytest.raises(UsageError, match="must"):
        Recipe(**{"seed": 1, **wrong})


def analysed(tmp_path, raw, **recipe):
    """The scorecard of made-up data that went through a file, and what was made."""
    path = tmp_path / "made.parquet"
    spec = parse_spec({**raw, "data": {**raw["data"], "source": str(path)}})
    made = generate_data(spec, Recipe(**{"seed": 5, **recipe}))
    (columns,) = made.tables.values()
    pq.write_table(pa.table(columns), path)
    return analyze_spec(spec), made


def test_a_factorial_has_the_effect_of_each_factor_and_no_interaction(tmp_path):
    """XC-48: cells by the hash, a column a factor, additive effects that the analysis finds."""
    raw = {
        "key": "page",
        "kind": "factorial",
        "factors": {"colour": ["red", "green"], "price": ["low", "high"]},
        "metrics": [{"key": "spend", "kind": "mean", "role": "primary"}],
        "plan": {"sample_size": N, "baseline": 10.0, "baseline_sd": 6.0, "mde": 0.05},
        "data": {"unit": "unit", "factors": {"colour": "c", "price": "p"}},
    }
    card, made = analysed(tmp_path, raw, units=N)
    columns = made.tables["units"]
    assert "arm" not in columns
    assert {(a, b) for a, b in zip(columns["c"], columns["p"], strict=True)} == {(a, b) for a in ("red", "green") for b in ("low", "high")}
    found = {tuple(effect.factors): effect for effect in card.factorial.effects if not effect.at}
    assert len(found) == 3
    for name, estimate in found.items():
        planted = 0.5 if len(name) == 1 else 0.0
        assert abs(estimate.effect - planted) < FIVE_SIGMA * estimate.std_error, name
    assert any("do not change each other" in sentence for sentence in made.assumed)


@pytest.mark.parametrize(
    ("metric", "plan"),
    [
        ({"kind": "mean", "test": "paired_t"}, {"baseline": 10.0, "baseline_sd": 6.0, "mde": 0.05}),
        ({"kind": "proportion", "test": "mcnemar"}, {"baseline": 0.3, "mde": 0.1}),
    ],
)
def test_pairs_are_alike_as_asked_and_the_paired_test_finds_the_effect(tmp_path, metric, plan):
    raw = {
        "key": "stores",
        "arms": ["control", "new"],
        "metrics": [{"key": "y", **metric, "role": "primary"}],
        "plan": {"sample_size": 20_000, **plan},
        "data": {"pair": "store"},
    }
    card, made = analysed(tmp_path, raw, units=20_001, correlation=0.6)
    columns = made.tables["units"]
    half = 10_001
    assert (len(columns["store"]), columns["arm"][:half]) == (2 * half, ["control"] * half)
    assert columns["store"][:half] == columns["store"][half:]
    assert "unit" not in columns
    null = generate_data(
        parse_spec({**raw, "data": {**raw["data"], "source": "x.csv"}}), Recipe(seed=5, units=20_000, effect=0.0, correlation=0.6)
    )
    y = np.asarray(null.tables["units"]["y"], dtype=float)
    alike = np.corrcoef(y[:10_000], y[10_000:])[0, 1]
    assert abs(alike - 0.6) < 0.05
    (row,) = card.comparisons
    planted = plan["baseline"] * plan["mde"]
    assert abs(row.estimate.effect - planted) < FIVE_SIGMA * row.estimate.std_error
    assert card.intake.unpaired in ({}, {"control": 0, "new": 0})
    with pytest.raises(UsageError, match="0 or more"):
        generate_data(parse_spec({**raw, "data": {**raw["data"], "source": "x.csv"}}), Recipe(seed=5, correlation=-0.1))


@pytest.mark.parametrize("long", [False, True])
def test_aggregates_are_those_of_the_units(tmp_path, long):
    """Both layouts: a row an arm, and a row an arm and metric; the analysis of them is that of the units."""
    metrics = [
        {"key": "bought", "kind": "proportion", "role": "primary"},
        {"key": "spend", "kind": "mean"},
        {"key": "visits", "kind": "count"},
    ]
    columns = (
        {"bought": {"successes": "total"}, "spend": {"mean": "average", "variance": "var"}, "visits": {"sum": "total", "sum_squares": "sq"}}
        if long
        else {"bought": {"successes": "b"}, "spend": {"mean": "m", "variance": "v"}, "visits": {"sum": "s", "sum_squares": "sq", "n": "n2"}}
    )
    base = {
        "key": "k",
        "arms": {"control": 0.5, "b": 0.3, "c": 0.2},
        "metrics": metrics,
        "plan": {"baseline": 0.2, "mde": 0.2, "sample_size": 5_000},
    }
    whole, _ = analysed(tmp_path, {**base, "data": {"unit": "unit"}}, units=5_000)
    data = {"shape": "aggregates", "columns": columns, **({"metric": "which"} if long else {}), "where": {"run": "A"}}
    card, made = analysed(tmp_path, {**base, "data": data}, units=5_000)
    assert (made.shape, made.units) == ("aggregates", 5_000)
    assert len(made.tables["units"]["arm"]) == (9 if long else 3)
    assert card.intake.units == whole.intake.units
    for mine, theirs in zip(card.comparisons, whole.comparisons, strict=True):
        assert mine.estimate.effect == pytest.approx(theirs.estimate.effect, rel=1e-9)
        assert mine.estimate.std_error == pytest.approx(theirs.estimate.std_error, rel=1e-9)
