"""The decision rule and what follows from it: error rates, sizes, corrections, thresholds."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, model_validator

from fairtrial.spec.base import Name, SpecModel

Correction = Literal["none", "bonferroni", "holm", "hochberg", "benjamini-hochberg", "benjamini-yekutieli"]
CiMethod = Literal["score", "miettinen-nurminen", "newcombe", "agresti-caffo", "wald"]
LiftMethod = Literal["auto", "delta", "log", "fieller"]
Days = Annotated[int, Field(ge=1, le=3650)]


class PlanSpec(SpecModel):
    """How the experiment is sized, tested and corrected."""

    method: Literal["fixed"] = "fixed"
    """`fixed`: one look, at the first complete read."""
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

    @model_validator(mode="after")
    def _consistent(self) -> PlanSpec:
        if self.power <= self.alpha:
            raise ValueError(f"power must lie between alpha and 1, got power={self.power:g} with alpha={self.alpha:g}")
        if self.min_days and self.max_days and self.min_days > self.max_days:
            raise ValueError(f"min_days must not exceed max_days, got {self.min_days} and {self.max_days}")
        if self.strong_threshold and self.practical_threshold and self.strong_threshold < self.practical_threshold:
            raise ValueError("strong_threshold must not be below practical_threshold")
        return self


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
    description: str = ""
