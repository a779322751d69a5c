"""Does a treatment add the same to a rate in every arm of another experiment? Many tables at once.

The model p_treatment,j = p_control,j + d is fitted by maximum likelihood: for each d the
controls' rates are the restricted maximum of two rates, and d is where the slope of what
remains is zero. The likelihood is concave, so each step is the root of a function of one
variable on a bracket. Pearson's statistic of the fit has J - 1 degrees of freedom.

References: Pearson (1900), Philosophical Magazine 50, 157-175; the restricted maximum:
Miettinen & Nurminen (1985), Statistics in Medicine 4, 213-226.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from fairtrial.errors import UsageError
from fairtrial.stats.roots import solve_increasing

Floats = NDArray[np.float64]

SMALLEST_RATE = 1e-13
"""Rates below this are found to fewer digits."""
NEAR = 1e-9
"""How near to 0 and 1 Newton's method may start."""
NEWTON_STEPS = 12
SOLVED = 1e-7
"""A last step below this part of every rate and its complement: the next would be its square."""
CHUNK = 16_384
"""Tables that are solved together: as many as fit a processor's cache."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AdditiveTests:
    """The test of additivity of k tables.

    Attributes:
        effect: The common effect d that fits best, in rate, shape (k,).
        chi_square: Pearson's statistic of the fit, shape (k,).
        df: Arms, less one.
        p_value: P(chi-square with `df` degrees of freedom > `chi_square`), shape (k,).
        effect_range: Largest effect less the smallest, shape (k,).
    """

    effect: Floats
    chi_square: Floats
    df: int
    p_value: Floats
    effect_range: Floats


def additive_tests(x_control: ArrayLike, n_control: ArrayLike, x_treatment: ArrayLike, n_treatment: ArrayLike) -> AdditiveTests:
    """Test k tables of a control and a treatment in J arms.

    Args:
        x_control: Successes of the control in each arm, shape (k, J) with J >= 2.
        n_control: Its units, >= 1, the same shape.
        x_treatment: Successes of the treatment.
        n_treatment: Its units.

    Raises:
        UsageError: The shapes differ, there are fewer than two arms, or counts are none.
    """
    x_c, n_c, x_t, n_t = (np.asarray(values, dtype=np.float64) for values in (x_control, n_control, x_treatment, n_treatment))
    if x_c.ndim != 2 or x_c.shape[1] < 2 or len({values.shape for values in (x_c, n_c, x_t, n_t)}) > 1:
        raise UsageError(f"Tables need one shape (k, J) with J >= 2, got {[v.shape for v in (x_c, n_c, x_t, n_t)]}.")
    for x, n in ((x_c, n_c), (x_t, n_t)):
        if not ((x >= 0.0) & (x <= n) & (n >= 1.0) & np.isfinite(n)).all():
            raise UsageError("Successes must lie in 0..n with n >= 1 in every cell.")
    k, arms = x_c.shape
    effect, chi_square = np.empty(k), np.empty(k)
    for start in range(0, k, CHUNK):
        part = slice(start, start + CHUNK)
        effect[part], chi_square[part] = _fit(x_c[part], n_c[part], x_t[part], n_t[part])
    effects = x_t / n_t - x_c / n_c
    return AdditiveTests(
        effect=effect,
        chi_square=chi_square,
        df=arms - 1,
        p_value=special.chdtrc(arms - 1, chi_square),
        effect_range=np.ptp(effects, axis=1),
    )


def _fit(x_c: Floats, n_c: Floats, x_t: Floats, n_t: Floats) -> tuple[Floats, Floats]:
    """Newton's method where every cell has successes and failures; what it leaves unsolved goes to the bracketed search."""
    inner = ((x_c > 0.0) & (x_c < n_c) & (x_t > 0.0) & (x_t < n_t)).all(axis=1)
    effect, chi_square = np.zeros(inner.size), np.zeros(inner.size)
    solved = np.zeros(inner.size, dtype=np.bool_)
    if inner.any():
        tables = (x_c, n_c, x_t, n_t) if inner.all() else tuple(values[inner] for values in (x_c, n_c, x_t, n_t))
        effect[inner], chi_square[inner], solved[inner] = _newton(*tables)
    if not solved.all():
        rest = ~solved
        effect[rest], chi_square[rest] = _fitted(x_c[rest], n_c[rest], x_t[rest], n_t[rest])
    return effect, chi_square


