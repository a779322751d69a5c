"""What is known of the units that could take part: traffic, history, calendar, and what a return asks for.

None of it is design: it says whether a design can be run, and stays out of the spec hash.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from typing import Annotated, Literal, cast

from pydantic import Field, model_validator

from fairtrial.errors import did_you_mean
from fairtrial.spec.base import Name, SpecModel
from fairtrial.spec.data import FactTable, Scalar
from fairtrial.spec.eligibility import EligibilitySpec
from fairtrial.spec.metric import EventValue
from fairtrial.spec.plan import Day

Positive = Annotated[float, Field(gt=0, le=1e15)]
Fallback = Literal["cv_1", "poisson"]
Correlation = Annotated[float, Field(gt=-1, lt=1)]


class AvoidPeriod(SpecModel):
    """Days in which the experiment should not run: dates, or MM-DD of every year."""

    start: str = Field(pattern=r"^(\d{4}-)?\d{2}-\d{2}$")
    """First day to avoid."""
    end: str = Field(pattern=r"^(\d{4}-)?\d{2}-\d{2}$")
    """Last day to avoid."""
    reason: str = ""
    """Why, for people."""

    @model_validator(mode="before")
    @classmethod
    def _dates_as_text(cls, raw: object) -> object:
        if not isinstance(raw, dict):
            return raw
        fields = cast("dict[str, object]", raw)
        return {key: value.isoformat() if isinstance(value, dt.date) else value for key, value in fields.items()}

    @model_validator(mode="after")
    def _real_days(self) -> AvoidPeriod:
        for text in (self.start, self.end):
            full = text if len(text) == 10 else f"2024-{text}"  # a leap year, so that 02-29 is a day
            try:
                dt.date.fromisoformat(full)
            except ValueError as error:
                raise ValueError(f"{text!r} is not a day of the calendar") from error
        if len(self.start) != len(self.end):
            raise ValueError("start and end are written alike: both YYYY-MM-DD or both MM-DD")
        if len(self.start) == 10 and self.end < self.start:
            raise ValueError(f"end must not come before start, got {self.start} and {self.end}")
        return self


class VisitTable(SpecModel):
    """A table with a row for every time a unit could have entered the experiment."""

    table: Name | None = None
    """Name of the table; not needed where the source is one file."""
    unit: Name = "unit"
    """Column of the unit."""
    time: Name = "time"
    """Column of the time."""


class MetricHistory(SpecModel):
    """The events that made a metric's value, in history; `{fact: ..., value: ...}` is short for its outcome."""

    outcome: EventValue | None = None
    """Events of the outcome; a unit without any counts as 0."""
    numerator: EventValue | None = None
    """For a ratio: events summed above the line."""
    denominator: EventValue | None = None
    """For a ratio: events summed below the line."""
    covariate: EventValue | None = None
    """Events before the unit's entry (`before_days`), where the metric declares a covariate: its correlation is measured."""

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, raw: object) -> object:
        if not isinstance(raw, dict) or "fact" not in raw:
            return cast("object", raw)
        fields = dict(cast("dict[str, object]", raw))
        outcome = {key: fields.pop(key) for key in ("fact", "value") if key in fields}
        return {"outcome": outcome, **fields}

    @model_validator(mode="after")
    def _one_form(self) -> MetricHistory:
        ratio = (self.numerator is not None, self.denominator is not None)
        if (self.outcome is not None) == any(ratio) or any(ratio) != all(ratio):
            raise ValueError("name the `outcome`, or `numerator` and `denominator` together")
        if self.covariate is not None and self.covariate.before_days is None:
            raise ValueError("a covariate is known before a unit enters: give it `before_days`")
        return self


