"""One formula path for means, ratios and both adjusted: its limits, its symmetries, its flags."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fairtrial.errors import UsageError
from fairtrial.stats.contrast import REASONS, BatchMoments, expand, linear_contrast
from fairtrial.stats.moments import CoMoments

FIELDS = ["effect", "control", "treatment", "control_variance", "treatment_variance", "covariance", "std_error", "df", "theta"]


def sample(seed, k, n=40, loc=5.0):
    rng = np.random.default_rng(seed)
    return loc + rng.normal(0, 1, (n, k)) @ rng.uniform(0.5, 1.5, (k, k))


def contrast_of(control, treatment, layout="mean", **options):
    return linear_contrast(expand([CoMoments.from_values(control)], layout), expand([CoMoments.from_values(treatment)], layout), **options)


def test_a_mean_without_covariate_is_welch():
    """Oracle: scipy.stats.ttest_ind, 1e-12."""
    control, treatment = sample(1, 1), sample(2, 1, n=55, loc=5.4)
    ours, scipys = contrast_of(control, treatment), stats.ttest_ind(treatment[:, 0], control[:, 0], equal_var=False)
    assert ours.statistic.item() == pytest.approx(scipys.statistic, rel=1e-12)
    assert ours.df.item() == pytest.approx(scipys.df, rel=1e-12)
    assert ours.p_value().item() == pytest.approx(scipys.pvalue, rel=1e-12)
    ends = scipys.confidence_interval(0.9)
    assert [end.item() for end in ours.interval(alpha=0.1)] == pytest.approx([ends.low, ends.high], rel=1e-12)


@given(seed=st.integers(0, 10**6), layout=st.sampled_from(["ratio", "ratio_cuped", "mean_cuped"]))
@settings(max_examples=40, deadline=None)
def test_what_is_missing_is_a_constant(seed, layout):
    """A denominator of ones and a constant covariate change nothing (but a ratio's quantile)."""
    control, treatment = sample(seed, 1), sample(seed + 1, 1, n=31)
    one_c, one_t = np.ones_like(control), np.ones_like(treatment)
    columns = {"ratio": (1.0,), "mean_cuped": (0.1,), "ratio_cuped": (1.0, 0.1, 1.0)}[layout]
    full = contrast_of(
        np.hstack([control, *(one_c * c for c in columns)]), np.hstack([treatment, *(one_t * c for c in columns)]), layout, quantile="t"
    )
    plain = contrast_of(control, treatment)
    for field in FIELDS:
        np.testing.assert_allclose(getattr(full, field), getattr(plain, field), rtol=1e-9, atol=1e-14, err_msg=field)


def test_a_ratio_is_judged_by_the_normal_distribution_and_a_mean_by_t():
    control, treatment = sample(3, 2), sample(4, 2)
    assert np.isinf(contrast_of(control, treatment, "ratio").df).all()
    assert np.isfinite(contrast_of(control, treatment, "mean_cuped").df).all()
    assert np.isinf(contrast_of(control, treatment, "mean_cuped", quantile="normal").df).all()


@given(
    seed=st.integers(0, 10**6),
    layout=st.sampled_from(["mean", "ratio", "mean_cuped", "ratio_cuped"]),
    scale=st.floats(0.01, 100),
)
@settings(max_examples=60, deadline=None)
def test_scaling_the_outcome_scales_the_effect_and_swapping_the_arms_turns_it(seed, layout, scale):
    k = {"mean": 1, "ratio": 2, "mean_cuped": 2, "ratio_cuped": 4}[layout]
    control, treatment = sample(seed, k), sample(seed + 1, k, n=33)
    factor = np.array([scale] + [1.0] * (k - 1))
    one, scaled = contrast_of(control, treatment, layout), contrast_of(control * factor, treatment * factor, layout)
    swapped = contrast_of(treatment, control, layout)
    assert scaled.effect.item() == pytest.approx(scale * one.effect.item(), rel=1e-9, abs=1e-12 * scale)
    assert scaled.std_error.item() == pytest.approx(scale * one.std_error.item(), rel=1e-9)
    assert swapped.effect.item() == pytest.approx(-one.effect.item(), rel=1e-9, abs=1e-13)
    assert swapped.std_error.item() == pytest.approx(one.std_error.item(), rel=1e-9)
    assert swapped.p_value(alternative="less").item() == pytest.approx(one.p_value(alternative="greater").item(), rel=1e-7)


@given(seed=st.integers(0, 10**6), shift=st.sampled_from([-3.0, 1e3, 1e6, 1e9]), layout=st.sampled_from(["mean", "mean_cuped"]))
@settings(max_examples=60, deadline=None)
def test_shifting_outcome_and_covariate_leaves_the_inference_alone(seed, shift, layout):
    k = 1 if layout == "mean" else 2
    control, treatment = np.round(sample(seed, k), 3), np.round(sample(seed + 1, k, n=33), 3)
    one, moved = contrast_of(control, treatment, layout), contrast_of(control + shift, treatment + shift, layout)
    assert moved.effect.item() == pytest.approx(one.effect.item(), abs=4e-16 * max(abs(shift), 10) * 4)
    assert moved.std_error.item() == pytest.approx(one.std_error.item(), rel=1e-6)
    assert moved.df.item() == pytest.approx(one.df.item(), rel=1e-5)


@pytest.mark.parametrize("layout", ["mean", "ratio", "mean_cuped", "ratio_cuped", (True, False, True, True), (True, True, True, False)])
def test_a_batch_gives_what_each_metric_gives_alone(layout):
    k = {"mean": 1, "ratio": 2, "mean_cuped": 2, "ratio_cuped": 4}.get(layout, 3) if isinstance(layout, str) else sum(layout)
    controls = [CoMoments.from_values(sample(seed, k)) for seed in range(5)]
    treatments = [CoMoments.from_values(sample(seed + 50, k, n=25)) for seed in range(5)]
    batch = linear_contrast(expand(controls, layout), expand(treatments, layout))
    for index, (control, treatment) in enumerate(zip(controls, treatments, strict=True)):
        alone = linear_contrast(expand([control], layout), expand([treatment], layout))
        for field in FIELDS:
            assert getattr(batch, field)[index] == pytest.approx(getattr(alone, field).item(), rel=1e-12, abs=1e-15), field


def test_one_control_is_compared_with_many_treatments_by_broadcasting():
    control = expand([CoMoments.from_values(sample(1, 2))], "mean_cuped")
    treatments = expand([CoMoments.from_values(sample(seed, 2)) for seed in (7, 8, 9)], "mean_cuped")
    batch = linear_contrast(control, treatments)
    assert batch.effect.shape == batch.std_error.shape == batch.theta.shape == batch.n_control.shape == (3,)
    third = contrast_of(sample(1, 2), sample(9, 2), "mean_cuped")
    assert batch.effect[2] == pytest.approx(third.effect.item(), rel=1e-12)


def test_an_entry_without_inference_leaves_its_neighbours_alone():
    """G-5, G-12: flagged with its reason, no warning, no p-value of 1; the difference of a constant metric stands."""
    good = CoMoments.from_values(sample(1, 2))
    constant_c, constant_t = CoMoments.from_values(np.full((10, 2), 0.1)), CoMoments.from_values(np.full((9, 2), (0.3, 0.1)))
    single = CoMoments.from_values(np.array([[3.0, 1.0]]))
    no_denominator = CoMoments.from_values(np.column_stack([np.arange(10.0), np.tile([1.0, -1.0], 5)]))
    pairs = [(good, good), (constant_c, constant_t), (single, good), (good, no_denominator), (good, good)]
    batch = linear_contrast(expand([c for c, _ in pairs], "ratio"), expand([t for _, t in pairs], "ratio"))
    codes = [reason.code if (reason := batch.unavailable(i)) else None for i in range(5)]
    assert codes == [None, "no_variance", "too_few_units", "zero_denominator", None]
    assert batch.undefined.tolist() == [False, True, True, True, False]
    assert batch.effect[1] == pytest.approx(2.0)
    assert np.isfinite(batch.p_value()).tolist() == [True, False, False, False, True]
    low, high = batch.interval(alpha=0.05)
    assert np.isfinite(low).tolist() == np.isfinite(high).tolist() == [True, False, False, False, True]
    assert batch.std_error[0] == batch.std_error[4]


def test_a_constant_column_of_inexact_numbers_has_no_variance():
    """0.1 is no binary fraction: the mean of many is off by rounding, and that is no spread."""
    values = np.full((1000, 1), 0.1)
    off = CoMoments(n=1000, mean=np.array([0.1 + 1e-16]), cross=np.array([[1000 * 1e-32]]))
    for control in (CoMoments.from_values(values), off):
        assert linear_contrast(expand([control]), expand([off])).unavailable(0) == REASONS[3]


@pytest.mark.parametrize("factor", [2.0, 0.1, 1 / 3])
def test_a_ratio_that_is_the_same_in_every_unit_has_no_variance(factor):
    denominators = [np.random.default_rng(seed).integers(1, 9, 200).astype(float) for seed in (1, 2)]
    control, treatment = (np.column_stack([factor * d, d]) for d in denominators)
    assert contrast_of(control, treatment, "ratio").unavailable(0) == REASONS[3]


def test_an_outcome_that_its_covariate_tells_entirely_has_no_variance_left():
    control, treatment = sample(1, 1), sample(2, 1)
    contrast = contrast_of(np.hstack([3 * control + 1, control]), np.hstack([3 * treatment + 1, treatment]), "mean_cuped")
    assert contrast.unavailable(0) == REASONS[3]
    assert contrast.effect.item() == pytest.approx(0.0, abs=1e-12)


def test_one_constant_arm_leaves_the_other_arms_degrees_of_freedom():
    control, treatment = np.ones((12, 1)), sample(2, 1, n=20)
    contrast = contrast_of(control, treatment)
    assert contrast.df.item() == pytest.approx(19.0)
    assert not contrast.undefined.item()


def test_numbers_too_large_to_square_are_flagged():
    control = CoMoments(n=10, mean=np.array([1e200, 1e-200]), cross=np.eye(2))
    assert linear_contrast(expand([control], "ratio"), expand([control], "ratio")).unavailable(0) == REASONS[4]


@given(seed=st.integers(0, 10**6), alpha=st.floats(0.005, 0.3), side=st.sampled_from(["two-sided", "greater", "less"]))
@settings(max_examples=60, deadline=None)
def test_p_at_a_margin_is_below_alpha_exactly_when_the_interval_excludes_the_margin(seed, alpha, side):
    contrast = contrast_of(sample(seed, 2), sample(seed + 1, 2), "mean_cuped")
    for margin in (-0.5, 0.0, 0.2):
        p_value = contrast.p_value(alternative=side, margin=margin).item()
        low, high = contrast.interval(alpha=alpha, alternative=side)
        assert (margin < low.item() or margin > high.item()) == (p_value < alpha)


def test_batches_add_as_units_pool():
    first, second = sample(1, 4), sample(2, 4, n=17)
    merged = expand([CoMoments.from_values(first)], "ratio_cuped") + expand([CoMoments.from_values(second)], "ratio_cuped")
    pooled = expand([CoMoments.from_values(np.vstack([first, second]))], "ratio_cuped")
    np.testing.assert_allclose(merged.mean, pooled.mean, rtol=1e-13)
    np.testing.assert_allclose(merged.cross, pooled.cross, rtol=1e-10)


def test_no_metrics_give_no_contrasts():
    assert linear_contrast(expand([]), expand([])).effect.shape == (0,)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: expand([m], "mean"), "1 columns, got moments of 2"),
        (lambda m: expand([m], "median"), "'median'"),
        (lambda m: expand([m], (False, True, True, False)), "needs a numerator"),
        (lambda m: expand([m], (True, False, False, True)), "covariate"),
        (lambda m: linear_contrast(expand([m], "ratio"), expand([m], "mean_cuped")), "same columns"),
        (lambda m: linear_contrast(expand([m], "mean_cuped"), expand([m], "mean_cuped"), theta_method="best"), "theta_method"),
        (lambda m: linear_contrast(expand([m], "ratio"), expand([m], "ratio"), quantile="z"), "quantile"),
        (lambda m: linear_contrast(expand([m], "ratio"), expand([m], "ratio"), variances="same"), "variances"),
        (lambda _: BatchMoments(n=np.ones(2), mean=np.ones((2, 4)), cross=np.ones((2, 4))), "cross-products"),
    ],
)
def test_a_wrong_option_is_named(call, words):
    with pytest.raises(UsageError, match=words):
        call(CoMoments.from_values(sample(1, 2)))
