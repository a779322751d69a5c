"""Does a challenger keep its limits in these rows? A test for each guardrail, and a comparison with the champion.

A limit is broken when the value lies beyond it and the one-sided test of "it does not" has p < .05: the exact binomial
test of a rate; of a quantile the exact binomial test of the values beyond the limit, which says that the lower
bound between order statistics lies beyond it; of a mean Student's t. "Kept" is said only of enough rows, with no value
missing that could have turned the answer; whatever lies between is unknown, which is never a pass.

One look at one set of rows: for tests that may be read while traffic flows see `serving.live_guardrails`.

References: Clopper & Pearson (1934), Biometrika 26, 404-413; Conover (1999), Practical Nonparametric
Statistics, sections 3.1 and 3.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from fairtrial.diagnostics.guarded_values import Columns, Values, guarded_values
from fairtrial.errors import DataError, UsageError
from fairtrial.stats.exact import binomial_exact_p
from fairtrial.stats.means import welch_test
from fairtrial.stats.moments import Moments
from fairtrial.stats.proportion_intervals import clopper_pearson_interval
from fairtrial.stats.proportions import two_proportion_test
from fairtrial.stats.quantiles import QuantileSummary, order_statistic_interval, quantile_test
from fairtrial.stats.result import Estimate
from fairtrial.stats.tails import interval_of, p_value_of

Limits = tuple[float | None, float | None]
Side = Literal["greater", "less"]
Status = Literal["ok", "violated", "insufficient", "no_data"]

ALPHA = 0.05
"""A limit is broken below this p-value."""

MIN_N = 200
"""Values below which a limit is not said to be kept."""

KILL_FACTOR, KILL_ALPHA = 2.0, 0.001
"""A value beyond the limit by this factor, at a p-value below this, stops at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChampionComparison:
    """A guardrail of the challenger beside the champion's.

    Attributes:
        value: The champion's.
        n: Its values.
        difference: Challenger - champion.
        ci_low: Lower end of the difference's 95 % interval.
        ci_high: Upper end.
        p_value: Two-sided.
        worse: Whether the challenger is worse at 5 %, worse being towards the limit.
        method: Name of the test.
    """

    value: float
    n: int
    difference: float
    ci_low: float
    ci_high: float
    p_value: float
    worse: bool
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardrailCheck:
    """One guardrail in one set of rows.

    Attributes:
        metric: Its name.
        value: The rate, quantile or mean; None without values.
        threshold: Smallest and largest value allowed, as declared.
        violated: Whether a limit is broken; None: unknown.
        status: `violated`, `ok`, `insufficient` (too few values, too many missing, or no spread), `no_data`.
        n: Values that it rests on.
        missing: Rows that it is about and that have no value.
        p_value: One-sided, against the limit that the value is nearer to breaking; None where there is no test.
        ci_low: Lower end of the two-sided 95 % interval (Clopper-Pearson, order statistics, t); None where there is none.
        ci_high: Upper end.
        kill: Whether the value lies beyond twice the limit with p < .001.
        reason: What keeps it from being `ok`, in a sentence; empty when nothing does.
        champion: The comparison; None without a champion's values or where no test can be made.
    """

    metric: str
    value: float | None
    threshold: Limits
    violated: bool | None
    status: Status
    n: int
    missing: int
    p_value: float | None
    ci_low: float | None
    ci_high: float | None
    kill: bool
    reason: str
    champion: ChampionComparison | None = None

    def as_json(self) -> dict[str, Any]:
        """The check as JSON, without its name."""
        plain = asdict(self)
        del plain["metric"]
        return {**plain, "threshold": list(self.threshold)}


