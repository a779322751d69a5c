"""Integrals of products of two beta (or gamma) densities along a line, from which densities of differences and ratios come.

    integral over p of C^c T^t (1 - C)^u (1 - T)^v,   C = start_c + p, T = start_t + scale_t p

(with e^(-u C - v T) for gammas). The stretch (0, 1 / kappa) of p is mapped to the line by a
logit (a logarithm where kappa is 0); there the integrand has one peak and at least
exponential tails, and the trapezoidal rule around the peak converges exponentially. Factors are
taken relative to each arm's mean by log1p of the distance from it, so nothing cancels.

References: Trefethen & Weideman (2014), SIAM Review 56, 385-458 (the trapezoidal rule).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from fairtrial.stats.bayes.arm import DROP, Floats, Integers

GAUSSIAN = 1000.0
CLASSES = ((GAUSSIAN, np.inf, 0.55), (8.0, GAUSSIAN, 0.45), (0.0, 8.0, 0.3))
"""By the smallest shape of the four: from, below, and the distance of nodes in widths of the peak (in e-folds, where it is wider)."""
MOST = 4000
"""Nodes of one integral at most."""
BLOCK = 16_384
"""Nodes computed at once, so that they stay in the processor's cache."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Integrals:
    """k integrals over p in (0, 1 / kappa): C = start_c + p, T = start_t + scale_t p; arrays of shape (k,) or (k, 1).

    `low_c`, `low_t` are exponents of C and T; `up_c`, `up_t` those of 1 - C and 1 - T, or the rates of
    gammas; `rest_c`, `rest_t` are what is left of 1 - C and 1 - T at the upper end.
    """

    mean_c: Floats
    mean_t: Floats
    low_c: Floats
    low_t: Floats
    up_c: Floats
    up_t: Floats
    bounded: bool
    start_c: Floats
    start_t: Floats
    scale_t: Floats
    rest_c: Floats
    rest_t: Floats
    kappa: Floats
    guess: Floats

    def take(self, rows: slice | Integers) -> Integrals:
        """Some of the integrals, as columns or as they are."""
        arrays = {f.name: getattr(self, f.name)[rows] for f in fields(self) if f.name != "bounded"}
        return Integrals(bounded=self.bounded, **arrays)

    def columns(self) -> Integrals:
        """The same with arrays of shape (k, 1)."""
        arrays = {f.name: getattr(self, f.name)[:, None] for f in fields(self) if f.name != "bounded"}
        return Integrals(bounded=self.bounded, **arrays)

    def values(self, p: Floats, left: Floats) -> Floats:
        """Logarithms of the integrand over the logit of kappa p, at p with `left` = 1 - kappa p."""
        c, t = self.start_c + p, self.start_t + self.scale_t * p
        logs = self.low_c * _log_ratio(c - self.mean_c, self.mean_c, c) + self.low_t * _log_ratio(t - self.mean_t, self.mean_t, t)
        if self.bounded:
            gap = left / self.kappa
            rest_c, rest_t = self.rest_c + gap, self.rest_t + self.scale_t * gap
            logs += self.up_c * _log_ratio(self.mean_c - c, 1.0 - self.mean_c, rest_c)
            logs += self.up_t * _log_ratio(self.mean_t - t, 1.0 - self.mean_t, rest_t)
        else:
            logs -= self.up_c * (c - self.mean_c) + self.up_t * (t - self.mean_t)
        return logs + np.log(p * left)

    def slopes(self, p: Floats, left: Floats) -> tuple[Floats, Floats]:
        """First and second derivatives of `values` in the logit."""
        pace, inner = p * left, left - self.kappa * p
        # Shares of C and T, and of what is left of 1 - C and 1 - T, that a step of the logit moves: all within [0, 1].
        of_c, of_t = pace / (self.start_c + p), self.scale_t * pace / (self.start_t + self.scale_t * p)
        first = self.low_c * of_c + self.low_t * of_t + inner
        second = self.low_c * of_c * (inner - of_c) + self.low_t * of_t * (inner - of_t) - 2.0 * self.kappa * pace
        if not self.bounded:
            fall = pace * (self.up_c + self.up_t * self.scale_t)
            return first - fall, second - fall * inner
        gap = left / self.kappa
        off_c, off_t = pace / (self.rest_c + gap), self.scale_t * pace / (self.rest_t + self.scale_t * gap)
        first = first - self.up_c * off_c - self.up_t * off_t
        return first, second - self.up_c * off_c * (inner + off_c) - self.up_t * off_t * (inner + off_t)

    def moved(self, p: Floats, left: Floats, step: Floats) -> tuple[Floats, Floats]:
        """Values of p and 1 - kappa p after a step of the logit."""
        rise = np.exp(step)
        below = left + self.kappa * p * rise
        return p * rise / below, left / below


