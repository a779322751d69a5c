"""Which of many arms is best: probability to be best and expected loss of each, by quadrature.

For independent posteriors with density f_i and distribution function F_i,

    P(i is best)           = integral of f_i(x) prod_{j != i} F_j(x) dx
    E[max - value of i]    = integral of F_i(x) (1 - prod_{j != i} F_j(x)) dx

on Gauss-Legendre panels between all arms' own edges. All terms are positive, so
nothing cancels; the absolute error is about 1e-11.

`bandits.best_arm` computes the same probabilities in another way, and both are needed: a report
wants losses beside them, gammas too, and any number of arms; a bandit divides by its
propensities, so it adds in logarithms, on panels that follow every arm to 40 standard
deviations, where the plain sum here has lost its digits (from about 1e-60 on). A test
holds the two together.

References: Berry & Fristedt (1985), Bandit Problems, ch. 1; Russo et al. (2018),
Foundations and Trends in Machine Learning 11, 1-96 (probability of optimality).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import ArrayLike, NDArray
from scipy import special

from fairtrial.errors import UsageError
from fairtrial.stats.bayes.posterior import Direction, upward

Floats = NDArray[np.float64]

REACH = 9.0
"""Normal posteriors end so many standard deviations from their mean: 2e-19 lies outside."""
DROP = 40.0
"""Posteriors of logits and logarithms end where their density has fallen by e^-40."""
PANELS = 7
"""Panels to either side of each arm's peak."""
ORDER = 16
BLOCK = 4096

_NODES, _WEIGHTS = legendre.leggauss(ORDER)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BestArm:
    """What is known of which arm is best; arrays of shape (k,), one entry an arm.

    Attributes:
        prob_best: Probability to be the best arm; they add up to 1.
        expected_loss: Expected distance to the best arm, E[|best - value|], in the metric's unit, >= 0.
        mean: Posterior means.
        expected_best: Expected value of the best arm, whichever that is.
    """

    prob_best: Floats
    expected_loss: Floats
    mean: Floats
    expected_best: float


def best_rate(alpha: ArrayLike, beta: ArrayLike, *, direction: Direction = "increase") -> BestArm:
    """Which of several rates with beta posteriors is best.

    Args:
        alpha: First shapes, > 0, shape (k,), k >= 2.
        beta: Second shapes, > 0, shape (k,).
        direction: Which way is better.

    Returns:
        Probabilities and losses, in the arms' order.

    Raises:
        UsageError: Fewer than two arms, a shape is not positive and finite, or `direction` is another word.
    """
    a, b = _shapes("beta posteriors", alpha, beta)
    mean = a / (a + b)
    return _best(_Logits(a, b), mean, direction)


def best_event_rate(shape: ArrayLike, rate: ArrayLike, *, direction: Direction = "increase") -> BestArm:
    """Which of several event rates with gamma posteriors is best.

    Args:
        shape: Shapes, > 0, shape (k,), k >= 2.
        rate: Rates (exposures), > 0, shape (k,).
        direction: Which way is better.

    Returns:
        Probabilities and losses, in the arms' order.

    Raises:
        UsageError: Fewer than two arms, a number is not positive and finite, or `direction` is another word.
    """
    a, r = _shapes("gamma posteriors", shape, rate)
    return _best(_Logarithms(a, r), a / r, direction)


def best_mean(mean: ArrayLike, sd: ArrayLike, *, direction: Direction = "increase") -> BestArm:
    """Which of several values with normal posteriors is best.

    Args:
        mean: Posterior means, shape (k,), k >= 2.
        sd: Posterior standard deviations, > 0, shape (k,).
        direction: Which way is better.

    Returns:
        Probabilities and losses, in the arms' order.

    Raises:
        UsageError: Fewer than two arms, a mean is not finite, an sd not positive, or `direction` is another word.
    """
    centers, spreads = _pairs("normal posteriors", mean, sd)
    if not (np.isfinite(centers).all() and np.isfinite(spreads).all() and (spreads > 0.0).all()):
        raise UsageError(f"Normal posteriors need finite means and sds > 0, got {centers.tolist()} and {spreads.tolist()}.")
    return _best(_Values(centers, spreads), centers, direction)


