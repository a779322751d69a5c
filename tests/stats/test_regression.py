"""ANCOVA and Lin's adjustment against statsmodels and Welch."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.cuped import cuped_test
from fairtrial.stats.moments import CoMoments
from fairtrial.stats.regression import ancova_test, lin_test

KINDS = ["classical", "hc0", "hc1", "hc2", "hc3"]


def trial(seed=61, n=90, p=2):
    rng = np.random.default_rng(seed)
    t, x = (rng.random(n) < 0.4).astype(float), rng.normal(3, 1, (n, p))
    y = 1.0 + 0.5 * t + x @ np.arange(1.0, p + 1.0) + rng.normal(0, 1 + t, n)
    return y, t, x


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("test", [ancova_test, lin_test])
def test_effect_error_and_p_are_those_of_statsmodels(test, kind):
    """Oracle: statsmodels OLS(...).fit(cov_type=..., use_t=True), 1e-8."""
    y, t, x = trial()
    centred = x - x.mean(axis=0)
    columns = [np.ones_like(y), t, centred] + ([t[:, None] * centred] if test is lin_test else [])
    cov_type = "nonrobust" if kind == "classical" else kind.upper()
    fit = sm.OLS(y, np.column_stack(columns)).fit(cov_type=cov_type, use_t=True)
    ours = test(y, t, x, std_errors=kind)
    assert (ours.effect, ours.std_error, ours.p_value) == pytest.approx((fit.params[1], fit.bse[1], fit.pvalues[1]), rel=1e-8)
    assert ours.control == pytest.approx(fit.params[0], rel=1e-8)
    assert (ours.interval.low, ours.interval.high) == pytest.approx(tuple(fit.conf_int()[1]), rel=1e-8)


def test_ancova_is_the_effect_of_cuped_pooled_within():
    """Frisch-Waugh."""
    y, t, x = trial(p=1)
    rows = np.column_stack([y, x])
    cuped = cuped_test(CoMoments.from_values(rows[t == 0]), CoMoments.from_values(rows[t == 1]))
    assert ancova_test(y, t, x[:, 0]).effect == pytest.approx(cuped.effect, rel=1e-9)


def test_covariates_far_from_zero_change_nothing():
    y, t, x = trial()
    near, far = lin_test(y, t, x), lin_test(y, t, x + 1e6)
    assert (far.effect, far.std_error) == pytest.approx((near.effect, near.std_error), rel=1e-6)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda y, t, x: ancova_test(y, t + 1, x), UsageError),
        (lambda y, t, x: ancova_test(y, t * 0, x), NotEnoughDataError),
        (lambda y, t, x: ancova_test(y[:-1], t, x), UsageError),
        (lambda y, t, x: ancova_test(y, t, np.hstack([x, x[:, :1]])), DataError),
        (lambda y, t, _x: ancova_test(y, t, t), DataError),
        (lambda y, t, x: ancova_test(y, t, np.full_like(x, np.nan)), DataError),
        (lambda _y, t, x: ancova_test(x @ [1.0, 2.0], t, x), DataError),
        (lambda y, _t, x: ancova_test(y[:4], [0, 1, 0, 1], x[:4]), NotEnoughDataError),
        (lambda y, t, x: ancova_test(y, t, x, std_errors="hc9"), UsageError),
        (lambda y, t, _x: ancova_test(y, t, (np.arange(y.size) == 3).astype(float), std_errors="hc3"), DataError),
    ],
)
def test_what_cannot_be_answered_is_refused(call, error):
    with pytest.raises(error):
        call(*trial())
