"""Words and solvers that every power calculation shares.

A power question has three unknowns - units, effect, power - and this module holds
what answers share: the sides of a test, rounding rule, result types, argument
checks, and the one power function of a normal test that is not centred on its
null: Cohen (1988), Statistical Power Analysis, ch. 6; Fleiss, Levin & Paik (2003),
Statistical Methods for Rates and Proportions, ch. 4.

Two-sided power ignores rejections in the wrong direction unless
`count_opposite_tail` is set, as R's `power.prop.test(strict = FALSE)` does: they
are errors, not detections. Sizes are solved in closed form or by bracketed root
finding; a question that has no answer raises.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from scipy import optimize, special

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.result import check_alpha

Sides = Literal["two-sided", "one-sided", "greater", "less"]
"""`one-sided` tests in the direction of the effect; `greater` and `less` are SciPy's words."""

MdeKind = Literal["absolute", "relative"]
"""`absolute`: in the metric's own unit (0.01 is one percentage point); `relative`: a fraction of the baseline."""

EffectDirection = Literal["increase", "decrease"]

ROUNDING_GUARD = 1e-9
"""Excess over a whole number of units that is float noise and not a unit (G-14)."""
RELATIVE_GUARD = 1e-13
"""The same for sizes so large that their own rounding error exceeds `ROUNDING_GUARD`."""
SCAN_STEPS = 256
"""Grid on which the first crossing of a power function is bracketed."""


@dataclass(frozen=True, slots=True)
class SampleSize:
    """Units that a two-arm test needs.

    Attributes:
        n_control: Units in the control arm, not rounded.
        n_treatment: Units in the treatment arm, not rounded.
    """

    n_control: float
    n_treatment: float

    @property
    def n_total(self) -> float:
        """Units in both arms, not rounded."""
        return self.n_control + self.n_treatment

    @property
    def n_control_ceil(self) -> int:
        """Whole units in the control arm, rounded up."""
        return round_up(self.n_control)

    @property
    def n_treatment_ceil(self) -> int:
        """Whole units in the treatment arm, rounded up from its own unrounded value."""
        return round_up(self.n_treatment)

    @property
    def total(self) -> int:
        """Whole units to run: the sum of the arms, each rounded up (G-14)."""
        return self.n_control_ceil + self.n_treatment_ceil


@dataclass(frozen=True, slots=True)
class DetectableEffect:
    """The smallest effect that given arms detect with given power.

    Attributes:
        effect: Treatment minus control, in the metric's unit; negative for a decrease.
        baseline: Control's rate or mean; None where it was not named.
    """

    effect: float
    baseline: float | None = None

    @property
    def target(self) -> float | None:
        """The treatment's rate or mean at that effect; None without a baseline."""
        return None if self.baseline is None else self.baseline + self.effect

    @property
    def lift(self) -> float | None:
        """The effect as a fraction of the baseline; None where there is none or it is zero."""
        return None if self.baseline is None or self.baseline == 0 else self.effect / self.baseline

    def against(self, baseline: float) -> DetectableEffect:
        """The same effect, read against this baseline."""
        return replace(self, baseline=baseline)


def round_up(n: float) -> int:
    """Round a number of units up to a whole one, forgiving float noise.

    Args:
        n: A size in units, >= 0.

    Returns:
        The smallest whole number not below `n`, where an excess under 1e-9 (or
        1e-13 of `n`) is noise: 0.8/(1 - 0.8) is 4.000000000000001 and means 4.

    Raises:
        UsageError: The plan calls for more units than a number can hold.
    """
    if not math.isfinite(n):
        raise UsageError(
            f"A plan must call for a countable number of units, got {n:g}.", hint="Take a larger effect or a less extreme share."
        )
    return math.ceil(n - max(ROUNDING_GUARD, RELATIVE_GUARD * n))


