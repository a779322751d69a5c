"""The decision rule and what follows from it: error rates, sizes, corrections, thresholds."""

from __future__ import annotations

import datetime as dt
import math
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, model_validator

from fairtrial.spec.base import Name, SpecModel
from fairtrial.spec.decision_table import DecisionTable, RuleOverride

Correction = Literal[
    "none", "bonferroni", "holm", "hochberg", "dunnett", "benjamini-hochberg", "benjamini-yekutieli", "weighted-bonferroni"
]
CiMethod = Literal["score", "miettinen-nurminen", "newcombe", "agresti-caffo", "wald"]
LiftMethod = Literal["auto", "delta", "log", "fieller"]
Days = Annotated[int, Field(ge=1, le=3650)]


Method = Literal["fixed", "group_sequential", "always_valid", "hybrid", "bayesian"]
SEQUENTIAL: frozenset[Method] = frozenset({"group_sequential", "always_valid", "hybrid"})
"""Methods by which more than one look may decide."""
PLANNED_LOOKS: frozenset[Method] = frozenset({"group_sequential", "hybrid"})
"""Methods that test a benefit at planned looks."""

Spending = Literal["lan-demets-obrien-fleming", "lan-demets-pocock", "hwang-shih-decani", "kim-demets", "obrien-fleming", "pocock"]
SHAPED = {"hwang-shih-decani", "kim-demets"}
FutilitySpending = Literal["lan-demets-obrien-fleming", "lan-demets-pocock", "hwang-shih-decani", "kim-demets"]
Sequence = Literal["msprt", "asymptotic", "bernoulli"]


