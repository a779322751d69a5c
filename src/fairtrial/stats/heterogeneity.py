"""Whether effects in several groups differ, and what each is once its noise is allowed for.

Given k effects y_i with standard errors s_i, independent of one another:

- Cochran's test asks whether one effect serves them all. With weights w_i = 1 / s_i^2 and
  pooled effect m = sum w_i y_i / sum w_i, Q = sum w_i (y_i - m)^2 is chi-square with
  k - 1 degrees of freedom when it does.
- The shrunken effects are those of a hierarchical model, y_i ~ N(theta_i, s_i^2),
  theta_i ~ N(mu, tau^2), mu flat. Between complete pooling (tau = 0) and none (tau large)
  the data decide: everything is averaged over the posterior of tau under the uniform
  shrinkage prior, s0^2 / (s0^2 + tau^2) uniform on (0, 1) with s0^2 the harmonic
  mean of the s_i^2. It is proper, so that two groups are enough, and does not depend on the unit.

The largest of several noisy effects overstates; a shrunken one is drawn towards the
others by as much as its own noise asks for. Assumes normal effects with known standard errors: groups
of a hundred units, not of five.

References: Cochran (1954), Biometrics 10, 101-129; DerSimonian & Laird (1986), Controlled Clinical Trials 7,
177-188 (tau^2); Higgins & Thompson (2002), Statistics in Medicine 21, 1539-1558 (I^2); Daniels (1999),
Canadian Journal of Statistics 27, 567-578 (the prior); Rubin (1981), Journal of Educational Statistics 6, 377-400.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fairtrial.errors import NotEnoughDataError, UsageError
from fairtrial.stats.result import Interval, check_alpha

Floats = NDArray[np.float64]

LEAST_GROUPS = 2
GRID_STEP = 0.25
GRID_REACH = 30.0
"""log(tau^2 / s0^2) is summed over in these steps, from minus this to this beyond the spread of the effects."""
NEGLIGIBLE = 1e-13
"""Share of the posterior below which a value of tau is left out."""
BISECTIONS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Heterogeneity:
    """Cochran's test of one effect in all groups.

    Attributes:
        pooled: Effect pooled by inverse variance, in the effects' unit.
        std_error: Its standard error.
        q: The statistic, >= 0.
        df: Degrees of freedom, the number of groups less one.
        p_value: Of the null hypothesis that all groups have one effect.
        i_squared: Part of the spread of the effects that is not noise, in [0, 1).
        tau2: Variance of the true effects between groups by DerSimonian and Laird's moments, >= 0.
    """

    pooled: float
    std_error: float
    q: float
    df: int
    p_value: float
    i_squared: float
    tau2: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Shrunken:
    """Effects of a hierarchical model.

    Attributes:
        effects: Posterior mean of each group's effect, in order.
        intervals: Its equal-tailed credible interval.
        mu: Posterior mean of the effects' common centre.
        tau: Posterior mean of the standard deviation between groups.
    """

    effects: tuple[float, ...]
    intervals: tuple[Interval, ...]
    mu: float
    tau: float


def cochran_q(effects: Sequence[float], std_errors: Sequence[float]) -> Heterogeneity:
    """Cochran's test of heterogeneity.

    Args:
        effects: One a group, in one unit, two at least.
        std_errors: Their standard errors, > 0.

    Raises:
        UsageError: A number is not finite, a standard error not positive, or the lengths differ.
        NotEnoughDataError: There are fewer than two groups.

    References:
        Cochran (1954), section 3; DerSimonian & Laird (1986), equation 8; Higgins & Thompson (2002), equation 10.
    """
    y, s = _checked(effects, std_errors)
    scale = float(s.min())
    w = np.square(scale / s)
    total = float(w.sum())
    pooled = float(w @ y) / total
    q = float(w @ np.square((y - pooled) / scale))
    df = len(y) - 1
    spread = total - float(w @ w) / total
    return Heterogeneity(
        pooled=pooled,
        std_error=scale / math.sqrt(total),
        q=q,
        df=df,
        p_value=float(special.chdtrc(df, q)),
        i_squared=max(0.0, (q - df) / q) if q > 0.0 else 0.0,
        tau2=max(0.0, (q - df) / spread) * scale**2,
    )


def shrink(effects: Sequence[float], std_errors: Sequence[float], *, alpha: float = 0.05) -> Shrunken:
    """Effects drawn towards their centre by as much as their noise asks for.

    Args:
        effects: One a group, in one unit, two at least.
        std_errors: Their standard errors, > 0.
        alpha: The intervals hold 1 - `alpha` of the posterior, in (0, 1).

    Raises:
        UsageError: A number is not finite, a standard error not positive, the lengths differ, or `alpha` breaks its rule.
        NotEnoughDataError: There are fewer than two groups.

    References:
        Daniels (1999), section 2; Rubin (1981), equations 5 to 9, for the posterior given tau.
    """
    check_alpha(alpha)
    y, s = _checked(effects, std_errors)
    unit = math.sqrt(len(s) / float(np.sum(np.square(1.0 / (s / s.min()))))) * float(s.min())
    origin = float(y[np.argmin(s)])
    y, v = (y - origin) / unit, np.square(s / unit)
    tau2, weight = _posterior_of_tau2(y, v)
    precision = 1.0 / (v[None, :] + tau2[:, None])
    total = precision.sum(axis=1)
    mu = (precision @ y) / total
    pull = v[None, :] * precision
    means = pull * mu[:, None] + (1.0 - pull) * y[None, :]
    sds = np.sqrt((1.0 - pull) * v[None, :] + np.square(pull) / total[:, None])
    centre = weight @ means
    low, high = _tails(means, sds, weight, alpha / 2.0)
    ends = zip((low * unit + origin).tolist(), (high * unit + origin).tolist(), strict=True)
    return Shrunken(
        effects=tuple((centre * unit + origin).tolist()),
        intervals=tuple(Interval(low=a, high=b) for a, b in ends),
        mu=float(weight @ mu) * unit + origin,
        tau=float(weight @ np.sqrt(tau2)) * unit,
    )


def _checked(effects: Sequence[float], std_errors: Sequence[float]) -> tuple[Floats, Floats]:
    y, s = np.asarray(effects, dtype=np.float64), np.asarray(std_errors, dtype=np.float64)
    if y.ndim != 1 or y.shape != s.shape:
        raise UsageError(f"Each effect needs its standard error, got shapes {y.shape} and {s.shape}.")
    if not (np.isfinite(y).all() and np.isfinite(s).all() and (s > 0.0).all()):
        raise UsageError(f"Effects must be finite and standard errors finite and above 0, got {y.tolist()} and {s.tolist()}.")
    if len(y) < LEAST_GROUPS:
        raise NotEnoughDataError(f"Groups can differ from {LEAST_GROUPS} on, got {len(y)}.", code="one_group")
    return y, s


def _posterior_of_tau2(y: Floats, v: Floats) -> tuple[Floats, Floats]:
    """Values of tau^2, in units in which s0 is 1, and their posterior weights, summing to 1.

    The prior of x = log tau^2 is logistic; the trapezoid rule over x converges faster than any power of its step.
    """
    reach = GRID_REACH + 2.0 * math.log1p(float(np.ptp(y)))
    x = np.arange(-GRID_REACH, reach, GRID_STEP)
    tau2 = np.exp(x)
    precision = 1.0 / (v[None, :] + tau2[:, None])
    total = precision.sum(axis=1)
    mu = (precision @ y) / total
    misfit = np.sum(precision * np.square(y[None, :] - mu[:, None]), axis=1)
    log_weight = 0.5 * np.log(precision).sum(axis=1) - 0.5 * np.log(total) - 0.5 * misfit + x - 2.0 * np.logaddexp(0.0, x)
    weight = np.exp(log_weight - log_weight.max())
    kept = weight > NEGLIGIBLE
    return tau2[kept], weight[kept] / weight[kept].sum()


def _tails(means: Floats, sds: Floats, weight: Floats, tail: float) -> tuple[Floats, Floats]:
    """Where mixtures of normals, one a column, have mass `tail` below and above, by bisection.

    The upper end is the lower one of the mirrored mixture, so that neither takes 1 minus a small number.
    """
    turned, spread = np.concatenate((means, -means), axis=1), np.concatenate((sds, sds), axis=1)
    reach = abs(float(special.ndtri(tail * 1e-3)))
    low: Floats = np.asarray((turned - reach * spread).min(axis=0))
    high: Floats = np.asarray((turned + reach * spread).max(axis=0))
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        below: NDArray[np.bool_] = weight @ np.asarray(special.ndtr((middle[None, :] - turned) / spread)) < tail
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    ends = 0.5 * (low + high)
    groups = means.shape[1]
    return ends[:groups], -ends[groups:]
