"""Power of two proportions against tables, an exact enumeration and a second library."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import power_proportions_2indep, proportion_effectsize

from fairtrial.errors import DataError, NotEnoughDataError, UnknownNameError, UsageError
from fairtrial.stats.power_proportions import (
    PROPORTION_VARIANCES,
    calculate_sample_size,
    calculate_sample_size_by_arm,
    estimate_sample_size,
    mde_two_proportions,
    power_two_proportions,
    sample_size_two_proportions,
)

RATES = st.floats(0.01, 0.99)
SHARES = st.floats(0.05, 0.95)
SIDES = st.sampled_from(["two-sided", "one-sided"])
VARIANCES = st.sampled_from(PROPORTION_VARIANCES)


@pytest.mark.parametrize(
    ("baseline", "mde", "total"),
    [
        (0.05, 0.005, 62_468),
        (0.05, 0.01, 16_316),
        (0.05, 0.02, 4_426),
        (0.10, 0.01, 29_502),
        (0.10, 0.02, 7_682),
        (0.10, 0.05, 1_372),
        (0.02, 0.005, 27_618),
        (0.02, 0.01, 7_652),
    ],
)
def test_guidance_table_of_holdouts(baseline, mde, total):
    """HO-20, HO-45, II.b table; exact."""
    assert estimate_sample_size(baseline, mde) == total
    assert estimate_sample_size(baseline_rate=baseline, mde=mde, alpha=0.05, power=0.8, treatment_rate=0.5) == total


@pytest.mark.parametrize(
    ("treatment_share", "treatment", "control"), [(0.8, 20_799, 5_200), (0.9, 41_855, 4_651), (0.95, 83_963, 4_420), (0.5, 8_158, 8_158)]
)
def test_each_arm_is_rounded_up_from_its_own_unrounded_value(treatment_share, treatment, control):
    """G-14, II.b, II.c: 5% +1 point; not 20,800 from a rounded control."""
    size = sample_size_two_proportions(0.05, 0.01, treatment_share=treatment_share)
    assert (size.n_treatment_ceil, size.n_control_ceil, size.total) == (treatment, control, treatment + control)


def test_a_decrease_needs_its_own_size():
    """II.b: a drop of 1 point from 5% needs 6,745 per group."""
    assert sample_size_two_proportions(0.05, -0.01).n_control_ceil == 6_745


@pytest.mark.parametrize(
    ("baseline", "lift", "n"),
    [
        (0.05, 0.10, 31_234),
        (0.15, 0.10, 9_257),
        (0.30, 0.10, 3_763),
        (0.50, 0.10, 1_565),
        (0.05, 0.05, 122_124),
        (0.15, 0.05, 36_310),
        (0.30, 0.05, 14_856),
        (0.50, 0.05, 6_275),
    ],
)
def test_sizes_of_model_experiments(baseline, lift, n):
    """ML-02, IV.b sizes; exact."""
    assert calculate_sample_size(baseline, lift) == n


def test_sizes_by_arm_at_any_split():
    """ML-02, IV.b, IV.c: 95/5 is 91,233 + 4,802 = 96,035, not 9,257/.05 = 185,140."""
    sizes = calculate_sample_size_by_arm(0.15, 0.10, allocation={"champion": 0.95, "challenger": 0.05})
    assert sizes == {"champion": 91_233, "challenger": 4_802}
    turned = calculate_sample_size_by_arm(0.15, 0.10, allocation={"challenger": 0.05, "champion": 0.95}, control="champion")
    assert turned == {"challenger": 4_802, "champion": 91_233}
    assert list(turned) == ["challenger", "champion"]


def test_too_small_a_plan_has_the_power_that_the_brief_warns_of():
    """II.c: 3,142 in total have 23% power; 1,571 per arm detect 2.41 points at 5%. IV.c: 185,140 have 97%, 9,500/500 16%."""
    assert power_two_proportions(0.05, 0.06, 1571, 1571) == pytest.approx(0.23, abs=0.005)
    assert mde_two_proportions(0.05, 1571, 1571).effect == pytest.approx(0.0241, abs=5e-5)
    assert power_two_proportions(0.15, 0.165, 185_140 * 0.95, 185_140 * 0.05) == pytest.approx(0.97, abs=0.005)
    assert power_two_proportions(0.15, 0.165, 9_500, 500) == pytest.approx(0.16, abs=0.005)


def test_sizes_of_catalog_experiments():
    """V.b: 4.5% -> 4.86%; 4.5% -> 5.175% at alpha .10 and power .70; V.c: not 4,080 for 8,158."""
    assert sample_size_two_proportions(0.045, 0.0036).total == 108_066
    assert calculate_sample_size(0.045, 0.08) == 54_033
    assert sample_size_two_proportions(0.045, 0.15, mde_kind="relative", alpha=0.10, power=0.70).n_control_ceil == 9_509
    assert sample_size_two_proportions(0.05, 0.01).n_control_ceil == 8_158


def test_less_power_and_more_metrics_change_the_size_as_the_brief_says():
    """V.b: four metrics under Bonferroni x1.42; power .65 instead of .80 x.70."""
    plain = sample_size_two_proportions(0.045, 0.0036).n_control
    assert sample_size_two_proportions(0.045, 0.0036, alpha=0.05 / 4).n_control / plain == pytest.approx(1.42, abs=0.005)
    assert sample_size_two_proportions(0.045, 0.0036, power=0.65).n_control / plain == pytest.approx(0.70, abs=0.005)


@pytest.mark.parametrize("alternative", ["two-sided", "greater"])
@pytest.mark.parametrize("ratio", [0.25, 1.0, 3.0])
def test_pooled_power_agrees_with_statsmodels(ratio, alternative):
    """Oracle: statsmodels power_proportions_2indep, which counts both tails; rel 1e-9."""
    theirs = power_proportions_2indep(
        0.03, 0.10, 900, ratio=1 / ratio, alpha=0.05, alternative="two-sided" if alternative == "two-sided" else "larger"
    )
    ours = power_two_proportions(0.10, 0.13, 900 / ratio, 900, alternative=alternative, count_opposite_tail=True)
    assert ours == pytest.approx(theirs.power, rel=1e-9)


def test_arcsine_power_agrees_with_statsmodels():
    """Oracle: statsmodels NormalIndPower on Cohen's h; rel 1e-9."""
    h = proportion_effectsize(0.13, 0.10)
    theirs = NormalIndPower().power(h, nobs1=1200, alpha=0.05, ratio=2.0, alternative="two-sided")
    ours = power_two_proportions(0.10, 0.13, 1200, 2400, variance="arcsine", count_opposite_tail=True)
    assert ours == pytest.approx(theirs, rel=1e-9)


