"""Effects by segment: the golden values, what is flagged, and that no verdict rests on them (REQUIREMENTS III.b, AD-09, XC-34)."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from readings import rate, reading, values
from scipy import stats

from fairtrial import parse_spec
from fairtrial.evaluation import evaluate
from fairtrial.stats.moments import CoMoments, Moments
from fairtrial.stats.reading import ArmStats, LevelStats, OutcomeStats, SegmentStats
from fairtrial.stats.result import Unavailable

N = 1_000_000
EFFECTS, ERRORS = (0.030, 0.020, -0.015), (0.008, 0.007, 0.006)
LEVELS = ("low", "medium", "high")


def spec(metrics=None, segments=None, **changes):
    metrics = metrics or [{"key": "y", "kind": "mean", "role": "primary"}]
    asked = segments or ["engagement"]
    raw = {"key": "s", "arms": ["control", "treatment"], "metrics": metrics, "segments": asked, "plan": {"sample_size": 100}}
    return parse_spec({**raw, **changes})


def of_size(effect: float, error: float, n: int = N) -> dict[str, Moments]:
    """Two arms of n units whose means differ by `effect`, with that standard error."""
    m2 = error**2 * n / 2 * (n - 1)
    return {"control": Moments(n=n, mean=1.0, m2=m2), "treatment": Moments(n=n, mean=1.0 + effect, m2=m2)}


def by_level(columns: dict[str, dict[str, dict[str, dict[str, Moments | CoMoments]]]]):
    """A reading from moments by column, level, arm and metric; the whole is the sum of the first column's levels."""
    stats_of = {
        column: {
            level: {
                arm: ArmStats(
                    n=max(m.n for m in metrics.values()),
                    outcomes={key: OutcomeStats(moments=CoMoments.of(m) if isinstance(m, Moments) else m) for key, m in metrics.items()},
                )
                for arm, metrics in arms.items()
            }
            for level, arms in levels.items()
        }
        for column, levels in columns.items()
    }
    first = next(iter(columns.values()))
    whole: dict[str, dict[str, Moments | CoMoments]] = {}
    for arms in first.values():
        for arm, metrics in arms.items():
            for key, moments in metrics.items():
                held = whole.setdefault(arm, {})
                held[key] = held[key] + moments if key in held else moments
    segments = tuple(
        SegmentStats(
            column=column,
            levels=tuple(
                LevelStats(name=level, kind="missing" if level == "(missing)" else "other" if level == "(other)" else "value", arms=arms)
                for level, arms in levels.items()
            ),
        )
        for column, levels in stats_of.items()
    )
    return dataclasses.replace(reading(whole), segments=segments)


def golden():
    arms = [of_size(effect, error) for effect, error in zip(EFFECTS, ERRORS, strict=True)]
    return by_level({"engagement": {name: {arm: {"y": m} for arm, m in of.items()} for name, of in zip(LEVELS, arms, strict=True)}})


def codes(card) -> list[str]:
    return [finding.code for finding in card.findings]


def test_the_golden_values_of_the_requirements_out_of_a_scorecard():
    card = evaluate(spec(), golden())
    (row,) = card.segments.comparisons
    assert (row.differ.q, row.differ.df) == (pytest.approx(25.1562, abs=2e-4), 2)
    assert row.differ.p_value == row.differ.p_adjusted == pytest.approx(3.447e-6, rel=1e-3)
    assert row.differ.pooled == pytest.approx(0.007213, abs=5e-7)
    assert [level.estimate.p_adjusted for level in row.levels] == pytest.approx([0.000530, 0.008549, 0.012419], abs=1e-6)
    ends = [(level.simultaneous.low, level.simultaneous.high) for level in row.levels]
    assert np.array(ends) == pytest.approx(np.array([(0.0108, 0.0492), (0.0032, 0.0368), (-0.0294, -0.0006)]), abs=5e-5)
    assert [level.harm for level in row.levels] == [None, None, "hidden_regression"]
    assert card.comparison("y").estimate.effect > 0
    assert codes(card).count("hidden_regression") == codes(card).count("segments_differ") == 1
    assert [level.share for level in card.segments.columns[0].levels] == pytest.approx([1 / 3] * 3)


