"""The rule over arrays gives the verdict that evaluate() gives, case by case (issue 3: the spec's own rule)."""

from dataclasses import fields

import numpy as np
import pytest
from drawn import as_reading, as_replicates, specs, statistics
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairtrial.decisions import Evidence
from fairtrial.errors import UnknownNameError, UsageError
from fairtrial.evaluation import Look, evaluate
from fairtrial.evaluation.planned_looks import futility_at
from fairtrial.metrics import build_metrics
from fairtrial.simulation.batch_compare import compare_replicates
from fairtrial.simulation.batch_corrections import adjust_rows
from fairtrial.simulation.planned import LookState, planned_control
from fairtrial.simulation.replicates import Replicates, simple_moments
from fairtrial.simulation.rule import best_treatments, evidence_columns, judge
from fairtrial.spec.loader import parse_spec
from fairtrial.stats.moments import CoMoments, Moments


def state_of(card, spec):
    look = card.plan.sequential
    fractions = () if look is None else (*look.past, look.information)
    return LookState(
        fractions=fractions,
        control=None if look is None else planned_control(spec, fractions, look.obeyed, final=look.final),
        futility_bound=None if look is None or look.final else futility_at(spec, fractions),
        complete=card.plan.complete,
        planned=card.plan.planned_from != "none",
        min_days_met=card.plan.min_days_met,
        max_days_reached=card.plan.max_days_reached,
        live=spec.status == "running",
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_every_verdict_is_that_of_evaluate(data):
    agree(data, data.draw(specs(methods=("fixed", "fixed", "group_sequential", "always_valid", "hybrid"))))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_so_it_is_with_every_sequence_and_every_way_to_give_up(data):
    """XC-32, G-13: asymptotic and exact sequences, and futility bounds that earlier looks have obeyed."""
    agree(data, data.draw(specs(methods=("group_sequential", "always_valid", "hybrid"), sequences=("asymptotic", "bernoulli", "msprt"))))


@pytest.mark.parametrize("family", [{"correction": "dunnett"}, {"gatekeeping": "serial"}, {"gatekeeping": "parallel"}])
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_so_it_is_with_corrections_that_reach_beyond_one_p_value(data, family):
    spec = data.draw(specs())
    plan = {"correction": "holm", "gatekeeping": "none"} | family
    agree(data, parse_spec(spec.model_dump() | {"plan": spec.plan.model_dump() | plan}))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_so_it_is_with_a_decision_table_of_ones_own(data):
    """XC-24: a plan's own table is simulated as it is read."""
    spec = data.draw(specs())
    table = {
        "5": {"verdict": "CONSIDER_LAUNCH"},
        "6": {"verdict": "NO_LAUNCH"},
        "7": {"verdict": "NO_LAUNCH"},
        "9": {"verdict": "NO_LAUNCH"},
    }
    agree(data, parse_spec(spec.model_dump() | {"plan": spec.plan.model_dump() | {"decision_table": table}}))


@pytest.mark.parametrize("direction", ["increase", "decrease"])
@pytest.mark.parametrize("method", ["group_sequential", "hybrid"])
@pytest.mark.parametrize("binding", [False, True])
def test_both_give_up_below_the_same_bound(direction, method, binding):
    """XC-32: 40 experiments on either side of the bound, in either direction; the bound of the first look has been obeyed."""
    sequential = {"looks": 4, "futility": "beta_spending", "binding": binding}
    plan = {"method": method, "alternative": "one-sided", "sample_size": 8000, "mde": 0.1, "sequential": sequential}
    metric = {"key": "main", "kind": "proportion", "direction": direction}
    spec = parse_spec({"key": "x", "arms": ["control", "t"], "metrics": [metric], "plan": plan})
    rng = np.random.default_rng(11)
    rows = [[CoMoments.of(Moments.from_successes(int(x), 2000)) for x in rng.binomial(2000, 0.2, size=2)] for _ in range(40)]
    told = [Look(as_of=None, complete=False, decisions={}, information=0.25, futility_bound=-0.8)]
    verdicts = agree_on(spec, [2000, 2000], {"main": rows}, told)
    assert {"NO_LAUNCH", "EXTEND_TEST"} <= set(verdicts)


def agree(data, spec):
    units, moments = data.draw(statistics(spec))
    told = [Look(as_of=None, complete=False, decisions={}, information=0.15, futility_bound=-0.3)] if data.draw(st.booleans()) else []
    agree_on(spec, units, moments, told)


def agree_on(spec, units, moments, told):
    runs = range(len(moments[spec.primary.key]))
    cards = [evaluate(spec, as_reading(spec, units, moments, run), told) for run in runs]
    judged = judge(spec, build_metrics(spec), as_replicates(spec, units, moments), state_of(cards[0], spec))
    for run, card in enumerate(cards):
        expected = [(d.verdict or "", d.reason, d.state) for d in card.decisions.values()]
        got = list(zip(judged.verdict[run].tolist(), judged.reason[run].tolist(), judged.state[run].tolist(), strict=True))
        assert got == expected
        assert spec.treatments[judged.best[run]] == card.treatment
    return [card.decision.verdict for card in cards]


def test_the_cases_hold_all_that_evidence_holds():
    """A field added to the evidence must be simulated too."""
    spec = parse_spec({"key": "x", "arms": ["control", "t"], "metrics": [{"key": "m", "kind": "mean"}], "plan": {"sample_size": 20}})
    compared = compare_replicates(spec, build_metrics(spec), same(2, 10))
    facts = evidence_columns(spec, same(2, 10), compared, LookState(complete=True), {})
    assert set(facts) == {field.name for field in fields(Evidence)}


def same(runs, n):
    shape = (runs, 2)
    return Replicates(
        units=np.full(shape, float(n)), moments={"m": simple_moments(np.full(shape, float(n)), np.zeros(shape), np.full(shape, 9.0))}
    )


def test_the_best_treatment_is_the_best_bound_among_those_going():
    reason = np.array([["harm", "futile", "futile"], ["harm", "guardrail", "harm"], ["futile", "futile", "futile"], ["futile"] * 3])
    low = np.array([[9.0, -1.0, -2.0], [1.0, 2.0, 0.0], [np.nan, np.nan, -5.0], [1.0, 1.0, 1.0]])
    assert best_treatments(reason, low).tolist() == [1, 1, 2, 0]


def test_a_family_leaves_out_what_could_not_be_tested():
    p_values = np.array([[0.01, 0.04, np.nan], [0.01, 0.04, 0.03], [np.nan, 0.02, np.nan]])
    adjusted, levels = adjust_rows(p_values, "holm", alpha=0.05)
    np.testing.assert_allclose(adjusted, [[0.02, 0.04, np.nan], [0.03, 0.06, 0.06], [np.nan, 0.02, np.nan]])
    assert levels[2, 1] == 0.05, "alone in its family"
    untouched, _ = adjust_rows(p_values, "none", alpha=0.05)
    np.testing.assert_array_equal(untouched, p_values)


def test_replicates_know_their_shapes_and_metrics():
    with pytest.raises(UsageError, match="two arms or more"):
        Replicates(units=np.ones((3, 1)), moments={})
    with pytest.raises(UsageError, match="must have shape"):
        Replicates(units=np.ones((3, 2)), moments={"m": simple_moments(np.ones((2, 2)), np.ones((2, 2)), np.ones((2, 2)))})
    with pytest.raises(UnknownNameError, match="simulated metric"):
        same(2, 10).of("n")
