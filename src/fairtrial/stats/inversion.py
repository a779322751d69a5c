"""Five tests of a difference of two proportions, each with the interval that inverts it, on arrays.

| method               | standard error under `treatment - control = margin`             |
| -------------------- | --------------------------------------------------------------- |
| `score`              | restricted maximum likelihood (Mee 1984); at margin 0 pooled    |
| `miettinen-nurminen` | the same times sqrt(N / (N - 1)) (Miettinen & Nurminen 1985)    |
| `newcombe`           | Wilson's limits of both rates, joined (Newcombe 1998, method 10) |
| `agresti-caffo`      | unpooled, a success and a failure added to each arm (2000)      |
| `wald`               | unpooled, at the observed rates                                 |

A method is a statistic and a pair of limits: the limits at z are the margins at
which the statistic is -z and z, so an interval leaves a margin out exactly when
the test rejects it. The statistic decreases in the margin. Arms are independent
and their counts binomial; all but small arms are assumed (see `exact`).

References: Mee (1984), Biometrics 40, 1175-1176; Miettinen & Nurminen (1985),
Statistics in Medicine 4, 213-226; Newcombe (1998), Statistics in Medicine 17,
873-890; Agresti & Caffo (2000), The American Statistician 54, 280-288.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, assert_never, get_args

import numpy as np
from numpy.typing import NDArray

from fairtrial.errors import UsageError
from fairtrial.stats.restricted import restricted_variance
from fairtrial.stats.roots import solve_increasing
from fairtrial.stats.wilson import newcombe_distance, newcombe_z

Floats = NDArray[np.float64]

CiMethod = Literal["score", "miettinen-nurminen", "newcombe", "agresti-caffo", "wald"]


class Tables(NamedTuple):
    """Two-by-two tables as four arrays of one shape; every arm has units.

    Attributes:
        x_c: Successes in the control arm.
        n_c: Units in the control arm, > 0.
        x_t: Successes in the treatment arm.
        n_t: Units in the treatment arm, > 0.
    """

    x_c: Floats
    n_c: Floats
    x_t: Floats
    n_t: Floats

    @property
    def effect(self) -> Floats:
        """Difference of the observed rates, treatment - control."""
        return self.x_t / self.n_t - self.x_c / self.n_c

    @property
    def swapped(self) -> Tables:
        """The same tables with the arms' roles exchanged."""
        return Tables(self.x_t, self.n_t, self.x_c, self.n_c)


def check_ci_method(method: str) -> None:
    """Raise unless `method` is one of the five.

    Raises:
        UsageError: It is another word.
    """
    if method not in get_args(CiMethod):
        raise UsageError(f"A method for two proportions is one of {list(get_args(CiMethod))}, got {method!r}.")


def unpooled_variance(tables: Tables) -> Floats:
    """Variance of the difference at the observed rates, p_c (1 - p_c) / n_c + p_t (1 - p_t) / n_t."""
    x_c, n_c, x_t, n_t = tables
    return x_c * (n_c - x_c) / (n_c * n_c * n_c) + x_t * (n_t - x_t) / (n_t * n_t * n_t)


def null_std_error(method: CiMethod, tables: Tables, margin: Floats) -> Floats:
    """Standard error of the difference that a method takes under `treatment - control = margin`.

    Args:
        method: One of the five.
        tables: Tables of any shape.
        margin: Difference under the hypothesis, in (-1, 1), of the same shape.

    Returns:
        Standard errors >= 0. Newcombe's method has none of its own: the unpooled one stands for it.
    """
    match method:
        case "score" | "miettinen-nurminen":
            return np.sqrt(restricted_variance(*tables, margin) * _small_sample_factor(method, tables))
        case "agresti-caffo":
            return np.sqrt(unpooled_variance(_with_two_more(tables)))
        case "newcombe" | "wald":
            return np.sqrt(unpooled_variance(tables))
        case _:
            assert_never(method)


def statistic(method: CiMethod, tables: Tables, margin: Floats) -> Floats:
    """The standardised distance of the observed difference from `margin`: normal under the hypothesis.

    Args:
        method: One of the five.
        tables: Tables of any shape.
        margin: Difference under the hypothesis, in (-1, 1), of the same shape.

    Returns:
        Statistics, positive where the difference lies above the margin; NaN where the
        standard error and the distance are both 0. Newcombe's lies in [-40, 40].
    """
    if method == "newcombe":
        return newcombe_z(*tables, margin)
    center = _with_two_more(tables).effect if method == "agresti-caffo" else tables.effect
    with np.errstate(divide="ignore", invalid="ignore"):
        return (center - margin) / null_std_error(method, tables, margin)


def limits(method: CiMethod, tables: Tables, z: Floats) -> tuple[Floats, Floats]:
    """The margins at which a method's statistic is `z` (lower) and `-z` (upper).

    Args:
        method: One of the five.
        tables: Tables of any shape.
        z: Normal quantile, > 0, of the same shape.

    Returns:
        Lower and upper limits. Those of `agresti-caffo` and `wald` may leave [-1, 1], as published.
    """
    effect = tables.effect
    match method:
        case "score" | "miettinen-nurminen":
            both = Tables(*(np.stack(pair) for pair in zip(tables.swapped, tables, strict=True)))
            ends = _score_upper(both, np.stack((z, z)), _small_sample_factor(method, both))
            return -ends[0], ends[1]
        case "newcombe":
            down = newcombe_distance(tables.x_t, tables.n_t, tables.x_c, tables.n_c, z)
            return effect - down, effect + newcombe_distance(tables.x_c, tables.n_c, tables.x_t, tables.n_t, z)
        case "agresti-caffo" | "wald":
            counts = _with_two_more(tables) if method == "agresti-caffo" else tables
            reach = z * np.sqrt(unpooled_variance(counts))
            return counts.effect - reach, counts.effect + reach
        case _:
            assert_never(method)


def _score_upper(tables: Tables, z: Floats, factor: Floats | float) -> Floats:
    """Upper score limit: the largest difference within `z` restricted standard errors of the observed one."""
    effect = tables.effect

    def beyond(delta: Floats) -> Floats:
        return delta - effect - z * np.sqrt(restricted_variance(*tables, delta) * factor)

    guess = effect + newcombe_distance(tables.x_c, tables.n_c, tables.x_t, tables.n_t, z * np.sqrt(factor))
    return solve_increasing(beyond, effect, np.ones_like(effect), guess)


def _small_sample_factor(method: CiMethod, tables: Tables) -> Floats | float:
    """N / (N - 1) of Miettinen & Nurminen, 1 for the plain score; N is at least 2, an arm having a unit."""
    if method != "miettinen-nurminen":
        return 1.0
    total = tables.n_c + tables.n_t
    return total / (total - 1.0)


def _with_two_more(tables: Tables) -> Tables:
    """A success and a failure added to each arm."""
    return Tables(tables.x_c + 1.0, tables.n_c + 2.0, tables.x_t + 1.0, tables.n_t + 2.0)
