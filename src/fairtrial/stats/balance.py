"""Balance of covariates between two arms: standardised mean differences and Hotelling's omnibus test.

A standardised mean difference (SMD) says how far apart the arms are in units of a
standard deviation, whatever the number of units; 0.1 is the usual limit. A test says
whether chance explains the distance; in a randomised experiment any imbalance is
chance or a broken assignment, so the omnibus test is the one to read for the second.
Covariates are to be measured before assignment.

    continuous   (mean_t - mean_c) / sqrt((s_t^2 + s_c^2) / 2)
    binary       the same with s^2 = p (1 - p)
    categorical  sqrt(d' S^-1 d), d the shares' differences without one level, S the mean of the two
                 multinomial covariances

References: Austin (2009), Statistics in Medicine 28, 3083-3107; Yang & Dalton (2012),
SAS Global Forum 335; Hotelling (1931), Annals of Mathematical Statistics 2, 360-378.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.batch import ROUNDING
from fairtrial.stats.moments import CoMoments, Moments
from fairtrial.stats.ranks import kolmogorov_smirnov_test
from fairtrial.stats.samples import sample_of

Floats = NDArray[np.float64]

IMBALANCED = 0.1
"""An absolute standardised mean difference above this is usually called an imbalance (Austin 2009)."""
COLLINEAR = 1e-10
"""A correlation matrix with an eigenvalue below this has a column that others determine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContinuousBalance:
    """How a continuous covariate differs between arms, treatment - control.

    Attributes:
        smd: Standardised mean difference.
        variance_ratio: Treatment's variance over the control's; None where the control does not vary.
        ks_distance: Largest distance of the two distribution functions, in [0, 1]; None from moments.
    """

    smd: float
    variance_ratio: float | None
    ks_distance: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BinaryBalance:
    """How the share of a binary covariate differs between arms, treatment - control.

    Attributes:
        smd: Standardised difference of the shares.
        cohen_h: Difference of the arcsine-transformed shares.
    """

    smd: float
    cohen_h: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoricalBalance:
    """How the shares of a categorical covariate's levels differ between arms.

    Attributes:
        smd: Standardised distance of the shares, >= 0.
        chi_square: Pearson's statistic of independence of level and arm.
        df: Levels seen, less one.
        p_value: P(chi-square with `df` degrees of freedom > `chi_square`).
    """

    smd: float
    chi_square: float
    df: int
    p_value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OmnibusBalance:
    """Hotelling's two-sample test over all covariates together.

    Attributes:
        t_squared: Hotelling's T^2.
        f_statistic: T^2 (N - k - 1) / (k (N - 2)) for k covariates and N units.
        df_numerator: k.
        df_denominator: N - k - 1.
        p_value: P(F > `f_statistic`).
    """

    t_squared: float
    f_statistic: float
    df_numerator: int
    df_denominator: int
    p_value: float


def standardized_differences(control: CoMoments, treatment: CoMoments) -> Floats:
    """Standardised mean differences of many covariates at once.

    Args:
        control: Co-moments of k covariates in the control, n >= 2.
        treatment: The same in the treatment.

    Returns:
        (mean_t - mean_c) / sqrt((s_t^2 + s_c^2) / 2), shape (k,).

    Raises:
        UsageError: The arms have different covariates.
        NotEnoughDataError: An arm has fewer than two units.
        DataError: A covariate is constant in both arms.

    References:
        Austin (2009), Statistics in Medicine 28, 3083-3107.
    """
    return (treatment.mean - control.mean) / _standard_deviations(control, treatment)


def balance_from_moments(control: Moments, treatment: Moments) -> ContinuousBalance:
    """Balance of one continuous covariate from its moments; see `standardized_differences`.

    Raises:
        NotEnoughDataError: An arm has fewer than two units.
        DataError: The covariate is constant in both arms.
    """
    smd = standardized_differences(CoMoments.of(control), CoMoments.of(treatment)).item()
    return ContinuousBalance(smd=smd, variance_ratio=treatment.variance / control.variance if control.m2 > 0.0 else None)


