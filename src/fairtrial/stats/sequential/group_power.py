"""What a group-sequential design costs and gains: power look by look, the larger plan it needs, the data it expects to use.

Drift is the mean of Z at full information: effect / standard error of the planned
total. A fixed test of error rate alpha reaches its power at the drift
z(1 - alpha / sides) + z(power); a design with several looks needs a larger one, and so a
plan larger by

    inflation factor = (drift of the design / drift of the fixed test)^2

at every power and for every metric: multiply a fixed sample size by it. It
usually stops earlier, though, and uses less than the fixed test on average.

Power counts stops on the side of the effect alone; a stop on the other side ends the trial without it.

References: Jennison & Turnbull (2000), Group Sequential Methods, ch. 2.6-2.8 and 19;
Lan & DeMets (1983), Biometrika 70, 659-663.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from fairtrial.errors import UsageError
from fairtrial.stats.result import check_alpha
from fairtrial.stats.roots import solve_increasing
from fairtrial.stats.sequential.boundaries import GroupSequentialDesign, boundaries
from fairtrial.stats.sequential.recursion import Corridor, above, below, check_finite, check_sides, enter

Floats = NDArray[np.float64]

SCALE = 1e3
"""Drifts are found to 1e-12."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LookPower:
    """What a design does under given effects.

    Attributes:
        stops_above: Chance to stop above at each look, shape (..., looks).
        stops_below: Chance to stop below at each look, 0 for a one-sided design; the last look ends the trial anyway.
        power: Chance to stop on the effect's side, above when the drift is 0; shape (...).
        expected_fraction: Expected information when the trial ends, over the planned total; shape (...).
    """

    stops_above: Floats
    stops_below: Floats
    power: Floats
    expected_fraction: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PoweredDesign:
    """A design sized for a power.

    Attributes:
        drift: Mean of Z at full information for which the design has the power.
        inflation_factor: Maximum information over that of a fixed test of the same alpha and power.
        stagewise_power: Chance, under that drift, to stop above at each look, shape (looks,); they sum to the power.
        expected_fraction: Expected share of the maximum information under that drift.
        expected_fraction_half: The same under half the drift.
        expected_fraction_null: The same under no effect.
    """

    drift: float
    inflation_factor: float
    stagewise_power: Floats
    expected_fraction: float
    expected_fraction_half: float
    expected_fraction_null: float


def planned_drift(power: float, *, alpha: float = 0.05, sides: int = 2) -> float:
    """The drift z(1 - alpha / sides) + z(power) at which a fixed test has a power.

    Args:
        power: In (alpha / sides, 1).
        alpha: Error rate in (0, 1), of both sides together when `sides` is 2.
        sides: 1 or 2.

    Returns:
        Mean of Z at full information, > 0.

    Raises:
        UsageError: A value is out of its range.
    """
    check_alpha(alpha)
    check_sides(sides)
    if not alpha / sides < power < 1.0:
        raise UsageError(
            f"power must lie in ({alpha / sides:g}, 1), got {power}.", hint="A test has the power alpha / sides without any effect."
        )
    return float(special.ndtri(power) - special.ndtri(alpha / sides))


def inflation_factor(design: GroupSequentialDesign, *, power: float) -> float:
    """Maximum information of a design over that of a fixed test of the same alpha and power.

    Args:
        design: The plan.
        power: In (alpha / sides, 1).

    Returns:
        A factor >= 1, for the sample size of a fixed test; see `design_for_power`.

    Raises:
        UsageError: `power` lies outside its range.
    """
    return design_for_power(design, power=power).inflation_factor


def look_power(design: GroupSequentialDesign, drift: ArrayLike) -> LookPower:
    """Power at each look and expected information of a design under one or many effects.

    Args:
        design: The plan, at its planned information fractions.
        drift: Means of Z at full information, any shape; effect / standard error at full information.

    Returns:
        Chances and expected information.

    Raises:
        UsageError: A drift is not finite.

    References:
        Jennison & Turnbull (2000), Group Sequential Methods, ch. 19.
    """
    theta = np.asarray(drift, dtype=np.float64)
    check_finite("drift", theta)
    flat = np.atleast_1d(theta).ravel()
    corridors = _corridors(design, float(flat.min(initial=0.0)), float(flat.max(initial=0.0)))
    times, critical = np.array(design.information_fractions), boundaries(design).critical
    up, down = np.zeros((flat.size, times.size)), np.zeros((flat.size, times.size))
    for look, (time, limit) in enumerate(zip(times.tolist(), critical.tolist(), strict=True)):
        before = corridors[look - 1] if look else None
        up[:, look] = above(before, time, limit, flat)
        if design.sides == 2:
            down[:, look] = below(before, time, -limit, flat)
    ones = np.ones(times.size)
    power: Floats = np.where(flat >= 0.0, up @ ones, down @ ones)
    expected: Floats = 1.0 - (up + down)[:, :-1] @ (1.0 - times[:-1])
    return LookPower(
        stops_above=up.reshape((*theta.shape, times.size)),
        stops_below=down.reshape((*theta.shape, times.size)),
        power=np.reshape(power, theta.shape),
        expected_fraction=np.reshape(expected, theta.shape),
    )


def design_for_power(design: GroupSequentialDesign, *, power: float) -> PoweredDesign:
    """The drift at which a design has a power, and how much larger its plan is than a fixed test's.

    Args:
        design: The plan.
        power: In (alpha / sides, 1).

    Returns:
        Drift, inflation factor, power by look and expected information.

    Raises:
        UsageError: `power` lies outside its range.

    References:
        Jennison & Turnbull (2000), Group Sequential Methods, tables 2.2, 2.4 and 2.10.
    """
    fixed = planned_drift(power, alpha=design.alpha, sides=design.sides)
    critical = boundaries(design).critical
    high = max(float(critical[-1]), 0.0) + max(float(special.ndtri(power)), 0.0) + 3.0
    corridors = _corridors(design, 0.0, high)

    def shortfall(drift: Floats) -> Floats:
        chance = np.zeros_like(drift)
        for look, time in enumerate(design.information_fractions):
            chance += above(corridors[look - 1] if look else None, time, critical[look], drift)
        return np.asarray(special.ndtri(chance) - special.ndtri(power))

    drift = solve_increasing(shortfall, np.array([0.0]), np.array([high]), np.array([fixed]), scale=SCALE).item()
    under = look_power(design, [drift, drift / 2.0, 0.0])
    expected = under.expected_fraction.tolist()
    return PoweredDesign(
        drift=drift,
        inflation_factor=(drift / fixed) ** 2,
        stagewise_power=under.stops_above[0],
        expected_fraction=expected[0],
        expected_fraction_half=expected[1],
        expected_fraction_null=expected[2],
    )


def _corridors(design: GroupSequentialDesign, lowest: float, highest: float) -> list[Corridor]:
    """The corridors of all looks but the last, for drifts in [lowest, highest]."""
    times, critical = design.information_fractions, boundaries(design).critical.tolist()
    corridors: list[Corridor] = []
    for look, (time, limit) in enumerate(zip(times[:-1], critical[:-1], strict=True)):
        low = -limit if design.sides == 2 else -math.inf
        before = corridors[-1] if corridors else None
        means = (lowest * math.sqrt(time), highest * math.sqrt(time))
        corridors.append(enter(before, time, low=low, high=limit, following=times[look + 1], means=means))
    return corridors