class _Arms(Protocol):
    """k posteriors in a coordinate common to all: where each lies, its density and tails there, and the value's slope in it."""

    @property
    def center(self) -> Floats:
        """Peaks of the densities."""
        ...

    @property
    def reach(self) -> tuple[Floats, Floats]:
        """Distances from the peaks, down and up, beyond which nothing is left."""
        ...

    def density(self, arm: int, y: Floats) -> Floats:
        """Density of one arm's coordinate."""
        ...

    def lower(self, arm: int, y: Floats) -> Floats:
        """Probability below."""
        ...

    def upper(self, arm: int, y: Floats) -> Floats:
        """Probability above."""
        ...

    def slope(self, y: Floats) -> Floats:
        """Derivative of the value in the coordinate."""
        ...


class _Values(NamedTuple):
    """Normal posteriors, in the value itself."""

    mean: Floats
    sd: Floats

    @property
    def center(self) -> Floats:
        return self.mean

    @property
    def reach(self) -> tuple[Floats, Floats]:
        return REACH * self.sd, REACH * self.sd

    def density(self, arm: int, y: Floats) -> Floats:
        return np.exp(-0.5 * ((y - float(self.mean[arm])) / float(self.sd[arm])) ** 2) / (float(self.sd[arm]) * np.sqrt(2.0 * np.pi))

    def lower(self, arm: int, y: Floats) -> Floats:
        return np.asarray(special.ndtr((y - float(self.mean[arm])) / float(self.sd[arm])))

    def upper(self, arm: int, y: Floats) -> Floats:
        return np.asarray(special.ndtr((float(self.mean[arm]) - y) / float(self.sd[arm])))

    def slope(self, y: Floats) -> Floats:
        return np.ones_like(y)


class _Logits(NamedTuple):
    """Beta posteriors, in the logit of the rate."""

    a: Floats
    b: Floats

    @property
    def center(self) -> Floats:
        return np.log(self.a) - np.log(self.b)

    @property
    def reach(self) -> tuple[Floats, Floats]:
        gaussian = np.sqrt(2.0 * DROP * (1.0 / self.a + 1.0 / self.b))
        return gaussian + DROP / self.a, gaussian + DROP / self.b

    def density(self, arm: int, y: Floats) -> Floats:
        a, b = float(self.a[arm]), float(self.b[arm])
        step = y - (np.log(a) - np.log(b))
        fall = a * step - (a + b) * np.log1p(a / (a + b) * np.expm1(step))
        remainders = _remainder(a + b) - _remainder(a) - _remainder(b)
        return np.exp(fall + 0.5 * np.log(a / (a + b) * b / (2.0 * np.pi)) + remainders)

    def lower(self, arm: int, y: Floats) -> Floats:
        return np.asarray(special.betainc(float(self.a[arm]), float(self.b[arm]), special.expit(y)))

    def upper(self, arm: int, y: Floats) -> Floats:
        return np.asarray(special.betainc(float(self.b[arm]), float(self.a[arm]), special.expit(-y)))

    def slope(self, y: Floats) -> Floats:
        return np.asarray(special.expit(y) * special.expit(-y))


