"""The effect on a change from one period to another, with and without covariates.

`doubly_robust_change` is right if either the chance to be treated (a logistic
model) or the change of the untreated (a linear model) is right given the
covariates. Both functions return each row's influence on the effect, so that
averages of effects have standard errors.

Reference: Sant'Anna & Zhao (2020), Journal of Econometrics 219, 101-122:
equation 2.6 and, for the influence function, section 3.1 (panel data).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fairtrial.errors import DataError, NotEnoughDataError
from fairtrial.stats.regression import least_squares

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
STEPS = 50
CERTAIN = 1.0 - 1e-6
"""Estimated chances to be treated beyond this: covariates separate the groups."""


def plain_change(change: Floats, treated: Bools) -> tuple[float, Floats]:
    """Mean change of the treated less that of the others.

    Args:
        change: Change of each unit, shape (n,).
        treated: Which are treated, shape (n,), both sides present.

    Returns:
        The effect and each unit's influence, shape (n,), mean 0.
    """
    n, on, off = change.size, int(treated.sum()), int((~treated).sum())
    mean_on, mean_off = float(change[treated].mean()), float(change[~treated].mean())
    influence = np.where(treated, (change - mean_on) * (n / on), -(change - mean_off) * (n / off))
    return mean_on - mean_off, influence


def doubly_robust_change(change: Floats, treated: Bools, covariates: Floats) -> tuple[float, Floats]:
    """Mean change of the treated less what the others' changes predict for them, doubly robust.

    Args:
        change: Change of each unit, shape (n,).
        treated: Which are treated, shape (n,).
        covariates: Shape (n, p); an intercept is added.

    Returns:
        The effect and each unit's influence, shape (n,), mean 0.

    Raises:
        NotEnoughDataError: A side has no more units than coefficients.
        DataError: The covariates depend on each other, or tell who is treated.

    References:
        Sant'Anna & Zhao (2020), equation 2.6.
    """
    n = change.size
    spread = covariates.std(axis=0)
    x = np.column_stack([np.ones(n), (covariates - covariates.mean(axis=0)) / np.where(spread > 0.0, spread, 1.0)])
    d = treated.astype(np.float64)
    if min(int(treated.sum()), int((~treated).sum())) < x.shape[1]:
        raise NotEnoughDataError("A cohort or its controls have fewer units than covariates.", code="too_few_units")
    fit = least_squares(change[~treated], x[~treated])
    chance, information = _logit(d, x)
    gap = change - x @ fit.coefficients
    w_on, w_off = d, chance * (1.0 - d) / (1.0 - chance)
    eta_on, eta_off = float((w_on * gap).mean() / w_on.mean()), float((w_off * gap).mean() / w_off.mean())
    # Influence of the outcome model and of the logistic model, each through its score.
    score_model = ((1.0 - d) * gap)[:, None] * x @ (fit.inverse * n)
    score_logit = (d - chance)[:, None] * x @ (np.linalg.inv(information) * n)
    pull_on = (w_on[:, None] * x).mean(axis=0)
    pull_off = (w_off[:, None] * x).mean(axis=0)
    drift = ((w_off * (gap - eta_off))[:, None] * x).mean(axis=0)
    influence_on = (w_on * (gap - eta_on) - score_model @ pull_on) / w_on.mean()
    influence_off = (w_off * (gap - eta_off) + score_logit @ drift - score_model @ pull_off) / w_off.mean()
    return eta_on - eta_off, influence_on - influence_off


def _logit(d: Floats, x: Floats) -> tuple[Floats, Floats]:
    """Fitted chances and the information matrix of a logistic regression, by Newton's steps."""
    beta = np.zeros(x.shape[1])
    for _ in range(STEPS):
        chance = special.expit(x @ beta)
        if chance.max() > CERTAIN:
            break
        information = (x * (chance * (1.0 - chance))[:, None]).T @ x
        step = np.linalg.solve(information, x.T @ (d - chance))
        beta += step
        if np.abs(step).max() < 1e-12 * (1.0 + np.abs(beta).max()):
            return chance, information
    raise DataError(
        "The covariates tell who is treated, or depend on each other, so there is nobody to compare with.",
        hint="Leave a covariate out.",
        code="separation",
    )
