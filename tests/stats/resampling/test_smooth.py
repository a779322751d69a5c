"""Bootstrap of smooth functions of sums."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fairtrial.errors import DataError, NotEnoughDataError, UnknownNameError, UsageError
from fairtrial.stats.cuped import cuped_test
from fairtrial.stats.lift import lift_of_means
from fairtrial.stats.means import welch_test
from fairtrial.stats.moments import CoMoments, Moments
from fairtrial.stats.ratio import ratio_test
from fairtrial.stats.resampling.buckets import BucketSums, bucket_sums, cluster_sums, unit_sums
from fairtrial.stats.resampling.smooth import (
    bootstrap_std_error_of_mean,
    bucket_counts,
    moment_bootstrap,
    smooth_bootstrap,
    smooth_bootstrap_one_sample,
)
from fairtrial.stats.resampling.sums import ArmMoments, cuped_difference

MONTE_CARLO = 4.5
"""Standard errors of a bootstrapped standard error, 1 / sqrt(2 R), that we allow."""


def seeded(seed=7):
    return np.random.default_rng(seed)


def two_columns(n, seed, slope=0.8):
    rng = np.random.default_rng(seed)
    covariate = rng.normal(5.0, 1.0, n)
    return np.column_stack([10.0 + slope * covariate + rng.exponential(1.0, n), covariate])


def test_counts_are_multinomial():
    """Every resample draws as many buckets as there are; counts vary as they should."""
    counts = np.concatenate(list(bucket_counts(50, 40_000, seeded())))
    assert counts.shape == (40_000, 50)
    assert (counts.sum(axis=1) == 50).all()
    assert counts.var() == pytest.approx(1 - 1 / 50, abs=0.01)


def test_the_draws_are_those_of_scipy():
    """scipy.stats.bootstrap, 20,000 resamples: quantiles of the difference within Monte Carlo error."""
    rng = seeded(1)
    control, treatment = rng.lognormal(size=30), rng.lognormal(0.2, 1.0, size=25)
    ours = smooth_bootstrap(unit_sums(control), unit_sums(treatment), resamples=20_000, rng=seeded(2))

    def difference(c, t, axis):
        return t.mean(axis=axis) - c.mean(axis=axis)

    for method, named in (("percentile", "percentile"), ("basic", "basic"), ("BCa", "bca")):
        theirs = stats.bootstrap((control, treatment), difference, n_resamples=20_000, method=method, rng=seeded(3)).confidence_interval
        found = ours.interval(method=named)
        assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.06 * ours.std_error)


def test_formula_errors_are_those_of_welch_the_delta_method_and_cuped():
    """One unit a bucket: the numerical gradient gives what the formulas give, to first order in 1 / n for CUPED's coefficient."""
    c, t = two_columns(400, 1), two_columns(300, 2)
    sums, products = [unit_sums(x) for x in (c, t)], [unit_sums(x, products=True) for x in (c, t)]
    alone = [unit_sums(x[:, 0]) for x in (c, t)]
    moments = [Moments.from_values(x[:, 0]) for x in (c, t)]
    both = [CoMoments.from_values(x) for x in (c, t)]
    exact = {"rel": 1e-5}
    assert smooth_bootstrap(*alone, rng=seeded()).formula_std_error == pytest.approx(welch_test(*moments).std_error, **exact)
    ratio = smooth_bootstrap(*sums, "ratio_difference", rng=seeded())
    assert ratio.formula_std_error == pytest.approx(ratio_test(*both).std_error, **exact)
    assert (ratio.control, ratio.treatment) == pytest.approx((ratio_test(*both).control, ratio_test(*both).treatment))
    lift = smooth_bootstrap(*alone, "mean_lift", rng=seeded())
    assert lift.formula_std_error == pytest.approx(math.sqrt(_lift_variance(*moments)), **exact)
    assert lift.estimate == pytest.approx(lift_of_means(*moments).lift)
    cuped = smooth_bootstrap(*products, "cuped_difference", rng=seeded())
    assert cuped.estimate == pytest.approx(cuped_test(*both).effect, rel=1e-9)
    assert cuped.formula_std_error == pytest.approx(cuped_test(*both).std_error, rel=0.01)


def _lift_variance(control, treatment):
    own, other = (arm.variance / arm.n for arm in (control, treatment))
    return other / control.mean**2 + own * treatment.mean**2 / control.mean**4