def exact_power(p_control, p_treatment, n_control, n_treatment, *, yates):
    """Probability, summed over all outcomes, that the pooled z test rejects upwards at two-sided 5%."""
    x = np.arange(n_control + 1)[:, None]
    y = np.arange(n_treatment + 1)[None, :]
    pooled = (x + y) / (n_control + n_treatment)
    harmonic = 1 / n_control + 1 / n_treatment
    distance = y / n_treatment - x / n_control - (harmonic / 2 if yates else 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        rejects = distance / np.sqrt(pooled * (1 - pooled) * harmonic) > stats.norm.isf(0.025)
    chance = stats.binom.pmf(x, n_control, p_control) * stats.binom.pmf(y, n_treatment, p_treatment)
    return float(chance[rejects].sum())


@pytest.mark.parametrize(("variance", "yates"), [("pooled", False), ("pooled_continuity_corrected", True)])
@pytest.mark.parametrize(
    ("p_control", "p_treatment", "n_control", "n_treatment"), [(0.2, 0.3, 300, 300), (0.5, 0.62, 250, 400), (0.1, 0.2, 500, 200)]
)
def test_the_formula_is_the_power_of_the_test_that_is_run(p_control, p_treatment, n_control, n_treatment, variance, yates):
    """Oracle: exact enumeration of both binomials; 0.015 is what discreteness leaves."""
    formula = power_two_proportions(p_control, p_treatment, n_control, n_treatment, variance=variance)
    assert formula == pytest.approx(exact_power(p_control, p_treatment, n_control, n_treatment, yates=yates), abs=0.015)


@settings(max_examples=80, deadline=None)
@given(RATES, RATES, SHARES, st.floats(0.001, 0.2), st.floats(0.6, 0.99), SIDES, VARIANCES)
def test_power_at_the_size_found_is_the_power_asked(baseline, target, share, alpha, power, alternative, variance):
    assume(abs(target - baseline) > 0.005)
    size = sample_size_two_proportions(
        baseline, target - baseline, alpha=alpha, power=power, treatment_share=share, alternative=alternative, variance=variance
    )
    assume(min(size.n_control, size.n_treatment) >= 1)
    reached = power_two_proportions(
        baseline, baseline + (target - baseline), size.n_control, size.n_treatment, alpha=alpha, alternative=alternative, variance=variance
    )
    assert reached == pytest.approx(power, abs=1e-9)
    assert size.n_treatment / size.n_total == pytest.approx(share, rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(RATES, st.floats(20, 1e6), SHARES, SIDES, VARIANCES, st.sampled_from(["increase", "decrease"]))
def test_the_mde_is_the_nearest_root_of_the_power_function(baseline, n, share, alternative, variance, direction):
    arms = (n * (1 - share), n * share)
    assume(min(arms) >= 1)
    try:
        found = mde_two_proportions(baseline, *arms, alternative=alternative, variance=variance, direction=direction)
    except NotEnoughDataError:
        edge = 1 - 1e-12 if direction == "increase" else 1e-12
        assert power_two_proportions(baseline, edge, *arms, alternative=alternative, variance=variance) < 0.8
        return
    assert (found.effect > 0) == (direction == "increase")
    assert 0 <= found.target <= 1
    if 1e-9 < found.target < 1 - 1e-9:
        assert power_two_proportions(baseline, found.target, *arms, alternative=alternative, variance=variance) == pytest.approx(
            0.8, abs=1e-6
        )
        halfway = baseline + found.effect / 2
        assert power_two_proportions(baseline, halfway, *arms, alternative=alternative, variance=variance) < 0.8


@settings(max_examples=40, deadline=None)
@given(RATES, RATES, SHARES, VARIANCES)
def test_counting_failures_instead_of_successes_changes_nothing(baseline, target, share, variance):
    assume(abs(target - baseline) > 0.005)
    there = sample_size_two_proportions(baseline, target - baseline, treatment_share=share, variance=variance)
    back = sample_size_two_proportions(1 - baseline, baseline - target, treatment_share=share, variance=variance)
    assert back.n_control == pytest.approx(there.n_control, rel=1e-6)


def test_the_directions_of_an_mde_differ():
    """II.b: signed MDE; a decrease of a small rate is easier to see."""
    up = mde_two_proportions(0.05, 5000, 5000)
    down = mde_two_proportions(0.05, 5000, 5000, direction="decrease")
    assert 0 < -down.effect < up.effect
    assert mde_two_proportions(0.05, 5000, 5000, alternative="less", direction="decrease", alpha=0.025).effect == down.effect


def test_the_correction_for_continuity_asks_for_more_units():
    plain = sample_size_two_proportions(0.05, 0.01)
    corrected = sample_size_two_proportions(0.05, 0.01, variance="pooled_continuity_corrected")
    assert corrected.n_control == pytest.approx(plain.n_control / 4 * (1 + math.sqrt(1 + 4 / (plain.n_control * 0.01))) ** 2, rel=1e-12)


@pytest.mark.parametrize("variance", PROPORTION_VARIANCES)
def test_without_an_effect_both_tails_are_twice_one(variance):
    one, both = (power_two_proportions(0.3, 0.3, 80, 80, variance=variance, count_opposite_tail=count) for count in (False, True))
    assert both == pytest.approx(2 * one, rel=1e-12)


def test_every_one_of_several_challengers_has_the_power():
    """IV.b: keyed by model, each against the champion at alpha / k."""
    sizes = calculate_sample_size_by_arm(0.15, 0.1, allocation={"champion": 0.7, "a": 0.2, "b": 0.1})
    for arm in ("a", "b"):
        assert power_two_proportions(0.15, 0.165, sizes["champion"], sizes[arm], alpha=0.025) >= 0.8
    assert power_two_proportions(0.15, 0.165, sizes["champion"], sizes["b"], alpha=0.025) == pytest.approx(0.8, abs=1e-3)


@pytest.mark.parametrize(
    ("call", "rule"),
    [
        (lambda: estimate_sample_size(0.05, 0.01, alpha=95), r"alpha must lie in \(0, 1\), got 95\. For a 95% interval pass alpha=0\.05\."),
        (lambda: estimate_sample_size(0.05, 0.01, power=1), r"power must lie in \(alpha, 1\), got power=1"),
        (lambda: estimate_sample_size(0.0, 0.01), r"baseline must lie in \(0, 1\), got 0\."),
        (lambda: estimate_sample_size(5, 0.01), r"baseline must lie in \(0, 1\), got 5\. Rates are fractions: for 5% pass 0\.05\."),
        (lambda: estimate_sample_size(0.05, 0), r"mde must be a finite number other than 0, got 0\."),
        (lambda: estimate_sample_size(0.05, 0.95), r"baseline and mde must give a rate in \(0, 1\), got 1\."),
        (lambda: estimate_sample_size(0.05, -0.06), r"baseline and mde must give a rate in \(0, 1\), got -0\.01\."),
        (lambda: estimate_sample_size(0.05, 0.01, treatment_rate=0), r"treatment_share must lie in \(0, 1\), got 0\."),
        (
            lambda: calculate_sample_size_by_arm(0.1, 0.1, allocation={"a": 1.0, "b": 0.0}),
            r"the share of arm 'a' must lie in \(0, 1\), got 1\.",
        ),
        (lambda: calculate_sample_size_by_arm(0.1, 0.1, allocation={"a": 0.5, "b": 0.4}), r"allocation must sum to 1, got 0\.9\."),
        (lambda: calculate_sample_size_by_arm(0.1, 0.1, allocation={"a": 0.9}), r"a control and at least one treatment, got \['a'\]\."),
        (lambda: mde_two_proportions(0.1, 100, 100, direction="up"), r"direction must be 'increase' or 'decrease', got 'up'\."),
        (
            lambda: mde_two_proportions(0.1, 100, 100, alternative="less"),
            r"alternative 'less' cannot detect an effect of direction 'increase'\.",
        ),
    ],
)
def test_an_argument_out_of_range_is_refused_with_the_rule(call, rule):
    """HO-11: each rate in (0, 1), mde not 0, baseline + mde in (0, 1)."""
    with pytest.raises(UsageError, match=rule):
        call()


def test_unknown_names_list_what_is_known():
    with pytest.raises(UnknownNameError, match=r"No variance named 'poled'.*Did you mean 'pooled'\?"):
        sample_size_two_proportions(0.05, 0.01, variance="poled")
    with pytest.raises(UnknownNameError, match="No arm named 'champ'"):
        calculate_sample_size_by_arm(0.1, 0.1, allocation={"champion": 0.5, "b": 0.5}, control="champ")


def test_units_that_cannot_detect_anything_say_so():
    with pytest.raises(NotEnoughDataError, match=r"detectable treatment rate must lie between 0\.05 and 0"):
        mde_two_proportions(0.05, 100, 100, direction="decrease")
    with pytest.raises(DataError, match="at least one unit"):
        power_two_proportions(0.05, 0.06, 0, 100)
