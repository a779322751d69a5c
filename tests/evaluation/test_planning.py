"""Plans of specs: the units that the spec's own numbers call for, and what the units that came could show."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairtrial.errors import UsageError
from fairtrial.evaluation.planned_test import PlannedTest
from fairtrial.evaluation.planning import ExperimentPlan, plan_experiment, sensitivity
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.stats.power_means import power_two_means
from fairtrial.stats.power_noninferiority import power_noninferiority_two_proportions
from fairtrial.stats.power_proportions import (
    calculate_sample_size_by_arm,
    mde_two_proportions,
    power_two_proportions,
    sample_size_two_proportions,
)
from fairtrial.stats.result import Unavailable

HALVES = {"control": 0.5, "treatment": 0.5}


def spec(kind="proportion", arms=None, *, allocation="fixed", plan=None, **metric):
    sources = {"numerator": "clicks", "denominator": "views"} if kind == "ratio" else {}
    fields = {
        "key": "checkout",
        "arms": HALVES if arms is None else arms,
        "allocation": allocation,
        "metrics": [{"key": "y", "kind": kind, **sources, **metric}],
        "plan": plan or {},
    }
    return ExperimentSpec.model_validate(fields)


def planned(*args, **options):
    plan = plan_experiment(spec(*args, **options))
    assert isinstance(plan, ExperimentPlan), plan
    return plan


def test_the_holdout_of_the_brief():
    """G-14, II.b: 5% +1 point at 80/20: 20,799 + 5,200 = 25,999."""
    plan = planned(arms={"treatment": 0.8, "control": 0.2}, plan={"baseline": 0.05, "mde": 0.01, "mde_kind": "absolute"})
    assert plan.arms == {"treatment": 20_799, "control": 5_200}
    assert list(plan.arms) == ["treatment", "control"]
    assert (plan.total, plan.comparisons, plan.alpha, plan.power) == (25_999, 1, 0.05, 0.8)
    assert (plan.baseline, plan.effect, plan.method) == (0.05, 0.01, "pooled_z")
    assert plan.target == pytest.approx(0.06)
    assert plan.explanation == (
        "25,999 units (treatment 20,799, control 5,200) detect a change of 'y' from 0.05 to 0.06 "
        "with power 0.8 at alpha 0.05, two-sided, by the pooled z test of two proportions."
    )


def test_the_model_experiment_of_the_brief():
    """IV.b: 15% +10% relative at 95/5: 91,233 + 4,802."""
    plan = planned(arms={"control": 0.95, "challenger": 0.05}, plan={"baseline": 0.15, "mde": 0.1})
    assert plan.arms == {"control": 91_233, "challenger": 4_802}


def test_the_catalog_experiment_of_the_brief():
    """V.b: 4.5% -> 4.86%: 54,033 per variant."""
    assert planned(plan={"baseline": 0.045, "mde": 0.08}).arms == {"control": 54_033, "treatment": 54_033}


@settings(max_examples=60, deadline=None)
@given(st.floats(0.02, 0.6), st.floats(0.02, 0.3), st.integers(2, 98), st.booleans())
def test_two_arms_are_planned_exactly_as_the_formula_has_it(baseline, mde, percent, one_sided):
    """G-14."""
    alternative = "one-sided" if one_sided else "two-sided"
    plan = planned(
        arms={"control": 1 - percent / 100, "treatment": percent / 100}, plan={"baseline": baseline, "mde": mde, "alternative": alternative}
    )
    size = sample_size_two_proportions(baseline, mde * baseline, treatment_share=percent / 100, alternative=alternative)
    assert plan.arms == {"control": size.n_control_ceil, "treatment": size.n_treatment_ceil}


def test_a_better_that_is_lower_is_planned_downwards():
    """II.b: a 1-point drop from 5% needs 6,745 per group."""
    plan = planned(direction="decrease", plan={"baseline": 0.05, "mde": 0.01, "mde_kind": "absolute"})
    assert plan.arms == {"control": 6_745, "treatment": 6_745}
    assert (plan.effect, plan.target) == (-0.01, pytest.approx(0.04))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 20), min_size=3, max_size=5), st.sampled_from(["holm", "none", "bonferroni"]))
def test_every_comparison_has_the_power(weights, correction):
    """Unequal arms and several treatments: the smallest share decides."""
    arms = {"control" if i == 0 else f"t{i}": weight / sum(weights) for i, weight in enumerate(weights)}
    plan = planned(arms=arms, plan={"baseline": 0.1, "mde": 0.2, "correction": correction})
    k = len(weights) - 1
    assert plan.alpha == (0.05 if correction == "none" else 0.05 / k)
    powers = [power_two_proportions(0.1, 0.12, plan.arms["control"], plan.arms[key], alpha=plan.alpha) for key in arms if key != "control"]
    assert min(powers) >= 0.8
    assert min(powers) == pytest.approx(0.8, abs=2e-3), "and no more units than that"
    shares = [n / plan.total for n in plan.arms.values()]
    assert shares == pytest.approx(list(arms.values()), abs=1e-3)


def test_several_treatments_agree_with_the_model_calculator():
    """ML-02."""
    arms = {"control": 0.7, "a": 0.2, "b": 0.1}
    assert planned(arms=arms, plan={"baseline": 0.15, "mde": 0.1}).arms == calculate_sample_size_by_arm(0.15, 0.1, allocation=arms)


def test_the_correction_is_explained():
    plan = planned(arms={"control": 0.4, "a": 0.3, "b": 0.3}, plan={"baseline": 0.15, "mde": 0.1})
    assert "at alpha 0.05 (0.025 for each of 2 treatments)" in plan.explanation


def test_an_arm_without_a_share_is_no_comparison():
    """G-11: arms with zero allocation are left out."""
    plan = planned(arms={"control": 0.5, "a": 0.5, "off": 0.0}, plan={"baseline": 0.15, "mde": 0.1})
    assert plan.arms == {"control": 9_257, "a": 9_257, "off": 0}
    assert (plan.comparisons, plan.alpha) == (1, 0.05)


def test_means_and_ratios_are_planned_by_their_standard_deviation():
    """V.b: CV 1 +20% 393; the sd of a ratio is that of its linearised units."""
    plan = planned("mean", plan={"baseline": 4.0, "baseline_sd": 4.0, "mde": 0.2})
    assert (plan.arms, plan.method, plan.notes) == ({"control": 393, "treatment": 393}, "normal", ())
    assert planned("ratio", plan={"baseline": 4.0, "baseline_sd": 4.0, "mde": 0.2}).arms == plan.arms
    assert planned("count", plan={"baseline": 4.0, "baseline_sd": 4.0, "mde": 0.2}).arms == plan.arms


def test_an_absolute_effect_on_a_mean_needs_no_baseline():
    plan = planned("mean", plan={"baseline_sd": 1.0, "mde": 0.2, "mde_kind": "absolute"})
    assert (plan.arms["control"], plan.baseline, plan.target) == (393, None, None)
    assert "detect a change of 'y' by +0.2" in plan.explanation


def test_a_negative_mean_improves_upwards():
    plan = planned("mean", plan={"baseline": -4.0, "baseline_sd": 4.0, "mde": 0.2})
    assert (plan.effect, plan.target) == (pytest.approx(0.8), pytest.approx(-3.2))


def test_counts_without_a_standard_deviation_are_poisson_and_say_so():
    """XC-16, V.b: count 1.0262 +20%: 421 per arm, as a declared fallback."""
    plan = planned("count", plan={"baseline": 1.0262, "mde": 0.2})
    assert (plan.arms, plan.method, plan.notes) == ({"control": 421, "treatment": 421}, "poisson_wald", ("poisson_variance",))
    margin = planned("count", margin=0.2, plan={"baseline": 1.0, "objective": "non_inferiority"})
    assert (margin.method, margin.notes) == ("normal_noninferiority", ("poisson_variance",))


def test_one_sided_plans_need_fewer_units():
    two = planned(plan={"baseline": 0.1, "mde": 0.1})
    one = planned(plan={"baseline": 0.1, "mde": 0.1, "alternative": "one-sided"})
    assert one.total < two.total
    assert one.arms == planned(plan={"baseline": 0.1, "mde": 0.1, "alpha": 0.1}).arms


@pytest.mark.parametrize(("direction", "effect"), [("increase", -0.02), ("decrease", 0.02)])
def test_non_inferiority_is_planned_at_its_margin_without_a_difference(direction, effect):
    """Farrington & Manning's 13,131.1 per arm at .5, margin .02, one-sided .025, power .9 (a_power-s0080)."""
    plan = planned(direction=direction, margin=0.02, plan={"baseline": 0.5, "objective": "non_inferiority", "power": 0.9})
    assert plan.arms == {"control": 13_132, "treatment": 13_132}
    assert (plan.effect, plan.method, plan.objective) == (effect, "restricted_mle_noninferiority", "non_inferiority")
    assert f"show 'y' to be within a margin of {effect:+g}" in plan.explanation


