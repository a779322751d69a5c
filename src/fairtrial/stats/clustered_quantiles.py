"""A quantile of rows that belong to users: the interval allows for rows of one user being alike.

The share of rows below a value is a ratio of sums over users, whose variance the delta method
gives; the interval of the quantile lies between the order statistics that far from it.

References: Deng, Knoblich & Lu (2018), KDD, section 4.2.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from fairtrial.errors import UsageError
from fairtrial.stats.moments import CoMoments
from fairtrial.stats.quantiles import QuantileSummary
from fairtrial.stats.ratio import ratio_value
from fairtrial.stats.result import Interval, Unavailable, check_alpha
from fairtrial.stats.samples import sample_of


def clustered_quantile(
    sample: ArrayLike, clusters: NDArray[np.intp], probability: float, *, alpha: float = 0.05
) -> QuantileSummary | Unavailable:
    """A quantile of rows with an interval over the users that they belong to.

    Args:
        sample: Values of rows, shape (n,).
        clusters: A whole number per user, shape (n,).
        probability: Which quantile, in (0, 1).
        alpha: Error rate in (0, 1).

    Returns:
        The quantile (Hyndman-Fan type 7), its interval and the number of users; `Unavailable` where the rows do not
        reach as far as the interval.

    Raises:
        UsageError: `probability` or `alpha` lies outside (0, 1), or the shapes do not match.
        DataError: The sample is empty, or a value is not finite.

    References:
        Deng, Knoblich & Lu (2018), section 4.2.
    """
    check_alpha(alpha)
    if not 0.0 < probability < 1.0:
        raise UsageError(f"The probability of a quantile must lie in (0, 1), got {probability}.")
    values = sample_of(sample)
    if clusters.shape != values.shape:
        raise UsageError(f"Every value belongs to a user, got {values.size} values and {clusters.size} users.")
    value = float(np.quantile(values, probability))
    users, codes = np.unique(clusters, return_inverse=True)
    rows = np.bincount(codes).astype(np.float64)
    below = np.bincount(codes, weights=(values <= value).astype(np.float64))
    error = ratio_value(CoMoments.from_values(np.column_stack([below, rows]))).std_error
    reach = None if error is None else -float(special.ndtri(alpha / 2.0)) * error
    ordered = np.sort(values)
    low = -1 if reach is None else math.floor(values.size * (probability - reach)) - 1
    high = values.size if reach is None else math.ceil(values.size * (probability + reach))
    if low < 0 or high >= values.size:
        return Unavailable(
            code="too_few_units", reason=f"{users.size} users are too few to bound the quantile {probability:g} of their rows."
        )
    return QuantileSummary(
        n=int(users.size), value=value, interval=Interval(low=float(ordered[low]), high=float(ordered[high])), alpha=alpha
    )
