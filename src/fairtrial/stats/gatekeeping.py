"""Families of hypotheses in an order of importance: serial and parallel gatekeeping, and graphs that pass alpha on.

The family-wise error over all hypotheses of all families is held at alpha, while
hypotheses that matter less are tested with what those that matter more have won:

- **serial**: a family is tested, by any correction, at full alpha once every hypothesis
  of the families before it is rejected;
- **parallel**: each rejected hypothesis hands its share of alpha on to the next family,
  so one success opens it; families but the last are tested by (weighted) Bonferroni;
- **graph**: every hypothesis starts with a share of alpha, and says to whom it goes once it is
  rejected (Bretz et al. 2009). Holm, fixed sequence, fallback and parallel gatekeeping are
  such graphs. Valid under any dependence, because each step is Bonferroni's.

In the words of a spec the families are the roles: primary, then guardrail, then
secondary. Adjusted p-values compare with alpha directly; each interval at its local level
leaves the null out exactly when its adjusted p-value lies below alpha, and is not simultaneous.

References: Maurer, Hothorn & Lehmacher (1995); Dmitrienko, Offen & Westfall (2003),
Statistics in Medicine 22, 2387-2400 (parallel); Bretz, Maurer, Brannath & Posch (2009),
Statistics in Medicine 28, 586-604 (graphs).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairtrial.errors import UsageError
from fairtrial.stats.multiplicity import Adjusted, Method, adjust
from fairtrial.stats.result import check_alpha

Floats = NDArray[np.float64]
Gate = Literal["serial", "parallel"]

ROLES = ("primary", "guardrail", "secondary")
"""The order in which roles are tested."""

FAMILY_WISE = ("bonferroni", "sidak", "holm", "holm-sidak", "hochberg", "hommel")
"""Corrections that hold the family-wise error, as a gate must."""

_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Graph:
    """Shares of alpha and where each goes when its hypothesis is rejected.

    Attributes:
        weights: Shares at the start, shape (k,), >= 0, summing to at most 1.
        transitions: Share of i's weight that goes to j, shape (k, k), zero on the diagonal, rows
            summing to at most 1.
    """

    weights: Floats
    transitions: Floats

    def __post_init__(self) -> None:
        k = self.weights.size
        if self.weights.ndim != 1 or k == 0 or self.transitions.shape != (k, k):
            raise UsageError(f"A graph needs weights (k,) and transitions (k, k), got {self.weights.shape} and {self.transitions.shape}.")
        whole = 1.0 + _ROUNDING * k
        if not (self.weights >= 0.0).all() or self.weights.sum() > whole or not self.weights.sum() > 0.0:
            raise UsageError(f"Weights must be >= 0 and sum to more than 0 and at most 1, got {self.weights.tolist()}.")
        if not (self.transitions >= 0.0).all() or (self.transitions.sum(axis=1) > whole).any() or np.diagonal(self.transitions).any():
            raise UsageError("Transitions must be >= 0, with rows that sum to at most 1 and a diagonal of zeros.")


def graphical_test(p_values: ArrayLike, graph: Graph, *, alpha: float = 0.05) -> Adjusted:
    """Test hypotheses in the order that a graph of alpha lays down.

    Args:
        p_values: In [0, 1], shape (..., k): each run along the last axis is one set of hypotheses.
        graph: Shares of alpha and their ways.
        alpha: Family-wise error rate in (0, 1).

    Returns:
        Adjusted p-values and local levels, of the same shape. A hypothesis that no alpha reaches
        has an adjusted p-value of 1.

    Raises:
        UsageError: A p-value or `alpha` breaks its rule, or there are not as many as the graph has.

    References:
        Bretz, Maurer, Brannath & Posch (2009), algorithms 1 and 2.
    """
    check_alpha(alpha)
    p = _checked(p_values)
    k = graph.weights.size
    if p.shape[-1] != k:
        raise UsageError(f"The graph is over {k} hypotheses, got {p.shape[-1]} p-values.")
    flat = p.reshape(-1, k)
    runs = np.arange(flat.shape[0])
    weights = np.broadcast_to(graph.weights, flat.shape).copy()
    ways = np.broadcast_to(graph.transitions, (*flat.shape, k)).copy()
    left, adjusted, reached = np.ones(flat.shape, dtype=np.bool_), np.ones_like(flat), np.zeros(flat.shape[0])
    for _ in range(k):
        ratio = np.where(left & (weights > 0.0), flat / np.where(weights > 0.0, weights, 1.0), np.inf)
        chosen = np.argmin(ratio, axis=1)
        reached = np.maximum(reached, ratio[runs, chosen])
        adjusted[runs, chosen] = np.minimum(adjusted[runs, chosen], reached)
        left[runs, chosen] = False
        weights, ways = _passed_on(weights, ways, chosen, left)
    return _adjusted(p, adjusted.reshape(p.shape), alpha)


def serial_gatekeeping(families: Sequence[ArrayLike], *, correction: Method = "holm", alpha: float = 0.05) -> tuple[Adjusted, ...]:
    """Test each family at full alpha once all hypotheses of the families before it are rejected.

    Args:
        families: p-values of each family in order of importance, shapes (..., k_f).
        correction: Within a family; one that holds the family-wise error.
        alpha: Error rate over all families, in (0, 1).

    Returns:
        For each family its adjusted p-values and local levels.

    Raises:
        UsageError: There are no families, one is empty, or the correction holds no family-wise error.

    References:
        Maurer, Hothorn & Lehmacher (1995), section 3.
    """
    if correction not in FAMILY_WISE:
        raise UsageError(f"A gate needs a correction of the family-wise error, one of {list(FAMILY_WISE)}, got {correction!r}.")
    found: list[Adjusted] = []
    passed: Floats | float = 0.0
    for p in _families(families):
        own = np.maximum(adjust(p, correction, alpha=alpha).p_adjusted, passed)
        passed = own.max(axis=-1, keepdims=True)
        found.append(_adjusted(p, own, alpha))
    return tuple(found)


def parallel_gatekeeping(families: Sequence[ArrayLike], *, alpha: float = 0.05) -> tuple[Adjusted, ...]:
    """Test each family with the shares of alpha that rejected hypotheses of the family before it hand on.

    Args:
        families: p-values of each family in order of importance, shapes (..., k_f).
        alpha: Error rate over all families, in (0, 1).

    Returns:
        For each family its adjusted p-values and local levels; the last family is tested by Holm's
        method at the alpha that reaches it, those before by Bonferroni's.

    Raises:
        UsageError: There are no families, or one is empty.

    References:
        Dmitrienko, Offen & Westfall (2003), section 3; Bretz et al. (2009), section 3.3.
    """
    parts = _families(families)
    sizes = [p.shape[-1] for p in parts]
    together = graphical_test(np.concatenate(parts, axis=-1), parallel_graph(sizes), alpha=alpha)
    ends = np.cumsum(sizes)[:-1].tolist()
    split = zip(np.split(together.p_adjusted, ends, axis=-1), np.split(together.local_alpha, ends, axis=-1), strict=True)
    return tuple(Adjusted(p_adjusted=own, local_alpha=local, simultaneous=False) for own, local in split)


def gatekeep_roles(
    p_values: ArrayLike, roles: Sequence[str], *, gate: Gate = "serial", correction: Method = "holm", alpha: float = 0.05
) -> Adjusted:
    """Gatekeeping by the roles of metrics: primary, then guardrail, then secondary.

    Args:
        p_values: In [0, 1], shape (..., k).
        roles: Role of each, length k; a role without metrics is passed over.
        gate: `serial` or `parallel`.
        correction: Within a role, for `serial`.
        alpha: Error rate over all metrics, in (0, 1).

    Returns:
        Adjusted p-values and local levels, in the order given.

    Raises:
        UsageError: A role is none of the three, there is not one a p-value, or an option breaks its rule.
    """
    p = _checked(p_values)
    if len(roles) != p.shape[-1] or not set(roles) <= set(ROLES):
        raise UsageError(f"Each of {p.shape[-1]} p-values needs a role of {list(ROLES)}, got {list(roles)}.")
    if gate not in {"serial", "parallel"}:
        raise UsageError(f"gate must be 'serial' or 'parallel', got {gate!r}.")
    places = [found for role in ROLES if (found := np.flatnonzero([own == role for own in roles])).size]
    families = [p[..., place] for place in places]
    tested = (
        serial_gatekeeping(families, correction=correction, alpha=alpha)
        if gate == "serial"
        else parallel_gatekeeping(families, alpha=alpha)
    )
    adjusted, local = np.empty_like(p), np.empty_like(p)
    for place, found in zip(places, tested, strict=True):
        adjusted[..., place], local[..., place] = found.p_adjusted, found.local_alpha
    return Adjusted(p_adjusted=adjusted, local_alpha=local, simultaneous=False)


def holm_graph(hypotheses: int) -> Graph:
    """The graph of Holm's method: equal shares, handed on equally.

    Args:
        hypotheses: How many, >= 1.

    Returns:
        The graph.

    Raises:
        UsageError: There are none.
    """
    return parallel_graph([hypotheses])


def fixed_sequence_graph(hypotheses: int) -> Graph:
    """The graph of a fixed sequence: all alpha to the first, handed on to the next.

    Args:
        hypotheses: How many, >= 1.

    Returns:
        The graph.

    Raises:
        UsageError: There are none.
    """
    if hypotheses < 1:
        raise UsageError(f"A graph needs at least one hypothesis, got {hypotheses}.")
    return Graph(weights=np.eye(hypotheses)[0], transitions=np.eye(hypotheses, k=1))


def parallel_graph(sizes: Sequence[int]) -> Graph:
    """The graph of parallel gatekeeping: shares go from each hypothesis to all of the next family, in the last round it.

    Args:
        sizes: Hypotheses of each family, in order.

    Returns:
        The graph over all hypotheses, family after family.

    Raises:
        UsageError: There are no families, or one is empty.
    """
    if not sizes or min(sizes) < 1:
        raise UsageError(f"Each family needs at least one hypothesis, got sizes {list(sizes)}.")
    total = sum(sizes)
    starts = np.concatenate([[0], np.cumsum(sizes)]).tolist()
    weights, transitions = np.zeros(total), np.zeros((total, total))
    weights[: sizes[0]] = 1.0 / sizes[0]
    for family, size in enumerate(sizes):
        start, end = starts[family], starts[family + 1]
        if family + 1 < len(sizes):
            transitions[start:end, end : starts[family + 2]] = 1.0 / sizes[family + 1]
        elif size > 1:
            transitions[start:end, start:end] = (1.0 - np.eye(size)) / (size - 1)
    return Graph(weights=weights, transitions=transitions)


def _passed_on(weights: Floats, ways: Floats, chosen: NDArray[np.intp], left: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """The graphs after the chosen hypotheses are rejected and taken out (Bretz et al. 2009, algorithm 1)."""
    runs = np.arange(len(weights))
    gone, to = ways[runs, chosen], ways[runs, :, chosen]
    moved = np.where(left, weights + weights[runs, chosen][:, None] * gone, 0.0)
    loop = 1.0 - to * gone
    along = ways + to[:, :, None] * gone[:, None, :]
    rest = np.where(loop > _ROUNDING, loop, np.inf)
    both = left[:, :, None] & left[:, None, :] & ~np.eye(weights.shape[1], dtype=np.bool_)
    return moved, np.where(both, along / rest[:, :, None], 0.0)


def _families(families: Sequence[ArrayLike]) -> list[Floats]:
    if not families:
        raise UsageError("Gatekeeping needs at least one family, got none.")
    parts = [_checked(p) for p in families]
    if len({p.shape[:-1] for p in parts}) > 1:
        raise UsageError(f"All families must have the same leading shape, got {[p.shape for p in parts]}.")
    return parts


def _checked(p_values: ArrayLike) -> Floats:
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim == 0 or p.shape[-1] == 0 or not ((p >= 0.0) & (p <= 1.0)).all():
        raise UsageError(
            f"p-values must be arrays of at least one number in [0, 1], got {p_values}.", hint="Leave out what could not be tested."
        )
    return p


def _adjusted(p: Floats, adjusted: Floats, alpha: float) -> Adjusted:
    """With the local level alpha p / p_adjusted; at most p itself where the cap of 1 hides the ratio."""
    k = p.shape[-1]
    ratio = np.divide(p, adjusted, out=np.full_like(p, 1.0 / k), where=p > 0.0)
    local = np.where(adjusted < 1.0, alpha * ratio, np.minimum(alpha / k, p))
    # A level must lie in (0, 1): p-values that have underflowed, or are 0 behind a closed gate, take the least double.
    return Adjusted(p_adjusted=adjusted, local_alpha=np.maximum(local, np.finfo(np.float64).tiny), simultaneous=k == 1)
