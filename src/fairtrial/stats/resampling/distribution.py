"""The bootstrap distribution of an estimate, and the intervals and p-values read from it.

| method        | interval from                                             | second-order right |
| ------------- | --------------------------------------------------------- | ------------------ |
| `percentile`  | quantiles of the resampled estimates                      | no                 |
| `basic`       | their distances from the estimate, turned round           | no                 |
| `studentised` | those distances over each resample's own standard error   | yes                |
| `bca`         | quantiles at levels mended for bias and acceleration      | yes                |

Every p-value inverts its own interval, draw by draw: `p_value < alpha` exactly
when the interval leaves the null out. Those of `basic` and `studentised` are
tails of the distribution centred at the null (Hall & Wilson 1991); those of
`percentile` and `bca` are the level at which the interval's end meets the null.
With R resamples no p-value lies below 1 / (R + 1): a tail that holds b draws
counts as (b + 1) / (R + 1).

References: Efron (1987), JASA 82, 171-185 (BCa); Efron & Tibshirani (1993), An
Introduction to the Bootstrap, chapters 12 to 14; Hall & Wilson (1991), Biometrics
47, 757-762; Davison & Hinkley (1997), Bootstrap Methods and their Application,
section 4.2 (the added one).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fairtrial.errors import DataError, UsageError
from fairtrial.stats.result import Alternative, Estimate, Interval, check_alpha, check_alternative

Floats = NDArray[np.float64]

IntervalMethod = Literal["percentile", "basic", "studentised", "bca"]

MIN_RESAMPLES = 100
"""Fewer resamples say too little to be a distribution; 2,000 and more serve an interval."""

_ROUNDING = 1e-9


class _Pivots(NamedTuple):
    """Distances of the draws from the estimate, and the unit that an interval gives back to them."""

    values: Floats
    scale: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BootstrapDistribution:
    """An estimate and what it became in resamples of its own data.

    Attributes:
        estimate: The statistic of the data as they are.
        draws: The statistic of each resample, shape (resamples,).
        n_control: Units of the control; 0 for a statistic of one sample.
        n_treatment: Units of the treatment, or of the one sample.
        statistic: Name of the statistic.
        formula_std_error: Standard error of `estimate` by its own formula; None where there is none.
        draw_std_errors: The same of each resample, shape (resamples,); needed by `studentised`.
        acceleration: Rate at which the standard error changes with the estimate; needed by `bca`.
        control: The control's value, where the statistic is a comparison of two values.
        treatment: The treatment's value.
    """

    estimate: float
    draws: Floats
    n_control: int
    n_treatment: int
    statistic: str
    formula_std_error: float | None = None
    draw_std_errors: Floats | None = None
    acceleration: float | None = None
    control: float | None = None
    treatment: float | None = None

    def __post_init__(self) -> None:
        check_resamples(self.draws.size)
        broken = int(self.draws.size - np.isfinite(self.draws).sum())
        if broken or not math.isfinite(self.estimate):
            raise DataError(
                f"A bootstrapped statistic must be a finite number in every resample, {broken} of {self.draws.size} are not.",
                hint="A denominator may come near zero: give it more units, or compare something else.",
                code="not_finite",
            )
        if float(np.ptp(self.draws)) == 0.0:
            raise DataError("The statistic is the same in every resample, so nothing can be inferred from them.", code="no_variance")

    @property
    def std_error(self) -> float:
        """Standard deviation of the draws."""
        return float(self.draws.std(ddof=1))

    @property
    def bias(self) -> float:
        """Mean of the draws less the estimate."""
        return float(self.draws.mean()) - self.estimate

    def interval(self, *, method: IntervalMethod = "percentile", alpha: float = 0.05, alternative: Alternative = "two-sided") -> Interval:
        """Confidence interval of the statistic.

        Args:
            method: See the table of this module.
            alpha: Error rate in (0, 1); the interval covers 1 - `alpha`.
            alternative: `greater` leaves the upper end infinite, `less` the lower.

        Returns:
            The interval, whose ends are draws (or distances of draws), never between two.

        Raises:
            UsageError: An option breaks its rule, or there are too few resamples for `alpha`.
            DataError: The distribution was made without what `method` needs, or is too coarse for it.

        References:
            Efron (1987), equation 6.8; Efron & Tibshirani (1993), equations 12.22, 13.5 and 14.10.
        """
        check_alpha(alpha)
        check_alternative(alternative)
        tail = alpha / 2.0 if alternative == "two-sided" else alpha
        low = -math.inf if alternative == "less" else self._end(method, tail, lower=True)
        high = math.inf if alternative == "greater" else self._end(method, tail, lower=False)
        return Interval(low=low, high=high)

    def p_value(self, *, null: float = 0.0, method: IntervalMethod = "percentile", alternative: Alternative = "two-sided") -> float:
        """P-value of the hypothesis that the statistic's true value is `null`, by inverting `interval`.

        Args:
            null: Value under the null hypothesis, finite.
            method: Whose interval is inverted.
            alternative: `greater` is true value > null.

        Returns:
            A number in [1 / (resamples + 1), 1].

        Raises:
            UsageError: An option breaks its rule.
            DataError: The distribution was made without what `method` needs.

        References:
            Hall & Wilson (1991); Davison & Hinkley (1997), section 4.2.
        """
        check_alternative(alternative)
        if not math.isfinite(null):
            raise UsageError(f"null must be a finite number in the statistic's unit, got {null}.")
        greater, less = (self._tail(method, null, lower=lower) for lower in (True, False))
        if alternative == "two-sided":
            return min(1.0, 2.0 * min(greater, less))
        return greater if alternative == "greater" else less

    def to_estimate(
        self, *, method: IntervalMethod, alpha: float = 0.05, alternative: Alternative = "two-sided", margin: float = 0.0
    ) -> Estimate:
        """The comparison of two arms in the form that every test here returns.

        Args:
            method: Of interval and p-value.
            alpha: Error rate in (0, 1).
            alternative: Sidedness, in SciPy's words.
            margin: Effect under the null hypothesis.

        Returns:
            The estimate; its standard error is the draws' standard deviation.

        Raises:
            UsageError: The statistic is not a comparison of two arms, or an option breaks its rule.
            DataError: As `interval`.
        """
        if self.control is None or self.treatment is None:
            raise UsageError(f"An estimate compares the values of two arms, {self.statistic!r} has none.", hint="Use interval and p_value.")
        return Estimate(
            effect=self.estimate,
            interval=self.interval(method=method, alpha=alpha, alternative=alternative),
            p_value=self.p_value(null=margin, method=method, alternative=alternative),
            std_error=self.std_error,
            statistic=None,
            df=None,
            control=self.control,
            treatment=self.treatment,
            n_control=self.n_control,
            n_treatment=self.n_treatment,
            alpha=alpha,
            alternative=alternative,
            margin=margin,
            method=f"bootstrap_{self.statistic}",
            interval_method=f"bootstrap_{method}",
        )

    def _end(self, method: IntervalMethod, tail: float, *, lower: bool) -> float:
        if method not in get_args(IntervalMethod):
            raise UsageError(f"method must be one of {list(get_args(IntervalMethod))}, got {method!r}.")
        level = self._bca_level(tail, lower=lower) if method == "bca" else tail
        rank = self._rank(level)
        if method in {"percentile", "bca"}:
            return float(np.sort(self.draws)[rank - 1 if lower else -rank])
        pivots = self._pivots(method)
        end = self.estimate - pivots.scale * float(np.sort(pivots.values)[-rank if lower else rank - 1])
        if not math.isfinite(end):
            raise DataError(
                "Too many resamples hold one value only, so that they have no standard error.", hint="Use 'bca'.", code="no_variance"
            )
        return end

    def _rank(self, level: float) -> int:
        """Rank of the draw, counted from the outside, up to which a tail of (rank + 1) / (resamples + 1) reaches `level`."""
        rank = math.ceil(level * (self.draws.size + 1) - 1.0 - _ROUNDING)
        if rank < 1:
            raise UsageError(
                f"An interval that leaves {level:.3g} beyond an end needs at least {math.ceil(1.0 / max(level, 1e-300))} resamples, "
                f"got {self.draws.size}.",
                hint="Draw more resamples; 2,000 serve alpha = 0.05, 10,000 a final analysis.",
            )
        return rank

    def _tail(self, method: IntervalMethod, null: float, *, lower: bool) -> float:
        """Evidence against `null` from below (`lower`) or above, as a one-sided p-value."""
        if method not in get_args(IntervalMethod):
            raise UsageError(f"method must be one of {list(get_args(IntervalMethod))}, got {method!r}.")
        least = 1.0 / (self.draws.size + 1.0)
        if method in {"basic", "studentised"}:
            pivots = self._pivots(method)
            reached = (self.estimate - null) / pivots.scale
            beyond = pivots.values >= reached if lower else pivots.values <= reached
            return (float(beyond.sum()) + 1.0) * least
        share = (float((self.draws <= null if lower else self.draws >= null).sum()) + 1.0) * least
        if method == "percentile" or share >= 1.0:
            return share
        bias, acceleration = self._bca(lower=lower)
        distance = float(special.ndtri(share)) - bias
        below = 1.0 + acceleration * distance
        if below <= 0.0:
            return least if distance < 0.0 else 1.0
        return max(float(special.ndtr(distance / below - bias)), least)

    def _pivots(self, method: IntervalMethod) -> _Pivots:
        distance = self.draws - self.estimate
        if method == "basic":
            return _Pivots(distance, 1.0)
        if self.draw_std_errors is None or self.formula_std_error is None:
            raise DataError(
                f"A studentised interval needs a standard error of every resample, {self.statistic!r} came without.",
                hint="Use 'percentile', 'basic' or 'bca'.",
                code="no_std_error",
            )
        if self.formula_std_error == 0.0:
            raise DataError("The statistic's standard error is zero, so nothing can be inferred.", code="no_variance")
        with np.errstate(divide="ignore", invalid="ignore"):
            values = distance / self.draw_std_errors
        return _Pivots(np.where(distance == 0.0, 0.0, values), self.formula_std_error)

    def _bca(self, *, lower: bool) -> tuple[float, float]:
        """Bias correction and acceleration, seen from below or, both turned round, from above."""
        if self.acceleration is None:
            raise DataError(
                f"A BCa interval needs the jackknife of a smooth statistic, {self.statistic!r} came without.",
                hint="Use 'percentile'.",
                code="no_acceleration",
            )
        below = float((self.draws < self.estimate).mean()) + 0.5 * float((self.draws == self.estimate).mean())
        if not 0.0 < below < 1.0:
            raise DataError("All resamples lie on one side of the estimate, so BCa is not defined.", hint="Use 'basic'.", code="one_sided")
        bias = float(special.ndtri(below))
        return (bias, self.acceleration) if lower else (-bias, -self.acceleration)

    def _bca_level(self, tail: float, *, lower: bool) -> float:
        """The tail beyond which BCa puts an end: Phi(z0 + (z0 + z) / (1 - a (z0 + z)))."""
        bias, acceleration = self._bca(lower=lower)
        distance = bias + float(special.ndtri(tail))
        below = 1.0 - acceleration * distance
        if below <= 0.0:
            raise DataError("The sample is too skewed for BCa at this alpha.", hint="Use 'studentised'.", code="too_skewed")
        return float(special.ndtr(bias + distance / below))


def check_resamples(resamples: int) -> None:
    """Raise unless there are enough resamples to speak of a distribution.

    Raises:
        UsageError: Fewer than 100.
    """
    if resamples < MIN_RESAMPLES:
        raise UsageError(f"A bootstrap needs at least {MIN_RESAMPLES} resamples, got {resamples}.", hint="2,000 serve an interval.")


def acceleration_of(*leave_one_out: Floats) -> float | None:
    """BCa's acceleration from the jackknife of each arm.

    Args:
        leave_one_out: For each arm the statistic without one of its units (or groups of units), shape (n,).

    Returns:
        sum of l^3 / n^3 over 6 (sum of l^2 / n^2)^(3/2), with influences l; None where no unit
        matters, or the statistic is not finite without one.

    References:
        Efron & Tibshirani (1993), equation 14.15; for two samples Davison & Hinkley (1997), section 5.4.
    """
    cubes = squares = 0.0
    for values in leave_one_out:
        if not np.isfinite(values).all():
            return None
        n = values.size
        influence = (n - 1.0) / n * (values.mean() - values)
        cubes += float(np.sum(influence**3))
        squares += float(np.sum(influence**2))
    return cubes / (6.0 * squares**1.5) if squares > 0.0 else None