def test_a_margin_of_a_mean_is_planned_by_its_standard_deviation():
    """2 (1.95996 + 1.28155)^2 16 / .25 = 1,344.95 per arm: Chow, Shao & Wang (2008), eq. 3.2.4."""
    plan = planned("mean", margin=0.5, plan={"baseline_sd": 4.0, "objective": "non_inferiority", "power": 0.9})
    assert (plan.effect, plan.arms["control"], plan.baseline) == (-0.5, 1345, None)


@pytest.mark.parametrize(
    ("given_spec", "code"),
    [
        (spec(plan={"baseline": 0.1}), "no_mde"),
        (spec(plan={"mde": 0.1}), "no_baseline"),
        (spec(plan={"mde": 0.1, "mde_kind": "absolute"}), "no_baseline"),
        (spec("mean", plan={"mde": 0.1, "baseline_sd": 1.0}), "no_baseline"),
        (spec("mean", plan={"mde": 0.1, "baseline": 1.0}), "no_sd"),
        (spec("ratio", plan={"mde": 0.1, "baseline": 1.0}), "no_sd"),
        (spec("count", plan={"mde": 0.1, "mde_kind": "absolute"}), "no_baseline"),
        (spec(arms=["control", "b"], allocation="unknown", plan={"mde": 0.1, "baseline": 0.1}), "unknown_allocation"),
        (spec(arms=["control", "b"], allocation="adaptive", plan={"mde": 0.1, "baseline": 0.1}), "unknown_allocation"),
        (spec(arms={"control": 0.0, "b": 1.0}, plan={"mde": 0.1, "baseline": 0.1}), "unknown_allocation"),
        (spec(arms={"control": 1.0, "b": 0.0}, plan={"mde": 0.1, "baseline": 0.1}), "unknown_allocation"),
        (spec(margin=0.0, plan={"baseline": 0.1, "objective": "non_inferiority"}), "no_margin"),
        (spec(plan={"mde": 0.5, "baseline": 0.9}), "impossible_target"),
        (spec(plan={"mde": 0.1, "baseline": 5.0}), "impossible_target"),
        (spec("mean", plan={"mde": 0.1, "baseline": 0.0, "baseline_sd": 1.0}), "impossible_target"),
        (spec("count", direction="decrease", plan={"mde": 2.0, "baseline": 1.0}), "impossible_target"),
        (spec(margin=0.01, plan={"objective": "non_inferiority"}), "no_baseline"),
    ],
)
def test_what_cannot_be_planned_says_why(given_spec, code):
    answer = plan_experiment(given_spec)
    assert isinstance(answer, Unavailable)
    assert answer.code == code
    assert answer.reason.endswith(".")


