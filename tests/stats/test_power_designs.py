"""Sizes of designs beyond one treatment and one plain mean."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairtrial.errors import UnknownNameError, UsageError
from fairtrial.stats.power_designs import (
    MultiArmDesign,
    RatioMoments,
    interaction_of_rates,
    sample_size_cluster,
    sample_size_multi_arm_proportions,
    sample_size_ratio_metric,
    sample_size_two_means_cuped,
    sample_size_two_poisson_rates,
    sample_size_two_way_interaction_proportions,
    sample_size_with_cuped,
)
from fairtrial.stats.power_means import sample_size_two_means
from fairtrial.stats.power_proportions import sample_size_two_proportions


def test_poisson_counts_of_the_brief():
    """V.b: count 1.0262 +20%, Poisson: 421 per arm."""
    assert sample_size_two_poisson_rates(1.0262, 1.0262 * 1.2).n_control_ceil == 421


def test_more_exposure_needs_fewer_units():
    once = sample_size_two_poisson_rates(0.5, 0.55)
    assert sample_size_two_poisson_rates(0.5, 0.55, exposure_per_unit=4.0).n_control == pytest.approx(once.n_control / 4, rel=1e-12)


@pytest.mark.slow
def test_poisson_power_holds_in_simulation():
    """Calibration: 20,000 Wald tests at the size found reject 80%, to 4 standard errors (.0113)."""
    size = sample_size_two_poisson_rates(1.0, 1.2)
    rng = np.random.default_rng(3)
    n = size.n_control_ceil
    x, y = rng.poisson(n * 1.0, 20_000) / n, rng.poisson(n * 1.2, 20_000) / n
    assert float(((y - x) / np.sqrt((x + y) / n) > 1.959964).mean()) == pytest.approx(0.8, abs=0.0113)


@pytest.mark.parametrize(
    ("design", "comparisons", "alpha"),
    [
        (MultiArmDesign(3), 2, 0.025),
        (MultiArmDesign(4, "all_pairs"), 6, 0.05 / 6),
        (MultiArmDesign(4, correction="sidak"), 3, 1 - 0.95 ** (1 / 3)),
        (MultiArmDesign(4, correction="none"), 3, 0.05),
        (MultiArmDesign(2), 1, 0.05),
    ],
)
def test_alpha_is_divided_over_the_comparisons(design, comparisons, alpha):
    assert design.number_of_comparisons == comparisons
    assert design.alpha_per_comparison(0.05) == pytest.approx(alpha, rel=1e-14)


def test_two_arms_need_no_correction():
    assert sample_size_multi_arm_proportions(MultiArmDesign(2), 0.05, 0.01) == sample_size_two_proportions(0.05, 0.01).n_control


def test_a_covariate_saves_the_variance_that_it_explains():
    saved = sample_size_with_cuped(8000, 0.3)
    assert (saved.n, saved.variance_reduction) == (pytest.approx(7280.0), pytest.approx(0.09))
    plain = sample_size_two_means(0.5, (8.0, 10.0))
    adjusted = sample_size_two_means_cuped(0.5, (8.0, 10.0), -0.6)
    assert adjusted.n_control == pytest.approx(plain.n_control * 0.64, rel=1e-12)


def test_clusters_of_one_unit_are_no_clusters():
    size = sample_size_cluster(640, 1.0, 0.2)
    assert (size.design_effect, size.clusters_per_arm_ceil) == (1.0, 640)


def test_float_noise_adds_no_cluster():
    """G-14: 1560.0000000000002 / 20 is 78 clusters."""
    assert sample_size_cluster(800, 20, 0.05).clusters_per_arm_ceil == 78


def test_the_design_effect_is_the_variance_of_a_mean_of_correlated_units():
    """Oracle: 1' R 1 / m for exchangeable correlation, clusters of unequal size weighted by it."""
    sizes, icc = np.array([2.0, 5.0, 11.0]), 0.07
    variance = sum(m * (1 + (m - 1) * icc) for m in sizes) / sizes.sum()
    cv = float(sizes.std() / sizes.mean())
    assert sample_size_cluster(1000, float(sizes.mean()), icc, cluster_size_cv=cv).design_effect == pytest.approx(variance, rel=1e-12)


