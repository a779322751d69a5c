"""Two units a pair, or one unit under both arms: McNemar's test and Wilcoxon's signed ranks, with intervals that agree.

Rates are compared by the pairs that answer differently. Tango's (1998) score statistic
takes their variance at the rates of largest likelihood under `treatment - control =
delta`; at delta = 0 it is McNemar's, without continuity correction, and the deltas that it
does not reject are the interval.

Values are compared by the sums of two differences, Walsh's averages: those above delta,
half of those equal to it, are the signed-rank statistic of the differences less
delta, midranks and zeros included. Its law is that of n ranks without ties (exact up to 50
pairs, normal with continuity correction beyond), at every delta, which is cautious
where ties shrink the variance; so the deltas that are not rejected lie between two Walsh
averages. Where many pairs share the null value the interval ends there; whether it holds
its end is what the test says, and the note `tied_pairs` tells it.

Assumes independent pairs; signed ranks also that differences are symmetric about the
shift that they estimate. `means.paired_t_test` compares means.

References: McNemar (1947), Psychometrika 12, 153-157; Tango (1998), Statistics in Medicine
17, 891-908; Wilcoxon (1945), Biometrics Bulletin 1, 80-83; Hodges & Lehmann (1963), Annals of
Mathematical Statistics 34, 598-611; Pratt (1959), JASA 54, 655-667 (zeros).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.result import Alternative, Estimate, Interval, check_alpha, check_alternative
from fairtrial.stats.samples import sample_of
from fairtrial.stats.score_inversion import check_margin, inverted_interval
from fairtrial.stats.single import contrast_of_values, single_estimate
from fairtrial.stats.tails import p_value_of

Floats = NDArray[np.float64]

MOST_EXACT_PAIRS = 50
"""Pairs up to which the signed ranks' exact law is used."""

MOST_PAIRS = 4_000
"""Pairs up to which all sums of two differences, some eight million, are held at once."""

