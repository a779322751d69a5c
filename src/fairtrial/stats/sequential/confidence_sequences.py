"""Confidence sequences of an effect: intervals that hold at every look at once, however often one looks.

Anything with an effect and a standard error is served by one formula path: a
difference of means or proportions, plain, CUPED-adjusted, a ratio or clustered,
and the relative lift. By the central limit theorem the estimates along an
experiment behave like a normal sum with intrinsic time 1 / V, V the variance of
the estimate, so the normal mixture bounds them:

    effect -+ sqrt(V (1 + 1 / r) (2 log(1 / alpha) + log(1 + r))),   r = tau2 / V

Planned from the units n_opt at which the sequence shall be tightest, r is
`tuning_constant` n / n_opt with n the units of both arms, which is the
asymptotic confidence sequence of Waudby-Smith et al.; planned from an effect,
tau2 is fixed and it is the mSPRT. The p-value is min(1, 1 / e) with e the mixture's
e-value, so it is below alpha exactly when the interval excludes the null, at every alpha.

The promise is asymptotic: it holds from the first look at which both arms are
large, and fails for tiny arms and rare events, where variances are underestimated
exactly when the estimate strays. Looks before `MIN_ARM_UNITS` units an arm are flagged,
`few_events` finds those before `MIN_ARM_EVENTS` events; the exact sequences of `bernoulli`
hold there too.

References: Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (2024), Annals of
Statistics 52, 2613-2640 (arXiv 2103.06476; equations 9 and 134); Johari,
Koomen, Pekelis & Walsh (2022), Operations Research 70, 1806-1821; Howard,
Ramdas, McAuliffe & Sekhon (2021), Annals of Statistics 49, 1055-1080.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairtrial.errors import DataError, UsageError
from fairtrial.stats.lift import ArmValues, lift_std_error, relative_lift
from fairtrial.stats.result import Alternative, Interval
from fairtrial.stats.sequential.msprt import MsprtBatch, msprt_batch, p_value_of_log_e
from fairtrial.stats.sequential.normal_mixture import LOG_2, checked_alphas, finite, positive, tuning_constant

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]
OneSided = Literal["exact", "closed_form"]

MIN_ARM_UNITS = 200
"""Units of the smaller arm below which a look is `too_early`.

Measured on A/A runs looked at after every unit of the smaller arm, alpha 5%, two-sided, tuned early (n_opt 200
for even arms up to 20,000 units, 2,000 for 95/5 up to 40,000; 1,000 runs a cell, standard error 0.7 points at 5%):
share that ever exclude the truth, by the units of the smaller arm at the first look.

    first look at            2     20    200    500
    even arms, normal        5.8%  3.5%  2.1%   1.3%
    even arms, lognormal     5.2%  2.6%  1.7%   1.3%
    95/5, normal             7.6%  4.1%  1.9%   1.2%
    95/5, exponential        16%   9.9%  3.6%   1.7%
    95/5, lognormal          24%   18%   4.8%   2.0%
    95/5, lognormal, sd 1.5  38%   31%   12%    6.2%

(lognormal: log-scale sd 1, skewness 6; the last has skewness 33.) So 200 suffices up to a skewness of about
6 even at 95/5; one-sided, towards the skew, that cell errs 6.8% and wants 500. Winsorise heavier tails.
"""
MIN_ARM_EVENTS = 20
"""Events (and non-events) of the arm with fewest below which a look at rates is `too_early`.

