"""Two proportions: any number of comparisons at once, and one comparison for a person.

The test is the pooled z test and the interval is the score interval that inverts
it (Mee 1984), so that a p-value below alpha and an interval that leaves the
margin out are one fact; four other methods may be chosen, each with the p-value
of its own interval (`inversion`). Where an expected count of the pooled table is
below 5 the p-value of no difference is Fisher's exact one, and the note
`small_counts` says so: the interval stays, and the two may then disagree.

Assumes independent units, each with an outcome of 0 or 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairtrial.errors import DataError, UsageError
from fairtrial.stats.exact import fisher_p_values
from fairtrial.stats.inversion import CiMethod, Tables, check_ci_method, limits, null_std_error, statistic
from fairtrial.stats.lift import lift_interval
from fairtrial.stats.result import Alternative, Estimate, Interval, Unavailable, check_alpha
from fairtrial.stats.tails import critical_value, p_value_of

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

SMALL_EXPECTED = 5.0
"""An expected count below this makes the normal approximation doubtful (Cochran 1954, Biometrics 10, 417-451)."""

_EMPTY_ARM = Unavailable(code="empty_arm", reason="An arm has no units, so it has no rate.")
_NO_VARIANCE = Unavailable(
    code="no_variance", reason="Nobody or everybody converted in both arms: the difference is 0, but nothing can be inferred."
)
_NO_WALD_VARIANCE = Unavailable(
    code="no_variance", reason="Neither arm varies, so Wald's standard error is 0; the score method can judge such arms."
)


@dataclass(frozen=True, kw_only=True, eq=False)
class ProportionContrast:
    """Treatment minus control for a batch of proportions, of any shape; fulfils `Contrast`.

    Entries flagged in `undefined` have no inference: they hold NaN, and `unavailable` says why.

    Attributes:
        successes_control: Units with outcome 1 in the control arm, whole numbers.
        n_control: Units of the control arm, whole numbers >= 0.
        successes_treatment: Units with outcome 1 in the treatment arm.
        n_treatment: Units of the treatment arm.
        ci_method: Which interval, and the p-value with it.
    """

    successes_control: Floats
    n_control: Floats
    successes_treatment: Floats
    n_treatment: Floats
    ci_method: CiMethod = "score"
    _tables: Tables = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_ci_method(self.ci_method)
        names = ("successes_control", "n_control", "successes_treatment", "n_treatment")
        arrays = np.broadcast_arrays(*(np.asarray(getattr(self, name), dtype=np.float64) for name in names))
        for name, array in zip(names, arrays, strict=True):
            object.__setattr__(self, name, array)
        _check_counts("control", self.successes_control, self.n_control)
        _check_counts("treatment", self.successes_treatment, self.n_treatment)
        # An entry without inference is computed as 1 of 2 against 1 of 2, and blanked afterwards.
        undefined = self.undefined
        fill = (1.0, 2.0, 1.0, 2.0)
        object.__setattr__(self, "_tables", Tables(*(np.where(undefined, f, a) for f, a in zip(fill, arrays, strict=True))))

    @property
    def control(self) -> Floats:
        """Rate of the control, in [0, 1]; NaN where the arm is empty."""
        return _rate(self.successes_control, self.n_control)

    @property
    def treatment(self) -> Floats:
        """Rate of the treatment, in [0, 1]; NaN where the arm is empty."""
        return _rate(self.successes_treatment, self.n_treatment)

    @property
    def effect(self) -> Floats:
        """Difference of the rates, in [-1, 1]; NaN where an arm is empty."""
        return self.treatment - self.control

    @property
    def control_variance(self) -> Floats:
        """Sampling variance of `control`, p (1 - p) / n."""
        return _rate(self.control * (1.0 - self.control), self.n_control)

    @property
    def treatment_variance(self) -> Floats:
        """Sampling variance of `treatment`, p (1 - p) / n."""
        return _rate(self.treatment * (1.0 - self.treatment), self.n_treatment)

    @property
    def covariance(self) -> Floats:
        """Sampling covariance of the two rates: 0, the arms being independent."""
        return np.zeros(self.n_control.shape)

    @property
    def df(self) -> Floats:
        """Degrees of freedom: infinite, every method standing on the normal distribution."""
        return np.full(self.n_control.shape, np.inf)

    @property
    def std_error(self) -> Floats:
        """Standard error of `effect` that the method takes under no difference.

        The pooled one for `score` (times sqrt(N / (N - 1)) for `miettinen-nurminen`), the unpooled
        one for `wald` and `newcombe`, that of the augmented counts for `agresti-caffo`; NaN where undefined.
        """
        return self.std_error_at(0.0)

    @property
    def statistic(self) -> Floats:
        """The method's z under no difference; NaN where undefined."""
        return self.statistic_at(0.0)

    @property
    def undefined(self) -> Booleans:
        """Entries without inference: an empty arm, or no variance in either."""
        successes, n = self.successes_control + self.successes_treatment, self.n_control + self.n_treatment
        constant = (successes == 0.0) | (successes == n)
        if self.ci_method == "wald":
            constant |= (self.control_variance == 0.0) & (self.treatment_variance == 0.0)
        return self._empty | constant

    @cached_property
    def small_counts(self) -> Booleans:
        """Entries in which an expected count of the pooled table is below 5 (and inference is defined)."""
        x_c, n_c, x_t, n_t = self._tables
        total = n_c + n_t
        fewest = np.minimum(x_c + x_t, total - x_c - x_t) * np.minimum(n_c, n_t) / total
        return (fewest < SMALL_EXPECTED) & ~self.undefined

    def unavailable(self, index: int | tuple[int, ...] = ()) -> Unavailable | None:
        """Why the entry at `index` has no inference; None when it has."""
        if not self.undefined[index]:
            return None
        if self._empty[index]:
            return _EMPTY_ARM
        converted = self.successes_control + self.successes_treatment
        varied = 0.0 < converted[index] < (self.n_control + self.n_treatment)[index]
        return _NO_WALD_VARIANCE if varied else _NO_VARIANCE

    def std_error_at(self, margin: ArrayLike) -> Floats:
        """The method's standard error of `effect` under `treatment - control = margin`; NaN where undefined."""
        return self._blanked(null_std_error(self.ci_method, self._tables, self._margins(margin)))

    def statistic_at(self, margin: ArrayLike) -> Floats:
        """The method's z under `treatment - control = margin`; NaN where undefined.

        Args:
            margin: Difference under the null hypothesis, in (-1, 1), one or an array.

        Raises:
            UsageError: A margin lies outside (-1, 1).
        """
        return self._blanked(statistic(self.ci_method, self._tables, self._margins(margin)))

    def p_value(self, *, alternative: Alternative = "two-sided", margin: ArrayLike = 0.0) -> Floats:
        """P-values of `treatment - control = margin`, each the inversion of the method's interval.

        Args:
            alternative: `greater` is treatment - control > margin.
            margin: Difference under the null hypothesis, in (-1, 1), one or an array.

        Returns:
            p-values in [0, 1], NaN where undefined. Small counts are not looked at: see `fisher_exact_p`.

        Raises:
            UsageError: A margin lies outside (-1, 1), or `alternative` is another word.
        """
        return p_value_of(self.statistic_at(margin), np.inf, alternative)

    def interval(self, *, alpha: ArrayLike = 0.05, alternative: Alternative = "two-sided") -> tuple[Floats, Floats]:
        """Ends of the interval of the difference, of level 1 - `alpha`.

        Args:
            alpha: Error rate in (0, 1), one or an array.
            alternative: `greater` leaves the upper end infinite, `less` the lower.

        Returns:
            Lower and upper ends, NaN where undefined.

        Raises:
            UsageError: An `alpha` lies outside (0, 1), or `alternative` is another word.
        """
        z = np.broadcast_to(critical_value(alpha, np.inf, alternative), self.n_control.shape)
        low, high = limits(self.ci_method, self._tables, np.abs(z))
        if alternative == "greater":
            low, high = np.where(z < 0.0, high, low), np.full(z.shape, np.inf)
        elif alternative == "less":
            low, high = np.full(z.shape, -np.inf), np.where(z < 0.0, low, high)
        return self._blanked(low), self._blanked(high)

    @property
    def _empty(self) -> Booleans:
        return (self.n_control == 0.0) | (self.n_treatment == 0.0)

    def _blanked(self, values: Floats) -> Floats:
        return np.where(self.undefined, np.nan, values)

    def _margins(self, margin: ArrayLike) -> Floats:
        values = np.asarray(margin, dtype=np.float64)
        if not (np.abs(values) < 1.0).all():
            raise UsageError(
                f"A margin of a difference of proportions must lie in (-1, 1), got {values}.", hint="Pass a fraction, not a percentage."
            )
        return np.broadcast_to(values, self.n_control.shape)