def test_no_verdict_rests_on_segments():
    with_them = evaluate(spec(), golden())
    without = evaluate(spec(), dataclasses.replace(golden(), segments=()))
    assert without.segments is None
    assert with_them.decision == without.decision
    kept = [finding for finding in with_them.findings if finding in without.findings]
    assert dataclasses.replace(with_them, segments=None, findings=tuple(kept)).to_json() == without.to_json()
    assert all(finding.severity != "critical" for finding in with_them.findings)


def test_suspected_harm_is_told_from_proven_harm_and_only_under_a_better_whole():
    weak = of_size(-0.004, 0.006)
    arms = {"low": of_size(0.03, 0.008), "high": weak}
    card = evaluate(spec(), by_level({"engagement": {name: {arm: {"y": m} for arm, m in of.items()} for name, of in arms.items()}}))
    assert [level.harm for level in card.segments.comparisons[0].levels] == [None, "suspected"]
    assert "suspected_regression" in codes(card)
    assert "hidden_regression" not in codes(card)
    falling = [{"key": "y", "kind": "mean", "role": "primary", "direction": "decrease"}]
    turned = evaluate(spec(falling), golden())
    assert [level.harm for level in turned.segments.comparisons[0].levels] == [None] * 3, "the whole is worse: nothing is hidden"
    assert [level.reading for level in turned.segments.comparisons[0].levels] == ["worse", "worse", "better"]


def counts(small: tuple[int, int, int, int], large: tuple[int, int, int, int]):
    """Successes and units of treatment and control in two levels."""
    return by_level(
        {
            "size": {
                name: {"treatment": {"cured": rate(a, n)}, "control": {"cured": rate(b, m)}}
                for name, (a, n, b, m) in {"small": small, "large": large}.items()
            }
        }
    )


CURED = [{"key": "cured", "kind": "proportion", "role": "primary"}]


def test_simpsons_paradox_in_the_kidney_stones():
    """Open surgery against puncture: better for small and for large stones, worse over all (Charig et al. 1986, BMJ 292, 879-882)."""
    card = evaluate(
        spec(CURED, {"columns": ["size"], "min_units": 50}, allocation="unknown"), counts((81, 87, 234, 270), (192, 263, 55, 80))
    )
    (row,) = card.segments.comparisons
    assert card.comparison("cured").estimate.effect == pytest.approx(273 / 350 - 289 / 350)
    assert [level.estimate.effect for level in row.levels] == pytest.approx([81 / 87 - 234 / 270, 192 / 263 - 55 / 80])
    assert row.reversed
    assert card.segments.columns[0].shares_p_value < 1e-30
    found = {finding.code: finding for finding in card.findings}
    assert found["simpson_reversal"].severity == found["segment_shares_differ"].severity == "warning"
    assert not evaluate(spec(CURED, ["size"]), counts((300, 1000, 250, 1000), (500, 1000, 420, 1000))).segments.comparisons[0].reversed


def test_thin_levels_have_a_reason_and_take_no_part_in_the_test():
    card = evaluate(spec(CURED, {"columns": ["size"], "min_units": 100}), counts((30, 99, 20, 400), (300, 1000, 250, 1000)))
    (row,) = card.segments.comparisons
    thin, read = row.levels
    assert (thin.unavailable.code, thin.reading) == ("thin_segment", "unavailable")
    assert thin.unavailable.reason == "size small has 99 units in arm treatment, 100 are asked for."
    assert read.estimate.p_adjusted == read.estimate.p_value
    assert row.differ is None
    assert row.unavailable.code == "too_few_levels"
    assert read.shrunken is None
    assert "thin_segments" in codes(card)


def test_counts_too_small_for_a_normal_model_are_read_exactly_and_left_out_of_the_test():
    card = evaluate(spec(CURED, ["size"]), counts((1, 400, 6, 400), (300, 1000, 250, 1000)))
    (row,) = card.segments.comparisons
    assert row.levels[0].estimate.method == "fisher_exact"
    assert row.levels[0].shrunken is None
    assert row.differ is None


