"""Routes of interactions: parse, one call, return. Fixed paths come first, so that none is taken for an id (G-8)."""

from __future__ import annotations

from fastapi import APIRouter

from fairtrial.service.dependencies import DbRead, Now
from fairtrial.service.interactions import analysis
from fairtrial.service.interactions.access import AsInteractionReader
from fairtrial.service.interactions.schemas import NoveltyPairOut, PairOut, ScanOut

router = APIRouter(prefix="/interactions", tags=["interactions"])


@router.get("/scan", response_model=ScanOut)
def scan(db: DbRead, actor: AsInteractionReader, now: Now) -> ScanOut:
    """Every pair of the running experiments: overlap, interaction and risk (IN-01)."""
    del actor
    return analysis.scan_running(db, now=now)


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
