"""An earlier look, out of the scorecard that it left."""

from __future__ import annotations

import msgspec

from fairtrial.decisions import Decision
from fairtrial.evaluation.looks import Look


class _Sequential(msgspec.Struct):
    information: float


class _Plan(msgspec.Struct):
    complete: bool
    sequential: _Sequential | None = None


class _Scorecard(msgspec.Struct):
    as_of: str | None
    plan: _Plan
    decisions: dict[str, Decision]


def look_of(scorecard: object) -> Look:
    """What later looks need to know of a scorecard in its JSON form.

    Raises:
        msgspec.ValidationError: It is no scorecard.
    """
    earlier = msgspec.convert(scorecard, type=_Scorecard)
    looked = earlier.plan.sequential
    return Look(
        as_of=earlier.as_of,
        complete=earlier.plan.complete,
        decisions=earlier.decisions,
        information=None if looked is None else looked.information,
    )
