"""Routes of interactions: parse, one call, return. Fixed paths come first, so that none is taken for an id (G-8)."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from fairtrial.service.dependencies import AsViewer, DbRead, Now
from fairtrial.service.interactions import analysis, scans
from fairtrial.service.interactions.access import AsInteractionReader
from fairtrial.service.interactions.schemas import NoveltyDetail, NoveltyPairOut, PairOut, ScanOut, StoredScanList, TrendOut

router = APIRouter(prefix="/interactions", tags=["interactions"])
experiment_router = APIRouter(prefix="/experiments", tags=["interactions"])


@router.get("/scan", response_model=ScanOut)
def scan(db: DbRead, actor: AsInteractionReader, now: Now) -> ScanOut:
    """Every pair of the running experiments: overlap, interaction and risk (IN-01)."""
    del actor
    return analysis.scan_running(db, now=now)


@router.get("/scans", response_model=StoredScanList)
def kept_scans(
    db: DbRead,
    actor: AsInteractionReader,
    skip: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    results: bool = False,
) -> StoredScanList:
    """Scans that the jobs made and kept, newest first; with `results`, their pairs too (IN-21)."""
    del actor
    return scans.list_kept(db, limit=limit, offset=skip, results=results)


@router.get("/{experiment_a}/{experiment_b}", response_model=PairOut)
def pair(db: DbRead, actor: AsInteractionReader, now: Now, experiment_a: str, experiment_b: str) -> PairOut:
    """Two experiments in any status: do they disturb each other (IN-04)?"""
    del actor
    return analysis.read_pair(db, experiment_a, experiment_b, now=now)


@router.get("/{experiment_a}/{experiment_b}/novelty", response_model=NoveltyPairOut)
def novelty(db: DbRead, actor: AsInteractionReader, now: Now, experiment_a: str, experiment_b: str) -> NoveltyPairOut:
    """Does the effect of either fade: effects by day since assignment, never cumulative (IN-09)."""
    del actor
    return analysis.read_novelty(db, experiment_a, experiment_b, now=now)


@router.get("/{experiment_a}/{experiment_b}/trend", response_model=TrendOut)
def trend(db: DbRead, actor: AsInteractionReader, experiment_a: str, experiment_b: str) -> TrendOut:
    """Overlap, interaction and risk of a pair over the kept scans, oldest first."""
    del actor
    return scans.read_trend(db, experiment_a, experiment_b)


@experiment_router.get("/{experiment}/novelty", response_model=NoveltyDetail)
def own_novelty(db: DbRead, actor: AsViewer, now: Now, experiment: str) -> NoveltyDetail:
    """Does the effect of one experiment fade: effects by day since assignment (IN-09)."""
    del actor
    return analysis.read_own_novelty(db, experiment, now=now)
