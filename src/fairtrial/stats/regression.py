"""The effect by least squares on raw values: ANCOVA and Lin's interacted adjustment, with robust errors.

Both regress the outcome on the treatment and on covariates centred at their
mean over all units, so that the intercept is the control's adjusted mean. Lin's
form lets each arm have its own slopes, which never costs precision in large
samples, whatever the true relation; ANCOVA's one slope may, when arms are
unequal. Errors: `classical` (one variance), or heteroscedasticity-consistent
`hc0` to `hc3`; `hc2` is exact for two means without covariates.

References: Lin (2013), Annals of Applied Statistics 7, 295-318; MacKinnon &
White (1985), Journal of Econometrics 29, 305-325 (HC0-HC3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.result import Alternative, Estimate
from fairtrial.stats.samples import sample_of
from fairtrial.stats.single import contrast_of_values, single_estimate

Floats = NDArray[np.float64]
StdErrors = Literal["classical", "hc0", "hc1", "hc2", "hc3"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LeastSquares:
    """A fit of an outcome on a design.

    Attributes:
        coefficients: Shape (k,).
        residuals: Shape (n,).
        inverse: (X'X)^-1, shape (k, k).
        leverage: Diagonal of the hat matrix, shape (n,), in (0, 1].
    """

    coefficients: Floats
    residuals: Floats
    inverse: Floats
    leverage: Floats


def ancova_test(
    outcome: ArrayLike,
    treated: ArrayLike,
    covariates: ArrayLike,
    *,
    std_errors: StdErrors = "classical",
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
    margin: float = 0.0,
) -> Estimate:
    """Effect of the treatment with one slope a covariate, common to both arms.

    Args:
        outcome: One value a unit, shape (n,).
        treated: 1 for the treatment, 0 for the control, shape (n,).
        covariates: Measured before assignment, shape (n,) or (n, p).
        std_errors: `classical`, `hc0`, `hc1`, `hc2` or `hc3`.
        alpha: Type I error rate in (0, 1); the interval covers 1 - `alpha`.
        alternative: The alternative hypothesis, in SciPy's words.
        margin: Effect under the null hypothesis.

    Returns:
        The adjusted effect, t with n - p - 2 degrees of freedom; control and treatment are
        means at the covariates' overall mean.

    Raises:
        UsageError: Shapes do not match, or an option breaks its rule.
        NotEnoughDataError: No more units than coefficients, or an arm is empty.
        DataError: Covariates depend linearly on each other, or the fit is perfect.

    References:
        Fisher (1932), Statistical Methods for Research Workers, section 49.1 (covariance analysis).
    """
    y, t, x = _columns(outcome, treated, covariates)
    return _effect(y, np.column_stack([np.ones_like(y), t, x]), t, std_errors, "ancova", alpha, alternative, margin)


def lin_test(
    outcome: ArrayLike,
    treated: ArrayLike,
    covariates: ArrayLike,
    *,
    std_errors: StdErrors = "hc2",
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
    margin: float = 0.0,
) -> Estimate:
    """Effect of the treatment with slopes of its own in each arm.

    Args:
        outcome: One value a unit, shape (n,).
        treated: 1 for the treatment, 0 for the control, shape (n,).
        covariates: Measured before assignment, shape (n,) or (n, p).
        std_errors: `classical`, `hc0`, `hc1`, `hc2` or `hc3`.
        alpha: Type I error rate in (0, 1); the interval covers 1 - `alpha`.
        alternative: The alternative hypothesis, in SciPy's words.
        margin: Effect under the null hypothesis.

    Returns:
        The average effect at the covariates' overall mean, t with n - 2 p - 2 degrees of freedom.

    Raises:
        UsageError: Shapes do not match, or an option breaks its rule.
        NotEnoughDataError: No more units than coefficients, or an arm is empty.
        DataError: Covariates depend linearly on each other, or the fit is perfect.

    References:
        Lin (2013), Annals of Applied Statistics 7, 295-318.
    """
    y, t, x = _columns(outcome, treated, covariates)
    return _effect(y, np.column_stack([np.ones_like(y), t, x, t[:, None] * x]), t, std_errors, "lin", alpha, alternative, margin)


def least_squares(outcome: Floats, design: Floats) -> LeastSquares:
    """Fit by QR decomposition.

    Args:
        outcome: Shape (n,).
        design: Shape (n, k), n > k, columns linearly independent.

    Returns:
        Coefficients, residuals, (X'X)^-1 and leverages.

    Raises:
        NotEnoughDataError: No more rows than columns.
        DataError: The columns depend linearly on each other.

    References:
        Golub & Van Loan (2013), Matrix Computations, section 5.3.
    """
    n, k = design.shape
    if n <= k:
        raise NotEnoughDataError(f"A regression with {k} coefficients needs more units than that, got {n}.", code="too_few_units")
    q, r = np.linalg.qr(design)
    diagonal = np.abs(np.diagonal(r))
    if diagonal.min() <= 1e-10 * np.sqrt(np.square(design).sum(axis=0)).max():
        raise DataError("The covariates depend linearly on each other or on the treatment.", hint="Leave one out.", code="collinear")
    root = np.linalg.solve(r, np.eye(k))
    coefficients = root @ (q.T @ outcome)
    return LeastSquares(
        coefficients=coefficients,
        residuals=outcome - design @ coefficients,
        inverse=root @ root.T,
        leverage=np.square(q).sum(axis=1),
    )


def coefficient_covariance(fit: LeastSquares, design: Floats, std_errors: StdErrors) -> Floats:
    """Covariance matrix of a fit's coefficients, shape (k, k).

    Args:
        fit: The fit of an outcome on `design`.
        design: Shape (n, k).
        std_errors: `classical`, or a heteroscedasticity-consistent kind.

    Raises:
        UsageError: `std_errors` is another word.
        DataError: A unit has leverage 1 under `hc2` or `hc3`.

    References:
        MacKinnon & White (1985), Journal of Econometrics 29, 305-325.
    """
    n, k = design.shape
    squares = np.square(fit.residuals)
    if std_errors == "classical":
        return fit.inverse * (squares.sum() / (n - k))
    if std_errors not in get_args(StdErrors):
        raise UsageError(f"std_errors must be one of {list(get_args(StdErrors))}, got {std_errors!r}.")
    power = {"hc0": 0, "hc1": 0, "hc2": 1, "hc3": 2}[std_errors]
    left = 1.0 - fit.leverage
    if power and left.min() <= 1e-12:
        raise DataError(f"A unit decides its own fit alone, so {std_errors} is not defined.", hint="Use hc1.", code="leverage")
    weighted = design * (squares / left**power)[:, None]
    scale = n / (n - k) if std_errors == "hc1" else 1.0
    return scale * fit.inverse @ (design.T @ weighted) @ fit.inverse


def _columns(outcome: ArrayLike, treated: ArrayLike, covariates: ArrayLike) -> tuple[Floats, Floats, Floats]:
    y, t = sample_of(outcome), treatment_indicator(treated)
    x = np.asarray(covariates, dtype=np.float64)
    x = x[:, None] if x.ndim == 1 else x
    if x.ndim != 2 or not y.size == t.size == x.shape[0]:
        raise UsageError(f"Outcome, treatment and covariates must have one row a unit, got {y.shape}, {t.shape} and {x.shape}.")
    if not np.isfinite(x).all():
        raise DataError("Covariates must be finite.")
    return y, t, x - x.mean(axis=0)


def treatment_indicator(treated: ArrayLike) -> Floats:
    """The treatment as 0 and 1, both present.

    Args:
        treated: Zeros and ones (or booleans), shape (n,).

    Raises:
        UsageError: There are other values.
        NotEnoughDataError: An arm is empty.
    """
    t = sample_of(treated)
    if not np.isin(t, (0.0, 1.0)).all():
        raise UsageError("treated must hold 0 for the control and 1 for the treatment only.")
    if t.min() == t.max():
        raise NotEnoughDataError("Both arms need units.", code="too_few_units")
    return t


def _effect(
    y: Floats, design: Floats, t: Floats, std_errors: StdErrors, method: str, alpha: float, alternative: Alternative, margin: float
) -> Estimate:
    fit = least_squares(y, design)
    if float(np.square(fit.residuals).sum()) <= 1e-24 * float(np.square(y - y.mean()).sum()):
        raise DataError("The covariates tell the outcome entirely, so nothing is left to infer from.", code="no_variance")
    covariance = coefficient_covariance(fit, design, std_errors)
    control, effect = (float(value) for value in fit.coefficients[:2])
    own, both, other = float(covariance[0, 0]), float(covariance[0, 1]), float(covariance[1, 1])
    contrast = contrast_of_values(
        control=control,
        treatment=control + effect,
        control_variance=own,
        treatment_variance=own + 2.0 * both + other,
        covariance=own + both,
        df=float(design.shape[0] - design.shape[1]),
        n_control=int((t == 0.0).sum()),
        n_treatment=int((t == 1.0).sum()),
    )
    return single_estimate(contrast, method=f"{method}_{std_errors}", alpha=alpha, alternative=alternative, margin=margin)