def balance_of_values(control: ArrayLike, treatment: ArrayLike) -> ContinuousBalance:
    """Balance of one continuous covariate from raw values, with the distance of the distributions.

    Args:
        control: Values of the control, shape (n,), n >= 2.
        treatment: Values of the treatment.

    Raises:
        NotEnoughDataError: An arm has fewer than two values.
        DataError: A value is not finite, or none varies.

    References:
        Austin (2009), Statistics in Medicine 28, 3083-3107.
    """
    c, t = sample_of(control), sample_of(treatment)
    summary = balance_from_moments(Moments.from_values(c), Moments.from_values(t))
    distance = kolmogorov_smirnov_test(c, t).distance
    return ContinuousBalance(smd=summary.smd, variance_ratio=summary.variance_ratio, ks_distance=distance)


def balance_of_shares(count_control: int, n_control: int, count_treatment: int, n_treatment: int) -> BinaryBalance:
    """Balance of one binary covariate.

    Args:
        count_control: Units of the control that have it, 0..n.
        n_control: Units of the control, >= 1.
        count_treatment: Units of the treatment that have it.
        n_treatment: Units of the treatment, >= 1.

    Raises:
        UsageError: A count is not a whole number in 0..n, or an arm is empty.
        DataError: Both shares are 0 or 1.

    References:
        Austin (2009), Statistics in Medicine 28, 3083-3107; Cohen (1988), equation 6.2.1.
    """
    for count, n in ((count_control, n_control), (count_treatment, n_treatment)):
        if not (n >= 1 and 0 <= count <= n and float(count).is_integer() and float(n).is_integer()):
            raise UsageError(f"Counts must be whole numbers in 0..n with n >= 1, got {count} of {n}.")
    p, q = count_control / n_control, count_treatment / n_treatment
    spread = (p * ((n_control - count_control) / n_control) + q * ((n_treatment - count_treatment) / n_treatment)) / 2.0
    if spread == 0.0:
        raise DataError("The covariate does not vary in either arm, so there is no standard deviation.", code="no_variance")
    angles = (
        math.atan2(math.sqrt(count), math.sqrt(n - count)) for count, n in ((count_control, n_control), (count_treatment, n_treatment))
    )
    first, second = angles
    return BinaryBalance(smd=(q - p) / math.sqrt(spread), cohen_h=2.0 * (second - first))


def balance_of_levels(counts_control: Sequence[int], counts_treatment: Sequence[int]) -> CategoricalBalance:
    """Balance of one categorical covariate.

    Args:
        counts_control: Units of the control by level, >= 0.
        counts_treatment: Units of the treatment by level, in the same order.

    Returns:
        The Mahalanobis form of the SMD and Pearson's chi-square; levels that no unit has are left out.

    Raises:
        UsageError: The lists differ in length or hold something other than whole numbers >= 0.
        DataError: An arm is empty, only one level was seen, or no level was seen in both arms.

    References:
        Yang & Dalton (2012), SAS Global Forum 335.
    """
    if len(counts_control) != len(counts_treatment):
        raise UsageError(f"Both arms need the same levels, got {len(counts_control)} and {len(counts_treatment)}.")
    listed = np.array([_levels(counts_control), _levels(counts_treatment)])
    counts: Floats = listed[:, listed.sum(axis=0) > 0.0]
    totals = counts.sum(axis=1)
    if (totals == 0.0).any():
        raise NotEnoughDataError("Balance needs units in both arms, got an empty arm.", code="too_few_units")
    if counts.shape[1] < 2:
        raise DataError("Balance of a categorical covariate needs at least two levels with units, got one.", code="no_variance")
    if not counts.all(axis=0).any():
        raise DataError("No level was seen in both arms: they are told apart by it, and the distance has no bound.", code="no_variance")
    expected = totals[:, None] * (counts.sum(axis=0) / totals.sum())
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    df = int(counts.shape[1]) - 1
    return CategoricalBalance(
        smd=_mahalanobis(counts / totals[:, None]), chi_square=chi_square, df=df, p_value=float(special.chdtrc(df, chi_square))
    )


