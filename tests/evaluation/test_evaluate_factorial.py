"""XC-41: effects of factors in the scorecard - references, corrections that agree with intervals, honesty about interactions."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from readings import reading
from scipy import stats

from fairtrial import parse_spec
from fairtrial.evaluation import evaluate
from fairtrial.evaluation.factorial import factor_effects
from fairtrial.metrics import build_metrics
from fairtrial.stats.moments import CoMoments, Moments
from fairtrial.stats.multiplicity import adjust
from fairtrial.stats.result import Unavailable

CELLS = ("grey+full", "grey+discount", "green+full", "green+discount")


def spec_of(*, metrics=None, factors=None, interactions=2, **plan):
    listed = metrics or [{"key": "ordered", "kind": "proportion", "role": "primary"}]
    factors = factors or {"button": ["grey", "green"], "price": ["full", "discount"]}
    return parse_spec(
        {
            "key": "shop",
            "kind": "factorial",
            "factors": factors,
            "interactions": interactions,
            "metrics": listed,
            "plan": {"sample_size": 100, **plan},
        }
    )


def rates(counts, metric="ordered"):
    return reading({cell: {metric: Moments.from_successes(x, n)} for cell, (x, n) in zip(CELLS, counts, strict=True)})


def by_name(card):
    found = {":".join(effect.factors): effect for effect in card.factorial.effects}
    return found | {f"{e.factors[0]} at {'+'.join(e.at.values())}": e for e in card.factorial.simple_effects}


COUNTS = ((976, 10_000), (1098, 10_000), (1095, 10_000), (1475, 10_000))


def test_effects_are_the_contrasts_of_the_cells_averaged_over_the_other_factor():
    """By hand from the four rates; standard errors by the sum of p(1-p)/(n-1), to 1e-12."""
    found = by_name(evaluate(spec_of(), rates(COUNTS)))
    grey_full, grey_less, green_full, green_less = (x / n for x, n in COUNTS)
    variance = [(x / n) * (1 - x / n) / (n - 1) for x, n in COUNTS]
    assert found["button"].effect == pytest.approx((green_full + green_less - grey_full - grey_less) / 2, rel=1e-12)
    assert found["price"].effect == pytest.approx((grey_less + green_less - grey_full - green_full) / 2, rel=1e-12)
    assert found["button:price"].effect == pytest.approx(green_less - green_full - grey_less + grey_full, rel=1e-12)
    assert found["button"].std_error == pytest.approx(math.sqrt(sum(variance)) / 2, rel=1e-12)
    assert found["button:price"].std_error == pytest.approx(math.sqrt(sum(variance)), rel=1e-12)
    assert found["price at green"].effect == pytest.approx(green_less - green_full, rel=1e-12)
    assert found["price at green"].std_error == pytest.approx(math.sqrt(variance[2] + variance[3]), rel=1e-12)
    assert (found["button"].n, found["price at green"].n) == (40_000, 20_000)


def test_the_family_of_the_primary_metric_is_corrected_as_one():
    """Holm's adjusted p-values of the three effects' own, and intervals at their local levels (SciPy's t quantile, 1e-9)."""
    card = evaluate(spec_of(), rates(COUNTS))
    own = list(card.factorial.effects)
    expected = adjust([effect.p_value for effect in own], "holm")
    assert [effect.p_adjusted for effect in own] == pytest.approx(expected.p_adjusted.tolist(), rel=1e-12)
    for effect, level in zip(own, expected.local_alpha.tolist(), strict=True):
        half = stats.t.isf(level / 2, effect.df) * effect.std_error
        assert (effect.interval.low, effect.interval.high) == pytest.approx((effect.effect - half, effect.effect + half), rel=1e-9)
        assert (effect.alpha, effect.correction) == (pytest.approx(level), "holm")


def test_an_interaction_is_said_to_mislead_and_shows_every_level():
    card = evaluate(spec_of(), rates(COUNTS))
    assert by_name(card)["button:price"].reading == "interacts"
    (finding,) = (f for f in card.findings if f.code == "factors_interact")
    assert (finding.severity, finding.metric) == ("warning", "ordered")
    assert "alone they mislead" in finding.message
    assert len(card.factorial.simple_effects) == 4
    none = evaluate(spec_of(), rates(((976, 10_000), (1098, 10_000), (1095, 10_000), (1217, 10_000))))
    assert none.factorial.simple_effects == ()
    assert not [f for f in none.findings if f.code == "factors_interact"]


def test_the_verdict_is_of_cells_by_the_usual_table():
    """Decision 0009: cells against the control, corrected over the cells; effects of factors add nothing to it."""
    card = evaluate(spec_of(practical_threshold=0.02), rates(COUNTS))
    assert list(card.decisions) == list(CELLS[1:])
    assert (card.treatment, card.decision.verdict) == ("green+discount", "STRONG_LAUNCH")
    plain = parse_spec(
        {
            "key": "shop",
            "arms": list(CELLS),
            "control": CELLS[0],
            "metrics": [{"key": "ordered", "kind": "proportion"}],
            "plan": {"sample_size": 100, "practical_threshold": 0.02},
        }
    )
    assert evaluate(plain, rates(COUNTS)).decisions == card.decisions


def test_a_mismatch_over_the_cells_is_invalid():
    card = evaluate(spec_of(), rates(((976, 10_000), (1098, 10_000), (1095, 10_000), (1475, 9_000))))
    assert (card.srm.status, card.srm.df, card.decision.state) == ("mismatch", 3, "invalid")


def test_secondary_main_effects_are_one_family_and_guardrails_none():
    metrics = [
        {"key": "ordered", "kind": "proportion", "role": "primary"},
        {"key": "spend", "kind": "mean"},
        {"key": "visits", "kind": "count"},
        {"key": "errors", "kind": "mean", "role": "guardrail", "direction": "decrease"},
    ]
    shifts = {"spend": 0.2, "visits": 0.05, "errors": 0.1}
    arms = {
        cell: {"ordered": Moments.from_successes(*COUNTS[place])}
        | {key: Moments(n=10_000, mean=10 + shift * (place >= 2), m2=9_999 * 4.0) for key, shift in shifts.items()}
        for place, cell in enumerate(CELLS)
    }
    card = evaluate(spec_of(metrics=metrics), reading(arms))
    found = {(e.metric, e.factors): e for e in card.factorial.effects}
    assert [key for key in found if len(key[1]) > 1] == [("ordered", ("button", "price"))]
    secondary = [e for e in card.factorial.effects if e.role == "secondary"]
    assert [e.p_adjusted for e in secondary] == pytest.approx(
        adjust([e.p_value for e in secondary], "benjamini-hochberg").p_adjusted.tolist(), rel=1e-12
    )
    guard = found["errors", ("button",)]
    assert (guard.p_adjusted, guard.correction, guard.alpha, guard.reading) == (None, None, 0.05, "worse")
    assert found["spend", ("button",)].reading == "better"
    assert found["spend", ("price",)].reading == "inconclusive"


def test_covariates_narrow_the_effects():
    """CUPED: against least squares on the cells' columns and the covariate (effects to 1e-9)."""
    rng = np.random.default_rng(5)
    arms, rows, y_all, x_all = {}, [], [], []
    for place, cell in enumerate(CELLS):
        n = 200 + 10 * place
        x = rng.normal(5.0, 2.0, n)
        y = 3.0 * x + 0.3 * (place >= 2) + rng.normal(size=n)
        arms[cell] = {"spend": CoMoments.from_values(np.column_stack([y, x]))}
        a, b = (place >= 2) - 0.5, (place % 2) - 0.5
        rows += [[1.0, a, b, a * b]] * n
        y_all.append(y)
        x_all.append(x)
    spec = spec_of(metrics=[{"key": "spend", "kind": "mean", "covariate": "before"}])
    found = by_name(evaluate(spec, reading(arms)))
    fit = np.linalg.lstsq(np.column_stack([np.array(rows), np.concatenate(x_all)]), np.concatenate(y_all), rcond=None)[0]
    assert [found[name].effect for name in ("button", "price", "button:price")] == pytest.approx(fit[1:4].tolist(), rel=1e-9)
    assert found["button"].variance_reduction > 0.9
    assert found["button"].method == "cuped_factorial_contrast"


def test_student_pools_the_spread_and_ratios_are_linearised():
    metrics = [
        {"key": "spend", "kind": "mean", "test": "student", "role": "primary"},
        {"key": "r", "kind": "ratio", "numerator": "a", "denominator": "b"},
    ]
    rng = np.random.default_rng(6)
    pairs = {cell: np.column_stack([rng.poisson(3.0, 500), 1.0 + rng.poisson(1.0, 500)]) for cell in CELLS}
    arms = {
        cell: {"spend": Moments(n=500, mean=10.0, m2=499 * (1.0 + place)), "r": CoMoments.from_values(pairs[cell])}
        for place, cell in enumerate(CELLS)
    }
    found = {(e.metric, e.factors): e for e in evaluate(spec_of(metrics=metrics), reading(arms)).factorial.effects}
    assert found["spend", ("button",)].df == 4 * 499
    assert found["spend", ("button",)].std_error == pytest.approx(math.sqrt(2.5 / 500), rel=1e-12)
    value = {cell: own[:, 0].sum() / own[:, 1].sum() for cell, own in pairs.items()}
    assert found["r", ("price",)].effect == pytest.approx((value[CELLS[1]] + value[CELLS[3]] - value[CELLS[0]] - value[CELLS[2]]) / 2)


def test_what_cannot_be_computed_is_unavailable_and_never_no_effect():
    """G-5."""
    metrics = [
        {"key": "ordered", "kind": "proportion", "role": "primary"},
        {"key": "still", "kind": "mean"},
        {"key": "gone", "kind": "mean"},
        {"key": "absent", "kind": "mean"},
        {"key": "thin", "kind": "ratio", "numerator": "a", "denominator": "b"},
    ]
    nothing = CoMoments.from_values(np.zeros((5, 2)))
    arms = {
        cell: {
            "ordered": Moments.from_successes(0, 50),
            "still": Moments(n=50, mean=1.0, m2=0.0),
            "gone": Unavailable(code="needs_unit_rows", reason="Not read."),
            "thin": nothing,
        }
        for cell in CELLS
    }
    card = evaluate(spec_of(metrics=metrics), reading(arms))
    assert card.factorial.effects == ()
    assert {key: gone.code for key, gone in card.factorial.unavailable.items()} == {
        "ordered": "no_variance",
        "still": "no_variance",
        "gone": "needs_unit_rows",
        "absent": "empty_arm",
        "thin": "zero_denominator",
    }
    assert json.loads(card.to_json())["factorial"]["unavailable"]["still"]["code"] == "no_variance"


def test_cells_with_few_outcomes_are_told():
    card = evaluate(spec_of(), rates(((3, 400), (12, 400), (11, 400), (397, 400))))
    (finding,) = (f for f in card.findings if f.code == "sparse_cells")
    assert "grey+full, green+discount" in finding.message
    assert finding.numbers == {"cells": 2}


def test_three_factors_take_interactions_up_to_the_order_said():
    factors = {"a": ["0", "1"], "b": ["0", "1"], "c": ["0", "1"]}
    keys = [f"{i:03b}" for i in range(8)]
    arms = {"+".join(key): {"y": Moments(n=900, mean=10 + 4.0 * (key[0] == "1" and key[1] == "1"), m2=900.0)} for key in keys}
    metrics = [{"key": "y", "kind": "mean"}]
    names = {
        order: [
            ":".join(e.factors)
            for e in evaluate(spec_of(metrics=metrics, factors=factors, interactions=order), reading(arms)).factorial.effects
        ]
        for order in (1, 2, 3)
    }
    assert names == {1: ["a", "b", "c"], 2: ["a", "b", "c", "a:b", "a:c", "b:c"], 3: ["a", "b", "c", "a:b", "a:c", "b:c", "a:b:c"]}
    simple = evaluate(spec_of(metrics=metrics, factors=factors), reading(arms)).factorial.simple_effects
    # a and b interact; at each level of the other, averaged over c
    assert {(e.factors[0], *e.at.items()): round(e.effect, 9) for e in simple} == {
        ("a", ("b", "0")): 0.0,
        ("a", ("b", "1")): 4.0,
        ("b", ("a", "0")): 0.0,
        ("b", ("a", "1")): 4.0,
    }
    assert {e.n for e in simple} == {3600}


def test_another_kind_has_no_factors():
    plain = parse_spec({"key": "p", "arms": ["control", "b"], "metrics": [{"key": "y", "kind": "mean"}]})
    assert factor_effects(plain, build_metrics(plain), {}) is None
    arms = {arm: {"y": Moments(n=50, mean=1.0, m2=49.0)} for arm in ("control", "b")}
    assert evaluate(plain, reading(arms)).factorial is None


@given(
    st.lists(st.integers(20, 380), min_size=4, max_size=4),
    st.sampled_from(["none", "bonferroni", "holm", "hochberg", "benjamini-hochberg", "benjamini-yekutieli"]),
    st.sampled_from([0.01, 0.05, 0.2]),
)
@settings(max_examples=80, deadline=None)
def test_p_values_and_intervals_of_effects_agree_after_correction(successes, correction, alpha):
    card = evaluate(spec_of(correction=correction, alpha=alpha), rates([(x, 400) for x in successes]))
    for effect in (*card.factorial.effects, *card.factorial.simple_effects):
        final = effect.p_value if effect.p_adjusted is None else effect.p_adjusted
        if abs(final - alpha) > 1e-9:
            assert effect.interval.excludes(0.0) == (final < alpha)
            assert (effect.reading != "inconclusive") == (final < alpha)


@given(st.lists(st.integers(20, 380), min_size=4, max_size=4))
@settings(max_examples=30, deadline=None)
def test_the_order_of_the_factors_changes_no_effect(successes):
    counts = dict(zip(CELLS, successes, strict=True))
    first = by_name(evaluate(spec_of(), rates([(counts[cell], 400) for cell in CELLS])))
    turned = spec_of(factors={"price": ["full", "discount"], "button": ["grey", "green"]})
    arms = {"+".join(reversed(cell.split("+"))): {"ordered": Moments.from_successes(x, 400)} for cell, x in counts.items()}
    second = by_name(evaluate(turned, reading(arms)))
    for name, other in (("button", "button"), ("price", "price"), ("button:price", "price:button")):
        assert first[name].effect == pytest.approx(second[other].effect, abs=1e-12)
        assert first[name].p_value == pytest.approx(second[other].p_value, rel=1e-9)


RUNS = 2_000
BOUND = 0.001


def rejected(spec, arms_of, runs=RUNS):
    """Share of experiments in which any effect of the primary family is significant; and coverage of the main effects at 0."""
    metrics, any_significant = build_metrics(spec), 0
    for run in range(runs):
        found = factor_effects(spec, metrics, reading(arms_of(run)).arms)
        any_significant += any(effect.reading != "inconclusive" for effect in found.effects)
    return any_significant


@pytest.mark.slow
def test_the_family_wise_error_of_the_effects_is_kept():
    """Eight cells of unequal share and a skewed outcome, no effects at all: any rejection in at most alpha (exact binomial bound)."""
    factors = {"a": ["0", "1"], "b": ["0", "1"], "c": ["0", "1"]}
    spec = spec_of(metrics=[{"key": "y", "kind": "mean"}], factors=factors, interactions=3)
    rng = np.random.default_rng(11)
    sizes = (120, 120, 60, 60, 60, 60, 60, 60)
    cells = ["+".join(f"{i:03b}") for i in range(8)]

    def arms_of(_):
        return {cell: {"y": Moments.from_values(rng.gamma(2.0, 1.0, n))} for cell, n in zip(cells, sizes, strict=True)}

    count = rejected(spec, arms_of)
    assert stats.binom.sf(count - 1, RUNS, 0.05) > BOUND, count / RUNS


@pytest.mark.slow
def test_adjusted_effects_keep_their_level_and_cover():
    """CUPED with 30 units a cell and a real main effect: coverage of its uncorrected 90% interval (exact two-sided bound)."""
    spec = spec_of(metrics=[{"key": "y", "kind": "mean", "covariate": "x"}], correction="none", alpha=0.1)
    rng, metrics = np.random.default_rng(12), build_metrics(spec)
    covered = {"button": 0, "price": 0, "button:price": 0}
    truth = {"button": 1.0, "price": 0.0, "button:price": 0.0}
    for _ in range(RUNS):
        arms = {}
        for place, cell in enumerate(CELLS):
            x = rng.normal(size=30)
            y = 2.0 * x + (place >= 2) + rng.normal(size=30)
            arms[cell] = {"y": CoMoments.from_values(np.column_stack([y, x]))}
        for effect in factor_effects(spec, metrics, reading(arms).arms).effects:
            name = ":".join(effect.factors)
            covered[name] += effect.interval.low < truth[name] < effect.interval.high
    for name, count in covered.items():
        assert stats.binom.sf(count - 1, RUNS, 0.9) > BOUND, name
        assert stats.binom.cdf(count, RUNS, 0.9) > BOUND, (name, count / RUNS)