TIED_PAIRS = "tied_pairs"
"""Note of an estimate whose interval ends at the null value without holding it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairCounts:
    """Pairs by their two outcomes of 0 or 1.

    Attributes:
        both: Pairs with outcome 1 under both arms.
        control_only: Under the control alone.
        treatment_only: Under the treatment alone.
        neither: Under neither.
    """

    both: int
    control_only: int
    treatment_only: int
    neither: int

    def __post_init__(self) -> None:
        counts = (self.both, self.control_only, self.treatment_only, self.neither)
        if not all(count >= 0 and count == int(count) for count in counts):
            raise UsageError(f"Pairs must be counted by whole numbers >= 0, got {counts}.")

    @classmethod
    def from_values(cls, control: ArrayLike, treatment: ArrayLike) -> PairCounts:
        """Counts of paired outcomes of 0 or 1, each of shape (n,), in the same order.

        Raises:
            UsageError: The two are of different lengths, or hold other values.
        """
        c, t = _paired(control, treatment)
        if not (np.isin(c, (0.0, 1.0)).all() and np.isin(t, (0.0, 1.0)).all()):
            raise UsageError("Paired outcomes must be 0 or 1.", hint="Compare other values by paired_t_test.")
        both, control_only, treatment_only = float(c @ t), float(c @ (1.0 - t)), float((1.0 - c) @ t)
        return cls(
            both=int(both),
            control_only=int(control_only),
            treatment_only=int(treatment_only),
            neither=int(c.size - both - control_only - treatment_only),
        )

    @property
    def n(self) -> int:
        """All pairs."""
        return self.both + self.control_only + self.treatment_only + self.neither


def mcnemar_test(pairs: PairCounts, *, alpha: float = 0.05, alternative: Alternative = "two-sided", margin: float = 0.0) -> Estimate:
    """McNemar's test of two rates of the same pairs, with Tango's interval, which inverts it.

    Args:
        pairs: Pairs by their two outcomes.
        alpha: Type I error rate in (0, 1); the interval covers 1 - `alpha`.
        alternative: The alternative hypothesis, in SciPy's words.
        margin: Difference under the null hypothesis, in (-1, 1).

    Returns:
        The difference as a fraction; `n_control` and `n_treatment` are pairs. The lift's interval is the
        log method's with the pairs' covariance; the note `zero_rate` says that there is none.

    Raises:
        UsageError: An option breaks its rule.
        DataError: No pair answers differently.

    References:
        Tango (1998), Statistics in Medicine 17, 891-908; McNemar (1947), Psychometrika 12, 153-157.
    """
    check_alpha(alpha)
    check_alternative(alternative)
    check_margin(margin)
    n, c, t = float(pairs.n), float(pairs.control_only), float(pairs.treatment_only)
    if c + t == 0.0:
        raise DataError("No pair has different outcomes, so nothing can be inferred from them.", code="no_variance")

    def null_error(delta: Floats) -> Floats:
        """Standard error at the rates of largest likelihood under `delta` (Tango 1998, section 2)."""
        linear = (2.0 * n - t + c) * delta - c - t
        only_control = (np.sqrt(linear**2 + 8.0 * n * c * delta * (1.0 - delta)) - linear) / (4.0 * n)
        return np.sqrt(np.maximum(2.0 * only_control + delta * (1.0 - delta), 0.0) / n)

    effect = (t - c) / n
    std_error = float(null_error(np.array([margin]))[0])
    statistic = (effect - margin) / std_error
    control, treatment = (pairs.both + c) / n, (pairs.both + t) / n
    contrast = contrast_of_values(
        control=control,
        treatment=treatment,
        control_variance=control * (1.0 - control) / n,
        treatment_variance=treatment * (1.0 - treatment) / n,
        covariance=(pairs.both / n - control * treatment) / n,
        n_control=pairs.n,
        n_treatment=pairs.n,
    )
    positive = control > 0.0 and treatment > 0.0
    lift = None
    if positive and not contrast.undefined[0]:
        lift = single_estimate(contrast, method="", alpha=alpha, alternative=alternative, lift_method="log").lift_interval
    return Estimate(
        effect=effect,
        interval=inverted_interval(effect, null_error, margin=margin, alpha=alpha, alternative=alternative),
        p_value=p_value_of(statistic, np.inf, alternative).item(),
        std_error=std_error,
        statistic=statistic,
        df=None,
        control=control,
        treatment=treatment,
        n_control=pairs.n,
        n_treatment=pairs.n,
        alpha=alpha,
        alternative=alternative,
        margin=margin,
        method="mcnemar",
        interval_method="tango",
        lift=treatment / control - 1.0 if control > 0.0 else None,
        lift_interval=lift,
        lift_method=None if lift is None else "log",
        notes=() if positive else ("zero_rate",),
    )


def signed_rank_test(
    control: ArrayLike,
    treatment: ArrayLike,
    *,
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
    margin: float = 0.0,
) -> Estimate:
    """Wilcoxon's signed-rank test, with the shift that it speaks of and the interval that inverts it.

    Args:
        control: Values under control, shape (n,), at most 4,000 pairs.
        treatment: Values of the same pairs under treatment, in the same order.
        alpha: Type I error rate in (0, 1); the interval covers 1 - `alpha`.
        alternative: The alternative hypothesis, in SciPy's words.
        margin: Shift under the null hypothesis.

    Returns:
        The median of Walsh's averages of the differences (Hodges & Lehmann); `control` and `treatment` are medians,
        which need not differ by it. `p_value < alpha` if and only if the interval leaves `margin` out.

    Raises:
        UsageError: The two are of different lengths, there are too many pairs, or an option breaks its rule.
        NotEnoughDataError: There are too few pairs for an interval of this level.
        DataError: A value is not finite, or all differences are equal.

    References:
        Wilcoxon (1945), Biometrics Bulletin 1, 80-83; Hollander & Wolfe (1999), Nonparametric Statistical Methods, section 3.
    """
    check_alpha(alpha)
    check_alternative(alternative)
    if not math.isfinite(margin):
        raise UsageError(f"margin must be a finite number in the metric's unit, got {margin}.")
    c, t = _paired(control, treatment)
    difference = t - c
    if difference.size > MOST_PAIRS:
        raise UsageError(
            f"Signed ranks are worked out for at most {MOST_PAIRS:,} pairs, got {difference.size:,}.", hint="Use paired_t_test."
        )
    if float(np.ptp(difference)) == 0.0:
        raise DataError("The differences of the pairs are constant, so nothing can be inferred from them.", code="no_variance")
    sums = np.sort((difference[:, None] + difference)[np.triu_indices(difference.size)])
    law = _law(difference.size)
    above = sums.size - np.searchsorted(sums, 2.0 * margin, side="right")
    equal = sums.size - above - np.searchsorted(sums, 2.0 * margin, side="left")
    rank = float(above + 0.5 * equal)
    level = alpha / 2.0 if alternative == "two-sided" else alpha
    greater, less = law.tail(rank), law.tail(sums.size - rank)
    low = -math.inf if alternative == "less" else _end(sums, law, level, rejected=greater < level, null=margin)
    high = math.inf if alternative == "greater" else -_end(-sums[::-1], law, level, rejected=less < level, null=-margin)
    interval = Interval(low=low, high=high)
    near = {math.nextafter(margin, math.inf), math.nextafter(margin, -math.inf)}
    return Estimate(
        effect=0.5 * float(np.median(sums)),
        interval=interval,
        p_value={"two-sided": min(1.0, 2.0 * min(greater, less)), "greater": greater, "less": less}[alternative],
        std_error=None,
        statistic=rank,
        df=None,
        control=float(np.median(c)),
        treatment=float(np.median(t)),
        n_control=difference.size,
        n_treatment=difference.size,
        alpha=alpha,
        alternative=alternative,
        margin=margin,
        method="wilcoxon",
        interval_method="walsh_averages",
        notes=(TIED_PAIRS,) if {low, high} & near else (),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Law:
    """Law of the signed-rank statistic of n differences.

    Attributes:
        tail: Probability of a statistic of at least so much.
        most: The largest statistic whose tail is not below a level.
    """

    tail: Callable[[float], float]
    most: Callable[[float], float]


def _law(n: int) -> _Law:
    """The exact law of n ranks without ties up to 50 pairs, beyond it the normal one."""
    size = n * (n + 1) // 2
    if n <= MOST_EXACT_PAIRS:
        ways = np.zeros(size + 1)
        ways[0] = 1.0
        for rank in range(1, n + 1):
            ways[rank:] = ways[rank:] + ways[:-rank]
        tails = np.cumsum(ways[::-1])[::-1] / 2.0**n

        def most_exact(level: float) -> float:
            return float(np.count_nonzero(tails >= level) - 1)

        return _Law(tail=lambda rank: min(1.0, float(tails[math.ceil(rank)])), most=most_exact)
    mean, std_dev = size / 2.0, math.sqrt(size * (2.0 * n + 1.0) / 12.0)

    def tail(rank: float) -> float:
        return float(special.ndtr(-(rank - mean - 0.5) / std_dev))

    return _Law(tail=tail, most=lambda level: mean + 0.5 - float(special.ndtri(level)) * std_dev)


def _end(sums: Floats, law: _Law, level: float, *, rejected: bool, null: float) -> float:
    """The smallest shift that is not rejected: half a sum of two differences.

    At that very shift the test may reject, where sums are tied; if it is the null value, the end lies just beyond it.
    """
    place = math.floor(law.most(level)) + 1
    if place > sums.size:
        raise NotEnoughDataError(
            f"So few pairs cannot bound the shift at the level {level:g}.", hint="Take more pairs, or a larger alpha.", code="too_few_units"
        )
    end = 0.5 * float(sums[sums.size - place])
    return math.nextafter(null, math.inf) if rejected and end <= null else end


def _paired(control: ArrayLike, treatment: ArrayLike) -> tuple[Floats, Floats]:
    c, t = sample_of(control), sample_of(treatment)
    if c.shape != t.shape:
        raise UsageError(f"Paired values must be two flat arrays of one length, got shapes {c.shape} and {t.shape}.")
    return c, t
