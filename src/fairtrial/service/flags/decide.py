"""One decision for the API: the flag's answer with everything that led to it."""

from __future__ import annotations

from collections.abc import Mapping

from fairtrial.service.flags.schemas import DecisionOut
from fairtrial.service.problems import NotFoundError
from fairtrial.service.snapshot import Snapshot


def decide(snapshot: Snapshot, reference: str, unit: str, attributes: Mapping[str, object]) -> DecisionOut:
    """What a unit gets in an experiment.

    Raises:
        NotFoundError: There is no such experiment, or it is archived.
    """
    flag = snapshot.experiment(reference)
    if flag is None:
        raise NotFoundError(f"Experiment {reference!r} not found.", hint="GET /api/v1/experiments", code="unknown_experiment")
    answer = flag.decide(unit, attributes)
    return DecisionOut.model_validate(
        {
            "experiment": flag.key,
            "experiment_id": flag.experiment_id,
            "version": flag.version,
            "unit": unit,
            "variant": answer.arm,
            "value": answer.value,
            "reason": answer.reason,
            "outside": answer.outside,
            "forced": answer.forced,
        }
    )
