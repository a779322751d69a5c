"""Bodies of the overview."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from fairtrial.service.bodies import Time
from fairtrial.service.experiments.schemas import Status

Need = Literal["decide", "review", "stop"]


class MeOut(BaseModel):
    """Who is asking, and what they may do."""

    name: str
    role: Literal["VIEWER", "ANALYST", "DEVELOPER", "ADMIN"]
    auth_mode: Literal["on", "off"]


class StandingOut(BaseModel):
    """An experiment with its latest stored results."""

    id: int
    key: str
    name: str
    kind: str
    channel: str | None
    status: Status
    started_at: Time | None
    end_at: Time | None
    days: int | None
    """Days since it started, until it ended."""
    units: int | None
    """Units that its latest results rest on."""
    planned: int | None
    computed_at: Time | None
    """When its results were stored; none are computed here."""
    verdict: str | None
    state: str | None
    uplift_abs: float | None
    ci_low: float | None
    ci_high: float | None
    srm_status: str | None
    needs: Need | None
    """`decide`: it is over and nothing is decided; `stop`: its data failed a check, or its verdict says so; `review`: it has a verdict."""


class DecidedOut(BaseModel):
    """A decision that was written down."""

    id: int
    key: str
    name: str
    kind: str
    decided_at: Time
    decision: str
    note: str
    by: str
    verdict: str | None


class DecisionLog(BaseModel):
    """Decisions, newest first."""

    items: list[DecidedOut]
    total: int


class OverviewOut(BaseModel):
    """What is going on."""

    as_of: Time
    by_status: dict[str, int]
    experiments: list[StandingOut]
    """Those that run and those that are over and undecided, what needs somebody first."""
    model_experiments: dict[str, int]
    """Experiments of models by status."""
