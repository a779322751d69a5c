"""Runs of a rate watched against its limit: how often a healthy one is stopped, how soon a sick one is found.

`stats.sequential.change` tests by M = sum_k w_k E_k, of one mixture for each window that began. For one rate p of
the mixture the sum over windows obeys the recursion of Shiryaev and Roberts, S = (1 + S before) LR of the window, so M is
its mean over p: by quadrature a run costs its length and not the square of it. The two agree to the quadrature's
error, which tests hold to 1e-3 of the logarithm.

References: Roberts (1966), Technometrics 8, 411-430; Shin, Ramdas & Rinaldo (2024), New England Journal of Statistics
in Data Science 2, 229-260.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from fairtrial.errors import UsageError
from fairtrial.stats.sequential.bernoulli import prior_strength
from fairtrial.stats.sequential.change import TUNED_FOR

Floats = NDArray[np.float64]

PANELS, NODES = 32, 5
NEAREST = 1e-5
"""Smallest distance of a node from the limit, as a part of the limit."""

BLOCK = 125
"""Runs simulated at once."""

LARGEST = 1e250
"""Sums stay below this; a run there has alarmed long before."""


def first_alarms(
    rates: ArrayLike,
    requests: ArrayLike,
    *,
    checks_per_window: int,
    limit: float,
    alpha: float,
    planned_windows: int,
    runs: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Simulate runs and find the check at which each is stopped.

    Args:
        rates: True rate before each check, in [0, 1], shape (checks,).
        requests: Requests between checks, shape (checks,).
        checks_per_window: Checks in a window; the last one is at its end.
        limit: Rate allowed, in (0, 1).
        alpha: Error rate of this test.
        planned_windows: Windows of the planned run.
        runs: How many to simulate.
        rng: Source of randomness.

    Returns:
        Number of the check, from 1, at which each run is stopped; 0 for runs that are not, shape (runs,).

    Raises:
        UsageError: Shapes differ, or the checks are more than the plan's windows hold.
    """
    p, n = np.asarray(rates, dtype=np.float64), np.asarray(requests, dtype=np.int64)
    if p.ndim != 1 or p.shape != n.shape or p.size > planned_windows * checks_per_window:
        rule = f"Rates and requests must be two lists of one length within {planned_windows} windows of {checks_per_window} checks"
        raise UsageError(f"{rule}, got shapes {p.shape} and {n.shape}.")
    alarms = [
        _block(p, n, checks_per_window, limit, planned_windows / alpha, planned_windows, min(BLOCK, runs - done), rng)
        for done in range(0, runs, BLOCK)
    ]
    return np.concatenate(alarms)


def _block(
    p: Floats,
    n: NDArray[np.int64],
    checks_per_window: int,
    limit: float,
    level: float,
    planned_windows: int,
    runs: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """A block of runs, small enough to stay in the cache."""
    yes, no, weights = _mixture(limit)
    before = np.zeros((runs, weights.size))
    alarm = np.zeros(runs, dtype=np.int64)
    going = np.arange(runs)
    events, trials = np.zeros(runs), 0
    for check in range(p.size):
        events += rng.binomial(n[check], p[check], runs)
        trials += int(n[check])
        logs = np.multiply.outer(events[going], yes - no) + trials * no
        now = (1.0 + before) * np.exp(np.minimum(logs, 500.0))
        window = check // checks_per_window
        crossed = now @ weights + (planned_windows - window - 1) >= level
        alarm[going[crossed]] = check + 1
        going, before, now = going[~crossed], before[~crossed], now[~crossed]
        if not going.size:
            break
        if (check + 1) % checks_per_window == 0:
            before, trials = np.minimum(now, LARGEST), 0
            events[:] = 0.0
    return alarm


def log_e_value_by_recursion(counts: ArrayLike, trials: ArrayLike, *, limit: float, planned_windows: int) -> float:
    """`rate_change_log_e_value` of counts by window, by the recursion, for comparison."""
    yes, no, weights = _mixture(limit)
    total = np.zeros(weights.size)
    events, n = np.asarray(counts, dtype=np.float64), np.asarray(trials, dtype=np.float64)
    for x, size in zip(events, n, strict=True):
        total = (1.0 + total) * np.exp(x * yes + (size - x) * no)
    return math.log((float(total @ weights) + planned_windows - events.size) / planned_windows)


def _mixture(limit: float) -> tuple[Floats, Floats, Floats]:
    """Logarithms of p / limit and (1 - p) / (1 - limit) at the nodes of the mixture, and their weights, which sum to 1."""
    strength = prior_strength(TUNED_FOR, alternative="greater").item()
    a, b = strength * limit, strength * (1.0 - limit)
    edges = np.linspace(math.log(NEAREST * limit), math.log(1.0 - limit), PANELS + 1)
    x, w = np.polynomial.legendre.leggauss(NODES)
    half = np.diff(edges)[:, None] / 2.0
    far = np.exp((edges[:-1, None] + half + half * x).ravel())
    p = limit + far
    density = special.xlogy(a - 1.0, p) + special.xlog1py(b - 1.0, -np.minimum(p, 1.0 - 1e-16))
    weights = (half * w).ravel() * far * np.exp(density - density.max())
    return np.log(p / limit), np.log1p(-far / (1.0 - limit)), weights / weights.sum()
