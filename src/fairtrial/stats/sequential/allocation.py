"""Sequential sample-ratio check: watch arm sizes after every batch without crying wolf.

Pearson's test looked at daily errs far more often than its alpha. Here the counts'
likelihood under a Dirichlet mixture centred on the planned shares is held
against that of the shares themselves: a martingale of mean one when units are
assigned as planned, so it reaches 1 / alpha, ever, with probability at most alpha.
It is exact at any size, may be read after any unit, and is kept as a logarithm,
for a broken split soon reaches e-values beyond 1e308.

The concentration says which mismatch is found soonest: shares off by about
sqrt(share (1 - share) / concentration). Units must be assigned independently.
Arms with a planned share of 0 take no part (as in `srm`); units found there are counted apart.

Reference: Lindon & Malek (2022), "Anytime-valid inference for multinomial count
data", NeurIPS 35 (arXiv 2011.03567, 2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from fairtrial.errors import DataError, UsageError
from fairtrial.stats.result import check_alpha
from fairtrial.stats.sequential.dirichlet import dirichlet_multinomial_log_e_value
from fairtrial.stats.sequential.msprt import always_valid_p_values
from fairtrial.stats.sequential.normal_mixture import positive

Floats = NDArray[np.float64]

DEFAULT_CONCENTRATION = 10_000.0
"""Total weight of the prior in units: at 50/50 tuned to arms off by half a point, whose
detection needs some 1e5 units; larger mismatches are found within a few thousand all the same."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SequentialSrm:
    """Arm sizes watched over looks; arrays have the looks along the last axis.

    Attributes:
        log_e_value: Natural logarithms of the e-values (Bayes factors) against the planned shares, at each look.
        p_value: Sequential p-values: the least 1 / e so far, at most 1; never rising.
        posterior: Probability of a mismatch at each look, had it been as likely as not before.
        observed_shares: Shares at the last look among arms with a planned share, 0 for the others.
        units_without_share: Units at the last look in arms whose planned share is 0: more than none is
            an error of assignment or logging.
    """

    log_e_value: Floats
    p_value: Floats
    posterior: Floats
    observed_shares: Floats
    units_without_share: Floats

    def first_detection(self, alpha: float = 0.001) -> NDArray[np.int64]:
        """Number of the look (from 1) at which the mismatch was detected, 0 where it was not.

        Args:
            alpha: Error rate in (0, 1) over all looks together.

        Returns:
            Numbers of looks, of the shape of the replicates (a single number for one experiment).

        Raises:
            UsageError: `alpha` lies outside (0, 1).
        """
        found = self.p_value <= check_alpha(alpha)
        return np.where(found.any(axis=-1), found.argmax(axis=-1) + 1, 0).astype(np.int64)


def sequential_srm(
    counts: ArrayLike,
    shares: Sequence[float],
    *,
    concentration: float = DEFAULT_CONCENTRATION,
    dirichlet_alpha: Sequence[float] | None = None,
) -> SequentialSrm:
    """Test at every look that arm sizes follow the planned shares.

    Args:
        counts: Units by arm up to each look, whole numbers >= 0 that never fall: shape (..., looks, arms).
        shares: Planned shares by arm, >= 0, in any unit (they are divided by their sum).
        concentration: Total of the Dirichlet prior, which is centred on the shares; > 0.
        dirichlet_alpha: The prior's own parameters by arm, > 0 where the share is; takes the place of `concentration`.

    Returns:
        The running evidence.

    Raises:
        UsageError: Counts are not whole or fall, or lengths or ranges are wrong.
        DataError: Fewer than two arms have a planned share, or there is no look.

    References:
        Lindon & Malek (2022), the Bayes factor and its sequential p-value.
    """
    weights = _shares(shares)
    planned = weights > 0.0
    seen = _counts(counts, weights.size)
    theta = weights[planned] / weights[planned].sum()
    prior = theta * positive("concentration", concentration) if dirichlet_alpha is None else _prior(dirichlet_alpha, planned)
    log_e = dirichlet_multinomial_log_e_value(seen[..., planned], prior, theta)
    last = np.where(planned, seen[..., -1, :], 0.0)
    total = last.sum(axis=-1, keepdims=True)
    return SequentialSrm(
        log_e_value=log_e,
        p_value=always_valid_p_values(log_e),
        posterior=np.asarray(special.expit(log_e)),
        observed_shares=np.divide(last, total, out=np.zeros_like(last), where=total > 0.0),
        units_without_share=seen[..., -1, ~planned].sum(axis=-1),
    )


def _shares(shares: Sequence[float]) -> Floats:
    weights = np.asarray(shares, dtype=np.float64)
    if weights.ndim != 1 or not (np.isfinite(weights) & (weights >= 0.0)).all():
        raise UsageError(f"Planned shares must be one finite number >= 0 an arm, got {list(shares)}.")
    if (weights > 0.0).sum() < 2:
        raise DataError("A sample-ratio check needs two arms with a planned share.", hint="Give the share of every arm.")
    return weights


def _counts(counts: ArrayLike, arms: int) -> Floats:
    seen = np.asarray(counts, dtype=np.float64)
    if seen.ndim < 2 or seen.shape[-1] != arms:
        raise UsageError(f"Counts must have the shape (looks, {arms} arms), replicates in front, got {seen.shape}.")
    if seen.shape[-2] == 0:
        raise DataError("A sequential sample-ratio check needs at least one look, got none.")
    if not (np.isfinite(seen) & (seen >= 0.0) & (np.floor(seen) == seen)).all():
        raise UsageError("Arm sizes must be whole numbers >= 0.")
    if (np.diff(seen, axis=-2) < 0.0).any():
        raise UsageError(
            "Arm sizes must not fall from look to look.", hint="Pass the units so far, not those of each day: numpy.cumsum over looks."
        )
    return seen


def _prior(dirichlet_alpha: Sequence[float], planned: NDArray[np.bool_]) -> Floats:
    prior = np.asarray(dirichlet_alpha, dtype=np.float64)
    if prior.shape != planned.shape:
        raise UsageError(f"dirichlet_alpha must have a parameter for each of {planned.size} arms, got shape {prior.shape}.")
    chosen = prior[planned]
    if not (np.isfinite(chosen) & (chosen > 0.0)).all():
        raise UsageError(f"dirichlet_alpha must be positive and finite where the share is, got {list(dirichlet_alpha)}.")
    return chosen