class _Logarithms(NamedTuple):
    """Gamma posteriors, in the logarithm of the rate."""

    a: Floats
    r: Floats

    @property
    def center(self) -> Floats:
        return np.log(self.a) - np.log(self.r)

    @property
    def reach(self) -> tuple[Floats, Floats]:
        gaussian = np.sqrt(2.0 * DROP / self.a)
        return gaussian + DROP / self.a, gaussian

    def density(self, arm: int, y: Floats) -> Floats:
        a = float(self.a[arm])
        step = y - (np.log(a) - np.log(float(self.r[arm])))
        return np.exp(a * (step - np.expm1(step)) + 0.5 * np.log(a / (2.0 * np.pi)) - _remainder(a))

    def lower(self, arm: int, y: Floats) -> Floats:
        return np.asarray(special.gammainc(float(self.a[arm]), float(self.r[arm]) * np.exp(y)), dtype=np.float64)

    def upper(self, arm: int, y: Floats) -> Floats:
        return np.asarray(special.gammaincc(float(self.a[arm]), float(self.r[arm]) * np.exp(y)), dtype=np.float64)

    def slope(self, y: Floats) -> Floats:
        return np.exp(y)


def _best(arms: _Arms, mean: Floats, direction: Direction) -> BestArm:
    better = arms.lower if upward(direction) else arms.upper
    left, right = _panels(arms)
    k = mean.size
    prob, loss = np.zeros(k), np.zeros(k)
    size = max(1, BLOCK // ORDER)
    for begin in range(0, left.size, size):
        half = 0.5 * (right - left)[begin : begin + size]
        y = ((left[begin : begin + size] + half)[:, None] + half[:, None] * _NODES).ravel()
        weight = (half[:, None] * _WEIGHTS).ravel()
        beaten = np.stack([better(i, y) for i in range(k)])
        others = _products_of_others(beaten)
        density = np.stack([arms.density(i, y) for i in range(k)])
        prob += (density * others) @ weight
        loss += (beaten * (1.0 - others)) @ (weight * arms.slope(y))
    leader = int(np.argmin(loss))
    expected = mean[leader] + (loss[leader] if upward(direction) else -loss[leader])
    return BestArm(prob_best=prob / prob.sum(), expected_loss=loss, mean=mean, expected_best=float(expected))


def _panels(arms: _Arms) -> tuple[Floats, Floats]:
    """Panels between all arms' edges: fine where an arm's density is, coarse where none is."""
    parts = np.linspace(0.0, 1.0, PANELS + 1)[1:] ** 1.3
    center, (down, up) = arms.center, arms.reach
    below, above = center[:, None] - down[:, None] * parts, center[:, None] + up[:, None] * parts
    edges = np.unique(np.concatenate((below.ravel(), center, above.ravel())))
    return edges[:-1], edges[1:]


def _products_of_others(values: Floats) -> Floats:
    """Of each row the product of all other rows."""
    one = np.ones((1, values.shape[1]))
    before = np.concatenate((one, np.cumprod(values[:-1], axis=0)))
    after = np.concatenate((one, np.cumprod(values[:0:-1], axis=0)))[::-1]
    return before * after


def _remainder(x: float) -> float:
    """Stirling's remainder, ln Gamma(x) - ((x - 1/2) ln x - x + ln(2 pi) / 2); Abramowitz & Stegun (1964), 6.1.41."""
    if x < 10.0:
        return float(special.gammaln(x) - ((x - 0.5) * np.log(x) - x + 0.5 * np.log(2.0 * np.pi)))
    square = 1.0 / (x * x)
    return (1.0 / 12.0 - square * (1.0 / 360.0 - square * (1.0 / 1260.0 - square * (1.0 / 1680.0 - square / 1188.0)))) / x


def _pairs(what: str, first: ArrayLike, second: ArrayLike) -> tuple[Floats, Floats]:
    one, other = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if one.ndim != 1 or one.shape != other.shape or one.size < 2:
        raise UsageError(f"The best of {what} needs two flat arrays of one length >= 2, got shapes {one.shape} and {other.shape}.")
    return one, other


def _shapes(what: str, first: ArrayLike, second: ArrayLike) -> tuple[Floats, Floats]:
    one, other = _pairs(what, first, second)
    both = np.concatenate((one, other))
    if not (np.isfinite(both).all() and (both > 0.0).all()):
        raise UsageError(f"The parameters of {what} must be positive and finite, got {one.tolist()} and {other.tolist()}.")
    return one, other
