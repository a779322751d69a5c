"""An experiment's life: draft, running, stopped or completed, decided, archived (HO-04, HO-34)."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from sqlalchemy.orm import Session

from fairtrial.errors import AccessError, ConflictError
from fairtrial.service.access.roles import Actor, Role
from fairtrial.service.audit import record_change
from fairtrial.service.experiments.holdout import conversion_window_days, execution_capability, holdout_shares, holdout_spec, planned
from fairtrial.service.experiments.routing import ensure_routing, stored_spec
from fairtrial.service.experiments.schemas import ExperimentCreate, PlanInputs
from fairtrial.service.problems import NotFoundError
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.storage.experiments import find_experiment, newest_version
from fairtrial.storage.layers import release_slots
from fairtrial.storage.tables import Experiment, ExperimentVersion

NEXT: dict[str, tuple[str, ...]] = {
    "draft": ("running", "archived"),
    "running": ("stopped", "completed"),
    "stopped": ("decided", "archived"),
    "completed": ("decided", "archived"),
    "decided": ("archived",),
    "archived": (),
}
"""Where each status may go."""


def get_experiment(session: Session, reference: str, *, for_update: bool = False) -> Experiment:
    """The experiment with this id or key.

    Raises:
        NotFoundError: There is none.
    """
    found = find_experiment(session, reference, for_update=for_update)
    if found is None:
        raise NotFoundError(f"Experiment {reference!r} not found.", hint="GET /api/v1/experiments", code="unknown_experiment")
    return found


def create_holdout(session: Session, asked: ExperimentCreate, *, actor: Actor, now: dt.datetime) -> Experiment:
    """A new draft with its plan, spec and first version.

    Raises:
        ConflictError: The key is taken.
        SpecError: The form asks for what no spec allows.
    """
    key = asked.key or str(uuid.uuid4())
    if find_experiment(session, key) is not None:
        raise ConflictError(f"The key {key!r} is taken.", hint="Leave the key out, or choose another.")
    spec = holdout_spec(asked, key)
    plan = planned(asked)
    guardrails = {name: value for name, value in (asked.guardrails or {}).items() if name != "power_plan"}  # the plan is made here
    if plan is not None:
        guardrails["power_plan"] = plan.model_dump()
    row = Experiment(
        key=key,
        name=asked.name,
        kind="holdout",
        channel=asked.channel,
        conversion_key=asked.conversion_key,
        start_at=asked.start_at,
        end_at=asked.end_at,
        notes=asked.notes,
        source_type=asked.source_type,
        source_id=asked.source_id,
        treatment_rate=asked.treatment_rate,
        setup_json=asked.model_dump(
            mode="json",
            include={
                "setup_source",
                "assignment_unit",
                "assignment_method",
                "strata",
                "baseline_rate_estimate",
                "min_runtime_days",
                "exclusion_window_days",
                "stop_rule",
                "covariate",
                "alpha",
                "power",
                "mde_target",
            },
        ),
        segment_json=asked.segment,
        policy_json=asked.policy,
        guardrails_json=guardrails or None,
        config_id=asked.config_id,
        config_version=asked.config_version,
        spec_json=spec.model_dump(mode="json", exclude_defaults=True),
        spec_hash=spec.spec_hash,
        hash_key="",
        created_at=now,
        updated_at=now,
    )
    return store_new(session, row, actor=actor, now=now)


def store_new(session: Session, row: Experiment, *, actor: Actor, now: dt.datetime) -> Experiment:
    """Keep a new experiment with its first version; without a hash key of its own it is hashed by its id."""
    session.add(row)
    session.flush()
    row.hash_key = row.hash_key or str(row.id)  # DESIGN 5: the decimal id, for rows made by POST /experiments
    session.add(
        ExperimentVersion(
            experiment_id=row.id, version=1, spec_json=row.spec_json, spec_hash=row.spec_hash, created_at=now, created_by=actor.name
        )
    )
    record_change(session, actor=actor, now=now, action="experiment.create", on=("experiment", row.id), after=described(row))
    return row


def change_status(session: Session, reference: str, status: str, *, actor: Actor, now: dt.datetime) -> Experiment:
    """Take the next step of the lifecycle.

    Raises:
        NotFoundError: There is no such experiment.
        ConflictError: The step is not one from here, or what it needs is not there.
        AccessError: Archiving needs an ADMIN.
    """
    row = get_experiment(session, reference, for_update=True)
    if status == row.status:
        return row
    if status not in NEXT[row.status]:
        allowed = " or ".join(NEXT[row.status]) or "nothing"
        raise ConflictError(f"Experiment {row.key!r} is {row.status}; from there it can become {allowed}, not {status}.")
    if status == "archived":
        require(actor, Role.ADMIN, "Archiving")
    before = described(row)
    if status == "running":
        start(session, row, now=now)
    elif status in {"stopped", "completed"}:
        row.ended_at = now
    elif status == "decided":
        row.decided_at = now
    if status in {"stopped", "completed", "archived"}:
        release_slots(session, row.id, now=now)
    row.status = status
    row.updated_at = now
    record_change(
        session, actor=actor, now=now, action=f"experiment.{status}", on=("experiment", row.id), before=before, after=described(row)
    )
    return row


def change_rate(session: Session, row: Experiment, rate: float, *, actor: Actor, now: dt.datetime) -> None:
    """Another share of treated profiles: a draft's version is rewritten, one that has started gets a new version.

    The stored ranges are not touched here.
    """
    before = described(row)
    spec = stored_spec(row)
    shares = holdout_shares(rate)
    arms = tuple(arm.model_copy(update={"allocation": float(shares[arm.key])}) for arm in spec.arms)
    renew_spec(session, row, spec.model_copy(update={"arms": arms}), reason=f"treatment_rate {rate:g}", actor=actor, now=now)
    row.treatment_rate = rate
    plan = planned(PlanInputs.model_validate({**row.setup_json, "treatment_rate": rate}))
    row.guardrails_json = {**(row.guardrails_json or {}), **({} if plan is None else {"power_plan": plan.model_dump()})} or None
    record_change(session, actor=actor, now=now, action="experiment.rate", on=("experiment", row.id), before=before, after=described(row))


def renew_spec(session: Session, row: Experiment, spec: ExperimentSpec, *, reason: str, actor: Actor, now: dt.datetime) -> None:
    """Run by another spec from now on; a version that has started stays as it was."""
    spec = ExperimentSpec.model_validate(spec.model_dump(mode="json"))
    version = newest_version(session, row)
    row.spec_json = spec.model_dump(mode="json", exclude_defaults=True)
    row.spec_hash = spec.spec_hash
    row.updated_at = now
    if version.frozen_at is None:
        version.spec_json, version.spec_hash = row.spec_json, row.spec_hash
        return
    row.version += 1
    session.add(
        ExperimentVersion(
            experiment_id=row.id,
            version=row.version,
            spec_json=row.spec_json,
            spec_hash=row.spec_hash,
            created_at=now,
            created_by=actor.name,
            reason=reason,
            frozen_at=now,
        )
    )


def start(session: Session, row: Experiment, *, now: dt.datetime) -> None:
    """Freeze the spec and lay out the arms.

    Raises:
        ConflictError: What a start needs is missing.
    """
    blockers = start_blockers(row)
    if blockers:
        raise ConflictError(f"Experiment {row.key!r} cannot start: {'; '.join(blockers)}.", hint="GET /experiments/{id}/health")
    row.started_at = now
    ensure_routing(session, row)
    newest_version(session, row).frozen_at = now


def start_blockers(row: Experiment) -> list[str]:
    """What keeps a draft from starting, in words; empty when it may."""
    blockers: list[str] = []
    if row.kind == "holdout" and execution_capability(row.channel) == "not_supported":
        blockers.append(f"channel {row.channel or 'unknown'!r} cannot be held out")
    if row.kind == "holdout" and not row.conversion_key:
        blockers.append("it has no conversion_key")
    if row.start_at is not None and row.end_at is not None and row.end_at <= row.start_at:
        blockers.append("it ends before it starts")
    return blockers


def described(row: Experiment) -> dict[str, Any]:
    """What the audit log keeps of an experiment."""
    return {
        "key": row.key,
        "name": row.name,
        "status": row.status,
        "version": row.version,
        "spec_hash": row.spec_hash,
        "treatment_rate": row.treatment_rate,
        "start_at": None if row.start_at is None else row.start_at.isoformat(),
        "end_at": None if row.end_at is None else row.end_at.isoformat(),
        "conversion_window_days": conversion_window_days(row.channel, row.policy_json),
    }


def require(actor: Actor, role: Role, what: str) -> None:
    """Refuse a caller below `role`.

    Raises:
        AccessError: The caller's role is too low.
    """
    if actor.role < role:
        raise AccessError(f"{what} needs the role {role.name}, yours is {actor.role.name}.", code="forbidden")
