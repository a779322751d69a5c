"""One experiment as a flag: which variant and value a unit gets, decided in memory.

| the experiment             | the unit                                        | reason             | variant, value            |
| -------------------------- | ----------------------------------------------- | ------------------ | ------------------------- |
| does not run               | any                                             | `DISABLED`         | none, the control's value |
| runs                       | forced for QA                                   | `TARGETING_MATCH`  | the forced arm and its value |
| runs                       | not eligible, or outside holdout, layer, traffic | `DEFAULT`          | none, the control's value |
| runs, all units in one arm | any                                             | `STATIC`           | that arm and its value    |
| runs                       | drawn into an arm                               | `SPLIT`            | that arm and its value    |

A unit that is in no arm has the empty text as its variant, never the control's name:
whoever logs variants must not count it as a control. An experiment whose arms carry no
values serves their names. The answers are made once, as bytes; a decision only picks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from fairtrial.assignment import Routing
from fairtrial.assignment.hashing import HASH_SPACE
from fairtrial.spec.eligibility import EligibilitySpec, is_eligible
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.storage.assignments import NOT_LISTED

Reason = Literal["SPLIT", "TARGETING_MATCH", "DEFAULT", "STATIC", "DISABLED"]
"""Why a unit gets what it gets, in OpenFeature's words."""

NOT_ELIGIBLE = "not_eligible"
NO_VARIANT = ""
"""The variant of a unit that is in no arm."""

OUTSIDE = ("holdout", "exclusion_group", "traffic", NOT_LISTED, NOT_ELIGIBLE)
"""Why a unit of a running experiment is in no arm."""