def test_the_unit_variance_of_a_ratio_is_that_of_its_linearised_units():
    """Oracle: variance of (x - R y) / mean(y) over the units themselves."""
    rng = np.random.default_rng(5)
    y = rng.poisson(5, 4000) + 1.0
    x = rng.binomial(y.astype(int), 0.2) * 1.0
    cov = np.cov(x, y)
    moments = RatioMoments(
        mean_numerator=float(x.mean()), mean_denominator=float(y.mean()), var_numerator=cov[0, 0], var_denominator=cov[1, 1], cov=cov[0, 1]
    )
    linearised = (x - moments.ratio * y) / y.mean()
    assert moments.unit_variance == pytest.approx(float(linearised.var(ddof=1)), rel=1e-9)


def test_a_ratio_by_a_constant_is_a_mean():
    moments = RatioMoments(mean_numerator=0.5, mean_denominator=2.0, var_numerator=0.9, var_denominator=0.0, cov=0.0)
    assert sample_size_ratio_metric(moments, 0.1).n_control == pytest.approx(
        sample_size_two_means(0.025, 0.9**0.5 / 2).n_control, rel=1e-12
    )


@settings(max_examples=30, deadline=None)
@given(st.tuples(*[st.floats(0.02, 0.98)] * 4))
def test_swapping_the_two_experiments_changes_no_interaction(cells):
    none, only_a, only_b, both = cells
    if abs(interaction_of_rates(cells)) < 1e-3:
        return
    here = sample_size_two_way_interaction_proportions(cells)
    assert here == pytest.approx(sample_size_two_way_interaction_proportions((none, only_b, only_a, both)), rel=1e-12)


def test_an_interaction_needs_twice_the_units_of_a_main_effect_in_each_of_twice_the_cells():
    """A contrast of four cells has twice the variance of one of two."""
    cell = sample_size_two_way_interaction_proportions((0.5, 0.5, 0.5, 0.51))
    pair = sample_size_two_proportions(0.5, 0.01, variance="unpooled").n_control
    assert cell / pair == pytest.approx(2.0, abs=1e-3)


@pytest.mark.parametrize(
    ("call", "error", "rule"),
    [
        (lambda: MultiArmDesign(1), UsageError, r"at least 2 arms, got 1\."),
        (lambda: MultiArmDesign(3, "some"), UnknownNameError, "No set of comparisons named 'some'"),
        (lambda: MultiArmDesign(3, correction="holm"), UnknownNameError, "No correction named 'holm'"),
        (lambda: MultiArmDesign(3).alpha_per_comparison(5), UsageError, r"alpha must lie in \(0, 1\), got 5\."),
        (lambda: sample_size_with_cuped(100, 1.0), UsageError, r"correlation must lie in \(-1, 1\), got 1\."),
        (lambda: sample_size_with_cuped(0, 0.5), UsageError, "n_without_covariate must be a finite number above 0"),
        (lambda: sample_size_cluster(100, 0.5, 0.1), UsageError, r"mean_cluster_size must be at least 1, got 0\.5\."),
        (lambda: sample_size_cluster(100, 5, 1.1), UsageError, r"icc must lie in \[0, 1\], got 1\.1\."),
        (lambda: sample_size_cluster(100, 5, 0.1, cluster_size_cv=-1), UsageError, r"cluster_size_cv must be at least 0, got -1\."),
        (lambda: sample_size_two_poisson_rates(0, 1), UsageError, "rate_control must be a finite number above 0"),
        (lambda: sample_size_two_poisson_rates(1, 1), UsageError, "difference must be a finite number other than 0"),
        (lambda: sample_size_two_poisson_rates(1, 2, exposure_per_unit=0), UsageError, "exposure_per_unit must be"),
        (lambda: sample_size_two_way_interaction_proportions((0, 0.1, 0.1, 0.2)), UsageError, r"rate of cell a0b0 must lie in \(0, 1\)"),
        (lambda: sample_size_two_way_interaction_proportions((0.25, 0.5, 0.25, 0.5)), UsageError, "side of the alternative"),
    ],
)
def test_an_argument_out_of_range_is_refused_with_the_rule(call, error, rule):
    with pytest.raises(error, match=rule):
        call()


def test_a_ratio_without_denominator_or_spread_is_refused():
    with pytest.raises(UsageError, match="mean_denominator must not be 0"):
        RatioMoments(mean_numerator=1, mean_denominator=0, var_numerator=1, var_denominator=1, cov=0)
    with pytest.raises(UsageError, match="Variances must not be negative, got -1 and 1"):
        RatioMoments(mean_numerator=1, mean_denominator=1, var_numerator=-1, var_denominator=1, cov=0)
    constant = RatioMoments(mean_numerator=1, mean_denominator=1, var_numerator=0, var_denominator=0, cov=0)
    with pytest.raises(UsageError, match="unit variance of the ratio must be a finite number above 0"):
        sample_size_ratio_metric(constant, 0.1)
