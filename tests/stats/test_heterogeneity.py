"""Do effects differ between groups, and what is each once its noise is allowed for (REQUIREMENTS III.b, XC-34)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from fairtrial.errors import NotEnoughDataError, UsageError
from fairtrial.stats.heterogeneity import cochran_q, shrink
from fairtrial.stats.multiplicity import adjust

GOLDEN = ([0.030, 0.020, -0.015], [0.008, 0.007, 0.006])

# Thirteen trials of the BCG vaccine, (ill, well) with it and without: Colditz et al. (1994), JAMA 271, 698-702.
BCG = (
    (4, 119, 11, 128), (6, 300, 29, 274), (3, 228, 11, 209), (62, 13536, 248, 12619), (33, 5036, 47, 5761), (180, 1361, 372, 1079),
    (8, 2537, 10, 619), (505, 87886, 499, 87892), (29, 7470, 45, 7232), (17, 1699, 65, 1600), (186, 50448, 141, 27197),
    (5, 2493, 3, 2338), (27, 16886, 29, 17825),
)  # fmt: skip


def bcg() -> tuple[list[float], list[float]]:
    """Log risk ratios with their standard errors."""
    effects = [math.log(a / (a + b) / (c / (c + d))) for a, b, c, d in BCG]
    return effects, [math.sqrt(1 / a - 1 / (a + b) + 1 / c - 1 / (c + d)) for a, b, c, d in BCG]


def test_the_golden_values_of_the_requirements():
    found = cochran_q(*GOLDEN)
    assert found.pooled == pytest.approx(0.007213, abs=5e-7)
    assert found.q == pytest.approx(25.1562, abs=5e-5)
    assert found.p_value == pytest.approx(3.447e-6, rel=2e-4)
    assert found.df == 2
    z = np.array(GOLDEN[0]) / np.array(GOLDEN[1])
    holm = adjust(2 * stats.norm.sf(np.abs(z)), "holm").p_adjusted
    assert holm == pytest.approx([0.000530, 0.008549, 0.012419], abs=1e-6)


def test_published_analysis_of_the_bcg_trials():
    """Q 152.2330 on 12 df, fixed effect -0.4303 (0.0405), tau^2 0.3088: metafor's documented example of these data."""
    found = cochran_q(*bcg())
    assert (found.q, found.df) == (pytest.approx(152.2330, abs=5e-5), 12)
    assert (found.pooled, found.std_error) == (pytest.approx(-0.4303, abs=5e-5), pytest.approx(0.0405, abs=5e-5))
    assert found.tau2 == pytest.approx(0.3088, abs=5e-5)
    assert found.i_squared == pytest.approx(0.9212, abs=5e-5)


def by_quadrature(effects, errors, index):
    """Posterior mean and distribution function of one group's effect, by adaptive quadrature over u = s0^2 / (s0^2 + tau^2)."""
    y, v = np.array(effects), np.square(errors)
    s02 = len(v) / np.sum(1 / v)

    def parts(u):
        tau2 = s02 * (1 - u) / u
        w = 1 / (v + tau2)
        mu = w @ y / w.sum()
        density = math.exp(
            0.5 * np.log(w).sum() - 0.5 * math.log(w.sum()) - 0.5 * float(w @ np.square(y - mu)) + 0.5 * len(v) * math.log(s02)
        )
        pull = v[index] * w[index]
        return density, pull * mu + (1 - pull) * y[index], math.sqrt((1 - pull) * v[index] + pull**2 / w.sum())

    def over(g):
        return integrate.quad(lambda u: parts(u)[0] * g(*parts(u)[1:]), 1e-12, 1 - 1e-12, limit=400, epsabs=0, epsrel=1e-9)[0]

    total = over(lambda *_: 1.0)
    return over(lambda m, _: m) / total, lambda x: over(lambda m, s: stats.norm.cdf((x - m) / s)) / total


@pytest.mark.parametrize("case", [GOLDEN, ([1.0, 3.0], [1.0, 0.5]), ([28, 8, -3, 7, -1, 1, 18, 12], [15, 10, 16, 11, 9, 11, 10, 18])])
def test_shrunken_effects_equal_a_quadrature_of_the_model(case):
    found = shrink(*case, alpha=0.1)
    for index in range(len(case[0])):
        mean, below = by_quadrature(*case, index)
        assert found.effects[index] == pytest.approx(mean, rel=1e-6)
        assert below(found.intervals[index].low) == pytest.approx(0.05, abs=1e-6)
        assert below(found.intervals[index].high) == pytest.approx(0.95, abs=1e-6)


EFFECTS = st.lists(st.tuples(st.floats(-5, 5), st.floats(0.1, 3)), min_size=2, max_size=8)


