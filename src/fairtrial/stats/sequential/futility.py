"""Stopping because there is nothing to win: futility bounds from spending the type II error.

At look k the trial stops for futility when Z falls below a_k, chosen so that under
the planned drift the chance of having given up by then is f(t_k; beta), a spending
function of the type II error beta. The drift is the one for which both bounds meet at the
last look, where the trial ends one way or the other: the power is then 1 - beta.

- non-binding (the default): the efficacy bounds are those of the design without
  futility. One may go on below a_k and alpha still holds. The price is some power.
- binding: trials stopped for futility can no longer err, so the efficacy bounds come
  down a little; alpha holds only if one obeys.

A two-sided design takes non-binding bounds for its benefit side; its harm side stays as
it is.

References: Pampallona, Tsiatis & Kim (2001), Drug Information Journal 35, 1113-1121;
Jennison & Turnbull (2000), Group Sequential Methods, ch. 5 and 7; Chang, Hwang & Shih (1998),
Journal of Biopharmaceutical Statistics 8, 381-394.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fairtrial.errors import UsageError
from fairtrial.stats.roots import solve_increasing
from fairtrial.stats.sequential.boundaries import GroupSequentialDesign, actual_boundaries, boundaries
from fairtrial.stats.sequential.group_power import planned_drift
from fairtrial.stats.sequential.recursion import MIN_GROWTH, Corridor, above, below, enter
from fairtrial.stats.sequential.spending import SpendingFunction, check_spending, log_alpha_spent

Floats = NDArray[np.float64]

SMALLEST = 1e-25
"""A look that may spend less takes the quantile of its own share, as if it were the only one."""
MOST_INFLATED = 4.0
"""The drift is sought up to so many times the fixed test's."""
SCALE = 1e3
"""Drifts are found to 1e-12."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FutilityBoundaries:
    """Efficacy and futility bounds that meet at the last look.

    Attributes:
        information_fractions: Of the looks, shape (looks,).
        efficacy: The trial stops with success when Z exceeds them.
        futility: The trial stops without when Z falls below them; the last equals the last of `efficacy`.
        cumulative_beta: Chance, under `drift`, of having stopped for futility by each look.
        drift: Mean of Z at full information for which the power is 1 - beta.
        inflation_factor: Maximum information over that of a fixed test of the same alpha and power.
        power: Chance of success under `drift` when futility is obeyed.
        expected_fraction: Expected share of the maximum information under `drift`, futility obeyed.
        expected_fraction_null: The same under no effect.
        binding: Whether alpha rests on obeying the futility bounds.
    """

    information_fractions: Floats
    efficacy: Floats
    futility: Floats
    cumulative_beta: Floats
    drift: float
    inflation_factor: float
    power: float
    expected_fraction: float
    expected_fraction_null: float
    binding: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FutilityRule:
    """How a design gives up; hashable, checked by `futility_boundaries`.

    Attributes:
        beta: Type II error spent, 1 - power.
        spending: How it is spent.
        gamma: Parameter of `hwang-shih-decani`.
        rho: Parameter of `kim-demets`.
        binding: Whether alpha may rest on obeying the bounds.
    """

    beta: float = 0.2
    spending: SpendingFunction = "lan-demets-obrien-fleming"
    gamma: float | None = None
    rho: float | None = None
    binding: bool = False


@lru_cache(maxsize=128)
def planned_futility(design: GroupSequentialDesign, rule: FutilityRule) -> FutilityBoundaries:
    """The bounds of a rule at the design's planned looks, and what they cost; kept for the next who asks.

    Raises:
        UsageError: As `futility_boundaries`.
    """
    return futility_boundaries(design, beta=rule.beta, spending=rule.spending, gamma=rule.gamma, rho=rule.rho, binding=rule.binding)


@lru_cache(maxsize=1024)
def futility_bound(design: GroupSequentialDesign, rule: FutilityRule, fractions: tuple[float, ...]) -> float:
    """The futility bound of the last of the looks really taken, at whatever information they fell.

    The drift is that of the plan; what is spent of beta follows the information that has come, as for
    alpha. So bounds of earlier looks do not change when looks are added, nor when later ones move.

    Args:
        design: The plan.
        rule: How it gives up.
        fractions: Information fractions of the looks so far, the last one below 1.

    Returns:
        The value of Z below which that look stops for futility.

    Raises:
        UsageError: The fractions are not looks, or the last one leaves nothing to come.

    References:
        Pampallona, Tsiatis & Kim (2001), Drug Information Journal 35, 1113-1121.
    """
    if not fractions or fractions[-1] >= 1.0:
        raise UsageError(f"A futility bound is of a look with information still to come, got fractions {list(fractions)}.")
    drift = planned_futility(design, rule).drift
    seen = actual_boundaries(design, fractions)
    times = (*seen.information_fractions.tolist(), max(1.0, fractions[-1] * (1.0 + MIN_GROWTH)))
    shape = rule.gamma if rule.gamma is not None else rule.rho
    log_beta = log_alpha_spent(np.array(times[:-1]), np.array(math.log(rule.beta)), spending=rule.spending, parameter=shape)
    plan = _Plan(
        times=times,
        efficacy=np.append(seen.critical, seen.critical[-1]),
        alpha_shares=np.diff(seen.cumulative_alpha / design.sides, prepend=0.0, append=design.alpha / design.sides),
        beta_shares=np.diff(np.exp(log_beta), prepend=0.0, append=rule.beta),
        binding=rule.binding,
    )
    return float(plan.bounds(drift)[1][-2])


def futility_boundaries(
    design: GroupSequentialDesign,
    *,
    beta: float = 0.2,
    spending: SpendingFunction = "lan-demets-obrien-fleming",
    gamma: float | None = None,
    rho: float | None = None,
    binding: bool = False,
) -> FutilityBoundaries:
    """Futility bounds of a design, and the larger drift that makes up for them.

    Args:
        design: The plan of the efficacy side.
        beta: Type II error in (0, 1 - alpha / sides), 1 - power.
        spending: How `beta` is spent.
        gamma: Parameter of `hwang-shih-decani`.
        rho: Parameter of `kim-demets`.
        binding: Whether alpha may rest on obeying the bounds; one-sided designs only.

    Returns:
        Bounds, drift, inflation factor and expected information.

    Raises:
        UsageError: `beta` or a parameter is out of its range, or `binding` is asked of a two-sided design.
        UnknownNameError: No such spending function.

    References:
        Pampallona, Tsiatis & Kim (2001), Drug Information Journal 35, 1113-1121.
    """
    if not 0.0 < beta < 1.0 - design.alpha / design.sides:
        raise UsageError(
            f"beta must lie in (0, {1.0 - design.alpha / design.sides:g}), got {beta}.", hint="For a power of 80% pass beta=0.2."
        )
    check_spending(spending, gamma=gamma, rho=rho)
    if binding and design.sides == 2:
        raise UsageError("Binding futility needs a one-sided design, got sides=2.", hint="Take binding=False, or sides=1.")
    times = np.array(design.information_fractions)
    log_beta = log_alpha_spent(times, np.array(math.log(beta)), spending=spending, parameter=gamma if gamma is not None else rho)
    log_beta[-1] = math.log(beta)
    planned = boundaries(design)
    plan = _Plan(
        times=design.information_fractions,
        efficacy=planned.critical,
        alpha_shares=np.diff(planned.cumulative_alpha / design.sides, prepend=0.0),
        beta_shares=np.diff(np.exp(log_beta), prepend=0.0),
        binding=binding,
    )
    fixed = planned_drift(1.0 - beta, alpha=design.alpha, sides=design.sides)
    drift = solve_increasing(
        plan.room, np.array([0.5 * fixed]), np.array([MOST_INFLATED * fixed]), np.array([1.05 * fixed]), scale=SCALE
    ).item()
    efficacy, futility, corridors = plan.bounds(drift)
    futility[-1] = efficacy[-1]
    won, given_up = plan.stops(efficacy, futility, corridors, drift)
    won_null, given_up_null = plan.stops(efficacy, futility, corridors, 0.0)
    saved = 1.0 - times
    return FutilityBoundaries(
        information_fractions=times,
        efficacy=efficacy,
        futility=futility,
        cumulative_beta=given_up.cumsum(),
        drift=drift,
        inflation_factor=(drift / fixed) ** 2,
        power=float(won.sum()),
        expected_fraction=1.0 - float((won + given_up) @ saved),
        expected_fraction_null=1.0 - float((won_null + given_up_null) @ saved),
        binding=binding,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Plan:
    """Looks, and what each may spend on either side."""

    times: tuple[float, ...]
    efficacy: Floats
    alpha_shares: Floats
    beta_shares: Floats
    binding: bool

    def room(self, drift: Floats) -> Floats:
        """How far the last look stays within the type II error that is left: rises in the drift, 0 where the bounds meet."""
        efficacy, _, corridors = self.bounds(drift.item())
        missed = below(corridors[-1] if corridors else None, self.times[-1], efficacy[-1], drift)
        aim = float(special.ndtri(float(self.beta_shares[-1])))
        return aim - np.asarray(special.ndtri(np.maximum(missed, SMALLEST**2)))

    def bounds(self, drift: float) -> tuple[Floats, Floats, list[Corridor]]:
        """Efficacy and futility bounds under a drift, the last futility bound left open, and the corridors between them."""
        efficacy, futility = self.efficacy.copy(), np.full_like(self.efficacy, -math.inf)
        corridors: list[Corridor] = []
        for look, time in enumerate(self.times):
            before = corridors[-1] if corridors else None
            if self.binding and self.alpha_shares[look] > 0.0:
                efficacy[look] = -_lower_limit(before, time, float(self.alpha_shares[look]), mirrored=True)
            if look + 1 < len(self.times):
                limit = _lower_limit(before, time, float(self.beta_shares[look]), drift=drift)
                low = futility[look] = min(limit, float(efficacy[look]))
                means = (0.0, drift * math.sqrt(time))
                corridors.append(enter(before, time, low=low, high=efficacy[look], following=self.times[look + 1], means=means))
        return efficacy, futility, corridors

    def stops(self, efficacy: Floats, futility: Floats, corridors: list[Corridor], drift: float) -> tuple[Floats, Floats]:
        """Chances of success and of giving up at each look."""
        won, given_up = np.empty_like(efficacy), np.empty_like(efficacy)
        for look, time in enumerate(self.times):
            before = corridors[look - 1] if look else None
            won[look] = above(before, time, efficacy[look], drift).item()
            given_up[look] = below(before, time, futility[look], drift).item()
        return won, given_up


def _lower_limit(before: Corridor | None, time: float, share: float, *, drift: float = 0.0, mirrored: bool = False) -> float:
    """The value that Z falls below, not stopped before, with the chance `share`; of -Z when mirrored."""
    side = _above_mirrored if mirrored else below
    # Nobody falls below a value more often for having been watched before: a test of this look alone is the lower bracket.
    low = drift * math.sqrt(time) + float(special.ndtri(share))
    if before is None or share < SMALLEST:
        return low

    def excess(limit: Floats) -> Floats:
        return np.asarray(special.ndtri(np.maximum(side(before, time, limit, drift), SMALLEST**2)) - special.ndtri(share))

    high = drift * math.sqrt(time) + 9.0
    return solve_increasing(excess, np.array([low]), np.array([high]), np.array([low]), scale=SCALE).item()


def _above_mirrored(before: Corridor | None, time: float, limit: Floats, drift: float) -> Floats:
    return above(before, time, -limit, -drift)
