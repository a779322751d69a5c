"""What is measured: one spec class per kind of metric, a union outside."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fairtrial.spec.base import Name, SpecModel

Role = Literal["primary", "secondary", "guardrail"]
Direction = Literal["increase", "decrease"]
Missing = Literal["zero", "drop", "error"]


class EventValue(SpecModel):
    """A value per unit made from a fact table of event logs (data shape `logs`)."""

    fact: Name
    """Key of the fact table in `data.facts`."""
    value: Name | None = None
    """Column to sum over a unit's events; without it, events are counted."""
    before_days: Annotated[float, Field(gt=0)] | None = None
    """For a covariate: sum the events of this many days before the unit's start instead of those after it."""


Source = Name | EventValue
"""Where a number per unit comes from: a column of the unit table, or events."""

Covariates = Source | Annotated[tuple[Source, ...], Field(min_length=1)]
"""One pre-experiment value, or several that are used together."""

MeanTest = Literal[
    "welch",
    "student",
    "lin",
    "ancova",
    "log",
    "log1p",
    "trimmed",
    "mann_whitney",
    "permutation",
    "bootstrap",
    "paired_t",
    "wilcoxon",
]
"""How two arms of numbers are compared."""

ProportionTest = Literal["score", "exact", "mantel_haenszel", "mcnemar"]
"""How two rates are compared."""

StdErrors = Literal["classical", "HC0", "HC1", "HC2", "HC3"]
"""Standard errors of a regression: of one variance, or consistent whatever the units' variances (HC)."""

RatioTest = Literal["delta", "permutation", "bootstrap"]
"""How two ratios of sums are compared."""

DEFAULT_TRIM = 0.2

DEFAULT_HC: StdErrors = "HC2"

REGRESSIONS: frozenset[str] = frozenset({"lin", "ancova"})
"""Tests by least squares on the units' values and their covariates."""

PAIRED: frozenset[str] = frozenset({"paired_t", "wilcoxon", "mcnemar"})
"""Tests of the units of a pair against each other; `permutation` is one too, where the data has pairs."""

FROM_COUNTS: frozenset[str] = frozenset({"exact", "mantel_haenszel"})
"""Tests of rates that read counts alone, in one go or by stratum."""

ADJUSTABLE: frozenset[str] = frozenset({"welch", "student", "delta", "bootstrap"}) | REGRESSIONS
"""Tests that a covariate may adjust."""

FROM_MOMENTS: frozenset[str] = frozenset({"welch", "student", "delta"})
"""Tests made of counts, means and cross-products, which alone may look more than once."""

ADDED_UP: frozenset[str] = frozenset(
    {"proportions", "exact", "mcnemar", "welch", "student", "lin", "ancova", "permutation", "bootstrap", "paired_t"}
)
"""Tests of a difference of means over units (rates among them), whose effect times the units is a total."""

GEOMETRIC: frozenset[str] = frozenset({"log", "log1p"})
"""Tests whose effect is a ratio of geometric means less 1, a fraction."""


Monitoring = Literal["at_analysis", "hourly", "daily", "weekly"]


class BaseMetricSpec(SpecModel):
    """What every kind of metric declares."""

    key: Name
    """Name of the metric, unique in the spec."""
    description: str = ""
    role: Role = "secondary"
    """`primary` carries alpha and the decision, `guardrail` can stop a launch, `secondary` explains."""
    direction: Direction = "increase"
    """Which way is better; declared, never guessed from the name."""
    missing: Missing = "error"
    """What a NULL or NaN outcome of an assigned unit counts as: `zero`, `drop` (the unit is left out of
    this metric) or `error`. In data shape `logs` a unit without events counts as zero under every rule."""
    margin: Annotated[float, Field(ge=0)] | None = None
    """Harm tolerated, >= 0: of a guardrail (default 0, or none beside `max_value`), or of a non-inferiority objective."""
    margin_kind: Literal["absolute", "relative"] = "absolute"
    """`absolute` in the metric's unit, `relative` as a fraction of the control's value."""
    max_value: float | None = None
    """For a guardrail: absolute limit that the treatment's value must not pass in the bad direction."""
    monitoring: Monitoring = "at_analysis"
    """For a guardrail of a catalog that a service reads: how often its scheduler looks at it while the experiment runs."""
    weight: Annotated[float, Field(gt=0)] | None = None
    """Of a secondary metric under `secondary_correction: weighted-bonferroni`: its share of the error rate, over the sum of all."""

    @model_validator(mode="after")
    def _guardrail_fields(self) -> BaseMetricSpec:
        if self.max_value is not None and self.role != "guardrail":
            raise ValueError(f"metric '{self.key}': max_value is for guardrails; its role is '{self.role}'")
        if self.monitoring != "at_analysis" and self.role != "guardrail":
            raise ValueError(f"metric '{self.key}': monitoring is for guardrails; its role is '{self.role}'")
        return self


