"""Group-sequential designs and their boundaries: when a planned look may stop a trial.

    design = GroupSequentialDesign(alpha=0.05, sides=2, spending="lan-demets-obrien-fleming",
                                   information_fractions=(0.25, 0.5, 0.75, 1.0))
    boundaries(design).critical                                   # |Z| above it stops, look by look
    actual_boundaries(design, [0.22, 0.61], final=False)          # at the information really seen
    critical_value(design, [0.22], 0.61, final=False)             # of the last of these looks alone

| spending                                   | critical values                                                    |
| ------------------------------------------ | ------------------------------------------------------------------ |
| `obrien-fleming`, `pocock`, `wang-tsiatis` | C t^(delta - 1/2), delta = 0, 1/2 or as given; C keeps alpha       |
| the functions of `spending`                | look k uses what the function released since look k - 1            |

Where the information seen differs from the plan, every look spends what its own
fraction t = information / planned information has released (Lan & DeMets 1983), the
looks before it keep theirs, and the final look takes all that is left, be it reached
before t = 1 (under-running) or after (over-running). The three classical designs, made for
fixed times, then spend along the straight lines between their planned looks. The times of
looks must not depend on the results; that spends more than alpha.

Z is the estimate over its standard error; one-sided designs stop at large Z.

References: O'Brien & Fleming (1979), Biometrics 35, 549-556; Pocock (1977), Biometrika 64,
191-199; Wang & Tsiatis (1987), Biometrics 43, 193-199; Lan & DeMets (1983), Biometrika
70, 659-663; Jennison & Turnbull (2000), Group Sequential Methods, ch. 2, 7 and 19.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fairtrial.errors import UnknownNameError, UsageError
from fairtrial.stats.result import check_alpha
from fairtrial.stats.sequential.boundary_solver import log_crossings, shaped_boundary, spending_boundary
from fairtrial.stats.sequential.recursion import check_fractions, check_sides
from fairtrial.stats.sequential.spending import SpendingFunction, check_parameters, log_alpha_spent

Floats = NDArray[np.float64]

Spending = Literal[
    "obrien-fleming", "pocock", "wang-tsiatis", "lan-demets-obrien-fleming", "lan-demets-pocock", "hwang-shih-decani", "kim-demets"
]

SHAPES = {"obrien-fleming": 0.0, "pocock": 0.5}
"""Delta of the classical designs that have a name of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSequentialDesign:
    """A plan of looks and of how the error rate is spent over them; hashable.

    Attributes:
        alpha: Error rate in (0, 1) over all looks; of both sides together when `sides` is 2.
        sides: 1 stops at large Z, 2 at large |Z|, symmetrically.
        spending: Family of the boundary.
        information_fractions: Planned information of each look over that of the last; they rise and end at 1.
        gamma: Parameter of `hwang-shih-decani`.
        rho: Parameter of `kim-demets`, > 0.
        delta: Parameter of `wang-tsiatis`, in (-1, 1).

    Raises:
        UsageError: A value is out of its range, or a parameter is missing or of another family.
        UnknownNameError: No such family.
    """

    alpha: float = 0.05
    sides: Literal[1, 2] = 2
    spending: Spending = "lan-demets-obrien-fleming"
    information_fractions: tuple[float, ...]
    gamma: float | None = None
    rho: float | None = None
    delta: float | None = None

    def __post_init__(self) -> None:
        check_alpha(self.alpha)
        check_sides(self.sides)
        if self.spending not in get_args(Spending):
            raise UnknownNameError.among("group-sequential design", self.spending, get_args(Spending))
        check_parameters(self.spending, {"gamma": self.gamma, "rho": self.rho, "delta": self.delta})
        times = check_fractions(self.information_fractions)
        if abs(times[-1] - 1.0) > 1e-9:
            raise UsageError(f"information_fractions must end at 1, got {times[-1]}.", hint="Divide them by the last one.")
        object.__setattr__(self, "information_fractions", (*times[:-1], 1.0))

    @property
    def looks(self) -> int:
        """Number of planned looks."""
        return len(self.information_fractions)

    @property
    def shape(self) -> float | None:
        """Delta of a classical design, C t^(delta - 1/2); None for a spending function."""
        return SHAPES.get(self.spending, self.delta)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Boundaries:
    """The boundary of a design, look by look; read-only arrays of shape (looks,).

    Attributes:
        information_fractions: Information of each look over the planned total.
        critical: Critical values of Z (of |Z| when two-sided): a look stops when it exceeds them.
        nominal_p: p-value of a fixed test at the critical value, with the design's sides.
        cumulative_alpha: Chance under the null hypothesis of having stopped by each look, both sides together.
        constant: C of a classical design at its planned times, else None.
    """

    information_fractions: Floats
    critical: Floats
    nominal_p: Floats
    cumulative_alpha: Floats
    constant: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FamilyBoundaries:
    """Boundaries of one family at many error rates, one row a rate.

    Attributes:
        critical: Critical values, shape (n, looks).
        log_spent: Logarithms of the error spent on one side by each look, shape (n, looks).
        log_alpha: Logarithms of the one-sided error rates, shape (n,).
    """

    critical: Floats
    log_spent: Floats
    log_alpha: Floats


