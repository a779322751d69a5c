"""Families in an order of importance, and graphs that pass alpha on."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from fairtrial.errors import UsageError
from fairtrial.stats.gatekeeping import (
    Graph,
    fixed_sequence_graph,
    gatekeep_roles,
    graphical_test,
    holm_graph,
    parallel_gatekeeping,
    parallel_graph,
    serial_gatekeeping,
)
from fairtrial.stats.multiplicity import adjust, adjust_fixed_sequence

SHARES = st.floats(0, 1)


def p_arrays(size=4):
    return hnp.arrays(np.float64, size, elements=SHARES)


def stepped(p, graph, alpha):
    """Algorithm 1 of Bretz et al. (2009) at one alpha, as printed: reject one hypothesis, update the graph, go on."""
    weights, ways = graph.weights.copy(), graph.transitions.copy()
    left, rejected = set(range(len(p))), set()
    while True:
        found = [j for j in sorted(left) if p[j] < weights[j] * alpha]
        if not found:
            return rejected
        j = found[0]
        left.remove(j)
        rejected.add(j)
        new = np.zeros_like(ways)
        for a in left:
            weights[a] += weights[j] * ways[j, a]
            for b in left - {a}:
                loop = ways[a, j] * ways[j, a]
                new[a, b] = (ways[a, b] + ways[a, j] * ways[j, b]) / (1 - loop) if loop < 1 - 1e-12 else 0.0
        weights[j], ways = 0.0, new


@given(p=p_arrays(), seed=st.integers(0, 500), alpha=st.floats(0.01, 0.3))
@settings(max_examples=200, deadline=None)
def test_adjusted_p_values_reject_as_the_printed_algorithm_does(p, seed, alpha):
    """Bretz et al. (2009), algorithm 2 against algorithm 1, on graphs drawn at random."""
    rng = np.random.default_rng(seed)
    ways = rng.dirichlet(np.full(4, 0.5), size=4) * (1 - np.eye(4))
    graph = Graph(weights=rng.dirichlet(np.ones(4)), transitions=ways)
    found = graphical_test(p, graph, alpha=alpha)
    if (np.abs(found.p_adjusted - alpha) > 1e-9).all():
        assert set(np.flatnonzero(found.p_adjusted < alpha).tolist()) == stepped(p, graph, alpha)


def test_two_doses_and_two_endpoints_by_hand():
    """A graph of the kind that Bretz et al. (2009) draw for two doses, each first by its primary endpoint.

    Weights (1/2, 1/2, 0, 0); from a dose's primary half goes to the other primary, half to its own
    secondary; from a secondary all goes to the other dose's primary. By hand with p = (.01, .03,
    .02, .004) at .05: H1 (.01 < .025) leaves (3/4, 1/4) on H2 and H3; H2's .03 < .0375 is next.
    """
    ways = np.array([[0, 0.5, 0.5, 0], [0.5, 0, 0, 0.5], [0, 1, 0, 0], [1, 0, 0, 0]])
    graph = Graph(weights=np.array([0.5, 0.5, 0, 0]), transitions=ways)
    found = graphical_test([0.01, 0.03, 0.02, 0.004], graph)
    # After H1: w2 = 1/2 + 1/4, w3 = 1/4; .03 / .75 = .04 and .02 / .25 = .08.
    assert found.p_adjusted[:2].tolist() == pytest.approx([0.02, 0.04])
    assert found.p_adjusted.tolist() == pytest.approx([0.02, 0.04, 0.04, 0.04])


@given(p=p_arrays(5))
@settings(max_examples=100, deadline=None)
def test_graphs_of_methods_that_have_other_forms(p):
    """Holm's method and the fixed sequence, against `multiplicity`."""
    np.testing.assert_allclose(graphical_test(p, holm_graph(5)).p_adjusted, adjust(p, "holm").p_adjusted, rtol=1e-9)
    np.testing.assert_allclose(graphical_test(p, fixed_sequence_graph(5)).p_adjusted, adjust_fixed_sequence(p), rtol=1e-9)


def test_serial_gates_by_hand():
    """Holm within (.01, .02) gives (.02, .02); the next family starts there, and a failed gate stays shut."""
    first, second, third = serial_gatekeeping([[0.01, 0.02], [0.001, 0.2], [0.001]])
    assert first.p_adjusted.tolist() == [0.02, 0.02]
    assert second.p_adjusted.tolist() == [0.02, 0.2]
    assert third.p_adjusted.tolist() == [0.2]


def test_parallel_gates_by_hand():
    """Of (.01, .2) one is rejected at .025, so half of alpha goes on: Holm at .025 on (.005, .02)."""
    first, second = parallel_gatekeeping([[0.01, 0.2], [0.005, 0.02]])
    assert first.p_adjusted.tolist() == pytest.approx([0.02, 0.4])
    assert second.p_adjusted.tolist() == pytest.approx([0.02, 0.04])
    shut = parallel_gatekeeping([[0.03, 0.2], [1e-9, 1e-9]])[1]
    assert (shut.p_adjusted > 0.05).all()


def test_roles_stand_in_their_order_wherever_they_are_listed():
    p, roles = [0.001, 0.01, 0.02, 0.04], ["secondary", "primary", "guardrail", "primary"]
    serial = gatekeep_roles(p, roles)
    assert serial.p_adjusted.tolist() == pytest.approx([0.04, 0.02, 0.04, 0.04])
    parallel = gatekeep_roles(p, roles, gate="parallel")
    assert parallel.p_adjusted.tolist() == pytest.approx([0.04, 0.02, 0.04, 0.08])
    assert gatekeep_roles([0.01], ["secondary"]).p_adjusted.tolist() == [0.01]


