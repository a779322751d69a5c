"""Experiments from whole specs, and the rules of their versions.

A spec that has started is frozen by its hash. What may still change, as a new version
with a reason: shares (the stored ranges are extended, so that as few units move as can
be), eligibility, the values that arms serve, schedule, data, texts. Arms, metrics and
the plan stay, for whoever changes them after units came in decides by what was seen.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from fairtrial.errors import ConflictError, UsageError
from fairtrial.service.access.roles import Actor
from fairtrial.service.assignments.blocks import check_blocks, is_by_list
from fairtrial.service.audit import record_change
from fairtrial.service.experiments.holdout import CONTROL, TREATMENT
from fairtrial.service.experiments.lifecycle import described, get_experiment, renew_spec, store_new
from fairtrial.service.experiments.routing import change_shares, stored_routing, stored_spec
from fairtrial.service.versions.schemas import SpecCreate
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.freezing import frozen_changes
from fairtrial.spec.loader import parse_spec
from fairtrial.storage.experiments import find_experiment, newest_version
from fairtrial.storage.tables import Experiment, ExperimentVersion

RANDOMISED = ("ab_test", "holdout", "factorial")
"""Kinds of experiments that the service can assign."""

CHANGEABLE = ("draft", "running")
"""Statuses in which the spec may be changed."""


def create_from_spec(session: Session, asked: SpecCreate, *, actor: Actor, now: dt.datetime) -> Experiment:
    """A new draft from a whole spec.

    Raises:
        SpecError: The spec breaks a rule.
        UsageError: It is of a kind that is not randomised, or its arms serve values of several types.
        ConflictError: Its key is taken.
    """
    spec = _checked(asked.spec)
    if find_experiment(session, spec.key) is not None:
        raise ConflictError(f"The key {spec.key!r} is taken.", hint="POST /experiments/{id}/versions changes an experiment.")
    row = Experiment(
        key=spec.key,
        name=_title(spec),
        kind=spec.kind,
        environment=asked.environment,
        channel=asked.channel,
        conversion_key=asked.conversion_key,
        notes=asked.notes,
        source_type=asked.source_type,
        source_id=asked.source_id,
        policy_json=asked.policy,
        setup_json={
            "setup_source": "spec",
            "assignment_unit": "profile",
            "assignment_method": "hash" if spec.assignment is None else spec.assignment.method,
            "alpha": spec.plan.alpha,
            "power": spec.plan.power,
            "min_runtime_days": spec.plan.min_days,
            "log_assignments": asked.log_assignments,
        },
        spec_json=spec.model_dump(mode="json", exclude_defaults=True),
        spec_hash=spec.spec_hash,
        hash_key=spec.key,  # DESIGN 5: so that the library assigns the same by the same spec
        created_at=now,
        updated_at=now,
    )
    _take_over(row, spec)
    return store_new(session, row, actor=actor, now=now)


def add_version(
    session: Session, reference: str, raw: Mapping[str, Any], *, reason: str, actor: Actor, now: dt.datetime
) -> ExperimentVersion:
    """Change an experiment's spec: a draft's in place, one that has started as a new version.

    Raises:
        NotFoundError: There is no such experiment.
        SpecError: The spec breaks a rule.
        ConflictError: The experiment has ended, or the change is one that a started plan does not allow.
    """
    row = get_experiment(session, reference, for_update=True)
    if row.status not in CHANGEABLE:
        raise ConflictError(f"Experiment {row.key!r} is {row.status}; a spec changes in draft and running.", hint="Duplicate it.")
    old, new = stored_spec(row), _checked(raw)
    if new.key != row.key:
        raise UsageError(f"A version keeps the experiment's key {row.key!r}, got {new.key!r}.")
    if new == old:
        return newest_version(session, row)
    if newest_version(session, row).frozen_at is not None:
        _check_frozen(row, old, new)
    before = described(row)
    _change_ranges(row, old, new, now=now)
    row.kind, row.name = new.kind, _title(new)
    _take_over(row, new)
    renew_spec(session, row, new, reason=reason, actor=actor, now=now)
    record_change(
        session, actor=actor, now=now, action="experiment.version", on=("experiment", row.id), before=before, after=described(row)
    )
    session.flush()
    return newest_version(session, row)


def _checked(raw: Mapping[str, Any]) -> ExperimentSpec:
    spec = parse_spec(dict(raw))
    if spec.kind not in RANDOMISED:
        raise UsageError(
            f"The service assigns experiments of kind {', '.join(RANDOMISED)}, got {spec.kind!r}, where nobody is randomised.",
            hint="Analyse it from its data: fairtrial analyze SPEC.",
        )
    check_blocks(spec)
    types = {_type_of(arm.value) for arm in spec.arms}
    if len(types) > 1:
        raise UsageError(
            f"The values of the arms must all be of one type, or all be left out, got {sorted(types)}.",
            hint="A flag is read as one type by its clients.",
        )
    return spec.model_copy(update={"status": None})


def _type_of(value: object) -> str:
    kinds = ((bool, "boolean"), (int, "number"), (float, "number"), (str, "text"), (list, "list"), (dict, "object"))
    return next((name for kind, name in kinds if isinstance(value, kind)), "none")


def _title(spec: ExperimentSpec) -> str:
    return spec.name or spec.key


def _take_over(row: Experiment, spec: ExperimentSpec) -> None:
    """What people search by, out of the spec."""
    if spec.schedule is not None:
        row.start_at, row.end_at = spec.schedule.start, spec.schedule.end
    shares = spec.shares or {}
    if spec.kind == "holdout" and set(shares) == {TREATMENT, CONTROL}:
        row.treatment_rate = shares[TREATMENT]


def _check_frozen(row: Experiment, old: ExperimentSpec, new: ExperimentSpec) -> None:
    changed = frozen_changes(old, new)
    if changed:
        raise ConflictError(
            f"Experiment {row.key!r} has started, so its {', '.join(changed)} stay as they were.",
            hint="Shares, eligibility, values and schedule may change; for another plan duplicate the experiment.",
            code="changed_plan",
        )


def _change_ranges(row: Experiment, old: ExperimentSpec, new: ExperimentSpec, *, now: dt.datetime) -> None:
    """Extend the stored ranges where shares change; without stored ranges there is nothing to keep."""
    routing = stored_routing(row)
    if routing is None or (new.shares == old.shares and set(new.shares or ()) <= set(routing.allocation.arms)):
        return
    if new.shares is None:
        raise ConflictError(f"Units of experiment {row.key!r} are assigned by fixed shares; they stay fixed.")
    if is_by_list(old):
        raise ConflictError(f"Experiment {row.key!r} assigns in blocks of its shares; they stay as they are.", hint="Duplicate it.")
    gone = [arm for arm in routing.allocation.arms if arm not in new.shares]
    if gone:
        raise ConflictError(f"Units may be in the arms {gone} already.", hint="Keep an arm with the share 0 to close it.")
    change_shares(row, routing, new.shares, now=now)