def boundaries(design: GroupSequentialDesign) -> Boundaries:
    """The planned boundary of a design.

    Returns:
        Critical values to about 1e-12, nominal p-values and the error spent by each look.

    References:
        Jennison & Turnbull (2000), Group Sequential Methods, ch. 2.4-2.7 and 7.2.
    """
    return _boundaries(design, design.information_fractions, final=True)


def actual_boundaries(design: GroupSequentialDesign, fractions: Sequence[float], *, final: bool = False) -> Boundaries:
    """The boundary at the information fractions that the looks really had.

    Args:
        design: The plan; its `information_fractions` do not matter but to a classical design.
        fractions: Information of each look so far over the planned total, > 0 and rising; only the
            last may reach 1 or pass it.
        final: Whether the last of these looks ends the trial and may spend all that is left. A look at
            t >= 1 does so in any case.

    Returns:
        Boundaries of the looks so far. Those of earlier looks do not change when looks are added.

    Raises:
        UsageError: The fractions are not looks, or a look comes after all alpha was spent.

    References:
        Lan & DeMets (1983), Biometrika 70, 659-663; Jennison & Turnbull (2000), ch. 7.2-7.3.
    """
    return _boundaries(design, looks_taken(design, fractions), final=bool(final))


def critical_value(design: GroupSequentialDesign, past_fractions: Sequence[float], now_fraction: float, *, final: bool = False) -> float:
    """The critical value of a look, given the information at the looks before it; see `actual_boundaries`.

    Args:
        design: The plan.
        past_fractions: Information fractions of the earlier looks; may be empty.
        now_fraction: Information fraction of this look.
        final: Whether this look ends the trial.

    Returns:
        The value that Z (|Z| when two-sided) must exceed.

    Raises:
        UsageError: The fractions are not looks, or all alpha was spent before.
    """
    return float(actual_boundaries(design, (*past_fractions, now_fraction), final=final).critical[-1])


def looks_taken(design: GroupSequentialDesign, fractions: Sequence[float]) -> tuple[float, ...]:
    """Information fractions of looks as a tuple, those that are a planned one but for rounding set to it.

    Raises:
        UsageError: The fractions are not looks, or a look comes after all alpha was spent.
    """
    times = check_fractions(fractions, what="fractions")
    if len(times) > 1 and times[-2] >= 1.0:
        raise UsageError(
            f"No look may follow one at an information fraction of 1 or more, got {times[-2]} then {times[-1]}.",
            hint="The look at t >= 1 has spent all of alpha and ends the trial.",
        )
    planned = np.array(design.information_fractions)
    nearest = [float(planned[np.abs(planned - t).argmin()]) for t in times]
    return tuple(near if abs(near - t) <= 1e-12 else t for near, t in zip(nearest, times, strict=True))


