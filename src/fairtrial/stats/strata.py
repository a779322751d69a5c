"""Post-stratified arms: the moments of strata brought to moments that every comparison reads.

With the strata's shares w_s of all units (of all arms together), an arm's value is
sum of w_s mean_s, whatever shares the arm itself happened to get, and the
covariance of these values is sum of w_s^2 S_s / n_s with S_s the stratum's sample
covariance. Moments of n units with this mean, and with cross-products n (n - 1)
times this covariance, have exactly these as their mean and the mean's
covariance, so that a difference, a ratio, CUPED and any sequential method made of
them is post-stratified.

Assumes strata known before assignment and their shares taken as fixed; the price of
small strata is in the variance, but a stratum needs two units in each arm to have one.

Reference: Miratrix, Sekhon & Yu (2013), JRSS B 75, 369-396, section 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fairtrial.errors import NotEnoughDataError, UsageError
from fairtrial.stats.moments import CoMoments

LEAST_UNITS = 2
"""Units that a stratum needs in each arm."""


def post_stratified_moments(strata: Sequence[CoMoments], weights: Sequence[float]) -> CoMoments:
    """One arm's moments, post-stratified.

    Args:
        strata: The arm's moments in each stratum, two units at least, of the same columns.
        weights: Shares of the strata, summing to 1, the same for every arm.

    Returns:
        Moments whose mean is the weighted mean, and whose cross / (n - 1) / n is the covariance of it.

    Raises:
        UsageError: The weights are not one share a stratum, or the columns differ.
        NotEnoughDataError: A stratum has fewer than two units.

    References:
        Miratrix, Sekhon & Yu (2013), equations 5 and 6.
    """
    share = np.asarray(weights, dtype=np.float64)
    if not strata or share.shape != (len(strata),) or (share < 0.0).any() or not abs(float(share.sum()) - 1.0) <= 1e-9:
        raise UsageError(f"Weights must be one share a stratum and sum to 1, got {share.tolist()} for {len(strata)} strata.")
    if len({stratum.columns for stratum in strata}) > 1:
        raise UsageError(f"Strata must have the same columns, got {sorted({stratum.columns for stratum in strata})}.")
    smallest = min(stratum.n for stratum in strata)
    if smallest < LEAST_UNITS:
        raise NotEnoughDataError(
            f"Each stratum needs at least {LEAST_UNITS} units in each arm, got {smallest}.", code="thin_stratum", hint="Merge small strata."
        )
    n = sum(stratum.n for stratum in strata)
    sizes = np.array([stratum.n for stratum in strata], dtype=np.float64)
    mean = share @ np.array([stratum.mean for stratum in strata])
    scale = np.square(share) / sizes / (sizes - 1.0)
    covariance = np.einsum("s,sij->ij", scale, np.array([stratum.cross for stratum in strata]))
    return CoMoments(n=n, mean=mean, cross=np.asarray(covariance * (float(n) * (n - 1.0))))


def pooled_shares(arms: Sequence[Mapping[str, int]]) -> dict[str, float]:
    """Share of each stratum among the units of all arms, in order of name.

    Args:
        arms: Units by stratum, for each arm.

    Raises:
        UsageError: There are no units.
    """
    names = sorted({name for arm in arms for name in arm})
    total = sum(sum(arm.values()) for arm in arms)
    if total < 1:
        raise UsageError("Shares of strata need units, got none.")
    return {name: sum(arm.get(name, 0) for arm in arms) / total for name in names}
