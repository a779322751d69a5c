"""Routes of monitoring: parse, one call, return."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from fairtrial.service.dependencies import AsViewer, DbRead, Now
from fairtrial.service.monitoring.adaptive import read_allocation
from fairtrial.service.monitoring.adjusted import read_cuped
from fairtrial.service.monitoring.checks import read_sequential, read_srm
from fairtrial.service.monitoring.schemas import (
    Algorithm,
    AllocationOut,
    CovariateName,
    CupedOut,
    MetricName,
    SequentialOut,
    SrmCheckOut,
)

router = APIRouter(prefix="/experiments", tags=["monitoring"])

Treatment = Annotated[str | None, Query(max_length=200)]
Floor = Annotated[float | None, Query(ge=0, le=0.5)]
Epsilon = Annotated[float, Query(ge=0, le=1)]
Seed = Annotated[int, Query(ge=0, le=2**32 - 1)]


@router.get("/{experiment}/srm", response_model=SrmCheckOut)
def srm(db: DbRead, actor: AsViewer, experiment: str) -> SrmCheckOut:
    """Do the arms have their planned sizes (IN-30)?"""
    del actor
    return read_srm(db, experiment)


@router.get("/{experiment}/sequential", response_model=SequentialOut)
def sequential(
    db: DbRead, actor: AsViewer, now: Now, experiment: str, metric: MetricName | None = None, treatment: Treatment = None
) -> SequentialOut:
    """A look that may be taken at any time: the mSPRT of the primary metric and the first treatment, unless asked otherwise (IN-31)."""
    del actor
    return read_sequential(db, experiment, now=now, metric=metric, treatment=treatment)


@router.get("/{experiment}/allocation", response_model=AllocationOut)
def allocation(
    db: DbRead,
    actor: AsViewer,
    experiment: str,
    algorithm: Algorithm = "thompson_sampling",
    floor: Floor = None,
    epsilon: Epsilon = 0.1,
    seed: Seed = 42,
) -> AllocationOut:
    """The shares that an adaptive algorithm would play next; nothing is changed (IN-32)."""
    del actor
    return read_allocation(db, experiment, algorithm=algorithm, floor=floor, epsilon=epsilon, seed=seed)


@router.get("/{experiment}/cuped", response_model=CupedOut)
def cuped(
    db: DbRead,
    actor: AsViewer,
    experiment: str,
    covariate: CovariateName | None = None,
    metric: MetricName | None = None,
    treatment: Treatment = None,
) -> CupedOut:
    """What adjustment by a covariate from before saves: the effect raw and adjusted (IN-33)."""
    del actor
    return read_cuped(db, experiment, covariate=covariate, metric=metric, treatment=treatment)
