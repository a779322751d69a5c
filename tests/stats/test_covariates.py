"""Several covariates: analysis of covariance from moments, exact; anything else refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.contrast import REASONS, expand, linear_contrast
from fairtrial.stats.covariates import adjusted_contrast, combine_covariates, covariate_adjusted_test
from fairtrial.stats.moments import CoMoments
from fairtrial.stats.regression import ancova_test

VECTORS = Path(__file__).parent.parent / "reference" / "b_tests.json"


def vectors() -> list[dict]:
    cases = json.loads(VECTORS.read_text(encoding="utf-8"))
    cases = cases if isinstance(cases, list) else cases["cases"]
    return [case for case in cases if case["function"] == "ancova_treatment_effect"]


def drawn(n: int, k: int, seed: int, effect: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outcome, treatment and correlated covariates."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, k)) @ (np.eye(k) + 0.3)
    treated = rng.permutation(np.arange(n) % 2)
    return x @ np.linspace(1.0, 0.2, k) + rng.normal(size=n) + effect * treated, treated, x


def arms(y: np.ndarray, treated: np.ndarray, x: np.ndarray) -> tuple[CoMoments, CoMoments]:
    both = np.column_stack([y, x])
    return CoMoments.from_values(both[treated == 0]), CoMoments.from_values(both[treated == 1])


@pytest.mark.parametrize("case", vectors(), ids=lambda case: case["id"])
def test_with_equal_variances_it_is_the_classical_analysis_of_covariance(case):
    """Reference vectors `ancova_treatment_effect` (two ways each); tolerance theirs. One has two covariates."""
    given_, wanted, tolerance = case["inputs"], case["expected"], case["tolerance"]
    x = np.column_stack([given_[name] for name in sorted(given_) if name.startswith("covariate")])
    found = covariate_adjusted_test(*arms(np.array(given_["outcome"]), np.array(given_["treated"]), x), variances="equal")
    assert found.effect == pytest.approx(wanted["effect"], rel=tolerance["rel"], abs=tolerance["abs"])
    assert found.std_error == pytest.approx(wanted["se_classical"], rel=tolerance["rel"])
    assert found.p_value == pytest.approx(wanted["p_classical"], rel=tolerance["rel"])
    assert found.df == pytest.approx(wanted["df"])
    assert (found.theta, found.method) == (None, "cuped_student_t")


@given(st.integers(0, 10_000), st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_it_agrees_with_least_squares_on_the_rows(seed, k):
    """Property: moments hold all that the regression reads."""
    y, treated, x = drawn(40, k, seed, effect=0.7)
    found = covariate_adjusted_test(*arms(y, treated, x), variances="equal", margin=0.1)
    rows = ancova_test(y, treated, x, std_errors="classical", margin=0.1)
    assert (found.effect, found.std_error, found.p_value) == pytest.approx((rows.effect, rows.std_error, rows.p_value), rel=1e-8)


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_shift_scale_and_order_of_covariates_do_not_matter(seed):
    y, treated, x = drawn(60, 3, seed)
    plain = covariate_adjusted_test(*arms(y, treated, x))
    moved = covariate_adjusted_test(*arms(y, treated, 10.0 + x[:, ::-1] * [1e-3, 3.0, 1e6]))
    assert (moved.effect, moved.std_error) == pytest.approx((plain.effect, plain.std_error), rel=1e-6)


def test_p_value_and_interval_say_the_same():
    y, treated, x = drawn(80, 3, 5, effect=0.8)
    found = covariate_adjusted_test(*arms(y, treated, x), margin=0.2)
    at_p = covariate_adjusted_test(*arms(y, treated, x), alpha=found.p_value)
    assert min(abs(at_p.interval.low - 0.2), abs(at_p.interval.high - 0.2)) < 1e-9


def test_one_covariate_has_the_effect_of_cuped_and_the_price_of_its_coefficient():
    y, treated, x = drawn(60, 1, 3)
    control, treatment = arms(y, treated, x)
    several = adjusted_contrast([control], [treatment])
    one = linear_contrast(expand([control], "mean_cuped"), expand([treatment], "mean_cuped"))
    assert several.effect == pytest.approx(one.effect, rel=1e-12)
    d = (treatment.mean[1] - control.mean[1]) ** 2 / (control.cross[1, 1] + treatment.cross[1, 1])
    price = 58 / 57 * (1 + control.n * treatment.n / 60 * d)
    assert several.std_error**2 == pytest.approx(one.std_error**2 * price, rel=1e-12)
    assert several.df == pytest.approx(one.df * 57 / 58)


def test_a_ratio_is_adjusted_by_its_linearised_outcome():
    """A ratio whose denominator is 1 is a mean; with the normal distribution in place of t."""
    y, treated, x = drawn(90, 2, 8)
    control, treatment = arms(y, treated, x)
    ones = [CoMoments.from_values(np.column_stack([v[:, 0], np.ones(len(v)), v[:, 1:]])) for v in _split(y, treated, x)]
    mean, ratio = adjusted_contrast([control], [treatment]), adjusted_contrast([ones[0]], [ones[1]], ratio=True)
    assert ratio.effect == pytest.approx(mean.effect, rel=1e-12)
    assert ratio.std_error == pytest.approx(mean.std_error, rel=1e-12)
    assert np.isinf(ratio.df).all()


def test_a_ratio_of_clicks_gains_from_two_covariates():
    """Against the regression of the linearised outcome, arm by arm about its own ratio."""
    rng = np.random.default_rng(4)
    n = 400
    treated = np.arange(n) % 2
    views = rng.poisson(5, n) + 1.0
    clicks = rng.binomial(views.astype(int), 0.3 + 0.05 * treated) + 0.0
    x = np.column_stack([clicks + rng.normal(size=n), views + rng.normal(size=n)])
    groups = [np.column_stack([clicks, views, x])[treated == arm] for arm in (0, 1)]
    found = adjusted_contrast([CoMoments.from_values(groups[0])], [CoMoments.from_values(groups[1])], ratio=True)
    linear = [(g[:, 0] - g[:, 0].mean() / g[:, 1].mean() * g[:, 1]) / g[:, 1].mean() + g[:, 0].mean() / g[:, 1].mean() for g in groups]
    rows = ancova_test(np.concatenate(linear), np.repeat([0, 1], 200), np.concatenate([g[:, 2:] for g in groups]), std_errors="classical")
    assert found.effect[0] == pytest.approx(rows.effect, rel=1e-9)
    assert found.variance_reduction[0] > 0.2


def _split(y: np.ndarray, treated: np.ndarray, x: np.ndarray) -> list[np.ndarray]:
    both = np.column_stack([y, x])
    return [both[treated == arm] for arm in (0, 1)]


def test_covariates_that_depend_on_each_other_are_refused_and_leave_others_alone():
    y, treated, x = drawn(50, 2, 1)
    twice = np.column_stack([x, x[:, 0] - 2.0 * x[:, 1]])
    good = np.column_stack([x, np.random.default_rng(0).normal(size=50)])
    pairs = [arms(y, treated, columns) for columns in (twice, good)]
    found = adjusted_contrast([pair[0] for pair in pairs], [pair[1] for pair in pairs])
    assert found.undefined.tolist() == [True, False]
    assert found.unavailable(0).code == "collinear"
    assert np.isnan([found.std_error[0], found.df[0], found.control_variance[0], found.variance_reduction[0]]).all()
    with pytest.raises(DataError, match="linearly") as error:
        covariate_adjusted_test(*pairs[0])
    assert error.value.code == "collinear"


@pytest.mark.parametrize("noise", [1e-3, 1e-2])
def test_nearly_equal_covariates_are_told_apart_as_far_as_moments_can(noise):
    """Against least squares on the rows, at a correlation of 1 - noise^2 / 2."""
    rng = np.random.default_rng(6)
    x = rng.normal(size=200)
    columns = np.column_stack([x, x + noise * rng.normal(size=200)])
    treated = np.arange(200) % 2
    y = x + rng.normal(size=200)
    found = covariate_adjusted_test(*arms(y, treated, columns), variances="equal")
    assert found.effect == pytest.approx(ancova_test(y, treated, columns, std_errors="classical").effect, rel=1e-6)


def test_a_covariate_that_does_not_vary_adds_nothing():
    y, treated, x = drawn(50, 2, 2)
    flat = covariate_adjusted_test(*arms(y, treated, np.column_stack([x, np.full(50, 7.3)])))
    assert (flat.effect, flat.std_error) == pytest.approx(
        (covariate_adjusted_test(*arms(y, treated, x)).effect, covariate_adjusted_test(*arms(y, treated, x)).std_error)
    )


def test_an_outcome_that_does_not_vary_and_a_zero_denominator_say_so():
    _, treated, x = drawn(50, 2, 2)
    assert adjusted_contrast(*([arm] for arm in arms(np.full(50, 3.0), treated, x))).unavailable(0).code == "no_variance"
    zero = [CoMoments.from_values(np.column_stack([v[:, 0], np.zeros(len(v)), v[:, 1:]])) for v in _split(x[:, 0], treated, x)]
    assert adjusted_contrast([zero[0]], [zero[1]], ratio=True).unavailable(0).code == "zero_denominator"


def test_more_covariates_than_units_allow_are_refused():
    y, treated, x = drawn(8, 6, 9)
    with pytest.raises(NotEnoughDataError) as error:
        covariate_adjusted_test(*arms(y, treated, x))
    assert error.value.code == "too_few_units"
    left = adjusted_contrast(*([arm] for arm in arms(*drawn(9, 6, 9))))
    assert not left.undefined[0]


def test_moments_that_do_not_fit_are_refused():
    y, treated, x = drawn(20, 2, 0)
    control, treatment = arms(y, treated, x)
    for wrong in (([], []), ([control], []), ([control], [CoMoments.from_values(y)])):
        with pytest.raises(UsageError, match="at least one covariate"):
            combine_covariates(*wrong)
    with pytest.raises(UsageError, match="at least one covariate"):
        combine_covariates([CoMoments.from_values(y)], [CoMoments.from_values(y)])
    with pytest.raises(UsageError, match="variances"):
        adjusted_contrast([control], [treatment], variances="some")


def test_the_new_reason_stands_at_its_number():
    assert REASONS[5].code == "collinear"


def test_at_an_offset_of_1e9_only_the_means_rounding_is_lost():
    y, treated, x = drawn(200, 2, 12)
    plain = [CoMoments.from_values(part) for part in _split(y, treated, x)]
    far = [replace(moments, mean=moments.mean + np.array([1e9, 1e9, -1e9])) for moments in plain]
    near, moved = (covariate_adjusted_test(*pair) for pair in (plain, far))
    assert moved.std_error == pytest.approx(near.std_error, rel=1e-7)
    assert moved.effect == pytest.approx(near.effect, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("k", [2, 5])
def test_its_size_is_what_it_promises_even_in_small_arms(k):
    """Calibration: 20,000 experiments of 15 + 15 units without effect; the size keeps within an exact 99.9% binomial bound."""
    runs, n, alpha = 20_000, 30, 0.05
    rng = np.random.default_rng(20 + k)
    x = rng.normal(size=(runs, n, k))
    y = x.sum(axis=2) + rng.normal(size=(runs, n))
    both = np.concatenate([y[..., None], x], axis=2)
    sides = [[CoMoments.from_values(run) for run in half] for half in (both[:, :15], both[:, 15:])]
    found = adjusted_contrast(*sides, variances="equal")
    errors = int((found.p_value() < alpha).sum())
    low, high = stats.binom.ppf([0.0005, 0.9995], runs, alpha)
    assert low <= errors <= high
    welch = int((adjusted_contrast(*sides).p_value() < alpha).sum())
    assert welch <= stats.binom.ppf(0.9995, runs, alpha + 0.005)