def check_guardrail(
    metric: str, limits: Limits, challenger: Columns, champion: Columns | None = None, *, proportion: bool = False, min_n: int = MIN_N
) -> GuardrailCheck:
    """Test one guardrail of a challenger.

    Args:
        metric: What is guarded; `guarded_values` says which are known.
        limits: Smallest and largest value allowed; None, an infinite end, or 0 below an upper limit bind nothing.
        challenger: Rows of one challenger.
        champion: Rows of the champion, to compare with.
        proportion: Whether a column of another name holds zeros and ones.
        min_n: Values below which the limit is not said to be kept.

    Raises:
        UsageError: No limit binds.
    """
    values = guarded_values(metric, challenger, proportion=proportion)
    found = judge_values(metric, limits, values, min_n=min_n)
    if champion is None or values is None or not values.n:
        return found
    worse = next(iter(_sides(metric, limits)))
    return replace(found, champion=compare_with_champion(metric, values, champion, worse=worse))


def judge_values(metric: str, limits: Limits, values: Values | None, *, min_n: int = MIN_N) -> GuardrailCheck:
    """Test values against their limits; arguments and errors as `check_guardrail`, without the champion."""
    sides = _sides(metric, limits)
    if values is None or not values.n:
        return _without(metric, limits, values)
    tested: dict[Side, float] = {}
    for side, limit in sides.items():
        p_value = _p_value(values, limit, side)
        if p_value is not None:
            tested[side] = p_value
    value = values.value or 0.0
    beyond: list[Side] = [side for side, limit in sides.items() if (value > limit if side == "greater" else value < limit)]
    broken: list[Side] = [side for side in beyond if tested.get(side, 1.0) < ALPHA]
    unknown = "" if broken else _unknown(values, sides, beyond, tested, min_n)
    low, high = _interval(values)
    return GuardrailCheck(
        metric=metric,
        value=value,
        threshold=limits,
        violated=True if broken else None if unknown else False,
        status="violated" if broken else "insufficient" if unknown else "ok",
        n=values.n,
        missing=values.missing,
        p_value=min(tested.values(), default=None),
        ci_low=low,
        ci_high=high,
        kill=any(tested[side] < KILL_ALPHA and _far_beyond(value, sides[side], side) for side in broken),
        reason=f"{metric} is {value:.6g}, beyond its limit {sides[broken[0]]:g}" if broken else unknown,
    )


def compare_with_champion(metric: str, values: Values, champion: Columns, *, worse: Side = "greater") -> ChampionComparison | None:
    """Compare a guardrail's values with the champion's; None where the champion has none or no test can be made.

    Args:
        metric: Its name.
        values: The challenger's.
        champion: The champion's rows.
        worse: Which way is worse.
    """
    theirs = guarded_values(metric, champion, proportion=values.kind == "rate")
    if theirs is None or not theirs.n or theirs.kind != values.kind:
        return None
    try:
        estimate = _difference(theirs, values)
    except (DataError, UsageError):
        return None
    low, high = estimate.interval.low, estimate.interval.high
    if estimate.p_value is None:
        return None
    shown = estimate.p_value < ALPHA and (low > 0.0 if worse == "greater" else high < 0.0)
    return ChampionComparison(
        value=estimate.control,
        n=theirs.n,
        difference=estimate.effect,
        ci_low=low,
        ci_high=high,
        p_value=estimate.p_value,
        worse=shown,
        method=estimate.method,
    )


def _sides(metric: str, limits: Limits) -> Mapping[Side, float]:
    """The limits that bind, the upper one first; a lower limit of 0 beside an upper one is the scale's own end."""
    low, high = (None if end is None or math.isinf(end) else float(end) for end in limits)
    sides: dict[Side, float] = {} if high is None else {"greater": high}
    if low is not None and not (low == 0.0 and high is not None):
        sides["less"] = low
    if not sides or any(math.isnan(limit) for limit in sides.values()):
        raise UsageError(f"A guardrail needs a smallest or largest value, got {limits} for {metric!r}.")
    return sides


def _without(metric: str, limits: Limits, values: Values | None) -> GuardrailCheck:
    missing = 0 if values is None else values.missing
    reason = f"no column has {metric}" if values is None else f"{metric} has no value in {missing} rows" if missing else "there are no rows"
    return GuardrailCheck(
        metric=metric,
        value=None,
        threshold=limits,
        violated=None,
        status="no_data",
        n=0,
        missing=missing,
        p_value=None,
        ci_low=None,
        ci_high=None,
        kill=False,
        reason=reason,
    )


