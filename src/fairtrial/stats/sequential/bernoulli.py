"""Exact sequences for rates: right at every look, at any n, for any rate.

No normal approximation: under a rate p the likelihood ratio of a Beta(R p, R (1 - p))
mixture against p is a martingale of mean one for every p, so the p it does not yet
reject at 1 / alpha form a confidence sequence (Howard et al.'s beta-binomial
sequence). R pseudo-trials are tuned so that it is tightest near `n_opt` trials.
The price against the asymptotic sequence is small where both hold; where events
are rare only this one does.

Two rates are compared through who the converters are. When every unit goes to
treatment with probability w, a converter belongs to the treatment with probability
w t / (w t + (1 - w) c), whatever the level of the rates: so the share of treatment
among converters, watched by the same exact sequence, bounds the ratio t / c and with it
the relative lift. That holds for rare events of any kind (at most one a unit) and even
when both rates drift together over time, as long as their ratio stays.

Assumes independent units; for the ratio also random assignment at a fixed share.

References: Robbins (1970), Annals of Mathematical Statistics 41, 1397-1409;
Howard, Ramdas, McAuliffe & Sekhon (2021), Annals of Statistics 49, 1055-1080,
proposition 7; Lindon & Malek (2022), NeurIPS 35 (arXiv 2011.03567), on
ratios of rates from counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from fairtrial.errors import UsageError
from fairtrial.stats.result import Alternative, check_alternative
from fairtrial.stats.roots import solve_increasing
from fairtrial.stats.sequential.msprt import p_value_of_log_e
from fairtrial.stats.sequential.normal_mixture import checked_alphas, positive, tuning_constant
from fairtrial.stats.sequential.uniform_boundaries import LEAST_STRENGTH, one_sided_beta_binomial

Floats = NDArray[np.float64]

_FARTHEST = 300.0
"""Rates are searched on the logit scale, down to 5e-131."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RateSequence:
    """Looks of an exact sequence of one rate, as arrays of one shape.

    Attributes:
        low: Lower ends, in [0, 1]; 0 when the alternative is `less`.
        high: Upper ends, in [0, 1]; 1 when the alternative is `greater`.
    """

    low: Floats
    high: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LiftSequence:
    """Looks of an exact sequence of the lift of one rate over another.

    Attributes:
        low: Lower ends of treatment / control - 1, in [-1, inf).
        high: Upper ends; `inf` where no event of the control is enough to bound it, or the alternative is `greater`.
        log_e_value: Natural logarithms of the e-values against the null.
        p_value: min(1, 1 / e) of each look alone; 1 before the first event, as no evidence yet.
    """

    low: Floats
    high: Floats
    log_e_value: Floats
    p_value: Floats


def prior_strength(n_opt: ArrayLike, *, alpha_opt: float = 0.05, alternative: Alternative = "two-sided") -> Floats:
    """Pseudo-trials R of the mixing distribution for a sequence that is tightest near `n_opt` trials.

    Args:
        n_opt: Trials > 0, any shape.
        alpha_opt: Error rate to tune for, in (0, 1).
        alternative: Sidedness.

    Returns:
        max(n_opt / `tuning_constant` - 1, 0.001).

    Raises:
        UsageError: A value lies outside its range.

    References:
        Howard et al. (2021), proposition 7, and its tuning in their implementation, confseq.
    """
    return np.maximum(positive("n_opt", n_opt) / tuning_constant(alpha_opt, alternative=alternative) - 1.0, LEAST_STRENGTH)


def bernoulli_log_e_value(
    successes: ArrayLike,
    n: ArrayLike,
    *,
    null: ArrayLike,
    n_opt: ArrayLike,
    alpha_opt: float = 0.05,
    alternative: Alternative = "two-sided",
) -> Floats:
    """Log e-value of counts against a rate.

    Args:
        successes: Units with outcome 1, in 0..n, any shape.
        n: Units so far, >= 0.
        null: Rates under the null hypothesis, in (0, 1).
        n_opt: Units at which the sequence is tightest.
        alpha_opt: Error rate to tune for.
        alternative: `greater` is rate > null.

    Returns:
        Log e-values of the broadcast shape; 0 at n = 0. `p_value_of_log_e` makes p-values of them.

    Raises:
        UsageError: A value lies outside its range, or `alternative` is another word.
    """
    check_alternative(alternative)
    x, trials = _counts(successes, n)
    p = np.asarray(null, dtype=np.float64)
    if not ((p > 0.0) & (p < 1.0)).all():
        raise UsageError(f"A rate under the null must lie in (0, 1), got {p}.", hint="Pass a fraction, not a percentage.")
    strength = prior_strength(n_opt, alpha_opt=alpha_opt, alternative=alternative)
    return one_sided_beta_binomial(x - trials * p, trials, strength, p, 1.0 - p, alternative=alternative)


