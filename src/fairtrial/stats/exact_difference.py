"""The exact unconditional test of two rates, and the interval of their difference that agrees with it.

Under `treatment - control = delta` the p-value is the largest probability, over all
rates with that difference, of a table whose score statistic is at least as large as the
one observed (Suissa & Shuster 1985 at delta = 0; Chan & Zhang 1999 at any). It
needs no large numbers, no continuity correction and no fixed margins. Two-sided
p-values are twice the smaller one-sided one, and the interval holds the differences that
neither side rejects at half the level; each end is sought on that side of the null
hypothesis on which the test puts it, so that test and interval always agree.

The largest probability is searched for on a grid and closer around its best places,
good to about 1e-8. Assumes independent units, each with an outcome of 0 or 1. The
price of exactness is work: at most 500 units. Larger tables are served as well by
the score test.

References: Suissa & Shuster (1985), JRSS A 148, 317-327; Chan & Zhang (1999), Biometrics
55, 1202-1209; Barnard (1947), Biometrika 34, 123-138.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from fairtrial.errors import DataError, UsageError
from fairtrial.stats.lift import lift_interval
from fairtrial.stats.proportions import ProportionContrast
from fairtrial.stats.restricted import restricted_variance
from fairtrial.stats.result import Alternative, Estimate, Interval, check_alpha, check_alternative
from fairtrial.stats.score_inversion import check_margin

Floats = NDArray[np.float64]

MOST_UNITS = 500
"""Units of both arms up to which the exact test is worked out (some seconds)."""

GRID = 129
"""Rates at which the largest probability is first looked for."""
ZOOMS, ZOOMED = 5, 9
"""Rounds of a closer look at the three best places, and points of each."""
TIE = 1e-9
"""Statistics that differ by less, relatively, are one."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Table:
    """The observed counts, and all that is needed of the other tables with these arms.

    Attributes:
        seen: Successes of the control and of the treatment.
        units: Units of the control and of the treatment.
        ways_c: Logarithms of the control's binomial coefficients, shape (n_c + 1,).
        ways_t: The same of the treatment.
    """

    seen: tuple[int, int]
    units: tuple[int, int]
    ways_c: Floats
    ways_t: Floats

    def statistic(self, x_c: Floats, x_t: Floats, delta: float) -> Floats:
        """Score statistics of tables under a difference, shape (k,); 0 where nothing speaks for either side."""
        n_c, n_t = (np.array(float(n)) for n in self.units)
        distance = x_t / n_t - x_c / n_c - delta
        error = np.sqrt(restricted_variance(x_c, n_c, x_t, n_t, np.full(x_c.shape, delta)))
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(np.abs(distance) <= TIE, 0.0, distance / error)

    def observed(self, delta: float) -> float:
        """The observed table's score statistic under a difference."""
        x_c, x_t = (np.array([float(x)]) for x in self.seen)
        return float(self.statistic(x_c, x_t, delta)[0])

    def gain(self, delta: float) -> float:
        """One-sided p-value of a difference above `delta`: tables with a statistic as large as the observed one."""
        first = self._first_beyond(self._cut(delta, -1.0), delta, reached=True)
        tails = np.cumsum(np.eye(self.ways_t.size + 1)[first], axis=1)[:, :-1]
        return self._largest(tails, delta)

    def loss(self, delta: float) -> float:
        """One-sided p-value of a difference below `delta`: tables with a statistic as small as the observed one."""
        first = self._first_beyond(self._cut(delta, 1.0), delta, reached=False)
        tails = np.cumsum(np.eye(self.ways_t.size + 1)[first], axis=1)[:, :-1]
        return self._largest(1.0 - tails, delta)

    def _cut(self, delta: float, side: float) -> float:
        seen = self.observed(delta)
        return seen + side * TIE * (1.0 + abs(seen)) if math.isfinite(seen) else seen

    def _first_beyond(self, cut: float, delta: float, *, reached: bool) -> NDArray[np.intp]:
        """By successes of the control: the fewest of the treatment whose statistic reaches (or passes) a value, `n_t + 1` for none.

        The statistic rises with the treatment's successes (Barnard 1947, the set's convexity), so the middle is halved.
        """
        x_c = np.arange(self.ways_c.size, dtype=np.float64)
        low, high = np.zeros(x_c.size, dtype=np.intp), np.full(x_c.size, self.ways_t.size, dtype=np.intp)
        while (low < high).any():
            middle = (low + high) // 2
            statistic = self.statistic(x_c, np.minimum(middle, self.units[1]).astype(np.float64), delta)
            beyond = (statistic >= cut if reached else statistic > cut) | (middle > self.units[1])
            low, high = np.where(beyond | (low >= high), low, middle + 1), np.where(beyond & (low < high), middle, high)
        return high

    def _largest(self, mask: Floats, delta: float) -> float:
        """Largest probability of a set of tables over rates that differ by `delta`."""
        start, room = max(0.0, -delta), 1.0 - abs(delta)

        def probability(place: Floats) -> Floats:
            rate = start + room * place
            control, treatment = _binomial(self.ways_c, rate), _binomial(self.ways_t, np.clip(rate + delta, 0.0, 1.0))
            return np.minimum(np.einsum("gi,gi->g", control @ mask, treatment), 1.0)

        places = np.sin(np.linspace(0.0, 0.5 * math.pi, GRID)) ** 2
        values = probability(places)
        best = float(values.max())
        peaks = np.argsort(values)[::-1][:3]
        lows, highs = places[np.maximum(peaks - 1, 0)], places[np.minimum(peaks + 1, GRID - 1)]
        for _ in range(ZOOMS):
            closer = np.linspace(lows, highs, ZOOMED)
            values = probability(closer.ravel()).reshape(closer.shape)
            best = max(best, float(values.max()))
            at, column = values.argmax(axis=0), np.arange(peaks.size)
            lows, highs = closer[np.maximum(at - 1, 0), column], closer[np.minimum(at + 1, ZOOMED - 1), column]
        return best