def test_one_metric_is_one_family_over_columns_levels_and_treatments():
    arms = {name: {arm: {"y": m} for arm, m in of_size(0.01, 0.006).items()} for name in ("a", "b")}
    one = evaluate(spec(segments=["c"]), by_level({"c": arms})).segments.comparisons[0]
    two = evaluate(spec(segments=["c", "d"]), by_level({"c": arms, "d": arms})).segments
    p = one.levels[0].estimate.p_value
    assert [level.estimate.p_adjusted for level in one.levels] == pytest.approx([2 * p] * 2)
    assert [level.estimate.p_adjusted for row in two.comparisons for level in row.levels] == pytest.approx([4 * p] * 4)
    width = [level.simultaneous.high - level.simultaneous.low for level in (one.levels[0], two.comparisons[0].levels[0])]
    assert width[1] / width[0] == pytest.approx(stats.norm.isf(0.05 / 8) / stats.norm.isf(0.05 / 4), rel=1e-5)
    assert two.comparisons[0].differ.p_adjusted == min(1.0, 2 * two.comparisons[0].differ.p_value)


def test_levels_are_read_two_sided_against_no_effect_whatever_the_plan():
    plan = {"sample_size": 100, "alternative": "one-sided", "objective": "non_inferiority"}
    metrics = [{"key": "y", "kind": "mean", "role": "primary", "margin": 0.001}]
    card = evaluate(spec(metrics, plan=plan), golden())
    plain = evaluate(spec(), golden())
    assert card.segments.comparisons == plain.segments.comparisons
    assert card.comparison("y").estimate.alternative == "greater"
    assert {level.estimate.alternative for level in card.segments.comparisons[0].levels} == {"two-sided"}


def test_tests_of_units_are_unavailable_by_segment():
    metrics = [{"key": "y", "kind": "mean", "role": "primary"}, {"key": "z", "kind": "mean", "role": "secondary", "test": "permutation"}]
    rng = np.random.default_rng(1)
    draw = {arm: rng.normal(size=200) for arm in ("control", "treatment")}
    table = {level: {arm: {"y": values(draw[arm]), "z": values(draw[arm])} for arm in draw} for level in ("a", "b")}
    read = by_level({"c": table})
    rows = {arm: np.sort(draw[arm])[:, None] for arm in draw}
    whole = {
        arm: ArmStats(n=stat.n, outcomes={**stat.outcomes, "z": dataclasses.replace(stat.outcomes["z"], rows=np.vstack([rows[arm]] * 2))})
        for arm, stat in read.arms.items()
    }
    card = evaluate(spec(metrics, ["c"]), dataclasses.replace(read, arms=whole))
    row = card.segments.comparisons[1]
    assert {level.unavailable.code for level in row.levels} == {"not_by_segment"} == {row.unavailable.code}
    assert card.comparison("z").estimate is not None


@pytest.mark.parametrize("method", ["group_sequential", "always_valid", "hybrid"])
def test_plans_of_several_looks_read_levels_by_their_own_control(method):
    plan = {"method": method, "sample_size": 12 * N, "mde": 0.01, "mde_kind": "absolute"}
    card = evaluate(spec(plan=plan), golden())
    fixed = evaluate(spec(), golden())
    for level, plain in zip(card.segments.comparisons[0].levels, fixed.segments.comparisons[0].levels, strict=True):
        assert level.estimate.error_control == ("always_valid" if method == "always_valid" else "group_sequential")
        assert level.estimate.p_value > plain.estimate.p_value, "an early look needs more"
        assert level.simultaneous.high - level.simultaneous.low > plain.simultaneous.high - plain.simultaneous.low
    assert card.segments.comparisons[0].differ == fixed.segments.comparisons[0].differ
    assert "descriptive" in card.segments.basis
    assert "descriptive" not in fixed.segments.basis


def test_one_sided_planned_looks_are_turned_two_sided_for_levels():
    plan = {"method": "group_sequential", "sample_size": 12 * N, "mde": 0.01, "mde_kind": "absolute"}
    two = evaluate(spec(plan=plan), golden()).segments.comparisons
    assert evaluate(spec(plan={**plan, "alternative": "one-sided"}), golden()).segments.comparisons == two


def test_a_bayesian_plan_reads_harm_from_the_shrunken_effects():
    card = evaluate(spec(plan={"method": "bayesian", "sample_size": 100}), golden())
    (row,) = card.segments.comparisons
    for level in row.levels:
        assert level.estimate.p_value is None
        assert level.estimate.error_control == "bayesian"
        assert level.simultaneous is None
    hurt = row.levels[2]
    assert (hurt.reading == "worse") == (hurt.shrunken_interval.high < 0)
    assert hurt.harm == ("hidden_regression" if hurt.shrunken_interval.high < 0 else "suspected")
    assert "shrunken" in card.segments.basis
    sure = {name: {arm: {"y": m} for arm, m in of_size(effect, 0.001).items()} for name, effect in zip(LEVELS, EFFECTS, strict=True)}
    certain = evaluate(spec(plan={"method": "bayesian", "sample_size": 100}), by_level({"engagement": sure}))
    assert [level.harm for level in certain.segments.comparisons[0].levels] == [None, None, "hidden_regression"]


