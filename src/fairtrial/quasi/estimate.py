"""What a quasi-experiment returns: an effect, the design it rests on, and what was seen of its assumptions.

Without randomisation an estimate is as good as its design. `QuasiEstimate`
carries the number together with a grade of evidence (which design, what it
rests on, how much of that could be checked) and the findings of the checks, so
that nobody has to remember them. It turns into the `Estimate` of `stats.result`,
and so enters the same scorecard as an experiment.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypedDict

from fairtrial.diagnostics.finding import Finding
from fairtrial.errors import DataError
from fairtrial.quasi.relative import LevelError, lift_of
from fairtrial.stats.lift import LiftMethod
from fairtrial.stats.result import Estimate, Interval, Unavailable, check_alpha
from fairtrial.stats.tails import interval_of, p_value_of

Design = Literal["did", "staggered_did", "rdd", "synthetic_control", "iv", "interrupted_series"]
GradeLevel = Literal["strong", "moderate", "weak"]
OBSERVED: tuple[Design, ...] = ("synthetic_control", "interrupted_series")
"""Designs in which the treated outcome is observed and only the counterfactual is estimated."""


NO_LIFT = Unavailable(code="no_relative_effect", reason="The counterfactual is not positive, so there is no relative effect.")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceGrade:
    """How far a causal reading of an estimate may go, and on what it rests.

    Attributes:
        level: `strong`: close to an experiment; `moderate`: an assumption that could be checked in part and
            stood the checks; `weak`: the assumption was not or could not be checked, or a check failed.
        design: Which design was used.
        rests_on: The assumption that makes the number causal, one sentence.
        because: Why the level is not higher, one sentence.
    """

    level: GradeLevel
    design: Design
    rests_on: str
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QuasiEstimate:
    """The effect of a treatment that was not randomised, on the treated.

    Attributes:
        effect: In the outcome's unit; treated minus what they would have been.
        interval: Confidence interval of `effect` at level 1 - `alpha`.
        p_value: Of no effect, two-sided, in [0, 1]; agrees with `interval`.
        std_error: Standard error; None where the method has none (rank inference).
        statistic: effect / std_error, or the rank statistic; None where there is none.
        df: Degrees of freedom of Student's t; None for the normal, a rank, or a mixture of t over unknown dependence.
        alpha: Error rate of `interval`.
        method: Name of the estimator.
        interval_method: Name of the interval.
        n: Rows that entered.
        n_treated: Treated units (or rows on the treated side).
        n_control: Units (or rows) they are compared with.
        treated: Mean outcome of the treated.
        counterfactual: What it is estimated to have been without treatment.
        assumptions: What must hold, one sentence each.
        findings: What the checks saw.
        grade: What design the number rests on and how well.
        numbers: Further figures of the method, by name.
        level_error: Sampling error of `counterfactual`, for the interval of the lift; None where the method has none.
    """

    effect: float
    interval: Interval
    p_value: float
    std_error: float | None
    statistic: float | None
    df: float | None
    alpha: float
    method: str
    interval_method: str
    n: int
    n_treated: int
    n_control: int
    treated: float
    counterfactual: float
    assumptions: tuple[str, ...]
    findings: tuple[Finding, ...]
    grade: EvidenceGrade
    numbers: Mapping[str, float] = field(default_factory=dict[str, float])
    level_error: LevelError | None = None

    def to_estimate(self, *, lift_method: LiftMethod = "delta") -> Estimate:
        """The same as a comparison of two arms: the counterfactual is the control.

        Args:
            lift_method: Interval of the lift: `delta`, `log` or `fieller`. A single unit or series that was observed and
                not sampled has one interval whatever is asked: each effect of its interval stands for one
                counterfactual, treated - effect.

        Returns:
            The comparison; where it has no lift, or the lift no interval, `notes` says why.
        """
        lift, ends = self.relative(), self.relative_interval(lift_method)
        notes = tuple(dict.fromkeys(found.code for found in (lift, ends) if isinstance(found, Unavailable)))
        return Estimate(
            effect=self.effect,
            interval=self.interval,
            p_value=self.p_value,
            std_error=self.std_error,
            statistic=self.statistic,
            df=self.df,
            control=self.counterfactual,
            treatment=self.treated,
            n_control=self.n_control,
            n_treatment=self.n_treated,
            alpha=self.alpha,
            alternative="two-sided",
            method=self.method,
            interval_method=self.interval_method,
            lift=None if isinstance(lift, Unavailable) else lift,
            lift_interval=None if isinstance(ends, Unavailable) else ends,
            lift_method=None if isinstance(ends, Unavailable) else "observed_treated" if self._observed else lift_method,
            notes=notes,
        )

    def relative(self) -> float | Unavailable:
        """The lift, effect / counterfactual, a fraction; unavailable where the counterfactual is not positive."""
        if self.counterfactual <= 0.0:
            return NO_LIFT
        return self.effect / self.counterfactual

    def relative_interval(self, method: LiftMethod = "delta") -> Interval | Unavailable:
        """Confidence interval of the lift at level 1 - `alpha`, or why there is none.

        Args:
            method: `delta`, `log` or `fieller`; the last agrees with `p_value` exactly.
        """
        if self.counterfactual <= 0.0:
            return NO_LIFT
        if self._observed:
            low, high = self.interval.low, self.interval.high
            if not math.isfinite(low) or high >= self.treated:
                return Unavailable(code="lift_without_interval", reason="The effect's interval reaches counterfactuals of 0 and below.")
            return Interval(low=low / (self.treated - low), high=high / (self.treated - high))
        if self.level_error is None or self.std_error is None:
            return Unavailable(code="lift_without_interval", reason="The method has no sampling error of the counterfactual.")
        df = math.inf if self.df is None else self.df
        return lift_of(self.effect, self.std_error, self.counterfactual, self.level_error, df=df, alpha=self.alpha, method=method)

    @property
    def _observed(self) -> bool:
        """Whether the treated outcome was observed, so that only the counterfactual is uncertain."""
        return self.grade.design in OBSERVED

    def with_findings(self, findings: Sequence[Finding]) -> QuasiEstimate:
        """The same estimate knowing more; a warning makes its grade `weak`."""
        everything = (*self.findings, *findings)
        return replace(self, findings=everything, grade=graded(self.grade, everything))


@dataclass(frozen=True, slots=True, kw_only=True)
class Inference:
    """A standardised effect: interval and p-value that agree."""

    interval: Interval
    p_value: float
    statistic: float


def inference(effect: float, std_error: float, *, df: float = math.inf, alpha: float = 0.05) -> Inference:
    """Interval and two-sided p-value of an effect with a standard error.

    Args:
        effect: The estimate.
        std_error: Its standard error, > 0.
        df: Degrees of freedom of Student's t, > 0; `inf` for the normal.
        alpha: Error rate in (0, 1).

    Raises:
        UsageError: `alpha` lies outside (0, 1).
        DataError: The standard error is 0 or not finite: the data leave nothing to infer from.
    """
    check_alpha(alpha)
    if not (math.isfinite(std_error) and std_error > 0.0):
        raise DataError(
            "The effect must have a standard error above 0; nothing varies here.",
            hint="Check that the outcome varies between units.",
            code="no_variance",
        )
    if df <= 0.0:
        raise DataError(f"Too few units or clusters to infer from: {df:g} degrees of freedom.", code="too_few_units")
    low, high = interval_of(effect, std_error, df, alpha=alpha)
    statistic = effect / std_error
    return Inference(
        interval=Interval(low=low.item(), high=high.item()), p_value=min(p_value_of(statistic, df).item(), 1.0), statistic=statistic
    )


class Tested(TypedDict):
    """The fields of a `QuasiEstimate` that an effect with a standard error decides alone."""

    effect: float
    interval: Interval
    p_value: float
    std_error: float | None
    statistic: float | None
    df: float | None
    alpha: float


def with_inference(effect: float, std_error: float, *, df: float = math.inf, alpha: float = 0.05) -> Tested:
    """Fields to pass on to `QuasiEstimate`: an effect with its `inference`.

    Args:
        effect: The estimate.
        std_error: Its standard error, > 0.
        df: Degrees of freedom of Student's t, > 0; `inf` for the normal.
        alpha: Error rate in (0, 1).

    Raises:
        UsageError: `alpha` lies outside (0, 1).
        DataError: Nothing varies, or there are too few units or clusters.
    """
    found = inference(effect, std_error, df=df, alpha=alpha)
    return Tested(
        effect=effect,
        interval=found.interval,
        p_value=found.p_value,
        std_error=std_error,
        statistic=found.statistic,
        df=None if math.isinf(df) else df,
        alpha=alpha,
    )


def graded(grade: EvidenceGrade, findings: Sequence[Finding]) -> EvidenceGrade:
    """The grade after the checks: a warning or worse about the design makes it `weak`."""
    failed = [finding for finding in findings if finding.severity != "info"]
    if not failed:
        return grade
    return replace(grade, level="weak", because=failed[0].message)
