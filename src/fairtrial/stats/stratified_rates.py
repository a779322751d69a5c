"""Two rates compared within strata: the Mantel-Haenszel test and the interval that inverts it.

With the weights w_s = n_cs n_ts / N_s the effect is the weighted mean of the strata's
differences. Its variance under `treatment - control = delta` is taken at the rates of
largest likelihood under that difference in each stratum, times N_s / (N_s - 1). At
delta = 0 the squared statistic is the Cochran-Mantel-Haenszel chi-square without
continuity correction, exactly; the interval holds every delta that the statistic does
not reject, so that the two agree at any level and any margin.

Assumes independent units with an outcome of 0 or 1 and strata known before
assignment. Strata may be as thin as one unit in each arm; their number or
their sizes must be large, for the normal distribution is used.

References: Mantel & Haenszel (1959), Journal of the National Cancer Institute 22, 719-748;
Miettinen & Nurminen (1985), Statistics in Medicine 4, 213-226, section 5.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairtrial.errors import DataError, UsageError
from fairtrial.stats.restricted import restricted_variance
from fairtrial.stats.result import Alternative, Estimate, check_alpha, check_alternative
from fairtrial.stats.score_inversion import check_margin, inverted_interval
from fairtrial.stats.single import contrast_of_values, single_estimate
from fairtrial.stats.tails import p_value_of

Floats = NDArray[np.float64]
Stratum = tuple[int, int, int, int]
"""Successes and units of the control, successes and units of the treatment."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Strata:
    """Strata with both arms, columns of shape (strata, 1), and their weights, summing to 1."""

    x_c: Floats
    n_c: Floats
    x_t: Floats
    n_t: Floats

    @property
    def weight(self) -> Floats:
        raw = self.n_c * self.n_t / (self.n_c + self.n_t)
        return raw / raw.sum()

    def mean(self, successes: Floats, units: Floats) -> float:
        """Weighted mean of the strata's rates."""
        return float((self.weight * successes / units).sum())

    def variance(self, successes: Floats, units: Floats) -> float:
        """Sampling variance of that mean at the observed rates."""
        return float((self.weight**2 * successes * (units - successes) / units**3).sum())

    def null_variance(self, delta: Floats) -> Floats:
        """Variance of the effect under differences `delta`, shape (k,)."""
        total = self.n_c + self.n_t
        shape = (total.shape[0], delta.size)
        x_c, n_c, x_t, n_t, under = (np.broadcast_to(column, shape) for column in (self.x_c, self.n_c, self.x_t, self.n_t, delta))
        each = restricted_variance(x_c, n_c, x_t, n_t, under) * (total / (total - 1.0))
        return np.asarray((self.weight**2 * each).sum(axis=0))


def mantel_haenszel_test(
    strata: Sequence[Stratum], *, alpha: float = 0.05, alternative: Alternative = "two-sided", margin: float = 0.0
) -> Estimate:
    """Difference of two rates within strata, by the test of Mantel and Haenszel.

    Args:
        strata: By stratum: successes and units of the control, successes and units of the treatment.
            A stratum without one of the arms says nothing of the difference and is passed over.
        alpha: Type I error rate in (0, 1); the interval covers 1 - `alpha`.
        alternative: The alternative hypothesis, in SciPy's words.
        margin: Difference under the null hypothesis, in (-1, 1).

    Returns:
        The weighted difference as a fraction; `control` and `treatment` are the weighted rates of the
        strata, and `n_control` and `n_treatment` the units of strata that hold both arms. The lift's
        interval is the log method's; the note `zero_rate` says that there is none.

    Raises:
        UsageError: Successes lie outside 0..n, or an option breaks its rule.
        DataError: No stratum has both arms and both outcomes.

    References:
        Miettinen & Nurminen (1985), section 5; at margin 0 Mantel & Haenszel (1959).
    """
    check_alpha(alpha)
    check_alternative(alternative)
    check_margin(margin)
    kept = _kept(strata)
    control, treatment = kept.mean(kept.x_c, kept.n_c), kept.mean(kept.x_t, kept.n_t)
    contrast = contrast_of_values(
        control=control,
        treatment=treatment,
        control_variance=kept.variance(kept.x_c, kept.n_c),
        treatment_variance=kept.variance(kept.x_t, kept.n_t),
        n_control=int(kept.n_c.sum()),
        n_treatment=int(kept.n_t.sum()),
    )
    effect = treatment - control
    std_error = math.sqrt(float(kept.null_variance(np.array([margin]))[0]))
    statistic = (effect - margin) / std_error
    positive = control > 0.0 and treatment > 0.0
    lift = None
    if positive and not contrast.undefined[0]:
        lift = single_estimate(contrast, method="", alpha=alpha, alternative=alternative, lift_method="log").lift_interval
    return Estimate(
        effect=effect,
        interval=inverted_interval(
            effect, lambda delta: np.sqrt(kept.null_variance(delta)), margin=margin, alpha=alpha, alternative=alternative
        ),
        p_value=p_value_of(np.array([statistic]), np.inf, alternative).item(),
        std_error=std_error,
        statistic=statistic,
        df=None,
        control=control,
        treatment=treatment,
        n_control=int(kept.n_c.sum()),
        n_treatment=int(kept.n_t.sum()),
        alpha=alpha,
        alternative=alternative,
        margin=margin,
        method="mantel_haenszel",
        interval_method="stratified_miettinen_nurminen",
        lift=treatment / control - 1.0 if control > 0.0 else None,
        lift_interval=lift,
        lift_method=None if lift is None else "log",
        notes=() if positive else ("zero_rate",),
    )


def mantel_haenszel_rates(strata: Sequence[Stratum]) -> tuple[tuple[float, float], tuple[float, float]]:
    """The weighted rates of control and treatment, each with its standard error.

    Args:
        strata: As for `mantel_haenszel_test`.

    Returns:
        (rate, standard error) of the control and of the treatment, fractions.

    Raises:
        UsageError: Successes lie outside 0..n.
        DataError: No stratum has both arms and both outcomes.
    """
    kept = _kept(strata)
    sides = ((kept.x_c, kept.n_c), (kept.x_t, kept.n_t))
    own, other = ((kept.mean(x, n), math.sqrt(kept.variance(x, n))) for x, n in sides)
    return own, other


def _kept(strata: Sequence[Stratum]) -> _Strata:
    """The strata that hold both arms, where their outcomes vary."""
    counts = np.asarray(strata, dtype=np.float64).reshape(-1, 4)
    x_c, n_c, x_t, n_t = counts.T
    whole = np.isfinite(counts).all() and (np.floor(counts) == counts).all()
    if not (whole and ((x_c >= 0) & (x_c <= n_c) & (x_t >= 0) & (x_t <= n_t)).all()):
        raise UsageError("Counts must be whole numbers with successes in 0..n in every stratum.", hint="Pass counts, not rates.")
    both = (n_c > 0) & (n_t > 0)
    successes, total = (x_c + x_t)[both], (n_c + n_t)[both]
    if not ((successes > 0) & (successes < total)).any():
        raise DataError("A stratified test needs a stratum with both arms and both outcomes.", code="no_variance")
    return _Strata(x_c=x_c[both, None], n_c=n_c[both, None], x_t=x_t[both, None], n_t=n_t[both, None])
