"""Sharp regression discontinuity: a rule gives the treatment to units beyond a cutoff.

Just below and just above the cutoff units are alike but for the treatment, so
the jump of the outcome there is its effect, for units at the cutoff. Each side
is fitted by a local polynomial; the interval is centred at the bias-corrected
jump and counts the error of the bias estimate (robust bias correction), which
keeps its coverage where the plain interval, with the bandwidth that is best for
the point, does not. The checks of the design are in `rdd_checks` and `density`.

References: Calonico, Cattaneo & Titiunik (2014), Econometrica 82, 2295-2326;
Cattaneo, Idrobo & Titiunik (2020), A Practical Introduction to Regression
Discontinuity Designs: Foundations, Cambridge University Press.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairtrial.diagnostics.finding import Finding
from fairtrial.errors import NotEnoughDataError, UsageError
from fairtrial.quasi.columns import numbers_of
from fairtrial.quasi.estimate import EvidenceGrade, QuasiEstimate, graded, inference, with_inference
from fairtrial.quasi.local_polynomial import Kernel, Side, kernel_weights, local_fit, neighbour_residuals
from fairtrial.quasi.rdd_bandwidth import Bandwidths, cer_bandwidths, mse_bandwidths
from fairtrial.quasi.relative import LevelError
from fairtrial.stats.result import Interval, check_alpha

Floats = NDArray[np.float64]
TreatedSide = Literal["above", "below"]
Windows = Literal["mse", "cer"]
"""Windows from the data: least mean squared error of the effect, or least error of the interval's coverage."""
TIED_SHARE = 0.2
"""Share of repeated values of the running variable from which a finding says so."""
LEAST_VALUES = 8
"""Different values on each side of the cutoff below which the window holds too few to see a bend."""
LEAST_ROWS = 10
"""Rows needed on each side of the cutoff."""
CONTINUITY = "Units just below and just above the cutoff are alike but for the treatment: nothing else jumps there."
NO_SORTING = "Units cannot place themselves exactly on one side of the cutoff."


@dataclass(frozen=True, slots=True, kw_only=True)
class RddEstimate:
    """A jump at a cutoff.

    Attributes:
        estimate: Effect by the bias-corrected jump, with the robust interval.
        conventional: The jump of the local polynomials, without correction.
        se_conventional: Its standard error.
        interval_conventional: Its interval; too narrow at the bandwidth that is best for the point.
        bias_corrected: The jump less its estimated bias.
        se_robust: Standard error of `bias_corrected` that counts the bias estimate's error.
        bandwidths: Windows used.
        n_left: Rows below the cutoff within the effect's window.
        n_right: Rows above it.
    """

    estimate: QuasiEstimate
    conventional: float
    se_conventional: float
    interval_conventional: Interval
    bias_corrected: float
    se_robust: float
    bandwidths: Bandwidths
    n_left: int
    n_right: int


def sharp_rdd(
    outcome: ArrayLike,
    running: ArrayLike,
    *,
    cutoff: float = 0.0,
    order: int = 1,
    kernel: Kernel = "triangular",
    bandwidths: Bandwidths | Windows = "mse",
    treated: TreatedSide = "above",
    alpha: float = 0.05,
) -> RddEstimate:
    """Effect at the cutoff with the robust bias-corrected interval.

    Args:
        outcome: One value a row, shape (n,).
        running: The running variable, shape (n,); a row at the cutoff counts as above.
        cutoff: Where the treatment begins.
        order: Degree of the local polynomial, 0 to 4; its bias is fitted by one degree more.
        kernel: `triangular`, `uniform` or `epanechnikov`.
        bandwidths: Windows; or from the data: `mse`, with the least mean squared error of the effect, `cer`, narrower,
            whose interval is about a fifth wider and covers better where the outcome bends.
        treated: Which side of the cutoff is treated; `below` turns the sign, so that the effect is of the treatment.
        alpha: Error rate in (0, 1).

    Returns:
        The effect at the cutoff; normal inference, nearest-neighbour variances.

    Raises:
        UsageError: Lengths differ, or an option breaks its rule.
        NotEnoughDataError: Fewer than 10 rows on a side, or too few different values near the cutoff.
        DataError: A value is missing, or nothing varies.

    References:
        Calonico, Cattaneo & Titiunik (2014), theorem 1 and section 5.
    """
    _check_options(order, kernel, treated, bandwidths)
    check_alpha(alpha)
    left, right = sides_of(outcome, running, cutoff)
    windows = _windows(bandwidths, left, right, order, kernel)
    below, above = (_fit_side(side, order, kernel, windows) for side in (left, right))
    on, off = (above, below) if treated == "above" else (below, above)
    plain, corrected = on.plain - off.plain, on.corrected - off.corrected
    se_plain, se_robust = math.hypot(on.se_plain, off.se_plain), math.hypot(on.se_robust, off.se_robust)
    findings = _window_findings(left, right, min(on.n, off.n), min(on.values, off.values))
    estimate = QuasiEstimate(
        **with_inference(corrected, se_robust, alpha=alpha),
        method="sharp_rdd",
        interval_method="robust_bias_corrected",
        n=left.x.size + right.x.size,
        n_treated=on.n,
        n_control=off.n,
        treated=on.corrected,
        counterfactual=off.corrected,
        assumptions=(CONTINUITY, NO_SORTING, "Everybody beyond the cutoff, and nobody else, is treated (sharp)."),
        findings=tuple(findings),
        grade=graded(_GRADE, findings),
        numbers={"conventional": plain, "bandwidth": windows.effect, "bias_bandwidth": windows.bias},
        level_error=LevelError(variance=off.se_robust**2, covariance=-(off.se_robust**2)),
    )
    return RddEstimate(
        estimate=estimate,
        conventional=plain,
        se_conventional=se_plain,
        interval_conventional=inference(plain, se_plain, alpha=alpha).interval,
        bias_corrected=corrected,
        se_robust=se_robust,
        bandwidths=windows,
        n_left=below.n,
        n_right=above.n,
    )


