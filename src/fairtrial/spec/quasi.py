"""Quasi-experiments in a spec: which columns say who was treated and when, one class a design.

The section `design` of an experiment whose `kind` is `did`, `rdd`,
`synthetic_control`, `iv` or `interrupted_series`. Arms need not be written:
`control` and `treatment` then name what would have been and what was.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, cast, get_args

from pydantic import Field, model_validator

from fairtrial.spec.base import Name, SpecModel
from fairtrial.spec.data import DataSpec, UnitsData
from fairtrial.spec.metric import EventValue, MetricSpec, covariates_of
from fairtrial.spec.plan import PlanSpec

QuasiKind = Literal["did", "rdd", "synthetic_control", "iv", "interrupted_series"]
QUASI_KINDS: tuple[str, ...] = get_args(QuasiKind)
OBSERVED_KINDS = ("synthetic_control", "interrupted_series")
"""Kinds whose treated outcome is observed and not sampled."""
Moment = int | float | dt.date
"""A period: a number such as 1989, or a date."""


class DidDesign(SpecModel):
    """Difference in differences: units seen before and after, some of them treated."""

    kind: Literal["did"] = "did"
    unit: Name | None = None
    """Column that identifies the unit; without it rows are different people each time (repeated cross sections)."""
    time: Name
    """Column of the period: numbers or dates."""
    treated: Name | None = None
    """Column that is 1 for units of the treated group, in all periods; needs `start`."""
    start: Moment | None = None
    """First treated period, for `treated`."""
    cohort: Name | None = None
    """Column of the period in which the row's unit was first treated; empty, or 0, for never. Instead of `treated` and `start`."""
    estimator: Literal["auto", "two_by_two", "two_way", "callaway_santanna", "imputation"] = "auto"
    """`auto`: `callaway_santanna` where units began at different times, else `two_by_two` for two periods or no unit, else `two_way`."""
    control_group: Literal["never_treated", "not_yet_treated"] = "never_treated"
    """With whom `callaway_santanna` compares."""
    aggregation: Literal["simple", "group", "dynamic", "calendar"] = "simple"
    """How `callaway_santanna` averages over cohorts and periods."""
    covariates: tuple[Name, ...] = ()
    """Columns measured before the treatment, for `callaway_santanna` (doubly robust)."""
    cluster: Name | None = None
    """Column within which rows depend on each other; default: the unit."""
    weights: Name | None = None
    """Column of weights (population), for `two_way` and `imputation`."""
    small_sample: bool = True
    """Errors by cohort with degrees of freedom of their own, which hold with few treated units; false: as other programs have them."""
    balanced: bool = False
    """Keep only units seen in every period."""

    @model_validator(mode="after")
    def _who_and_when(self) -> DidDesign:
        if (self.cohort is None) == (self.treated is None):
            raise ValueError("name either `cohort`, or `treated` with `start`")
        if (self.treated is None) != (self.start is None):
            raise ValueError("`treated` and `start` go together")
        if self.unit is None and (self.cohort is not None or self.estimator not in {"auto", "two_by_two"} or self.balanced):
            raise ValueError("without `unit` only two groups can be compared: name `treated` and `start`")
        if self.covariates and self.estimator not in {"auto", "callaway_santanna"}:
            raise ValueError("`covariates` are for the estimator callaway_santanna")
        if self.weights is not None and self.estimator in {"callaway_santanna", "two_by_two"}:
            raise ValueError("`weights` are for the estimators two_way and imputation")
        return self


class RddDesign(SpecModel):
    """Regression discontinuity: a rule treats all units beyond a cutoff."""

    kind: Literal["rdd"] = "rdd"
    running: Name
    """Column that the rule looks at."""
    cutoff: float = 0.0
    """Where the treatment begins; a row at it counts as above."""
    treated_side: Literal["above", "below"] = "above"
    """Which side of the cutoff is treated."""
    order: Annotated[int, Field(ge=0, le=4)] = 1
    """Degree of the local polynomial."""
    kernel: Literal["triangular", "uniform", "epanechnikov"] = "triangular"
    """How rows count by their distance from the cutoff."""
    bandwidth: Annotated[float, Field(gt=0)] | Literal["cer"] | None = None
    """Window on each side; default: with the least mean squared error, from the data; `cer`: from the data too, narrower, whose
    interval covers better where the outcome bends."""
    bias_bandwidth: Annotated[float, Field(gt=0)] | None = None
    """Window of the bias estimate; default: `bandwidth`, or from the data."""
    covariates: tuple[Name, ...] = ()
    """Columns fixed before the treatment, which must not jump at the cutoff."""
    placebo_cutoffs: tuple[float, ...] = ()
    """Cutoffs that mean nothing; default: the median of the running variable on each side."""
    donut: Annotated[float, Field(gt=0)] | None = None
    """Distance from the cutoff within which rows are left out, as a check."""

    @model_validator(mode="after")
    def _windows(self) -> RddDesign:
        if self.bias_bandwidth is not None and not isinstance(self.bandwidth, float):
            raise ValueError("`bias_bandwidth` needs a `bandwidth` that is a number")
        if self.cutoff in self.placebo_cutoffs:
            raise ValueError("a placebo cutoff must differ from the true one")
        return self


