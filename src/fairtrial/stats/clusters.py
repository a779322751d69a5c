"""Differences of means when whole clusters (stores, classes, accounts) were randomised, or units repeat.

Units of one cluster resemble each other, and a test that takes them as
independent errs far too often. `cluster_robust_difference` keeps units and
widens the error; `cluster_means_test` makes the cluster the unit. With few
clusters (below about 40) prefer CR2 with its degrees of freedom, or the means.

References: Liang & Zeger (1986), Biometrika 73, 13-22 (CR0); Bell & McCaffrey
(2002), Survey Methodology 28, 169-181 (CR2 and its degrees of freedom);
Pustejovsky & Tipton (2018), JBES 36, 672-683; Donner & Klar (2000), Design and
Analysis of Cluster Randomization Trials, section 1.4 (intraclass correlation).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.means import welch_test
from fairtrial.stats.moments import Moments
from fairtrial.stats.regression import LeastSquares, least_squares, treatment_indicator
from fairtrial.stats.result import Alternative, Estimate
from fairtrial.stats.samples import sample_of
from fairtrial.stats.single import contrast_of_values, single_estimate

Floats = NDArray[np.float64]
ClusterCorrection = Literal["CR0", "CR1", "CR2"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IntraclassCorrelation:
    """How much alike units of one cluster are.

    Attributes:
        icc: Share of the variance that lies between clusters; may be negative by chance.
        ms_between: Mean square between clusters.
        ms_within: Mean square within clusters.
        n0: Size of a typical cluster, (N - sum m^2 / N) / (clusters - 1).
    """

    icc: float
    ms_between: float
    ms_within: float
    n0: float


def cluster_robust_difference(
    outcome: ArrayLike,
    treated: ArrayLike,
    cluster: ArrayLike,
    *,
    correction: ClusterCorrection = "CR1",
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
    margin: float = 0.0,
) -> Estimate:
    """Difference of two means with an error that allows for dependence within clusters.

    Args:
        outcome: One value a unit, shape (n,).
        treated: 1 for the treatment, 0 for the control, shape (n,).
        cluster: The cluster of each unit, shape (n,), numbers or text.
        correction: `CR0` none; `CR1` G / (G - 1) (n - 1) / (n - 2), both with G - 1 degrees of
            freedom; `CR2` the bias-reduced form with Satterthwaite degrees of freedom.
        alpha: Type I error rate in (0, 1); the interval covers 1 - `alpha`.
        alternative: The alternative hypothesis, in SciPy's words.
        margin: Effect under the null hypothesis.

    Returns:
        The difference of the plain means over units.

    Raises:
        UsageError: Shapes do not match, or an option breaks its rule.
        NotEnoughDataError: An arm has fewer than two clusters.
        DataError: Nothing varies between clusters.

    References:
        Liang & Zeger (1986); Bell & McCaffrey (2002); Pustejovsky & Tipton (2018), equations 6 and 11.
    """
    if correction not in {"CR0", "CR1", "CR2"}:
        raise UsageError(f"correction must be 'CR0', 'CR1' or 'CR2', got {correction!r}.")
    y, t = sample_of(outcome), treatment_indicator(treated)
    members = _members(cluster, y.size, t)
    design = np.column_stack([np.ones_like(y), t])
    fit = least_squares(y, design)
    if correction == "CR2":
        covariance, df = _bias_reduced(fit, design, members)
    else:
        scores = np.array([design[rows].T @ fit.residuals[rows] for rows in members])
        n, groups = y.size, len(members)
        scale = groups / (groups - 1) * (n - 1) / (n - 2) if correction == "CR1" else 1.0
        covariance, df = scale * fit.inverse @ (scores.T @ scores) @ fit.inverse, groups - 1.0
    control, effect = (float(value) for value in fit.coefficients)
    own, both, other = float(covariance[0, 0]), float(covariance[0, 1]), float(covariance[1, 1])
    contrast = contrast_of_values(
        control=control,
        treatment=control + effect,
        control_variance=own,
        treatment_variance=own + 2.0 * both + other,
        covariance=own + both,
        df=df,
        n_control=int((t == 0.0).sum()),
        n_treatment=int((t == 1.0).sum()),
    )
    return single_estimate(contrast, method=f"cluster_robust_{correction}", alpha=alpha, alternative=alternative, margin=margin)


def cluster_means_test(
    outcome: ArrayLike,
    treated: ArrayLike,
    cluster: ArrayLike,
    *,
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
    margin: float = 0.0,
) -> Estimate:
    """Welch's t-test of the means of whole clusters, each counting once.

    Args:
        outcome: One value a unit, shape (n,).
        treated: 1 for the treatment, 0 for the control, equal within a cluster.
        cluster: The cluster of each unit, numbers or text.
        alpha: Type I error rate in (0, 1); the interval covers 1 - `alpha`.
        alternative: The alternative hypothesis, in SciPy's words.
        margin: Effect under the null hypothesis.

    Returns:
        The difference of unweighted means of clusters; `n_control` and `n_treatment` are clusters.

    Raises:
        UsageError: Shapes do not match, or an option breaks its rule.
        NotEnoughDataError: An arm has fewer than two clusters.
        DataError: A cluster lies in both arms, or the means do not vary.

    References:
        Donner & Klar (2000), Design and Analysis of Cluster Randomization Trials, section 7.2.
    """
    y, t = sample_of(outcome), treatment_indicator(treated)
    members = _members(cluster, y.size, t)
    arm = np.array([t[rows].mean() for rows in members])
    if not np.isin(arm, (0.0, 1.0)).all():
        raise DataError(
            "A cluster must lie in one arm, some lie in both.", hint="Use cluster_robust_difference.", code="cluster_in_two_arms"
        )
    means = np.array([y[rows].mean() for rows in members])
    arms = Moments.from_values(means[arm == 0.0]), Moments.from_values(means[arm == 1.0])
    return welch_test(*arms, alpha=alpha, alternative=alternative, margin=margin)


def intraclass_correlation(outcome: ArrayLike, cluster: ArrayLike) -> IntraclassCorrelation:
    """Intraclass correlation by one-way analysis of variance.

    Args:
        outcome: One value a unit, shape (n,).
        cluster: The cluster of each unit, numbers or text.

    Returns:
        (MSB - MSW) / (MSB + (n0 - 1) MSW).

    Raises:
        UsageError: Shapes do not match.
        NotEnoughDataError: Fewer than two clusters, or none with two units.
        DataError: The outcome does not vary.

    References:
        Donner & Klar (2000), section 1.4.
    """
    y = sample_of(outcome)
    groups = [Moments.from_values(y[rows]) for rows in _groups(cluster, y.size)]
    overall, k = Moments.from_values(y), len(groups)
    if k < 2 or y.size <= k:
        raise NotEnoughDataError(f"A correlation within clusters needs two of them and a repeat in one, got {k} of {y.size} units.")
    within = sum(group.m2 for group in groups) / (y.size - k)
    between = sum(group.n * (group.mean - overall.mean) ** 2 for group in groups) / (k - 1)
    n0 = (y.size - sum(group.n**2 for group in groups) / y.size) / (k - 1)
    total = between + (n0 - 1.0) * within
    if total <= 0.0:
        raise DataError("The outcome does not vary, so units of a cluster cannot be more alike than others.", code="no_variance")
    return IntraclassCorrelation(icc=(between - within) / total, ms_between=between, ms_within=within, n0=n0)


class _Reduced(NamedTuple):
    covariance: Floats
    df: float


def _groups(cluster: ArrayLike, n: int) -> list[NDArray[np.intp]]:
    """Rows of each cluster."""
    labels = np.asarray(cluster)
    if labels.shape != (n,):
        raise UsageError(f"Each unit needs one cluster, got shape {labels.shape} for {n} units.")
    _, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return np.split(np.argsort(codes, kind="stable"), np.cumsum(counts)[:-1])


def _members(cluster: ArrayLike, n: int, treated: Floats) -> list[NDArray[np.intp]]:
    if treated.size != n:
        raise UsageError(f"Outcome and treatment must have one row a unit, got {n} and {treated.size}.")
    members = _groups(cluster, n)
    for arm in (0.0, 1.0):
        seen = sum(bool((treated[rows] == arm).any()) for rows in members)
        if seen < 2:
            raise NotEnoughDataError(f"Each arm needs at least two clusters, got {seen}.", code="too_few_units")
    return members


def _bias_reduced(fit: LeastSquares, design: Floats, members: list[NDArray[np.intp]]) -> _Reduced:
    """CR2 covariance, and Satterthwaite degrees of freedom of the second coefficient under independence.

    (I - H_g)^(-1/2) differs from the identity on the span of X_g alone, so each cluster costs a
    decomposition of a 2 x 2 matrix, however many units it has. No eigenvalue of H_g is 1: each arm
    has a second cluster.
    """
    shape = (len(members), design.shape[1])
    score, own, cross = np.empty(shape), np.empty(shape[0]), np.empty(shape)
    for group, rows in enumerate(members):
        q, r = np.linalg.qr(design[rows])
        values, vectors = np.linalg.eigh(r @ fit.inverse @ r.T)
        basis = q @ vectors
        adjusted = design[rows] + basis @ ((1.0 / np.sqrt(1.0 - values) - 1.0)[:, None] * (basis.T @ design[rows]))
        score[group] = adjusted.T @ fit.residuals[rows]
        weight = adjusted @ fit.inverse[:, 1]
        own[group] = weight @ weight
        cross[group] = design[rows].T @ weight
    covariance = fit.inverse @ (score.T @ score) @ fit.inverse
    leverage = np.einsum("gi,ij,gj->g", cross, fit.inverse, cross)
    inner = fit.inverse @ (cross.T @ cross)
    trace = float((own - leverage).sum())
    squares = float((own * own).sum() - 2.0 * (own * leverage).sum() + np.trace(inner @ inner))
    return _Reduced(covariance, trace * trace / squares)
