"""What a metric needs to have read for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fairtrial.spec.metric import EventValue, Missing


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One number per unit.

    Attributes:
        source: A column of the unit table, or events to sum or count.
        values: What values may be: `binary` (0 or 1), `nonnegative`, `real`.
        winsorize: Pooled quantile at which to cap, if any.
        any_event: Whether events count as 0 or 1 (did any happen) and not as a sum.
    """

    source: str | EventValue
    values: Literal["binary", "nonnegative", "real"] = "real"
    winsorize: float | None = None
    any_event: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """The columns of one metric, whose co-moments over units are to be read.

    The co-moments' columns stand in the order outcome, denominator, covariate,
    covariate_denominator, further covariates; those that are None are left out.

    Attributes:
        metric: Key of the metric.
        missing: What a NULL or NaN in outcome or denominator counts as. A missing
            covariate is set to the covariate's pooled mean over the units that
            have one, and is counted.
        outcome: The outcome, or the numerator of a ratio.
        denominator: Denominator of a ratio.
        covariate: Pre-experiment value, or its numerator.
        covariate_denominator: Denominator of a covariate that is a ratio.
        more_covariates: Further covariates, beside the first.
        rows: Whether the test reads the units' own numbers, so that they leave the engine.
        covariate_rows: Whether the covariates are among these numbers.
        paired: Whether the numbers of a pair's two units are read side by side; `rows` then is set too.
        by_stratum: Whether it reads the moments of each stratum.
        buckets: Whether it reads sums by bucket of units, for a bootstrap.
        quantile: Which quantile it reads, if any, with the order statistics around it.
    """

    metric: str
    missing: Missing
    outcome: Column
    denominator: Column | None = None
    covariate: Column | None = None
    covariate_denominator: Column | None = None
    more_covariates: tuple[Column, ...] = ()
    rows: bool = False
    covariate_rows: bool = False
    paired: bool = False
    by_stratum: bool = False
    buckets: bool = False
    quantile: float | None = None

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns that are present, in the order of the co-moments."""
        parts = (self.outcome, self.denominator, self.covariate, self.covariate_denominator)
        return (*(column for column in parts if column is not None), *self.more_covariates)
