"""Treatment minus control from moments: means, ratios, and both adjusted by a covariate, in one formula path.

A unit brings up to four columns: numerator and denominator of the outcome,
numerator and denominator of a pre-experiment covariate. A missing denominator
is the constant 1 and a missing covariate the constant 0, so the plain mean, the
ratio of sums, CUPED and CUPED of a ratio differ in nothing but their columns.
An arm's ratio R = mean(num) / mean(den) is linearised, y = (num - R den) /
mean(den), which has the variance of R to first order (delta method); the
covariate's ratio Q gives x likewise. With theta = cov(y, x) / var(x),

    effect   = (R_t - R_c) - theta (Q_t - Q_c)
    variance = sum over arms of (var(y) - 2 theta cov(y, x) + theta^2 var(x)) / n

Means are judged by Student's t with the Welch-Satterthwaite degrees of freedom
of these arm variances (without covariate exactly Welch's test), ratios by the
normal distribution. Assumes independent units, the covariate measured before
assignment, and arms large enough for means to be close to normal.

References: Welch (1947), Biometrika 34, 28-35; Satterthwaite (1946), Biometrics
Bulletin 2, 110-114; Deng, Xu, Kohavi & Walker (2013), WSDM, section 3; Deng, Knoblich &
Lu (2018), KDD, section 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairtrial.errors import UsageError
from fairtrial.stats.batch import ROUNDING, BatchMoments, Layout, expand
from fairtrial.stats.result import Alternative, Unavailable
from fairtrial.stats.tails import Floats, interval_of, p_value_of

__all__ = ["REASONS", "BatchMoments", "Contrast", "Layout", "MeanContrast", "ThetaMethod", "expand", "linear_contrast", "satterthwaite_df"]

ThetaMethod = Literal["pooled_within", "pooled_overall", "sum_of_arm_covariances", "control_only"]
"""Over which units cov(y, x) / var(x) is taken; see `linear_contrast`."""

REASONS: tuple[Unavailable | None, ...] = (
    None,
    Unavailable(code="zero_denominator", reason="The mean of the denominator is zero in an arm, so its ratio is not defined."),
    Unavailable(code="too_few_units", reason="An arm has fewer than two units, so its variance cannot be estimated."),
    Unavailable(code="no_variance", reason="The metric does not vary in either arm: the difference stands, but nothing can be inferred."),
    Unavailable(code="not_finite", reason="The metric's values are too large to compute with."),
    Unavailable(code="collinear", reason="The covariates depend linearly on each other, so none can be told from the rest: leave one out."),
)
"""By the number in `MeanContrast.reasons`; 0 is "nothing is wrong"."""

_ZERO_DENOMINATOR, TOO_FEW_UNITS, _NO_VARIANCE, _NOT_FINITE, COLLINEAR = 1, 2, 3, 4, 5

# What is left of a difference of terms 1e12 times as large is rounding.
_CANCELLED = 1e-12


class Contrast(Protocol):
    """Treatment against control over any number of metrics, treatments and replicates at once.

    All arrays are of one shape. Entries flagged in `undefined` have no standard
    error, statistic, p-value or interval (they hold NaN there, and the flag is what to read).
    """

    @property
    def effect(self) -> Floats:
        """Treatment - control, in the metric's unit."""
        ...

    @property
    def control(self) -> Floats:
        """Value of the control."""
        ...

    @property
    def treatment(self) -> Floats:
        """Value of the treatment."""
        ...

    @property
    def std_error(self) -> Floats:
        """Standard error of `effect`."""
        ...

    @property
    def df(self) -> Floats:
        """Degrees of freedom; `inf` for the normal distribution."""
        ...

    @property
    def statistic(self) -> Floats:
        """The standardised effect under a null of no effect."""
        ...

    @property
    def undefined(self) -> NDArray[np.bool_]:
        """Entries without inference."""
        ...

    def p_value(self, *, alternative: Alternative = "two-sided", margin: ArrayLike = 0.0) -> Floats:
        """P-values of the null hypothesis `effect = margin`."""
        ...

    def interval(self, *, alpha: ArrayLike, alternative: Alternative = "two-sided") -> tuple[Floats, Floats]:
        """Ends of the interval of level 1 - `alpha` (one or an array)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MeanContrast:
    """A batch of differences of means or ratios; fulfils `Contrast`.

    Attributes:
        effect: Treatment - control, adjusted, in the metric's unit; NaN where a ratio is not defined.
        control: The control's mean or ratio, adjusted: R - theta (Q - Q of both arms together).
        treatment: The same of the treatment.
        control_variance: Sampling variance of `control`.
        treatment_variance: Sampling variance of `treatment`.
        covariance: Sampling covariance of the two: both are adjusted to the covariate's
            value over both arms, so they share its error; 0 without a covariate.
        std_error: Standard error of `effect`.
        df: Degrees of freedom of the t distribution; `inf` for the normal.
        n_control: Units of the control.
        n_treatment: Units of the treatment.
        theta: Coefficient of the covariate; 0 without one, or where it does not vary.
        variance_reduction: 1 - adjusted / raw variance of the effect; 0 without covariate, may be negative.
        reasons: Number of the reason in `REASONS` why nothing can be inferred; 0 where it can.
        adjusted: Whether a covariate was there to adjust by.
    """

    effect: Floats
    control: Floats
    treatment: Floats
    control_variance: Floats
    treatment_variance: Floats
    covariance: Floats
    std_error: Floats
    df: Floats
    n_control: Floats
    n_treatment: Floats
    theta: Floats
    variance_reduction: Floats
    reasons: NDArray[np.int8]
    adjusted: bool = False

    @property
    def undefined(self) -> NDArray[np.bool_]:
        """Entries without inference; `unavailable` says why."""
        return self.reasons > 0

    @property
    def statistic(self) -> Floats:
        """Effect over standard error; NaN where undefined."""
        return self.effect / self.std_error

    def unavailable(self, index: int | tuple[int, ...] = ()) -> Unavailable | None:
        """Why the entry at `index` has no inference; None when it has."""
        return REASONS[int(self.reasons[index])]

    def p_value(self, *, alternative: Alternative = "two-sided", margin: ArrayLike = 0.0) -> Floats:
        """P-values of the null hypothesis `effect = margin`; NaN where undefined.

        Args:
            alternative: `greater` is effect > margin.
            margin: Effect under the null, in the metric's unit, one or an array.

        Raises:
            UsageError: `alternative` is another word.
        """
        return p_value_of((self.effect - np.asarray(margin, dtype=np.float64)) / self.std_error, self.df, alternative)

    def interval(self, *, alpha: ArrayLike, alternative: Alternative = "two-sided") -> tuple[Floats, Floats]:
        """Lower and upper ends of the effect's interval of level 1 - `alpha`; NaN where undefined.

        Args:
            alpha: Error rate in (0, 1), one or an array (NaN where there is none).
            alternative: `greater` leaves the upper end infinite, `less` the lower.

        Raises:
            UsageError: An `alpha` lies outside (0, 1), or `alternative` is another word.
        """
        return interval_of(self.effect, self.std_error, self.df, alpha=alpha, alternative=alternative)


def linear_contrast(
    control: BatchMoments,
    treatment: BatchMoments,
    *,
    theta_method: ThetaMethod = "pooled_within",
    variances: Literal["unequal", "equal"] = "unequal",
    quantile: Literal["auto", "t", "normal"] = "auto",
) -> MeanContrast:
    """Treatment minus control for a batch of means or ratios, adjusted where a covariate is present.

    Args:
        control: The control's batch.
        treatment: The treatments' batch, broadcast against `control` (control (m, 1), treatments (m, k)).
        theta_method: `pooled_within`: cov and var from both arms' centred sums added up
            (the slope of ANCOVA); `pooled_overall`: over all units together, the
            between-arm part included; `sum_of_arm_covariances`: (cov_c + cov_t) / (var_c + var_t);
            `control_only`.
        variances: `equal` pools the two arms' variances (Student's test).
        quantile: `auto` is `t` for means and `normal` for ratios.

    Returns:
        The contrasts, of the broadcast shape. An entry with fewer than two units in an arm, no
        variance in both, or a denominator of mean zero is flagged and leaves the others alone.

    Raises:
        UsageError: The batches are of different layouts, or an option is another word.
    """
    if control.present != treatment.present:
        raise UsageError(f"Both arms must have the same columns, got {control.present} and {treatment.present}.")
    _check_options(theta_method, variances, quantile)
    ratio, adjusted = control.present[1], control.present[2]
    with np.errstate(all="ignore"):
        c, t = _linearise(control), _linearise(treatment)
        theta = _theta(theta_method, c, t, control, treatment) if adjusted else np.zeros(())
        spread_c, spread_t = (_residual(c, theta), _residual(t, theta)) if adjusted else (c.yy, t.yy)
        if variances == "equal":
            df = c.n + t.n - 2.0
            variance_c, variance_t = (spread_c + spread_t) / df / c.n, (spread_c + spread_t) / df / t.n
        else:
            variance_c, variance_t = spread_c / (c.n - 1.0) / c.n, spread_t / (t.n - 1.0) / t.n
            df = satterthwaite_df(variance_c, c.n, variance_t, t.n)
        variance = variance_c + variance_t
        if quantile == "normal" or (quantile == "auto" and ratio):
            df = np.array(np.inf)
        move = _move(c, t, theta) if adjusted else _STILL
        effect = (t.y - c.y) - move.effect
        reduction = 1.0 - variance / (c.yy / (c.n - 1.0) / c.n + t.yy / (t.n - 1.0) / t.n) if adjusted else np.zeros(())
        reasons = _reasons(c, t, variance, effect)
        no_ratio, undefined = (reasons == _ZERO_DENOMINATOR) | (reasons == _NOT_FINITE), reasons > 0
        return MeanContrast(
            effect=_blank(no_ratio, effect),
            control=_blank(no_ratio, c.y + move.control),
            treatment=_blank(no_ratio, t.y + move.treatment),
            control_variance=_blank(undefined, variance_c + move.control_variance),
            treatment_variance=_blank(undefined, variance_t + move.treatment_variance),
            covariance=_blank(undefined, move.covariance),
            std_error=_blank(undefined, np.sqrt(variance)),
            df=_blank(undefined, df),
            n_control=np.broadcast_to(c.n, variance.shape),
            n_treatment=np.broadcast_to(t.n, variance.shape),
            theta=np.broadcast_to(theta, variance.shape),
            variance_reduction=_blank(undefined, reduction),
            reasons=reasons,
            adjusted=adjusted,
        )


def satterthwaite_df(variance_control: ArrayLike, n_control: ArrayLike, variance_treatment: ArrayLike, n_treatment: ArrayLike) -> Floats:
    """Degrees of freedom of the sum of two arms' sampling variances, in a form that cannot overflow.

    Args:
        variance_control: Sampling variance of the control's estimate.
        n_control: Units behind it, >= 2.
        variance_treatment: Sampling variance of the treatment's estimate.
        n_treatment: Units behind it, >= 2.

    Returns:
        (a + b)^2 / (a^2 / (n_a - 1) + b^2 / (n_b - 1)); NaN where both variances are zero.

    References:
        Satterthwaite (1946), Biometrics Bulletin 2, 110-114.
    """
    with np.errstate(all="ignore"):
        own = np.asarray(variance_control, dtype=np.float64)
        share = own / (own + np.asarray(variance_treatment, dtype=np.float64))
        below = np.asarray(n_control, dtype=np.float64) - 1.0, np.asarray(n_treatment, dtype=np.float64) - 1.0
        return np.asarray(1.0 / (share * share / below[0] + (1.0 - share) ** 2 / below[1]))


def _check_options(theta_method: str, variances: str, quantile: str) -> None:
    for name, value, known in (
        ("theta_method", theta_method, get_args(ThetaMethod)),
        ("variances", variances, ("unequal", "equal")),
        ("quantile", quantile, ("auto", "t", "normal")),
    ):
        if value not in known:
            raise UsageError(f"{name} must be one of {list(known)}, got {value!r}.")


class _Arm(NamedTuple):
    """One arm after linearisation: its values and the centred sums about them."""

    n: Floats
    y: Floats
    x: Floats
    yy: Floats
    xy: Floats
    xx: Floats
    weight: Floats
    zero: NDArray[np.bool_]


class _Move(NamedTuple):
    """What the covariate does: to the effect, to the two values, to their variances and covariance."""

    effect: Floats
    control: Floats
    treatment: Floats
    control_variance: Floats
    treatment_variance: Floats
    covariance: Floats


_STILL = _Move(*(np.zeros(()),) * 6)


def _linearise(batch: BatchMoments) -> _Arm:
    n, mean, cross = batch.n, batch.mean, batch.cross
    _, ratio, adjusted, covariate_ratio = batch.present
    zero = np.zeros(n.shape, dtype=np.bool_)
    nothing = np.zeros(n.shape)
    y, weight = mean[..., 0], n
    yy = _centred(cross, 0, y, mean[..., 1], denominator_present=ratio)
    if ratio:
        zero = mean[..., 1] == 0.0
        y = y / mean[..., 1]
    yy = np.where(yy <= n * (ROUNDING * y) ** 2, 0.0, yy)
    if not adjusted:
        return _Arm(n, y, nothing, yy, nothing, nothing, weight, zero)
    x = mean[..., 2]
    xx = _centred(cross, 2, x, mean[..., 3], denominator_present=covariate_ratio)
    if covariate_ratio:
        zero = zero | (mean[..., 3] == 0.0)
        x, weight = x / mean[..., 3], n * mean[..., 3]
    xx = np.where(xx <= n * (ROUNDING * x) ** 2, 0.0, xx)
    product = cross[..., 0, 2] - y * cross[..., 1, 2] - x * cross[..., 0, 3] + y * x * cross[..., 1, 3]
    xy = np.where(xx > 0.0, product / (mean[..., 1] * mean[..., 3]), 0.0)
    return _Arm(n, y, x, yy, xy, xx, weight, zero)


def _centred(cross: Floats, column: int, numerator: Floats, denominator: Floats, *, denominator_present: bool) -> Floats:
    own = cross[..., column, column]
    if not denominator_present:
        return own
    value = numerator / denominator
    between = 2.0 * value * cross[..., column, column + 1]
    below = value * value * cross[..., column + 1, column + 1]
    return _without_rounding(own + below, between) / (denominator * denominator)


def _without_rounding(plus: Floats, minus: Floats) -> Floats:
    """`plus - minus`, a sum of squares, as zero where the two cancel but for rounding."""
    left = plus - minus
    return np.where(left <= _CANCELLED * np.abs(plus), 0.0, left)


def _residual(arm: _Arm, theta: Floats) -> Floats:
    """Centred sum of squares of y - theta x."""
    return _without_rounding(arm.yy + theta * theta * arm.xx, 2.0 * theta * arm.xy)


def _theta(method: ThetaMethod, c: _Arm, t: _Arm, control: BatchMoments, treatment: BatchMoments) -> Floats:
    if method == "pooled_within":
        xy, xx = c.xy + t.xy, c.xx + t.xx
    elif method == "sum_of_arm_covariances":
        xy, xx = c.xy / (c.n - 1.0) + t.xy / (t.n - 1.0), c.xx / (c.n - 1.0) + t.xx / (t.n - 1.0)
    elif method == "control_only":
        xy, xx = c.xy, c.xx
    else:
        both = _linearise(control + treatment)
        xy, xx = both.xy, both.xx
    return np.divide(xy, xx, out=np.zeros_like(xx), where=xx > 0.0)


def _move(c: _Arm, t: _Arm, theta: Floats) -> _Move:
    """Both values are adjusted to Q of both arms together, (1 - share) Q_c + share Q_t, and share its error."""
    share = t.weight / (c.weight + t.weight)
    shift = theta * (t.x - c.x)
    left_c = theta * (1.0 - share) * (c.xy - theta * c.xx) / (c.n - 1.0) / c.n
    left_t = theta * share * (t.xy - theta * t.xx) / (t.n - 1.0) / t.n
    overall = theta * theta * ((1.0 - share) ** 2 * c.xx / (c.n - 1.0) / c.n + share**2 * t.xx / (t.n - 1.0) / t.n)
    return _Move(
        effect=shift,
        control=share * shift,
        treatment=(share - 1.0) * shift,
        control_variance=2.0 * left_c + overall,
        treatment_variance=2.0 * left_t + overall,
        covariance=left_c + left_t + overall,
    )


def _reasons(c: _Arm, t: _Arm, variance: Floats, effect: Floats) -> NDArray[np.int8]:
    reasons = np.where(variance == 0.0, np.int8(_NO_VARIANCE), np.int8(0))
    reasons[~(np.isfinite(variance) & np.isfinite(effect))] = _NOT_FINITE
    reasons[np.minimum(c.n, t.n) < 2.0] = TOO_FEW_UNITS
    reasons[c.zero | t.zero] = _ZERO_DENOMINATOR
    return reasons


def _blank(where: NDArray[np.bool_], values: Floats) -> Floats:
    """The values, broadcast, NaN where asked."""
    return np.where(where, np.nan, values)