def fisher_exact_p(contrast: ProportionContrast, *, where: ArrayLike = True, alternative: Alternative = "two-sided") -> Floats:
    """Fisher's exact p-values of no difference, for the chosen entries of a batch.

    Args:
        contrast: The batch.
        where: Entries to compute, broadcast to the batch's shape.
        alternative: `greater` is a larger rate under treatment.

    Returns:
        p-values in [0, 1], of the batch's shape; NaN in entries that were not chosen.
    """
    return fisher_p_values(
        contrast.successes_control,
        contrast.n_control,
        contrast.successes_treatment,
        contrast.n_treatment,
        where=where,
        alternative=alternative,
    )


def two_proportion_test(
    successes_control: int,
    n_control: int,
    successes_treatment: int,
    n_treatment: int,
    *,
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
    margin: float = 0.0,
    ci_method: CiMethod = "score",
) -> Estimate:
    """Test the difference of two proportions, with the interval that agrees with the test.

    Args:
        successes_control: Units with outcome 1 in the control arm.
        n_control: Units of the control arm.
        successes_treatment: Units with outcome 1 in the treatment arm.
        n_treatment: Units of the treatment arm.
        alpha: Type I error rate in (0, 1); the interval covers `1 - alpha`.
        alternative: The alternative hypothesis, in SciPy's words.
        margin: Difference under the null hypothesis, in (-1, 1).
        ci_method: Which interval and, with it, which p-value.

    Returns:
        The difference as a fraction, its lift with the log interval (Katz et al. 1978). The note
        `small_counts` says that an expected count is below 5: the p-value of no difference is then
        Fisher's exact one. The note `zero_rate` says that a rate is 0, so that the lift has no
        interval (and no value when it is the control's).

    Raises:
        UsageError: A count is not whole, successes lie outside 0..n, or an option breaks its rule.
        DataError: An arm is empty, or nobody or everybody converted in both.

    References:
        Mee (1984), Biometrics 40, 1175-1176; Fisher (1935), JRSS 98, 39-82.
    """
    check_alpha(alpha)
    counts = (np.asarray(v, dtype=np.float64) for v in (successes_control, n_control, successes_treatment, n_treatment))
    x_c, n_c, x_t, n_t = counts
    contrast = ProportionContrast(successes_control=x_c, n_control=n_c, successes_treatment=x_t, n_treatment=n_t, ci_method=ci_method)
    reason = contrast.unavailable()
    if reason is not None:
        came = f"{successes_control} of {n_control} and {successes_treatment} of {n_treatment}"
        raise DataError(f"{reason.reason} Got {came}.", code=reason.code)
    small = bool(contrast.small_counts)
    exact = small and margin == 0.0
    asymptotic = contrast.p_value(alternative=alternative, margin=margin)
    low, high = contrast.interval(alpha=alpha, alternative=alternative)
    control, treatment = contrast.control.item(), contrast.treatment.item()
    lift = lift_interval(contrast, alpha=alpha, alternative=alternative, method="log")
    defined = bool(lift.defined)
    return Estimate(
        effect=contrast.effect.item(),
        interval=Interval(low=low.item(), high=high.item()),
        p_value=fisher_exact_p(contrast, alternative=alternative).item() if exact else asymptotic.item(),
        std_error=contrast.std_error_at(margin).item(),
        statistic=None if exact else contrast.statistic_at(margin).item(),
        df=None,
        control=control,
        treatment=treatment,
        n_control=int(n_control),
        n_treatment=int(n_treatment),
        alpha=alpha,
        alternative=alternative,
        margin=margin,
        method="fisher_exact" if exact else name_of_test(ci_method, margin),
        interval_method=ci_method,
        lift=treatment / control - 1.0 if control > 0.0 else None,
        lift_interval=Interval(low=lift.low.item(), high=lift.high.item()) if defined else None,
        lift_method="log" if defined else None,
        notes=(*(("small_counts",) if small else ()), *(("zero_rate",) if control == 0.0 or treatment == 0.0 else ())),
    )


def name_of_test(ci_method: CiMethod, margin: float = 0.0) -> str:
    """Stable name of the test that belongs to an interval: `two_proportion_z_pooled` for the score's at margin 0."""
    if ci_method == "score":
        return "two_proportion_z_pooled" if margin == 0.0 else "two_proportion_score"
    if ci_method == "wald":
        return "two_proportion_z_unpooled"
    return f"two_proportion_{ci_method.replace('-', '_')}"


def _rate(part: Floats, n: Floats) -> Floats:
    return np.divide(part, n, out=np.full(np.shape(n), np.nan), where=n > 0.0)


def _check_counts(arm: str, successes: Floats, n: Floats) -> None:
    whole = np.isfinite(n) & (np.floor(successes) == successes) & (np.floor(n) == n)
    wrong = ~(whole & (successes >= 0.0) & (successes <= n))
    if wrong.any():
        came = f"{successes[wrong][0]:g} of {n[wrong][0]:g}"
        raise UsageError(
            f"Counts of the {arm} arm must be whole numbers with successes in 0..n, got {came}.", hint="Pass counts, not rates."
        )
