"""Errors that hold with few treated clusters: a variance for each kind of cluster, and Satterthwaite's degrees of freedom.

An effect that is linear in the outcomes is a sum over clusters. Clusters of one
kind (one cohort) enter with the same weights, so that the spread of their parts
is an unbiased variance with its own n - 1, whatever clusters of other kinds vary
by: with common adoption and a balanced panel it is Welch's variance of a
difference of mean changes. Where clusters of a kind carry unequal weight (rows,
population) their spread is scaled as if each cluster's mean varied alike.

The degrees of freedom follow from the weights and not from the spread that was
seen (Bell & McCaffrey): two treated clusters that happen to lie close would else
make the interval narrow (measured at 5%, 2 of 50 treated: 15% by the spread seen,
below 1% by the weights; 4 of 50: 6.5% and 4.4%). A cluster alone of its kind shows no spread: it is taken
to vary as the others do, by weight.

References: Satterthwaite (1946), Biometrics Bulletin 2, 110-114; Bell & McCaffrey (2002), Survey Methodology 28,
169-181; Imbens & Kolesar (2016), REStat 98, 701-712; joint tests: Pustejovsky & Tipton (2018), JBES 36, 672-683.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fairtrial.errors import DataError, NotEnoughDataError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
LEAST_JOINT_DF = 2.0
"""Denominator degrees of freedom below which several coefficients are not tested together: the test could see nothing."""
NO_PULL = 1e-12
"""Share of the largest weight below which a cluster does not enter."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClusterErrors:
    """Variance of k coefficients, by kind of cluster.

    Attributes:
        parts: What each kind adds to the covariance, shape (kinds, k, k).
        df: Degrees of freedom of each part, shape (kinds,), > 0.
        pull: Weight that the clusters of each kind carry in each coefficient: the root of the sum of squares, shape (kinds, k).
        added: Covariance on top that is no spread within a kind, shape (k, k); None for none.
    """

    parts: Floats
    df: Floats
    pull: Floats
    added: Floats | None = None

    @classmethod
    def of(cls, scores: Floats, pull: Floats, kind: Ints) -> ClusterErrors:
        """Errors from what each cluster adds.

        Args:
            scores: Each cluster's part in the error of each coefficient, shape (clusters, k).
            pull: Weight that each cluster carries in each coefficient, >= 0, shape (clusters, k).
            kind: Kind of each cluster, shape (clusters,).

        Raises:
            NotEnoughDataError: No kind has two clusters.
        """
        size = pull.sum(axis=1)
        enters = size > NO_PULL * float(size.max())
        parts: list[Floats] = []
        df: list[float] = []
        weight: list[Floats] = []
        alone = np.zeros(pull.shape[1])
        for name in np.unique(kind[enters]):
            chosen = enters & (kind == name)
            squares = np.square(pull[chosen]).sum(axis=0)
            if chosen.sum() < 2:
                alone += squares
                continue
            part, own = _spread(scores[chosen], size[chosen] / float(size[chosen].sum()))
            parts.append(part)
            df.append(own)
            weight.append(squares)
        if not parts:
            raise NotEnoughDataError(
                "Errors need two clusters of a kind: with one treated and one untreated cluster nothing tells how they vary.",
                hint="Add units that were not treated, or compare many periods of the two series.",
                code="too_few_clusters",
            )
        freedom, squared = np.array(df), np.stack(weight)
        # a lone cluster varies, for its weight, as the others do on average over their degrees of freedom
        share = (freedom / freedom.sum())[:, None]
        grown = np.sqrt(1.0 + np.divide(alone * share, squared, out=np.zeros_like(squared), where=squared > 0.0))
        return cls(parts=np.stack(parts) * grown[:, :, None] * grown[:, None, :], df=freedom, pull=np.sqrt(squared) * grown)

    @classmethod
    def plain(cls, covariance: Floats, df: float) -> ClusterErrors:
        """One covariance with one number of degrees of freedom, as sandwich estimators have it."""
        return cls(parts=covariance[None], df=np.array([df]), pull=np.ones((1, covariance.shape[0])))

    def plus(self, common: Floats) -> ClusterErrors:
        """The same with a covariance on top, shape (k, k), that is no spread within a kind and has no degrees of freedom of its own."""
        return replace(self, added=common if self.added is None else self.added + common)

    @property
    def covariance(self) -> Floats:
        """Of the coefficients, shape (k, k)."""
        spread = np.asarray(self.parts.sum(axis=0), dtype=np.float64)
        return spread if self.added is None else spread + self.added

    def variance_of(self, contrast: Floats) -> float:
        """Of a sum of coefficients by weights, shape (k,)."""
        return float(contrast @ self.covariance @ contrast)

    def df_of(self, contrast: Floats) -> float:
        """Satterthwaite's degrees of freedom of a sum of coefficients by weights, shape (k,), were all clusters to vary alike."""
        if self.df.size == 1:
            return float(self.df[0])
        own = np.square(self.pull @ np.abs(contrast))
        return float(own.sum()) ** 2 / float((np.square(own) / self.df).sum())

    def hotelling(self, coefficients: Floats, chosen: list[int]) -> tuple[float, float, float]:
        """Test that the chosen coefficients are all 0, as an approximate Hotelling T-squared.

        Args:
            coefficients: Shape (k,).
            chosen: Places of those tested, at least one.

        Returns:
            F statistic, its denominator degrees of freedom, p-value.

        Raises:
            DataError: There are too few clusters for so many coefficients.

        References:
            Pustejovsky & Tipton (2018), section 3: with clusters that vary alike their degrees of freedom of the
            covariance are those of a single coefficient.
        """
        q = len(chosen)
        whole = self.covariance[np.ix_(chosen, chosen)]
        scale = np.sqrt(np.diagonal(whole))
        if not (scale > 0.0).all() or np.linalg.matrix_rank(whole / np.outer(scale, scale), tol=1e-9) < q:
            raise _untestable(q)
        freedom = self.df_of(np.isin(np.arange(coefficients.size), chosen).astype(np.float64))
        below = freedom - q + 1.0
        if below < LEAST_JOINT_DF:
            raise _untestable(q)
        tested = coefficients[chosen]
        statistic = float(tested @ np.linalg.solve(whole, tested)) * below / (freedom * q)
        return statistic, below, float(special.fdtrc(q, below, statistic))