def test_sensitivity_of_the_golden_analysis():
    """V.b: 578/577 at 80% detect .0540 absolute; power is at the planned MDE."""
    power, effect, lift = sensitivity(spec("mean", plan={"mde": 0.05}), {"control": 578, "treatment": 577}, 1.00692, 0.32775)
    assert effect == pytest.approx(0.0540, abs=5e-5)
    assert lift == pytest.approx(effect / 1.00692, rel=1e-12)
    assert power == pytest.approx(power_two_means(0.05 * 1.00692, 0.32775, 578, 577), rel=1e-12)


@pytest.mark.parametrize(
    "given_spec",
    [
        spec(plan={"baseline": 0.05, "mde": 0.2}),
        spec(direction="decrease", plan={"baseline": 0.05, "mde": 0.2}),
        spec(arms={"control": 0.9, "b": 0.1}, plan={"baseline": 0.05, "mde": 0.01, "mde_kind": "absolute", "alternative": "one-sided"}),
        spec(arms={"control": 0.4, "a": 0.4, "b": 0.2}, plan={"baseline": 0.05, "mde": 0.2}),
        spec(margin=0.01, plan={"baseline": 0.05, "objective": "non_inferiority"}),
        spec(direction="decrease", margin=0.01, plan={"baseline": 0.05, "objective": "non_inferiority", "alternative": "one-sided"}),
        spec("mean", plan={"baseline": 0.05, "baseline_sd": 0.1, "mde": 0.2}),
        spec("ratio", margin=0.01, plan={"baseline": 0.05, "baseline_sd": 0.1, "objective": "non_inferiority"}),
    ],
)
def test_the_planned_units_could_show_what_was_planned(given_spec):
    """The two doors agree: at the plan's units power is the plan's, and the effect detected the plan's."""
    plan = plan_experiment(given_spec)
    power, effect, lift = sensitivity(given_spec, plan.arms, 0.05, 0.1)
    assert power >= 0.8
    assert power == pytest.approx(0.8, abs=1e-3)
    assert effect == pytest.approx(abs(plan.effect), rel=1e-2)
    assert effect <= abs(plan.effect)
    assert lift == pytest.approx(effect / 0.05, rel=1e-12)


