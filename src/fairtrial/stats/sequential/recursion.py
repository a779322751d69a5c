"""The chance that a test statistic, watched at several looks, leaves its corridor: the recursion behind every design.

Z at information fraction t is normal with mean drift * sqrt(t), and
Z sqrt(t) has independent increments (the canonical joint distribution, Jennison &
Turnbull 2000, Group Sequential Methods, ch. 3.1). Armitage, McPherson & Rowe (1969),
JRSS A 132, 235-244, carry the density of the trials not stopped from look to look by
one-dimensional integrals. Here it is split in two:

    density at look k of Z = z, not stopped before = phi(z - drift sqrt(t_k)) alive_k(z)

where alive_k(z), the chance of not having stopped before given Z_k = z, depends on no
drift: Z_k is sufficient, and between the looks there is a Brownian bridge. So one
recursion serves all drifts at once, and nothing underflows however large a drift is:

    alive_k(z) = integral over the corridor of look k-1 of alive_(k-1)(u) n(u; r z, 1 - r^2) du,  r = sqrt(t_(k-1) / t_k)

The integrals run over the corridor by composite Gauss-Legendre rules, whose panels are
as narrow as the bridges on either side ask (Jennison & Turnbull, ch. 19, take Simpson's
rule on a fixed grid); the integrands are smooth, and the rule is exact to about 1e-13.
All functions work on a batch of designs that share their information fractions.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from fairtrial.errors import UsageError

Floats = NDArray[np.float64]

MIN_GROWTH = 1e-3
"""Least relative growth of the information between two looks."""
MAX_LOOKS = 200
REACH = 12.0
"""How far beyond the likely means, in standard errors, an open corridor is followed: P(Z > 12) = 2e-33."""
PANEL = 4.0
"""Widest panel of a rule, in standard errors."""
PANEL_IN_BRIDGES = 6.0
"""Widest panel of a rule, in standard deviations of the bridge to the next look or from the last."""
BRIDGE_REACH = 9.0
"""How far a bridge is followed, in its standard deviations: P(|Z| > 9) = 2e-19."""
TARGETS = 64
"""Nodes whose bridges are followed together."""
BLOCK = 2_000_000
"""Elements of one intermediate matrix; larger ones are cut by rows."""

_NODES, _WEIGHTS = special.roots_legendre(16)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Corridor:
    """Trials that a look did not stop: where they stand, on the nodes of a quadrature rule.

    Attributes:
        fraction: Information fraction of the look.
        z: Nodes, shape (designs, nodes).
        weight: Their weights.
        alive: Chance of not having stopped at an earlier look given Z = z, in [0, 1].
    """

    fraction: float
    z: Floats
    weight: Floats
    alive: Floats


def check_fractions(fractions: Sequence[float], *, what: str = "information_fractions") -> tuple[float, ...]:
    """Return information fractions as a tuple of floats, or raise when no looks can have them.

    Raises:
        UsageError: There are none or more than 200, one is not positive and finite, or they do not
            rise by at least 0.1% from look to look.
    """
    times = tuple(float(t) for t in fractions)
    if not 1 <= len(times) <= MAX_LOOKS:
        raise UsageError(
            f"{what} must name 1 to {MAX_LOOKS} looks, got {len(times)}.", hint="To look at will, take an always-valid method."
        )
    if not all(math.isfinite(t) and t > 0.0 for t in times):
        raise UsageError(f"{what} must be positive and finite, got {list(times)}.")
    for before, after in itertools.pairwise(times):
        if after < before * (1.0 + MIN_GROWTH):
            raise UsageError(
                f"{what} must rise by at least 0.1% from look to look, got {before} then {after}.",
                hint="Leave out looks that add next to no information.",
            )
    return times


def check_finite(name: str, values: Floats) -> None:
    """Raise unless all values are finite.

    Raises:
        UsageError: One is NaN or infinite.
    """
    wrong = values[~np.isfinite(values)]
    if wrong.size:
        raise UsageError(f"{name} must be finite, got {wrong.flat[0]}.", hint="Leave out what could not be computed.")


def check_sides(sides: int) -> None:
    """Raise unless a design has one side or two.

    Raises:
        UsageError: `sides` is neither 1 nor 2.
    """
    if sides not in {1, 2}:
        raise UsageError(f"sides must be 1 or 2, got {sides}.")


def enter(
    before: Corridor | None, fraction: float, *, low: ArrayLike, high: ArrayLike, following: float, means: Sequence[float] = (0.0,)
) -> Corridor:
    """The corridor of a look: trials that were not stopped before and stand between `low` and `high`.

    Args:
        before: Corridor of the look before; None at the first look.
        fraction: Information fraction of this look.
        low: Lower limits of Z, shape (designs,) or one; may be `-inf`.
        high: Upper limits; may be `inf`.
        following: Information fraction of the next look, which sets how fine the rule must be.
        means: Means of Z at this look that probabilities will be asked for; open sides are followed
            12 standard errors beyond them.

    Returns:
        The corridor; one without room (`low` >= `high`) has weights 0.
    """
    top = np.minimum(np.atleast_1d(np.asarray(high, dtype=np.float64)), max(0.0, *means) + REACH)
    bottom = np.maximum(np.atleast_1d(np.asarray(low, dtype=np.float64)), min(0.0, *means) - REACH)
    bottom = np.minimum(bottom, top)
    bridge = math.sqrt(1.0 - fraction / following)
    if before is not None:
        bridge = min(bridge, math.sqrt(fraction / before.fraction - 1.0))
    widest = float((top - bottom).max())
    panels = max(1, math.ceil(widest / min(PANEL, PANEL_IN_BRIDGES * bridge)))
    unit = ((np.arange(panels)[:, None] + 0.5 * (_NODES + 1.0)) / panels).ravel()
    width = (top - bottom)[:, None]
    z = bottom[:, None] + width * unit
    weight = width * np.tile(_WEIGHTS / (2.0 * panels), panels)
    return Corridor(fraction=fraction, z=z, weight=weight, alive=_alive(before, fraction, z))


def above(before: Corridor | None, fraction: float, critical: ArrayLike, drift: ArrayLike = 0.0) -> Floats:
    """P(not stopped before, Z > critical) at a look.

    Args:
        before: Corridor of the look before; None at the first look.
        fraction: Information fraction of this look.
        critical: Critical values, shape (designs,); of one design any number (n,).
        drift: Means of Z at full information, broadcast against `critical`.

    Returns:
        Probabilities, of the broadcast shape, at least one-dimensional.
    """
    c, theta = (np.atleast_1d(x) for x in np.broadcast_arrays(*(np.asarray(x, dtype=np.float64) for x in (critical, drift))))
    if before is None:
        return np.asarray(special.ndtr(theta * math.sqrt(fraction) - c))
    gained = fraction - before.fraction
    rows = max(c.size, before.z.shape[0])
    c, theta = np.broadcast_to(c, rows), np.broadcast_to(theta, rows)
    result = np.empty(rows)
    for block in _blocks(rows, before.z.shape[1]):
        at = block if before.z.shape[0] > 1 else slice(None)
        u, mass = before.z[at], before.weight[at] * before.alive[at]
        shift = theta[block, None]
        step = (u * math.sqrt(before.fraction) + shift * gained - c[block, None] * math.sqrt(fraction)) / math.sqrt(gained)
        density = np.exp(-0.5 * (u - shift * math.sqrt(before.fraction)) ** 2)
        result[block] = (mass * density * special.ndtr(step)).sum(axis=1)
    return result / math.sqrt(2.0 * math.pi)


def below(before: Corridor | None, fraction: float, critical: ArrayLike, drift: ArrayLike = 0.0) -> Floats:
    """P(not stopped before, Z < critical) at a look; see `above`."""
    turned = None if before is None else Corridor(fraction=before.fraction, z=-before.z, weight=before.weight, alive=before.alive)
    return above(turned, fraction, -np.asarray(critical, dtype=np.float64), -np.asarray(drift, dtype=np.float64))


def _alive(before: Corridor | None, fraction: float, z: Floats) -> Floats:
    """The chance of not having stopped before, given Z = z at this look."""
    if before is None:
        return np.ones_like(z)
    ratio = before.fraction / fraction
    center = math.sqrt(ratio) * z
    deviation = math.sqrt(1.0 - ratio)
    result = np.empty_like(z)
    mass = before.weight * before.alive / (deviation * math.sqrt(2.0 * math.pi))
    u = before.z / deviation
    for row in range(z.shape[0]):
        source = row if u.shape[0] > 1 else 0
        aim = center[row] / deviation
        for block in _blocks(aim.size, BLOCK // TARGETS if aim.size > 4 * TARGETS else 1):
            near = slice(*np.searchsorted(u[source], (aim[block][0] - BRIDGE_REACH, aim[block][-1] + BRIDGE_REACH)))
            distance = np.subtract.outer(aim[block], u[source, near])
            result[row, block] = np.exp(-0.5 * distance * distance) @ mass[source, near]
    return np.minimum(result, 1.0)


def _blocks(rows: int, columns: int) -> list[slice]:
    step = max(1, BLOCK // max(1, columns))
    return [slice(start, min(start + step, rows)) for start in range(0, rows, step)]
