"""Where the data is and in which of three shapes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fairtrial.spec.base import Name, SpecModel

Scalar = str | int | float | bool


class SourceSpec(SpecModel):
    """Address of the data, whatever its shape."""

    source: str = Field(min_length=1)
    """A Parquet or CSV file or a folder of them, or a URL: `duckdb:///file.db`, `sqlite:///file.db`,
    `postgresql://user@host/db`, `spark://local`. A relative path counts from the spec's file."""
    where: dict[Name, Scalar] = Field(default_factory=dict[str, Scalar])
    """Keep only rows with these values (column: value)."""


class UnitsData(SourceSpec):
    """Shape A: a unit table, one row per randomised unit."""

    shape: Literal["units"] = "units"
    table: Name | None = None
    """Table name, when the source is a database."""
    arm: Name = "arm"
    """Column that names the unit's arm."""
    factors: dict[Name, Name] = Field(default_factory=dict[str, str])
    """Of a factorial experiment whose table has a column for each factor: that column, by factor; in place of `arm`."""
    unit: Name | None = None
    """Column that identifies the unit; without it repeats cannot be seen, and the report says so."""
    repeated: Literal["error", "mean", "sum"] = "error"
    """What several rows of one unit mean: an error, or measurements to average or to sum per unit."""
    post_assignment: tuple[Name, ...] = ()
    """Columns measured after assignment; none of them may serve as a covariate or a stratum."""
    strata: tuple[Name, ...] = ()
    """Columns known before assignment (country, platform, new or returning) whose combinations are strata; for `adjust:
    post_stratify`, or for metrics with `test: mantel_haenszel`."""
    adjust: Literal["none", "post_stratify"] = "none"
    """`post_stratify` compares the arms within strata and weighs these by their shares of all units."""
    pair: Name | None = None
    """Column that names the pair: two rows each, one under either arm (matched units, or one unit under both arms). Every metric
    then has a paired test; pairs that are not complete are left out and counted."""

    @model_validator(mode="after")
    def _strata_fit(self) -> UnitsData:
        if self.adjust == "post_stratify" and not self.strata:
            raise ValueError("adjust: post_stratify and strata go together, one of them is missing")
        if len(set(self.strata)) < len(self.strata):
            raise ValueError(f"each stratum column may be named once, got {list(self.strata)}")
        if late := [name for name in self.strata if name in self.post_assignment]:
            raise ValueError(f"strata must be known before assignment, {late} are measured after it")
        if self.strata and self.arm in self.strata:
            raise ValueError(f"the arm column {self.arm!r} is no stratum")
        if self.strata and self.repeated != "error":
            raise ValueError(f"strata need one row a unit (repeated: error), repeated is {self.repeated!r}")
        return self

    @model_validator(mode="after")
    def _pairs_fit(self) -> UnitsData:
        if self.pair is None:
            return self
        if self.pair == self.arm:
            raise ValueError(f"the arm column {self.arm!r} names no pair: a pair has a row in each arm")
        if self.pair == self.unit:
            raise ValueError(f"a unit under both arms is the pair itself: leave `unit` out, `pair` names {self.pair!r}")
        if self.strata:
            raise ValueError("pairs are strata of their own: leave `strata` out where the data has a `pair`")
        if self.repeated != "error":
            raise ValueError(f"pairs need one row a unit (repeated: error), repeated is {self.repeated!r}; aggregate the rows first")
        return self


class LogTable(SpecModel):
    """Assignments or exposures: who, in which arm, when."""

    table: Name
    unit: Name = "unit"
    arm: Name = "arm"
    time: Name = "time"


class FactTable(SpecModel):
    """Outcome events: whose, when, and what makes an event unique."""

    table: Name
    unit: Name = "unit"
    time: Name = "time"
    event_id: Name | None = None
    """Column that identifies the event; repeats of an id are dropped and counted."""


class LogsData(SourceSpec):
    """Shape B: logs of assignments (and exposures) beside fact tables of events."""

    shape: Literal["logs"] = "logs"
    assignments: LogTable
    exposures: LogTable | None = None
    """Name it for a triggered analysis (units from their first exposure); without it: intention to treat."""
    facts: dict[Name, FactTable] = Field(default_factory=dict[str, FactTable])
    window_days: Annotated[float, Field(gt=0)] | None = None
    """Events count for this many days from the unit's start; without it, to the end of the data."""


class MomentColumns(SpecModel):
    """Columns of a table of aggregates that hold one metric."""

    n: Name | None = None
    """Units; default: the table's `n`."""
    successes: Name | None = None
    """Units with outcome 1 (proportions)."""
    mean: Name | None = None
    variance: Name | None = None
    """Sample variance, divisor n - 1."""
    sum: Name | None = None
    sum_squares: Name | None = None

    @model_validator(mode="after")
    def _one_form(self) -> MomentColumns:
        forms = (self.successes,), (self.mean, self.variance), (self.sum, self.sum_squares)
        named = [form for form in forms if any(column is not None for column in form)]
        if len(named) != 1 or None in named[0]:
            raise ValueError("name one form: `successes`, or `mean` and `variance`, or `sum` and `sum_squares`")
        return self


class AggregatesData(SourceSpec):
    """Shape C: ready counts or moments, one row per arm (rows of one arm add up)."""

    shape: Literal["aggregates"] = "aggregates"
    table: Name | None = None
    arm: Name = "arm"
    n: Name = "n"
    """Column of the number of units."""
    metric: Name | None = None
    """Column that names the row's metric, when each metric has rows of its own."""
    columns: dict[Name, MomentColumns] = Field(default_factory=dict[str, MomentColumns])
    """By metric key: the columns that hold it."""


DataSpec = Annotated[UnitsData | LogsData | AggregatesData, Field(discriminator="shape")]
