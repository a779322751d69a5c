"""t-tests on logarithms, on winsorised and on trimmed values."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.robust import log_t_test, winsorized_t_test, yuen_test

RNG = np.random.default_rng(21)
CONTROL, TREATMENT = RNG.lognormal(0.0, 1.0, 60), RNG.lognormal(0.3, 1.1, 45)


@pytest.mark.parametrize("side", ["two-sided", "greater", "less"])
def test_a_log_test_is_welch_on_logs_and_its_lift_that_of_geometric_means(side):
    """Oracle: scipy.stats.ttest_ind on logs, gmean."""
    ours = log_t_test(CONTROL, TREATMENT, alternative=side, alpha=0.1)
    scipys = stats.ttest_ind(np.log(TREATMENT), np.log(CONTROL), equal_var=False, alternative=side)
    ends = scipys.confidence_interval(0.9)
    assert (ours.statistic, ours.p_value) == pytest.approx((scipys.statistic, scipys.pvalue), rel=1e-10)
    assert ours.lift == pytest.approx(stats.gmean(TREATMENT) / stats.gmean(CONTROL) - 1, rel=1e-10)
    assert ours.lift_interval.low == pytest.approx(np.expm1(ends.low) if side != "less" else -np.inf, rel=1e-10)
    assert ours.lift_interval.high == pytest.approx(np.expm1(ends.high), rel=1e-10)


def test_a_log1p_test_takes_zeros_and_has_no_lift():
    ours = log_t_test([0, 1, 2, 5, 0], [1, 0, 3, 8, 2], transform="log1p")
    scipys = stats.ttest_ind(np.log1p([1, 0, 3, 8, 2]), np.log1p([0, 1, 2, 5, 0]), equal_var=False)
    assert ours.p_value == pytest.approx(scipys.pvalue, rel=1e-10)
    assert (ours.lift, ours.lift_interval) == (None, None)


def test_an_outlier_moves_a_winsorised_test_no_further_than_the_cap():
    spoiled = TREATMENT.copy()
    spoiled[spoiled.argmax()] = 1e6
    before, after = winsorized_t_test(CONTROL, TREATMENT), winsorized_t_test(CONTROL, spoiled)
    assert after.estimate.effect == pytest.approx(before.estimate.effect, rel=0.05)
    assert (before.cut_low, before.cut_high) == pytest.approx(np.quantile(np.concatenate([CONTROL, TREATMENT]), [0.05, 0.95]))


@pytest.mark.parametrize("trim", [0.0, 0.1, 0.2, 0.3])
def test_yuens_test_is_that_of_scipy(trim):
    """Oracle: scipy.stats.ttest_ind(trim=...), 1e-10."""
    ours, scipys = yuen_test(CONTROL, TREATMENT, trim=trim), stats.ttest_ind(TREATMENT, CONTROL, equal_var=False, trim=trim)
    assert (ours.statistic, ours.p_value) == pytest.approx((scipys.statistic, scipys.pvalue), rel=1e-10)


def test_a_share_that_cuts_a_whole_number_of_values_cuts_that_many():
    """0.1 x 30 is 3.0000000000000004 or less than 3 in other products; exactly three go from each tail."""
    values = np.arange(30.0)
    for trim, cut in ((0.1, 3), (0.3, 9), (0.2, 6)):
        assert yuen_test(values, values + 1, trim=trim).df == pytest.approx(2 * (30 - 2 * cut - 1))


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: log_t_test([0.0, 1.0], [1.0, 2.0]), DataError),
        (lambda: log_t_test([-1.0, 1.0], [1.0, 2.0], transform="log1p"), DataError),
        (lambda: log_t_test([1.0, 2.0], [1.0, 2.0], transform="sqrt"), UsageError),
        (lambda: log_t_test([np.nan, 2.0], [1.0, 2.0]), DataError),
        (lambda: winsorized_t_test(CONTROL, TREATMENT, lower=0.9, upper=0.1), UsageError),
        (lambda: winsorized_t_test([], TREATMENT), DataError),
        (lambda: yuen_test(CONTROL, TREATMENT, trim=0.5), UsageError),
        (lambda: yuen_test([1.0], TREATMENT), NotEnoughDataError),
        (lambda: yuen_test([1.0, 2, 2, 2, 3], [0.0, 2, 2, 2, 9]), DataError),
    ],
)
def test_what_cannot_be_answered_is_refused(call, error):
    with pytest.raises(error):
        call()
