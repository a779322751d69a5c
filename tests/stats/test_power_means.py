"""Power of two means against tables, a simulation and a second library."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.power import TTestIndPower

from fairtrial.errors import DataError, NotEnoughDataError, UnknownNameError, UsageError
from fairtrial.stats.power_means import (
    MEAN_DISTRIBUTIONS,
    mde_relative_two_means,
    mde_two_means,
    power_two_means,
    sample_size_two_means,
    std_error_of_lift,
)

STUDENT = "noncentral_t_pooled_variance"
WELCH = "noncentral_t_welch"


@pytest.mark.parametrize(
    ("d", "n_control", "n_treatment", "power"), [(0.1, 578, 577, 0.397), (0.2, 578, 577, 0.924), (0.2, 100, 100, 0.291)]
)
def test_power_of_a_t_test(d, n_control, n_treatment, power):
    """V.b: power of a t test, to the three digits printed; V.c: never .924 for a true .397."""
    assert power_two_means(d, 1.0, n_control, n_treatment, distribution=STUDENT, count_opposite_tail=True) == pytest.approx(power, abs=5e-4)


def test_mde_of_the_golden_analysis():
    """V.b: 578/577 at 80% detect d .1649, .0540 absolute (pooled sd .32775)."""
    found = mde_two_means(0.32775, 578, 577, baseline=1.00692)
    assert found.effect / 0.32775 == pytest.approx(0.1649, abs=5e-5)
    assert found.effect == pytest.approx(0.0540, abs=5e-5)
    assert found.lift == pytest.approx(0.0540 / 1.00692, abs=5e-5)


def test_sizes_of_the_brief():
    """V.b: CV 1 +20% 393; d .594 46 + 46 and at 90% 61 + 61; +8% of 1.004 with sd 1.234 (d .0651) about 3,706."""
    assert sample_size_two_means(0.2, 1.0).n_control_ceil == 393
    assert sample_size_two_means(0.594, 1.0, distribution=STUDENT).n_control_ceil == 46
    assert sample_size_two_means(0.594, 1.0, power=0.9, distribution=STUDENT).n_control_ceil == 61
    assert sample_size_two_means(0.08 * 1.004, 1.234).n_control_ceil == pytest.approx(3706, abs=1)
    assert sample_size_two_means(0.0651, 1.0).n_control_ceil == pytest.approx(3706, abs=2)


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
@pytest.mark.parametrize(("n_control", "ratio"), [(5, 1.0), (40, 0.5), (300, 3.0)])
def test_student_power_agrees_with_statsmodels(n_control, ratio, alternative):
    """Oracle: statsmodels TTestIndPower; rel 1e-8."""
    theirs = TTestIndPower().power(
        0.4, n_control, 0.05, ratio=ratio, alternative={"greater": "larger", "less": "smaller"}.get(alternative, alternative)
    )
    ours = power_two_means(0.8, 2.0, n_control, n_control * ratio, alternative=alternative, distribution=STUDENT, count_opposite_tail=True)
    assert ours == pytest.approx(theirs, rel=1e-8)


def test_welch_power_is_that_of_welchs_test():
    """Oracle: 100,000 simulated Welch tests (SciPy), fixed seed; 4 standard errors of the simulation are .0063."""
    rng = np.random.default_rng(7)
    control, treatment = rng.normal(0.0, 1.0, (100_000, 10)), rng.normal(1.2, 2.0, (100_000, 20))
    p = stats.ttest_ind(treatment, control, axis=1, equal_var=False).pvalue
    ours = power_two_means(1.2, (1.0, 2.0), 10, 20, distribution=WELCH, count_opposite_tail=True)
    assert ours == pytest.approx(float((p < 0.05).mean()), abs=0.0063)


@pytest.mark.parametrize("n", [3, 5, 40])
def test_welchs_test_of_equal_arms_is_students(n):
    """Satterthwaite's degrees of freedom are 2 (n - 1) there."""
    assert power_two_means(0.9, 1.0, n, n, distribution=WELCH) == pytest.approx(
        power_two_means(0.9, 1.0, n, n, distribution=STUDENT), rel=1e-12
    )


@settings(max_examples=60, deadline=None)
@given(
    d=st.floats(0.05, 1.5),
    sd=st.floats(0.1, 100.0),
    share=st.floats(0.1, 0.9),
    alpha=st.floats(0.001, 0.2),
    power=st.floats(0.5, 0.99),
    alternative=st.sampled_from(["two-sided", "one-sided"]),
    distribution=st.sampled_from(MEAN_DISTRIBUTIONS),
)
def test_power_at_the_size_found_is_the_power_asked(d, sd, share, alpha, power, alternative, distribution):
    size = sample_size_two_means(
        d * sd, sd, alpha=alpha, power=power, treatment_share=share, alternative=alternative, distribution=distribution
    )
    if min(size.n_control, size.n_treatment) < 1.06:
        return
    reached = power_two_means(d * sd, sd, size.n_control, size.n_treatment, alpha=alpha, alternative=alternative, distribution=distribution)
    assert reached == pytest.approx(power, abs=1e-8)