def test_the_weakest_comparison_is_reported():
    given_spec = spec(arms={"control": 0.4, "a": 0.4, "b": 0.2}, plan={"mde": 0.2, "correction": "none"})
    power, effect, _ = sensitivity(given_spec, {"control": 4000, "a": 4000, "b": 500}, 0.1, None)
    assert power == pytest.approx(power_two_proportions(0.1, 0.12, 4000, 500), rel=1e-12)
    assert effect == pytest.approx(mde_two_proportions(0.1, 4000, 500).effect, rel=1e-12)


def test_power_to_clear_the_margin_is_that_of_the_score_test():
    given_spec = spec(margin=0.02, plan={"objective": "non_inferiority"})
    power, _, _ = sensitivity(given_spec, {"control": 900, "treatment": 1000}, 0.1, None)
    assert power == pytest.approx(power_noninferiority_two_proportions(0.1, -0.02, 900, 1000), rel=1e-12)


def test_shares_that_are_unknown_do_not_hinder_what_the_data_can_show():
    given_spec = spec(arms=["control", "b"], allocation="unknown", plan={"mde": 0.2})
    assert None not in sensitivity(given_spec, {"control": 900, "b": 1000}, 0.1, None)


def test_without_an_mde_the_detectable_effect_is_still_told():
    power, effect, lift = sensitivity(spec(), {"control": 9000, "treatment": 9000}, 0.1, None)
    assert power is None
    assert effect == pytest.approx(mde_two_proportions(0.1, 9000, 9000).effect)
    assert lift == pytest.approx(effect / 0.1)


