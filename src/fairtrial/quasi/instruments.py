"""Instrumental variables: the effect on those whom the instrument moves (compliers).

When a lottery, an invitation or a rule moves some units into the treatment, but
not all, the effect on the outcome divided by the effect on taking the treatment
is the effect on compliers (LATE): two-stage least squares with one instrument is
Wald's ratio. With a weak first stage the ratio is neither near normal nor near
right, while the Anderson-Rubin interval, which inverts a test of the reduced
form, keeps its coverage whatever the strength; it is then the one reported.

References: Imbens & Angrist (1994), Econometrica 62, 467-475; Anderson & Rubin
(1949), Annals of Mathematical Statistics 20, 46-63; Stock & Yogo (2005) for the
first stage's F; Andrews, Stock & Sun (2019), Annual Review of Economics 11.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairtrial.diagnostics.finding import Finding
from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.quasi.estimate import EvidenceGrade, QuasiEstimate, check_noise, codes_of, graded, inference, numbers_of
from fairtrial.quasi.fixed_effects import cluster_sums
from fairtrial.stats.regression import LeastSquares, least_squares
from fairtrial.stats.result import Interval
from fairtrial.stats.tails import critical_value, p_value_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
RobustErrors = Literal["hc0", "hc1"]
WEAK_F = 10.0
"""First-stage F below which the ratio and its error are not to be read (Staiger & Stock 1997)."""
EXCLUSION = "The instrument touches the outcome through the treatment alone (exclusion)."
AS_RANDOM = "The instrument was assigned as if at random, given the covariates."
MONOTONE = "The instrument moves nobody out of the treatment (no defiers)."


@dataclass(frozen=True, slots=True, kw_only=True)
class LateEstimate:
    """An effect by an instrument.

    Attributes:
        estimate: Effect on compliers; its interval is Anderson and Rubin's where the first stage is weak.
        itt: Effect of the instrument on the outcome.
        compliance: Effect of the instrument on the treatment (the first stage).
        std_error: Robust (or clustered) standard error of the two-stage estimate.
        first_stage_f: Robust F of the instrument in the first stage.
        anderson_rubin: Interval that holds whatever the first stage; the hull where the set is not an interval.
        anderson_rubin_p: Its p-value of no effect.
    """

    estimate: QuasiEstimate
    itt: float
    compliance: float
    std_error: float
    first_stage_f: float
    anderson_rubin: Interval
    anderson_rubin_p: float


def late_2sls(
    outcome: ArrayLike,
    treatment: ArrayLike,
    instrument: ArrayLike,
    *,
    covariates: ArrayLike | None = None,
    cluster: ArrayLike | None = None,
    std_errors: RobustErrors = "hc0",
    alpha: float = 0.05,
) -> LateEstimate:
    """Effect on compliers by one instrument (Wald; two-stage least squares with covariates).

    Args:
        outcome: One value a unit, shape (n,).
        treatment: What the unit took, usually 0 or 1, shape (n,).
        instrument: What moved it, usually 0 or 1, shape (n,).
        covariates: Fixed before the instrument, shape (n,) or (n, p).
        cluster: The cluster of each unit; clustered errors (CR1, t with clusters - 1 degrees of freedom) instead.
        std_errors: `hc0` or `hc1`, normal inference, where there are no clusters.
        alpha: Error rate in (0, 1).

    Returns:
        The effect; the first stage; the interval that a weak first stage does not harm.

    Raises:
        UsageError: Lengths differ, or an option breaks its rule.
        NotEnoughDataError: No more units than coefficients, or fewer than two clusters.
        DataError: A value is missing, the instrument does not vary or does not move the treatment at all.

    References:
        Imbens & Angrist (1994), theorem 1; Angrist & Pischke (2009), Mostly Harmless Econometrics, section 4.2.
    """
    if std_errors not in get_args(RobustErrors):
        raise UsageError(f"std_errors must be one of {list(get_args(RobustErrors))}, got {std_errors!r}.")
    y = numbers_of("outcome", outcome)
    d = numbers_of("treatment", treatment, rows=y.size)
    z = numbers_of("instrument", instrument, rows=y.size)
    x = _design(covariates, y.size)
    members = None if cluster is None else codes_of("cluster", cluster, rows=y.size)[1]
    groups = y.size if members is None else int(members.max()) + 1
    if groups < 2:
        raise NotEnoughDataError("Cluster-robust errors need two clusters at least, got 1.", code="too_few_clusters")
    if np.ptp(z) == 0.0 or np.ptp(d) == 0.0:
        raise DataError("Instrument and treatment must vary.", hint="Nobody was moved, or everybody took the same.", code="no_variance")
    full = np.column_stack([z, x])
    reduced, first = least_squares(y, full), least_squares(d, full)
    check_noise(reduced.residuals, y)
    itt, compliance = float(reduced.coefficients[0]), float(first.coefficients[0])
    factor = _factor(y.size, full.shape[1], groups if members is not None else None, std_errors)
    moments = _Moments.of(reduced, first, full, members, factor)
    strength = compliance**2 / moments.dd if moments.dd > 0.0 else math.inf
    if abs(compliance) <= 1e-12 * float(np.std(d)):
        raise DataError("The instrument does not move the treatment at all.", hint="Another instrument is needed.", code="no_first_stage")
    effect = itt / compliance
    std_error = math.sqrt(max(moments.variance(effect), 0.0)) / abs(compliance)
    df = math.inf if members is None else groups - 1.0
    tested = inference(effect, std_error, df=df, alpha=alpha)
    ar_interval, connected = _anderson_rubin(itt, compliance, moments, float(critical_value(alpha, df)) ** 2)
    ar_p = p_value_of(itt / math.sqrt(moments.yy), df).item() if moments.yy > 0.0 else 1.0
    weak = strength < WEAK_F
    findings = _findings(strength, connected=connected, weak=weak)
    on = d * (z > z.mean()) if np.isin(d, (0.0, 1.0)).all() else d
    grade = EvidenceGrade(
        level="strong",
        design="iv",
        rests_on=EXCLUSION,
        because="It holds for those whom the instrument moved; exclusion cannot be tested.",
    )
    treated = float(y[on > 0.0].mean()) if (on > 0.0).any() else float(y.mean())
    estimate = QuasiEstimate(
        effect=effect,
        interval=tested.interval,
        p_value=tested.p_value,
        std_error=std_error,
        statistic=tested.statistic,
        df=None if members is None else df,
        alpha=alpha,
        method="late_2sls",
        interval_method=f"{std_errors}_normal" if members is None else "cluster_cr1_t",
        n=y.size,
        n_treated=int((z > z.mean()).sum()),
        n_control=int((z <= z.mean()).sum()),
        treated=treated,
        counterfactual=treated - effect,
        assumptions=(AS_RANDOM, EXCLUSION, MONOTONE, "One unit's treatment does not touch another's outcome."),
        findings=tuple(findings),
        grade=graded(grade, findings),
        numbers={"itt": itt, "compliance": compliance, "first_stage_f": strength},
    )
    if weak:
        estimate = replace(estimate, interval=ar_interval, p_value=ar_p, std_error=None, statistic=None, interval_method="anderson_rubin")
    return LateEstimate(
        estimate=estimate,
        itt=itt,
        compliance=compliance,
        std_error=std_error,
        first_stage_f=strength,
        anderson_rubin=ar_interval,
        anderson_rubin_p=ar_p,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Moments:
    """Robust variances and covariance of the reduced form's and the first stage's coefficient."""

    yy: float
    yd: float
    dd: float

    @classmethod
    def of(cls, reduced: LeastSquares, first: LeastSquares, design: Floats, members: Ints | None, factor: float) -> _Moments:
        pull = design @ reduced.inverse[:, 0]
        scores = np.column_stack([pull * reduced.residuals, pull * first.residuals])
        sums = scores if members is None else cluster_sums(scores, members, int(members.max()) + 1)
        cross = factor * (sums.T @ sums)
        return cls(yy=float(cross[0, 0]), yd=float(cross[0, 1]), dd=float(cross[1, 1]))

    def variance(self, effect: float) -> float:
        """Variance of itt - effect * compliance."""
        return self.yy - 2.0 * effect * self.yd + effect**2 * self.dd


def _anderson_rubin(itt: float, compliance: float, moments: _Moments, limit: float) -> tuple[Interval, bool]:
    """Effects b with (itt - b compliance)^2 <= limit * variance(b): a quadratic; and whether the set is an interval."""
    a = compliance**2 - limit * moments.dd
    b = itt * compliance - limit * moments.yd
    c = itt**2 - limit * moments.yy
    discriminant = b * b - a * c
    if a > 0.0:
        root = math.sqrt(max(discriminant, 0.0))
        return Interval(low=(b - root) / a, high=(b + root) / a), True
    return Interval(low=-math.inf, high=math.inf), discriminant < 0.0


def _design(covariates: ArrayLike | None, rows: int) -> Floats:
    if covariates is None:
        return np.ones((rows, 1))
    x = np.asarray(covariates, dtype=np.float64)
    x = x[:, None] if x.ndim == 1 else x
    if x.ndim != 2 or x.shape[0] != rows:
        raise UsageError(f"covariates must have one row a unit, got {x.shape} for {rows}.")
    if not np.isfinite(x).all():
        raise DataError("Covariates must be finite.", hint="Drop those units.", code="missing")
    return np.column_stack([np.ones(rows), x - x.mean(axis=0)])


def _factor(n: int, k: int, groups: int | None, std_errors: RobustErrors) -> float:
    if groups is not None:
        return groups / (groups - 1) * (n - 1) / (n - k)
    return n / (n - k) if std_errors == "hc1" else 1.0


def _findings(strength: float, *, connected: bool, weak: bool) -> list[Finding]:
    if not weak:
        return [
            Finding(
                code="first_stage",
                severity="info",
                message=f"The instrument moves the treatment (first-stage F = {strength:.1f}).",
                action="Exclusion cannot be tested: argue that nothing else of the instrument reaches the outcome.",
                numbers={"first_stage_f": strength if math.isfinite(strength) else None},
            )
        ]
    shape = "" if connected else " Effects on both sides are possible, those in between are not: the interval shown is their hull."
    return [
        Finding(
            code="weak_instrument",
            severity="warning",
            message=f"The instrument hardly moves the treatment (first-stage F = {strength:.2g}, below {WEAK_F:g}).{shape}",
            action="Read the Anderson-Rubin interval, which is the one shown, and find a stronger instrument.",
            numbers={"first_stage_f": strength},
        )
    ]