def family_boundaries(design: GroupSequentialDesign, log_alphas: Floats, fractions: tuple[float, ...], *, final: bool) -> FamilyBoundaries:
    """Boundaries of a design's family at many error rates, its own put aside; unchecked.

    Args:
        design: The family, its sides and, for a classical one, its planned times.
        log_alphas: Logarithms of error rates, of both sides together when two-sided; shape (n,).
        fractions: Information fractions of the looks.
        final: Whether the last look takes all that is left.

    Returns:
        Critical values and the error spent on one side, both (n, looks).
    """
    log_alpha = log_alphas - math.log(design.sides)
    shape = design.shape
    if shape is None:
        log_spent = log_alpha_spent(
            np.array(fractions),
            log_alpha[:, None],
            spending=cast("SpendingFunction", design.spending),
            parameter=design.gamma if design.gamma is not None else design.rho,
        )
        return _spending(design, log_alpha, log_spent, fractions, final=final)
    return classical_boundaries(
        design, shaped_boundary(shape, log_alpha, design.information_fractions, sides=design.sides), fractions, final=final
    )


def classical_boundaries(
    design: GroupSequentialDesign, constants: Floats, fractions: tuple[float, ...], *, final: bool
) -> FamilyBoundaries:
    """Boundaries of a classical design's family for many constants C; see `family_boundaries`.

    Args:
        design: A design with a `shape`.
        constants: Values of C, shape (n,).
        fractions: Information fractions of the looks.
        final: Whether the last look takes all that is left.

    Returns:
        Critical values and the error spent on one side, both (n, looks).
    """
    planned = design.information_fractions
    critical = constants[:, None] * np.array(planned) ** ((design.shape or 0.0) - 0.5)
    log_spent = np.logaddexp.accumulate(log_crossings(critical, planned, sides=design.sides), axis=1)
    log_alpha = log_spent[:, -1]
    if fractions == planned[: len(fractions)] and (not final or len(fractions) == len(planned)):
        return FamilyBoundaries(critical=critical[:, : len(fractions)], log_spent=log_spent[:, : len(fractions)], log_alpha=log_alpha)
    return _spending(design, log_alpha, _along_lines(log_spent, planned, fractions), fractions, final=final)


def _along_lines(log_spent: Floats, planned: tuple[float, ...], fractions: tuple[float, ...]) -> Floats:
    """Error spent at other times than the planned, on straight lines from (0, 0); all in logarithms, (n, looks)."""
    times = np.array((0.0, *planned))
    known = np.concatenate([np.full((log_spent.shape[0], 1), -np.inf), log_spent], axis=1)
    at = np.minimum(np.array(fractions), 1.0)
    right = np.clip(np.searchsorted(times, at), 1, times.size - 1)
    share = (at - times[right - 1]) / (times[right] - times[right - 1])
    with np.errstate(divide="ignore"):
        return np.logaddexp(known[:, right - 1] + np.log(1.0 - share), known[:, right] + np.log(share))


def _spending(
    design: GroupSequentialDesign, log_alpha: Floats, log_spent: Floats, fractions: tuple[float, ...], *, final: bool
) -> FamilyBoundaries:
    if final or fractions[-1] >= 1.0:
        log_spent[:, -1] = log_alpha
    critical = spending_boundary(log_spent, fractions, sides=design.sides)
    return FamilyBoundaries(critical=critical, log_spent=log_spent, log_alpha=log_alpha)


@lru_cache(maxsize=1024)
def _boundaries(design: GroupSequentialDesign, fractions: tuple[float, ...], *, final: bool) -> Boundaries:
    family = family_boundaries(design, np.log(np.array([design.alpha])), fractions, final=final)
    critical = family.critical[0]
    return Boundaries(
        information_fractions=_read_only(np.array(fractions)),
        critical=_read_only(critical),
        nominal_p=_read_only(np.asarray(design.sides * special.ndtr(-critical), dtype=np.float64)),
        cumulative_alpha=_read_only(design.sides * np.exp(family.log_spent[0])),
        constant=float(critical[-1]) if design.shape is not None and fractions == design.information_fractions else None,
    )


def _read_only(values: Floats) -> Floats:
    values.setflags(write=False)
    return values