@pytest.mark.parametrize(
    ("given_spec", "units", "value", "sd"),
    [
        (spec(plan={"mde": 0.1}), {"control": 100}, 0.1, None),
        (spec(plan={"mde": 0.1}), {"control": 0, "treatment": 10}, 0.1, None),
        (spec(plan={"mde": 0.1}), {"control": 100, "treatment": 100}, 0.0, None),
        (spec(plan={"mde": 0.1}), {"control": 100, "treatment": 100}, 1.0, None),
        (spec("mean", plan={"mde": 0.1}), {"control": 100, "treatment": 100}, 1.0, None),
        (spec("count", plan={"mde": 0.1}), {"control": 100, "treatment": 100}, 1.0, None),
        (spec("mean", plan={"mde": 0.1}), {"control": 100, "treatment": 100}, 1.0, 0.0),
        (spec(arms={"control": 1.0, "b": 0.0}, plan={"mde": 0.1}), {"control": 100, "b": 0}, 0.1, None),
    ],
)
def test_data_that_cannot_say_give_nothing(given_spec, units, value, sd):
    """G-5: null, never 0 or 1."""
    assert sensitivity(given_spec, units, value, sd) == (None, None, None)


def test_a_lift_over_zero_is_not_told():
    power, effect, lift = sensitivity(spec("mean", plan={"mde": 0.1, "mde_kind": "absolute"}), {"control": 90, "treatment": 90}, 0.0, 1.0)
    assert (lift, effect > 0, 0 < power < 1) == (None, True, True)


def test_units_too_few_for_any_rate_tell_the_power_alone():
    power, effect, lift = sensitivity(spec(direction="decrease", plan={"mde": 0.1}), {"control": 50, "treatment": 50}, 0.05, None)
    assert 0 < power < 0.1
    assert (effect, lift) == (None, None)


def test_a_test_of_rates_must_know_the_rate():
    test = PlannedTest(rates=True, noninferiority=False, value=None, sd=None, alpha=0.05, power=0.8, alternative="two-sided")
    with pytest.raises(UsageError, match="must know the control's value"):
        test.units(0.1, 0.5)


def test_a_covariate_shrinks_and_clusters_grow_the_plan():
    """V.b CUPED 1 - rho^2; design effect 1 + (m - 1) ICC."""
    plain = planned("mean", plan={"baseline": 10, "baseline_sd": 5, "mde": 0.02})
    cuped = planned("mean", plan={"baseline": 10, "baseline_sd": 5, "mde": 0.02, "covariate_correlation": -0.6})
    clusters = planned("mean", plan={"baseline": 10, "baseline_sd": 5, "mde": 0.02, "cluster_size": 21, "intraclass_correlation": 0.05})
    assert cuped.total == pytest.approx(plain.total * 0.64, abs=2)
    assert clusters.total == pytest.approx(plain.total * 2.0, abs=2)
    assert (cuped.variance_factor, clusters.variance_factor) == (pytest.approx(0.64), pytest.approx(2.0))
    assert "0.640 times those of plain units" in cuped.explanation


@pytest.mark.parametrize("method", ["group_sequential", "hybrid", "always_valid"])
def test_the_power_at_the_planned_size_is_the_planned_one_under_every_method(method):
    options = {"baseline": 0.1, "mde": 0.1, "method": method, "covariate_correlation": 0.5}
    plan = planned(plan=options)
    power, effect, lift = sensitivity(spec(plan=options), plan.arms, 0.1, None)
    assert power == pytest.approx(0.8, abs=1e-3)
    assert effect == pytest.approx(0.01, rel=1e-2)
    assert lift == pytest.approx(0.1, rel=1e-2)
    assert plan.inflation > 1.0


def test_the_inflation_of_five_looks_is_the_published_one():
    """Jennison & Turnbull (2000) table 2.4: O'Brien-Fleming, K = 5, alpha .05, power .8: 1.028; Pocock (table 2.2): 1.229."""
    for spending, factor in (("obrien-fleming", 1.028), ("pocock", 1.229)):
        plan = {"baseline": 0.1, "mde": 0.1, "method": "group_sequential", "sequential": {"spending": spending}}
        assert planned(plan=plan).inflation == pytest.approx(factor, abs=6e-4)
