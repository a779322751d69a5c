"""Posteriors of one number, tabulated: densities on panels, from which every probability and interval is read.

A density that can be computed at any point is approximated on adaptive panels by
polynomials through 20 Gauss points each. Masses of panels are Gauss-Legendre
sums; within a panel the distribution function is the polynomial's own integral. So
probabilities, expected losses, quantiles and shortest intervals of many posteriors
come out of one table, without a random draw. Where a point lies so far out that the
table's absolute error would show, `far_tail` integrates the tail by itself and keeps
its relative precision down to the smallest doubles.

Assumes densities that are smooth but for stated break points, and unimodal where a
shortest interval is asked for.

References: Davis & Rabinowitz (1984), Methods of Numerical Integration, ch. 6
(adaptive quadrature); Hyndman (1996), American Statistician 50, 120-126 (shortest
regions).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.polynomial import chebyshev, legendre
from numpy.typing import NDArray

from fairtrial.stats.roots import solve_increasing

Floats = NDArray[np.float64]
Integers = NDArray[np.intp]

LogDensity = Callable[[Integers, Floats], Floats]
"""Maps numbers of entries and points, both of shape (k,), to logarithms of densities, each entry up to a constant."""

ORDER = 20
TOLERANCE = 1e-9
"""A panel is split while its last two coefficients carry more than this part of the total mass; what is missed is far less."""
DEEPEST = 48
"""A panel is halved at most so often: what is left of a singular density there weighs nothing."""
STEPS = (0.41, 1.0)
"""First panels, as parts of the way from the centre to either end."""
ROOT = 1e-11
"""Places within a panel are found to this part of its half width."""
TAIL_ROOT = 1e-9
"""The probability below a shortest interval is found to this; its ends, where the density is flat in it, far closer."""
NEWTONS = 60
"""Steps to a quantile at most; five or six are usual."""
REACH = (6.0, 20.0, 45.0)
"""Panels of a far tail, in lengths over which the density falls by e."""

_NODES, _WEIGHTS = legendre.leggauss(ORDER)
_DEGREES = np.arange(ORDER + 1.0)


def _chebyshev_of_values() -> Floats:
    """Matrix from values at the Gauss points to Chebyshev coefficients of the polynomial through them.

    By way of Legendre coefficients (Gauss sums) and the polynomials' values at Chebyshev points, both stable.
    """
    to_legendre = legendre.legvander(_NODES, ORDER - 1) * _WEIGHTS[:, None] * (np.arange(ORDER) + 0.5)
    angles = np.pi * (np.arange(ORDER) + 0.5) / ORDER
    legendre_to_chebyshev = 2.0 / ORDER * legendre.legvander(np.cos(angles), ORDER - 1).T @ np.cos(np.outer(angles, np.arange(ORDER)))
    legendre_to_chebyshev[:, 0] *= 0.5
    return np.asarray(to_legendre @ legendre_to_chebyshev, dtype=np.float64)


_TO_COEFFICIENTS = _chebyshev_of_values()
_TO_INTEGRAL = np.asarray(chebyshev.chebint(np.eye(ORDER), lbnd=-1, axis=0).T, dtype=np.float64)


class Tail(NamedTuple):
    """What lies on one side of a point: its probability, and the mean distance into it, E[max(distance, 0)]."""

    probability: Floats
    loss: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DensityTable:
    """Densities of m posteriors on at most k panels each; unused panels are empty.

    Attributes:
        edges: Ends of the panels, increasing, shape (m, k + 1).
        coefficients: Chebyshev coefficients of the density on each panel, shape (m, k, 20).
        nodes: Gauss points, shape (m, k, 20).
        masses: Probability that each Gauss point stands for, shape (m, k, 20).
        log_total: Logarithm of what the density given integrated to, shape (m,).
    """

    edges: Floats
    coefficients: Floats
    nodes: Floats
    masses: Floats
    log_total: Floats

    @property
    def size(self) -> int:
        """Number of posteriors m."""
        return int(self.log_total.size)

    @property
    def below(self) -> Floats:
        """Probability below each edge, shape (m, k + 1)."""
        panels = np.cumsum(self.masses.sum(axis=2), axis=1)
        return np.concatenate((np.zeros((panels.shape[0], 1)), panels), axis=1)

    def density(self, points: Floats) -> Floats:
        """Densities at `points`, shape (m, q); 0 outside the table."""
        panel, place, half = self._place(points)
        values = _sum(self._of(panel), _polynomials(place)[..., :-1])
        inside = (points >= self.edges[:, :1]) & (points <= self.edges[:, -1:]) & (half > 0.0)
        return np.where(inside, np.maximum(values, 0.0), 0.0)

    def cdf(self, points: Floats) -> Floats:
        """Probabilities below `points`, shape (m, q).

        The absolute error is about 1e-10, and up to 1e-6 where a density is infinite at an end (a shape of 0.5).
        """
        panel, place, half = self._place(points)
        start = np.take_along_axis(self.below, panel, axis=1)
        return np.clip(start + half * _sum(self._of(panel) @ _TO_INTEGRAL, _polynomials(place)), 0.0, 1.0)

    def sf(self, points: Floats) -> Floats:
        """Probabilities above `points`, shape (m, q), summed from the upper end."""
        panel, place, half = self._place(points)
        panels = self.masses.sum(axis=2)
        over = np.cumsum(panels[:, ::-1], axis=1)[:, ::-1]
        within = half * _sum(self._of(panel) @ _TO_INTEGRAL, _polynomials(place))
        return np.clip(np.take_along_axis(over, panel, axis=1) - within, 0.0, 1.0)

    def quantile(self, probabilities: Floats) -> Floats:
        """Points below which `probabilities` of shape (m, q) lie."""
        below = self.below
        panel = np.clip((below[:, 1:-1, None] <= probabilities[:, None, :]).sum(axis=1), 0, below.shape[1] - 2)
        start, coefficients = np.take_along_axis(below, panel, axis=1), self._of(panel)
        integral = coefficients @ _TO_INTEGRAL
        left, right = (np.take_along_axis(self.edges, panel + side, axis=1) for side in (0, 1))
        half = 0.5 * (right - left)
        mass = np.maximum(np.take_along_axis(below, panel + 1, axis=1) - start, np.finfo(np.float64).tiny)

        aim = probabilities - start
        place = np.clip(2.0 * aim / mass - 1.0, -1.0, 1.0)
        # Nothing is sought at an end of a panel: the place is the end.
        low, high = np.where(aim >= mass, 1.0, -1.0), np.where(aim <= 0.0, -1.0, 1.0)
        for _ in range(NEWTONS):
            values = _polynomials(place)
            excess = half * _sum(integral, values) - aim
            low, high = np.where(excess <= 0.0, place, low), np.where(excess >= 0.0, place, high)
            slope = half * _sum(coefficients, values[..., :-1])
            step = np.divide(excess, slope, out=np.full_like(excess, 9.0), where=slope > 0.0)
            inside = (place - step >= low) & (place - step <= high)
            following = np.where(inside, place - step, 0.5 * (low + high))
            settled = (np.abs(following - place) <= ROOT) | (high <= low)
            place = following
            if settled.all():
                break
        return left + half * (place + 1.0)

    def tail(self, points: Floats, *, upper: bool) -> Tail:
        """Probability and loss on one side of `points`, shape (m,), which must be break points of the table.

        A point outside the table has all or nothing of its mass on a side.
        """
        distance = self.nodes - points[:, None, None] if upper else points[:, None, None] - self.nodes
        weight = np.where(distance > 0.0, self.masses, 0.0)
        return Tail(weight.sum(axis=(1, 2)), (weight * distance).sum(axis=(1, 2)))

    def _place(self, points: Floats) -> tuple[Integers, Floats, Floats]:
        """Each point's panel, its place there in [-1, 1], and half the panel's width."""
        panel = (self.edges[:, 1:-1, None] <= points[:, None, :]).sum(axis=1)
        left, right = (np.take_along_axis(self.edges, panel + side, axis=1) for side in (0, 1))
        half = 0.5 * (right - left)
        place = np.divide(points - left, half, out=np.full(points.shape, 2.0), where=half > 0.0) - 1.0
        return panel, np.clip(place, -1.0, 1.0), half

    def _of(self, panel: Integers) -> Floats:
        return np.take_along_axis(self.coefficients, panel[:, :, None], axis=1)


def tabulate(log_density: LogDensity, low: Floats, high: Floats, *, center: Floats, breaks: Floats) -> DensityTable:
    """Tabulate m densities.

    Args:
        log_density: Logarithms of the densities, each entry up to a constant of its own.
        low: Ends below which nothing lies that matters, shape (m,).
        high: Ends above which nothing lies that matters.
        center: A point near the mode, between them.
        breaks: Points at which panels must begin, where a density may have a kink or change fast, shape (m, b);
            ignored outside (low, high).

    Returns:
        The table, normalised.
    """
    entry, left, right = _first_panels(low, high, center, breaks)
    peak, total = np.full(low.shape, -np.inf), np.zeros(low.shape)
    done: list[tuple[Integers, Floats, Floats, Floats]] = []
    for depth in range(DEEPEST + 1):
        half = 0.5 * (right - left)
        points = (left + half)[:, None] + half[:, None] * _NODES
        logs = log_density(np.repeat(entry, ORDER), points.ravel()).reshape(points.shape)
        if not depth:
            np.maximum.at(peak, entry, logs.max(axis=1))
        values = np.exp(logs - peak[entry, None])
        if not depth:
            np.add.at(total, entry, half * (values @ _WEIGHTS))
        last = np.abs(values @ _TO_COEFFICIENTS[:, -2:]).sum(axis=1)
        rough = (2.0 * half * last > TOLERANCE * total[entry]) & (depth < DEEPEST)
        done.append((entry[~rough], left[~rough], right[~rough], values[~rough]))
        if not rough.any():
            break
        middle = left[rough] + half[rough]
        entry = np.repeat(entry[rough], 2)
        left, right = np.stack((left[rough], middle), axis=1).ravel(), np.stack((middle, right[rough]), axis=1).ravel()
    return _assembled(low.size, done, peak)


def far_tail(log_density: LogDensity, points: Floats, *, upper: bool, log_total: Floats, length: Floats) -> Tail:
    """Probability and loss beyond points far out in a tail that falls at least exponentially, relatively precise.

    Args:
        log_density: Logarithms of m densities, up to the constant in `log_total`.
        points: Where the tails begin, shape (m,).
        upper: Whether they are the upper tails.
        log_total: What the densities integrate to, in logarithms.
        length: A length over which the densities change little, > 0.

    Returns:
        Probabilities and losses; 0 only where they are too small for a double.
    """
    entry, sign = np.arange(points.size), 1.0 if upper else -1.0
    near, on = log_density(entry, points - sign * length), log_density(entry, points)
    steep = np.subtract(near, on, out=np.ones_like(on), where=np.isfinite(on))
    fall = length / np.maximum(steep, np.finfo(np.float64).tiny)
    starts, ends = np.array((0.0, *REACH[:-1])), np.array(REACH)
    half = 0.5 * (ends - starts)
    distance = fall[:, None, None] * ((starts + half)[:, None] + half[:, None] * _NODES)
    at = points[:, None, None] + sign * distance
    logs = log_density(np.repeat(entry, distance[0].size), at.ravel()).reshape(at.shape)
    weight = np.exp(logs - log_total[:, None, None]) * fall[:, None, None] * half[:, None] * _WEIGHTS
    return Tail(weight.sum(axis=(1, 2)), (weight * distance).sum(axis=(1, 2)))


def shortest(quantile: Callable[[Floats], Floats], density: Callable[[Floats], Floats], *, mass: Floats) -> tuple[Floats, Floats]:
    """Ends of the shortest intervals that hold `mass` of unimodal posteriors.

    Args:
        quantile: Points below which probabilities of shape (m, 2) lie.
        density: Densities at points of shape (m, 2), up to a constant.
        mass: Probability inside, in (0, 1), shape (m,).

    Returns:
        Lower and upper ends, shape (m,): the density is the same at both, or the interval begins (or
        ends) where the posterior does.

    References:
        Hyndman (1996), American Statistician 50, 120-126.
    """

    def ends(tail: Floats) -> Floats:
        return quantile(np.stack((tail, np.minimum(tail + mass, 1.0)), axis=1))

    def imbalance(tail: Floats) -> Floats:
        at_low, at_high = density(ends(tail)).T
        return (at_low - at_high) / np.maximum(at_low + at_high, np.finfo(np.float64).tiny)

    outside, nothing = 1.0 - mass, np.zeros_like(mass)
    tail = solve_increasing(imbalance, nothing, outside, 0.5 * outside, slope=1.0 / outside, scale=1.0, tolerance=TAIL_ROOT)
    tail = np.where(imbalance(nothing) >= 0.0, nothing, np.where(imbalance(outside) <= 0.0, outside, tail))
    low, high = ends(tail).T
    return low, high


def _first_panels(low: Floats, high: Floats, center: Floats, breaks: Floats) -> tuple[Integers, Floats, Floats]:
    steps = np.array(STEPS)
    down = center[:, None] + (low - center)[:, None] * steps[::-1]
    up = center[:, None] + (high - center)[:, None] * steps
    kinks = np.clip(breaks, low[:, None], high[:, None])
    edges = np.sort(np.concatenate((down, center[:, None], up, kinks), axis=1), axis=1)
    left, right = edges[:, :-1].ravel(), edges[:, 1:].ravel()
    used = right > left
    return np.repeat(np.arange(low.size), edges.shape[1] - 1)[used], left[used], right[used]


def _assembled(size: int, done: list[tuple[Integers, Floats, Floats, Floats]], peak: Floats) -> DensityTable:
    entry = np.concatenate([panel[0] for panel in done])
    left = np.concatenate([panel[1] for panel in done])
    right = np.concatenate([panel[2] for panel in done])
    values = np.concatenate([panel[3] for panel in done])
    order = np.lexsort((left, entry))
    entry, left, right, values = entry[order], left[order], right[order], values[order]
    first = np.searchsorted(entry, np.arange(size))
    count = np.diff(np.append(first, entry.size))
    place = np.arange(entry.size) - first[entry]
    widest = int(count.max(initial=1))
    half = 0.5 * (right - left)
    masses = np.zeros((size, widest, ORDER))
    masses[entry, place] = half[:, None] * values * _WEIGHTS
    total = masses.sum(axis=(1, 2))
    coefficients = np.zeros_like(masses)
    coefficients[entry, place] = (values @ _TO_COEFFICIENTS) / total[entry, None]
    last = right[first + count - 1]
    edges: Floats = np.repeat(last[:, None], widest + 1, axis=1)
    edges[entry, place] = left
    nodes: Floats = np.zeros_like(masses) + last[:, None, None]
    nodes[entry, place] = (left + half)[:, None] + half[:, None] * _NODES
    return DensityTable(
        edges=edges,
        coefficients=coefficients,
        nodes=nodes,
        masses=masses / total[:, None, None],
        log_total=peak + np.log(total),
    )


def _polynomials(place: Floats) -> Floats:
    """Values of the Chebyshev polynomials of degree 0 to 20 at places in [-1, 1], along a new last axis."""
    return np.cos(np.arccos(place)[..., None] * _DEGREES)


def _sum(coefficients: Floats, polynomials: Floats) -> Floats:
    return np.einsum("mqj,mqj->mq", coefficients, polynomials)
