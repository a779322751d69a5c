"""A rate watched against a limit for the whole of a run, whenever it may change.

One e-process that begins at the start sees a rate which was always too high, but after
weeks of health it must first forget them. So one begins at the start of every
window as well: with weights that sum to one, their mean

    M = sum_k w_k E_k,    E_k = the mixture e-value of all counts since window k began,

is an e-process again, because each E_k is one (it is 1 until its window begins) and
weights do not look at the data. By Ville's inequality M reaches 1 / alpha in a run whose rate never
exceeds the limit with probability at most alpha, however often it is looked at. What a change of
rate after k windows costs is the factor 1 / w_k = the number of planned windows: a
logarithm of it in evidence. M depends on counts by window alone, so those of several processes add.

References: Ville (1939); Howard, Ramdas, McAuliffe & Sekhon (2021), Annals of Statistics 49,
1055-1080, proposition 7 (E_k); Shin, Ramdas & Rinaldo (2024), New England Journal of Statistics in
Data Science 2, 229-260 (e-detectors: the same sum without the weights, which bounds the run
length rather than the probability).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from fairtrial.errors import UsageError
from fairtrial.stats.sequential.bernoulli import bernoulli_log_e_value

Floats = NDArray[np.float64]

TUNED_FOR = 1_000
"""Trials since the change at which the mixture is tightest."""


def rate_change_log_e_value(
    counts: ArrayLike,
    trials: ArrayLike,
    *,
    limit: float,
    planned_windows: int,
    alternative: Literal["greater", "less"] = "greater",
    n_opt: float = TUNED_FOR,
) -> float:
    """Log e-value against "the rate never lies beyond the limit", from counts by window.

    Args:
        counts: Events by window in order of time, shape (k,), k >= 0; the last window may be unfinished.
        trials: Trials by window, shape (k,).
        limit: Rate allowed, in (0, 1).
        planned_windows: Windows of the planned run, >= 1; windows beyond them begin no process of their own.
        alternative: `greater`: the limit is the largest rate allowed; `less`: the smallest.
        n_opt: Trials since the change at which the mixture is tightest.

    Returns:
        log M; a rate beyond the limit is shown at level alpha when it reaches log(1 / alpha).

    Raises:
        UsageError: Shapes differ, a count exceeds its trials, or a value lies outside its range.
    """
    if planned_windows < 1:
        raise UsageError(f"planned_windows must be 1 or more, got {planned_windows}.")
    logs = log_e_values_since(counts, trials, limit=limit, alternative=alternative, n_opt=n_opt)[:planned_windows]
    parts = np.append(logs, 0.0)
    weights = np.append(np.ones(logs.size), float(planned_windows - logs.size))
    return float(special.logsumexp(parts, b=weights)) - float(np.log(planned_windows))


def log_e_values_since(
    counts: ArrayLike, trials: ArrayLike, *, limit: float, alternative: Literal["greater", "less"] = "greater", n_opt: float = TUNED_FOR
) -> Floats:
    """Log E_k of all counts since each window began; where it is largest the rate most likely changed.

    Args:
        counts: Events by window in order of time, shape (k,), k >= 0.
        trials: Trials by window, shape (k,).
        limit: Rate allowed, in (0, 1).
        alternative: `greater`: the limit is the largest rate allowed; `less`: the smallest.
        n_opt: Trials at which the mixture is tightest.

    Returns:
        Log e-values, shape (k,).

    Raises:
        UsageError: Shapes differ, a count exceeds its trials, or a value lies outside its range.
    """
    events, n = np.atleast_1d(np.asarray(counts, dtype=np.float64)), np.atleast_1d(np.asarray(trials, dtype=np.float64))
    if events.ndim != 1 or events.shape != n.shape:
        raise UsageError(f"Counts and trials must be two lists of one length, got shapes {events.shape} and {n.shape}.")
    since_events, since_trials = (np.cumsum(series[::-1])[::-1] for series in (events, n))
    return bernoulli_log_e_value(since_events, since_trials, null=limit, n_opt=n_opt, alternative=alternative)


def quantile_lower_bound(edges: ArrayLike, at_or_below: ArrayLike, n: int, *, q: float, alpha: float, n_opt: float = TUNED_FOR) -> float:
    """Lower bound of a quantile that holds at every look, from a histogram.

    Were the quantile x or less, each value would exceed x with probability at most 1 - q; the largest x at
    which the count above it refutes that is the bound. One test, at the quantile itself, decides for
    all x, since the count above x only falls with x.

    Args:
        edges: Upper edges of the bins, rising, shape (b,).
        at_or_below: Values at or below each edge, shape (b,).
        n: Values in all.
        q: Which quantile, in (0, 1).
        alpha: Error rate over all looks, in (0, 1).
        n_opt: Values at which the bound is tightest.

    Returns:
        The bound; -inf while there is too little evidence for any.
    """
    above = n - np.asarray(at_or_below, dtype=np.float64)
    logs = bernoulli_log_e_value(above, np.full(above.shape, float(n)), null=1.0 - q, n_opt=n_opt, alternative="greater")
    shown = np.flatnonzero(logs >= -np.log(alpha))
    return float(np.asarray(edges, dtype=np.float64)[shown[-1]]) if shown.size else -np.inf


def quantile_upper_bound(edges: ArrayLike, at_or_below: ArrayLike, n: int, *, q: float, alpha: float, n_opt: float = TUNED_FOR) -> float:
    """Upper bound of a quantile that holds at every look; arguments as `quantile_lower_bound`, inf while there is none."""
    below = np.asarray(at_or_below, dtype=np.float64)
    logs = bernoulli_log_e_value(below, np.full(below.shape, float(n)), null=q, n_opt=n_opt, alternative="greater")
    shown = np.flatnonzero(logs >= -np.log(alpha))
    return float(np.asarray(edges, dtype=np.float64)[shown[0]]) if shown.size else np.inf