Measured as above at rates of 1%, 95/5: 59% ever exclude the truth when looked at from the start, 10% from the
first event in both arms on, 3% from the fifth, under 1% from the tenth; of a single rate 14%, 14%, 7%, 5% and 2.5% from the twentieth.
"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mixture:
    """How a sequence is tuned: where it shall be tightest. Fixed before the data are seen.

    Attributes:
        n_opt: Units, all arms of the comparison together, at which the interval is tightest for its
            alpha: the planned sample size; one or an array.
        tau2: Variance of the mixing distribution, in the effect's unit squared (of log(1 + lift) for
            a lift on the log scale): the square of the effect to detect. Give one of the two.
        alpha_opt: Error rate that `n_opt` is tuned for. It stays the same when intervals are asked
            for at other levels, or p-value and interval would not be one fact.
        one_sided: The one-sided boundary: `exact` solves for it, `closed_form` is the slightly wider
            one of Waudby-Smith et al. (2024), equation 134.
    """

    n_opt: ArrayLike | None = None
    tau2: ArrayLike | None = None
    alpha_opt: float = 0.05
    one_sided: OneSided = "exact"

    def __post_init__(self) -> None:
        if (self.n_opt is None) == (self.tau2 is None):
            raise UsageError(
                "A mixture is tuned by either n_opt or tau2, got both or neither.", hint="Pass n_opt, the planned sample size."
            )
        for name, value in (("n_opt", self.n_opt), ("tau2", self.tau2)):
            if value is not None:
                positive(name, value)
        tuning_constant(self.alpha_opt)
        if self.one_sided not in get_args(OneSided):
            raise UsageError(f"one_sided must be one of {list(get_args(OneSided))}, got {self.one_sided!r}.")

    def tau2_at(self, variance: ArrayLike, n: ArrayLike, *, alternative: Alternative = "two-sided") -> Floats:
        """The mixing variance at looks with `n` units and an estimate of variance `variance`.

        Args:
            variance: Variances of the estimate, > 0.
            n: Units of all arms of the comparison together, > 0.
            alternative: Sidedness.

        Returns:
            `tau2`, or variance n / n_opt times `tuning_constant`, of the broadcast shape.
        """
        v, units = np.broadcast_arrays(np.asarray(variance, dtype=np.float64), np.asarray(n, dtype=np.float64))
        if self.tau2 is not None:
            return np.asarray(self.tau2, dtype=np.float64) + np.zeros(v.shape)
        return v * (units / np.asarray(self.n_opt, dtype=np.float64)) * tuning_constant(self.alpha_opt, alternative=alternative)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ConfidenceSequence:
    """Looks of a confidence sequence, as arrays of one shape.

    Entries flagged in `undefined` have no inference: they hold NaN, and the flag is what to read.

    Attributes:
        estimate: Effect, mean or lift at each look.
        std_error: Its standard error, on the log scale for a lift by `log`.
        low: Lower ends; `-inf` when the alternative is `less`.
        high: Upper ends; `inf` when the alternative is `greater`.
        log_e_value: Natural logarithms of the e-values against the null.
        p_value: min(1, 1 / e) of each look alone; over looks take `running_p_values`.
        tau2: Mixing variance used.
        too_early: Looks at which an arm is below `MIN_ARM_UNITS`: the promise is not yet kept.
        undefined: Looks without a standard error, or for a lift without a control to divide by.
    """

    estimate: Floats
    std_error: Floats
    low: Floats
    high: Floats
    log_e_value: Floats
    p_value: Floats
    tau2: Floats
    too_early: Booleans
    undefined: Booleans

    def interval(self, index: int | tuple[int, ...] = ()) -> Interval:
        """The interval of one look.

        Args:
            index: Which look; none for a single one.

        Raises:
            DataError: The look has no inference.
        """
        if self.undefined[index]:
            raise DataError("A look without a standard error has no interval.", code="no_variance")
        return Interval(low=float(self.low[index]), high=float(self.high[index]))


def always_valid_effect(
    effect: ArrayLike,
    std_error: ArrayLike,
    n_control: ArrayLike,
    n_treatment: ArrayLike,
    *,
    mixture: Mixture,
    alpha: ArrayLike = 0.05,
    null: ArrayLike = 0.0,
    alternative: Alternative = "two-sided",
) -> ConfidenceSequence:
    """Intervals and p-values of effects that hold at every look, from effects and standard errors.

    Args:
        effect: Treatment - control, in the metric's unit (or a lift), any shape.
        std_error: Their standard errors > 0.
        n_control: Units of the control, >= 1.
        n_treatment: Units of the treatment, >= 1.
        mixture: Where the sequence is tightest.
        alpha: Error rates in (0, 1) over all looks together, one or an array (NaN where there is none).
        null: Effects under the null hypothesis: 0 or a margin.
        alternative: Sidedness; `greater` is effect > null.

    Returns:
        The looks, of the broadcast shape.

    Raises:
        UsageError: A value is not finite or outside its range, or `alternative` is another word.

    References:
        Waudby-Smith et al. (2024), equation 9; Johari et al. (2022).
    """
    control, treatment = _count_of_units("n_control", n_control), _count_of_units("n_treatment", n_treatment)
    look = _Look(finite("effect", effect), positive("std_error", std_error), control + treatment, np.minimum(control, treatment))
    return _sequence(look, _Question(mixture, checked_alphas(alpha), finite("null", null), alternative))


