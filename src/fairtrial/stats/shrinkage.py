"""What a measured effect is worth once one allows for having been chosen because it looked good (winner's curse).

Effects that are launched are those that came out well, so their estimates are too large on average.
With true effects spread as N(0, prior_sd^2) and an estimate N(effect, std_error^2), the belief after the data is

    N(k * estimate, k * std_error^2),  k = prior_sd^2 / (prior_sd^2 + std_error^2)

which stays right whatever was chosen by looking at the estimate, early stops included.

Source: van Zwet and Cator (2021), The significance filter, the winner's curse and the need to shrink,
Statistica Neerlandica 75, 437-452.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.special import ndtri

from fairtrial.stats.power import check_positive
from fairtrial.stats.result import Interval, check_alpha


@dataclass(frozen=True, slots=True, kw_only=True)
class Shrunk:
    """An effect drawn towards 0.

    Attributes:
        effect: Mean of the belief, in the unit of the estimate.
        interval: Its equal-tailed credible interval of level 1 - alpha.
        factor: Part of the estimate that is kept, in (0, 1].
    """

    effect: float
    interval: Interval
    factor: float


def shrink_to_prior(effect: float, std_error: float, *, prior_sd: float, alpha: float = 0.05) -> Shrunk:
    """Draw one estimate towards 0 by what is known of effects of its kind.

    Args:
        effect: The estimate, in any unit.
        std_error: Its standard error, >= 0; at 0 the estimate is kept as it is.
        prior_sd: Standard deviation of the true effects of such changes, in the same unit, > 0.
        alpha: 1 - level of the credible interval.

    Raises:
        UsageError: `prior_sd` is not above 0, or `alpha` is no error rate.
    """
    check_positive("prior_sd", prior_sd)
    half = float(-ndtri(check_alpha(alpha) / 2.0))
    factor = 1.0 / (1.0 + (std_error / prior_sd) ** 2)
    mean, sd = factor * effect, math.sqrt(factor) * std_error
    return Shrunk(effect=mean, interval=Interval(low=mean - half * sd, high=mean + half * sd), factor=factor)