def normal_power(
    effect: float,
    se_null: float,
    se_effect: float,
    *,
    alpha: float = 0.05,
    alternative: Sides = "two-sided",
    count_opposite_tail: bool = False,
    shift: float = 0.0,
) -> float:
    """Power of a normal test whose standard error differs under null and effect.

    Args:
        effect: True effect, treatment minus control, measured from the null value.
        se_null: Standard error by which the test judges, > 0.
        se_effect: Standard error of the estimate at the true effect, > 0.
        alpha: Type I error rate in (0, 1), over both sides when two-sided.
        alternative: The alternative hypothesis.
        count_opposite_tail: Whether rejections in the wrong direction count.
        shift: Continuity correction taken off the estimate, >= 0.

    Returns:
        P(reject), in [0, 1].

    References:
        Fleiss, Levin & Paik (2003), eq. 4.11 solved for power.
    """
    z = tail_quantile(alpha, alternative)
    signed = effect_along(effect, alternative)
    power = float(special.ndtr((signed - shift - z * se_null) / se_effect))
    if count_opposite_tail and alternative == "two-sided":
        power += float(special.ndtr((-signed - shift - z * se_null) / se_effect))
    return power


def units_for_normal_power(
    effect: float,
    se_null: float,
    se_effect: float,
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    alternative: Sides = "two-sided",
    shift: float = 0.0,
) -> float:
    """Units at which a normal test has the power, both errors shrinking with the root of units.

    Args:
        effect: Effect to detect, measured from the null value; not 0.
        se_null: Standard error at one unit, by which the test judges.
        se_effect: Standard error at one unit, at the true effect.
        alpha: Type I error rate in (0, 1), over both sides when two-sided.
        power: Probability to detect the effect, in (alpha, 1).
        alternative: The alternative hypothesis.
        shift: Continuity correction at one unit; it shrinks with units, not with their root.

    Returns:
        n in [z_alpha se_null + z_power se_effect]^2 = n (effect - shift/n)^2, not rounded.

    Raises:
        UsageError: The effect is 0 or of the wrong sign, or alpha or power is no rate.

    References:
        Fleiss, Levin & Paik (2003), eq. 4.14; with a shift Fleiss, Tytun & Ury (1980),
        Biometrics 36, 343-346, eq. 2.
    """
    check_power(power, alpha)
    signed = effect_along(effect, alternative)
    if signed <= 0:
        raise UsageError(
            f"The effect must lie on the side of the alternative {alternative!r}, got {effect:g}.",
            hint="Turn its sign, or pass alternative='two-sided'.",
        )
    needed = tail_quantile(alpha, alternative) * se_null + float(special.ndtri(power)) * se_effect
    if needed <= 0:
        raise UsageError(f"power={power:g} is reached by chance alone at this allocation.", hint="Ask for a power of at least 0.5.")
    root = (needed + math.sqrt(needed * needed + 4.0 * signed * shift)) / (2.0 * signed)
    return root * root


def first_crossing(power_at: Callable[[float], float], target: float, *, near: float, far: float, what: str) -> float:
    """Find where a power function first reaches the target, going from `near` to `far`.

    Args:
        power_at: Power at a value of the unknown; continuous.
        target: Power to reach.
        near: Value where power is below the target (no effect).
        far: Last value that makes sense; may be below `near`.
        what: What is searched, for the error's text.

    Returns:
        The crossing, by bracketing on a grid and Brent's method.

    Raises:
        NotEnoughDataError: No value up to `far` has the power.

    References:
        Brent (1973), Algorithms for Minimization without Derivatives, ch. 4.
    """
    low = near
    for step in range(1, SCAN_STEPS + 1):
        high = near + (far - near) * step / SCAN_STEPS
        if power_at(high) >= target:
            return brent_root(lambda value: power_at(value) - target, low, high)
        low = high
    raise NotEnoughDataError(
        f"A detectable {what} must lie between {near:g} and {far:g}: with these units none has power {target:g}.",
        hint="Plan more units, a lower power or a larger alpha.",
    )


