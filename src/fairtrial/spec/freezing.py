"""What of a spec stays once units came in."""

from __future__ import annotations

from fairtrial.spec.experiment import ExperimentSpec

FROZEN = ("kind", "control", "factors", "allocation", "metrics", "plan", "design", "assignment")
"""Parts of a spec that stay once units came in; of the arms their names.

Whoever changes them afterwards decides by what was seen.
"""


def frozen_changes(old: ExperimentSpec, new: ExperimentSpec) -> list[str]:
    """Parts that differ and may not, once the experiment has started."""
    before, after = old.model_dump(mode="json"), new.model_dump(mode="json")
    changed = [name for name in FROZEN if before.get(name) != after.get(name)]
    if [arm.key for arm in old.arms] != [arm.key for arm in new.arms]:
        changed.append("arms")
    return changed
