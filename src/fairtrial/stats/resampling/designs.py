"""How an experiment was randomised, and all the assignments that it might have made.

A randomisation test is right for the design that made the assignment and no
other: units drawn one by one (Bernoulli), a fixed number of them (complete), a
fixed number within each stratum, whole clusters, one of each pair, or drawn
again until the arms were alike (re-randomisation). `plan_of`
brings a design and its data to one form: atoms (units or clusters) that are
assigned together, in strata that keep their number of treated atoms.

References: Imbens & Rubin (2015), Causal Inference for Statistics, Social, and
Biomedical Sciences, chapters 4 and 5; Rosenbaum (2002), Observational Studies,
chapter 2.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from fairtrial.errors import DataError, NotEnoughDataError, UsageError

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]
Integers = NDArray[np.intp]

MOST_REJECTED = 500_000_000
"""Atoms times assignments that are drawn before a re-randomised design is given up."""
FEWEST_DRAWN = 2_000
"""Assignments that are drawn at once where most are rejected."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bernoulli:
    """Each unit was treated with its own probability, independently; what a hash of the unit does.

    Attributes:
        share: Probability of treatment in (0, 1), one or one a unit, shape (n,).
    """

    share: ArrayLike = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Complete:
    """So many units as were treated would always have been."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stratified:
    """So many units as were treated in each stratum would always have been.

    Attributes:
        strata: Stratum of each unit, numbers or text, shape (n,).
    """

    strata: ArrayLike


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clustered:
    """Whole clusters were assigned, so many of them (in each stratum) as were treated.

    Attributes:
        clusters: Cluster of each unit, numbers or text, shape (n,).
        strata: Stratum of each unit, the same within a cluster; None for one.
    """

    clusters: ArrayLike
    strata: ArrayLike | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Paired:
    """One unit of each pair was treated.

    Attributes:
        pairs: Pair of each unit, numbers or text, shape (n,); two units each, one of them treated.
    """

    pairs: ArrayLike


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rerandomized:
    """So many units as were treated would always have been, and the arms would always have been as alike as this.

    Attributes:
        covariates: What the arms were balanced on, finite numbers, shape (n,) or (n, k).
        limit: Largest Mahalanobis distance of the arms' means that would have been taken, >= 0.
    """

    covariates: ArrayLike
    limit: float


Design = Bernoulli | Complete | Stratified | Clustered | Paired | Rerandomized


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Assignments:
    """Some or all assignments of a design.

    Attributes:
        treated: Whether each atom is treated, shape (m, atoms).
        weight: Probability of each, shape (m,), summing to 1.
    """

    treated: Booleans
    weight: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """A design with its data.

    Attributes:
        atom: The atom of each unit, numbered so that those of a stratum stand together, shape (n,).
        observed: Whether each atom was treated, shape (atoms,).
        starts: First atom of each stratum, shape (strata,).
        share: Probability of treatment of each atom, shape (atoms,), for Bernoulli designs; else None.
        balanced: Of a re-randomised design: which of assignments (m, atoms) it would have taken, shape (m,).
    """

    atom: Integers
    observed: Booleans
    starts: Integers
    share: Floats | None = None
    balanced: Callable[[Booleans], Booleans] | None = None

    @property
    def atoms(self) -> int:
        """Number of atoms."""
        return self.observed.size

    @property
    def bounds(self) -> list[tuple[int, int]]:
        """First atom of each stratum and the one after its last."""
        return list(itertools.pairwise([*self.starts.tolist(), self.atoms]))

    def log_count(self) -> float:
        """Logarithm of `count`, at once however many there are."""
        if self.share is not None:
            return self.atoms * math.log(2.0)
        sizes = np.diff(np.append(self.starts, self.atoms))
        inside = np.add.reduceat(self.observed.astype(np.float64), self.starts)
        return float(np.sum(special.gammaln(sizes + 1.0) - special.gammaln(inside + 1.0) - special.gammaln(sizes - inside + 1.0)))

    def count(self) -> int:
        """Number of assignments that the design might have made, both arms being there; slow where it is astronomical."""
        if self.share is not None:
            return 2**self.atoms - 2
        return math.prod(math.comb(end - start, int(self.observed[start:end].sum())) for start, end in self.bounds)

    def enumerate(self) -> Assignments:
        """Every assignment with its probability; `count` says how many there are."""
        if self.share is not None:
            numbers = np.arange(1, 2**self.atoms - 1, dtype=np.int64)
            treated = np.asarray((numbers[:, None] >> np.arange(self.atoms, dtype=np.int64)) & 1, dtype=np.bool_)
            logs = np.where(treated, np.log(self.share), np.log1p(-self.share)).sum(axis=1)
            weight = np.exp(logs - logs.max())
            return Assignments(treated=treated, weight=weight / weight.sum())
        choices = [_choices(end - start, int(self.observed[start:end].sum())) for start, end in self.bounds]
        total = self.count()
        treated = np.empty((total, self.atoms), dtype=np.bool_)
        which = np.unravel_index(np.arange(total), [len(rows) for rows in choices])
        for (start, end), rows, index in zip(self.bounds, choices, which, strict=True):
            treated[:, start:end] = rows[index]
        if self.balanced is not None:
            treated = treated[self.balanced(treated)]
        return Assignments(treated=treated, weight=np.full(len(treated), 1.0 / len(treated)))

    def draw(self, size: int, rng: np.random.Generator) -> Booleans:
        """Assignments drawn from the design, shape (size, atoms)."""
        if self.balanced is None:
            return self._drawn(size, rng)
        taken, found, looked = list[Booleans](), 0, 0
        while found < size:
            some = self._drawn(max(size, FEWEST_DRAWN), rng)
            taken.append(some[self.balanced(some)])
            found, looked = found + len(taken[-1]), looked + len(some)
            if found == 0 and looked * self.atoms > MOST_REJECTED:
                raise DataError(
                    f"None of {looked:,} assignments is as balanced as the design asks for.", hint="Check the limit.", code="not_balanced"
                )
        return np.concatenate(taken)[:size]

    def _drawn(self, size: int, rng: np.random.Generator) -> Booleans:
        if self.share is not None:
            treated = rng.random((size, self.atoms)) < self.share
            while (lost := np.flatnonzero(treated.all(axis=1) | ~treated.any(axis=1))).size:
                treated[lost] = rng.random((lost.size, self.atoms)) < self.share
            return treated
        treated = np.empty((size, self.atoms), dtype=np.bool_)
        for size_of, starts in self._alike().items():
            block = starts[:, None] + np.arange(size_of)
            shuffled = np.broadcast_to(self.observed[block], (size, *block.shape)).copy()
            treated[:, block] = rng.permuted(shuffled, axis=2)
        return treated

    def _alike(self) -> dict[int, Integers]:
        """First atoms of the strata, by their number of atoms."""
        sizes = np.diff(np.append(self.starts, self.atoms))
        return {int(size): self.starts[sizes == size] for size in np.unique(sizes)}


def plan_of(design: Design, treated: ArrayLike, n: int) -> Plan:
    """A design and the assignment that it made, in one form.

    Args:
        design: How the experiment was randomised.
        treated: 1 for the treatment, 0 for the control, shape (n,).
        n: Units.

    Returns:
        The plan.

    Raises:
        UsageError: The design is no design, shapes do not match, or a share lies outside (0, 1).
        NotEnoughDataError: An arm is empty.
        DataError: The assignment cannot have come from the design.
    """
    if not isinstance(design, get_args(Design)):
        raise UsageError(
            f"design must be Bernoulli, Complete, Stratified, Clustered, Paired or Rerandomized, got {design!r}.", hint="As in Complete()."
        )
    z = np.asarray(treated)
    if z.shape != (n,) or not np.isin(z, (0, 1)).all():
        raise UsageError(f"Each of {n} units needs a 1 (treatment) or a 0 (control), got {z.dtype} of shape {z.shape}.")
    z = z.astype(np.bool_)
    if z.all() or not z.any():
        raise NotEnoughDataError(f"Both arms need units, got {int(z.sum())} treated of {n}.", code="too_few_units")
    return _plan_within(design, z, n)


def _plan_within(design: Design, z: Booleans, n: int) -> Plan:
    match design:
        case Bernoulli(share=share):
            return _bernoulli(share, z)
        case Complete():
            return Plan(atom=np.arange(n), observed=z, starts=np.zeros(1, dtype=np.intp))
        case Stratified(strata=strata):
            return _within(np.arange(n), z, _codes(strata, n, "stratum"))
        case Rerandomized(covariates=covariates, limit=limit):
            return _balanced(covariates, limit, z)
        case Paired(pairs=pairs):
            codes = _codes(pairs, n, "pair")
            if (np.bincount(codes) != 2).any() or (np.bincount(codes, weights=z) != 1.0).any():
                raise DataError("Each pair must hold two units, one of them treated.", code="not_pairs")
            return _within(np.arange(n), z, codes)
        case Clustered(clusters=clusters, strata=strata):
            return _clustered(_codes(clusters, n, "cluster"), z, None if strata is None else _codes(strata, n, "stratum"))


def mahalanobis_distances(covariates: ArrayLike, treated: ArrayLike) -> Floats:
    """How far the arms' covariate means are apart, for many assignments.

    Args:
        covariates: Finite numbers, shape (n,) or (n, k).
        treated: Whether each unit is treated, shape (m, n); both arms hold units in each.

    Returns:
        n_c n_t / n d' S^-1 d, d the difference of means and S the covariance over all units, shape (m,); over all
        assignments about chi-square with k degrees of freedom.

    Raises:
        UsageError: Shapes do not match, or a number is not finite.
        DataError: A covariate is constant or a combination of others.

    References:
        Morgan & Rubin (2012), Annals of Statistics 40, 1263-1282, equation 1.
    """
    values = np.asarray(covariates, dtype=np.float64)
    values = values[:, None] if values.ndim == 1 else values
    z = np.asarray(treated, dtype=np.bool_)
    if values.ndim != 2 or z.ndim != 2 or z.shape[1] != values.shape[0] or not np.isfinite(values).all():
        raise UsageError(f"Covariates are finite numbers, a row a unit, got shape {values.shape} for assignments of shape {z.shape}.")
    sums = z.astype(np.float64) @ _whitened(values)
    n_treated = z.sum(axis=1)
    return np.square(sums).sum(axis=1) * z.shape[1] / (n_treated * (z.shape[1] - n_treated))


def _whitened(values: Floats) -> Floats:
    """Columns of mean 0, variance 1 and no correlation that span the same space."""
    n, k = values.shape
    spread = values.std(axis=0)
    if n <= k or (spread <= 1e-12 * np.maximum(np.abs(values).max(axis=0), 1e-300)).any():
        raise DataError("A covariate to balance on must vary over the units.", code="collinear")
    standard = (values - values.mean(axis=0)) / spread
    left, strength, _ = np.linalg.svd(standard, full_matrices=False)
    if strength[-1] <= 1e-8 * strength[0]:
        raise DataError("A covariate to balance on is a combination of the others.", hint="Leave one out.", code="collinear")
    return np.asarray(left * math.sqrt(n - 1.0), dtype=np.float64)


def _balanced(covariates: ArrayLike, limit: float, treated: Booleans) -> Plan:
    if not limit >= 0.0:
        raise UsageError(f"limit is a distance >= 0, got {limit}.")
    if mahalanobis_distances(covariates, treated[None, :])[0] > limit:
        raise DataError("The assignment is less balanced than its design allows.", hint="Check covariates and limit.", code="not_balanced")

    def balanced(assignments: Booleans) -> Booleans:
        return mahalanobis_distances(covariates, assignments) <= limit

    return Plan(atom=np.arange(treated.size), observed=treated, starts=np.zeros(1, dtype=np.intp), balanced=balanced)


def _bernoulli(share: ArrayLike, treated: Booleans) -> Plan:
    chance = np.asarray(share, dtype=np.float64)
    if chance.shape not in {(), treated.shape} or not ((chance > 0.0) & (chance < 1.0)).all():
        raise UsageError(f"A share of treatment must lie in (0, 1), one or one a unit, got {share}.")
    n = treated.size
    return Plan(atom=np.arange(n), observed=treated, starts=np.zeros(1, dtype=np.intp), share=np.broadcast_to(chance, (n,)))


def _clustered(cluster: Integers, treated: Booleans, strata: Integers | None) -> Plan:
    sizes = np.bincount(cluster)
    inside = np.bincount(cluster, weights=treated)
    if not ((inside == 0.0) | (inside == sizes)).all():
        raise DataError("A cluster must lie in one arm, some lie in both.", code="cluster_in_two_arms")
    stratum = np.zeros(sizes.size, dtype=np.intp)
    if strata is not None:
        stratum[cluster] = strata
        if (stratum[cluster] != strata).any():
            raise DataError("A cluster must lie in one stratum, some lie in several.", code="cluster_in_two_strata")
    return _within(cluster, inside > 0.0, stratum)


def _within(atom: Integers, observed: Booleans, stratum: Integers) -> Plan:
    """Atoms renumbered by stratum; a stratum with one arm alone says nothing of the effect."""
    inside, sizes = np.bincount(stratum, weights=observed), np.bincount(stratum)
    if ((inside == 0.0) | (inside == sizes)).any():
        raise DataError(
            "Each stratum must hold both arms, some hold one.", hint="Leave such strata out, or merge them.", code="one_arm_stratum"
        )
    order = np.argsort(stratum, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(order.size)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.intp)
    return Plan(atom=place[atom], observed=observed[order], starts=starts)


def _codes(labels: ArrayLike, n: int, what: str) -> Integers:
    names = np.asarray(labels)
    if names.shape != (n,):
        raise UsageError(f"Each of {n} units needs one {what}, got shape {names.shape}.")
    return np.unique(names, return_inverse=True)[1]


def _choices(size: int, chosen: int) -> Booleans:
    """All ways to treat `chosen` of `size` atoms, one a row."""
    places = np.array(list(itertools.combinations(range(size), chosen)), dtype=np.intp)
    rows = np.zeros((places.shape[0], size), dtype=np.bool_)
    np.put_along_axis(rows, places, values=True, axis=1)
    return rows
