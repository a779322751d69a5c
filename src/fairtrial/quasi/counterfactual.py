"""A counterfactual series from control series: what the series would have been after the intervention.

Least squares relates the series to its controls before and predicts it after.
The local level adds a level that takes a random step each period: the further
from the intervention, the wider the interval, as it should be for a series that
wanders. Both give the mean effect after, with the error of the relation and of
the series itself.

References: Harvey (1989), Forecasting, Structural Time Series Models and the
Kalman Filter, section 3.4 and 4.1 (local level, regressors, diffuse start);
Brodersen et al. (2015), Annals of Applied Statistics 9, 247-274 (the design);
Newey & West (1987), Econometrica 55, 703-708 (variance of a mean).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize_scalar

from fairtrial.diagnostics.finding import Finding
from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.quasi.autoregression import Autoregression, Mixture
from fairtrial.quasi.columns import matrix_of, numbers_of
from fairtrial.quasi.estimate import EvidenceGrade, QuasiEstimate, graded, with_inference
from fairtrial.quasi.interrupted import LEAST_EACH_SIDE, NO_OTHER_EVENT, lasting_findings
from fairtrial.stats.regression import LeastSquares, least_squares

Floats = NDArray[np.float64]
SeriesModel = Literal["local_level", "least_squares"]
LONGEST = 3_000
"""Periods before the intervention beyond which the local level's dense likelihood is refused."""
WANDERS = 1.0
"""Variance of a step of the level over that of the noise from which a series is said to wander."""
RELATED = "The control series were not touched, and the series' relation to them would have gone on."


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CounterfactualSeries:
    """A series against its prediction.

    Attributes:
        estimate: Mean effect over the periods after.
        predicted: The series as predicted, before (fitted) and after, shape (n,).
        effects: Observed less predicted, shape (n,).
        coefficients: Of the control series, shape (p,).
        step_variance: Variance of the level's step; 0 for least squares.
        noise_variance: Variance of the noise.
    """

    estimate: QuasiEstimate
    predicted: Floats
    effects: Floats
    coefficients: Floats
    step_variance: float
    noise_variance: float