def sides_of(outcome: ArrayLike, running: ArrayLike, cutoff: float) -> tuple[Side, Side]:
    """Rows below and at or above a cutoff, as distances from it.

    Raises:
        UsageError: Lengths differ, or the cutoff is not finite.
        NotEnoughDataError: Fewer than 10 rows on a side.
        DataError: A value is missing.
    """
    if not math.isfinite(cutoff):
        raise UsageError(f"cutoff must be a finite number, got {cutoff}.")
    y = numbers_of("outcome", outcome)
    x = numbers_of("running", running, rows=y.size) - cutoff
    above = x >= 0.0
    if min(int(above.sum()), int((~above).sum())) < LEAST_ROWS:
        raise NotEnoughDataError(
            f"A discontinuity needs {LEAST_ROWS} rows on each side of the cutoff, got {int((~above).sum())} and {int(above.sum())}.",
            hint="Check the cutoff and its unit.",
            code="too_few_units",
        )
    return Side.of(x[~above], y[~above]), Side.of(x[above], y[above])


_GRADE = EvidenceGrade(
    level="strong",
    design="rdd",
    rests_on=CONTINUITY,
    because="It holds for units at the cutoff only; how far it carries elsewhere the data cannot say.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _SideFit:
    """The outcome at the cutoff as one side sees it."""

    plain: float
    corrected: float
    se_plain: float
    se_robust: float
    n: int
    values: int


def _windows(asked: Bandwidths | Windows, left: Side, right: Side, order: int, kernel: Kernel) -> Bandwidths:
    """The windows passed, or those of the rule that was named."""
    if isinstance(asked, Bandwidths):
        return asked
    rule = cer_bandwidths if asked == "cer" else mse_bandwidths
    return rule(left, right, order=order, bias_order=order + 1, kernel=kernel)


def _fit_side(side: Side, order: int, kernel: Kernel, windows: Bandwidths) -> _SideFit:
    """Fit one side, with residual variances from the rows within either window."""
    h, b = windows.effect, windows.bias
    near = side.window(max(h, b), kernel)
    fit = local_fit(near.x, order, h, kernel)
    wide = local_fit(near.x, order + 1, b, kernel)
    leading = fit.inverse[0] @ (fit.weighted.T @ near.x ** (order + 1))
    plain = fit.linear[0]
    corrected = plain - leading * wide.linear[order + 1]
    squares = np.square(neighbour_residuals(near.x, near.y))
    within = kernel_weights(near.x, h, kernel) > 0.0
    return _SideFit(
        plain=float(plain @ near.y),
        corrected=float(corrected @ near.y),
        se_plain=math.sqrt(float((np.square(plain) * squares).sum())),
        se_robust=math.sqrt(float((np.square(corrected) * squares).sum())),
        n=int(within.sum()),
        values=int(np.unique(near.x[within]).size),
    )


def _window_findings(left: Side, right: Side, least: int, values: int) -> list[Finding]:
    """Repeats of the running variable, and a window with few rows or values; `least` and `values` are those of the thinner side."""
    found: list[Finding] = []
    tied = max(1.0 - np.unique(side.x).size / side.x.size for side in (left, right))
    if tied >= TIED_SHARE:
        found.append(
            Finding(
                code="mass_points",
                severity="info",
                message=f"{tied:.0%} of the running variable's values are repeats: rows near the cutoff are fewer than they look.",
                action="Read the interval as somewhat too narrow; a discrete running variable needs a window of several values.",
                numbers={"share": tied},
            )
        )
    if tied >= TIED_SHARE and values < LEAST_VALUES:
        found.append(
            Finding(
                code="few_values_near_cutoff",
                severity="warning",
                message=f"The window holds {values} different values of the running variable on one side of the cutoff: between so few "
                "the outcome's bend is hard to see, and the interval covers less often than it says (measured with 3 or 4: 88% for 95%).",
                action="Read the running variable in a finer unit, or see what windows 'cer' say; take the interval as too narrow.",
                numbers={"values": values},
            )
        )
    if least < 30:
        found.append(
            Finding(
                code="few_near_cutoff",
                severity="warning",
                message=f"Only {least} rows lie within the window on one side of the cutoff.",
                action="Collect more rows near the cutoff before the effect is believed.",
                numbers={"rows": least},
            )
        )
    return found


def _check_options(order: int, kernel: str, treated: str, bandwidths: Bandwidths | str) -> None:
    """Raise unless every option is one that the method knows."""
    if not 0 <= order <= 4:
        raise UsageError(f"order must lie in 0..4, got {order}.", hint="High degrees swing at the edge; 1 or 2 is meant.")
    if kernel not in get_args(Kernel):
        raise UsageError(f"kernel must be one of {list(get_args(Kernel))}, got {kernel!r}.")
    if treated not in get_args(TreatedSide):
        raise UsageError(f"treated must be 'above' or 'below', got {treated!r}.")
    if isinstance(bandwidths, str):
        if bandwidths not in get_args(Windows):
            raise UsageError(f"bandwidths must be windows or one of {list(get_args(Windows))}, got {bandwidths!r}.")
    elif not (0.0 < bandwidths.effect < math.inf and 0.0 < bandwidths.bias < math.inf):
        raise UsageError(f"Bandwidths must be positive and finite, got {bandwidths.effect} and {bandwidths.bias}.")