class ProportionSpec(BaseMetricSpec):
    """Share of units with an outcome of 1; outcomes are 0 or 1 (or a boolean)."""

    kind: Literal["proportion"]
    column: Source | None = None
    """The outcome; default: the column named as the metric."""
    covariate: Covariates | None = None
    """Pre-experiment value for CUPED, or a list of several; the test is then Welch's on the adjusted outcome."""
    test: ProportionTest = "score"
    """How arms are compared: `score` with the interval of `plan.ci_method`; `exact` in small experiments; `mantel_haenszel`
    within `data.strata`; `mcnemar` within the pairs of `data.pair`."""

    @model_validator(mode="after")
    def _covariates_differ(self) -> ProportionSpec:
        _no_covariate_twice(self.key, _listed(self.covariate))
        if self.covariate is not None and self.test != "score":
            raise ValueError(
                f"metric '{self.key}': test '{self.test}' takes no covariate; leave the test out, and the rates are compared by CUPED"
            )
        return self


class _NumberSpec(BaseMetricSpec):
    """What metrics of one number a unit share: column, covariates, capping and the test."""

    column: Source | None = None
    """The outcome; default: the column named as the metric."""
    covariate: Covariates | None = None
    """Pre-experiment value for CUPED, or a list of several."""
    winsorize: Annotated[float, Field(gt=0.5, lt=1)] | None = None
    """Cap outcomes at this pooled quantile (0.99 = the 99th percentile of all arms together)."""
    test: MeanTest = "welch"
    """How arms are compared. Means: `welch`, `student` (equal variances), `permutation`, `bootstrap`. Means at equal covariates, by
    least squares on the units: `lin` (slopes of each arm's own), `ancova` (common slopes). Geometric means: `log`, or `log1p` of
    1 + value. Means without their tails: `trimmed`. The shift between the arms by ranks: `mann_whitney`. Within the pairs of
    `data.pair`: `paired_t`, `wilcoxon` (signed ranks), `permutation` (of the arms within pairs)."""
    trim: Annotated[float, Field(gt=0, lt=0.5)] = DEFAULT_TRIM
    """Share of units that `trimmed` cuts from each end of each arm."""
    hc: StdErrors = DEFAULT_HC
    """Standard errors of `lin` and `ancova`: `HC0` to `HC3`, consistent whatever the units' variances, or `classical`."""

    @model_validator(mode="after")
    def _test_fits(self) -> _NumberSpec:
        covariates = _listed(self.covariate)
        _no_covariate_twice(self.key, covariates)
        _adjustable(self.key, self.test, len(covariates))
        if self.trim != DEFAULT_TRIM and self.test != "trimmed":
            raise ValueError(f"metric '{self.key}': trim belongs to test trimmed, the test is '{self.test}'")
        if self.hc != DEFAULT_HC and self.test not in REGRESSIONS:
            raise ValueError(f"metric '{self.key}': hc belongs to tests lin and ancova, the test is '{self.test}'")
        if self.test in REGRESSIONS and not covariates:
            raise ValueError(f"metric '{self.key}': test '{self.test}' adjusts for covariates and needs one; without any use test welch")
        if self.winsorize is not None and self.test in {"trimmed", "mann_whitney", "wilcoxon"}:
            raise ValueError(f"metric '{self.key}': test '{self.test}' bounds outliers by itself; leave winsorize out")
        if self.test in GEOMETRIC and self.margin is not None and (self.margin_kind == "absolute" or self.test == "log1p"):
            raise ValueError(
                f"metric '{self.key}': test '{self.test}' compares geometric means by their ratio, so a margin in the metric's unit "
                "has no meaning; use test log with margin_kind relative"
            )
        return self


