"""Looks already taken: a fixed plan decides at its first complete read and only there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fairtrial.decisions import Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """An earlier read of the same experiment.

    Attributes:
        as_of: When, ISO 8601; None when it was not said.
        complete: Whether the plan was complete then.
        decisions: What was decided, by treatment.
    """

    as_of: str | None
    complete: bool
    decisions: Mapping[str, Decision]


def standing(looks: Sequence[Look], now: Mapping[str, Decision]) -> dict[str, Decision]:
    """Decisions in force: those of the first complete look, if there was one.

    Re-reading a fixed interval and deciding anew errs more often than alpha; later
    reads describe. Invalid data is the exception: what is found later still counts.
    """
    first = next((look for look in looks if look.complete), None)
    if first is None:
        return dict(now)
    when = f" of {first.as_of}" if first.as_of else ""
    note = f"the fixed plan decided at its first complete read{when}; this read only describes"
    kept: dict[str, Decision] = {}
    for treatment, decision in now.items():
        earlier = first.decisions.get(treatment)
        if earlier is None or decision.state == "invalid":
            kept[treatment] = decision
        else:
            kept[treatment] = replace(earlier, reasoning=(note, *earlier.reasoning))
    return kept
