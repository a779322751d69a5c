"""Two Poisson rates: events over exposure (orders per day, crashes per hour of use).

Assumes that events of one unit do not cluster: where a few units bring most of
the events, variance exceeds the mean and both tests err too often; analyse a
count per unit by `means` or `ratio` then.

References: Przyborowski & Wilenski (1940), Biometrika 31, 313-323; Clopper &
Pearson (1934), Biometrika 26, 404-413.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from fairtrial.errors import DataError, UsageError
from fairtrial.stats.result import Alternative, Interval, check_alpha
from fairtrial.stats.tails import interval_of, p_value_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """Events of one arm and the exposure in which they happened.

    Attributes:
        count: Number of events, >= 0.
        exposure: Time (or units, or distance) at risk, > 0.
    """

    count: int
    exposure: float

    def __post_init__(self) -> None:
        if self.count < 0 or not (self.exposure > 0.0 and math.isfinite(self.exposure)):
            raise UsageError(f"Events need a count >= 0 and an exposure > 0, got {self.count} and {self.exposure}.")

    @property
    def rate(self) -> float:
        """Events per unit of exposure."""
        return self.count / self.exposure


@dataclass(frozen=True, slots=True, kw_only=True)
class RateComparison:
    """Two rates compared, as a difference or as a ratio.

    Attributes:
        estimate: Difference or ratio, treatment against control; None for a ratio over no events.
        interval: Its confidence interval.
        p_value: Of the null hypothesis of equal rates.
        statistic: z of a difference; None for the exact test.
        method: Name of the test.
    """

    estimate: float | None
    interval: Interval
    p_value: float
    statistic: float | None
    method: str


def poisson_rate_difference(
    control: Events, treatment: Events, *, alpha: float = 0.05, alternative: Alternative = "two-sided"
) -> RateComparison:
    """Wald test of the difference of two Poisson rates, each arm with its own variance.

    Args:
        control: Events and exposure of the control.
        treatment: Events and exposure of the treatment, in the same unit.
        alpha: Type I error rate in (0, 1); the interval covers 1 - `alpha`.
        alternative: The alternative hypothesis, in SciPy's words.

    Returns:
        The difference in events per unit of exposure.

    Raises:
        UsageError: An option breaks its rule.
        DataError: Neither arm has events.

    References:
        Ng & Tang (2005), Statistics in Medicine 24, 955-965 (unconstrained Wald statistic).
    """
    check_alpha(alpha)
    if control.count + treatment.count == 0:
        raise DataError("A difference of rates needs events in at least one arm, got none.", code="no_variance")
    effect = treatment.rate - control.rate
    std_error = math.sqrt(control.count / control.exposure**2 + treatment.count / treatment.exposure**2)
    low, high = interval_of(effect, std_error, math.inf, alpha=alpha, alternative=alternative)
    return RateComparison(
        estimate=effect,
        interval=Interval(low=low.item(), high=high.item()),
        p_value=p_value_of(effect / std_error, math.inf, alternative).item(),
        statistic=effect / std_error,
        method="poisson_wald",
    )


def poisson_rate_ratio_test(
    control: Events, treatment: Events, *, alpha: float = 0.05, alternative: Alternative = "two-sided"
) -> RateComparison:
    """Exact conditional test of the ratio of two Poisson rates.

    Given all events together, those of the treatment are binomial with the
    treatment's share of the exposure.

    Args:
        control: Events and exposure of the control.
        treatment: Events and exposure of the treatment, in the same unit.
        alpha: Type I error rate in (0, 1); the interval covers at least 1 - `alpha`.
        alternative: The alternative hypothesis, in SciPy's words.

    Returns:
        The ratio treatment / control with the interval of Clopper and Pearson carried over. The
        two-sided p-value adds the probabilities no larger than the one seen, so in rare cases it
        and the interval differ on a border.

    Raises:
        UsageError: An option breaks its rule.
        DataError: Neither arm has events.

    References:
        Przyborowski & Wilenski (1940), Biometrika 31, 313-323.
    """
    from scipy import stats  # noqa: PLC0415 - a second to load, and only this needs it

    check_alpha(alpha)
    total = control.count + treatment.count
    if total == 0:
        raise DataError("A ratio of rates needs events in at least one arm, got none.", code="no_variance")
    share = treatment.exposure / (treatment.exposure + control.exposure)
    test = stats.binomtest(treatment.count, total, share, alternative=alternative)
    ends = test.proportion_ci(1.0 - alpha, method="exact")
    scale = control.exposure / treatment.exposure
    low, high = (scale * end / (1.0 - end) if end < 1.0 else math.inf for end in (float(ends.low), float(ends.high)))
    return RateComparison(
        estimate=treatment.rate / control.rate if control.count else None,
        interval=Interval(low=-math.inf if alternative == "less" else low, high=math.inf if alternative == "greater" else high),
        p_value=float(test.pvalue),
        statistic=None,
        method="poisson_exact",
    )
