"""Treatment minus control adjusted by several covariates at once (CUPED with a vector of coefficients), from moments.

With S_xx and s_xy the centred products of the covariates with each other and with the
(linearised) outcome, added up over the two arms, theta = S_xx^-1 s_xy minimises the
residual variance within arms. The covariates are replaced by the one column
theta' (x - mean of the control), whose own coefficient is 1, so that the effect

    (R_t - R_c) - theta' (x_t - x_c)

is that of analysis of covariance, and everything that serves one covariate serves
several. Unlike with one covariate, where it hardly matters, the variance carries
the price of estimating theta: with k covariates and N units it is multiplied by
(N - 2) / (N - 2 - k) (1 + (n_c n_t / N) d' S_xx^-1 d), d the difference of the
covariates' means, and the degrees of freedom by (N - 2 - k) / (N - 2). With equal
variances that is the classical analysis of covariance, exactly.

Assumes independent units, covariates measured before assignment, and a linear fit
good enough to be worth it; the effect is unbiased in large samples whether or not
the outcome is linear in them (Lin 2013).

References: Deng, Xu, Kohavi & Walker (2013), WSDM, section 3 and appendix; Cox &
McCullagh (1982), Biometrics 38, 541-561 (analysis of covariance); Lin (2013),
Annals of Applied Statistics 7, 295-318.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fairtrial.errors import UsageError
from fairtrial.stats.batch import ROUNDING, BatchMoments
from fairtrial.stats.contrast import COLLINEAR, TOO_FEW_UNITS, MeanContrast, linear_contrast
from fairtrial.stats.moments import CoMoments
from fairtrial.stats.result import Alternative, Estimate
from fairtrial.stats.single import single_estimate

Floats = NDArray[np.float64]

COLLINEARITY = 1e-8
"""Smallest eigenvalue of the covariates' correlations within arms that is solved; moments are good to 1e-9."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CombinedCovariates:
    """Both arms with their covariates made one, for a batch of comparisons.

    Attributes:
        control: The control's batch, of outcome (and denominator) and the combined covariate.
        treatment: The treatment's.
        theta: Coefficients, shape (..., k); 0 of a covariate that does not vary.
        leverage: (n_c n_t / N) d' S_xx^-1 d, shape (...,): what the imbalance of the covariates costs.
        collinear: Where the covariates depend linearly on each other; there theta is 0.
    """

    control: BatchMoments
    treatment: BatchMoments
    theta: Floats
    leverage: Floats
    collinear: NDArray[np.bool_]


def combine_covariates(control: Sequence[CoMoments], treatment: Sequence[CoMoments], *, ratio: bool = False) -> CombinedCovariates:
    """Make one covariate of several, by their coefficients within arms.

    Args:
        control: The control's moments in each comparison, over the columns outcome, then
            (for a ratio) denominator, then at least one covariate.
        treatment: The treatment's, of the same columns.
        ratio: Whether the outcome is a ratio of two columns.

    Returns:
        Batches of shape (comparisons,) for `linear_contrast`, and the coefficients.

    Raises:
        UsageError: There are no comparisons, the columns differ, or there is no covariate.
    """
    first = 2 if ratio else 1
    columns = {moments.columns for moments in (*control, *treatment)}
    if len(control) != len(treatment) or len(columns) != 1 or min(columns) <= first:
        raise UsageError(
            f"Every comparison needs the same {first} columns of the outcome and at least one covariate in both arms, "
            f"got {sorted(columns)} columns in {len(control)} controls and {len(treatment)} treatments."
        )
    arms = [_Stack.of(moments) for moments in (control, treatment)]
    within = arms[0].cross[:, first:, first:] + arms[1].cross[:, first:, first:]
    shared = sum((_with_outcome(arm, first) for arm in arms), np.zeros(within.shape[:-1]))
    theta, leverage, collinear = _solved(arms, within, shared, first)
    return CombinedCovariates(
        control=_combined(arms[0], arms[0].mean[:, first:], theta, first),
        treatment=_combined(arms[1], arms[0].mean[:, first:], theta, first),
        theta=theta,
        leverage=leverage,
        collinear=collinear,
    )


def adjusted_contrast(
    control: Sequence[CoMoments],
    treatment: Sequence[CoMoments],
    *,
    ratio: bool = False,
    variances: Literal["unequal", "equal"] = "unequal",
) -> MeanContrast:
    """Differences of means or ratios adjusted by all their covariates, for a batch of comparisons.

    Args:
        control: The control's moments, as in `combine_covariates`.
        treatment: The treatment's.
        ratio: Whether the outcome is a ratio of two columns.
        variances: `equal` pools the arms' variances.

    Returns:
        The contrasts, shape (comparisons,); `theta` is 1, that of the combined covariate.
        Collinear covariates, and fewer than k + 3 units, leave an entry without inference.

    Raises:
        UsageError: The moments do not fit, or an option is another word.

    References:
        Cox & McCullagh (1982), section 2 (price of the coefficients).
    """
    both = combine_covariates(control, treatment, ratio=ratio)
    contrast = linear_contrast(both.control, both.treatment, variances=variances)
    units, used = contrast.n_control + contrast.n_treatment, (both.theta != 0.0).sum(axis=-1)
    left = units - 2.0 - used
    reasons = np.where(both.collinear & (contrast.reasons == 0), np.int8(COLLINEAR), contrast.reasons)
    reasons = np.where((left < 1.0) & (reasons != COLLINEAR), np.int8(TOO_FEW_UNITS), reasons).astype(np.int8)
    gone = reasons > 0
    with np.errstate(all="ignore"):
        factor = np.where(gone, np.nan, (units - 2.0) / left * (1.0 + both.leverage))
        df = np.where(gone, np.nan, contrast.df * (left / (units - 2.0)))
    return replace(
        contrast,
        control_variance=contrast.control_variance * factor,
        treatment_variance=contrast.treatment_variance * factor,
        covariance=contrast.covariance * factor,
        std_error=contrast.std_error * np.sqrt(factor),
        df=df,
        variance_reduction=1.0 - (1.0 - contrast.variance_reduction) * factor,
        reasons=reasons,
    )


