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
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fairtrial.diagnostics.finding import Finding
from fairtrial.errors import DataError, UsageError
from fairtrial.stats.result import Estimate, Interval, check_alpha
from fairtrial.stats.tails import interval_of, p_value_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Design = Literal["did", "staggered_did", "rdd", "synthetic_control", "iv", "interrupted_series"]
GradeLevel = Literal["strong", "moderate", "weak"]
OBSERVED: tuple[Design, ...] = ("synthetic_control", "interrupted_series")
"""Designs in which the treated outcome is observed and only the counterfactual is estimated."""


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
        df: Degrees of freedom of Student's t; None for the normal or a rank.
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

    def to_estimate(self) -> Estimate:
        """The same as a comparison of two arms: the counterfactual is the control.

        The lift is effect / counterfactual. It has an interval where the treated were observed and not sampled (one
        unit or series): each effect of the interval then stands for one counterfactual, treated - effect.
        """
        lift, ends = self._lift()
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
            lift=lift,
            lift_interval=ends,
            lift_method=None if ends is None else "observed_treated",
        )

    def _lift(self) -> tuple[float | None, Interval | None]:
        if self.counterfactual <= 0.0:
            return None, None
        lift = self.effect / self.counterfactual
        low, high = self.interval.low, self.interval.high
        if self.grade.design not in OBSERVED or not math.isfinite(low) or high >= self.treated:
            return lift, None
        return lift, Interval(low=low / (self.treated - low), high=high / (self.treated - high))

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


def graded(grade: EvidenceGrade, findings: Sequence[Finding]) -> EvidenceGrade:
    """The grade after the checks: a warning or worse about the design makes it `weak`."""
    failed = [finding for finding in findings if finding.severity != "info"]
    if not failed:
        return grade
    return replace(grade, level="weak", because=failed[0].message)


def check_noise(residuals: Floats, outcome: Floats) -> None:
    """Raise where a fit leaves nothing but rounding of an outcome, both shape (n,).

    Raises:
        DataError: The residuals are rounding errors: nothing varies that the model does not tell.
    """
    if float(np.abs(residuals).max()) <= 1e-13 * float(np.abs(outcome).max()):
        raise DataError(
            "The outcome must vary beyond what the design explains; nothing varies here.",
            hint="Check that the outcome is what was measured, and that it differs between units.",
            code="no_variance",
        )


def numbers_of(name: str, values: object, *, rows: int | None = None) -> Floats:
    """A column of finite numbers.

    Args:
        name: What it is called, for messages.
        values: Shape (n,), n >= 1.
        rows: Rows it must have.

    Raises:
        UsageError: The length is another than `rows`, or it is not numeric.
        DataError: It is empty, not flat, or not finite.
    """
    try:
        column = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name} must hold numbers, got {np.asarray(values).dtype}.") from error
    if column.ndim != 1 or column.size == 0:
        raise DataError(f"{name} must be a flat column of at least one value, got shape {column.shape}.")
    if rows is not None and column.size != rows:
        raise UsageError(f"{name} must have one value a row: {rows} rows, got {column.size} values.")
    broken = int(column.size - np.isfinite(column).sum())
    if broken:
        raise DataError(
            f"{name} must be finite, got {broken} missing or infinite values of {column.size}.", hint="Drop those rows.", code="missing"
        )
    return column


def indicator_of(name: str, values: object, *, rows: int | None = None) -> NDArray[np.bool_]:
    """A column of zeros and ones (or booleans) in which both occur.

    Raises:
        UsageError: There are other values.
        DataError: Only one of the two occurs.
    """
    column = numbers_of(name, values, rows=rows)
    if not np.isin(column, (0.0, 1.0)).all():
        raise UsageError(f"{name} must hold 0 and 1 only, got {np.unique(column)[:5].tolist()}.")
    if column.min() == column.max():
        raise DataError(f"{name} must hold both 0 and 1, got {column[0]:g} in every row.", code="one_sided")
    return column == 1.0


def codes_of(name: str, values: object, *, rows: int | None = None) -> tuple[NDArray[np.generic], Ints]:
    """The different labels of a column, sorted, and each row's place among them.

    Raises:
        UsageError: The length is another than `rows`.
        DataError: It is empty, not flat, or holds missing labels.
    """
    column = np.asarray(values)
    if column.dtype == object:
        if any(label is None or label != label for label in column.ravel()):  # noqa: PLR0124 NaN differs from itself
            raise DataError(f"{name} must not have missing labels.", hint="Drop those rows.", code="missing")
        column = column.astype(str) if any(isinstance(label, str) for label in column.ravel()) else column
    if column.ndim != 1 or column.size == 0:
        raise DataError(f"{name} must be a flat column of at least one label, got shape {column.shape}.")
    if rows is not None and column.size != rows:
        raise UsageError(f"{name} must have one label a row: {rows} rows, got {column.size}.")
    if column.dtype.kind == "f" and not np.isfinite(column).all():
        raise DataError(f"{name} must not have missing labels.", hint="Drop those rows.", code="missing")
    labels, codes = np.unique(column, return_inverse=True)
    return labels, codes.astype(np.int64)