@settings(max_examples=60, deadline=None)
@given(
    sd=st.floats(0.1, 100.0),
    n_control=st.integers(2, 100_000),
    n_treatment=st.integers(2, 100_000),
    power=st.floats(0.3, 0.99),
    alternative=st.sampled_from(["two-sided", "greater", "less"]),
    distribution=st.sampled_from(MEAN_DISTRIBUTIONS),
)
def test_the_mde_is_the_root_of_the_power_function(sd, n_control, n_treatment, power, alternative, distribution):
    found = mde_two_means(sd, n_control, n_treatment, power=power, alternative=alternative, distribution=distribution)
    assert (found.effect < 0) == (alternative == "less")
    reached = power_two_means(found.effect, sd, n_control, n_treatment, alternative=alternative, distribution=distribution)
    assert reached == pytest.approx(power, abs=1e-8)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.05, 2.0), st.floats(0.01, 100.0), st.sampled_from(MEAN_DISTRIBUTIONS))
def test_a_change_of_unit_changes_no_size(d, scale, distribution):
    here = sample_size_two_means(d, (1.0, 1.0), distribution=distribution)
    there = sample_size_two_means(d * scale, (scale, scale), distribution=distribution)
    assert there.n_control == pytest.approx(here.n_control, rel=1e-7)


def test_distributions_agree_in_large_arms_and_the_t_asks_for_more_in_small_ones():
    sizes = {name: sample_size_two_means(0.05, 1.0, distribution=name).n_control for name in MEAN_DISTRIBUTIONS}
    assert max(sizes.values()) / min(sizes.values()) == pytest.approx(1.0, abs=1e-3)
    assert sample_size_two_means(1.5, 1.0, distribution=STUDENT).n_control > sample_size_two_means(1.5, 1.0).n_control


def test_an_effect_that_two_units_show_is_sized_at_the_least_that_has_a_variance():
    size = sample_size_two_means(1e9, 1.0, distribution=STUDENT)
    assert 1.0 < size.n_control < 2.0
    assert sample_size_two_means(1e9, 1.0, power=0.3, distribution=STUDENT).n_control == pytest.approx(1.05)


@pytest.mark.parametrize("df_units", [1.3, 1.6, 3.0])
def test_power_is_continuous_where_the_chi_square_limit_takes_over(df_units):
    """At a noncentrality of 1e4 the two forms agree to 1e-7."""
    se = (2 / df_units) ** 0.5
    below, above = (
        power_two_means(shift * se, 1.0, df_units, df_units, alpha=1e-6, distribution=STUDENT) for shift in (1e4, 1e4 * (1 + 1e-9))
    )
    assert above == pytest.approx(below, abs=1e-7)
    assert power_two_means(-1e6 * se, 1.0, df_units, df_units, alternative="greater", distribution=STUDENT) == 0.0


def test_a_lift_is_detected_by_the_coefficient_of_variation():
    found = mde_relative_two_means(50, 10, 5000, 5000)
    assert std_error_of_lift(50, 10, 5000, 5000) == pytest.approx(0.004, rel=1e-12)
    assert found.lift == pytest.approx((1.959963984540054 + 0.8416212335729143) * 0.004, rel=1e-12)


@pytest.mark.parametrize(
    ("call", "error", "rule"),
    [
        (lambda: sample_size_two_means(0.0, 1.0), UsageError, r"difference must be a finite number other than 0, got 0\."),
        (lambda: sample_size_two_means(0.1, 0.0), UsageError, r"sd of the control must be a finite number above 0, got 0\."),
        (lambda: sample_size_two_means(0.1, (1.0, -1.0)), UsageError, r"sd of the treatment must be a finite number above 0, got -1\."),
        (lambda: sample_size_two_means(0.1, 1.0, treatment_share=0.0), UsageError, r"treatment_share must lie in \(0, 1\), got 0\."),
        (lambda: sample_size_two_means(0.1, 1.0, alpha=5), UsageError, r"alpha must lie in \(0, 1\), got 5\."),
        (lambda: sample_size_two_means(0.1, 1.0, distribution="t"), UnknownNameError, "No distribution named 't'"),
        (lambda: power_two_means(0.1, (1.0, 2.0), 9, 9, distribution=STUDENT), UsageError, "assumes one standard deviation, got 1 and 2"),
        (lambda: power_two_means(0.1, 1.0, 0, 9), DataError, "at least one unit"),
        (lambda: power_two_means(0.1, 1.0, 1, 1, distribution=STUDENT), NotEnoughDataError, "no degrees of freedom with 1 and 1"),
        (lambda: power_two_means(0.1, 1.0, 1, 9, distribution=WELCH), NotEnoughDataError, "no degrees of freedom with 1 and 9"),
        (lambda: mde_relative_two_means(0.0, 1.0, 9, 9), UsageError, "mean must be a finite number other than 0 for a relative effect"),
    ],
)
def test_an_argument_out_of_range_is_refused_with_the_rule(call, error, rule):
    with pytest.raises(error, match=rule):
        call()