@settings(deadline=None, max_examples=40)
@given(EFFECTS, st.floats(-100, 100), st.floats(0.01, 100))
def test_shift_and_scale_go_through_and_the_order_does_not_matter(groups, shift, scale):
    y, s = [list(column) for column in zip(*groups, strict=True)]
    assume(max(y) - min(y) > 1e-3)
    plain, q = shrink(y, s), cochran_q(y, s)
    moved = shrink([scale * (v + shift) for v in y], [scale * e for e in s])
    reach = scale * (abs(shift) + 20)
    assert moved.effects == pytest.approx([scale * (v + shift) for v in plain.effects], abs=1e-7 * reach)
    assert [one.high for one in moved.intervals] == pytest.approx([scale * (one.high + shift) for one in plain.intervals], abs=1e-7 * reach)
    turned = shrink(y[::-1], s[::-1])
    assert turned.effects[::-1] == pytest.approx(plain.effects, abs=1e-7)
    assert cochran_q([scale * (v + shift) for v in y], [scale * e for e in s]).q == pytest.approx(q.q, rel=1e-6, abs=1e-6)


@settings(deadline=None, max_examples=40)
@given(EFFECTS)
def test_a_shrunken_effect_lies_between_the_groups_own_and_the_others(groups):
    y, s = zip(*groups, strict=True)
    found = shrink(y, s)
    for effect, interval in zip(found.effects, found.intervals, strict=True):
        assert min(y) - 1e-9 <= effect <= max(y) + 1e-9
        assert interval.low <= effect <= interval.high


def test_noise_decides_how_far_an_effect_is_drawn():
    found = shrink([10.0, 0.0, 0.0, 0.0], [10.0, 1.0, 1.0, 1.0])
    assert abs(found.effects[0]) < 2.0
    sure = shrink([10.0, 0.0, 0.0, 0.0], [0.1, 0.1, 0.1, 0.1])
    assert sure.effects[0] == pytest.approx(10.0, abs=0.1)


def test_far_offsets_and_tiny_or_huge_units_lose_nothing():
    base = shrink([1.0, 2.0, 4.0], [1.0, 1.5, 0.5])
    for unit in (1e-200, 1e150):
        found = shrink([unit, 2 * unit, 4 * unit], [unit, 1.5 * unit, 0.5 * unit])
        assert [effect / unit for effect in found.effects] == pytest.approx(base.effects, rel=1e-9)
        assert cochran_q([unit, 2 * unit, 4 * unit], [unit, 1.5 * unit, 0.5 * unit]).q == pytest.approx(
            cochran_q([1, 2, 4], [1, 1.5, 0.5]).q
        )
    wide = shrink([0.0, 1e9], [1.0, 1.0])
    assert wide.effects == pytest.approx((0.0, 1e9), abs=1e-3)
    assert cochran_q([0.0, 1e9], [1.0, 1.0]).p_value == 0.0
    assert cochran_q([3.0, 3.0], [1.0, 2.0]).i_squared == 0.0


@pytest.mark.parametrize(
    "wrong",
    [([1.0, 2.0], [1.0]), ([1.0, math.nan], [1.0, 1.0]), ([1.0, 2.0], [1.0, 0.0]), ([1.0, 2.0], [1.0, math.inf]), ([[1.0]], [[1.0]])],
)
def test_what_is_no_effect_with_an_error_is_refused(wrong):
    for method in (cochran_q, shrink):
        with pytest.raises(UsageError):
            method(*wrong)


def test_one_group_cannot_differ():
    for method in (cochran_q, shrink):
        with pytest.raises(NotEnoughDataError, match="from 2 on, got 1"):
            method([1.0], [1.0])
    with pytest.raises(UsageError, match="alpha"):
        shrink([1.0, 2.0], [1.0, 1.0], alpha=5)


@pytest.mark.slow
def test_size_of_the_test_and_coverage_of_shrunken_intervals():
    """4,000 draws; binomial bounds at 1 in 10,000. The model's intervals cover over groups, whatever the spread between them."""
    rng = np.random.default_rng(31)
    errors = np.array([1.0, 0.7, 1.5, 0.5, 2.0])
    runs = 4_000
    rejected = sum(cochran_q(rng.normal(0, errors), errors).p_value < 0.05 for _ in range(runs))
    low, high = stats.binom.ppf([5e-5, 1 - 5e-5], runs, 0.05)
    assert low <= rejected <= high
    for tau in (0.0, 0.5, 2.0):
        inside = 0
        for _ in range(400):
            true = rng.normal(0.3, tau, 5)
            found = shrink(rng.normal(true, errors), errors)
            inside += sum(one.low <= value <= one.high for one, value in zip(found.intervals, true, strict=True))
        assert inside >= stats.binom.ppf(1e-4, 2_000, 0.93), (tau, inside / 2_000)
