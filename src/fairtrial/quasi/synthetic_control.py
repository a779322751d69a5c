"""Synthetic control: the one treated unit against a weighted mean of others that moved as it did before.

Weights >= 0 that sum to 1 are chosen so that the weighted donors track the
treated unit before the treatment; the gap afterwards is the effect. Inference is
by placebo: every donor takes its turn as if treated (the treated unit is never a
donor), and the ratio of the gap after to the gap before is ranked. The smallest
p-value is one over the number of units. The interval inverts that same test, so
that it excludes 0 exactly when the p-value is below alpha.

References: Abadie, Diamond & Hainmueller (2010), JASA 105, 493-505; Abadie
(2021), JEL 59, 391-425; Firpo & Possebom (2018), Journal of Causal Inference
6(2), intervals by inversion.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import nnls

from fairtrial.diagnostics.finding import Finding
from fairtrial.errors import DataError, NotEnoughDataError, UnknownNameError, UsageError
from fairtrial.quasi.columns import codes_of, numbers_of
from fairtrial.quasi.estimate import EvidenceGrade, QuasiEstimate, graded
from fairtrial.stats.result import Interval, check_alpha

Floats = NDArray[np.float64]
CONVEX = "The treated unit can be matched by a mixture of the donors, and without treatment would have kept following it."
NOT_BY_CHANCE = "Not higher: one unit was treated, and not by chance."
UNTOUCHED = "No donor was touched by the treatment."
POOR_FIT = 0.25
"""Pre-period gap, in standard deviations of the treated unit's own pre-period, from which the match is poor."""
HEAVY = 0.5
LEAST_WEIGHT = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodGap:
    """The treated unit and its synthetic control in one period.

    Attributes:
        time: The period.
        treated: Outcome of the treated unit.
        synthetic: Weighted mean of the donors.
        gap: treated - synthetic.
        post: Whether the treatment had begun.
    """

    time: float
    treated: float
    synthetic: float
    gap: float
    post: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Placebo:
    """A unit's turn as the treated one.

    Attributes:
        unit: Its name.
        pre_rmspe: Root mean squared gap before the treatment.
        post_rmspe: The same after.
        ratio: post / pre; infinite where a donor is matched exactly before and not after.
        average_gap: Mean gap after.
    """

    unit: str
    pre_rmspe: float
    post_rmspe: float
    ratio: float
    average_gap: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticControl:
    """A treated unit and its synthetic control.

    Attributes:
        estimate: Mean effect over the periods after, with the rank p-value of the RMSPE ratio.
        weights: Weight of each donor that has any, by name.
        gaps: By period.
        own: The treated unit's figures.
        placebos: The donors', by falling ratio.
        rank: Place of the treated unit's ratio among all units, 1 the largest.
    """

    estimate: QuasiEstimate
    weights: Mapping[str, float]
    gaps: tuple[PeriodGap, ...]
    own: Placebo
    placebos: tuple[Placebo, ...]
    rank: int


def synthetic_control(
    outcome: ArrayLike, unit: ArrayLike, time: ArrayLike, *, treated: object, start: float, alpha: float = 0.05
) -> SyntheticControl:
    """Effect on one treated unit, matched on every outcome before the treatment.

    Args:
        outcome: One value a row, shape (n,); every unit seen in every period.
        unit: The unit of each row, numbers or text.
        time: The period of each row, numbers.
        treated: Which unit was treated.
        start: First treated period.
        alpha: Error rate in (0, 1) of the interval.

    Returns:
        Weights, gaps and placebos. The interval is the hull of the effects that the ranked ratio does not
        reject, among effects constant in time and effects proportional to the gaps seen; its ends are
        infinite where there are too few donors to reject anything at `alpha`.

    Raises:
        UsageError: Lengths differ, or `alpha` lies outside (0, 1).
        UnknownNameError: There is no such unit.
        NotEnoughDataError: Fewer than two donors or two periods before, or none after.
        DataError: A value is missing, or a unit is not seen once in every period.

    References:
        Abadie, Diamond & Hainmueller (2010), equations 2 and section 3.4; Firpo & Possebom (2018), section 3.
    """
    check_alpha(alpha)
    names, periods, wide, at = _matrix(outcome, unit, time, treated)
    before = periods < start
    _check_sizes(len(names), before)
    donors = [i for i in range(len(names)) if i != at]
    weights = simplex_weights(wide[at, before], wide[donors][:, before].T)
    synthetic = weights @ wide[donors]
    own, gap = _figures(names[at], wide[at], synthetic, before)
    placebos = [_placebo(names, wide, donors, i, before) for i in donors]
    ratios = np.array([placebo.ratio for placebo in placebos])
    rank = 1 + int((ratios >= own.ratio).sum())
    findings = [*_fit_findings(wide[at, before], own, weights, [names[i] for i in donors]), *_rank_findings(len(names), alpha)]
    interval = _interval(own.average_gap, gap[~before], own, ratios, alpha)
    return SyntheticControl(
        estimate=_estimate(wide, float(wide[at, ~before].mean()), own, interval=interval, rank=rank, findings=findings, alpha=alpha),
        weights={names[i]: float(w) for i, w in zip(donors, weights, strict=True) if w > LEAST_WEIGHT},
        gaps=tuple(
            PeriodGap(time=float(t), treated=float(y), synthetic=float(s), gap=float(y - s), post=bool(t >= start))
            for t, y, s in zip(periods, wide[at], synthetic, strict=True)
        ),
        own=own,
        placebos=tuple(sorted(placebos, key=lambda placebo: -placebo.ratio)),
        rank=rank,
    )