def test_levels_keep_the_order_of_the_reading_and_are_never_ranked():
    card = evaluate(spec(), golden())
    assert [level.name for level in card.segments.columns[0].levels] == list(LEVELS)
    assert [level.level for level in card.segments.comparisons[0].levels] == list(LEVELS)
    assert not any("best" in finding.message for finding in card.findings)


def test_a_level_whose_arm_has_no_outcome_says_so():
    read = golden()
    level = read.segments[0].levels[0]
    gone = {"y": Unavailable(code="all_missing", reason="Every unit of arm 'control' misses its outcome of metric 'y'.")}
    arms = {**level.arms, "control": ArmStats(n=500, outcomes=gone)}
    column = dataclasses.replace(read.segments[0], levels=(dataclasses.replace(level, arms=arms), *read.segments[0].levels[1:]))
    row = evaluate(spec(), dataclasses.replace(read, segments=(column,))).segments.comparisons[0]
    assert row.levels[0].unavailable.code == "all_missing"
    assert row.differ.df == 1


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=2, max_size=5),
    st.sampled_from(["fixed", "group_sequential", "always_valid"]),
    st.sampled_from(["holm", "hochberg", "bonferroni"]),
    st.sampled_from([0.01, 0.05, 0.2]),
)
def test_a_levels_p_value_and_interval_agree_after_correction(cells, method, correction, alpha):
    table = {
        f"l{i}": {"control": {"cured": rate(a + 20, 200)}, "treatment": {"cured": rate(b + 20, 200)}} for i, (a, b) in enumerate(cells)
    }
    plan = {"method": method, "sample_size": 3000, "mde": 0.1, "mde_kind": "absolute", "baseline": 0.2, "alpha": alpha}
    card = evaluate(spec(CURED, {"columns": ["c"], "correction": correction}, plan=plan), by_level({"c": table}))
    for level in card.segments.comparisons[0].levels:
        found = level.estimate
        if found is None:
            continue
        assert (found.p_adjusted < alpha) == found.interval.excludes(0.0)
        assert (level.reading in {"better", "worse"}) == (found.p_adjusted < alpha)
        assert level.simultaneous.low <= found.interval.low + 1e-12 or correction == "bonferroni"
        assert found.p_adjusted >= found.p_value


def test_numbers_are_finite_and_the_scorecard_is_strict_json():
    card = evaluate(spec(), golden())
    text = card.to_json()
    assert "NaN" not in text
    assert "Infinity" not in text
    for row in card.segments.comparisons:
        assert all(math.isfinite(v) for v in (row.differ.q, row.differ.tau, row.differ.i_squared))


@pytest.mark.slow
def test_family_wise_error_over_levels_and_size_of_the_test_of_differences():
    """350 experiments without any effect, six levels in two columns, skewed values; exact binomial bounds at 1 in 10,000."""
    rng = np.random.default_rng(7)
    runs, wrong, differ, hidden = 350, 0, 0, 0
    asked = spec(segments={"columns": ["c", "d"], "min_units": 100})
    for _ in range(runs):
        units = {arm: rng.gamma(1.0, 2.0, 2_400) for arm in ("control", "treatment")}
        table = {
            column: {
                f"{column}{i}": {arm: {"y": values(x[rows])} for arm, x in units.items()} for i, rows in enumerate(np.array_split(order, k))
            }
            for column, k, order in (("c", 4, np.arange(2_400)), ("d", 2, rng.permutation(2_400)))
        }
        card = evaluate(asked, by_level(table))
        rows = card.segments.comparisons
        wrong += any(level.reading in {"better", "worse"} for row in rows for level in row.levels)
        hidden += any(level.harm == "hidden_regression" for row in rows for level in row.levels)
        differ += any(row.differ.p_adjusted < 0.05 for row in rows)
    most = stats.binom.ppf(1 - 1e-4, runs, 0.05)
    assert wrong <= most, wrong / runs
    assert hidden <= wrong
    assert stats.binom.ppf(1e-4, runs, 0.035) <= differ <= most, differ / runs
