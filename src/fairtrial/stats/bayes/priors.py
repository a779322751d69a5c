"""Priors of the Bayesian methods, and the defaults, which are weakly informative and printable.

A weakly informative prior leaves the answer to the data once there is some, but
keeps a handful of units from claiming a tripled metric. The defaults:

- rates: Beta(1, 1), the uniform prior (Bayes 1763; Laplace 1774), worth two units;
- event rates: Gamma(1, 1), worth one event in one unit of exposure - state exposure in a unit
  in which some events are expected, or pass a prior of your own;
- lifts: Normal(0, 0.3), by which two thirds of all changes move a metric by less than
  30% (the proper prior that GrowthBook's documentation proposes);
- means of few units: the reference prior 1 / variance, since nothing weak can be said without
  knowing the metric's unit (Gelman et al. 2013, section 3.2).

A normal prior is on the lift or on the effect; one on the effect is in the metric's
unit and so has no default.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from fairtrial.errors import UsageError

Scale = Literal["lift", "effect"]
"""Relative (treatment / control - 1) or absolute (treatment - control)."""

SMALLEST_SHAPE = 0.5
LARGEST_SHAPE = 1e12


@dataclass(frozen=True, slots=True, kw_only=True)
class BetaPrior:
    """Prior of a rate, the same for every arm.

    Attributes:
        alpha: Successes that the prior is worth, in [0.5, 1e12].
        beta: Failures that the prior is worth, in [0.5, 1e12].
    """

    alpha: float = 1.0
    beta: float = 1.0

    def __post_init__(self) -> None:
        _check_shape("alpha", self.alpha)
        _check_shape("beta", self.beta)

    def __str__(self) -> str:
        mean = self.alpha / (self.alpha + self.beta)
        return f"Beta({self.alpha:g}, {self.beta:g}) on each rate: mean {mean:.4g}, worth {self.alpha + self.beta:g} units"


@dataclass(frozen=True, slots=True, kw_only=True)
class GammaPrior:
    """Prior of an event rate, the same for every arm.

    Attributes:
        shape: Events that the prior is worth, in [0.5, 1e12].
        rate: Exposure that the prior is worth, > 0, in the unit of the exposure.
    """

    shape: float = 1.0
    rate: float = 1.0

    def __post_init__(self) -> None:
        _check_shape("shape", self.shape)
        _check_positive("rate", self.rate)

    def __str__(self) -> str:
        return (
            f"Gamma({self.shape:g}, {self.rate:g}) on each event rate: mean {self.shape / self.rate:.4g}, worth {self.rate:g} of exposure"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalPrior:
    """Prior of a lift or of an effect.

    Attributes:
        mean: Its mean, a fraction for a lift, in the metric's unit for an effect.
        sd: Its standard deviation, > 0, in the same unit; None is the flat, improper prior.
        scale: Whether the prior is on the lift or on the effect.
    """

    mean: float = 0.0
    sd: float | None = 0.3
    scale: Scale = "lift"

    def __post_init__(self) -> None:
        check_scale(self.scale)
        if not math.isfinite(self.mean):
            raise UsageError(f"The mean of a prior must be a finite number, got {self.mean}.")
        if self.sd is not None:
            _check_positive("sd", self.sd, hint="For no prior knowledge at all pass sd=None.")

    def __str__(self) -> str:
        what = f"Normal({self.mean:g}, {self.sd:g})" if self.sd is not None else "Flat"
        return f"{what} on the {self.scale}" + ("" if self.sd is not None else ": improper, no Bayes factor")


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalInverseGammaPrior:
    """Prior of a mean and a variance, the same for every arm: 1 / variance ~ Gamma(alpha, beta), mean ~ N(mean, variance / kappa).

    The default is the reference prior, density 1 / variance: whatever the metric's unit and level, it adds
    nothing to the data, and the mean follows Student's t with n - 1 degrees of freedom.

    Attributes:
        mean: Prior mean, in the metric's unit; without meaning where `kappa` is 0.
        kappa: Units that the prior mean is worth, >= 0.
        alpha: Half the units that the prior variance is worth, >= -1/2.
        beta: Half the sum of squares that the prior variance is worth, >= 0, in the metric's unit squared.
    """

    mean: float = 0.0
    kappa: float = 0.0
    alpha: float = -0.5
    beta: float = 0.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.mean):
            raise UsageError(f"The mean of a prior must be a finite number, got {self.mean}.")
        for name, least in (("kappa", 0.0), ("alpha", -0.5), ("beta", 0.0)):
            value: float = getattr(self, name)
            if not (value >= least and math.isfinite(value)):
                raise UsageError(f"The prior's {name} must be finite and at least {least:g}, got {value}.")

    def __str__(self) -> str:
        if (self.kappa, self.alpha, self.beta) == (0.0, -0.5, 0.0):
            return "Reference prior 1 / variance on each mean and variance: worth no units"
        return (
            f"Normal-inverse-gamma({self.mean:g}, {self.kappa:g}, {self.alpha:g}, {self.beta:g}) on each mean and variance: "
            f"worth {self.kappa:g} units"
        )


Prior = BetaPrior | GammaPrior | NormalPrior | NormalInverseGammaPrior


def check_scale(scale: str) -> None:
    """Raise unless `scale` is `lift` or `effect`.

    Raises:
        UsageError: It is another word.
    """
    if scale not in {"lift", "effect"}:
        raise UsageError(f"scale must be 'lift' or 'effect', got {scale!r}.")


def _check_shape(name: str, value: float) -> None:
    if not SMALLEST_SHAPE <= value <= LARGEST_SHAPE:
        raise UsageError(
            f"The prior's {name} must lie in [{SMALLEST_SHAPE:g}, {LARGEST_SHAPE:g}], got {value}.",
            hint="For a uniform prior pass 1, for Jeffreys' prior 0.5.",
        )


def _check_positive(name: str, value: float, *, hint: str = "") -> None:
    if not (value > 0.0 and math.isfinite(value)):
        raise UsageError(f"The prior's {name} must be positive and finite, got {value}.", hint=hint)


DEFAULT_PRIORS: Mapping[str, Prior] = MappingProxyType(
    {
        "beta_binomial": BetaPrior(),
        "gamma_poisson": GammaPrior(),
        "normal": NormalPrior(),
        "normal_inverse_gamma": NormalInverseGammaPrior(),
    }
)
"""The prior of each model where none is declared; print one to see what it says."""
