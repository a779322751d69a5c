"""Wald's sequential probability ratio test of a rate: the fewest units between two simple hypotheses.

After every unit the likelihood ratio of p1 against p0 is held against two
constants; the first crossing decides and ends the test. Of all tests with the same two
errors it needs the fewest units on average under p0 and under p1 (Wald &
Wolfowitz 1948), but unlike a confidence sequence it says nothing of rates in
between, and it estimates nothing. Wald's thresholds leave out by how much the
ratio overshoots: the two errors add up to at most alpha + beta, and each is at most
alpha / (1 - beta), or beta / (1 - alpha).

Use it to accept or reject a known level (an error rate against its limit);
for the effect of a treatment take `confidence_sequences`.

References: Wald (1945), Annals of Mathematical Statistics 16, 117-186; Wald & Wolfowitz (1948),
Annals of Mathematical Statistics 19, 326-339.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairtrial.errors import DataError, UsageError
from fairtrial.stats.result import check_alpha

Floats = NDArray[np.float64]
SprtDecision = Literal["reject_h0", "accept_h0", "continue"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SprtPlan:
    """A test of rate p0 against p1, fixed before the data are seen.

    Attributes:
        p0: Rate under the null hypothesis, in (0, 1).
        p1: Rate under the alternative, in (0, 1), above or below `p0`.
        alpha: Wanted probability of rejecting p0 when it holds, in (0, 1).
        beta: Wanted probability of accepting p0 when p1 holds, in (0, 1); alpha + beta < 1.
    """

    p0: float
    p1: float
    alpha: float = 0.05
    beta: float = 0.2

    def __post_init__(self) -> None:
        for name, rate in (("p0", self.p0), ("p1", self.p1)):
            if not 0.0 < rate < 1.0:
                raise UsageError(f"{name} must lie in (0, 1), got {rate}.", hint="Pass a fraction, not a percentage.")
        if self.p0 == self.p1:
            raise UsageError(f"p0 and p1 must differ, got {self.p0} twice.")
        check_alpha(self.alpha)
        if not 0.0 < self.beta < 1.0:
            raise UsageError(f"beta must lie in (0, 1), got {self.beta}.", hint="beta is 1 - power, say 0.2.")
        if self.alpha + self.beta >= 1.0:
            raise UsageError(f"alpha + beta must be below 1, got {self.alpha + self.beta}.")

    @property
    def upper(self) -> float:
        """Log likelihood ratio at which p0 is rejected: log((1 - beta) / alpha)."""
        return math.log1p(-self.beta) - math.log(self.alpha)

    @property
    def lower(self) -> float:
        """Log likelihood ratio at which p0 is accepted: log(beta / (1 - alpha))."""
        return math.log(self.beta) - math.log1p(-self.alpha)

    @property
    def step_success(self) -> float:
        """What a unit with outcome 1 adds to the log likelihood ratio: log(p1 / p0)."""
        return math.log(self.p1) - math.log(self.p0)

    @property
    def step_failure(self) -> float:
        """What a unit with outcome 0 adds: log((1 - p1) / (1 - p0))."""
        return math.log1p(-self.p1) - math.log1p(-self.p0)

    def expected_n(self) -> tuple[float, float]:
        """Units needed on average when p0 holds, and when p1 holds, by Wald's approximation without overshoot.

        Returns:
            Average units under p0 and under p1, each > 0.

        References:
            Wald (1945), the average sample number.
        """
        drift0, drift1 = (rate * self.step_success + (1.0 - rate) * self.step_failure for rate in (self.p0, self.p1))
        under0 = (self.alpha * self.upper + (1.0 - self.alpha) * self.lower) / drift0
        under1 = ((1.0 - self.beta) * self.upper + self.beta * self.lower) / drift1
        return under0, under1


@dataclass(frozen=True, slots=True, kw_only=True)
class SprtLook:
    """Where a sequential probability ratio test stands.

    Attributes:
        log_likelihood_ratio: Of p1 against p0.
        upper: Threshold of rejecting p0.
        lower: Threshold of accepting p0.
        decision: `reject_h0`, `accept_h0` or `continue`, as if this were the first crossing.
    """

    log_likelihood_ratio: float
    upper: float
    lower: float
    decision: SprtDecision


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SprtPaths:
    """Tests followed to their first crossing, looks along the last axis.

    Attributes:
        log_likelihood_ratio: At each look, of the shape of the counts.
        decided_at: Number of the look (from 1) at which a test ended, 0 where it goes on; without the last axis.
        rejected: Whether it ended by rejecting p0.
        accepted: Whether it ended by accepting p0.
    """

    log_likelihood_ratio: Floats
    decided_at: NDArray[np.int64]
    rejected: NDArray[np.bool_]
    accepted: NDArray[np.bool_]


def sprt_log_likelihood_ratio(plan: SprtPlan, successes: ArrayLike, n: ArrayLike) -> Floats:
    """Log likelihood ratio of p1 against p0.

    Args:
        plan: The two rates.
        successes: Units with outcome 1 so far, whole numbers in 0..n, any shape.
        n: Units so far.

    Returns:
        successes log(p1 / p0) + (n - successes) log((1 - p1) / (1 - p0)).

    Raises:
        UsageError: Counts are not whole, or successes lie outside 0..n.

    References:
        Wald (1945).
    """
    x, trials = np.broadcast_arrays(np.asarray(successes, dtype=np.float64), np.asarray(n, dtype=np.float64))
    wrong = ~(np.isfinite(trials) & (np.floor(x) == x) & (np.floor(trials) == trials) & (x >= 0.0) & (x <= trials))
    if wrong.any():
        came = f"{x[wrong][0]:g} of {trials[wrong][0]:g}"
        raise UsageError(f"Counts must be whole numbers with successes in 0..n, got {came}.", hint="Pass counts, not rates.")
    return x * plan.step_success + (trials - x) * plan.step_failure


def wald_sprt(plan: SprtPlan, successes: int, n: int) -> SprtLook:
    """The test after `n` units, if it has not ended before.

    Args:
        plan: Rates and errors.
        successes: Units with outcome 1, in 0..n.
        n: Units so far.

    Returns:
        The ratio, the thresholds and what they say.

    Raises:
        UsageError: Counts are not whole, or successes lie outside 0..n.

    References:
        Wald (1945), thresholds log((1 - beta) / alpha) and log(beta / (1 - alpha)).
    """
    ratio = sprt_log_likelihood_ratio(plan, successes, n).item()
    decision: SprtDecision = "reject_h0" if ratio >= plan.upper else "accept_h0" if ratio <= plan.lower else "continue"
    return SprtLook(log_likelihood_ratio=ratio, upper=plan.upper, lower=plan.lower, decision=decision)


def sprt_paths(plan: SprtPlan, successes: ArrayLike, n: ArrayLike) -> SprtPaths:
    """Follow tests along their looks: the first crossing decides, whatever comes after.

    Args:
        plan: Rates and errors.
        successes: Units with outcome 1 up to each look, looks in order along the last axis.
        n: Units up to each look, broadcast against `successes`.

    Returns:
        When and how each test ended.

    Raises:
        UsageError: Counts break their rule.
        DataError: There is no look.
    """
    ratio = sprt_log_likelihood_ratio(plan, successes, n)
    if ratio.ndim == 0 or ratio.shape[-1] == 0:
        raise DataError(f"A path needs at least one look along its last axis, got shape {ratio.shape}.")
    up, down = ratio >= plan.upper, ratio <= plan.lower
    crossed = up | down
    ended = crossed.any(axis=-1)
    first = crossed.argmax(axis=-1)
    by_rejection = np.take_along_axis(up, first[..., None], axis=-1)[..., 0]
    return SprtPaths(
        log_likelihood_ratio=ratio,
        decided_at=np.where(ended, first + 1, 0).astype(np.int64),
        rejected=ended & by_rejection,
        accepted=ended & ~by_rejection,
    )
