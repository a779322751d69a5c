"""An earlier look, out of the scorecard that it left."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from fairtrial.decisions import Decision
from fairtrial.evaluation.card import SCHEMA_VERSION
from fairtrial.evaluation.looks import Look


class _Sequential(msgspec.Struct):
    information: float
    futility_bound: float | None = None
    given_up: tuple[str, ...] = ()


class _Plan(msgspec.Struct):
    complete: bool
    sequential: _Sequential | None = None


class _Scorecard(msgspec.Struct):
    as_of: str | None
    plan: _Plan
    decisions: dict[str, Decision]
    experiment: str
    spec_hash: str = ""
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierLook:
    """A look and where it comes from.

    Attributes:
        look: What later looks need to know of it.
        experiment: Key of its experiment.
        spec_hash: Hash of the spec that it was made by; empty when it was not written down.
        schema_version: Version of the scorecard's form.
    """

    look: Look
    experiment: str
    spec_hash: str
    schema_version: int


def earlier_look(scorecard: bytes) -> EarlierLook:
    """Read a look out of a scorecard's JSON.

    Raises:
        msgspec.DecodeError: It is no JSON, or no scorecard.
        UnicodeDecodeError: It is no text.
    """
    found = msgspec.json.decode(scorecard, type=_Scorecard)
    looked = found.plan.sequential
    look = Look(
        as_of=found.as_of,
        complete=found.plan.complete,
        decisions=found.decisions,
        information=None if looked is None else looked.information,
        futility_bound=None if looked is None else looked.futility_bound,
        given_up=() if looked is None else looked.given_up,
    )
    return EarlierLook(look=look, experiment=found.experiment, spec_hash=found.spec_hash, schema_version=found.schema_version)