def simplex_weights(target: Floats, donors: Floats) -> Floats:
    """Weights >= 0 that sum to 1 and bring the weighted donors closest to the target.

    The closest point of a simplex is found exactly by non-negative least squares: with
    deviations A = donors - target and one row of ones asking for a sum of 1, the solution
    only shrinks the wanted weights by a common factor.

    Args:
        target: Shape (k,).
        donors: Shape (k, J), J >= 1.

    Returns:
        Shape (J,).

    Raises:
        UsageError: Shapes do not match.

    References:
        Lawson & Hanson (1974), Solving Least Squares Problems, chapter 23; Wolfe (1976), Mathematical Programming 11, 128-149.
    """
    if donors.ndim != 2 or donors.shape[0] != target.size or donors.shape[1] == 0:
        raise UsageError(f"Donors must have one column each and one row a period, got {donors.shape} for {target.size} periods.")
    deviations = donors - target[:, None]
    scale = float(np.sqrt(np.square(deviations).sum(axis=0)).max()) or 1.0
    system = np.vstack([deviations / scale, np.ones(donors.shape[1])])
    wanted = np.zeros(target.size + 1)
    wanted[-1] = 1.0
    solution, _ = nnls(system, wanted)
    return solution / solution.sum()


def _matrix(outcome: ArrayLike, unit: ArrayLike, time: ArrayLike, treated: object) -> tuple[list[str], Floats, Floats, int]:
    """Names of the units, the periods, outcomes by unit and period, and the treated unit's place."""
    y = numbers_of("outcome", outcome)
    labels, units = codes_of("unit", unit, rows=y.size)
    periods, period = np.unique(numbers_of("time", time, rows=y.size), return_inverse=True)
    names = [str(label) for label in labels.tolist()]
    if str(treated) not in names:
        raise UnknownNameError.among("unit", str(treated), names)
    if np.unique(units * periods.size + period).size < y.size:
        raise DataError("A unit must be seen once a period; some are seen twice.", hint="Aggregate to one row a unit and period.")
    wide = np.full((len(names), periods.size), np.nan)
    wide[units, period] = y
    if np.isnan(wide).any():
        gone = [name for i, name in enumerate(names) if np.isnan(wide[i]).any()][:5]
        raise DataError(
            f"Every unit must be seen in every period, {gone} are not.", hint="Leave those units or periods out.", code="unbalanced"
        )
    return names, periods, wide, names.index(str(treated))


def _estimate(
    wide: Floats, observed: float, own: Placebo, *, interval: Interval, rank: int, findings: list[Finding], alpha: float
) -> QuasiEstimate:
    """The mean gap after the start with its place among the placebos; `observed` is the treated unit's mean then."""
    units, grade = wide.shape[0], EvidenceGrade(level="moderate", design="synthetic_control", rests_on=CONVEX, because=NOT_BY_CHANCE)
    return QuasiEstimate(
        effect=own.average_gap,
        interval=interval,
        p_value=rank / units,
        std_error=None,
        statistic=own.ratio if math.isfinite(own.ratio) else None,
        df=None,
        alpha=alpha,
        method="synthetic_control",
        interval_method="placebo_inversion",
        n=wide.size,
        n_treated=1,
        n_control=units - 1,
        treated=observed,
        counterfactual=observed - own.average_gap,
        assumptions=(CONVEX, UNTOUCHED),
        findings=tuple(findings),
        grade=graded(grade, findings),
        numbers={"pre_rmspe": own.pre_rmspe, "post_rmspe": own.post_rmspe, "rank": float(rank), "units": float(units)},
    )