def kinds_of(members: Ints, cohort: Ints) -> Ints:
    """Kind of each cluster: the cohort of its rows; one kind for all clusters where some hold rows of two cohorts.

    Args:
        members: Place of each row's cluster, shape (n,).
        cohort: Place of each row's cohort, shape (n,).

    Returns:
        Shape (clusters,).
    """
    clusters = int(members.max()) + 1
    least, most = np.full(clusters, np.iinfo(np.int64).max), np.full(clusters, -1, dtype=np.int64)
    np.minimum.at(least, members, cohort)
    np.maximum.at(most, members, cohort)
    return most if (least == most).all() else np.zeros(clusters, dtype=np.int64)


def _spread(scores: Floats, share: Floats) -> tuple[Floats, float]:
    """Covariance of the sum of independent clusters' parts, shape (k, k), and its degrees of freedom.

    A part is share times a mean of the cluster's own. Over clusters of equal shares this is n times the sample
    covariance, with n - 1; else each square is divided by its expectation where all means vary alike.
    """
    total = float(np.square(share).sum())
    inflated = 1.0 / (1.0 - 2.0 * share + total)
    parts = scores - share[:, None] * scores.sum(axis=0)
    weight, centre = inflated * np.square(share), total / 2.0 - share
    off = 2.0 * weight.sum() * (weight @ np.square(centre)) + 2.0 * float(weight @ centre) ** 2
    twice = float((share**4).sum()) + float(off) - 4.0 * float(np.square(weight) @ np.square(centre))
    return np.asarray((parts * inflated[:, None]).T @ parts, dtype=np.float64), total**2 / twice


def _untestable(coefficients: int) -> DataError:
    """That so many coefficients are too many for so few clusters."""
    return DataError(f"There are too few clusters to test {coefficients} coefficients together.", code="too_few_clusters")