@pytest.mark.parametrize("statistic", ["mean_difference", "mean_lift"])
def test_draws_spread_as_their_formula_says(statistic):
    arms = [unit_sums(two_columns(500, seed)[:, 0]) for seed in (3, 4)]
    found = smooth_bootstrap(*arms, statistic, resamples=4000, rng=seeded())
    assert found.std_error == pytest.approx(found.formula_std_error, rel=MONTE_CARLO / math.sqrt(8000))


@pytest.mark.parametrize("statistic", ["ratio_difference", "ratio_lift", "cuped_difference", "cuped_lift"])
def test_draws_of_two_columns_spread_as_their_formula_says(statistic):
    arms = [unit_sums(two_columns(500, seed), products=True) for seed in (3, 4)]
    found = smooth_bootstrap(*arms, statistic, resamples=4000, rng=seeded())
    assert found.std_error == pytest.approx(found.formula_std_error, rel=MONTE_CARLO / math.sqrt(8000))
    assert abs(found.bias) < 0.1 * found.std_error


def test_a_thousand_buckets_stand_for_a_hundred_thousand_units():
    """PERFORMANCE: sd / se within 3% plus the buckets' own 1 / sqrt(2 x 1000) an arm and the draws' error."""
    rng = seeded(5)
    arms = [rng.lognormal(size=100_000) for _ in range(2)]
    found = smooth_bootstrap(*(bucket_sums(x, rng.integers(0, 1000, x.size)) for x in arms), resamples=4000, rng=rng)
    welch = welch_test(*(Moments.from_values(x) for x in arms))
    assert found.std_error == pytest.approx(welch.std_error, rel=0.03 + MONTE_CARLO * math.hypot(1 / math.sqrt(4000), 1 / math.sqrt(8000)))
    assert found.estimate == pytest.approx(welch.effect, rel=1e-12)


def test_the_interval_of_a_mean_agrees_with_welch_at_a_thousand_units():
    """Requirements III.b: within 3% of its width at n >= 1,000 an arm."""
    rng = seeded(6)
    arms = [rng.normal(10, 3, 1000), rng.normal(10.2, 3, 1200)]
    welch = welch_test(*(Moments.from_values(x) for x in arms)).interval
    found = smooth_bootstrap(*(unit_sums(x) for x in arms), resamples=20_000, rng=rng)
    width = welch.high - welch.low
    for method in ("percentile", "basic", "studentised", "bca"):
        interval = found.interval(method=method)
        assert abs(interval.low - welch.low) < 0.03 * width
        assert abs(interval.high - welch.high) < 0.03 * width