def _check_sizes(units: int, before: NDArray[np.bool_]) -> None:
    """Raise unless there are donors to mix, periods to match on and one to read the effect from."""
    if units < 3:
        raise NotEnoughDataError(f"A synthetic control needs two donors at least, got {units - 1}.", code="too_few_units")
    if int(before.sum()) < 2 or before.all():
        raise NotEnoughDataError(
            f"A synthetic control needs two periods before the start and one after, got {int(before.sum())} and {int((~before).sum())}.",
            hint="Check `start`.",
            code="too_few_periods",
        )


def _figures(name: str, own: Floats, synthetic: Floats, before: NDArray[np.bool_]) -> tuple[Placebo, Floats]:
    """How far a unit is from its synthetic control before and after, and the gap of every period."""
    gap = own - synthetic
    pre, post = (math.sqrt(float(np.square(gap[side]).mean())) for side in (before, ~before))
    exact = pre <= 1e-12 * max(float(np.abs(own).max()), 1e-300)
    ratio = (math.inf if post > 0.0 else 0.0) if exact else post / pre
    return Placebo(unit=name, pre_rmspe=pre, post_rmspe=post, ratio=ratio, average_gap=float(gap[~before].mean())), gap


def _placebo(names: Sequence[str], wide: Floats, donors: Sequence[int], at: int, before: NDArray[np.bool_]) -> Placebo:
    """A donor's turn as the treated unit, matched by the other donors alone."""
    others = [i for i in donors if i != at]
    weights = simplex_weights(wide[at, before], wide[others][:, before].T)
    return _figures(names[at], wide[at], weights @ wide[others], before)[0]


def _interval(effect: float, after: Floats, own: Placebo, ratios: Floats, alpha: float) -> Interval:
    """Effects whose ratio would rank high enough not to be rejected at `alpha`."""
    units = ratios.size + 1
    allowed = math.ceil(alpha * units - 1e-9) - 1  # placebos that must reach the ratio for p >= alpha
    if allowed < 1:
        return Interval(low=-math.inf, high=math.inf)
    reach = float(np.sort(ratios)[-allowed])
    if math.isinf(reach) or math.isinf(own.ratio):
        wide = math.inf if math.isinf(reach) else 0.0
        return Interval(low=effect - wide, high=effect + wide)
    proportional = abs(effect) * reach / own.ratio if own.ratio > 0.0 else 0.0
    constant = math.sqrt(max((reach * own.pre_rmspe) ** 2 - float(after.var()), 0.0))
    half = max(proportional, constant)
    return Interval(low=effect - half, high=effect + half)


def _fit_findings(before: Floats, own: Placebo, weights: Floats, names: Sequence[str]) -> list[Finding]:
    """A match that is poor, one that says nothing because it is exact, and one that hangs on a single donor."""
    found: list[Finding] = []
    spread = float(before.std())
    if own.pre_rmspe > POOR_FIT * spread:
        found.append(
            Finding(
                code="poor_fit",
                severity="warning",
                message=f"Before the treatment the synthetic control is off by {own.pre_rmspe:.3g}, of a spread of {spread:.3g}.",
                action="Do not read the gap after as an effect; choose other donors, or another design.",
                numbers={"pre_rmspe": own.pre_rmspe, "spread": spread},
            )
        )
    if weights.size > before.size and own.pre_rmspe <= 1e-9 * max(spread, 1e-300):
        found.append(
            Finding(
                code="overfit",
                severity="warning",
                message=f"{weights.size} donors match {before.size} periods exactly: weights are not unique, and the match says nothing.",
                action="Use fewer donors that resemble the treated unit, or more periods before.",
            )
        )
    top = int(weights.argmax())
    if weights[top] > HEAVY:
        found.append(
            Finding(
                code="one_donor",
                severity="info",
                message=f"{names[top]} carries {weights[top]:.0%} of the weight: what happens to it looks like an effect.",
                action="Look for shocks to that donor, and repeat without it.",
                numbers={"weight": float(weights[top])},
            )
        )
    return found


def _rank_findings(units: int, alpha: float) -> list[Finding]:
    """Too few units for any rank to be significant."""
    if 1.0 / units < alpha:
        return []
    return [
        Finding(
            code="too_few_donors",
            severity="warning",
            message=f"With {units - 1} donors the smallest p-value is {1.0 / units:.3g}: nothing can be rejected at alpha = {alpha:g}.",
            action="Find more donors; the interval is open on both sides.",
            numbers={"units": units},
        )
    ]
