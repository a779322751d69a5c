"""One arm's posterior of a rate: a beta, or a gamma where the rate has no upper end.

All follows from the logit of the value (the logarithm, for a gamma), whose density has its
mode at the mean and falls off exponentially at least: its ends, and nodes of the
trapezoidal rule for smooth functions of the value. Distances from the mean come by
log1p and expm1, so shapes of 1e12 lose nothing.

References: Gelman et al. (2013), Bayesian Data Analysis, 3rd ed., sections 2.4 and 2.6.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.intp]

DROP = 33.0
"""Densities are followed down to e^-33, 5e-15 of their peak."""


class Nodes(NamedTuple):
    """A distribution as points and weights, shape (m, n): exact for smooth functions that turn slowly.

    Attributes:
        points: Distances from a centre.
        weights: Adding up to 1 in each row.
    """

    points: Floats
    weights: Floats


class Arm(NamedTuple):
    """Beta posteriors, or gamma posteriors where there is no `beta`; shape (m,).

    Attributes:
        alpha: First shape parameter of a beta, shape of a gamma, > 0.
        beta: Second shape parameter of a beta, rate of a gamma, > 0.
        bounded: Whether these are betas.
    """

    alpha: Floats
    beta: Floats
    bounded: bool

    @property
    def mean(self) -> Floats:
        """Means."""
        return self.alpha / (self.alpha + self.beta) if self.bounded else self.alpha / self.beta

    @property
    def variance(self) -> Floats:
        """Variances."""
        if not self.bounded:
            return self.alpha / self.beta / self.beta
        total = self.alpha + self.beta
        return self.alpha / total * (self.beta / total) / (total + 1.0)

    @property
    def smallest(self) -> Floats:
        """The smaller shape, of a gamma its only one."""
        return np.minimum(self.alpha, self.beta) if self.bounded else self.alpha

    @property
    def width_of_logit(self) -> Floats:
        """Width of the peak of the logit's (or logarithm's) density."""
        return np.sqrt(1.0 / self.alpha + 1.0 / self.beta) if self.bounded else np.sqrt(1.0 / self.alpha)

    def take(self, rows: Integers) -> Arm:
        """Some of the posteriors."""
        return Arm(self.alpha[rows], self.beta[rows], self.bounded)

    def nodes(self, spacing: float, *, logarithm: bool) -> Nodes:
        """Points and weights about the mean (of the logarithm: about the mean's), `spacing` standard deviations of the logit apart."""
        mean = self.mean
        low, high = (self._where_it_drops(sign, in_steps=True) for sign in (-1.0, 1.0))
        width = self.width_of_logit
        count = int(np.ceil(((low + high) / (spacing * width)).max())) + 1
        steps = ((low + high) / (count - 1))[:, None] * np.arange(count) - low[:, None]
        rise, part = np.expm1(steps), mean[:, None]
        if self.bounded:
            below = part * rise
            logs = self.alpha[:, None] * steps - (self.alpha + self.beta)[:, None] * np.log1p(below)
            points = steps - np.log1p(below) if logarithm else below * (1.0 - part) / (1.0 + below)
        else:
            logs = self.alpha[:, None] * (steps - rise)
            points = steps if logarithm else part * rise
        weights = np.exp(logs)
        return Nodes(points, weights / weights.sum(axis=1, keepdims=True))

    def support(self) -> tuple[Floats, Floats]:
        """Ends outside of which nothing lies that matters, as (low, high)."""
        return self._where_it_drops(-1.0), self._where_it_drops(1.0)

    def _where_it_drops(self, sign: float, *, in_steps: bool = False) -> Floats:
        """Where the density of the logit (or logarithm) has fallen by `DROP` from its mode, which is at the mean."""
        mean = self.mean

        def fallen(step: Floats) -> NDArray[np.bool_]:
            rise = np.expm1(sign * step)
            if not self.bounded:
                return self.alpha * (sign * step - rise) < -DROP
            return self.alpha * sign * step - (self.alpha + self.beta) * np.log1p(mean * rise) < -DROP

        step: Floats = np.sqrt(2.0 * DROP * self.width_of_logit**2)
        for _ in range(40):
            short = ~fallen(step)
            if not short.any():
                break
            step = np.where(short, 1.15 * step, step)
        if in_steps:
            return step
        move = np.exp(sign * np.minimum(step, 700.0))
        return mean * move / (1.0 + mean * (move - 1.0)) if self.bounded else mean * move