def test_users_stay_together():
    """Rows of a user in ten copies: as many rows, no more evidence. The plain bootstrap does not see it."""
    rng = seeded(8)
    users = rng.normal(size=(2, 200))
    stretched = [np.repeat(x, 10) for x in users]
    by_user = smooth_bootstrap(*(cluster_sums(x, np.arange(2000) // 10) for x in stretched), resamples=4000, rng=rng)
    by_row = smooth_bootstrap(*(unit_sums(x) for x in stretched), resamples=4000, rng=rng)
    truth = welch_test(*(Moments.from_values(x) for x in users)).std_error
    assert by_user.formula_std_error == pytest.approx(truth, rel=1e-6)
    assert by_row.formula_std_error == pytest.approx(truth / math.sqrt(10), rel=0.01)


def test_the_same_seed_gives_the_same_bytes():
    arms = [unit_sums(two_columns(50, seed)[:, 0]) for seed in (3, 4)]
    first, second = (smooth_bootstrap(*arms, rng=seeded(11)) for _ in range(2))
    assert first.draws.tobytes() == second.draws.tobytes()
    assert smooth_bootstrap(*arms, rng=seeded(12)).draws.tobytes() != first.draws.tobytes()


@given(shift=st.floats(-1e6, 1e6), scale=st.floats(1e-3, 1e3), seed=st.integers(0, 20))
@settings(max_examples=40, deadline=None)
def test_shift_and_scale_go_through(shift, scale, seed):
    rng = np.random.default_rng(seed)
    c, t = rng.normal(size=(2, 25))
    plain = smooth_bootstrap(unit_sums(c), unit_sums(t), resamples=200, rng=seeded())
    moved = smooth_bootstrap(unit_sums(shift + scale * c), unit_sums(shift + scale * t), resamples=200, rng=seeded())
    slack = 1e-9 * (abs(shift) + scale)
    for method in ("percentile", "studentised"):
        a, b = plain.interval(method=method, alpha=0.1), moved.interval(method=method, alpha=0.1)
        assert (b.low, b.high) == pytest.approx((scale * a.low, scale * a.high), rel=1e-5, abs=slack)


def test_an_offset_of_1e9_keeps_the_interval():
    rng = seeded(3)
    c, t = rng.normal(size=(2, 60))
    plain, far = (smooth_bootstrap(unit_sums(c + o), unit_sums(t + o), rng=seeded()).interval(method="studentised") for o in (0.0, 1e9))
    assert (far.low, far.high) == pytest.approx((plain.low, plain.high), abs=1e-5)


@given(center=st.tuples(st.floats(-50, 50), st.floats(-50, 50)), seed=st.integers(0, 50))
@settings(max_examples=30, deadline=None)
def test_sums_about_any_constant_say_the_same(center, seed):
    """A warehouse's constant is not the mean: estimate and draws are those of the centred sums, and of `cuped_test`."""
    about = np.array(center)
    arms = [two_columns(30, seed), two_columns(40, seed + 1000)]
    moved = [
        BucketSums(n=np.ones(len(x)), sums=x - about, center=about, products=np.einsum("ni,nj->nij", x - about, x - about)) for x in arms
    ]
    for statistic in ("cuped_difference", "cuped_lift", "ratio_lift"):
        near, far = (
            smooth_bootstrap(*sums, statistic, resamples=100, rng=seeded()) for sums in ([unit_sums(x, products=True) for x in arms], moved)
        )
        np.testing.assert_allclose(far.draws, near.draws, rtol=1e-6, atol=1e-8)
        assert far.estimate == pytest.approx(near.estimate, rel=1e-8, abs=1e-10)
    expected = cuped_test(*(CoMoments.from_values(x) for x in arms)).effect
    assert smooth_bootstrap(*moved, "cuped_difference", rng=seeded()).estimate == pytest.approx(expected, rel=1e-8)


def test_one_sample_and_functions_of_ones_own():
    x = two_columns(80, 5)
    mean = smooth_bootstrap_one_sample(unit_sums(x[:, 0]), rng=seeded())
    assert mean.estimate == pytest.approx(x[:, 0].mean())
    assert mean.formula_std_error == pytest.approx(x[:, 0].std(ddof=1) / math.sqrt(80), rel=1e-6)
    assert (mean.n_control, mean.n_treatment, mean.control) == (0, 80, None)
    ratio = smooth_bootstrap_one_sample(unit_sums(x), "ratio", rng=seeded())
    assert ratio.estimate == pytest.approx(x[:, 0].sum() / x[:, 1].sum())

    def log_mean(arm):
        return np.log(arm.mean[..., 0])

    logs = smooth_bootstrap_one_sample(unit_sums(x[:, 0]), log_mean, rng=seeded())
    assert (logs.statistic, logs.estimate) == ("log_mean", pytest.approx(math.log(x[:, 0].mean())))

    def log_ratio(control, treatment):
        return np.log(treatment.mean[..., 0] / control.mean[..., 0])

    two = smooth_bootstrap(unit_sums(x[:40, 0]), unit_sums(x[40:, 0]), log_ratio, rng=seeded())
    assert two.estimate == pytest.approx(math.log(x[40:, 0].mean() / x[:40, 0].mean()))
    assert two.control is None


def test_moments_alone_give_nearly_the_same_interval():
    """Davison & Hinkley (1997), section 2.2: at 5,000 units the parametric draws stand for the others."""
    c, t = two_columns(5000, 1), two_columns(5000, 2)
    both = [CoMoments.from_values(x) for x in (c, t)]
    for statistic in ("ratio_difference", "cuped_lift"):
        units = smooth_bootstrap(*(unit_sums(x, products=True) for x in (c, t)), statistic, resamples=4000, rng=seeded())
        drawn = moment_bootstrap(*both, statistic, resamples=40_000, rng=seeded())
        assert drawn.estimate == pytest.approx(units.estimate, rel=1e-9)
        assert drawn.std_error == pytest.approx(units.formula_std_error, rel=0.03)
    assert moment_bootstrap(*both, "ratio_difference", rng=seeded()).control == pytest.approx(c[:, 0].mean() / c[:, 1].mean())
    with pytest.raises(DataError, match="standard error of every resample"):
        drawn.interval(method="studentised")


def test_the_ideal_standard_error_of_a_mean():
    """Efron & Tibshirani (1993), equation 5.12, by the 4^4 resamples of four values."""
    sample = np.array([1.0, 2.0, 4.0, 8.0])
    every = sample[np.indices((4,) * 4).reshape(4, -1)].mean(axis=0)
    assert bootstrap_std_error_of_mean(sample) == pytest.approx(every.std(), rel=1e-12)


A, B = unit_sums([1.0, 2.0, 4.0]), unit_sums([2.0, 3.0, 3.0])
PAIRS = unit_sums([[1.0, 2.0], [2.0, 3.0]])


def one_a_column(control, treatment):
    return treatment.mean - control.mean


def of_columns(control, treatment):
    return np.concatenate([control.mean, treatment.mean], axis=-1)


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: smooth_bootstrap(A, B, resamples=50, rng=seeded()), UsageError, "at least 100"),
        (lambda: smooth_bootstrap(A, PAIRS, rng=seeded()), UsageError, "same columns"),
        (lambda: smooth_bootstrap(A, unit_sums([1.0, 2.0], products=True), rng=seeded()), UsageError, "products in one alone"),
        (lambda: smooth_bootstrap(A, B, "median_difference", rng=seeded()), UnknownNameError, "mean_difference"),
        (lambda: smooth_bootstrap(A, B, "ratio_lift", rng=seeded()), UsageError, "reads 2 columns, got 1"),
        (lambda: smooth_bootstrap(A, B, one_a_column, rng=seeded()), UsageError, "one value a resample"),
        (lambda: smooth_bootstrap(A, B, of_columns, rng=seeded()), DataError, "one finite number"),
        (lambda: smooth_bootstrap_one_sample(A, "median", rng=seeded()), UnknownNameError, "mean"),
        (lambda: smooth_bootstrap_one_sample(A, "ratio", rng=seeded()), UsageError, "reads 2 columns"),
        (lambda: smooth_bootstrap(unit_sums([1.0, -1.0]), B, "mean_lift", rng=seeded()), DataError, "one finite number"),
        (lambda: smooth_bootstrap(unit_sums([0.0, 1.0]), B, "mean_lift", rng=seeded()), DataError, "finite number in every resample"),
        (lambda: smooth_bootstrap(unit_sums([1.0, 1.0]), unit_sums([2.0, 2.0]), rng=seeded()), DataError, "the same in every resample"),
        (lambda: bootstrap_std_error_of_mean([1.0]), NotEnoughDataError, "got 1"),
    ],
)
def test_what_breaks_a_rule_is_refused(call, error, said):
    with pytest.raises(error, match=said):
        call()


