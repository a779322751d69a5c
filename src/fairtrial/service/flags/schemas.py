"""Bodies of decisions, forced variants, and of OFREP as the API's document shows it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from fairtrial.service.bodies import Body, Document, Text, Time

OutsideOf = Literal["holdout", "exclusion_group", "traffic", "not_listed", "not_eligible"]
ReasonOf = Literal["SPLIT", "TARGETING_MATCH", "DEFAULT", "STATIC", "DISABLED"]


class DecisionRequest(Body):
    """What is known of a unit."""

    attributes: Document = Field(default_factory=dict)


class DecisionOut(BaseModel):
    """What a unit gets now; nothing is stored by asking."""

    experiment: str
    experiment_id: int
    version: int
    unit: str
    variant: str | None
    """Key of the arm; null when the unit is in none."""
    value: Any
    """What the flag serves."""
    reason: ReasonOf
    outside: OutsideOf | None
    """Why the unit is in no arm of a running experiment."""
    forced: bool


class ForceRequest(Body):
    """The arm to show."""

    arm: Text


class ForcedOut(BaseModel):
    """A unit that is forced."""

    unit: str
    arm: str
    created_by: str
    created_at: Time


class ForcedList(BaseModel):
    """Units that are forced now, newest first."""

    items: list[ForcedOut]


class EvaluationRequest(BaseModel):
    """An OFREP question."""

    context: dict[str, Any] = Field(default_factory=dict)
    """`targetingKey`, the unit, and its attributes."""


class Evaluation(BaseModel):
    """An OFREP answer for one flag."""

    key: str
    reason: ReasonOf
    variant: str
    """Key of the arm; empty when the unit is in none."""
    value: Any
    metadata: dict[str, str | int | float | bool]


class Evaluations(BaseModel):
    """An OFREP answer for all flags of an environment."""

    flags: list[Evaluation]


class EvaluationFailure(BaseModel):
    """An OFREP error."""

    key: str | None = None
    errorCode: Literal["FLAG_NOT_FOUND", "PARSE_ERROR", "TARGETING_KEY_MISSING", "INVALID_CONTEXT"]  # noqa: N815 - OFREP's name
    errorDetails: str  # noqa: N815
