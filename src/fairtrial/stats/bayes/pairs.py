"""Two independent beta or gamma posteriors: the densities of their difference and of the logarithm of their ratio.

With C the control's value and T the treatment's, the density of T - C at d and
that of ln(T / C) at l are one-dimensional integrals over C,

    f(d) = integral of f_C(x) f_T(x + d) dx
    f(l) = integral of f_C(x) f_T(x e^l) x e^l dx

over the stretch where both arms' values are possible (`integrals`). Where both arms
have some events and some non-events they are a short Fourier sum instead (`spectrum`), to
the same precision. Shapes from 0.5 to 1e12 and rates of 1e-9 come out alike, and the
integrals keep their relative precision however far out a point lies.

References: Pham-Gia & Turkkan (1993), Communications in Statistics - Theory and Methods 22,
1755-1771 (difference of two betas).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairtrial.stats.bayes.arm import DROP, Arm, Floats, Integers
from fairtrial.stats.bayes.integrals import Integrals, logs_of
from fairtrial.stats.bayes.spectrum import Spectrum, spectrum_of_difference
from fairtrial.stats.bayes.table import DensityTable, LogDensity, tabulate

SPECTRA = ((200.0, np.inf, 0.35, 28), (8.0, 200.0, 0.17, 96))
"""Fourier sums by the smallest shape of the four: from, below, distance of nodes in standard deviations, and frequencies."""

EDGES = (2.0, 16.0)
"""Steps in widths of the narrower arm, at which panels begin near an edge of the density."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pair:
    """Control and treatment posteriors of m comparisons.

    Attributes:
        control: The control's posteriors.
        treatment: The treatments' posteriors, of the same family.
    """

    control: Arm
    treatment: Arm

    def difference_log_density(self, entry: Integers, points: Floats) -> Floats:
        """Logarithms of the densities of T - C, each entry up to a constant; `entry` and `points` of shape (k,)."""
        possible = np.abs(points) < 1.0 if self.control.bounded else np.isfinite(points)
        if possible.all():
            return logs_of(self._of_difference(entry, points))
        logs = np.full(points.shape, -np.inf)
        logs[possible] = logs_of(self._of_difference(entry[possible], points[possible]))
        return logs

    def log_ratio_log_density(self, entry: Integers, points: Floats) -> Floats:
        """Logarithms of the densities of ln(T / C), each entry up to a constant; `entry` and `points` of shape (k,)."""
        return logs_of(self._of_log_ratio(entry, points))

    def difference(self) -> DensityTable:
        """The differences T - C, tabulated; 0 is a break point."""
        center = self.treatment.mean - self.control.mean
        (low_c, high_c), (low_t, high_t) = self.control.support(), self.treatment.support()
        down = self.treatment.mean - low_t, high_c - self.control.mean
        up = high_t - self.treatment.mean, self.control.mean - low_c
        return self._tabulated(self.difference_log_density, center, (down, up), logarithm=False)

    def log_ratio(self) -> DensityTable:
        """The logarithms of the ratios T / C, tabulated; 0 is a break point."""
        control, treatment = np.log(self.control.mean), np.log(self.treatment.mean)
        (low_c, high_c), (low_t, high_t) = self.control.support(), self.treatment.support()
        down = treatment - np.log(low_t), np.log(high_c) - control
        up = np.log(high_t) - treatment, control - np.log(low_c)
        return self._tabulated(self.log_ratio_log_density, treatment - control, (down, up), logarithm=True)

    def _tabulated(
        self, log_density: LogDensity, center: Floats, reaches: tuple[tuple[Floats, Floats], tuple[Floats, Floats]], *, logarithm: bool
    ) -> DensityTable:
        """Tabulate within the range that `log_density` gives, by a Fourier sum where that is exact."""
        spreads = [np.sqrt(arm.variance) / (arm.mean if logarithm else 1.0) for arm in (self.control, self.treatment)]
        narrowest = np.minimum(*spreads)
        # The density is known a little beside the centre: it may be infinite at 0.
        beside = center + 1e-3 * narrowest
        known = log_density(np.arange(center.size), beside)
        low, high = _range(log_density, center, known - DROP, *reaches)
        smallest = np.minimum(self.control.smallest, self.treatment.smallest)
        exact = np.ones(center.shape, dtype=np.bool_)
        routes: list[tuple[Integers, Spectrum, Floats]] = []
        place = np.empty_like(center, dtype=np.intp)
        route = np.full(center.shape, -1)
        for lowest, highest, spacing, terms in SPECTRA:
            rows = np.flatnonzero((smallest >= lowest) & (smallest < highest))
            if not rows.size:
                continue
            nodes = (arm.take(rows).nodes(spacing, logarithm=logarithm) for arm in (self.control, self.treatment))
            spectrum = spectrum_of_difference(*nodes, center=center[rows], width=(high - low)[rows], terms=terms)
            exact[rows] = ~spectrum.complete
            place[rows], route[rows] = np.arange(rows.size), len(routes)
            # The integrals are known up to a constant, the Fourier sums altogether; both must speak of one density.
            shift = known[rows] - np.log(spectrum.density(np.arange(rows.size), beside[rows]))
            routes.append((rows, spectrum, shift))

        def fastest(entry: Integers, points: Floats) -> Floats:
            logs = np.empty_like(points)
            slow = np.flatnonzero(exact[entry])
            if slow.size:
                logs[slow] = log_density(entry[slow], points[slow])
            for number, (_, spectrum, shift) in enumerate(routes):
                fast = np.flatnonzero(~exact[entry] & (route[entry] == number))
                if fast.size:
                    within = place[entry[fast]]
                    logs[fast] = np.log(spectrum.density(within, points[fast])) + shift[within]
            return logs

        return tabulate(fastest, low, high, center=center, breaks=_breaks(low, high, narrowest, exact))

    def _shared(self, entry: Integers) -> dict[str, Floats]:
        c, t = self.control, self.treatment
        return {
            "mean_c": c.mean[entry],
            "mean_t": t.mean[entry],
            "low_c": c.alpha[entry] - 1.0,
            "low_t": t.alpha[entry] - 1.0,
            "up_c": c.beta[entry] - (1.0 if c.bounded else 0.0),
            "up_t": t.beta[entry] - (1.0 if c.bounded else 0.0),
        }

    def _of_difference(self, entry: Integers, points: Floats) -> Integrals:
        c, t = self.control, self.treatment
        zero = np.zeros_like(points)
        shared = self._shared(entry)
        share = (c.variance / (c.variance + t.variance))[entry]
        start = np.maximum(-points, 0.0)
        guess = shared["mean_c"] - (points - (shared["mean_t"] - shared["mean_c"])) * share - start
        return Integrals(
            **shared,
            bounded=c.bounded,
            start_c=start,
            start_t=np.maximum(points, 0.0),
            scale_t=np.ones_like(points),
            rest_c=np.maximum(points, 0.0),
            rest_t=start,
            kappa=1.0 / (1.0 - np.abs(points)) if c.bounded else zero,
            guess=guess,
        )

    def _of_log_ratio(self, entry: Integers, points: Floats) -> Integrals:
        c, t = self.control, self.treatment
        zero = np.zeros_like(points)
        shared = self._shared(entry)
        width_c, width_t = c.variance / c.mean**2, t.variance / t.mean**2
        share = (width_c / (width_c + width_t))[entry]
        ratio = np.exp(points)
        move = (points - np.log(shared["mean_t"] / shared["mean_c"])) * share
        shared["low_t"] = shared["low_t"] + 1.0
        return Integrals(
            **shared,
            bounded=c.bounded,
            start_c=zero,
            start_t=zero,
            scale_t=ratio,
            rest_c=np.maximum(-np.expm1(-points), 0.0),
            rest_t=np.maximum(-np.expm1(points), 0.0),
            kappa=np.maximum(1.0, ratio) if c.bounded else zero,
            guess=shared["mean_c"] * np.exp(np.clip(-move, -300.0, 300.0)),
        )


