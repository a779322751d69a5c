"""CUPED: a mean or ratio adjusted by a covariate measured before assignment.

The effect is (R_t - R_c) - theta (Q_t - Q_c), with Q the covariate. Any theta
leaves it unbiased, because assignment cannot change what came before; the
regression slope makes it as precise as it can be, with a variance of
(1 - rho^2) of the raw one. A covariate measured after assignment would take
part of the effect away with it; the spec's `post_assignment` guards against that.

References: Deng, Xu, Kohavi & Walker (2013), WSDM, "Improving the sensitivity of
online controlled experiments by utilizing pre-experiment data"; Lin (2013), Annals
of Applied Statistics 7, 295-318.
"""

from __future__ import annotations

from typing import Literal

from fairtrial.errors import UsageError
from fairtrial.stats.contrast import Layout, ThetaMethod, expand, linear_contrast
from fairtrial.stats.lift import LiftMethod
from fairtrial.stats.moments import CoMoments
from fairtrial.stats.result import Alternative, Estimate
from fairtrial.stats.single import single_estimate

_LAYOUT_OF: dict[int, Layout] = {2: "mean_cuped", 4: "ratio_cuped"}


def cuped_test(
    control: CoMoments,
    treatment: CoMoments,
    *,
    theta_method: ThetaMethod = "pooled_within",
    quantile: Literal["auto", "t", "normal"] = "auto",
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
    margin: float = 0.0,
    lift_method: LiftMethod = "delta",
) -> Estimate:
    """Difference of two means or ratios, adjusted by a pre-experiment covariate.

    Args:
        control: Over the columns outcome and covariate, or outcome's numerator and denominator
            and covariate's numerator and denominator; n >= 2.
        treatment: The same of the treatment.
        theta_method: Over which units the covariate's coefficient is taken (see `linear_contrast`).
        quantile: `auto` is `t` for means (Welch-Satterthwaite degrees of freedom of the
            adjusted outcome) and `normal` for ratios.
        alpha: Type I error rate in (0, 1); the interval covers 1 - `alpha`.
        alternative: The alternative hypothesis, in SciPy's words.
        margin: Effect under the null hypothesis, in the metric's unit.
        lift_method: Interval of the relative lift, of the adjusted values.

    Returns:
        The adjusted effect in the metric's unit, with `theta` and `variance_reduction`. A covariate
        that does not vary gives theta 0 and Welch's test.

    Raises:
        UsageError: The moments are not of two or four columns, or an option breaks its rule.
        NotEnoughDataError: An arm has fewer than two units.
        DataError: A denominator's mean is zero, or the adjusted outcome does not vary.

    References:
        Deng, Xu, Kohavi & Walker (2013), WSDM, sections 3.2 and 3.3.
    """
    columns = control.columns
    if columns != treatment.columns or columns not in _LAYOUT_OF:
        raise UsageError(
            f"CUPED needs moments of two columns (outcome, covariate) or four (both as ratios) in both arms, "
            f"got {columns} and {treatment.columns}."
        )
    layout = _LAYOUT_OF[columns]
    contrast = linear_contrast(expand([control], layout), expand([treatment], layout), theta_method=theta_method, quantile=quantile)
    return single_estimate(
        contrast,
        method="cuped_welch_t" if columns == 2 else "cuped_ratio_delta",
        alpha=alpha,
        alternative=alternative,
        margin=margin,
        lift_method=lift_method,
    )
