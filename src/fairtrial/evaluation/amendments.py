"""What was changed in a spec after the launch, told in the scorecard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fairtrial.diagnostics import Finding
from fairtrial.evaluation.card import by_severity
from fairtrial.evaluation.scorecard import Scorecard
from fairtrial.spec.diff import SpecChange, compare_trees
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.versions import largest

MOST_NAMED = 6


def amended(card: Scorecard, spec: ExperimentSpec, launched: ExperimentSpec, *, record: str = "") -> Scorecard:
    """The scorecard with a finding on what differs from the spec that was launched; the same one when nothing does.

    Args:
        card: What was found by the spec of now.
        spec: The spec of now.
        launched: The spec as it was when units began to come in.
        record: Who changed what, when and why, where that is recorded.
    """
    changes = compare_trees(launched.model_dump(mode="json"), spec.model_dump(mode="json"))
    changes = [change for change in changes if change.path != "key"]
    return replace(card, findings=by_severity([*card.findings, _finding(changes, launched, spec, record)])) if changes else card


def _finding(changes: Sequence[SpecChange], launched: ExperimentSpec, spec: ExperimentSpec, record: str) -> Finding:
    level = largest(change.level for change in changes)
    names = [change.path for change in changes[:MOST_NAMED]]
    more = f" and {len(changes) - MOST_NAMED} more" if len(changes) > MOST_NAMED else ""
    said = f"The spec differs from what was launched (version {launched.version}, now {spec.version}): {', '.join(names)}{more}."
    return Finding(
        code="spec_amended",
        severity="info" if level == "patch" else "warning",
        message=f"{said} {record}".rstrip(),
        action="Say so wherever the result is told; metrics, arms or a rule changed after units came in belong to a new experiment.",
        numbers={
            "changes": len(changes),
            "level": level,
            "launched_version": launched.version,
            "version": spec.version,
            "launched_hash": launched.spec_hash,
            "spec_hash": spec.spec_hash,
        },
    )