def always_valid_difference(
    values: ArmValues, *, mixture: Mixture, alpha: ArrayLike = 0.05, null: ArrayLike = 0.0, alternative: Alternative = "two-sided"
) -> ConfidenceSequence:
    """Sequences of treatment - control from two arms' values and variances: a `MeanContrast` or `ProportionContrast`.

    Args:
        values: Two arms' values; entries with an undefined or zero variance are flagged `undefined`.
        mixture: Where the sequence is tightest.
        alpha: Error rates in (0, 1), one or an array.
        null: Differences under the null hypothesis.
        alternative: Sidedness.

    Returns:
        The looks, of the contrast's shape. The variance is the unpooled one, for proportions
        p (1 - p) / n, whatever `ci_method` says.

    Raises:
        UsageError: An option breaks its rule.
    """
    with np.errstate(all="ignore"):
        effect = values.treatment - values.control
        std_error = np.sqrt(values.control_variance + values.treatment_variance - 2.0 * values.covariance)
    return _where_defined(effect, std_error, values, _Question(mixture, checked_alphas(alpha), finite("null", null), alternative))


def always_valid_lift(
    values: ArmValues,
    *,
    mixture: Mixture,
    alpha: ArrayLike = 0.05,
    null: ArrayLike = 0.0,
    alternative: Alternative = "two-sided",
    method: Literal["delta", "log"] = "delta",
) -> ConfidenceSequence:
    """Sequences of the relative lift treatment / control - 1.

    Args:
        values: Two arms' values, variances and covariance: a contrast or any like it.
        mixture: Where the sequence is tightest; a `tau2` is on the method's scale.
        alpha: Error rates in (0, 1), one or an array.
        null: Lifts under the null hypothesis, fractions; above -1 for `log`.
        alternative: Sidedness.
        method: `delta` is symmetric about the lift, `log` about log(1 + lift) and needs positive values.

    Returns:
        The looks; `estimate`, `low` and `high` are fractions.

    Raises:
        UsageError: An option breaks its rule.

    References:
        Deng, Knoblich & Lu (2018), KDD, section 2.2 (the standard error).
    """
    hypothesis = finite("null", null)
    std_error, _ = lift_std_error(values, method=method)
    lift = relative_lift(values)
    if method == "delta":
        return _where_defined(lift, std_error, values, _Question(mixture, checked_alphas(alpha), hypothesis, alternative))
    if (hypothesis <= -1.0).any():
        raise UsageError(f"A lift on the log scale lies above -1, got null={hypothesis[hypothesis <= -1.0][0]:g}.")
    with np.errstate(all="ignore"):
        center = np.log1p(lift)
    logs = _where_defined(center, std_error, values, _Question(mixture, checked_alphas(alpha), np.log1p(hypothesis), alternative))
    low = np.where(logs.low == -np.inf, -np.inf, np.expm1(logs.low))
    return replace(logs, estimate=np.where(logs.undefined, np.nan, lift), low=low, high=np.expm1(logs.high))


def asymptotic_confidence_sequence(
    mean: ArrayLike,
    variance: ArrayLike,
    n: ArrayLike,
    *,
    mixture: Mixture,
    alpha: ArrayLike = 0.05,
    null: ArrayLike = 0.0,
    alternative: Alternative = "two-sided",
) -> ConfidenceSequence:
    """Sequence of one mean, from its sample moments.

    Args:
        mean: Sample means, any shape.
        variance: Sample variances of the values (not of the mean), > 0.
        n: Units so far, >= 1.
        mixture: Where the sequence is tightest.
        alpha: Error rates in (0, 1), one or an array.
        null: Means under the null hypothesis.
        alternative: Sidedness.

    Returns:
        The looks; the half width is sqrt(variance) sqrt((n rho^2 + 1) / (n^2 rho^2) log((n rho^2 + 1) / alpha^2))
        with rho^2 = `tuning_constant` / n_opt.

    Raises:
        UsageError: A value is not finite or outside its range, or `alternative` is another word.

    References:
        Waudby-Smith et al. (2024), equations 9 (two-sided) and 134 (one-sided).
    """
    units = _count_of_units("n", n)
    look = _Look(finite("mean", mean), np.sqrt(positive("variance", variance) / units), units, units)
    return _sequence(look, _Question(mixture, checked_alphas(alpha), finite("null", null), alternative))


def few_events(successes_control: ArrayLike, n_control: ArrayLike, successes_treatment: ArrayLike, n_treatment: ArrayLike) -> Booleans:
    """Looks at two rates that are too early for an asymptotic sequence.

    Args:
        successes_control: Units with outcome 1 in the control arm, 0..n.
        n_control: Units of the control arm.
        successes_treatment: The same of the treatment arm.
        n_treatment: Units of the treatment arm.

    Returns:
        Whether an arm has fewer than `MIN_ARM_EVENTS` units with outcome 1, or with outcome 0.

    Raises:
        UsageError: A count is not finite or negative, or there are more successes than units.
    """
    names = ("successes_control", "n_control", "successes_treatment", "n_treatment")
    given = (successes_control, n_control, successes_treatment, n_treatment)
    x_c, n_c, x_t, n_t = np.broadcast_arrays(*(positive(name, value, zero=True) for name, value in zip(names, given, strict=True)))
    if ((x_c > n_c) | (x_t > n_t)).any():
        raise UsageError("Successes must lie in 0..n, got more successes than units.", hint="Pass counts, not rates.")
    return np.minimum(np.minimum(x_c, n_c - x_c), np.minimum(x_t, n_t - x_t)) < MIN_ARM_EVENTS


