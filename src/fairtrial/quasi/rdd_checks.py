"""Checks of a regression discontinuity: other cutoffs, other outcomes, and the rows nearest the cutoff.

A jump where there is no rule (placebo cutoff), a jump of something fixed before
the treatment (covariate), or an effect that hangs on the few rows next to the
cutoff (donut) each speak against the design.

References: Imbens & Lemieux (2008), Journal of Econometrics 142, 615-635,
section 7; Cattaneo, Idrobo & Titiunik (2020), Foundations, section 5; Barreca,
Guldi, Lindo & Waddell (2011), QJE 126, 2117-2123 (donut).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from fairtrial.diagnostics.finding import Finding
from fairtrial.errors import DataError, UsageError
from fairtrial.quasi.columns import numbers_of
from fairtrial.quasi.local_polynomial import Kernel
from fairtrial.quasi.rdd import LEAST_ROWS, RddEstimate, TreatedSide, sharp_rdd
from fairtrial.stats.multiplicity import adjust
from fairtrial.stats.result import Unavailable

Check = Literal["placebo_cutoff", "covariate", "donut"]
SUSPECT = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class RddCheck:
    """One estimate that should be 0, or should not change.

    Attributes:
        check: Which kind of check.
        what: The cutoff, the covariate's name, or the donut's radius, as text.
        result: The estimate, or why there is none.
        p_adjusted: Holm's p-value over the checks of the kind; None without an estimate, and for donuts.
    """

    check: Check
    what: str
    result: RddEstimate | Unavailable
    p_adjusted: float | None


def placebo_cutoffs(
    outcome: ArrayLike,
    running: ArrayLike,
    *,
    cutoff: float = 0.0,
    at: Sequence[float] | None = None,
    kernel: Kernel = "triangular",
    alpha: float = 0.05,
) -> tuple[RddCheck, ...]:
    """Jumps at cutoffs that mean nothing, each from the rows of one side of the true one.

    Args:
        outcome: One value a row, shape (n,).
        running: The running variable, shape (n,).
        cutoff: The true cutoff.
        at: Placebo cutoffs; default: the median of the running variable on each side.
        kernel: Which kernel.
        alpha: Error rate in (0, 1) of each interval.

    Raises:
        UsageError: Lengths differ, or a placebo is the true cutoff.
        DataError: A value is missing.
    """
    y = numbers_of("outcome", outcome)
    x = numbers_of("running", running, rows=y.size)
    above = x >= cutoff
    places = [float(np.median(x[side])) for side in (~above, above) if side.any()] if at is None else [float(place) for place in at]
    if cutoff in places:
        raise UsageError(f"A placebo cutoff must differ from the true one, got {cutoff:g}.")
    results = [(f"{p:.6g}", _try(y[above == (p > cutoff)], x[above == (p > cutoff)], p, kernel, alpha)) for p in places]
    return _adjusted("placebo_cutoff", results)


def covariate_jumps(
    covariates: Mapping[str, ArrayLike], running: ArrayLike, *, cutoff: float = 0.0, kernel: Kernel = "triangular", alpha: float = 0.05
) -> tuple[RddCheck, ...]:
    """Jumps of what was fixed before the treatment, each with its own window.

    Args:
        covariates: By name, shape (n,) each; NaN where a row has none.
        running: The running variable, shape (n,).
        cutoff: The cutoff.
        kernel: Which kernel.
        alpha: Error rate in (0, 1) of each interval.

    Raises:
        UsageError: There is no covariate, or lengths differ.
        DataError: The running variable has missing values.
    """
    if not covariates:
        raise UsageError("covariate_jumps needs at least one covariate, got none.")
    x = numbers_of("running", running)
    results: list[tuple[str, RddEstimate | Unavailable]] = []
    for name, values in covariates.items():
        column = np.asarray(values, dtype=np.float64)
        if column.shape != x.shape:
            raise UsageError(f"{name} must have one value a row: {x.size} rows, got {column.shape}.")
        known = np.isfinite(column)
        results.append((name, _try(column[known], x[known], cutoff, kernel, alpha)))
    return _adjusted("covariate", results)


def donut(
    outcome: ArrayLike,
    running: ArrayLike,
    radii: Sequence[float],
    *,
    cutoff: float = 0.0,
    kernel: Kernel = "triangular",
    treated: TreatedSide = "above",
    alpha: float = 0.05,
) -> tuple[RddCheck, ...]:
    """The effect without the rows nearest the cutoff.

    Args:
        outcome: One value a row, shape (n,).
        running: The running variable, shape (n,).
        radii: Distances from the cutoff within which rows are left out, > 0.
        cutoff: The cutoff.
        kernel: Which kernel.
        treated: Which side is treated.
        alpha: Error rate in (0, 1) of each interval.

    Raises:
        UsageError: Lengths differ, or a radius is not positive.
        DataError: A value is missing.
    """
    y = numbers_of("outcome", outcome)
    x = numbers_of("running", running, rows=y.size)
    checks: list[RddCheck] = []
    for radius in radii:
        if radius <= 0.0:
            raise UsageError(f"A donut's radius must be positive, got {radius}.")
        far = np.abs(x - cutoff) > radius
        result = _try(y[far], x[far], cutoff, kernel, alpha, treated)
        checks.append(RddCheck(check="donut", what=f"{radius:g}", result=result, p_adjusted=None))
    return tuple(checks)


def check_findings(checks: Sequence[RddCheck], main: RddEstimate) -> list[Finding]:
    """Findings of checks that failed, and one that says how many were made.

    Args:
        checks: Of any kinds.
        main: The estimate that they check; a donut's effect is compared with its interval.
    """
    found: list[Finding] = []
    made = 0
    for check in checks:
        if isinstance(check.result, Unavailable):
            continue
        made += 1
        effect, p_adjusted = check.result.estimate.effect, check.p_adjusted
        if check.check == "donut":
            if main.estimate.interval.excludes(effect):
                found.append(_moved(check.what, effect, main.estimate.effect))
        elif p_adjusted is not None and p_adjusted < SUSPECT:
            found.append(_jumped(check, effect, p_adjusted))
    if made and not found:
        names = ", ".join(f"{c.check.replace('_', ' ')} {c.what}" for c in checks if not isinstance(c.result, Unavailable))
        found.append(
            Finding(
                code="rdd_checks_passed",
                severity="info",
                message=f"Nothing spoke against the design in {made} checks ({names}).",
                action="A check that passes is support, not proof.",
                numbers={"checks": made},
            )
        )
    return found


def _jumped(check: RddCheck, effect: float, p_adjusted: float) -> Finding:
    placebo = check.check == "placebo_cutoff"
    what = f"a cutoff that means nothing ({check.what})" if placebo else f"the cutoff in {check.what}, fixed before"
    return Finding(
        code="placebo_cutoff_jumps" if placebo else "covariate_jumps",
        severity="warning",
        message=f"There is a jump of {effect:.3g} at {what} (p = {p_adjusted:.2g} over all such checks).",
        action="The outcome may jump for other reasons than the treatment.",
        numbers={"effect": effect, "p_adjusted": p_adjusted},
    )


def _moved(radius: str, effect: float, main: float) -> Finding:
    return Finding(
        code="donut_moves",
        severity="warning",
        message=f"Without rows within {radius} of the cutoff the effect is {effect:.3g} instead of {main:.3g}, outside its interval.",
        action="The effect hangs on the rows next to the cutoff, where sorting would show.",
        numbers={"effect": effect},
    )


def _try(
    y: ArrayLike, x: ArrayLike, cutoff: float, kernel: Kernel, alpha: float, treated: TreatedSide = "above"
) -> RddEstimate | Unavailable:
    values, places = np.asarray(y, dtype=np.float64), np.asarray(x, dtype=np.float64)
    if min(int((places < cutoff).sum()), int((places >= cutoff).sum())) < LEAST_ROWS:
        return Unavailable(code="too_few_units", reason=f"There are fewer than {LEAST_ROWS} rows on a side of {cutoff:g}.")
    try:
        return sharp_rdd(values, places, cutoff=cutoff, kernel=kernel, treated=treated, alpha=alpha)
    except DataError as error:
        return Unavailable(code=error.code, reason=error.message)


def _adjusted(kind: Check, results: Sequence[tuple[str, RddEstimate | Unavailable]]) -> tuple[RddCheck, ...]:
    raw = [result.estimate.p_value for _, result in results if isinstance(result, RddEstimate)]
    adjusted = iter(adjust(raw, "holm").p_adjusted.tolist() if raw else [])
    return tuple(
        RddCheck(check=kind, what=what, result=result, p_adjusted=next(adjusted) if isinstance(result, RddEstimate) else None)
        for what, result in results
    )