class SequentialSpec(SpecModel):
    """Looks of a `group_sequential` or `hybrid` plan: when, and how the error rate is spent on them."""

    looks: Annotated[int, Field(ge=2, le=100)] | tuple[Annotated[float, Field(gt=0, le=1)], ...] = 5
    """How many equally spaced looks, or the shares of the planned information at which they fall, ending at 1.
    Looks at other times are allowed: what is spent follows the information that has come."""
    information: Literal["units", "days"] = "units"
    """`units`: units of the scarcest arm over its planned units; `days`: days over `max_days`."""
    spending: Spending = "lan-demets-obrien-fleming"
    """How alpha is spent: hardly anything early (`lan-demets-obrien-fleming`), evenly (`lan-demets-pocock`), or by a
    `shape`; `obrien-fleming` and `pocock` are the classical boundaries, for looks exactly as planned."""
    shape: float | None = None
    """Gamma of `hwang-shih-decani` (negative spends late), rho > 0 of `kim-demets`."""
    futility: Literal["conditional_power", "beta_spending", "none"] = "conditional_power"
    """`conditional_power`: stop when the power left at the planned MDE falls below `futility_power`; never binding.
    `beta_spending`: stop below a bound that spends 1 - `power` over the looks, and that the planned size pays for."""
    futility_power: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Conditional power below which a look says that going on is futile."""
    futility_spending: FutilitySpending = "lan-demets-obrien-fleming"
    """How `beta_spending` spends 1 - `power`: seldom giving up early (`lan-demets-obrien-fleming`), evenly, or by `futility_shape`."""
    futility_shape: float | None = None
    """Gamma of `hwang-shih-decani`, rho > 0 of `kim-demets`, for `futility_spending`."""
    binding: bool = False
    """Of `beta_spending`. False: one may go on below the bound and alpha still holds. True: the boundary for a benefit comes
    down, alpha rests on stopping, and what falls below the bound once is never launched; one-sided, one treatment, no `min_days`."""

    @model_validator(mode="after")
    def _consistent(self) -> SequentialSpec:
        if isinstance(self.looks, tuple) and (
            not self.looks or self.looks[-1] != 1.0 or any(b <= a for a, b in zip(self.looks, self.looks[1:], strict=False))
        ):
            raise ValueError(f"looks must be increasing shares of the planned information that end at 1, got {list(self.looks)}")
        _check_shape("spending", self.spending, "shape", self.shape)
        _check_shape("futility_spending", self.futility_spending, "futility_shape", self.futility_shape)
        own = ("futility_spending", "futility_shape", "binding")
        said = [name for name in own if getattr(self, name) != type(self).model_fields[name].default]
        if said and self.futility != "beta_spending":
            raise ValueError(f"{', '.join(said)} belong to futility: beta_spending, got {self.futility!r}; set it, or leave them out")
        return self

    @property
    def fractions(self) -> tuple[float, ...]:
        """Planned shares of the information, ending at 1."""
        if isinstance(self.looks, tuple):
            return self.looks
        return tuple((k + 1) / self.looks for k in range(self.looks))


def _check_shape(what: str, spending: str, name: str, shape: float | None) -> None:
    """A shape where the spending function has one, and nowhere else."""
    if spending in SHAPED and shape is None:
        raise ValueError(f"{what} {spending!r} needs a {name}, such as -4 for hwang-shih-decani or 3 for kim-demets")
    if spending not in SHAPED and shape is not None:
        raise ValueError(f"{name} belongs to {sorted(SHAPED)}, {what} is {spending!r}")
    if shape is not None and (not math.isfinite(shape) or (spending == "kim-demets" and shape <= 0)):
        raise ValueError(f"{name} must be finite, and positive for kim-demets, got {shape}")


class AlwaysValidSpec(SpecModel):
    """The sequence behind intervals that hold at every look: of an `always_valid` plan, and of the watch of a `hybrid` one."""

    sequence: Sequence = "msprt"
    """`msprt`: the normal mixture tuned to the planned MDE. `asymptotic`: the same mixture tuned to a number of units.
    `bernoulli`: exact for proportions, from the first unit and event on; no normal approximation, no minimum of units."""
    tuned_for: Annotated[float, Field(gt=0, le=1e12)] | None = None
    """Where an `asymptotic` or `bernoulli` sequence is tightest: a share of the planned size, up to 1, or units in total, from
    2 on; default: the planned size. It must not be changed once there are data."""

    @model_validator(mode="after")
    def _consistent(self) -> AlwaysValidSpec:
        if self.sequence == "msprt" and self.tuned_for is not None:
            raise ValueError("the msprt is tuned by the mde; tuned_for belongs to sequence asymptotic or bernoulli")
        if self.tuned_for is not None and 1.0 < self.tuned_for < 2.0:
            raise ValueError(f"tuned_for is a share of the planned size, up to 1, or units from 2 on, got {self.tuned_for:g}")
        return self


class BayesianSpec(SpecModel):
    """Priors and stopping rule of a `bayesian` plan."""

    rate_prior: tuple[Annotated[float, Field(ge=0.5, le=1e12)], Annotated[float, Field(ge=0.5, le=1e12)]] = (1.0, 1.0)
    """Successes and failures that the beta prior of each rate is worth; 1 and 1 is the uniform prior."""
    lift_prior_mean: float = 0.0
    """Mean of the normal prior of a lift, for metrics other than plain proportions."""
    lift_prior_sd: Annotated[float, Field(gt=0)] | None = 0.3
    """Its standard deviation, a fraction; null for the flat prior on the effect, which needs no positive control."""
    rope: Annotated[float, Field(gt=0)] | None = None
    """Lifts within minus and plus this are practically nothing; default: `practical_threshold`."""
    stop_loss: Annotated[float, Field(gt=0)] | None = None
    """The plan is complete once the expected loss of the better choice is below this part of the control's value."""