def exact_difference_test(
    successes_control: int,
    n_control: int,
    successes_treatment: int,
    n_treatment: int,
    *,
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
    margin: float = 0.0,
) -> Estimate:
    """Exact unconditional test of two rates, with the interval of their difference that agrees.

    Args:
        successes_control: Units with outcome 1 in the control arm.
        n_control: Units of the control arm.
        successes_treatment: Units with outcome 1 in the treatment arm.
        n_treatment: Units of the treatment arm.
        alpha: Type I error rate in (0, 1), never exceeded.
        alternative: The alternative hypothesis, in SciPy's words.
        margin: Difference under the null hypothesis, in (-1, 1).

    Returns:
        The difference as a fraction; `p_value < alpha` if and only if the interval leaves `margin` out.
        The lift's interval is the log method's, an approximation; the note `zero_rate` says that there is none.

    Raises:
        UsageError: A count is not whole, successes lie outside 0..n, an option breaks its rule, or there are
            more than 500 units.
        DataError: An arm is empty, or nobody or everybody converted in both.

    References:
        Suissa & Shuster (1985), JRSS A 148, 317-327; Chan & Zhang (1999), Biometrics 55, 1202-1209.
    """
    check_alpha(alpha)
    check_alternative(alternative)
    check_margin(margin)
    x_c, n_c, x_t, n_t = (np.asarray(v, dtype=np.float64) for v in (successes_control, n_control, successes_treatment, n_treatment))
    contrast = ProportionContrast(successes_control=x_c, n_control=n_c, successes_treatment=x_t, n_treatment=n_t)
    reason = contrast.unavailable()
    if reason is not None:
        raise DataError(reason.reason, code=reason.code)
    if n_control + n_treatment > MOST_UNITS:
        raise UsageError(
            f"The exact test is worked out for at most {MOST_UNITS:,} units, got {n_control + n_treatment:,}.",
            hint="Use the score test, which agrees with it at such a size.",
        )
    units = int(n_control), int(n_treatment)
    table = _Table(
        seen=(int(successes_control), int(successes_treatment)), units=units, ways_c=_log_ways(units[0]), ways_t=_log_ways(units[1])
    )
    level = alpha / 2.0 if alternative == "two-sided" else alpha
    gain, loss = table.gain(margin), table.loss(margin)
    low = -math.inf if alternative == "less" else _lower_end(table.gain, level, margin, gain)
    high = math.inf if alternative == "greater" else -_lower_end(lambda delta: table.loss(-delta), level, -margin, loss)
    control, treatment = contrast.control.item(), contrast.treatment.item()
    lift = lift_interval(contrast, alpha=alpha, alternative=alternative, method="log")
    defined = bool(lift.defined)
    return Estimate(
        effect=treatment - control,
        interval=Interval(low=low, high=high),
        p_value={"two-sided": min(1.0, 2.0 * min(gain, loss)), "greater": gain, "less": loss}[alternative],
        std_error=None,
        statistic=table.observed(margin),
        df=None,
        control=control,
        treatment=treatment,
        n_control=units[0],
        n_treatment=units[1],
        alpha=alpha,
        alternative=alternative,
        margin=margin,
        method="exact_unconditional",
        interval_method="exact_unconditional",
        lift=treatment / control - 1.0 if control > 0.0 else None,
        lift_interval=Interval(low=lift.low.item(), high=lift.high.item()) if defined else None,
        lift_method="log" if defined else None,
        notes=() if defined else ("zero_rate",),
    )


def _log_ways(n: int) -> Floats:
    k = np.arange(n + 1.0)
    return np.asarray(special.gammaln(n + 1.0) - special.gammaln(k + 1.0) - special.gammaln(n - k + 1.0))


def _binomial(ways: Floats, rate: Floats) -> Floats:
    """Binomial probabilities, shape (rates, n + 1)."""
    n = ways.size - 1
    k = np.arange(n + 1.0)
    p = rate[:, None]
    return np.asarray(np.exp(ways + special.xlogy(k, p) + special.xlog1py(n - k, -p)))


def _lower_end(p_value: Callable[[float], float], level: float, null: float, at_null: float) -> float:
    """Where a p-value that rises with the hypothesis reaches `level`, on that side of `null` on which the test puts it."""
    if at_null < level:
        found = optimize.brentq(lambda delta: p_value(delta) - level, null, 1.0, xtol=1e-8, rtol=1e-12)
        return max(float(found), math.nextafter(null, 2.0))
    if p_value(-1.0) >= level:
        return -1.0
    return min(float(optimize.brentq(lambda delta: p_value(delta) - level, -1.0, null, xtol=1e-8, rtol=1e-12)), null)
