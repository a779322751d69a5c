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
from fairtrial.errors import DataError, UsageError
from fairtrial.quasi.columns import check_noise, codes_of, count_clusters, matrix_of, numbers_of
from fairtrial.quasi.estimate import EvidenceGrade, QuasiEstimate, with_inference
from fairtrial.quasi.fixed_effects import cluster_sums
from fairtrial.quasi.relative import LevelError
from fairtrial.stats.regression import least_squares
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
    read = _Columns.of(outcome, treatment, instrument, covariates, cluster)
    reduced, first = least_squares(read.outcome, read.design), least_squares(read.treatment, read.design)
    check_noise(reduced.residuals, read.outcome)
    itt, compliance = float(reduced.coefficients[0]), float(first.coefficients[0])
    if abs(compliance) <= 1e-12 * float(np.std(read.treatment)):
        raise DataError("The instrument does not move the treatment at all.", hint="Another instrument is needed.", code="no_first_stage")
    factor = _factor(read.outcome.size, read.design.shape[1], read.clusters, std_errors)
    pull = read.design @ reduced.inverse[:, 0]
    scores = read.by_cluster(np.column_stack([pull * reduced.residuals, pull * first.residuals]))
    moments = _Moments.of(scores, factor)
    strength = compliance**2 / moments.dd if moments.dd > 0.0 else math.inf
    std_error = math.sqrt(max(moments.variance(itt / compliance), 0.0)) / abs(compliance)
    robust, connected = _anderson_rubin(itt, compliance, moments, float(critical_value(alpha, read.df)) ** 2)
    robust_p = p_value_of(itt / math.sqrt(moments.yy), read.df).item() if moments.yy > 0.0 else 1.0
    estimate = _estimate(read, (itt, compliance), std_error, read.level_error(scores, (itt, compliance), factor), alpha)
    estimate = replace(
        estimate,
        interval_method=f"{std_errors}_normal" if read.clusters is None else "cluster_cr1_t",
        numbers={"itt": itt, "compliance": compliance, "first_stage_f": strength},
    )
    if strength < WEAK_F:
        estimate = replace(
            estimate, interval=robust, p_value=robust_p, interval_method="anderson_rubin", std_error=None, statistic=None, level_error=None
        )
    return LateEstimate(
        estimate=estimate.with_findings(_findings(strength, connected=connected)),
        itt=itt,
        compliance=compliance,
        std_error=std_error,
        first_stage_f=strength,
        anderson_rubin=robust,
        anderson_rubin_p=robust_p,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Columns:
    """What was read, checked: both stages regress on `design`, whose first column is the instrument.

    `members` is the place of each unit's cluster; None: units are independent.
    """

    outcome: Floats
    treatment: Floats
    instrument: Floats
    design: Floats
    members: Ints | None

    @classmethod
    def of(
        cls, outcome: ArrayLike, treatment: ArrayLike, instrument: ArrayLike, covariates: ArrayLike | None, cluster: ArrayLike | None
    ) -> _Columns:
        """Check the columns and lay out the design: instrument, intercept, centred covariates."""
        y = numbers_of("outcome", outcome)
        d = numbers_of("treatment", treatment, rows=y.size)
        z = numbers_of("instrument", instrument, rows=y.size)
        columns = [z, np.ones(y.size)]
        if covariates is not None:
            x = matrix_of("covariates", covariates, rows=y.size, row="unit")
            columns += list((x - x.mean(axis=0)).T)
        members = None if cluster is None else codes_of("cluster", cluster, rows=y.size)[1]
        if members is not None:
            count_clusters(members)
        if np.ptp(z) == 0.0 or np.ptp(d) == 0.0:
            raise DataError("Instrument and treatment must vary.", hint="Nobody was moved, or everybody took the same.", code="no_variance")
        return cls(outcome=y, treatment=d, instrument=z, design=np.column_stack(columns), members=members)

    @property
    def clusters(self) -> int | None:
        """Number of clusters; None where units are independent."""
        return None if self.members is None else int(self.members.max()) + 1

    @property
    def df(self) -> float:
        """Degrees of freedom of inference: clusters - 1, or `inf`."""
        return math.inf if self.clusters is None else self.clusters - 1.0

    @property
    def treated(self) -> NDArray[np.bool_]:
        """Units whose mean outcome stands for the treated: those that took it when the instrument asked, where it is yes or no."""
        asked = self.treatment > 0.0
        if np.isin(self.treatment, (0.0, 1.0)).all():
            asked &= self.instrument > self.instrument.mean()
        return asked if asked.any() else np.ones(asked.size, dtype=np.bool_)

    def by_cluster(self, scores: Floats) -> Floats:
        """Sums of units' scores, shape (n, k), by cluster; the scores themselves where units are independent."""
        return scores if self.members is None else cluster_sums(scores, self.members, int(self.members.max()) + 1)

    def level_error(self, scores: Floats, stages: tuple[float, float], factor: float) -> LevelError:
        """Error of the mean of the treated less the effect, beside the effect's; `scores` of both stages by cluster."""
        itt, compliance = stages
        effect = (scores[:, 0] - itt / compliance * scores[:, 1]) / compliance
        on = self.treated
        own = np.where(on, self.outcome - self.outcome[on].mean(), 0.0) / on.sum()
        return LevelError.of_scores(effect, self.by_cluster(own[:, None])[:, 0], factor=factor)


def _estimate(read: _Columns, stages: tuple[float, float], std_error: float, level_error: LevelError, alpha: float) -> QuasiEstimate:
    """The ratio of both stages with the inference that a strong first stage allows."""
    effect = stages[0] / stages[1]
    treated, asked = float(read.outcome[read.treated].mean()), read.instrument > read.instrument.mean()
    grade = EvidenceGrade(
        level="strong",
        design="iv",
        rests_on=EXCLUSION,
        because="It holds for those whom the instrument moved; exclusion cannot be tested.",
    )
    return QuasiEstimate(
        **with_inference(effect, std_error, df=read.df, alpha=alpha),
        method="late_2sls",
        interval_method="normal",
        n=read.outcome.size,
        n_treated=int(asked.sum()),
        n_control=int((~asked).sum()),
        treated=treated,
        counterfactual=treated - effect,
        assumptions=(AS_RANDOM, EXCLUSION, MONOTONE, "One unit's treatment does not touch another's outcome."),
        findings=(),
        grade=grade,
        level_error=level_error,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Moments:
    """Robust variances and covariance of the reduced form's and the first stage's coefficient."""

    yy: float
    yd: float
    dd: float

    @classmethod
    def of(cls, scores: Floats, factor: float) -> _Moments:
        """From the scores of both stages by cluster, shape (clusters, 2), and the small-sample factor."""
        cross = factor * (scores.T @ scores)
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


def _factor(n: int, k: int, groups: int | None, std_errors: RobustErrors) -> float:
    """Small-sample factor of the variance: CR1 with clusters, else as `std_errors` says."""
    if groups is not None:
        return groups / (groups - 1) * (n - 1) / (n - k)
    return n / (n - k) if std_errors == "hc1" else 1.0


def _findings(strength: float, *, connected: bool) -> list[Finding]:
    """How strong the first stage is, and what to read where it is weak."""
    if strength >= WEAK_F:
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