def brent_root(function: Callable[[float], float], low: float, high: float) -> float:
    """Root of a continuous function whose signs differ at `low` and `high`, to 4 ulps."""
    return optimize.brentq(function, low, high, xtol=1e-15, rtol=1e-15, maxiter=500)


def tail_alpha(alpha: float, alternative: Sides) -> float:
    """Error rate of the tail in which the effect is sought: alpha, or half of it when two-sided.

    Raises:
        UsageError: `alpha` lies outside (0, 1), or `alternative` is another word.
    """
    check_alpha(alpha)
    if alternative == "two-sided":
        return alpha / 2.0
    if alternative not in {"one-sided", "greater", "less"}:
        raise UsageError(f"alternative must be 'two-sided', 'one-sided', 'greater' or 'less', got {alternative!r}.")
    return alpha


def tail_quantile(alpha: float, alternative: Sides) -> float:
    """Standard normal quantile that leaves the tail's error rate above it."""
    return -float(special.ndtri(tail_alpha(alpha, alternative)))


def effect_along(effect: float, alternative: Sides) -> float:
    """The effect turned so that positive is what the alternative looks for."""
    if alternative == "greater":
        return effect
    return -effect if alternative == "less" else abs(effect)


def apply_mde(baseline: float, mde: float, mde_kind: MdeKind) -> float:
    """The treatment's value: baseline + mde, or baseline (1 + mde) when relative.

    Raises:
        UsageError: The mde is 0 or not finite, or `mde_kind` is another word.
    """
    if mde_kind not in {"absolute", "relative"}:
        raise UsageError(f"mde_kind must be 'absolute' or 'relative', got {mde_kind!r}.")
    if not math.isfinite(mde) or mde == 0:
        raise UsageError(f"mde must be a finite number other than 0, got {mde:g}.", hint="No sample shows an effect of exactly zero.")
    return baseline + mde if mde_kind == "absolute" else baseline * (1.0 + mde)


def check_power(power: float, alpha: float) -> float:
    """Return `power`, or raise when it is not a probability above alpha.

    Raises:
        UsageError: `power` lies outside (alpha, 1), or `alpha` outside (0, 1).
    """
    check_alpha(alpha)
    if not alpha < power < 1.0:
        hint = f"For {power:g}% pass power={power / 100:g}." if 1 < power < 100 else "0.8 and 0.9 are usual; no sample gives certainty."
        raise UsageError(f"power must lie in (alpha, 1), got power={power:g} with alpha={alpha:g}.", hint=hint)
    return power


def check_rate(name: str, rate: float) -> float:
    """Return `rate`, or raise when it is no fraction strictly between 0 and 1.

    Raises:
        UsageError: It lies outside (0, 1).
    """
    if not 0.0 < rate < 1.0:
        hint = f"Rates are fractions: for {rate:g}% pass {rate / 100:g}." if 1 < rate < 100 else ""
        raise UsageError(f"{name} must lie in (0, 1), got {rate:g}.", hint=hint)
    return rate


def check_positive(name: str, value: float) -> float:
    """Return `value`, or raise when it is not a finite number above 0.

    Raises:
        UsageError: It is zero, negative or not finite.
    """
    if not (math.isfinite(value) and value > 0):
        raise UsageError(f"{name} must be a finite number above 0, got {value:g}.")
    return value


def check_units(n_control: float, n_treatment: float) -> None:
    """Raise unless both arms hold at least one unit.

    Raises:
        DataError: An arm holds less than one unit, or no finite number of them.
    """
    for name, n in (("n_control", n_control), ("n_treatment", n_treatment)):
        if not (math.isfinite(n) and n >= 1):
            raise DataError(f"Each arm must hold at least one unit, got {name}={n:g}.")


def allocation_ratio(treatment_share: float) -> float:
    """Treatment units per control unit, k = t / (1 - t).

    Raises:
        UsageError: The share lies outside (0, 1): both arms need units.
    """
    check_rate("treatment_share", treatment_share)
    return treatment_share / (1.0 - treatment_share)