def hotelling_balance(control: CoMoments, treatment: CoMoments) -> OmnibusBalance:
    """Do the means of all covariates together differ more than chance explains?

    Assumes covariates near normal or arms that are large, and one covariance in both arms,
    which randomisation gives.

    Args:
        control: Co-moments of k covariates in the control.
        treatment: The same in the treatment.

    Returns:
        T^2 = n_c n_t / (n_c + n_t) d' S^-1 d with the pooled covariance S, and its F test.

    Raises:
        UsageError: The arms have different covariates.
        NotEnoughDataError: An arm has fewer than two units, or both together fewer than k + 2.
        DataError: A covariate is constant in both arms, or others determine it.

    References:
        Hotelling (1931), Annals of Mathematical Statistics 2, 360-378.
    """
    k, n = control.columns, control.n + treatment.n
    _standard_deviations(control, treatment)
    if n < k + 2:
        raise NotEnoughDataError(f"Hotelling's test of {k} covariates needs at least {k + 2} units, got {n}.", code="too_few_units")
    pooled = (control.cross + treatment.cross) / (n - 2)
    sd = np.sqrt(np.diagonal(pooled))
    correlation = pooled / np.outer(sd, sd)
    if np.linalg.eigvalsh(correlation)[0] < COLLINEAR:
        raise DataError(
            "Hotelling's test needs covariates that do not determine each other.",
            hint="Leave out one of the columns that add up.",
            code="collinear",
        )
    distance = (treatment.mean - control.mean) / sd
    t_squared = control.n * (treatment.n / n) * float(distance @ np.linalg.solve(correlation, distance))
    f_statistic = t_squared * (n - k - 1) / (k * (n - 2))
    return OmnibusBalance(
        t_squared=t_squared,
        f_statistic=f_statistic,
        df_numerator=k,
        df_denominator=n - k - 1,
        p_value=float(special.fdtrc(k, n - k - 1, f_statistic)),
    )


def _standard_deviations(control: CoMoments, treatment: CoMoments) -> Floats:
    """Root of the mean of the two variances, by covariate; raises where there is none."""
    if control.columns != treatment.columns:
        raise UsageError(f"Both arms need the same covariates, got {control.columns} and {treatment.columns}.")
    if min(control.n, treatment.n) < 2:
        raise NotEnoughDataError(f"Balance needs at least two units an arm, got {control.n} and {treatment.n}.", code="too_few_units")
    variances = np.diagonal(control.cross) / (control.n - 1) + np.diagonal(treatment.cross) / (treatment.n - 1)
    sd = np.sqrt(variances / 2.0)
    flat = np.flatnonzero(sd <= ROUNDING * np.maximum(np.abs(control.mean), np.abs(treatment.mean)))
    if flat.size:
        raise DataError(f"Covariate {int(flat[0])} does not vary in either arm, so there is no standard deviation.", code="no_variance")
    return sd


def _levels(counts: Sequence[int]) -> Floats:
    array = np.asarray(counts, dtype=np.float64)
    if array.ndim != 1 or not (np.isfinite(array) & (array >= 0.0) & (np.floor(array) == array)).all():
        raise UsageError(f"Counts by level must be whole numbers >= 0, got {list(counts)}.")
    return array


def _mahalanobis(shares: Floats) -> float:
    """Distance of two vectors of shares, shape (2, levels), by the mean of their covariances; one level is redundant and left out."""
    redundant = int(np.argmax(shares.sum(axis=0)))
    kept: Floats = np.delete(shares, redundant, axis=1)
    # p (1 - p) with 1 - p summed from the other shares, so that a share near 1 keeps its digits.
    others: Floats = np.array([[np.delete(row, level).sum() for level in range(row.size)] for row in shares])
    covariance: Floats = -(kept[0, :, None] * kept[0] + kept[1, :, None] * kept[1]) / 2.0
    np.fill_diagonal(covariance, (kept * np.delete(others, redundant, axis=1)).sum(axis=0) / 2.0)
    sd = np.sqrt(np.diagonal(covariance))
    distance: Floats = (kept[1] - kept[0]) / sd
    solved = np.linalg.solve(covariance / np.outer(sd, sd), distance)
    return math.sqrt(float((distance * solved).sum()))
