"""Bodies of the routes of exclusion groups and of the global holdout."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, StrictInt, model_validator

from fairtrial.service.bodies import Body, Text

GroupStatus = Literal["active", "archived"]
HoldoutStatus = Literal["active", "inactive"]
Description = Annotated[str, Field(max_length=2000)]
TrafficAllocation = Annotated[float, Field(ge=0, le=1)]
Percentage = Annotated[float, Field(ge=0, le=100)]


class GroupCreate(Body):
    """An exclusion group that is asked for."""

    name: Text
    description: Description = ""
    traffic_allocation: TrafficAllocation = 1.0
    """Share of all units that the group's experiments may use together."""


class GroupChange(Body):
    """What becomes of a group: fields that are left out stay."""

    name: Text | None = None
    description: Description | None = None
    traffic_allocation: TrafficAllocation | None = None
    status: GroupStatus | None = None
    """Changed by an ADMIN."""

    @model_validator(mode="after")
    def _says_something(self) -> GroupChange:
        if all(value is None for value in (self.name, self.description, self.traffic_allocation, self.status)):
            raise ValueError("must give name, description, traffic_allocation or status")
        return self


class Joining(Body):
    """An experiment that is to share its units with no other of the group."""

    experiment_id: Annotated[StrictInt, Field(ge=1)] | Text
    """Id or key."""
    share: Annotated[float, Field(gt=0, le=1)]
    """Share of all units, in slots of 1/10,000."""


class Range(BaseModel):
    """Units whose fraction of the group's hash lies in [low, high)."""

    low: float
    high: float


class OwnedRange(Range):
    """A range that belongs to an experiment."""

    experiment_id: str
    """The experiment's key (G-8)."""


class GroupOut(BaseModel):
    """An exclusion group and who owns what of it."""

    id: int
    name: str
    description: str
    traffic_allocation: float
    status: GroupStatus
    slots: list[OwnedRange]
    quarantined: list[Range]
    """Ranges that were given back; only experiments without units of their own get them, and those last."""


class GroupItem(BaseModel):
    """A group in a list."""

    id: int
    name: str
    description: str
    status: GroupStatus
    traffic_allocation: float
    experiments: int
    """How many own slots."""


class GroupList(BaseModel):
    """Groups by their id."""

    items: list[GroupItem]
    total: int


class HoldoutCreate(Body):
    """A global holdout that is asked for."""

    name: Text
    percentage: Percentage
    """Units that no experiment takes, in percent of all."""
    description: Description = ""
    salt: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """Separates this draw of units from that of other holdouts; default: a random one."""


class HoldoutChange(Body):
    """What becomes of the global holdout in force: fields that are left out stay."""

    name: Text | None = None
    percentage: Percentage | None = None
    """For experiments whose first units come after the change; raising it only adds units."""
    description: Description | None = None
    status: HoldoutStatus | None = None
    """`inactive` ends it for good, by an ADMIN."""

    @model_validator(mode="after")
    def _says_something(self) -> HoldoutChange:
        if all(value is None for value in (self.name, self.percentage, self.description, self.status)):
            raise ValueError("must give name, percentage, description or status")
        return self


class HoldoutOut(BaseModel):
    """A global holdout."""

    id: int
    name: str
    percentage: float
    status: HoldoutStatus
    description: str
    salt: str


class HoldoutList(BaseModel):
    """All global holdouts, newest first."""

    items: list[HoldoutOut]


class HoldoutCheck(BaseModel):
    """Whether a unit is held out of everything now."""

    user_id: str
    in_holdout: bool
    holdout_id: int | None
    bucket: float | None
    """The unit's fraction; held out when it lies below percentage / 100."""
    reason: str | None = None
    """Why there is no bucket."""