class MeanSpec(_NumberSpec):
    """Mean of a number over all units, or another value of its distribution, as `test` says."""

    kind: Literal["mean"]


class CountSpec(_NumberSpec):
    """Mean number of events per unit; outcomes are >= 0."""

    kind: Literal["count"]


class QuantileSpec(BaseMetricSpec):
    """A quantile of a number over all units of an arm: the median, the 95th percentile."""

    kind: Literal["quantile"]
    column: Source | None = None
    """The outcome; default: the column named as the metric."""
    q: Annotated[float, Field(gt=0, lt=1)]
    """Which quantile: 0.5 is the median, 0.95 the 95th percentile."""


class RatioSpec(BaseMetricSpec):
    """Sum of one value over the sum of another, units being randomised (clicks per session)."""

    kind: Literal["ratio"]
    numerator: Source
    denominator: Source
    covariate: Covariates | None = None
    """Pre-experiment value for CUPED, or a list of several; numerator of it when `covariate_denominator` is given."""
    covariate_denominator: Source | None = None
    test: RatioTest = "delta"
    """`delta` is the normal test by the delta method, `bootstrap` resamples units in buckets, `permutation` reassigns them."""

    @model_validator(mode="after")
    def _covariate(self) -> RatioSpec:
        covariates = _listed(self.covariate)
        if self.covariate_denominator is not None and len(covariates) != 1:
            raise ValueError(f"metric '{self.key}': covariate_denominator needs a covariate, exactly one, got {len(covariates)}")
        _no_covariate_twice(self.key, covariates)
        if covariates and self.test != "delta":
            raise ValueError(f"metric '{self.key}': test '{self.test}' of a ratio takes no covariate; use test delta")
        return self


MetricSpec = Annotated[ProportionSpec | MeanSpec | CountSpec | RatioSpec | QuantileSpec, Field(discriminator="kind")]


def covariates_of(metric: MetricSpec) -> tuple[Source, ...]:
    """The covariates of a metric in declared order; empty without one."""
    return () if isinstance(metric, QuantileSpec) else _listed(metric.covariate)


def chosen_test(metric: MetricSpec) -> str:
    """Name of the metric's test in the spec: that of its kind where there is no choice."""
    if isinstance(metric, ProportionSpec):
        if metric.test != "score":
            return metric.test
        return "welch" if metric.covariate is not None else "proportions"
    return "order_statistics" if isinstance(metric, QuantileSpec) else metric.test


def adds_up(metric: MetricSpec) -> bool:
    """Whether the effect times the units is a total: of differences of means over units, and of nothing else."""
    return metric.kind != "ratio" and chosen_test(metric) in ADDED_UP


def _listed(covariate: Covariates | None) -> tuple[Source, ...]:
    if covariate is None:
        return ()
    return covariate if isinstance(covariate, tuple) else (covariate,)


def _no_covariate_twice(key: str, covariates: tuple[Source, ...]) -> None:
    if len(set(covariates)) < len(covariates):
        raise ValueError(f"metric '{key}': each covariate may be named once, got {[str(source) for source in covariates]}")


def _adjustable(key: str, test: str, covariates: int) -> None:
    if covariates and test not in ADJUSTABLE:
        raise ValueError(f"metric '{key}': test '{test}' takes no covariate; use one of {sorted(ADJUSTABLE - {'delta'})}")
    if covariates > 1 and test == "bootstrap":
        raise ValueError(f"metric '{key}': test bootstrap takes one covariate, got {covariates}; use test welch")
