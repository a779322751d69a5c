"""Regression discontinuity: the jump, its window, its interval, and the checks of the design."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial.polynomial import polyval
from scipy import stats

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.quasi import Bandwidths, check_findings, covariate_jumps, density_test, donut, placebo_cutoffs, sharp_rdd
from fairtrial.quasi.local_polynomial import kernel_weights, local_fit, neighbour_residuals
from fairtrial.stats.result import Unavailable

ELECTIONS = ((0.48, 1.27, 7.18, 20.21, 21.54, 7.33), (0.48, 0.84, -3.00, 7.99, -9.01, 3.56))


def jump(seed, *, n=600, effect=0.5, noise=0.3, curve=1.0):
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, n)
    return np.sin(3 * x) * curve + effect * (x >= 0) + rng.normal(0, noise, n), x


def codes(findings):
    return {finding.code: finding.severity for finding in findings}


@pytest.mark.parametrize(("kernel", "order"), [("triangular", 1), ("uniform", 1), ("epanechnikov", 2)])
def test_the_conventional_jump_is_a_weighted_regression(kernel, order):
    """Oracle: statsmodels WLS on each side, relative 1e-9."""
    y, x = jump(1)
    found = sharp_rdd(y, x, order=order, kernel=kernel, bandwidths=Bandwidths(effect=0.4, bias=0.6))
    ends = []
    for side in (x < 0, x >= 0):
        weights = kernel_weights(x[side], 0.4, kernel)
        ends.append(sm.WLS(y[side], np.vander(x[side], order + 1, increasing=True), weights=weights).fit().params[0])
    assert found.conventional == pytest.approx(ends[1] - ends[0], rel=1e-9)
    assert found.n_left == int(((x < 0) & (kernel_weights(x, 0.4, kernel) > 0)).sum())


def test_with_one_window_the_corrected_jump_is_the_next_degrees():
    """Calonico, Cattaneo & Titiunik (2014), remark 7: h = b makes the corrected estimate a fit of one degree more."""
    y, x = jump(2)
    windows = Bandwidths(effect=0.5, bias=0.5)
    linear, quadratic = (sharp_rdd(y, x, order=order, bandwidths=windows) for order in (1, 2))
    assert linear.bias_corrected == pytest.approx(quadratic.conventional, rel=1e-9)
    assert linear.se_robust == pytest.approx(quadratic.se_conventional, rel=1e-9)


@given(seed=st.integers(0, 5000), shift=st.floats(-100, 100), scale=st.floats(0.1, 10), stretch=st.floats(0.1, 50))
@settings(max_examples=15, deadline=None)
def test_units_of_outcome_and_running_variable_do_not_matter(seed, shift, scale, stretch):
    y, x = jump(seed, n=300)
    one, other = sharp_rdd(y, x), sharp_rdd(shift + scale * y, stretch * x + shift, cutoff=shift)
    assert other.bandwidths.effect == pytest.approx(stretch * one.bandwidths.effect, rel=1e-4)
    assert other.bias_corrected == pytest.approx(scale * one.bias_corrected, rel=1e-3, abs=1e-4 * scale)
    assert other.se_robust == pytest.approx(scale * one.se_robust, rel=1e-3)


def test_treated_below_turns_the_sign():
    y, x = jump(3)
    above, below = sharp_rdd(y, x), sharp_rdd(y, x, treated="below")
    assert below.estimate.effect == -above.estimate.effect
    assert below.estimate.treated == above.estimate.counterfactual
    assert (below.estimate.n_treated, below.estimate.n_control) == (above.estimate.n_control, above.estimate.n_treated)


def test_neighbours_are_found_with_their_ties():
    x, y = np.array([0.0, 1, 1, 2, 10]), np.array([0.0, 1, 3, 5, 7])
    residuals = neighbour_residuals(x, y, neighbours=2)
    assert residuals[0] == pytest.approx(np.sqrt(2 / 3) * (0 - 2))  # both rows at 1
    assert residuals[1] == pytest.approx(np.sqrt(3 / 4) * (1 - (3 + 0 + 5) / 3))  # the other at 1, then 0 and 2 alike
    assert residuals[4] == pytest.approx(np.sqrt(3 / 4) * (7 - (5 + 1 + 3) / 3))
    with pytest.raises(NotEnoughDataError):
        neighbour_residuals(np.array([1.0]), np.array([1.0]))


def test_neighbour_variances_estimate_the_noise():
    rng = np.random.default_rng(5)
    x = np.sort(rng.uniform(0, 1, 20_000))
    assert np.square(neighbour_residuals(x, np.sin(x) + rng.normal(0, 2, x.size))).mean() == pytest.approx(4.0, rel=0.05)


def test_repeated_values_and_few_rows_are_said():
    y, x = jump(6, n=400)
    found = sharp_rdd(y, np.round(x, 1) + 0.05, bandwidths=Bandwidths(effect=0.3, bias=0.5))
    assert codes(found.estimate.findings) == {"mass_points": "info", "few_values_near_cutoff": "warning"}
    assert found.estimate.grade.level == "weak"
    many = sharp_rdd(y, np.round(x, 1) + 0.05, bandwidths=Bandwidths(effect=0.9, bias=0.9)).estimate
    assert codes(many.findings) == {"mass_points": "info"}
    assert many.grade.level == "strong"
    few = sharp_rdd(y, x, bandwidths=Bandwidths(effect=0.1, bias=0.3)).estimate
    assert codes(few.findings) == {"few_near_cutoff": "warning"}
    assert few.grade.level == "weak"


@pytest.mark.parametrize(
    ("changed", "error", "match"),
    [
        ({"order": 9}, UsageError, "order"),
        ({"kernel": "gaussian"}, UsageError, "kernel"),
        ({"treated": "left"}, UsageError, "treated"),
        ({"bandwidths": Bandwidths(effect=0.0, bias=1.0)}, UsageError, "positive"),
        ({"cutoff": math.nan}, UsageError, "cutoff"),
        ({"cutoff": 5.0}, NotEnoughDataError, "10 rows"),
        ({"alpha": 95}, UsageError, "alpha"),
        ({"bandwidths": Bandwidths(effect=1e-6, bias=1e-6)}, NotEnoughDataError, "different values"),
    ],
)
def test_what_breaks_a_rule_is_refused(changed, error, match):
    y, x = jump(7)
    with pytest.raises(error, match=match):
        sharp_rdd(y, x, **changed)


def test_unknown_kernels_and_thin_windows_are_refused_below():
    with pytest.raises(UsageError, match="kernel"):
        kernel_weights(np.ones(3), 1.0, "gaussian")
    with pytest.raises(NotEnoughDataError, match="different values"):
        local_fit(np.array([0.1, 0.1, 0.1]), 1, 1.0, "uniform")


def test_a_constant_outcome_is_refused():
    with pytest.raises(DataError):
        sharp_rdd(np.ones(600), jump(8)[1], bandwidths=Bandwidths(effect=0.5, bias=0.5))


# Checks.


def test_placebo_cutoffs_use_one_side_each_and_are_corrected_together():
    y, x = jump(9, n=1200)
    checks = placebo_cutoffs(y, x)
    assert [check.what for check in checks] == [f"{np.median(x[x < 0]):.6g}", f"{np.median(x[x >= 0]):.6g}"]
    left = sharp_rdd(y[x < 0], x[x < 0], cutoff=float(np.median(x[x < 0])))
    assert checks[0].result.bias_corrected == pytest.approx(left.bias_corrected)
    assert checks[0].p_adjusted >= checks[0].result.estimate.p_value
    with pytest.raises(UsageError, match="differ"):
        placebo_cutoffs(y, x, at=[0.0])


def test_a_jump_elsewhere_and_a_covariate_that_jumps_are_warnings():
    y, x = jump(10, n=2000)
    main = sharp_rdd(y, x)
    moved = y + 3.0 * (x > 0.5)
    rng = np.random.default_rng(0)
    age = 2.0 * (x >= 0) + rng.normal(0, 1, x.size)
    age[::7] = np.nan
    checks = [*placebo_cutoffs(moved, x, at=[0.5]), *covariate_jumps({"age": age, "fine": rng.normal(0, 1, x.size)}, x)]
    assert codes(check_findings(checks, main)) == {"placebo_cutoff_jumps": "warning", "covariate_jumps": "warning"}


def test_checks_that_pass_are_one_note_and_those_that_cannot_be_made_say_why():
    y, x = jump(11, n=2000)
    main = sharp_rdd(y, x)
    checks = [*placebo_cutoffs(y, x, at=[0.5, 0.999]), *donut(y, x, [0.02])]
    assert isinstance(checks[1].result, Unavailable)
    assert checks[1].p_adjusted is None
    (note,) = check_findings(checks, main)
    assert (note.code, note.numbers["checks"]) == ("rdd_checks_passed", 2)
    assert check_findings([checks[1]], main) == []


def test_an_effect_made_by_the_rows_at_the_cutoff_moves_without_them():
    y, x = jump(12, n=3000, effect=0.0, noise=0.1)
    y += 2.0 * ((x >= 0) & (x < 0.02))
    main = sharp_rdd(y, x, bandwidths=Bandwidths(effect=0.1, bias=0.2))
    assert codes(check_findings(donut(y, x, [0.03]), main)) == {"donut_moves": "warning"}
    with pytest.raises(UsageError, match="radius"):
        donut(y, x, [0.0])


def test_a_check_without_variation_is_unavailable():
    x = jump(13)[1]
    (check,) = covariate_jumps({"same": np.ones(x.size)}, x)
    assert check.result.code == "no_variance"


@pytest.mark.parametrize(("covariates", "match"), [({}, "at least one"), ({"age": [1.0]}, "age")])
def test_covariates_must_be_there_and_fit(covariates, match):
    with pytest.raises(UsageError, match=match):
        covariate_jumps(covariates, jump(14)[1])


# The density.


def test_the_density_is_estimated_on_both_sides():
    x = np.random.default_rng(1).normal(0, 1, 20_000)
    found = density_test(x)
    assert found.left == pytest.approx(stats.norm.pdf(0), rel=0.1)
    assert found.right == pytest.approx(stats.norm.pdf(0), rel=0.1)
    assert codes(found.findings()) == {"density_smooth": "info"}


def test_units_that_move_themselves_over_the_cutoff_are_seen():
    rng = np.random.default_rng(2)
    x = rng.normal(0, 1, 6000)
    sorted_ones = (x < 0) & (x > -0.2) & (rng.random(x.size) < 0.5)
    x[sorted_ones] *= -1
    found = density_test(x)
    assert found.right > 1.5 * found.left
    assert codes(found.findings()) == {"running_variable_sorted": "warning"}


def test_the_error_of_the_density_is_that_of_repeated_samples():
    """Oracle: 400 samples of 1,000, window fixed; within 12%."""
    rng = np.random.default_rng(3)
    found = [density_test(rng.normal(0.2, 1, 1000), bandwidth=0.8) for _ in range(400)]
    assert np.mean([t.std_error for t in found]) == pytest.approx(np.std([t.right - t.left for t in found]), rel=0.12)


def test_the_test_agrees_with_the_published_program_on_the_senate(real_data):
    """XC-43. Source: rddensity 2.x on the US Senate margins, h = 20: T = -0.8587, p = 0.3905; jackknife there, hence 1%."""
    found = density_test(pd.read_csv(real_data / "rd_senate.csv.gz")["margin"], bandwidth=20)
    assert (found.left, found.right) == pytest.approx((0.021743, 0.018013), rel=0.002)
    assert (found.statistic, found.p_value) == pytest.approx((-0.858724, 0.390493), rel=0.01)


def test_lumps_of_equal_values_do_not_give_a_negative_density():
    x = np.round(np.random.default_rng(4).uniform(-1, 1, 3000), 1) + 0.05
    found = density_test(x)
    assert min(found.left, found.right) > 0.0


@pytest.mark.parametrize(
    ("running", "options", "error", "match"),
    [
        (np.linspace(-1, 1, 60), {}, NotEnoughDataError, "50 rows"),
        (np.linspace(-1, 1, 200), {"cutoff": math.inf}, UsageError, "cutoff"),
        (np.linspace(-1, 1, 200), {"bandwidth": 0.0}, UsageError, "bandwidth"),
        (np.repeat([-1.0, 1.0], 100), {}, NotEnoughDataError, "different values"),
    ],
)
def test_a_density_test_without_a_base_is_refused(running, options, error, match):
    with pytest.raises(error, match=match):
        density_test(running, **options)


# Calibration.


@pytest.mark.slow
@pytest.mark.parametrize("n", [300, 1000])
def test_the_robust_interval_covers_with_the_window_from_the_data(n):
    """Coverage at 95%, curved truth, 400 samples: exact binomial bound at 91.5%."""
    held = sum(not sharp_rdd(*jump(seed, n=n, curve=2.0)).estimate.interval.excludes(0.5) for seed in range(400))
    assert stats.binomtest(held, 400, 0.915, alternative="less").pvalue > 1e-3, held / 400


def test_the_windows_for_the_interval_are_narrower_by_their_rate():
    """Calonico, Cattaneo & Farrell (2020): n^(-p / ((3 + p)(3 + 2 p))), that is n^(-1/20) and n^(-2/35)."""
    y, x = jump(9, n=800)
    for order, power in ((1, 1 / 20), (2, 2 / 35)):
        point, interval = (sharp_rdd(y, x, order=order, bandwidths=rule).bandwidths for rule in ("mse", "cer"))
        share = 800**-power
        assert (interval.effect, interval.bias) == pytest.approx((share * point.effect, share * point.bias), rel=1e-12)
    with pytest.raises(UsageError, match="'mse', 'cer'"):
        sharp_rdd(y, x, bandwidths="best")


@pytest.mark.slow
@pytest.mark.parametrize("values", [None, 20])
def test_narrower_windows_cover_on_a_bend_where_those_for_the_point_do_not(values):
    """The elections of Calonico, Cattaneo & Titiunik (2014), 2,000 rows, 500 samples: exact bounds at 92% and at 92%."""
    held = {"mse": 0, "cer": 0}
    for seed in range(500):
        rng = np.random.default_rng(seed)
        x = 2 * rng.beta(2, 4, 2000) - 1
        x = x if values is None else (np.floor(x * values) + 0.5) / values
        y = np.where(x < 0, polyval(x, ELECTIONS[0]), polyval(x, ELECTIONS[1])) + 0.15 * (x >= 0) + 0.1295 * rng.standard_normal(2000)
        for rule in held:
            try:
                held[rule] += not sharp_rdd(y, x, bandwidths=rule).estimate.interval.excludes(0.15)
            except NotEnoughDataError:  # a window of one value, refused; counted as a miss
                assert values is not None
    assert stats.binomtest(held["cer"], 500, 0.92, alternative="less").pvalue > 1e-3, held
    assert stats.binomtest(held["mse"], 500, 0.92, alternative="less").pvalue < 0.05, held


@pytest.mark.slow
def test_the_robust_interval_covers_where_the_plain_one_is_biased():
    """A wide window and curvature that turns at the cutoff, 300 samples: the plain interval covers less than 70%."""
    robust, plain = 0, 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        x = rng.uniform(-1, 1, 600)
        y = 2.0 * x * np.abs(x) + 0.5 * (x >= 0) + rng.normal(0, 0.3, 600)
        found = sharp_rdd(y, x, bandwidths=Bandwidths(effect=0.8, bias=0.8))
        robust += not found.estimate.interval.excludes(0.5)
        plain += not found.interval_conventional.excludes(0.5)
    assert stats.binomtest(robust, 300, 0.915, alternative="less").pvalue > 1e-3, robust / 300
    assert plain < 0.7 * 300


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["uniform", "normal", "exponential", "heavy"])
def test_the_density_test_keeps_its_size(shape):
    """Size at 5%, 1,000 rows, 500 samples: exact binomial bound at 7%."""
    draw = {
        "uniform": lambda rng: rng.uniform(-1, 1, 1000),
        "normal": lambda rng: rng.normal(0.3, 1, 1000),
        "exponential": lambda rng: rng.exponential(1, 1000) - 0.7,
        "heavy": lambda rng: rng.standard_t(3, 1000) - 0.5,
    }[shape]
    wrong = sum(density_test(draw(np.random.default_rng(seed))).p_value < 0.05 for seed in range(500))
    assert stats.binomtest(wrong, 500, 0.07, alternative="greater").pvalue > 1e-3, wrong / 500
