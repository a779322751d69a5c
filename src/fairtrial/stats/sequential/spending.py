"""How a group-sequential design spends its error rate: the share used up by each fraction of the information.

A spending function f(t; alpha) rises from 0 at t = 0 to alpha at t = 1, where t
is the information so far over the information planned. Looks need not be equally
spaced nor fixed in number: each look may use what f has released by then.

| name                        | f(t; alpha)                                   | source                     |
| --------------------------- | --------------------------------------------- | -------------------------- |
| `lan-demets-obrien-fleming` | 2 - 2 Phi(z(1 - alpha / 2) / sqrt(t))         | Lan & DeMets (1983)        |
| `lan-demets-pocock`         | alpha ln(1 + (e - 1) t)                       | Lan & DeMets (1983)        |
| `hwang-shih-decani`         | alpha (1 - exp(-gamma t)) / (1 - exp(-gamma)) | Hwang, Shih & DeCani (1990) |
| `kim-demets`                | alpha t^rho                                   | Kim & DeMets (1987)        |

`alpha` is one-sided here: a two-sided design spends 2 f(t; alpha / 2). Everything
is computed in logarithms, for the first looks of an O'Brien-Fleming design release
less than a double can hold.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from fairtrial.errors import UnknownNameError, UsageError
from fairtrial.stats.result import check_alpha

Floats = NDArray[np.float64]

SpendingFunction = Literal["lan-demets-obrien-fleming", "lan-demets-pocock", "hwang-shih-decani", "kim-demets"]

PARAMETER_OF = {"hwang-shih-decani": "gamma", "kim-demets": "rho", "wang-tsiatis": "delta"}
"""The parameter that a family has; the others have none."""
NEARLY_LINEAR = 1e-12
"""Below this, a Hwang-Shih-DeCani function is a straight line to all digits."""


def alpha_spent(
    fractions: ArrayLike, *, alpha: float, spending: SpendingFunction, gamma: float | None = None, rho: float | None = None
) -> Floats:
    """The one-sided error rate that a spending function has released by each information fraction.

    Args:
        fractions: Information fractions >= 0, any shape; beyond 1 nothing more is released.
        alpha: One-sided error rate in (0, 1) at full information; for a two-sided design pass
            half of its rate and double what comes back.
        spending: The spending function.
        gamma: Of `hwang-shih-decani`: below 0 it spends late, above 0 early, at 0 evenly.
        rho: Of `kim-demets`: > 0; 1 spends evenly, 3 late.

    Returns:
        Cumulative error rates in [0, alpha], of the fractions' shape.

    Raises:
        UsageError: A fraction is negative or not finite, `alpha` lies outside (0, 1), or a
            parameter is missing, wrong or of another function.
        UnknownNameError: No such spending function.

    References:
        Lan & DeMets (1983), Biometrika 70, 659-663; Hwang, Shih & DeCani (1990), Statistics in
        Medicine 9, 1439-1445; Kim & DeMets (1987), Biometrika 74, 149-154.
    """
    check_alpha(alpha)
    check_spending(spending, gamma=gamma, rho=rho)
    t = np.asarray(fractions, dtype=np.float64)
    wrong = t[~(np.isfinite(t) & (t >= 0.0))]
    if wrong.size:
        raise UsageError(f"An information fraction must be finite and not negative, got {wrong.flat[0]}.")
    with np.errstate(divide="ignore"):
        spent = np.exp(log_alpha_spent(t, np.asarray(math.log(alpha)), spending=spending, parameter=gamma if gamma is not None else rho))
    return np.where(t >= 1.0, alpha, np.minimum(spent, alpha))


def check_spending(spending: str, *, gamma: float | None = None, rho: float | None = None) -> None:
    """Raise unless `spending` is a spending function and its parameter is there and right.

    Raises:
        UsageError: A parameter is missing, out of its range, or belongs to another function.
        UnknownNameError: No such spending function.
    """
    if spending not in get_args(SpendingFunction):
        raise UnknownNameError.among("spending function", spending, get_args(SpendingFunction))
    check_parameters(spending, {"gamma": gamma, "rho": rho})


def check_parameters(spending: str, given: dict[str, float | None]) -> None:
    """Raise unless exactly the parameter that `spending` has is given, within its range.

    Raises:
        UsageError: A parameter is missing, out of its range, or belongs to another function.
    """
    needed = PARAMETER_OF.get(spending)
    for name, value in given.items():
        if name == needed and value is None:
            raise UsageError(f"{spending!r} needs {name}, got none.", hint=_EXAMPLES[name])
        if name != needed and value is not None:
            raise UsageError(f"{spending!r} has no {name}, got {name}={value}.", hint=f"Leave {name} out.")
        if value is not None and not _RANGES[name][0] < value < _RANGES[name][1]:
            low, high = _RANGES[name]
            raise UsageError(f"{name} must lie in ({low:g}, {high:g}), got {value}.", hint=_EXAMPLES[name])


def log_alpha_spent(fractions: Floats, log_alpha: Floats, *, spending: SpendingFunction, parameter: float | None) -> Floats:
    """Natural logarithm of `alpha_spent`, over arrays of fractions and of error rates, unchecked.

    Args:
        fractions: Information fractions > 0; beyond 1 they count as 1.
        log_alpha: Logarithms of one-sided error rates, broadcast against `fractions`.
        spending: The spending function.
        parameter: Its gamma or rho, where it has one.

    Returns:
        Logarithms of cumulative error rates, of the broadcast shape.
    """
    t = np.minimum(fractions, 1.0)
    match spending:
        case "lan-demets-obrien-fleming":
            quantile = special.ndtri_exp(log_alpha - math.log(2.0))
            return math.log(2.0) + special.log_ndtr(quantile / np.sqrt(t))
        case "lan-demets-pocock":
            return log_alpha + np.log(np.log1p(math.expm1(1.0) * t))
        case "hwang-shih-decani":
            return log_alpha + _log_exponential_share(t, parameter or 0.0)
        case "kim-demets":
            return log_alpha + (parameter or 0.0) * np.log(t)


def _log_exponential_share(t: Floats, gamma: float) -> Floats:
    """Logarithm of (1 - exp(-gamma t)) / (1 - exp(-gamma)), without overflow for any gamma."""
    if abs(gamma) < NEARLY_LINEAR:
        return np.log(t)
    share = np.log(-np.expm1(-abs(gamma) * t)) - math.log(-math.expm1(-abs(gamma)))
    return share if gamma > 0.0 else share + abs(gamma) * (t - 1.0)


_RANGES = {"gamma": (-math.inf, math.inf), "rho": (0.0, math.inf), "delta": (-1.0, 1.0)}
_EXAMPLES = {
    "gamma": "gamma=-4 is near O'Brien-Fleming, gamma=1 near Pocock.",
    "rho": "rho=3 is near O'Brien-Fleming, rho=1 near Pocock.",
    "delta": "delta=0 is O'Brien-Fleming, delta=0.5 is Pocock.",
}