def bernoulli_confidence_sequence(
    successes: ArrayLike,
    n: ArrayLike,
    *,
    n_opt: ArrayLike,
    alpha: ArrayLike = 0.05,
    alpha_opt: float = 0.05,
    alternative: Alternative = "two-sided",
) -> RateSequence:
    """Intervals of a rate that hold at every look, exactly.

    Args:
        successes: Units with outcome 1, in 0..n, any shape.
        n: Units so far, >= 0; at 0 the interval is [0, 1].
        n_opt: Units at which the sequence is tightest.
        alpha: Error rates in (0, 1) over all looks together, one or an array.
        alpha_opt: Error rate to tune for; keep it when asking for other levels.
        alternative: `greater` gives the lower end alone, `less` the upper.

    Returns:
        The rates whose e-value is below 1 / alpha: `bernoulli_log_e_value` at a null exceeds log(1 / alpha)
        exactly when the null lies outside.

    Raises:
        UsageError: A value lies outside its range, or `alternative` is another word.

    References:
        Howard et al. (2021), proposition 7.
    """
    check_alternative(alternative)
    x, trials = _counts(successes, n)
    strength = prior_strength(n_opt, alpha_opt=alpha_opt, alternative=alternative)
    x, trials, pseudo, level = np.broadcast_arrays(x, trials, strength, -np.log(checked_alphas(alpha)))
    low, high = np.zeros(x.shape), np.ones(x.shape)
    if alternative != "less":
        low = special.expit(_lower_logit(x, trials, pseudo, level, one_sided=alternative == "greater"))
    if alternative != "greater":
        high = special.expit(-_lower_logit(trials - x, trials, pseudo, level, one_sided=alternative == "less"))
    return RateSequence(low=np.asarray(low), high=np.asarray(high))


def rate_lift_sequence(
    successes_control: ArrayLike,
    successes_treatment: ArrayLike,
    *,
    treatment_share: float = 0.5,
    events_opt: ArrayLike,
    alpha: ArrayLike = 0.05,
    alpha_opt: float = 0.05,
    null: ArrayLike = 0.0,
    alternative: Alternative = "two-sided",
) -> LiftSequence:
    """The lift of one rate over another, exact at every look and for the rarest events.

    Args:
        successes_control: Converted units of the control so far, whole numbers >= 0, any shape.
        successes_treatment: The same of the treatment.
        treatment_share: Probability w that a unit of these two arms is assigned to treatment, in (0, 1):
            the planned share, not the one observed.
        events_opt: Converted units of both arms at which the sequence is tightest.
        alpha: Error rates in (0, 1) over all looks together, one or an array.
        alpha_opt: Error rate to tune for.
        null: Lifts under the null hypothesis, > -1.
        alternative: `greater` is lift > null.

    Returns:
        The looks. With s the bound on the share of treatment among converters the lift's is
        s / (1 - s) (1 - w) / w - 1.

    Raises:
        UsageError: A value lies outside its range, or `alternative` is another word.

    References:
        Lindon & Malek (2022); Howard et al. (2021), proposition 7.
    """
    check_alternative(alternative)
    if not 0.0 < treatment_share < 1.0:
        raise UsageError(
            f"treatment_share must lie in (0, 1), got {treatment_share}.", hint="Pass the planned share of treatment, 0.5 for even arms."
        )
    lifts = np.asarray(null, dtype=np.float64)
    if not (np.isfinite(lifts) & (lifts > -1.0)).all():
        raise UsageError(f"A lift under the null must be finite and above -1, got {lifts}.")
    odds = treatment_share / (1.0 - treatment_share)
    control, treatment = (
        positive(f"successes_{arm}", x, zero=True) for arm, x in (("control", successes_control), ("treatment", successes_treatment))
    )
    events = control + treatment
    share = odds * (1.0 + lifts) / (1.0 + odds * (1.0 + lifts))
    log_e = bernoulli_log_e_value(treatment, events, null=share, n_opt=events_opt, alpha_opt=alpha_opt, alternative=alternative)
    x, trials = _counts(treatment, events)
    strength = prior_strength(events_opt, alpha_opt=alpha_opt, alternative=alternative)
    x, trials, pseudo, level, log_e = np.broadcast_arrays(x, trials, strength, -np.log(checked_alphas(alpha)), log_e)
    low, high = np.full(x.shape, -1.0), np.full(x.shape, np.inf)
    if alternative != "less":
        low = _odds(_lower_logit(x, trials, pseudo, level, one_sided=alternative == "greater")) / odds - 1.0
    if alternative != "greater":
        high = _odds(-_lower_logit(trials - x, trials, pseudo, level, one_sided=alternative == "less")) / odds - 1.0
    return LiftSequence(low=np.asarray(low), high=np.asarray(high), log_e_value=log_e, p_value=p_value_of_log_e(log_e))


