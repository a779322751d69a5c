"""The stages of a rollout and what watches over them: one experiment from the shadow to the whole traffic."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from fairtrial.spec.base import Name, Share, SpecModel

StageKind = Literal["offline", "shadow", "canary", "ab", "ramp", "holdback"]
Gate = Literal["approval", "shadow", "guardrails", "verdict"]

DEFAULT_GATE: dict[StageKind, Gate] = {
    "offline": "approval",
    "shadow": "shadow",
    "canary": "guardrails",
    "ab": "verdict",
    "ramp": "guardrails",
    "holdback": "guardrails",
}
WITHOUT_TRAFFIC = ("offline", "shadow")


class Stage(SpecModel):
    """One stage: how much traffic challengers get, and what must be seen before the next."""

    name: Name
    """Its name, of its own among the stages."""
    kind: StageKind
    """`offline`: nothing runs; `shadow`: challengers answer unheard; `canary`, `ab`, `ramp`: they answer their share; `holdback`: the
    last one, which keeps some traffic with the champion."""
    share: Share = 0.0
    """Share of the traffic that challengers get together; 0 offline and in the shadow."""
    min_minutes: Annotated[float, Field(ge=0, le=525_600)] = 5.0
    """Shortest stay."""
    min_requests: Annotated[int, Field(ge=0)] = 200
    """Requests that challengers must have answered in this stage; in the shadow, comparisons."""
    gate: Gate | None = None
    """What opens the next stage: a person (`approval`), agreement in the shadow (`shadow`), guardrails that hold
    (`guardrails`), or besides that a verdict to launch (`verdict`). Default by kind: offline `approval`, shadow `shadow`,
    ab `verdict`, else `guardrails`."""

    @property
    def opens_by(self) -> Gate:
        """The gate in force."""
        return self.gate or DEFAULT_GATE[self.kind]

    @model_validator(mode="after")
    def _share_fits(self) -> Stage:
        if (self.kind in WITHOUT_TRAFFIC) != (self.share == 0.0):
            rule = "gives challengers no traffic" if self.kind in WITHOUT_TRAFFIC else "gives challengers some traffic"
            raise ValueError(f"stage {self.name!r} is of kind {self.kind}, which {rule}; got share {self.share:g}")
        if round(self.share, 4) != self.share:
            raise ValueError(f"stage {self.name!r}: a share of traffic is a multiple of 0.0001, got {self.share}")
        if self.kind == "holdback" and self.share == 1.0:
            raise ValueError(f"stage {self.name!r}: a holdback keeps some traffic with the champion, got share 1")
        if self.gate == "shadow" and self.kind != "shadow":
            raise ValueError(f"stage {self.name!r}: the gate `shadow` belongs to the kind shadow, got {self.kind}")
        return self


def _rung(share: float, minutes: float) -> Stage:
    return Stage(name=f"{share:.0%}", kind="canary" if share < 0.25 else "ramp", share=share, min_minutes=minutes)


SHADOW = Stage(name="shadow", kind="shadow", min_requests=1_000)
LADDERS: dict[str, tuple[Stage, ...]] = {
    "ladder": (SHADOW, *(_rung(share, 60.0 * 24) for share in (0.05, 0.25, 0.5, 1.0))),
    "canary": tuple(_rung(share, 5.0) for share in (0.05, 0.1, 0.25, 0.5, 1.0)),
}
"""`ladder`: shadow, then 5/25/50/100 %, a day each. `canary`: 5/10/25/50/100 %, five minutes each."""


class Watch(SpecModel):
    """How guardrails are watched while traffic flows."""

    budget: Annotated[float, Field(gt=0, lt=0.5)] = 0.01
    """Probability that any guardrail stops a healthy challenger in the whole run."""
    window_minutes: Annotated[float, Field(gt=0, le=1_440)] = 15.0
    """Length of the windows in which counts are kept."""
    min_requests: Annotated[int, Field(ge=1)] = 200
    """Challenger requests below which only the kill threshold stops."""
    check_seconds: Annotated[float, Field(gt=0, le=3_600)] = 5.0
    """How often guardrails are read."""
    margins: dict[Name, Annotated[float, Field(ge=0)]] = Field(default_factory=dict[str, float])
    """By guardrail: how much worse than the champion the challenger may be, in the metric's unit."""
    canary_limits: dict[Name, float] = Field(default_factory=lambda: {"error_rate": 0.05, "p95_latency_ms": 1_000.0})
    """Largest values for guardrails that the experiment does not set itself."""


class Rollout(SpecModel):
    """The stages in order, and the watch."""

    stages: tuple[Stage, ...] | Literal["ladder", "canary"] = "ladder"
    """A list of stages, or one of the two ladders that ship."""
    watch: Watch = Watch()
    """How guardrails are watched."""

    @property
    def steps(self) -> tuple[Stage, ...]:
        """The stages, a ladder's name resolved."""
        return LADDERS[self.stages] if isinstance(self.stages, str) else self.stages

    @model_validator(mode="after")
    def _shares_rise(self) -> Rollout:
        steps = self.steps
        if not steps:
            raise ValueError("a rollout has one stage or more")
        names = [step.name for step in steps]
        if len(set(names)) < len(names):
            raise ValueError(f"stages must differ in name, got {names}")
        for before, after in pairwise(steps):
            if after.share < before.share:
                raise ValueError(f"shares must not fall from stage to stage, got {before.share:g} then {after.share:g} at {after.name!r}")
            if before.share < 0.25 and after.share > 0.5:
                raise ValueError(f"more than half of the traffic only after a quarter, got {before.share:g} before {after.name!r}")
        if steps[0].share > 0.25:
            raise ValueError(f"the first stage may give challengers a quarter of the traffic at most, got {steps[0].share:g}")
        return self