def test_what_moments_cannot_give_is_refused():
    one, two = CoMoments.from_values([1.0, 2.0, 4.0]), CoMoments.from_values([[1.0, 2.0], [2.0, 4.0]])
    with pytest.raises(UsageError, match="same columns"):
        moment_bootstrap(one, two, rng=seeded())
    with pytest.raises(NotEnoughDataError, match="two units"):
        moment_bootstrap(one, CoMoments.from_values([1.0]), rng=seeded())
    with pytest.raises(UsageError, match="at least 100"):
        moment_bootstrap(one, one, resamples=9, rng=seeded())


def test_cuped_needs_products():
    plain = unit_sums(two_columns(20, 1))
    with pytest.raises(UsageError, match="needs sums of products"):
        smooth_bootstrap(plain, plain, "cuped_difference", rng=seeded())
    arm = ArmMoments(n=np.array(3.0), mean=np.zeros(2))
    with pytest.raises(UsageError, match="needs sums of products"):
        cuped_difference(arm, arm)


def test_a_covariate_that_does_not_vary_adjusts_nothing():
    arms = [np.column_stack([two_columns(30, seed)[:, 0], np.ones(30)]) for seed in (1, 2)]
    adjusted = smooth_bootstrap(*(unit_sums(x, products=True) for x in arms), "cuped_difference", rng=seeded())
    plain = smooth_bootstrap(*(unit_sums(x[:, 0]) for x in arms), rng=seeded())
    np.testing.assert_allclose(adjusted.draws, plain.draws, atol=1e-12)