def _range(
    log_density: LogDensity, center: Floats, floor: Floats, down: tuple[Floats, Floats], up: tuple[Floats, Floats]
) -> tuple[Floats, Floats]:
    """Ends where the density has fallen to `floor`, from the arms' own reaches.

    Together the arms reach no farther than both, and hardly farther than their root sum of squares.
    """
    entry = np.arange(center.size)
    ends: list[Floats] = []
    for sign, (one, other) in ((-1.0, down), (1.0, up)):
        reach, farthest = np.hypot(one, other), one + other
        for _ in range(8):
            short = (log_density(entry, center + sign * reach) > floor) & (reach < farthest)
            if not short.any():
                break
            reach = np.where(short, np.minimum(1.2 * reach, farthest), reach)
        ends.append(center + sign * reach)
    return ends[0], ends[1]


def _breaks(low: Floats, high: Floats, narrowest: Floats, exact: NDArray[np.bool_]) -> Floats:
    """Points where panels begin: 0, and, where a density may be rough, steps of the narrower arm's width about 0 and inside both ends.

    An arm whose density does not vanish at 0 or 1 puts an edge into the comparison's, as sharp as the other arm is narrow.
    """
    steps = np.where(exact, narrowest, 0.0)[:, None] * np.array(EDGES)
    zero = np.zeros_like(steps)
    return np.concatenate((zero[:, :1], zero - steps, zero + steps, low[:, None] + steps, high[:, None] - steps), axis=1)