Draw = Callable[[str], tuple[str | None, str]]
"""Arm of a unit; None with the reason when it is in none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a unit gets.

    Attributes:
        arm: Key of its arm; None when it is in none.
        value: What the flag serves.
        reason: Why, in OpenFeature's words.
        outside: Why it is in no arm; None when it is in one or the experiment does not run.
        forced: Whether it was forced for QA.
        body: The same as OFREP says it.
    """

    arm: str | None
    value: Any
    reason: Reason
    outside: str | None
    forced: bool
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """An experiment, ready to decide.

    Attributes:
        key: Key of the experiment, and of the flag.
        experiment_id: Its number.
        version: The version that it runs by.
        environment: Where it is served.
        logs: Whether decisions are stored as assignments.
        always: The answer to everybody, where there is one for all.
        draw: The unit's arm by gate, traffic and ranges, or None and the reason for it.
        eligibility: Whom it takes.
        answers: Answers by arm.
        outsiders: Answers by the reason for being in no arm.
        forced: Answers by unit that is forced.
        stored: Arms of the units whose stored group is not what the hash says now (G-9).
    """

    key: str
    experiment_id: int
    version: int
    environment: str
    logs: bool
    always: Answer | None
    draw: Draw
    eligibility: EligibilitySpec | None
    answers: Mapping[str, Answer]
    outsiders: Mapping[str, Answer]
    forced: Mapping[str, Answer]
    stored: Mapping[str, str]

    @property
    def needs_unit(self) -> bool:
        """Whether the answer depends on who asks."""
        return self.always is None

    def decide(self, unit: str, attributes: Mapping[str, object]) -> Answer:
        """What a unit gets, without a look at the database.

        Args:
            unit: The unit.
            attributes: What is known of it.

        Raises:
            UsageError: The unit is no Unicode text.
        """
        if self.always is not None:
            return self.always
        if self.forced and unit in self.forced:
            return self.forced[unit]
        if self.eligibility is not None and not is_eligible(self.eligibility, attributes):
            return self.outsiders[NOT_ELIGIBLE]
        if self.stored and unit in self.stored:
            return self.answers[self.stored[unit]]
        arm, outside = self.draw(unit)
        return self.outsiders[outside] if arm is None else self.answers[arm]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What a flag is made of, as it is stored.

    Attributes:
        experiment_id: Number of the experiment.
        version: The version that it runs by.
        status: Where it stands.
        environment: Where it is served.
        logs: Whether decisions are stored as assignments.
        spec: Its spec.
        routing: Its stored routing; None before units may be assigned.
        forced: Arm by unit that is forced.
        stored: Arms of the units whose stored group is not what the hash says now.
    """

    experiment_id: int
    version: int
    status: str
    environment: str
    logs: bool
    spec: ExperimentSpec
    routing: Routing | None
    forced: Mapping[str, str]
    stored: Mapping[str, str]

    @property
    def by_list(self) -> bool:
        """Whether units are assigned by lists, so that one whose group is not stored is in no arm."""
        return self.spec.assignment is not None and self.spec.assignment.by_list


def make_flag(source: Source) -> Flag:
    """The flag of an experiment, its answers ready."""
    spec = source.spec
    values = arm_values(spec)
    baseline = values[spec.control]
    runs = source.status == "running" and source.routing is not None

    def answer(reason: Reason, *, arm: str | None = None, outside: str | None = None, forced: bool = False) -> Answer:
        value = baseline if arm is None else values[arm]
        metadata: dict[str, str | int | bool] = {"experimentId": source.experiment_id, "version": source.version}
        if outside is not None:
            metadata["outside"] = outside
        if forced:
            metadata["forced"] = True
        said = {"key": spec.key, "reason": reason, "variant": NO_VARIANT if arm is None else arm, "value": value, "metadata": metadata}
        return Answer(arm=arm, value=value, reason=reason, outside=outside, forced=forced, body=msgspec.json.encode(said))

    only = _only_arm(source) if runs else None
    return Flag(
        key=spec.key,
        experiment_id=source.experiment_id,
        version=source.version,
        environment=source.environment,
        logs=source.logs,
        always=answer("DISABLED") if not runs else None,
        draw=_drawn_by(source.routing, by_list=source.by_list),
        eligibility=spec.eligibility,
        answers={arm: answer("STATIC" if arm == only else "SPLIT", arm=arm) for arm in values},
        outsiders={reason: answer("DEFAULT", outside=reason) for reason in OUTSIDE},
        forced={unit: answer("TARGETING_MATCH", arm=arm, forced=True) for unit, arm in source.forced.items() if arm in values},
        stored={unit: arm for unit, arm in source.stored.items() if arm in values},
    )


def arm_values(spec: ExperimentSpec) -> dict[str, Any]:
    """What each arm serves: its value, or its name in an experiment whose arms carry none."""
    if all(arm.value is None for arm in spec.arms):
        return {arm.key: arm.key for arm in spec.arms}
    return {arm.key: arm.value for arm in spec.arms}


def _drawn_by(routing: Routing | None, *, by_list: bool) -> Draw:
    """The shortest way through a routing: most experiments have no gate."""
    if routing is None:
        return lambda unit: (None, "traffic")  # noqa: ARG005 - never asked: the flag is disabled
    if by_list:
        outside = routing.gate.outside
        return lambda unit: (None, outside(unit) or NOT_LISTED)
    if routing.gate.holdout is None and not routing.gate.places:
        decide = routing.allocation.decide
        return lambda unit: (decide(unit), "traffic")
    whole = routing.decide

    def draw(unit: str) -> tuple[str | None, str]:
        found = whole(unit)
        return found.arm, found.reason or "traffic"

    return draw


def _only_arm(source: Source) -> str | None:
    """The arm that everybody is in, if it is so."""
    routing = source.routing
    if routing is None or source.spec.eligibility is not None or source.stored or source.by_list:
        return None
    if routing.gate.holdout is not None or routing.gate.places or routing.allocation.traffic != HASH_SPACE:
        return None
    owners = {segment.arm for segment in routing.allocation.segments}
    return next(iter(owners)) if len(owners) == 1 else None