class _Look(NamedTuple):
    """Estimates with the units of all arms and of the smaller one."""

    estimate: Floats
    std_error: Floats
    n: Floats
    n_smaller: Floats


class _Question(NamedTuple):
    """What is asked of them."""

    mixture: Mixture
    alpha: Floats
    null: Floats
    alternative: Alternative


def _where_defined(effect: Floats, std_error: Floats, values: ArmValues, question: _Question) -> ConfidenceSequence:
    """The sequence, with entries without a standard error computed as 0 -+ 1 and blanked afterwards."""
    smaller = np.minimum(values.n_control, values.n_treatment)
    defined = np.isfinite(effect) & np.isfinite(std_error) & (std_error > 0.0) & (smaller > 0.0)
    n = np.where(defined, values.n_control + values.n_treatment, 2.0)
    looks = _sequence(_Look(np.where(defined, effect, 0.0), np.where(defined, std_error, 1.0), n, smaller), question)
    undefined = np.broadcast_to(~defined, looks.low.shape)
    names = ("estimate", "std_error", "low", "high", "log_e_value", "p_value", "tau2")
    blanked = {name: np.where(undefined, np.nan, getattr(looks, name)) for name in names}
    return ConfidenceSequence(**blanked, too_early=looks.too_early, undefined=undefined)


def _sequence(look: _Look, question: _Question) -> ConfidenceSequence:
    mixture, alternative = question.mixture, question.alternative
    variance = look.std_error * look.std_error
    tau2 = mixture.tau2_at(variance, look.n, alternative=alternative)
    batch = msprt_batch(look.estimate, variance, tau2=tau2, alpha=question.alpha, null=question.null, alternative=alternative)
    if alternative != "two-sided" and mixture.one_sided == "closed_form":
        batch = _closed_form(batch, look, tau2 / variance, question)
    shape = batch.low.shape
    estimate, std_error, mixed, smaller = (np.broadcast_to(x, shape) for x in (look.estimate, look.std_error, tau2, look.n_smaller))
    return ConfidenceSequence(
        estimate=estimate,
        std_error=std_error,
        low=batch.low,
        high=batch.high,
        log_e_value=batch.log_likelihood_ratio,
        p_value=batch.p_value,
        tau2=mixed,
        too_early=smaller < MIN_ARM_UNITS,
        undefined=np.zeros(shape, dtype=np.bool_),
    )


def _closed_form(exact: MsprtBatch, look: _Look, ratio: Floats, question: _Question) -> MsprtBatch:
    """One-sided looks by x = sqrt(2 log(1 + sqrt(1 + r) / (2 alpha))) on the standard scale, and the p-value that inverts it."""
    upward = question.alternative == "greater"
    distance = (look.estimate - question.null) if upward else (question.null - look.estimate)
    x = np.maximum(distance / look.std_error * np.sqrt(ratio / (1.0 + ratio)), 1e-150)
    half = 0.5 * x * x
    log_e = LOG_2 + half + np.log(-np.expm1(-half)) - 0.5 * np.log1p(ratio)
    # Below 1 it decides nothing; the exact mixture's value, which is never below it, is finite there.
    log_e = np.where(log_e > 0.0, log_e, np.minimum(exact.log_likelihood_ratio, 0.0))
    reach = np.sqrt(2.0 * np.logaddexp(0.0, 0.5 * np.log1p(ratio) - LOG_2 - np.log(question.alpha)))
    width = reach * look.std_error * np.sqrt(1.0 + 1.0 / ratio)
    return MsprtBatch(
        log_likelihood_ratio=log_e,
        p_value=p_value_of_log_e(log_e),
        low=look.estimate - width if upward else exact.low,
        high=exact.high if upward else look.estimate + width,
    )


def _count_of_units(name: str, values: ArrayLike) -> Floats:
    units = np.asarray(values, dtype=np.float64)
    wrong = ~(np.isfinite(units) & (units >= 1.0))
    if wrong.any():
        raise UsageError(f"{name} must be a finite number of units >= 1, got {units[wrong][0]:g}.")
    return units
