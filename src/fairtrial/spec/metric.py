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

    @model_validator(mode="after")
    def _guardrail_fields(self) -> BaseMetricSpec:
        if self.max_value is not None and self.role != "guardrail":
            raise ValueError(f"metric '{self.key}': max_value is for guardrails; its role is '{self.role}'")
        return self


class ProportionSpec(BaseMetricSpec):
    """Share of units with an outcome of 1; outcomes are 0 or 1 (or a boolean)."""

    kind: Literal["proportion"]
    column: Source | None = None
    """The outcome; default: the column named as the metric."""
    covariate: Source | None = None
    """Pre-experiment value for CUPED; the test is then Welch's on the adjusted outcome."""


class MeanSpec(BaseMetricSpec):
    """Mean of a number over all units."""

    kind: Literal["mean"]
    column: Source | None = None
    """The outcome; default: the column named as the metric."""
    covariate: Source | None = None
    """Pre-experiment value for CUPED."""
    winsorize: Annotated[float, Field(gt=0.5, lt=1)] | None = None
    """Cap outcomes at this pooled quantile (0.99 = the 99th percentile of all arms together)."""


class CountSpec(BaseMetricSpec):
    """Mean number of events per unit; outcomes are >= 0."""

    kind: Literal["count"]
    column: Source | None = None
    """The outcome; default: the column named as the metric."""
    covariate: Source | None = None
    """Pre-experiment value for CUPED."""
    winsorize: Annotated[float, Field(gt=0.5, lt=1)] | None = None
    """Cap outcomes at this pooled quantile."""


class RatioSpec(BaseMetricSpec):
    """Sum of one value over the sum of another, units being randomised (clicks per session)."""

    kind: Literal["ratio"]
    numerator: Source
    denominator: Source
    covariate: Source | None = None
    """Pre-experiment value for CUPED; numerator of it when `covariate_denominator` is given."""
    covariate_denominator: Source | None = None

    @model_validator(mode="after")
    def _covariate(self) -> RatioSpec:
        if self.covariate_denominator is not None and self.covariate is None:
            raise ValueError(f"metric '{self.key}': covariate_denominator needs a covariate")
        return self


MetricSpec = Annotated[ProportionSpec | MeanSpec | CountSpec | RatioSpec, Field(discriminator="kind")]
