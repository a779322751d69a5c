"""How much larger a test watched at every look must be: the inflation of the normal mixture (mSPRT).

With the mixing standard deviation tau at the effect planned for, the interval of the
mixture reaches c standard errors s out, c^2 = (1 + r) (2 ln(1 / alpha) + ln(1 + 1 / r)),
r = s^2 / tau^2. A single reading at the planned end detects the effect with probability
`power` when effect / s = c + z(power). With tau = effect this is one equation in
x = effect / s alone, whatever the metric:

    x = sqrt((1 + 1 / x^2) (2 ln(1 / alpha) + ln(1 + x^2))) + z(power)

and the units needed grow by (x / (z(alpha) + z(power)))^2. Looks before the end add
to the power, so the size is on the safe side.

Reference: Johari, Koomen, Pekelis & Walsh (2022), Operations Research 70, 1806-1821,
section 5 (the mixture and its run length).
"""

from __future__ import annotations

import math

from scipy import optimize, special

from fairtrial.errors import UsageError
from fairtrial.stats.result import check_alpha
from fairtrial.stats.sequential.normal_mixture import standard_reach, tuning_constant

MOST_INFLATED = 1e4
"""A sequence tuned so wrongly that it needs more than this many times a single look's units is refused."""


def mixture_inflation(alpha: float, power: float, *, sides: int = 2) -> float:
    """Units of an always-valid test over those of a single look with the same power at the planned end.

    Args:
        alpha: Error rate in (0, 1), of both sides together when `sides` is 2.
        power: Power at the planned end, in (alpha, 1).
        sides: 1 or 2.

    Returns:
        A factor > 1; about 2 for alpha 0.05 and power 0.8.

    Raises:
        UsageError: A rate lies outside its range, or `sides` is neither 1 nor 2.
    """
    check_alpha(alpha)
    if sides not in {1, 2}:
        raise UsageError(f"sides must be 1 or 2, got {sides}.")
    if not alpha < power < 1.0:
        raise UsageError(f"power must lie between alpha and 1, got power={power} with alpha={alpha}.")
    extra = float(special.ndtri(power))
    alternative = "two-sided" if sides == 2 else "greater"

    def excess(x: float) -> float:
        growth = math.log1p(x * x)
        return x - math.sqrt(1.0 + 1.0 / (x * x)) * float(standard_reach(growth, alpha, alternative=alternative)) - extra

    ratio = optimize.brentq(excess, 1e-3, 1e3, xtol=1e-12)
    return (ratio / (extra - float(special.ndtri(alpha / sides)))) ** 2


def tuned_inflation(
    alpha: float,
    power: float,
    *,
    tuned: float = 1.0,
    single: float | None = None,
    over: float | None = None,
    alpha_opt: float = 0.05,
    sides: int = 2,
) -> float:
    """Units of a sequence that is tuned to units, over those of a single look with the same power at the planned end.

    With r = tau^2 / s^2 = `tuning_constant` n / n_opt at the end, the interval reaches
    x = sqrt((1 + 1 / r) (2 ln(1 / alpha) + ln(1 + r))) standard errors, and effect / s = x + z(power) there.

    Args:
        alpha: Error rate of the sequence, in (0, 1), of both sides together when `sides` is 2.
        power: Power at the planned end, in (alpha, 1).
        tuned: Where it is tightest: n_opt as a share of the units at the end; in units where `single` is given.
        single: Units that the single look needs, > 0.
        over: Error rate of the single look compared with; None for `alpha`.
        alpha_opt: Error rate that the sequence is tuned for.
        sides: 1 or 2.

    Returns:
        A factor > 1.

    Raises:
        UsageError: A value lies outside its range, or no size within 10,000 times the single look's has the power.

    References:
        Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (2024), Annals of Statistics 52, 2613-2640, equation 9.
    """
    for rate in (alpha, alpha if over is None else over):
        check_alpha(rate)
    if sides not in {1, 2}:
        raise UsageError(f"sides must be 1 or 2, got {sides}.")
    if not alpha < power < 1.0:
        raise UsageError(f"power must lie between alpha and 1, got power={power} with alpha={alpha}.")
    for name, value in (("tuned", tuned), ("single", 1.0 if single is None else single)):
        if not (math.isfinite(value) and value > 0.0):
            raise UsageError(f"{name} must be positive and finite, got {value}.")
    alternative = "two-sided" if sides == 2 else "greater"
    extra = float(special.ndtri(power))
    fixed = extra - float(special.ndtri((alpha if over is None else over) / sides))
    constant = tuning_constant(alpha_opt, alternative=alternative)

    def factor(share: float) -> float:
        ratio = constant / share
        reach = math.sqrt(1.0 + 1.0 / ratio) * float(standard_reach(math.log1p(ratio), alpha, alternative=alternative))
        return ((reach + extra) / fixed) ** 2

    if single is None:
        return factor(tuned)
    units = single

    def missing(log_factor: float) -> float:
        return log_factor - math.log(factor(tuned / (units * math.exp(log_factor))))

    if missing(math.log(MOST_INFLATED)) < 0.0:
        raise UsageError(
            f"A sequence tuned for {tuned:g} units cannot have the power {power:g} with any size near {units:g} units.",
            hint="Tune it for about the planned size.",
        )
    return math.exp(optimize.brentq(missing, 0.0, math.log(MOST_INFLATED), xtol=1e-12))