def _unknown(values: Values, sides: Mapping[Side, float], beyond: list[Side], tested: Mapping[Side, float], min_n: int) -> str:
    """Why a limit that is not broken is not said to be kept; empty when it is kept."""
    if any(side not in tested for side in beyond):
        return f"the value lies beyond its limit and its {values.n} values do not differ, so that there is no test"
    if values.n < min_n:
        return f"{values.n} of {min_n} values"
    if values.missing and values.kind == "mean":
        return f"{values.missing} rows have no value"
    turned = [side for side, limit in sides.items() if values.missing and _count_p(values, limit, side, bad=values.missing) < ALPHA]
    return f"{values.missing} rows have no value, and were they bad the limit would be broken" if turned else ""


def _p_value(values: Values, limit: float, side: Side) -> float | None:
    """One-sided p-value of "the limit is kept"; None where no test can be made."""
    if values.kind != "mean":
        return _count_p(values, limit, side)
    if values.n < 2:
        return None
    moments = Moments.from_values(values.known)
    error = math.sqrt(moments.variance / moments.n)
    return float(p_value_of((moments.mean - limit) / error, moments.n - 1, side)) if error > 0.0 else None


def _count_p(values: Values, limit: float, side: Side, *, bad: int = 0) -> float:
    """Exact binomial p-value of a rate, or of the share of values beyond a quantile's limit; `bad` more are counted as beyond it."""
    n = values.n + bad
    if values.kind == "quantile":
        outside = values.known > limit if side == "greater" else values.known < limit
        allowed = 1.0 - values.q if side == "greater" else values.q
        return binomial_exact_p(int(outside.sum()) + bad, n, allowed, alternative="greater")
    events, allowed = (values.events, limit) if side == "greater" else (values.n - values.events, 1.0 - limit)
    events += bad
    if allowed <= 0.0:
        return 0.0 if events else 1.0
    return 1.0 if allowed >= 1.0 else binomial_exact_p(events, n, allowed, alternative="greater")


def _far_beyond(value: float, limit: float, side: Side) -> bool:
    """Whether a value lies beyond a limit by the factor at which one stops at once; a limit below 0 has no such factor."""
    if limit < 0.0:
        return False
    return value > KILL_FACTOR * limit if side == "greater" else value * KILL_FACTOR < limit


def _interval(values: Values) -> tuple[float | None, float | None]:
    if values.kind == "rate":
        interval = clopper_pearson_interval(values.events, values.n, alpha=ALPHA)
        return interval.low, interval.high
    if values.kind == "quantile":
        interval = order_statistic_interval(values.known, values.q, alpha=ALPHA).interval
        return (interval.low if math.isfinite(interval.low) else None), (interval.high if math.isfinite(interval.high) else None)
    if values.n < 2:
        return None, None
    moments = Moments.from_values(values.known)
    low, high = interval_of(moments.mean, math.sqrt(moments.variance / moments.n), moments.n - 1, alpha=ALPHA)
    return float(low), float(high)


def _difference(champion: Values, challenger: Values) -> Estimate:
    return _TESTS[challenger.kind](champion, challenger)


def _of_rates(champion: Values, challenger: Values) -> Estimate:
    return two_proportion_test(champion.events, champion.n, challenger.events, challenger.n, alpha=ALPHA)


def _of_quantiles(champion: Values, challenger: Values) -> Estimate:
    return quantile_test(_summary(champion), _summary(challenger), alpha=ALPHA)


def _of_means(champion: Values, challenger: Values) -> Estimate:
    return welch_test(Moments.from_values(champion.known), Moments.from_values(challenger.known), alpha=ALPHA)


def _summary(values: Values) -> QuantileSummary:
    found = order_statistic_interval(values.known, values.q, alpha=ALPHA)
    return QuantileSummary(n=values.n, value=float(values.value or 0.0), interval=found.interval, alpha=ALPHA)


_TESTS: Mapping[str, Callable[[Values, Values], Estimate]] = {"rate": _of_rates, "quantile": _of_quantiles, "mean": _of_means}