class SyntheticControlDesign(SpecModel):
    """Synthetic control: one treated unit against a weighted mean of others."""

    kind: Literal["synthetic_control"] = "synthetic_control"
    unit: Name
    """Column that identifies the unit."""
    time: Name
    """Column of the period: numbers or dates."""
    treated_unit: str | int
    """Which unit was treated."""
    start: Moment
    """First treated period."""


class IvDesign(SpecModel):
    """Instrumental variable: something as good as random moved some units into the treatment."""

    kind: Literal["iv"] = "iv"
    instrument: Name
    """Column of what moved units (1 invited, 0 not)."""
    treatment: Name
    """Column of what units took (1 treated, 0 not)."""
    covariates: tuple[Name, ...] = ()
    """Columns fixed before the instrument."""
    cluster: Name | None = None
    """Column of the groups in which the instrument was assigned."""


class InterruptedSeriesDesign(SpecModel):
    """Interrupted series: one series before and after, alone or against other series."""

    kind: Literal["interrupted_series"] = "interrupted_series"
    time: Name
    """Column of the period: numbers or dates; rows are put in its order and taken as evenly spaced."""
    start: Moment
    """First period after the intervention."""
    controls: tuple[Name, ...] = ()
    """Columns of series that the intervention did not touch."""
    model: Literal["local_level", "least_squares"] = "local_level"
    """How the controls predict the series; without controls level and slope are compared."""
    lags: Annotated[int, Field(ge=0)] | None = None
    """Lags of Newey-West errors, for long series; default: autoregressive errors of unknown strength, which hold in short ones too."""


QuasiDesign = Annotated[DidDesign | RddDesign | SyntheticControlDesign | IvDesign | InterruptedSeriesDesign, Field(discriminator="kind")]


def quasi_short_forms(fields: dict[str, object]) -> dict[str, object]:
    """Fill in what a quasi-experiment need not say: the design's kind, its two arms, that no shares were planned."""
    kind = fields.get("kind")
    if kind not in QUASI_KINDS:
        return fields
    filled = {"arms": ["control", "treatment"], "allocation": "unknown", **fields}
    design = filled.get("design")
    if isinstance(design, Mapping) and "kind" not in design:
        filled["design"] = {"kind": kind, **cast("Mapping[str, object]", design)}
    return filled


def check_quasi(
    kind: str, design: QuasiDesign | None, data: DataSpec | None, plan: PlanSpec, metrics: Sequence[MetricSpec], arms: int
) -> None:
    """Raise unless the parts of a spec fit its kind.

    Raises:
        ValueError: A quasi-experiment lacks its design or asks for what it cannot give; or an experiment has a design.
    """
    if kind not in QUASI_KINDS:
        if design is not None:
            raise ValueError(f"`design` is for quasi-experiments ({', '.join(QUASI_KINDS)}), this is kind '{kind}'")
        return
    if design is None or design.kind != kind:
        got = "none" if design is None else f"one of kind '{design.kind}'"
        raise ValueError(f"kind '{kind}' needs a `design` section of its kind, got {got}")
    if data is not None and not isinstance(data, UnitsData):
        raise ValueError(f"kind '{kind}' reads one table: data of shape 'units', this is '{data.shape}'")
    if arms != 2:
        raise ValueError(f"kind '{kind}' compares the treated with what they would have been: leave `arms` out")
    if plan.method != "fixed" or plan.objective != "superiority" or plan.alternative != "two-sided":
        raise ValueError(f"kind '{kind}' is read once and two-sided: method 'fixed', objective 'superiority'")
    if kind in OBSERVED_KINDS and plan.lift_method != "auto":
        raise ValueError(
            f"kind '{kind}' observes the treated and estimates only what they would have been, so that its lift has one interval: "
            f"leave lift_method out, it is {plan.lift_method!r}"
        )
    for metric in metrics:
        _check_metric(kind, metric)


def _check_metric(kind: str, metric: MetricSpec) -> None:
    if metric.kind not in {"proportion", "mean", "count"}:
        raise ValueError(f"metric '{metric.key}': kind '{kind}' reads the mean of one outcome column, not a {metric.kind}")
    plain = not isinstance(metric_column(metric), EventValue) and not covariates_of(metric)
    if not plain or getattr(metric, "winsorize", None) is not None:
        raise ValueError(f"metric '{metric.key}': kind '{kind}' takes no covariate, winsorize or facts; see its `design`")
    if metric.role == "guardrail":
        raise ValueError(f"metric '{metric.key}': kind '{kind}' has no guardrails; make it secondary")


def metric_column(metric: MetricSpec) -> object:
    """Where a metric's outcome comes from; default: the column named as the metric."""
    return getattr(metric, "column", None) or metric.key
