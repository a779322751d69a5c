"""What a test of two arms returns, in the words of the field."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from fairtrial.errors import UsageError

Alternative = Literal["two-sided", "greater", "less"]
"""The alternative hypothesis in SciPy's words: `greater` is treatment > control."""

ErrorControl = Literal["fixed", "group_sequential", "always_valid", "bayesian"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A confidence interval; one end of a one-sided interval is infinite.

    Attributes:
        low: Lower end, `-inf` when the alternative is `less`.
        high: Upper end, `inf` when the alternative is `greater`.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if math.isnan(self.low) or math.isnan(self.high):
            raise UsageError("An interval has no NaN ends.")

    def excludes(self, value: float = 0.0) -> bool:
        """Whether `value` lies strictly outside."""
        return value < self.low or value > self.high


@dataclass(frozen=True, slots=True, kw_only=True)
class Unavailable:
    """Why a number is not there: never 0, 1.0 or "no effect" in its place.

    Attributes:
        code: Stable machine-readable reason.
        reason: One sentence for a person.
    """

    code: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """The effect of one treatment on one metric, treatment minus control.

    Attributes:
        effect: Difference treatment - control, in the metric's unit.
        interval: Confidence interval of `effect` at level 1 - `alpha`.
        p_value: Of the null hypothesis `effect = margin`, in [0, 1]; None of a Bayesian comparison, which has none.
        std_error: Standard error of `effect`; None where the method has none.
        statistic: The test statistic; None for exact tests.
        df: Degrees of freedom of a t statistic; None when normal or exact.
        control: Mean, rate or ratio of the control arm (adjusted, if adjusted).
        treatment: The same of the treatment arm.
        n_control: Units in the control arm.
        n_treatment: Units in the treatment arm.
        alpha: Error rate at which `interval` and `lift_interval` stand.
        alternative: Sidedness, in SciPy's words.
        margin: Effect under the null hypothesis (0 for superiority).
        method: Name of the test.
        interval_method: Name of the interval.
        lift: Relative effect treatment / control - 1, a fraction.
        lift_interval: Confidence interval of `lift`.
        lift_method: Name of the lift's interval.
        p_adjusted: `p_value` after the declared correction; None when none applies.
        correction: Name of the correction.
        error_control: Which promise the interval keeps.
        theta: CUPED coefficient, when a covariate was used.
        variance_reduction: 1 - adjusted variance / raw variance; may be negative.
        notes: Stable codes of what a reader must know (`small_counts`, ...).
    """

    effect: float
    interval: Interval
    p_value: float | None
    std_error: float | None
    statistic: float | None
    df: float | None
    control: float
    treatment: float
    n_control: int
    n_treatment: int
    alpha: float
    alternative: Alternative
    margin: float = 0.0
    method: str
    interval_method: str
    lift: float | None = None
    lift_interval: Interval | None = None
    lift_method: str | None = None
    p_adjusted: float | None = None
    correction: str | None = None
    error_control: ErrorControl = "fixed"
    theta: float | None = None
    variance_reduction: float | None = None
    notes: tuple[str, ...] = ()


def check_alpha(alpha: float) -> float:
    """Return `alpha`, or raise when it is not an error rate.

    Raises:
        UsageError: `alpha` lies outside (0, 1).
    """
    if not 0.0 < alpha < 1.0:
        hint = f"For a {alpha:g}% interval pass alpha={1 - alpha / 100:g}." if 1 < alpha < 100 else ""
        raise UsageError(f"alpha must lie in (0, 1), got {alpha}.", hint=hint)
    return alpha


def check_alternative(alternative: str) -> None:
    """Raise unless `alternative` is one of SciPy's three words.

    Raises:
        UsageError: It is another word.
    """
    if alternative not in {"two-sided", "greater", "less"}:
        raise UsageError(f"alternative must be 'two-sided', 'greater' or 'less', got {alternative!r}.")
