"""All pairs of arms at once: Tukey's honestly significant differences, and Games and Howell's for unequal variances.

No arm is the control: each pair is compared, and the family-wise error of all
k (k - 1) / 2 comparisons is held by the studentised range. With arms of unequal
size Tukey and Kramer's standard error is taken, which is slightly cautious (Hayter
1984). The intervals hold all at once, and one leaves 0 out exactly when its adjusted
p-value lies below alpha.

References: Tukey (1953), The Problem of Multiple Comparisons; Kramer (1956),
Biometrics 12, 307-310; Hayter (1984), Annals of Statistics 12, 61-75; Games & Howell
(1976), Journal of Educational Statistics 1, 113-125.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.contrast import satterthwaite_df
from fairtrial.stats.joint_tails import studentised_range_quantile, studentised_range_tail
from fairtrial.stats.moments import Moments
from fairtrial.stats.result import check_alpha

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AllPairs:
    """Comparisons of all pairs of arms; arrays of shape (pairs,).

    Attributes:
        pairs: Arms of each comparison by place from 0, first < second, shape (pairs, 2).
        effect: Mean of the second - mean of the first.
        std_error: Standard errors of `effect`.
        df: Degrees of freedom.
        p_adjusted: Probability that some pair of equal arms differs as much.
        low: Lower ends of the simultaneous intervals.
        high: Upper ends.
        alpha: Error rate of the family.
    """

    pairs: NDArray[np.intp]
    effect: Floats
    std_error: Floats
    df: Floats
    p_adjusted: Floats
    low: Floats
    high: Floats
    alpha: float


def tukey_hsd(arms: Sequence[Moments], *, variances: Literal["equal", "unequal"] = "equal", alpha: float = 0.05) -> AllPairs:
    """Compare the means of all pairs of arms.

    Args:
        arms: Moments of each arm, at least two arms; sizes may differ.
        variances: `equal` pools the variances of all arms (Tukey-Kramer); `unequal` takes those of the
            two arms with Welch's degrees of freedom (Games-Howell), which is approximate.
        alpha: Error rate of the family, in (0, 1).

    Returns:
        Adjusted p-values and simultaneous intervals of all pairs.

    Raises:
        UsageError: Fewer than two arms, or an option breaks its rule.
        NotEnoughDataError: Too few units for a variance.
        DataError: Nothing varies.

    References:
        Kramer (1956); Games & Howell (1976), equation 4.
    """
    check_alpha(alpha)
    if variances not in {"equal", "unequal"}:
        raise UsageError(f"variances must be 'equal' or 'unequal', got {variances!r}.")
    if len(arms) < 2:
        raise UsageError(f"A comparison of all pairs needs at least two arms, got {len(arms)}.")
    n, mean = np.array([float(arm.n) for arm in arms]), np.array([arm.mean for arm in arms])
    first, second = np.triu_indices(n.size, 1)
    if variances == "equal":
        within = float(n.sum()) - n.size
        if within < 1.0:
            raise NotEnoughDataError(f"A pooled variance needs an arm with two units, got {[arm.n for arm in arms]}.", code="too_few_units")
        own = sum(arm.m2 for arm in arms) / within / n
        df = np.full(first.size, within)
    else:
        if n.min() < 2.0:
            raise NotEnoughDataError(f"Each arm needs at least two units, got {[arm.n for arm in arms]}.", code="too_few_units")
        own = np.array([arm.variance for arm in arms]) / n
        df = satterthwaite_df(own[first], n[first], own[second], n[second])
    error = np.sqrt(own[first] + own[second])
    if not (error > 0.0).all():
        raise DataError("The metric does not vary in some pair of arms, so nothing can be inferred.", code="no_variance")
    effect = mean[second] - mean[first]
    ranges = math.sqrt(2.0) * np.abs(effect) / error
    quantiles = {nu: studentised_range_quantile(alpha, n.size, df=nu) for nu in dict.fromkeys(df.tolist())}
    reach = np.array([quantiles[nu] for nu in df.tolist()]) / math.sqrt(2.0) * error
    adjusted = [studentised_range_tail(q, n.size, df=nu) for q, nu in zip(ranges.tolist(), df.tolist(), strict=True)]
    return AllPairs(
        pairs=np.stack([first, second], axis=1),
        effect=effect,
        std_error=error,
        df=df,
        p_adjusted=np.array(adjusted),
        low=effect - reach,
        high=effect + reach,
        alpha=alpha,
    )
