"""How units are given their arms, where it is not the plain hash of each."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fairtrial.spec.base import Name, SpecModel


class AssignmentSpec(SpecModel):
    """How units are given their arms."""

    method: Literal["hash", "stratified_blocks"] = "hash"
    """`hash`: each unit by itself, whenever it comes. `stratified_blocks`: lists of units, by `fairtrial assign` or the service;
    within each stratum every block of units holds the arms in their shares."""
    strata: Annotated[tuple[Name, ...], Field(max_length=8)] = ()
    """Columns known before assignment whose combinations are the strata; under `hash` the arms' balance on them is reported."""
    minimum_stratum_size: Annotated[int, Field(ge=1, le=1_000_000)] = 100
    """Units that a stratum needs; smaller ones are pooled into one."""
    balance_tolerance: Annotated[float, Field(gt=0, le=1)] = 0.05
    """Largest standardised difference of a stratum column between arms that is called balanced."""

    @property
    def by_list(self) -> bool:
        """Whether units are given their arms in lists, so that a unit alone has none."""
        return self.method == "stratified_blocks"

    @model_validator(mode="after")
    def _strata_fit(self) -> AssignmentSpec:
        if self.method == "stratified_blocks" and not self.strata:
            raise ValueError("assignment: stratified_blocks needs strata, none is named")
        if len(set(self.strata)) < len(self.strata):
            raise ValueError(f"assignment: each stratum column is named once, got {list(self.strata)}")
        return self
