"""Instrumental variables: Wald's ratio, two-stage least squares, and the interval that weakness does not harm."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.quasi import late_2sls


def lottery(seed, *, n=400, effect=1.0, strength=0.5):
    """Takers differ from others in what nobody measured; `strength` is the share that the lottery moves."""
    rng = np.random.default_rng(seed)
    z, u, x = rng.integers(0, 2, n), rng.normal(0, 1, n), rng.normal(0, 1, n)
    d = (rng.random(n) < np.clip(0.2 + strength * z + 0.15 * np.sign(u), 0, 1)).astype(float)
    return effect * d + u + 0.5 * x + rng.normal(0, 0.5, n), d, z.astype(float), x


def test_without_covariates_it_is_walds_ratio():
    y, d, z, _ = lottery(1)
    found = late_2sls(y, d, z)
    itt, moved = (v[z == 1].mean() - v[z == 0].mean() for v in (y, d))
    assert (found.itt, found.compliance, found.estimate.effect) == pytest.approx((itt, moved, itt / moved))


@pytest.mark.parametrize("kind", ["hc0", "hc1", "cluster"])
def test_two_stages_and_their_error_are_the_matrix_formula(kind):
    """Oracle: (X'Pz X)^-1 with residuals of the structural equation, written out, relative 1e-9."""
    y, d, z, x = lottery(2)
    groups = np.arange(400) // 8
    full, instruments = np.column_stack([np.ones(400), x, d]), np.column_stack([np.ones(400), x, z])
    fitted = instruments @ np.linalg.lstsq(instruments, full, rcond=None)[0]
    bread = np.linalg.inv(fitted.T @ fitted)
    beta = bread @ fitted.T @ y
    scores = fitted * (y - full @ beta)[:, None]
    if kind == "cluster":
        scores = np.array([scores[groups == g].sum(axis=0) for g in range(50)])
    factor = {"hc0": 1.0, "hc1": 400 / 397, "cluster": 50 / 49 * 399 / 397}[kind]
    error = math.sqrt(factor * (bread @ scores.T @ scores @ bread)[2, 2])
    options = {"cluster": groups} if kind == "cluster" else {"std_errors": kind}
    found = late_2sls(y, d, z, covariates=x, **options)
    assert found.estimate.effect == pytest.approx(beta[2], rel=1e-9)
    assert found.std_error == pytest.approx(error, rel=1e-9)
    assert found.estimate.df == (49.0 if kind == "cluster" else None)


def test_the_first_stages_f_is_the_squared_t_of_the_instrument():
    y, d, z, _ = lottery(3)
    moved = d[z == 1].mean() - d[z == 0].mean()
    variance = d[z == 1].var() / (z == 1).sum() + d[z == 0].var() / (z == 0).sum()
    assert late_2sls(y, d, z).first_stage_f == pytest.approx(moved**2 / variance, rel=1e-9)


@given(seed=st.integers(0, 3000), strength=st.floats(0.3, 0.7), alpha=st.floats(0.01, 0.3))
@settings(max_examples=40, deadline=None)
def test_the_anderson_rubin_interval_holds_zero_exactly_when_the_reduced_form_does(seed, strength, alpha):
    found = late_2sls(*lottery(seed, strength=strength, effect=0.2)[:3], alpha=alpha)
    if abs(found.anderson_rubin_p - alpha) > 1e-9:
        assert found.anderson_rubin.excludes(0.0) == (found.anderson_rubin_p < alpha) or math.isinf(found.anderson_rubin.low)
    assert found.anderson_rubin.low < found.estimate.effect < found.anderson_rubin.high


def test_the_ends_of_the_anderson_rubin_interval_are_where_its_test_turns():
    """At an end b the reduced form of y - b d has |z| = 1.96."""
    y, d, z, _ = lottery(4)
    interval = late_2sls(y, d, z).anderson_rubin
    for end in (interval.low, interval.high):
        rest = y - end * d
        gap = rest[z == 1].mean() - rest[z == 0].mean()
        error = math.sqrt(rest[z == 1].var() / (z == 1).sum() + rest[z == 0].var() / (z == 0).sum())
        assert abs(gap) / error == pytest.approx(stats.norm.ppf(0.975), rel=1e-9)


def test_a_weak_instrument_is_said_and_reads_the_interval_that_holds():
    y, d, z, _ = lottery(5, strength=0.02)
    found = late_2sls(y, d, z)
    assert found.first_stage_f < 10
    assert found.estimate.interval == found.anderson_rubin
    assert found.estimate.p_value == found.anderson_rubin_p
    assert found.estimate.std_error is None
    (warning,) = found.estimate.findings
    assert (warning.code, found.estimate.grade.level) == ("weak_instrument", "weak")


def test_a_set_of_two_pieces_is_shown_by_its_hull_and_said():
    """A reduced form that is clear beside a first stage that is not: effects near 0 are out, far ones on both sides are in."""
    rng = np.random.default_rng(0)
    z = np.repeat([0.0, 1.0], 100)
    d = (rng.random(200) < 0.5 + 0.03 * z).astype(float)
    found = late_2sls(2.0 * z + rng.normal(0, 1, 200), d, z)
    assert found.anderson_rubin.low == -math.inf
    assert "both sides" in found.estimate.findings[0].message


@pytest.mark.parametrize(
    ("changed", "error", "match"),
    [
        ({"std_errors": "hc9"}, UsageError, "std_errors"),
        ({"instrument": np.ones(400)}, DataError, "must vary"),
        ({"treatment": np.ones(400)}, DataError, "must vary"),
        ({"cluster": np.ones(400)}, NotEnoughDataError, "two clusters"),
        ({"covariates": np.ones(3)}, UsageError, "covariates"),
        ({"covariates": np.full(400, np.nan)}, DataError, "finite"),
        ({"outcome": np.ones(400)}, DataError, "vary"),
        ({"treatment": np.tile([0.0, 1.0], 200), "instrument": np.repeat([0.0, 1.0], 200)}, DataError, "does not move"),
    ],
)
def test_what_breaks_a_rule_is_refused(changed, error, match):
    y, d, z, _ = lottery(6)
    with pytest.raises(error, match=match):
        late_2sls(**{"outcome": y, "treatment": d, "instrument": z} | changed)


@pytest.mark.slow
@pytest.mark.parametrize("strength", [0.5, 0.05])
def test_the_reported_interval_covers_whatever_the_first_stage(strength):
    """Coverage at 95%, 300 units, 2,000 lotteries: exact binomial bound at 93.5%."""
    held = 0
    for seed in range(2000):
        try:
            held += not late_2sls(*lottery(seed, n=300, strength=strength)[:3]).anderson_rubin.excludes(1.0)
        except DataError:  # the lottery moved nobody: every effect is possible
            held += 1
    assert stats.binomtest(held, 2000, 0.935, alternative="less").pvalue > 1e-3, held / 2000