def counterfactual_series(
    series: ArrayLike, controls: ArrayLike, *, start: int, model: SeriesModel = "local_level", lags: int | None = None, alpha: float = 0.05
) -> CounterfactualSeries:
    """Mean effect after an intervention, against a prediction from control series.

    Args:
        series: One value a period, evenly spaced, in order, shape (n,).
        controls: Series that the intervention did not touch, shape (n,) or (n, p).
        start: Place of the first period after the intervention, counted from 0.
        model: `local_level` lets the relation's level wander; `least_squares` holds it fixed.
        lags: For `least_squares`: lags over which residuals may depend (Newey-West), with t of (periods before -
            coefficients) degrees of freedom. Default: errors are autoregressive, of unknown strength.
        alpha: Error rate in (0, 1).

    Returns:
        The mean effect, with the error of the relation and of the series itself.

    Raises:
        UsageError: Shapes differ, or an option breaks its rule.
        NotEnoughDataError: Too few periods before for the controls, or fewer than three on a side.
        DataError: A value is missing, controls depend on each other, or they tell the series entirely.

    References:
        Harvey (1989), sections 3.4 and 4.1; Brodersen et al. (2015); autoregressive errors: see `autoregression`.
    """
    if model not in get_args(SeriesModel):
        raise UsageError(f"model must be one of {list(get_args(SeriesModel))}, got {model!r}.")
    y = numbers_of("series", series)
    x = matrix_of("controls", controls, rows=y.size, row="period")
    _check(y.size, start, x.shape[1])
    design, spread = _design(x, start)
    before, after = design[:start], design[start:]
    fit = least_squares(y[:start], before)  # refuses controls that depend on each other
    if model == "least_squares":
        parts = _from_least_squares(fit, before, after, _reach(lags, start))
    else:
        parts = _from_local_level(y[:start], before, after)
    predicted = np.concatenate([parts.fitted, parts.forecast])
    effects = y - predicted
    if model == "least_squares" and lags is None:
        parts = _lasting(parts, float(effects[start:].mean()), y, design, start)
    findings = _findings(x, start, parts)
    return CounterfactualSeries(
        estimate=_estimate(y, effects, start, parts, model=model, findings=findings, alpha=alpha),
        predicted=predicted,
        effects=effects,
        coefficients=parts.coefficients[1:] / spread,
        step_variance=parts.step,
        noise_variance=parts.noise,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Parts:
    """What a model says: fit before, forecast after, and the variance of the mean effect."""

    coefficients: Floats
    fitted: Floats
    forecast: Floats
    variance: float
    step: float
    noise: float
    errors: Autoregression | None = None
    mean: Mixture | None = None


def _lasting(parts: _Parts, effect: float, y: Floats, design: Floats, start: int) -> _Parts:
    """The same prediction with autoregressive errors of unknown strength, of the relation and of the mean after alike.

    `drawn` is what the mean prediction takes of each period before.
    """
    errors = Autoregression.of(y[:start], design[:start])
    basis, triangle = np.linalg.qr(design[:start])
    drawn = np.asarray(basis @ np.linalg.solve(triangle.T, design[start:].mean(axis=0)), dtype=np.float64)
    ahead = y.size - start
    weights = np.concatenate([-drawn, np.full(ahead, 1.0 / ahead)])
    return replace(parts, errors=errors, mean=errors.of_weights(effect, weights))


def _design(controls: Floats, start: int) -> tuple[Floats, Floats]:
    """An intercept and the controls in units of their spread before the start, shape (n, p + 1); and that spread, shape (p,)."""
    spread = controls[:start].std(axis=0)
    if (spread <= 0.0).any():
        raise DataError("A control series must vary before the intervention.", hint="Leave constant ones out.", code="collinear")
    return np.column_stack([np.ones(controls.shape[0]), (controls - controls[:start].mean(axis=0)) / spread]), spread


def _reach(lags: int | None, start: int) -> int:
    """Lags over which residuals may depend."""
    reach = math.isqrt(start) if lags is None else lags
    if not 0 <= reach < start:
        raise UsageError(f"lags must lie in 0..{start - 1}, got {reach}.")
    return reach


def _estimate(
    y: Floats, effects: Floats, start: int, parts: _Parts, *, model: SeriesModel, findings: list[Finding], alpha: float
) -> QuasiEstimate:
    """The mean of the effects after the start, beside what was observed then."""
    observed = float(y[start:].mean())
    if parts.mean is None:
        tested = with_inference(
            float(effects[start:].mean()), math.sqrt(parts.variance), df=float(start - parts.coefficients.size), alpha=alpha
        )
    else:
        tested = parts.mean.tested(alpha=alpha)
    effect = tested["effect"]
    grade = EvidenceGrade(
        level="moderate", design="interrupted_series", rests_on=RELATED, because="Not higher: one series was treated, and not by chance."
    )
    return QuasiEstimate(
        **tested,
        method=f"counterfactual_{model}",
        interval_method="prediction_t" if parts.mean is None else "autoregression_t",
        n=y.size,
        n_treated=y.size - start,
        n_control=start,
        treated=observed,
        counterfactual=observed - effect,
        assumptions=(RELATED, NO_OTHER_EVENT),
        findings=tuple(findings),
        grade=graded(grade, findings),
        numbers={"step_variance": parts.step, "noise_variance": parts.noise, "cumulative_effect": effect * (y.size - start)},
    )


def _from_least_squares(fit: LeastSquares, before: Floats, after: Floats, lags: int) -> _Parts:
    """The mean of future noise and the error of the relation, both with dependence in time."""
    beta, residuals, inverse = fit.coefficients, fit.residuals, fit.inverse
    n, k = before.shape
    ahead = after.shape[0]
    covariances = [float((residuals[lag:] * residuals[: n - lag]).sum()) / (n - k) for lag in range(lags + 1)]
    noise = covariances[0]
    if noise <= 1e-24 * float(np.square(before @ beta).mean() + 1e-300):
        raise DataError("The control series tell the series entirely, so nothing is left to infer from.", code="no_variance")
    own, middle = noise / ahead, (before * np.square(residuals)[:, None]).T @ before
    scores = before * residuals[:, None]
    for lag in range(1, lags + 1):
        weight = 1.0 - lag / (lags + 1.0)
        own += 2.0 * weight * covariances[lag] * max(ahead - lag, 0) / ahead**2
        cross = scores[lag:].T @ scores[:-lag]
        middle += weight * (cross + cross.T)
    mean = after.mean(axis=0)
    relation = float(mean @ inverse @ middle @ inverse @ mean) * n / (n - k)
    return _Parts(
        coefficients=beta, fitted=before @ beta, forecast=after @ beta, variance=max(own, noise / ahead) + relation, step=0.0, noise=noise
    )


def _from_local_level(y: Floats, before: Floats, after: Floats) -> _Parts:
    """Generalised least squares with covariance noise (I + q min(i, j)), q by the diffuse (restricted) likelihood."""
    scale = float(y.std()) or 1.0
    z = y / scale
    steps = np.arange(y.size, dtype=np.float64)
    walk = np.minimum(steps[:, None], steps[None, :])

    def deviance(log_q: float) -> float:
        """Minus twice the restricted log-likelihood, up to a constant."""
        fit = _gls(z, before, walk, math.exp(log_q))
        return (z.size - before.shape[1]) * math.log(fit.noise) + fit.log_det

    grid = np.linspace(-16.0, 12.0, 29)
    values = [deviance(float(q)) for q in grid]
    best = int(np.argmin(values))
    ends = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, grid.size - 1)])
    q = math.exp(float(minimize_scalar(deviance, bounds=ends, method="bounded").x))
    fit = _gls(z, before, walk, q)
    beta, noise, residual = fit.coefficients, fit.noise, z - before @ fit.coefficients
    ahead = after.shape[0]
    level = q * steps  # covariance of every later level with the ones before: min(i, last) = i
    later = np.arange(ahead, dtype=np.float64)
    own = q * (float(np.minimum(later[:, None], later[None, :]).mean()) + y.size) + 1.0 / ahead
    gain: Floats = np.asarray(cho_solve(fit.factor, level), dtype=np.float64)
    fitted_level = q * walk @ np.asarray(cho_solve(fit.factor, residual))
    drift = after.mean(axis=0) - before.T @ gain
    variance = noise * (own - float(level @ gain) + float(drift @ fit.inverse @ drift))
    return _Parts(
        coefficients=beta * scale,
        fitted=scale * (before @ beta + fitted_level),
        forecast=scale * (after @ beta + float(gain @ residual)),
        variance=variance * scale**2,
        step=q * noise * scale**2,
        noise=noise * scale**2,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Gls:
    """Generalised least squares for V = I + q walk.

    `noise` has divisor n - k; `log_det` is of V and of X' V^-1 X together.
    """

    coefficients: Floats
    noise: float
    log_det: float
    factor: tuple[Floats, bool]
    inverse: Floats


def _gls(z: Floats, design: Floats, walk: Floats, q: float) -> _Gls:
    """Fit z on the design where the level steps with q times the noise's variance; `walk` is the steps' covariance."""
    covariance = q * walk
    covariance[np.diag_indices_from(covariance)] += 1.0
    factor = cho_factor(covariance, lower=True)
    weighted = np.asarray(cho_solve(factor, design))
    cross = design.T @ weighted
    inverse = np.asarray(np.linalg.inv(cross), dtype=np.float64)
    beta = inverse @ (weighted.T @ z)
    residual = z - design @ beta
    noise = float(residual @ np.asarray(cho_solve(factor, residual))) / (z.size - design.shape[1])
    if noise <= 1e-24:
        raise DataError("The control series tell the series entirely, so nothing is left to infer from.", code="no_variance")
    log_det = 2.0 * float(np.log(np.diagonal(factor[0])).sum()) + float(np.linalg.slogdet(cross)[1])
    return _Gls(coefficients=beta, noise=noise, log_det=log_det, factor=factor, inverse=inverse)


def _check(n: int, start: int, controls: int) -> None:
    """Raise unless there are enough periods on both sides for so many controls, and not too many for the likelihood."""
    if start < max(LEAST_EACH_SIDE, controls + 3) or n - start < LEAST_EACH_SIDE:
        raise NotEnoughDataError(
            f"{controls} control series need {max(LEAST_EACH_SIDE, controls + 3)} periods before and {LEAST_EACH_SIDE} after, "
            f"got {max(start, 0)} and {max(n - start, 0)}.",
            hint="Check `start`, the place of the first period after, counted from 0.",
            code="too_few_periods",
        )
    if start > LONGEST:
        raise UsageError(f"At most {LONGEST:,} periods before are read, got {start:,}.", hint="Aggregate to longer periods.")


def _findings(x: Floats, start: int, parts: _Parts) -> list[Finding]:
    """A level that wanders more than it is noisy, and controls that leave the range they were related in."""
    found = [] if parts.errors is None else lasting_findings(parts.errors, start)
    if parts.step > WANDERS * parts.noise:
        found.append(
            Finding(
                code="wandering_series",
                severity="warning",
                message=f"Most of the series' movement is a level that wanders (step variance {parts.step:.3g}, noise {parts.noise:.3g}).",
                action="Trust the effect only in the first periods after; the interval widens with every period.",
                numbers={"step_variance": parts.step, "noise_variance": parts.noise},
            )
        )
    ends = np.array([x[:start].min(axis=0), x[:start].max(axis=0)])
    beyond = float(((x[start:] < ends[0]) | (x[start:] > ends[1])).any(axis=1).mean())
    if beyond > 0.25:
        found.append(
            Finding(
                code="extrapolation",
                severity="warning",
                message=f"In {beyond:.0%} of the periods after, a control series lies outside what it was before.",
                action="The relation is carried beyond where it was seen; check that the controls were not touched.",
                numbers={"share": beyond},
            )
        )
    return found