def _odds(logit: Floats) -> Floats:
    """exp(logit), which is infinite at infinity."""
    with np.errstate(over="ignore"):
        return np.exp(logit)


def _lower_logit(successes: Floats, n: Floats, strength: Floats, level: Floats, *, one_sided: bool) -> Floats:
    """Logit of the lower end; each distinct look is searched once, for counts of many replicates repeat."""
    rows = np.stack([successes, n, strength, level], axis=-1).reshape(-1, 4)
    distinct, where = np.unique(rows, axis=0, return_inverse=True)
    ends = _search(*distinct.T, one_sided=one_sided)
    return ends[where.reshape(-1)].reshape(successes.shape)


def _search(successes: Floats, n: Floats, strength: Floats, level: Floats, *, one_sided: bool) -> Floats:
    """The rate below successes / n at which the log e-value is `level`, as a logit; -inf where none is, NaN without a level."""
    alternative = "greater" if one_sided else "two-sided"

    def missing(logit: Floats) -> Floats:
        p, q = special.expit(logit), special.expit(-logit)
        return target - one_sided_beta_binomial(x - trials * p, trials, pseudo, p, q, alternative=alternative)

    known = np.isfinite(level) & (successes > 0.0)
    x, trials, pseudo, target = (np.where(known, a, 1.0) for a in (successes, n, strength, level))
    farthest = np.full(x.shape, -_FARTHEST)
    known &= missing(farthest) < 0.0
    # What has no lower end is searched as 5 of 10, which has one, so that it does not hold up the others.
    x, trials, pseudo, target = (np.where(known, a, fill) for a, fill in ((x, 5.0), (trials, 10.0), (pseudo, 1.0), (target, 3.0)))
    with np.errstate(divide="ignore"):
        nearest = np.minimum(np.log(x) - np.log(trials - x), _FARTHEST)
    spread = np.sqrt(2.0 * target * trials / (x * np.maximum(trials - x, 1.0)))
    guess = np.where(x == trials, np.log(x / target), nearest - spread)
    root = solve_increasing(missing, farthest, nearest, guess, slope=target / spread)
    return np.where(np.isnan(level), np.nan, np.where(known, root, -np.inf))


def _counts(successes: ArrayLike, n: ArrayLike) -> tuple[Floats, Floats]:
    x, trials = np.broadcast_arrays(np.asarray(successes, dtype=np.float64), np.asarray(n, dtype=np.float64))
    wrong = ~(np.isfinite(trials) & (np.floor(x) == x) & (np.floor(trials) == trials) & (x >= 0.0) & (x <= trials))
    if wrong.any():
        raise UsageError(
            f"Counts must be whole numbers with successes in 0..n, got {x[wrong][0]:g} of {trials[wrong][0]:g}.",
            hint="Pass counts, not rates.",
        )
    return x, trials