class PlanSpec(SpecModel):
    """How the experiment is sized, tested and corrected."""

    method: Method = "fixed"
    """`fixed`: one look, at the first complete read. `group_sequential`: planned looks, each of which may decide.
    `always_valid`: every look may decide. `hybrid`: benefit by planned looks, harm watched at every look.
    `bayesian`: posterior and credible intervals; frequentist error is not controlled."""
    sequential: SequentialSpec = SequentialSpec()
    """Looks and spending of `group_sequential` and `hybrid`."""
    always_valid: AlwaysValidSpec = AlwaysValidSpec()
    """Which sequence `always_valid` reads, and `hybrid` watches by."""
    bayesian: BayesianSpec = BayesianSpec()
    """Priors and stopping rule of `bayesian`."""
    objective: Literal["superiority", "non_inferiority"] = "superiority"
    """`non_inferiority` reads the primary metric against its `margin`."""
    alternative: Literal["two-sided", "one-sided"] = "two-sided"
    """`one-sided` tests for improvement alone, in each metric's direction."""
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    """Type I error rate of the primary metric's family."""
    power: Annotated[float, Field(gt=0, lt=1)] = 0.8
    """Probability to detect `mde`, in (alpha, 1)."""
    mde: Annotated[float, Field(gt=0)] | None = None
    """Smallest effect worth detecting, as an improvement in the primary metric's direction."""
    mde_kind: Literal["relative", "absolute"] = "relative"
    """`relative` as a fraction of the baseline, `absolute` in the metric's unit."""
    baseline: float | None = None
    """Control value of the primary metric expected at planning."""
    baseline_sd: Annotated[float, Field(gt=0)] | None = None
    """Standard deviation expected at planning, for other metrics than proportions."""
    covariate_correlation: Annotated[float, Field(gt=-1, lt=1)] | None = None
    """Correlation of the primary metric with its covariate expected at planning; sizes shrink by its square."""
    cluster_size: Annotated[float, Field(ge=1)] | None = None
    """Mean units of a cluster, where whole clusters are randomised."""
    intraclass_correlation: Annotated[float, Field(ge=0, le=1)] | None = None
    """How alike units of one cluster are; sizes grow by 1 + (cluster_size - 1) times this (the design effect)."""
    sample_size: Annotated[int, Field(ge=2)] | None = None
    """Planned units in total; default: what baseline, mde, alpha and power call for."""
    min_days: Days | None = None
    """No verdict of success before this many days."""
    max_days: Days | None = None
    """The plan is complete after this many days, whatever the sample."""
    correction: Correction = "holm"
    """Over the treatments on the primary metric."""
    secondary_correction: Correction = "benjamini-hochberg"
    """Over all secondary metrics and treatments; guardrails are never corrected."""
    gatekeeping: Literal["none", "serial", "parallel"] = "none"
    """`serial`: secondary metrics are tested, by `correction`, once every treatment has passed on the primary; `parallel`: with the
    share of alpha of the treatments that have. Family-wise error over primary and secondary metrics together is then `alpha`."""
    ci_method: CiMethod = "score"
    """Interval for a difference of two proportions; the p-value is its own inversion."""
    lift_method: LiftMethod = "auto"
    """Interval for the relative lift; `auto`: log for proportions, delta otherwise."""
    practical_threshold: Annotated[float, Field(gt=0)] | None = None
    """Smallest lift worth launching, a fraction; default: the planned relative MDE."""
    strong_threshold: Annotated[float, Field(gt=0)] | None = None
    """Lift that makes a launch a strong one; default: `practical_threshold`."""
    practical_threshold_absolute: Annotated[float, Field(gt=0)] | None = None
    """The same in the metric's unit; required where the control's value is not positive."""
    decision_table: DecisionTable = Field(default_factory=dict[str, RuleOverride])
    """By rule 5 to 10 of the decision table, what it says instead: a more careful verdict, another confidence, risk or next steps."""

    @model_validator(mode="after")
    def _consistent(self) -> PlanSpec:
        if self.power <= self.alpha:
            raise ValueError(f"power must lie between alpha and 1, got power={self.power:g} with alpha={self.alpha:g}")
        if "dunnett" in {self.correction, self.secondary_correction} and self.method != "fixed":
            raise ValueError(f"dunnett's correction is for a single look (method: fixed), method is {self.method!r}; use holm")
        if self.secondary_correction == "dunnett":
            raise ValueError("dunnett's correction is for treatments on one metric; choose another secondary_correction")
        if self.gatekeeping != "none" and self.correction not in {"bonferroni", "holm", "hochberg"}:
            raise ValueError(f"a gate needs a correction of the family-wise error: bonferroni, holm or hochberg, got {self.correction!r}")
        self._check_looks()
        if self.method == "bayesian" and self.alternative == "one-sided":
            raise ValueError("a bayesian plan has no sides: its credible interval has two ends; leave `alternative` out")
        if (self.cluster_size is None) != (self.intraclass_correlation is None):
            raise ValueError("cluster_size and intraclass_correlation make the design effect together; give both or neither")
        if self.min_days and self.max_days and self.min_days > self.max_days:
            raise ValueError(f"min_days must not exceed max_days, got {self.min_days} and {self.max_days}")
        if self.strong_threshold and self.practical_threshold and self.strong_threshold < self.practical_threshold:
            raise ValueError("strong_threshold must not be below practical_threshold")
        return self

    def _check_looks(self) -> None:
        """What a plan's looks and its method do not share."""
        looks, method = self.sequential, self.method
        if looks.futility == "beta_spending" and method not in PLANNED_LOOKS:
            raise ValueError(f"futility: beta_spending belongs to planned looks (method group_sequential or hybrid), method is {method!r}")
        if looks.binding and self.alternative != "one-sided":
            raise ValueError("binding futility needs alternative: one-sided; a two-sided plan takes binding: false")
        if looks.binding and self.min_days is not None:
            raise ValueError("binding futility stops at the first look below its bound, min_days would hold it back; use binding: false")
        if self.always_valid.sequence != "msprt" and method not in {"always_valid", "hybrid"}:
            raise ValueError(f"plan.always_valid belongs to method always_valid or hybrid, method is {method!r}")


