"""Routes of the configurations: parse, one call, return."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from fairtrial.service.configs import catalog
from fairtrial.service.configs.schemas import AnalysisOut, AnalysisRequest, ConfigOut, ConfigsOut, FeasibilityOut, FeasibilityRequest
from fairtrial.service.dependencies import AsAnalyst, AsViewer, Now, State

router = APIRouter(prefix="/configs", tags=["configs"])


@router.get("", response_model=ConfigsOut)
def list_configs(state: State, actor: AsViewer) -> ConfigsOut:
    """Names of the catalog's experiments (XC-50)."""
    del actor
    return catalog.list_configs(state.settings)


@router.get("/{name}", response_model=ConfigOut)
def read_config(
    state: State, actor: AsViewer, name: str, version: Annotated[str | None, Query(max_length=50, examples=["1.0.0"])] = None
) -> ConfigOut:
    """One experiment's configuration, the current version or an older one (XC-50)."""
    del actor
    return catalog.read_config(state.settings, name, version)


@router.post("/{name}/power", response_model=FeasibilityOut)
def assess_config(state: State, actor: AsAnalyst, now: Now, name: str, body: FeasibilityRequest) -> FeasibilityOut:
    """Units, days and dates, and whether they fit; from the configuration and the body alone (XC-50)."""
    del actor
    return catalog.assess_config(state.settings, name, body, now=now)


@router.post("/{name}/analysis", response_model=AnalysisOut)
def analyze_config(state: State, actor: AsAnalyst, now: Now, name: str, body: AnalysisRequest) -> AnalysisOut:
    """Analyse a configuration's units, from where it says they are or from the warehouse (XC-50)."""
    del actor
    return catalog.analyze_config(state.settings, name, body, now=now)