def covariate_adjusted_test(
    control: CoMoments,
    treatment: CoMoments,
    *,
    ratio: bool = False,
    variances: Literal["unequal", "equal"] = "unequal",
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
    margin: float = 0.0,
) -> Estimate:
    """Difference of two means or ratios adjusted by several covariates.

    Args:
        control: Moments over the columns outcome (and denominator) and covariates, n >= 2.
        treatment: The same of the treatment.
        ratio: Whether the outcome is a ratio of two columns.
        variances: `equal` pools the arms' variances: classical analysis of covariance.
        alpha: Type I error rate in (0, 1); the interval covers 1 - `alpha`.
        alternative: The alternative hypothesis, in SciPy's words.
        margin: Effect under the null hypothesis, in the metric's unit.

    Returns:
        The adjusted effect with `variance_reduction`; `theta` is None, there are several.

    Raises:
        UsageError: The moments do not fit, or an option breaks its rule.
        NotEnoughDataError: Fewer than two units in an arm, or no more than covariates and arms.
        DataError: The covariates depend linearly on each other, or nothing varies.

    References:
        Deng, Xu, Kohavi & Walker (2013), section 3; Cox & McCullagh (1982), section 2.
    """
    contrast = adjusted_contrast([control], [treatment], ratio=ratio, variances=variances)
    base = "ratio_delta" if ratio else "student_t" if variances == "equal" else "welch_t"
    estimate = single_estimate(contrast, method=f"cuped_{base}", alpha=alpha, alternative=alternative, margin=margin)
    return replace(estimate, theta=None)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Stack:
    """One arm of a batch: n (m,), means (m, k), cross-products (m, k, k)."""

    n: Floats
    mean: Floats
    cross: Floats

    @classmethod
    def of(cls, moments: Sequence[CoMoments]) -> _Stack:
        return cls(
            n=np.array([m.n for m in moments], dtype=np.float64),
            mean=np.array([m.mean for m in moments]),
            cross=np.array([m.cross for m in moments]),
        )


def _with_outcome(arm: _Stack, first: int) -> Floats:
    """Centred products of the covariates with the outcome, linearised where it is a ratio, shape (m, k)."""
    if first == 1:
        return arm.cross[:, 0, first:]
    with np.errstate(all="ignore"):
        below = arm.mean[:, 1:2]
        product = (arm.cross[:, 0, first:] - arm.mean[:, 0:1] / below * arm.cross[:, 1, first:]) / below
    return np.where(below == 0.0, 0.0, product)


def _solved(arms: Sequence[_Stack], within: Floats, shared: Floats, first: int) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Theta = S_xx^-1 s_xy by the eigenvectors of the correlations, and what it costs."""
    means = [arm.mean[:, first:] for arm in arms]
    squares = np.diagonal(within, axis1=1, axis2=2)
    units = (arms[0].n + arms[1].n)[:, None]
    varies = squares > units * np.square(ROUNDING * np.maximum(np.abs(means[0]), np.abs(means[1])))
    unit = np.sqrt(np.where(varies, squares, 1.0))
    pairs = varies[:, :, None] & varies[:, None, :]
    correlation = np.where(pairs, within / (unit[:, :, None] * unit[:, None, :]), np.eye(unit.shape[1]))
    values, vectors = np.linalg.eigh(correlation)
    collinear = values[:, 0] < COLLINEARITY
    inverse = 1.0 / np.where(collinear[:, None], 1.0, values)
    turned = np.einsum("mji,mj->mi", vectors, np.where(varies, shared / unit, 0.0))
    theta = np.einsum("mij,mj->mi", vectors, turned * inverse) / unit
    theta = np.where(varies & ~collinear[:, None], theta, 0.0)
    gap = np.einsum("mji,mj->mi", vectors, np.where(varies, (means[1] - means[0]) / unit, 0.0))
    leverage = arms[0].n * arms[1].n / (arms[0].n + arms[1].n) * (gap * gap * inverse).sum(axis=1)
    return theta, leverage, collinear


def _combined(arm: _Stack, origin: Floats, theta: Floats, first: int) -> BatchMoments:
    """The arm's batch with theta' (x - origin) as its covariate."""
    size = arm.n.size
    mean, cross = np.tile(np.array([0.0, 1.0, 0.0, 1.0]), (size, 1)), np.zeros((size, 4, 4))
    mean[:, :first], mean[:, 2] = arm.mean[:, :first], ((arm.mean[:, first:] - origin) * theta).sum(axis=1)
    cross[:, :first, :first] = arm.cross[:, :first, :first]
    cross[:, :first, 2] = cross[:, 2, :first] = np.einsum("mij,mj->mi", arm.cross[:, :first, first:], theta)
    cross[:, 2, 2] = np.einsum("mi,mij,mj->m", theta, arm.cross[:, first:, first:], theta)
    return BatchMoments(n=arm.n, mean=mean, cross=np.asarray(cross), present=(True, first == 2, True, False))
