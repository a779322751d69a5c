"""What a plan may change in the decision table: by rule, never towards a launch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, cast

from pydantic import AfterValidator, BeforeValidator, Field

from fairtrial.spec.base import SpecModel

OwnVerdict = Literal["STRONG_LAUNCH", "LAUNCH", "CONSIDER_LAUNCH", "EXTEND_TEST", "NO_LAUNCH"]

ALLOWED: Mapping[str, tuple[OwnVerdict, ...]] = {
    "5": ("STRONG_LAUNCH", "LAUNCH", "CONSIDER_LAUNCH", "NO_LAUNCH"),
    "6": ("LAUNCH", "CONSIDER_LAUNCH", "NO_LAUNCH"),
    "7": ("CONSIDER_LAUNCH", "NO_LAUNCH"),
    "8": ("NO_LAUNCH",),
    "9": ("EXTEND_TEST", "NO_LAUNCH"),
    "10": ("NO_LAUNCH",),
}
"""By rule that may be overridden, the verdicts it may be given: its own, or a more careful one. Rows of bad data, too little
of it, guardrails, harm and unfinished plans (0 to 4) stand as they are; no row sends a finished plan back for more data."""


class RuleOverride(SpecModel):
    """What one rule of the decision table says instead; what is left out stays as it is."""

    verdict: OwnVerdict | None = None
    """The rule's own verdict or a more careful one: a launch may become a weaker launch or none, never the other way."""
    confidence: Literal["LOW", "MEDIUM", "MEDIUM-HIGH", "HIGH"] | None = None
    """How sure the verdict is said to be."""
    risk: Literal["low", "medium", "high", "critical"] | None = None
    """Risk of acting on it; with a guardrail's warning a launch is never below `medium`."""
    next_steps: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=500)], ...], Field(min_length=1, max_length=10)] | None = None
    """What to do now, in place of the usual steps; what a guardrail's warning asks for is still added."""


def _numbers_as_text(raw: object) -> object:
    """YAML reads `7:` as a number."""
    if not isinstance(raw, Mapping):
        return raw
    fields = cast("Mapping[object, object]", raw)
    return {str(key) if isinstance(key, int) and not isinstance(key, bool) else key: value for key, value in fields.items()}


def _only_what_may_change(table: dict[str, RuleOverride]) -> dict[str, RuleOverride]:
    for number, own in table.items():
        allowed = ALLOWED.get(number)
        if allowed is None:
            raise ValueError(
                f"rule {number!r} cannot be overridden: bad data, too little data, guardrails, harm and unfinished plans "
                f"stand as they are; rules are {', '.join(ALLOWED)}"
            )
        if own.verdict is not None and own.verdict not in allowed:
            raise ValueError(
                f"rule {number} may be {' or '.join(allowed)}, got {own.verdict}: a table may be made more careful, never less, "
                "and no row sends a finished plan back for more data"
            )
        if own == RuleOverride():
            raise ValueError(f"rule {number} changes nothing; give a verdict, confidence, risk or next_steps, or leave it out")
    return table


DecisionTable = Annotated[
    dict[str, RuleOverride],
    BeforeValidator(_numbers_as_text),
    AfterValidator(_only_what_may_change),
    Field(json_schema_extra={"propertyNames": {"enum": list(ALLOWED)}}),
]
"""Overrides by number of the rule."""
