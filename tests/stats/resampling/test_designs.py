"""Designs: all assignments of each, and draws from them."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.resampling.designs import Bernoulli, Clustered, Complete, Paired, Stratified, plan_of

TREATED = np.array([1, 0, 0, 1, 0, 1, 0, 0])
STRATA = np.array(["b", "a", "b", "a", "a", "b", "b", "a"])
PAIRS = np.array([0, 0, 1, 1, 2, 2, 3, 3])
IN_PAIRS = np.array([1, 0, 0, 1, 0, 1, 1, 0])
CLUSTERS = np.array([4, 4, 7, 7, 1, 1, 1, 9])
BY_CLUSTER = np.array([1, 1, 0, 0, 1, 1, 1, 0])
DESIGNS = {
    "complete": (Complete(), TREATED),
    "stratified": (Stratified(strata=STRATA), TREATED),
    "paired": (Paired(pairs=PAIRS), IN_PAIRS),
    "clustered": (Clustered(clusters=CLUSTERS), BY_CLUSTER),
    "clustered in strata": (Clustered(clusters=CLUSTERS, strata=np.array([0, 0, 1, 1, 1, 1, 1, 0])), BY_CLUSTER),
    "bernoulli": (Bernoulli(share=np.linspace(0.2, 0.7, 8)), TREATED),
}


def possible(name):
    """Every assignment of eight units that the design allows, written down from its definition."""
    design, treated = DESIGNS[name]
    for units in itertools.product((False, True), repeat=8):
        z = np.array(units)
        if name == "bernoulli":
            allowed = z.any() and not z.all()
        elif name == "complete":
            allowed = z.sum() == treated.sum()
        elif name in {"stratified", "paired"}:
            labels = design.strata if name == "stratified" else design.pairs
            allowed = all(z[labels == label].sum() == treated[labels == label].sum() for label in set(labels.tolist()))
        else:
            whole = all(len(set(z[label == CLUSTERS])) == 1 for label in set(CLUSTERS.tolist()))
            first = np.array([np.flatnonzero(label == CLUSTERS)[0] for label in sorted(set(CLUSTERS.tolist()))])
            strata = np.zeros(8, dtype=int) if design.strata is None else design.strata
            allowed = whole and all(
                z[first][strata[first] == s].sum() == treated[first][strata[first] == s].sum() for s in set(strata.tolist())
            )
        if allowed:
            yield units


@pytest.mark.parametrize("name", DESIGNS)
def test_every_assignment_of_a_design_and_no_other(name):
    plan = plan_of(*DESIGNS[name], 8)
    every = plan.enumerate()
    found = {tuple(row) for row in every.treated[:, plan.atom].tolist()}
    assert found == set(possible(name))
    assert len(found) == every.weight.size == plan.count()
    assert every.weight.sum() == pytest.approx(1.0)
    assert math.exp(plan.log_count()) == pytest.approx(plan.count(), abs=2.001 if name == "bernoulli" else 1e-6)
    assert (plan.observed[plan.atom] == DESIGNS[name][1]).all()


@pytest.mark.parametrize("name", DESIGNS)
def test_draws_come_as_often_as_their_probability(name):
    """Chi-square over all assignments, 40,000 draws."""
    plan = plan_of(*DESIGNS[name], 8)
    every = plan.enumerate()
    code = 2 ** np.arange(plan.atoms)
    order = np.argsort(every.treated @ code)
    drawn = plan.draw(40_000, np.random.default_rng(3)) @ code
    seen = np.bincount(np.searchsorted((every.treated @ code)[order], drawn), minlength=order.size)
    common = every.weight[order] * 40_000 >= 5
    expected = np.append(every.weight[order][common], every.weight[order][~common].sum()) * 40_000
    observed = np.append(seen[common], seen[~common].sum())
    assert stats.chisquare(observed[expected > 0], expected[expected > 0]).pvalue > 1e-4


def test_unequal_shares_weigh_assignments():
    """Two units of shares .1 and .6, both arms there: (1, 0) has .1 x .4, (0, 1) has .9 x .6."""
    every = plan_of(Bernoulli(share=[0.1, 0.6]), [1, 0], 2).enumerate()
    weight = dict(zip(map(tuple, every.treated.tolist()), every.weight.tolist(), strict=True))
    assert weight[(True, False)] == pytest.approx(0.04 / 0.58)


def test_a_rare_arm_is_drawn_again_until_both_are_there():
    drawn = plan_of(Bernoulli(share=0.05), [1, 0, 0], 3).draw(500, np.random.default_rng(1))
    assert drawn.any(axis=1).all()
    assert not drawn.all(axis=1).any()


@pytest.mark.parametrize(
    ("design", "treated", "error", "said"),
    [
        ("complete", [1, 0, 1, 0], UsageError, "got 'complete'"),
        (Complete(), [1, 0, 2, 0], UsageError, "a 1 .treatment. or a 0"),
        (Complete(), [1, 0, 1], UsageError, "Each of 4 units"),
        (Complete(), [1, 1, 1, 1], NotEnoughDataError, "got 4 treated of 4"),
        (Bernoulli(share=1.0), [1, 0, 1, 0], UsageError, "share"),
        (Bernoulli(share=[0.5, 0.5]), [1, 0, 1, 0], UsageError, "share"),
        (Stratified(strata=[1, 1]), [1, 0, 1, 0], UsageError, "one stratum"),
        (Stratified(strata=[1, 2, 1, 2]), [1, 0, 1, 0], DataError, "both arms"),
        (Paired(pairs=[1, 1, 1, 2]), [1, 0, 1, 0], DataError, "two units"),
        (Paired(pairs=[1, 2, 1, 2]), [1, 0, 1, 0], DataError, "one of them treated"),
        (Clustered(clusters=[1, 1, 2, 2]), [1, 0, 1, 0], DataError, "lie in both"),
        (Clustered(clusters=[1, 2, 1, 2], strata=[1, 1, 2, 2]), [1, 0, 1, 0], DataError, "in several"),
        (Clustered(clusters=[1, 2, 1, 2], strata=[1, 2, 1, 2]), [1, 0, 1, 0], DataError, "both arms"),
    ],
)
def test_what_cannot_have_been_assigned_so_is_refused(design, treated, error, said):
    with pytest.raises(error, match=said):
        plan_of(design, treated, 4)
