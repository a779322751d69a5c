"""The effect relative to what would have been: a lift whose base is estimated too.

An experiment's control is a mean with an error of its own; here the base is the
counterfactual, which the same rows and the same model give as the effect. The
two depend on each other, so the interval needs the variance of the
counterfactual and its covariance with the effect. The intervals themselves are
those of experiments (`stats.lift`), with the quantile of the effect's own test.

References: delta method: Deng, Knoblich & Lu (2018), KDD, section 2.2; Fieller
(1954), JRSS B 16, 175-185.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairtrial.stats.lift import LiftMethod, lift_interval
from fairtrial.stats.result import Interval, Unavailable
from fairtrial.stats.tails import critical_value, p_value_of

Floats = NDArray[np.float64]
LEAST_ALPHA = 1e-300
"""A quantile of Student's t beyond that of the normal at this level is farther out than doubles reach."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelError:
    """How well the counterfactual is known.

    Attributes:
        variance: Sampling variance of the counterfactual, in the outcome's unit squared, >= 0.
        covariance: Its sampling covariance with the effect; negative as a rule, since the one is taken off the other.
    """

    variance: float
    covariance: float

    @classmethod
    def of_scores(cls, effect: Floats, treated: Floats, *, factor: float = 1.0) -> LevelError:
        """From what each independent unit (or cluster) contributes, where the counterfactual is treated - effect.

        Args:
            effect: Contribution to the error of the effect, shape (clusters,); the sum of squares is its variance.
            treated: Contribution to the error of the mean of the treated, shape (clusters,).
            factor: Small-sample factor of the variance.
        """
        level = treated - effect
        return cls(variance=factor * float(level @ level), covariance=factor * float(level @ effect))

    @classmethod
    def of_coefficients(cls, covariance: Floats, *, effect: Floats, level: Floats) -> LevelError:
        """From the covariance of coefficients, shape (k, k), of which both numbers are sums.

        Args:
            covariance: Shape (k, k).
            effect: Weights of the effect, shape (k,).
            level: Weights of the counterfactual, shape (k,).
        """
        return cls(variance=float(level @ covariance @ level), covariance=float(level @ covariance @ effect))


@dataclass(frozen=True, slots=True, kw_only=True)
class _TwoValues:
    """Counterfactual and treated as `stats.lift` reads two arms; every entry of shape (1,)."""

    control: Floats
    treatment: Floats
    control_variance: Floats
    treatment_variance: Floats
    covariance: Floats
    n_control: Floats
    n_treatment: Floats


def lift_of(
    effect: float, std_error: float, level: float, error: LevelError, *, df: float, alpha: float, method: LiftMethod = "delta"
) -> Interval | Unavailable:
    """Confidence interval of effect / level.

    Args:
        effect: In the outcome's unit.
        std_error: Its standard error, > 0.
        level: The counterfactual, > 0.
        error: How well that is known.
        df: Degrees of freedom of the effect's test; `inf` for the normal. The lift takes the same.
        alpha: Error rate in (0, 1).
        method: `delta`, `log` or `fieller`. Fieller's excludes 0 exactly when the effect's test rejects.

    Returns:
        The interval; unavailable where the method gives no bounded one.
    """
    variance = std_error**2
    values = _TwoValues(
        control=np.array([level]),
        treatment=np.array([level + effect]),
        control_variance=np.array([error.variance]),
        treatment_variance=np.array([max(error.variance + variance + 2.0 * error.covariance, 0.0)]),
        covariance=np.array([error.variance + error.covariance]),
        n_control=np.array([math.inf]),
        n_treatment=np.array([math.inf]),
    )
    # The normal's level at which its quantile is Student's t quantile at alpha.
    reach = p_value_of(critical_value(alpha, df), math.inf).item()
    if reach < LEAST_ALPHA:
        return Unavailable(code="lift_without_interval", reason="So few degrees of freedom leave no interval of the lift.")
    bounds = lift_interval(values, alpha=reach, method=method)
    if not bounds.defined.item():
        return Unavailable(code="lift_without_interval", reason=f"At this error rate the method {method!r} gives no bounded interval.")
    return Interval(low=bounds.low.item(), high=bounds.high.item())
