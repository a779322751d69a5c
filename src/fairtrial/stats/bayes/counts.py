"""Counts with a conjugate prior: what two arms of successes in trials and of events in exposure have in common.

Each arm's posterior is of the prior's family, its parameters the prior's plus the
counts. Reading columns of counts, flagging empty arms and weighing two rates
against one (the Bayes factor) is then the same for every such family; what
differs is which counts are possible, what the second parameter counts, and the
family's normalising constant.

References: Gelman et al. (2013), Bayesian Data Analysis, 3rd ed., sections 2.4 and 2.6;
Gunel & Dickey (1974), Biometrika 61, 545-557 (Bayes factor of two rates).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairtrial.stats.bayes.conjugate import compared
from fairtrial.stats.bayes.pairs import Arm, Pair
from fairtrial.stats.bayes.posterior import EMPTY_ARM, Model, PosteriorBatch, Rope, check_mass
from fairtrial.stats.bayes.priors import Prior

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class CountModel:
    """A conjugate family with its prior.

    Attributes:
        name: Name of the model, for the record.
        prior: The prior, for the record.
        first: First parameter of the prior; counts are added to it.
        second: Second parameter of the prior; what was counted in is added to it.
        bounded: Whether counts are part of what they were counted in (successes of trials), so that only the rest is added.
        log_evidence: Logarithm of the family's normalising constant, of the parameters.
        check: Raises unless an arm's counts are possible; called with the arm's name, its counts and what they were counted in.
    """

    name: Model
    prior: Prior
    first: float
    second: float
    bounded: bool
    log_evidence: Callable[[Floats, Floats], Floats]
    check: Callable[[str, Floats, Floats], None]

    def updated(self, counts: Floats, size: Floats) -> Arm:
        """The posterior of arms with `counts` in `size`, shape (m,) each."""
        return Arm(self.first + counts, self.second + (size - counts if self.bounded else size), bounded=self.bounded)

    def log_bayes_factor(self, pair: Pair) -> Floats:
        """Logarithm of the evidence for two rates over that for one rate in both arms, each with the prior, shape (m,)."""
        c, t = pair.control, pair.treatment
        both = self.log_evidence(c.alpha + t.alpha - self.first, c.beta + t.beta - self.second)
        prior = self.log_evidence(np.asarray(self.first), np.asarray(self.second))
        return np.asarray(self.log_evidence(c.alpha, c.beta) + self.log_evidence(t.alpha, t.beta) - both - prior)


def compare_counts(
    model: CountModel,
    control: tuple[ArrayLike, ArrayLike],
    treatment: tuple[ArrayLike, ArrayLike],
    *,
    mass: float,
    rope: Rope | None,
) -> PosteriorBatch:
    """The comparison of two arms of counts.

    Args:
        model: The family and its prior.
        control: Counts, and what they were counted in, of any shapes that broadcast with the treatment's.
        treatment: The same of the treatment.
        mass: Probability inside the intervals, in (0, 1).
        rope: Region of practical equivalence, or None.

    Returns:
        Posteriors of the broadcast shape; an entry with an arm in which nothing was counted is flagged.

    Raises:
        UsageError: Counts are not possible, or an option breaks its rule.
    """
    check_mass(mass)
    x_c, n_c, x_t, n_t = np.broadcast_arrays(*(np.asarray(values, dtype=np.float64) for values in (*control, *treatment)))
    model.check("control", x_c, n_c)
    model.check("treatment", x_t, n_t)
    reasons = np.where((n_c == 0.0) | (n_t == 0.0), np.int8(EMPTY_ARM), np.int8(0))
    pair = Pair(control=model.updated(x_c.ravel(), n_c.ravel()), treatment=model.updated(x_t.ravel(), n_t.ravel()))
    return compared(
        pair,
        model=model.name,
        prior=model.prior,
        mass=mass,
        rope=rope,
        log_bayes_factor=model.log_bayes_factor(pair),
        reasons=reasons,
    )
