"""Cells as one number a unit: held to least squares with a column for every cell, and to the delta method."""

import itertools

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.factorial import factorial_effects
from fairtrial.stats.factorial_cells import adjusted_cells
from fairtrial.stats.moments import CoMoments, Moments
from fairtrial.stats.ratio import ratio_value

SIZES = (40, 25, 31, 60)
LEVELS = list(itertools.product((0, 1), repeat=2))


def drawn(seed: int, covariates: int = 1):
    """Cells of unequal size, outcome and covariates of each."""
    rng = np.random.default_rng(seed)
    cells = []
    for place, n in enumerate(SIZES):
        x = rng.normal(3.0, 2.0, size=(n, covariates))
        y = 0.4 * place + x @ np.arange(1, covariates + 1) + rng.normal(size=n)
        cells.append((y, x))
    return cells


def moments_of(cells):
    return [CoMoments.from_values(np.column_stack([y, x])) for y, x in cells]


def coded():
    """A column for every factorial effect, as differences of cell means: -1/2 and 1/2."""
    half = [np.array(cell) - 0.5 for cell in LEVELS]
    return np.repeat([[1.0, a, b, a * b] for a, b in half], SIZES, axis=0)


@pytest.mark.parametrize("covariates", [1, 3])
def test_adjusted_effects_are_those_of_least_squares_with_the_covariates(covariates):
    """Against statsmodels OLS on all effects and covariates: effects to 1e-10; errors but for the covariates' imbalance, 3%."""
    cells = drawn(1, covariates)
    found = adjusted_cells(moments_of(cells))
    analysis = factorial_effects(dict(zip(LEVELS, found.cells, strict=True)), ["a", "b"], variances="equal")
    fit = sm.OLS(np.concatenate([y for y, _ in cells]), np.column_stack([coded(), np.vstack([x for _, x in cells])])).fit()
    assert [c.effect for c in analysis.contrasts] == pytest.approx(fit.params[1:4].tolist(), rel=1e-10)
    # the pooled spread carries the price of the coefficients exactly
    spread = sum(cell.m2 for cell in found.cells) / (sum(SIZES) - 4)
    assert spread == pytest.approx(fit.ssr / fit.df_resid, rel=1e-10)
    assert [c.std_error for c in analysis.contrasts] == pytest.approx(fit.bse[1:4].tolist(), rel=0.03)
    raw = sum(float(((y - y.mean()) ** 2).sum()) for y, _ in cells)
    assert found.variance_reduction == pytest.approx(1.0 - spread * (sum(SIZES) - 4) / raw, rel=1e-12)
    assert found.variance_reduction > 0.5
    # moved to the covariates' mean over all units: their own average stays
    everybody = np.concatenate([y for y, _ in cells]).mean()
    assert np.average([cell.mean for cell in found.cells], weights=SIZES) == pytest.approx(everybody, rel=1e-12)


def test_without_a_covariate_cells_are_as_they_came():
    cells = [CoMoments.from_values(y[:, None]) for y, _ in drawn(2)]
    found = adjusted_cells(cells)
    assert found.variance_reduction is None
    assert list(found.cells) == [Moments(n=c.n, mean=float(c.mean[0]), m2=float(c.cross[0, 0])) for c in cells]


def test_a_ratio_has_the_value_and_the_error_of_the_delta_method():
    """Against `ratio_value`, cell by cell, to 1e-12."""
    rng = np.random.default_rng(3)
    cells = [CoMoments.from_values(np.column_stack([rng.poisson(3.0, n), 1 + rng.poisson(2.0, n)])) for n in SIZES]
    found = adjusted_cells(cells, ratio=True)
    for cell, own in zip(cells, found.cells, strict=True):
        expected = ratio_value(cell)
        assert own.mean == pytest.approx(expected.ratio, rel=1e-12)
        assert (own.variance / own.n) ** 0.5 == pytest.approx(expected.std_error, rel=1e-12)


def test_a_ratio_may_be_adjusted_too():
    rng = np.random.default_rng(4)
    cells = []
    for n in (4000, 4000):
        activity = rng.gamma(4.0, 1.0, n)
        sessions = 1.0 + rng.poisson(2.0, n)
        cells.append(CoMoments.from_values(np.column_stack([activity * sessions + rng.normal(size=n), sessions, activity])))
    found = adjusted_cells(cells, ratio=True)
    assert found.variance_reduction > 0.5
    assert [own.mean for own in found.cells] == pytest.approx([4.0, 4.0], abs=0.1)


def test_a_covariate_that_does_not_vary_changes_nothing():
    cells = drawn(5)
    still = adjusted_cells([CoMoments.from_values(np.column_stack([y, np.full(y.size, 7.0)])) for y, _ in cells])
    plain = adjusted_cells([CoMoments.from_values(y[:, None]) for y, _ in cells])
    assert [c.mean for c in still.cells] == pytest.approx([c.mean for c in plain.cells], rel=1e-12)
    assert [c.m2 for c in still.cells] == pytest.approx([c.m2 for c in plain.cells], rel=1e-12)
    assert still.variance_reduction == pytest.approx(0.0)


def test_an_outcome_that_does_not_vary_saves_nothing():
    cells = [CoMoments.from_values(np.column_stack([np.full(9, 2.0), np.arange(9.0)])) for _ in range(4)]
    found = adjusted_cells(cells)
    assert found.variance_reduction == 0.0
    assert [(cell.mean, cell.m2) for cell in found.cells] == [(2.0, 0.0)] * 4


@given(st.floats(-1e6, 1e6), st.floats(0.1, 1e3), st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_a_shift_or_scale_of_the_covariate_changes_nothing(shift, scale, seed):
    cells = drawn(seed)
    moved = adjusted_cells(moments_of([(y, shift + scale * x) for y, x in cells]))
    plain = adjusted_cells(moments_of(cells))
    assert [c.mean for c in moved.cells] == pytest.approx([c.mean for c in plain.cells], rel=1e-6)
    assert [c.m2 for c in moved.cells] == pytest.approx([c.m2 for c in plain.cells], rel=1e-5)


def test_bad_cells_are_refused_by_rule():
    one, two = CoMoments.from_values(np.ones((3, 1))), CoMoments.from_values(np.eye(3)[:, :2])
    with pytest.raises(UsageError, match="same columns"):
        adjusted_cells([one, two])
    with pytest.raises(UsageError, match="same columns"):
        adjusted_cells([one, one], ratio=True)
    with pytest.raises(DataError, match="denominator") as zero:
        adjusted_cells([CoMoments.from_values(np.array([[1.0, 1.0], [1.0, -1.0]]))] * 2, ratio=True)
    assert zero.value.code == "zero_denominator"
    x = np.arange(8.0)
    with pytest.raises(DataError, match="linearly") as line:
        adjusted_cells([CoMoments.from_values(np.column_stack([x**2, x, 2 * x + 1]))] * 4)
    assert line.value.code == "collinear"
    with pytest.raises(NotEnoughDataError, match="too few"):
        adjusted_cells([CoMoments.from_values(np.array([[1.0, 2.0]])), CoMoments.from_values(np.array([[1.0, 2.0], [3.0, 5.0]]))])
