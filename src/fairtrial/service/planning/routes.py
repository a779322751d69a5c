"""Routes of planning: parse, one call, return. Fixed paths stand before those of an experiment (G-8)."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from fairtrial.service.bodies import Share, Text, Time
from fairtrial.service.dependencies import AsAnalyst, AsDeveloper, AsViewer, DbRead, DbWrite, Now
from fairtrial.service.planning import power
from fairtrial.service.planning.auto_assign import auto_assign
from fairtrial.service.planning.duplicate import duplicate
from fairtrial.service.planning.health import read_health
from fairtrial.service.planning.recommend import DesignRequest, recommend_design
from fairtrial.service.planning.schemas import (
    Alpha,
    AutoAssignOut,
    AutoAssignRequest,
    DesignOut,
    DuplicateOut,
    DuplicateRequest,
    HealthOut,
    Mde,
    MdeTable,
    PeriodEnd,
    Power,
    PowerOut,
    PowerRequest,
    SetupContext,
)
from fairtrial.service.planning.setup_context import build_setup_context
from fairtrial.service.population.schemas import Channel

router = APIRouter(prefix="/experiments", tags=["planning"])


@router.post("/power-analysis", response_model=PowerOut)
def analyse_power(actor: AsAnalyst, body: PowerRequest) -> PowerOut:
    """How many profiles a plan calls for, each group rounded up (HO-11)."""
    del actor
    return power.analyse_power(body)


@router.get("/mde-table", response_model=MdeTable)
def read_mde_table(
    actor: AsAnalyst,
    baselines: Annotated[str | None, Query(max_length=2000, description="Rates, comma-separated.", examples=["0.02,0.05,0.1"])] = None,
    mdes: Annotated[str | None, Query(max_length=2000, description="Effects in points, comma-separated.", examples=["0.005,0.01"])] = None,
    alpha: Alpha = 0.05,
    power_: Annotated[Power, Query(alias="power")] = 0.8,
) -> MdeTable:
    """Profiles for equal groups by baseline and effect, from the function behind the power analysis (HO-45)."""
    del actor
    rates = power.parse_values("baselines", baselines, power.BASELINES, low=0)
    return power.mde_table(rates, power.parse_values("mdes", mdes, power.EFFECTS, low=-1), alpha=alpha, power=power_)


@router.get("/setup-context", response_model=SetupContext)
def read_setup_context(
    db: DbRead, actor: AsViewer, now: Now, date_from: Time | None = None, date_to: PeriodEnd | None = None, kpi: Text | None = None
) -> SetupContext:
    """Channels with volume and baselines, KPIs and defaults, from the stored population (HO-30)."""
    del actor
    return build_setup_context(db, now=now, date_from=date_from, date_to=date_to, kpi=kpi)


@router.get("/recommend-design", response_model=DesignOut)
def read_recommended_design(
    db: DbRead,
    actor: AsAnalyst,
    now: Now,
    channel: Channel,
    baseline_rate: Share | None = None,
    mde: Mde = 0.01,
    daily_profiles: Annotated[float | None, Query(gt=0, le=1e12, allow_inf_nan=False)] = None,
    kpi: Text | None = None,
    alpha: Alpha = 0.05,
    power_: Annotated[Power, Query(alias="power")] = 0.8,
) -> DesignOut:
    """Which share to treat and for how long; what the query leaves out is read from the population (HO-31)."""
    del actor
    asked = DesignRequest(
        channel=channel, baseline_rate=baseline_rate, mde=mde, daily_profiles=daily_profiles, kpi=kpi, alpha=alpha, power=power_
    )
    return recommend_design(db, asked, now=now)


@router.get("/{experiment}/health", response_model=HealthOut)
def health(db: DbRead, actor: AsViewer, now: Now, experiment: str) -> HealthOut:
    """Sizes, tracking, overlap, plan, and whether a result may be read (HO-33)."""
    del actor
    return read_health(db, experiment, now=now)


@router.post("/{experiment}/auto-assign", response_model=AutoAssignOut)
def assign_touched(db: DbWrite, actor: AsDeveloper, now: Now, experiment: str, body: AutoAssignRequest) -> AutoAssignOut:
    """Assign every profile that a channel touched in a period: not a causal reading (HO-12)."""
    return auto_assign(db, experiment, body, actor=actor, now=now)


@router.post("/{experiment}/duplicate", status_code=201, response_model=DuplicateOut)
def duplicate_experiment(db: DbWrite, actor: AsDeveloper, now: Now, experiment: str, body: DuplicateRequest) -> DuplicateOut:
    """A new draft with the same set-up (HO-34)."""
    row = duplicate(db, experiment, body, actor=actor, now=now)
    return DuplicateOut.model_validate(row, from_attributes=True)