class HistorySpec(SpecModel):
    """Where past traffic and outcomes are, to plan from what was measured."""

    source: str | None = Field(default=None, min_length=1)
    """File, folder or URL, as in `data.source`; `fairtrial power --source` comes before it."""
    visits: VisitTable
    """Who came, and when."""
    where: dict[Name, Scalar] = Field(default_factory=dict[str, Scalar])
    """Keep only visits with these values (column: value)."""
    eligibility: EligibilitySpec | None = None
    """Which visits count, by columns of the visits; default: the experiment's own eligibility."""
    in_words: tuple[str, ...] = ()
    """Criteria that are written in words: nothing applies them to the visits, and every result says so."""
    days: Annotated[int, Field(ge=14, le=730)] = 56
    """Length of the baseline period, which ends as the reference date begins."""
    facts: dict[Name, FactTable] = Field(default_factory=dict[str, FactTable])
    """Tables of events by name; default: those of `data`."""
    metrics: dict[Name, MetricHistory] = Field(default_factory=dict[str, MetricHistory])
    """Which events make which metric; default: as the metric itself says."""
    window_days: Annotated[float, Field(gt=0, le=365)] | None = None
    """Events count for this many days from a unit's entry; default: that of `data`, else to the reference date."""


class Expected(SpecModel):
    """What the control is believed to show on a metric other than the primary one."""

    value: float
    """Rate, mean, events per unit or ratio."""
    sd: Positive | None = None
    """Standard deviation over units; not needed for a proportion."""
    covariate_correlation: Correlation | None = None
    """Correlation with the metric's covariate."""


class RoiSpec(SpecModel):
    """What a launch must earn, from which the smallest effect worth detecting follows."""

    cost: Positive
    """Cost of building and running the change, in money."""
    required_multiple: Positive = 3.0
    """How many times its cost it must earn."""
    annual_revenue: Positive
    """Revenue a year that the change touches, in the same money."""
    payback_years: Positive = 1.0
    """Years in which it must earn that."""


class FeasibilityRecord(SpecModel):
    """What `fairtrial power --write-back` found; nothing is computed from it."""

    status: Literal["FEASIBLE", "MARGINAL", "NOT_FEASIBLE"]
    """Whether it can be run."""
    assessed_on: Day
    """The reference date."""
    reasons: tuple[str, ...] = ()
    """Why not, in sentences."""


class FeasibilitySpec(SpecModel):
    """Traffic, history and calendar, for `fairtrial power`."""

    daily_units: Positive | None = None
    """Eligible units a day."""
    daily_cv: Annotated[float, Field(ge=0, le=5)] | None = None
    """Coefficient of variation of that number from day to day."""
    traffic_source: str = ""
    """Where these two numbers come from, in words."""
    buffer: Annotated[float, Field(ge=1, le=3)] = 1.1
    """Factor on the units, for those that will be lost."""
    variance_fallback: Fallback | None = None
    """What to take for the primary metric's variance where neither plan nor history has it: `cv_1` a standard deviation as large as
    the mean, `poisson` (of a count) a variance as large as the mean. Every result says so."""
    expected: dict[Name, Expected] = Field(default_factory=dict[str, Expected])
    """By guardrail: what the control is believed to show, to size its test of the margin."""
    roi: RoiSpec | None = None
    """What a launch must earn."""
    avoid_periods: tuple[AvoidPeriod, ...] = ()
    """Days to keep clear of, beside the usual ones."""
    notes: tuple[str, ...] = ()
    """What else happens in that time, for people."""
    history: HistorySpec | None = None
    """Where past traffic and outcomes are."""
    record: FeasibilityRecord | None = None
    """What was found last."""


def check_feasibility(known: FeasibilitySpec | None, metrics: Collection[str], facts: Collection[str]) -> None:
    """Refuse metrics and facts that the experiment does not have.

    Args:
        known: What is to be checked.
        metrics: Keys of the experiment's metrics.
        facts: Names of the fact tables of its data.

    Raises:
        ValueError: A name is unknown.
    """
    if known is None:
        return
    for key in (*known.expected, *(() if known.history is None else known.history.metrics)):
        if key not in metrics:
            raise ValueError(f"feasibility: no metric named {key!r}, known: {list(metrics)}. {did_you_mean(key, metrics)}".rstrip(". "))
    if known.history is None:
        return
    there = list(known.history.facts or facts)
    for key, past in known.history.metrics.items():
        for event in (past.outcome, past.numerator, past.denominator, past.covariate):
            if event is not None and event.fact not in there:
                hint = did_you_mean(event.fact, there)
                raise ValueError(
                    f"feasibility: no fact named {event.fact!r} for {key!r} in history.facts, known: {there}. {hint}".rstrip(". ")
                )