@given(p=p_arrays(5), gate=st.sampled_from(["serial", "parallel"]), alpha=st.floats(0.001, 0.5))
@settings(max_examples=150, deadline=None)
def test_local_levels_agree_with_adjusted_p_values(p, gate, alpha):
    """DESIGN 5: an interval at its local level leaves the null out exactly when p_adjusted < alpha."""
    found = gatekeep_roles(p, ["primary", "guardrail", "secondary", "secondary", "primary"], gate=gate, alpha=alpha)
    assert ((found.local_alpha > 0) & (found.local_alpha < 1)).all()
    clear = (np.abs(found.p_adjusted - alpha) > 1e-12) & (p > 1e-300)
    assert ((p < found.local_alpha) == (found.p_adjusted < alpha))[clear].all()
    assert (found.p_adjusted >= p).all()


@given(p=hnp.arrays(np.float64, (3, 2, 4), elements=SHARES))
@settings(max_examples=20, deadline=None)
def test_many_sets_are_each_set(p):
    graph = parallel_graph([2, 2])
    assert graphical_test(p, graph).p_adjusted[2, 1].tolist() == graphical_test(p[2, 1], graph).p_adjusted.tolist()
    first, second = serial_gatekeeping([p[..., :2], p[..., 2:]])
    assert np.concatenate([first.p_adjusted[0, 1], second.p_adjusted[0, 1]]).tolist() == [
        *serial_gatekeeping([p[0, 1, :2], p[0, 1, 2:]])[0].p_adjusted,
        *serial_gatekeeping([p[0, 1, :2], p[0, 1, 2:]])[1].p_adjusted,
    ]


LINE = np.array([0.5, 0.5])


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: Graph(weights=LINE, transitions=np.zeros((3, 3))), "weights"),
        (lambda: Graph(weights=np.array([0.9, 0.2]), transitions=np.zeros((2, 2))), "at most 1"),
        (lambda: Graph(weights=np.array([0.0, 0.0]), transitions=np.zeros((2, 2))), "more than 0"),
        (lambda: Graph(weights=np.array([math.nan, 0.0]), transitions=np.zeros((2, 2))), "Weights"),
        (lambda: Graph(weights=LINE, transitions=np.eye(2)), "diagonal"),
        (lambda: Graph(weights=LINE, transitions=np.array([[0, 1.5], [0, 0]])), "Transitions"),
        (lambda: graphical_test([0.1, 0.2, 0.3], holm_graph(2)), "over 2 hypotheses, got 3"),
        (lambda: graphical_test([0.1, math.nan], holm_graph(2)), r"\[0, 1\]"),
        (lambda: graphical_test([0.1, 0.2], holm_graph(2), alpha=2), "alpha"),
        (lambda: fixed_sequence_graph(0), "at least one hypothesis"),
        (lambda: parallel_graph([]), "at least one hypothesis"),
        (lambda: parallel_graph([2, 0]), "at least one hypothesis"),
        (lambda: serial_gatekeeping([]), "got none"),
        (lambda: serial_gatekeeping([[0.1], []]), "at least one number"),
        (lambda: serial_gatekeeping([[0.1], [[0.2]]]), "leading shape"),
        (lambda: serial_gatekeeping([[0.1]], correction="benjamini-hochberg"), "family-wise"),
        (lambda: gatekeep_roles([0.1], ["diagnostic"]), "role"),
        (lambda: gatekeep_roles([0.1], ["primary", "primary"]), "role"),
        (lambda: gatekeep_roles([0.1], ["primary"], gate="tree"), "gate"),
    ],
)
def test_what_breaks_a_rule_is_refused(call, said):
    with pytest.raises(UsageError, match=said):
        call()


@pytest.mark.slow
@pytest.mark.parametrize("false", [(), (0,), (0, 1), (2,), (0, 2, 3), (0, 1, 2, 3)])
@pytest.mark.parametrize("gate", ["serial", "parallel"])
def test_the_family_wise_error_is_held_under_partial_nulls(gate, false):
    """100,000 experiments of six metrics correlated .4; those in `false` have an effect of 3 standard errors: exact binomial at 1e-4."""
    rng, runs = np.random.default_rng(10), 100_000
    z = math.sqrt(0.4) * rng.normal(size=(runs, 1)) + math.sqrt(0.6) * rng.normal(size=(runs, 6))
    z[:, list(false)] += 3.0
    roles = ["primary", "primary", "guardrail", "guardrail", "secondary", "secondary"]
    rejected = gatekeep_roles(stats.norm.sf(z), roles, gate=gate).p_adjusted < 0.05
    true = [i for i in range(6) if i not in false]
    wrong = int(rejected[:, true].any(axis=1).sum())
    assert stats.binomtest(wrong, runs, 0.05, alternative="greater").pvalue > 1e-4
    assert rejected[:, list(false)].any() or not false


@pytest.mark.slow
def test_testing_every_role_at_alpha_does_not_hold_it():
    """The same six metrics without gates: 13% and more; the check can fail."""
    rng, runs = np.random.default_rng(10), 100_000
    z = math.sqrt(0.4) * rng.normal(size=(runs, 1)) + math.sqrt(0.6) * rng.normal(size=(runs, 6))
    assert (stats.norm.sf(z) < 0.05).any(axis=1).mean() > 0.13