def _newton(x_c: Floats, n_c: Floats, x_t: Floats, n_t: Floats) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Newton's method in the common effect and the controls' rates together, and where it has converged.

    The matrix of second derivatives is an arrow, so that its inverse is a few sums; a step that would leave (0, 1) is cut.
    """
    d = x_t.sum(axis=1) / n_t.sum(axis=1) - x_c.sum(axis=1) / n_c.sum(axis=1)
    p = (x_c + x_t - n_t * d[:, None]) / (n_c + n_t)
    p = np.clip(p, np.maximum(0.0, -d)[:, None] + NEAR, np.minimum(1.0, 1.0 - d)[:, None] - NEAR)
    left = np.full(d.size, np.inf)
    for _ in range(NEWTON_STEPS):
        q = p + d[:, None]
        rest_p, rest_q = 1.0 - p, 1.0 - q
        up_p, down_p, up_q, down_q = x_c / p, (n_c - x_c) / rest_p, x_t / q, (n_t - x_t) / rest_q
        slope_q = up_q - down_q
        slope = up_p - down_p + slope_q
        curve_p, curve_q = up_p / p + down_p / rest_p, up_q / q + down_q / rest_q
        whole = curve_p + curve_q
        step_d = (slope_q - slope * curve_q / whole).sum(axis=1) / (curve_p * curve_q / whole).sum(axis=1)
        step_p = (slope - curve_q * step_d[:, None]) / whole
        step_q = step_p + step_d[:, None]
        left = np.maximum((np.abs(step_p) / np.minimum(p, rest_p)).max(axis=1), (np.abs(step_q) / np.minimum(q, rest_q)).max(axis=1))
        cut = np.minimum(1.0, 0.9 / np.maximum(left, 1e-300))
        d = d + cut * step_d
        p = p + cut[:, None] * step_p
        if left.max() < SOLVED:
            break
    q = p + d[:, None]
    return d, _pearson(x_c, n_c, p) + _pearson(x_t, n_t, q), left < SOLVED


def _fitted(x_c: Floats, n_c: Floats, x_t: Floats, n_t: Floats) -> tuple[Floats, Floats]:
    """The common effect and Pearson's statistic of each table."""
    effects = x_t / n_t - x_c / n_c
    low, high = effects.min(axis=1, keepdims=True), effects.max(axis=1, keepdims=True)

    def descent(d: Floats) -> Floats:
        return -_profile_score(x_c, n_c, x_t, n_t, d).sum(axis=1, keepdims=True)

    start = (x_t.sum(axis=1) / n_t.sum(axis=1) - x_c.sum(axis=1) / n_c.sum(axis=1))[:, None]
    effect = solve_increasing(descent, low, high, start, slope=(n_t + n_c).sum(axis=1, keepdims=True), scale=SMALLEST_RATE)
    p, q = _restricted_rates(x_c, n_c, x_t, n_t, effect)
    return effect[:, 0], _pearson(x_c, n_c, p) + _pearson(x_t, n_t, q)


def _restricted_rates(x_c: Floats, n_c: Floats, x_t: Floats, n_t: Floats, d: Floats) -> tuple[Floats, Floats]:
    """Rates of control and treatment where the likelihood is largest under treatment - control = d, arm by arm.

    The score times p (1 - p) q (1 - q) is a cubic that changes sign once between the bounds of p. It is solved
    for the distance of p from its lower bound, so that rates near 0 keep their digits.
    """
    lift, drop = np.maximum(d, 0.0), np.maximum(-d, 0.0)
    room = np.broadcast_to(1.0 - lift - drop, x_c.shape)

    def descent(above: Floats) -> Floats:
        p, q = above + drop, above + lift
        rest_p, rest_q = room - above + lift, room - above + drop
        return -((x_c - n_c * p) * q * rest_q + (x_t - n_t * q) * p * rest_p)

    pooled = np.clip((x_c + x_t - n_c * drop - n_t * lift) / (n_c + n_t), SMALLEST_RATE * room, room * (1.0 - SMALLEST_RATE))
    above = solve_increasing(descent, np.zeros_like(room), room.copy(), pooled, slope=(n_c + n_t) * 0.1, scale=SMALLEST_RATE)
    return above + drop, above + lift


def _profile_score(x_c: Floats, n_c: Floats, x_t: Floats, n_t: Floats, d: Floats) -> Floats:
    """Slope of each arm's best log likelihood in d: the treatment's score, or less the control's.

    Inside they are equal; where one of the two rates is at 0 or 1 the other's score is the slope.
    """
    p, q = _restricted_rates(x_c, n_c, x_t, n_t, d)
    inside = np.minimum(q, 1.0 - q) >= np.minimum(p, 1.0 - p)
    x, n, rate = np.where(inside, x_t, x_c), np.where(inside, n_t, n_c), np.where(inside, q, p)
    up = np.divide(x, rate, out=np.zeros_like(rate), where=x > 0.0)
    down = np.divide(n - x, 1.0 - rate, out=np.zeros_like(rate), where=x < n)
    return np.where(inside, 1.0, -1.0) * (up - down)


def _pearson(x: Floats, n: Floats, rate: Floats) -> Floats:
    """Pearson's statistic of counts against fitted rates; a cell fitted at 0 or 1 adds nothing."""
    variance = n * rate * (1.0 - rate)
    return np.divide((x - n * rate) ** 2, variance, out=np.zeros_like(rate), where=variance > 0.0).sum(axis=1)