def _not_a_number(value: object) -> object:
    """Refuse 20240415, which would be read as seconds since 1970."""
    if isinstance(value, int | float) or (isinstance(value, str) and value.strip().lstrip("+-").replace(".", "", 1).isdecimal()):
        raise ValueError("must be a date or time such as 2024-04-15 or 2024-04-15T12:00:00Z, not a number")
    return value


AnyDate = TypeVar("AnyDate", bound=dt.date)


def _of_our_time(value: AnyDate) -> AnyDate:
    """Refuse years in which offsets and sums of days leave the calendar; a slip of the pen, in any case."""
    if not 1900 <= value.year <= 2200:
        raise ValueError(f"must lie between the years 1900 and 2200, got {value.isoformat()}")
    return value


def _as_utc(value: dt.datetime) -> dt.datetime:
    return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)


Day = Annotated[dt.date, BeforeValidator(_not_a_number), AfterValidator(_of_our_time)]
"""A day of the calendar."""

UtcTime = Annotated[dt.datetime, BeforeValidator(_not_a_number), AfterValidator(_of_our_time), AfterValidator(_as_utc)]
"""A time; without an offset it is read as UTC."""


class ScheduleSpec(SpecModel):
    """When the experiment takes units in."""

    start: UtcTime
    end: UtcTime | None = None
    """First moment that no longer belongs to it."""

    @model_validator(mode="after")
    def _order(self) -> ScheduleSpec:
        if self.end is not None and self.end <= self.start:
            raise ValueError(f"end must come after start, got start={self.start.isoformat()} and end={self.end.isoformat()}")
        return self


class VariantSpec(SpecModel):
    """One arm: what it is called, its share of units, and the value that the product reads."""

    key: Name
    allocation: Annotated[float, Field(ge=0, le=1)] | None = None
    """Planned share of units; leave it out on every arm for equal shares."""
    value: JsonValue = None
    """What a feature flag serves for this arm."""
    levels: dict[Name, Name] = Field(default_factory=dict[str, str])
    """Of a factorial experiment: the level of each factor; not needed where the arm's name says it, as `green+discount`."""
    weight: Annotated[float, Field(gt=0)] | None = None
    """Of a treatment under a `weighted-bonferroni` correction: its share of the error rate, over the sum of all."""
    description: str = ""
