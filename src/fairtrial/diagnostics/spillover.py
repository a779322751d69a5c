"""Do control units feel the treatment of their neighbours? A randomisation test where a network or clusters are known.

Half of the units, drawn without regard to their arms, are the focal ones. Among focal
controls the outcome is held against the share of treated neighbours (the dose). Under the
hypothesis that nothing spills over, the outcomes of focal controls would be what they are
however the *other* units were assigned; so these are assigned anew, many times, and the
observed link is compared with what chance makes of it. That is exact for units that were
assigned one by one, whatever the network looks like. Under a spillover linear in the dose
the same test, taken at other slopes than 0, gives an interval.

References: Athey, Eckles & Imbens (2018), JASA 113, 230-240 (focal units); Aronow (2012),
Sociological Methods & Research 41, 3-16; Rosenbaum (2002), Observational Studies, ch. 2
(intervals by inversion).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from fairtrial.errors import UsageError
from fairtrial.stats.result import check_alpha

Floats = NDArray[np.float64]

SpilloverReason = Literal["too_few_connected_controls", "no_variance", "one_arm_only"]
FEWEST = 100
"""Focal controls with neighbours that are needed."""
DRAWS = 1_999
DRAWS_AT_ONCE = 64
BANDS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Upper ends of the bands of dose that are listed; the first is no treated neighbour at all."""
STEPS = 60
"""Halvings of the search for an end of the interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoseBand:
    """Control units by the share of their neighbours that is treated.

    Attributes:
        low: Shares above this belong to the band; the first band holds 0 alone.
        high: Shares up to this.
        n: Control units.
        mean: Their mean outcome; None without units.
    """

    low: float
    high: float
    n: int
    mean: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spillover:
    """Whether controls feel their neighbours' treatment.

    Attributes:
        has_spillover: p_value < alpha; None where it was not tested.
        p_value: Of no spillover at all, by randomisation.
        slope: Change of a control's outcome from no treated neighbour to all of them, in the metric's unit.
        ci_low: Lower end of its interval, under a spillover linear in the dose; None where the data sets no bound.
        ci_high: Upper end.
        connected_controls: Control units with a neighbour at least.
        focal_controls: Those that the test rests on.
        draws: Assignments drawn.
        doses: Control units by dose.
        unavailable_reason: Why it was not tested.
    """

    has_spillover: bool | None
    p_value: float | None
    slope: float | None
    ci_low: float | None
    ci_high: float | None
    connected_controls: int
    focal_controls: int
    draws: int
    doses: tuple[DoseBand, ...]
    unavailable_reason: SpilloverReason | None


def neighbours_of_edges(edges: ArrayLike, units: int) -> Any:
    """A symmetric matrix of zeros and ones from pairs of units; loops and repeated pairs count once or not at all.

    Args:
        edges: Numbers of the units of each edge, shape (m, 2), in [0, units).
        units: Number of units.

    Raises:
        UsageError: The shape is another, or a number is none of a unit.
    """
    ends = np.asarray(edges, dtype=np.int64).reshape(-1, 2) if np.size(edges) == 0 else np.asarray(edges, dtype=np.int64)
    if ends.ndim != 2 or ends.shape[1] != 2 or (ends.size and (ends.min() < 0 or ends.max() >= units)):
        raise UsageError(f"Edges must be pairs of unit numbers below {units}, got shape {ends.shape}.")
    ends = ends[ends[:, 0] != ends[:, 1]]
    both = np.concatenate([ends, ends[:, ::-1]])
    matrix = sparse.csr_matrix((np.ones(both.shape[0]), (both[:, 0], both[:, 1])), shape=(units, units))
    matrix.data[:] = 1.0  # pairs named twice were added up
    return matrix


def neighbours_of_clusters(labels: ArrayLike) -> Any:
    """Neighbours are the other units of one's cluster.

    Args:
        labels: Number of each unit's cluster, shape (units,); below 0 for none.
    """
    codes = np.asarray(labels, dtype=np.int64)
    inside = np.flatnonzero(codes >= 0)
    width = int(codes.max(initial=-1)) + 1
    member = sparse.csr_matrix((np.ones(inside.size), (inside, codes[inside])), shape=(codes.size, width))
    matrix = (member @ member.T).tocsr()
    matrix.setdiag(0.0)
    matrix.eliminate_zeros()
    return matrix


def find_spillover(
    outcome: ArrayLike, treated: ArrayLike, neighbours: Any, *, rng: np.random.Generator, alpha: float = 0.05, draws: int = DRAWS
) -> Spillover:
    """Test whether controls' outcomes follow the share of their neighbours that is treated.

    Args:
        outcome: Outcome of each unit, shape (units,), finite.
        treated: Whether it is in a treatment, shape (units,); units were assigned one by one.
        neighbours: Symmetric sparse matrix of zeros and ones, shape (units, units).
        rng: Draws the focal units and the assignments.
        alpha: Error rate in (0, 1).
        draws: Assignments drawn, >= 99.

    Raises:
        UsageError: Shapes differ, an outcome is not finite, or there are too few draws.
    """
    check_alpha(alpha)
    y, t = np.asarray(outcome, dtype=np.float64), np.asarray(treated, dtype=np.bool_)
    if y.ndim != 1 or t.shape != y.shape or neighbours.shape != (y.size, y.size) or not np.isfinite(y).all():
        raise UsageError(f"Outcomes, arms and neighbours must be of the same units, finite, got {y.shape}, {t.shape}, {neighbours.shape}.")
    if draws < 99:
        raise UsageError(f"A randomisation test needs 99 draws or more, got {draws}.")
    degree = np.asarray(neighbours.sum(axis=1), dtype=np.float64).ravel()
    dose = np.divide(neighbours @ t.astype(np.float64), degree, out=np.zeros(y.size), where=degree > 0.0)
    connected = ~t & (degree > 0.0)
    focal = rng.random(y.size) < 0.5
    rows = np.flatnonzero(connected & focal)
    whole = Spillover(
        has_spillover=None,
        p_value=None,
        slope=None,
        ci_low=None,
        ci_high=None,
        connected_controls=int(connected.sum()),
        focal_controls=rows.size,
        draws=0,
        doses=_bands(y[connected], dose[connected]),
        unavailable_reason=None,
    )
    reason = _reason(y[rows], t[~focal])
    if reason is not None:
        return _replaced(whole, unavailable_reason=reason)
    observed, drawn = _links(y[rows], neighbours[rows], degree[rows], t, focal, rng, draws)
    if observed[1] == 0.0:
        return _replaced(whole, unavailable_reason="no_variance")
    p_value = _p_at(0.0, observed, drawn)
    low, high = (_end(observed, drawn, alpha, side) for side in (-1.0, 1.0))
    return _replaced(
        whole, has_spillover=p_value < alpha, p_value=p_value, slope=observed[0] / observed[1], ci_low=low, ci_high=high, draws=draws
    )


def _replaced(whole: Spillover, **fields: Any) -> Spillover:
    return Spillover(**({name: getattr(whole, name) for name in whole.__slots__} | fields))


def _reason(y: Floats, others: NDArray[np.bool_]) -> SpilloverReason | None:
    if y.size < FEWEST:
        return "too_few_connected_controls"
    if others.all() or not others.any():
        return "one_arm_only"
    return "no_variance" if float(np.ptp(y)) == 0.0 else None


def _bands(y: Floats, dose: Floats) -> tuple[DoseBand, ...]:
    bands: list[DoseBand] = []
    for place, high in enumerate(BANDS):
        low = 0.0 if place == 0 else BANDS[place - 1]
        inside = dose == 0.0 if place == 0 else (dose > low) & (dose <= high)
        n = int(inside.sum())
        bands.append(DoseBand(low=low, high=high, n=n, mean=float(y[inside].mean()) if n else None))
    return tuple(bands)


def _links(
    y: Floats, near: Any, degree: Floats, treated: NDArray[np.bool_], focal: NDArray[np.bool_], rng: np.random.Generator, draws: int
) -> tuple[tuple[float, float], tuple[Floats, Floats]]:
    """What outcome and dose of focal controls have in common with the dose less its expectation: observed, and by draw."""
    others = np.flatnonzero(~focal)
    fixed = near @ np.where(focal, treated, 0.0)
    moving = near[:, others]
    arms = treated[others].astype(np.float64)
    expected = (fixed + np.asarray(moving.sum(axis=1)).ravel() * arms.mean()) / degree
    dose = (fixed + moving @ arms) / degree
    centred = np.stack([y - y.mean(), dose - dose.mean()])
    observed = centred @ (dose - expected)
    found = np.empty((2, draws))
    for start in range(0, draws, DRAWS_AT_ONCE):
        count = min(DRAWS_AT_ONCE, draws - start)
        shuffled = rng.permuted(np.broadcast_to(arms, (count, arms.size)), axis=1).T
        found[:, start : start + count] = centred @ ((fixed[:, None] + moving @ shuffled) / degree[:, None] - expected[:, None])
    return (float(observed[0]), float(observed[1])), (found[0], found[1])


def _p_at(slope: float, observed: tuple[float, float], drawn: tuple[Floats, Floats]) -> float:
    """The p-value of a spillover with this slope."""
    seen = abs(observed[0] - slope * observed[1])
    by_chance = np.abs(drawn[0] - slope * drawn[1])
    return float((1 + (by_chance >= seen * (1.0 - 1e-12)).sum()) / (1 + by_chance.size))


def _end(observed: tuple[float, float], drawn: tuple[Floats, Floats], alpha: float, side: float) -> float | None:
    """Where p falls to alpha on one side of the estimate; None where it never does."""
    centre = observed[0] / observed[1]
    spread = float(np.abs(drawn[0] - centre * drawn[1]).max()) / abs(observed[1])
    inside, outside = 0.0, max(spread, 1e-12)
    for _ in range(STEPS):
        if _p_at(centre + side * outside, observed, drawn) <= alpha:
            break
        inside, outside = outside, 2.0 * outside
    else:
        return None
    for _ in range(STEPS):
        middle = 0.5 * (inside + outside)
        if _p_at(centre + side * middle, observed, drawn) <= alpha:
            outside = middle
        else:
            inside = middle
    return centre + side * outside


def told_doses(doses: Sequence[DoseBand]) -> list[dict[str, Any]]:
    """Bands as plain values."""
    return [{"low": band.low, "high": band.high, "n": band.n, "mean": band.mean} for band in doses]
