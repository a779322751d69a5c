"""Bodies of the meta-analysis (HO-42)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from fairtrial.service.bodies import Body, Text

Measure = Literal["uplift_abs", "uplift_rel", "value_per_profile"]


class MetaRequest(Body):
    """Which experiments to pool, and how."""

    experiment_ids: Annotated[list[Annotated[int, Field(strict=True, ge=1, lt=2**63)] | Text], Field(min_length=1, max_length=500)]
    """Ids or keys; naming one twice counts it once."""
    measure: Measure = "uplift_abs"
    """Difference of the rates, their ratio less one (pooled on the logarithm), or difference of the value per assigned profile."""
    tau2_method: Literal["reml", "dersimonian_laird"] = "reml"
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05


class PooledOut(BaseModel):
    """A pooled effect; for `uplift_rel` its standard error is that of the logarithm of the ratio."""

    effect: float
    ci_low: float | None
    ci_high: float | None
    p_value: float
    std_error: float
    df: int | None
    """Of Student's t; null for the normal."""


class SpreadOut(BaseModel):
    """Do the experiments differ by more than noise."""

    q: float
    df: int
    p_value: float
    i_squared: float
    """Part of the spread that is not noise."""
    tau2: float
    """Variance of the true effects, on the scale on which they are pooled."""


class PooledExperiment(BaseModel):
    """One experiment that was pooled."""

    experiment_id: int
    name: str
    channel: str | None
    status: str
    n: int
    effect: float
    std_error: float
    weight_fixed: float | None
    weight_random: float | None
    source: Literal["counted", "stored"]
    """Counted now, or as stored by its last look when its rows are gone."""


class LeftOutOfMeta(BaseModel):
    """One experiment that was not pooled, and why."""

    experiment_id: int
    name: str
    reason: str


class MetaOut(BaseModel):
    """Several experiments as one; what could not be computed is null, with a reason."""

    measure: Measure
    alpha: float
    tau2_method: str
    interval_method: Literal["hartung_knapp"]
    k: int
    fixed: PooledOut | None
    """As if one effect served them all: an answer about these experiments."""
    random: PooledOut | None
    """The centre of effects that differ: an answer about experiments like these."""
    heterogeneity: SpreadOut | None
    prediction: list[float | None] | None
    """Where the effect of one more such experiment lies; from three experiments on."""
    reason: str | None
    experiments: list[PooledExperiment]
    left_out: list[LeftOutOfMeta]
    notes: list[str]
    data_source: str
