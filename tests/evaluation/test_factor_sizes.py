"""XC-41: sizes of effects of factors - every unit counts for every factor, an interaction needs four times as many."""

import numpy as np
import pytest
from scipy import stats

from fairtrial import parse_spec
from fairtrial.evaluation.planning import plan_experiment
from fairtrial.stats.power import round_up
from fairtrial.stats.power_means import sample_size_two_means
from fairtrial.stats.power_proportions import sample_size_two_proportions

TWO = {"button": ["grey", "green"], "price": ["full", "discount"]}


def plan_of(metric=None, factors=None, interactions=2, arms=None, **plan):
    raw = {"key": "shop", "kind": "factorial", "factors": factors or TWO, "interactions": interactions}
    raw |= {"metrics": [metric or {"key": "ordered", "kind": "proportion"}], "plan": {"baseline": 0.1, "mde": 0.12, **plan}}
    return plan_experiment(parse_spec(raw if arms is None else {**raw, "arms": arms}))


def test_a_main_effect_is_an_experiment_of_two_halves_on_all_units():
    """Against `sample_size_two_proportions` (G-14) at alpha / 3, three effects."""
    plan = plan_of()
    halves = sample_size_two_proportions(0.1, 0.012, alpha=0.05 / 3, power=0.8, treatment_share=0.5)
    assert plan.factor_sizes.main_effect == pytest.approx(halves.total, abs=2)
    assert plan.factor_sizes.interaction == pytest.approx(4 * plan.factor_sizes.main_effect, abs=4)
    assert (plan.factor_sizes.effects, plan.factor_sizes.alpha) == (3, pytest.approx(0.05 / 3))
    # the verdict compares cells, each of half as many units as a level, at as many comparisons
    assert plan.total == pytest.approx(2 * plan.factor_sizes.main_effect, rel=1e-3)


def test_more_factors_ask_for_more_cells_and_hardly_more_units_of_an_effect():
    four = {f"f{i}": ["0", "1"] for i in range(4)}
    plan = plan_of(factors=four, interactions=1, correction="none")
    halves = sample_size_two_proportions(0.1, 0.012, alpha=0.05, power=0.8, treatment_share=0.5)
    assert plan.factor_sizes.main_effect == pytest.approx(halves.total, abs=2)
    assert (plan.factor_sizes.effects, plan.factor_sizes.interaction, plan.factor_sizes.alpha) == (4, None, 0.05)
    assert plan_of(factors=four, interactions=2).factor_sizes.effects == 10


def test_unequal_cells_cost_units_of_every_effect():
    """Variance of a main effect: s^2 / 4^(k-1) times the sum of 1/n over the cells."""
    arms = {"grey+full": 0.7, "grey+discount": 0.1, "green+full": 0.1, "green+discount": 0.1}
    uneven = (1 / 0.7 + 3 / 0.1) / 16
    metric = {"key": "spend", "kind": "mean"}
    plan = plan_of(metric=metric, arms=arms, baseline=10.0, baseline_sd=4.0, mde=0.05, covariate_correlation=0.6)
    halves = sample_size_two_means(0.5, (4.0, 4.0), alpha=0.05 / 3, power=0.8, treatment_share=0.5)
    assert plan.factor_sizes.main_effect == round_up(2 * halves.n_control * uneven * 0.64)


def test_these_units_have_the_power_that_was_asked_for():
    """By the normal power of each contrast at its size and level, 80% to 0.3 points."""
    plan = plan_of(metric={"key": "spend", "kind": "mean"}, baseline=10.0, baseline_sd=4.0, mde=0.05)
    for units, scale in ((plan.factor_sizes.main_effect, 1.0), (plan.factor_sizes.interaction, 2.0)):
        error = scale * np.sqrt(4 * 16.0 / units)
        assert stats.norm.sf(stats.norm.isf(plan.factor_sizes.alpha / 2) - 0.5 / error) == pytest.approx(0.8, abs=0.003)


def test_another_kind_has_no_factor_sizes():
    plain = {"key": "p", "arms": ["control", "b"], "metrics": [{"key": "y", "kind": "proportion"}], "plan": {"baseline": 0.1, "mde": 0.1}}
    assert plan_experiment(parse_spec(plain)).factor_sizes is None