def _log_ratio(distance: Floats, mean: Floats, value: Floats) -> Floats:
    """ln(value / mean) with distance = value - mean: by log1p near the mean, directly where the value is small beside it."""
    step = distance / mean
    small = step < -0.9
    if not small.any():
        return np.log1p(step)
    logs = np.log1p(np.maximum(step, -0.9))
    logs[small] = np.log(value[small]) - np.log(np.broadcast_to(mean, step.shape)[small])
    return logs


def logs_of(integrals: Integrals) -> Floats:
    """Logarithms of the integrals."""
    p, left, width = _peak(integrals)
    smallest = np.minimum(integrals.low_c, integrals.low_t) + 1.0
    if integrals.bounded:
        smallest = np.minimum(smallest, np.minimum(integrals.up_c, integrals.up_t) + 1.0)
    result = np.empty_like(p)
    for lowest, highest, spacing in CLASSES:
        chosen = np.flatnonzero((smallest >= lowest) & (smallest < highest))
        if chosen.size:
            part, p_part, left_part, w = integrals.take(chosen), p[chosen], left[chosen], width[chosen]
            if lowest == GAUSSIAN:
                down = up = 8.2 * w + DROP / smallest[chosen]
            else:
                down, up = (_reach(part, p_part, left_part, w, sign) for sign in (-1.0, 1.0))
            result[chosen] = _trapezoid(part, p_part, left_part, (down, up), spacing * np.minimum(w, 1.0))
    return result


def _peak(integrals: Integrals) -> tuple[Floats, Floats, Floats]:
    """Where the integrands peak (p and 1 - kappa p), to a small part of a width, and the width there."""
    kappa = integrals.kappa
    end = np.where(kappa > 0.0, 1.0 / np.where(kappa > 0.0, kappa, 1.0), np.inf)
    scale = np.minimum(np.where(np.isfinite(end), end, 1.0), 1.0) if integrals.bounded else integrals.mean_c
    p = np.clip(integrals.guess, 1e-6 * scale, np.where(np.isfinite(end), end * (1.0 - 1e-6), np.inf))
    left = 1.0 - kappa * p
    low, high = np.full(p.shape, -np.inf), np.full(p.shape, np.inf)
    place, width = np.zeros_like(p), np.ones_like(p)
    for _ in range(100):
        first, second = integrals.slopes(p, left)
        low, high = np.where(first >= 0.0, place, low), np.where(first <= 0.0, place, high)
        curved = second < 0.0
        width = 1.0 / np.sqrt(np.where(curved, -second, 1.0))
        if (np.abs(first) * width < 0.05)[curved].all() and curved.all():
            break
        step = np.where(curved, first * width * width, np.sign(first))
        step = np.clip(step, -3.0, 3.0)
        following = place + step
        outside = (following <= low) | (following >= high)
        following = np.where(outside & np.isfinite(low) & np.isfinite(high), 0.5 * (low + high), following)
        p, left = integrals.moved(p, left, following - place)
        place = following
    return p, left, width


def _reach(integrals: Integrals, p: Floats, left: Floats, width: Floats, sign: float) -> Floats:
    """Steps of the logit after which the integrand has fallen by `DROP`, a little more than less."""
    floor = integrals.values(p, left) - DROP
    outer = np.minimum(2.0 * width, 4.0)
    for _ in range(60):
        above = integrals.values(*integrals.moved(p, left, sign * outer)) > floor
        if not above.any():
            break
        outer = np.where(above, 1.3 * outer, outer)
    return outer


def _trapezoid(integrals: Integrals, p: Floats, left: Floats, reach: tuple[Floats, Floats], spacing: Floats) -> Floats:
    down, up = reach
    needed = np.minimum(np.ceil((down + up) / spacing) + 1.0, MOST).astype(np.intp)
    # Those that need about as many nodes are computed together.
    order = np.argsort(needed, kind="stable")
    result = np.empty_like(p)
    begin = 0
    while begin < p.size:
        rows = order[begin : begin + max(1, BLOCK // int(needed[order[begin]]))]
        count = int(needed[rows[-1]])
        part = integrals.take(rows).columns()
        gap = (down[rows] + up[rows]) / (count - 1)
        steps = gap[:, None] * np.arange(count) - down[rows, None]
        logs = part.values(*part.moved(p[rows, None], left[rows, None], steps))
        top = logs.max(axis=1)
        result[rows] = top + np.log(gap * np.exp(logs - top[:, None]).sum(axis=1))
        begin += rows.size
    return result
